/*
 * model_spec.c - the tensors of the built-in models and their first parameters.
 */
#include "train/model_spec.h"

#include "base/check.h"
#include "base/random.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { STREAM_INITIAL = 0x696e6974 };

static enum status width_check(const char *what, uint32_t width, uint32_t low, uint32_t high,
                               struct error *err)
{
    if (width < low || width > high)
        return error_set(err, STATUS_INVAL, "a model with %u %s; %u to %u are right", width, what,
                         low, high);
    return STATUS_OK;
}

enum status model_spec_check(const struct model_spec *spec, struct error *err)
{
    if (spec->kind == MODEL_FLAT)
        return width_check("parameters", spec->parameters, 1, MODEL_PARAMETERS_MAX, err);
    enum status status = width_check("inputs", spec->inputs, 1, MODEL_WIDTH_MAX, err);
    if (status == STATUS_OK)
        status = width_check("classes", spec->classes, 2, 256, err);
    if (status == STATUS_OK && spec->kind == MODEL_MLP)
        status = width_check("hidden layers", spec->hidden_count, 1, MODEL_HIDDEN_MAX, err);
    if (status != STATUS_OK)
        return status;
    for (uint32_t i = 0; i + 1 < model_spec_layers(spec); i++) {
        status = width_check("units in a hidden layer", spec->hidden[i], 1, MODEL_WIDTH_MAX, err);
        if (status != STATUS_OK)
            return status;
    }
    uint64_t parameters = 0; /* at most 33 layers of 2^20 * (2^20 + 1) */
    for (uint32_t i = 0; i < model_spec_layers(spec); i++)
        parameters += (uint64_t)model_spec_width(spec, i + 1) * (model_spec_width(spec, i) + 1);
    if (parameters > MODEL_PARAMETERS_MAX)
        return error_set(err, STATUS_INVAL, "a model with %llu parameters; at most %u are right",
                         (unsigned long long)parameters, (unsigned)MODEL_PARAMETERS_MAX);
    return STATUS_OK;
}

uint32_t model_spec_layers(const struct model_spec *spec)
{
    switch (spec->kind) {
    case MODEL_SOFTMAX:
        return 1;
    case MODEL_MLP:
        return spec->hidden_count + 1;
    case MODEL_FLAT:
        break;
    }
    return 0;
}

uint32_t model_spec_width(const struct model_spec *spec, uint32_t index)
{
    const uint32_t layers = model_spec_layers(spec);
    CHECK(index <= layers && layers > 0);
    if (index == 0)
        return spec->inputs;
    return index == layers ? spec->classes : spec->hidden[index - 1];
}

uint32_t model_spec_parameters(const struct model_spec *spec)
{
    if (spec->kind == MODEL_FLAT)
        return spec->parameters;
    uint32_t parameters = 0;
    for (uint32_t i = 0; i < model_spec_layers(spec); i++)
        parameters += model_spec_width(spec, i + 1) * (model_spec_width(spec, i) + 1);
    return parameters;
}

uint32_t model_spec_tensors(const struct model_spec *spec)
{
    return spec->kind == MODEL_FLAT ? 1 : 2 * model_spec_layers(spec);
}

/*
 * The layer whose name follows in the order of bytes: 0, 1, 10, 11, ..., 19, 2, 20, ... of those
 * under layers. layer is not the last one.
 */
static uint32_t layer_following(uint32_t layer, uint32_t layers)
{
    if (layer == 0)
        return 1;
    if (layer * 10 < layers)
        return layer * 10;
    while (layer % 10 == 9 || layer + 1 >= layers)
        layer /= 10;
    return layer + 1;
}

void model_spec_tensor(const struct model_spec *spec, uint32_t index,
                       struct model_tensor *ret_tensor)
{
    CHECK(index < model_spec_tensors(spec));
    struct model_tensor tensor = {.rank = 1};
    if (spec->kind == MODEL_FLAT) {
        snprintf(tensor.name, sizeof(tensor.name), "vector");
        tensor.shape[0] = spec->parameters;
        tensor.count = spec->parameters;
        *ret_tensor = tensor;
        return;
    }
    uint32_t layer = 0;
    for (uint32_t i = 0; i < index / 2; i++) {
        tensor.offset += model_spec_width(spec, layer + 1) * (model_spec_width(spec, layer) + 1);
        layer = layer_following(layer, model_spec_layers(spec));
    }
    const bool is_weight = index % 2 == 1;
    const uint32_t in = model_spec_width(spec, layer);
    const uint32_t out = model_spec_width(spec, layer + 1);
    snprintf(tensor.name, sizeof(tensor.name), "layer%u.%s", layer, is_weight ? "weight" : "bias");
    tensor.layer = layer;
    tensor.rank = is_weight ? 2 : 1;
    tensor.shape[0] = out;
    tensor.shape[1] = is_weight ? in : 0;
    tensor.offset += is_weight ? out : 0;
    tensor.count = is_weight ? in * out : out;
    *ret_tensor = tensor;
}

void model_spec_layer(const struct model_spec *spec, uint32_t layer,
                      struct model_tensor *ret_weight, struct model_tensor *ret_bias)
{
    CHECK(layer < model_spec_layers(spec));
    for (uint32_t i = 0; i < model_spec_tensors(spec); i += 2) {
        model_spec_tensor(spec, i, ret_bias);
        if (ret_bias->layer == layer) {
            model_spec_tensor(spec, i + 1, ret_weight);
            return;
        }
    }
    CHECK(!"every layer has its two tensors");
}

enum status model_spec_layout(const struct model_spec *spec, struct layout **ret_layout,
                              struct error *err)
{
    struct layout_builder *builder = nullptr;
    enum status status = layout_builder_create(&builder);
    if (status != STATUS_OK)
        return error_set(err, status, "no memory for a layout");
    for (uint32_t i = 0; i < model_spec_tensors(spec); i++) {
        struct model_tensor tensor;
        model_spec_tensor(spec, i, &tensor);
        const uint64_t shape[2] = {tensor.shape[0], tensor.shape[1]};
        status = layout_builder_add(builder, tensor.name, strlen(tensor.name), DTYPE_F32,
                                    tensor.rank, shape, err);
        if (status != STATUS_OK)
            goto out;
    }
    status = layout_builder_finish(builder, ret_layout, err);
out:
    layout_builder_destroy(builder);
    return status;
}

void model_spec_initial(const struct model_spec *spec, uint64_t seed, float *ret_parameters)
{
    memset(ret_parameters, 0, (size_t)model_spec_parameters(spec) * sizeof(*ret_parameters));
    const uint32_t layers = model_spec_layers(spec);
    for (uint32_t layer = 0; layer < layers; layer++) {
        struct model_tensor weight;
        struct model_tensor bias;
        model_spec_layer(spec, layer, &weight, &bias);
        const double in = weight.shape[1];
        const double out = weight.shape[0];
        const double bound = sqrt(6 / (layer + 1 < layers ? in : in + out));
        struct random random;
        random_init(&random, seed, STREAM_INITIAL, layer);
        for (uint32_t i = 0; i < weight.count; i++)
            ret_parameters[weight.offset + i] = (float)((2 * random_unit(&random) - 1) * bound);
    }
}

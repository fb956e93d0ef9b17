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
    const uint32_t layer = index / 2;
    const bool is_bias = index % 2 == 1;
    for (uint32_t i = 0; i < layer; i++)
        tensor.offset += model_spec_width(spec, i + 1) * (model_spec_width(spec, i) + 1);
    const uint32_t in = model_spec_width(spec, layer);
    const uint32_t out = model_spec_width(spec, layer + 1);
    snprintf(tensor.name, sizeof(tensor.name), "layer%u.%s", layer, is_bias ? "bias" : "weight");
    tensor.rank = is_bias ? 1 : 2;
    tensor.shape[0] = out;
    tensor.shape[1] = is_bias ? 0 : in;
    tensor.offset += is_bias ? in * out : 0;
    tensor.count = is_bias ? out : in * out;
    *ret_tensor = tensor;
}

void model_spec_initial(const struct model_spec *spec, uint64_t seed, float *ret_parameters)
{
    memset(ret_parameters, 0, (size_t)model_spec_parameters(spec) * sizeof(*ret_parameters));
    const uint32_t layers = model_spec_layers(spec);
    for (uint32_t layer = 0; layer < layers; layer++) {
        struct model_tensor weight;
        model_spec_tensor(spec, 2 * layer, &weight);
        const double in = weight.shape[1];
        const double out = weight.shape[0];
        const double bound = sqrt(6 / (layer + 1 < layers ? in : in + out));
        struct random random;
        random_init(&random, seed, STREAM_INITIAL, layer);
        for (uint32_t i = 0; i < weight.count; i++)
            ret_parameters[weight.offset + i] = (float)((2 * random_unit(&random) - 1) * bound);
    }
}

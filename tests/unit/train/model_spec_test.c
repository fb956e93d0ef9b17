/*
 * model_spec_test.c - tensors of the built-in models, their order and their first parameters.
 */
#include "testing.h"

#include "train/model_spec.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static struct model_spec many_layers(uint32_t hidden)
{
    struct model_spec spec = {.kind = MODEL_MLP, .inputs = 7, .classes = 3, .hidden_count = hidden};
    for (uint32_t i = 0; i < hidden; i++)
        spec.hidden[i] = 2 + i % 5;
    return spec;
}

/* 784-128-10: 128 * 785 + 10 * 129 = 101,770, as everyone's first MLP has. */
static void parameters_are_counted(void **state)
{
    const struct model_spec mlp = {
        .kind = MODEL_MLP, .inputs = 784, .classes = 10, .hidden_count = 1, .hidden = {128}};
    const struct model_spec softmax = {.kind = MODEL_SOFTMAX, .inputs = 784, .classes = 10};
    const struct model_spec flat = {.kind = MODEL_FLAT, .parameters = 1000};
    assert_int_equal(model_spec_parameters(&mlp), 101770);
    assert_int_equal(model_spec_parameters(&softmax), 7850);
    assert_int_equal(model_spec_parameters(&flat), 1000);
    assert_int_equal(model_spec_tensors(&mlp), 4);
    assert_int_equal(model_spec_tensors(&flat), 1);
}

/* For every number of layers the flat order is the one that the layout sorts the names into. */
static void tensors_lie_where_the_layout_says(void **state)
{
    for (uint32_t hidden = 0; hidden <= MODEL_HIDDEN_MAX; hidden++) {
        struct model_spec spec = many_layers(hidden);
        spec.kind = hidden == 0 ? MODEL_SOFTMAX : MODEL_MLP;
        struct layout *layout = nullptr;
        assert_int_equal(model_spec_check(&spec, nullptr), STATUS_OK);
        assert_int_equal(model_spec_layout(&spec, &layout, nullptr), STATUS_OK);
        assert_int_equal(layout->tensor_count, model_spec_tensors(&spec));
        assert_int_equal(layout->parameter_count, model_spec_parameters(&spec));
        assert_true(layout_is_f32(layout));
        for (uint32_t i = 0; i < layout->tensor_count; i++) {
            struct model_tensor tensor;
            model_spec_tensor(&spec, i, &tensor);
            assert_string_equal(tensor.name, layout->tensors[i].name);
            assert_int_equal(tensor.offset * 4, layout->tensors[i].offset);
            assert_int_equal(tensor.count, layout->tensors[i].count);
            assert_int_equal(tensor.rank, layout->tensors[i].rank);
        }
        for (uint32_t layer = 0; layer <= hidden; layer++) {
            struct model_tensor weight;
            struct model_tensor bias;
            model_spec_layer(&spec, layer, &weight, &bias);
            assert_int_equal(weight.layer, layer);
            assert_int_equal(weight.shape[0], model_spec_width(&spec, layer + 1));
            assert_int_equal(weight.shape[1], model_spec_width(&spec, layer));
            assert_int_equal(bias.shape[0], model_spec_width(&spec, layer + 1));
        }
        layout_destroy(layout);
    }
}

static void a_flat_model_is_one_vector(void **state)
{
    const struct model_spec flat = {.kind = MODEL_FLAT, .parameters = 1000};
    struct layout *layout = nullptr;
    assert_int_equal(model_spec_layout(&flat, &layout, nullptr), STATUS_OK);
    assert_int_equal(layout->tensor_count, 1);
    assert_string_equal(layout->tensors[0].name, "vector");
    assert_int_equal(layout->bytes, 4000);
    layout_destroy(layout);
}

/* Uniform in +-b has variance b^2 / 3: 2 / in for He, 2 / (in + out) for Glorot. */
static void first_weights_have_he_and_glorot_variance(void **state)
{
    const struct model_spec spec = {
        .kind = MODEL_MLP, .inputs = 300, .classes = 100, .hidden_count = 1, .hidden = {200}};
    float *const parameters = malloc(model_spec_parameters(&spec) * sizeof(*parameters));
    assert_non_null(parameters);
    model_spec_initial(&spec, 3, parameters);
    const double variances[] = {2.0 / 300, 2.0 / (200 + 100)};
    for (uint32_t layer = 0; layer < 2; layer++) {
        struct model_tensor weight;
        struct model_tensor bias;
        model_spec_layer(&spec, layer, &weight, &bias);
        double sum = 0;
        double squares = 0;
        double largest = 0;
        for (uint32_t i = 0; i < weight.count; i++) {
            const double w = parameters[weight.offset + i];
            sum += w;
            squares += w * w;
            largest = fmax(largest, fabs(w));
        }
        assert_double_equal(sum / weight.count, 0, 5 * sqrt(variances[layer] / weight.count));
        assert_double_equal(squares / weight.count / variances[layer], 1, 5.0 / sqrt(weight.count));
        assert_true(largest <= sqrt(3 * variances[layer]) * (1 + 1e-7));
        for (uint32_t i = 0; i < bias.count; i++)
            assert_true(parameters[bias.offset + i] == 0);
    }
    free(parameters);
}

static void first_parameters_follow_the_seed(void **state)
{
    const struct model_spec spec = many_layers(2);
    float a[256];
    float b[256];
    model_spec_initial(&spec, 1, a);
    model_spec_initial(&spec, 1, b);
    assert_memory_equal(a, b, model_spec_parameters(&spec) * sizeof(*a));
    model_spec_initial(&spec, 2, b);
    assert_memory_not_equal(a, b, model_spec_parameters(&spec) * sizeof(*a));
}

static void specs_out_of_range_are_refused_with_the_range(void **state)
{
    const struct {
        struct model_spec spec;
        const char *text;
    } cases[] = {
        {{.kind = MODEL_SOFTMAX, .inputs = 0, .classes = 2}, "0 inputs; 1 to"},
        {{.kind = MODEL_SOFTMAX, .inputs = 1 + MODEL_WIDTH_MAX, .classes = 2}, "1048577 inputs"},
        {{.kind = MODEL_SOFTMAX, .inputs = 1, .classes = 1}, "1 classes; 2 to 256"},
        {{.kind = MODEL_SOFTMAX, .inputs = 1, .classes = 257}, "257 classes"},
        {{.kind = MODEL_MLP, .inputs = 1, .classes = 2}, "0 hidden layers; 1 to 32"},
        {{.kind = MODEL_MLP, .inputs = 1, .classes = 2, .hidden_count = 33}, "33 hidden layers"},
        {{.kind = MODEL_MLP, .inputs = 1, .classes = 2, .hidden_count = 1}, "0 units in a hidden"},
        {{.kind = MODEL_MLP,
          .inputs = 1 << 20,
          .classes = 2,
          .hidden_count = 2,
          .hidden = {1 << 20, 1 << 20}},
         "2199027449858 parameters; at most"},
        {{.kind = MODEL_FLAT}, "0 parameters; 1 to"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct error err = {0};
        assert_int_equal(model_spec_check(&cases[i].spec, &err), STATUS_INVAL);
        assert_non_null(strstr(err.text, cases[i].text));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parameters_are_counted),
        cmocka_unit_test(tensors_lie_where_the_layout_says),
        cmocka_unit_test(a_flat_model_is_one_vector),
        cmocka_unit_test(first_weights_have_he_and_glorot_variance),
        cmocka_unit_test(first_parameters_follow_the_seed),
        cmocka_unit_test(specs_out_of_range_are_refused_with_the_range),
    };
    return cmocka_run_group_tests_name("model_spec", tests, nullptr, nullptr);
}

/*
 * sgd_test.c - gradients, steps, order and the loop of local training.
 *
 * Goal: the update that a node sends is what PyTorch's definitions give. Method: finite differences
 * of the loss for gradients; sgd_reference.h (numpy, float64, made by reference.py) for whole
 * trainings; a convex problem with a known optimum.
 */
#include "testing.h"

#include "base/digest.h"
#include "sgd_reference.h"
#include "train/evaluate.h"
#include "train/network.h"
#include "train/sgd.h"

#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { SAMPLES = 11, INPUTS = 6, PARAMETERS_MAX = 4096 };

static uint8_t pixels[SAMPLES * INPUTS];
static uint8_t labels[SAMPLES];

/* The same formula as in reference.py. */
static struct dataset toy(void)
{
    for (uint32_t i = 0; i < SAMPLES; i++) {
        for (uint32_t j = 0; j < INPUTS; j++)
            pixels[i * INPUTS + j] = (uint8_t)((i * 37 + j * 101 + i * j * 13) % 256);
        labels[i] = (uint8_t)((i * i + 1) % 3);
    }
    return (struct dataset){pixels, labels, SAMPLES, INPUTS, 2, 3, nullptr};
}

static const struct model_spec deep = {
    .kind = MODEL_MLP, .inputs = INPUTS, .classes = 3, .hidden_count = 2, .hidden = {5, 4}};

static void compare(const struct model_spec *spec, uint64_t seed, uint64_t node, uint64_t round,
                    struct sgd_settings settings, const double *base, const double *delta,
                    double loss)
{
    const struct dataset data = toy();
    const uint32_t count = model_spec_parameters(spec);
    float start[PARAMETERS_MAX];
    float got[PARAMETERS_MAX];
    model_spec_initial(spec, seed, start);
    for (uint32_t i = 0; i < count; i++)
        assert_true((float)base[i] == start[i]);
    struct sgd *sgd = nullptr;
    struct sgd_result result = {0};
    assert_int_equal(sgd_create(spec, &settings, &sgd, nullptr), STATUS_OK);
    assert_int_equal(sgd_train(sgd, &(struct sgd_key){seed, node, round}, &data, start, nullptr,
                               got, &result, nullptr),
                     STATUS_OK);
    for (uint32_t i = 0; i < count; i++)
        assert_double_equal(got[i], delta[i], 2e-6);
    assert_double_equal(result.loss, loss, 2e-6);
    assert_int_equal(result.samples, SAMPLES);
    sgd_destroy(sgd);
}

static void softmax_training_equals_numpy(void **state)
{
    const struct model_spec spec = {.kind = MODEL_SOFTMAX, .inputs = INPUTS, .classes = 3};
    compare(&spec, 7, 21, 3, (struct sgd_settings){3, 4, 0.5f, 0, 0, 0}, reference_plain_base,
            reference_plain_delta, reference_plain_loss);
}

static void two_hidden_layers_training_equals_numpy(void **state)
{
    compare(&deep, 8, 22, 4, (struct sgd_settings){3, 4, 0.25f, 0, 0, 0}, reference_deep_base,
            reference_deep_delta, reference_deep_loss);
}

static void momentum_decay_and_proximal_term_equal_numpy(void **state)
{
    const struct model_spec spec = {
        .kind = MODEL_MLP, .inputs = INPUTS, .classes = 3, .hidden_count = 1, .hidden = {5}};
    compare(&spec, 9, 23, 5, (struct sgd_settings){4, 3, 0.125f, 0.875f, 0.0625f, 0.25f},
            reference_full_base, reference_full_delta, reference_full_loss);
}

static double mean_loss(struct network *network, const float *parameters,
                        const struct dataset *data)
{
    uint64_t right = 0;
    network_forward(network, parameters, data, nullptr, 0, data->samples);
    return network_loss(network, &right) / data->samples;
}

static void gradient_equals_finite_differences(void **state)
{
    const struct dataset data = toy();
    const uint32_t count = model_spec_parameters(&deep);
    float parameters[PARAMETERS_MAX];
    float gradient[PARAMETERS_MAX];
    struct network *network = nullptr;
    model_spec_initial(&deep, 5, parameters);
    assert_int_equal(network_create(&deep, SAMPLES, &network, nullptr), STATUS_OK);
    (void)mean_loss(network, parameters, &data);
    network_backward(network, parameters, 0, 1, gradient);
    double largest = 0;
    for (uint32_t i = 0; i < count; i++) {
        const float kept = parameters[i];
        parameters[i] = kept + 0x1p-9f;
        const double above = mean_loss(network, parameters, &data);
        parameters[i] = kept - 0x1p-9f;
        const double below = mean_loss(network, parameters, &data);
        parameters[i] = kept;
        assert_double_equal(gradient[i], (above - below) / 0x1p-8, 2e-4);
        largest = fmax(largest, fabs(gradient[i]));
    }
    assert_true(largest > 0.01); /* not a test of zeros */
    network_destroy(network);
}

/*
 * One input that is always 0, so only the biases count: the optimum of cross-entropy is
 * softmax(bias) = the shares of the classes (5, 3, 2 of 10), its loss their entropy.
 */
static void softmax_reaches_the_known_optimum_of_a_convex_problem(void **state)
{
    uint8_t zeros[10] = {0};
    uint8_t classes[10] = {0, 1, 0, 2, 0, 1, 0, 2, 0, 1};
    const struct dataset data = {zeros, classes, 10, 1, 1, 1, nullptr};
    const struct model_spec spec = {.kind = MODEL_SOFTMAX, .inputs = 1, .classes = 3};
    const struct sgd_settings settings = {
        .local_epochs = 500, .batch_size = 10, .learning_rate = 1};
    float start[6];
    float trained[6];
    struct sgd *sgd = nullptr;
    struct sgd_result result = {0};
    model_spec_initial(&spec, 1, start);
    assert_int_equal(sgd_create(&spec, &settings, &sgd, nullptr), STATUS_OK);
    assert_int_equal(
        sgd_train(sgd, &(struct sgd_key){0}, &data, start, nullptr, trained, &result, nullptr),
        STATUS_OK);
    for (uint32_t i = 0; i < 6; i++)
        trained[i] = start[i] - trained[i];
    assert_double_equal(trained[0] - trained[1], log(5.0 / 3), 1e-4);
    assert_double_equal(trained[1] - trained[2], log(3.0 / 2), 1e-4);
    struct evaluation evaluation = {0};
    assert_int_equal(evaluate_model(&spec, trained, &data, &evaluation, nullptr), STATUS_OK);
    assert_double_equal(evaluation.loss, -0.5 * log(0.5) - 0.3 * log(0.3) - 0.2 * log(0.2), 1e-6);
    assert_double_equal(evaluation.accuracy, 0.5, 0);
    sgd_destroy(sgd);
}

/* Evaluation over 600 samples, so that there are several batches and a short one. */
static void evaluation_adds_up_over_batches(void **state)
{
    static uint8_t many[600];
    static uint8_t answers[600];
    for (uint32_t i = 0; i < 600; i++) {
        many[i] = i < 200 ? 255 : 0;
        answers[i] = i < 300 ? 1 : 0;
    }
    const struct dataset data = {many, answers, 600, 1, 1, 1, nullptr};
    const struct model_spec spec = {.kind = MODEL_SOFTMAX, .inputs = 1, .classes = 2};
    /* outputs (0, 2 * x): x = 1 says class 1, x = 0 is a tie, which the lowest class wins. */
    const float parameters[4] = {0, 0, 0, 2}; /* biases, weights */
    struct evaluation evaluation = {0};
    assert_int_equal(evaluate_model(&spec, parameters, &data, &evaluation, nullptr), STATUS_OK);
    assert_double_equal(evaluation.accuracy, 500.0 / 600, 1e-15);
    assert_double_equal(evaluation.loss, (200 * log1p(exp(-2)) + 400 * log(2)) / 600, 1e-12);
    assert_int_equal(evaluation.samples, 600);
    const float broken[4] = {NAN, NAN, NAN, NAN};
    assert_int_equal(evaluate_model(&spec, broken, &data, &evaluation, nullptr), STATUS_OK);
    assert_true(isnan(evaluation.loss));
    assert_double_equal(evaluation.accuracy, 0, 0);
}

/* Trains a model of a useful size and gives the digest of its delta. */
static struct digest train_digest(uint64_t node, uint64_t round)
{
    uint8_t big[300 * 64];
    uint8_t answers[300];
    float start[PARAMETERS_MAX];
    float delta[PARAMETERS_MAX];
    for (uint32_t i = 0; i < sizeof(big); i++)
        big[i] = (uint8_t)(i * 2654435761u >> 24);
    for (uint32_t i = 0; i < 300; i++)
        answers[i] = (uint8_t)(i % 10);
    const struct dataset data = {big, answers, 300, 64, 8, 8, nullptr};
    const struct model_spec spec = {
        .kind = MODEL_MLP, .inputs = 64, .classes = 10, .hidden_count = 1, .hidden = {48}};
    const struct sgd_settings settings = {2, 16, 0.1f, 0.9f, 0.001f, 0.01f};
    struct sgd *sgd = nullptr;
    struct sgd_result result = {0};
    model_spec_initial(&spec, 4, start);
    assert_int_equal(sgd_create(&spec, &settings, &sgd, nullptr), STATUS_OK);
    for (int i = 0; i < 2; i++) /* the second time with what the first one left behind */
        assert_int_equal(sgd_train(sgd, &(struct sgd_key){4, node, round}, &data, start, nullptr,
                                   delta, &result, nullptr),
                         STATUS_OK);
    sgd_destroy(sgd);
    struct digest digest;
    digest_of(delta, model_spec_parameters(&spec) * sizeof(*delta), &digest);
    return digest;
}

static void another_process_gets_the_same_bits(void **state)
{
    const struct digest mine = train_digest(1, 1);
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    const pid_t child = fork();
    if (child == 0) {
        free(malloc(12345)); /* another heap */
        const struct digest digest = train_digest(1, 1);
        _exit(write(ends[1], &digest, sizeof(digest)) == sizeof(digest) ? 0 : 1);
    }
    struct digest theirs = {0};
    assert_int_equal(read(ends[0], &theirs, sizeof(theirs)), sizeof(theirs));
    int code = 1;
    assert_int_equal(waitpid(child, &code, 0), child);
    assert_int_equal(code, 0);
    close(ends[0]);
    close(ends[1]);
    assert_memory_equal(&mine, &theirs, sizeof(mine));
}

static void *train_many(void *context)
{
    struct digest *const digests = context;
    for (uint32_t i = 0; i < 20; i++)
        digests[i] = train_digest(1, 1);
    return nullptr;
}

/* OpenBLAS without locks gave wrong products here. */
static void two_threads_that_train_do_not_disturb_each_other(void **state)
{
    const struct digest alone = train_digest(1, 1);
    static struct digest digests[2][20];
    pthread_t threads[2];
    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&threads[i], nullptr, train_many, digests[i]), 0);
    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_join(threads[i], nullptr), 0);
    for (int i = 0; i < 40; i++)
        assert_memory_equal(&digests[i / 20][i % 20], &alone, sizeof(alone));
}

static void node_and_round_change_the_order_of_samples(void **state)
{
    const struct digest a = train_digest(1, 1);
    const struct digest b = train_digest(2, 1);
    const struct digest c = train_digest(1, 2);
    assert_false(digest_equal(&a, &b));
    assert_false(digest_equal(&a, &c));
    assert_false(digest_equal(&b, &c));
}

static void settings_out_of_range_are_refused_with_the_range(void **state)
{
    const struct sgd_settings good = {1, 10, 0.1f, 0, 0, 0};
    assert_int_equal(sgd_settings_check(&good, nullptr), STATUS_OK);
    const struct {
        struct sgd_settings settings;
        const char *text;
    } cases[] = {
        {{0, 10, 0.1f, 0, 0, 0}, "0 local epochs; 1 to 10000"},
        {{10001, 10, 0.1f, 0, 0, 0}, "10001 local epochs"},
        {{1, 0, 0.1f, 0, 0, 0}, "batch size of 0; 1 to 65536"},
        {{1, 65537, 0.1f, 0, 0, 0}, "batch size of 65537"},
        {{1, 10, 0, 0, 0, 0}, "learning rate of 0"},
        {{1, 10, NAN, 0, 0, 0}, "learning rate of nan"},
        {{1, 10, INFINITY, 0, 0, 0}, "learning rate of inf"},
        {{1, 10, 0.1f, 1, 0, 0}, "momentum of 1;"},
        {{1, 10, 0.1f, -0.5f, 0, 0}, "momentum of -0.5"},
        {{1, 10, 0.1f, 0, -1, 0}, "weight decay of -1"},
        {{1, 10, 0.1f, 0, INFINITY, 0}, "weight decay of inf"},
        {{1, 10, 0.1f, 0, 0, NAN}, "proximal mu of"},
        {{1, 10, 0.1f, 0, 0, INFINITY}, "proximal mu of inf"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct error err = {0};
        assert_int_equal(sgd_settings_check(&cases[i].settings, &err), STATUS_INVAL);
        assert_non_null(strstr(err.text, cases[i].text));
    }
}

static void data_that_does_not_fit_the_model_is_refused(void **state)
{
    struct dataset data = toy();
    struct error err = {0};
    assert_int_equal(network_check_data(&deep, &data, nullptr), STATUS_OK);
    data.features = 5;
    assert_int_equal(network_check_data(&deep, &data, &err), STATUS_INVAL);
    assert_non_null(strstr(err.text, "5 values each, but the model takes 6"));
    data.features = INPUTS;
    labels[10] = 3;
    assert_int_equal(network_check_data(&deep, &data, &err), STATUS_INVAL);
    assert_non_null(strstr(err.text, "sample 10 has label 3"));
    data.samples = 0;
    assert_int_equal(network_check_data(&deep, &data, &err), STATUS_INVAL);
    assert_non_null(strstr(err.text, "empty"));
}

static void training_that_runs_away_is_an_error_not_a_delta(void **state)
{
    const struct dataset data = toy();
    const struct model_spec spec = {.kind = MODEL_SOFTMAX, .inputs = INPUTS, .classes = 3};
    const struct sgd_settings settings = {20, 4, 3e38f, 0, 0, 0};
    float start[PARAMETERS_MAX];
    float delta[PARAMETERS_MAX];
    struct sgd *sgd = nullptr;
    struct sgd_result result = {.steps = 77};
    struct error err = {0};
    model_spec_initial(&spec, 5, start);
    assert_int_equal(sgd_create(&spec, &settings, &sgd, nullptr), STATUS_OK);
    assert_int_equal(
        sgd_train(sgd, &(struct sgd_key){0}, &data, start, nullptr, delta, &result, &err),
        STATUS_INVAL);
    assert_non_null(strstr(err.text, "not finite"));
    assert_int_equal(result.steps, 77);
    sgd_destroy(sgd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(softmax_training_equals_numpy),
        cmocka_unit_test(two_hidden_layers_training_equals_numpy),
        cmocka_unit_test(momentum_decay_and_proximal_term_equal_numpy),
        cmocka_unit_test(gradient_equals_finite_differences),
        cmocka_unit_test(softmax_reaches_the_known_optimum_of_a_convex_problem),
        cmocka_unit_test(evaluation_adds_up_over_batches),
        cmocka_unit_test(another_process_gets_the_same_bits),
        cmocka_unit_test(two_threads_that_train_do_not_disturb_each_other),
        cmocka_unit_test(node_and_round_change_the_order_of_samples),
        cmocka_unit_test(settings_out_of_range_are_refused_with_the_range),
        cmocka_unit_test(data_that_does_not_fit_the_model_is_refused),
        cmocka_unit_test(training_that_runs_away_is_an_error_not_a_delta),
    };
    return cmocka_run_group_tests_name("sgd", tests, nullptr, nullptr);
}

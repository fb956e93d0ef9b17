/*
 * fashion_test.c - a short central training on the real Fashion-MNIST reaches a sane accuracy.
 *
 * Softmax regression is known to reach 0.84 on its test set and this MLP 0.88 (the benchmark page
 * of github.com/zalandoresearch/fashion-mnist); two epochs over 20,000 samples come near.
 * Skipped where the package dataset-fashion-mnist is not installed.
 */
#include "testing.h"

#include "train/evaluate.h"
#include "train/sgd.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define FOLDER "/usr/share/datasets/fashion-mnist/"

static double accuracy_after_training(const struct model_spec *spec, const struct dataset *train,
                                      const struct dataset *test)
{
    const struct sgd_settings settings = {2, 20, 0.05f, 0, 0, 0};
    const uint32_t count = model_spec_parameters(spec);
    float *const start = malloc(count * sizeof(*start));
    float *const delta = malloc(count * sizeof(*delta));
    struct sgd *sgd = nullptr;
    struct sgd_result result = {0};
    struct evaluation evaluation = {0};
    model_spec_initial(spec, 1, start);
    assert_int_equal(sgd_create(spec, &settings, &sgd, nullptr), STATUS_OK);
    assert_int_equal(
        sgd_train(sgd, &(struct sgd_key){1, 1, 1}, train, start, nullptr, delta, &result, nullptr),
        STATUS_OK);
    for (uint32_t i = 0; i < count; i++)
        delta[i] = start[i] - delta[i];
    assert_int_equal(evaluate_model(spec, delta, test, &evaluation, nullptr), STATUS_OK);
    sgd_destroy(sgd);
    free(start);
    free(delta);
    return evaluation.accuracy;
}

static void two_epochs_of_fashion_mnist_reach_a_sane_accuracy(void **state)
{
    if (access(FOLDER "train-images-idx3-ubyte.gz", R_OK) != 0) {
        print_message("SKIPPED: no " FOLDER "; install dataset-fashion-mnist\n");
        skip();
    }
    static uint32_t every_third[20000];
    for (uint32_t i = 0; i < 20000; i++)
        every_third[i] = 3 * i;
    struct dataset train = {0};
    struct dataset test = {0};
    assert_int_equal(dataset_load(FOLDER "train-images-idx3-ubyte.gz",
                                  FOLDER "train-labels-idx1-ubyte.gz", 10, every_third, 20000,
                                  &train, nullptr),
                     STATUS_OK);
    assert_int_equal(dataset_load(FOLDER "t10k-images-idx3-ubyte.gz",
                                  FOLDER "t10k-labels-idx1-ubyte.gz", 10, nullptr, 0, &test,
                                  nullptr),
                     STATUS_OK);
    assert_int_equal(test.samples, 10000);
    assert_int_equal(train.features, 784);
    const struct model_spec softmax = {.kind = MODEL_SOFTMAX, .inputs = 784, .classes = 10};
    const struct model_spec mlp = {
        .kind = MODEL_MLP, .inputs = 784, .classes = 10, .hidden_count = 1, .hidden = {128}};
    const double flat = accuracy_after_training(&softmax, &train, &test);
    const double deep = accuracy_after_training(&mlp, &train, &test);
    print_message("accuracy: softmax %.4f, 784-128-10 %.4f\n", flat, deep);
    assert_true(flat > 0.77 && flat < 0.86);
    assert_true(deep > 0.78 && deep < 0.90);
    dataset_deinit(&train);
    dataset_deinit(&test);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(two_epochs_of_fashion_mnist_reach_a_sane_accuracy),
    };
    return cmocka_run_group_tests_name("fashion", tests, nullptr, nullptr);
}

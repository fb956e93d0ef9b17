/*
 * train_bench.c - milliseconds a step and samples a second of local training, by model and batch.
 *
 * Data is random: the time of a step does not depend on it. Run it alone on the machine.
 */
#include "train/sgd.h"

#include "base/random.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { SAMPLES = 5500, INPUTS = 784, CLASSES = 10, EPOCHS_MIN = 2, WARM_UP = 1 };

static double now_s(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

static int bench(const char *name, const struct model_spec *spec, const struct dataset *data,
                 uint32_t batch, float momentum)
{
    const struct sgd_settings settings = {EPOCHS_MIN, batch, 0.01f, momentum, 0, 0};
    const uint32_t count = model_spec_parameters(spec);
    float *const base = malloc(count * sizeof(*base));
    float *const delta = malloc(count * sizeof(*delta));
    struct sgd *sgd = nullptr;
    struct sgd_result result = {0};
    struct error err = {0};
    enum status status = base == nullptr || delta == nullptr
                             ? error_set(&err, STATUS_NO_MEMORY, "no memory for the model")
                             : sgd_create(spec, &settings, &sgd, &err);
    if (status == STATUS_OK)
        model_spec_initial(spec, 1, base);
    double best_s = 1e9;
    for (uint32_t run = 0; status == STATUS_OK && run < WARM_UP + 3; run++) {
        const struct sgd_key key = {.round = run};
        const double start_s = now_s();
        status = sgd_train(sgd, &key, data, base, nullptr, delta, &result, &err);
        const double took_s = now_s() - start_s;
        if (run >= WARM_UP && took_s < best_s)
            best_s = took_s;
    }
    if (status == STATUS_OK)
        printf("%-14s batch %3u momentum %.1f  %7.4f ms/step  %9.0f samples/s\n", name, batch,
               (double)momentum, 1e3 * best_s / (double)result.steps,
               (double)SAMPLES * EPOCHS_MIN / best_s);
    else
        fprintf(stderr, "%s: %s\n", name, err.text);
    sgd_destroy(sgd);
    free(base);
    free(delta);
    return status == STATUS_OK ? 0 : 1;
}

int main(void)
{
    const struct model_spec softmax = {.kind = MODEL_SOFTMAX, .inputs = INPUTS, .classes = CLASSES};
    const struct model_spec mlp = {.kind = MODEL_MLP,
                                   .inputs = INPUTS,
                                   .classes = CLASSES,
                                   .hidden_count = 1,
                                   .hidden = {128}};
    struct dataset data = {.samples = SAMPLES, .features = INPUTS, .rows = 28, .columns = 28};
    data.pixels = malloc((size_t)SAMPLES * INPUTS);
    data.labels = malloc(SAMPLES);
    if (data.pixels == nullptr || data.labels == nullptr)
        return 1;
    struct random random;
    random_init(&random, 1, 0, 0);
    for (size_t i = 0; i < (size_t)SAMPLES * INPUTS; i++)
        data.pixels[i] = (uint8_t)random_below(&random, 256);
    for (uint32_t i = 0; i < SAMPLES; i++)
        data.labels[i] = (uint8_t)random_below(&random, CLASSES);
    int failed = 0;
    const uint32_t batches[] = {10, 20, 50};
    for (size_t i = 0; i < sizeof(batches) / sizeof(*batches); i++) {
        failed |= bench("softmax", &softmax, &data, batches[i], 0);
        failed |= bench("mlp 784-128-10", &mlp, &data, batches[i], 0);
        failed |= bench("mlp 784-128-10", &mlp, &data, batches[i], 0.9f);
    }
    dataset_deinit(&data);
    return failed;
}

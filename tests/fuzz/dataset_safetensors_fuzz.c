/*
 * dataset_safetensors_fuzz.c - feeds any bytes to the reader of samples from safetensors files.
 *
 * With clang's -fsanitize=fuzzer it is a fuzzer; without (FUZZ_MAIN) it runs over seeds made here,
 * each cut at every length and with every byte changed, and over the files named as arguments.
 */
#include "base/check.h"
#include "train/dataset_safetensors.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { CLASSES = 5 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct dataset set = {0};
    struct error err = {0};
    if (dataset_safetensors_read("fuzz", (struct slice){data, size}, CLASSES, &set, &err) !=
        STATUS_OK) {
        CHECK(err.text[0] != 0 && set.samples == 0);
        return 0;
    }
    CHECK(set.samples >= 1 && set.features >= 1 &&
          (set.pixels == nullptr || set.values == nullptr));
    for (uint32_t i = 0; i < set.samples; i++)
        CHECK(set.labels[i] < CLASSES);
    float *const inputs = malloc((size_t)set.samples * set.features * sizeof(*inputs));
    uint8_t *const labels = malloc(set.samples);
    CHECK(inputs != nullptr && labels != nullptr);
    dataset_batch(&set, nullptr, 0, set.samples, inputs, labels);
    for (size_t i = 0; i < (size_t)set.samples * set.features; i++)
        CHECK(isfinite(inputs[i]));
    free(inputs);
    free(labels);
    dataset_deinit(&set);
    return 0;
}

#ifdef FUZZ_MAIN
#include "fuzz_driver.h"

static const struct {
    const char *json;
    size_t data_size;
} seeds[] = {
    {"{\"x\":{\"dtype\":\"F32\",\"shape\":[2,1],\"data_offsets\":[0,8]},"
     "\"y\":{\"dtype\":\"I64\",\"shape\":[2],\"data_offsets\":[8,24]}}",
     24},
    {"{\"y\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2]},"
     "\"x\":{\"dtype\":\"U8\",\"shape\":[2,2,1],\"data_offsets\":[2,6]}}",
     6},
    {"{\"x\":{\"dtype\":\"F32\",\"shape\":[1,2],\"data_offsets\":[0,8]},"
     "\"y\":{\"dtype\":\"I16\",\"shape\":[1],\"data_offsets\":[8,10]}}",
     10},
};

int main(int argc, char **argv)
{
    static uint8_t input[1024];
    for (size_t i = 0; i < sizeof(seeds) / sizeof(*seeds); i++) {
        const size_t json_size = strlen(seeds[i].json);
        const size_t size = 8 + json_size + seeds[i].data_size;
        struct dataset set = {0};
        CHECK(size <= sizeof(input));
        memset(input, 0, sizeof(input));
        store_u64le(input, json_size);
        memcpy(input + 8, seeds[i].json, json_size);
        CHECK(dataset_safetensors_read("seed", (struct slice){input, size}, CLASSES, &set,
                                       nullptr) == STATUS_OK);
        dataset_deinit(&set);
        fuzz_damaged(input, size);
    }
    for (int i = 1; i < argc; i++)
        fuzz_file(argv[i]);
    return 0;
}
#endif

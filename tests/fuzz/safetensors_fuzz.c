/*
 * safetensors_fuzz.c - feeds any bytes to the reader of safetensors files.
 *
 * With clang's -fsanitize=fuzzer it is a fuzzer; without (FUZZ_MAIN) it runs over seeds made here,
 * each cut at every length and with every byte changed, and over the files named as arguments.
 */
#include "base/check.h"
#include "tensor/safetensors.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What was read must, written out, be a file of the same model that is written out the same. */
static void check_round_trip(const struct safetensors *file)
{
    struct bytes written;
    bytes_init(&written, SIZE_MAX / 2);
    CHECK(safetensors_encode_header(file->layout, file->metadata, file->metadata_count, &written,
                                    nullptr) == STATUS_OK);
    const size_t header_size = written.size;
    CHECK(bytes_reserve(&written, file->layout->bytes) == STATUS_OK);
    safetensors_copy(file, written.data + header_size);
    written.size += file->layout->bytes;

    struct safetensors *again = nullptr;
    CHECK(safetensors_open(bytes_slice(&written), &again, nullptr) == STATUS_OK);
    CHECK(layout_equal(again->layout, file->layout));
    CHECK(again->metadata_count == file->metadata_count);
    for (uint32_t i = 0; i < file->layout->tensor_count; i++) {
        const size_t size = file->layout->tensors[i].size;
        CHECK(size == 0 || memcmp(again->data[i], file->data[i], size) == 0);
    }
    safetensors_close(again);
    bytes_deinit(&written);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct safetensors *file = nullptr;
    struct error err = {0};
    if (safetensors_open((struct slice){data, size}, &file, &err) == STATUS_OK) {
        check_round_trip(file);
        safetensors_close(file);
    } else {
        CHECK(err.text[0] != 0);
    }
    return 0;
}

#ifdef FUZZ_MAIN
static const struct {
    const char *json;
    size_t data_size;
} seeds[] = {
    {"{}", 0},
    {"{\"w\":{\"dtype\":\"F32\",\"shape\":[2,1],\"data_offsets\":[0,8]}}  ", 8},
    {"{\"__metadata__\":{\"a\":\"b\",\"c\":\"\\u00e9\"},\"x\":{\"dtype\":\"I64\",\"shape\":[1],"
     "\"data_offsets\":[3,11]},\"y\":{\"dtype\":\"U8\",\"shape\":[3],\"data_offsets\":[0,3]}}",
     11},
    {"{\"e\":{\"dtype\":\"F16\",\"shape\":[0],\"data_offsets\":[0,0]},\"s\":{\"dtype\":\"BOOL\","
     "\"shape\":[],\"data_offsets\":[0,1]}}",
     1},
};

/* On a copy of its exact size, so that a sanitizer sees every read past the end. */
static void run_exactly(const uint8_t *data, size_t size)
{
    uint8_t *const copy = malloc(size);
    CHECK(copy != nullptr || size == 0);
    if (size > 0)
        memcpy(copy, data, size);
    LLVMFuzzerTestOneInput(copy, size);
    free(copy);
}

/* The input itself, every shorter one, and every one with a byte changed in three ways. */
static void run_damaged(uint8_t *data, size_t size)
{
    static const uint8_t changes[] = {0x01, 0x20, 0xff};
    for (size_t cut = 0; cut <= size; cut++)
        run_exactly(data, cut);
    for (size_t at = 0; at < size; at++) {
        for (size_t i = 0; i < sizeof(changes); i++) {
            data[at] ^= changes[i];
            run_exactly(data, size);
            data[at] ^= changes[i];
        }
    }
}

static void run_file(const char *path)
{
    static uint8_t input[1024 * 1024];
    FILE *const file = fopen(path, "rb");
    CHECK(file != nullptr);
    const size_t size = fread(input, 1, sizeof(input), file);
    fclose(file);
    run_exactly(input, size);
}

int main(int argc, char **argv)
{
    static uint8_t input[1024];
    for (size_t i = 0; i < sizeof(seeds) / sizeof(seeds[0]); i++) {
        const size_t json_size = strlen(seeds[i].json);
        const size_t size = 8 + json_size + seeds[i].data_size;
        CHECK(size <= sizeof(input));
        memset(input, 0x5a, sizeof(input));
        store_u64le(input, json_size);
        memcpy(input + 8, seeds[i].json, json_size);
        struct safetensors *file = nullptr;
        CHECK(safetensors_open((struct slice){input, size}, &file, nullptr) == STATUS_OK);
        safetensors_close(file);
        run_damaged(input, size);
    }
    for (int i = 1; i < argc; i++)
        run_file(argv[i]);
    return 0;
}
#endif

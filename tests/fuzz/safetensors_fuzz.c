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
#include "fuzz_driver.h"

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
        fuzz_damaged(input, size);
    }
    for (int i = 1; i < argc; i++)
        fuzz_file(argv[i]);
    return 0;
}
#endif

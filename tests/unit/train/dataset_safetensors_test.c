/*
 * dataset_safetensors_test.c - samples from tensors x and y: every type, and how what is malformed
 * is refused.
 *
 * Files are written here byte by byte: size of the JSON text, the text, the data.
 */
#include "testing.h"

#include "base/bytes.h"
#include "train/dataset_safetensors.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char folder[64];
static char path[96];
static uint8_t file[4096];
static size_t file_size;

static int make_folder(void **state)
{
    strcpy(folder, "/tmp/dataset_st.XXXXXX");
    if (mkdtemp(folder) == nullptr)
        return -1;
    snprintf(path, sizeof(path), "%s/f.safetensors", folder);
    return 0;
}

static int remove_folder(void **state)
{
    unlink(path);
    return rmdir(folder);
}

static void begin(const char *json)
{
    const size_t size = strlen(json);
    store_u64le(file, size);
    memcpy(file + 8, json, size);
    file_size = 8 + size;
}

static void add(const void *data, size_t size)
{
    memcpy(file + file_size, data, size);
    file_size += size;
}

static void write_file(void)
{
    FILE *const out = fopen(path, "wb");
    assert_non_null(out);
    assert_int_equal(fwrite(file, 1, file_size, out), file_size);
    assert_int_equal(fclose(out), 0);
}

static enum status read_all(struct dataset *ret, struct error *err)
{
    return dataset_safetensors_read("f", (struct slice){file, file_size}, 3, ret, err);
}

/* Three samples of two values; y of the type named, whose elements have y_size bytes. */
static void begin_f32(const char *y_type, uint32_t y_size)
{
    static const float values[] = {0.5f, -1, 2, 3, 4, 5.25f};
    char json[256];
    snprintf(json, sizeof(json),
             "{\"x\":{\"dtype\":\"F32\",\"shape\":[3,2,1],\"data_offsets\":[0,24]},"
             "\"y\":{\"dtype\":\"%s\",\"shape\":[3],\"data_offsets\":[24,%u]}}",
             y_type, 24 + 3 * y_size);
    begin(json);
    add(values, sizeof(values));
}

static void f32_samples_are_read_with_labels_of_every_whole_type(void **state)
{
    static const struct {
        const char *name;
        uint32_t size;
    } types[] = {{"U8", 1},  {"I8", 1},  {"U16", 2}, {"I16", 2},
                 {"U32", 4}, {"I32", 4}, {"U64", 8}, {"I64", 8}};
    static const uint32_t labels[] = {2, 0, 1};
    for (size_t t = 0; t < sizeof(types) / sizeof(*types); t++) {
        struct dataset set = {0};
        struct error err = {0};
        uint8_t *all = nullptr;
        uint32_t samples = 0;
        uint32_t features = 0;
        begin_f32(types[t].name, types[t].size);
        for (size_t i = 0; i < 3; i++) {
            uint8_t label[8];
            store_u64le(label, labels[i]);
            add(label, types[t].size);
        }
        assert_int_equal(read_all(&set, &err), STATUS_OK);
        assert_int_equal(set.samples, 3);
        assert_int_equal(set.features, 2);
        assert_null(set.pixels);
        assert_true(set.values[0] == 0.5f && set.values[5] == 5.25f);
        assert_memory_equal(set.labels, "\2\0\1", 3);
        dataset_deinit(&set);
        write_file();
        assert_int_equal(dataset_safetensors_features(path, &features, nullptr), STATUS_OK);
        assert_int_equal(features, 2);
        assert_int_equal(dataset_safetensors_labels(path, 3, &all, &samples, nullptr), STATUS_OK);
        assert_int_equal(samples, 3);
        assert_memory_equal(all, "\2\0\1", 3);
        free(all);
        const uint32_t chosen[] = {1, 2};
        assert_int_equal(dataset_safetensors_load(path, 3, chosen, 2, &set, nullptr), STATUS_OK);
        assert_int_equal(set.samples, 2);
        assert_true(set.values[0] == 2 && set.values[3] == 5.25f);
        assert_memory_equal(set.labels, "\0\1", 2);
        dataset_deinit(&set);
        assert_int_equal(dataset_safetensors_load(path, 3, nullptr, 0, &set, nullptr), STATUS_OK);
        assert_int_equal(set.samples, 3);
        dataset_deinit(&set);
        const uint32_t far[] = {1, 3};
        const uint32_t twice[] = {1, 1};
        assert_int_equal(dataset_safetensors_load(path, 3, far, 2, &set, &err), STATUS_INVAL);
        assert_non_null(strstr(err.text, "sample 3 was asked for after sample 1; there are 3"));
        assert_int_equal(dataset_safetensors_load(path, 3, twice, 2, &set, &err), STATUS_INVAL);
    }
}

static void u8_samples_stay_bytes_and_batches_are_from_0_to_1(void **state)
{
    struct dataset set = {0};
    float inputs[2];
    uint8_t label = 9;
    begin("{\"__metadata__\":{\"made\":\"here\"},"
          "\"more\":{\"dtype\":\"F64\",\"shape\":[1],\"data_offsets\":[6,14]},"
          "\"x\":{\"dtype\":\"U8\",\"shape\":[2,2],\"data_offsets\":[0,4]},"
          "\"y\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[4,6]}}");
    add("\x00\x33\xff\x01\x02\x01"
        "12345678",
        14);
    assert_int_equal(read_all(&set, nullptr), STATUS_OK);
    assert_null(set.values);
    assert_memory_equal(set.pixels, "\x00\x33\xff\x01", 4);
    dataset_batch(&set, nullptr, 0, 1, inputs, &label);
    assert_true(inputs[0] == 0 && inputs[1] == 0.2f);
    assert_int_equal(label, 2);
    dataset_deinit(&set);
}

static void malformed_files_are_refused_with_tensor_and_what_is_right(void **state)
{
    static const struct {
        const char *json;
        size_t data_size; /* zeros */
        enum status status;
        const char *message;
    } cases[] = {
        {"{}", 0, STATUS_CORRUPT, "f: has no tensor x; x (F32 or U8, [n, ...])"},
        {"{\"images\":{\"dtype\":\"U8\",\"shape\":[1,1],\"data_offsets\":[0,1]},"
         "\"x\":{\"dtype\":\"U8\",\"shape\":[1,1],\"data_offsets\":[1,2]}}",
         2, STATUS_CORRUPT,
         "f: has no tensor y; x (F32 or U8, [n, ...]) and y (whole numbers, [n]) are right, its "
         "tensors are: images, x"},
        {"{\"x\":{\"dtype\":\"F64\",\"shape\":[1,1],\"data_offsets\":[0,8]},"
         "\"y\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[8,9]}}",
         9, STATUS_CORRUPT, "f: x is F64 [1, 1]; F32 or U8 [n, ...] is right"},
        {"{\"x\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4]},"
         "\"y\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[4,8]}}",
         8, STATUS_CORRUPT, "f: x is U8 [4]; F32 or U8 [n, ...] is right"},
        {"{\"x\":{\"dtype\":\"U8\",\"shape\":[0,4],\"data_offsets\":[0,0]},"
         "\"y\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0]}}",
         0, STATUS_CORRUPT, "f: x is U8 [0, 4]; 1 to 16777216 samples are right"},
        {"{\"x\":{\"dtype\":\"U8\",\"shape\":[4,0],\"data_offsets\":[0,0]},"
         "\"y\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4]}}",
         4, STATUS_CORRUPT, "f: x is U8 [4, 0]; 1 to 1048576 values a sample are right"},
        {"{\"x\":{\"dtype\":\"U8\",\"shape\":[2,2],\"data_offsets\":[0,4]},"
         "\"y\":{\"dtype\":\"U8\",\"shape\":[3],\"data_offsets\":[4,7]}}",
         7, STATUS_CORRUPT,
         "f: y is U8 [3]; whole numbers (I64, U8, ...) [2], one a sample of x, are right"},
        {"{\"x\":{\"dtype\":\"U8\",\"shape\":[2,2],\"data_offsets\":[0,4]},"
         "\"y\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[4,12]}}",
         12, STATUS_CORRUPT, "f: y is F32 [2]; whole numbers"},
        {"{\"x\":{\"dtype\":\"U8\",\"shape\":[2,2],\"data_offsets\":[0,4]},"
         "\"y\":{\"dtype\":\"U8\",\"shape\":[2,1],\"data_offsets\":[4,6]}}",
         6, STATUS_CORRUPT, "f: y is U8 [2, 1]; whole numbers"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        static const uint8_t zeros[16];
        struct dataset set = {.samples = 99};
        struct error err = {0};
        begin(cases[i].json);
        add(zeros, cases[i].data_size);
        assert_int_equal(read_all(&set, &err), cases[i].status);
        assert_true(strncmp(err.text, cases[i].message, strlen(cases[i].message)) == 0);
        assert_int_equal(set.samples, 99);
    }
}

static void values_that_are_not_finite_and_labels_out_of_range_are_refused(void **state)
{
    static const float bad[] = {NAN, INFINITY, -INFINITY};
    for (size_t i = 0; i < 3; i++) {
        struct dataset set = {0};
        struct error err = {0};
        uint8_t *labels = nullptr;
        uint32_t samples = 0;
        begin_f32("U8", 1);
        memcpy(file + file_size - 4, &bad[i], 4);
        add("\0\1\2", 3);
        assert_int_equal(read_all(&set, &err), STATUS_CORRUPT);
        assert_non_null(strstr(err.text, "f: x[2], value 1 of 2, is "));
        write_file(); /* seen already where only the labels are wanted */
        assert_int_equal(dataset_safetensors_labels(path, 3, &labels, &samples, &err),
                         STATUS_CORRUPT);
    }
    static const struct {
        const char *type;
        uint32_t size;
        uint64_t value;
        const char *text;
    } wrong[] = {
        {"U8", 1, 3, "f: y[1] is 3; labels of 3 classes are 0 to 2 (model.classes)"},
        {"I8", 1, 0xff, "f: y[1] is -1; labels"},
        {"I64", 8, UINT64_MAX, "f: y[1] is -1; labels"},
        {"U64", 8, UINT64_MAX, "f: y[1] is 18446744073709551615; labels"},
        {"I32", 4, 0x80000000, "f: y[1] is -2147483648; labels"},
        {"U16", 2, 0x0100, "f: y[1] is 256; labels"},
    };
    for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
        struct dataset set = {0};
        struct error err = {0};
        begin_f32(wrong[i].type, wrong[i].size);
        for (uint32_t k = 0; k < 3; k++) {
            uint8_t label[8];
            store_u64le(label, k == 1 ? wrong[i].value : 0);
            add(label, wrong[i].size);
        }
        assert_int_equal(read_all(&set, &err), STATUS_CORRUPT);
        assert_true(strncmp(err.text, wrong[i].text, strlen(wrong[i].text)) == 0);
    }
}

static void samples_written_are_read_back_to_the_same_bits(void **state)
{
    static float values[] = {0.1f, -0.0f, 1e-45f, 3.4e38f, 5, -6};
    static uint8_t pixels[] = {0, 255, 3, 4, 5, 6};
    static uint8_t labels[] = {2, 0, 1};
    for (int bytes = 0; bytes < 2; bytes++) {
        const struct dataset data = {.pixels = bytes ? pixels : nullptr,
                                     .values = bytes ? nullptr : values,
                                     .labels = labels,
                                     .samples = 3,
                                     .features = 2};
        struct dataset again = {0};
        assert_int_equal(dataset_safetensors_write(path, &data, nullptr), STATUS_OK);
        assert_int_equal(dataset_safetensors_load(path, 3, nullptr, 0, &again, nullptr), STATUS_OK);
        assert_int_equal(again.samples, 3);
        assert_int_equal(again.features, 2);
        assert_memory_equal(again.labels, labels, 3);
        if (bytes)
            assert_memory_equal(again.pixels, pixels, sizeof(pixels));
        else
            assert_memory_equal(again.values, values, sizeof(values));
        dataset_deinit(&again);
    }
}

static void a_file_that_cannot_be_written_is_named_and_not_left(void **state)
{
    static uint8_t pixels[] = {1, 2};
    static uint8_t labels[] = {1};
    const struct dataset data = {.pixels = pixels, .labels = labels, .samples = 1, .features = 2};
    struct error err = {0};
    assert_int_equal(dataset_safetensors_write("/nonexistent/f", &data, &err), STATUS_IO);
    assert_non_null(strstr(err.text, "/nonexistent/f: cannot be made"));
    assert_int_equal(dataset_safetensors_write(folder, &data, &err), STATUS_IO);
    if (access("/dev/full", W_OK) == 0)
        assert_int_equal(dataset_safetensors_write("/dev/full", &data, &err), STATUS_NO_SPACE);
}

static void missing_files_and_class_counts_out_of_range_are_refused(void **state)
{
    struct dataset set = {0};
    uint32_t features = 0;
    struct error err = {0};
    assert_int_equal(dataset_safetensors_load("/nonexistent/f", 3, nullptr, 0, &set, &err),
                     STATUS_NOT_FOUND);
    assert_non_null(strstr(err.text, "/nonexistent/f"));
    assert_int_equal(dataset_safetensors_features(folder, &features, &err), STATUS_INVAL);
    assert_int_equal(dataset_safetensors_load(path, 257, nullptr, 0, &set, &err), STATUS_INVAL);
    assert_int_equal(dataset_safetensors_load(path, 0, nullptr, 0, &set, &err), STATUS_INVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(f32_samples_are_read_with_labels_of_every_whole_type),
        cmocka_unit_test(u8_samples_stay_bytes_and_batches_are_from_0_to_1),
        cmocka_unit_test(malformed_files_are_refused_with_tensor_and_what_is_right),
        cmocka_unit_test(values_that_are_not_finite_and_labels_out_of_range_are_refused),
        cmocka_unit_test(samples_written_are_read_back_to_the_same_bits),
        cmocka_unit_test(a_file_that_cannot_be_written_is_named_and_not_left),
        cmocka_unit_test(missing_files_and_class_counts_out_of_range_are_refused),
    };
    return cmocka_run_group_tests_name("dataset_safetensors", tests, make_folder, remove_folder);
}

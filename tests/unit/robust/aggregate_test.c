/*
 * aggregate_test.c - the mean of a file of updates: against whole numbers, whatever the threads,
 * the element type and the alignment; and each reason to refuse a file.
 */
#include "robust/aggregate.h"

#include "base/bytes.h"
#include "base/random.h"
#include "robust/aggregate_matrix.h"

#include "testing.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A safetensors file in memory: json (may be longer than its text), then data. */
static struct bytes make(const char *json, const void *data, size_t size)
{
    struct bytes file;
    uint8_t prefix[8];
    bytes_init(&file, SIZE_MAX / 2);
    store_u64le(prefix, strlen(json));
    assert_int_equal(bytes_append(&file, prefix, 8), STATUS_OK);
    assert_int_equal(bytes_append(&file, json, strlen(json)), STATUS_OK);
    assert_int_equal(bytes_append(&file, data, size), STATUS_OK);
    return file;
}

static enum status aggregate(const struct bytes *bytes, uint32_t threads,
                             struct aggregate_result *ret_result, struct error *err)
{
    struct safetensors *file = nullptr;
    if (safetensors_open(bytes_slice(bytes), &file, err) != STATUS_OK)
        fail_msg("%s", err->text);
    const struct aggregate_options options = {&(struct recipe){.rule = RULE_MEAN}, threads};
    const enum status status = aggregate_file(file, &options, ret_result, err);
    safetensors_close(file);
    return status;
}

/* Rows (1, 2), (3, 6), (100, 100) with samples 3, 1, 0: the mean is (6/4, 12/4). */
static void rows_are_weighed_by_their_samples(void **state)
{
    struct {
        float w[3][2];
        float b[3];
        int64_t samples[3];
    } __attribute__((packed)) const data = {{{1, 2}, {3, 6}, {100, 100}}, {4, -4, 5}, {3, 1, 0}};
    struct bytes file =
        make("{\"w\":{\"dtype\":\"F32\",\"shape\":[3,2],\"data_offsets\":[0,24]},"
             "\"b\":{\"dtype\":\"F32\",\"shape\":[3],\"data_offsets\":[24,36]},"
             "\"samples\":{\"dtype\":\"I64\",\"shape\":[3],\"data_offsets\":[36,60]}}",
             &data, sizeof(data));
    struct aggregate_result result = {0};
    struct error err = {0};
    assert_int_equal(aggregate(&file, 1, &result, &err), STATUS_OK);
    assert_int_equal(result.n, 3);
    assert_int_equal(result.d, 3);
    assert_int_equal(result.f, 0);
    assert_true(result.has_shares);
    assert_true(result.shares[0] == 0.75);
    assert_true(result.shares[2] == 0);
    assert_true(result.is_selected[0] && !result.is_selected[2]);
    assert_int_equal(result.layout->tensor_count, 2);
    assert_string_equal(result.layout->tensors[0].name, "b");
    assert_int_equal(result.layout->tensors[0].rank, 0);
    assert_int_equal(result.layout->tensors[1].rank, 1);
    assert_int_equal(result.layout->tensors[1].shape[0], 2);
    assert_true(result.data[0] == 2.0f && result.data[1] == 1.5f && result.data[2] == 3.0f);
    aggregate_result_deinit(&result);
    bytes_deinit(&file);
}

/* binary16: 3c00 is 1, c000 is -2, 0001 is 2^-24, 7bff is 65504; bfloat16: 3f80 is 1, 4040 is 3. */
static void half_precision_is_read_exactly_at_any_alignment(void **state)
{
    struct {
        uint16_t half[4];
        uint8_t odd[2];
        float f32[1];
    } __attribute__((packed)) const data = {{0x3c00, 0xc000, 0x0001, 0x7bff}, {0x40, 0x40}, {0.1f}};
    struct bytes file = make("{\"h\":{\"dtype\":\"F16\",\"shape\":[1,4],\"data_offsets\":[0,8]},"
                             "\"b\":{\"dtype\":\"BF16\",\"shape\":[1,1],\"data_offsets\":[8,10]},"
                             "\"f\":{\"dtype\":\"F32\",\"shape\":[1,1],\"data_offsets\":[10,14]}}",
                             &data, sizeof(data));
    struct aggregate_result result = {0};
    struct error err = {0};
    assert_int_equal(aggregate(&file, 1, &result, &err), STATUS_OK);
    static const float expected[] = {3.0f, 0.1f, 1.0f, -2.0f, 0x1p-24f, 65504.0f};
    assert_int_equal(result.d, 6);
    for (size_t i = 0; i < 6; i++)
        assert_true(result.data[i] == expected[i]);
    aggregate_result_deinit(&result);
    bytes_deinit(&file);
}

static void half_precision_infinity_and_nan_are_found(void **state)
{
    static const uint16_t wrong[] = {0x7c00, 0xfc00, 0x7c01, 0x7fff};
    for (size_t i = 0; i < 4; i++) {
        const uint16_t data[2] = {0x3c00, wrong[i]};
        struct bytes file =
            make("{\"h\":{\"dtype\":\"F16\",\"shape\":[2,1],\"data_offsets\":[0,4]}}", data, 4);
        struct aggregate_result result = {0};
        struct error err = {0};
        assert_int_equal(aggregate(&file, 1, &result, &err), STATUS_PEER);
        assert_non_null(strstr(err.text, "update 1 "));
        assert_non_null(strstr(err.text, "tensor h"));
        bytes_deinit(&file);
    }
}

/*
 * Whole numbers, so that the mean of the rows is known: element j of row i is i * (j % 100) - 7,
 * and with equal weights over rows 0..9 the mean is 4.5 * (j % 100) - 7. Several tiles.
 */
static void many_tiles_and_threads_give_the_mean_and_the_same_bits(void **state)
{
    enum { ROWS = 10, COUNT = 3 * 16384 + 11 };
    float *const data = calloc((size_t)ROWS * COUNT, sizeof(*data));
    assert_non_null(data);
    for (size_t i = 0; i < ROWS; i++) {
        for (size_t j = 0; j < COUNT; j++)
            data[i * COUNT + j] = (float)(i * (j % 100)) - 7;
    }
    char json[200];
    snprintf(json, sizeof(json),
             "{\"x\":{\"dtype\":\"F32\",\"shape\":[%d,%d],\"data_offsets\":[0,%zu]}}", ROWS, COUNT,
             (size_t)ROWS * COUNT * 4);
    struct bytes file = make(json, data, (size_t)ROWS * COUNT * 4);
    for (uint32_t threads = 1; threads <= 3; threads++) {
        struct aggregate_result result = {0};
        struct error err = {0};
        assert_int_equal(aggregate(&file, threads, &result, &err), STATUS_OK);
        assert_int_equal(result.d, COUNT);
        for (size_t j = 0; j < COUNT; j++)
            assert_true(result.data[j] == 4.5f * (float)(j % 100) - 7);
        aggregate_result_deinit(&result);
    }
    bytes_deinit(&file);
    free(data);
}

static void random_rows_give_the_same_bits_whatever_the_threads(void **state)
{
    enum { ROWS = 7, COUNT = 40000 };
    struct random random;
    random_init(&random, 11, 0, 0);
    float *const data = calloc((size_t)ROWS * COUNT, sizeof(*data));
    assert_non_null(data);
    for (size_t i = 0; i < (size_t)ROWS * COUNT; i++)
        data[i] = (float)random_normal(&random);
    char json[200];
    snprintf(json, sizeof(json),
             "{\"x\":{\"dtype\":\"F32\",\"shape\":[%d,%d],\"data_offsets\":[0,%zu]}}", ROWS, COUNT,
             (size_t)ROWS * COUNT * 4);
    struct bytes file = make(json, data, (size_t)ROWS * COUNT * 4);
    struct aggregate_result first = {0};
    struct error err = {0};
    assert_int_equal(aggregate(&file, 1, &first, &err), STATUS_OK);
    for (uint32_t threads = 2; threads <= 3; threads++) {
        struct aggregate_result result = {0};
        assert_int_equal(aggregate(&file, threads, &result, &err), STATUS_OK);
        assert_memory_equal(result.data, first.data, COUNT * sizeof(float));
        aggregate_result_deinit(&result);
    }
    aggregate_result_deinit(&first);
    bytes_deinit(&file);
    free(data);
}

/* The samples of a file of two rows; sizes are those of the JSON texts below. */
static const struct refusal {
    const char *json;
    int64_t data[3];
    enum status status;
    const char *reason;
} refusals[] = {
    {"{}", {0}, STATUS_INVAL, "no tensors of updates"},
    {"{\"samples\":{\"dtype\":\"I64\",\"shape\":[1],\"data_offsets\":[0,8]}}",
     {1},
     STATUS_INVAL,
     "no tensors of updates"},
    {"{\"x\":{\"dtype\":\"F64\",\"shape\":[1],\"data_offsets\":[0,8]}}",
     {0},
     STATUS_INVAL,
     "tensor x has elements of type F64"},
    {"{\"x\":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[0,4]}}",
     {0},
     STATUS_INVAL,
     "tensor x is a scalar"},
    {"{\"x\":{\"dtype\":\"F32\",\"shape\":[0,3],\"data_offsets\":[0,0]}}",
     {0},
     STATUS_INVAL,
     "no updates"},
    {"{\"x\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]},"
     "\"y\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[8,12]}}",
     {0},
     STATUS_INVAL,
     "tensor y has 1 rows, but another tensor has 2"},
    {"{\"x\":{\"dtype\":\"F32\",\"shape\":[1048577,0],\"data_offsets\":[0,0]}}",
     {0},
     STATUS_LIMIT,
     "1048577 updates"},
    {"{\"x\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]},"
     "\"samples\":{\"dtype\":\"U64\",\"shape\":[2],\"data_offsets\":[8,24]}}",
     {0, 1, 1},
     STATUS_INVAL,
     "samples must be I64 of shape [2]"},
    {"{\"x\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]},"
     "\"samples\":{\"dtype\":\"I64\",\"shape\":[1,2],\"data_offsets\":[8,24]}}",
     {0, 1, 1},
     STATUS_INVAL,
     "samples must be I64 of shape [2]"},
    {"{\"x\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]},"
     "\"samples\":{\"dtype\":\"I64\",\"shape\":[1],\"data_offsets\":[8,16]}}",
     {0, 1},
     STATUS_INVAL,
     "samples must be I64 of shape [2]"},
    {"{\"x\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]},"
     "\"samples\":{\"dtype\":\"I64\",\"shape\":[2],\"data_offsets\":[8,24]}}",
     {0, 1, -1},
     STATUS_INVAL,
     "samples[1] is -1"},
    {"{\"x\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]},"
     "\"samples\":{\"dtype\":\"I64\",\"shape\":[2],\"data_offsets\":[8,24]}}",
     {0, 4294967296, 1},
     STATUS_LIMIT,
     "samples[0] is 4294967296"},
    {"{\"x\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]},"
     "\"samples\":{\"dtype\":\"I64\",\"shape\":[2],\"data_offsets\":[8,24]}}",
     {0, 0, 0},
     STATUS_INVAL,
     "samples are all 0"},
    {"{\"x\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}",
     {0x7f80000000000000},
     STATUS_PEER,
     "update 1 holds a value that is not finite, in tensor x"},
};

/* How many bytes of data the JSON text speaks of: its largest second offset. */
static size_t data_size(const char *json)
{
    size_t size = 0;
    for (const char *at = json; (at = strstr(at, "_offsets\":[")) != nullptr;) {
        at += strlen("_offsets\":[");
        const size_t end = strtoul(strchr(at, ',') + 1, nullptr, 10);
        size = end > size ? end : size;
    }
    return size;
}

static void each_fault_is_refused_with_its_reason(void **state)
{
    for (size_t i = 0; i < sizeof(refusals) / sizeof(refusals[0]); i++) {
        struct bytes file = make(refusals[i].json, refusals[i].data, data_size(refusals[i].json));
        struct aggregate_result result = {0};
        struct error err = {0};
        const enum status status = aggregate(&file, 2, &result, &err);
        if (status != refusals[i].status || strstr(err.text, refusals[i].reason) == nullptr)
            fail_msg("%s: %s, \"%s\"", refusals[i].json, status_name(status), err.text);
        assert_null(result.data);
        bytes_deinit(&file);
    }
}

static void unknown_rules_and_thread_counts_are_refused(void **state)
{
    const float x = 1;
    struct bytes bytes =
        make("{\"x\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}", &x, 4);
    struct safetensors *file = nullptr;
    struct aggregate_result result = {0};
    struct error err = {0};
    assert_int_equal(safetensors_open(bytes_slice(&bytes), &file, nullptr), STATUS_OK);
    struct recipe recipe = {0};
    assert_int_equal(recipe_set_rule(&recipe, "maen", &err), STATUS_INVAL);
    assert_non_null(strstr(err.text, "no rule maen; there is: mean"));
    assert_int_equal(aggregate_file(file, &(struct aggregate_options){&recipe, 0}, &result, &err),
                     STATUS_LIMIT);
    assert_int_equal(aggregate_file(file,
                                    &(struct aggregate_options){&recipe, AGGREGATE_THREADS_MAX + 1},
                                    &result, &err),
                     STATUS_LIMIT);
    safetensors_close(file);
    bytes_deinit(&bytes);
}

/*
 * Columns across tensors of three types, any part of them: as they are read one by one, mapped or,
 * as of a large file, copied; from the disk or from memory.
 */
static void columns_are_the_same_mapped_and_copied(void **state)
{
    enum { ROWS = 3, COLUMNS = 12 };
    uint16_t halves[ROWS * (5 + 2 * 2 + 5)]; /* f16[3, 5], f32[3, 2], bf16[3, 5] */
    for (size_t i = 0; i < sizeof(halves) / sizeof(halves[0]); i++)
        halves[i] = (uint16_t)(0x3c00 + 37 * i);
    struct bytes bytes =
        make("{\"a\":{\"dtype\":\"F16\",\"shape\":[3,5],\"data_offsets\":[0,30]},"
             "\"b\":{\"dtype\":\"F32\",\"shape\":[3,2],\"data_offsets\":[30,54]},"
             "\"c\":{\"dtype\":\"F32\",\"shape\":[3,0],\"data_offsets\":[54,54]},"
             "\"d\":{\"dtype\":\"BF16\",\"shape\":[3,5],\"data_offsets\":[54,84]}}",
             halves, 84);
    char path[] = "/tmp/fedra-columns-XXXXXX";
    const int fd = mkstemp(path);
    assert_int_equal(write(fd, bytes.data, bytes.size), bytes.size);
    close(fd);
    for (int v = 0; v < 4; v++) {
        struct safetensors *file = nullptr;
        struct rows rows = {0};
        struct aggregate_matrix columns = {0};
        assert_int_equal(v < 2 ? safetensors_open_file(path, &file, nullptr)
                               : safetensors_open(bytes_slice(&bytes), &file, nullptr),
                         STATUS_OK);
        assert_int_equal(rows_init(file, &rows, nullptr), STATUS_OK);
        assert_int_equal(aggregate_matrix_init(&columns, &rows), STATUS_OK);
        assert_int_equal(columns.matrix.d, COLUMNS);
        columns.is_large = v % 2 == 0;
        for (uint64_t row = 0; row < ROWS; row++) {
            for (uint64_t first = 0; first < COLUMNS; first++) {
                float buffer[COLUMNS];
                const size_t count = COLUMNS - first;
                const float *const found = columns.matrix.read(&columns, row, first, count, buffer);
                for (uint64_t k = first; k < COLUMNS; k++) {
                    const uint32_t tensor = k < 5 ? 0 : k < 7 ? 1 : 3;
                    const uint64_t start = k < 5 ? 0 : k < 7 ? 5 : 7;
                    float one = 0;
                    const float expected =
                        *rows_read_part(&rows, tensor, row, k - start, 1, false, &one);
                    assert_memory_equal(&found[k - first], &expected, sizeof(float));
                }
            }
        }
        aggregate_matrix_deinit(&columns);
        rows_deinit(&rows);
        safetensors_close(file);
    }
    unlink(path);
    bytes_deinit(&bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(columns_are_the_same_mapped_and_copied),
        cmocka_unit_test(rows_are_weighed_by_their_samples),
        cmocka_unit_test(half_precision_is_read_exactly_at_any_alignment),
        cmocka_unit_test(half_precision_infinity_and_nan_are_found),
        cmocka_unit_test(many_tiles_and_threads_give_the_mean_and_the_same_bits),
        cmocka_unit_test(random_rows_give_the_same_bits_whatever_the_threads),
        cmocka_unit_test(each_fault_is_refused_with_its_reason),
        cmocka_unit_test(unknown_rules_and_thread_counts_are_refused),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}

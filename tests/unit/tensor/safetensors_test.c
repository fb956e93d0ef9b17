/*
 * safetensors_test.c - safetensors files: what is read, what is written, and each reason to refuse.
 *
 * Files are written out by hand here, from the format's description; python's opinion of ours is in
 * safetensors_python_test.c.
 */
#include "tensor/safetensors.h"

#include "testing.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

enum { FILE_MAX = 4096 };

/* Puts json and data_size bytes 0, 1, 2 ... together; the caller frees. Exactly sized, so that a
 * sanitizer sees every read past the end. */
static struct slice make(const char *json, size_t data_size)
{
    const size_t json_size = strlen(json);
    uint8_t *const file = malloc(8 + json_size + data_size);
    store_u64le(file, json_size);
    memcpy(file + 8, json, json_size);
    for (size_t i = 0; i < data_size; i++)
        file[8 + json_size + i] = (uint8_t)i;
    return (struct slice){file, 8 + json_size + data_size};
}

static enum status open_made(const char *json, size_t data_size, struct error *err)
{
    const struct slice file = make(json, data_size);
    struct safetensors *opened = nullptr;
    const enum status status = safetensors_open(file, &opened, err);
    assert_int_equal(status == STATUS_OK, opened != nullptr);
    safetensors_close(opened);
    free((void *)(uintptr_t)file.data);
    return status;
}

static void tensors_in_any_order_are_read_sorted(void **state)
{
    const struct slice file =
        make("{\"b\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]},"
             "\"a\":{\"shape\":[3],\"data_offsets\":[8,11],\"dtype\":\"U8\",\"more\":null},"
             "\"__metadata__\":{\"z\":\"1\",\"k\":\"v\"},"
             "\"n\":{\"dtype\":\"F64\",\"shape\":[0,5],\"data_offsets\":[8,8]}}   ",
             11);
    struct safetensors *opened = nullptr;
    assert_int_equal(safetensors_open(file, &opened, nullptr), STATUS_OK);
    assert_int_equal(opened->layout->tensor_count, 3);
    assert_string_equal(opened->layout->tensors[0].name, "a");
    assert_string_equal(opened->layout->tensors[1].name, "b");
    assert_string_equal(opened->layout->tensors[2].name, "n");
    const uint8_t *const data = file.data + file.size - 11;
    assert_ptr_equal(opened->data[0], data + 8);
    assert_ptr_equal(opened->data[1], data);
    assert_int_equal(opened->metadata_count, 2);
    assert_string_equal(opened->metadata[0].key, "k");
    assert_string_equal(opened->metadata[1].value, "1");
    uint8_t flat[11];
    safetensors_copy(opened, flat);
    assert_memory_equal(flat, ((uint8_t[]){8, 9, 10, 0, 1, 2, 3, 4, 5, 6, 7}), 11);
    safetensors_close(opened);
    free((void *)(uintptr_t)file.data);
}

/* json, bytes of data, status, what the reason must name. */
static const struct refusal {
    const char *json;
    size_t data_size;
    enum status status;
    const char *reason;
} refusals[] = {
    {"", 0, STATUS_CORRUPT, "begin with '{'"},
    {"[]", 0, STATUS_CORRUPT, "begin with '{'"},
    {" {}", 0, STATUS_CORRUPT, "begin with '{'"},
    {"{", 0, STATUS_CORRUPT, "not JSON"},
    {"{}x", 0, STATUS_CORRUPT, "not JSON"},
    {"{\"\xff\":1}", 0, STATUS_CORRUPT, "not JSON"},
    {"{}", 1, STATUS_CORRUPT, "1 bytes at the end"},
    {"{\"a\":1}", 0, STATUS_CORRUPT, "tensor a: its description"},
    {"{\"a\":[\"U8\",[1],[0,1]]}", 1, STATUS_CORRUPT, "tensor a: its description"},
    {"{\"a\":{\"shape\":[1],\"data_offsets\":[0,1]}}", 1, STATUS_CORRUPT, "\"dtype\" is missing"},
    {"{\"a\":{\"dtype\":\"U8\",\"data_offsets\":[0,1]}}", 1, STATUS_CORRUPT, "\"shape\" is miss"},
    {"{\"a\":{\"dtype\":\"U8\",\"shape\":[1]}}", 1, STATUS_CORRUPT, "\"data_offsets\" is missing"},
    {"{\"a\":{\"dtype\":\"U8\",\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}", 1,
     STATUS_CORRUPT, "tensor a: \"dtype\" is there twice"},
    {"{\"a\":{\"dtype\":\"F33\",\"shape\":[1],\"data_offsets\":[0,1]}}", 1, STATUS_CORRUPT,
     "tensor a: \"dtype\""},
    {"{\"a\":{\"dtype\":8,\"shape\":[1],\"data_offsets\":[0,1]}}", 1, STATUS_CORRUPT,
     "tensor a: \"dtype\""},
    {"{\"a\":{\"dtype\":\"U8\",\"shape\":1,\"data_offsets\":[0,1]}}", 1, STATUS_CORRUPT,
     "tensor a: \"shape\""},
    {"{\"a\":{\"dtype\":\"U8\",\"shape\":[-1],\"data_offsets\":[0,1]}}", 1, STATUS_CORRUPT,
     "dimension 0"},
    {"{\"a\":{\"dtype\":\"U8\",\"shape\":[1,1.0],\"data_offsets\":[0,1]}}", 1, STATUS_CORRUPT,
     "dimension 1"},
    {"{\"a\":{\"dtype\":\"U8\",\"shape\":[18446744073709551616],\"data_offsets\":[0,1]}}", 1,
     STATUS_CORRUPT, "dimension 0"},
    {"{\"a\":{\"dtype\":\"U8\",\"shape\":[4294967296,4294967296],\"data_offsets\":[0,0]}}", 0,
     STATUS_LIMIT, "tensor a: its shape overflows"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[4611686018427387904],\"data_offsets\":[0,0]}}", 0,
     STATUS_LIMIT, "tensor a: its shape overflows"},
    {"{\"a\":{\"dtype\":\"U8\",\"shape\":[1,1,1,1,1,1,1,1,1],\"data_offsets\":[0,1]}}", 1,
     STATUS_LIMIT, "tensor a: rank 9"},
    {"{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0]}}", 1, STATUS_CORRUPT,
     "\"data_offsets\""},
    {"{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1,2]}}", 1, STATUS_CORRUPT,
     "\"data_offsets\""},
    {"{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,\"1\"]}}", 1, STATUS_CORRUPT,
     "\"data_offsets\""},
    {"{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[-1,0]}}", 1, STATUS_CORRUPT,
     "\"data_offsets\""},
    {"{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":{\"0\":0,\"1\":1}}}", 1,
     STATUS_CORRUPT, "\"data_offsets\""},
    {"{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[1,0]}}", 1, STATUS_CORRUPT,
     "tensor a: its data end before"},
    {"{\"a\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,1]}}", 1, STATUS_CORRUPT,
     "tensor a: \"data_offsets\" span 1 bytes, its dtype and shape need 2"},
    {"{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,2]}}", 2, STATUS_CORRUPT,
     "tensor a: \"data_offsets\" span 2 bytes, its dtype and shape need 1"},
    {"{\"a\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2]}}", 1, STATUS_CORRUPT,
     "tensor a: its data end at byte 2"},
    {"{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[1,2]}}", 2, STATUS_CORRUPT,
     "tensor a: its data begin at byte 1, which leaves a hole"},
    {"{\"a\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2]},"
     "\"b\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[1,3]}}",
     3, STATUS_CORRUPT, "tensor b: its data begin at byte 1, but those before"},
    {"{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]},"
     "\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[1,2]}}",
     2, STATUS_CORRUPT, "tensor a is there twice"},
    {"{\"a\\u0000\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}", 1, STATUS_CORRUPT,
     "zero byte"},
    {"{\"__metadata__\":1}", 0, STATUS_CORRUPT, "__metadata__ is not"},
    {"{\"__metadata__\":{\"k\":1}}", 0, STATUS_CORRUPT, "value of k"},
    {"{\"__metadata__\":{\"k\":\"1\",\"k\":\"1\"}}", 0, STATUS_CORRUPT, "k is there twice"},
    {"{\"__metadata__\":{\"k\":\"\\u0000\"}}", 0, STATUS_CORRUPT, "k holds a zero byte"},
    {"{\"__metadata__\":{\"\\u0000k\":\"\"}}", 0, STATUS_CORRUPT, "holds a zero byte"},
    {"{\"__metadata__\":{},\"__metadata__\":{}}", 0, STATUS_CORRUPT, "__metadata__ is there twice"},
};

static void each_fault_is_refused_with_its_reason(void **state)
{
    for (size_t i = 0; i < sizeof(refusals) / sizeof(refusals[0]); i++) {
        struct error err = {0};
        const enum status status = open_made(refusals[i].json, refusals[i].data_size, &err);
        if (status != refusals[i].status || strstr(err.text, refusals[i].reason) == nullptr)
            fail_msg("%s: %s, \"%s\"", refusals[i].json, status_name(status), err.text);
    }
}

static void the_frame_is_checked_before_the_header(void **state)
{
    struct safetensors *opened = nullptr;
    struct error err = {0};
    uint8_t file[16] = {2, 0, 0, 0, 0, 0, 0, 0, '{', '}'};
    for (size_t size = 0; size < 10; size++)
        assert_int_equal(safetensors_open((struct slice){file, size}, &opened, &err),
                         STATUS_CORRUPT);
    assert_int_equal(safetensors_open((struct slice){file, 10}, &opened, &err), STATUS_OK);
    assert_int_equal(opened->layout->tensor_count, 0);
    safetensors_close(opened);
    memset(file, 0xff, 8);
    assert_int_equal(safetensors_open((struct slice){file, 10}, &opened, &err), STATUS_CORRUPT);
    const size_t size = (size_t)SAFETENSORS_HEADER_MAX + 9;
    uint8_t *const large = calloc(1, size);
    store_u64le(large, SAFETENSORS_HEADER_MAX + 1);
    assert_int_equal(safetensors_open((struct slice){large, size}, &opened, &err), STATUS_LIMIT);
    free(large);
}

static void too_many_entries_are_refused(void **state)
{
    const size_t size = 40 * (LAYOUT_TENSORS_MAX + 10);
    char *const json = malloc(size);
    size_t at = (size_t)snprintf(json, size, "{\"__metadata__\":{");
    for (int i = 0; i <= SAFETENSORS_METADATA_MAX; i++)
        at += (size_t)snprintf(json + at, size - at, "%s\"%d\":\"\"", i > 0 ? "," : "", i);
    snprintf(json + at, size - at, "}}");
    assert_int_equal(open_made(json, 0, nullptr), STATUS_LIMIT);
    at = (size_t)snprintf(json, size, "{");
    for (int i = 0; i < LAYOUT_TENSORS_MAX + 2; i++)
        at += (size_t)snprintf(json + at, size - at, "%s\"%d\":1", i > 0 ? "," : "", i);
    snprintf(json + at, size - at, "}");
    assert_int_equal(open_made(json, 0, nullptr), STATUS_LIMIT);
    free(json);
}

/* A name with a quote, a backslash, a control character and a letter beyond ASCII. */
static struct layout *small_layout(void)
{
    struct layout_builder *builder = nullptr;
    struct layout *layout = nullptr;
    assert_int_equal(layout_builder_create(&builder), STATUS_OK);
    static const char odd[] = "q\"b\\c\x01\xc3\xa9";
    assert_int_equal(layout_builder_add(builder, odd, sizeof(odd) - 1, DTYPE_F32, 2,
                                        (uint64_t[]){1, 2}, nullptr),
                     STATUS_OK);
    assert_int_equal(layout_builder_add(builder, "a", 1, DTYPE_BOOL, 0, nullptr, nullptr),
                     STATUS_OK);
    assert_int_equal(layout_builder_finish(builder, &layout, nullptr), STATUS_OK);
    layout_builder_destroy(builder);
    return layout;
}

static const struct safetensors_pair pairs[] = {{"format", "pt"}, {"round", "\"3\""}};

static void the_header_written_is_canonical(void **state)
{
    struct layout *const layout = small_layout();
    static const char expected[] = "{\"__metadata__\":{\"format\":\"pt\",\"round\":\"\\\"3\\\"\"},"
                                   "\"a\":{\"dtype\":\"BOOL\",\"shape\":[],\"data_offsets\":[0,1]},"
                                   "\"q\\\"b\\\\c\\u0001\xc3\xa9\":{\"dtype\":\"F32\",\"shape\":[1,"
                                   "2],\"data_offsets\":[1,9]}}";
    struct bytes header;
    bytes_init(&header, FILE_MAX);
    assert_int_equal(safetensors_encode_header(layout, pairs, 2, &header, nullptr), STATUS_OK);
    assert_int_equal(header.size % 8, 0);
    assert_int_equal(load_u64le(header.data), header.size - 8);
    assert_true(header.size - 8 >= sizeof(expected) - 1);
    assert_memory_equal(header.data + 8, expected, sizeof(expected) - 1);
    for (size_t i = 8 + sizeof(expected) - 1; i < header.size; i++)
        assert_int_equal(header.data[i], ' ');
    assert_true(header.size - 8 - (sizeof(expected) - 1) < 8);
    bytes_deinit(&header);
    layout_destroy(layout);
}

static void a_header_of_exactly_eight_bytes_more_is_not_padded_further(void **state)
{
    struct layout_builder *builder = nullptr;
    struct layout *layout = nullptr;
    assert_int_equal(layout_builder_create(&builder), STATUS_OK);
    assert_int_equal(layout_builder_finish(builder, &layout, nullptr), STATUS_OK);
    layout_builder_destroy(builder);
    struct bytes header;
    bytes_init(&header, FILE_MAX);
    assert_int_equal(safetensors_encode_header(layout, nullptr, 0, &header, nullptr), STATUS_OK);
    assert_int_equal(header.size, 16);
    assert_memory_equal(header.data, "\x08\0\0\0\0\0\0\0{}      ", 16);
    bytes_deinit(&header);
    /* {"__metadata__":{"k":"12"}} has 27 bytes, five more letters make 32. */
    const struct safetensors_pair pair = {"k", "1234567"};
    assert_int_equal(safetensors_encode_header(layout, &pair, 1, &header, nullptr), STATUS_OK);
    assert_int_equal(header.size, 40);
    assert_int_equal(header.data[39], '}');
    bytes_deinit(&header);
    layout_destroy(layout);
}

static void what_was_written_is_read_back(void **state)
{
    struct layout *const layout = small_layout();
    uint8_t data[9] = {1, 2, 3, 4, 5, 6, 7, 8, 9};
    char path[] = "/tmp/fedra-safetensors-XXXXXX";
    const int fd = mkstemp(path);
    assert_true(fd >= 0);
    close(fd);
    assert_int_equal(safetensors_write_file(path, layout, pairs, 2, data, nullptr), STATUS_OK);
    struct safetensors *opened = nullptr;
    assert_int_equal(safetensors_open_file(path, &opened, nullptr), STATUS_OK);
    assert_true(layout_equal(opened->layout, layout));
    uint8_t flat[9] = {0};
    safetensors_copy(opened, flat);
    assert_memory_equal(flat, data, sizeof(data));
    assert_int_equal(opened->metadata_count, 2);
    assert_string_equal(opened->metadata[1].value, "\"3\"");
    safetensors_close(opened);
    unlink(path);
    layout_destroy(layout);
}

static void metadata_that_cannot_be_written_is_refused(void **state)
{
    struct layout *const layout = small_layout();
    struct bytes header;
    bytes_init(&header, FILE_MAX);
    static const struct safetensors_pair wrong[][2] = {{{"b", ""}, {"a", ""}},
                                                       {{"a", ""}, {"a", ""}},
                                                       {{"\xff", ""}, {"\xff\xff", ""}},
                                                       {{"a", "\xff"}, {"b", ""}}};
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(safetensors_encode_header(layout, wrong[i], 2, &header, nullptr),
                         STATUS_INVAL);
    assert_int_equal(
        safetensors_encode_header(layout, nullptr, SAFETENSORS_METADATA_MAX + 1, &header, nullptr),
        STATUS_LIMIT);
    bytes_init(&header, 20);
    assert_int_equal(safetensors_encode_header(layout, nullptr, 0, &header, nullptr), STATUS_LIMIT);
    assert_int_equal(header.size, 0);
    bytes_deinit(&header);
    layout_destroy(layout);
}

static void files_that_are_none_are_refused(void **state)
{
    struct safetensors *opened = nullptr;
    struct error err = {0};
    assert_int_equal(safetensors_open_file("/nonexistent/x", &opened, &err), STATUS_NOT_FOUND);
    assert_int_equal(safetensors_open_file("/tmp", &opened, &err), STATUS_INVAL);
    assert_int_equal(safetensors_open_file("/dev/null/x", &opened, &err), STATUS_IO);
    char path[] = "/tmp/fedra-safetensors-XXXXXX";
    const int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(safetensors_open_file(path, &opened, &err), STATUS_CORRUPT);
    assert_int_equal(write(fd, "short", 5), 5);
    close(fd);
    assert_int_equal(safetensors_open_file(path, &opened, &err), STATUS_CORRUPT);
    assert_memory_equal(err.text, path, strlen(path));
    unlink(path);
}

/* The limit of a file's size cuts the write short; the header alone has more than 16 bytes. */
static void a_failed_write_leaves_no_file(void **state)
{
    struct layout *const layout = small_layout();
    const uint8_t data[9] = {0};
    assert_int_equal(safetensors_write_file("/nonexistent/x", layout, nullptr, 0, data, nullptr),
                     STATUS_IO);
    char path[] = "/tmp/fedra-safetensors-XXXXXX";
    const int fd = mkstemp(path);
    assert_true(fd >= 0);
    close(fd);
    struct rlimit before = {0};
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    const struct rlimit small = {.rlim_cur = 16, .rlim_max = before.rlim_max};
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    const enum status status = safetensors_write_file(path, layout, nullptr, 0, data, nullptr);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    signal(SIGXFSZ, SIG_DFL);
    assert_int_equal(status, STATUS_IO);
    assert_int_equal(access(path, F_OK), -1);
    layout_destroy(layout);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tensors_in_any_order_are_read_sorted),
        cmocka_unit_test(each_fault_is_refused_with_its_reason),
        cmocka_unit_test(the_frame_is_checked_before_the_header),
        cmocka_unit_test(too_many_entries_are_refused),
        cmocka_unit_test(the_header_written_is_canonical),
        cmocka_unit_test(a_header_of_exactly_eight_bytes_more_is_not_padded_further),
        cmocka_unit_test(what_was_written_is_read_back),
        cmocka_unit_test(metadata_that_cannot_be_written_is_refused),
        cmocka_unit_test(files_that_are_none_are_refused),
        cmocka_unit_test(a_failed_write_leaves_no_file),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}

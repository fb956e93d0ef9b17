/*
 * tensor_memory_test.c - every allocation of layouts and files fails once: each failure is
 * answered with NO_MEMORY and leaks nothing (the sanitizer looks).
 *
 * The linker sends the allocations of our own code here (--wrap); those of libraries are real.
 */
#include "tensor/codec.h"
#include "tensor/safetensors.h"

#include "testing.h"

#include <stdlib.h>
#include <string.h>

static int until_failure; /* allocations that succeed before one fails; below 0: none fails */

static bool fails_now(void)
{
    return until_failure >= 0 && until_failure-- == 0;
}

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *old, size_t size);
void *__real_reallocarray(void *old, size_t count, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *old, size_t size);
void *__wrap_reallocarray(void *old, size_t count, size_t size);

void *__wrap_malloc(size_t size)
{
    return fails_now() ? nullptr : __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
    return fails_now() ? nullptr : __real_calloc(count, size);
}

void *__wrap_realloc(void *old, size_t size)
{
    return fails_now() ? nullptr : __real_realloc(old, size);
}

void *__wrap_reallocarray(void *old, size_t count, size_t size)
{
    return fails_now() ? nullptr : __real_reallocarray(old, count, size);
}

/* 40 tensors: the lists grow more than once. */
static enum status build(struct layout **ret_layout)
{
    struct layout_builder *builder = nullptr;
    enum status status = layout_builder_create(&builder);
    for (char c = 'A'; c < 'A' + 40 && status == STATUS_OK; c++) {
        char name[20];
        memset(name, c, sizeof(name));
        status =
            layout_builder_add(builder, name, sizeof(name), DTYPE_F32, 1, (uint64_t[]){2}, nullptr);
    }
    if (status == STATUS_OK)
        status = layout_builder_finish(builder, ret_layout, nullptr);
    layout_builder_destroy(builder);
    return status;
}

static enum status write(const struct layout *layout, struct bytes *ret_file)
{
    static const struct safetensors_pair metadata[] = {{"a", "b"}};
    static const float values[80] = {1, 2, 3};
    const enum status status = safetensors_encode_header(layout, metadata, 1, ret_file, nullptr);
    return status == STATUS_OK ? codec_encode(CODEC_RAW_F32, layout, values, ret_file, nullptr)
                               : status;
}

/* Builds, writes, reads and hashes; the status of what failed first. */
static enum status do_everything(void)
{
    struct layout *layout = nullptr;
    struct safetensors *file = nullptr;
    struct digest digest;
    struct bytes bytes;
    bytes_init(&bytes, SIZE_MAX / 2);
    enum status status = build(&layout);
    if (status == STATUS_OK)
        status = write(layout, &bytes);
    if (status == STATUS_OK)
        status = safetensors_open(bytes_slice(&bytes), &file, nullptr);
    if (status == STATUS_OK)
        status = model_digest(layout, bytes.data + bytes.size - layout->bytes, &digest);
    safetensors_close(file);
    layout_destroy(layout);
    bytes_deinit(&bytes);
    return status;
}

static void each_allocation_may_fail(void **state)
{
    int failures = 0;
    for (;; failures++) {
        until_failure = failures;
        const enum status status = do_everything();
        const bool was_reached = until_failure < 0;
        until_failure = -1;
        if (!was_reached)
            break;
        assert_int_equal(status, STATUS_NO_MEMORY);
    }
    assert_true(failures > 15);
    assert_int_equal(do_everything(), STATUS_OK);
}

int main(void)
{
    until_failure = -1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}

/*
 * layout_test.c - layouts: order, offsets, limits, and the pinned digests against their definition.
 */
#include "base/bytes.h"
#include "tensor/layout.h"

#include "testing.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static enum status add(struct layout_builder *builder, const char *name, enum dtype dtype,
                       uint32_t rank, const uint64_t *shape)
{
    return layout_builder_add(builder, name, strlen(name), dtype, rank, shape, nullptr);
}

static struct layout_builder *new_builder(void)
{
    struct layout_builder *builder = nullptr;
    assert_int_equal(layout_builder_create(&builder), STATUS_OK);
    return builder;
}

static struct layout *finish(struct layout_builder *builder)
{
    struct layout *layout = nullptr;
    assert_int_equal(layout_builder_finish(builder, &layout, nullptr), STATUS_OK);
    layout_builder_destroy(builder);
    return layout;
}

static struct layout *two_tensors(bool reversed)
{
    struct layout_builder *const builder = new_builder();
    for (int i = 0; i < 2; i++) {
        if ((i == 0) == reversed)
            assert_int_equal(add(builder, "w", DTYPE_F32, 2, (uint64_t[]){2, 3}), STATUS_OK);
        else
            assert_int_equal(add(builder, "bias", DTYPE_F64, 0, nullptr), STATUS_OK);
    }
    return finish(builder);
}

static void tensors_are_sorted_and_placed_one_after_another(void **state)
{
    struct layout *const layout = two_tensors(true);
    assert_int_equal(layout->tensor_count, 2);
    assert_string_equal(layout->tensors[0].name, "bias");
    assert_int_equal(layout->tensors[0].offset, 0);
    assert_int_equal(layout->tensors[0].count, 1);
    assert_int_equal(layout->tensors[0].size, 8);
    assert_string_equal(layout->tensors[1].name, "w");
    assert_int_equal(layout->tensors[1].offset, 8);
    assert_int_equal(layout->tensors[1].size, 24);
    assert_int_equal(layout->parameter_count, 7);
    assert_int_equal(layout->bytes, 32);
    assert_false(layout_is_f32(layout));
    layout_destroy(layout);
}

static void the_order_of_adding_does_not_matter(void **state)
{
    struct layout *const a = two_tensors(true);
    struct layout *const b = two_tensors(false);
    assert_true(layout_equal(a, b));
    layout_destroy(a);
    layout_destroy(b);
}

/* The bytes below are written out by hand from the definition in the header. */
static void digests_are_their_definitions(void **state)
{
    struct layout *const layout = two_tensors(false);
    static const uint8_t described[] = {4, 0, 0, 0, 'b', 'i', 'a', 's', 13, 0, 0, 0, 0, 0, 0,
                                        0, 1, 0, 0, 0,   'w', 12,  0,   0,  0, 2, 0, 0, 0, 2,
                                        0, 0, 0, 0, 0,   0,   0,   3,   0,  0, 0, 0, 0, 0, 0};
    uint8_t text[16 + sizeof(described)] = "fedra/v1/layout";
    memcpy(text + 16, described, sizeof(described));
    struct digest expected;
    digest_of(text, sizeof(text), &expected);
    assert_memory_equal(layout->digest.bytes, expected.bytes, DIGEST_BYTES);

    uint8_t data[32];
    for (size_t i = 0; i < sizeof(data); i++)
        data[i] = (uint8_t)(i + 1);
    uint8_t model[15 + sizeof(described) + 32] = "fedra/v1/model";
    memcpy(model + 15, described, 16);
    memcpy(model + 31, data, 8);
    memcpy(model + 39, described + 16, sizeof(described) - 16);
    memcpy(model + 39 + sizeof(described) - 16, data + 8, 24);
    digest_of(model, sizeof(model), &expected);
    struct digest digest;
    assert_int_equal(model_digest(layout, data, &digest), STATUS_OK);
    assert_memory_equal(digest.bytes, expected.bytes, DIGEST_BYTES);
    layout_destroy(layout);
}

static void anything_that_differs_changes_the_digest(void **state)
{
    static const struct {
        const char *name;
        enum dtype dtype;
        uint32_t rank;
        uint64_t shape[2];
    } variants[] = {{"a", DTYPE_F32, 1, {6}},    {"b", DTYPE_F32, 1, {6}},
                    {"a", DTYPE_I32, 1, {6}},    {"a", DTYPE_F32, 2, {6, 1}},
                    {"a", DTYPE_F32, 2, {2, 3}}, {"a", DTYPE_F32, 2, {3, 2}}};
    enum { COUNT = sizeof(variants) / sizeof(variants[0]) };
    struct layout *layouts[COUNT];
    for (size_t i = 0; i < COUNT; i++) {
        struct layout_builder *const builder = new_builder();
        assert_int_equal(
            add(builder, variants[i].name, variants[i].dtype, variants[i].rank, variants[i].shape),
            STATUS_OK);
        layouts[i] = finish(builder);
    }
    for (size_t i = 0; i < COUNT; i++) {
        for (size_t j = 0; j < COUNT; j++)
            assert_int_equal(layout_equal(layouts[i], layouts[j]), i == j);
    }
    for (size_t i = 0; i < COUNT; i++)
        layout_destroy(layouts[i]);
}

static void every_tensor_is_found_and_no_other(void **state)
{
    struct layout_builder *const builder = new_builder();
    char name[16];
    for (int i = 99; i >= 0; i--) {
        snprintf(name, sizeof(name), "t%d", i);
        assert_int_equal(add(builder, name, DTYPE_F32, 0, nullptr), STATUS_OK);
    }
    struct layout *const layout = finish(builder);
    assert_true(layout_is_f32(layout));
    for (int i = 0; i < 100; i++) {
        uint32_t index = 0;
        snprintf(name, sizeof(name), "t%d", i);
        assert_true(layout_find(layout, name, strlen(name), &index));
        assert_string_equal(layout->tensors[index].name, name);
        if (i > 0)
            assert_true(strcmp(layout->tensors[i - 1].name, layout->tensors[i].name) < 0);
    }
    uint32_t index = 7;
    assert_false(layout_find(layout, "t100", 4, &index));
    assert_false(layout_find(layout, "t", 1, &index));
    assert_false(layout_find(layout, "", 0, &index));
    assert_int_equal(index, 7);
    layout_destroy(layout);
}

static void twins_are_refused_and_the_builder_is_empty_then(void **state)
{
    struct layout_builder *const builder = new_builder();
    assert_int_equal(add(builder, "x", DTYPE_F32, 0, nullptr), STATUS_OK);
    assert_int_equal(add(builder, "x", DTYPE_F64, 0, nullptr), STATUS_OK);
    struct layout *layout = nullptr;
    struct error err = {0};
    assert_int_equal(layout_builder_finish(builder, &layout, &err), STATUS_EXISTS);
    assert_null(layout);
    assert_non_null(strstr(err.text, "tensor x"));
    struct layout *const empty = finish(builder);
    assert_int_equal(empty->tensor_count, 0);
    assert_int_equal(empty->bytes, 0);
    layout_destroy(empty);
}

static void names_that_cannot_be_written_are_refused(void **state)
{
    struct layout_builder *const builder = new_builder();
    char name[LAYOUT_NAME_MAX + 2];
    memset(name, 'n', sizeof(name));
    assert_int_equal(
        layout_builder_add(builder, name, LAYOUT_NAME_MAX + 1, DTYPE_F32, 0, nullptr, nullptr),
        STATUS_LIMIT);
    assert_int_equal(
        layout_builder_add(builder, name, LAYOUT_NAME_MAX, DTYPE_F32, 0, nullptr, nullptr),
        STATUS_OK);
    assert_int_equal(add(builder, "__metadata__", DTYPE_F32, 0, nullptr), STATUS_INVAL);
    assert_int_equal(add(builder, "\xff", DTYPE_F32, 0, nullptr), STATUS_INVAL);
    assert_int_equal(layout_builder_add(builder, "a\0b", 3, DTYPE_F32, 0, nullptr, nullptr),
                     STATUS_INVAL);
    layout_builder_destroy(builder);
}

static void sizes_over_the_limits_are_refused(void **state)
{
    struct layout_builder *const builder = new_builder();
    const uint64_t ones[LAYOUT_RANK_MAX + 1] = {1, 1, 1, 1, 1, 1, 1, 1, 1};
    assert_int_equal(add(builder, "a", DTYPE_NONE, 0, nullptr), STATUS_INVAL);
    assert_int_equal(add(builder, "a", DTYPE_F32, LAYOUT_RANK_MAX + 1, ones), STATUS_LIMIT);
    assert_int_equal(add(builder, "a", DTYPE_F32, LAYOUT_RANK_MAX, ones), STATUS_OK);
    /* 2^62 * 4 = 2^64, and 2^32 * 2^32: both wrap to 0 if nobody looks. */
    assert_int_equal(add(builder, "b", DTYPE_F32, 1, (uint64_t[]){UINT64_C(1) << 62}),
                     STATUS_LIMIT);
    assert_int_equal(
        add(builder, "b", DTYPE_U8, 2, (uint64_t[]){UINT64_C(1) << 32, UINT64_C(1) << 32}),
        STATUS_LIMIT);
    assert_int_equal(add(builder, "b", DTYPE_U8, 1, (uint64_t[]){LAYOUT_BYTES_MAX - 3}),
                     STATUS_LIMIT);
    assert_int_equal(add(builder, "b", DTYPE_U8, 1, (uint64_t[]){LAYOUT_BYTES_MAX - 4}), STATUS_OK);
    assert_int_equal(add(builder, "c", DTYPE_U8, 0, nullptr), STATUS_LIMIT);
    assert_int_equal(add(builder, "d", DTYPE_U8, 2, (uint64_t[]){0, UINT64_MAX}), STATUS_OK);
    layout_destroy(finish(builder));
}

static void at_most_65536_tensors_fit(void **state)
{
    struct layout_builder *const builder = new_builder();
    char name[16];
    for (int i = 0; i < LAYOUT_TENSORS_MAX; i++) {
        snprintf(name, sizeof(name), "%d", i);
        assert_int_equal(add(builder, name, DTYPE_F32, 0, nullptr), STATUS_OK);
    }
    assert_int_equal(add(builder, "more", DTYPE_F32, 0, nullptr), STATUS_LIMIT);
    struct layout *const layout = finish(builder);
    assert_int_equal(layout->parameter_count, LAYOUT_TENSORS_MAX);
    layout_destroy(layout);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tensors_are_sorted_and_placed_one_after_another),
        cmocka_unit_test(the_order_of_adding_does_not_matter),
        cmocka_unit_test(digests_are_their_definitions),
        cmocka_unit_test(anything_that_differs_changes_the_digest),
        cmocka_unit_test(every_tensor_is_found_and_no_other),
        cmocka_unit_test(twins_are_refused_and_the_builder_is_empty_then),
        cmocka_unit_test(names_that_cannot_be_written_are_refused),
        cmocka_unit_test(sizes_over_the_limits_are_refused),
        cmocka_unit_test(at_most_65536_tensors_fit),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}

/*
 * codec_test.c - the raw update codec: little-endian f32, sizes checked before anything is read.
 */
#include "tensor/codec.h"

#include "testing.h"

#include <string.h>

static struct layout *three_values(void)
{
    struct layout_builder *builder = nullptr;
    struct layout *layout = nullptr;
    assert_int_equal(layout_builder_create(&builder), STATUS_OK);
    assert_int_equal(layout_builder_add(builder, "w", 1, DTYPE_F32, 1, (uint64_t[]){3}, nullptr),
                     STATUS_OK);
    assert_int_equal(layout_builder_finish(builder, &layout, nullptr), STATUS_OK);
    layout_builder_destroy(builder);
    return layout;
}

/* IEEE 754: 1.0 is 3f800000, -2.0 is c0000000, the least denormal is 00000001. */
static void raw_payload_is_little_endian_ieee_754(void **state)
{
    struct layout *const layout = three_values();
    static const float values[] = {1.0f, -2.0f, 0x1p-149f};
    static const uint8_t expected[] = {0, 0, 0x80, 0x3f, 0, 0, 0, 0xc0, 1, 0, 0, 0};
    struct bytes payload;
    bytes_init(&payload, sizeof(expected));
    assert_int_equal(codec_encode(CODEC_RAW_F32, layout, values, &payload, nullptr), STATUS_OK);
    assert_int_equal(payload.size, sizeof(expected));
    assert_memory_equal(payload.data, expected, sizeof(expected));
    float back[3] = {0};
    assert_int_equal(codec_decode(CODEC_RAW_F32, layout, bytes_slice(&payload), back, nullptr),
                     STATUS_OK);
    assert_memory_equal(back, values, sizeof(values));
    assert_int_equal(codec_encode(CODEC_RAW_F32, layout, values, &payload, nullptr), STATUS_LIMIT);
    assert_int_equal(payload.size, sizeof(expected));
    bytes_deinit(&payload);
    layout_destroy(layout);
}

static void a_payload_of_another_size_is_refused(void **state)
{
    struct layout *const layout = three_values();
    const uint8_t payload[16] = {0};
    for (size_t size = 0; size <= sizeof(payload); size++) {
        float values[3] = {7, 7, 7};
        const enum status expected = size == 12 ? STATUS_OK : STATUS_PEER;
        assert_int_equal(codec_check_size(CODEC_RAW_F32, layout, size, nullptr), expected);
        assert_int_equal(
            codec_decode(CODEC_RAW_F32, layout, (struct slice){payload, size}, values, nullptr),
            expected);
        assert_true(values[0] == (size == 12 ? 0.0f : 7.0f));
    }
    assert_int_equal(codec_payload_max(CODEC_RAW_F32, layout), 12);
    layout_destroy(layout);
}

static void an_unknown_codec_is_refused(void **state)
{
    struct layout *const layout = three_values();
    float values[3] = {0};
    struct error err = {0};
    struct bytes payload;
    bytes_init(&payload, 100);
    assert_int_equal(codec_check_size(1, layout, 12, &err), STATUS_PEER);
    assert_non_null(strstr(err.text, "codec 1"));
    assert_int_equal(codec_decode(1, layout, (struct slice){0}, values, nullptr), STATUS_PEER);
    assert_int_equal(codec_encode(UINT32_MAX, layout, values, &payload, nullptr),
                     STATUS_UNSUPPORTED);
    assert_int_equal(codec_payload_max(1, layout), 0);
    assert_null(codec_name(1));
    assert_string_equal(codec_name(CODEC_RAW_F32), "raw_f32");
    layout_destroy(layout);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(raw_payload_is_little_endian_ieee_754),
        cmocka_unit_test(a_payload_of_another_size_is_refused),
        cmocka_unit_test(an_unknown_codec_is_refused),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}

/*
 * protobuf_test.c - single fields against protobuf's encoding guide, and UTF-8 against RFC 3629.
 */
#include "wire/protobuf.h"

#include "testing.h"

#include <string.h>

struct bytes_case {
    const char *data;
    size_t size;
};

#define CASE(text) {text, sizeof(text) - 1}

/* Well and ill formed sequences of RFC 3629 and of Unicode 15, table 3-7. */
static void utf8_is_judged_as_rfc_3629_does(void **state)
{
    static const char *const good[] = {"a",
                                       "\xc2\xa0",
                                       "\xdf\xbf",
                                       "\xe0\xa0\x80",
                                       "\xed\x9f\xbf",
                                       "\xee\x80\x80",
                                       "\xef\xbf\xbf",
                                       "\xf0\x90\x80\x80",
                                       "\xf4\x8f\xbf\xbf"};
    static const char *const bad[] = {"\x80",
                                      "\xc0\xaf",
                                      "\xc1\xbf",
                                      "\xc3",
                                      "\xc3(",
                                      "\xe0\x9f\xbf",
                                      "\xed\xa0\x80",
                                      "\xed\xbf\xbf",
                                      "\xe2\x82",
                                      "\xf0\x8f\xbf\xbf",
                                      "\xf4\x90\x80\x80",
                                      "\xf8\x88\x80\x80",
                                      "\xff",
                                      "\xc2\x85",
                                      "\x7f",
                                      "\x1f"};
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
        assert_true(text_is_printable(good[i], 1, 16));
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_false(text_is_printable(bad[i], 1, 16));
}

static void fields_are_taken_as_the_encoding_guide_says(void **state)
{
    static const struct bytes_case bad[] = {
        CASE("\x00\x00"),                                         /* field 0 */
        CASE("\x80\x80\x80\x80\x10\x00"),                         /* field 2^29 */
        CASE("\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02"),     /* over 64 bits */
        CASE("\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"), /* 11 bytes */
        CASE("\x08"),
        CASE("\x09"
             "1234567"),
        CASE("\x0d"
             "123"),
        CASE("\x0a"),
        CASE("\x0a\x02x"),
        CASE("\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"), /* 2^64 - 1 bytes */
        CASE("\x0b"),
        CASE("\x0c"),
        CASE("\x0e"),
        CASE("\x0f"),
        CASE("\xff"),
    };
    struct field field;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct slice rest = {(const uint8_t *)bad[i].data, bad[i].size};
        assert_int_equal(field_take(&rest, &field), STATUS_PEER);
        assert_int_equal(rest.size, bad[i].size);
    }
    /* 150 in field 1, from the guide; the largest number. */
    struct slice rest = {
        (const uint8_t *)"\x08\x96\x01\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 14};
    assert_int_equal(field_take(&rest, &field), STATUS_OK);
    assert_int_equal(field.number, 1);
    assert_int_equal(field.value, 150);
    assert_int_equal(field_take(&rest, &field), STATUS_OK);
    assert_true(field.value == UINT64_MAX);
    assert_int_equal(rest.size, 0);
    uint8_t varint[VARINT_BYTES_MAX];
    assert_int_equal(varint_encode(150, varint), 2);
    assert_memory_equal(varint, "\x96\x01", 2);
    assert_int_equal(varint_encode(UINT64_MAX, varint), 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(utf8_is_judged_as_rfc_3629_does),
        cmocka_unit_test(fields_are_taken_as_the_encoding_guide_says),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}

/*
 * dtype_test.c - the table of element types against the list in the safetensors format.
 */
#include "tensor/dtype.h"
#include "tensor/utf8.h"

#include "testing.h"

#include <string.h>

static void every_type_has_its_pinned_id_name_and_size(void **state)
{
    static const struct {
        int id;
        const char *name;
        uint32_t size;
    } expected[] = {
        {1, "BOOL", 1}, {2, "U8", 1},   {3, "I8", 1},   {4, "F8_E5M2", 1}, {5, "F8_E4M3", 1},
        {6, "I16", 2},  {7, "U16", 2},  {8, "F16", 2},  {9, "BF16", 2},    {10, "I32", 4},
        {11, "U32", 4}, {12, "F32", 4}, {13, "F64", 8}, {14, "I64", 8},    {15, "U64", 8},
    };
    for (size_t i = 0; i < sizeof(expected) / sizeof(expected[0]); i++) {
        const enum dtype dtype = (enum dtype)expected[i].id;
        assert_string_equal(dtype_name(dtype), expected[i].name);
        assert_int_equal(dtype_size(dtype), expected[i].size);
        assert_int_equal(dtype_find(expected[i].name, strlen(expected[i].name)), dtype);
    }
}

static void what_is_no_type_has_no_size(void **state)
{
    assert_int_equal(dtype_size(DTYPE_NONE), 0);
    assert_int_equal(dtype_size((enum dtype)16), 0);
    assert_int_equal(dtype_size((enum dtype) - 1), 0);
    assert_string_equal(dtype_name((enum dtype)16), "?");
    assert_int_equal(dtype_find("F3", 2), DTYPE_NONE);
    assert_int_equal(dtype_find("f32", 3), DTYPE_NONE);
    assert_int_equal(dtype_find("", 0), DTYPE_NONE);
}

/* The boundary sequences of Unicode's table 3-7, on both sides of each boundary. */
static void utf8_is_judged_as_table_3_7_does(void **state)
{
    static const struct {
        const char *text;
        bool valid;
    } cases[] = {
        {"", true},
        {"plain", true},
        {"\x7f", true},
        {"\x80", false},
        {"\xc1\xbf", false},
        {"\xc2\x80", true},
        {"\xc2\x7f", false},
        {"\xc2\xc0", false},
        {"\xdf\xbf", true},
        {"\xdf", false},
        {"\xe0\x9f\xbf", false},
        {"\xe0\xa0\x80", true},
        {"\xed\x9f\xbf", true},
        {"\xed\xa0\x80", false},
        {"\xef\xbf\xbf", true},
        {"\xe1\x80", false},
        {"\xe1\x80\x7f", false},
        {"\xf0\x8f\xbf\xbf", false},
        {"\xf0\x90\x80\x80", true},
        {"\xf4\x8f\xbf\xbf", true},
        {"\xf4\x90\x80\x80", false},
        {"\xf1\x80\x80\xc0", false},
        {"\xf5\x80\x80\x80", false},
        {"\xff", false},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        assert_int_equal(utf8_is_valid(cases[i].text, strlen(cases[i].text)), cases[i].valid);
    assert_true(utf8_is_valid("a\0b", 3));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_type_has_its_pinned_id_name_and_size),
        cmocka_unit_test(what_is_no_type_has_no_size),
        cmocka_unit_test(utf8_is_judged_as_table_3_7_does),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}

/*
 * number_text_test.c - numbers in text against the C library's, bit for bit, and what is no number.
 */
#include "testing.h"

#include "base/random.h"
#include "train/number_text.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void expect_bits(const char *text)
{
    float value = NAN;
    const float wanted = strtof(text, nullptr);
    assert_int_equal(number_read_f32(text, strlen(text), &value), NUMBER_GOOD);
    if (memcmp(&value, &wanted, sizeof(value)) != 0)
        fail_msg("%s is %.9g, not %.9g", text, (double)value, (double)wanted);
}

/* Every shape: few and many digits, near ties between two floats, far exponents, denormals. */
static void numbers_have_the_bits_of_the_c_library(void **state)
{
    static const char *const texts[] = {
        "0",
        "-0",
        "+7",
        "1.",
        ".5",
        "-.25e1",
        "16777216",
        "16777217",
        "33554433",
        "1e10",
        "1e11",
        "1e-10",
        "1e-11",
        "0.1",
        "1e38",
        "3.4028234663852886e38",
        "1e-45",
        "1e-46",
        "7e-46",
        "0.000000000000000000000000000000000000000000001",
        "1e-99999999999",
        "00012.500",
        "123456789012345678901234567890",
        "1.17549435e-38",
        "8388608.5",
        "8388609.5",
        "0e99999999999",
        "1.000000059604644775390625",
        "1.0000000596046448",
        "1.0000000596046447",
        "1.000000178813934326171875",
        "9007199254740993",
        "3.4028235677973366e38",
        "3.402823567797336e38",
        "340282346638528859811704183484516925440",
        "1.1754943508222875e-38",
        "1.1754942807573643e-38",
        "-0.0",
        "8589973000.5",
        "16777219.0000000001",
        "1677721.6E1",
        "9007199791611905",
    };
    char text[64];
    struct random random;
    random_init(&random, 1, 2, 3);
    for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++)
        expect_bits(texts[i]);
    for (uint32_t i = 0; i < 200000; i++) {
        const unsigned long long digits = random_u64(&random) >> random_below(&random, 64);
        const int point = (int)random_below(&random, 12);
        const int exponent = (int)random_below(&random, 30) - 15;
        snprintf(text, sizeof(text), "%s%.*f", i % 2 ? "-" : "", point,
                 (double)digits / (double)(1 + random_below(&random, 1000000)));
        if (i % 7 == 0) { /* the middle between two f32, and a digit more or less */
            const double low = (double)(float)(1 + random_unit(&random));
            snprintf(text, sizeof(text), "%.*f", 14 + (int)random_below(&random, 12),
                     low + 5.9604644775390625e-08);
        }
        if (i % 3 == 0)
            snprintf(text + strlen(text), 16, "e%d", exponent);
        if (isfinite(strtof(text, nullptr)))
            expect_bits(text);
    }
}

static void spaces_around_a_number_are_no_part_of_it(void **state)
{
    float value = 0;
    uint32_t label = 0;
    assert_int_equal(number_read_f32(" \t1.5 ", 6, &value), NUMBER_GOOD);
    assert_true(value == 1.5f);
    assert_int_equal(number_read_f32(" 123456789.125\t", 15, &value), NUMBER_GOOD);
    assert_true(value == 123456789.125f);
    assert_int_equal(number_read_u32("  42\t", 5, &label), NUMBER_GOOD);
    assert_int_equal(label, 42);
}

static void what_is_no_number_is_told_from_what_is_empty_or_too_big(void **state)
{
    static const struct {
        const char *text;
        enum number_problem f32;
        enum number_problem u32;
    } cases[] = {
        {"", NUMBER_EMPTY, NUMBER_EMPTY},
        {" \t ", NUMBER_EMPTY, NUMBER_EMPTY},
        {"nan", NUMBER_UNREAD, NUMBER_UNREAD},
        {"-NaN", NUMBER_UNREAD, NUMBER_UNREAD},
        {"inf", NUMBER_UNREAD, NUMBER_UNREAD},
        {"Infinity", NUMBER_UNREAD, NUMBER_UNREAD},
        {"0x10", NUMBER_UNREAD, NUMBER_UNREAD},
        {"1,5", NUMBER_UNREAD, NUMBER_UNREAD},
        {"1 5", NUMBER_UNREAD, NUMBER_UNREAD},
        {"1e", NUMBER_UNREAD, NUMBER_UNREAD},
        {"1e+", NUMBER_UNREAD, NUMBER_UNREAD},
        {"e5", NUMBER_UNREAD, NUMBER_UNREAD},
        {".", NUMBER_UNREAD, NUMBER_UNREAD},
        {"-", NUMBER_UNREAD, NUMBER_UNREAD},
        {"--1", NUMBER_UNREAD, NUMBER_UNREAD},
        {"1.5f", NUMBER_UNREAD, NUMBER_UNREAD},
        {"1.5.5", NUMBER_UNREAD, NUMBER_UNREAD},
        {"3.5e38", NUMBER_TOO_BIG, NUMBER_UNREAD},
        {"-1e39", NUMBER_TOO_BIG, NUMBER_UNREAD},
        {"1e99999999999", NUMBER_TOO_BIG, NUMBER_UNREAD},
        {"-1", NUMBER_GOOD, NUMBER_UNREAD},
        {"1.0", NUMBER_GOOD, NUMBER_UNREAD},
        {"4294967295", NUMBER_GOOD, NUMBER_GOOD},
        {"4294967296", NUMBER_GOOD, NUMBER_TOO_BIG},
        {"99999999999999999999", NUMBER_GOOD, NUMBER_TOO_BIG},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        float value = 0;
        uint32_t label = 0;
        const size_t size = strlen(cases[i].text);
        assert_int_equal(number_read_f32(cases[i].text, size, &value), cases[i].f32);
        assert_int_equal(number_read_u32(cases[i].text, size, &label), cases[i].u32);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_have_the_bits_of_the_c_library),
        cmocka_unit_test(spaces_around_a_number_are_no_part_of_it),
        cmocka_unit_test(what_is_no_number_is_told_from_what_is_empty_or_too_big),
    };
    return cmocka_run_group_tests_name("number_text", tests, nullptr, nullptr);
}

/*
 * text_test.c - strings from outside are made harmless, copies keep their bounds, words have a
 * distance.
 */
#include "base/text.h"

#include "testing.h"

#include <string.h>

static void assert_escaped(const void *data, size_t size, const char *expected)
{
    char out[256];
    text_escape(data, size, out, sizeof(out));
    assert_string_equal(out, expected);
}

static void plain_text_stays_as_it_is(void **state)
{
    assert_escaped("", 0, "");
    assert_escaped(nullptr, 0, "");
    assert_escaped("node-7 (eu) ~!", 14, "node-7 (eu) ~!");
}

static void what_a_terminal_or_a_log_could_obey_is_escaped(void **state)
{
    assert_escaped("a\nb\x1b[2J", 7, "a\\x0ab\\x1b[2J");
    assert_escaped("\0x\x7f\xff", 4, "\\x00x\\x7f\\xff");
    assert_escaped("\"\\", 2, "\\x22\\x5c");
    assert_escaped("\xc3\xa9", 2, "\\xc3\\xa9");
}

/* Nothing is written past any capacity, and what is left out shows as "...". */
static void text_too_long_ends_in_dots(void **state)
{
    const char text[] = "abc\ndefghij\x01klmnopqrstuvwxyz";
    char whole[128];
    text_escape(text, sizeof(text) - 1, whole, sizeof(whole));
    for (size_t capacity = 8; capacity < 60; capacity++) {
        char out[64];
        memset(out, '#', sizeof(out));
        text_escape(text, sizeof(text) - 1, out, capacity);
        const size_t length = strlen(out);
        assert_true(length < capacity);
        for (size_t i = capacity; i < sizeof(out); i++)
            assert_int_equal(out[i], '#');
        if (strcmp(out, whole) == 0)
            continue;
        assert_true(capacity < strlen(whole) + 4);
        assert_string_equal(out + length - 3, "...");
        assert_memory_equal(out, whole, length - 3);
    }
}

static void a_copy_fits_with_its_zero_or_is_refused(void **state)
{
    char out[4] = "zzz";
    assert_int_equal(text_copy("abc", out, sizeof(out)), STATUS_OK);
    assert_string_equal(out, "abc");
    assert_int_equal(text_copy("abcd", out, sizeof(out)), STATUS_LIMIT);
    assert_string_equal(out, "");
    assert_int_equal(text_copy("", out, 1), STATUS_OK);
    assert_string_equal(out, "");
}

/* Values from the literature's standing examples, and by counting. */
static void distances_are_those_of_levenshtein(void **state)
{
    assert_int_equal(text_distance("", ""), 0);
    assert_int_equal(text_distance("", "abc"), 3);
    assert_int_equal(text_distance("abc", ""), 3);
    assert_int_equal(text_distance("kitten", "sitting"), 3);
    assert_int_equal(text_distance("saturday", "sunday"), 3);
    assert_int_equal(text_distance("rosettacode", "raisethysword"), 8);
    assert_int_equal(text_distance("tiemout_s", "timeout_s"), 2);
    assert_int_equal(text_distance("robust", "robust"), 0);
}

static void only_the_first_63_bytes_of_long_words_count(void **state)
{
    char a[200];
    char b[200];
    memset(a, 'a', sizeof(a));
    memset(b, 'a', sizeof(b));
    a[199] = b[199] = 0;
    b[62] = 'b';
    b[63] = 'c';
    b[150] = 'd';
    assert_int_equal(text_distance(a, b), 1);
}

static const char *nearest_of(const char *word)
{
    static const char *const candidates[] = {"status", "set", "pause", "start", "cause", "resume"};
    struct text_nearest nearest = text_nearest_begin(word);
    for (size_t i = 0; i < sizeof(candidates) / sizeof(*candidates); i++)
        text_nearest_try(&nearest, candidates[i]);
    return nearest.best != nullptr ? nearest.best : "none";
}

static void a_mistyped_word_finds_the_nearest_one(void **state)
{
    assert_string_equal(nearest_of("stauts"), "status");
    assert_string_equal(nearest_of("stat"), "start"); /* 1 from it, 2 from status */
    assert_string_equal(nearest_of("ause"), "pause"); /* the first of two at one edit */
    assert_string_equal(nearest_of("presume"), "resume");
    assert_string_equal(nearest_of("zz"), "none"); /* every letter of "set" would change */
    assert_string_equal(nearest_of("st"), "set");
    assert_string_equal(nearest_of("resumptions"), "none");
    assert_string_equal(nearest_of(""), "none");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plain_text_stays_as_it_is),
        cmocka_unit_test(what_a_terminal_or_a_log_could_obey_is_escaped),
        cmocka_unit_test(text_too_long_ends_in_dots),
        cmocka_unit_test(a_copy_fits_with_its_zero_or_is_refused),
        cmocka_unit_test(distances_are_those_of_levenshtein),
        cmocka_unit_test(only_the_first_63_bytes_of_long_words_count),
        cmocka_unit_test(a_mistyped_word_finds_the_nearest_one),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}

/*
 * progress_test.c - bars and sparklines as they are printed.
 */
#include "testing.h"

#include "host/progress.h"
#include "host/terminal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static void a_bar_is_full_to_its_share(void **state)
{
    char text[PROGRESS_TEXT_MAX];
    progress_bar(0, 4, false, text);
    assert_string_equal(text, "----");
    progress_bar(0.5, 4, false, text);
    assert_string_equal(text, "##--");
    progress_bar(1, 4, true, text);
    assert_string_equal(text, "████");
    progress_bar(0.49, 2, true, text);
    assert_string_equal(text, "░░");
}

static void a_share_out_of_range_is_an_end_of_it(void **state)
{
    char text[PROGRESS_TEXT_MAX];
    progress_bar(-1, 3, false, text);
    assert_string_equal(text, "---");
    progress_bar(7, 3, false, text);
    assert_string_equal(text, "###");
    progress_bar((double)NAN, 3, false, text);
    assert_string_equal(text, "---");
}

static void a_sparkline_goes_from_the_least_to_the_greatest(void **state)
{
    static const double values[] = {0, 1, 2, 3, 4, 5, 6, 7};
    char text[PROGRESS_TEXT_MAX];
    progress_sparkline(values, 8, 20, true, text);
    assert_string_equal(text, "▁▂▃▄▅▆▇█");
    progress_sparkline(values, 8, 20, false, text);
    assert_string_equal(text, "_.,-=+*#");
}

static void more_values_than_cells_are_averaged(void **state)
{
    static const double values[] = {0, 0, 4, 4, 8, 8, 2, 2};
    char text[PROGRESS_TEXT_MAX];
    progress_sparkline(values, 8, 4, false, text);
    assert_string_equal(text, "_=#,");
}

static void what_is_not_known_is_a_blank(void **state)
{
    const double values[] = {1, (double)NAN, 2, (double)INFINITY};
    char text[PROGRESS_TEXT_MAX];
    progress_sparkline(values, 4, 4, false, text);
    assert_string_equal(text, "_ # ");
    progress_sparkline(values, 0, 4, false, text);
    assert_string_equal(text, "");
    progress_sparkline(values + 1, 1, 4, false, text);
    assert_string_equal(text, " ");
}

static void values_that_are_all_equal_lie_low(void **state)
{
    static const double values[] = {5, 5, 5};
    char text[PROGRESS_TEXT_MAX];
    progress_sparkline(values, 3, 3, false, text);
    assert_string_equal(text, "___");
}

static void the_widest_texts_fit(void **state)
{
    double values[PROGRESS_WIDTH_MAX];
    char text[PROGRESS_TEXT_MAX];
    for (int i = 0; i < PROGRESS_WIDTH_MAX; i++)
        values[i] = i;
    progress_sparkline(values, PROGRESS_WIDTH_MAX, PROGRESS_WIDTH_MAX, true, text);
    assert_int_equal(strlen(text), 3 * PROGRESS_WIDTH_MAX);
    progress_bar(0.5, PROGRESS_WIDTH_MAX, true, text);
    assert_int_equal(strlen(text), 3 * PROGRESS_WIDTH_MAX);
}

static void the_locale_says_what_can_be_shown(void **state)
{
    assert_int_equal(unsetenv("LC_ALL"), 0);
    assert_int_equal(unsetenv("LC_CTYPE"), 0);
    assert_int_equal(setenv("LANG", "C.UTF-8", 1), 0);
    assert_true(terminal_is_utf8());
    assert_int_equal(setenv("LC_ALL", "C", 1), 0);
    assert_false(terminal_is_utf8());
    assert_int_equal(unsetenv("LC_ALL"), 0);
    assert_int_equal(unsetenv("LANG"), 0);
    assert_false(terminal_is_utf8());
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_bar_is_full_to_its_share),
        cmocka_unit_test(a_share_out_of_range_is_an_end_of_it),
        cmocka_unit_test(a_sparkline_goes_from_the_least_to_the_greatest),
        cmocka_unit_test(more_values_than_cells_are_averaged),
        cmocka_unit_test(what_is_not_known_is_a_blank),
        cmocka_unit_test(values_that_are_all_equal_lie_low),
        cmocka_unit_test(the_widest_texts_fit),
        cmocka_unit_test(the_locale_says_what_can_be_shown),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}

/*
 * sweep_page_test.c - axes and their marks; the page stands by itself and draws what it was given.
 */
#include "testing.h"

#include "cli/sweep_axis.h"
#include "cli/sweep_page.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static void marks_are_round_numbers_that_span_all(void **state)
{
    static const struct {
        double low;
        double high;
        double first;
        double last;
        uint32_t count;
    } cases[] = {
        {0.1, 0.87, 0.0, 1.0, 6}, {0.60, 0.88, 0.60, 0.90, 7}, {0, 42, 0, 50, 6},
        {0, 60, 0, 60, 7},        {0.1, 0.3, 0.1, 0.3, 5},     {0, 99999, 0, 100000, 6},
        {0.5, 0.5, 0.5, 0.52, 2},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        double marks[SWEEP_MARKS_MAX];
        const struct sweep_axis axis = sweep_axis_linear(cases[i].low, cases[i].high);
        const uint32_t count = sweep_axis_marks(&axis, marks);
        assert_int_equal(count, cases[i].count);
        assert_float_equal(marks[0], cases[i].first, 1e-9);
        assert_float_equal(marks[count - 1], cases[i].last, 1e-9);
        assert_float_equal(sweep_axis_place(&axis, axis.low), 0, 1e-12);
        assert_float_equal(sweep_axis_place(&axis, axis.high), 1, 1e-12);
        assert_float_equal(sweep_axis_value(&axis, sweep_axis_place(&axis, 0.4)), 0.4, 1e-9);
    }
}

static void times_that_differ_much_are_shown_logarithmically(void **state)
{
    double marks[SWEEP_MARKS_MAX];
    const struct sweep_axis near = sweep_axis_time(1, 20, 159);
    const struct sweep_axis far = sweep_axis_time(1.5, 20, 160);
    const struct sweep_axis zero = sweep_axis_time(0, 20, 1000);
    static const double wanted[] = {2, 5, 10, 20, 50, 100};
    (void)state;
    assert_false(near.logarithmic);
    assert_float_equal(near.low, 0, 0);
    assert_false(zero.logarithmic); /* 0 has no place on a logarithmic axis */
    assert_true(far.logarithmic);
    assert_int_equal(sweep_axis_marks(&far, marks), 6);
    for (size_t i = 0; i < 6; i++)
        assert_float_equal(marks[i], wanted[i], 1e-9);
    assert_float_equal(sweep_axis_place(&far, 1.5), 0, 1e-12);
    assert_float_equal(sweep_axis_place(&far, 160), 1, 1e-12);
    assert_float_equal(sweep_axis_place(&far, sqrt(1.5 * 160)), 0.5, 1e-12);
    assert_float_equal(sweep_axis_value(&far, 0.5), sqrt(1.5 * 160), 1e-9);
}

static struct sweep_point low_points[] = {{0, 0.2}, {10, 0.6}};
static struct sweep_point high_points[] = {{0, 0.4}, {10, 0.8}};
static struct sweep_series two[] = {
    {1, "exhausted", 2, 0.6, 10, 1, 1000000, 2, low_points},
    {2, "exhausted", 2, 0.8, 10, 1, 1000000, 2, high_points},
};

static char *page_of(const struct sweep_result *results, uint32_t count, double target)
{
    const struct sweep_page page = {"job <1> & \"2\"", "fedra sim x.yaml --sweep 'a=<b'", 20, 2,
                                    target};
    struct sweep_figures figures[8];
    char *text = nullptr;
    size_t size = 0;
    for (uint32_t i = 0; i < count; i++)
        assert_int_equal(sweep_figures_of(&results[i], target, &figures[i]), STATUS_OK);
    FILE *const file = open_memstream(&text, &size);
    assert_non_null(file);
    assert_int_equal(sweep_page_write(&page, results, figures, count, file), STATUS_OK);
    assert_int_equal(fclose(file), 0);
    return text;
}

static uint32_t count_of(const char *text, const char *word)
{
    uint32_t count = 0;
    for (const char *at = strstr(text, word); at != nullptr; at = strstr(at + 1, word))
        count++;
    return count;
}

static void the_page_needs_nothing_from_elsewhere(void **state)
{
    const struct sweep_result results[] = {{"k=<1>", 2, two}};
    char *const text = page_of(results, 1, 0.7);
    (void)state;
    assert_int_equal(count_of(text, "<script"), 0);
    assert_int_equal(count_of(text, "http"), 0);
    assert_int_equal(count_of(text, "src="), 0);
    assert_int_equal(count_of(text, "url("), 0);
    assert_int_equal(count_of(text, "@import"), 0);
    assert_int_equal(count_of(text, "prefers-color-scheme:dark"), 1);
    /* What came from outside is text. */
    assert_non_null(strstr(text, "job &lt;1&gt; &amp; &quot;2&quot;"));
    assert_non_null(strstr(text, "k=&lt;1&gt;"));
    assert_null(strstr(text, "<1>"));
    assert_null(strstr(text, "a=<b"));
    free(text);
}

static void each_setting_has_a_band_a_line_and_a_row(void **state)
{
    const struct sweep_result results[] = {{"a", 2, two}, {"b", 1, two}, {"c", 1, two + 1}};
    char *const text = page_of(results, 3, 0.7);
    (void)state;
    assert_int_equal(count_of(text, "<path class=\"band "), 3);
    assert_int_equal(count_of(text, "<polyline class=\"line "), 3);
    assert_int_equal(count_of(text, "<svg class=\"key\""), 3);
    assert_int_equal(count_of(text, "<line class=\"target\""), 1);
    assert_int_equal(count_of(text, "<tr>"), 4);
    assert_non_null(strstr(text, "2 seeds a setting"));
    assert_non_null(strstr(text, "<td>10.0 (10.0 to 10.0)</td><td>1 of 1</td>"));
    assert_non_null(strstr(text, "<td>not reached</td><td>0 of 1</td>"));
    free(text);
}

/* Accuracies from 0.2 to 0.8 span the axis from 0.2 to 0.8, times from 0 to 10 the other: the first
 * point of the median of both seeds, 0.3, is a sixth up from the bottom left corner. */
static void the_curve_lies_where_it_belongs(void **state)
{
    const struct sweep_result results[] = {{"a", 2, two}};
    char *const text = page_of(results, 1, 0.5);
    (void)state;
    assert_non_null(strstr(text, "points=\"62.0,342.7 "));        /* 408 - 392 / 6 */
    assert_non_null(strstr(text, " 880.0,81.3 \"/>"));            /* 0.7: 408 - 392 * 5 / 6 */
    assert_non_null(strstr(text, "d=\"M62.0 277.3 "));            /* the greatest, 0.4 */
    assert_non_null(strstr(text, " 62.0 408.0 Z\"/>"));           /* the least, 0.2 */
    assert_non_null(strstr(text, "y1=\"212.0\" y2=\"212.0\"/>")); /* the target in the middle */
    free(text);
}

static void without_an_accuracy_the_page_says_so(void **state)
{
    struct sweep_series silent[] = {{.seed = 1, .outcome = "exhausted", .accuracy = (double)NAN}};
    const struct sweep_result results[] = {{"a", 1, silent}};
    char *const text = page_of(results, 1, (double)NAN);
    (void)state;
    assert_int_equal(count_of(text, "<polyline"), 0);
    assert_non_null(strstr(text, "nothing to draw"));
    assert_non_null(strstr(text, "not measured"));
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(marks_are_round_numbers_that_span_all),
        cmocka_unit_test(times_that_differ_much_are_shown_logarithmically),
        cmocka_unit_test(the_page_needs_nothing_from_elsewhere),
        cmocka_unit_test(each_setting_has_a_band_a_line_and_a_row),
        cmocka_unit_test(the_curve_lies_where_it_belongs),
        cmocka_unit_test(without_an_accuracy_the_page_says_so),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}

/*
 * sweep_figures_test.c - runs read from their folders, and the figures and the table over several
 * seeds. Expected figures were reckoned by hand.
 */
#include "testing.h"

#include "cli/sweep_table.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct folder {
    char path[64];
};

static int folder_make(void **state)
{
    struct folder *const folder = calloc(1, sizeof(*folder));
    assert_non_null(folder);
    snprintf(folder->path, sizeof(folder->path), "/tmp/sweep_figures_XXXXXX");
    assert_non_null(mkdtemp(folder->path));
    *state = folder;
    return 0;
}

static int folder_remove(void **state)
{
    static const char *const names[] = {"summary.json", "metrics.jsonl"};
    struct folder *const folder = *state;
    char path[128];
    for (size_t i = 0; i < 2; i++) {
        snprintf(path, sizeof(path), "%s/%s", folder->path, names[i]);
        unlink(path);
    }
    rmdir(folder->path);
    free(folder);
    return 0;
}

static void put(const struct folder *folder, const char *name, const char *text)
{
    char path[128];
    snprintf(path, sizeof(path), "%s/%s", folder->path, name);
    FILE *const file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static const char good_summary[] =
    "{\"outcome\":\"exhausted\",\"reason\":\"x\",\"rounds\":3,\"accuracy\":0.71,\"loss\":0.5,"
    "\"virtual_seconds\":12.5,\"wall_seconds\":0.25,\"peak_rss_bytes\":7000000}\n";

static void a_run_is_read_from_its_folder(void **state)
{
    struct sweep_series series;
    struct error err = {0};
    put(*state, "summary.json", good_summary);
    put(*state, "metrics.jsonl",
        "{\"round\":1,\"accuracy\":0.5,\"virtual_s\":2.5}\n"
        "{\"round\":2,\"accuracy\":null,\"virtual_s\":5}\n"
        "{\"round\":3,\"accuracy\":0.75,\"virtual_s\":10}\n");
    const struct folder *const folder = *state;
    assert_int_equal(sweep_series_find(folder->path, &err), STATUS_OK);
    assert_int_equal(sweep_series_read(folder->path, &series, &err), STATUS_OK);
    assert_string_equal(series.outcome, "exhausted");
    assert_int_equal(series.rounds, 3);
    assert_float_equal(series.accuracy, 0.71, 0);
    assert_float_equal(series.virtual_s, 12.5, 0);
    assert_float_equal(series.wall_s, 0.25, 0);
    assert_int_equal(series.peak_rss_bytes, 7000000);
    assert_int_equal(series.count, 2);
    assert_float_equal(series.points[1].virtual_s, 10, 0);
    assert_float_equal(series.points[1].accuracy, 0.75, 0);
    sweep_series_deinit(&series);
}

static void the_last_round_stands_for_a_test_that_nobody_made(void **state)
{
    struct sweep_series series;
    struct error err = {0};
    const struct folder *const folder = *state;
    put(folder, "summary.json",
        "{\"outcome\":\"converged\",\"rounds\":1,\"accuracy\":null,\"virtual_seconds\":1,"
        "\"wall_seconds\":1}");
    put(folder, "metrics.jsonl", "{\"accuracy\":0.5,\"virtual_s\":1}\n");
    assert_int_equal(sweep_series_read(folder->path, &series, &err), STATUS_OK);
    assert_float_equal(series.accuracy, 0.5, 0);
    sweep_series_deinit(&series);
}

static void what_is_no_run_is_refused(void **state)
{
    static const char *const summaries[] = {
        "", "{", "[]", "{\"outcome\":\"converged\",\"rounds\":1,\"seconds\":3}",
        "{\"virtual_seconds\":1,\"wall_seconds\":1}"};
    static const char *const metrics[] = {
        "{\"accuracy\":0.5}\n", "not JSON\n", "{\"virtual_s\":-1,\"accuracy\":0.5}\n",
        "{\"virtual_s\":2,\"accuracy\":0.5}\n{\"virtual_s\":1,\"accuracy\":0.6}\n", "7\n"};
    struct sweep_series series;
    struct error err = {0};
    const struct folder *const folder = *state;
    assert_int_equal(sweep_series_find(folder->path, &err), STATUS_NOT_FOUND);
    for (size_t i = 0; i < sizeof(summaries) / sizeof(*summaries); i++) {
        put(folder, "summary.json", summaries[i]);
        assert_int_equal(sweep_series_find(folder->path, &err), STATUS_CORRUPT);
    }
    put(folder, "summary.json", good_summary);
    for (size_t i = 0; i < sizeof(metrics) / sizeof(*metrics); i++) {
        put(folder, "metrics.jsonl", metrics[i]);
        assert_int_equal(sweep_series_read(folder->path, &series, &err), STATUS_CORRUPT);
        assert_non_null(strstr(err.text, "metrics.jsonl:"));
    }
    assert_non_null(strstr(err.text, "metrics.jsonl:1"));
}

static void an_accuracy_holds_until_the_next(void **state)
{
    struct sweep_point points[] = {{2, 0.3}, {4, 0.5}, {4, 0.6}, {9, 0.4}};
    const struct sweep_series series = {.count = 4, .points = points};
    (void)state;
    assert_true(isnan(sweep_series_at(&series, 1.9)));
    assert_float_equal(sweep_series_at(&series, 2), 0.3, 0);
    assert_float_equal(sweep_series_at(&series, 3.9), 0.3, 0);
    assert_float_equal(sweep_series_at(&series, 4), 0.6, 0);
    assert_float_equal(sweep_series_at(&series, 8.9), 0.6, 0);
    assert_float_equal(sweep_series_at(&series, 1e9), 0.4, 0);
    assert_float_equal(sweep_series_reaches(&series, 0.5), 4, 0);
    assert_float_equal(sweep_series_reaches(&series, 0.1), 2, 0);
    assert_true(isinf(sweep_series_reaches(&series, 0.61)));
}

/* Three seeds: 0.8 is there after 4 s, after 9 s, and never. */
static struct sweep_point first_points[] = {{1, 0.5}, {4, 0.8}};
static struct sweep_point second_points[] = {{2, 0.4}, {9, 0.9}};
static struct sweep_point third_points[] = {{3, 0.3}, {5, 0.6}};
static struct sweep_series three[] = {
    {1, "exhausted", 2, 0.81, 4, 10, 5000000, 2, first_points},
    {2, "converged", 4, 0.87, 9, 20, 9000000, 2, second_points},
    {3, "diverged", 2, 0.60, 5, 60, 7000000, 2, third_points},
};

static void figures_are_over_the_seeds(void **state)
{
    const struct sweep_result result = {"k", 3, three};
    struct sweep_figures figures;
    (void)state;
    assert_int_equal(sweep_figures_of(&result, 0.8, &figures), STATUS_OK);
    assert_float_equal(figures.rounds, 2, 0);
    assert_int_equal(figures.reached, 2);
    assert_int_equal(figures.diverged, 1);
    assert_float_equal(figures.target_s.low, 4, 0);
    assert_float_equal(figures.target_s.middle, 9, 0); /* the third is later than both */
    assert_true(isinf(figures.target_s.high));
    assert_float_equal(figures.accuracy.middle, 0.76, 1e-12);
    assert_float_equal(figures.accuracy.low, 0.60, 0);
    assert_float_equal(figures.accuracy.high, 0.87, 0);
    assert_float_equal(figures.wall_s, 30, 1e-12);
    assert_int_equal(figures.peak_rss_bytes, 9000000);
}

static void the_median_of_two_is_their_mean(void **state)
{
    const struct sweep_result result = {"k", 2, three};
    struct sweep_figures figures;
    (void)state;
    assert_int_equal(sweep_figures_of(&result, 0.8, &figures), STATUS_OK);
    assert_float_equal(figures.target_s.middle, 6.5, 0);
    assert_float_equal(figures.rounds, 3, 0);
    assert_int_equal(sweep_figures_of(&result, 0.85, &figures), STATUS_OK);
    assert_int_equal(figures.reached, 1);
    assert_true(isinf(figures.target_s.middle));
}

static void the_target_is_a_share_of_the_best_setting(void **state)
{
    /* The medians of the last points: 0.8 of three seeds, 0.9 of the second alone. */
    const struct sweep_result results[] = {
        {"a", 3, three}, {"b", 1, three + 1}, {"c", 1, three + 2}};
    const struct sweep_series silent = {.seed = 1};
    struct sweep_series quiet[] = {silent};
    const struct sweep_result none = {"d", 1, quiet};
    (void)state;
    assert_float_equal(sweep_target(results, 3), 0.95 * 0.9, 1e-12);
    assert_float_equal(sweep_target(results, 1), 0.95 * 0.8, 1e-12);
    assert_true(isnan(sweep_target(&none, 1)));
}

static void a_curve_begins_with_the_last_seed_that_has_one(void **state)
{
    const struct sweep_result result = {"k", 3, three};
    struct sweep_spread spread;
    double begin = 0;
    double end = 0;
    (void)state;
    assert_true(sweep_curve_span(&result, &begin, &end));
    assert_float_equal(begin, 3, 0);
    assert_float_equal(end, 9, 0);
    assert_int_equal(sweep_curve_at(&result, 4.5, &spread), STATUS_OK);
    assert_float_equal(spread.low, 0.3, 0);
    assert_float_equal(spread.middle, 0.4, 0);
    assert_float_equal(spread.high, 0.8, 0);
}

static void the_table_has_a_row_a_setting(void **state)
{
    const struct sweep_result results[] = {{"aggregation.k_threshold=0.5", 3, three},
                                           {"k=1", 1, three + 2}};
    struct sweep_figures figures[2];
    char *text = nullptr;
    size_t size = 0;
    (void)state;
    assert_int_equal(sweep_figures_of(&results[0], 0.8, &figures[0]), STATUS_OK);
    assert_int_equal(sweep_figures_of(&results[1], 0.8, &figures[1]), STATUS_OK);
    FILE *const file = open_memstream(&text, &size);
    assert_non_null(file);
    sweep_table_write(results, figures, 2, 0.8, file);
    fclose(file);
    assert_string_equal(text, "setting                      rounds  virtual s to 0.8000  reached  "
                              "final accuracy             "
                              "diverged  wall s  peak MB\n"
                              "aggregation.k_threshold=0.5  2       9.0 (4.0 to never)   2 of 3   "
                              "0.7600 (0.6000 to 0.8700)  "
                              "1         30.0    9\n"
                              "k=1                          2       not reached          0 of 1   "
                              "0.6000 (0.6000 to 0.6000)  "
                              "1         60.0    7\n");
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_run_is_read_from_its_folder, folder_make, folder_remove),
        cmocka_unit_test_setup_teardown(the_last_round_stands_for_a_test_that_nobody_made,
                                        folder_make, folder_remove),
        cmocka_unit_test_setup_teardown(what_is_no_run_is_refused, folder_make, folder_remove),
        cmocka_unit_test(an_accuracy_holds_until_the_next),
        cmocka_unit_test(figures_are_over_the_seeds),
        cmocka_unit_test(the_median_of_two_is_their_mean),
        cmocka_unit_test(the_target_is_a_share_of_the_best_setting),
        cmocka_unit_test(a_curve_begins_with_the_last_seed_that_has_one),
        cmocka_unit_test(the_table_has_a_row_a_setting),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}

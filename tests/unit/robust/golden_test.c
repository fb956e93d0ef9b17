/*
 * golden_test.c - every rule that ByzFL has, too, on sets of updates made with it.
 *
 * argv[1...] are tests/golden/golden_byzfl*.json; make_golden.py there says how they came about and
 * how definitions that differ are reconciled. Agreement: 1e-5 of the result's norm, and of each
 * element that is not small beside it.
 */
#include "robust_testing.h"

#include <math.h>
#include <yyjson.h>

static int file_count;
static char **files;

/* A key of the files and the same rule here; the file's f is added. */
static const struct {
    const char *key;
    const char *words;
} rules[] = {
    {"Average", "mean"},
    {"Median", "median"},
    {"TrMean", "trimmed_mean"},
    {"GeometricMedian_nu1e-6_T1000", "geometric_median"},
    {"Krum_ByzFL_n-f-1", "krum neighbours=byzfl"},
    {"MultiKrum_ByzFL_m=n-f", "multi_krum neighbours=byzfl"},
    {"CenteredClipping_m0_L1_tau5", "centered_clipping tau=5"},
    {"CenteredClipping_m0_L3_tau2", "centered_clipping tau=2 iterations=3"},
    {"NNM+TrMean", "nnm trimmed_mean"},
    {"NNM+Median", "nnm median"},
    {"NNM+GeometricMedian", "nnm geometric_median"},
    {"NNM+Krum", "nnm krum neighbours=byzfl"},
    {"ARC+NNM+TrMean", "arc nnm trimmed_mean"},
    {"ARC+CenteredClipping", "arc centered_clipping tau=5"},
    {"CAF_exact_eigenvector", "caf"},
};

static float *read_rows(yyjson_val *rows, uint64_t n, uint64_t d)
{
    float *const data = malloc(n * d * sizeof(*data));
    assert_int_equal(yyjson_arr_size(rows), n);
    for (uint64_t i = 0; i < n; i++) {
        assert_int_equal(yyjson_arr_size(yyjson_arr_get(rows, i)), d);
        for (uint64_t k = 0; k < d; k++)
            data[i * d + k] = (float)yyjson_get_num(yyjson_arr_get(yyjson_arr_get(rows, i), k));
    }
    return data;
}

static void compare(const char *file, const char *key, yyjson_val *expected, const float *found)
{
    const size_t d = yyjson_arr_size(expected);
    double norm = 0;
    double error = 0;
    for (size_t k = 0; k < d; k++) {
        const double value = yyjson_get_num(yyjson_arr_get(expected, k));
        norm += value * value;
        error += (value - (double)found[k]) * (value - (double)found[k]);
    }
    for (size_t k = 0; k < d; k++) {
        const double value = yyjson_get_num(yyjson_arr_get(expected, k));
        if (fabs(value - (double)found[k]) > 1e-5 * fabs(value) + 1e-7 * sqrt(norm))
            fail_msg("%s: %s[%zu] is %.9g, not %.9g", file, key, k, (double)found[k], value);
    }
    if (sqrt(error) > 1e-6 * sqrt(norm))
        fail_msg("%s: %s is off by %.3g", file, key, sqrt(error / norm));
}

static void check_rules(const char *file, yyjson_val *root, const float *data, uint64_t n,
                        uint64_t d, unsigned f)
{
    for (size_t r = 0; r < sizeof(rules) / sizeof(rules[0]); r++) {
        yyjson_val *const expected = yyjson_obj_get(root, rules[r].key);
        if (expected == nullptr)
            continue; /* golden_byzfl.json has fewer */
        char words[100];
        snprintf(words, sizeof(words), "%s f=%u", rules[r].words, f);
        struct outcome outcome = run_recipe(words, data, n, d, 1);
        if (outcome.status != STATUS_OK)
            fail_msg("%s: %s: %s", file, words, outcome.err.text);
        compare(file, rules[r].key, expected, outcome.values);
        outcome_deinit(&outcome);
    }
}

/* What goes before a rule, row by row: m=1 with one row's distance 0 would not show it, so the rows
 * are compared through their median and their mean. */
static void check_pre(const char *file, yyjson_val *rows, const char *pre, const float *data,
                      uint64_t n, uint64_t d, unsigned f)
{
    static const char *const after[] = {"mean", "median", "geometric_median", "trimmed_mean"};
    float *const made = read_rows(rows, n, d);
    for (size_t r = 0; r < sizeof(after) / sizeof(after[0]); r++) {
        char words[100];
        snprintf(words, sizeof(words), "%s %s f=%u", pre, after[r], f);
        struct outcome found = run_recipe(words, data, n, d, 1);
        snprintf(words, sizeof(words), "%s f=%u", after[r], f);
        struct outcome expected = run_recipe(words, made, n, d, 1);
        for (uint64_t k = 0; k < d; k++) {
            if (fabsf(found.values[k] - expected.values[k]) >
                1e-5f * fabsf(expected.values[k]) + 1e-6f)
                fail_msg("%s: %s %s: [%d] is %.9g, not %.9g", file, pre, after[r], (int)k,
                         (double)found.values[k], (double)expected.values[k]);
        }
        outcome_deinit(&found);
        outcome_deinit(&expected);
    }
    free(made);
}

static void every_rule_that_byzfl_has_agrees_with_it(void **state)
{
    assert_true(file_count >= 4);
    for (int i = 0; i < file_count; i++) {
        yyjson_doc *const doc = yyjson_read_file(files[i], 0, nullptr, nullptr);
        assert_non_null(doc);
        yyjson_val *const root = yyjson_doc_get_root(doc);
        const uint64_t n = yyjson_get_uint(yyjson_obj_get(root, "n"));
        const uint64_t d = yyjson_get_uint(yyjson_obj_get(root, "d"));
        const unsigned f = (unsigned)yyjson_get_uint(yyjson_obj_get(root, "f"));
        float *const data = read_rows(yyjson_obj_get(root, "X"), n, d);
        check_rules(files[i], root, data, n, d, f);
        check_pre(files[i], yyjson_obj_get(root, "NNM"), "nnm", data, n, d, f);
        check_pre(files[i], yyjson_obj_get(root, "ARC"), "arc", data, n, d, f);
        free(data);
        yyjson_doc_free(doc);
    }
}

/* The published rule, n - f - 2 nearest others: golden_byzfl.json names the update it chooses. */
static void krum_of_the_paper_chooses_the_update_with_the_lowest_score(void **state)
{
    bool is_checked = false;
    for (int i = 0; i < file_count; i++) {
        yyjson_doc *const doc = yyjson_read_file(files[i], 0, nullptr, nullptr);
        yyjson_val *const root = yyjson_doc_get_root(doc);
        yyjson_val *const best = yyjson_obj_get(root, "krum_argmin paper/Flower n-f-2");
        if (best != nullptr) {
            const uint64_t n = yyjson_get_uint(yyjson_obj_get(root, "n"));
            const uint64_t d = yyjson_get_uint(yyjson_obj_get(root, "d"));
            float *const data = read_rows(yyjson_obj_get(root, "X"), n, d);
            struct outcome outcome = run_recipe("krum f=3", data, n, d, 1);
            assert_int_equal(outcome.status, STATUS_OK);
            assert_true(outcome.report.weights[yyjson_get_uint(best)] == 1);
            assert_memory_equal(outcome.values, data + yyjson_get_uint(best) * d,
                                d * sizeof(float));
            outcome_deinit(&outcome);
            free(data);
            is_checked = true;
        }
        yyjson_doc_free(doc);
    }
    assert_true(is_checked);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_rule_that_byzfl_has_agrees_with_it),
        cmocka_unit_test(krum_of_the_paper_chooses_the_update_with_the_lowest_score),
    };
    file_count = argc - 1;
    files = argv + 1;
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}

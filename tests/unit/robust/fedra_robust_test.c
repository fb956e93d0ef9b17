/*
 * fedra_robust_test.c - libfedra through its header alone, linked as another program links it.
 */
#include <fedra/robust.h>

#include "testing.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { ROWS = 12, COLUMNS = 5, COUNT = ROWS * COLUMNS };

/* Element (i, k) is k + (i % 5) / 10; the last two rows are 1e9. */
static float element(size_t i, size_t k)
{
    return i < ROWS - 2 ? (float)k + (float)(i % 5) / 10 : 1e9f;
}

static enum fedra_status run(const struct fedra_rule *rule, const struct fedra_matrix *matrix,
                             unsigned threads, float *ret_result, struct fedra_report *report,
                             char error[512])
{
    size_t size = 0;
    error[0] = 0;
    enum fedra_status status = fedra_robust_workspace_size(rule, matrix->rows, matrix->columns,
                                                           threads, &size, error, 512);
    if (status != FEDRA_OK)
        return status;
    unsigned char *const workspace = malloc(size);
    memset(workspace, 0xa5, size);
    status = fedra_robust_aggregate(rule, matrix, threads, workspace, size, ret_result, report,
                                    error, 512);
    free(workspace);
    return status;
}

static void every_rule_runs_on_any_strides_and_gives_the_same_bits(void **state)
{
    float plain[COUNT];
    float columns[2 * COUNT];
    float backwards[COUNT];
    char error[512];
    for (size_t i = 0; i < ROWS; i++) {
        for (size_t k = 0; k < COLUMNS; k++) {
            plain[i * COLUMNS + k] = element(i, k);
            columns[2 * (k * ROWS + i)] = element(i, k);
            backwards[(ROWS - 1 - i) * COLUMNS + COLUMNS - 1 - k] = element(i, k);
        }
    }
    const struct fedra_matrix matrices[] = {
        {plain, ROWS, COLUMNS, COLUMNS, 1},
        {columns, ROWS, COLUMNS, 2, 2 * ROWS},
        {backwards + COUNT - 1, ROWS, COLUMNS, -COLUMNS, -1},
    };
    size_t count = 0;
    for (; fedra_robust_rule_name(count) != NULL; count++) {
        const struct fedra_rule rule = {.rule = fedra_robust_rule_name(count), .f = 2};
        float first[COLUMNS];
        for (size_t m = 0; m < 3; m++) {
            float result[COLUMNS];
            if (run(&rule, &matrices[m], (unsigned)m + 1, result, NULL, error) != FEDRA_OK)
                fail_msg("%s: %s", rule.rule, error);
            if (m == 0)
                memcpy(first, result, sizeof(first));
            assert_memory_equal(first, result, sizeof(first));
        }
        if (strcmp(rule.rule, "mean") != 0 && strcmp(rule.rule, "geometric_median") != 0 &&
            strcmp(rule.rule, "centered_clipping") != 0)
            assert_true(first[0] >= 0 && first[0] <= 0.4f);
    }
    assert_int_equal(count, 11);
    assert_string_equal(fedra_robust_pre_name(0), "nnm");
    assert_null(fedra_robust_pre_name(3));
}

static void the_report_names_weights_and_suspects(void **state)
{
    float data[COUNT];
    double weights[ROWS];
    unsigned char selected[ROWS];
    struct fedra_suspect suspects[ROWS];
    float result[COLUMNS];
    char error[512];
    for (size_t i = 0; i < COUNT; i++)
        data[i] = element(i / COLUMNS, i % COLUMNS);
    data[4] = NAN;
    const struct fedra_matrix matrix = {data, ROWS, COLUMNS, COLUMNS, 1};
    const struct fedra_rule rule = {.rule = "filter", .f = 3};
    struct fedra_report report = {.weights = weights, .selected = selected, .suspects = suspects};
    assert_int_equal(run(&rule, &matrix, 1, result, &report, error), FEDRA_OK);
    assert_int_equal(report.f, 3);
    assert_true(report.has_weights);
    assert_true(report.suspect_count >= 3);
    assert_int_equal(suspects[0].index, 0);
    assert_string_equal(suspects[0].reason, "non_finite");
    assert_false(selected[0] || selected[ROWS - 1] || selected[ROWS - 2]);
    double sum = 0;
    for (size_t i = 0; i < ROWS; i++)
        sum += weights[i];
    assert_true(fabs(sum - 1) < 1e-12);
}

static void wrong_arguments_are_told(void **state)
{
    static const float data[4] = {1, 2, 3, 4};
    static const char *const settings[] = {"m=2"};
    const struct fedra_matrix matrix = {data, 4, 1, 1, 1};
    float result[1];
    char error[512];
    size_t size = 0;
    assert_int_equal(run(&(struct fedra_rule){.rule = "maen"}, &matrix, 1, result, NULL, error),
                     FEDRA_INVALID);
    assert_non_null(strstr(error, "no rule maen"));
    assert_int_equal(
        run(&(struct fedra_rule){.rule = "krum", .f = 2}, &matrix, 1, result, NULL, error),
        FEDRA_INVALID);
    assert_int_equal(
        run(&(struct fedra_rule){.rule = "krum", .settings = settings, .setting_count = 1}, &matrix,
            1, result, NULL, error),
        FEDRA_INVALID);
    assert_int_equal(run(&(struct fedra_rule){.rule = "median"}, &matrix, 0, result, NULL, error),
                     FEDRA_LIMIT);
    assert_int_equal(run(&(struct fedra_rule){.rule = NULL}, &matrix, 1, result, NULL, error),
                     FEDRA_INVALID);
    const struct fedra_rule rule = {.rule = "median"};
    assert_int_equal(fedra_robust_workspace_size(&rule, 0, 1, 1, &size, NULL, 0), FEDRA_INVALID);
    assert_int_equal(fedra_robust_workspace_size(&rule, 1 << 20, 1, 1, &size, NULL, 0),
                     FEDRA_LIMIT);
    assert_int_equal(fedra_robust_aggregate(&rule, &matrix, 1, result, 4, result, NULL, error, 512),
                     FEDRA_INVALID);
    assert_non_null(strstr(error, "workspace"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_rule_runs_on_any_strides_and_gives_the_same_bits),
        cmocka_unit_test(the_report_names_weights_and_suspects),
        cmocka_unit_test(wrong_arguments_are_told),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}

/*
 * fedra_robust.c - the public C interface over robust.h: names become a recipe, strides a matrix,
 * and the report's memory lies on the workspace.
 */
#include "fedra/robust.h"

#include "base/text.h"
#include "robust/arena.h"
#include "robust/robust.h"

#include <stdio.h>

static enum fedra_status status_of(enum status status)
{
    switch (status_class_of(status)) {
    case STATUS_CLASS_OK:
        return FEDRA_OK;
    case STATUS_CLASS_PEER:
        return FEDRA_NOT_FINITE;
    case STATUS_CLASS_LIMIT:
        return FEDRA_LIMIT;
    case STATUS_CLASS_AGAIN:
    case STATUS_CLASS_IO:
    case STATUS_CLASS_CORRUPT:
    case STATUS_CLASS_INVAL:
    case STATUS_CLASS_CANCEL:
        return FEDRA_INVALID;
    }
    return FEDRA_INVALID;
}

static enum fedra_status finish(enum status status, const struct error *err, char *error,
                                size_t error_size)
{
    if (status != STATUS_OK && error != nullptr && error_size > 0)
        snprintf(error, error_size, "%s", err->text);
    return status_of(status);
}

static enum status make_recipe(const struct fedra_rule *rule, struct recipe *recipe,
                               struct error *err)
{
    enum status status = rule->rule != nullptr ? recipe_set_rule(recipe, rule->rule, err)
                                               : error_set(err, STATUS_INVAL, "no rule is named");
    for (size_t i = 0; i < rule->pre_count && status == STATUS_OK; i++)
        status = recipe_add_pre(recipe, rule->pre[i], err);
    for (size_t i = 0; i < rule->setting_count && status == STATUS_OK; i++)
        status = recipe_set_param(recipe, rule->settings[i], err);
    recipe->has_f = rule->f >= 0;
    recipe->f = rule->f >= 0 ? (uint64_t)rule->f : 0;
    return status == STATUS_OK ? recipe_check(recipe, err) : status;
}

/* Bytes of the report's arrays. */
static size_t report_size(size_t rows)
{
    return ARENA_ALIGNMENT + arena_bytes(rows, sizeof(double)) + arena_bytes(rows, sizeof(bool)) +
           arena_bytes(rows, sizeof(struct suspect));
}

static enum status find_size(const struct recipe *recipe, size_t rows, size_t columns,
                             unsigned threads, size_t *ret_size, struct error *err)
{
    const enum status status = robust_workspace_size(recipe, rows, columns, threads, ret_size, err);
    if (status == STATUS_OK)
        *ret_size += report_size(rows);
    return status;
}

enum fedra_status fedra_robust_workspace_size(const struct fedra_rule *rule, size_t rows,
                                              size_t columns, unsigned threads, size_t *ret_size,
                                              char *error, size_t error_size)
{
    struct recipe recipe = {0};
    struct error err = {0};
    size_t size = 0;
    enum status status = make_recipe(rule, &recipe, &err);
    if (status == STATUS_OK)
        status = find_size(&recipe, rows, columns, threads, &size, &err);
    if (status == STATUS_OK)
        *ret_size = size;
    return finish(status, &err, error, error_size);
}

static void fill_report(struct fedra_report *report, const struct robust_report *found, size_t rows)
{
    report->f = (size_t)found->f;
    report->has_weights = found->has_weights ? 1 : 0;
    report->suspect_count = found->suspect_count;
    for (size_t i = 0; i < rows; i++) {
        if (report->weights != nullptr)
            report->weights[i] = found->weights[i];
        if (report->selected != nullptr)
            report->selected[i] = found->is_selected[i] ? 1 : 0;
        if (report->suspects != nullptr && i < found->suspect_count)
            report->suspects[i] =
                (struct fedra_suspect){found->suspects[i].index, found->suspects[i].score,
                                       reason_suspected_name(found->suspects[i].reason)};
    }
}

enum fedra_status fedra_robust_aggregate(const struct fedra_rule *rule,
                                         const struct fedra_matrix *updates, unsigned threads,
                                         void *workspace, size_t workspace_size, float *ret_result,
                                         struct fedra_report *report, char *error,
                                         size_t error_size)
{
    const size_t rows = updates->rows;
    struct recipe recipe = {0};
    struct error err = {0};
    size_t needed = 0;
    enum status status = make_recipe(rule, &recipe, &err);
    if (status == STATUS_OK)
        status = find_size(&recipe, rows, updates->columns, threads, &needed, &err);
    if (status == STATUS_OK && workspace_size < needed)
        status = error_set(&err, STATUS_INVAL, "the workspace has %zu bytes; %zu are needed",
                           workspace_size, needed);
    if (status != STATUS_OK)
        return finish(status, &err, error, error_size);
    const size_t skipped =
        (ARENA_ALIGNMENT - (uintptr_t)workspace % ARENA_ALIGNMENT) % ARENA_ALIGNMENT;
    struct arena arena = {(uint8_t *)workspace + skipped, workspace_size - skipped, 0};
    struct robust_report found = {.weights = arena_take(&arena, rows, sizeof(double)),
                                  .is_selected = arena_take(&arena, rows, sizeof(bool)),
                                  .suspects = arena_take(&arena, rows, sizeof(struct suspect))};
    const struct strided_rows strided = {updates->data, updates->row_stride,
                                         updates->column_stride};
    const struct update_matrix matrix = update_matrix_strided(&strided, rows, updates->columns);
    status = robust_aggregate(&recipe, &matrix, threads, arena.base + arena.used,
                              arena.size - arena.used, ret_result, &found, &err);
    if (status == STATUS_OK && report != nullptr)
        fill_report(report, &found, rows);
    return finish(status, &err, error, error_size);
}

const char *fedra_robust_rule_name(size_t index)
{
    static_assert(RULE_VALIDATED + 1 == RULE_NNM); /* the only one that needs samples */
    return index < RULE_VALIDATED ? rule_get((enum rule_id)index)->name : nullptr;
}

const char *fedra_robust_pre_name(size_t index)
{
    return index < RULE_COUNT - RULE_NNM ? rule_get((enum rule_id)(RULE_NNM + index))->name
                                         : nullptr;
}

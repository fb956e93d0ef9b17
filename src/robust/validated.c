/*
 * validated.c - see validated.h.
 */
#include "robust/validated.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char *const names[] = {"mean", "caf", "nnm+trimmed_mean", "geometric_median"};

const char *validated_candidate_name(enum validated_candidate candidate)
{
    return names[candidate];
}

/* The rows that the filter left. */
struct survivors {
    const struct update_matrix *matrix;
    uint64_t *rows; /* u64[count] */
    uint64_t count;
};

static const float *read_survivor(const void *context, uint64_t row, uint64_t first, size_t count,
                                  float *buffer)
{
    const struct survivors *const survivors = context;
    const struct update_matrix *const matrix = survivors->matrix;
    return matrix->read(matrix->context, survivors->rows[row], first, count, buffer);
}

/* The report's arrays are scratch of n elements. */
static enum status run(const struct recipe *recipe, const struct update_matrix *matrix,
                       uint32_t threads, float *ret_values, struct robust_report *report,
                       struct error *err)
{
    size_t size = 0;
    enum status status = robust_workspace_size(recipe, matrix->n, matrix->d, threads, &size, err);
    void *const workspace = status == STATUS_OK ? malloc(size > 0 ? size : 1) : nullptr;
    if (status == STATUS_OK && workspace == nullptr)
        status = error_set(err, STATUS_NO_MEMORY, "no memory for an aggregation");
    if (status == STATUS_OK)
        status =
            robust_aggregate(recipe, matrix, threads, workspace, size, ret_values, report, err);
    free(workspace);
    return status;
}

static struct recipe recipe_of(enum validated_candidate candidate, uint64_t f)
{
    struct recipe recipe = {.has_f = true, .f = f};
    switch (candidate) {
    case VALIDATED_CAF:
        recipe.rule = RULE_CAF;
        break;
    case VALIDATED_NNM_TRIMMED_MEAN:
        recipe.rule = RULE_TRIMMED_MEAN;
        recipe.pre[recipe.pre_count++] = RULE_NNM;
        break;
    case VALIDATED_GEOMETRIC_MEDIAN:
        recipe.rule = RULE_GEOMETRIC_MEDIAN;
        break;
    case VALIDATED_MEAN:
    case VALIDATED_COUNT:
        recipe.rule = RULE_MEAN;
        break;
    }
    return recipe;
}

/* Those that survived, with the f that is left; f32[COUNT][d]. A candidate that does not fit so few
 * is infinitely bad. */
static enum status make_candidates(const struct survivors *survivors, uint64_t f,
                                   const struct validated_call *call, float *candidates,
                                   double *losses, struct error *err)
{
    const struct update_matrix matrix = {
        .n = survivors->count, .d = call->matrix->d, .context = survivors, .read = read_survivor};
    double *const weights = malloc(sizeof(*weights) * survivors->count);
    bool *const is_selected = malloc(sizeof(*is_selected) * survivors->count);
    struct suspect *const suspects = malloc(sizeof(*suspects) * survivors->count);
    enum status status = weights && is_selected && suspects
                             ? STATUS_OK
                             : error_set(err, STATUS_NO_MEMORY, "no memory for a choice");
    for (int i = 0; i < VALIDATED_COUNT && status == STATUS_OK; i++) {
        struct recipe recipe = recipe_of((enum validated_candidate)i, f);
        uint64_t possible = 0;
        struct robust_report report = {
            .weights = weights, .is_selected = is_selected, .suspects = suspects};
        float *const values = candidates + (uint64_t)i * matrix.d;
        losses[i] = (double)INFINITY;
        if (recipe_find_f(&recipe, matrix.n, &possible, nullptr) != STATUS_OK)
            continue;
        status = run(&recipe, &matrix, call->threads, values, &report, err);
        if (status == STATUS_OK)
            losses[i] = call->loss(call->context, values);
    }
    free(weights);
    free(is_selected);
    free(suspects);
    return status;
}

/* The least excess, averaged over the rounds; the first of equals. */
static enum validated_candidate choose(struct validated *state, const double *losses)
{
    double best = (double)INFINITY;
    enum validated_candidate chosen = VALIDATED_MEAN;
    for (int i = 0; i < VALIDATED_COUNT; i++)
        best = losses[i] < best ? losses[i] : best;
    for (int i = 0; i < VALIDATED_COUNT; i++) {
        double excess = losses[i] - best;
        if (!(excess <= VALIDATED_EXCESS_MAX)) /* not a number, or infinite */
            excess = VALIDATED_EXCESS_MAX;
        state->excess[i] =
            VALIDATED_SMOOTHING * state->excess[i] + (1 - VALIDATED_SMOOTHING) * excess;
    }
    for (int i = 1; i < VALIDATED_COUNT; i++) {
        if (isfinite(losses[i]) &&
            (!isfinite(losses[chosen]) || state->excess[i] < state->excess[chosen]))
            chosen = (enum validated_candidate)i;
    }
    return chosen;
}

enum status validated_aggregate(struct validated *state, const struct validated_call *call,
                                float *ret_values, struct robust_report *report,
                                enum validated_candidate *ret_chosen, struct error *err)
{
    const uint64_t n = call->matrix->n;
    const uint64_t d = call->matrix->d;
    const struct recipe filter = {.rule = RULE_FILTER, .has_f = true, .f = call->f};
    double losses[VALIDATED_COUNT];
    struct survivors survivors = {.matrix = call->matrix};
    float *candidates = nullptr;
    enum status status = run(&filter, call->matrix, call->threads, ret_values, report, err);
    if (status != STATUS_OK)
        return status;
    survivors.rows = malloc(sizeof(*survivors.rows) * n);
    candidates = malloc(sizeof(*candidates) * VALIDATED_COUNT * (d > 0 ? d : 1));
    if (survivors.rows == nullptr || candidates == nullptr) {
        status = error_set(err, STATUS_NO_MEMORY, "no memory for a choice");
        goto out;
    }
    for (uint64_t i = 0; i < n; i++) {
        if (report->is_selected[i])
            survivors.rows[survivors.count++] = i;
    }
    const uint64_t gone = n - survivors.count;
    if (survivors.count > 0)
        status = make_candidates(&survivors, call->f > gone ? call->f - gone : 0, call, candidates,
                                 losses, err);
    if (status == STATUS_OK && survivors.count > 0) {
        const enum validated_candidate chosen = choose(state, losses);
        if (isfinite(losses[chosen]))
            memcpy(ret_values, candidates + (uint64_t)chosen * d, sizeof(*ret_values) * d);
        if (ret_chosen != nullptr)
            *ret_chosen = chosen;
    }
out:
    free(survivors.rows);
    free(candidates);
    return status;
}

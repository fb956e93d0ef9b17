/*
 * validated.c - see validated.h.
 */
#include "robust/validated.h"

#include "base/check.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { STATE_VERSION = 1, STATE_BYTES = 8 + 8 * VALIDATED_COUNT };

static const char *const names[VALIDATED_COUNT] = {"mean", "caf", "nnm+trimmed_mean",
                                                   "geometric_median"};

const char *validated_candidate_name(enum validated_candidate candidate)
{
    return names[candidate];
}

bool validated_candidate_find(const char *name, enum validated_candidate *ret_candidate)
{
    for (int i = 0; i < VALIDATED_COUNT; i++) {
        if (strcmp(names[i], name) == 0) {
            *ret_candidate = (enum validated_candidate)i;
            return true;
        }
    }
    return false;
}

/* The rows that the filter left. */
struct survivors {
    const struct update_matrix *matrix;
    uint64_t *rows; /* u64[count] */
    uint64_t count;
    uint64_t f; /* that may still be among them */
};

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

/* What the filter leaves; the rows are the caller's to free, also on error. */
static enum status filter_out(const struct validated_call *call, float *ret_values,
                              struct robust_report *report, struct survivors *survivors,
                              struct error *err)
{
    const uint64_t n = call->matrix->n;
    const struct recipe filter = {.rule = RULE_FILTER, .has_f = true, .f = call->f};
    const enum status status = run(&filter, call->matrix, call->threads, ret_values, report, err);
    if (status != STATUS_OK)
        return status;
    survivors->matrix = call->matrix;
    survivors->rows = malloc(sizeof(*survivors->rows) * n);
    if (survivors->rows == nullptr)
        return error_set(err, STATUS_NO_MEMORY, "no memory for a choice");
    for (uint64_t i = 0; i < n; i++) {
        if (report->is_selected[i])
            survivors->rows[survivors->count++] = i;
    }
    CHECK(survivors->count > 0); /* it never drops a half */
    const uint64_t gone = n - survivors->count;
    survivors->f = call->f > gone ? call->f - gone : 0;
    return STATUS_OK;
}

/* One candidate of the survivors, f32[d]. INVAL: it does not fit so few. */
static enum status make_candidate(enum validated_candidate candidate,
                                  const struct survivors *survivors, uint32_t threads,
                                  float *ret_values, struct error *err)
{
    const struct picked_rows picked = {survivors->matrix, survivors->rows};
    const struct update_matrix matrix = update_matrix_picked(&picked, survivors->count);
    const struct recipe recipe = recipe_of(candidate, survivors->f);
    uint64_t possible = 0;
    enum status status = recipe_find_f(&recipe, matrix.n, &possible, err);
    if (status != STATUS_OK)
        return status;
    struct robust_report report = {.weights = malloc(sizeof(*report.weights) * survivors->count),
                                   .is_selected =
                                       malloc(sizeof(*report.is_selected) * survivors->count),
                                   .suspects = malloc(sizeof(*report.suspects) * survivors->count)};
    status = report.weights && report.is_selected && report.suspects
                 ? run(&recipe, &matrix, threads, ret_values, &report, err)
                 : error_set(err, STATUS_NO_MEMORY, "no memory for a choice");
    free(report.weights);
    free(report.is_selected);
    free(report.suspects);
    return status;
}

/* f32[COUNT][d]. A candidate that does not fit so few is infinitely bad. */
static enum status make_candidates(const struct survivors *survivors,
                                   const struct validated_call *call, float *candidates,
                                   double *losses, struct error *err)
{
    for (int i = 0; i < VALIDATED_COUNT; i++) {
        float *const values = candidates + (uint64_t)i * call->matrix->d;
        const enum status status =
            make_candidate((enum validated_candidate)i, survivors, call->threads, values, err);
        if (status != STATUS_OK && status != STATUS_INVAL)
            return status;
        losses[i] = status == STATUS_OK ? call->loss(call->context, values) : (double)INFINITY;
    }
    return STATUS_OK;
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
    const uint64_t d = call->matrix->d;
    double losses[VALIDATED_COUNT];
    struct survivors survivors = {0};
    float *const candidates = malloc(sizeof(*candidates) * VALIDATED_COUNT * (d > 0 ? d : 1));
    enum status status = candidates != nullptr
                             ? filter_out(call, ret_values, report, &survivors, err)
                             : error_set(err, STATUS_NO_MEMORY, "no memory for a choice");
    if (status == STATUS_OK)
        status = make_candidates(&survivors, call, candidates, losses, err);
    if (status == STATUS_OK) {
        const enum validated_candidate chosen = choose(state, losses);
        memcpy(ret_values, candidates + (uint64_t)chosen * d, sizeof(*ret_values) * d);
        if (ret_chosen != nullptr)
            *ret_chosen = chosen;
    }
    free(survivors.rows);
    free(candidates);
    return status;
}

enum status validated_repeat(enum validated_candidate candidate, const struct validated_call *call,
                             float *ret_values, struct robust_report *report, struct error *err)
{
    struct survivors survivors = {0};
    enum status status = filter_out(call, ret_values, report, &survivors, err);
    if (status == STATUS_OK)
        status = make_candidate(candidate, &survivors, call->threads, ret_values, err);
    free(survivors.rows);
    return status;
}

/* ---- the state as bytes: u32 version, u32 count, f64[count] excess ---- */

enum status validated_encode(const struct validated *state, struct bytes *ret_bytes)
{
    uint8_t out[STATE_BYTES];
    store_u32le(out, STATE_VERSION);
    store_u32le(out + 4, VALIDATED_COUNT);
    for (size_t i = 0; i < VALIDATED_COUNT; i++) {
        uint64_t bits = 0;
        memcpy(&bits, &state->excess[i], sizeof(bits));
        store_u64le(out + 8 + 8 * i, bits);
    }
    return bytes_append(ret_bytes, out, sizeof(out));
}

enum status validated_decode(struct slice bytes, struct validated *ret_state, struct error *err)
{
    struct validated state;
    if (bytes.size < 8)
        return error_set(err, STATUS_CORRUPT, "the state of the choice ends after %zu bytes",
                         bytes.size);
    if (load_u32le(bytes.data) != STATE_VERSION || load_u32le(bytes.data + 4) != VALIDATED_COUNT)
        return error_set(err, STATUS_VERSION,
                         "the state of the choice has version %u and %u candidates, this Fedra "
                         "reads version %d with %d",
                         load_u32le(bytes.data), load_u32le(bytes.data + 4), STATE_VERSION,
                         VALIDATED_COUNT);
    if (bytes.size != STATE_BYTES)
        return error_set(err, STATUS_CORRUPT, "the state of the choice has %zu bytes, not %d",
                         bytes.size, STATE_BYTES);
    for (size_t i = 0; i < VALIDATED_COUNT; i++) {
        const uint64_t bits = load_u64le(bytes.data + 8 + 8 * i);
        memcpy(&state.excess[i], &bits, sizeof(bits));
        if (!(state.excess[i] >= 0 && state.excess[i] <= VALIDATED_EXCESS_MAX))
            return error_set(err, STATUS_CORRUPT, "the state of the choice is damaged");
    }
    *ret_state = state;
    return STATUS_OK;
}

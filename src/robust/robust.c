/*
 * robust.c - one run of a recipe: finite rows and norms, distances, what goes before, the rule, the
 * last pass.
 */
#include "robust/robust.h"

#include "base/check.h"
#include "kern/kern.h"
#include "robust/last_pass.h"
#include "robust/rules.h"

#include <math.h>

/* All of one run, on the workspace. */
struct run {
    const struct recipe *recipe;
    struct robust_report *report;
    struct arena arena;
    struct tiles tiles;
    struct frame frame;
    struct points points;
    double *norms;    /* f64[n], of the rows that are read */
    double *weights;  /* f64[n + 1], of points */
    double *shares;   /* f64[n + 1], of the rows that are read */
    uint32_t *chosen; /* u32[n], of points */
    uint64_t f;       /* that is left to reckon with */
    uint64_t refused; /* rows that are not finite */
    size_t sum_count;
};

const char *reason_suspected_name(enum reason_suspected reason)
{
    static const char *const names[] = {"norm", "direction", "distance", "collusion", "non_finite"};
    CHECK(reason < sizeof(names) / sizeof(names[0]));
    return names[reason];
}

size_t rules_size(const struct recipe *recipe, uint64_t n, uint64_t d)
{
    /* The largest of all: two matrices, and vectors that are a few dozen at most. */
    enum { VECTORS_MAX = 40 };
    size_t size = 2 * arena_bytes((n + 1) * (n + 1), sizeof(double)) +
                  VECTORS_MAX * arena_bytes(n + 1, sizeof(double)) + top_direction_size(n);
    if (recipe->rule == RULE_DNC) {
        const double drawn = recipe_value(recipe, RULE_DNC, PARAM_COORDINATES);
        size += arena_bytes((double)d < drawn ? (size_t)d : (size_t)drawn, sizeof(uint64_t));
    }
    return size;
}

/* Sums that one tile adds up to: inner products, or norms. */
static size_t count_sums(const struct recipe *recipe, uint64_t n)
{
    return recipe_uses_distances(recipe) ? (n + 1) * (n + 1) : n;
}

enum status robust_workspace_size(const struct recipe *recipe, uint64_t n, uint64_t d,
                                  uint32_t threads, size_t *ret_size, struct error *err)
{
    if (n < 1)
        return error_set(err, STATUS_INVAL, "there are no updates");
    if (n > ROBUST_ROWS_MAX)
        return error_set(err, STATUS_LIMIT, "%llu updates, at most %d are allowed",
                         (unsigned long long)n, ROBUST_ROWS_MAX);
    if (threads < 1 || threads > TILES_THREADS_MAX)
        return error_set(err, STATUS_LIMIT, "%u threads; 1 to %d are allowed", threads,
                         TILES_THREADS_MAX);
    size_t size = ARENA_ALIGNMENT + tiles_size(n, threads, count_sums(recipe, n)) +
                  3 * arena_bytes(n + 1, sizeof(double)) + arena_bytes(n, sizeof(uint32_t));
    if (recipe_uses_distances(recipe))
        size += geometry_size(n) + rules_size(recipe, n, d);
    *ret_size = size;
    return STATUS_OK;
}

static void measure_norms(const struct tiles *tiles, struct tile_lane *lane, uint64_t first,
                          size_t count, void *context)
{
    tiles_read(tiles, lane, first, count);
    for (uint32_t i = 0; i < tiles->row_count; i++) {
        double norm_squared = INFINITY;
        if (!kern_get()->check_finite_and_norm(lane->rows[i], count, &norm_squared))
            norm_squared = INFINITY;
        lane->sums[i] = norm_squared;
    }
}

/* Norms of all rows; those that are not finite are suspected and read no more. */
static enum status refuse_rows(struct run *run, struct error *err)
{
    struct tiles *const tiles = &run->tiles;
    struct robust_report *const report = run->report;
    uint32_t kept = 0;
    tiles_run(tiles, measure_norms, nullptr, tiles->row_count, run->norms);
    for (uint32_t i = 0; i < tiles->row_count; i++) {
        if (isinf(run->norms[i])) {
            report->suspects[report->suspect_count++] =
                (struct suspect){.index = i, .reason = SUSPECTED_NON_FINITE};
            continue;
        }
        tiles->rows[kept] = i;
        run->norms[kept++] = sqrt(run->norms[i]);
    }
    run->refused = tiles->row_count - kept;
    tiles->row_count = kept;
    return kept > 0 ? STATUS_OK
                    : error_set(err, STATUS_PEER, "every update holds a value that is not finite");
}

static void apply_pres(struct run *run, struct rule_call *call)
{
    for (uint32_t i = 0; i < run->recipe->pre_count; i++) {
        call->rule = run->recipe->pre[i];
        if (call->rule == RULE_NNM)
            pre_nnm(call);
        else if (call->rule == RULE_BUCKETING)
            pre_bucketing(call);
        else
            pre_arc(call);
    }
    call->rule = run->recipe->rule;
}

/* The function of a rule that gives weights, null for others. */
static rule_weigh *weigh_of(enum rule_id id)
{
    static rule_weigh *const functions[RULE_COUNT] = {
        [RULE_MEAN] = rule_mean,
        [RULE_GEOMETRIC_MEDIAN] = rule_geometric_median,
        [RULE_KRUM] = rule_krum,
        [RULE_MULTI_KRUM] = rule_multi_krum,
        [RULE_CENTERED_CLIPPING] = rule_centered_clipping,
        [RULE_CAF] = rule_caf,
        [RULE_DNC] = rule_dnc,
        [RULE_FILTER] = rule_filter,
    };
    return functions[id];
}

/* Suspected points are updates only where no buckets were made of them. */
static void report_suspects(struct run *run, const struct rule_call *call)
{
    struct robust_report *const report = run->report;
    if (run->points.count != run->points.source_count)
        return;
    for (size_t i = 0; i < call->suspect_count; i++) {
        struct suspect suspect = call->suspects[i];
        suspect.index = run->tiles.rows[suspect.index];
        report->suspects[report->suspect_count++] = suspect;
    }
}

/* The weights of rows that a rule gave; rows without weight are read no more. */
static void finish_weights(struct run *run, struct last_pass *pass)
{
    struct tiles *const tiles = &run->tiles;
    uint32_t kept = 0;
    points_weigh_sources(&run->points, run->weights, run->shares);
    for (uint32_t i = 0; i < tiles->row_count; i++) {
        const double share = run->shares[i];
        run->report->weights[tiles->rows[i]] = share;
        run->report->is_selected[tiles->rows[i]] = share > 0;
        if (share == 0)
            continue;
        run->shares[kept] = share;
        tiles->rows[kept++] = tiles->rows[i];
    }
    tiles->row_count = kept;
    run->report->has_weights = true;
    pass->points = nullptr;
    pass->kind = LAST_WEIGHTED_SUM;
    pass->weights = run->shares;
    pass->point_count = kept;
}

/* Rows that a rule by coordinates reads: all that the chosen points are made of. */
static void select_rows(struct run *run, const struct last_pass *pass)
{
    const struct points *const points = pass->points;
    const bool has_parts = points != nullptr && points->coefficients != nullptr;
    for (size_t k = 0; k < pass->point_count; k++) {
        const size_t point = pass->chosen == nullptr ? k : pass->chosen[k];
        if (!has_parts) {
            run->report->is_selected[run->tiles.rows[point]] = true;
            continue;
        }
        for (uint32_t i = 0; i < run->tiles.row_count; i++) {
            if (points->coefficients[point * (points->source_count + 1) + i] > 0)
                run->report->is_selected[run->tiles.rows[i]] = true;
        }
    }
}

static size_t trim_of(const struct run *run, size_t point_count)
{
    const double beta = recipe_value(run->recipe, RULE_TRIMMED_MEAN, PARAM_BETA);
    const uint64_t trim = isnan(beta) ? run->f : recipe_trim(beta, point_count);
    return (size_t)trim;
}

/* A rule by coordinates; its points are already made where there are any. */
static void choose_coordinates(struct run *run, struct rule_call *call, struct last_pass *pass)
{
    pass->point_count = pass->points != nullptr ? run->points.count : run->tiles.row_count;
    if (run->recipe->rule == RULE_MEDIAN) {
        pass->kind = LAST_MEDIAN;
    } else if (run->recipe->rule == RULE_TRIMMED_MEAN) {
        pass->kind = LAST_TRIMMED_MEAN;
        pass->amount = trim_of(run, pass->point_count);
    } else {
        CHECK(run->recipe->rule == RULE_BULYAN);
        pass->kind = LAST_NEAREST_MEAN;
        pass->amount = pass->point_count - 4 * (size_t)run->f;
        pass->point_count = bulyan_choose(call, run->chosen);
        pass->chosen = run->chosen;
    }
    select_rows(run, pass);
}

static void aggregate(struct run *run, float *ret_values)
{
    struct last_pass pass = {.ret_values = ret_values};
    struct rule_call call = {.recipe = run->recipe,
                             .rule = run->recipe->rule,
                             .f = run->f,
                             .points = &run->points,
                             .arena = &run->arena,
                             .tiles = &run->tiles,
                             .frame = &run->frame};
    if (recipe_uses_distances(run->recipe)) {
        run->frame = frame_choose(run->tiles.row_count, run->norms, run->chosen);
        points_measure(&run->points, &run->tiles, &run->frame, &run->arena);
        call.suspects = arena_take(&run->arena, run->tiles.row_count, sizeof(*call.suspects));
        apply_pres(run, &call);
        pass.points = &run->points;
    } else {
        const size_t count = run->tiles.row_count;
        run->points = (struct points){.count = count, .side = count + 1, .source_count = count};
    }
    rule_weigh *const weigh = weigh_of(run->recipe->rule);
    if (weigh == nullptr) {
        choose_coordinates(run, &call, &pass);
    } else {
        weigh(&call, run->weights);
        report_suspects(run, &call);
        finish_weights(run, &pass);
    }
    last_pass_run(&pass, &run->tiles);
}

enum status robust_aggregate(const struct recipe *recipe, const struct update_matrix *matrix,
                             uint32_t threads, void *workspace, size_t workspace_size,
                             float *ret_values, struct robust_report *report, struct error *err)
{
    const uint64_t n = matrix->n;
    size_t needed = 0;
    uint64_t f = 0;
    enum status status = recipe_check(recipe, err);
    if (status == STATUS_OK)
        status = robust_workspace_size(recipe, n, matrix->d, threads, &needed, err);
    if (status == STATUS_OK)
        status = recipe_find_f(recipe, n, &f, err);
    if (status == STATUS_OK && workspace_size < needed)
        status = error_set(err, STATUS_INVAL, "the workspace has %zu bytes; %zu are needed",
                           workspace_size, needed);
    if (status != STATUS_OK)
        return status;
    const size_t skipped =
        (ARENA_ALIGNMENT - (uintptr_t)workspace % ARENA_ALIGNMENT) % ARENA_ALIGNMENT;
    struct run run = {.recipe = recipe,
                      .report = report,
                      .arena = {(uint8_t *)workspace + skipped, workspace_size - skipped, 0}};
    tiles_init(&run.tiles, matrix, threads, count_sums(recipe, n), &run.arena);
    run.norms = arena_take(&run.arena, n + 1, sizeof(double));
    run.weights = arena_take(&run.arena, n + 1, sizeof(double));
    run.shares = arena_take(&run.arena, n + 1, sizeof(double));
    run.chosen = arena_take(&run.arena, n, sizeof(uint32_t));
    report->f = f;
    report->suspect_count = 0;
    report->has_weights = false;
    for (uint64_t i = 0; i < n; i++) {
        report->weights[i] = 0;
        report->is_selected[i] = false;
    }
    status = refuse_rows(&run, err);
    if (status != STATUS_OK)
        return status;
    struct recipe left = *recipe;
    left.has_f = true;
    left.f = f > run.refused ? f - run.refused : 0;
    left.is_set[PARAM_BETA] = false;
    run.f = left.f;
    status = recipe_find_f(&left, run.tiles.row_count, &run.f, err);
    if (status == STATUS_OK)
        aggregate(&run, ret_values);
    return status;
}

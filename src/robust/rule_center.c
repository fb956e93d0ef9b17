/*
 * rule_center.c - rules that look for a centre step by step, none of which touches the data: the
 * mean, the geometric median and centred clipping.
 */
#include "robust/rules.h"

#include "base/check.h"

#include <math.h>

/* The geometric median: see find_geometric_median. */
static const double smoothing = 1e-6; /* of the median distance */
static const double settled = 1e-10;  /* how far the centre moves, of the median distance */
enum { WEISZFELD_STEPS_MAX = 10000, WEISZFELD_WORK_MAX = 1 << 30 };

void rule_mean(struct rule_call *call, double *ret_weights)
{
    const size_t count = call->points->count;
    for (size_t i = 0; i < count; i++)
        ret_weights[i] = 1.0 / (double)count;
    ret_weights[count] = 0;
}

static bool is_in(const bool *is_active, size_t i)
{
    return is_active == nullptr || is_active[i];
}

/* The lower median of the distances from the active points to z. */
static double median_distance(const double *distances, const bool *is_active, size_t count,
                              uint32_t *order)
{
    size_t used = 0;
    for (uint32_t i = 0; i < count; i++) {
        if (is_in(is_active, i))
            order[used++] = i;
    }
    sort_by_key(order, used, distances);
    return sqrt(distances[order[(used - 1) / 2]]);
}

/*
 * New weights from distances. Gives a bound of how far the centre moves by that: a weight of 1e-20
 * counts where the update is 1e30 away.
 */
static double step_weights(const struct points *points, const double *distances,
                           const bool *is_active, double least, double *weights)
{
    const size_t count = points->count;
    double sum = 0;
    double moved = 0;
    for (size_t i = 0; i < count; i++) {
        if (is_in(is_active, i))
            sum += 1 / fmax(sqrt(distances[i]), least);
    }
    for (size_t i = 0; i < count; i++) {
        if (!is_in(is_active, i))
            continue;
        const double weight = 1 / fmax(sqrt(distances[i]), least) / sum;
        moved += fabs(weight - weights[i]) * sqrt(points->gram[i * points->side + i]);
        weights[i] = weight;
    }
    return moved;
}

void find_geometric_median(const struct points *points, const bool *is_active, struct arena *arena,
                           double *ret_weights)
{
    const size_t count = points->count;
    const size_t used = arena->used;
    double *const distances = arena_take(arena, points->side, sizeof(*distances));
    uint32_t *const order = arena_take(arena, points->side, sizeof(*order));
    size_t active = 0;
    for (size_t i = 0; i < count; i++)
        active += is_in(is_active, i) ? 1 : 0;
    for (size_t i = 0; i < points->side; i++)
        ret_weights[i] = i < count && is_in(is_active, i) ? 1.0 / (double)active : 0;
    CHECK(points->side > 0);
    const uint64_t afforded = WEISZFELD_WORK_MAX / (points->side * points->side) + 100;
    const uint64_t steps = afforded < WEISZFELD_STEPS_MAX ? afforded : WEISZFELD_STEPS_MAX;
    for (uint64_t i = 0; i < steps; i++) {
        points_distances_from(points, ret_weights, distances);
        const double median = median_distance(distances, is_active, count, order);
        if (!(median > 0))
            break; /* most points are where the centre is */
        if (step_weights(points, distances, is_active, smoothing * median, ret_weights) <
            settled * median)
            break;
    }
    arena->used = used;
}

void rule_geometric_median(struct rule_call *call, double *ret_weights)
{
    find_geometric_median(call->points, nullptr, call->arena, ret_weights);
}

void rule_centered_clipping(struct rule_call *call, double *ret_weights)
{
    const struct points *const points = call->points;
    const double tau = recipe_value(call->recipe, call->rule, PARAM_TAU);
    const uint64_t steps = (uint64_t)recipe_value(call->recipe, call->rule, PARAM_ITERATIONS);
    const size_t used = call->arena->used;
    double *const distances = arena_take(call->arena, points->side, sizeof(*distances));
    memset(ret_weights, 0, points->side * sizeof(*ret_weights));
    ret_weights[points->count] = 1; /* the origin */
    for (uint64_t step = 0; step < steps; step++) {
        double kept = 1;
        points_distances_from(points, ret_weights, distances);
        for (size_t i = 0; i < points->count; i++) {
            const double distance = sqrt(distances[i]);
            distances[i] = (distance > tau ? tau / distance : 1) / (double)points->count;
            kept -= distances[i];
        }
        for (size_t i = 0; i < points->side; i++)
            ret_weights[i] = kept * ret_weights[i] + (i < points->count ? distances[i] : 0);
    }
    call->arena->used = used;
}

/*
 * rule_pre.c - what goes before a rule: nearest neighbour mixing, bucketing, adaptive clipping.
 * Each makes new points of the old ones; the data are not touched.
 */
#include "base/random.h"
#include "robust/rules.h"

#include <math.h>

void pre_nnm(struct rule_call *call)
{
    struct points *const points = call->points;
    const size_t count = points->count;
    const size_t kept = count - (size_t)call->f;
    const size_t used = call->arena->used;
    double *const map = arena_take_zeroed(call->arena, count * points->side, sizeof(*map));
    uint32_t *const order = arena_take(call->arena, count, sizeof(*order));
    for (size_t i = 0; i < count; i++) {
        order_by_key(order, count, points->distances + i * points->side);
        for (size_t k = 0; k < kept; k++)
            map[i * points->side + order[k]] = 1.0 / (double)kept;
    }
    points_map(points, map, count);
    call->arena->used = used;
}

void pre_bucketing(struct rule_call *call)
{
    struct points *const points = call->points;
    const size_t count = points->count;
    const double s = recipe_value(call->recipe, call->rule, PARAM_S);
    const size_t size = s < (double)count ? (size_t)s : count;
    const size_t buckets = count / size + (count % size != 0);
    const size_t used = call->arena->used;
    double *const map = arena_take_zeroed(call->arena, buckets * points->side, sizeof(*map));
    uint32_t *const order = arena_take(call->arena, count, sizeof(*order));
    struct random random;
    random_init(&random, (uint64_t)recipe_value(call->recipe, call->rule, PARAM_SEED),
                RULE_BUCKETING, 0);
    for (uint32_t j = 0; j < count; j++)
        order[j] = j;
    random_shuffle_u32(&random, order, (uint32_t)count);
    for (size_t k = 0; k < count; k++) {
        const size_t bucket = k / size;
        const size_t filled = bucket + 1 < buckets ? size : count - bucket * size;
        map[bucket * points->side + order[k]] = 1.0 / (double)filled;
    }
    points_map(points, map, buckets);
    call->arena->used = used;
}

void pre_arc(struct rule_call *call)
{
    struct points *const points = call->points;
    const size_t count = points->count;
    const size_t clipped = (size_t)(2 * call->f * (count - call->f) / count);
    const size_t used = call->arena->used;
    double *const map = arena_take_zeroed(call->arena, count * points->side, sizeof(*map));
    uint32_t *const order = arena_take(call->arena, count, sizeof(*order));
    const double *const norms = points->distances + count * points->side; /* to the origin */
    order_by_key(order, count, norms);
    const double bound = sqrt(norms[order[count > clipped ? count - clipped - 1 : 0]]);
    for (size_t i = 0; i < count; i++) {
        const double norm = sqrt(norms[i]);
        const double kept = norm > bound ? bound / norm : 1;
        map[i * points->side + i] = kept;
        map[i * points->side + count] = 1 - kept;
    }
    points_map(points, map, count);
    call->arena->used = used;
}

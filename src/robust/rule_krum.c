/*
 * rule_krum.c - Krum, multi-Krum and the choice of Bulyan: scores from the nearest others.
 */
#include "robust/rules.h"

#include <math.h>

/* How many others a score sums over where so many points are left. */
static size_t neighbour_count(const struct rule_call *call, size_t left)
{
    const size_t taken =
        (size_t)call->f +
        (recipe_value(call->recipe, call->rule, PARAM_NEIGHBOURS) == NEIGHBOURS_BYZFL ? 1 : 2);
    /* Late in Bulyan's choice the definition runs out of neighbours: the nearest one remains. */
    return left > taken + 1 ? left - taken : left > 1 ? 1 : 0;
}

/* The others of each point, nearest first: u32[count * count]; row i ends with i itself. */
static void sort_neighbours(const struct points *points, uint32_t *ret_order)
{
    const size_t count = points->count;
    for (size_t i = 0; i < count; i++) {
        uint32_t *const order = ret_order + i * count;
        size_t used = 0;
        for (uint32_t j = 0; j < count; j++) {
            if (j != i)
                order[used++] = j;
        }
        order[used] = (uint32_t)i;
        sort_by_key(order, used, points->distances + i * points->side);
    }
}

/* Scores of the points that are left, infinity for the others. */
static void find_scores(const struct points *points, const uint32_t *order, const bool *is_left,
                        size_t neighbours, double *ret_scores)
{
    const size_t count = points->count;
    for (size_t i = 0; i < count; i++) {
        double score = 0;
        size_t taken = 0;
        for (size_t k = 0; k + 1 < count && taken < neighbours; k++) {
            const uint32_t other = order[i * count + k];
            if (is_left[other]) {
                score += points->distances[i * points->side + other];
                taken++;
            }
        }
        ret_scores[i] = is_left[i] ? score : INFINITY;
    }
}

/* The chosen of the lowest scores, lowest first: u32[points->count], the first chosen of them. */
static void choose_lowest(struct rule_call *call, uint32_t *ret_indices)
{
    const struct points *const points = call->points;
    const size_t used = call->arena->used;
    uint32_t *const order = arena_take(call->arena, points->count * points->count, sizeof(*order));
    bool *const is_left = arena_take(call->arena, points->count, sizeof(*is_left));
    double *const scores = arena_take(call->arena, points->count, sizeof(*scores));
    for (uint32_t i = 0; i < points->count; i++) {
        ret_indices[i] = i;
        is_left[i] = true;
    }
    sort_neighbours(points, order);
    find_scores(points, order, is_left, neighbour_count(call, points->count), scores);
    sort_by_key(ret_indices, points->count, scores);
    call->arena->used = used;
}

static void average_lowest(struct rule_call *call, size_t m, double *ret_weights)
{
    const size_t used = call->arena->used;
    uint32_t *const indices = arena_take(call->arena, call->points->count, sizeof(*indices));
    choose_lowest(call, indices);
    memset(ret_weights, 0, call->points->side * sizeof(*ret_weights));
    for (size_t i = 0; i < m; i++)
        ret_weights[indices[i]] = 1.0 / (double)m;
    call->arena->used = used;
}

void rule_krum(struct rule_call *call, double *ret_weights)
{
    average_lowest(call, 1, ret_weights);
}

void rule_multi_krum(struct rule_call *call, double *ret_weights)
{
    const size_t count = call->points->count;
    const double m = recipe_value(call->recipe, call->rule, PARAM_M);
    const size_t fallback = count - (size_t)call->f;
    average_lowest(call, isnan(m) ? fallback : m < (double)count ? (size_t)m : count, ret_weights);
}

/* One by one, the scores anew among those that are left (El Mhamdi et al., section 3). */
static void choose_repeatedly(struct rule_call *call, size_t wanted, bool *is_left)
{
    const struct points *const points = call->points;
    const size_t used = call->arena->used;
    uint32_t *const order = arena_take(call->arena, points->count * points->count, sizeof(*order));
    double *const scores = arena_take(call->arena, points->count, sizeof(*scores));
    sort_neighbours(points, order);
    for (size_t done = 0; done < wanted; done++) {
        find_scores(points, order, is_left, neighbour_count(call, points->count - done), scores);
        size_t best = points->count;
        for (size_t i = 0; i < points->count; i++) {
            if (is_left[i] && (best == points->count || scores[i] < scores[best]))
                best = i;
        }
        is_left[best] = false;
    }
    call->arena->used = used;
}

size_t bulyan_choose(struct rule_call *call, uint32_t *ret_chosen)
{
    const size_t count = call->points->count;
    const size_t wanted = count - 2 * (size_t)call->f;
    const size_t used = call->arena->used;
    bool *const is_left = arena_take(call->arena, count, sizeof(*is_left));
    for (size_t i = 0; i < count; i++)
        is_left[i] = true;
    if (recipe_value(call->recipe, call->rule, PARAM_SELECTION) == SELECTION_ONCE) {
        uint32_t *const indices = arena_take(call->arena, count, sizeof(*indices));
        choose_lowest(call, indices);
        for (size_t i = 0; i < wanted; i++)
            is_left[indices[i]] = false;
    } else {
        choose_repeatedly(call, wanted, is_left);
    }
    size_t chosen = 0;
    for (uint32_t i = 0; i < count; i++) {
        if (!is_left[i])
            ret_chosen[chosen++] = i;
    }
    call->arena->used = used;
    return chosen;
}

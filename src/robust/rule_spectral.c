/*
 * rule_spectral.c - rules that look at the direction in which updates differ most: caf and dnc.
 */
#include "base/random.h"
#include "robust/rules.h"

#include <math.h>

/* After so many steps an update, or under this progress, only updates with weight set the pace. */
enum { CAF_STEPS_AN_UPDATE = 100 };
static const double caf_progress_min = 1e-9;

static double largest_square(const double *squares, const double *shares, size_t count,
                             bool only_with_weight)
{
    double largest = 0;
    for (size_t i = 0; i < count; i++) {
        if (!only_with_weight || shares[i] > 0)
            largest = fmax(largest, squares[i]);
    }
    return largest;
}

/* shares[i] *= 1 - squares[i] / largest; how much that takes away in all, done only if it is wanted
 * or enough. */
static double take_weight(const double *squares, double largest, size_t count, double enough,
                          double *shares)
{
    double taken = 0;
    for (size_t i = 0; i < count; i++)
        taken += shares[i] * fmin(squares[i] / largest, 1);
    if (taken < enough)
        return taken;
    for (size_t i = 0; i < count; i++)
        shares[i] *= 1 - fmin(squares[i] / largest, 1);
    return taken;
}

/*
 * Allouah et al. (2025), algorithm 1. The largest projection is that of all updates, as there. An
 * update that has lost its weight already and lies very far away then stops all progress; where it
 * does, the largest among those with weight is taken.
 */
void rule_caf(struct rule_call *call, double *ret_weights)
{
    const struct points *const points = call->points;
    const size_t count = points->count;
    const double enough = caf_progress_min * (double)count;
    const size_t used = call->arena->used;
    double *const shares = arena_take(call->arena, count, sizeof(*shares));
    double *const squares = arena_take(call->arena, count, sizeof(*squares));
    double least = INFINITY;
    double sum = (double)count;
    for (size_t i = 0; i < count; i++)
        shares[i] = 1;
    rule_mean(call, ret_weights);
    for (size_t step = 0; sum > (double)count - 2 * (double)call->f; step++) {
        const double variance =
            find_top_direction(points->gram, count, points->side, shares, call->arena, squares);
        if (variance < least) {
            least = variance;
            for (size_t i = 0; i < count; i++)
                ret_weights[i] = shares[i] / sum;
        }
        const bool is_late = step >= CAF_STEPS_AN_UPDATE * count;
        const double largest = largest_square(squares, shares, count, is_late);
        if (!(largest > 0))
            break; /* nothing differs any more */
        if (take_weight(squares, largest, count, enough, shares) < enough)
            take_weight(squares, largest_square(squares, shares, count, true), count, 0, shares);
        sum = 0;
        for (size_t i = 0; i < count; i++)
            sum += shares[i];
    }
    call->arena->used = used;
}

/* wanted of [0, d) without repetition, ascending: selection sampling (Knuth, algorithm 3.4.2 S). */
static void draw_coordinates(struct random *random, uint64_t d, size_t wanted, uint64_t *ret_drawn)
{
    size_t taken = 0;
    for (uint64_t i = 0; taken < wanted; i++) {
        if (random_below(random, d - i) < wanted - taken)
            ret_drawn[taken++] = i;
    }
}

/* Products over drawn columns of all rows, f64[source side squared]. */
static void measure_drawn(const struct rule_call *call, const uint64_t *drawn, size_t drawn_count,
                          double *ret_sums)
{
    const struct tiles *const tiles = call->tiles;
    const struct update_matrix *const matrix = tiles->matrix;
    struct tile_lane *const lane = &tiles->lanes[0];
    const size_t side = (size_t)tiles->row_count + 1;
    const size_t columns = tiles_columns(matrix->n);
    const bool is_exact = frame_is_small(tiles->row_count, drawn_count);
    memset(ret_sums, 0, side * side * sizeof(*ret_sums));
    for (size_t done = 0; done < drawn_count; done += TILE_PANEL) {
        const size_t width = drawn_count - done < TILE_PANEL ? drawn_count - done : TILE_PANEL;
        for (uint32_t i = 0; i < tiles->row_count; i++) {
            float *const row = lane->converted + i * columns;
            for (size_t k = 0; k < width; k++) {
                float buffer = 0;
                row[k] =
                    *matrix->read(matrix->context, tiles->rows[i], drawn[done + k], 1, &buffer);
            }
            lane->rows[i] = row;
        }
        frame_add_products(call->frame, tiles->row_count, lane, width, is_exact, ret_sums);
    }
    frame_finish_products(call->frame, side, ret_sums);
}

/* Counts a drop for the f points with the largest squares; ties drop the highest index first. */
static void drop_largest(const double *squares, size_t count, size_t f, uint32_t *order,
                         double *drops)
{
    order_by_key(order, count, squares);
    for (size_t i = count - f; i < count; i++)
        drops[order[i]] += 1;
}

/*
 * Shejwalkar and Houmansadr (2021), algorithm 2, with the share of drops 1. Where every point was
 * dropped at least once, those dropped least often are kept.
 */
void rule_dnc(struct rule_call *call, double *ret_weights)
{
    const struct points *const points = call->points;
    const size_t count = points->count;
    const size_t source_side = points->source_count + 1;
    const uint64_t d = call->tiles->matrix->d;
    const uint64_t iterations = (uint64_t)recipe_value(call->recipe, call->rule, PARAM_ITERATIONS);
    const double wanted = recipe_value(call->recipe, call->rule, PARAM_COORDINATES);
    const size_t drawn_count = (double)d < wanted ? (size_t)d : (size_t)wanted;
    const size_t used = call->arena->used;
    uint64_t *const drawn = arena_take(call->arena, drawn_count, sizeof(*drawn));
    double *const sums = arena_take(call->arena, source_side * source_side, sizeof(*sums));
    double *const gram = arena_take(call->arena, source_side * source_side, sizeof(*gram));
    double *const shares = arena_take(call->arena, count, sizeof(*shares));
    double *const squares = arena_take(call->arena, count, sizeof(*squares));
    double *const drops = arena_take_zeroed(call->arena, count, sizeof(*drops));
    uint32_t *const order = arena_take(call->arena, count, sizeof(*order));
    struct random random;
    random_init(&random, (uint64_t)recipe_value(call->recipe, call->rule, PARAM_SEED), RULE_DNC, 0);
    for (size_t i = 0; i < count; i++)
        shares[i] = 1;
    for (uint64_t iteration = 0; iteration < iterations; iteration++) {
        draw_coordinates(&random, d, drawn_count, drawn);
        measure_drawn(call, drawn, drawn_count, sums);
        points_project(points, sums, gram);
        find_top_direction(gram, count, points->side, shares, call->arena, squares);
        drop_largest(squares, count, (size_t)call->f, order, drops);
    }
    double least = INFINITY;
    double kept = 0;
    for (size_t i = 0; i < count; i++)
        least = fmin(least, drops[i]);
    for (size_t i = 0; i < count; i++)
        kept += drops[i] == least ? 1 : 0;
    for (size_t i = 0; i < count; i++)
        ret_weights[i] = drops[i] == least ? 1 / kept : 0;
    ret_weights[count] = 0;
    call->arena->used = used;
}

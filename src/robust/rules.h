/*
 * rules.h - what the rules share: how one is called, one function a rule. For robust.c only.
 *
 * A rule on distances gives weights of points, f64[points->side], the origin last, which sum to 1.
 * It takes what it needs from the arena and gives it back. It allocates nothing and cannot fail.
 */
#pragma once

#include "robust/geometry.h"
#include "robust/robust.h"
#include "robust/rule_table.h"
#include "robust/tiles.h"

struct rule_call {
    const struct recipe *recipe;
    enum rule_id rule;
    uint64_t f;
    struct points *points;
    struct arena *arena;
    const struct tiles *tiles; /* for rules that read the data again */
    const struct frame *frame;
    struct suspect *suspects; /* suspect[points->count] */
    size_t suspect_count;     /* in and out */
};

typedef void rule_weigh(struct rule_call *call, double *ret_weights);

rule_weigh rule_mean;
rule_weigh rule_geometric_median;
rule_weigh rule_krum;
rule_weigh rule_multi_krum;
rule_weigh rule_centered_clipping;
rule_weigh rule_caf;
rule_weigh rule_dnc;
rule_weigh rule_filter;

/* Chooses n - 2f points by Krum: ret_chosen, u32[points->count], ascending; how many there are. */
size_t bulyan_choose(struct rule_call *call, uint32_t *ret_chosen);

/* What goes before a rule: new points. */
void pre_nnm(struct rule_call *call);
void pre_bucketing(struct rule_call *call);
void pre_arc(struct rule_call *call);

/* Bytes that a recipe's parts take of an arena for n updates of d parameters. */
size_t rules_size(const struct recipe *recipe, uint64_t n, uint64_t d);

/* Of them, what find_top_direction takes. */
size_t top_direction_size(uint64_t n);

/*
 * Weights of the geometric median of the points that are active, f64[points->side], 0 for the
 * others. is_active: bool[points->count], at least one; null: all.
 */
void find_geometric_median(const struct points *points, const bool *is_active, struct arena *arena,
                           double *ret_weights);

/*
 * The direction of most variance of weighted points.
 *
 * gram         f64[side * side] inner products from any one point
 * count, side  points; the row length of gram
 * shares       f64[count], 0 or more, not all 0
 * ret_squares  f64[count]: <x_i - mean, direction>^2
 *
 * Gives the variance along it. Lanczos with full reorthogonalisation from a fixed start, until the
 * direction is within 1e-7 (radians) of the true one, as far as the gap to the next variance is
 * known by then (1e-6 where restarts were needed), or its residual at the rounding where the two
 * cannot be told apart; the same bits on every machine.
 */
double find_top_direction(const double *gram, size_t count, size_t side, const double *shares,
                          struct arena *arena, double *ret_squares);

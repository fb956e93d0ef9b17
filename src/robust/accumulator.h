/*
 * accumulator.h - the weighted mean of any number of updates in bounded memory, exact: the same
 * bits whatever the order, the threads and the instruction set, and updates can be taken out again.
 *
 * A parameter's sum is 128 bits, in two limbs, on one power-of-two grid: element x counts as the
 * integer q = rint(x * 2^grid), once rounded, and q * weight is added exactly. Not here: how
 * weights come about (weight.h), who is counted (core).
 */
#pragma once

#include "base/status.h"

#include <stdint.h>

enum {
    ACCUMULATOR_UPDATES_MAX = 1 << 20,
    /* Grids in between are what grid_from_norm_max gives. */
    GRID_MIN = -66,
    GRID_MAX = 188,
};

/* Parameters of one accumulator: 16 TiB of limbs, so that sizes cannot overflow. */
#define ACCUMULATOR_PARAMETERS_MAX (UINT64_C(1) << 40)

/*
 * The finest grid that holds every |x| <= norm_max: |x| * 2^grid < 2^62. Elements down to
 * norm_max * 2^-31 keep a relative error below 1e-9.
 *
 * norm_max  0 or more; over the largest f32 counts as that. NaN and less than 0 abort.
 */
int grid_from_norm_max(double norm_max);

/* Not for two threads at once; merge joins what threads did each for itself. */
struct accumulator;

/*
 * An empty accumulator, which the caller destroys: 16 bytes a parameter.
 * INVAL: grid out of range. LIMIT: too many parameters. NO_MEMORY.
 */
[[nodiscard]] enum status accumulator_create(uint64_t parameter_count, int grid,
                                             struct accumulator **ret_accumulator);
void accumulator_destroy(struct accumulator *accumulator);

/* Empties it. */
void accumulator_reset(struct accumulator *accumulator);

/*
 * Adds an update, f32[parameter_count], weight in any unit (0 counts as an update, and adds
 * nothing).
 *
 * PEER: an element is NaN or infinite. LIMIT: an element does not fit the grid, or there are
 * ACCUMULATOR_UPDATES_MAX updates already. The text names the first that is wrong. The accumulator
 * is unchanged then. err may be null.
 */
[[nodiscard]] enum status accumulator_fold(struct accumulator *accumulator, const float *update,
                                           uint32_t weight, struct error *err);

/*
 * Takes out an update that was folded with this weight; everything is then as if it never had been.
 * Errors as accumulator_fold; INVAL where there is nothing to take out, or not that weight.
 */
[[nodiscard]] enum status accumulator_unfold(struct accumulator *accumulator, const float *update,
                                             uint32_t weight, struct error *err);

/*
 * Adds all that is in other, which is unchanged. INVAL: another parameter count or grid.
 * LIMIT: too many updates together. Unchanged on error.
 */
[[nodiscard]] enum status accumulator_merge(struct accumulator *accumulator,
                                            const struct accumulator *other);

uint64_t accumulator_parameter_count(const struct accumulator *accumulator);
uint32_t accumulator_count(const struct accumulator *accumulator);
/* At most 2^52. */
uint64_t accumulator_weight_sum(const struct accumulator *accumulator);

/*
 * The weighted mean, rounded once (to nearest, halves to even; denormals too): ret_mean is
 * f32[parameter_count] or f64[parameter_count]. INVAL: the weights sum to 0. Changes nothing.
 */
[[nodiscard]] enum status accumulator_finish_f32(const struct accumulator *accumulator,
                                                 float *ret_mean);
[[nodiscard]] enum status accumulator_finish_f64(const struct accumulator *accumulator,
                                                 double *ret_mean);

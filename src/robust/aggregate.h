/*
 * aggregate.h - aggregates a file of updates that someone collected: every tensor has a leading
 * axis, one row an update.
 *
 * What a federation does in its rounds, offline, so that it can be tried and checked. Not here:
 * the command line (cli/aggregate_command.c).
 */
#pragma once

#include "base/status.h"
#include "robust/robust.h"
#include "tensor/layout.h"
#include "tensor/safetensors.h"

#include <stdint.h>

enum {
    AGGREGATE_ROWS_MAX = 1 << 20,
    AGGREGATE_THREADS_MAX = 256,
};

struct aggregate_options {
    const struct recipe *recipe;
    uint32_t threads; /* 1 to AGGREGATE_THREADS_MAX; the result does not depend on it */
};

struct aggregate_result {
    const char *rule;         /* static */
    uint64_t n;               /* rows */
    uint64_t d;               /* parameters of an update */
    uint64_t f;               /* rows that are reckoned to be malicious; 0 for the mean */
    double *shares;           /* f64[n]: of each row in the result */
    bool has_shares;          /* false: the rule takes coordinates from different rows */
    bool *is_selected;        /* bool[n]: counts in the result */
    struct suspect *suspects; /* suspect[suspect_count] */
    size_t suspect_count;
    double seconds;        /* monotonic time it took */
    struct layout *layout; /* the file's tensors without their first axis, all F32, sorted */
    float *data;           /* f32[d], in the order of layout */
};

/*
 * Aggregates the rows of a file.
 *
 * file     every tensor but `samples` is F32, F16 or BF16 of shape [n, ...], all finite; `samples`,
 *          which may be missing, is I64 of shape [n], each from 0 to 2^32 - 1, not all 0. A row
 *          with 0 samples counts nothing.
 *
 * mean, with nothing before it: sum of weight * row / sum of weights, each element rounded to the
 * grid that the largest norm of a row gives, then exact, then rounded once to f32 (accumulator.h).
 * Memory: the result and 400 kB a thread. All other rules: unweighted, see robust.h; rows that are
 * not finite are suspects. A mapped file leaves memory again tile by tile.
 *
 * INVAL: the recipe does not fit, or there is no such file; the text says what is wrong. PEER: a
 * row holds NaN or infinity (mean), or all do. LIMIT: more rows, threads or samples than allowed.
 * NO_MEMORY. err may be null. ret_result is to be deinitialised.
 */
[[nodiscard]] enum status aggregate_file(const struct safetensors *file,
                                         const struct aggregate_options *options,
                                         struct aggregate_result *ret_result, struct error *err);

/* Frees what it holds. */
void aggregate_result_deinit(struct aggregate_result *result);

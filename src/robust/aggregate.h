/*
 * aggregate.h - aggregates a file of updates that someone collected: every tensor has a leading
 * axis, one row an update.
 *
 * What a federation does in its rounds, offline, so that it can be tried and checked. Not here:
 * the command line (cli/aggregate_command.c).
 */
#pragma once

#include "base/status.h"
#include "tensor/layout.h"
#include "tensor/safetensors.h"

#include <stdint.h>

enum {
    AGGREGATE_ROWS_MAX = 1 << 20,
    AGGREGATE_THREADS_MAX = 256,
};

struct aggregate_options {
    const char *rule; /* "mean" */
    uint32_t threads; /* 1 to AGGREGATE_THREADS_MAX; the result does not depend on it */
};

struct aggregate_result {
    const char *rule; /* static */
    uint64_t n;       /* rows */
    uint64_t d;       /* parameters of an update */
    uint64_t f;       /* rows the rule tolerates to be malicious; 0 for the mean */
    /* u32[n]: the weight of each row: its samples, or 1 in a file without them. */
    uint32_t *weights;
    uint64_t weight_sum;   /* more than 0 */
    double seconds;        /* monotonic time it took */
    struct layout *layout; /* the file's tensors without their first axis, all F32, sorted */
    float *data;           /* f32[d], in the order of layout */
};

/* The names of all rules, separated by ", ", static. */
const char *aggregate_rules(void);

/* Whether there is a rule of that name. */
bool aggregate_has_rule(const char *name);

/*
 * Aggregates the rows of a file.
 *
 * file     every tensor but `samples` is F32, F16 or BF16 of shape [n, ...], all finite; `samples`,
 *          which may be missing, is I64 of shape [n], each from 0 to 2^32 - 1, not all 0. A row
 *          with 0 samples counts nothing.
 *
 * mean: sum of weight * row / sum of weights, each element rounded to the grid that the largest
 * norm of a row gives, then exact, then rounded once to f32 (accumulator.h). Memory: the result and
 * 400 kB a thread.
 *
 * INVAL: such a rule or such a file there is not; the text says what is wrong with it. PEER: a row
 * holds NaN or infinity. LIMIT: more rows, threads or samples than allowed. NO_MEMORY. err may be
 * null. ret_result is to be deinitialised.
 */
[[nodiscard]] enum status aggregate_file(const struct safetensors *file,
                                         const struct aggregate_options *options,
                                         struct aggregate_result *ret_result, struct error *err);

/* Frees what it holds. */
void aggregate_result_deinit(struct aggregate_result *result);

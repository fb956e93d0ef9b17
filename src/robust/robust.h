/*
 * robust.h - runs a recipe (rule, what goes before it, parameters) over a matrix of updates.
 *
 * Pure and deterministic: no clock, no state, no allocation; the same bits for any number of
 * threads, any instruction set, rows in memory or in files. Not here: files (aggregate.c), the
 * table of rules (rule_table.h), the weighted mean of rounds (accumulator.h).
 */
#pragma once

#include "base/status.h"
#include "robust/rule_table.h"
#include "robust/update_matrix.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { ROBUST_ROWS_MAX = 10000 }; /* the distances of all pairs take 800 MB a matrix then */

/* Why an update is suspected. */
enum reason_suspected {
    SUSPECTED_NORM,
    SUSPECTED_DIRECTION,
    SUSPECTED_DISTANCE,
    SUSPECTED_COLLUSION,
    SUSPECTED_NON_FINITE,
};

struct suspect {
    uint32_t index; /* row of the matrix */
    enum reason_suspected reason;
    /* How far over the threshold that flagged it, 1 at it; 0 for updates that are not finite. */
    double score;
};

/* The caller's memory for what becomes known. */
struct robust_report {
    uint64_t f;               /* that was reckoned with */
    double *weights;          /* f64[n]: the share of each update in the result */
    bool has_weights;         /* false: the rule takes coordinates from different updates */
    bool *is_selected;        /* bool[n]: counts in the result */
    struct suspect *suspects; /* suspect[n]: suspect_count of them, the worst first */
    size_t suspect_count;
};

/* "norm", "direction", ...; static. */
const char *reason_suspected_name(enum reason_suspected reason);

/* Bytes of workspace that robust_aggregate takes; LIMIT: more rows or threads than allowed. */
[[nodiscard]] enum status robust_workspace_size(const struct recipe *recipe, uint64_t n, uint64_t d,
                                                uint32_t threads, size_t *ret_size,
                                                struct error *err);

/*
 * Aggregates. Updates that hold NaN or infinity are taken out first, suspected, and counted
 * against f.
 *
 * workspace   any alignment, robust_workspace_size bytes
 * ret_values  f32[d]
 *
 * INVAL: the recipe does not fit n, or the workspace is too small. PEER: no update is finite.
 * LIMIT as above. ret_values may be partly written on PEER; nothing is written otherwise.
 */
[[nodiscard]] enum status robust_aggregate(const struct recipe *recipe,
                                           const struct update_matrix *matrix, uint32_t threads,
                                           void *workspace, size_t workspace_size,
                                           float *ret_values, struct robust_report *report,
                                           struct error *err);

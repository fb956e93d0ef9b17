/*
 * robust.h - Byzantine-robust aggregation of updates, from C and C++ (libfedra).
 *
 * A rule makes one update of n, of which up to f may be anything at all. Rules, their parameters,
 * breakdown points, costs and papers: docs/robustness.md, or `fedra aggregate --list`.
 *
 *     struct fedra_rule rule = {.rule = "multi_krum", .f = 3};
 *     struct fedra_matrix updates = {data, n, d, d, 1};
 *     size_t size;
 *     fedra_robust_workspace_size(&rule, n, d, threads, &size, NULL, 0);
 *     void *workspace = malloc(size);
 *     fedra_robust_aggregate(&rule, &updates, threads, workspace, size, result, NULL, NULL, 0);
 *
 * Every function is pure: it allocates nothing, keeps nothing, prints nothing, never writes into
 * the updates, and may be called from any number of threads at once. Equal arguments give equal
 * bits, whatever the number of threads and the processor's instruction set. (The set is chosen once
 * a process; the environment variable FEDRA_CPU, "ref" or "avx2", bounds the choice.)
 */
#pragma once

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

enum fedra_status {
    FEDRA_OK = 0,
    FEDRA_INVALID = 1, /* a rule, a parameter, f or a size does not fit; the text says what would */
    FEDRA_LIMIT = 2,   /* more updates or threads than allowed */
    FEDRA_NOT_FINITE = 3, /* every update holds NaN or infinity */
};

/* Element (i, k) is data[i * row_stride + k * column_stride]: update i, parameter k. Strides count
 * elements and may be negative; a column_stride of 1 is the fastest. */
struct fedra_matrix {
    const float *data;
    size_t rows;
    size_t columns;
    ptrdiff_t row_stride;
    ptrdiff_t column_stride;
};

/* What to compute. Strings are the caller's. */
struct fedra_rule {
    const char *rule;       /* "median", "krum", ... */
    const char *const *pre; /* "nnm", "arc", "bucketing", applied in this order; may be NULL */
    size_t pre_count;
    const char *const *settings; /* "tau=5", "neighbours=byzfl", ...; may be NULL */
    size_t setting_count;
    long f; /* updates that may lie; negative: 30 % of them, or the rule's most */
};

struct fedra_suspect {
    size_t index;
    double score;       /* 1 is at the threshold; 0 for updates that are not finite */
    const char *reason; /* "norm", "direction", "distance", "collusion", "non_finite"; static */
};

/* What became known; arrays are the caller's and may be NULL. */
struct fedra_report {
    double *weights;         /* [rows]: the share of each update; all 0 where has_weights is 0 */
    unsigned char *selected; /* [rows]: 1 for updates that count in the result */
    struct fedra_suspect *suspects; /* [rows]: suspect_count are written, the worst first */
    size_t suspect_count;
    size_t f;        /* that was reckoned with */
    int has_weights; /* 0: the rule takes coordinates from different updates */
};

/*
 * Bytes of workspace for so many rows, columns and threads (1 to 256).
 *
 * error, error_size  on failure becomes one line of text, cut to its size; may be NULL and 0.
 */
enum fedra_status fedra_robust_workspace_size(const struct fedra_rule *rule, size_t rows,
                                              size_t columns, unsigned threads, size_t *ret_size,
                                              char *error, size_t error_size);

/*
 * Aggregates.
 *
 * threads     1 to 256: this one and others that live as long as the call.
 * workspace   of any alignment; what it held and holds means nothing.
 * ret_result  float[columns]; may not overlap the updates. Undefined on failure.
 * report      may be NULL.
 */
enum fedra_status fedra_robust_aggregate(const struct fedra_rule *rule,
                                         const struct fedra_matrix *updates, unsigned threads,
                                         void *workspace, size_t workspace_size, float *ret_result,
                                         struct fedra_report *report, char *error,
                                         size_t error_size);

/* The names of the rules, in their order, and of what may go before one; NULL after the last. */
const char *fedra_robust_rule_name(size_t index);
const char *fedra_robust_pre_name(size_t index);

#ifdef __cplusplus
}
#endif

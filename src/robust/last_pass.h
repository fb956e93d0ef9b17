/*
 * last_pass.h - the pass over the data that makes the result of a rule. For robust.c only.
 */
#pragma once

#include "robust/geometry.h"
#include "robust/tiles.h"

enum last_pass_kind {
    LAST_MEDIAN,
    LAST_TRIMMED_MEAN,
    LAST_NEAREST_MEAN,
    LAST_WEIGHTED_SUM, /* over the rows that are read, not over points */
};

struct last_pass {
    enum last_pass_kind kind;
    const struct points *points; /* null: the rows that are read */
    const uint32_t *chosen;      /* u32[point_count]: which points; null: all */
    size_t point_count;
    size_t amount;         /* trimmed at each end; kept of a nearest mean */
    const double *weights; /* f64[point_count] of a weighted sum */
    float *ret_values;     /* f32[d] */
};

void last_pass_run(const struct last_pass *pass, const struct tiles *tiles);

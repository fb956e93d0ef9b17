/*
 * sweep_figures.h - what follows from the runs of a setting: figures over its seeds, and the curve
 * of the accuracy over virtual time. Pure.
 */
#pragma once

#include "cli/sweep_series.h"

/* The runs of one setting, one a seed. */
struct sweep_result {
    const char *name;
    uint32_t count; /* at least 1 */
    struct sweep_series *series;
};

struct sweep_spread {
    double middle; /* the mean or the median; infinite or NaN where it is not known */
    double low;
    double high;
};

struct sweep_figures {
    double rounds; /* median */
    uint32_t diverged;
    uint32_t reached;             /* seeds whose accuracy was the target's at some time */
    struct sweep_spread target_s; /* median; a seed that never was there is later than all others */
    struct sweep_spread accuracy; /* mean of the final ones */
    double wall_s;                /* mean */
    uint64_t peak_rss_bytes;      /* the greatest */
};

/* TARGET_SHARE of the best median of the accuracies at the last points; NaN where there is none. */
#define SWEEP_TARGET_SHARE 0.95
double sweep_target(const struct sweep_result *results, uint32_t count);

/* target: an accuracy, as --target has it. NO_MEMORY. */
[[nodiscard]] enum status sweep_figures_of(const struct sweep_result *result, double target,
                                           struct sweep_figures *ret_figures);

/*
 * When the curve of a setting begins (all seeds have an accuracy) and ends (the last seed's job
 * does). False where it has none.
 */
bool sweep_curve_span(const struct sweep_result *result, double *ret_begin_s, double *ret_end_s);

/* The seeds' accuracies at a time from the curve's begin on, the median in the middle. NO_MEMORY.
 */
[[nodiscard]] enum status sweep_curve_at(const struct sweep_result *result, double virtual_s,
                                         struct sweep_spread *ret_spread);

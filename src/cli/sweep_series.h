/*
 * sweep_series.h - how one simulated run went, read from its folder: the accuracy over virtual
 * time, and its summary.
 *
 * Not here: what follows from several runs (sweep_figures.h).
 */
#pragma once

#include "base/status.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

enum { SWEEP_OUTCOME_MAX = 16 };

/* From virtual_s on, until the next point, the job's model has this accuracy. */
struct sweep_point {
    double virtual_s; /* since the start */
    double accuracy;  /* in [0, 1] */
};

struct sweep_series {
    uint64_t seed;
    char outcome[SWEEP_OUTCOME_MAX];
    uint64_t rounds;
    double accuracy;  /* of the last model, as the summary has it; of the last point where it has
                         none;  NaN where nobody measured */
    double virtual_s; /* until the job's end */
    double wall_s;
    uint64_t peak_rss_bytes;
    uint32_t count;
    struct sweep_point *points; /* in the order of time */
};

/*
 * Whether the run in folder has ended: its summary is there, and says how. OK, NOT_FOUND where
 * there is none, CORRUPT, IO, NO_MEMORY.
 */
[[nodiscard]] enum status sweep_series_find(const char *folder, struct error *err);

/* Reads a run that has ended; the caller deinits *ret_series. Errors as above. */
[[nodiscard]] enum status sweep_series_read(const char *folder, struct sweep_series *ret_series,
                                            struct error *err);
void sweep_series_deinit(struct sweep_series *series);

/* The accuracy at that time; NaN before the first point. */
double sweep_series_at(const struct sweep_series *series, double virtual_s);

/* When the accuracy was there first; infinity where it never was. */
double sweep_series_reaches(const struct sweep_series *series, double accuracy);

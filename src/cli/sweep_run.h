/*
 * sweep_run.h - `fedra sim FILE --sweep ...`: every combination of some keys' values with several
 * seeds, each as a simulation of its own, then a table and a page of what came of them.
 *
 *     RUN/SETTING/seed-1/  RUN/SETTING/seed-1.log  RUN/SETTING/settings.yaml  RUN/sweep.lock
 *
 * A run that has ended is not run again, so that a sweep that was interrupted goes on.
 */
#pragma once

#include "cli/options.h"

#include <stdbool.h>

enum { SWEEP_OPTIONS = 5 };

/* What the options of a sweep say, borrowed from argv; all zeros is: none was given. */
struct sweep_options {
    struct option_list sweeps;
    uint64_t repeat; /* 0: not given, as the next */
    uint64_t jobs;
    const char *html;
    const char *target;
};

/* What a simulation takes that has no sweep. */
struct sweep_base {
    const char *file;
    uint64_t nodes;
    uint64_t seed;      /* the first; UINT64_MAX: job.seed */
    const char *folder; /* null: a new one below runs/ */
    const struct option_list *sets;
};

/* The options for a table of options; their values go to *options. */
void sweep_options_specs(struct sweep_options *options,
                         struct option_spec ret_specs[static SWEEP_OPTIONS]);

/* Whether any of them was given. */
bool sweep_is_wanted(const struct sweep_options *options);

/*
 * Runs the sweep by this program, which must be fedra-sim; progress and mistakes go to standard
 * error, the table to standard output. The exit code: 0, 1 a fault, 2 wrong usage or configuration,
 * 130 interrupted.
 */
int sweep_run(const struct sweep_options *options, const struct sweep_base *base);

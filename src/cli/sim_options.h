/*
 * sim_options.h - what `fedra sim` takes: read by fedra, for its help and its errors, and again by
 * the program that it executes.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum { SIM_JOBS_MAX = 256 };

struct sim_request {
    const char *seeds; /* null, or as given */
    const char *only;  /* null, or as given */
    const char *set;   /* null, or as given */
    uint64_t minutes;  /* 0: no limit */
    uint64_t nodes;    /* 0: each seed draws */
    uint64_t jobs;     /* 0: one a core */
    bool trace;
    bool shrink;
    bool list;
    uint64_t first; /* of the seeds */
    uint64_t last;
};

/* Gives -1 to go on, else the exit code; what is wrong is said on standard error. */
int sim_options_parse(int argc, char **argv, struct sim_request *ret_request);

/*
 * lab_options.h - what `fedra lab` takes: read by fedra, for its help and its errors, and again by
 * the program that it executes.
 */
#pragma once

#include "cli/options.h"

#include <stdint.h>

enum { LAB_JOBS_MAX = 256 };

struct lab_options {
    const char *file;
    const char *folder; /* null: runs/JOB-lab */
    uint64_t jobs;      /* 0: one a core */
    bool list;          /* the attacks, and nothing else */
    struct option_list sets;
};

/* Gives -1 to go on, else the exit code; what is wrong is said on standard error. */
int lab_options_parse(int argc, char **argv, struct lab_options *ret_options);

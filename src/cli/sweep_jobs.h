/*
 * sweep_jobs.h - runs simulations as processes of their own, some at a time, each in its folder.
 *
 * Not here: which (sweep_run.c), what one does (sim_command.c).
 */
#pragma once

#include "base/status.h"

#include <stdint.h>

/* One simulation. */
struct sweep_job {
    char **arguments;   /* of the process, null after the last; [0] is this program's path */
    const char *name;   /* for messages */
    const char *folder; /* its run folder; what is there already is removed before it starts */
    char *output;       /* file for all that it says, emptied before it starts */
};

/* The index-th job's run has ended and is read from its folder. Gives whether to go on. */
typedef enum status sweep_job_ended(void *context, uint32_t index, struct error *err);

/*
 * Runs jobs[count], at most at_once at a time, each with one thread; waits for the last. When one
 * fails, when on_ended does, and at SIGINT and SIGTERM the others are killed.
 *
 * CANCELLED at a signal; INVAL where a job did not take its configuration, IO where it failed
 * otherwise (the text says where its output is, and the last line of it); the status of on_ended.
 */
[[nodiscard]] enum status sweep_jobs_run(const struct sweep_job *jobs, uint32_t count,
                                         uint32_t at_once, sweep_job_ended *on_ended, void *context,
                                         struct error *err);

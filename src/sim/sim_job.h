/*
 * sim_job.h - a configuration simulated: its model, its samples, its trainers for real; its nodes'
 * speeds, links and absences as simulation.* says. It leaves the files of a run.
 *
 * Not here: the command line (cli/sim_federation.c), the threads that train (sim_training.h).
 */
#pragma once

#include "host/config.h"
#include "sim/sim.h"

#include <signal.h>

struct sim_job;

struct sim_job_options {
    const struct config *config; /* checked, with data.parts as many as nodes; borrowed */
    uint32_t nodes;
    uint32_t threads;   /* that train beside the simulation's own; at least 1 */
    const char *folder; /* of the run: new or empty; borrowed */
    const volatile sig_atomic_t *interrupted; /* not 0: nothing is to happen any more */
    bool quiet;                               /* no line a round */
};

/*
 * Makes the folder and reads the samples. EXISTS where the folder is not empty; INVAL with the key
 * that is wrong; IO, NO_SPACE, NO_MEMORY.
 */
[[nodiscard]] enum status sim_job_open(const struct sim_job_options *options,
                                       struct sim_job **ret_job, struct error *err);
void sim_job_close(struct sim_job *job); /* null is allowed */

/* What a run of it is; valid until the job is closed. */
const struct sim_plan *sim_job_plan(const struct sim_job *job);

/* After the run: OK, or the first fault that ended it, with its text. */
[[nodiscard]] enum status sim_job_status(const struct sim_job *job, struct error *err);

/*
 * coordinator_host.h - runs a coordinator: the machine, the hub, the store, the workers.
 */
#pragma once

#include "host/config.h"
#include "host/coordinator_control.h"

/*
 * Runs the job to its end, or until SIGINT or SIGTERM cancels it. Writes progress to standard
 * output, a line a round, and the run's files to config->server.state.
 *
 * extension  what is served beside Federation, or null; must live as long as the call.
 *
 * Gives the exit code: 0 converged, exhausted or cancelled; 3 diverged; 1 for a fault, whose text
 * is on standard error.
 */
int coordinator_host_run(const struct config *config,
                         const struct coordinator_extension *extension);

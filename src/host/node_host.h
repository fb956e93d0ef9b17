/*
 * node_host.h - runs a node: the machine, the leaf, the outbox, the trainer.
 */
#pragma once

#include "host/config.h"

/*
 * Takes part in the job until it ends, or SIGINT or SIGTERM. Gives the exit code: 0 the job ended,
 * 128 and the signal's number, 1 for a fault, whose text is on standard error.
 */
int node_host_run(const struct config *config);

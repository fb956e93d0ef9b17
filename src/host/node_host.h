/*
 * node_host.h - runs the nodes of a process: for each a machine, a leaf, an outbox, a trainer.
 */
#pragma once

#include "host/config.h"

/*
 * Takes part in the job as count nodes, one for each configuration, until the job ends or SIGINT or
 * SIGTERM. A node with a fault ends, its text on standard error; the others go on. Gives the exit
 * code: 0 the job ended, 128 and the signal's number, 1 where a node had a fault.
 */
int node_host_run(const struct config *configs, uint32_t count);

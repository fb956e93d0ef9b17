/*
 * fault_plan.h - which nodes of a run are made slow or are killed, for tests and demonstrations.
 *
 * Not here: how a node is slowed down (node_work.c) or killed (cli/up_command.c, node_group.c).
 */
#pragma once

#include "host/config.h"

struct fault_plan {
    bool slow;
    bool killed;
};

/*
 * Draws from job.seed which of nodes have which fault of faults.*: shares of the nodes, rounded
 * down. Nobody is both as long as there are enough nodes.
 *
 * ret_plans  struct fault_plan[nodes].
 *
 * NO_MEMORY.
 */
[[nodiscard]] enum status fault_plan_draw(const struct config *config, uint32_t nodes,
                                          struct fault_plan *ret_plans, struct error *err);

/*
 * run_setup.h - the folder of a run on this machine: an authority, an identity and a configuration
 * for every process, places for state and logs.
 *
 *     RUN/authority/  identity/{authority,coordinator,operator,node-000,...}/  config/NAME.yaml
 *     RUN/nodes/node-000/  logs/NAME.log  and what the coordinator writes (run_folder.c, store/)
 */
#pragma once

#include "host/config.h"

enum { RUN_PATH_MAX = 1024, RUN_NODES_MAX = 10000 };

/*
 * Makes the folder (its parents too; it must be new or empty) and all that is in it for a
 * coordinator and nodes.
 *
 * config  the job's; server.listen with port 0 gets a free port; identity.authority becomes that of
 *         the run's own authority, at a free port; server.state becomes the folder.
 *
 * EXISTS, INVAL, IO, NO_SPACE, NO_MEMORY.
 */
[[nodiscard]] enum status run_setup(const char *folder, struct config *config, uint32_t nodes,
                                    struct error *err);

/* "node-007". name has CONFIG_NAME_MAX room. */
void run_node_name(uint32_t index, char *ret_name);

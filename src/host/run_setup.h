/*
 * run_setup.h - the folder of a run on this machine: an authority, an identity and a configuration
 * for every process, places for state and logs.
 *
 *     RUN/authority/  identity/{authority,coordinator,operator,node-000,...}/  config/NAME.yaml
 *     RUN/data/ (run_data.h)  nodes/node-000/  logs/NAME.log  and what the coordinator writes
 * (run_folder.c, store/)
 */
#pragma once

#include "host/config.h"

enum { RUN_PATH_MAX = 1024, RUN_NODES_MAX = 10000, RUN_PER_PROCESS_MAX = 256 };

/* How the nodes of a run are spread over processes. */
struct run_shape {
    uint32_t nodes;
    uint32_t per_process;
};

/* How many processes the nodes need. */
static inline uint32_t run_processes(const struct run_shape *shape)
{
    return (shape->nodes + shape->per_process - 1) / shape->per_process;
}

/*
 * Makes the folder (its parents too; it must be new or empty) and all that is in it for a
 * coordinator and nodes. A node's own configuration says which of faults.* it has to play.
 *
 * config  the job's; server.listen with port 0 gets a free port; identity.authority becomes that of
 *         the run's own authority, at a free port; server.state becomes the folder.
 *
 * EXISTS, INVAL, IO, NO_SPACE, NO_MEMORY.
 */
[[nodiscard]] enum status run_setup(const char *folder, struct config *config,
                                    const struct run_shape *shape, struct error *err);

/* Where on this machine one is reached that listens there: 0.0.0.0 is all addresses, not one. */
void run_connect_address(const char *listen, char ret_connect[static CONFIG_ADDRESS_MAX]);

struct run_record;

/*
 * Prepares the folder of a run (run_record.h) to go on: the configurations are written anew from
 * that of the coordinator, for the place where the folder is now and, where any free port was asked
 * for, for ports that are free now; identities that have less than half of their life left are
 * issued anew.
 *
 * config  the coordinator's, as it was read; changed as by run_setup.
 *
 * IO, CORRUPT, NO_SPACE, NO_MEMORY.
 */
[[nodiscard]] enum status run_setup_again(const char *folder, struct config *config,
                                          const struct run_record *record, struct error *err);

/* given, or where that is null "runs/JOB-20261124T194431Z", with "-KIND" after JOB where kind is
 * not empty. */
void run_name_folder(const char *given, const char *job, const char *kind,
                     char ret_folder[static RUN_PATH_MAX]);

/*
 * Makes the folder of a run, its parents too, and folders of those names in it. EXISTS where it is
 * not empty; LIMIT, IO, NO_SPACE.
 */
[[nodiscard]] enum status run_make_folders(const char *folder, const char *const *names,
                                           size_t count, struct error *err);

/* "node-007". name has CONFIG_NAME_MAX room. */
void run_node_name(uint32_t index, char *ret_name);

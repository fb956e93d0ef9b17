/*
 * node_command.c - `fedra node`: checks the configuration, then runs it.
 */
#include "cli/node_command.h"

#include "cli/config_command.h"
#include "host/node_host.h"

#include <stdlib.h>

static const char *const needed[] = {"node.name", "node.connect", "node.state",
                                     "identity.directory"};

int node_command(int argc, char **argv)
{
    const char *file = nullptr;
    struct option_list sets = {0};
    const struct option_spec specs[] = {
        {"config", 'c', "FILE", "the configuration", .text = &file},
        {"set", 0, "KEY=VALUE", "override a key; may be repeated", .list = &sets},
    };
    const struct option_table table = {
        .usage = "node -c FILE [--set KEY=VALUE]...",
        .help = "Runs a machine that holds data until the job ends. Exit code: 0 the job ended, "
                "130 and 143 SIGINT and SIGTERM, 1 a fault, 2 wrong usage or configuration.",
        .specs = specs,
        .spec_count = sizeof(specs) / sizeof(*specs),
    };
    return command_run_role(&table, argc, argv, &file, &sets, "fedra node", needed,
                            sizeof(needed) / sizeof(*needed), node_host_run);
}

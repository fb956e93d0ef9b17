/*
 * node_command.c - `fedra node`: checks the configuration, then runs it.
 */
#include "cli/node_command.h"

#include "cli/config_command.h"
#include "host/node_host.h"

#include <stdlib.h>
#include <unistd.h>

static const char *const needed[] = {"node.name", "node.connect", "node.state",
                                     "identity.directory"};

/* Whether `fedra up` started this process: it leaves its process id in the environment. */
static bool started_by_up(void)
{
    const char *const pid = getenv(NODE_STARTED_BY);
    return pid != nullptr && strtol(pid, nullptr, 10) == getppid();
}

static int run(const struct config *configs, uint32_t count)
{
    enum status status = STATUS_OK;
    struct config_report report;
    config_report_init(&report);
    for (uint32_t i = 0; i < count && !started_by_up(); i++) {
        const enum status own = config_refuse_faults(&configs[i], "fedra node", &report);
        status = own != STATUS_OK ? own : status;
    }
    command_write_report(&report, stderr);
    config_report_deinit(&report);
    return status == STATUS_OK ? node_host_run(configs, count) : EXIT_USAGE;
}

int node_command(int argc, char **argv)
{
    struct option_list files = {0};
    struct option_list sets = {0};
    const struct option_spec specs[] = {
        {"config", 'c', "FILE", "a node's configuration; repeated: several nodes in this process",
         .list = &files},
        {"set", 0, "KEY=VALUE", "override a key; may be repeated", .list = &sets},
    };
    const struct option_table table = {
        .usage = "node -c FILE [-c FILE]... [--set KEY=VALUE]...",
        .help = "Runs a machine that holds data until the job ends. Exit code: 0 the job ended, "
                "130 and 143 SIGINT and SIGTERM, 1 a fault, 2 wrong usage or configuration. With "
                "several configurations each node keeps its own identity, connection and folder; "
                "one with a fault ends, the others go on.",
        .specs = specs,
        .spec_count = sizeof(specs) / sizeof(*specs),
    };
    return command_run_role(&table, argc, argv, &files, &sets, "fedra node", needed,
                            sizeof(needed) / sizeof(*needed), run);
}

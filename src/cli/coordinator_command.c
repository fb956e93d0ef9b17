/*
 * coordinator_command.c - `fedra coordinator`: checks the configuration, then runs it.
 */
#include "cli/coordinator_command.h"

#include "admin/coordinator_admin.h"
#include "cli/config_command.h"
#include "host/coordinator_host.h"

#include <stdlib.h>

static const char *const needed[] = {"server.listen", "server.state", "identity.directory"};

static int run(const struct config *configs, uint32_t count)
{
    if (count == 1)
        return coordinator_host_run(configs, &coordinator_admin);
    fprintf(stderr, "fedra coordinator: takes one configuration, not %u\n", count);
    return EXIT_USAGE;
}

int coordinator_command(int argc, char **argv)
{
    struct option_list files = {0};
    struct option_list sets = {0};
    const struct option_spec specs[] = {
        {"config", 'c', "FILE", "the configuration", .list = &files},
        {"set", 0, "KEY=VALUE", "override a key; may be repeated", .list = &sets},
    };
    const struct option_table table = {
        .usage = "coordinator -c FILE [--set KEY=VALUE]...",
        .help = "Runs the centre of a federation until its job ends. Exit code: 0 converged, "
                "exhausted or cancelled, 3 diverged, 1 a fault, 2 wrong usage or configuration.",
        .specs = specs,
        .spec_count = sizeof(specs) / sizeof(*specs),
    };
    return command_run_role(&table, argc, argv, &files, &sets, "fedra coordinator", needed,
                            sizeof(needed) / sizeof(*needed), run);
}

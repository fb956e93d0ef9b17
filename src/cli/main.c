/*
 * main.c - the program fedra. Its subcommands are listed in commands.c.
 */
#include "cli/commands.h"

#include <sys/resource.h>

/*
 * A coordinator has a connection a node, a process of many nodes several files each: the soft limit
 * (1,024 for the sake of select, which nobody uses here) is raised as far as it goes.
 */
static void raise_file_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &limit);
    }
}

int main(int argc, char **argv)
{
    raise_file_limit();
    return commands_run(argc, argv);
}

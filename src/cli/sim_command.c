/*
 * sim_command.c - executes the simulator: its signer, which proves nothing, is not in this program.
 */
#include "cli/sim_command.h"

#include "cli/sim_options.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int sim_command(int argc, char **argv)
{
    static const char name[] = "fedra-sim";
    char path[PATH_MAX + sizeof(name)] = "";
    struct sim_request request;
    const int code = argc > 1 && argv[1][0] != '-' ? -1 : sim_options_parse(argc, argv, &request);
    if (code >= 0)
        return code; /* what a FILE goes with is parsed there */
    const ssize_t length = readlink("/proc/self/exe", path, PATH_MAX - 1);
    char *const slash = length > 0 ? strrchr(path, '/') : nullptr;
    if (slash == nullptr) {
        fprintf(stderr, "fedra sim: /proc/self/exe: %s\n", strerror(errno));
        return EXIT_FAILURE;
    }
    memcpy(slash + 1, name, sizeof(name));
    execv(path, argv);
    fprintf(stderr, "fedra sim: %s: %s; the simulator lies beside fedra, ./run build makes both\n",
            path, strerror(errno));
    return EXIT_FAILURE;
}

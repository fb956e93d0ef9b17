/*
 * sim_command.c - executes the simulator and the laboratory: a signer that proves nothing, and
 * attacks, are not in this program.
 */
#include "cli/sim_command.h"

#include "cli/lab_command.h"
#include "cli/lab_options.h"
#include "cli/sim_options.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int sim_program_execute(const char *command, char **argv)
{
    static const char name[] = "fedra-sim";
    char path[PATH_MAX + sizeof(name)] = "";
    const ssize_t length = readlink("/proc/self/exe", path, PATH_MAX - 1);
    char *const slash = length > 0 ? strrchr(path, '/') : nullptr;
    if (slash == nullptr) {
        fprintf(stderr, "fedra %s: /proc/self/exe: %s\n", command, strerror(errno));
        return EXIT_FAILURE;
    }
    memcpy(slash + 1, name, sizeof(name));
    execv(path, argv);
    fprintf(stderr, "fedra %s: %s: %s; it lies beside fedra, ./run build makes both\n", command,
            path, strerror(errno));
    return EXIT_FAILURE;
}

int sim_command(int argc, char **argv)
{
    struct sim_request request;
    const int code = argc > 1 && argv[1][0] != '-' ? -1 : sim_options_parse(argc, argv, &request);
    return code >= 0 ? code : sim_program_execute("sim", argv); /* a FILE's options are its own */
}

int lab_command(int argc, char **argv)
{
    struct lab_options options = {0};
    const int code = lab_options_parse(argc, argv, &options);
    return code >= 0 ? code : sim_program_execute("lab", argv);
}

/*
 * commands.c - the table of subcommands: to add one, a row here and its file in meson.build.
 */
#include "cli/commands.h"

#include "base/text.h"
#include "cli/config_command.h"
#include "cli/options.h"
#include "cli/version_command.h"

#include "cli/aggregate_command.h"
#include "cli/ca_command.h"
#include "cli/coordinator_command.h"
#include "cli/node_command.h"
#include "cli/up_command.h"

#include <stdlib.h>
#include <string.h>

static const struct command {
    const char *name;
    const char *help;
    int (*run)(int argc, char **argv);
} commands[] = {
    {"up", "run a whole federation on this machine", up_command},
    {"coordinator", "run the centre of a federation", coordinator_command},
    {"node", "run a machine that holds data", node_command},
    {"aggregate", "combine update files into one", aggregate_command},
    {"ca", "run the local certificate authority", ca_command},
    {"config", "check, show and explain configurations", config_command},
    {"version", "say what this program is and what it runs on", version_command},
};

static void write_usage(FILE *file)
{
    fputs("Usage: fedra COMMAND ...\n\nTrains one model over many machines that do not trust each "
          "other.\n\nCommands:\n",
          file);
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++)
        fprintf(file, "  %-12s %s\n", commands[i].name, commands[i].help);
    fprintf(file, "  %-12s %s\n\n`fedra help COMMAND` tells more.\n", "help", "show this");
}

static const struct command *find_command(const char *name)
{
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++) {
        if (!strcmp(name, commands[i].name))
            return &commands[i];
    }
    return nullptr;
}

static int unknown_command(const char *name)
{
    char shown[64];
    const char *best = nullptr;
    size_t best_distance = 4;
    text_escape(name, strlen(name), shown, sizeof shown);
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++) {
        const size_t distance = text_distance(name, commands[i].name);
        if (distance < best_distance && distance < strlen(commands[i].name)) {
            best_distance = distance;
            best = commands[i].name;
        }
    }
    if (best)
        fprintf(stderr, "fedra: unknown command %s, did you mean %s?\n", shown, best);
    else
        fprintf(stderr, "fedra: unknown command %s, `fedra --help` lists those there are\n", shown);
    return EXIT_USAGE;
}

int commands_run(int argc, char **argv)
{
    const char *const name = argc > 1 ? argv[1] : "";
    if (argc < 2) {
        write_usage(stderr);
        return EXIT_USAGE;
    }
    const bool help = !strcmp(name, "help");
    if (!strcmp(name, "--help") || !strcmp(name, "-h") || (help && argc == 2)) {
        write_usage(stdout);
        return EXIT_SUCCESS;
    }
    const struct command *const command = find_command(help                         ? argv[2]
                                                       : !strcmp(name, "--version") ? "version"
                                                                                    : name);
    if (!command)
        return unknown_command(help ? argv[2] : name);
    if (help) {
        char option[] = "--help";
        char *arguments[] = {argv[2], option, nullptr};
        return command->run(2, arguments);
    }
    return command->run(argc - 1, argv + 1);
}

/*
 * commands.c - the table of subcommands: to add one, a row here and its file in meson.build.
 */
#include "cli/commands.h"

#include "cli/command_table.h"
#include "cli/config_command.h"
#include "cli/options.h"
#include "cli/version_command.h"

#include "cli/action_command.h"
#include "cli/aggregate_command.h"
#include "cli/audit_command.h"
#include "cli/ca_command.h"
#include "cli/central_command.h"
#include "cli/coordinator_command.h"
#include "cli/members_command.h"
#include "cli/node_command.h"
#include "cli/lab_command.h"
#include "cli/sim_command.h"
#include "cli/status_command.h"
#include "cli/trainer_command.h"
#include "cli/up_command.h"

#include <stdlib.h>
#include <string.h>

static const struct command commands[] = {
    {"up", "run a whole federation on this machine", up_command, nullptr},
    {"coordinator", "run the centre of a federation", coordinator_command, nullptr},
    {"node", "run a machine that holds data", node_command, nullptr},
    {"status", "say how a running job stands, once or watched", status_command, nullptr},
    {"members", "list who takes part in a running job", members_command, nullptr},
    {"pause", "let a running job rest after its round", pause_command, nullptr},
    {"resume", "let a paused job go on", resume_command, nullptr},
    {"cancel", "end a running job for good", cancel_command, nullptr},
    {"trainer", "try out a trainer of your own", trainer_command, &trainer_actions},
    {"aggregate", "combine update files into one", aggregate_command, nullptr},
    {"audit", "check that a run's records, rows and files are as signed", audit_command, nullptr},
    {"central", "train the job's model in one place, to compare with", central_command, nullptr},
    {"ca", "run the local certificate authority", ca_command, &ca_actions},
    {"lab", "measure rules against attacks on a real task", lab_command, nullptr},
    {"sim", "simulate a federation on virtual time, or look for bugs in many", sim_command,
     nullptr},
    {"config", "check, show and explain configurations", config_command, &config_actions},
    {"version", "say what this program is and what it runs on", version_command, nullptr},
};

static const struct command_table table = {"fedra", "command", commands,
                                           sizeof commands / sizeof commands[0]};

static const char about[] = "Trains one model over many machines that do not trust each other.";

static void write_usage(FILE *file)
{
    fprintf(file, "Usage: fedra COMMAND ...\n\n%s\n\nCommands:\n", about);
    for (uint32_t i = 0; i < table.count; i++)
        fprintf(file, "  %-12s %s\n", commands[i].name, commands[i].help);
    fprintf(file,
            "  %-12s %s\n\n`fedra help COMMAND` tells more; `fedra help --markdown` prints the "
            "help of all.\n",
            "help", "show this");
}

static int write_reference(void)
{
    fputs("# The commands of Fedra\n\n"
          "Made by `fedra help --markdown`; a test compares. Every command has `--help`, says what "
          "was wrong and what would be right\n"
          "on standard error, and offers the nearest name for a mistyped one.\n\n"
          "```text\n",
          stdout);
    write_usage(stdout);
    fputs("```\n", stdout);
    command_write_reference(&table);
    return fflush(stdout) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

static int run_help(const struct command *command, char *name)
{
    char option[] = "--help";
    char *arguments[] = {name, option, nullptr};
    return command->run(2, arguments);
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
    if (help && !strcmp(argv[2], "--markdown"))
        return write_reference();
    const char *const wanted = help ? argv[2] : !strcmp(name, "--version") ? "version" : name;
    const struct command *const command = command_find(&table, wanted);
    if (!command)
        return command_unknown(&table, wanted);
    if (help && command->actions && argc > 3) {
        const struct command *const action = command_find(command->actions, argv[3]);
        if (!action)
            return command_unknown(command->actions, argv[3]);
        return run_help(action, argv[3]);
    }
    return help ? run_help(command, argv[2]) : command->run(argc - 1, argv + 1);
}

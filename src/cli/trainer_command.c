/*
 * trainer_command.c - the actions of `fedra trainer`.
 *
 * keep is not among those that are listed: a node starts it, as what its trainer runs under.
 */
#include "cli/trainer_command.h"

#include "cli/options.h"
#include "train/trainer_keeper.h"

#include <string.h>

static const struct command actions[] = {
    {"check", "COMMAND: try a trainer out and say what is wrong with it", trainer_check, nullptr},
};

const struct command_table trainer_actions = {"fedra trainer", "action", actions,
                                              sizeof actions / sizeof actions[0]};

int trainer_command(int argc, char **argv)
{
    if (argc < 2 || strcmp(argv[1], "keep") != 0)
        return command_run(&trainer_actions, argc, argv);
    const int code = trainer_keeper_main(argc - 2, argv + 2);
    if (code == EXIT_USAGE)
        fprintf(stderr, "fedra trainer keep: is started by a node, not by hand\n");
    return code;
}

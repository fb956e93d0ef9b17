/*
 * trainer_command.h - `fedra trainer`: for who writes a trainer of his own.
 */
#pragma once

#include "cli/command_table.h"

extern const struct command_table trainer_actions;

/* Runs `fedra trainer ...`; argv[0] is "trainer". Exit code: 0, 1 it is not right, 2 wrong usage.
 */
int trainer_command(int argc, char **argv);

/* `fedra trainer check`: argv[0] is "check". Exit code as above. trainer_check.c. */
int trainer_check(int argc, char **argv);

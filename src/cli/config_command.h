/*
 * config_command.h - `fedra config`: check, show, keys, docs; and loading for other subcommands.
 */
#pragma once

#include "cli/options.h"
#include "host/config.h"

/* Runs `fedra config ...`; argv[0] is "config". Exit code: 0, 1 mistakes found, 2 wrong usage. */
int config_command(int argc, char **argv);

/*
 * Loads file (null: defaults only) with the --set values; all mistakes go to standard error, one a
 * line. The status of config_load; *ret_config is written only on success.
 */
[[nodiscard]] enum status command_load_config(const char *file, const struct option_list *sets,
                                              struct config *ret_config);

/* Writes what a report holds to a file, whatever it is. */
void command_write_report(const struct config_report *report, FILE *file);

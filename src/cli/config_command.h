/*
 * config_command.h - `fedra config`: check, show, keys, docs; and loading for other subcommands.
 */
#pragma once

#include "cli/command_table.h"
#include "cli/options.h"
#include "host/config.h"

extern const struct command_table config_actions;

/* Runs `fedra config ...`; argv[0] is "config". Exit code: 0, 1 mistakes found, 2 wrong usage. */
int config_command(int argc, char **argv);

/*
 * Loads file (null: defaults only) with the --set values; all mistakes go to standard error, one a
 * line. The status of config_load; *ret_config is written only on success.
 */
[[nodiscard]] enum status command_load_config(const char *file, const struct option_list *sets,
                                              struct config *ret_config);

/*
 * Makes it the configuration of a run of its own with that many nodes: parts of the data, nodes
 * waited for, bounds that fit. seed: UINT64_MAX leaves job.seed. INVAL, with the mistakes on
 * standard error.
 */
[[nodiscard]] enum status command_adapt_config(struct config *config, uint64_t nodes,
                                               uint64_t seed);

/* Writes what a report holds to a file, whatever it is. */
void command_write_report(const struct config_report *report, FILE *file);

/*
 * What `fedra coordinator` and `fedra node` do alike: parse argv by table (whose options point to
 * files and sets), load and check all configurations, demand the keys that who needs, run them.
 */
int command_run_role(const struct option_table *table, int argc, char **argv,
                     const struct option_list *files, const struct option_list *sets,
                     const char *who, const char *const *needed, uint32_t needed_count,
                     int (*run)(const struct config *configs, uint32_t count));

/*
 * ca_command.h - `fedra ca`: makes a local authority, issues identities, shows certificates.
 *
 * Not here: `fedra ca serve`.
 */
#pragma once

#include "base/status.h"
#include "cli/command_table.h"

#include <stdint.h>

extern const struct command_table ca_actions;

/*
 * Runs `fedra ca ...`. argv[0] is "ca". Output on standard output, mistakes on standard error.
 * Exit code: 0 done, 1 failed, 2 wrong usage.
 */
int ca_command(int argc, char **argv);

/* Reads "30s", "15m", "24h", "7d" or plain seconds; at most 2^32 - 1 seconds. INVAL. */
[[nodiscard]] enum status ca_duration_parse(const char *text, uint32_t *ret_duration_s,
                                            struct error *err);

/*
 * commands.h - the subcommands of fedra, and how one is chosen.
 */
#pragma once

/* Runs what argv[1] names. The exit code: the subcommand's, or 2 for wrong usage. */
int commands_run(int argc, char **argv);

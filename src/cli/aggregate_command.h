/*
 * aggregate_command.h - the subcommand that combines a file of updates into one update.
 */
#pragma once

/*
 * Runs the subcommand; argv[0] is its name. Reads and writes safetensors files, prints a JSON
 * report on standard output, or one line on standard error. The exit code: 0, 1 on failure, 2 for
 * wrong usage. On failure no output file is left, and one that was there is unchanged.
 */
int aggregate_command(int argc, char **argv);

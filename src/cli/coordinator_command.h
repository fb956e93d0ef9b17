/*
 * coordinator_command.h - `fedra coordinator`.
 */
#pragma once

/* Runs `fedra coordinator ...`; argv[0] is "coordinator". Gives the exit code. */
int coordinator_command(int argc, char **argv);

/*
 * up_command.h - `fedra up`.
 */
#pragma once

/* Runs `fedra up ...`; argv[0] is "up". Gives the exit code. */
int up_command(int argc, char **argv);

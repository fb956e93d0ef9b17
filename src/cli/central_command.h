/*
 * central_command.h - `fedra central`.
 */
#pragma once

/* Runs `fedra central ...`; argv[0] is "central". Gives the exit code. */
int central_command(int argc, char **argv);

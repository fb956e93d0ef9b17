/*
 * members_command.h - `fedra members`: who takes part in a running job, and how each one does.
 */
#pragma once

/* Runs `fedra members ...`; argv[0] is "members". The exit code. */
int members_command(int argc, char **argv);

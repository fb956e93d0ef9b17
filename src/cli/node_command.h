/*
 * node_command.h - `fedra node`.
 */
#pragma once

/* Runs `fedra node ...`; argv[0] is "node". Gives the exit code. */
int node_command(int argc, char **argv);

/*
 * node_command.h - `fedra node`.
 */
#pragma once

/* The environment variable in which `fedra up` leaves its process id for the nodes it starts. */
#define NODE_STARTED_BY "FEDRA_UP_PID"

/* Runs `fedra node ...`; argv[0] is "node". Gives the exit code. */
int node_command(int argc, char **argv);

/*
 * sim_command.h - `fedra sim`: executes the simulator, build/fedra-sim, which lies beside fedra.
 */
#pragma once

/* argv[0] is "sim". Comes back only with an error: 1 where there is no simulator, 2 wrong usage. */
int sim_command(int argc, char **argv);

/*
 * sim_federation.h - `fedra sim FILE`: the job of a configuration on virtual time, with real
 * training. In build/fedra-sim only.
 */
#pragma once

/* Whether this is asked for: the first argument is no option. argv[0] is "sim". */
bool sim_federation_is_wanted(int argc, char **argv);

/* Exit code: 0 converged or exhausted, 3 diverged, 130 Ctrl-C, 1 a fault, 2 wrong usage. */
int sim_federation(int argc, char **argv);

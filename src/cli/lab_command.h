/*
 * lab_command.h - `fedra lab`: executes build/fedra-sim, which knows the attacks.
 */
#pragma once

/* argv[0] is "lab". Exit code. */
int lab_command(int argc, char **argv);

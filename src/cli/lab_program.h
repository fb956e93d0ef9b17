/*
 * lab_program.h - `fedra lab FILE`, in build/fedra-sim only.
 */
#pragma once

/* argv[0] is "lab". Exit code: 0 all is run, 130 Ctrl-C, 1 a fault, 2 wrong usage or configuration.
 */
int lab_program(int argc, char **argv);

/*
 * version_command.h - `fedra version`: what this program is and what it runs on.
 */
#pragma once

/* Prints version, build, the libraries linked at run time and the CPU. Exit code. */
int version_command(int argc, char **argv);

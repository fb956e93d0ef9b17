/*
 * ca_serve.h - `fedra ca serve`.
 */
#pragma once

/* Runs `fedra ca serve ...`; argv[0] is "serve". Gives the exit code. */
int ca_serve(int argc, char **argv);

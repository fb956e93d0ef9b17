/*
 * status_command.h - `fedra status`: how a running job stands, once or watched.
 */
#pragma once

/* Runs `fedra status ...`; argv[0] is "status". The exit code. */
int status_command(int argc, char **argv);

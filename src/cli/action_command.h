/*
 * action_command.h - `fedra pause`, `fedra resume`, `fedra cancel`: what an operator has a job do.
 */
#pragma once

/* Each runs `fedra NAME ...`; argv[0] is the name. The exit code. */
int pause_command(int argc, char **argv);
int resume_command(int argc, char **argv);
int cancel_command(int argc, char **argv);

/*
 * audit_command.h - `fedra audit`.
 */
#pragma once

int audit_command(int argc, char **argv);

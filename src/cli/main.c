/*
 * main.c - the program fedra. Its subcommands are listed in commands.c.
 */
#include "cli/commands.h"

int main(int argc, char **argv)
{
    return commands_run(argc, argv);
}

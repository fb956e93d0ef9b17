/*
 * command_table.h - subcommands from a table: choosing one by its name, the list for people, the
 * reference of all.
 *
 * Not here: the options of one (options.h), which there are (commands.c).
 */
#pragma once

#include <stdint.h>
#include <stdio.h>

struct command_table;

struct command {
    const char *name;
    const char *help;                    /* a few words for the list */
    int (*run)(int argc, char **argv);   /* argv[0] is the name; --help writes to standard output */
    const struct command_table *actions; /* what may follow the name; null: options do */
};

struct command_table {
    const char *name; /* "fedra ca", what stands before a command */
    const char *word; /* what one is called: "action" */
    const struct command *commands;
    uint32_t count;
};

/* The command of that name, or null. */
const struct command *command_find(const struct command_table *table, const char *name);

/* Says on standard error that there is none of that name, and which is the nearest. EXIT_USAGE. */
int command_unknown(const struct command_table *table, const char *name);

/* Runs the command that argv[1] names, or lists all for --help. The exit code. */
int command_run(const struct command_table *table, int argc, char **argv);

/* Writes the help of every command, and of its actions, to standard output as Markdown. */
void command_write_reference(const struct command_table *table);

/*
 * command_table.c - subcommands from a table.
 */
#include "cli/command_table.h"

#include "base/text.h"
#include "cli/options.h"

#include <stdlib.h>
#include <string.h>

enum { SHOWN_MAX = 64 };

const struct command *command_find(const struct command_table *table, const char *name)
{
    for (uint32_t i = 0; i < table->count; i++) {
        if (!strcmp(name, table->commands[i].name))
            return &table->commands[i];
    }
    return nullptr;
}

int command_unknown(const struct command_table *table, const char *name)
{
    char shown[SHOWN_MAX];
    text_escape(name, strlen(name), shown, sizeof shown);
    struct text_nearest nearest = text_nearest_begin(name);
    for (uint32_t i = 0; i < table->count; i++)
        text_nearest_try(&nearest, table->commands[i].name);
    if (nearest.best)
        fprintf(stderr, "%s: unknown %s %s, did you mean %s?\n", table->name, table->word, shown,
                nearest.best);
    else
        fprintf(stderr, "%s: unknown %s %s, `%s --help` lists those there are\n", table->name,
                table->word, shown, table->name);
    return EXIT_USAGE;
}

static void write_list(const struct command_table *table, FILE *file)
{
    fprintf(file, "Usage: %s ACTION ...\n\n", table->name);
    for (uint32_t i = 0; i < table->count; i++)
        fprintf(file, "  %-8s %s\n", table->commands[i].name, table->commands[i].help);
    fprintf(file, "\n`%s ACTION --help` tells more.\n", table->name);
}

int command_run(const struct command_table *table, int argc, char **argv)
{
    const char *const name = argc > 1 ? argv[1] : "";
    if (argc < 2) {
        write_list(table, stderr);
        return EXIT_USAGE;
    }
    if (!strcmp(name, "--help") || !strcmp(name, "-h")) {
        write_list(table, stdout);
        return EXIT_SUCCESS;
    }
    const struct command *const command = command_find(table, name);
    if (!command)
        return command_unknown(table, name);
    return command->run(argc - 1, argv + 1);
}

static void write_help_of(const struct command_table *table, const struct command *command,
                          const char *heading)
{
    char name[SHOWN_MAX];
    char option[] = "--help";
    char *arguments[] = {name, option, nullptr};
    snprintf(name, sizeof name, "%s", command->name);
    printf("\n%s %s %s\n\n```text\n", heading, table->name, command->name);
    (void)command->run(2, arguments);
    printf("```\n");
}

void command_write_reference(const struct command_table *table)
{
    for (uint32_t i = 0; i < table->count; i++) {
        const struct command *const command = &table->commands[i];
        write_help_of(table, command, "##");
        for (uint32_t j = 0; command->actions && j < command->actions->count; j++)
            write_help_of(command->actions, &command->actions->commands[j], "###");
    }
}

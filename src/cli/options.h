/*
 * options.h - long options of a subcommand from one table: parsing, help, errors.
 *
 *     const struct option_spec specs[] = {
 *         {"config", 'c', "FILE", "the configuration", .text = &file},
 *         {"set", 0, "KEY=VALUE", "override a key", .list = &sets},
 *         {"quiet", 'q', nullptr, "say less", .flag = &quiet},
 *     };
 *
 * --name=VALUE, --name VALUE, -c VALUE and -q; "--" ends the options. --help (-h) is built in.
 */
#pragma once

#include "base/status.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

enum { OPTION_LIST_MAX = 256, EXIT_USAGE = 2 };

/* The values of an option that may be repeated, borrowed from argv. */
struct option_list {
    uint32_t count;
    const char *items[OPTION_LIST_MAX];
};

/* One option; exactly one of flag, text, number, list says where its value goes. */
struct option_spec {
    const char *name;
    char letter;       /* 0: none */
    const char *value; /* what the value is called in the help; null for a flag */
    const char *help;
    bool *flag;
    const char **text; /* borrowed from argv; stays as it was where the option is not given */
    uint64_t *number;  /* a whole number from min to max */
    uint64_t min;
    uint64_t max;
    struct option_list *list;
};

/* What a subcommand takes. */
struct option_table {
    const char *usage; /* "up FILE [--nodes N]", after "fedra " */
    const char *help;  /* one or a few sentences */
    const struct option_spec *specs;
    uint32_t spec_count;
    uint32_t operands_min; /* how many operands must and may be given */
    uint32_t operands_max;
};

/*
 * Parses argv[1..argc), argv[0] being the subcommand's name. Operands are gathered in order at
 * argv[1..1 + *ret_operands).
 *
 * OK: go on. CANCELLED: --help was asked for and written to standard output, exit 0. INVAL: the
 * text in err says what is wrong and what would be right, exit EXIT_USAGE.
 */
[[nodiscard]] enum status options_parse(const struct option_table *table, int argc, char **argv,
                                        struct error *err, uint32_t *ret_operands);

/* options_parse for a main function: writes an error to standard error and gives -1 to go on, else
 * the exit code. */
int options_parse_or_exit_code(const struct option_table *table, int argc, char **argv,
                               uint32_t *ret_operands);

/* Writes usage, help and the options. */
void options_write_help(const struct option_table *table, FILE *file);

/*
 * options.c - long options from a table.
 */
#include "cli/options.h"

#include "base/text.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { SHOWN_MAX = 64, LINE_COLUMNS_MAX = 90 };

static const struct option_spec *find_long(const struct option_table *table, const char *name,
                                           size_t size)
{
    for (uint32_t i = 0; i < table->spec_count; i++) {
        if (strlen(table->specs[i].name) == size && !memcmp(table->specs[i].name, name, size))
            return &table->specs[i];
    }
    return nullptr;
}

static const struct option_spec *find_letter(const struct option_table *table, char letter)
{
    for (uint32_t i = 0; i < table->spec_count; i++) {
        if (table->specs[i].letter && table->specs[i].letter == letter)
            return &table->specs[i];
    }
    return nullptr;
}

/* With one dash or two: who writes -config means --config. */
static enum status unknown_option(const struct option_table *table, const char *argument,
                                  size_t size, struct error *err)
{
    char shown[SHOWN_MAX];
    text_escape(argument, size, shown, sizeof shown);
    struct text_nearest nearest = text_nearest_begin(shown + strspn(shown, "-"));
    for (uint32_t i = 0; i < table->spec_count; i++)
        text_nearest_try(&nearest, table->specs[i].name);
    text_nearest_try(&nearest, "help");
    if (nearest.best)
        return error_set(err, STATUS_INVAL, "unknown option %s, did you mean --%s?", shown,
                         nearest.best);
    return error_set(err, STATUS_INVAL, "unknown option %s, --help lists those there are", shown);
}

static enum status store_number(const struct option_spec *spec, const char *value,
                                struct error *err)
{
    char shown[SHOWN_MAX];
    char *end = nullptr;
    errno = 0;
    const unsigned long long number = strtoull(value, &end, 10);
    if (value[0] < '0' || value[0] > '9' || *end || errno || number < spec->min ||
        number > spec->max) {
        text_escape(value, strlen(value), shown, sizeof shown);
        return error_set(err, STATUS_INVAL,
                         "--%s: \"%s\" is not usable, a whole number from %llu to %llu is wanted",
                         spec->name, shown, (unsigned long long)spec->min,
                         (unsigned long long)spec->max);
    }
    *spec->number = number;
    return STATUS_OK;
}

static enum status store(const struct option_spec *spec, const char *value, struct error *err)
{
    if (spec->flag) {
        *spec->flag = true;
        return STATUS_OK;
    }
    if (spec->number)
        return store_number(spec, value, err);
    if (spec->text) {
        *spec->text = value;
        return STATUS_OK;
    }
    if (spec->list->count == OPTION_LIST_MAX)
        return error_set(err, STATUS_INVAL, "--%s is given more than %d times", spec->name,
                         OPTION_LIST_MAX);
    spec->list->items[spec->list->count++] = value;
    return STATUS_OK;
}

/* The option at argv[*at], and its value where that is the next argument. */
static enum status parse_option(const struct option_table *table, int argc, char **argv, int *at,
                                struct error *err)
{
    const char *const argument = argv[*at];
    const bool is_long = argument[1] == '-';
    const char *const equals = is_long ? strchr(argument, '=') : nullptr;
    const size_t size = equals ? (size_t)(equals - argument) : strlen(argument);
    const struct option_spec *const spec = is_long     ? find_long(table, argument + 2, size - 2)
                                           : size == 2 ? find_letter(table, argument[1])
                                                       : nullptr;
    if (!spec)
        return unknown_option(table, argument, size, err);
    if (spec->flag && equals)
        return error_set(err, STATUS_INVAL, "--%s takes no value", spec->name);
    if (spec->flag)
        return store(spec, nullptr, err);
    if (equals)
        return store(spec, equals + 1, err);
    if (*at + 1 >= argc)
        return error_set(err, STATUS_INVAL, "--%s needs a value, --%s %s is wanted", spec->name,
                         spec->name, spec->value);
    *at += 1;
    return store(spec, argv[*at], err);
}

enum status options_parse(const struct option_table *table, int argc, char **argv,
                          struct error *err, uint32_t *ret_operands)
{
    uint32_t operands = 0;
    bool ended = false;
    for (int i = 1; i < argc; i++) {
        const char *const argument = argv[i];
        if (!ended && (!strcmp(argument, "--help") || !strcmp(argument, "-h"))) {
            options_write_help(table, stdout);
            return STATUS_CANCELLED;
        }
        if (!ended && !strcmp(argument, "--")) {
            ended = true;
        } else if (!ended && argument[0] == '-' && argument[1]) {
            const enum status status = parse_option(table, argc, argv, &i, err);
            if (status != STATUS_OK)
                return status;
        } else {
            argv[1 + operands++] = argv[i];
        }
    }
    if (operands < table->operands_min)
        return error_set(err, STATUS_INVAL, "an argument is missing, fedra %s is wanted",
                         table->usage);
    if (operands > table->operands_max)
        return error_set(err, STATUS_INVAL, "an argument too many, fedra %s is wanted",
                         table->usage);
    *ret_operands = operands;
    return STATUS_OK;
}

int options_parse_or_exit_code(const struct option_table *table, int argc, char **argv,
                               uint32_t *ret_operands)
{
    struct error err = {0};
    const enum status status = options_parse(table, argc, argv, &err, ret_operands);
    if (status == STATUS_OK)
        return -1;
    if (status == STATUS_CANCELLED)
        return EXIT_SUCCESS;
    fprintf(stderr, "fedra: %s\n", err.text);
    return EXIT_USAGE;
}

/* Breaks lines at spaces, at most LINE_COLUMNS_MAX a line. */
static void write_wrapped(const char *text, FILE *file)
{
    size_t column = 0;
    while (*text) {
        const size_t blanks = strspn(text, " ");
        const size_t word = strcspn(text + blanks, " \n");
        if (column > 0 && column + blanks + word > LINE_COLUMNS_MAX) {
            fputc('\n', file);
            column = 0;
        } else {
            fprintf(file, "%.*s", (int)blanks, text);
            column += blanks;
        }
        fprintf(file, "%.*s", (int)word, text + blanks);
        column += word;
        text += blanks + word;
        if (*text == '\n') {
            fputc('\n', file);
            column = 0;
            text++;
        }
    }
}

void options_write_help(const struct option_table *table, FILE *file)
{
    fprintf(file, "Usage: fedra %s\n\n", table->usage);
    write_wrapped(table->help, file);
    fprintf(file, "\n\nOptions:\n");
    for (uint32_t i = 0; i < table->spec_count; i++) {
        const struct option_spec *const spec = &table->specs[i];
        char left[SHOWN_MAX];
        char letter[8] = "    ";
        if (spec->letter)
            snprintf(letter, sizeof letter, "-%c, ", spec->letter);
        snprintf(left, sizeof left, "%s--%s%s%s", letter, spec->name, spec->value ? " " : "",
                 spec->value ? spec->value : "");
        fprintf(file, "  %-26s %s\n", left, spec->help);
    }
    fprintf(file, "  %-26s %s\n", "-h, --help", "show this");
}

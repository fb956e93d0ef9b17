/*
 * reason.c - names, texts and classes of the reasons, all from the one list.
 */
#include "base/reason.h"

#include <string.h>

static const struct reason_row {
    const char *name;
    const char *text;
    enum reason_class class;
} reason_rows[] = {
#define X(name, lower, number, class, text) [number] = {#lower, text, REASON_CLASS_##class},
    REASON_LIST(X)
#undef X
};

enum { REASON_COUNT = sizeof(reason_rows) / sizeof(reason_rows[0]) };

static const struct reason_row *row_of(enum reason reason)
{
    return &reason_rows[reason_of_number((unsigned)reason)];
}

const char *reason_name(enum reason reason)
{
    return row_of(reason)->name;
}

const char *reason_text(enum reason reason)
{
    return row_of(reason)->text;
}

enum reason_class reason_class_of(enum reason reason)
{
    return row_of(reason)->class;
}

enum reason reason_of_number(unsigned number)
{
    return number < REASON_COUNT ? (enum reason)number : REASON_UNSPECIFIED;
}

enum reason reason_of_name(const char *name)
{
    for (unsigned number = 0; number < REASON_COUNT; number++) {
        if (reason_rows[number].name != nullptr && strcmp(reason_rows[number].name, name) == 0)
            return (enum reason)number;
    }
    return REASON_UNSPECIFIED;
}

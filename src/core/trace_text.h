/*
 * trace_text.h - trace records told in words. In a library of its own: the machines print nothing.
 */
#pragma once

#include "core/machine.h"

#include <stddef.h>

/*
 * One line without its end: "   1.250 s  who: what". member is the name of record->member, or null.
 * Cut at capacity - 1 bytes.
 */
void trace_text(const struct trace_record *record, const char *who, const char *member, char *ret,
                size_t capacity);

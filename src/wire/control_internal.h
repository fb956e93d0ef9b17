/*
 * control_internal.h - what the files of fedra.v1.Control's messages share. Not for other layers.
 */
#pragma once

#include "wire/control.h"
#include "wire/control.pb-c.h"

/* Counts as repeated messages; the pointers lead into the same struct. */
struct control_counts_messages {
    size_t count;
    Fedra__V1__RefusalCount items[CONTROL_REASONS_MAX];
    Fedra__V1__RefusalCount *pointers[CONTROL_REASONS_MAX];
};

/* Those that are not 0, in the order of their numbers. */
void control_counts_borrow(const struct control_counts *counts,
                           struct control_counts_messages *made);

/* Adds what a message counts. */
void control_counts_take(size_t count, Fedra__V1__RefusalCount *const *items,
                         struct control_counts *ret_counts);

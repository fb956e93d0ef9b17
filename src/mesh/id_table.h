/*
 * id_table.h - finds things by their number, in constant time.
 *
 * For numbers that are handed out one after the other. Not here: who owns the things.
 */
#pragma once

#include "base/status.h"

#include <stddef.h>
#include <stdint.h>

struct id_slot {
    uint64_t id; /* 0: free */
    void *value;
};

/* Zero bytes are an empty table. */
struct id_table {
    struct id_slot *slots;
    size_t capacity; /* a power of two, or 0 */
    size_t count;
};

/* Frees the table, not the things. It may be used again. */
void id_table_deinit(struct id_table *table);

/* Adds a thing under an id of 1 or more that is not in the table. NO_MEMORY. */
[[nodiscard]] enum status id_table_put(struct id_table *table, uint64_t id, void *value);

/* The thing with this id, or null. */
void *id_table_find(const struct id_table *table, uint64_t id);

/* Takes a thing out; no effect for an unknown id. */
void id_table_remove(struct id_table *table, uint64_t id);

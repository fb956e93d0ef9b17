/*
 * row_index.h - from a hash to the numbers of the rows that have it, in the order of their arrival;
 * for store_memory.c.
 *
 * Open addressing with linear probing. The latest row can be taken out again; others cannot.
 */
#pragma once

#include "base/status.h"

#include <stddef.h>
#include <stdint.h>

enum { ROW_INDEX_NONE = -1 };

/* Zeroed: empty. Freed by row_index_deinit. */
struct row_index {
    struct row_slot *slots; /* a power of two of them */
    size_t capacity;
    size_t count;
};

/* Room for more rows. NO_MEMORY, and nothing is changed. */
[[nodiscard]] enum status row_index_reserve(struct row_index *index, size_t more);
/* Room was made. */
void row_index_add(struct row_index *index, uint64_t hash, size_t row);
/* Takes out the row that was added last. */
void row_index_drop(struct row_index *index, uint64_t hash, size_t row);
/* The next row of that hash; *cursor begins as hash, and is kept by the caller. ROW_INDEX_NONE at
 * the end. */
ptrdiff_t row_index_next(const struct row_index *index, uint64_t hash, uint64_t *cursor);
void row_index_deinit(struct row_index *index);

/* FNV-1a of a text and a number, stirred so that low bits differ. */
uint64_t row_index_hash(const char *text, uint64_t number);

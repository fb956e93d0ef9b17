/*
 * row_index.c - see row_index.h.
 */
#include "store/row_index.h"

#include "base/check.h"

#include <stdlib.h>

enum { SLOTS_MIN = 64 };

struct row_slot {
    uint64_t hash;
    size_t row; /* plus 1; 0: empty */
};

static void put(struct row_slot *slots, size_t capacity, struct row_slot slot)
{
    size_t at = slot.hash & (capacity - 1);
    while (slots[at].row != 0)
        at = (at + 1) & (capacity - 1);
    slots[at] = slot;
}

enum status row_index_reserve(struct row_index *index, size_t more)
{
    size_t capacity = index->capacity < SLOTS_MIN ? SLOTS_MIN : index->capacity;
    while (capacity / 2 < index->count + more)
        capacity *= 2;
    if (capacity == index->capacity)
        return STATUS_OK;
    struct row_slot *const slots = calloc(capacity, sizeof(*slots));
    if (slots == nullptr)
        return STATUS_NO_MEMORY;
    for (size_t i = 0; i < index->capacity; i++)
        if (index->slots[i].row != 0)
            put(slots, capacity, index->slots[i]);
    free(index->slots);
    index->slots = slots;
    index->capacity = capacity;
    return STATUS_OK;
}

void row_index_add(struct row_index *index, uint64_t hash, size_t row)
{
    CHECK(index->count < index->capacity / 2);
    put(index->slots, index->capacity, (struct row_slot){hash, row + 1});
    index->count++;
}

void row_index_drop(struct row_index *index, uint64_t hash, size_t row)
{
    size_t at = hash & (index->capacity - 1);
    while (index->slots[at].row != row + 1) {
        CHECK(index->slots[at].row != 0);
        at = (at + 1) & (index->capacity - 1);
    }
    index->slots[at] = (struct row_slot){0}; /* nobody that came later was put behind it */
    index->count--;
}

ptrdiff_t row_index_next(const struct row_index *index, uint64_t hash, uint64_t *cursor)
{
    if (index->capacity == 0)
        return ROW_INDEX_NONE;
    for (;;) {
        const struct row_slot *const slot = &index->slots[*cursor & (index->capacity - 1)];
        if (slot->row == 0)
            return ROW_INDEX_NONE;
        (*cursor)++;
        if (slot->hash == hash)
            return (ptrdiff_t)slot->row - 1;
    }
}

void row_index_deinit(struct row_index *index)
{
    free(index->slots);
    *index = (struct row_index){0};
}

uint64_t row_index_hash(const char *text, uint64_t number)
{
    uint64_t hash = 0xcbf29ce484222325u ^ number * 0x9e3779b97f4a7c15u;
    for (const char *at = text; *at != 0; at++)
        hash = (hash ^ (uint8_t)*at) * 0x100000001b3u;
    return hash ^ hash >> 32;
}

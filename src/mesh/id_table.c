/*
 * id_table.c - open addressing with linear probing; removal shifts what follows back.
 */
#include "mesh/id_table.h"

#include "base/check.h"

#include <stdlib.h>

enum { CAPACITY_MIN = 16 };

void id_table_deinit(struct id_table *table)
{
    free(table->slots);
    *table = (struct id_table){};
}

/* Where an id would like to be: Fibonacci hashing, by the upper bits of the product. */
static size_t home_of(const struct id_table *table, uint64_t id)
{
    const uint64_t mixed = id * UINT64_C(0x9e3779b97f4a7c15);
    return (size_t)(mixed >> 32) & (table->capacity - 1);
}

/* The id's slot, or the free one where it belongs. At least one slot is free. */
static size_t slot_of(const struct id_table *table, uint64_t id)
{
    size_t at = home_of(table, id);
    while (table->slots[at].id != 0 && table->slots[at].id != id)
        at = (at + 1) & (table->capacity - 1);
    return at;
}

static enum status grow(struct id_table *table)
{
    const size_t capacity = table->capacity > 0 ? 2 * table->capacity : CAPACITY_MIN;
    struct id_slot *const slots = calloc(capacity, sizeof(*slots));
    if (slots == nullptr)
        return STATUS_NO_MEMORY;
    struct id_table grown = {slots, capacity, table->count};
    for (size_t i = 0; i < table->capacity; i++)
        if (table->slots[i].id != 0)
            slots[slot_of(&grown, table->slots[i].id)] = table->slots[i];
    free(table->slots);
    *table = grown;
    return STATUS_OK;
}

enum status id_table_put(struct id_table *table, uint64_t id, void *value)
{
    CHECK(id > 0 && value != nullptr);
    if (2 * (table->count + 1) > table->capacity && grow(table) != STATUS_OK)
        return STATUS_NO_MEMORY;
    const size_t at = slot_of(table, id);
    CHECK(table->slots[at].id == 0);
    table->slots[at] = (struct id_slot){id, value};
    table->count++;
    return STATUS_OK;
}

void *id_table_find(const struct id_table *table, uint64_t id)
{
    if (table->count == 0 || id == 0)
        return nullptr;
    return table->slots[slot_of(table, id)].value;
}

void id_table_remove(struct id_table *table, uint64_t id)
{
    if (id_table_find(table, id) == nullptr)
        return;
    const size_t mask = table->capacity - 1;
    size_t hole = slot_of(table, id);
    for (size_t at = (hole + 1) & mask; table->slots[at].id != 0; at = (at + 1) & mask) {
        /* It may move back into the hole unless its home lies after the hole. */
        const size_t home = home_of(table, table->slots[at].id);
        if (((at - home) & mask) < ((at - hole) & mask))
            continue;
        table->slots[hole] = table->slots[at];
        hole = at;
    }
    table->slots[hole] = (struct id_slot){};
    table->count--;
}

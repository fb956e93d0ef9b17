/*
 * arena.h - the workspace of a rule: one piece of the caller's memory, given out from its start.
 *
 * How much a rule takes is known beforehand (robust_workspace_size); running out is our own bug.
 */
#pragma once

#include "base/check.h"

#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum { ARENA_ALIGNMENT = 64 }; /* a cache line, so that threads' buffers do not share one */

struct arena {
    uint8_t *base; /* aligned to ARENA_ALIGNMENT */
    size_t size;
    size_t used;
};

/* The bytes that arena_take takes for count elements of size bytes. */
static inline size_t arena_bytes(size_t count, size_t size)
{
    return (count * size + ARENA_ALIGNMENT - 1) / ARENA_ALIGNMENT * ARENA_ALIGNMENT;
}

/* count elements of size bytes, not initialised; given back by setting used to what it was. */
static inline void *arena_take(struct arena *arena, size_t count, size_t size)
{
    const size_t bytes = arena_bytes(count, size);
    CHECK(bytes <= arena->size - arena->used);
    void *const taken = arena->base + arena->used;
    arena->used += bytes;
    return taken;
}

/* As arena_take, all bytes 0. */
static inline void *arena_take_zeroed(struct arena *arena, size_t count, size_t size)
{
    void *const taken = arena_take(arena, count, size);
    memset(taken, 0, count * size);
    return taken;
}

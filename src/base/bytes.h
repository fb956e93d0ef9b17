/*
 * bytes.h - a growing byte buffer with a cap, and little-endian numbers.
 */
#pragma once

#include "base/status.h"

#include <stddef.h>
#include <stdint.h>

/* A borrowed run of bytes; data may be null when size is 0. */
struct slice {
    const uint8_t *data;
    size_t size;
};

/* Bytes that grow up to a cap. Zero bytes are a valid, empty buffer once bytes_init was called. */
struct bytes {
    uint8_t *data;
    size_t size;
    size_t capacity;
    size_t size_max;
};

/* Makes an empty buffer that never holds more than size_max bytes. Allocates nothing. Cannot fail.
 */
void bytes_init(struct bytes *buffer, size_t size_max);

/* Frees what the buffer holds; it may be initialised again. */
void bytes_deinit(struct bytes *buffer);

/* As bytes_deinit, but overwrites the content first. For secrets. */
void bytes_wipe(struct bytes *buffer);

/*
 * Makes room for size more bytes without changing the content.
 * LIMIT where size_max would be passed, NO_MEMORY; the buffer is unchanged then.
 */
[[nodiscard]] enum status bytes_reserve(struct bytes *buffer, size_t size);

/* Appends size bytes. Same errors as bytes_reserve; nothing is appended then. */
[[nodiscard]] enum status bytes_append(struct bytes *buffer, const void *data, size_t size);

/* Takes the first size bytes (at most all) away. */
void bytes_consume(struct bytes *buffer, size_t size);

static inline struct slice bytes_slice(const struct bytes *buffer)
{
    return (struct slice){buffer->data, buffer->size};
}

/* Little-endian stores and loads; no alignment is needed. */
static inline void store_u32le(uint8_t *out, uint32_t value)
{
    for (int i = 0; i < 4; i++)
        out[i] = (uint8_t)(value >> (8 * i));
}

static inline void store_u64le(uint8_t *out, uint64_t value)
{
    for (int i = 0; i < 8; i++)
        out[i] = (uint8_t)(value >> (8 * i));
}

static inline uint32_t load_u32le(const uint8_t *in)
{
    uint32_t value = 0;
    for (int i = 0; i < 4; i++)
        value |= (uint32_t)in[i] << (8 * i);
    return value;
}

static inline uint64_t load_u64le(const uint8_t *in)
{
    uint64_t value = 0;
    for (int i = 0; i < 8; i++)
        value |= (uint64_t)in[i] << (8 * i);
    return value;
}

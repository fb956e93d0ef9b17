/*
 * bytes.c - the growing byte buffer. Doubles its room, never past its cap.
 */
#include "base/bytes.h"

#include "base/check.h"

#include <stdlib.h>
#include <string.h>

enum { BYTES_CAPACITY_MIN = 256 };

void bytes_init(struct bytes *buffer, size_t size_max)
{
    *buffer = (struct bytes){.size_max = size_max};
}

void bytes_deinit(struct bytes *buffer)
{
    free(buffer->data);
    *buffer = (struct bytes){.size_max = buffer->size_max};
}

void bytes_wipe(struct bytes *buffer)
{
    if (buffer->data != nullptr)
        explicit_bzero(buffer->data, buffer->capacity);
    bytes_deinit(buffer);
}

enum status bytes_reserve(struct bytes *buffer, size_t size)
{
    CHECK(buffer->size <= buffer->size_max);
    if (size > buffer->size_max - buffer->size)
        return STATUS_LIMIT;
    const size_t needed = buffer->size + size;
    if (needed <= buffer->capacity)
        return STATUS_OK;
    size_t capacity = buffer->capacity < BYTES_CAPACITY_MIN ? BYTES_CAPACITY_MIN : buffer->capacity;
    while (capacity < needed)
        capacity = capacity > SIZE_MAX / 2 ? needed : capacity * 2;
    uint8_t *const grown = realloc(buffer->data, capacity);
    if (grown == nullptr)
        return STATUS_NO_MEMORY;
    buffer->data = grown;
    buffer->capacity = capacity;
    return STATUS_OK;
}

enum status bytes_append(struct bytes *buffer, const void *data, size_t size)
{
    const enum status status = bytes_reserve(buffer, size);
    if (status != STATUS_OK)
        return status;
    if (size > 0)
        memcpy(buffer->data + buffer->size, data, size);
    buffer->size += size;
    return STATUS_OK;
}

void bytes_consume(struct bytes *buffer, size_t size)
{
    CHECK(size <= buffer->size);
    if (size > 0)
        memmove(buffer->data, buffer->data + size, buffer->size - size);
    buffer->size -= size;
}

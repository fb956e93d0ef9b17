/*
 * grpc_frame.c - reads and writes gRPC's length-prefixed messages.
 */
#include "rpc/grpc_frame.h"

#include <stdlib.h>
#include <string.h>

enum { BODY_BYTES_FIRST = 128 * 1024 };

void grpc_frame_prefix(uint32_t size, uint8_t ret_prefix[static GRPC_PREFIX_BYTES])
{
    ret_prefix[0] = 0;
    for (int i = 0; i < 4; i++)
        ret_prefix[1 + i] = (uint8_t)(size >> (24 - 8 * i));
}

void grpc_decoder_init(struct grpc_decoder *decoder, uint32_t message_bytes_max)
{
    *decoder = (struct grpc_decoder){.message_bytes_max = message_bytes_max};
}

void grpc_decoder_deinit(struct grpc_decoder *decoder)
{
    free(decoder->body);
    grpc_decoder_init(decoder, decoder->message_bytes_max);
}

void grpc_decoder_release(struct grpc_decoder *decoder)
{
    if (decoder->body_taken > 0)
        grpc_decoder_deinit(decoder);
}

bool grpc_decoder_is_inside(const struct grpc_decoder *decoder)
{
    return decoder->prefix_size > 0;
}

size_t grpc_decoder_held_bytes(const struct grpc_decoder *decoder)
{
    return decoder->body_capacity;
}

static enum status take_prefix(struct grpc_decoder *decoder, struct slice *input)
{
    while (decoder->prefix_size < GRPC_PREFIX_BYTES && input->size > 0) {
        decoder->prefix[decoder->prefix_size++] = *input->data++;
        input->size--;
    }
    if (decoder->prefix_size >= 1 && decoder->prefix[0] != 0)
        return decoder->prefix[0] == 1 ? STATUS_UNSUPPORTED : STATUS_PEER;
    if (decoder->prefix_size < GRPC_PREFIX_BYTES)
        return STATUS_AGAIN;
    uint32_t size = 0;
    for (int i = 0; i < 4; i++)
        size = size << 8 | decoder->prefix[1 + i];
    if (size > decoder->message_bytes_max)
        return STATUS_LIMIT;
    decoder->message_size = size;
    return STATUS_OK;
}

/* Room for more bytes: doubles, but never past the announced size. */
static enum status reserve_body(struct grpc_decoder *decoder, size_t more)
{
    const size_t needed = decoder->body_size + more;
    if (needed <= decoder->body_capacity)
        return STATUS_OK;
    size_t capacity = decoder->body_capacity * 2;
    if (capacity < BODY_BYTES_FIRST)
        capacity = BODY_BYTES_FIRST;
    if (capacity < needed)
        capacity = needed;
    if (capacity > decoder->message_size)
        capacity = decoder->message_size;
    uint8_t *const body = realloc(decoder->body, capacity);
    if (body == nullptr)
        return STATUS_NO_MEMORY;
    decoder->body = body;
    decoder->body_capacity = capacity;
    return STATUS_OK;
}

enum status grpc_decoder_feed(struct grpc_decoder *decoder, struct slice input, size_t *ret_used,
                              struct slice *ret_message)
{
    const size_t size_before = input.size;
    grpc_decoder_release(decoder);
    enum status status = take_prefix(decoder, &input);
    if (status == STATUS_AGAIN)
        *ret_used = size_before;
    if (status != STATUS_OK)
        return status;
    const size_t missing = decoder->message_size - decoder->body_size;
    if (decoder->body_size == 0 && input.size >= missing) {
        *ret_message = (struct slice){input.data, missing};
        *ret_used = size_before - input.size + missing;
        decoder->prefix_size = 0;
        return STATUS_OK;
    }
    const size_t taken = input.size < missing ? input.size : missing;
    if (taken > 0) {
        status = reserve_body(decoder, taken);
        if (status != STATUS_OK)
            return status;
        memcpy(decoder->body + decoder->body_size, input.data, taken);
        decoder->body_size += taken;
    }
    *ret_used = size_before - input.size + taken;
    if (taken < missing)
        return STATUS_AGAIN;
    *ret_message = (struct slice){decoder->body, decoder->body_size};
    decoder->body_taken = decoder->body_size;
    decoder->prefix_size = 0;
    return STATUS_OK;
}

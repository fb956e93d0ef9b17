/*
 * mesh_direct.c - what both ends of a direct connection need.
 */
#include "mesh/mesh_direct_internal.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

static_assert(MESSAGE_BYTES >= (int)UPDATE_PART_BYTES_MAX);
static_assert(MESSAGE_BYTES >= (int)JOIN_BYTES_MAX && MESSAGE_BYTES >= (int)DIRECTIVE_BYTES_MAX);
static_assert(PIECE_BYTES <= (int)BLOB_CHUNK_BYTES);

int64_t mesh_unix_s(void)
{
    return (int64_t)time(nullptr);
}

struct rpc_limits mesh_rpc_limits(uint64_t message_bytes_max, uint32_t keepalive_ms)
{
    if (message_bytes_max > MESSAGE_BYTES_LIMIT)
        message_bytes_max = MESSAGE_BYTES_LIMIT;
    return (struct rpc_limits){
        .message_bytes_max = message_bytes_max > 0 ? (uint32_t)message_bytes_max : MESSAGE_BYTES,
        .send_queue_bytes_max = SEND_QUEUE_BYTES,
        .keepalive_interval_ms = keepalive_ms,
        .keepalive_timeout_ms = keepalive_ms,
    };
}

enum status mesh_check_message_bytes(uint64_t message_bytes_max, struct error *err)
{
    if (message_bytes_max == 0 || message_bytes_max >= UPDATE_PART_BYTES_MAX)
        return STATUS_OK;
    return error_set(err, STATUS_INVAL,
                     "message_bytes_max is %llu: a part of an update needs %d bytes",
                     (unsigned long long)message_bytes_max, (int)UPDATE_PART_BYTES_MAX);
}

enum status mesh_send_piece(struct rpc_call *call, const uint8_t *prefix, size_t prefix_size,
                            struct slice data)
{
    uint8_t *const message = malloc(prefix_size + data.size);
    if (message == nullptr)
        return STATUS_NO_MEMORY;
    memcpy(message, prefix, prefix_size);
    memcpy(message + prefix_size, data.data, data.size);
    const enum status status =
        rpc_call_send_owned(call, message, prefix_size + data.size, nullptr, nullptr);
    if (status != STATUS_OK)
        free(message);
    return status;
}

enum status mesh_send_bytes(struct rpc_call *call, struct bytes *message)
{
    const enum status status =
        rpc_call_send_owned(call, message->data, message->size, nullptr, nullptr);
    if (status == STATUS_OK)
        bytes_init(message, message->size_max); /* its memory is the call's */
    return status;
}

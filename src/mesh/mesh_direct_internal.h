/*
 * mesh_direct_internal.h - what the files of the direct mesh share; not for others.
 */
#pragma once

#include "mesh/id_table.h"
#include "mesh/mesh_direct.h"
#include "mesh/stall_watch.h"
#include "rpc/health.h"
#include "rpc/rpc_client.h"
#include "rpc/rpc_server.h"

#define FEDERATION_SERVICE "fedra.v1.Federation"
#define PATH_JOIN          "/" FEDERATION_SERVICE "/Join"
#define PATH_PULL_BLOB     "/" FEDERATION_SERVICE "/PullBlob"
#define PATH_PUSH_UPDATE   "/" FEDERATION_SERVICE "/PushUpdate"
#define PATH_HEARTBEAT     "/" FEDERATION_SERVICE "/Heartbeat"

enum {
    /*
     * Data of one Chunk that we send. Smaller than a Chunk may be: both sides hold about two of
     * them for every transfer under way, and a hub has thousands.
     */
    PIECE_BYTES = 128 * 1024,
    SEND_QUEUE_BYTES = 2 * PIECE_BYTES, /* rpc's queue of a call */
    TRANSFER_TIMEOUT_MS = 60000,
    DIRECTIVE_QUEUE_BYTES = 4 * 1024 * 1024,
    MESSAGE_BYTES = 4 * 1024 * 1024,
    MESSAGE_BYTES_LIMIT = 1 << 30, /* rpc's own */
    EXPIRY_TICK_MS = 250,          /* how often ends of certificates are looked for */
};

/* Wall time since 1970 in s, for ends of certificates. */
int64_t mesh_unix_s(void);

/* Limits of a connection; message_bytes_max and keepalive_ms of 0 mean the defaults. */
struct rpc_limits mesh_rpc_limits(uint64_t message_bytes_max, uint32_t keepalive_ms);

/* INVAL where a part of an update would not fit; 0 is the default. */
[[nodiscard]] enum status mesh_check_message_bytes(uint64_t message_bytes_max, struct error *err);

/*
 * Sends prefix and data as one message. AGAIN: the queue is full, on_writable follows; other
 * errors as rpc_call_send_owned.
 */
[[nodiscard]] enum status mesh_send_piece(struct rpc_call *call, const uint8_t *prefix,
                                          size_t prefix_size, struct slice data);

/* Sends a buffer as one message; empty after OK, unchanged else. Errors of rpc_call_send_owned. */
[[nodiscard]] enum status mesh_send_bytes(struct rpc_call *call, struct bytes *message);

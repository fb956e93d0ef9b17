/*
 * mesh_leaf_internal.h - what the files of the direct leaf share; not for others.
 */
#pragma once

#include "mesh/mesh_direct_internal.h"

struct leaf_transfer;

struct leaf_direct {
    struct leaf head;
    uv_loop_t *loop;
    struct leaf_direct_options options; /* host and tls are its own */
    char *host;
    const struct leaf_handlers *handlers;
    void *context;
    struct rpc_client *client; /* null: no Join is open */
    struct rpc_call *join;     /* null: over */
    struct leaf_transfer *transfers;
    struct watch transfer_watch;
    struct watch join_watch; /* the Join until its Welcome */
    struct watched join_watched;
    uint32_t chunk_bytes; /* the most that the hub takes in a Chunk */
    uint32_t clients;     /* not freed yet */
    uint32_t handles;     /* not closed yet */
    bool is_ending;       /* the client was closed; on_lost follows */
    bool is_welcome;      /* the Welcome came */
    bool is_draining;     /* the Join was unavailable; the connection ends */
    bool is_retired;      /* another leaf has taken its place */
    bool is_closing;
    enum status lost_status; /* OK: not known yet */
    char lost_reason[MESH_REASON_MAX];
    struct mesh_peer peer;
    uv_timer_t expiry; /* runs while the hub's certificate has an end */
    void (*on_closed)(void *context);
};

/* mesh_leaf_transfer.c; as the slots of struct leaf_ops. */
enum status leaf_transfer_pull(struct leaf *leaf, uint64_t id, const struct digest *digest,
                               uint8_t *bytes, uint64_t size);
enum status leaf_transfer_push(struct leaf *leaf, uint64_t id, struct slice envelope,
                               struct slice payload);
void leaf_transfer_cancel(struct leaf *leaf, uint64_t id);
/* A transfer is complete, or the Join is over: a retired leaf may have nothing left to do. */
void leaf_end_if_retired(struct leaf_direct *leaf);

/* A transfer made no progress for too long. */
void leaf_transfer_stalled(struct watched *watched);

static inline struct leaf_direct *leaf_direct_of(struct leaf *leaf)
{
    return (struct leaf_direct *)leaf; /* the head is the first member */
}

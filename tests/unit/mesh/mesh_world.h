/*
 * mesh_world.h - a hub, a leaf and a bare client on one loop over loopback TLS, and what happened
 * to them; for tests.
 */
#pragma once

#include "testing.h"

#include "mesh/mesh_direct.h"
#include "rpc/rpc_client.h"
#include "rpc_certs.h"

#define NODE_NAME "spiffe://test/fedra/node/a"
#define HUB_NAME  "spiffe://test/fedra/coordinator/c"

enum {
    MIB = 1024 * 1024,
    BLOB_BYTES = 3 * MIB,
    GUARD_BYTES = 64, /* after memory that is written to, all GUARD_FILL */
    GUARD_FILL = 0xa5,
    LOG_MAX = 4096,
};

struct world {
    uv_loop_t loop;
    uv_timer_t guard;
    struct test_ca ca;
    SSL_CTX *server_ctx;
    SSL_CTX *client_ctx;
    struct hub_direct_options hub_options; /* for world_open */
    struct leaf_direct_options leaf_options;
    struct hub *hub;
    struct leaf *leaf;
    struct rpc_client *client; /* a peer that does what a leaf would not */
    uint16_t port;
    uint8_t *blob;   /* BLOB_BYTES of pseudo-random bytes */
    uint8_t *memory; /* BLOB_BYTES and a guard */

    /* What the handlers answer. */
    bool is_member;
    enum status identify_peer, identify_hub;
    int64_t peer_until_unix_s, hub_until_unix_s; /* of the certificates; 0: never */
    enum status offer;
    bool answer_in_offer; /* hub_receipt from within on_offer */
    bool answer_payload;  /* hub_receipt from within on_payload */
    enum status pull;
    struct slice pull_bytes;

    /* What happened: every event by a word, in order, and counts of them. */
    char log[LOG_MAX];
    int joins, leaves, offers, payloads, gones, refusals, connections_refused, pulls, blobs_done,
        expireds;
    int directives, losts, pulleds, receipts, hub_closed, leaf_closed;
    int in_call; /* a function of the mesh runs: no handler may be called */
    uint64_t session, ticket;
    char peer[MESH_NAME_MAX];
    struct digest payload_digest;
    enum reason refused_reason;
    char reason[MESH_REASON_MAX]; /* of on_lost, on_pulled, on_connection_refused */
    enum status lost_status, pulled_status, receipt_status;
    struct receipt receipt;

    /* The bare client's call. */
    struct rpc_call *call;
    int calls_closed, messages, writable;
    enum grpc_status code;
    char message[GRPC_MESSAGE_MAX];
    struct bytes received; /* the last message, or the data of all chunks */
    bool takes_chunks;
    int client_freed;
};

/* cmocka fixtures: *state is a struct world with certificates, without hub or leaf. */
int world_set_up(void **state);
int world_tear_down(void **state);

/* Opens the hub and makes the leaf, with the options. */
void world_open(struct world *w);

/* Opens, joins and welcomes. */
void world_join(struct world *w);

/* Closes both, and checks that every join, offer and blob was ended once. */
void world_close(struct world *w);

/* Runs the loop until *count reaches want. Aborts after 20 s. */
void world_run_until(struct world *w, const int *count, int want);
void world_run_for(struct world *w, unsigned time_ms);

enum status world_send(struct world *w, enum directive_kind kind);

/* A connection of its own, and one call on it. */
void world_open_client(struct world *w);
void world_call(struct world *w, const char *path);
void world_close_client(struct world *w);
/* Sends what an encoder appended. Frees the buffer. */
void world_call_send(struct world *w, struct bytes *message);
void world_call_send_chunk(struct world *w, uint64_t offset, const uint8_t *data, size_t size);

/* An update's serialised envelope for a payload; made with a test key. The caller frees it. */
struct bytes world_envelope(uint64_t payload_length, enum envelope_kind kind);

/* The request that every Join here makes. */
struct join_request world_join_request(void);

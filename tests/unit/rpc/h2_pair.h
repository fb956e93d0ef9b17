/*
 * h2_pair.h - a client session and a server session wired to each other in memory, on virtual time.
 */
#pragma once

#include "rpc/h2_session.h"

enum { PAIR_LOG_MAX = 4096 };

/* What the owner of calls on one side was told: 'm' message, 'h' half-close, 'w' writable, 'c'
 * closed. */
struct side {
    struct h2_session *session;
    struct bytes wire; /* what it has sent and the other has not got yet */
    char log[PAIR_LOG_MAX];
    size_t log_size;
    struct rpc_call *call; /* the latest */
    uint8_t message[256];  /* the latest, cut */
    size_t message_size;
    size_t message_bytes; /* of all messages */
    int messages, half_closes, closes, readies, drainings, wakes;
    enum grpc_status code;
    char text[512];
    char drain_reason[256];
};

struct pair {
    struct side client;
    struct side server;
    uint64_t now_ns;
    size_t step;        /* bytes delivered at a time */
    bool cut_to_server; /* bytes to that side are lost */
    bool cut_to_client;
    /* What the server does. */
    bool echo;           /* sends each message back */
    bool refuse;         /* refuses each call in on_open with PERMISSION_DENIED */
    bool answer_at_half; /* finishes with code OK at the half-close */
    bool pause_at_open;
};

/* Both sessions with these limits (null: defaults) and no byte exchanged. memory may be null. */
enum status pair_init_with(struct pair *pair, const struct rpc_limits *client_limits,
                           const struct rpc_limits *server_limits, nghttp2_mem *memory);
void pair_init(struct pair *pair, const struct rpc_limits *client_limits,
               const struct rpc_limits *server_limits);
void pair_deinit(struct pair *pair);

/* Moves bytes both ways until nothing moves. */
void pair_pump(struct pair *pair);

/* Lets virtual time pass, then pumps. */
void pair_wait(struct pair *pair, uint64_t time_ms);

/* A client call; aborts on failure. */
struct rpc_call *pair_call(struct pair *pair, const char *path, uint64_t deadline_ms);

extern const struct rpc_call_handlers pair_client_handlers;

/*
 * rpc_world.h - a server and a client on one loop, and what happened to both; for tests.
 */
#pragma once

#include "testing.h"

#include "rpc/rpc_client.h"
#include "rpc/rpc_server.h"
#include "rpc_certs.h"

#define GROUPS "X25519MLKEM768"

enum { CHUNK_BYTES = 1024 * 1024 };

/* What happened, on either side. */
struct world {
    uv_loop_t loop;
    struct test_ca ca;
    SSL_CTX *server_ctx;
    SSL_CTX *client_ctx;
    struct rpc_server *server;
    struct rpc_client *client;
    struct rpc_call *server_call;
    uv_timer_t guard;
    uint16_t port;
    enum status refuse_with;
    enum status verify_with;

    int opened, closed, refused, ready, draining, client_closed, client_freed, drained;
    int server_gone;
    enum status client_status;
    char refused_reason[256];
    char closed_reason[256];
    char client_reason[256];

    int calls_closed, server_calls_closed, writable;
    enum grpc_status code;
    enum grpc_status server_code;
    char message[256];
    size_t received_bytes, received_count, server_bytes;
    uint8_t last[64];
    size_t last_size;
    size_t to_send_bytes; /* what /test/Download still has to send */
    size_t queued_max;
};

/* Runs the loop until *count reaches want. Aborts after 20 s. */
void world_run_until(struct world *w, const int *count, int want);

/* Runs the loop for a while. */
void world_run_for(struct world *w, unsigned time_ms);

/* A server on a free port of 127.0.0.1 with /test/Echo and /test/Download; options may be null. */
void world_open_server(struct world *w, const struct rpc_server_options *options);

/* A client of that server. */
void world_open_client(struct world *w);

/* A call of that client. */
struct rpc_call *world_make_call(struct world *w, const char *path, uint32_t deadline_ms);

/* Closes and waits. */
void world_close_client(struct world *w);

void world_close_server(struct world *w);

/* cmocka fixtures: *state is a struct world. */
int world_set_up(void **state);

int world_tear_down(void **state);

extern const struct rpc_client_handlers world_client_handlers;
extern const struct rpc_call_handlers world_call_handlers;

/*
 * h2_session.h - gRPC over HTTP/2 without I/O: bytes in, bytes out, time handed in.
 *
 * One session is one connection, for either role. Whoever owns it moves the bytes (rpc_conn.h over
 * TLS and libuv, tests in memory). Calls are rpc_call.h's. No function here may be called from
 * within a callback, but those marked "anywhere".
 */
#pragma once

#include "base/bytes.h"
#include "base/status.h"
#include "rpc/rpc_call.h"
#include "rpc/rpc_limits.h"

#include <nghttp2/nghttp2.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct h2_session;

/* Every slot but on_call (client) may not be null. */
struct h2_session_events {
    /* Server: a call's headers are here. h2_session_accept it, or finish it (UNIMPLEMENTED). */
    void (*on_call)(void *context, struct rpc_call *call);
    /* Called outside of any entry: something waits for h2_session_run and h2_session_pull. */
    void (*on_wake)(void *context);
    /* The peer's settings came. Once. */
    void (*on_ready)(void *context);
    /* No new calls: the peer sent GOAWAY, or the idle time is over. Once. */
    void (*on_draining)(void *context, const char *reason);
};

struct h2_session_settings {
    bool is_server;
    struct rpc_limits limits; /* taken through rpc_limits_resolve */
    const struct h2_session_events *events;
    void *context;
    const char *scheme;               /* client: "https" or "http"; must outlive the session */
    const char *authority;            /* client: must outlive the session */
    const struct rpc_header *headers; /* client: sent with each call; must outlive the session */
    size_t header_count;              /* at most H2_HEADERS_MAX */
    nghttp2_mem *memory;              /* nghttp2's allocator; null: malloc. Must outlive it */
};

enum { H2_HEADERS_MAX = 8 };

/* A session with its first SETTINGS queued. NO_MEMORY. */
[[nodiscard]] enum status h2_session_create(const struct h2_session_settings *settings,
                                            uint64_t now_ns, struct h2_session **ret_session);

/* Frees it and its calls, without callbacks: h2_session_fail and h2_session_run come before. */
void h2_session_destroy(struct h2_session *session);

/* What rpc_call_ssl, rpc_call_address and rpc_call_connection_user give; borrowed. */
void h2_session_set_peer(struct h2_session *session, SSL *ssl, const char *address);
void h2_session_set_user(struct h2_session *session, void *user);

/* Takes bytes from the peer. PEER, NO_MEMORY: the session is over; see h2_session_reason. */
[[nodiscard]] enum status h2_session_receive(struct h2_session *session, struct slice input,
                                             uint64_t now_ns);

/* Applies time (deadlines, keepalive, drain) and delivers what calls are due to be told. */
void h2_session_run(struct h2_session *session, uint64_t now_ns);

/*
 * Appends bytes for the peer to output until nothing is left or size_max or more were appended.
 * NO_MEMORY, LIMIT: the session is over. Call h2_session_run afterwards.
 */
[[nodiscard]] enum status h2_session_pull(struct h2_session *session, struct bytes *output,
                                          size_t size_max);

/* When h2_session_run has something to do at the latest; UINT64_MAX for never. */
uint64_t h2_session_next_ns(const struct h2_session *session);

/* Client, anywhere: as rpc_client_call. */
[[nodiscard]] enum status h2_session_call(struct h2_session *session, const char *path,
                                          uint64_t deadline_ms,
                                          const struct rpc_call_handlers *handlers, void *user,
                                          uint64_t now_ns, struct rpc_call **ret_call);

/* Server, in on_call: the call is served by handlers, which must outlive it. */
void h2_session_accept(struct rpc_call *call, const struct rpc_call_handlers *handlers);

/* Anywhere: no new calls; after timeout_ns those still open close with UNAVAILABLE. */
void h2_session_drain(struct h2_session *session, uint64_t timeout_ns, uint64_t now_ns);

/*
 * Anywhere: ends the session at once; reason goes to the peer in a GOAWAY with this HTTP/2 error,
 * open calls close with UNAVAILABLE.
 */
void h2_session_terminate(struct h2_session *session, uint32_t h2_error, const char *reason);

/* Anywhere: the transport is gone; open calls close with UNAVAILABLE and reason. */
void h2_session_fail(struct h2_session *session, const char *reason);

/* Nothing more will be read or written: the transport may be closed. */
bool h2_session_is_finished(const struct h2_session *session);

/* Why the session ended or drains, "" where it does not. */
const char *h2_session_reason(const struct h2_session *session);

/*
 * The class of that reason: OK (drained, or idle), CANCELLED (terminated without an error),
 * UNREACHABLE (the transport, keepalive), TIMEOUT (drain), IDENTITY (the peer refused ours), PEER.
 */
enum status h2_session_status(const struct h2_session *session);

/* Calls that are not freed yet. */
size_t h2_session_call_count(const struct h2_session *session);

/*
 * rpc_conn.h - one connection on a libuv loop: a stream socket, TLS and an HTTP/2 session.
 *
 * Shared by the server and the client; not for the layers above.
 */
#pragma once

#include "base/bytes.h"
#include "base/status.h"
#include "rpc/h2_session.h"
#include "rpc/tls_stream.h"

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

struct rpc_conn;

struct rpc_conn_events {
    /* The TLS handshake is complete; not OK refuses the connection with err's text. */
    enum status (*on_handshake)(struct rpc_conn *conn, struct error *err);
    void (*on_ready)(struct rpc_conn *conn);
    void (*on_draining)(struct rpc_conn *conn, const char *reason);
    void (*on_call)(struct rpc_conn *conn, struct rpc_call *call);
    /* The connection is over and every call was told; once. */
    void (*on_closed)(struct rpc_conn *conn, enum status status, const char *reason);
    /* No handle is left; once, last. */
    void (*on_freed)(struct rpc_conn *conn);
};

enum rpc_conn_state {
    RPC_CONN_CONNECTING,
    RPC_CONN_HANDSHAKE,
    RPC_CONN_OPEN,
    RPC_CONN_ENDING, /* reason known; on_closed not called yet */
    RPC_CONN_LINGER, /* on_closed was called; last bytes go out */
    RPC_CONN_CLOSING /* handles are being closed */
};

enum { RPC_ADDRESS_MAX = 128, RPC_REASON_MAX = 256 };

struct rpc_conn {
    union {
        uv_handle_t handle;
        uv_stream_t stream;
        uv_tcp_t tcp;
        uv_pipe_t pipe;
    } io;
    uv_timer_t timer;
    uv_idle_t idle; /* runs while something waits to be flushed */
    union {
        uv_write_t write;
        uv_shutdown_t shutdown; /* after the last write */
    } request;
    const struct rpc_conn_events *events;
    void *owner;
    struct tls_stream *tls; /* null: no TLS */
    struct h2_session *session;
    struct h2_session_settings session_settings;
    struct bytes sending;  /* given to uv_write; empty when no write is under way */
    uint64_t scheduled_ns; /* when the timer fires; UINT64_MAX: it does not run */
    uint64_t limit_ns;     /* when the handshake or the lingering must be over */
    enum rpc_conn_state state;
    enum status status;
    uint8_t handles; /* not closed yet */
    bool is_writing;
    bool is_cut;    /* end without lingering */
    bool was_open;  /* on_handshake accepted it */
    bool is_linked; /* the socket is connected */
    char address[RPC_ADDRESS_MAX];
    char reason[RPC_REASON_MAX];
};

/*
 * Makes the handles; on_freed comes after every rpc_conn_end. is_pipe: a Unix socket. limit_ns:
 * when the handshake must be over (uv_hrtime).
 */
void rpc_conn_init(struct rpc_conn *conn, uv_loop_t *loop, bool is_pipe, uint64_t limit_ns);

/* The socket is connected: TLS begins (ssl_ctx may be null: none). */
void rpc_conn_start(struct rpc_conn *conn, SSL_CTX *ssl_ctx, const char *server_name);

/* Makes the session, with conn->session_settings. For a client before rpc_conn_start. */
[[nodiscard]] enum status rpc_conn_make_session(struct rpc_conn *conn);

/* Fills in conn->address from the socket. */
void rpc_conn_name_peer(struct rpc_conn *conn);

/* Ends the connection from the loop: calls, on_closed, last bytes, handles. Once; later ones are
 * ignored. */
void rpc_conn_end(struct rpc_conn *conn, enum status status, const char *reason);

/* As rpc_conn_end without waiting for the peer; may follow it. */
void rpc_conn_cut(struct rpc_conn *conn, enum status status, const char *reason);

/* Flushes soon. */
void rpc_conn_wake(struct rpc_conn *conn);

/* rpc_conn_end for a socket that failed: what was done, and libuv's error. */
void rpc_conn_end_uv(struct rpc_conn *conn, const char *what, int uv_error);

/* The close callback of a handle of conn (its data points to conn). */
void rpc_conn_handle_closed(uv_handle_t *handle);

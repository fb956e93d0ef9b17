/*
 * rpc_server.h - a gRPC server on a libuv loop: TLS 1.3, HTTP/2, methods by path.
 *
 * Certificates and trust are in the SSL_CTX, made elsewhere (identity/). What calls are is in
 * rpc_call.h, the health service in health.h.
 * The process must ignore SIGPIPE (libuv writes to sockets with write).
 */
#pragma once

#include "base/status.h"
#include "rpc/rpc_call.h"
#include "rpc/rpc_limits.h"

#include <openssl/types.h>
#include <stdint.h>
#include <uv.h>

struct rpc_server;

/* One accepted connection; valid from on_open until on_close returns. */
struct rpc_connection;

/* Zero means the default (in brackets). */
struct rpc_server_options {
    struct rpc_limits limits;
    uint32_t connections_max;      /* [10,240] */
    uint32_t handshakes_max;       /* under way at once; further ones are closed at once [256] */
    uint32_t handshake_timeout_ms; /* [10,000] */
    int backlog;                   /* [1,024] */
};

/* What the owner is told about connections; every slot may be null. */
struct rpc_server_handlers {
    /*
     * The handshake is complete. Not OK refuses the connection; err's text goes to the peer (in
     * GOAWAY) and to on_refused. rpc_connection_ssl gives the peer's certificates.
     */
    enum status (*on_open)(void *context, struct rpc_connection *connection, struct error *err);
    /* A connection that on_open had accepted is over; its calls were closed before. */
    void (*on_close)(void *context, struct rpc_connection *connection, const char *reason);
    /* A connection never opened: cap, handshake, or on_open refused. reason is readable. */
    void (*on_refused)(void *context, const char *address, const char *reason);
};

/* How one method is served. Both must live as long as the server. */
struct rpc_method {
    const struct rpc_call_handlers *handlers;
    /*
     * A call begins (its headers are here, no message yet). Sets the call's user data, or refuses
     * with rpc_call_finish or rpc_call_cancel; on_closed follows in every case. May be null.
     */
    void (*on_open)(struct rpc_call *call, void *context);
    void *context;
};

/*
 * A server that does not listen yet. ssl_ctx gains a reference; ALPN h2 and TLS 1.3 are enforced
 * on each connection. options may be null, handlers must live as long as the server. NO_MEMORY.
 */
[[nodiscard]] enum status rpc_server_create(uv_loop_t *loop, SSL_CTX *ssl_ctx,
                                            const struct rpc_server_options *options,
                                            const struct rpc_server_handlers *handlers,
                                            void *context, struct rpc_server **ret_server);

/* Serves path ("/fedra.v1.Federation/Join", copied). EXISTS, INVAL (no leading '/'), NO_MEMORY. */
[[nodiscard]] enum status rpc_server_add_method(struct rpc_server *server, const char *path,
                                                const struct rpc_method *method);

/*
 * Listens on an address (numeric, IPv4 or IPv6) and port (0: any free one, see ret_port, which may
 * be null). At most 4 times. INVAL for the address, EXISTS where the port is taken, IO.
 */
[[nodiscard]] enum status rpc_server_listen(struct rpc_server *server, const char *address,
                                            uint16_t port, uint16_t *ret_port, struct error *err);

/* New connections use this context from now on (rotation); open ones keep theirs. */
void rpc_server_set_tls(struct rpc_server *server, SSL_CTX *ssl_ctx);

/*
 * Stops listening, refuses new calls (GOAWAY), lets open ones finish for timeout_ms, then cuts.
 * on_drained (may be null) is called once, from the loop, when no connection is left.
 */
void rpc_server_drain(struct rpc_server *server, uint32_t timeout_ms,
                      void (*on_drained)(void *context));

/*
 * Cuts every connection (open calls close with UNAVAILABLE) and frees the server; on_closed (may be
 * null) is called from the loop when the server is gone. Call once.
 */
void rpc_server_close(struct rpc_server *server, void (*on_closed)(void *context));

/* Counts for metrics. */
struct rpc_server_stats {
    uint32_t connections; /* open, handshake complete */
    uint32_t handshakes;  /* under way */
    uint64_t accepted;    /* connections that on_open accepted, since the start */
    uint64_t refused;     /* on_refused, since the start */
};
struct rpc_server_stats rpc_server_get_stats(const struct rpc_server *server);

SSL *rpc_connection_ssl(const struct rpc_connection *connection);
const char *rpc_connection_address(const struct rpc_connection *connection);
void rpc_connection_set_user(struct rpc_connection *connection, void *user);
void *rpc_connection_get_user(const struct rpc_connection *connection);

/* Lets open calls finish for timeout_ms, takes no new ones, then closes (a certificate ends). */
void rpc_connection_drain(struct rpc_connection *connection, uint32_t timeout_ms);

/* Cuts now; reason reaches the peer where it can, and on_close. Safe in any callback. */
void rpc_connection_cut(struct rpc_connection *connection, const char *reason);

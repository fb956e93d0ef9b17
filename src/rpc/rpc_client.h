/*
 * rpc_client.h - one gRPC connection to a server, on a libuv loop.
 *
 * One connection a client: when it ends, the owner closes the client and opens another, at its own
 * pace. Certificates and trust are in the SSL_CTX, made elsewhere (identity/).
 * The process must ignore SIGPIPE (libuv writes to sockets with write).
 */
#pragma once

#include "base/status.h"
#include "rpc/rpc_call.h"
#include "rpc/rpc_limits.h"

#include <openssl/types.h>
#include <stdint.h>
#include <uv.h>

struct rpc_client;

enum { RPC_CLIENT_HEADERS_MAX = 4 };

/* Zero means the default (in brackets). */
struct rpc_client_options {
    struct rpc_limits limits;
    uint32_t connect_timeout_ms; /* name look-up, connect and handshake together [10,000] */
    const char *authority;       /* :authority and the server name sent in TLS [host] */
    struct rpc_header headers[RPC_CLIENT_HEADERS_MAX]; /* copied, up to the first null name */
};

/* What the owner is told; every slot may be null. */
struct rpc_client_handlers {
    /*
     * The handshake is complete: is the server who it should be? Not OK refuses it; err's text
     * becomes the reason of on_closed. Not called without TLS.
     */
    enum status (*verify)(void *context, SSL *ssl, struct error *err);
    /* The server answered and accepted us: its HTTP/2 settings came. At most once. */
    void (*on_ready)(void *context, struct rpc_client *client);
    /* The server (or idle_timeout_ms) ends the connection: open calls may finish, new ones are
     * refused; reconnect. At most once. */
    void (*on_draining)(void *context, struct rpc_client *client, const char *reason);
    /*
     * The connection is over (or never was), every call closed before; exactly once, also after
     * rpc_client_close. status: UNREACHABLE, TIMEOUT, IDENTITY (certificates), PEER (protocol),
     * CANCELLED (closed by the owner), OK (drained). The client stays valid until rpc_client_close.
     */
    void (*on_closed)(void *context, struct rpc_client *client, enum status status,
                      const char *reason);
};

/*
 * Starts to connect. host is a name, a numeric address, or "unix:/path" (port is ignored then).
 * ssl_ctx gains a reference; it may be null for a unix path only: then HTTP/2 without TLS.
 * options may be null; handlers must live as long as the client. Calls may be made at once.
 * INVAL, NO_MEMORY, IO; what happens later comes by on_closed.
 */
[[nodiscard]] enum status rpc_client_open(uv_loop_t *loop, const char *host, uint16_t port,
                                          SSL_CTX *ssl_ctx,
                                          const struct rpc_client_options *options,
                                          const struct rpc_client_handlers *handlers, void *context,
                                          struct rpc_client **ret_client, struct error *err);

/*
 * Begins a call. deadline_ms from now, 0 for none (it is sent as grpc-timeout and enforced here).
 * handlers must outlive the call; path is copied. UNREACHABLE: the connection is over or draining;
 * no callback follows then. NO_MEMORY. AGAIN: no stream id is left, open another client.
 */
[[nodiscard]] enum status rpc_client_call(struct rpc_client *client, const char *path,
                                          uint32_t deadline_ms,
                                          const struct rpc_call_handlers *handlers, void *user,
                                          struct rpc_call **ret_call);

/* Takes no new calls, lets open ones finish for timeout_ms, then ends: on_closed follows. */
void rpc_client_drain(struct rpc_client *client, uint32_t timeout_ms);

/*
 * Cuts the connection (open calls close with UNAVAILABLE, then handlers->on_closed unless it came
 * already) and frees the client; on_freed (may be null) is called from the loop when it is gone.
 * Call once; safe in any callback.
 */
void rpc_client_close(struct rpc_client *client, void (*on_freed)(void *context));

/* The TLS state, null without TLS or before the connection. The address is never null. */
SSL *rpc_client_ssl(const struct rpc_client *client);
const char *rpc_client_address(const struct rpc_client *client);

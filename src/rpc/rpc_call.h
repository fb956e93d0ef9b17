/*
 * rpc_call.h - one gRPC call, the same on the side that makes it and on the side that serves it.
 *
 * Messages are opaque bytes here. How calls begin is in rpc_client.h and rpc_server.h. Everything
 * belongs to the thread of the loop; no callback is made from within the functions of this header.
 */
#pragma once

#include "base/bytes.h"
#include "base/status.h"
#include "rpc/grpc_status.h"

#include <openssl/types.h>
#include <stdint.h>

/* Owned by rpc; valid until its on_closed returns. */
struct rpc_call;

/* What the owner of a call is told. One static const table per kind of call; slots may be null. */
struct rpc_call_handlers {
    /* One whole message; its bytes are valid during the callback only. */
    void (*on_message)(struct rpc_call *call, struct slice message);
    /* Server only: the request is complete, the peer sends no more messages. At most once. */
    void (*on_half_close)(struct rpc_call *call);
    /* After rpc_call_send gave AGAIN: the queue is at or under its low-water mark. */
    void (*on_writable)(struct rpc_call *call);
    /*
     * Exactly once and last, also on cancel, deadline and connection loss. On the client: what the
     * server said. On the server: what it finished with once that is on its way, else why not.
     * message is never null; where it came from the peer it is unescaped: text_escape before
     * logging.
     */
    void (*on_closed)(struct rpc_call *call, enum grpc_status code, const char *message);
};

/*
 * Queues one message; its bytes are copied. AGAIN: the queue is over its high-water mark, nothing
 * was queued, on_writable follows (an empty queue takes a message of any legal size). LIMIT: over
 * message_bytes_max. NO_MEMORY. INVAL: half-closed or finished. CANCELLED: the call is over and
 * on_closed follows.
 */
[[nodiscard]] enum status rpc_call_send(struct rpc_call *call, struct slice message);

/* A request header sent with every call of a connection; name in lower case. */
struct rpc_header {
    const char *name;
    const char *value;
};

/* Frees the bytes of a message that rpc_call_send_owned took. */
typedef void rpc_free_fn(void *context, void *data);

/*
 * As rpc_call_send without the copy. On OK the bytes belong to the call, which calls
 * free_fn(context, data) once, when they were sent or dropped; on any other status the caller
 * keeps them. free_fn may be null: then free(data).
 */
[[nodiscard]] enum status rpc_call_send_owned(struct rpc_call *call, void *data, size_t size,
                                              rpc_free_fn *free_fn, void *context);

/* Client: no more messages after those queued. INVAL on a server call or the second time. */
[[nodiscard]] enum status rpc_call_half_close(struct rpc_call *call);

/*
 * Server: status and message (may be null) after the queued messages. INVAL on a client call or
 * the second time, CANCELLED where the call is over already. on_closed follows.
 */
[[nodiscard]] enum status rpc_call_finish(struct rpc_call *call, enum grpc_status code,
                                          const char *message);

/*
 * Ends the call now: queued messages are dropped; the peer is told (a server sends code and
 * message where it still can, else the stream is reset); on_closed follows with code and message
 * (may be null). No effect on a call that is over.
 */
void rpc_call_cancel(struct rpc_call *call, enum grpc_status code, const char *message);

/*
 * Stops delivering messages to on_message; the peer is held back by flow control once the stream's
 * window (stream_window_bytes) is full. Paused calls hold at most connection_window_bytes of a
 * connection together; when that is full, the connection's other calls wait too.
 */
void rpc_call_pause(struct rpc_call *call);

/* Undoes rpc_call_pause; messages that wait are delivered from the loop. */
void rpc_call_resume(struct rpc_call *call);

void rpc_call_set_user(struct rpc_call *call, void *user);
void *rpc_call_get_user(const struct rpc_call *call);

/* "/package.Service/Method". */
const char *rpc_call_path(const struct rpc_call *call);

/* The peer's address as text ("192.0.2.1:4711"), never null. */
const char *rpc_call_address(const struct rpc_call *call);

/* The connection's TLS state, for the peer's certificates; null where there is no TLS. */
SSL *rpc_call_ssl(const struct rpc_call *call);

/* What the owner attached to the connection (rpc_connection_set_user), or null. */
void *rpc_call_connection_user(const struct rpc_call *call);

/* When the call's deadline is, in ns of uv_hrtime (CLOCK_MONOTONIC); UINT64_MAX for none. */
uint64_t rpc_call_deadline_ns(const struct rpc_call *call);

/* Bytes of messages that wait to be sent. */
size_t rpc_call_queued_bytes(const struct rpc_call *call);

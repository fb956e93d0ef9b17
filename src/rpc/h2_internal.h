/*
 * h2_internal.h - what the files of the HTTP/2 session share; not for others.
 */
#pragma once

#include "rpc/grpc_frame.h"
#include "rpc/h2_session.h"

enum {
    H2_REASON_MAX = 256,
    H2_NV_MAX = 16,
};

/* A queued message, its prefix in front; data is what is owned. */
struct h2_chunk {
    struct h2_chunk *next;
    uint8_t prefix[GRPC_PREFIX_BYTES];
    uint8_t *data;
    size_t size; /* without the prefix */
    rpc_free_fn *free_fn;
    void *free_context;
};

enum h2_end {
    H2_END_NOT,  /* the call is under way */
    H2_END_SOFT, /* its status is known; messages that wait are delivered first */
    H2_END_HARD, /* over: nothing but on_closed */
};

struct rpc_call {
    struct h2_session *session;
    struct rpc_call *next;
    struct rpc_call *previous;
    struct rpc_call *due_next;
    const struct rpc_call_handlers *handlers;
    void *user;
    char *path;
    char *message; /* of the end; null: "" */
    uint64_t deadline_ns;
    int32_t stream_id; /* 0: nghttp2 knows nothing of it (any more) */
    enum grpc_status code;
    enum h2_end end;

    struct h2_chunk *queue_head;
    struct h2_chunk *queue_tail;
    size_t queue_bytes;
    size_t head_sent; /* bytes of the head chunk that were sent, its prefix included */

    struct grpc_decoder decoder;
    struct bytes pending; /* came while paused; not consumed for flow control */

    uint64_t timeout_ns;   /* grpc-timeout that came, 0 for none */
    uint32_t header_bytes; /* of the header block under way */
    int http_status;       /* client: of the response, 0 before */
    bool is_post;
    bool content_type_ok;
    bool has_headers; /* the first header block is complete */
    bool timeout_bad;
    bool headers_over;    /* header_list_bytes_max was passed */
    bool has_grpc_status; /* client: code and message came in trailers */
    bool headers_sent;    /* our first header block was submitted */
    bool last_queued;     /* half-closed or finished: no more messages */
    bool wants_writable;
    bool writable_due;
    bool is_paused;
    bool peer_ended;
    bool half_close_told;
    bool closed_told;
    bool is_due;
};

struct h2_session {
    nghttp2_session *http2;
    const struct h2_session_events *events;
    void *context;
    void *user;
    SSL *ssl;
    const char *address;
    const char *scheme;
    const char *authority;
    const struct rpc_header *headers;
    size_t header_count;
    struct rpc_limits limits;
    struct rpc_call *calls;
    struct rpc_call *due_head;
    struct rpc_call *due_tail;
    size_t call_count;
    size_t assembly_bytes;
    uint64_t now_ns;
    uint64_t received_ns;   /* when bytes came last */
    uint64_t ping_ns;       /* when the keepalive PING under way was sent, 0 for none */
    uint64_t call_due_ns;   /* no call's deadline is before */
    uint64_t idle_since_ns; /* when the last call went */
    uint64_t drain_end_ns;  /* UINT64_MAX: not draining, or without end */
    uint64_t notice_end_ns; /* server: when the second GOAWAY follows without a PING's answer */
    uint64_t reset_refill_ns;
    uint32_t reset_allowance;
    char reason[H2_REASON_MAX];
    enum status status; /* with the reason */
    bool is_server;
    bool is_entered;
    bool is_ready;
    bool is_draining;
    bool draining_told;
    bool goaway_final;
    bool terminated; /* GOAWAY with an error is queued: no calls any more */
    bool failed;     /* the transport is gone */
};

/* h2_session.c */
void h2_session_wake(struct h2_session *session);
/* Notes why the session ends or drains unless that is known. */
void h2_session_set_reason(struct h2_session *session, enum status status, const char *reason);
void h2_session_count_reset(struct h2_session *session);
void h2_session_tell_draining(struct h2_session *session);

/* h2_callbacks.c: what nghttp2 calls. NO_MEMORY. */
[[nodiscard]] enum status h2_callbacks_create(nghttp2_session_callbacks **ret_callbacks);

/* h2_headers.c */
/* Reads one field of the header block under way. */
void h2_headers_take(struct rpc_call *call, struct slice name, struct slice value);
/* Client: the request with its data source. Server: the response's headers, same. */
[[nodiscard]] enum status h2_headers_submit_request(struct rpc_call *call, uint64_t timeout_ns);
[[nodiscard]] enum status h2_headers_submit_response(struct rpc_call *call);
/* Server: a response of one header block with the call's code and message. */
[[nodiscard]] enum status h2_headers_submit_trailers_only(struct rpc_call *call);
/* Server: an HTTP answer for what is no gRPC. */
[[nodiscard]] enum status h2_headers_submit_http(struct rpc_call *call, const char *http_status);
/* Server: the trailers, after the last data. */
[[nodiscard]] enum status h2_headers_submit_trailers(struct rpc_call *call);

/* h2_call.c */
[[nodiscard]] enum status h2_call_create(struct h2_session *session, struct rpc_call **ret_call);
void h2_call_destroy(struct rpc_call *call);
void h2_call_mark_due(struct rpc_call *call);
/* Notes how the call ends unless that is known; message may be null. */
void h2_call_end(struct rpc_call *call, enum h2_end end, enum grpc_status code,
                 const char *message);
void h2_call_drop_queue(struct rpc_call *call);
/* Bytes of a DATA frame. */
void h2_call_input(struct rpc_call *call, struct slice input);
/* Tells the owner what is due; may free the call. */
void h2_call_dispatch(struct rpc_call *call);
/* nghttp2 asks for bytes of a DATA frame. */
nghttp2_ssize h2_call_read(nghttp2_session *http2, int32_t stream_id, uint8_t *buffer,
                           size_t length, uint32_t *data_flags, nghttp2_data_source *source,
                           void *user_data);

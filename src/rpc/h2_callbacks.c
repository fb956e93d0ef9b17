/*
 * h2_callbacks.c - turns nghttp2's callbacks into the beginnings, data and ends of calls.
 */
#include "rpc/h2_internal.h"

#include <stdio.h>
#include <string.h>

static const struct rpc_call_handlers no_handlers = {};

static struct rpc_call *find_call(nghttp2_session *http2, int32_t stream_id)
{
    return nghttp2_session_get_stream_user_data(http2, stream_id);
}

static int on_begin_headers(nghttp2_session *http2, const nghttp2_frame *frame, void *user_data)
{
    struct h2_session *const session = user_data;
    struct rpc_call *call = find_call(http2, frame->hd.stream_id);
    if (call != nullptr) {
        call->header_bytes = 0;
        return 0;
    }
    if (!session->is_server || frame->headers.cat != NGHTTP2_HCAT_REQUEST)
        return 0;
    if (h2_call_create(session, &call) != STATUS_OK)
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    call->stream_id = frame->hd.stream_id;
    call->handlers = &no_handlers;
    if (nghttp2_session_set_stream_user_data(http2, call->stream_id, call) != 0) {
        h2_call_destroy(call);
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    }
    return 0;
}

static int on_header(nghttp2_session *http2, const nghttp2_frame *frame, const uint8_t *name,
                     size_t name_size, const uint8_t *value, size_t value_size, uint8_t flags,
                     void *user_data)
{
    struct rpc_call *const call = find_call(http2, frame->hd.stream_id);
    if (call != nullptr)
        h2_headers_take(call, (struct slice){name, name_size}, (struct slice){value, value_size});
    return 0;
}

/* An answer of one header block, after which the call is over as soon as that is sent. */
static void refuse_http(struct rpc_call *call, const char *http_status, enum grpc_status code,
                        const char *message)
{
    h2_call_end(call, H2_END_HARD, code, message);
    call->last_queued = true;
    if (h2_headers_submit_http(call, http_status) != STATUS_OK)
        (void)nghttp2_submit_rst_stream(call->session->http2, NGHTTP2_FLAG_NONE, call->stream_id,
                                        NGHTTP2_INTERNAL_ERROR);
}

static void open_call(struct h2_session *session, struct rpc_call *call)
{
    call->has_headers = true;
    if (session->terminated || session->failed)
        return;
    if (call->headers_over)
        return refuse_http(call, "431", GRPC_STATUS_RESOURCE_EXHAUSTED, "headers are too large");
    if (call->path == nullptr)
        return refuse_http(call, "503", GRPC_STATUS_RESOURCE_EXHAUSTED, "out of memory");
    if (!call->is_post)
        return refuse_http(call, "405", GRPC_STATUS_INTERNAL, "the method is not POST");
    if (!call->content_type_ok)
        return refuse_http(call, "415", GRPC_STATUS_UNKNOWN,
                           "the content-type is not application/grpc");
    if (call->timeout_bad)
        return refuse_http(call, "200", GRPC_STATUS_INTERNAL, "grpc-timeout is malformed");
    if (call->timeout_ns > 0 && call->timeout_ns < UINT64_MAX - session->now_ns) {
        call->deadline_ns = session->now_ns + call->timeout_ns;
        if (call->deadline_ns < session->call_due_ns)
            session->call_due_ns = call->deadline_ns;
    }
    session->events->on_call(session->context, call);
}

/* Client: the status of a call that the server ended. */
static void end_by_trailers(struct rpc_call *call)
{
    if (call->end != H2_END_NOT)
        return;
    if (call->headers_over) {
        h2_call_end(call, H2_END_SOFT, GRPC_STATUS_RESOURCE_EXHAUSTED, "trailers are too large");
    } else if (call->has_grpc_status) {
        call->end = H2_END_SOFT; /* code and message are the trailers' */
        h2_call_mark_due(call);
    } else if (call->http_status != 200) {
        char text[64];
        (void)snprintf(text, sizeof(text), "HTTP status %d", call->http_status);
        h2_call_end(call, H2_END_SOFT, grpc_status_of_http(call->http_status), text);
    } else if (!call->content_type_ok) {
        h2_call_end(call, H2_END_SOFT, GRPC_STATUS_UNKNOWN, "the answer is not application/grpc");
    } else {
        h2_call_end(call, H2_END_SOFT, GRPC_STATUS_INTERNAL, "the answer has no grpc-status");
    }
}

static void peer_ended(struct h2_session *session, struct rpc_call *call)
{
    call->peer_ended = true;
    h2_call_mark_due(call);
    if (session->is_server)
        return;
    end_by_trailers(call);
    h2_call_drop_queue(call);
    call->last_queued = true;
    /* Nobody reads what this side would still send (RFC 9113, 8.1). */
    if (nghttp2_session_get_stream_local_close(session->http2, call->stream_id) == 0)
        (void)nghttp2_submit_rst_stream(session->http2, NGHTTP2_FLAG_NONE, call->stream_id,
                                        NGHTTP2_NO_ERROR);
}

static void on_headers(struct h2_session *session, const nghttp2_frame *frame)
{
    struct rpc_call *const call = find_call(session->http2, frame->hd.stream_id);
    if (call == nullptr)
        return;
    if (session->is_server && frame->headers.cat == NGHTTP2_HCAT_REQUEST)
        open_call(session, call);
    else if (!session->is_server && call->http_status >= 200)
        call->has_headers = true;
    if ((frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0) {
        peer_ended(session, call);
        return;
    }
    if (!session->is_server && call->has_headers &&
        (call->http_status != 200 || !call->content_type_ok || call->headers_over)) {
        end_by_trailers(call);
        (void)nghttp2_submit_rst_stream(session->http2, NGHTTP2_FLAG_NONE, call->stream_id,
                                        NGHTTP2_CANCEL);
    }
}

static void on_goaway(struct h2_session *session, const nghttp2_goaway *goaway)
{
    char text[H2_REASON_MAX];
    size_t size = goaway->opaque_data_len;
    if (size > sizeof(text) - 1)
        size = sizeof(text) - 1;
    if (size > 0)
        memcpy(text, goaway->opaque_data, size);
    text[size] = '\0';
    if (goaway->error_code != NGHTTP2_NO_ERROR && size == 0)
        (void)snprintf(text, sizeof(text), "the peer ended the connection: HTTP/2 %s",
                       nghttp2_http2_strerror(goaway->error_code));
    const enum status status = goaway->error_code == NGHTTP2_NO_ERROR              ? STATUS_OK
                               : goaway->error_code == NGHTTP2_INADEQUATE_SECURITY ? STATUS_IDENTITY
                                                                                   : STATUS_PEER;
    h2_session_set_reason(session, status,
                          text[0] != '\0' ? text : "the peer drains the connection");
    session->is_draining = true;
    h2_session_tell_draining(session);
}

static int on_frame_recv(nghttp2_session *http2, const nghttp2_frame *frame, void *user_data)
{
    struct h2_session *const session = user_data;
    struct rpc_call *call;
    switch (frame->hd.type) {
    case NGHTTP2_HEADERS:
        on_headers(session, frame);
        break;
    case NGHTTP2_DATA:
        call = find_call(http2, frame->hd.stream_id);
        if (call != nullptr && (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0)
            peer_ended(session, call);
        break;
    case NGHTTP2_SETTINGS:
        if ((frame->hd.flags & NGHTTP2_FLAG_ACK) == 0 && !session->is_ready) {
            session->is_ready = true;
            session->events->on_ready(session->context);
        }
        break;
    case NGHTTP2_PING:
        if ((frame->hd.flags & NGHTTP2_FLAG_ACK) != 0 && session->notice_end_ns != UINT64_MAX)
            session->notice_end_ns = 0; /* the peer has seen the first GOAWAY */
        break;
    case NGHTTP2_RST_STREAM:
        h2_session_count_reset(session);
        break;
    case NGHTTP2_GOAWAY:
        on_goaway(session, &frame->goaway);
        break;
    default:
        break;
    }
    return 0;
}

static int on_data_chunk(nghttp2_session *http2, uint8_t flags, int32_t stream_id,
                         const uint8_t *data, size_t size, void *user_data)
{
    struct rpc_call *const call = find_call(http2, stream_id);
    if (call == nullptr || call->end == H2_END_HARD || !call->has_headers) {
        (void)nghttp2_session_consume(http2, stream_id, size);
        return 0;
    }
    h2_call_input(call, (struct slice){data, size});
    return 0;
}

static int on_stream_close(nghttp2_session *http2, int32_t stream_id, uint32_t error_code,
                           void *user_data)
{
    struct rpc_call *const call = find_call(http2, stream_id);
    if (call == nullptr)
        return 0;
    struct h2_session *const session = user_data;
    call->stream_id = 0;
    h2_call_drop_queue(call);
    h2_call_mark_due(call);
    if (call->end != H2_END_NOT)
        return 0;
    if (session->is_server && call->last_queued && error_code == NGHTTP2_NO_ERROR) {
        call->end = H2_END_SOFT; /* what it was finished with went out */
        return 0;
    }
    char text[96];
    (void)snprintf(text, sizeof(text), "the stream was reset: HTTP/2 %s",
                   nghttp2_http2_strerror(error_code));
    enum grpc_status code = grpc_status_of_h2_error(error_code);
    if (session->is_server && code == GRPC_STATUS_UNAVAILABLE)
        code = GRPC_STATUS_CANCELLED;
    h2_call_end(call, H2_END_HARD, code, text);
    return 0;
}

static int on_frame_send(nghttp2_session *http2, const nghttp2_frame *frame, void *user_data)
{
    struct h2_session *const session = user_data;
    const int32_t id = frame->hd.stream_id;
    if (frame->hd.type == NGHTTP2_RST_STREAM) {
        const uint32_t code = frame->rst_stream.error_code;
        if (code == NGHTTP2_PROTOCOL_ERROR || code == NGHTTP2_FLOW_CONTROL_ERROR ||
            code == NGHTTP2_STREAM_CLOSED)
            h2_session_count_reset(session); /* the peer made us reset: CVE-2025-8671 */
    } else if (frame->hd.type == NGHTTP2_GOAWAY && frame->goaway.error_code != NGHTTP2_NO_ERROR) {
        char text[96];
        (void)snprintf(text, sizeof(text), "the peer broke the protocol: HTTP/2 %s",
                       nghttp2_http2_strerror(frame->goaway.error_code));
        h2_session_set_reason(session, STATUS_PEER, text);
        session->terminated = true;
    } else if (session->is_server && frame->hd.type == NGHTTP2_HEADERS &&
               (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0 &&
               nghttp2_session_get_stream_remote_close(http2, id) == 0) {
        /* The answer is complete, the request need not be (RFC 9113, 8.1). */
        (void)nghttp2_submit_rst_stream(http2, NGHTTP2_FLAG_NONE, id, NGHTTP2_NO_ERROR);
    }
    return 0;
}

static int on_frame_not_send(nghttp2_session *http2, const nghttp2_frame *frame, int error,
                             void *user_data)
{
    struct rpc_call *const call = find_call(http2, frame->hd.stream_id);
    if (call == nullptr || frame->hd.type != NGHTTP2_HEADERS || call->end != H2_END_NOT)
        return 0;
    const struct h2_session *const session = user_data;
    h2_call_end(call, H2_END_HARD, GRPC_STATUS_UNAVAILABLE,
                session->reason[0] != '\0' ? session->reason : nghttp2_strerror(error));
    return 0;
}

enum status h2_callbacks_create(nghttp2_session_callbacks **ret_callbacks)
{
    nghttp2_session_callbacks *callbacks = nullptr;
    if (nghttp2_session_callbacks_new(&callbacks) != 0)
        return STATUS_NO_MEMORY;
    nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, on_begin_headers);
    nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame_recv);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data_chunk);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_stream_close);
    nghttp2_session_callbacks_set_on_frame_send_callback(callbacks, on_frame_send);
    nghttp2_session_callbacks_set_on_frame_not_send_callback(callbacks, on_frame_not_send);
    *ret_callbacks = callbacks;
    return STATUS_OK;
}

/*
 * h2_call.c - one call: its queue of messages, its back-pressure, and how it ends.
 */
#include "rpc/h2_internal.h"

#include "base/check.h"

#include <stdlib.h>
#include <string.h>

enum status h2_call_create(struct h2_session *session, struct rpc_call **ret_call)
{
    struct rpc_call *const call = calloc(1, sizeof(*call));
    if (call == nullptr)
        return STATUS_NO_MEMORY;
    call->session = session;
    call->deadline_ns = UINT64_MAX;
    grpc_decoder_init(&call->decoder, session->limits.message_bytes_max);
    bytes_init(&call->pending, (size_t)session->limits.stream_window_bytes + UINT16_MAX);
    call->next = session->calls;
    if (session->calls != nullptr)
        session->calls->previous = call;
    session->calls = call;
    session->call_count++;
    *ret_call = call;
    return STATUS_OK;
}

/* Gives flow control back what was read or will never be. */
static void consume(struct rpc_call *call, size_t size)
{
    struct h2_session *const session = call->session;
    if (size == 0 || session->failed)
        return;
    if (call->stream_id != 0)
        (void)nghttp2_session_consume(session->http2, call->stream_id, size);
    else
        (void)nghttp2_session_consume_connection(session->http2, size);
}

static void drop_pending(struct rpc_call *call)
{
    consume(call, call->pending.size);
    bytes_deinit(&call->pending);
}

static void unlink_due(struct h2_session *session, struct rpc_call *call)
{
    struct rpc_call *previous = nullptr;
    for (struct rpc_call *at = session->due_head; at != nullptr; previous = at, at = at->due_next) {
        if (at != call)
            continue;
        if (previous == nullptr)
            session->due_head = call->due_next;
        else
            previous->due_next = call->due_next;
        if (session->due_tail == call)
            session->due_tail = previous;
        return;
    }
}

void h2_call_destroy(struct rpc_call *call)
{
    struct h2_session *const session = call->session;
    drop_pending(call);
    h2_call_drop_queue(call);
    session->assembly_bytes -= grpc_decoder_held_bytes(&call->decoder);
    grpc_decoder_deinit(&call->decoder);
    if (call->is_due)
        unlink_due(session, call);
    if (call->previous != nullptr)
        call->previous->next = call->next;
    else
        session->calls = call->next;
    if (call->next != nullptr)
        call->next->previous = call->previous;
    session->call_count--;
    if (session->call_count == 0)
        session->idle_since_ns = session->now_ns;
    free(call->path);
    free(call->message);
    free(call);
}

void h2_call_mark_due(struct rpc_call *call)
{
    struct h2_session *const session = call->session;
    if (!call->is_due) {
        call->is_due = true;
        call->due_next = nullptr;
        if (session->due_tail != nullptr)
            session->due_tail->due_next = call;
        else
            session->due_head = call;
        session->due_tail = call;
    }
    h2_session_wake(session);
}

static void set_message(struct rpc_call *call, const char *message)
{
    char *const copy = message != nullptr ? strdup(message) : nullptr;
    if (copy != nullptr && strlen(copy) >= GRPC_MESSAGE_MAX)
        copy[GRPC_MESSAGE_MAX - 1] = '\0';
    free(call->message);
    call->message = copy; /* without memory: no text, the code stands */
}

void h2_call_end(struct rpc_call *call, enum h2_end end, enum grpc_status code, const char *message)
{
    if (call->end != H2_END_NOT)
        return;
    call->end = end;
    call->code = code;
    set_message(call, message);
    h2_call_mark_due(call);
}

static void chunk_free(struct h2_chunk *chunk)
{
    if (chunk->free_fn != nullptr)
        chunk->free_fn(chunk->free_context, chunk->data);
    free(chunk);
}

static void free_data(void *context, void *data)
{
    free(data);
}

void h2_call_drop_queue(struct rpc_call *call)
{
    while (call->queue_head != nullptr) {
        struct h2_chunk *const chunk = call->queue_head;
        call->queue_head = chunk->next;
        chunk_free(chunk);
    }
    call->queue_tail = nullptr;
    call->queue_bytes = 0;
    call->head_sent = 0;
}

/* --- from the peer --- */

static void refuse_message(struct rpc_call *call, enum status status)
{
    if (status == STATUS_UNSUPPORTED)
        rpc_call_cancel(call, GRPC_STATUS_UNIMPLEMENTED, "compressed messages are not supported");
    else if (status == STATUS_LIMIT)
        rpc_call_cancel(call, GRPC_STATUS_RESOURCE_EXHAUSTED, "the message is too large");
    else if (status == STATUS_NO_MEMORY)
        rpc_call_cancel(call, GRPC_STATUS_RESOURCE_EXHAUSTED, "out of memory");
    else
        rpc_call_cancel(call, GRPC_STATUS_INTERNAL, "the message framing is broken");
}

/* Whether the owner is still to be told of messages: not after the end, nor after its answer. */
static bool wants_messages(const struct rpc_call *call)
{
    return call->end != H2_END_HARD && !(call->session->is_server && call->last_queued);
}

/* Delivers the messages in input; gives how many bytes were used (fewer when the call pauses). */
static size_t deliver(struct rpc_call *call, struct slice input)
{
    struct h2_session *const session = call->session;
    size_t used = 0;
    while (used < input.size && !call->is_paused && wants_messages(call)) {
        const struct slice rest = {input.data + used, input.size - used};
        const size_t held_before = grpc_decoder_held_bytes(&call->decoder);
        struct slice message = {};
        size_t taken = 0;
        const enum status status = grpc_decoder_feed(&call->decoder, rest, &taken, &message);
        session->assembly_bytes += grpc_decoder_held_bytes(&call->decoder) - held_before;
        if (status != STATUS_OK && status != STATUS_AGAIN) {
            refuse_message(call, status);
            break;
        }
        used += taken;
        if (session->assembly_bytes > session->limits.assembly_bytes_max) {
            rpc_call_cancel(call, GRPC_STATUS_RESOURCE_EXHAUSTED,
                            "too many unfinished messages on the connection");
            break;
        }
        if (status == STATUS_AGAIN)
            break;
        if (call->handlers->on_message != nullptr)
            call->handlers->on_message(call, message);
        session->assembly_bytes -= grpc_decoder_held_bytes(&call->decoder);
        grpc_decoder_release(&call->decoder);
        session->assembly_bytes += grpc_decoder_held_bytes(&call->decoder);
    }
    return wants_messages(call) ? used : input.size;
}

void h2_call_input(struct rpc_call *call, struct slice input)
{
    const size_t used = call->pending.size == 0 ? deliver(call, input) : 0;
    consume(call, used);
    if (used == input.size)
        return;
    if (bytes_append(&call->pending, input.data + used, input.size - used) == STATUS_OK)
        return;
    consume(call, input.size - used);
    rpc_call_cancel(call, GRPC_STATUS_RESOURCE_EXHAUSTED, "out of memory");
}

static void deliver_pending(struct rpc_call *call)
{
    const size_t used = deliver(call, bytes_slice(&call->pending));
    consume(call, used);
    bytes_consume(&call->pending, used);
    if (call->pending.size == 0)
        bytes_deinit(&call->pending);
}

static void tell_half_close(struct rpc_call *call)
{
    call->half_close_told = true;
    if (!wants_messages(call))
        return;
    if (grpc_decoder_is_inside(&call->decoder)) {
        if (call->end == H2_END_SOFT && call->code == GRPC_STATUS_OK)
            call->end = H2_END_NOT; /* an OK after half a message is none */
        rpc_call_cancel(call, GRPC_STATUS_INTERNAL, "the last message is truncated");
    } else if (call->session->is_server && call->handlers->on_half_close != nullptr) {
        call->handlers->on_half_close(call);
    }
}

void h2_call_dispatch(struct rpc_call *call)
{
    if (!call->closed_told) {
        if (call->end == H2_END_HARD)
            drop_pending(call);
        if (call->pending.size > 0 && !call->is_paused)
            deliver_pending(call);
        if (call->pending.size == 0 && call->peer_ended && !call->half_close_told &&
            call->end != H2_END_HARD)
            tell_half_close(call);
        if (call->writable_due && call->end == H2_END_NOT && !call->last_queued) {
            call->writable_due = false;
            if (call->handlers->on_writable != nullptr)
                call->handlers->on_writable(call);
        }
        if (call->end == H2_END_HARD || (call->end == H2_END_SOFT && call->pending.size == 0)) {
            call->closed_told = true;
            drop_pending(call);
            if (call->handlers->on_closed != nullptr)
                call->handlers->on_closed(call, call->code,
                                          call->message != nullptr ? call->message : "");
        }
    }
    if (call->closed_told && call->stream_id == 0)
        h2_call_destroy(call);
}

/* --- to the peer --- */

/* Copies what fits of the queue; gives the bytes written. */
static size_t copy_queue(struct rpc_call *call, uint8_t *buffer, size_t capacity)
{
    size_t written = 0;
    while (call->queue_head != nullptr && written < capacity) {
        struct h2_chunk *const chunk = call->queue_head;
        const bool in_prefix = call->head_sent < GRPC_PREFIX_BYTES;
        const uint8_t *const from = in_prefix ? chunk->prefix + call->head_sent
                                              : chunk->data + (call->head_sent - GRPC_PREFIX_BYTES);
        const size_t left = in_prefix ? GRPC_PREFIX_BYTES - call->head_sent
                                      : chunk->size + GRPC_PREFIX_BYTES - call->head_sent;
        const size_t size = left < capacity - written ? left : capacity - written;
        if (size > 0)
            memcpy(buffer + written, from, size);
        written += size;
        call->head_sent += size;
        if (call->head_sent < chunk->size + GRPC_PREFIX_BYTES)
            continue;
        call->queue_head = chunk->next;
        if (call->queue_head == nullptr)
            call->queue_tail = nullptr;
        call->queue_bytes -= chunk->size;
        call->head_sent = 0;
        chunk_free(chunk);
    }
    return written;
}

nghttp2_ssize h2_call_read(nghttp2_session *http2, int32_t stream_id, uint8_t *buffer,
                           size_t length, uint32_t *data_flags, nghttp2_data_source *source,
                           void *user_data)
{
    struct rpc_call *const call = source->ptr;
    struct h2_session *const session = call->session;
    const size_t written = copy_queue(call, buffer, length);
    if (call->wants_writable && call->queue_bytes <= session->limits.send_queue_bytes_max / 2) {
        call->wants_writable = false;
        call->writable_due = true;
        h2_call_mark_due(call);
    }
    if (call->queue_head != nullptr)
        return (nghttp2_ssize)written;
    if (call->last_queued) {
        *data_flags |= NGHTTP2_DATA_FLAG_EOF;
        if (session->is_server) {
            *data_flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
            if (h2_headers_submit_trailers(call) != STATUS_OK)
                return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
        }
        return (nghttp2_ssize)written;
    }
    return written > 0 ? (nghttp2_ssize)written : NGHTTP2_ERR_DEFERRED;
}

static void reset(struct rpc_call *call, uint32_t h2_error)
{
    if (call->stream_id != 0)
        (void)nghttp2_submit_rst_stream(call->session->http2, NGHTTP2_FLAG_NONE, call->stream_id,
                                        h2_error);
}

/* Lets nghttp2 ask for data again. */
static void resume_data(struct rpc_call *call)
{
    const int error = nghttp2_session_resume_data(call->session->http2, call->stream_id);
    if (error != 0 && nghttp2_is_fatal(error)) {
        h2_call_end(call, H2_END_HARD, GRPC_STATUS_RESOURCE_EXHAUSTED, "out of memory");
        reset(call, NGHTTP2_INTERNAL_ERROR);
    }
    h2_session_wake(call->session);
}

/* Whether a message of size bytes may be queued now. */
static enum status check_send(struct rpc_call *call, size_t size)
{
    if (call->end != H2_END_NOT || call->stream_id == 0)
        return STATUS_CANCELLED;
    if (call->last_queued)
        return STATUS_INVAL;
    const struct rpc_limits *const limits = &call->session->limits;
    if (size > limits->message_bytes_max)
        return STATUS_LIMIT;
    const bool is_empty = call->queue_head == nullptr;
    if (!is_empty && (call->queue_bytes >= limits->send_queue_bytes_max ||
                      size > limits->send_queue_bytes_max - call->queue_bytes)) {
        call->wants_writable = true;
        return STATUS_AGAIN;
    }
    return call->headers_sent ? STATUS_OK : h2_headers_submit_response(call);
}

static void enqueue(struct rpc_call *call, struct h2_chunk *chunk)
{
    grpc_frame_prefix((uint32_t)chunk->size, chunk->prefix);
    if (call->queue_tail != nullptr)
        call->queue_tail->next = chunk;
    else
        call->queue_head = chunk;
    call->queue_tail = chunk;
    call->queue_bytes += chunk->size;
    resume_data(call);
}

enum status rpc_call_send(struct rpc_call *call, struct slice message)
{
    const enum status status = check_send(call, message.size);
    if (status != STATUS_OK)
        return status;
    struct h2_chunk *const chunk = malloc(sizeof(*chunk) + message.size);
    if (chunk == nullptr)
        return STATUS_NO_MEMORY;
    *chunk = (struct h2_chunk){.data = (uint8_t *)(chunk + 1), .size = message.size};
    if (message.size > 0)
        memcpy(chunk->data, message.data, message.size);
    enqueue(call, chunk);
    return STATUS_OK;
}

enum status rpc_call_send_owned(struct rpc_call *call, void *data, size_t size,
                                rpc_free_fn *free_fn, void *context)
{
    const enum status status = check_send(call, size);
    if (status != STATUS_OK)
        return status;
    struct h2_chunk *const chunk = malloc(sizeof(*chunk));
    if (chunk == nullptr)
        return STATUS_NO_MEMORY;
    *chunk = (struct h2_chunk){
        .data = data,
        .size = size,
        .free_fn = free_fn != nullptr ? free_fn : free_data,
        .free_context = context,
    };
    enqueue(call, chunk);
    return STATUS_OK;
}

enum status rpc_call_half_close(struct rpc_call *call)
{
    if (call->session->is_server || call->last_queued)
        return STATUS_INVAL;
    call->last_queued = true;
    if (call->stream_id != 0)
        resume_data(call);
    return STATUS_OK;
}

enum status rpc_call_finish(struct rpc_call *call, enum grpc_status code, const char *message)
{
    if (!call->session->is_server)
        return STATUS_INVAL;
    if (call->end != H2_END_NOT || call->stream_id == 0)
        return STATUS_CANCELLED;
    if (call->last_queued)
        return STATUS_INVAL;
    call->last_queued = true;
    call->code = code;
    set_message(call, message);
    drop_pending(call);
    if (call->headers_sent) {
        resume_data(call);
        return STATUS_OK;
    }
    const enum status status = h2_headers_submit_trailers_only(call);
    if (status != STATUS_OK) {
        h2_call_end(call, H2_END_HARD, GRPC_STATUS_RESOURCE_EXHAUSTED, "out of memory");
        reset(call, NGHTTP2_INTERNAL_ERROR);
    }
    h2_session_wake(call->session);
    return STATUS_OK;
}

/* A server tells the status where the stream still allows it. */
static void tell_status(struct rpc_call *call, bool inside_message, bool was_last)
{
    nghttp2_session *const http2 = call->session->http2;
    call->last_queued = true;
    if (was_last || inside_message) {
        reset(call, NGHTTP2_CANCEL);
    } else if (!call->headers_sent) {
        if (h2_headers_submit_trailers_only(call) != STATUS_OK)
            reset(call, NGHTTP2_INTERNAL_ERROR);
    } else if (nghttp2_session_get_stream_remote_window_size(http2, call->stream_id) <= 0 ||
               nghttp2_session_get_remote_window_size(http2) <= 0) {
        reset(call, NGHTTP2_CANCEL); /* trailers would wait for a peer that does not read */
    } else {
        resume_data(call);
    }
}

void rpc_call_cancel(struct rpc_call *call, enum grpc_status code, const char *message)
{
    if (call->closed_told || call->end == H2_END_HARD)
        return;
    call->end = H2_END_NOT;
    h2_call_end(call, H2_END_HARD, code, message);
    const bool inside_message = call->head_sent > 0;
    const bool was_last = call->last_queued;
    h2_call_drop_queue(call);
    if (call->stream_id == 0 || call->session->failed || call->session->terminated)
        return;
    if (call->session->is_server)
        tell_status(call, inside_message, was_last);
    else
        reset(call, NGHTTP2_CANCEL);
    h2_session_wake(call->session);
}

void rpc_call_pause(struct rpc_call *call)
{
    call->is_paused = true;
}

void rpc_call_resume(struct rpc_call *call)
{
    call->is_paused = false;
    if (!call->closed_told)
        h2_call_mark_due(call);
}

void rpc_call_set_user(struct rpc_call *call, void *user)
{
    call->user = user;
}

void *rpc_call_get_user(const struct rpc_call *call)
{
    return call->user;
}

const char *rpc_call_path(const struct rpc_call *call)
{
    return call->path;
}

const char *rpc_call_address(const struct rpc_call *call)
{
    return call->session->address;
}

SSL *rpc_call_ssl(const struct rpc_call *call)
{
    return call->session->ssl;
}

void *rpc_call_connection_user(const struct rpc_call *call)
{
    return call->session->user;
}

uint64_t rpc_call_deadline_ns(const struct rpc_call *call)
{
    return call->deadline_ns;
}

size_t rpc_call_queued_bytes(const struct rpc_call *call)
{
    return call->queue_bytes;
}

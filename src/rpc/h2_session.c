/*
 * h2_session.c - the life of an HTTP/2 session that carries gRPC: settings, time, drain, end.
 *
 * What nghttp2 reports is in h2_callbacks.c, calls are in h2_call.c, fields in h2_headers.c.
 */
#include "rpc/h2_internal.h"

#include "base/check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    OUTBOUND_ACKS_MAX = 256,   /* answers to PING and SETTINGS that wait for the peer */
    SETTINGS_ENTRIES_MAX = 32, /* of one SETTINGS frame */
    DRAIN_NOTICE_MS = 1000,    /* the second GOAWAY at the latest after the first */
    NS_PER_MS = 1000 * 1000,
};

static enum status create_options(nghttp2_option **ret_option)
{
    nghttp2_option *option = nullptr;
    if (nghttp2_option_new(&option) != 0)
        return STATUS_NO_MEMORY;
    nghttp2_option_set_no_auto_window_update(option, 1);
    nghttp2_option_set_no_closed_streams(option, 1);
    nghttp2_option_set_max_outbound_ack(option, OUTBOUND_ACKS_MAX);
    nghttp2_option_set_max_settings(option, SETTINGS_ENTRIES_MAX);
    /* nghttp2's own limit reads a clock; h2_session_count_reset goes by the time handed in. */
    nghttp2_option_set_stream_reset_rate_limit(option, UINT32_MAX, UINT32_MAX);
    *ret_option = option;
    return STATUS_OK;
}

static enum status submit_settings(struct h2_session *session)
{
    const struct rpc_limits *const limits = &session->limits;
    const nghttp2_settings_entry entries[] = {
        {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, limits->stream_window_bytes},
        {NGHTTP2_SETTINGS_MAX_FRAME_SIZE, limits->frame_bytes_max},
        {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, limits->header_list_bytes_max},
        {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, session->is_server ? limits->streams_max : 0},
        {NGHTTP2_SETTINGS_ENABLE_PUSH, 0},
    };
    const size_t count = session->is_server ? 4 : 5;
    if (nghttp2_submit_settings(session->http2, NGHTTP2_FLAG_NONE, entries, count) != 0)
        return STATUS_NO_MEMORY;
    if (nghttp2_session_set_local_window_size(session->http2, NGHTTP2_FLAG_NONE, 0,
                                              (int32_t)limits->connection_window_bytes) != 0)
        return STATUS_NO_MEMORY;
    return STATUS_OK;
}

static enum status create_http2(struct h2_session *session, nghttp2_mem *memory)
{
    nghttp2_session_callbacks *callbacks = nullptr;
    nghttp2_option *option = nullptr;
    int error = NGHTTP2_ERR_NOMEM;
    enum status status = h2_callbacks_create(&callbacks);
    if (status != STATUS_OK)
        goto out;
    status = create_options(&option);
    if (status != STATUS_OK)
        goto out;
    error = session->is_server
                ? nghttp2_session_server_new3(&session->http2, callbacks, session, option, memory)
                : nghttp2_session_client_new3(&session->http2, callbacks, session, option, memory);
    status = error == 0 ? submit_settings(session) : STATUS_NO_MEMORY;
out:
    nghttp2_option_del(option);
    nghttp2_session_callbacks_del(callbacks);
    return status;
}

enum status h2_session_create(const struct h2_session_settings *settings, uint64_t now_ns,
                              struct h2_session **ret_session)
{
    CHECK(settings->header_count <= H2_HEADERS_MAX);
    struct h2_session *const session = calloc(1, sizeof(*session));
    if (session == nullptr)
        return STATUS_NO_MEMORY;
    *session = (struct h2_session){
        .events = settings->events,
        .context = settings->context,
        .address = "",
        .scheme = settings->scheme,
        .authority = settings->authority,
        .headers = settings->headers,
        .header_count = settings->header_count,
        .limits = rpc_limits_resolve(&settings->limits),
        .now_ns = now_ns,
        .received_ns = now_ns,
        .call_due_ns = UINT64_MAX,
        .idle_since_ns = now_ns,
        .drain_end_ns = UINT64_MAX,
        .notice_end_ns = UINT64_MAX,
        .reset_refill_ns = now_ns,
        .is_server = settings->is_server,
    };
    session->reset_allowance = session->limits.resets_max;
    const enum status status = create_http2(session, settings->memory);
    if (status != STATUS_OK) {
        h2_session_destroy(session);
        return status;
    }
    *ret_session = session;
    return STATUS_OK;
}

void h2_session_destroy(struct h2_session *session)
{
    if (session == nullptr)
        return;
    session->failed = true;
    while (session->calls != nullptr)
        h2_call_destroy(session->calls);
    nghttp2_session_del(session->http2);
    free(session);
}

void h2_session_set_peer(struct h2_session *session, SSL *ssl, const char *address)
{
    session->ssl = ssl;
    session->address = address;
}

void h2_session_set_user(struct h2_session *session, void *user)
{
    session->user = user;
}

void h2_session_wake(struct h2_session *session)
{
    if (!session->is_entered)
        session->events->on_wake(session->context);
}

void h2_session_set_reason(struct h2_session *session, enum status status, const char *reason)
{
    if (session->reason[0] != '\0')
        return;
    session->status = status;
    (void)snprintf(session->reason, sizeof(session->reason), "%.255s", reason);
}

void h2_session_tell_draining(struct h2_session *session)
{
    if (session->draining_told)
        return;
    session->draining_told = true;
    session->events->on_draining(session->context, session->reason);
}

/* Every call that is not over closes with UNAVAILABLE. */
static void end_calls(struct h2_session *session)
{
    for (struct rpc_call *call = session->calls; call != nullptr; call = call->next) {
        if (session->failed)
            call->stream_id = 0;
        if (call->end == H2_END_SOFT && call->pending.size == 0)
            call->end = H2_END_HARD;
        if (call->end == H2_END_SOFT)
            call->end = H2_END_NOT; /* its last messages are lost */
        h2_call_end(call, H2_END_HARD, GRPC_STATUS_UNAVAILABLE, session->reason);
        h2_call_drop_queue(call);
        h2_call_mark_due(call);
    }
}

void h2_session_fail(struct h2_session *session, const char *reason)
{
    if (session->failed)
        return;
    session->failed = true;
    h2_session_set_reason(session, STATUS_UNREACHABLE, reason);
    end_calls(session);
}

void h2_session_terminate(struct h2_session *session, uint32_t h2_error, const char *reason)
{
    if (session->failed || session->terminated)
        return;
    session->terminated = true;
    session->is_draining = true;
    h2_session_set_reason(session, h2_error == NGHTTP2_NO_ERROR ? STATUS_CANCELLED : STATUS_PEER,
                          reason);
    (void)nghttp2_submit_goaway(session->http2, NGHTTP2_FLAG_NONE,
                                nghttp2_session_get_last_proc_stream_id(session->http2), h2_error,
                                (const uint8_t *)session->reason, strlen(session->reason));
    end_calls(session);
    h2_session_wake(session);
}

/* A token bucket over the resets that a peer makes or provokes (CVE-2023-44487, CVE-2025-8671). */
void h2_session_count_reset(struct h2_session *session)
{
    enum { NS_PER_S = 1000 * 1000 * 1000 };
    const uint64_t ns_per_reset = NS_PER_S / session->limits.resets_per_second + 1;
    const uint64_t refill = (session->now_ns - session->reset_refill_ns) / ns_per_reset;
    const uint32_t missing = session->limits.resets_max - session->reset_allowance;
    session->reset_refill_ns += refill * ns_per_reset;
    session->reset_allowance += refill < missing ? (uint32_t)refill : missing;
    if (session->reset_allowance == 0)
        h2_session_terminate(session, NGHTTP2_ENHANCE_YOUR_CALM, "too many stream resets");
    else
        session->reset_allowance--;
}

void h2_session_drain(struct h2_session *session, uint64_t timeout_ns, uint64_t now_ns)
{
    if (session->failed || session->terminated || session->drain_end_ns != UINT64_MAX)
        return;
    session->is_draining = true;
    session->drain_end_ns = timeout_ns < UINT64_MAX - now_ns ? now_ns + timeout_ns : UINT64_MAX;
    h2_session_set_reason(session, STATUS_OK, "drained");
    if (session->is_server) {
        static const uint8_t opaque[8] = "drained";
        session->notice_end_ns = now_ns + (uint64_t)DRAIN_NOTICE_MS * NS_PER_MS;
        (void)nghttp2_submit_shutdown_notice(session->http2);
        (void)nghttp2_submit_ping(session->http2, NGHTTP2_FLAG_NONE, opaque);
    } else {
        session->goaway_final = true;
        (void)nghttp2_submit_goaway(session->http2, NGHTTP2_FLAG_NONE, 0, NGHTTP2_NO_ERROR, nullptr,
                                    0);
    }
    h2_session_wake(session);
}

static void apply_deadlines(struct h2_session *session)
{
    if (session->now_ns < session->call_due_ns)
        return;
    session->call_due_ns = UINT64_MAX;
    for (struct rpc_call *call = session->calls; call != nullptr; call = call->next) {
        if (call->closed_told || call->end == H2_END_HARD)
            continue;
        if (call->deadline_ns <= session->now_ns)
            rpc_call_cancel(call, GRPC_STATUS_DEADLINE_EXCEEDED, "the deadline has passed");
        else if (call->deadline_ns < session->call_due_ns)
            session->call_due_ns = call->deadline_ns;
    }
}

static uint64_t keepalive_due(const struct h2_session *session)
{
    if (session->ping_ns != 0)
        return session->ping_ns + (uint64_t)session->limits.keepalive_timeout_ms * NS_PER_MS;
    return session->received_ns + (uint64_t)session->limits.keepalive_interval_ms * NS_PER_MS;
}

static uint64_t idle_due(const struct h2_session *session)
{
    if (session->limits.idle_timeout_ms == 0 || session->is_draining || session->call_count > 0)
        return UINT64_MAX;
    return session->idle_since_ns + (uint64_t)session->limits.idle_timeout_ms * NS_PER_MS;
}

static void apply_drain(struct h2_session *session)
{
    if (session->now_ns >= session->notice_end_ns && !session->goaway_final) {
        session->goaway_final = true;
        session->notice_end_ns = UINT64_MAX;
        (void)nghttp2_submit_goaway(session->http2, NGHTTP2_FLAG_NONE,
                                    nghttp2_session_get_last_proc_stream_id(session->http2),
                                    NGHTTP2_NO_ERROR, (const uint8_t *)session->reason,
                                    strlen(session->reason));
    }
    if (session->now_ns >= session->drain_end_ns && session->call_count > 0) {
        session->reason[0] = '\0';
        h2_session_set_reason(session, STATUS_TIMEOUT, "the time to drain is over");
        h2_session_terminate(session, NGHTTP2_NO_ERROR, "the time to drain is over");
    }
}

static void apply_time(struct h2_session *session, uint64_t now_ns)
{
    if (now_ns > session->now_ns)
        session->now_ns = now_ns;
    if (session->failed || session->terminated)
        return;
    apply_deadlines(session);
    apply_drain(session);
    if (session->now_ns >= idle_due(session)) {
        h2_session_set_reason(session, STATUS_OK, "idle for too long");
        h2_session_drain(session, 0, session->now_ns);
        h2_session_tell_draining(session);
    }
    if (session->now_ns < keepalive_due(session))
        return;
    if (session->ping_ns != 0) {
        h2_session_fail(session, "keepalive: the peer does not answer");
        return;
    }
    session->ping_ns = session->now_ns;
    (void)nghttp2_submit_ping(session->http2, NGHTTP2_FLAG_NONE, nullptr);
}

static void dispatch(struct h2_session *session)
{
    while (session->due_head != nullptr) {
        struct rpc_call *const call = session->due_head;
        session->due_head = call->due_next;
        if (session->due_head == nullptr)
            session->due_tail = nullptr;
        call->is_due = false;
        h2_call_dispatch(call);
    }
}

void h2_session_run(struct h2_session *session, uint64_t now_ns)
{
    CHECK(!session->is_entered);
    session->is_entered = true;
    apply_time(session, now_ns);
    dispatch(session);
    session->is_entered = false;
}

enum status h2_session_receive(struct h2_session *session, struct slice input, uint64_t now_ns)
{
    CHECK(!session->is_entered);
    if (session->failed || session->terminated)
        return STATUS_PEER;
    session->is_entered = true;
    enum status status = STATUS_OK;
    if (now_ns > session->now_ns)
        session->now_ns = now_ns;
    if (input.size > 0) {
        session->received_ns = session->now_ns;
        session->ping_ns = 0;
    }
    apply_time(session, now_ns);
    if (!session->failed && !session->terminated && input.size > 0) {
        const nghttp2_ssize size =
            nghttp2_session_mem_recv2(session->http2, input.data, input.size);
        if (size < 0) {
            status = size == NGHTTP2_ERR_NOMEM ? STATUS_NO_MEMORY : STATUS_PEER;
            h2_session_set_reason(session, status, nghttp2_strerror((int)size));
            h2_session_fail(session, ""); /* the reason is known */
        }
    }
    if (status == STATUS_OK && (session->failed || session->terminated))
        status = STATUS_PEER;
    dispatch(session);
    session->is_entered = false;
    return status;
}

enum status h2_session_pull(struct h2_session *session, struct bytes *output, size_t size_max)
{
    CHECK(!session->is_entered);
    if (session->failed)
        return STATUS_OK;
    session->is_entered = true;
    const size_t size_before = output->size;
    enum status status = STATUS_OK;
    while (output->size - size_before < size_max) {
        const uint8_t *data = nullptr;
        const nghttp2_ssize size = nghttp2_session_mem_send2(session->http2, &data);
        if (size == 0)
            break;
        status = size < 0 ? STATUS_NO_MEMORY : bytes_append(output, data, (size_t)size);
        if (status != STATUS_OK) {
            h2_session_fail(session, size < 0 ? nghttp2_strerror((int)size) : status_text(status));
            break;
        }
    }
    if (session->terminated && !session->failed)
        end_calls(session);
    dispatch(session);
    session->is_entered = false;
    return status;
}

uint64_t h2_session_next_ns(const struct h2_session *session)
{
    if (session->failed || session->terminated)
        return UINT64_MAX;
    const uint64_t due[] = {
        session->call_due_ns,
        session->goaway_final ? UINT64_MAX : session->notice_end_ns,
        session->call_count > 0 ? session->drain_end_ns : UINT64_MAX,
        keepalive_due(session),
        idle_due(session),
    };
    uint64_t next = UINT64_MAX;
    for (size_t i = 0; i < sizeof(due) / sizeof(due[0]); i++)
        next = due[i] < next ? due[i] : next;
    return next;
}

enum status h2_session_call(struct h2_session *session, const char *path, uint64_t deadline_ms,
                            const struct rpc_call_handlers *handlers, void *user, uint64_t now_ns,
                            struct rpc_call **ret_call)
{
    if (session->is_server || session->failed || session->terminated || session->is_draining)
        return STATUS_UNREACHABLE;
    struct rpc_call *call = nullptr;
    enum status status = h2_call_create(session, &call);
    if (status != STATUS_OK)
        return status;
    call->handlers = handlers;
    call->user = user;
    call->path = strdup(path);
    const uint64_t timeout_ns = deadline_ms * NS_PER_MS;
    status = call->path == nullptr ? STATUS_NO_MEMORY : h2_headers_submit_request(call, timeout_ns);
    if (status != STATUS_OK) {
        h2_call_destroy(call);
        return status;
    }
    if (deadline_ms > 0) {
        call->deadline_ns = now_ns + timeout_ns;
        if (call->deadline_ns < session->call_due_ns)
            session->call_due_ns = call->deadline_ns;
    }
    h2_session_wake(session);
    *ret_call = call;
    return STATUS_OK;
}

void h2_session_accept(struct rpc_call *call, const struct rpc_call_handlers *handlers)
{
    call->handlers = handlers;
}

bool h2_session_is_finished(const struct h2_session *session)
{
    if (session->failed)
        return true;
    if (nghttp2_session_want_write(session->http2) != 0)
        return false;
    return session->terminated ||
           (nghttp2_session_want_read(session->http2) == 0 && session->call_count == 0);
}

const char *h2_session_reason(const struct h2_session *session)
{
    return session->reason;
}

enum status h2_session_status(const struct h2_session *session)
{
    return session->status;
}

size_t h2_session_call_count(const struct h2_session *session)
{
    return session->call_count;
}

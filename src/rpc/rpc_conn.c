/*
 * rpc_conn.c - moves bytes between a socket, TLS and an HTTP/2 session, and ends all three in
 * order.
 *
 * Whatever may call back the owner of calls runs from the loop (read, write, timer, idle), never
 * from within a function of the public headers; the idle handle is how such a function asks for it.
 */
#include "rpc/rpc_conn.h"

#include "base/check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    READ_BYTES = 64 * 1024,  /* lent to one read, freed after it */
    PLAIN_BYTES = 16 * 1024, /* one TLS record */
    PULL_BYTES = 128 * 1024, /* plain bytes encrypted and written at a time */
    PULL_SLACK = 128 * 1024, /* the last frame of a pull and a header block may pass it */
    PULLS_A_FLUSH = 16,      /* then other connections have their turn */
    LINGER_MS = 1000,        /* for the peer to read why */
    NS_PER_MS = 1000 * 1000,
};

static void flush(struct rpc_conn *conn);
static void close_handles(struct rpc_conn *conn);

/* --- time --- */

static void on_timer(uv_timer_t *timer);

static void schedule(struct rpc_conn *conn)
{
    if (conn->state == RPC_CONN_CLOSING)
        return;
    uint64_t next = conn->state == RPC_CONN_OPEN ? UINT64_MAX : conn->limit_ns;
    if (conn->state == RPC_CONN_OPEN && conn->session != nullptr)
        next = h2_session_next_ns(conn->session);
    else if (conn->session != nullptr && conn->state < RPC_CONN_OPEN &&
             h2_session_next_ns(conn->session) < next)
        next = h2_session_next_ns(conn->session); /* a call's deadline may come before */
    if (next >= conn->scheduled_ns)
        return; /* the timer looks again when it fires */
    const uint64_t now = uv_hrtime();
    const uint64_t wait_ms = next > now ? (next - now) / NS_PER_MS + 1 : 0;
    conn->scheduled_ns = next;
    (void)uv_timer_start(&conn->timer, on_timer, wait_ms, 0);
}

static void on_timer(uv_timer_t *timer)
{
    struct rpc_conn *const conn = timer->data;
    const uint64_t now = uv_hrtime();
    conn->scheduled_ns = UINT64_MAX;
    if (conn->state == RPC_CONN_LINGER && now >= conn->limit_ns)
        close_handles(conn);
    else if (conn->state < RPC_CONN_OPEN && now >= conn->limit_ns)
        rpc_conn_end(conn, STATUS_TIMEOUT,
                     conn->state == RPC_CONN_CONNECTING ? "connecting took too long"
                                                        : "the TLS handshake took too long");
    else
        flush(conn);
}

static void on_idle(uv_idle_t *idle);

void rpc_conn_wake(struct rpc_conn *conn)
{
    if (conn->state != RPC_CONN_CLOSING)
        (void)uv_idle_start(&conn->idle, on_idle);
}

/* --- writing --- */

static void on_shutdown(uv_shutdown_t *request, int error)
{
    struct rpc_conn *const conn = request->data;
    if (error != 0 && conn->state == RPC_CONN_LINGER)
        close_handles(conn);
}

/* All that is to be said was said: half-close, and wait for the peer to do the same. */
static void finish_linger(struct rpc_conn *conn)
{
    conn->request.shutdown.data = conn;
    if (uv_shutdown(&conn->request.shutdown, &conn->io.stream, on_shutdown) != 0)
        close_handles(conn);
}

static void on_written(uv_write_t *request, int error)
{
    struct rpc_conn *const conn = request->data;
    conn->is_writing = false;
    bytes_deinit(&conn->sending);
    if (conn->state == RPC_CONN_CLOSING)
        return;
    if (error != 0)
        rpc_conn_end_uv(conn, "writing", error);
    if (conn->state == RPC_CONN_LINGER)
        error == 0 ? finish_linger(conn) : close_handles(conn);
    else
        flush(conn);
}

/* Writes what it can and leaves the rest to libuv; output is empty afterwards. */
static void send_output(struct rpc_conn *conn, struct bytes *output)
{
    CHECK(!conn->is_writing);
    if (output->size == 0 || !conn->is_linked)
        return;
    uv_buf_t buf = uv_buf_init((char *)output->data, (unsigned)output->size);
    const int written = uv_try_write(&conn->io.stream, &buf, 1);
    if (written == (int)output->size) {
        output->size = 0;
        return;
    }
    if (written < 0 && written != UV_EAGAIN) {
        output->size = 0;
        rpc_conn_end_uv(conn, "writing", written);
        return;
    }
    const size_t skip = written > 0 ? (size_t)written : 0;
    conn->sending = *output;
    bytes_init(output, output->size_max);
    buf = uv_buf_init((char *)conn->sending.data + skip, (unsigned)(conn->sending.size - skip));
    conn->request.write.data = conn;
    const int error = uv_write(&conn->request.write, &conn->io.stream, &buf, 1, on_written);
    if (error == 0) {
        conn->is_writing = true;
        return;
    }
    bytes_deinit(&conn->sending);
    rpc_conn_end_uv(conn, "writing", error);
}

/* Sends one portion of the session's output; whether there may be more. */
static bool send_portion(struct rpc_conn *conn)
{
    struct error err = {};
    struct bytes plain;
    bytes_init(&plain, PULL_BYTES + PULL_SLACK);
    bool has_more = false;
    if (h2_session_pull(conn->session, &plain, PULL_BYTES) == STATUS_OK && plain.size > 0) {
        has_more = true; /* what is told of the room this made may bring more */
        if (conn->tls == nullptr) {
            send_output(conn, &plain);
        } else {
            const enum status status = tls_stream_write(conn->tls, bytes_slice(&plain), &err);
            if (status != STATUS_OK)
                rpc_conn_end(conn, status, err.text);
            send_output(conn, tls_stream_output(conn->tls));
        }
    }
    bytes_deinit(&plain);
    return has_more;
}

/* Time, what calls are due to be told, and output, until the socket is full. */
static void flush(struct rpc_conn *conn)
{
    if (conn->session != nullptr && conn->state < RPC_CONN_ENDING)
        h2_session_run(conn->session, uv_hrtime());
    if (conn->tls != nullptr && !conn->is_writing && conn->state < RPC_CONN_LINGER)
        send_output(conn, tls_stream_output(conn->tls));
    if (conn->session != nullptr && conn->state == RPC_CONN_OPEN) {
        int pulls = 0;
        while (!conn->is_writing && conn->state == RPC_CONN_OPEN && send_portion(conn)) {
            h2_session_run(conn->session,
                           uv_hrtime()); /* room in queues: who waits for it says more */
            if (++pulls == PULLS_A_FLUSH) {
                rpc_conn_wake(conn);
                break;
            }
        }
        if (conn->state == RPC_CONN_OPEN && !conn->is_writing &&
            h2_session_is_finished(conn->session))
            rpc_conn_end(conn, h2_session_status(conn->session), h2_session_reason(conn->session));
    }
    if (conn->tls != nullptr && tls_stream_output(conn->tls)->size == 0)
        bytes_deinit(tls_stream_output(conn->tls));
    schedule(conn);
}

/* --- the end --- */

void rpc_conn_handle_closed(uv_handle_t *handle)
{
    struct rpc_conn *const conn = handle->data;
    if (--conn->handles > 0)
        return;
    h2_session_destroy(conn->session);
    tls_stream_destroy(conn->tls);
    bytes_deinit(&conn->sending);
    conn->session = nullptr;
    conn->tls = nullptr;
    conn->events->on_freed(conn);
}

/* The socket may be closed already, where a client tried one address after the other. */
static void close_handles(struct rpc_conn *conn)
{
    if (conn->state == RPC_CONN_CLOSING)
        return;
    conn->state = RPC_CONN_CLOSING;
    uv_close((uv_handle_t *)&conn->timer, rpc_conn_handle_closed);
    uv_close((uv_handle_t *)&conn->idle, rpc_conn_handle_closed);
    if (!uv_is_closing(&conn->io.handle))
        uv_close(&conn->io.handle, rpc_conn_handle_closed);
}

/* The last bytes, then the calls, then the owner; then the peer may read for a while. */
static void finalize(struct rpc_conn *conn)
{
    if (conn->session != nullptr && conn->was_open && !conn->is_writing)
        (void)send_portion(conn);
    if (conn->tls != nullptr) {
        tls_stream_shutdown(conn->tls);
        if (!conn->is_writing)
            send_output(conn, tls_stream_output(conn->tls));
    }
    if (conn->session != nullptr) {
        h2_session_fail(conn->session, conn->reason);
        h2_session_run(conn->session, uv_hrtime());
    }
    conn->state = RPC_CONN_LINGER;
    conn->events->on_closed(conn, conn->status, conn->reason);
    if (conn->state == RPC_CONN_CLOSING)
        return;
    if (conn->is_cut || !conn->is_linked) {
        close_handles(conn);
        return;
    }
    conn->limit_ns = uv_hrtime() + (uint64_t)LINGER_MS * NS_PER_MS;
    schedule(conn);
    if (!conn->is_writing)
        finish_linger(conn);
}

static void on_idle(uv_idle_t *idle)
{
    struct rpc_conn *const conn = idle->data;
    (void)uv_idle_stop(idle);
    if (conn->state == RPC_CONN_ENDING)
        finalize(conn);
    else if (conn->state < RPC_CONN_ENDING)
        flush(conn);
}

void rpc_conn_end(struct rpc_conn *conn, enum status status, const char *reason)
{
    if (conn->state >= RPC_CONN_ENDING)
        return;
    conn->state = RPC_CONN_ENDING;
    conn->status = status;
    (void)snprintf(conn->reason, sizeof(conn->reason), "%.255s", reason);
    rpc_conn_wake(conn);
}

void rpc_conn_cut(struct rpc_conn *conn, enum status status, const char *reason)
{
    conn->is_cut = true;
    if (conn->state == RPC_CONN_LINGER)
        close_handles(conn);
    else
        rpc_conn_end(conn, status, reason);
}

void rpc_conn_end_uv(struct rpc_conn *conn, const char *what, int uv_error)
{
    char text[RPC_REASON_MAX];
    (void)snprintf(text, sizeof(text), "%s: %s", what, uv_strerror(uv_error));
    conn->is_linked = false; /* nothing gets through any more */
    rpc_conn_end(conn, STATUS_UNREACHABLE, text);
}

/* --- reading --- */

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    char *const memory = malloc(READ_BYTES);
    /* libuv's until on_read gets it back. NOLINTNEXTLINE(clang-analyzer-unix.Malloc) */
    *buf = uv_buf_init(memory, memory != nullptr ? READ_BYTES : 0);
}

static void on_end_of_input(struct rpc_conn *conn)
{
    if (conn->state == RPC_CONN_LINGER) {
        close_handles(conn);
        return;
    }
    const struct h2_session *const session = conn->session;
    if (session != nullptr && h2_session_reason(session)[0] != '\0')
        rpc_conn_end(conn, h2_session_status(session), h2_session_reason(session));
    else
        rpc_conn_end(conn, STATUS_UNREACHABLE,
                     conn->state == RPC_CONN_HANDSHAKE
                         ? "the peer closed the connection during the TLS handshake"
                         : "the peer closed the connection");
}

/* The owner judges the peer, then HTTP/2 begins. */
static void open_session(struct rpc_conn *conn)
{
    struct error err = {};
    const enum status status =
        conn->tls != nullptr ? conn->events->on_handshake(conn, &err) : STATUS_OK;
    if (conn->state >= RPC_CONN_ENDING)
        return;
    conn->was_open = conn->session_settings.is_server || status == STATUS_OK;
    if (status != STATUS_OK && !conn->session_settings.is_server) {
        rpc_conn_end(conn, status, err.text[0] != '\0' ? err.text : status_text(status));
        return;
    }
    if (conn->session == nullptr && rpc_conn_make_session(conn) != STATUS_OK) {
        rpc_conn_end(conn, STATUS_NO_MEMORY, status_text(STATUS_NO_MEMORY));
        return;
    }
    h2_session_set_peer(conn->session, conn->tls != nullptr ? tls_stream_ssl(conn->tls) : nullptr,
                        conn->address);
    conn->state = RPC_CONN_OPEN;
    if (status == STATUS_OK)
        return;
    const char *const reason = err.text[0] != '\0' ? err.text : status_text(status);
    h2_session_terminate(conn->session, NGHTTP2_INADEQUATE_SECURITY, reason);
    rpc_conn_end(conn, status, reason);
}

/* Encrypted bytes through TLS into the session. */
static void take_encrypted(struct rpc_conn *conn, struct slice input)
{
    struct error err = {};
    tls_stream_lend(conn->tls, input);
    if (conn->state == RPC_CONN_HANDSHAKE) {
        const enum status status = tls_stream_handshake(conn->tls, &err);
        if (status == STATUS_OK)
            open_session(conn);
        else if (status != STATUS_AGAIN)
            rpc_conn_end(conn, status, err.text);
    }
    uint8_t plain[PLAIN_BYTES];
    while (conn->state == RPC_CONN_OPEN) {
        size_t size = 0;
        const enum status status = tls_stream_read(conn->tls, plain, sizeof(plain), &size, &err);
        if (status == STATUS_AGAIN)
            break;
        if (status != STATUS_OK)
            rpc_conn_end(conn, status, err.text);
        else if (size == 0)
            on_end_of_input(conn);
        else if (h2_session_receive(conn->session, (struct slice){plain, size}, uv_hrtime()) !=
                 STATUS_OK)
            break;
    }
}

static void on_read(uv_stream_t *stream, ssize_t size, const uv_buf_t *buf)
{
    struct rpc_conn *const conn = stream->data;
    const bool is_open = conn->state < RPC_CONN_ENDING;
    if (size == UV_EOF) {
        (void)uv_read_stop(stream);
        on_end_of_input(conn);
    } else if (size < 0) {
        (void)uv_read_stop(stream);
        if (conn->state == RPC_CONN_LINGER)
            close_handles(conn);
        else
            rpc_conn_end_uv(conn, "reading", (int)size);
    } else if (size > 0 && is_open) {
        const struct slice input = {(const uint8_t *)buf->base, (size_t)size};
        if (conn->tls != nullptr)
            take_encrypted(conn, input);
        else
            (void)h2_session_receive(conn->session, input, uv_hrtime());
        flush(conn);
    }
    free(buf->base);
}

/* --- the beginning --- */

static void session_on_call(void *context, struct rpc_call *call)
{
    struct rpc_conn *const conn = context;
    conn->events->on_call(conn, call);
}

static void session_on_wake(void *context)
{
    rpc_conn_wake(context);
}

static void session_on_ready(void *context)
{
    struct rpc_conn *const conn = context;
    conn->events->on_ready(conn);
}

static void session_on_draining(void *context, const char *reason)
{
    struct rpc_conn *const conn = context;
    conn->events->on_draining(conn, reason);
}

static const struct h2_session_events session_events = {
    .on_call = session_on_call,
    .on_wake = session_on_wake,
    .on_ready = session_on_ready,
    .on_draining = session_on_draining,
};

enum status rpc_conn_make_session(struct rpc_conn *conn)
{
    conn->session_settings.events = &session_events;
    conn->session_settings.context = conn;
    return h2_session_create(&conn->session_settings, uv_hrtime(), &conn->session);
}

void rpc_conn_init(struct rpc_conn *conn, uv_loop_t *loop, bool is_pipe, uint64_t limit_ns)
{
    bytes_init(&conn->sending, SIZE_MAX);
    conn->state = RPC_CONN_CONNECTING;
    conn->limit_ns = limit_ns;
    conn->scheduled_ns = UINT64_MAX;
    (void)uv_timer_init(loop, &conn->timer);
    (void)uv_idle_init(loop, &conn->idle);
    const int error =
        is_pipe ? uv_pipe_init(loop, &conn->io.pipe, 0) : uv_tcp_init(loop, &conn->io.tcp);
    CHECK(error == 0); /* neither makes a socket yet */
    conn->timer.data = conn;
    conn->idle.data = conn;
    conn->io.handle.data = conn;
    conn->handles = 3;
    schedule(conn);
}

void rpc_conn_name_peer(struct rpc_conn *conn)
{
    struct sockaddr_storage storage = {};
    int size = sizeof(storage);
    char text[INET6_ADDRSTRLEN] = "";
    if (conn->io.handle.type != UV_TCP ||
        uv_tcp_getpeername(&conn->io.tcp, (struct sockaddr *)&storage, &size) != 0 ||
        uv_ip_name((const struct sockaddr *)&storage, text, sizeof(text)) != 0)
        return;
    if (storage.ss_family == AF_INET6) {
        const struct sockaddr_in6 *const in6 = (const struct sockaddr_in6 *)&storage;
        (void)snprintf(conn->address, sizeof(conn->address), "[%s]:%u", text,
                       ntohs(in6->sin6_port));
    } else {
        const struct sockaddr_in *const in4 = (const struct sockaddr_in *)&storage;
        (void)snprintf(conn->address, sizeof(conn->address), "%s:%u", text, ntohs(in4->sin_port));
    }
}

void rpc_conn_start(struct rpc_conn *conn, SSL_CTX *ssl_ctx, const char *server_name)
{
    struct error err = {};
    conn->is_linked = true;
    conn->state = RPC_CONN_HANDSHAKE;
    if (conn->io.handle.type == UV_TCP)
        (void)uv_tcp_nodelay(&conn->io.tcp, 1);
    const int error = uv_read_start(&conn->io.stream, on_alloc, on_read);
    if (error != 0) {
        rpc_conn_end_uv(conn, "reading", error);
        return;
    }
    if (ssl_ctx == nullptr) {
        open_session(conn);
        rpc_conn_wake(conn);
        return;
    }
    enum status status =
        tls_stream_create(ssl_ctx, conn->session_settings.is_server, server_name, &conn->tls);
    if (status == STATUS_OK)
        status = tls_stream_handshake(conn->tls, &err); /* a client speaks first */
    if (status != STATUS_OK && status != STATUS_AGAIN)
        rpc_conn_end(conn, status, err.text[0] != '\0' ? err.text : status_text(status));
    rpc_conn_wake(conn);
}

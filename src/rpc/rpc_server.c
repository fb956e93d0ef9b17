/*
 * rpc_server.c - accepts connections, counts them against the caps, and finds the method of a call.
 */
#include "rpc/rpc_server.h"

#include "base/check.h"
#include "rpc/rpc_conn.h"

#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    LISTENERS_MAX = 4,
    CONNECTIONS_MAX = 10240,
    HANDSHAKES_MAX = 256,
    HANDSHAKE_TIMEOUT_MS = 10000,
    BACKLOG = 1024,
    NS_PER_MS = 1000 * 1000,
};

struct method {
    struct method *next;
    struct rpc_method method;
    char path[];
};

struct listener {
    uv_tcp_t tcp;
    struct rpc_server *server;
    bool is_open;
};

enum phase {
    PHASE_HANDSHAKE,
    PHASE_OPEN,
    PHASE_OVER, /* counted no more; lingers or closes */
};

struct rpc_connection {
    struct rpc_conn conn;
    struct rpc_server *server;
    struct rpc_connection *next;
    struct rpc_connection *previous;
    void *user;
    enum phase phase;
};

struct rpc_server {
    uv_loop_t *loop;
    SSL_CTX *ssl_ctx;
    struct rpc_server_options options;
    const struct rpc_server_handlers *handlers;
    void *context;
    struct method *methods;
    struct rpc_connection *connections;
    struct listener listeners[LISTENERS_MAX];
    struct rpc_server_stats stats;
    uv_idle_t idle; /* tells on_drained and frees from the loop */
    void (*on_drained)(void *context);
    void (*on_closed)(void *context);
    bool is_draining;
    bool is_closing;
};

static void on_server_idle(uv_idle_t *idle);

/* Looks from the loop whether a drain or the close is complete. */
static void look_soon(struct rpc_server *server)
{
    if (!uv_is_closing((uv_handle_t *)&server->idle))
        (void)uv_idle_start(&server->idle, on_server_idle);
}

static void on_server_freed(uv_handle_t *handle)
{
    struct rpc_server *const server = handle->data;
    void (*const on_closed)(void *) = server->on_closed;
    void *const context = server->context;
    while (server->methods != nullptr) {
        struct method *const method = server->methods;
        server->methods = method->next;
        free(method);
    }
    SSL_CTX_free(server->ssl_ctx);
    free(server);
    if (on_closed != nullptr)
        on_closed(context);
}

static bool has_listeners(const struct rpc_server *server)
{
    for (size_t i = 0; i < LISTENERS_MAX; i++)
        if (server->listeners[i].is_open)
            return true;
    return false;
}

static void on_server_idle(uv_idle_t *idle)
{
    struct rpc_server *const server = idle->data;
    (void)uv_idle_stop(idle);
    if (server->connections != nullptr || has_listeners(server))
        return;
    if (server->is_draining && server->on_drained != nullptr) {
        void (*const on_drained)(void *) = server->on_drained;
        server->on_drained = nullptr;
        on_drained(server->context);
    }
    if (server->is_closing && !uv_is_closing((uv_handle_t *)idle))
        uv_close((uv_handle_t *)idle, on_server_freed);
}

static void on_listener_closed(uv_handle_t *handle)
{
    struct listener *const listener = handle->data;
    listener->is_open = false;
    look_soon(listener->server);
}

static void stop_listening(struct rpc_server *server)
{
    for (size_t i = 0; i < LISTENERS_MAX; i++) {
        uv_handle_t *const handle = (uv_handle_t *)&server->listeners[i].tcp;
        if (server->listeners[i].is_open && !uv_is_closing(handle))
            uv_close(handle, on_listener_closed);
    }
}

enum status rpc_server_create(uv_loop_t *loop, SSL_CTX *ssl_ctx,
                              const struct rpc_server_options *options,
                              const struct rpc_server_handlers *handlers, void *context,
                              struct rpc_server **ret_server)
{
    struct rpc_server *const server = calloc(1, sizeof(*server));
    if (server == nullptr)
        return STATUS_NO_MEMORY;
    server->loop = loop;
    server->ssl_ctx = ssl_ctx;
    (void)SSL_CTX_up_ref(ssl_ctx);
    tls_context_serve_h2(ssl_ctx);
    if (options != nullptr)
        server->options = *options;
    struct rpc_server_options *const o = &server->options;
    o->connections_max = o->connections_max > 0 ? o->connections_max : CONNECTIONS_MAX;
    o->handshakes_max = o->handshakes_max > 0 ? o->handshakes_max : HANDSHAKES_MAX;
    o->handshake_timeout_ms =
        o->handshake_timeout_ms > 0 ? o->handshake_timeout_ms : HANDSHAKE_TIMEOUT_MS;
    o->backlog = o->backlog > 0 ? o->backlog : BACKLOG;
    server->handlers = handlers;
    server->context = context;
    (void)uv_idle_init(loop, &server->idle);
    server->idle.data = server;
    *ret_server = server;
    return STATUS_OK;
}

static struct method *find_method(const struct rpc_server *server, const char *path)
{
    for (struct method *method = server->methods; method != nullptr; method = method->next)
        if (strcmp(method->path, path) == 0)
            return method;
    return nullptr;
}

enum status rpc_server_add_method(struct rpc_server *server, const char *path,
                                  const struct rpc_method *method)
{
    if (path[0] != '/')
        return STATUS_INVAL;
    if (find_method(server, path) != nullptr)
        return STATUS_EXISTS;
    const size_t size = strlen(path) + 1;
    struct method *const added = calloc(1, sizeof(*added) + size);
    if (added == nullptr)
        return STATUS_NO_MEMORY;
    added->method = *method;
    memcpy(added->path, path, size);
    added->next = server->methods;
    server->methods = added;
    return STATUS_OK;
}

/* --- connections --- */

static struct rpc_connection *connection_of(struct rpc_conn *conn)
{
    return conn->owner;
}

static void refused(struct rpc_server *server, const char *address, const char *reason)
{
    server->stats.refused++;
    if (server->handlers->on_refused != nullptr)
        server->handlers->on_refused(server->context, address, reason);
}

static enum status conn_on_handshake(struct rpc_conn *conn, struct error *err)
{
    struct rpc_connection *const connection = connection_of(conn);
    struct rpc_server *const server = connection->server;
    if (server->stats.connections >= server->options.connections_max)
        return error_set(err, STATUS_LIMIT, "the server has its %u connections",
                         server->options.connections_max);
    if (server->is_draining)
        return error_set(err, STATUS_AGAIN, "the server drains");
    enum status status = STATUS_OK;
    if (server->handlers->on_open != nullptr)
        status = server->handlers->on_open(server->context, connection, err);
    if (status != STATUS_OK)
        return status;
    connection->phase = PHASE_OPEN;
    server->stats.handshakes--;
    server->stats.connections++;
    server->stats.accepted++;
    return STATUS_OK;
}

static void conn_on_ready(struct rpc_conn *conn)
{
}

static void conn_on_draining(struct rpc_conn *conn, const char *reason)
{
}

static void conn_on_call(struct rpc_conn *conn, struct rpc_call *call)
{
    struct rpc_connection *const connection = connection_of(conn);
    const struct method *const method = find_method(connection->server, rpc_call_path(call));
    h2_session_set_user(conn->session, connection->user);
    if (method == nullptr) {
        (void)rpc_call_finish(call, GRPC_STATUS_UNIMPLEMENTED, "unknown method");
        return;
    }
    h2_session_accept(call, method->method.handlers);
    if (method->method.on_open != nullptr)
        method->method.on_open(call, method->method.context);
}

static void conn_on_closed(struct rpc_conn *conn, enum status status, const char *reason)
{
    struct rpc_connection *const connection = connection_of(conn);
    struct rpc_server *const server = connection->server;
    const enum phase phase = connection->phase;
    connection->phase = PHASE_OVER;
    if (phase == PHASE_OPEN) {
        server->stats.connections--;
        if (server->handlers->on_close != nullptr)
            server->handlers->on_close(server->context, connection, reason);
    } else if (phase == PHASE_HANDSHAKE) {
        server->stats.handshakes--;
        refused(server, conn->address, reason);
    }
}

static void conn_on_freed(struct rpc_conn *conn)
{
    struct rpc_connection *const connection = connection_of(conn);
    struct rpc_server *const server = connection->server;
    if (connection->previous != nullptr)
        connection->previous->next = connection->next;
    else
        server->connections = connection->next;
    if (connection->next != nullptr)
        connection->next->previous = connection->previous;
    free(connection);
    if (server->connections == nullptr)
        look_soon(server);
}

static const struct rpc_conn_events conn_events = {
    .on_handshake = conn_on_handshake,
    .on_ready = conn_on_ready,
    .on_draining = conn_on_draining,
    .on_call = conn_on_call,
    .on_closed = conn_on_closed,
    .on_freed = conn_on_freed,
};

static void on_connection(uv_stream_t *stream, int error)
{
    const struct listener *const listener = stream->data;
    struct rpc_server *const server = listener->server;
    if (error != 0) {
        refused(server, "", uv_strerror(error));
        return;
    }
    struct rpc_connection *const connection = calloc(1, sizeof(*connection));
    if (connection == nullptr)
        return; /* libuv keeps the socket and stops accepting until one fits again */
    connection->server = server;
    connection->phase = PHASE_OVER;
    connection->conn.owner = connection;
    connection->conn.events = &conn_events;
    connection->conn.session_settings = (struct h2_session_settings){
        .is_server = true,
        .limits = server->options.limits,
    };
    connection->next = server->connections;
    if (server->connections != nullptr)
        server->connections->previous = connection;
    server->connections = connection;
    rpc_conn_init(&connection->conn, server->loop, false,
                  uv_hrtime() + (uint64_t)server->options.handshake_timeout_ms * NS_PER_MS);
    const int failed = uv_accept(stream, &connection->conn.io.stream);
    rpc_conn_name_peer(&connection->conn);
    const char *reason = nullptr;
    if (failed != 0)
        reason = uv_strerror(failed);
    else if (server->stats.connections >= server->options.connections_max)
        reason = "too many connections";
    else if (server->stats.handshakes >= server->options.handshakes_max)
        reason = "too many handshakes under way";
    if (reason != nullptr) {
        refused(server, connection->conn.address, reason);
        rpc_conn_cut(&connection->conn, STATUS_LIMIT, reason);
        return;
    }
    connection->phase = PHASE_HANDSHAKE;
    server->stats.handshakes++;
    rpc_conn_start(&connection->conn, server->ssl_ctx, nullptr);
}

static enum status parse_address(const char *address, uint16_t port,
                                 struct sockaddr_storage *ret_storage)
{
    struct sockaddr_storage storage = {};
    if (uv_ip4_addr(address, port, (struct sockaddr_in *)&storage) != 0 &&
        uv_ip6_addr(address, port, (struct sockaddr_in6 *)&storage) != 0)
        return STATUS_INVAL;
    *ret_storage = storage;
    return STATUS_OK;
}

static uint16_t bound_port(const uv_tcp_t *tcp)
{
    struct sockaddr_storage storage = {};
    int size = sizeof(storage);
    if (uv_tcp_getsockname(tcp, (struct sockaddr *)&storage, &size) != 0)
        return 0;
    return storage.ss_family == AF_INET6 ? ntohs(((struct sockaddr_in6 *)&storage)->sin6_port)
                                         : ntohs(((struct sockaddr_in *)&storage)->sin_port);
}

enum status rpc_server_listen(struct rpc_server *server, const char *address, uint16_t port,
                              uint16_t *ret_port, struct error *err)
{
    struct sockaddr_storage storage;
    struct listener *listener = nullptr;
    for (size_t i = 0; i < LISTENERS_MAX && listener == nullptr; i++)
        listener = server->listeners[i].is_open ? nullptr : &server->listeners[i];
    if (listener == nullptr || server->is_draining || server->is_closing)
        return error_set(err, STATUS_LIMIT, "a server listens at %d addresses at most",
                         (int)LISTENERS_MAX);
    if (parse_address(address, port, &storage) != STATUS_OK)
        return error_set(err, STATUS_INVAL, "%s is no numeric IPv4 or IPv6 address", address);
    listener->server = server;
    (void)uv_tcp_init(server->loop, &listener->tcp);
    listener->tcp.data = listener;
    listener->is_open = true;
    int error = uv_tcp_bind(&listener->tcp, (const struct sockaddr *)&storage, 0);
    if (error == 0)
        error = uv_listen((uv_stream_t *)&listener->tcp, server->options.backlog, on_connection);
    if (error != 0) {
        uv_close((uv_handle_t *)&listener->tcp, on_listener_closed);
        return error_set(err, error == UV_EADDRINUSE ? STATUS_EXISTS : STATUS_IO,
                         "cannot listen at %s port %u: %s", address, port, uv_strerror(error));
    }
    if (ret_port != nullptr)
        *ret_port = bound_port(&listener->tcp);
    return STATUS_OK;
}

void rpc_server_set_tls(struct rpc_server *server, SSL_CTX *ssl_ctx)
{
    (void)SSL_CTX_up_ref(ssl_ctx);
    tls_context_serve_h2(ssl_ctx);
    SSL_CTX_free(server->ssl_ctx);
    server->ssl_ctx = ssl_ctx;
}

void rpc_server_drain(struct rpc_server *server, uint32_t timeout_ms,
                      void (*on_drained)(void *context))
{
    server->is_draining = true;
    server->on_drained = on_drained;
    stop_listening(server);
    for (struct rpc_connection *c = server->connections; c != nullptr; c = c->next) {
        if (c->phase == PHASE_OPEN)
            rpc_connection_drain(c, timeout_ms);
        else if (c->phase == PHASE_HANDSHAKE)
            rpc_conn_cut(&c->conn, STATUS_CANCELLED, "the server drains");
    }
    look_soon(server);
}

void rpc_server_close(struct rpc_server *server, void (*on_closed)(void *context))
{
    CHECK(!server->is_closing);
    server->is_closing = true;
    server->on_closed = on_closed;
    stop_listening(server);
    for (struct rpc_connection *c = server->connections; c != nullptr; c = c->next)
        rpc_conn_cut(&c->conn, STATUS_CANCELLED, "the server closes");
    look_soon(server);
}

struct rpc_server_stats rpc_server_get_stats(const struct rpc_server *server)
{
    return server->stats;
}

SSL *rpc_connection_ssl(const struct rpc_connection *connection)
{
    return connection->conn.tls != nullptr ? tls_stream_ssl(connection->conn.tls) : nullptr;
}

const char *rpc_connection_address(const struct rpc_connection *connection)
{
    return connection->conn.address;
}

void rpc_connection_set_user(struct rpc_connection *connection, void *user)
{
    connection->user = user;
    if (connection->conn.session != nullptr)
        h2_session_set_user(connection->conn.session, user);
}

void *rpc_connection_get_user(const struct rpc_connection *connection)
{
    return connection->user;
}

void rpc_connection_drain(struct rpc_connection *connection, uint32_t timeout_ms)
{
    if (connection->phase == PHASE_OPEN && connection->conn.session != nullptr)
        h2_session_drain(connection->conn.session, (uint64_t)timeout_ms * NS_PER_MS, uv_hrtime());
}

void rpc_connection_cut(struct rpc_connection *connection, const char *reason)
{
    if (connection->conn.session != nullptr)
        h2_session_terminate(connection->conn.session, NGHTTP2_NO_ERROR, reason);
    rpc_conn_end(&connection->conn, STATUS_CANCELLED, reason);
}

/*
 * rpc_client.c - looks a name up, connects to one of its addresses, and makes calls.
 */
#include "rpc/rpc_client.h"

#include "base/check.h"
#include "base/text.h"
#include "rpc/rpc_conn.h"

#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    CONNECT_TIMEOUT_MS = 10000,
    HOST_MAX = 256,
    NS_PER_MS = 1000 * 1000,
};
static_assert(RPC_CLIENT_HEADERS_MAX <= (int)H2_HEADERS_MAX);

struct rpc_client {
    struct rpc_conn conn;
    SSL_CTX *ssl_ctx;
    const struct rpc_client_handlers *handlers;
    void *context;
    void (*on_freed)(void *context);
    union {
        uv_getaddrinfo_t lookup;
        uv_connect_t connect;
    } request;
    struct addrinfo *addresses;
    const struct addrinfo *next_address;
    struct rpc_header headers[RPC_CLIENT_HEADERS_MAX];
    int last_error;  /* libuv's, of the address tried last */
    bool is_looking; /* a look-up is under way: its request must not go away */
    bool is_over;    /* no handle is left */
    bool is_closing; /* rpc_client_close was called */
    uint16_t port;
    char host[HOST_MAX];
    char authority[HOST_MAX + 8]; /* with the port, where it is the host */
    char server_name[HOST_MAX];
};

static void try_next_address(struct rpc_client *client);

static void free_headers(struct rpc_client *client)
{
    for (size_t i = 0; i < RPC_CLIENT_HEADERS_MAX; i++) {
        free((void *)(uintptr_t)client->headers[i].name);
        free((void *)(uintptr_t)client->headers[i].value);
    }
}

static void free_client(struct rpc_client *client)
{
    free_headers(client);
    if (client->addresses != nullptr)
        uv_freeaddrinfo(client->addresses);
    SSL_CTX_free(client->ssl_ctx);
    free(client);
}

/* Frees the client once its owner closed it and nothing of libuv refers to it. */
static void maybe_free(struct rpc_client *client)
{
    if (!client->is_closing || !client->is_over || client->is_looking)
        return;
    void (*const on_freed)(void *) = client->on_freed;
    void *const context = client->context;
    free_client(client);
    if (on_freed != nullptr)
        on_freed(context);
}

/* --- what the connection reports --- */

static enum status conn_on_handshake(struct rpc_conn *conn, struct error *err)
{
    struct rpc_client *const client = conn->owner;
    if (client->handlers->verify == nullptr)
        return STATUS_OK;
    return client->handlers->verify(client->context, tls_stream_ssl(conn->tls), err);
}

static void conn_on_ready(struct rpc_conn *conn)
{
    struct rpc_client *const client = conn->owner;
    if (client->handlers->on_ready != nullptr)
        client->handlers->on_ready(client->context, client);
}

static void conn_on_draining(struct rpc_conn *conn, const char *reason)
{
    struct rpc_client *const client = conn->owner;
    if (client->handlers->on_draining != nullptr)
        client->handlers->on_draining(client->context, client, reason);
}

static void conn_on_call(struct rpc_conn *conn, struct rpc_call *call)
{
    check_failed("a client session has no incoming calls", __FILE__, __LINE__);
}

static void conn_on_closed(struct rpc_conn *conn, enum status status, const char *reason)
{
    struct rpc_client *const client = conn->owner;
    if (client->handlers->on_closed != nullptr)
        client->handlers->on_closed(client->context, client, status, reason);
}

static void conn_on_freed(struct rpc_conn *conn)
{
    struct rpc_client *const client = conn->owner;
    client->is_over = true;
    maybe_free(client);
}

static const struct rpc_conn_events conn_events = {
    .on_handshake = conn_on_handshake,
    .on_ready = conn_on_ready,
    .on_draining = conn_on_draining,
    .on_call = conn_on_call,
    .on_closed = conn_on_closed,
    .on_freed = conn_on_freed,
};

/* --- connecting --- */

/* A failed socket is closed; where another address is left, a new one takes its place. */
static void on_socket_closed(uv_handle_t *handle)
{
    struct rpc_conn *const conn = handle->data;
    struct rpc_client *const client = conn->owner;
    if (conn->state >= RPC_CONN_ENDING) {
        rpc_conn_handle_closed(handle);
        return;
    }
    (void)uv_tcp_init(conn->timer.loop, &conn->io.tcp);
    conn->io.handle.data = conn;
    try_next_address(client);
}

static void on_connect(uv_connect_t *request, int error)
{
    struct rpc_client *const client = request->data;
    if (client->conn.state != RPC_CONN_CONNECTING)
        return;
    if (error == 0) {
        rpc_conn_name_peer(&client->conn);
        rpc_conn_start(&client->conn, client->ssl_ctx, client->server_name);
        return;
    }
    client->last_error = error;
    if (client->next_address != nullptr)
        uv_close(&client->conn.io.handle, on_socket_closed);
    else
        rpc_conn_end_uv(&client->conn, "connecting", error);
}

static void try_next_address(struct rpc_client *client)
{
    while (client->next_address != nullptr) {
        const struct addrinfo *const address = client->next_address;
        client->next_address = address->ai_next;
        client->request.connect.data = client;
        client->last_error = uv_tcp_connect(&client->request.connect, &client->conn.io.tcp,
                                            address->ai_addr, on_connect);
        if (client->last_error == 0)
            return;
    }
    rpc_conn_end_uv(&client->conn, "connecting", client->last_error);
}

static void on_lookup(uv_getaddrinfo_t *request, int error, struct addrinfo *addresses)
{
    struct rpc_client *const client = request->data;
    client->is_looking = false;
    client->addresses = addresses;
    client->next_address = addresses;
    if (client->is_over || client->conn.state != RPC_CONN_CONNECTING)
        maybe_free(client);
    else if (error != 0)
        rpc_conn_end_uv(&client->conn, "looking the name up", error);
    else
        try_next_address(client);
}

static enum status start_lookup(struct rpc_client *client, uv_loop_t *loop, struct error *err)
{
    const struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    char port[8];
    (void)snprintf(port, sizeof(port), "%u", client->port);
    client->request.lookup.data = client;
    const int error =
        uv_getaddrinfo(loop, &client->request.lookup, on_lookup, client->host, port, &hints);
    if (error != 0)
        return error_set(err, error == UV_ENOMEM ? STATUS_NO_MEMORY : STATUS_INVAL, "%s: %s",
                         client->host, uv_strerror(error));
    client->is_looking = true;
    return STATUS_OK;
}

/* --- the interface --- */

static enum status copy_headers(struct rpc_client *client, const struct rpc_header *headers)
{
    size_t count = 0;
    while (count < RPC_CLIENT_HEADERS_MAX && headers[count].name != nullptr) {
        client->headers[count].name = strdup(headers[count].name);
        client->headers[count].value =
            strdup(headers[count].value != nullptr ? headers[count].value : "");
        if (client->headers[count].name == nullptr || client->headers[count].value == nullptr)
            return STATUS_NO_MEMORY;
        count++;
    }
    client->conn.session_settings.headers = client->headers;
    client->conn.session_settings.header_count = count;
    return STATUS_OK;
}

static bool is_unix_path(const char *host)
{
    return strncmp(host, "unix:", 5) == 0;
}

static enum status fill(struct rpc_client *client, const char *host, uint16_t port,
                        SSL_CTX *ssl_ctx, const struct rpc_client_options *options,
                        struct error *err)
{
    const bool is_unix = is_unix_path(host);
    if (ssl_ctx == nullptr && !is_unix)
        return error_set(err, STATUS_INVAL, "%s: only unix: paths may do without TLS", host);
    const char *const authority = options->authority;
    if (text_copy(is_unix ? host + 5 : host, client->host, sizeof(client->host)) != STATUS_OK ||
        (authority != nullptr && strlen(authority) >= HOST_MAX))
        return error_set(err, STATUS_INVAL, "%.64s...: a name has at most %d characters", host,
                         HOST_MAX - 1);
    const char *const name = authority != nullptr ? authority : is_unix ? "localhost" : host;
    (void)snprintf(client->server_name, sizeof(client->server_name), "%s", name);
    const bool with_port = authority == nullptr && !is_unix;
    if (with_port)
        (void)snprintf(client->authority, sizeof(client->authority),
                       strchr(host, ':') != nullptr ? "[%s]:%u" : "%s:%u", host, port);
    else
        (void)snprintf(client->authority, sizeof(client->authority), "%s", name);
    client->port = port;
    client->ssl_ctx = ssl_ctx;
    if (ssl_ctx != nullptr)
        (void)SSL_CTX_up_ref(ssl_ctx);
    client->conn.owner = client;
    client->conn.events = &conn_events;
    (void)snprintf(client->conn.address, sizeof(client->conn.address), "%.120s", host);
    client->conn.session_settings = (struct h2_session_settings){
        .limits = options->limits,
        .scheme = ssl_ctx != nullptr ? "https" : "http",
        .authority = client->authority,
    };
    return copy_headers(client, options->headers);
}

enum status rpc_client_open(uv_loop_t *loop, const char *host, uint16_t port, SSL_CTX *ssl_ctx,
                            const struct rpc_client_options *options,
                            const struct rpc_client_handlers *handlers, void *context,
                            struct rpc_client **ret_client, struct error *err)
{
    static const struct rpc_client_options no_options = {};
    if (options == nullptr)
        options = &no_options;
    struct rpc_client *const client = calloc(1, sizeof(*client));
    if (client == nullptr)
        return error_set(err, STATUS_NO_MEMORY, "out of memory");
    client->handlers = handlers;
    client->context = context;
    enum status status = fill(client, host, port, ssl_ctx, options, err);
    if (status == STATUS_OK)
        status = rpc_conn_make_session(&client->conn);
    const bool is_unix = is_unix_path(host);
    if (status == STATUS_OK && !is_unix)
        status = start_lookup(client, loop, err);
    if (status != STATUS_OK) {
        h2_session_destroy(client->conn.session);
        free_client(client);
        return status;
    }
    const uint32_t timeout_ms =
        options->connect_timeout_ms > 0 ? options->connect_timeout_ms : CONNECT_TIMEOUT_MS;
    rpc_conn_init(&client->conn, loop, is_unix, uv_hrtime() + (uint64_t)timeout_ms * NS_PER_MS);
    if (is_unix) {
        client->request.connect.data = client;
        uv_pipe_connect(&client->request.connect, &client->conn.io.pipe, client->host, on_connect);
    }
    *ret_client = client;
    return STATUS_OK;
}

enum status rpc_client_call(struct rpc_client *client, const char *path, uint32_t deadline_ms,
                            const struct rpc_call_handlers *handlers, void *user,
                            struct rpc_call **ret_call)
{
    if (client->is_closing || client->conn.state >= RPC_CONN_ENDING)
        return STATUS_UNREACHABLE;
    return h2_session_call(client->conn.session, path, deadline_ms, handlers, user, uv_hrtime(),
                           ret_call);
}

void rpc_client_drain(struct rpc_client *client, uint32_t timeout_ms)
{
    if (client->conn.state < RPC_CONN_ENDING)
        h2_session_drain(client->conn.session, (uint64_t)timeout_ms * NS_PER_MS, uv_hrtime());
}

void rpc_client_close(struct rpc_client *client, void (*on_freed)(void *context))
{
    CHECK(!client->is_closing);
    client->is_closing = true;
    client->on_freed = on_freed;
    if (client->is_looking)
        (void)uv_cancel((uv_req_t *)&client->request.lookup);
    if (!client->is_over)
        rpc_conn_cut(&client->conn, STATUS_CANCELLED, "closed");
    else
        maybe_free(client);
}

SSL *rpc_client_ssl(const struct rpc_client *client)
{
    return client->conn.tls != nullptr ? tls_stream_ssl(client->conn.tls) : nullptr;
}

const char *rpc_client_address(const struct rpc_client *client)
{
    return client->conn.address;
}

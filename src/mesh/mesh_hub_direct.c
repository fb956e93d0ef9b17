/*
 * mesh_hub_direct.c - the hub's server: its connections, their identity, its beginning and end.
 *
 * The calls are in mesh_hub_join.c, mesh_hub_push.c, mesh_hub_pull.c and mesh_hub_pulse.c.
 */
#include "mesh/mesh_hub_internal.h"

#include "base/check.h"

#include <stdio.h>
#include <stdlib.h>

/* --- connections --- */

/* A connection lives no longer than the certificate with which its peer came. */
static void on_expiry_tick(uv_timer_t *timer)
{
    struct hub_direct *const hub = timer->data;
    const int64_t now = mesh_unix_s();
    struct hub_peer *next = nullptr;
    for (struct hub_peer *peer = hub->peers; peer != nullptr; peer = next) {
        next = peer->next;
        if (peer->is_expired || now < peer->who.until_unix_s)
            continue;
        peer->is_expired = true;
        rpc_connection_cut(peer->connection, "the certificate that you came with has ended");
        hub->handlers->on_expired(hub->context, peer->who.name);
    }
}

static enum status on_open(void *context, struct rpc_connection *connection, struct error *err)
{
    struct hub_direct *const hub = context;
    struct hub_peer *const peer = calloc(1, sizeof(*peer));
    if (peer == nullptr)
        return error_set(err, STATUS_NO_MEMORY, "%s", status_text(STATUS_NO_MEMORY));
    peer->who.until_unix_s = INT64_MAX;
    peer->connection = connection;
    const enum status status =
        hub->options.identify(hub->context, rpc_connection_ssl(connection), &peer->who, err);
    if (status != STATUS_OK) {
        free(peer);
        return status;
    }
    if (hub->peers != nullptr)
        hub->peers->previous = peer;
    else
        uv_timer_start(&hub->expiry, on_expiry_tick, EXPIRY_TICK_MS, EXPIRY_TICK_MS);
    peer->next = hub->peers;
    hub->peers = peer;
    rpc_connection_set_user(connection, peer);
    return STATUS_OK;
}

static void on_close(void *context, struct rpc_connection *connection, const char *reason)
{
    struct hub_direct *const hub = context;
    struct hub_peer *const peer = rpc_connection_get_user(connection);
    if (peer->previous != nullptr)
        peer->previous->next = peer->next;
    else
        hub->peers = peer->next;
    if (peer->next != nullptr)
        peer->next->previous = peer->previous;
    if (hub->peers == nullptr)
        uv_timer_stop(&hub->expiry);
    free(peer);
    rpc_connection_set_user(connection, nullptr);
}

static void on_refused(void *context, const char *address, const char *reason)
{
    const struct hub_direct *const hub = context;
    hub->handlers->on_connection_refused(hub->context, address, reason);
}

static const struct rpc_server_handlers server_handlers = {
    .on_open = on_open,
    .on_close = on_close,
    .on_refused = on_refused,
};

/* --- calls --- */

void *hub_call_create(struct hub_direct *hub, struct rpc_call *call, size_t size)
{
    struct hub_call *const made = calloc(1, size);
    if (made == nullptr) {
        (void)rpc_call_finish(call, GRPC_STATUS_RESOURCE_EXHAUSTED, "out of memory");
        return nullptr;
    }
    made->hub = hub;
    made->call = call;
    made->peer = rpc_call_connection_user(call);
    rpc_call_set_user(call, made);
    watch_touch(&hub->watch, &made->watched);
    return made;
}

void hub_call_destroy(struct hub_call *call)
{
    watch_remove(&call->hub->watch, &call->watched);
    free(call);
}

bool hub_check_member(struct hub_direct *hub, struct rpc_call *call, const char *what)
{
    const struct hub_peer *const peer = rpc_call_connection_user(call);
    if (peer->who.is_member)
        return true;
    struct refusal refusal = {.reason = REASON_PERMISSION};
    (void)error_set(&refusal.error, STATUS_PERMISSION,
                    "%s may not call " FEDERATION_SERVICE "/%s; right is the identity of one who "
                    "trains: a node or an edge",
                    peer->who.name, what);
    (void)rpc_call_finish(call, GRPC_STATUS_PERMISSION_DENIED, refusal.error.text);
    hub->handlers->on_refused(hub->context, peer->who.name, &refusal);
    return false;
}

static void on_stalled(struct watched *watched)
{
    const struct hub_call *const call = (const struct hub_call *)watched; /* its first member */
    char text[64];
    (void)snprintf(text, sizeof(text), "no progress for %u ms", call->hub->options.push_timeout_ms);
    rpc_call_cancel(call->call, GRPC_STATUS_DEADLINE_EXCEEDED, text);
}

/* --- the end --- */

static void destroy(struct hub_direct *hub)
{
    id_table_deinit(&hub->sessions);
    id_table_deinit(&hub->tickets);
    health_destroy(hub->health);
    free(hub);
}

static void on_handle_closed(struct hub_direct *hub)
{
    if (--hub->handles > 0)
        return;
    void (*const on_closed)(void *) = hub->on_closed;
    void *const context = hub->context;
    destroy(hub);
    if (on_closed != nullptr)
        on_closed(context);
}

static void on_idle_closed(uv_handle_t *handle)
{
    on_handle_closed(handle->data);
}

static void on_expiry_closed(uv_handle_t *handle)
{
    on_handle_closed(handle->data);
}

static void on_watch_closed(uv_handle_t *handle)
{
    const struct watch *const watch = handle->data;
    on_handle_closed(watch->owner);
}

static void on_server_closed(void *context)
{
    struct hub_direct *const hub = context;
    CHECK(hub->sessions.count == 0 && hub->tickets.count == 0);
    hub->handles = 3;
    uv_close((uv_handle_t *)&hub->idle, on_idle_closed);
    uv_close((uv_handle_t *)&hub->expiry, on_expiry_closed);
    uv_close((uv_handle_t *)&hub->watch.timer, on_watch_closed);
}

static void on_drained(void *context)
{
    struct hub_direct *const hub = context;
    rpc_server_close(hub->server, on_server_closed);
}

static void drain(struct hub *head, uint32_t timeout_ms, void (*on_closed)(void *context))
{
    struct hub_direct *const hub = hub_direct_of(head);
    CHECK(!hub->is_draining);
    hub->is_draining = true;
    hub->on_closed = on_closed;
    health_stop(hub->health);
    rpc_server_drain(hub->server, timeout_ms, on_drained);
}

/* --- the beginning --- */

static enum status add_methods(struct hub_direct *hub, struct error *err)
{
    const struct {
        const char *path;
        struct rpc_method method;
    } methods[] = {
        {PATH_JOIN, {&hub_join_handlers, hub_join_open, hub}},
        {PATH_PULL_BLOB, {&hub_pull_handlers, hub_pull_open, hub}},
        {PATH_PUSH_UPDATE, {&hub_push_handlers, hub_push_open, hub}},
        {PATH_HEARTBEAT, {&hub_pulse_handlers, hub_pulse_open, hub}},
    };
    for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++) {
        const enum status status =
            rpc_server_add_method(hub->server, methods[i].path, &methods[i].method);
        if (status != STATUS_OK)
            return status;
    }
    enum status status = health_register(hub->health, hub->server);
    if (status == STATUS_OK)
        status = health_set(hub->health, "", HEALTH_SERVING);
    if (status == STATUS_OK)
        status = health_set(hub->health, FEDERATION_SERVICE, HEALTH_SERVING);
    if (status == STATUS_OK && hub->options.add_services != nullptr)
        status = hub->options.add_services(hub->context, hub->server, hub->health, err);
    return status;
}

static const struct hub_ops ops = {
    .name = "direct",
    .send = hub_join_send,
    .end = hub_join_end,
    .receipt = hub_push_receipt,
    .resume = hub_push_resume,
    .drain = drain,
};

static void set_options(struct hub_direct *hub, const struct hub_direct_options *options)
{
    struct hub_direct_options *const o = &hub->options;
    *o = *options;
    o->address = nullptr;
    o->tls = nullptr;
    if (o->directive_queue_max == 0)
        o->directive_queue_max = DIRECTIVE_QUEUE_BYTES;
    if (o->push_timeout_ms == 0)
        o->push_timeout_ms = TRANSFER_TIMEOUT_MS;
}

static enum status create(uv_loop_t *loop, const struct hub_direct_options *options,
                          const struct hub_handlers *handlers, void *context,
                          struct hub_direct **ret_hub)
{
    struct hub_direct *const hub = calloc(1, sizeof(*hub));
    if (hub == nullptr)
        return STATUS_NO_MEMORY;
    hub->head.ops = &ops;
    hub->handlers = handlers;
    hub->context = context;
    hub->next_session = 1;
    hub->next_ticket = 1;
    set_options(hub, options);
    const struct rpc_server_options server_options = {
        .limits = mesh_rpc_limits(options->message_bytes_max, options->keepalive_ms),
        .connections_max = options->connections_max,
    };
    enum status status = health_create(&hub->health);
    if (status == STATUS_OK)
        status = rpc_server_create(loop, options->tls, &server_options, &server_handlers, hub,
                                   &hub->server);
    if (status != STATUS_OK) {
        destroy(hub);
        return status;
    }
    watch_init(&hub->watch, loop, hub->options.push_timeout_ms, on_stalled, hub);
    (void)uv_idle_init(loop, &hub->idle);
    hub->idle.data = hub;
    (void)uv_timer_init(loop, &hub->expiry);
    hub->expiry.data = hub;
    *ret_hub = hub;
    return STATUS_OK;
}

enum status hub_direct_open(uv_loop_t *loop, const struct hub_direct_options *options,
                            const struct hub_handlers *handlers, void *context,
                            struct hub **ret_hub, uint16_t *ret_port, struct error *err)
{
    struct hub_direct *hub = nullptr;
    enum status status = mesh_check_message_bytes(options->message_bytes_max, err);
    if (status != STATUS_OK)
        return status;
    status = create(loop, options, handlers, context, &hub);
    if (status != STATUS_OK)
        return error_set(err, status, "%s", status_text(status));
    uint16_t port = 0;
    struct error why = {};
    status = add_methods(hub, &why);
    if (status != STATUS_OK)
        (void)error_set(err, status, "%s", why.text[0] != '\0' ? why.text : status_text(status));
    else
        status = rpc_server_listen(hub->server, options->address, options->port, &port, err);
    if (status != STATUS_OK) {
        rpc_server_close(hub->server, on_server_closed); /* the loop frees it */
        return status;
    }
    *ret_hub = &hub->head;
    *ret_port = port;
    return STATUS_OK;
}

void hub_direct_set_tls(struct hub *head, SSL_CTX *tls)
{
    rpc_server_set_tls(hub_direct_of(head)->server, tls);
}

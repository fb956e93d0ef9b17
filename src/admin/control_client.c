/*
 * control_client.c - a connection and one call at a time, run to their end on a loop of its own.
 */
#include "admin/control_client.h"

#include "admin/control_service.h"
#include "base/check.h"
#include "base/text.h"
#include "identity/tls_context.h"
#include "rpc/rpc_client.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <uv.h>

enum { PATH_MAX_BYTES = 64, TICK_MS = 1000 };

struct control_client {
    struct control_client_options options;
    uv_loop_t loop;
    uv_timer_t timer;
    SSL_CTX *tls;
    char identity_id[SPIFFE_ID_MAX];
    /* The connection. */
    struct rpc_client *connection; /* null: none */
    bool is_ready;
    bool is_lost;
    bool is_freed;
    enum status lost_status;
    char lost_reason[ERROR_TEXT_MAX];
    /* The call. */
    struct rpc_call *call; /* null: over */
    enum grpc_status code;
    char text[GRPC_MESSAGE_MAX];
    struct bytes *answer;
    uint32_t messages;
    uint32_t ticks;  /* of a watch, TICK_MS each */
    bool is_stopped; /* by the watcher, or for what came */
    enum status message_status;
    struct error message_error;
    const struct control_watcher *watcher; /* null: the call has one answer */
    void *context;
};

/* --- the connection --- */

static enum status verify(void *context, SSL *ssl, struct error *err)
{
    struct peer_identity peer;
    return identity_peer(ssl, &peer, err);
}

static void on_ready(void *context, struct rpc_client *connection)
{
    ((struct control_client *)context)->is_ready = true;
}

static void on_lost(void *context, struct rpc_client *connection, enum status status,
                    const char *reason)
{
    struct control_client *const client = context;
    SSL *const ssl = rpc_client_ssl(connection);
    /* What our own check of the certificate found says more than TLS. */
    if (ssl != nullptr && identity_refusal(ssl)[0] != 0)
        reason = identity_refusal(ssl);
    client->is_lost = true;
    client->lost_status = status;
    text_escape(reason, strlen(reason), client->lost_reason, sizeof(client->lost_reason));
}

static void on_freed(void *context)
{
    ((struct control_client *)context)->is_freed = true;
}

static const struct rpc_client_handlers connection_handlers = {
    .verify = verify,
    .on_ready = on_ready,
    .on_closed = on_lost,
};

static void disconnect(struct control_client *client)
{
    if (client->connection == nullptr)
        return;
    client->is_freed = false;
    rpc_client_close(client->connection, on_freed);
    while (!client->is_freed)
        (void)uv_run(&client->loop, UV_RUN_ONCE);
    client->connection = nullptr;
    SSL_CTX_free(client->tls);
    client->tls = nullptr;
}

static enum status load_identity(struct control_client *client, struct error *err)
{
    struct identity *identity = nullptr;
    const char *const folder = client->options.identity;
    enum status status = identity_open(folder, (int64_t)time(nullptr), &identity, err);
    if (status != STATUS_OK) /* its text names the folder */
        return status == STATUS_NO_MEMORY ? status : STATUS_IDENTITY;
    memcpy(client->identity_id, identity->svid.id.text, sizeof(client->identity_id));
    status = spiffe_role_check(&identity->svid.id, SPIFFE_ROLE_OPERATOR, CONTROL_SERVICE, err);
    if (status != STATUS_OK)
        (void)error_set(err, status,
                        "%s is the identity of %s, a %s; right is an operator's "
                        "(spiffe://%s/fedra/operator/NAME)",
                        folder, identity->svid.id.text, spiffe_role_name(identity->svid.id.role),
                        identity->svid.id.trust_domain);
    else
        status = tls_context_create(identity, false, SPIFFE_ROLE_COORDINATOR, &client->tls, err);
    identity_close(identity);
    return status;
}

/* Why there is no connection, in whole sentences. */
static enum status say_lost(const struct control_client *client, struct error *err)
{
    const struct control_client_options *const o = &client->options;
    const char *const reason = client->lost_reason;
    if (client->lost_status == STATUS_TIMEOUT)
        return error_set(err, STATUS_TIMEOUT, "%s:%u does not answer within %u s: %s", o->host,
                         o->port, (o->timeout_ms + 999) / 1000, reason);
    if (client->lost_status == STATUS_IDENTITY)
        return error_set(err, STATUS_IDENTITY,
                         "%s:%u and this identity (%s) do not trust each other: %s", o->host,
                         o->port, client->identity_id, reason);
    if (client->lost_status == STATUS_PEER)
        return error_set(err, STATUS_PEER, "%s:%u is no coordinator: %s", o->host, o->port, reason);
    return error_set(err, STATUS_UNREACHABLE, "%s:%u cannot be reached: %s", o->host, o->port,
                     reason);
}

static enum status connect_now(struct control_client *client, struct error *err)
{
    disconnect(client);
    enum status status = load_identity(client, err);
    if (status != STATUS_OK)
        return status;
    const struct control_client_options *const o = &client->options;
    const struct rpc_client_options options = {
        .connect_timeout_ms = o->timeout_ms,
        .limits = {.keepalive_interval_ms = o->timeout_ms, .keepalive_timeout_ms = o->timeout_ms}};
    client->is_ready = false;
    client->is_lost = false;
    status = rpc_client_open(&client->loop, o->host, o->port, client->tls, &options,
                             &connection_handlers, client, &client->connection, err);
    if (status != STATUS_OK) {
        SSL_CTX_free(client->tls);
        client->tls = nullptr;
        return error_prefix(err, status == STATUS_IO ? STATUS_UNREACHABLE : status, "%s:%u",
                            o->host, o->port);
    }
    while (!client->is_ready && !client->is_lost)
        (void)uv_run(&client->loop, UV_RUN_ONCE);
    if (client->is_ready)
        return STATUS_OK;
    return say_lost(client, err);
}

/* --- the call --- */

static void stop(struct control_client *client, enum status status)
{
    client->is_stopped = true;
    client->message_status = status;
    rpc_call_cancel(client->call, GRPC_STATUS_CANCELLED, nullptr);
}

static void on_message(struct rpc_call *call, struct slice message)
{
    struct control_client *const client = rpc_call_get_user(call);
    struct control_status status;
    client->messages++;
    if (client->watcher == nullptr) {
        if (client->messages > 1)
            return; /* a unary call has one; on_closed will say what is wrong */
        const enum status appended = bytes_append(client->answer, message.data, message.size);
        if (appended != STATUS_OK)
            stop(client, appended);
        return;
    }
    const enum status decoded = control_status_decode(message, &status, &client->message_error);
    if (decoded != STATUS_OK)
        stop(client, decoded);
    else if (!client->watcher->on_status(client->context, &status))
        stop(client, STATUS_CANCELLED);
}

static void on_call_closed(struct rpc_call *call, enum grpc_status code, const char *message)
{
    struct control_client *const client = rpc_call_get_user(call);
    client->call = nullptr;
    client->code = code;
    text_escape(message, strlen(message), client->text, sizeof(client->text));
}

static const struct rpc_call_handlers call_handlers = {
    .on_message = on_message,
    .on_closed = on_call_closed,
};

static enum status begin(struct control_client *client, const char *method,
                         enum control_request_kind kind, const struct control_request *request,
                         uint32_t deadline_ms, struct error *err)
{
    char path[PATH_MAX_BYTES];
    struct bytes message;
    if (client->connection == nullptr || client->is_lost) {
        const enum status status = connect_now(client, err);
        if (status != STATUS_OK)
            return status;
    }
    bytes_init(&message, CONTROL_REQUEST_BYTES_MAX);
    enum status status = control_request_encode(kind, request, &message);
    if (status != STATUS_OK) {
        bytes_deinit(&message);
        return error_set(err, status, "the request has a text that is empty, too long or no text");
    }
    (void)snprintf(path, sizeof(path), "/" CONTROL_SERVICE "/%s", method);
    client->messages = 0;
    client->is_stopped = false;
    client->message_status = STATUS_OK;
    client->message_error.text[0] = 0;
    status = rpc_client_call(client->connection, path, deadline_ms, &call_handlers, client,
                             &client->call);
    if (status == STATUS_OK) {
        if (rpc_call_send(client->call, bytes_slice(&message)) == STATUS_OK)
            (void)!rpc_call_half_close(client->call);
        else
            rpc_call_cancel(client->call, GRPC_STATUS_RESOURCE_EXHAUSTED, "out of memory");
    } else {
        (void)error_set(err, status, "%s:%u: %s", client->options.host, client->options.port,
                        status_text(status));
    }
    bytes_deinit(&message);
    return status;
}

/* What a call came to, once it is over. */
static enum status conclude(struct control_client *client, struct error *err)
{
    const struct control_client_options *const o = &client->options;
    if (client->is_stopped)
        return error_set(err, client->message_status, "%s:%u: %s", o->host, o->port,
                         client->message_error.text[0] != 0 ? client->message_error.text
                                                            : status_text(client->message_status));
    if (client->code == GRPC_STATUS_OK) {
        if (client->watcher != nullptr || client->messages == 1)
            return STATUS_OK;
        return error_set(err, STATUS_PEER, "%s:%u gave %u answers, one is right", o->host, o->port,
                         client->messages);
    }
    if (client->is_lost)
        return say_lost(client, err);
    if (client->code == GRPC_STATUS_DEADLINE_EXCEEDED)
        return error_set(err, STATUS_TIMEOUT, "%s:%u does not answer within %u s", o->host, o->port,
                         (o->timeout_ms + 999) / 1000);
    if (client->code == GRPC_STATUS_UNIMPLEMENTED)
        return error_set(err, STATUS_UNSUPPORTED,
                         "%s:%u does not serve " CONTROL_SERVICE " (%s): a coordinator does",
                         o->host, o->port, client->text);
    return error_set(err, grpc_status_to_local(client->code), "%s:%u: %s", o->host, o->port,
                     client->text);
}

/* A connection's loss follows the end of its calls at once; it knows why. */
static void look_for_loss(struct control_client *client)
{
    if (client->code == GRPC_STATUS_UNAVAILABLE)
        (void)uv_run(&client->loop, UV_RUN_NOWAIT);
}

enum status control_client_ask(struct control_client *client, const char *method,
                               enum control_request_kind kind,
                               const struct control_request *request, struct bytes *ret_answer,
                               struct error *err)
{
    client->watcher = nullptr;
    client->answer = ret_answer;
    const enum status status =
        begin(client, method, kind, request, client->options.timeout_ms, err);
    if (status != STATUS_OK)
        return status;
    while (client->call != nullptr)
        (void)uv_run(&client->loop, UV_RUN_ONCE);
    look_for_loss(client);
    return conclude(client, err);
}

static void on_tick(uv_timer_t *timer)
{
    struct control_client *const client = timer->data;
    client->ticks++;
    if (client->call != nullptr && !client->is_stopped && client->messages == 0 &&
        client->ticks * TICK_MS >= client->options.timeout_ms) {
        (void)error_set(&client->message_error, STATUS_TIMEOUT, "does not answer within %u s",
                        (client->options.timeout_ms + 999) / 1000);
        stop(client, STATUS_TIMEOUT);
        return;
    }
    if (client->call != nullptr && !client->is_stopped && client->watcher->on_second != nullptr &&
        !client->watcher->on_second(client->context))
        stop(client, STATUS_CANCELLED);
}

enum status control_client_watch(struct control_client *client,
                                 const struct control_request *request,
                                 const struct control_watcher *watcher, void *context,
                                 struct error *err)
{
    client->watcher = watcher;
    client->context = context;
    const enum status status = begin(client, "WatchStatus", CONTROL_JOB_ONLY, request, 0, err);
    if (status != STATUS_OK)
        return status;
    client->ticks = 0;
    uv_update_time(&client->loop);
    (void)uv_timer_start(&client->timer, on_tick, TICK_MS, TICK_MS);
    while (client->call != nullptr)
        (void)uv_run(&client->loop, UV_RUN_ONCE);
    (void)uv_timer_stop(&client->timer);
    look_for_loss(client);
    return conclude(client, err);
}

static void on_rested(uv_timer_t *timer)
{
    uv_stop(timer->loop);
}

void control_client_rest(struct control_client *client, uint32_t time_ms)
{
    disconnect(client);
    uv_update_time(&client->loop);
    (void)uv_timer_start(&client->timer, on_rested, time_ms, 0);
    (void)uv_run(&client->loop, UV_RUN_DEFAULT);
}

enum status control_client_create(const struct control_client_options *options,
                                  struct control_client **ret_client)
{
    struct control_client *const client = calloc(1, sizeof(*client));
    if (client == nullptr)
        return STATUS_NO_MEMORY;
    if (uv_loop_init(&client->loop) != 0) {
        free(client);
        return STATUS_NO_MEMORY;
    }
    client->options = *options;
    CHECK(uv_timer_init(&client->loop, &client->timer) == 0);
    client->timer.data = client;
    *ret_client = client;
    return STATUS_OK;
}

void control_client_destroy(struct control_client *client)
{
    if (client == nullptr)
        return;
    disconnect(client);
    uv_close((uv_handle_t *)&client->timer, nullptr);
    (void)uv_run(&client->loop, UV_RUN_DEFAULT);
    CHECK(uv_loop_close(&client->loop) == 0);
    free(client);
}

/*
 * mesh_leaf_direct.c - the leaf's connection and its Join: directives come, until it is lost.
 *
 * Pulls and pushes are in mesh_leaf_transfer.c. When to join again is for the owner to say.
 */
#include "mesh/mesh_leaf_internal.h"

#include "base/check.h"
#include "base/text.h"

#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- losing --- */

/* Notes why the Join is lost unless that is known. reason may be a peer's text. */
static void set_lost(struct leaf_direct *leaf, enum status status, const char *reason)
{
    if (leaf->lost_status != STATUS_OK)
        return;
    leaf->lost_status = status;
    text_escape(reason, strlen(reason), leaf->lost_reason, sizeof(leaf->lost_reason));
}

static void maybe_free(struct leaf_direct *leaf);

static void on_client_freed(void *context)
{
    struct leaf_direct *const leaf = context;
    leaf->clients--;
    maybe_free(leaf);
}

/* Cuts the connection; its calls, then on_lost follow. */
static void end_client(struct leaf_direct *leaf)
{
    if (leaf->client == nullptr || leaf->is_ending)
        return;
    leaf->is_ending = true;
    rpc_client_close(leaf->client, on_client_freed);
}

/* --- the Join --- */

static void on_message(struct rpc_call *call, struct slice message)
{
    struct leaf_direct *const leaf = rpc_call_get_user(call);
    struct directive directive;
    struct error err = {};
    if (leaf->is_ending)
        return;
    enum status status = directive_decode(message, &directive, &err);
    if (status == STATUS_OK && !leaf->is_welcome && directive.kind != DIRECTIVE_WELCOME)
        status = error_set(&err, STATUS_PEER, "the first directive is no Welcome");
    if (status != STATUS_OK) {
        set_lost(leaf, status, err.text);
        end_client(leaf);
        return;
    }
    if (!leaf->is_welcome) {
        leaf->is_welcome = true;
        leaf->chunk_bytes = directive.welcome.chunk_bytes;
        watch_remove(&leaf->join_watch, &leaf->join_watched);
    }
    leaf->handlers->on_directive(leaf->context, leaf->peer.name, &directive);
}

static void on_call_closed(struct rpc_call *call, enum grpc_status code, const char *message)
{
    struct leaf_direct *const leaf = rpc_call_get_user(call);
    if (leaf == nullptr)
        return; /* leaf_join failed */
    leaf->join = nullptr;
    watch_remove(&leaf->join_watch, &leaf->join_watched);
    if (leaf->is_retired) {
        leaf_end_if_retired(leaf);
        return;
    }
    if (code == GRPC_STATUS_OK)
        set_lost(leaf, STATUS_AGAIN, "the hub ended the Join");
    else if (code != GRPC_STATUS_UNAVAILABLE)
        set_lost(leaf, grpc_status_to_local(code), message);
    if (leaf->lost_status != STATUS_OK) {
        end_client(leaf);
        return;
    }
    /* The connection may know better why: it is not cut, but ends by itself, or in time. */
    text_escape(message, strlen(message), leaf->lost_reason, sizeof(leaf->lost_reason));
    leaf->is_draining = true;
    rpc_client_drain(leaf->client, 0);
    watch_touch(&leaf->join_watch, &leaf->join_watched);
}

static const struct rpc_call_handlers join_handlers = {
    .on_message = on_message,
    .on_closed = on_call_closed,
};

/* --- the connection --- */

/* A connection lives no longer than the certificate that the hub showed. */
static void on_expiry_tick(uv_timer_t *timer)
{
    struct leaf_direct *const leaf = timer->data;
    if (mesh_unix_s() < leaf->peer.until_unix_s)
        return;
    uv_timer_stop(&leaf->expiry);
    set_lost(leaf, STATUS_IDENTITY, "the certificate that the hub showed has ended");
    end_client(leaf);
}

static enum status client_verify(void *context, SSL *ssl, struct error *err)
{
    struct leaf_direct *const leaf = context;
    const enum status status = leaf->options.identify(leaf->context, ssl, &leaf->peer, err);
    if (status == STATUS_OK && leaf->peer.until_unix_s != INT64_MAX)
        uv_timer_start(&leaf->expiry, on_expiry_tick, EXPIRY_TICK_MS, EXPIRY_TICK_MS);
    return status;
}

/* Every call was closed before, so every transfer is complete. */
static void client_on_closed(void *context, struct rpc_client *client, enum status status,
                             const char *reason)
{
    struct leaf_direct *const leaf = context;
    if (leaf->client != client)
        return; /* its leaf_join failed */
    CHECK(leaf->transfers == nullptr && leaf->join == nullptr);
    /* After a drain of ours, what ended the calls that were still open says nothing. */
    const bool is_own = status == STATUS_OK || status == STATUS_CANCELLED ||
                        (leaf->is_draining && status == STATUS_TIMEOUT);
    if (!is_own)
        set_lost(leaf, status, reason);
    if (leaf->lost_status == STATUS_OK) /* the reason is the call's */
        leaf->lost_status = STATUS_UNREACHABLE;
    watch_remove(&leaf->join_watch, &leaf->join_watched);
    uv_timer_stop(&leaf->expiry);
    end_client(leaf);
    leaf->client = nullptr;
    leaf->is_ending = false;
    leaf->handlers->on_lost(leaf->context, leaf->lost_status, leaf->lost_reason);
}

static const struct rpc_client_handlers client_handlers = {
    .verify = client_verify,
    .on_closed = client_on_closed,
};

static enum status open_client(struct leaf_direct *leaf, struct rpc_client **ret_client,
                               struct error *err)
{
    const struct rpc_client_options options = {
        .limits = mesh_rpc_limits(leaf->options.message_bytes_max, leaf->options.keepalive_ms),
    };
    const enum status status =
        rpc_client_open(leaf->loop, leaf->host, leaf->options.port, leaf->options.tls, &options,
                        &client_handlers, leaf, ret_client, err);
    if (status == STATUS_OK)
        leaf->clients++;
    return status;
}

static enum status join(struct leaf *head, const struct join_request *request, struct error *err)
{
    struct leaf_direct *const leaf = leaf_direct_of(head);
    struct rpc_client *client = nullptr;
    struct rpc_call *call = nullptr;
    struct bytes message;
    if (leaf->client != nullptr || leaf->is_closing || leaf->is_retired)
        return error_set(err, STATUS_INVAL, "a Join is open already");
    bytes_init(&message, JOIN_BYTES_MAX);
    enum status status = join_request_encode(request, &message);
    if (status == STATUS_OK)
        status = open_client(leaf, &client, err);
    else
        (void)error_set(err, status, "the request to join cannot be sent");
    if (status == STATUS_OK) {
        status = rpc_client_call(client, PATH_JOIN, 0, &join_handlers, nullptr, &call);
        if (status == STATUS_OK)
            status = mesh_send_bytes(call, &message);
        if (status == STATUS_OK)
            status = rpc_call_half_close(call);
        if (status != STATUS_OK) {
            (void)error_set(err, status, "%s", status_text(status));
            rpc_client_close(client, on_client_freed);
        }
    }
    bytes_deinit(&message);
    if (status != STATUS_OK)
        return status;
    rpc_call_set_user(call, leaf);
    leaf->client = client;
    leaf->join = call;
    leaf->is_welcome = false;
    leaf->is_draining = false;
    leaf->chunk_bytes = PIECE_BYTES;
    leaf->lost_status = STATUS_OK;
    leaf->lost_reason[0] = '\0';
    leaf->peer = (struct mesh_peer){.until_unix_s = INT64_MAX};
    watch_touch(&leaf->join_watch, &leaf->join_watched);
    return STATUS_OK;
}

static void on_join_stalled(struct watched *watched)
{
    struct leaf_direct *const leaf =
        (struct leaf_direct *)((char *)watched - offsetof(struct leaf_direct, join_watched));
    if (leaf->is_retired && leaf->join != nullptr) {
        rpc_call_cancel(leaf->join, GRPC_STATUS_CANCELLED, "retired");
        return;
    }
    if (leaf->join != nullptr)
        set_lost(leaf, STATUS_TIMEOUT, "no Welcome came in time");
    end_client(leaf);
}

void leaf_end_if_retired(struct leaf_direct *leaf)
{
    if (!leaf->is_retired || leaf->join != nullptr || leaf->transfers != nullptr)
        return;
    set_lost(leaf, STATUS_CANCELLED, "another connection took its place");
    end_client(leaf);
}

static void retire(struct leaf *head)
{
    struct leaf_direct *const leaf = leaf_direct_of(head);
    leaf->is_retired = true;
    if (leaf->client == nullptr || leaf->is_ending)
        return;
    if (leaf->join != nullptr) /* the hub ends it; where it does not, this side does */
        watch_touch(&leaf->join_watch, &leaf->join_watched);
    leaf_end_if_retired(leaf);
}

static void leave(struct leaf *head)
{
    struct leaf_direct *const leaf = leaf_direct_of(head);
    if (leaf->client == nullptr)
        return;
    set_lost(leaf, STATUS_CANCELLED, "the owner left");
    end_client(leaf);
}

/* --- beginning and end --- */

static void destroy(struct leaf_direct *leaf)
{
    SSL_CTX_free(leaf->options.tls);
    free(leaf->host);
    free(leaf);
}

static void on_leaf_handle_closed(struct leaf_direct *leaf)
{
    if (--leaf->handles > 0)
        return;
    void (*const on_closed)(void *) = leaf->on_closed;
    void *const context = leaf->context;
    destroy(leaf);
    if (on_closed != nullptr)
        on_closed(context);
}

static void on_watch_closed(uv_handle_t *handle)
{
    const struct watch *const watch = handle->data;
    on_leaf_handle_closed(watch->owner);
}

static void on_expiry_closed(uv_handle_t *handle)
{
    on_leaf_handle_closed(handle->data);
}

/* Once the owner closed it and every connection is gone. */
static void maybe_free(struct leaf_direct *leaf)
{
    if (!leaf->is_closing || leaf->clients > 0 || leaf->handles > 0)
        return;
    leaf->handles = 3;
    uv_close((uv_handle_t *)&leaf->expiry, on_expiry_closed);
    uv_close((uv_handle_t *)&leaf->join_watch.timer, on_watch_closed);
    uv_close((uv_handle_t *)&leaf->transfer_watch.timer, on_watch_closed);
}

static void close_leaf(struct leaf *head, void (*on_closed)(void *context))
{
    struct leaf_direct *const leaf = leaf_direct_of(head);
    CHECK(!leaf->is_closing);
    leaf->is_closing = true;
    leaf->on_closed = on_closed;
    leave(head);
    maybe_free(leaf);
}

static const struct leaf_ops ops = {
    .name = "direct",
    .join = join,
    .pull = leaf_transfer_pull,
    .push = leaf_transfer_push,
    .cancel = leaf_transfer_cancel,
    .retire = retire,
    .leave = leave,
    .close = close_leaf,
};

enum status leaf_direct_create(uv_loop_t *loop, const struct leaf_direct_options *options,
                               const struct leaf_handlers *handlers, void *context,
                               struct leaf **ret_leaf, struct error *err)
{
    const enum status status = mesh_check_message_bytes(options->message_bytes_max, err);
    if (status != STATUS_OK)
        return status;
    struct leaf_direct *const leaf = calloc(1, sizeof(*leaf));
    char *const host = strdup(options->host);
    if (leaf == nullptr || host == nullptr) {
        free(leaf);
        free(host);
        return error_set(err, STATUS_NO_MEMORY, "%s", status_text(STATUS_NO_MEMORY));
    }
    leaf->head.ops = &ops;
    leaf->loop = loop;
    leaf->handlers = handlers;
    leaf->context = context;
    leaf->options = *options;
    leaf->options.host = nullptr;
    leaf->host = host;
    (void)SSL_CTX_up_ref(leaf->options.tls);
    const uint32_t timeout_ms =
        options->call_timeout_ms > 0 ? options->call_timeout_ms : TRANSFER_TIMEOUT_MS;
    (void)uv_timer_init(loop, &leaf->expiry);
    leaf->expiry.data = leaf;
    watch_init(&leaf->join_watch, loop, timeout_ms, on_join_stalled, leaf);
    watch_init(&leaf->transfer_watch, loop, timeout_ms, leaf_transfer_stalled, leaf);
    *ret_leaf = &leaf->head;
    return STATUS_OK;
}

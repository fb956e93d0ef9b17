/*
 * mesh_hub_join.c - Join at the hub: a request comes, directives go, in order and bounded.
 *
 * What is in the directives is for the owner to say.
 */
#include "mesh/mesh_hub_internal.h"

#include <stdio.h>
#include <stdlib.h>

/* A directive that rpc had no room for. */
struct waiting {
    struct waiting *next;
    struct bytes message;
};

struct hub_join {
    struct hub_call head;
    uint64_t session; /* 0: on_join was not called */
    struct waiting *first;
    struct waiting *last;
    size_t waiting_bytes;
    bool is_ending; /* finishes when nothing waits */
    char reason[MESH_REASON_MAX];
};

static void drop_waiting(struct hub_join *join)
{
    while (join->first != nullptr) {
        struct waiting *const waiting = join->first;
        join->first = waiting->next;
        bytes_deinit(&waiting->message);
        free(waiting);
    }
    join->last = nullptr;
    join->waiting_bytes = 0;
}

void hub_join_open(struct rpc_call *call, void *context)
{
    struct hub_direct *const hub = context;
    if (hub_check_member(hub, call, "Join"))
        (void)hub_call_create(hub, call, sizeof(struct hub_join));
}

static void on_message(struct rpc_call *call, struct slice message)
{
    struct hub_join *const join = rpc_call_get_user(call);
    struct hub_direct *const hub = join->head.hub;
    struct join_request request;
    struct error err = {};
    if (join->session != 0) {
        rpc_call_cancel(call, GRPC_STATUS_INVALID_ARGUMENT, "more than one request");
        return;
    }
    enum status status = join_request_decode(message, &request, &err);
    if (status == STATUS_OK)
        status = id_table_put(&hub->sessions, hub->next_session, join);
    if (status != STATUS_OK) {
        rpc_call_cancel(call, grpc_status_of(status),
                        err.text[0] != '\0' ? err.text : status_text(status));
        return;
    }
    join->session = hub->next_session++;
    watch_remove(&hub->watch, &join->head.watched);
    hub->handlers->on_join(hub->context, join->session, join->head.peer->who.name, &request);
}

static void on_half_close(struct rpc_call *call)
{
    const struct hub_join *const join = rpc_call_get_user(call);
    if (join->session == 0)
        rpc_call_cancel(call, GRPC_STATUS_INVALID_ARGUMENT, "no request");
}

/* Gives rpc what waits, as far as it takes it. */
static void on_writable(struct rpc_call *call)
{
    struct hub_join *const join = rpc_call_get_user(call);
    while (join->first != nullptr) {
        struct waiting *const waiting = join->first;
        const size_t size = waiting->message.size;
        const enum status status = mesh_send_bytes(call, &waiting->message);
        if (status == STATUS_AGAIN)
            break;
        if (status != STATUS_OK) {
            rpc_call_cancel(call, grpc_status_of(status), status_text(status));
            return;
        }
        join->waiting_bytes -= size;
        join->first = waiting->next;
        free(waiting);
    }
    if (join->first != nullptr) {
        if (join->is_ending)
            watch_touch(&join->head.hub->watch, &join->head.watched);
        return;
    }
    join->last = nullptr;
    if (join->is_ending)
        (void)rpc_call_finish(call, GRPC_STATUS_ABORTED, join->reason);
}

static void on_closed(struct rpc_call *call, enum grpc_status code, const char *message)
{
    struct hub_join *const join = rpc_call_get_user(call);
    if (join == nullptr)
        return;
    struct hub_direct *const hub = join->head.hub;
    const uint64_t session = join->session;
    id_table_remove(&hub->sessions, session);
    drop_waiting(join);
    hub_call_destroy(&join->head);
    if (session != 0)
        hub->handlers->on_leave(hub->context, session);
}

const struct rpc_call_handlers hub_join_handlers = {
    .on_message = on_message,
    .on_half_close = on_half_close,
    .on_writable = on_writable,
    .on_closed = on_closed,
};

static enum status enqueue(struct hub_join *join, struct bytes *message)
{
    struct waiting *const waiting = malloc(sizeof(*waiting));
    if (waiting == nullptr)
        return STATUS_NO_MEMORY;
    *waiting = (struct waiting){.message = *message};
    bytes_init(message, message->size_max);
    if (join->last != nullptr)
        join->last->next = waiting;
    else
        join->first = waiting;
    join->last = waiting;
    join->waiting_bytes += waiting->message.size;
    return STATUS_OK;
}

/* The session takes nothing more from its owner; its call is told why. */
static void cut(struct hub_join *join, const char *reason)
{
    id_table_remove(&join->head.hub->sessions, join->session);
    drop_waiting(join);
    rpc_call_cancel(join->head.call, GRPC_STATUS_RESOURCE_EXHAUSTED, reason);
}

static enum status send_message(struct hub_join *join, struct bytes *message)
{
    const size_t queued = rpc_call_queued_bytes(join->head.call) + join->waiting_bytes;
    if (queued > 0 && queued + message->size > join->head.hub->options.directive_queue_max) {
        cut(join, "the queue of directives is full: they are not read fast enough");
        return STATUS_LIMIT;
    }
    enum status status = STATUS_AGAIN;
    if (join->first == nullptr)
        status = mesh_send_bytes(join->head.call, message);
    if (status == STATUS_AGAIN)
        status = enqueue(join, message);
    return status == STATUS_CANCELLED ? STATUS_NOT_FOUND : status;
}

enum status hub_join_send(struct hub *head, uint64_t session, const struct directive *directive)
{
    struct hub_direct *const hub = hub_direct_of(head);
    struct hub_join *const join = id_table_find(&hub->sessions, session);
    if (join == nullptr)
        return STATUS_NOT_FOUND;
    struct bytes message;
    bytes_init(&message, DIRECTIVE_BYTES_MAX);
    enum status status = directive_encode(directive, &message);
    if (status == STATUS_LIMIT)
        status = STATUS_INVAL;
    if (status == STATUS_OK)
        status = send_message(join, &message);
    bytes_deinit(&message);
    return status;
}

void hub_join_end(struct hub *head, uint64_t session, const char *reason)
{
    struct hub_direct *const hub = hub_direct_of(head);
    struct hub_join *const join = id_table_find(&hub->sessions, session);
    if (join == nullptr)
        return;
    id_table_remove(&hub->sessions, session);
    join->is_ending = true;
    (void)snprintf(join->reason, sizeof(join->reason), "%s", reason);
    watch_touch(&hub->watch, &join->head.watched);
    if (join->first == nullptr)
        (void)rpc_call_finish(join->head.call, GRPC_STATUS_ABORTED, join->reason);
}

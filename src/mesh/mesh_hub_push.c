/*
 * mesh_hub_push.c - PushUpdate at the hub: an envelope is offered to the owner, then its payload
 * goes into the owner's memory, in order and bounded, while its digest is computed.
 *
 * Not here: signatures and whether the update fits the round (host/, core/).
 */
#include "mesh/mesh_hub_internal.h"

#include "base/check.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum push_state {
    PUSH_EXPECTS_ENVELOPE,
    PUSH_WAITS,    /* the owner had no room: paused until it resumes; the envelope is kept */
    PUSH_RECEIVES, /* the payload comes */
    PUSH_WHOLE,    /* the owner has it all and will answer */
    PUSH_UNWANTED, /* the owner will answer and wants no payload: parts are ignored */
    PUSH_ANSWERED, /* the ticket has ended */
};

struct hub_push {
    struct hub_call head;
    struct hub_push *next_resumed;
    struct hub_push *previous_resumed;
    uint64_t ticket; /* 0: none yet */
    enum push_state state;
    bool is_complete; /* the peer sends no more */
    bool is_resumed;  /* in the hub's list */
    struct bytes envelope;
    uint8_t *payload; /* the owner's */
    uint64_t length;
    uint64_t received;
    struct blob_hasher *hasher;
};

/* --- answers --- */

/* The ticket ends, and with it every use of the owner's memory. */
static void end_ticket(struct hub_push *push)
{
    id_table_remove(&push->head.hub->tickets, push->ticket);
    push->state = PUSH_ANSWERED;
    push->payload = nullptr;
    blob_hasher_destroy(push->hasher);
    push->hasher = nullptr;
    bytes_deinit(&push->envelope);
}

/* The answer goes out; the peer is watched until it has read it. */
static void send_receipt(struct hub_push *push, const struct receipt *receipt)
{
    struct rpc_call *const call = push->head.call;
    struct bytes message;
    bytes_init(&message, SMALL_MESSAGE_BYTES_MAX);
    enum status status = receipt_encode(receipt, &message);
    if (status == STATUS_OK)
        status = mesh_send_bytes(call, &message);
    bytes_deinit(&message);
    rpc_call_resume(call);
    watch_touch(&push->head.hub->watch, &push->head.watched);
    if (status == STATUS_OK)
        (void)rpc_call_finish(call, GRPC_STATUS_OK, nullptr);
    else
        rpc_call_cancel(call, grpc_status_of(status == STATUS_INVAL ? STATUS_IO : status),
                        status_text(status));
}

/* Answers for the owner, who is told if it knows of the ticket. */
static void refuse(struct hub_push *push, const struct refusal *refusal)
{
    const struct hub_direct *const hub = push->head.hub;
    const uint64_t ticket = push->ticket;
    struct receipt receipt = {.reason = refusal->reason};
    static_assert(sizeof(receipt.text) >= sizeof(refusal->error.text));
    memcpy(receipt.text, refusal->error.text, sizeof(refusal->error.text));
    end_ticket(push);
    send_receipt(push, &receipt);
    hub->handlers->on_refused(hub->context, push->head.peer->who.name, refusal);
    if (ticket != 0)
        hub->handlers->on_gone(hub->context, ticket);
}

static void refuse_text(struct hub_push *push, enum reason reason, const char *text)
{
    struct refusal refusal = {.reason = reason};
    (void)snprintf(refusal.error.text, sizeof(refusal.error.text), "%s", text);
    refuse(push, &refusal);
}

/* --- the envelope --- */

/* Once all has come: either the payload is whole, or it is refused. */
static void complete(struct hub_push *push)
{
    const struct hub_direct *const hub = push->head.hub;
    struct digest digest = {};
    if (push->received < push->length) {
        char text[96];
        (void)snprintf(text, sizeof(text),
                       "the payload ended after %" PRIu64 " of %" PRIu64 " bytes", push->received,
                       push->length);
        refuse_text(push, REASON_MALFORMED, text);
        return;
    }
    const enum status status = blob_hasher_finish(push->hasher, &digest);
    CHECK(status == STATUS_OK);
    push->state = PUSH_WHOLE;
    push->payload = nullptr;
    watch_remove(&push->head.hub->watch, &push->head.watched);
    hub->handlers->on_payload(hub->context, push->ticket, &digest);
}

static void receive(struct hub_push *push, const struct envelope_header *header, uint8_t *payload)
{
    push->length = header->payload_length;
    push->payload = payload;
    push->state = PUSH_RECEIVES;
    if (blob_hasher_create(push->length, header->codec_id, &push->hasher) != STATUS_OK) {
        refuse_text(push, REASON_BUSY, "out of memory");
        return;
    }
    bytes_deinit(&push->envelope);
    watch_touch(&push->head.hub->watch, &push->head.watched);
    rpc_call_resume(push->head.call);
    if (push->is_complete)
        complete(push);
}

/* Asks the owner; push->envelope holds the bytes that envelope was parsed from. */
static void offer(struct hub_push *push, const struct envelope *envelope)
{
    struct hub_direct *const hub = push->head.hub;
    uint8_t *payload = nullptr;
    const enum status status = hub->handlers->on_offer(
        hub->context, push->ticket, push->head.peer->who.name, envelope, &payload);
    if (push->state == PUSH_ANSWERED)
        return;
    if (status == STATUS_OK) {
        receive(push, &envelope->header, payload);
    } else if (status == STATUS_AGAIN) {
        push->state = PUSH_WAITS;
        watch_remove(&hub->watch, &push->head.watched);
        rpc_call_pause(push->head.call);
    } else {
        CHECK(status == STATUS_EXISTS);
        push->state = PUSH_UNWANTED;
        watch_remove(&hub->watch, &push->head.watched);
        bytes_deinit(&push->envelope);
        rpc_call_resume(push->head.call);
    }
}

/* The cheap checks; what is refused was answered. */
static bool parse(struct hub_push *push, struct envelope *ret_envelope)
{
    struct refusal refusal = {.reason = REASON_UNSPECIFIED};
    const enum status status = envelope_parse(
        bytes_slice(&push->envelope), &push->head.hub->options.limits, ret_envelope, &refusal);
    if (status == STATUS_NO_MEMORY)
        refuse_text(push, REASON_BUSY, "out of memory");
    else if (status != STATUS_OK)
        refuse(push, &refusal);
    else if (ret_envelope->header.kind != ENVELOPE_UPDATE)
        refuse_text(push, REASON_MALFORMED, "the envelope is not one of an update");
    else
        return true;
    return false;
}

static void take_envelope(struct hub_push *push, struct slice bytes)
{
    struct hub_direct *const hub = push->head.hub;
    struct envelope envelope;
    if (bytes_append(&push->envelope, bytes.data, bytes.size) != STATUS_OK) {
        refuse_text(push, REASON_BUSY, "out of memory");
        return;
    }
    if (!parse(push, &envelope))
        return;
    if (id_table_put(&hub->tickets, hub->next_ticket, push) != STATUS_OK) {
        refuse_text(push, REASON_BUSY, "out of memory");
        return;
    }
    push->ticket = hub->next_ticket++;
    offer(push, &envelope);
}

/* --- the payload --- */

static void take_chunk(struct hub_push *push, const struct chunk *chunk)
{
    char text[96];
    if (chunk->offset != push->received) {
        (void)snprintf(text, sizeof(text),
                       "a chunk at %" PRIu64 " came where the next byte is %" PRIu64, chunk->offset,
                       push->received);
        refuse_text(push, REASON_MALFORMED, text);
        return;
    }
    if (chunk->data.size > push->length - push->received) {
        (void)snprintf(text, sizeof(text), "more than the %" PRIu64 " bytes of the header came",
                       push->length);
        refuse_text(push, REASON_TOO_LARGE, text);
        return;
    }
    if (chunk->data.size == 0)
        return; /* no progress either */
    memcpy(push->payload + push->received, chunk->data.data, chunk->data.size);
    blob_hasher_update(push->hasher, chunk->data.data, chunk->data.size);
    push->received += chunk->data.size;
    watch_touch(&push->head.hub->watch, &push->head.watched);
}

static void on_message(struct rpc_call *call, struct slice message)
{
    struct hub_push *const push = rpc_call_get_user(call);
    struct update_part part;
    struct error err = {};
    if (push->state != PUSH_EXPECTS_ENVELOPE && push->state != PUSH_RECEIVES)
        return;
    if (update_part_decode(message, &part, &err) != STATUS_OK)
        refuse_text(push, REASON_MALFORMED, err.text);
    else if (push->state == PUSH_EXPECTS_ENVELOPE && part.kind == UPDATE_PART_ENVELOPE)
        take_envelope(push, part.envelope);
    else if (push->state == PUSH_RECEIVES && part.kind == UPDATE_PART_CHUNK)
        take_chunk(push, &part.chunk);
    else
        refuse_text(push, REASON_MALFORMED,
                    "an update is one envelope and then the chunks of its payload");
}

static void on_half_close(struct rpc_call *call)
{
    struct hub_push *const push = rpc_call_get_user(call);
    push->is_complete = true;
    if (push->state == PUSH_EXPECTS_ENVELOPE)
        refuse_text(push, REASON_MALFORMED, "no envelope came");
    else if (push->state == PUSH_RECEIVES)
        complete(push);
}

/* --- the call and the owner's functions --- */

void hub_push_open(struct rpc_call *call, void *context)
{
    struct hub_direct *const hub = context;
    if (!hub_check_member(hub, call, "PushUpdate"))
        return;
    struct hub_push *const push = hub_call_create(hub, call, sizeof(*push));
    if (push != nullptr)
        bytes_init(&push->envelope, ENVELOPE_BYTES_MAX);
}

static void unlink_resumed(struct hub_push *push)
{
    struct hub_direct *const hub = push->head.hub;
    if (!push->is_resumed)
        return;
    push->is_resumed = false;
    if (push->previous_resumed != nullptr)
        push->previous_resumed->next_resumed = push->next_resumed;
    else
        hub->resumed_first = push->next_resumed;
    if (push->next_resumed != nullptr)
        push->next_resumed->previous_resumed = push->previous_resumed;
    else
        hub->resumed_last = push->previous_resumed;
}

static void on_closed(struct rpc_call *call, enum grpc_status code, const char *message)
{
    struct hub_push *const push = rpc_call_get_user(call);
    if (push == nullptr)
        return;
    struct hub_direct *const hub = push->head.hub;
    const uint64_t ticket = push->ticket;
    const bool is_gone = ticket != 0 && push->state != PUSH_ANSWERED;
    end_ticket(push);
    unlink_resumed(push);
    hub_call_destroy(&push->head);
    if (is_gone)
        hub->handlers->on_gone(hub->context, ticket);
}

const struct rpc_call_handlers hub_push_handlers = {
    .on_message = on_message,
    .on_half_close = on_half_close,
    .on_closed = on_closed,
};

void hub_push_receipt(struct hub *head, uint64_t ticket, const struct receipt *receipt)
{
    struct hub_push *const push = id_table_find(&hub_direct_of(head)->tickets, ticket);
    if (push == nullptr)
        return;
    end_ticket(push);
    send_receipt(push, receipt);
}

/* Makes the offers again that were resumed before; what is resumed meanwhile has its turn next. */
static void on_idle(uv_idle_t *idle)
{
    struct hub_direct *const hub = idle->data;
    struct hub_push *const last = hub->resumed_last;
    struct hub_push *push = nullptr;
    while (push != last && hub->resumed_first != nullptr) {
        struct envelope envelope;
        push = hub->resumed_first;
        unlink_resumed(push);
        if (push->state == PUSH_WAITS && parse(push, &envelope))
            offer(push, &envelope);
    }
    if (hub->resumed_first == nullptr)
        (void)uv_idle_stop(idle);
}

void hub_push_resume(struct hub *head, uint64_t ticket)
{
    struct hub_direct *const hub = hub_direct_of(head);
    struct hub_push *const push = id_table_find(&hub->tickets, ticket);
    if (push == nullptr || push->state != PUSH_WAITS || push->is_resumed)
        return;
    push->is_resumed = true;
    push->previous_resumed = hub->resumed_last;
    push->next_resumed = nullptr;
    if (hub->resumed_last != nullptr)
        hub->resumed_last->next_resumed = push;
    else
        hub->resumed_first = push;
    hub->resumed_last = push;
    (void)uv_idle_start(&hub->idle, on_idle);
}

/*
 * mesh_hub_pulse.c - Heartbeat at the hub: every pulse comes back.
 */
#include "mesh/mesh_hub_internal.h"

struct hub_pulse {
    struct hub_call head;
    struct pulse unsent; /* sequence 0: none */
    bool is_complete;    /* the peer sends no more */
};

void hub_pulse_open(struct rpc_call *call, void *context)
{
    struct hub_direct *const hub = context;
    if (hub_check_member(hub, call, "Heartbeat"))
        (void)hub_call_create(hub, call, sizeof(struct hub_pulse));
}

/* A peer that does not read its answers is not read either. */
static void echo(struct hub_pulse *beat, const struct pulse *pulse)
{
    struct rpc_call *const call = beat->head.call;
    struct bytes message;
    bytes_init(&message, SMALL_MESSAGE_BYTES_MAX);
    enum status status = pulse_encode(pulse, &message);
    if (status == STATUS_OK)
        status = mesh_send_bytes(call, &message);
    bytes_deinit(&message);
    if (status == STATUS_AGAIN) {
        beat->unsent = *pulse;
        rpc_call_pause(call);
    } else if (status == STATUS_OK) {
        beat->unsent = (struct pulse){};
    } else {
        rpc_call_cancel(call, grpc_status_of(status), status_text(status));
    }
}

static void on_message(struct rpc_call *call, struct slice message)
{
    struct hub_pulse *const beat = rpc_call_get_user(call);
    struct pulse pulse;
    struct error err = {};
    const enum status status = pulse_decode(message, &pulse, &err);
    if (status != STATUS_OK) {
        rpc_call_cancel(call, grpc_status_of(status), err.text);
        return;
    }
    watch_remove(&beat->head.hub->watch, &beat->head.watched); /* keepalive watches from now on */
    echo(beat, &pulse);
}

static void on_writable(struct rpc_call *call)
{
    struct hub_pulse *const beat = rpc_call_get_user(call);
    if (beat->unsent.sequence != 0) {
        const struct pulse pulse = beat->unsent;
        echo(beat, &pulse);
    }
    if (beat->unsent.sequence != 0)
        return;
    if (beat->is_complete)
        (void)rpc_call_finish(call, GRPC_STATUS_OK, nullptr);
    else
        rpc_call_resume(call);
}

static void on_half_close(struct rpc_call *call)
{
    struct hub_pulse *const beat = rpc_call_get_user(call);
    beat->is_complete = true;
    watch_touch(&beat->head.hub->watch, &beat->head.watched);
    if (beat->unsent.sequence == 0)
        (void)rpc_call_finish(call, GRPC_STATUS_OK, nullptr);
}

static void on_closed(struct rpc_call *call, enum grpc_status code, const char *message)
{
    struct hub_pulse *const beat = rpc_call_get_user(call);
    if (beat != nullptr)
        hub_call_destroy(&beat->head);
}

const struct rpc_call_handlers hub_pulse_handlers = {
    .on_message = on_message,
    .on_half_close = on_half_close,
    .on_writable = on_writable,
    .on_closed = on_closed,
};

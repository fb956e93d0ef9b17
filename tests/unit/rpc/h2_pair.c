/*
 * h2_pair.c - moves the bytes of two sessions and notes what they report.
 */
#include "h2_pair.h"

#include "base/check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void note(struct side *side, char what)
{
    if (side->log_size + 1 < PAIR_LOG_MAX)
        side->log[side->log_size++] = what;
}

static void noted_message(struct side *side, struct slice message)
{
    note(side, 'm');
    side->messages++;
    side->message_bytes += message.size;
    side->message_size =
        message.size < sizeof(side->message) ? message.size : sizeof(side->message);
    if (side->message_size > 0)
        memcpy(side->message, message.data, side->message_size);
}

static void noted_closed(struct side *side, enum grpc_status code, const char *message)
{
    note(side, 'c');
    side->closes++;
    side->code = code;
    side->call = nullptr;
    (void)snprintf(side->text, sizeof(side->text), "%s", message);
}

static void client_on_message(struct rpc_call *call, struct slice message)
{
    noted_message(&((struct pair *)rpc_call_get_user(call))->client, message);
}

static void client_on_writable(struct rpc_call *call)
{
    note(&((struct pair *)rpc_call_get_user(call))->client, 'w');
}

static void client_on_closed(struct rpc_call *call, enum grpc_status code, const char *message)
{
    noted_closed(&((struct pair *)rpc_call_get_user(call))->client, code, message);
}

const struct rpc_call_handlers pair_client_handlers = {
    .on_message = client_on_message,
    .on_writable = client_on_writable,
    .on_closed = client_on_closed,
};

static void server_on_message(struct rpc_call *call, struct slice message)
{
    struct pair *const pair = rpc_call_get_user(call);
    noted_message(&pair->server, message);
    if (pair->echo)
        (void)rpc_call_send(call, message);
}

static void server_on_half_close(struct rpc_call *call)
{
    struct pair *const pair = rpc_call_get_user(call);
    note(&pair->server, 'h');
    pair->server.half_closes++;
    if (pair->answer_at_half)
        CHECK(rpc_call_finish(call, GRPC_STATUS_OK, nullptr) == STATUS_OK);
}

static void server_on_writable(struct rpc_call *call)
{
    note(&((struct pair *)rpc_call_get_user(call))->server, 'w');
}

static void server_on_closed(struct rpc_call *call, enum grpc_status code, const char *message)
{
    noted_closed(&((struct pair *)rpc_call_get_user(call))->server, code, message);
}

static const struct rpc_call_handlers server_handlers = {
    .on_message = server_on_message,
    .on_half_close = server_on_half_close,
    .on_writable = server_on_writable,
    .on_closed = server_on_closed,
};

static void server_on_call(void *context, struct rpc_call *call)
{
    struct pair *const pair = context;
    rpc_call_set_user(call, pair);
    if (strcmp(rpc_call_path(call), "/t/Unknown") == 0) {
        CHECK(rpc_call_finish(call, GRPC_STATUS_UNIMPLEMENTED, "unknown method") == STATUS_OK);
        return;
    }
    pair->server.call = call;
    h2_session_accept(call, &server_handlers);
    if (pair->pause_at_open)
        rpc_call_pause(call);
    if (pair->refuse)
        CHECK(rpc_call_finish(call, GRPC_STATUS_PERMISSION_DENIED, "not you: 50 %\n") == STATUS_OK);
}

static void no_call(void *context, struct rpc_call *call)
{
    CHECK(false);
}

static void client_wake(void *context)
{
    ((struct pair *)context)->client.wakes++;
}

static void server_wake(void *context)
{
    ((struct pair *)context)->server.wakes++;
}

static void client_ready(void *context)
{
    ((struct pair *)context)->client.readies++;
}

static void server_ready(void *context)
{
    ((struct pair *)context)->server.readies++;
}

static void client_draining(void *context, const char *reason)
{
    struct side *const side = &((struct pair *)context)->client;
    side->drainings++;
    (void)snprintf(side->drain_reason, sizeof(side->drain_reason), "%s", reason);
}

static void server_draining(void *context, const char *reason)
{
    ((struct pair *)context)->server.drainings++;
}

static const struct h2_session_events client_events = {no_call, client_wake, client_ready,
                                                       client_draining};
static const struct h2_session_events server_events = {server_on_call, server_wake, server_ready,
                                                       server_draining};

enum status pair_init_with(struct pair *pair, const struct rpc_limits *client_limits,
                           const struct rpc_limits *server_limits, nghttp2_mem *memory)
{
    *pair = (struct pair){
        .now_ns = 1000 * 1000, .step = SIZE_MAX, .echo = true, .answer_at_half = true};
    bytes_init(&pair->client.wire, 1u << 28);
    bytes_init(&pair->server.wire, 1u << 28);
    struct h2_session_settings settings = {
        .events = &client_events,
        .context = pair,
        .scheme = "https",
        .authority = "test",
        .memory = memory,
    };
    if (client_limits != nullptr)
        settings.limits = *client_limits;
    enum status status = h2_session_create(&settings, pair->now_ns, &pair->client.session);
    if (status != STATUS_OK)
        return status;
    settings.is_server = true;
    settings.events = &server_events;
    settings.limits = server_limits != nullptr ? *server_limits : (struct rpc_limits){};
    return h2_session_create(&settings, pair->now_ns, &pair->server.session);
}

void pair_init(struct pair *pair, const struct rpc_limits *client_limits,
               const struct rpc_limits *server_limits)
{
    CHECK(pair_init_with(pair, client_limits, server_limits, nullptr) == STATUS_OK);
}

void pair_deinit(struct pair *pair)
{
    h2_session_destroy(pair->client.session);
    h2_session_destroy(pair->server.session);
    bytes_deinit(&pair->client.wire);
    bytes_deinit(&pair->server.wire);
}

/* Whether anything moved from one side to the other. */
static bool move(struct pair *pair, struct side *from, struct side *to, bool is_cut)
{
    h2_session_run(from->session, pair->now_ns);
    (void)h2_session_pull(from->session, &from->wire, SIZE_MAX);
    const size_t size = from->wire.size;
    for (size_t at = 0; at < size && !is_cut;) {
        const size_t step = size - at < pair->step ? size - at : pair->step;
        /* A copy, so that a read past the end is seen; not malloc, which may fail on purpose. */
        uint8_t *const copy = reallocarray(nullptr, 1, step);
        CHECK(copy != nullptr);
        memcpy(copy, from->wire.data + at, step);
        (void)h2_session_receive(to->session, (struct slice){copy, step}, pair->now_ns);
        free(copy);
        at += step;
    }
    bytes_consume(&from->wire, size);
    return size > 0;
}

void pair_pump(struct pair *pair)
{
    bool moved = true;
    for (int i = 0; moved && i < 100000; i++) {
        moved = move(pair, &pair->client, &pair->server, pair->cut_to_server);
        moved = move(pair, &pair->server, &pair->client, pair->cut_to_client) || moved;
    }
}

void pair_wait(struct pair *pair, uint64_t time_ms)
{
    pair->now_ns += time_ms * 1000 * 1000;
    pair_pump(pair);
}

struct rpc_call *pair_call(struct pair *pair, const char *path, uint64_t deadline_ms)
{
    struct rpc_call *call = nullptr;
    CHECK(h2_session_call(pair->client.session, path, deadline_ms, &pair_client_handlers, pair,
                          pair->now_ns, &call) == STATUS_OK);
    pair->client.call = call;
    return call;
}

/*
 * mesh_hub_pull.c - PullBlob at the hub: a blob in pieces, as fast as the peer reads.
 */
#include "mesh/mesh_hub_internal.h"

struct hub_pull {
    struct hub_call head;
    struct digest digest;
    struct slice bytes;
    uint64_t offset; /* of the next piece */
    bool has_request;
    bool has_blob; /* on_blob_done is owed */
};

static void release(struct hub_pull *pull)
{
    if (!pull->has_blob)
        return;
    const struct hub_direct *const hub = pull->head.hub;
    pull->has_blob = false;
    pull->bytes = (struct slice){};
    hub->handlers->on_blob_done(hub->context, &pull->digest);
}

static void finish(struct hub_pull *pull, enum grpc_status code, const char *message)
{
    release(pull);
    (void)rpc_call_finish(pull->head.call, code, message);
}

/* Sends pieces until the queue is full or the blob is. */
static void pump(struct hub_pull *pull)
{
    while (pull->offset < pull->bytes.size) {
        const size_t left = pull->bytes.size - (size_t)pull->offset;
        const struct slice data = {pull->bytes.data + pull->offset,
                                   left < PIECE_BYTES ? left : PIECE_BYTES};
        uint8_t prefix[CHUNK_PREFIX_BYTES_MAX];
        const size_t prefix_size = chunk_prefix_encode(pull->offset, data.size, prefix);
        const enum status status = mesh_send_piece(pull->head.call, prefix, prefix_size, data);
        if (status == STATUS_AGAIN)
            return;
        if (status != STATUS_OK) {
            release(pull);
            rpc_call_cancel(pull->head.call, grpc_status_of(status), status_text(status));
            return;
        }
        pull->offset += data.size;
    }
    finish(pull, GRPC_STATUS_OK, nullptr);
}

void hub_pull_open(struct rpc_call *call, void *context)
{
    struct hub_direct *const hub = context;
    if (hub_check_member(hub, call, "PullBlob"))
        (void)hub_call_create(hub, call, sizeof(struct hub_pull));
}

static void on_message(struct rpc_call *call, struct slice message)
{
    struct hub_pull *const pull = rpc_call_get_user(call);
    const struct hub_direct *const hub = pull->head.hub;
    struct blob_request request;
    struct error err = {};
    if (pull->has_request) {
        rpc_call_cancel(call, GRPC_STATUS_INVALID_ARGUMENT, "more than one request");
        return;
    }
    pull->has_request = true;
    enum status status = blob_request_decode(message, &request, &err);
    if (status != STATUS_OK) {
        finish(pull, grpc_status_of(status), err.text);
        return;
    }
    pull->digest = request.digest;
    status = hub->handlers->on_pull(hub->context, &request.digest, &pull->bytes);
    if (status != STATUS_OK) {
        finish(pull, grpc_status_of(status), "no blob has this digest here");
        return;
    }
    pull->has_blob = true;
    if (request.offset > pull->bytes.size) {
        finish(pull, GRPC_STATUS_OUT_OF_RANGE, "the offset is beyond the blob's end");
        return;
    }
    pull->offset = request.offset;
    pump(pull);
}

static void on_half_close(struct rpc_call *call)
{
    struct hub_pull *const pull = rpc_call_get_user(call);
    if (!pull->has_request)
        finish(pull, GRPC_STATUS_INVALID_ARGUMENT, "no request");
}

static void on_writable(struct rpc_call *call)
{
    struct hub_pull *const pull = rpc_call_get_user(call);
    watch_touch(&pull->head.hub->watch, &pull->head.watched);
    pump(pull);
}

static void on_closed(struct rpc_call *call, enum grpc_status code, const char *message)
{
    struct hub_pull *const pull = rpc_call_get_user(call);
    if (pull == nullptr)
        return;
    release(pull);
    hub_call_destroy(&pull->head);
}

const struct rpc_call_handlers hub_pull_handlers = {
    .on_message = on_message,
    .on_half_close = on_half_close,
    .on_writable = on_writable,
    .on_closed = on_closed,
};

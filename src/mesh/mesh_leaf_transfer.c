/*
 * mesh_leaf_transfer.c - a leaf's pulls and pushes: blobs into the owner's memory, updates out of
 * it, each completed once.
 */
#include "mesh/mesh_leaf_internal.h"

#include "base/text.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

struct leaf_transfer {
    struct watched watched; /* first */
    struct leaf_transfer *next;
    struct leaf_transfer *previous;
    struct leaf_direct *leaf;
    struct rpc_call *call;
    uint64_t id;
    uint64_t done;      /* bytes that came or were queued */
    enum status failed; /* OK: not by this side */
    struct error error; /* with failed */
    /* A pull. */
    uint8_t *bytes; /* the owner's, size of them */
    uint64_t size;
    struct digest digest;
    struct blob_hasher *hasher;
    /* A push. */
    struct slice payload; /* the owner's */
    bool is_sent;
    bool has_receipt;
    struct receipt receipt;
};

/* --- what both are --- */

static void touch(struct leaf_transfer *transfer)
{
    watch_touch(&transfer->leaf->transfer_watch, &transfer->watched);
}

/* Ends the call; the transfer completes with this status when it is over. The first one counts. */
static void fail(struct leaf_transfer *transfer, enum status status, const char *text)
{
    if (transfer->failed != STATUS_OK)
        return;
    transfer->failed = error_set(&transfer->error, status, "%s", text);
    rpc_call_cancel(transfer->call, GRPC_STATUS_CANCELLED, text);
}

void leaf_transfer_stalled(struct watched *watched)
{
    fail((struct leaf_transfer *)watched, STATUS_TIMEOUT, "no progress for too long");
}

static void destroy(struct leaf_transfer *transfer)
{
    struct leaf_direct *const leaf = transfer->leaf;
    watch_remove(&leaf->transfer_watch, &transfer->watched);
    if (transfer->previous != nullptr)
        transfer->previous->next = transfer->next;
    else if (leaf->transfers == transfer)
        leaf->transfers = transfer->next;
    if (transfer->next != nullptr)
        transfer->next->previous = transfer->previous;
    blob_hasher_destroy(transfer->hasher);
    free(transfer);
}

/* A new transfer with its call, without a message yet. */
static enum status create(struct leaf_direct *leaf, uint64_t id, const char *path,
                          const struct rpc_call_handlers *handlers,
                          struct leaf_transfer **ret_transfer)
{
    if (leaf->client == nullptr || leaf->is_ending || leaf->is_retired)
        return STATUS_UNREACHABLE;
    struct leaf_transfer *const transfer = calloc(1, sizeof(*transfer));
    if (transfer == nullptr)
        return STATUS_NO_MEMORY;
    transfer->leaf = leaf;
    transfer->id = id;
    const enum status status =
        rpc_client_call(leaf->client, path, 0, handlers, nullptr, &transfer->call);
    if (status != STATUS_OK) {
        free(transfer);
        return status == STATUS_AGAIN ? STATUS_UNREACHABLE : status;
    }
    *ret_transfer = transfer;
    return STATUS_OK;
}

/* From now on the call's end completes it; or, with another status than OK, it never was. */
static enum status start(struct leaf_transfer *transfer, enum status status)
{
    struct leaf_direct *const leaf = transfer->leaf;
    if (status != STATUS_OK) {
        rpc_call_cancel(transfer->call, GRPC_STATUS_CANCELLED, nullptr);
        destroy(transfer);
        return status == STATUS_CANCELLED ? STATUS_UNREACHABLE : status;
    }
    rpc_call_set_user(transfer->call, transfer);
    transfer->next = leaf->transfers;
    if (leaf->transfers != nullptr)
        leaf->transfers->previous = transfer;
    leaf->transfers = transfer;
    touch(transfer);
    return STATUS_OK;
}

/* How the call ended, unless this side ended it. */
static void take_end(struct leaf_transfer *transfer, enum grpc_status code, const char *message)
{
    if (transfer->failed != STATUS_OK || code == GRPC_STATUS_OK)
        return;
    transfer->failed = grpc_status_to_local(code);
    text_escape(message, strlen(message), transfer->error.text, sizeof(transfer->error.text));
}

void leaf_transfer_cancel(struct leaf *head, uint64_t id)
{
    struct leaf_transfer *at = leaf_direct_of(head)->transfers;
    while (at != nullptr && at->id != id)
        at = at->next;
    if (at != nullptr)
        fail(at, STATUS_CANCELLED, "cancelled by the owner");
}

/* --- pull --- */

static void pull_on_message(struct rpc_call *call, struct slice message)
{
    struct leaf_transfer *const pull = rpc_call_get_user(call);
    struct chunk chunk;
    struct error err = {};
    const enum status status = chunk_decode(message, &chunk, &err);
    if (status != STATUS_OK) {
        fail(pull, status, err.text);
        return;
    }
    if (chunk.offset != pull->done || chunk.data.size > pull->size - pull->done) {
        (void)error_set(&err, STATUS_PEER,
                        "%zu bytes at %" PRIu64 " came where byte %" PRIu64 " of %" PRIu64
                        " is the next",
                        chunk.data.size, chunk.offset, pull->done, pull->size);
        fail(pull, STATUS_PEER, err.text);
        return;
    }
    if (chunk.data.size == 0)
        return; /* no progress either */
    memcpy(pull->bytes + pull->done, chunk.data.data, chunk.data.size);
    blob_hasher_update(pull->hasher, chunk.data.data, chunk.data.size);
    pull->done += chunk.data.size;
    touch(pull);
}

static void check_digest(struct leaf_transfer *pull)
{
    struct digest digest;
    if (blob_hasher_finish(pull->hasher, &digest) != STATUS_OK)
        pull->failed = error_set(&pull->error, STATUS_PEER,
                                 "the blob ended after %" PRIu64 " of %" PRIu64 " bytes",
                                 pull->done, pull->size);
    else if (!digest_equal(&digest, &pull->digest))
        pull->failed =
            error_set(&pull->error, STATUS_DIGEST, "the blob that came has another digest");
}

static void pull_on_closed(struct rpc_call *call, enum grpc_status code, const char *message)
{
    struct leaf_transfer *const pull = rpc_call_get_user(call);
    if (pull == nullptr)
        return; /* leaf_pull failed */
    take_end(pull, code, message);
    if (pull->failed == STATUS_OK)
        check_digest(pull);
    struct leaf_direct *const leaf = pull->leaf;
    const uint64_t id = pull->id;
    const enum status status = pull->failed;
    const struct error error = pull->error;
    destroy(pull);
    leaf->handlers->on_pulled(leaf->context, id, status, error.text);
    leaf_end_if_retired(leaf);
}

static const struct rpc_call_handlers pull_handlers = {
    .on_message = pull_on_message,
    .on_closed = pull_on_closed,
};

enum status leaf_transfer_pull(struct leaf *head, uint64_t id, const struct digest *digest,
                               uint8_t *bytes, uint64_t size)
{
    struct leaf_transfer *pull = nullptr;
    struct bytes message;
    enum status status = create(leaf_direct_of(head), id, PATH_PULL_BLOB, &pull_handlers, &pull);
    if (status != STATUS_OK)
        return status;
    pull->bytes = bytes;
    pull->size = size;
    pull->digest = *digest;
    const struct blob_request request = {.digest = *digest};
    bytes_init(&message, SMALL_MESSAGE_BYTES_MAX);
    status = blob_hasher_create(size, 0, &pull->hasher);
    if (status == STATUS_OK)
        status = blob_request_encode(&request, &message);
    if (status == STATUS_OK)
        status = mesh_send_bytes(pull->call, &message);
    if (status == STATUS_OK)
        status = rpc_call_half_close(pull->call);
    bytes_deinit(&message);
    return start(pull, status);
}

/* --- push --- */

/* Queues pieces until the queue is full or all are; OK also where it has to wait. */
static enum status pump(struct leaf_transfer *push)
{
    const size_t piece_max =
        push->leaf->chunk_bytes < PIECE_BYTES ? push->leaf->chunk_bytes : PIECE_BYTES;
    while (push->done < push->payload.size) {
        const size_t left = push->payload.size - (size_t)push->done;
        const struct slice data = {push->payload.data + push->done,
                                   left < piece_max ? left : piece_max};
        uint8_t prefix[CHUNK_PREFIX_BYTES_MAX];
        const size_t prefix_size = update_part_prefix_encode(push->done, data.size, prefix);
        const enum status status = mesh_send_piece(push->call, prefix, prefix_size, data);
        if (status != STATUS_OK)
            return status == STATUS_AGAIN ? STATUS_OK : status;
        push->done += data.size;
    }
    push->is_sent = true;
    return rpc_call_half_close(push->call);
}

static void push_on_writable(struct rpc_call *call)
{
    struct leaf_transfer *const push = rpc_call_get_user(call);
    touch(push);
    if (push->has_receipt || push->is_sent || push->failed != STATUS_OK)
        return;
    const enum status status = pump(push);
    if (status != STATUS_OK && status != STATUS_CANCELLED) /* else on_closed follows by itself */
        fail(push, status, status_text(status));
}

static void push_on_message(struct rpc_call *call, struct slice message)
{
    struct leaf_transfer *const push = rpc_call_get_user(call);
    struct error err = {};
    if (push->has_receipt)
        return;
    const enum status status = receipt_decode(message, &push->receipt, &err);
    if (status != STATUS_OK)
        fail(push, status, err.text);
    else
        push->has_receipt = true;
}

static void push_on_closed(struct rpc_call *call, enum grpc_status code, const char *message)
{
    struct leaf_transfer *const push = rpc_call_get_user(call);
    if (push == nullptr)
        return; /* leaf_push failed */
    take_end(push, code, message);
    struct leaf_direct *const leaf = push->leaf;
    const uint64_t id = push->id;
    const struct receipt receipt = push->receipt;
    const bool has_receipt = push->has_receipt;
    const enum status failed = push->failed == STATUS_OK ? STATUS_PEER : push->failed;
    destroy(push);
    leaf->handlers->on_receipt(leaf->context, id, has_receipt ? STATUS_OK : failed,
                               has_receipt ? &receipt : nullptr);
    leaf_end_if_retired(leaf);
}

static const struct rpc_call_handlers push_handlers = {
    .on_message = push_on_message,
    .on_writable = push_on_writable,
    .on_closed = push_on_closed,
};

enum status leaf_transfer_push(struct leaf *head, uint64_t id, struct slice envelope,
                               struct slice payload)
{
    struct leaf_transfer *push = nullptr;
    struct bytes message;
    enum status status = create(leaf_direct_of(head), id, PATH_PUSH_UPDATE, &push_handlers, &push);
    if (status != STATUS_OK)
        return status;
    push->payload = payload;
    bytes_init(&message, ENVELOPE_BYTES_MAX + CHUNK_PREFIX_BYTES_MAX);
    status = update_part_encode_envelope(envelope, &message);
    if (status == STATUS_OK)
        status = mesh_send_bytes(push->call, &message);
    bytes_deinit(&message);
    if (status == STATUS_OK)
        status = pump(push);
    return start(push, status);
}

/*
 * outbox_memory.c - an outbox in memory, for tests and the simulator.
 */
#include "store/outbox.h"

#include "base/text.h"

#include <stdlib.h>

struct outbox_memory {
    struct outbox base;
    struct outbox_update update; /* the slices are set by get; sequence 0: none */
    struct bytes envelope;
    struct bytes payload;
    uint64_t epoch;
};

static enum status put(struct outbox *base, const struct outbox_key *key, struct slice envelope,
                       const struct slice *payload, size_t count, uint64_t *ret_sequence,
                       struct error *err)
{
    struct outbox_memory *const outbox = (struct outbox_memory *)base;
    struct bytes new_envelope, new_payload;
    bytes_init(&new_envelope, OUTBOX_ENVELOPE_BYTES_MAX);
    bytes_init(&new_payload, OUTBOX_PAYLOAD_BYTES_MAX);
    enum status status = bytes_append(&new_envelope, envelope.data, envelope.size);
    for (size_t i = 0; i < count && status == STATUS_OK; i++)
        if (payload[i].size > 0)
            status = bytes_append(&new_payload, payload[i].data, payload[i].size);
    if (status != STATUS_OK) {
        bytes_deinit(&new_envelope);
        bytes_deinit(&new_payload);
        return error_set(err, status, "no memory for an update");
    }
    bytes_deinit(&outbox->envelope);
    bytes_deinit(&outbox->payload);
    outbox->envelope = new_envelope;
    outbox->payload = new_payload;
    outbox->update = (struct outbox_update){.sequence = outbox->update.sequence + 1, .key = *key};
    *ret_sequence = outbox->update.sequence;
    return STATUS_OK;
}

static enum status get(struct outbox *base, struct outbox_update *ret_update, struct error *err)
{
    const struct outbox_memory *const outbox = (const struct outbox_memory *)base;
    if (outbox->update.sequence == 0)
        return error_set(err, STATUS_NOT_FOUND, "no update is kept");
    *ret_update = outbox->update;
    ret_update->envelope = bytes_slice(&outbox->envelope);
    ret_update->payload = bytes_slice(&outbox->payload);
    return STATUS_OK;
}

static enum status set_state(struct outbox *base, uint64_t sequence, enum outbox_state state,
                             const char *detail, struct error *err)
{
    struct outbox_memory *const outbox = (struct outbox_memory *)base;
    outbox->update.state = state;
    text_escape(detail, __builtin_strlen(detail), outbox->update.detail,
                sizeof(outbox->update.detail));
    return STATUS_OK;
}

static uint64_t epoch_of(const struct outbox *base)
{
    return ((const struct outbox_memory *)base)->epoch;
}

static enum status raise_epoch(struct outbox *base, uint64_t epoch, struct error *err)
{
    ((struct outbox_memory *)base)->epoch = epoch;
    return STATUS_OK;
}

static void close_outbox(struct outbox *base)
{
    struct outbox_memory *const outbox = (struct outbox_memory *)base;
    bytes_deinit(&outbox->envelope);
    bytes_deinit(&outbox->payload);
    free(outbox);
}

static const struct outbox_ops memory_ops = {
    .name = "memory",
    .put = put,
    .get = get,
    .set_state = set_state,
    .epoch = epoch_of,
    .raise_epoch = raise_epoch,
    .close = close_outbox,
};

enum status outbox_memory_open(struct outbox **ret_outbox)
{
    struct outbox_memory *const outbox = calloc(1, sizeof(*outbox));
    if (outbox == nullptr)
        return STATUS_NO_MEMORY;
    outbox->base.ops = &memory_ops;
    *ret_outbox = &outbox->base;
    return STATUS_OK;
}

void outbox_memory_crash(struct outbox *base)
{
    struct outbox_memory *const outbox = (struct outbox_memory *)base;
    outbox->update.state = OUTBOX_HELD;
    outbox->update.detail[0] = '\0';
}

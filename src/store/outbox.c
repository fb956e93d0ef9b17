/*
 * outbox.c - checks arguments once for every outbox, then calls the implementation.
 *
 * Not here: anything that is kept (outbox_file.c, outbox_memory.c).
 */
#include "store/outbox.h"

#include <string.h>

const char *outbox_state_name(enum outbox_state state)
{
    static const char *const names[] = {"HELD", "ACCEPTED", "COUNTED", "DROPPED", "REFUSED"};
    return names[state];
}

enum status outbox_put(struct outbox *outbox, const struct outbox_key *key, struct slice envelope,
                       const struct slice *payload, size_t count, uint64_t *ret_sequence,
                       struct error *err)
{
    if (envelope.size == 0 || envelope.size > OUTBOX_ENVELOPE_BYTES_MAX)
        return error_set(err, STATUS_INVAL, "an envelope has %zu bytes; 1 to %d are allowed",
                         envelope.size, OUTBOX_ENVELOPE_BYTES_MAX);
    uint64_t size = 0;
    for (size_t i = 0; i < count; i++) {
        if (payload[i].size > OUTBOX_PAYLOAD_BYTES_MAX - size)
            return error_set(err, STATUS_LIMIT, "a payload has more than the %llu bytes allowed",
                             (unsigned long long)OUTBOX_PAYLOAD_BYTES_MAX);
        size += payload[i].size;
    }
    return outbox->ops->put(outbox, key, envelope, payload, count, ret_sequence, err);
}

enum status outbox_get(struct outbox *outbox, struct outbox_update *ret_update, struct error *err)
{
    return outbox->ops->get(outbox, ret_update, err);
}

enum status outbox_set_state(struct outbox *outbox, uint64_t sequence, enum outbox_state state,
                             const char *detail, struct error *err)
{
    struct outbox_update update;
    const enum status status = outbox->ops->get(outbox, &update, err);
    if (status != STATUS_OK)
        return status;
    if (update.sequence != sequence)
        return error_set(err, STATUS_NOT_FOUND, "the update %llu is not kept; %llu is",
                         (unsigned long long)sequence, (unsigned long long)update.sequence);
    if (update.state == OUTBOX_COUNTED || update.state == OUTBOX_DROPPED)
        return update.state == state
                   ? STATUS_OK
                   : error_set(err, STATUS_INVAL, "the update %llu is %s and stays so",
                               (unsigned long long)sequence, outbox_state_name(update.state));
    return outbox->ops->set_state(outbox, sequence, state, detail == nullptr ? "" : detail, err);
}

uint64_t outbox_epoch(const struct outbox *outbox)
{
    return outbox->ops->epoch(outbox);
}

enum status outbox_raise_epoch(struct outbox *outbox, uint64_t epoch, struct error *err)
{
    if (epoch <= outbox->ops->epoch(outbox))
        return STATUS_OK;
    return outbox->ops->raise_epoch(outbox, epoch, err);
}

void outbox_close(struct outbox *outbox)
{
    if (outbox != nullptr)
        outbox->ops->close(outbox);
}

/*
 * learn_state.c - see learn_state.h.
 *
 * Layout, little-endian: u32 version 2; u32 size, then so many bytes of convergence; u32 size, then
 * so many of the choice. Version 1 is convergence's own first number: convergence alone.
 */
#include "host/learn_state.h"

enum { ALONE = 1, BOTH = 2, PARTS = 2, SIZE_BYTES = 4 };

static enum status append_u32(struct bytes *bytes, uint64_t value)
{
    uint8_t out[SIZE_BYTES];
    store_u32le(out, (uint32_t)value);
    return bytes_append(bytes, out, sizeof(out));
}

enum status learn_state_encode(const struct convergence *convergence,
                               const struct validated *validated, struct bytes *ret_bytes)
{
    const size_t start = ret_bytes->size;
    if (validated == nullptr)
        return convergence_encode(convergence, ret_bytes);
    enum status status = append_u32(ret_bytes, BOTH);
    for (int part = 0; part < PARTS && status == STATUS_OK; part++) {
        const size_t at = ret_bytes->size;
        status = append_u32(ret_bytes, 0);
        if (status == STATUS_OK)
            status = part == 0 ? convergence_encode(convergence, ret_bytes)
                               : validated_encode(validated, ret_bytes);
        if (status == STATUS_OK)
            store_u32le(ret_bytes->data + at, (uint32_t)(ret_bytes->size - at - SIZE_BYTES));
    }
    if (status != STATUS_OK)
        ret_bytes->size = start;
    return status;
}

/* Takes a size and so many bytes off the front. */
static bool take_part(struct slice *rest, struct slice *ret_part)
{
    if (rest->size < SIZE_BYTES)
        return false;
    const uint32_t size = load_u32le(rest->data);
    if (rest->size - SIZE_BYTES < size)
        return false;
    *ret_part = (struct slice){rest->data + SIZE_BYTES, size};
    *rest = (struct slice){ret_part->data + size, rest->size - SIZE_BYTES - size};
    return true;
}

enum status learn_state_decode(struct slice bytes, struct convergence *convergence,
                               struct validated *ret_validated, struct error *err)
{
    struct convergence read = *convergence;
    struct validated validated = {0};
    struct slice rest = bytes;
    struct slice parts[PARTS];
    if (bytes.size < SIZE_BYTES)
        return error_set(err, STATUS_CORRUPT, "the learning state ends after %zu bytes",
                         bytes.size);
    const uint32_t version = load_u32le(bytes.data);
    if (version != ALONE && version != BOTH)
        return error_set(err, STATUS_VERSION,
                         "the learning state has version %u, this Fedra reads versions %d and %d",
                         version, ALONE, BOTH);
    enum status status = STATUS_OK;
    if (version == ALONE) {
        status = convergence_decode(&read, bytes, err);
    } else {
        rest = (struct slice){bytes.data + SIZE_BYTES, bytes.size - SIZE_BYTES};
        if (!take_part(&rest, &parts[0]) || !take_part(&rest, &parts[1]) || rest.size > 0)
            return error_set(err, STATUS_CORRUPT,
                             "the learning state has %zu bytes, not as many as its parts need",
                             bytes.size);
        status = convergence_decode(&read, parts[0], err);
        if (status == STATUS_OK)
            status = validated_decode(parts[1], &validated, err);
    }
    if (status != STATUS_OK)
        return status;
    *convergence = read;
    *ret_validated = validated;
    return STATUS_OK;
}

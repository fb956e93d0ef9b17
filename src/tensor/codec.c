/*
 * codec.c - the table of update codecs, and the raw one.
 */
#include "tensor/codec.h"

#include <string.h>

/* The raw codec copies; on a big-endian machine it would have to swap. */
static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "payloads are little-endian");

/* Each slot is called with what the functions of the header checked; none blocks. */
struct codec {
    const char *name;
    /* The least and the most bytes of a payload. */
    uint64_t (*payload_min)(const struct layout *layout);
    uint64_t (*payload_max)(const struct layout *layout);
    enum status (*encode)(const struct layout *layout, const float *values,
                          struct bytes *ret_payload);
    /* payload.size lies in the bounds above; PEER for a payload that is malformed inside. */
    enum status (*decode)(const struct layout *layout, struct slice payload, float *ret_values,
                          struct error *err);
};

static uint64_t raw_size(const struct layout *layout)
{
    return layout->parameter_count * sizeof(float);
}

static enum status raw_encode(const struct layout *layout, const float *values,
                              struct bytes *ret_payload)
{
    return bytes_append(ret_payload, values, raw_size(layout));
}

static enum status raw_decode(const struct layout *layout, struct slice payload, float *ret_values,
                              struct error *err)
{
    if (payload.size > 0)
        memcpy(ret_values, payload.data, payload.size);
    return STATUS_OK;
}

static const struct codec codecs[] = {
    [CODEC_RAW_F32] = {"raw_f32", raw_size, raw_size, raw_encode, raw_decode},
};

static const struct codec *find(uint32_t codec)
{
    return codec < sizeof(codecs) / sizeof(codecs[0]) ? &codecs[codec] : nullptr;
}

const char *codec_name(uint32_t codec)
{
    const struct codec *const found = find(codec);
    return found != nullptr ? found->name : nullptr;
}

uint64_t codec_payload_max(uint32_t codec, const struct layout *layout)
{
    const struct codec *const found = find(codec);
    return found != nullptr ? found->payload_max(layout) : 0;
}

enum status codec_check_size(uint32_t codec, const struct layout *layout, uint64_t size,
                             struct error *err)
{
    const struct codec *const found = find(codec);
    if (found == nullptr)
        return error_set(err, STATUS_PEER, "codec %u is not known here", codec);
    const uint64_t least = found->payload_min(layout);
    const uint64_t most = found->payload_max(layout);
    if (size < least || size > most)
        return error_set(err, STATUS_PEER,
                         "a payload of %llu bytes, but %s of this model has %llu to %llu",
                         (unsigned long long)size, found->name, (unsigned long long)least,
                         (unsigned long long)most);
    return STATUS_OK;
}

enum status codec_encode(uint32_t codec, const struct layout *layout, const float *values,
                         struct bytes *ret_payload, struct error *err)
{
    const struct codec *const found = find(codec);
    if (found == nullptr)
        return error_set(err, STATUS_UNSUPPORTED, "codec %u is not known here", codec);
    const enum status status = found->encode(layout, values, ret_payload);
    if (status != STATUS_OK)
        return error_set(err, status, "no room for a payload of up to %llu bytes",
                         (unsigned long long)found->payload_max(layout));
    return STATUS_OK;
}

enum status codec_decode(uint32_t codec, const struct layout *layout, struct slice payload,
                         float *ret_values, struct error *err)
{
    const enum status status = codec_check_size(codec, layout, payload.size, err);
    if (status != STATUS_OK)
        return status;
    return find(codec)->decode(layout, payload, ret_values, err);
}

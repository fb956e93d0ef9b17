/*
 * codec.h - how the values of an update become the payload that travels, and back.
 *
 * A codec has an id that is signed with the update and hashed with the blob. To add one: a row in
 * the table of codec.c. Not here: messages and signatures (wire/).
 */
#pragma once

#include "base/bytes.h"
#include "base/status.h"
#include "tensor/layout.h"

#include <stdint.h>

enum {
    CODEC_RAW_F32 = 0, /* f32 little-endian, one a parameter, in the order of the layout */
};

/* The name of a codec ("raw_f32"), static; null where there is none of that id. */
const char *codec_name(uint32_t codec);

/* The most bytes a payload of this layout can have; 0 for an unknown codec. */
uint64_t codec_payload_max(uint32_t codec, const struct layout *layout);

/*
 * Whether a payload of that many bytes can be one of this layout, before a byte of it is read.
 * PEER: it cannot, or the codec is unknown. err may be null.
 */
[[nodiscard]] enum status codec_check_size(uint32_t codec, const struct layout *layout,
                                           uint64_t size, struct error *err);

/*
 * Appends the payload of values, f32[layout->parameter_count], to ret_payload.
 * UNSUPPORTED: unknown codec. LIMIT, NO_MEMORY: of ret_payload, which is unchanged then.
 */
[[nodiscard]] enum status codec_encode(uint32_t codec, const struct layout *layout,
                                       const float *values, struct bytes *ret_payload,
                                       struct error *err);

/*
 * Reads a payload into ret_values, f32[layout->parameter_count]. The values are as they came: NaN
 * and infinity are the business of who checks updates. PEER as codec_check_size; ret_values is
 * unchanged then.
 */
[[nodiscard]] enum status codec_decode(uint32_t codec, const struct layout *layout,
                                       struct slice payload, float *ret_values, struct error *err);

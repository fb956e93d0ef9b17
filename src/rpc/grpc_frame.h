/*
 * grpc_frame.h - gRPC's message framing: a flag, a big-endian length and the message.
 *
 * Bytes in, messages out, no I/O. Compression is not offered and therefore refused.
 */
#pragma once

#include "base/bytes.h"
#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { GRPC_PREFIX_BYTES = 5 };

/* Writes the prefix of an uncompressed message of size bytes. */
void grpc_frame_prefix(uint32_t size, uint8_t ret_prefix[static GRPC_PREFIX_BYTES]);

/* Takes messages out of a run of bytes that comes in any pieces. */
struct grpc_decoder {
    uint8_t prefix[GRPC_PREFIX_BYTES];
    uint8_t prefix_size;
    uint32_t message_size;
    uint32_t message_bytes_max;
    uint8_t *body; /* a message that came in pieces; grows as bytes come, not as announced */
    size_t body_size;
    size_t body_capacity;
    size_t body_taken; /* size of the message that body gave last, dropped by release or the next
                          feed */
};

/* Allocates nothing. A message of more than message_bytes_max is refused. Cannot fail. */
void grpc_decoder_init(struct grpc_decoder *decoder, uint32_t message_bytes_max);
void grpc_decoder_deinit(struct grpc_decoder *decoder);

/*
 * Takes bytes up to the end of the next message. ret_used is how many; AGAIN: all were taken, the
 * message is not complete. OK: ret_message is a whole one; it points into input or into the decoder
 * and is valid while both are untouched. LIMIT: announced too large. UNSUPPORTED: compressed. PEER:
 * an impossible flag. NO_MEMORY. After an error the decoder is only good for deinit.
 */
[[nodiscard]] enum status grpc_decoder_feed(struct grpc_decoder *decoder, struct slice input,
                                            size_t *ret_used, struct slice *ret_message);

/* Frees a message that came in pieces once its reader is done with it. */
void grpc_decoder_release(struct grpc_decoder *decoder);

/* Whether a message has begun and is not complete: its end now would be a truncation. */
bool grpc_decoder_is_inside(const struct grpc_decoder *decoder);

/* Bytes allocated for a message that is not complete. */
size_t grpc_decoder_held_bytes(const struct grpc_decoder *decoder);

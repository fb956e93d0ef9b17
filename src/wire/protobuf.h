/*
 * protobuf.h - what the codecs of this layer share: bounded unpacking, packing, a field reader.
 *
 * Only for this layer. The C code is generated with every string as bytes (the same on the wire),
 * so that a zero inside a string cannot hide what follows it.
 */
#pragma once

#include "base/bytes.h"
#include "base/digest.h"
#include "base/status.h"

#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>

/*
 * Unpacks input, allocating at most a small multiple of its size, whatever it holds.
 * PEER where it is not such a message or longer than size_max, LIMIT for one that needs more
 * memory, NO_MEMORY. Give the message to protobuf_free.
 */
[[nodiscard]] enum status protobuf_unpack(const ProtobufCMessageDescriptor *descriptor,
                                          struct slice input, size_t size_max,
                                          ProtobufCMessage **ret_message, struct error *err);
void protobuf_free(ProtobufCMessage *message);

/* Appends the message. LIMIT and NO_MEMORY from out, which is unchanged then. */
[[nodiscard]] enum status protobuf_pack(const ProtobufCMessage *message, struct bytes *out);

/* Appends the message as a field of length-delimited type. Errors as protobuf_pack. */
[[nodiscard]] enum status protobuf_pack_field(uint32_t number, const ProtobufCMessage *message,
                                              struct bytes *out);

enum { VARINT_BYTES_MAX = 10 };

enum field_type {
    FIELD_VARINT = 0,
    FIELD_FIXED64 = 1,
    FIELD_BYTES = 2,
    FIELD_FIXED32 = 5,
};

/* One field of a message; data lies in the message. */
struct field {
    uint32_t number;
    enum field_type type;
    uint64_t value;    /* VARINT */
    struct slice data; /* BYTES */
};

/* The size of value as a varint, written to ret (VARINT_BYTES_MAX room). */
size_t varint_encode(uint64_t value, uint8_t *ret);

/*
 * Takes the first field off rest, which must not be empty. PEER where it is not a field; groups are
 * not. rest is unchanged then.
 */
[[nodiscard]] enum status field_take(struct slice *rest, struct field *ret_field);

/* Borrowed bytes for packing; an all-zero digest is absent. */
ProtobufCBinaryData protobuf_bytes(const void *data, size_t size);
ProtobufCBinaryData protobuf_digest(const struct digest *digest);

/*
 * The text for packing, cut before the first byte that is not UTF-8 (a text that was cut in the
 * middle of a character) and at capacity - 1.
 */
ProtobufCBinaryData protobuf_text(const char *text, size_t capacity);

/* Nothing gives the zero digest. False for any length but 0 and 32. */
[[nodiscard]] bool digest_take(ProtobufCBinaryData data, struct digest *ret_digest);

/* Copies text with a zero. False where it does not fit, is not UTF-8 or holds a zero. */
[[nodiscard]] bool text_take(ProtobufCBinaryData data, char *ret, size_t capacity);

/*
 * True for a terminated string of size_min to capacity - 1 bytes of UTF-8 without control
 * characters.
 */
bool text_is_printable(const char *text, size_t size_min, size_t capacity);

/* True for a terminated, printable ASCII string that begins with spiffe:// and goes on. */
bool text_is_spiffe_id(const char *text, size_t capacity);

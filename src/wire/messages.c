/*
 * messages.c - the small messages and the chunks between plain structs and protobuf bytes.
 *
 * Each struct has one check, used before encoding and after decoding. Not here: Join and its
 * directives (directive.c).
 */
#include "wire/messages.h"

#include "base/check.h"
#include "wire/federation.pb-c.h"
#include "wire/protobuf.h"

#include <string.h>

static enum status malformed(struct error *err, const char *what)
{
    return error_set(err, STATUS_PEER, "%s", what);
}

/* A part carries data up to here, so offset + size cannot overflow. */
static const uint64_t OFFSET_MAX = UINT64_C(1) << 62;

enum status blob_request_encode(const struct blob_request *request, struct bytes *out)
{
    if (digest_is_zero(&request->digest) || request->offset > OFFSET_MAX)
        return STATUS_INVAL;
    Fedra__V1__BlobRequest message = FEDRA__V1__BLOB_REQUEST__INIT;
    message.digest = protobuf_digest(&request->digest);
    message.offset = request->offset;
    return protobuf_pack(&message.base, out);
}

enum status blob_request_decode(struct slice input, struct blob_request *ret_request,
                                struct error *err)
{
    ProtobufCMessage *base = nullptr;
    struct blob_request request = {0};
    enum status status = protobuf_unpack(&fedra__v1__blob_request__descriptor, input,
                                         SMALL_MESSAGE_BYTES_MAX, &base, err);
    if (status != STATUS_OK)
        return status;
    const Fedra__V1__BlobRequest *const message = (const Fedra__V1__BlobRequest *)base;
    request.offset = message->offset;
    if (!digest_take(message->digest, &request.digest) || digest_is_zero(&request.digest))
        status = malformed(err, "blob request: digest is not 32 bytes");
    else if (request.offset > OFFSET_MAX)
        status = malformed(err, "blob request: offset is over 2^62");
    protobuf_free(base);
    if (status == STATUS_OK)
        *ret_request = request;
    return status;
}

/* A tag of a field below 16 and a number after it. */
static size_t tag_encode(uint32_t number, enum field_type type, uint64_t value, uint8_t *ret)
{
    ret[0] = (uint8_t)(number << 3 | type);
    return 1 + varint_encode(value, ret + 1);
}

size_t chunk_prefix_encode(uint64_t offset, size_t size,
                           uint8_t ret_prefix[static CHUNK_PREFIX_BYTES_MAX])
{
    CHECK(size <= BLOB_CHUNK_BYTES && offset <= OFFSET_MAX);
    size_t used = 0;
    if (offset > 0)
        used = tag_encode(1, FIELD_VARINT, offset, ret_prefix);
    return used + tag_encode(2, FIELD_BYTES, size, ret_prefix + used);
}

enum status chunk_decode(struct slice input, struct chunk *ret_chunk, struct error *err)
{
    struct chunk chunk = {0};
    if (input.size > UPDATE_PART_BYTES_MAX)
        return malformed(err, "chunk: longer than a chunk can be");
    while (input.size > 0) {
        struct field field;
        if (field_take(&input, &field) != STATUS_OK)
            return malformed(err, "chunk: not a protobuf message");
        if (field.number == 1 && field.type == FIELD_VARINT)
            chunk.offset = field.value;
        else if (field.number == 2 && field.type == FIELD_BYTES)
            chunk.data = field.data;
        else if (field.number <= 2)
            return malformed(err, "chunk: a field of another type");
    }
    if (chunk.data.size > BLOB_CHUNK_BYTES)
        return malformed(err, "chunk: more than 1 MiB of data");
    if (chunk.offset > OFFSET_MAX)
        return malformed(err, "chunk: offset is over 2^62");
    *ret_chunk = chunk;
    return STATUS_OK;
}

enum status update_part_encode_envelope(struct slice envelope, struct bytes *out)
{
    if (envelope.size == 0 || envelope.size > ENVELOPE_BYTES_MAX)
        return STATUS_INVAL;
    uint8_t tag[1 + VARINT_BYTES_MAX];
    const size_t tag_size = tag_encode(UPDATE_PART_ENVELOPE, FIELD_BYTES, envelope.size, tag);
    const enum status status = bytes_reserve(out, tag_size + envelope.size);
    if (status != STATUS_OK)
        return status;
    memcpy(out->data + out->size, tag, tag_size);
    memcpy(out->data + out->size + tag_size, envelope.data, envelope.size);
    out->size += tag_size + envelope.size;
    return STATUS_OK;
}

size_t update_part_prefix_encode(uint64_t offset, size_t size,
                                 uint8_t ret_prefix[static CHUNK_PREFIX_BYTES_MAX])
{
    uint8_t inner[CHUNK_PREFIX_BYTES_MAX];
    const size_t inner_size = chunk_prefix_encode(offset, size, inner);
    const size_t used = tag_encode(UPDATE_PART_CHUNK, FIELD_BYTES, inner_size + size, ret_prefix);
    CHECK(used + inner_size <= CHUNK_PREFIX_BYTES_MAX);
    memcpy(ret_prefix + used, inner, inner_size);
    return used + inner_size;
}

enum status update_part_decode(struct slice input, struct update_part *ret_part, struct error *err)
{
    if (input.size > UPDATE_PART_BYTES_MAX)
        return malformed(err, "update part: longer than a part can be");
    struct field found = {0};
    while (input.size > 0) {
        struct field field;
        if (field_take(&input, &field) != STATUS_OK)
            return malformed(err, "update part: not a protobuf message");
        if (field.number > UPDATE_PART_CHUNK)
            continue;
        if (field.type != FIELD_BYTES || found.number != 0)
            return malformed(err, "update part: not one envelope or one chunk");
        found = field;
    }
    struct update_part part = {.kind = (enum update_part_kind)found.number};
    if (found.number == 0)
        return malformed(err, "update part: neither an envelope nor a chunk");
    if (found.number == UPDATE_PART_CHUNK) {
        const enum status status = chunk_decode(found.data, &part.chunk, err);
        if (status != STATUS_OK)
            return status;
    } else {
        if (found.data.size == 0 || found.data.size > ENVELOPE_BYTES_MAX)
            return malformed(err, "update part: an envelope of a size it cannot have");
        part.envelope = found.data;
    }
    *ret_part = part;
    return STATUS_OK;
}

enum status receipt_encode(const struct receipt *receipt, struct bytes *out)
{
    Fedra__V1__Receipt message = FEDRA__V1__RECEIPT__INIT;
    message.status = receipt->accepted ? FEDRA__V1__RECEIPT_STATUS__RECEIPT_STATUS_ACCEPTED
                                       : FEDRA__V1__RECEIPT_STATUS__RECEIPT_STATUS_REFUSED;
    if (!receipt->accepted)
        message.reason = (Fedra__V1__RefusalReason)reason_of_number((unsigned)receipt->reason);
    message.text = protobuf_text(receipt->text, sizeof(receipt->text));
    return protobuf_pack(&message.base, out);
}

enum status receipt_decode(struct slice input, struct receipt *ret_receipt, struct error *err)
{
    ProtobufCMessage *base = nullptr;
    struct receipt receipt = {0};
    enum status status = protobuf_unpack(&fedra__v1__receipt__descriptor, input,
                                         SMALL_MESSAGE_BYTES_MAX, &base, err);
    if (status != STATUS_OK)
        return status;
    const Fedra__V1__Receipt *const message = (const Fedra__V1__Receipt *)base;
    receipt.accepted = message->status == FEDRA__V1__RECEIPT_STATUS__RECEIPT_STATUS_ACCEPTED;
    if (!receipt.accepted) {
        receipt.reason = reason_of_number((unsigned)message->reason);
        if (message->status != FEDRA__V1__RECEIPT_STATUS__RECEIPT_STATUS_REFUSED)
            status = malformed(err, "receipt: status is neither accepted nor refused");
    }
    if (!text_take(message->text, receipt.text, sizeof(receipt.text)))
        status = malformed(err, "receipt: text is too long or not UTF-8");
    protobuf_free(base);
    if (status == STATUS_OK)
        *ret_receipt = receipt;
    return status;
}

static bool pulse_is_valid(uint64_t sequence, int state)
{
    return sequence >= 1 && state >= PULSE_IDLE && state <= PULSE_DRAINING;
}

enum status pulse_encode(const struct pulse *pulse, struct bytes *out)
{
    if (!pulse_is_valid(pulse->sequence, (int)pulse->state))
        return STATUS_INVAL;
    Fedra__V1__Pulse message = FEDRA__V1__PULSE__INIT;
    message.sequence = pulse->sequence;
    message.sent_ms = pulse->sent_ms;
    message.state = (Fedra__V1__PulseState)pulse->state;
    return protobuf_pack(&message.base, out);
}

enum status pulse_decode(struct slice input, struct pulse *ret_pulse, struct error *err)
{
    ProtobufCMessage *base = nullptr;
    enum status status =
        protobuf_unpack(&fedra__v1__pulse__descriptor, input, SMALL_MESSAGE_BYTES_MAX, &base, err);
    if (status != STATUS_OK)
        return status;
    const Fedra__V1__Pulse *const message = (const Fedra__V1__Pulse *)base;
    if (!pulse_is_valid(message->sequence, (int)message->state))
        status = malformed(err, "pulse: sequence 0 or a state that is not known");
    else
        *ret_pulse =
            (struct pulse){message->sequence, message->sent_ms, (enum pulse_state)message->state};
    protobuf_free(base);
    return status;
}

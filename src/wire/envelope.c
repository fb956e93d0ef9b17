/*
 * envelope.c - signed headers: sealed, split, verified.
 *
 * Not here: what a header holds (header.c).
 */
#include "wire/envelope.h"

#include "base/check.h"
#include "wire/envelope.pb-c.h"
#include "wire/protobuf.h"
#include "wire/refuse.h"

#include <string.h>

const char *envelope_context(enum envelope_kind kind)
{
    switch (kind) {
    case ENVELOPE_UPDATE:
        return "fedra/v1/update";
    case ENVELOPE_BEACON:
        return "fedra/v1/beacon";
    case ENVELOPE_COMMIT:
        return "fedra/v1/commit";
    case ENVELOPE_STATEMENT:
        return "fedra/v1/statement";
    }
    check_failed("a known kind", __FILE__, __LINE__);
}

enum status envelope_seal(struct envelope_header *header, const struct signer *signer,
                          struct bytes *out, struct error *err)
{
    uint8_t signature[SIGNATURE_BYTES_MAX];
    size_t signature_size = 0;
    struct bytes encoded;
    bytes_init(&encoded, HEADER_BYTES_MAX);
    memcpy(header->spiffe_id, signer->spiffe_id, sizeof(header->spiffe_id));
    header->key_id = signer->key_id;
    enum status status = header_encode(header, &encoded, err);
    if (status != STATUS_OK)
        goto out;
    status = signer->ops->sign(signer->state, envelope_context(header->kind), bytes_slice(&encoded),
                               signature, &signature_size);
    if (status != STATUS_OK) {
        status = error_set(err, status, "cannot sign as %.200s: %s", header->spiffe_id,
                           status_text(status));
        goto out;
    }
    CHECK(signature_size > 0 && signature_size <= SIGNATURE_BYTES_MAX);
    Fedra__V1__Envelope message = FEDRA__V1__ENVELOPE__INIT;
    message.header = protobuf_bytes(encoded.data, encoded.size);
    message.signature = protobuf_bytes(signature, signature_size);
    status = protobuf_pack(&message.base, out);
    if (status != STATUS_OK)
        status = error_set(err, status, "no room for an envelope");
out:
    bytes_deinit(&encoded);
    return status;
}

/* The three fields, as slices of input; false where it is not an envelope. */
static bool envelope_split(struct slice input, struct slice ret_fields[static 3])
{
    while (input.size > 0) {
        struct field field;
        if (field_take(&input, &field) != STATUS_OK)
            return false;
        if (field.number > 3)
            continue;
        if (field.type != FIELD_BYTES)
            return false;
        ret_fields[field.number - 1] = field.data;
    }
    return true;
}

enum status envelope_parse(struct slice input, const struct envelope_limits *limits,
                           struct envelope *ret_envelope, struct refusal *refusal)
{
    struct slice fields[3] = {0};
    if (input.size > ENVELOPE_BYTES_MAX)
        return refuse(refusal, STATUS_PEER, REASON_MALFORMED,
                      "envelope of %zu bytes, at most %d are taken", input.size,
                      ENVELOPE_BYTES_MAX);
    if (!envelope_split(input, fields))
        return refuse(refusal, STATUS_PEER, REASON_MALFORMED, "%zu bytes that are not an envelope",
                      input.size);
    if (fields[2].size > 0)
        return refuse(refusal, STATUS_PEER, REASON_UNSUPPORTED, "envelope: sealed must be empty");
    if (fields[1].size == 0 || fields[1].size > SIGNATURE_BYTES_MAX)
        return refuse(refusal, STATUS_PEER, REASON_MALFORMED,
                      "envelope: a signature of %zu bytes, 1 to %d are right", fields[1].size,
                      SIGNATURE_BYTES_MAX);
    struct envelope envelope = {.header_bytes = fields[0], .signature = fields[1]};
    const enum status status = header_decode(fields[0], limits, &envelope.header, refusal);
    if (status == STATUS_OK)
        *ret_envelope = envelope;
    return status;
}

enum status envelope_verify(const struct envelope *envelope, const struct verifier *verifier,
                            int64_t now_unix_s, struct refusal *refusal)
{
    const struct envelope_header *const header = &envelope->header;
    char spiffe_id[SPIFFE_ID_MAX] = {0};
    struct error error = {0};
    const enum status status = verifier->ops->verify(
        verifier->state, &header->key_id, envelope_context(header->kind), envelope->header_bytes,
        envelope->signature, now_unix_s, spiffe_id, &error);
    if (status != STATUS_OK) {
        const enum reason reason = status == STATUS_IDENTITY    ? REASON_IDENTITY
                                   : status == STATUS_SIGNATURE ? REASON_SIGNATURE
                                                                : REASON_INTERNAL;
        return refuse(refusal, status, reason, "%s",
                      error.text[0] != 0 ? error.text : status_text(status));
    }
    if (strncmp(spiffe_id, header->spiffe_id, sizeof(spiffe_id)) != 0)
        return refuse(refusal, STATUS_IDENTITY, REASON_IDENTITY,
                      "signed by the key of %.200s, but the header says %.200s", spiffe_id,
                      header->spiffe_id);
    return STATUS_OK;
}

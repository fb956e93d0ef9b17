/*
 * record.c - commit records: the accepted set, the whole record, its signature.
 *
 * Not here: the head's fields (record_head.c).
 */
#include "wire/record.h"

#include "base/check.h"
#include "wire/protobuf.h"
#include "wire/record.pb-c.h"
#include "wire/record_head.h"

#include <inttypes.h>
#include <string.h>

enum { RECORD_FIELD_HEAD = 1, RECORD_FIELD_ACCEPTED = 2 };

/* What the order of the accepted set is judged by; job and key id are compared on the way. */
struct accepted_walk {
    char spiffe_id[SPIFFE_ID_MAX];
    uint64_t sequence;
    uint32_t count;
};

/* CORRUPT where the next accepted update does not follow the one before it in its record. */
static enum status walk_next(struct accepted_walk *walk, const struct record_accepted *accepted,
                             const char *job, struct error *err)
{
    static const struct envelope_limits all = {UINT64_MAX, UINT64_MAX};
    struct envelope_header header;
    struct refusal refusal = {0};
    const enum status status = header_decode(accepted->header_bytes, &all, &header, &refusal);
    if (status == STATUS_NO_MEMORY)
        return error_set(err, status, "%s", refusal.error.text);
    if (status != STATUS_OK)
        return error_set(err, STATUS_CORRUPT, "record: accepted %u: %.400s", walk->count,
                         refusal.error.text);
    if (accepted->signature.size == 0 || accepted->signature.size > SIGNATURE_BYTES_MAX)
        return error_set(err, STATUS_CORRUPT, "record: accepted %u: a signature of %zu bytes",
                         walk->count, accepted->signature.size);
    if (header.kind != ENVELOPE_UPDATE || strcmp(header.job, job) != 0)
        return error_set(err, STATUS_CORRUPT, "record: accepted %u is not an update of job %s",
                         walk->count, job);
    if (!digest_equal(&header.key_id, &accepted->key_id))
        return error_set(err, STATUS_CORRUPT, "record: accepted %u: key_id is not the header's",
                         walk->count);
    const int order = strcmp(walk->spiffe_id, header.spiffe_id);
    if (order > 0 || (order == 0 && walk->sequence >= header.sequence))
        return error_set(err, STATUS_CORRUPT, "record: accepted %u is out of order", walk->count);
    memcpy(walk->spiffe_id, header.spiffe_id, sizeof(walk->spiffe_id));
    walk->sequence = header.sequence;
    walk->count++;
    return STATUS_OK;
}

static enum status accepted_encode(const struct record_accepted *accepted, struct bytes *out)
{
    Fedra__V1__Accepted message = FEDRA__V1__ACCEPTED__INIT;
    message.header = protobuf_bytes(accepted->header_bytes.data, accepted->header_bytes.size);
    message.signature = protobuf_bytes(accepted->signature.data, accepted->signature.size);
    message.weight = accepted->weight;
    message.key_id = protobuf_digest(&accepted->key_id);
    message.order = accepted->order;
    return protobuf_pack_field(RECORD_FIELD_ACCEPTED, &message.base, out);
}

enum status record_encode(const struct record_head *head, const struct record_accepted *accepted,
                          struct bytes *out, struct error *err)
{
    const size_t before = out->size;
    enum status status = record_head_encode(head, out, err);
    struct accepted_walk walk = {0};
    for (uint32_t i = 0; i < head->accepted_count && status == STATUS_OK; i++) {
        status = walk_next(&walk, &accepted[i], head->job, err);
        CHECK(status != STATUS_CORRUPT);
        if (status == STATUS_OK)
            status = accepted_encode(&accepted[i], out);
        if (status == STATUS_LIMIT)
            status = error_set(err, status, "record: no room for %u updates", head->accepted_count);
    }
    if (status != STATUS_OK)
        out->size = before;
    return status;
}

/* Reads one Accepted; false where it is not one. */
static bool accepted_decode(struct slice input, struct record_accepted *ret_accepted)
{
    struct record_accepted accepted = {0};
    struct slice key_id = {0};
    while (input.size > 0) {
        struct field field;
        if (field_take(&input, &field) != STATUS_OK)
            return false;
        const bool number = field.number == 3 || field.number == 5;
        if (field.number > 5)
            continue;
        if (field.type != (number ? FIELD_VARINT : FIELD_BYTES) || field.value > UINT32_MAX)
            return false;
        if (field.number == 1)
            accepted.header_bytes = field.data;
        else if (field.number == 2)
            accepted.signature = field.data;
        else if (field.number == 3)
            accepted.weight = (uint32_t)field.value;
        else if (field.number == 4)
            key_id = field.data;
        else
            accepted.order = (uint32_t)field.value;
    }
    if (key_id.size != DIGEST_BYTES)
        return false;
    memcpy(accepted.key_id.bytes, key_id.data, DIGEST_BYTES);
    *ret_accepted = accepted;
    return true;
}

/* Takes the next accepted update off rest; false where there is none. */
static bool accepted_take(struct slice *rest, struct record_accepted *ret_accepted)
{
    struct field field;
    struct slice left = *rest;
    if (field_take(&left, &field) != STATUS_OK || field.number != RECORD_FIELD_ACCEPTED ||
        field.type != FIELD_BYTES || !accepted_decode(field.data, ret_accepted))
        return false;
    *rest = left;
    return true;
}

enum status record_decode(struct slice input, struct record *ret_record, struct error *err)
{
    struct record record = {0};
    struct field field;
    if (input.size == 0 || field_take(&input, &field) != STATUS_OK ||
        field.number != RECORD_FIELD_HEAD || field.type != FIELD_BYTES)
        return error_set(err, STATUS_CORRUPT, "record: it does not begin with a head");
    enum status status = record_head_decode(field.data, &record.head, err);
    if (status != STATUS_OK)
        return status;
    record.accepted = input;
    struct accepted_walk walk = {0};
    while (input.size > 0) {
        struct record_accepted accepted;
        if (!accepted_take(&input, &accepted))
            return error_set(err, STATUS_CORRUPT, "record: after %u updates, what is no update",
                             walk.count);
        status = walk_next(&walk, &accepted, record.head.job, err);
        if (status != STATUS_OK)
            return status;
    }
    if (walk.count != record.head.accepted_count)
        return error_set(err, STATUS_CORRUPT, "record: %u updates, its head says %u", walk.count,
                         record.head.accepted_count);
    *ret_record = record;
    return STATUS_OK;
}

void record_iter_init(struct record_iter *iter, const struct record *record)
{
    *iter = (struct record_iter){record->accepted};
}

bool record_iter_next(struct record_iter *iter, struct record_accepted *ret_accepted)
{
    if (iter->rest.size == 0)
        return false;
    const bool taken = accepted_take(&iter->rest, ret_accepted);
    CHECK(taken); /* record_decode has seen every one */
    return true;
}

enum status record_sign(struct slice record, const struct signer *signer, struct bytes *out,
                        struct digest *ret_version_id)
{
    struct digest version_id;
    uint8_t signature[SIGNATURE_BYTES_MAX];
    size_t signature_size = 0;
    digest_of(record.data, record.size, &version_id);
    enum status status = signer->ops->sign(signer->state, envelope_context(ENVELOPE_COMMIT),
                                           (struct slice){version_id.bytes, DIGEST_BYTES},
                                           signature, &signature_size);
    if (status != STATUS_OK)
        return status;
    CHECK(signature_size > 0 && signature_size <= SIGNATURE_BYTES_MAX);
    Fedra__V1__SignedRecord message = FEDRA__V1__SIGNED_RECORD__INIT;
    message.record = protobuf_bytes(record.data, record.size);
    message.signature = protobuf_bytes(signature, signature_size);
    message.key_id = protobuf_digest(&signer->key_id);
    status = protobuf_pack(&message.base, out);
    if (status == STATUS_OK)
        *ret_version_id = version_id;
    return status;
}

enum status signed_record_decode(struct slice input, struct signed_record *ret_record,
                                 struct error *err)
{
    struct slice fields[3] = {0};
    while (input.size > 0) {
        struct field field;
        if (field_take(&input, &field) != STATUS_OK)
            return error_set(err, STATUS_CORRUPT, "signed record: not a protobuf message");
        if (field.number > 3)
            continue;
        if (field.type != FIELD_BYTES)
            return error_set(err, STATUS_CORRUPT, "signed record: a field of another type");
        fields[field.number - 1] = field.data;
    }
    if (fields[0].size == 0 || fields[1].size == 0 || fields[1].size > SIGNATURE_BYTES_MAX ||
        fields[2].size != DIGEST_BYTES)
        return error_set(err, STATUS_CORRUPT,
                         "signed record: record, signature or key_id has not its size");
    struct signed_record record = {.record = fields[0], .signature = fields[1]};
    memcpy(record.key_id.bytes, fields[2].data, DIGEST_BYTES);
    digest_of(record.record.data, record.record.size, &record.version_id);
    *ret_record = record;
    return STATUS_OK;
}

enum status signed_record_verify(const struct signed_record *record,
                                 const struct verifier *verifier, int64_t now_unix_s,
                                 char ret_spiffe_id[static SPIFFE_ID_MAX], struct error *err)
{
    return verifier->ops->verify(verifier->state, &record->key_id,
                                 envelope_context(ENVELOPE_COMMIT),
                                 (struct slice){record->version_id.bytes, DIGEST_BYTES},
                                 record->signature, now_unix_s, ret_spiffe_id, err);
}

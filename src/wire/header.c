/*
 * header.c - headers between the plain struct and protobuf bytes, and the cheap checks on them.
 *
 * Not here: envelopes and signatures (envelope.c).
 */
#include "wire/envelope.h"

#include "wire/envelope.pb-c.h"
#include "wire/protobuf.h"
#include "wire/refuse.h"

#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const uint64_t SAMPLES_MAX = UINT64_C(1) << 48;
static const uint64_t DEADLINE_MS_MAX = UINT64_C(30) * 24 * 3600 * 1000; /* 30 days */
enum { UPDATES_MAX = 1 << 20 }; /* the accumulator's bound */

enum status refuse(struct refusal *refusal, enum status status, enum reason reason,
                   const char *format, ...)
{
    if (refusal == nullptr)
        return status;
    refusal->reason = reason;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(refusal->error.text, sizeof(refusal->error.text), format, arguments);
    va_end(arguments);
    return status;
}

static enum status check_strings(const struct envelope_header *header, struct refusal *refusal)
{
    const size_t job_min = header->kind == ENVELOPE_STATEMENT ? 0 : 1;
    if (!text_is_spiffe_id(header->spiffe_id, sizeof(header->spiffe_id)))
        return refuse(refusal, STATUS_PEER, REASON_MALFORMED,
                      "header: spiffe_id is not spiffe:// and up to %d printable bytes",
                      SPIFFE_ID_MAX - 1);
    if (!text_is_printable(header->job, job_min, sizeof(header->job)))
        return refuse(refusal, STATUS_PEER, REASON_MALFORMED,
                      "header: job is not %zu to %d printable bytes", job_min, JOB_NAME_MAX - 1);
    if (digest_is_zero(&header->key_id))
        return refuse(refusal, STATUS_PEER, REASON_MALFORMED, "header: key_id is missing");
    return STATUS_OK;
}

static enum status check_codec(const struct envelope_header *header,
                               const struct envelope_limits *limits, struct refusal *refusal)
{
    if (header->hash_id != DIGEST_SHA256)
        return refuse(refusal, STATUS_PEER, REASON_UNSUPPORTED, "header: hash %u, %d is known",
                      header->hash_id, DIGEST_SHA256);
    if (header->codec_id >= CODEC_ID_LIMIT || (limits->codecs >> header->codec_id & 1) == 0)
        return refuse(refusal, STATUS_PEER, REASON_UNSUPPORTED, "header: codec %u is not taken",
                      header->codec_id);
    return STATUS_OK;
}

static bool is_share(bool present, double value)
{
    return !present || (value >= 0 && value <= 1);
}

static enum status check_numbers(const struct envelope_header *header,
                                 const struct envelope_limits *limits, struct refusal *refusal)
{
    if (header->kind != ENVELOPE_STATEMENT && header->epoch == 0)
        return refuse(refusal, STATUS_PEER, REASON_MALFORMED, "header: epoch 0, from 1 is right");
    if (header->payload_length > limits->payload_bytes_max)
        return refuse(refusal, STATUS_LIMIT, REASON_TOO_LARGE,
                      "header: a payload of %" PRIu64 " bytes, at most %" PRIu64 " are taken",
                      header->payload_length, limits->payload_bytes_max);
    if ((header->payload_length == 0) != digest_is_zero(&header->payload_digest))
        return refuse(refusal, STATUS_PEER, REASON_MALFORMED,
                      "header: payload_digest and payload_length do not go together");
    if (!isfinite(header->loss) || (header->has_holdout_loss && !isfinite(header->holdout_loss)))
        return refuse(refusal, STATUS_PEER, REASON_NON_FINITE, "header: a loss is not finite");
    if (!is_share(header->has_accuracy, header->accuracy) ||
        !is_share(header->has_holdout_accuracy, header->holdout_accuracy))
        return refuse(refusal, STATUS_PEER, REASON_MALFORMED,
                      "header: an accuracy is not in [0, 1]");
    if (header->samples > SAMPLES_MAX || header->holdout_samples > SAMPLES_MAX)
        return refuse(refusal, STATUS_PEER, REASON_SAMPLES,
                      "header: more samples than 2^48 are not believed");
    if (header->deadline_ms > DEADLINE_MS_MAX)
        return refuse(refusal, STATUS_PEER, REASON_MALFORMED,
                      "header: deadline_ms %" PRIu64 " is over 30 days", header->deadline_ms);
    return STATUS_OK;
}

static enum status check_update(const struct envelope_header *header, struct refusal *refusal)
{
    if (header->payload_length == 0)
        return refuse(refusal, STATUS_PEER, REASON_MALFORMED, "update: it has no payload");
    if (digest_is_zero(&header->base_id) || digest_is_zero(&header->base_digest))
        return refuse(refusal, STATUS_PEER, REASON_MALFORMED,
                      "update: base_id or base_digest is missing");
    if (digest_is_zero(&header->layout_digest))
        return refuse(refusal, STATUS_PEER, REASON_MALFORMED, "update: layout_digest is missing");
    if (header->samples == 0)
        return refuse(refusal, STATUS_PEER, REASON_SAMPLES, "update: trained on no samples");
    if (header->updates == 0 || header->updates > UPDATES_MAX)
        return refuse(refusal, STATUS_PEER, REASON_SAMPLES,
                      "update: %u updates in it, 1 to %d are right", header->updates, UPDATES_MAX);
    return STATUS_OK;
}

static enum status check_beacon(const struct envelope_header *header,
                                const struct envelope_limits *limits, struct refusal *refusal)
{
    static const uint8_t zeros[INSTANCE_ID_BYTES] = {0};
    if (digest_is_zero(&header->version_id) || digest_is_zero(&header->model_digest) ||
        digest_is_zero(&header->model_blob_digest) || digest_is_zero(&header->layout_digest))
        return refuse(refusal, STATUS_PEER, REASON_MALFORMED,
                      "beacon: version_id or a digest of the model is missing");
    if (header->model_blob_length == 0)
        return refuse(refusal, STATUS_PEER, REASON_MALFORMED, "beacon: a model of 0 bytes");
    if (header->model_blob_length > limits->payload_bytes_max)
        return refuse(refusal, STATUS_LIMIT, REASON_TOO_LARGE,
                      "beacon: a model of %" PRIu64 " bytes, at most %" PRIu64 " are taken",
                      header->model_blob_length, limits->payload_bytes_max);
    if (memcmp(header->instance_id, zeros, sizeof(zeros)) == 0)
        return refuse(refusal, STATUS_PEER, REASON_MALFORMED, "beacon: instance_id is missing");
    return STATUS_OK;
}

static enum status check_kind(const struct envelope_header *header,
                              const struct envelope_limits *limits, struct refusal *refusal)
{
    switch (header->kind) {
    case ENVELOPE_UPDATE:
        return check_update(header, refusal);
    case ENVELOPE_BEACON:
        return check_beacon(header, limits, refusal);
    case ENVELOPE_COMMIT:
        if (digest_is_zero(&header->version_id))
            return refuse(refusal, STATUS_PEER, REASON_MALFORMED, "commit: version_id is missing");
        return STATUS_OK;
    case ENVELOPE_STATEMENT:
        return STATUS_OK;
    }
    return refuse(refusal, STATUS_PEER, REASON_MALFORMED, "header: kind %d is not known",
                  (int)header->kind);
}

static enum status check_header(const struct envelope_header *header,
                                const struct envelope_limits *limits, struct refusal *refusal)
{
    enum status status = check_strings(header, refusal);
    if (status == STATUS_OK)
        status = check_codec(header, limits, refusal);
    if (status == STATUS_OK)
        status = check_numbers(header, limits, refusal);
    if (status == STATUS_OK)
        status = check_kind(header, limits, refusal);
    return status;
}

/* The message borrows from header. */
static void message_of_header(const struct envelope_header *header, Fedra__V1__Header *message)
{
    message->version = WIRE_VERSION;
    message->kind = (Fedra__V1__Kind)header->kind;
    message->spiffe_id = protobuf_text(header->spiffe_id, sizeof(header->spiffe_id));
    message->key_id = protobuf_digest(&header->key_id);
    message->hash_id = header->hash_id;
    message->codec_id = header->codec_id;
    message->job = protobuf_text(header->job, sizeof(header->job));
    message->fork = header->fork;
    message->epoch = header->epoch;
    message->round = header->round;
    message->attempt = header->attempt;
    message->base_number = header->base_number;
    message->base_id = protobuf_digest(&header->base_id);
    message->base_digest = protobuf_digest(&header->base_digest);
    message->sequence = header->sequence;
    message->payload_digest = protobuf_digest(&header->payload_digest);
    message->payload_length = header->payload_length;
    message->layout_digest = protobuf_digest(&header->layout_digest);
    message->samples = header->samples;
    message->loss = header->loss;
    message->accuracy_or_none_case = header->has_accuracy ? 21 : 0;
    message->accuracy = header->accuracy;
    message->version_number = header->version_number;
    message->version_id = protobuf_digest(&header->version_id);
    message->model_digest = protobuf_digest(&header->model_digest);
    message->model_blob_digest = protobuf_digest(&header->model_blob_digest);
    message->model_blob_length = header->model_blob_length;
    message->deadline_ms = header->deadline_ms;
    if (header->kind == ENVELOPE_BEACON)
        message->instance_id = protobuf_bytes(header->instance_id, INSTANCE_ID_BYTES);
    message->updates = header->updates;
    message->holdout_loss_or_none_case = header->has_holdout_loss ? 30 : 0;
    message->holdout_loss = header->holdout_loss;
    message->holdout_accuracy_or_none_case = header->has_holdout_accuracy ? 31 : 0;
    message->holdout_accuracy = header->holdout_accuracy;
    message->holdout_samples = header->holdout_samples;
}

/* Copies the numbers; an optional one that is absent stays 0. */
static void numbers_of_message(const Fedra__V1__Header *message, struct envelope_header *header)
{
    header->kind = (enum envelope_kind)message->kind;
    header->hash_id = message->hash_id;
    header->codec_id = message->codec_id;
    header->fork = message->fork;
    header->epoch = message->epoch;
    header->round = message->round;
    header->attempt = message->attempt;
    header->base_number = message->base_number;
    header->sequence = message->sequence;
    header->payload_length = message->payload_length;
    header->samples = message->samples;
    header->loss = message->loss;
    header->version_number = message->version_number;
    header->model_blob_length = message->model_blob_length;
    header->deadline_ms = message->deadline_ms;
    header->updates = message->updates;
    header->holdout_samples = message->holdout_samples;
    header->has_accuracy = message->accuracy_or_none_case != 0;
    if (header->has_accuracy)
        header->accuracy = message->accuracy;
    header->has_holdout_loss = message->holdout_loss_or_none_case != 0;
    if (header->has_holdout_loss)
        header->holdout_loss = message->holdout_loss;
    header->has_holdout_accuracy = message->holdout_accuracy_or_none_case != 0;
    if (header->has_holdout_accuracy)
        header->holdout_accuracy = message->holdout_accuracy;
}

/* Copies strings, digests and ids; false where one has a length or bytes it cannot have. */
static bool header_of_message(const Fedra__V1__Header *message, struct envelope_header *header)
{
    numbers_of_message(message, header);
    const ProtobufCBinaryData instance = message->instance_id;
    if (instance.len != 0 && instance.len != INSTANCE_ID_BYTES)
        return false;
    if (instance.len != 0)
        memcpy(header->instance_id, instance.data, INSTANCE_ID_BYTES);
    return text_take(message->spiffe_id, header->spiffe_id, sizeof(header->spiffe_id)) &&
           text_take(message->job, header->job, sizeof(header->job)) &&
           digest_take(message->key_id, &header->key_id) &&
           digest_take(message->base_id, &header->base_id) &&
           digest_take(message->base_digest, &header->base_digest) &&
           digest_take(message->payload_digest, &header->payload_digest) &&
           digest_take(message->layout_digest, &header->layout_digest) &&
           digest_take(message->version_id, &header->version_id) &&
           digest_take(message->model_digest, &header->model_digest) &&
           digest_take(message->model_blob_digest, &header->model_blob_digest);
}

enum status header_encode(const struct envelope_header *header, struct bytes *out,
                          struct error *err)
{
    static const struct envelope_limits all = {UINT64_MAX, UINT64_MAX};
    struct refusal refusal = {0};
    if (check_header(header, &all, &refusal) != STATUS_OK)
        return error_set(err, STATUS_INVAL, "%s", refusal.error.text);
    Fedra__V1__Header message = FEDRA__V1__HEADER__INIT;
    message_of_header(header, &message);
    const enum status status = protobuf_pack(&message.base, out);
    return status == STATUS_OK ? status : error_set(err, status, "no room for a header");
}

enum status header_decode(struct slice input, const struct envelope_limits *limits,
                          struct envelope_header *ret_header, struct refusal *refusal)
{
    struct error error = {0};
    ProtobufCMessage *base = nullptr;
    struct envelope_header header = {0};
    enum status status =
        protobuf_unpack(&fedra__v1__header__descriptor, input, HEADER_BYTES_MAX, &base, &error);
    if (status != STATUS_OK)
        return refuse(refusal, status,
                      status == STATUS_NO_MEMORY ? REASON_INTERNAL : REASON_MALFORMED, "%s",
                      error.text);
    const Fedra__V1__Header *const message = (const Fedra__V1__Header *)base;
    if (message->version != WIRE_VERSION)
        status = refuse(refusal, STATUS_PEER, REASON_VERSION, "header: version %u, %d is known",
                        message->version, WIRE_VERSION);
    else if (!header_of_message(message, &header))
        status = refuse(refusal, STATUS_PEER, REASON_MALFORMED,
                        "header: a string, id or digest of a length or of bytes it cannot have");
    else
        status = check_header(&header, limits, refusal);
    protobuf_free(base);
    if (status == STATUS_OK)
        *ret_header = header;
    return status;
}

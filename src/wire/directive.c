/*
 * directive.c - Join: what a node asks, and what the coordinator pushes to it.
 *
 * Certificates and tokens stay where they are in the message; the rest is copied.
 */
#include "wire/messages.h"

#include "wire/federation.pb-c.h"
#include "wire/protobuf.h"

#include <string.h>

static enum status malformed(struct error *err, const char *what)
{
    return error_set(err, STATUS_PEER, "%s", what);
}

static bool chain_is_valid(const struct certificate_chain *chain)
{
    if (chain->count > CHAIN_COUNT_MAX)
        return false;
    for (uint32_t i = 0; i < chain->count; i++) {
        const size_t size = chain->certificates[i].size;
        if (size == 0 || size > CERTIFICATE_BYTES_MAX)
            return false;
    }
    return true;
}

/* Fills items, CHAIN_COUNT_MAX of them, with what chain borrows. */
static void chain_borrow(const struct certificate_chain *chain, ProtobufCBinaryData *items)
{
    for (uint32_t i = 0; i < chain->count; i++)
        items[i] = protobuf_bytes(chain->certificates[i].data, chain->certificates[i].size);
}

/*
 * Finds the chain and the token as slices of a message that unpacked well. False where there are
 * too many certificates or one has a size it cannot have.
 */
static bool chain_take(struct slice input, uint32_t chain_number, uint32_t token_number,
                       struct certificate_chain *ret_chain, struct slice *ret_token)
{
    while (input.size > 0) {
        struct field field;
        if (field_take(&input, &field) != STATUS_OK)
            return false;
        if (field.number == token_number)
            *ret_token = field.data;
        if (field.number != chain_number)
            continue;
        if (ret_chain->count == CHAIN_COUNT_MAX)
            return false;
        ret_chain->certificates[ret_chain->count++] = field.data;
    }
    return chain_is_valid(ret_chain) && ret_token->size <= RESUME_TOKEN_BYTES_MAX;
}

static bool update_ref_is_valid(const struct update_ref *ref)
{
    return ref->epoch >= 1 && !digest_is_zero(&ref->payload_digest);
}

/* The message borrows from ref. */
static void message_of_ref(const struct update_ref *ref, Fedra__V1__UpdateRef *message)
{
    fedra__v1__update_ref__init(message);
    message->fork = ref->fork;
    message->epoch = ref->epoch;
    message->round = ref->round;
    message->attempt = ref->attempt;
    message->payload_digest = protobuf_digest(&ref->payload_digest);
}

static bool update_ref_take(const Fedra__V1__UpdateRef *message, struct update_ref *ret_ref)
{
    if (message == nullptr)
        return false;
    *ret_ref = (struct update_ref){.fork = message->fork,
                                   .attempt = message->attempt,
                                   .epoch = message->epoch,
                                   .round = message->round};
    return digest_take(message->payload_digest, &ret_ref->payload_digest) &&
           update_ref_is_valid(ret_ref);
}

static bool held_is_valid(int state)
{
    return state == HELD_UNSENT || state == HELD_ACCEPTED;
}

enum status join_request_encode(const struct join_request *request, struct bytes *out)
{
    if (!text_is_spiffe_id(request->spiffe_id, sizeof(request->spiffe_id)) ||
        !text_is_printable(request->job, 1, sizeof(request->job)) ||
        !chain_is_valid(&request->chain) || request->resume_token.size > RESUME_TOKEN_BYTES_MAX)
        return STATUS_INVAL;
    if (request->has_held &&
        (!held_is_valid((int)request->held_state) || !update_ref_is_valid(&request->held)))
        return STATUS_INVAL;
    ProtobufCBinaryData chain[CHAIN_COUNT_MAX];
    Fedra__V1__UpdateRef ref = FEDRA__V1__UPDATE_REF__INIT;
    Fedra__V1__HeldUpdate held = FEDRA__V1__HELD_UPDATE__INIT;
    Fedra__V1__JoinRequest message = FEDRA__V1__JOIN_REQUEST__INIT;
    message.version = WIRE_VERSION;
    message.spiffe_id = protobuf_text(request->spiffe_id, sizeof(request->spiffe_id));
    message.job = protobuf_text(request->job, sizeof(request->job));
    message.epoch_seen = request->epoch_seen;
    chain_borrow(&request->chain, chain);
    message.n_chain = request->chain.count;
    message.chain = chain;
    message.resume_token = protobuf_bytes(request->resume_token.data, request->resume_token.size);
    if (request->has_held) {
        message_of_ref(&request->held, &ref);
        held.update = &ref;
        held.state = (Fedra__V1__HeldState)request->held_state;
        message.held = &held;
    }
    return protobuf_pack(&message.base, out);
}

/* Copies and checks what was unpacked; input is the same message. */
static enum status join_request_take(const Fedra__V1__JoinRequest *message, struct slice input,
                                     struct join_request *request, struct error *err)
{
    if (message->version != WIRE_VERSION)
        return error_set(err, STATUS_PEER, "join: version %u, %d is known", message->version,
                         WIRE_VERSION);
    if (!text_take(message->spiffe_id, request->spiffe_id, sizeof(request->spiffe_id)) ||
        !text_is_spiffe_id(request->spiffe_id, sizeof(request->spiffe_id)))
        return malformed(err, "join: spiffe_id is not spiffe:// and up to 255 printable bytes");
    if (!text_take(message->job, request->job, sizeof(request->job)) ||
        !text_is_printable(request->job, 1, sizeof(request->job)))
        return malformed(err, "join: job is not 1 to 64 printable bytes");
    if (!chain_take(input, 5, 6, &request->chain, &request->resume_token))
        return malformed(err, "join: too many or too large certificates, or too long a token");
    request->epoch_seen = message->epoch_seen;
    request->has_held = message->held != nullptr;
    if (!request->has_held)
        return STATUS_OK;
    request->held_state = (enum held_state)message->held->state;
    if (!held_is_valid((int)message->held->state) ||
        !update_ref_take(message->held->update, &request->held))
        return malformed(err, "join: the held update is not named rightly");
    return STATUS_OK;
}

enum status join_request_decode(struct slice input, struct join_request *ret_request,
                                struct error *err)
{
    ProtobufCMessage *base = nullptr;
    struct join_request request = {0};
    enum status status =
        protobuf_unpack(&fedra__v1__join_request__descriptor, input, JOIN_BYTES_MAX, &base, err);
    if (status != STATUS_OK)
        return status;
    status = join_request_take((const Fedra__V1__JoinRequest *)base, input, &request, err);
    protobuf_free(base);
    if (status == STATUS_OK)
        *ret_request = request;
    return status;
}

static bool welcome_is_valid(const struct welcome *welcome)
{
    static const uint8_t zeros[INSTANCE_ID_BYTES] = {0};
    return chain_is_valid(&welcome->chain) &&
           memcmp(welcome->instance_id, zeros, sizeof(zeros)) != 0 && welcome->epoch >= 1 &&
           welcome->resume_token.size <= RESUME_TOKEN_BYTES_MAX &&
           welcome->message_bytes_max >= 1 && welcome->chunk_bytes >= 1 &&
           welcome->chunk_bytes <= BLOB_CHUNK_BYTES &&
           text_is_printable(welcome->job, 1, sizeof(welcome->job));
}

static enum status welcome_encode(const struct welcome *welcome, struct bytes *out)
{
    if (!welcome_is_valid(welcome))
        return STATUS_INVAL;
    ProtobufCBinaryData chain[CHAIN_COUNT_MAX];
    Fedra__V1__Welcome message = FEDRA__V1__WELCOME__INIT;
    chain_borrow(&welcome->chain, chain);
    message.n_chain = welcome->chain.count;
    message.chain = chain;
    message.instance_id = protobuf_bytes(welcome->instance_id, INSTANCE_ID_BYTES);
    message.epoch = welcome->epoch;
    message.resume_token = protobuf_bytes(welcome->resume_token.data, welcome->resume_token.size);
    message.message_bytes_max = welcome->message_bytes_max;
    message.chunk_bytes = welcome->chunk_bytes;
    message.job = protobuf_text(welcome->job, sizeof(welcome->job));
    return protobuf_pack_field(DIRECTIVE_WELCOME, &message.base, out);
}

static enum status welcome_take(const ProtobufCMessage *base, struct slice input,
                                struct welcome *welcome, struct error *err)
{
    const Fedra__V1__Welcome *const message = (const Fedra__V1__Welcome *)base;
    if (message->instance_id.len != INSTANCE_ID_BYTES)
        return malformed(err, "welcome: instance_id is not 16 bytes");
    memcpy(welcome->instance_id, message->instance_id.data, INSTANCE_ID_BYTES);
    welcome->epoch = message->epoch;
    welcome->message_bytes_max = message->message_bytes_max;
    welcome->chunk_bytes = message->chunk_bytes;
    if (!text_take(message->job, welcome->job, sizeof(welcome->job)) ||
        !chain_take(input, 1, 4, &welcome->chain, &welcome->resume_token) ||
        !welcome_is_valid(welcome))
        return malformed(err, "welcome: a field is missing or out of range");
    return STATUS_OK;
}

static enum status counted_encode(const struct counted *counted, struct bytes *out)
{
    if (!update_ref_is_valid(&counted->update) || digest_is_zero(&counted->version_id))
        return STATUS_INVAL;
    Fedra__V1__UpdateRef ref;
    message_of_ref(&counted->update, &ref);
    Fedra__V1__Counted message = FEDRA__V1__COUNTED__INIT;
    message.update = &ref;
    message.version_number = counted->version_number;
    message.version_id = protobuf_digest(&counted->version_id);
    return protobuf_pack_field(DIRECTIVE_COUNTED, &message.base, out);
}

static enum status counted_take(const ProtobufCMessage *base, struct counted *counted,
                                struct error *err)
{
    const Fedra__V1__Counted *const message = (const Fedra__V1__Counted *)base;
    counted->version_number = message->version_number;
    if (!update_ref_take(message->update, &counted->update))
        return malformed(err, "counted: the update is not named rightly");
    if (!digest_take(message->version_id, &counted->version_id) ||
        digest_is_zero(&counted->version_id))
        return malformed(err, "counted: version_id is not 32 bytes");
    return STATUS_OK;
}

static enum status dropped_encode(const struct dropped *dropped, struct bytes *out)
{
    if (!update_ref_is_valid(&dropped->update))
        return STATUS_INVAL;
    Fedra__V1__UpdateRef ref;
    message_of_ref(&dropped->update, &ref);
    Fedra__V1__Dropped message = FEDRA__V1__DROPPED__INIT;
    message.update = &ref;
    message.reason = (Fedra__V1__RefusalReason)reason_of_number((unsigned)dropped->reason);
    message.text = protobuf_text(dropped->text, sizeof(dropped->text));
    return protobuf_pack_field(DIRECTIVE_DROPPED, &message.base, out);
}

static enum status dropped_take(const ProtobufCMessage *base, struct dropped *dropped,
                                struct error *err)
{
    const Fedra__V1__Dropped *const message = (const Fedra__V1__Dropped *)base;
    dropped->reason = reason_of_number((unsigned)message->reason);
    if (!update_ref_take(message->update, &dropped->update))
        return malformed(err, "dropped: the update is not named rightly");
    if (!text_take(message->text, dropped->text, sizeof(dropped->text)))
        return malformed(err, "dropped: text is too long or not UTF-8");
    return STATUS_OK;
}

static enum status offer_encode(const struct update_ref *update, struct bytes *out)
{
    if (!update_ref_is_valid(update))
        return STATUS_INVAL;
    Fedra__V1__UpdateRef ref;
    message_of_ref(update, &ref);
    Fedra__V1__Offer message = FEDRA__V1__OFFER__INIT;
    message.update = &ref;
    return protobuf_pack_field(DIRECTIVE_OFFER, &message.base, out);
}

static enum status offer_take(const ProtobufCMessage *base, struct update_ref *update,
                              struct error *err)
{
    const Fedra__V1__Offer *const message = (const Fedra__V1__Offer *)base;
    if (!update_ref_take(message->update, update))
        return malformed(err, "offer: the update is not named rightly");
    return STATUS_OK;
}

static enum status drain_encode(const char *text, struct bytes *out)
{
    Fedra__V1__Drain message = FEDRA__V1__DRAIN__INIT;
    message.text = protobuf_text(text, MESSAGE_TEXT_MAX);
    return protobuf_pack_field(DIRECTIVE_DRAIN, &message.base, out);
}

static enum status drain_take(const ProtobufCMessage *base, char *text, struct error *err)
{
    const Fedra__V1__Drain *const message = (const Fedra__V1__Drain *)base;
    if (!text_take(message->text, text, MESSAGE_TEXT_MAX))
        return malformed(err, "drain: text is too long or not UTF-8");
    return STATUS_OK;
}

static bool finished_is_valid(const struct finished *finished)
{
    const int outcome = (int)finished->outcome;
    return outcome >= WIRE_OUTCOME_CONVERGED && outcome <= WIRE_OUTCOME_CANCELLED &&
           !digest_is_zero(&finished->version_id);
}

static enum status finished_encode(const struct finished *finished, struct bytes *out)
{
    if (!finished_is_valid(finished))
        return STATUS_INVAL;
    Fedra__V1__Finished message = FEDRA__V1__FINISHED__INIT;
    message.outcome = (Fedra__V1__Outcome)finished->outcome;
    message.version_number = finished->version_number;
    message.version_id = protobuf_digest(&finished->version_id);
    message.text = protobuf_text(finished->text, sizeof(finished->text));
    return protobuf_pack_field(DIRECTIVE_FINISHED, &message.base, out);
}

static enum status finished_take(const ProtobufCMessage *base, struct finished *finished,
                                 struct error *err)
{
    const Fedra__V1__Finished *const message = (const Fedra__V1__Finished *)base;
    finished->outcome = (enum wire_outcome)message->outcome;
    finished->version_number = message->version_number;
    if (!digest_take(message->version_id, &finished->version_id) || !finished_is_valid(finished))
        return malformed(err, "finished: the outcome or the version is not right");
    if (!text_take(message->text, finished->text, sizeof(finished->text)))
        return malformed(err, "finished: text is too long or not UTF-8");
    return STATUS_OK;
}

static enum status beacon_encode(struct slice beacon, struct bytes *out)
{
    if (beacon.size == 0 || beacon.size > ENVELOPE_BYTES_MAX)
        return STATUS_INVAL;
    uint8_t prefix[1 + VARINT_BYTES_MAX] = {DIRECTIVE_BEACON << 3 | FIELD_BYTES};
    const size_t prefix_size = 1 + varint_encode(beacon.size, prefix + 1);
    const enum status status = bytes_reserve(out, prefix_size + beacon.size);
    if (status != STATUS_OK)
        return status;
    memcpy(out->data + out->size, prefix, prefix_size);
    memcpy(out->data + out->size + prefix_size, beacon.data, beacon.size);
    out->size += prefix_size + beacon.size;
    return STATUS_OK;
}

enum status directive_encode(const struct directive *directive, struct bytes *out)
{
    switch (directive->kind) {
    case DIRECTIVE_WELCOME:
        return welcome_encode(&directive->welcome, out);
    case DIRECTIVE_BEACON:
        return beacon_encode(directive->beacon, out);
    case DIRECTIVE_COUNTED:
        return counted_encode(&directive->counted, out);
    case DIRECTIVE_DROPPED:
        return dropped_encode(&directive->dropped, out);
    case DIRECTIVE_DRAIN:
        return drain_encode(directive->drain_text, out);
    case DIRECTIVE_FINISHED:
        return finished_encode(&directive->finished, out);
    case DIRECTIVE_OFFER:
        return offer_encode(&directive->offer, out);
    }
    return STATUS_INVAL;
}

/* Finds the one known field; a second one would have to be merged with it, and is refused. */
static enum status directive_find(struct slice input, struct field *ret_field, struct error *err)
{
    struct field found = {0};
    if (input.size > DIRECTIVE_BYTES_MAX)
        return malformed(err, "directive: longer than a directive can be");
    while (input.size > 0) {
        struct field field;
        if (field_take(&input, &field) != STATUS_OK)
            return malformed(err, "directive: not a protobuf message");
        if (field.number > DIRECTIVE_OFFER)
            continue;
        if (field.type != FIELD_BYTES || found.number != 0)
            return malformed(err, "directive: not one thing to do");
        found = field;
    }
    if (found.number == 0)
        return malformed(err, "directive: nothing that is known");
    *ret_field = found;
    return STATUS_OK;
}

enum status directive_decode(struct slice input, struct directive *ret_directive, struct error *err)
{
    static const ProtobufCMessageDescriptor *const descriptors[] = {
        [DIRECTIVE_WELCOME] = &fedra__v1__welcome__descriptor,
        [DIRECTIVE_COUNTED] = &fedra__v1__counted__descriptor,
        [DIRECTIVE_DROPPED] = &fedra__v1__dropped__descriptor,
        [DIRECTIVE_DRAIN] = &fedra__v1__drain__descriptor,
        [DIRECTIVE_FINISHED] = &fedra__v1__finished__descriptor,
        [DIRECTIVE_OFFER] = &fedra__v1__offer__descriptor,
    };
    struct field field = {0};
    ProtobufCMessage *base = nullptr;
    enum status status = directive_find(input, &field, err);
    if (status != STATUS_OK)
        return status;
    struct directive directive = {.kind = (enum directive_kind)field.number};
    if (directive.kind != DIRECTIVE_BEACON)
        status =
            protobuf_unpack(descriptors[field.number], field.data, DIRECTIVE_BYTES_MAX, &base, err);
    if (status != STATUS_OK)
        return status;
    switch (directive.kind) {
    case DIRECTIVE_WELCOME:
        status = welcome_take(base, field.data, &directive.welcome, err);
        break;
    case DIRECTIVE_BEACON:
        directive.beacon = field.data;
        if (field.data.size == 0 || field.data.size > ENVELOPE_BYTES_MAX)
            status = malformed(err, "beacon: an envelope of a size it cannot have");
        break;
    case DIRECTIVE_COUNTED:
        status = counted_take(base, &directive.counted, err);
        break;
    case DIRECTIVE_DROPPED:
        status = dropped_take(base, &directive.dropped, err);
        break;
    case DIRECTIVE_DRAIN:
        status = drain_take(base, directive.drain_text, err);
        break;
    case DIRECTIVE_FINISHED:
        status = finished_take(base, &directive.finished, err);
        break;
    case DIRECTIVE_OFFER:
        status = offer_take(base, &directive.offer, err);
        break;
    }
    protobuf_free(base);
    if (status == STATUS_OK)
        *ret_directive = directive;
    return status;
}

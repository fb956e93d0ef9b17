/*
 * record_head.c - the head of a commit record between the plain struct and protobuf bytes.
 *
 * Not here: the accepted set and signatures (record.c).
 */
#include "wire/record_head.h"

#include "base/check.h"
#include "wire/protobuf.h"
#include "wire/record.pb-c.h"

#include <math.h>
#include <string.h>

static uint64_t bits_of(double value)
{
    uint64_t bits;
    memcpy(&bits, &value, sizeof(bits));
    return bits;
}

static double of_bits(uint64_t bits)
{
    double value;
    memcpy(&value, &bits, sizeof(value));
    return value;
}

static bool parameters_are_sorted(const struct record_head *head)
{
    for (uint32_t i = 1; i < head->parameter_count; i++) {
        if (strcmp(head->parameters[i - 1].name, head->parameters[i].name) >= 0)
            return false;
    }
    return true;
}

static bool texts_are_valid(const struct record_head *head)
{
    if (head->parameter_count > RECORD_PARAMETER_COUNT_MAX ||
        !text_is_printable(head->job, 1, sizeof(head->job)) ||
        !text_is_printable(head->rule, 1, sizeof(head->rule)) ||
        !text_is_printable(head->validation_choice, 0, sizeof(head->validation_choice)))
        return false;
    for (uint32_t i = 0; i < head->parameter_count; i++) {
        const struct record_parameter *const parameter = &head->parameters[i];
        if (!text_is_printable(parameter->name, 1, sizeof(parameter->name)) ||
            !text_is_printable(parameter->value, 0, sizeof(parameter->value)))
            return false;
    }
    return true;
}

/* What is wrong with a head, static; null where nothing is. The order of parameters apart. */
static const char *head_find_fault(const struct record_head *head)
{
    static const uint8_t zeros[INSTANCE_ID_BYTES] = {0};
    if (!texts_are_valid(head))
        return "record: job, rule, choice or a parameter is missing, too long or not printable";
    if (head->hash_id != DIGEST_SHA256)
        return "record: the hash is not known";
    if (head->epoch == 0 || memcmp(head->instance_id, zeros, sizeof(zeros)) == 0)
        return "record: epoch or instance_id is missing";
    if (digest_is_zero(&head->model_digest) || digest_is_zero(&head->model_blob_digest) ||
        digest_is_zero(&head->layout_digest) || head->model_blob_length == 0)
        return "record: the resulting model is not named";
    if (!isfinite(head->learning_rate) || head->learning_rate < 0 ||
        !isfinite(head->aggregate_norm) || head->aggregate_norm < 0)
        return "record: learning rate or norm is negative or not finite";
    if (!(head->validation_accuracy >= 0 && head->validation_accuracy <= 1))
        return "record: accuracy is not in [0, 1]";
    if ((int)head->validation_source < VALIDATION_NONE ||
        (int)head->validation_source > VALIDATION_BOTH)
        return "record: the source of validation is not known";
    if ((int)head->outcome < WIRE_OUTCOME_NONE || (int)head->outcome > WIRE_OUTCOME_CANCELLED)
        return "record: the outcome is not known";
    if ((int)head->best < RECORD_BEST_AS_BEFORE || (int)head->best > RECORD_BEST_PARENT)
        return "record: which version is the best is not known";
    if (head->accepted_count > RECORD_ACCEPTED_COUNT_MAX)
        return "record: more than 2^20 updates";
    return nullptr;
}

/* The message borrows from head, but for its parameters. */
static void message_of_head(const struct record_head *head, Fedra__V1__RecordHead *message)
{
    message->version = WIRE_VERSION;
    message->hash_id = head->hash_id;
    message->job = protobuf_text(head->job, sizeof(head->job));
    message->fork = head->fork;
    message->epoch = head->epoch;
    message->number = head->number;
    message->parent_id = protobuf_digest(&head->parent_id);
    message->round = head->round;
    message->attempt = head->attempt;
    message->instance_id = protobuf_bytes(head->instance_id, INSTANCE_ID_BYTES);
    message->rule = protobuf_text(head->rule, sizeof(head->rule));
    message->rule_state_digest = protobuf_digest(&head->rule_state_digest);
    message->learning_rate_bits = bits_of(head->learning_rate);
    message->round_seed = head->round_seed;
    message->validation_source = (Fedra__V1__ValidationSource)head->validation_source;
    message->validation_loss_bits = bits_of(head->validation_loss);
    message->validation_accuracy_bits = bits_of(head->validation_accuracy);
    message->validation_samples = head->validation_samples;
    message->validation_choice =
        protobuf_text(head->validation_choice, sizeof(head->validation_choice));
    message->model_digest = protobuf_digest(&head->model_digest);
    message->model_blob_digest = protobuf_digest(&head->model_blob_digest);
    message->model_blob_length = head->model_blob_length;
    message->layout_digest = protobuf_digest(&head->layout_digest);
    message->aggregate_norm_bits = bits_of(head->aggregate_norm);
    message->committed_unix_ms = head->committed_unix_ms;
    message->outcome = (Fedra__V1__Outcome)head->outcome;
    message->accepted_count = head->accepted_count;
    message->history_digest = protobuf_digest(&head->history_digest);
    message->state_digest = protobuf_digest(&head->state_digest);
    message->best = (Fedra__V1__Best)head->best;
}

enum status record_head_encode(const struct record_head *head, struct bytes *out, struct error *err)
{
    const char *const fault = head_find_fault(head);
    if (fault != nullptr)
        return error_set(err, STATUS_INVAL, "%s", fault);
    CHECK(parameters_are_sorted(head));
    Fedra__V1__Parameter parameters[RECORD_PARAMETER_COUNT_MAX];
    Fedra__V1__Parameter *pointers[RECORD_PARAMETER_COUNT_MAX];
    for (uint32_t i = 0; i < head->parameter_count; i++) {
        const struct record_parameter *const parameter = &head->parameters[i];
        fedra__v1__parameter__init(&parameters[i]);
        parameters[i].name = protobuf_text(parameter->name, sizeof(parameter->name));
        parameters[i].value = protobuf_text(parameter->value, sizeof(parameter->value));
        pointers[i] = &parameters[i];
    }
    Fedra__V1__RecordHead message = FEDRA__V1__RECORD_HEAD__INIT;
    message_of_head(head, &message);
    message.n_parameters = head->parameter_count;
    message.parameters = pointers;
    const enum status status = protobuf_pack_field(1, &message.base, out);
    return status == STATUS_OK ? status : error_set(err, status, "no room for a record");
}

static void numbers_of_message(const Fedra__V1__RecordHead *message, struct record_head *head)
{
    head->hash_id = message->hash_id;
    head->fork = message->fork;
    head->epoch = message->epoch;
    head->number = message->number;
    head->round = message->round;
    head->attempt = message->attempt;
    head->learning_rate = of_bits(message->learning_rate_bits);
    head->round_seed = message->round_seed;
    head->validation_source = (enum validation_source)message->validation_source;
    head->validation_loss = of_bits(message->validation_loss_bits);
    head->validation_accuracy = of_bits(message->validation_accuracy_bits);
    head->validation_samples = message->validation_samples;
    head->model_blob_length = message->model_blob_length;
    head->aggregate_norm = of_bits(message->aggregate_norm_bits);
    head->committed_unix_ms = message->committed_unix_ms;
    head->outcome = (enum wire_outcome)message->outcome;
    head->accepted_count = message->accepted_count;
    head->best = (enum record_best)message->best;
}

static bool parameters_take(const Fedra__V1__RecordHead *message, struct record_head *head)
{
    if (message->n_parameters > RECORD_PARAMETER_COUNT_MAX)
        return false;
    head->parameter_count = (uint32_t)message->n_parameters;
    for (size_t i = 0; i < message->n_parameters; i++) {
        struct record_parameter *const parameter = &head->parameters[i];
        if (!text_take(message->parameters[i]->name, parameter->name, sizeof(parameter->name)) ||
            !text_take(message->parameters[i]->value, parameter->value, sizeof(parameter->value)))
            return false;
    }
    return true;
}

/* Copies all; false where something has a length or bytes it cannot have. */
static bool head_of_message(const Fedra__V1__RecordHead *message, struct record_head *head)
{
    numbers_of_message(message, head);
    if (message->instance_id.len != INSTANCE_ID_BYTES)
        return false;
    memcpy(head->instance_id, message->instance_id.data, INSTANCE_ID_BYTES);
    return parameters_take(message, head) &&
           text_take(message->job, head->job, sizeof(head->job)) &&
           text_take(message->rule, head->rule, sizeof(head->rule)) &&
           text_take(message->validation_choice, head->validation_choice,
                     sizeof(head->validation_choice)) &&
           digest_take(message->parent_id, &head->parent_id) &&
           digest_take(message->rule_state_digest, &head->rule_state_digest) &&
           digest_take(message->model_digest, &head->model_digest) &&
           digest_take(message->model_blob_digest, &head->model_blob_digest) &&
           digest_take(message->layout_digest, &head->layout_digest) &&
           digest_take(message->history_digest, &head->history_digest) &&
           digest_take(message->state_digest, &head->state_digest);
}

enum status record_head_decode(struct slice input, struct record_head *ret_head, struct error *err)
{
    ProtobufCMessage *base = nullptr;
    struct record_head head = {0};
    enum status status = protobuf_unpack(&fedra__v1__record_head__descriptor, input,
                                         RECORD_HEAD_BYTES_MAX, &base, err);
    if (status == STATUS_PEER || status == STATUS_LIMIT)
        status = error_prefix(err, STATUS_CORRUPT, "record");
    if (status != STATUS_OK)
        return status;
    const Fedra__V1__RecordHead *const message = (const Fedra__V1__RecordHead *)base;
    if (message->version != WIRE_VERSION)
        status = error_set(err, STATUS_VERSION, "record: version %u, %d is known", message->version,
                           WIRE_VERSION);
    else if (!head_of_message(message, &head))
        status = error_set(err, STATUS_CORRUPT,
                           "record: a string, id or digest of a length or of bytes it cannot have");
    protobuf_free(base);
    if (status != STATUS_OK)
        return status;
    const char *const fault = head_find_fault(&head);
    if (fault != nullptr)
        return error_set(err, STATUS_CORRUPT, "%s", fault);
    if (!parameters_are_sorted(&head))
        return error_set(err, STATUS_CORRUPT, "record: parameters are out of order");
    *ret_head = head;
    return STATUS_OK;
}

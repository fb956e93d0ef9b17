/*
 * control.c - requests and statuses of fedra.v1.Control between plain structs and protobuf bytes.
 *
 * Members and pages of them are in control_member.c.
 */
#include "wire/control.h"

#include "wire/control.pb-c.h"
#include "wire/control_internal.h"
#include "wire/protobuf.h"

#include <string.h>

static_assert(CONTROL_REASONS_MAX > (int)REASON_INTERNAL);

/* --- what a status and a member share --- */

void control_counts_borrow(const struct control_counts *counts,
                           struct control_counts_messages *made)
{
    made->count = 0;
    for (unsigned number = 0; number < CONTROL_REASONS_MAX; number++) {
        if (counts->by_reason[number] == 0)
            continue;
        Fedra__V1__RefusalCount *const item = &made->items[made->count];
        fedra__v1__refusal_count__init(item);
        item->reason = (Fedra__V1__RefusalReason)number;
        item->count = counts->by_reason[number];
        made->pointers[made->count++] = item;
    }
}

void control_counts_take(size_t count, Fedra__V1__RefusalCount *const *items,
                         struct control_counts *ret_counts)
{
    for (size_t i = 0; i < count; i++) /* numbers that are not known here become UNSPECIFIED's */
        ret_counts->by_reason[reason_of_number((unsigned)items[i]->reason)] += items[i]->count;
}

/* --- requests --- */

static bool request_is_valid(enum control_request_kind kind, const struct control_request *request)
{
    return text_is_printable(request->job, 0, sizeof(request->job)) &&
           (kind != CONTROL_LIST_MEMBERS ||
            (request->page_size <= CONTROL_PAGE_MEMBERS_MAX &&
             text_is_printable(request->page_token, 0, sizeof(request->page_token)))) &&
           (kind != CONTROL_GET_MEMBER ||
            text_is_printable(request->name, 1, sizeof(request->name)));
}

enum status control_request_encode(enum control_request_kind kind,
                                   const struct control_request *request, struct bytes *out)
{
    if (!request_is_valid(kind, request))
        return STATUS_INVAL;
    const ProtobufCBinaryData job = protobuf_text(request->job, sizeof(request->job));
    Fedra__V1__GetStatusRequest job_only = FEDRA__V1__GET_STATUS_REQUEST__INIT;
    Fedra__V1__ListMembersRequest list = FEDRA__V1__LIST_MEMBERS_REQUEST__INIT;
    Fedra__V1__GetMemberRequest get = FEDRA__V1__GET_MEMBER_REQUEST__INIT;
    switch (kind) {
    case CONTROL_LIST_MEMBERS:
        list.job = job;
        list.page_size = request->page_size;
        list.page_token = protobuf_text(request->page_token, sizeof(request->page_token));
        return protobuf_pack(&list.base, out);
    case CONTROL_GET_MEMBER:
        get.job = job;
        get.name = protobuf_text(request->name, sizeof(request->name));
        return protobuf_pack(&get.base, out);
    case CONTROL_JOB_ONLY: /* all five are the same on the wire */
        break;
    }
    job_only.job = job;
    return protobuf_pack(&job_only.base, out);
}

static const ProtobufCMessageDescriptor *descriptor_of(enum control_request_kind kind)
{
    switch (kind) {
    case CONTROL_LIST_MEMBERS:
        return &fedra__v1__list_members_request__descriptor;
    case CONTROL_GET_MEMBER:
        return &fedra__v1__get_member_request__descriptor;
    case CONTROL_JOB_ONLY:
        break;
    }
    return &fedra__v1__get_status_request__descriptor;
}

static bool request_take(enum control_request_kind kind, const ProtobufCMessage *base,
                         struct control_request *ret_request)
{
    ProtobufCBinaryData job = {0};
    if (kind == CONTROL_LIST_MEMBERS) {
        const Fedra__V1__ListMembersRequest *const message =
            (const Fedra__V1__ListMembersRequest *)base;
        job = message->job;
        ret_request->page_size = message->page_size;
        if (!text_take(message->page_token, ret_request->page_token,
                       sizeof(ret_request->page_token)))
            return false;
    } else if (kind == CONTROL_GET_MEMBER) {
        const Fedra__V1__GetMemberRequest *const message =
            (const Fedra__V1__GetMemberRequest *)base;
        job = message->job;
        if (!text_take(message->name, ret_request->name, sizeof(ret_request->name)))
            return false;
    } else {
        job = ((const Fedra__V1__GetStatusRequest *)base)->job;
    }
    return text_take(job, ret_request->job, sizeof(ret_request->job));
}

enum status control_request_decode(enum control_request_kind kind, struct slice input,
                                   struct control_request *ret_request, struct error *err)
{
    ProtobufCMessage *base = nullptr;
    struct control_request request = {0};
    const ProtobufCMessageDescriptor *const descriptor = descriptor_of(kind);
    enum status status = protobuf_unpack(descriptor, input, CONTROL_REQUEST_BYTES_MAX, &base, err);
    if (status != STATUS_OK)
        return status;
    if (!request_take(kind, base, &request))
        status = error_set(err, STATUS_PEER,
                           "request: a text that is not UTF-8 or too long (job: 64 bytes; name, "
                           "page_token: 255)");
    else if (request.page_size > CONTROL_PAGE_MEMBERS_MAX)
        status = error_set(err, STATUS_PEER, "request: page_size is %u, at most %d",
                           request.page_size, CONTROL_PAGE_MEMBERS_MAX);
    else if (kind == CONTROL_GET_MEMBER && request.name[0] == 0)
        status = error_set(err, STATUS_PEER, "request: name is empty");
    else if (!request_is_valid(kind, &request))
        status = error_set(err, STATUS_PEER, "request: a text holds control characters");
    protobuf_free(base);
    if (status == STATUS_OK)
        *ret_request = request;
    return status;
}

/* --- status --- */

/* A round and what it points to. */
struct round_message {
    Fedra__V1__RoundFigures figures;
    Fedra__V1__Figure loss;
    Fedra__V1__Figure accuracy;
};

/* Null for no round. */
static Fedra__V1__RoundFigures *message_of_round(const struct control_round *round,
                                                 struct round_message *made)
{
    fedra__v1__round_figures__init(&made->figures);
    fedra__v1__figure__init(&made->loss);
    fedra__v1__figure__init(&made->accuracy);
    made->figures.round = round->round;
    made->figures.selected = round->selected;
    made->figures.accepted = round->accepted;
    made->figures.late = round->late;
    made->figures.round_ms = round->round_ms;
    made->loss.value = round->loss;
    made->accuracy.value = round->accuracy;
    if (round->has_loss)
        made->figures.loss = &made->loss;
    if (round->has_accuracy)
        made->figures.accuracy = &made->accuracy;
    return round->round > 0 ? &made->figures : nullptr;
}

static void round_take(const Fedra__V1__RoundFigures *message, struct control_round *ret_round)
{
    if (message == nullptr || message->round == 0)
        return;
    *ret_round = (struct control_round){.round = message->round,
                                        .selected = message->selected,
                                        .accepted = message->accepted,
                                        .late = message->late,
                                        .round_ms = message->round_ms,
                                        .has_loss = message->loss != nullptr,
                                        .has_accuracy = message->accuracy != nullptr};
    if (ret_round->has_loss)
        ret_round->loss = message->loss->value;
    if (ret_round->has_accuracy)
        ret_round->accuracy = message->accuracy->value;
}

static bool status_is_valid(const struct control_status *status)
{
    return text_is_printable(status->job, 1, sizeof(status->job)) &&
           text_is_spiffe_id(status->coordinator, sizeof(status->coordinator)) &&
           text_is_printable(status->outcome_text, 0, sizeof(status->outcome_text)) &&
           status->phase >= CONTROL_PHASE_STARTING && status->phase <= CONTROL_PHASE_FAILED &&
           (unsigned)status->outcome <= WIRE_OUTCOME_CANCELLED;
}

enum status control_status_encode(const struct control_status *status, struct bytes *out)
{
    struct control_counts_messages refusals;
    struct round_message last;
    struct round_message best;
    Fedra__V1__Status message = FEDRA__V1__STATUS__INIT;
    if (!status_is_valid(status))
        return STATUS_INVAL;
    message.job = protobuf_text(status->job, sizeof(status->job));
    message.coordinator = protobuf_text(status->coordinator, sizeof(status->coordinator));
    message.phase = (Fedra__V1__Phase)status->phase;
    message.paused = status->paused;
    message.outcome = (Fedra__V1__Outcome)status->outcome;
    message.outcome_text = protobuf_text(status->outcome_text, sizeof(status->outcome_text));
    message.epoch = status->epoch;
    message.round = status->round;
    message.attempt = status->attempt;
    message.rounds_max = status->rounds_max;
    message.selected = status->selected;
    message.k = status->k;
    message.accepted = status->accepted;
    message.late = status->late;
    message.deadline_ms = status->deadline_ms;
    message.members = status->members;
    message.connected = status->connected;
    message.members_wanted = status->members_wanted;
    message.version_number = status->version_number;
    message.version_id = protobuf_digest(&status->version_id);
    message.model_digest = protobuf_digest(&status->model_digest);
    message.last = message_of_round(&status->last, &last);
    message.best = message_of_round(&status->best, &best);
    message.uptime_ms = status->uptime_ms;
    message.bytes_in = status->bytes_in;
    message.bytes_out = status->bytes_out;
    control_counts_borrow(&status->refusals, &refusals);
    message.n_refusals = refusals.count;
    message.refusals = refusals.pointers;
    message.sequence = status->sequence;
    return protobuf_pack(&message.base, out);
}

static bool status_take(const Fedra__V1__Status *message, struct control_status *ret_status)
{
    struct control_status *const s = ret_status;
    *s = (struct control_status){
        .phase = (enum control_phase)message->phase,
        .paused = message->paused != 0,
        .outcome = (enum wire_outcome)message->outcome,
        .epoch = message->epoch,
        .round = message->round,
        .attempt = message->attempt,
        .rounds_max = message->rounds_max,
        .selected = message->selected,
        .k = message->k,
        .accepted = message->accepted,
        .late = message->late,
        .deadline_ms = message->deadline_ms,
        .members = message->members,
        .connected = message->connected,
        .members_wanted = message->members_wanted,
        .version_number = message->version_number,
        .uptime_ms = message->uptime_ms,
        .bytes_in = message->bytes_in,
        .bytes_out = message->bytes_out,
        .sequence = message->sequence,
    };
    round_take(message->last, &s->last);
    round_take(message->best, &s->best);
    control_counts_take(message->n_refusals, message->refusals, &s->refusals);
    return text_take(message->job, s->job, sizeof(s->job)) &&
           text_take(message->coordinator, s->coordinator, sizeof(s->coordinator)) &&
           text_take(message->outcome_text, s->outcome_text, sizeof(s->outcome_text)) &&
           digest_take(message->version_id, &s->version_id) &&
           digest_take(message->model_digest, &s->model_digest) && status_is_valid(s);
}

enum status control_status_decode(struct slice input, struct control_status *ret_status,
                                  struct error *err)
{
    ProtobufCMessage *base = nullptr;
    struct control_status decoded;
    enum status status = protobuf_unpack(&fedra__v1__status__descriptor, input,
                                         CONTROL_STATUS_BYTES_MAX, &base, err);
    if (status != STATUS_OK)
        return status;
    if (!status_take((const Fedra__V1__Status *)base, &decoded))
        status = error_set(err, STATUS_PEER, "status: a text, digest or number out of its range");
    protobuf_free(base);
    if (status == STATUS_OK)
        *ret_status = decoded;
    return status;
}

/* --- names --- */

static const char *name_at(const char *const *names, size_t count, size_t index)
{
    return index < count ? names[index] : "unknown";
}

const char *control_phase_name(enum control_phase phase)
{
    static const char *const names[] = {"unknown",   "starting",   "gathering",  "collecting",
                                        "closing",   "validating", "committing", "paused",
                                        "restoring", "ending",     "ended",      "failed"};
    return name_at(names, sizeof(names) / sizeof(*names), phase);
}

const char *control_member_state_name(enum control_member_state state)
{
    static const char *const names[] = {"unknown",  "away", "idle",       "asked",
                                        "accepted", "busy", "quarantined"};
    return name_at(names, sizeof(names) / sizeof(*names), state);
}

const char *control_outcome_name(enum wire_outcome outcome)
{
    static const char *const names[] = {"", "converged", "diverged", "exhausted", "cancelled"};
    return name_at(names, sizeof(names) / sizeof(*names), outcome);
}

const char *control_action_name(enum control_action action)
{
    static const char *const names[] = {"pause", "resume", "cancel"};
    return name_at(names, sizeof(names) / sizeof(*names), action);
}

/*
 * sim_updates.c - calls that arrive at the coordinator: joins, updates, pulls; and what becomes of
 * the payloads that it holds. As host/coordinator_updates.c, check by check.
 */
#include "sim/sim_internal.h"

#include "identity/spiffe_id.h"
#include "robust/weight.h"
#include "wire/messages.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

void offer_free(struct world *w, uint64_t ticket)
{
    struct offer *const offer = w->offers[ticket];
    if (offer == nullptr)
        return;
    w->offers[ticket] = nullptr;
    w->server.queues.offers--;
    bytes_deinit(&offer->envelope);
    payload_unref(offer->payload);
    free(offer);
}

void offers_free(struct world *w)
{
    for (uint64_t ticket = 1; ticket <= w->ticket_count; ticket++) {
        if (w->offers[ticket] != nullptr &&
            w->offers[ticket]->incarnation == w->server.process.incarnation)
            offer_free(w, ticket);
    }
}

static void answer(struct world *w, uint64_t ticket, const struct receipt *receipt)
{
    struct ticket *const t = &w->tickets[ticket];
    const unsigned number = receipt->reason;
    w->result->refused += !receipt->accepted;
    if (!receipt->accepted)
        w->refused[number < REASONS ? number : 0]++;
    if (t->push_id == 0)
        return;
    struct happening *const message = sim_happening(w, HAPPEN_RECEIPT, t->node, 0);
    message->session = t->session;
    message->ticket = ticket;
    CHECK(receipt_encode(receipt, &message->bytes) == STATUS_OK);
    sim_send_down(w, message, false);
}

static void refuse(struct world *w, uint64_t ticket, enum reason reason)
{
    struct receipt receipt = {.accepted = false, .reason = reason};
    snprintf(receipt.text, sizeof(receipt.text), "%s", reason_text(reason));
    answer(w, ticket, &receipt);
}

/* What can be said before the payload is there; UNSPECIFIED: go on. */
static enum reason screen(const struct world *w, const struct envelope_header *header)
{
    if (header->kind != ENVELOPE_UPDATE)
        return REASON_MALFORMED;
    if (strcmp(header->job, SIM_JOB) != 0 || header->fork != 0)
        return REASON_WRONG_JOB;
    if (header->payload_length != w->layout->bytes ||
        !digest_equal(&header->layout_digest, &w->layout->digest))
        return REASON_SHAPE;
    const struct update_info info = core_update_info(header, 0);
    const enum reason reason = coordinator_screen(&w->server.machine, &info);
    return reason == REASON_EQUIVOCATION ? REASON_UNSPECIFIED : reason;
}

void on_join_arrives(struct world *w, struct happening *happening)
{
    struct join_request request;
    const uint32_t generation = (uint32_t)happening->ticket;
    if (w->server.machine.phase <= COORDINATOR_RAISING || /* it does not listen yet */
        !rotation_join(w, happening->node, generation)) {
        sim_dial_failed(w, happening, sim_delay(w));
        return;
    }
    CHECK(join_request_decode(bytes_slice(&happening->bytes), &request, nullptr) == STATUS_OK);
    const uint64_t session = ++w->session_count;
    w->sessions = sim_grow(w->sessions, &w->session_capacity, session, sizeof(*w->sessions));
    w->sessions[session] = (struct session){.node = happening->node,
                                            .node_incarnation = (uint32_t)happening->work_id,
                                            .incarnation = w->server.process.incarnation};
    w->nodes[happening->node].sessions++;
    struct sim_node *const node = &w->nodes[happening->node];
    if (!node->process.up || node->process.incarnation != happening->work_id) {
        sim_break(w, session); /* killed while it dialled */
    } else {
        node->session = session;
        node->welcomed = false;
        rotation_joined(w, happening->node, generation);
    }
    server_step(w, (struct coordinator_event){
                       .kind = EV_JOIN,
                       .join = {.name = w->names[happening->node],
                                .session = session,
                                .epoch_seen = request.epoch_seen,
                                .has_held = request.has_held,
                                .held = {.epoch = request.held.epoch,
                                         .round = request.held.round,
                                         .attempt = request.held.attempt,
                                         .payload_digest = request.held.payload_digest}}});
}

static struct offer *offer_create(struct world *w, uint64_t ticket, const struct envelope *envelope,
                                  struct payload *payload)
{
    struct offer *const offer = calloc(1, sizeof(*offer));
    CHECK(offer != nullptr);
    offer->payload = payload_ref(payload);
    offer->incarnation = w->server.process.incarnation;
    w->server.queues.offers++;
    offer->header = envelope->header;
    offer->header_size = envelope->header_bytes.size;
    bytes_init(&offer->envelope, ENVELOPE_BYTES_MAX);
    CHECK(bytes_append(&offer->envelope, envelope->header_bytes.data,
                       envelope->header_bytes.size) == STATUS_OK &&
          bytes_append(&offer->envelope, envelope->signature.data, envelope->signature.size) ==
              STATUS_OK);
    w->offers = sim_grow(w->offers, &w->offer_capacity, ticket, sizeof(struct offer *));
    w->offers[ticket] = offer;
    return offer;
}

void on_update_arrives(struct world *w, struct happening *happening)
{
    const struct envelope_limits limits = sim_limits(w);
    const uint64_t ticket = happening->ticket;
    struct envelope envelope;
    struct refusal refusal = {0};
    if (envelope_parse(bytes_slice(&happening->bytes), &limits, &envelope, &refusal) != STATUS_OK) {
        refuse(w, ticket, refusal.reason);
        return;
    }
    const enum reason reason = screen(w, &envelope.header);
    if (reason != REASON_UNSPECIFIED) {
        refuse(w, ticket, reason);
        return;
    }
    const struct update_info info = core_update_info(&envelope.header, ticket);
    if (coordinator_holds(&w->server.machine, &info)) {
        answer(w, ticket, &(struct receipt){.accepted = true});
        return;
    }
    if (!digest_equal(&happening->payload->digest, &envelope.header.payload_digest)) {
        refuse(w, ticket, REASON_DIGEST);
        return;
    }
    offer_create(w, ticket, &envelope, happening->payload);
    struct happening *const verified =
        sim_happening(w, HAPPEN_VERIFIED, COORDINATOR, sim_delay(w) / 4);
    verified->ticket = ticket;
    w->server.queues.verifying++;
    sim_push(w, verified);
}

/* Signature, role, finite values, norm. */
static enum status verify(const struct world *w, const struct offer *offer, struct refusal *refusal)
{
    const struct envelope envelope = {
        .header = offer->header,
        .header_bytes = {offer->envelope.data, offer->header_size},
        .signature = {offer->envelope.data + offer->header_size,
                      offer->envelope.size - offer->header_size},
    };
    struct spiffe_id id;
    enum status status = envelope_verify(&envelope, &w->coordinator_verifier, 0, refusal);
    if (status != STATUS_OK)
        return status;
    status = spiffe_id_parse(offer->header.spiffe_id, strlen(offer->header.spiffe_id), &id,
                             &refusal->error);
    if (status == STATUS_OK)
        status = spiffe_role_check(&id, SPIFFE_ROLE_NODE, "PushUpdate", &refusal->error);
    refusal->reason = REASON_PERMISSION;
    if (status != STATUS_OK)
        return status;
    const double squared = offer->payload->squared;
    refusal->reason = isfinite(squared) ? REASON_NORM : REASON_NON_FINITE;
    return sqrt(squared) <= w->work->norm_max ? STATUS_OK : STATUS_PEER; /* PEER for NaN too */
}

void on_update_verified(struct world *w, struct happening *happening)
{
    const uint64_t ticket = happening->ticket;
    struct offer *const offer = w->offers[ticket];
    const uint32_t incarnation = w->server.process.incarnation;
    struct refusal refusal = {0};
    const enum status status = verify(w, offer, &refusal);
    struct coordinator_event event = {
        .kind = EV_UPDATE,
        .update = {.ticket = ticket, .info = core_update_info(&offer->header, ticket)}};
    if (status == STATUS_OK) {
        server_step(w, event);
        return;
    }
    refuse(w, ticket, refusal.reason);
    if (refusal.reason == REASON_NON_FINITE || refusal.reason == REASON_NORM) {
        event.kind = EV_REFUSED;
        event.update.ticket = 0;
        event.update.flag.reason =
            refusal.reason == REASON_NORM ? SUSPECTED_NORM : SUSPECTED_NON_FINITE;
        event.update.flag.is_refused = true;
        event.update.flag.score =
            refusal.reason == REASON_NORM ? sqrt(offer->payload->squared) / w->work->norm_max : 0;
        server_step(w, event);
    }
    if (w->server.process.incarnation != incarnation)
        return; /* killed, and what it held is gone */
    w->server.queues.verifying--;
    offer_free(w, ticket);
}

void server_receipt(struct world *w, const struct coordinator_effect *effect)
{
    if (effect->kind == FX_RECEIPT_REFUSED) {
        refuse(w, effect->ticket, effect->reason);
        return;
    }
    if (effect->member != NO_MEMBER) {
        struct offer *const offer = w->offers[effect->ticket];
        struct accepted *const accepted = &w->server.accepted[effect->member];
        CHECK(offer != nullptr);
        bytes_deinit(&accepted->envelope);
        accepted->envelope = offer->envelope;
        accepted->header_size = offer->header_size;
        accepted->key_id = offer->header.key_id;
        bytes_init(&offer->envelope, ENVELOPE_BYTES_MAX);
    }
    answer(w, effect->ticket, &(struct receipt){.accepted = true});
}

static void add(struct world *w, const char *node, const struct payload *payload, uint32_t weight)
{
    const float *const values =
        payload->values != nullptr ? payload->values : w->work->ops->read_payload(w->work, payload);
    if (w->work->robust != nullptr)
        CHECK(robust_round_keep(w->work->robust, node, values, weight, nullptr) == STATUS_OK);
    else
        CHECK(accumulator_fold(w->server.accumulator, values, weight, nullptr) == STATUS_OK);
}

static void fold(struct world *w, uint32_t index, uint64_t ticket)
{
    const struct member *const member = &w->server.members[index];
    struct offer *const offer = w->offers[ticket];
    if (offer == nullptr) {
        sim_fail(w, "an update of %s is folded that is not held", strrchr(member->name, '/') + 1);
        return;
    }
    const uint32_t weight = weight_from_samples(
        member->samples, (uint32_t)w->plan->machine.samples_max, member->staleness_weight);
    w->server.queues.folding--;
    w->server.accepted[index].weight = weight;
    add(w, member->name, offer->payload, weight);
    offer_free(w, ticket);
}

void server_fold(struct world *w, const struct coordinator_effect *effect)
{
    if (effect->kind == FX_FOLD) {
        fold(w, effect->member, effect->blob.id);
        return;
    }
    const struct roster *const roster = &w->server.machine.roster;
    for (uint32_t i = 0; i < roster->count; i++) {
        if (roster->members[roster->order[i]].folding)
            fold(w, roster->order[i], roster->members[roster->order[i]].blob.id);
    }
}

void server_release_waiting(struct world *w)
{
    const struct roster *const roster = &w->server.machine.roster;
    for (uint32_t i = 0; i < roster->count; i++) {
        const struct member *const member = &roster->members[roster->order[i]];
        if (member->waiting)
            offer_free(w, member->blob.id);
    }
}

void server_release_shut_out(struct world *w)
{
    const struct roster *const roster = &w->server.machine.roster;
    for (uint32_t i = 0; i < roster->count; i++) {
        const struct member *const member = &roster->members[roster->order[i]];
        if (member->shut_out)
            offer_free(w, member->blob.id);
    }
}

void server_evidence(struct world *w, const struct coordinator_effect *effect)
{
    const struct offer *const offer = w->offers[effect->ticket];
    const struct bytes *const first = &w->server.accepted[effect->member].envelope;
    const uint32_t node = sim_node_index(w->server.members[effect->member].name);
    if (!w->nodes[node].liar)
        sim_fail(w, "%s is accused, and is honest", sim_who(node));
    /* May fail where the disk does: evidence is worth keeping, not worth stopping for. */
    (void)!store_put_evidence(w->store, w->names[node], bytes_slice(first),
                              bytes_slice(&offer->envelope), nullptr);
    w->result->evidence++;
}

void on_pull_arrives(struct world *w, struct happening *happening)
{
    const struct model_file *const model = w->server.model;
    struct happening *const message = sim_happening(w, HAPPEN_MODEL, happening->node, 0);
    message->session = happening->session;
    message->work_id = happening->work_id;
    const struct digest *const wanted = &happening->node_event.beacon.version.blob_digest;
    if (model != nullptr && digest_equal(&model->blob_digest, wanted))
        message->model = model_file_ref(w->server.model);
    sim_send_down(w, message, false);
}

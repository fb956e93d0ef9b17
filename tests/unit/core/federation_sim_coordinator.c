/*
 * federation_sim_coordinator.c - carries out what the coordinator's machine wants, or kills it
 * between two effects.
 */
#include "federation_sim_internal.h"

#include <stdlib.h>

/* As host/coordinator_commit.c gathers it. */
static void begin_commit(struct world *w, const struct coordinator_effect *effect)
{
    const struct coordinator *const c = &w->coordinator;
    struct happening durable = sim_at(w, DURABLE_COMMIT, sim_delay(w));
    durable.incarnation = w->incarnation;
    durable.effect = *effect;
    durable.epoch = c->epoch;
    durable.commit = calloc(1, sizeof(*durable.commit) + sizeof(struct row) * w->settings.nodes);
    CHECK(durable.commit != nullptr);
    durable.commit->convergence = c->convergence;
    durable.commit->candidate = c->candidate;
    for (uint32_t i = 0; i < w->settings.nodes; i++)
        durable.commit->rows[i] = w->nodes[i].row; /* forgotten members stay as they were */
    for (uint32_t i = 0; i < c->roster.count; i++) {
        const struct member *const member = &c->roster.members[c->roster.order[i]];
        struct row *const row = &durable.commit->rows[sim_node_of(member->name)];
        const bool in_set = effect->round > 0 && member->accepted;
        const bool counted = in_set && !effect->undone;
        *row = (struct row){
            .is_known = true,
            .active = member_stays(member, effect->round),
            .in_set = in_set,
            .key = member->key,
            .history = {.asked_round = member->asked_round,
                        .counted_round = counted && member->key.round > member->counted_round
                                             ? member->key.round
                                             : member->counted_round,
                        .samples = member->samples,
                        .reputation =
                            effect->round > 0 ? member->next_reputation : member->reputation}};
    }
    sim_push_happening(w, durable);
}

static void settle_all(struct world *w, const struct coordinator_effect *effect)
{
    const struct coordinator *const c = &w->coordinator;
    sim_check_durable(w, &effect->version);
    for (uint32_t i = 0; i < c->roster.count; i++) {
        const struct member *const member = &c->roster.members[c->roster.order[i]];
        if (member->settlement == SETTLE_COUNTED)
            sim_send_settled(w, member->session, true, &member->key, effect->version.number,
                             REASON_UNSPECIFIED);
        else if (member->settlement == SETTLE_DROPPED)
            sim_send_settled(w, member->session, false, &member->held, 0,
                             member->settlement_reason);
    }
}

static void send_finished(struct world *w, uint64_t session, enum outcome outcome)
{
    const struct node_event event = {.kind = NODE_EV_FINISHED, .outcome = outcome};
    sim_send_directive(w, session, &event);
}

static void to_all(struct world *w, const struct coordinator_effect *effect)
{
    const struct coordinator *const c = &w->coordinator;
    for (uint32_t i = 0; i < c->roster.count; i++) {
        const struct member *const member = &c->roster.members[c->roster.order[i]];
        if (effect->kind == FX_FINISH && member_hears_finish(member))
            send_finished(w, member->session, effect->outcome);
        else if (effect->kind == FX_ANNOUNCE && member_hears_beacon(member))
            sim_send_beacon(w, member->session);
    }
}

static void later(struct world *w, enum happening_kind kind,
                  const struct coordinator_effect *effect)
{
    struct happening happening = sim_at(w, kind, sim_delay(w));
    happening.incarnation = w->incarnation;
    happening.effect = *effect;
    sim_push_happening(w, happening);
}

static struct version_ref new_version(const struct coordinator *c, uint64_t round)
{
    struct version_ref version = {.number = round, .blob_bytes = 100};
    uint64_t sum = round;
    for (uint32_t i = 0; i < c->roster.count; i++) {
        const struct member *const member = &c->roster.members[c->roster.order[i]];
        if (member->accepted)
            sum = sum * 31 + sim_load_first(&member->key.payload_digest);
    }
    version.model_digest = sim_make_digest(1, round, sum);
    version.blob_digest = sim_make_digest(2, round, sum);
    return version;
}

/* The model that is restored, unless retention took it. */
static void restore(struct world *w, const struct coordinator_effect *effect)
{
    const struct committed *const committed = &w->committed[effect->round];
    CHECK(committed->used);
    sim_complete(
        w, effect,
        (struct coordinator_event){.kind = EV_RESTORED,
                                   .status = w->settings.retention ? STATUS_NOT_FOUND : STATUS_OK,
                                   .version = committed->version});
}

static void close_round(struct world *w, const struct coordinator_effect *effect)
{
    sim_accumulator_closed(w);
    w->result.stood_in += w->coordinator.stand_ins;
    sim_complete(
        w, effect,
        (struct coordinator_event){.kind = EV_CLOSED,
                                   .aggregate_norm = 1,
                                   .version = new_version(&w->coordinator, effect->round)});
}

static void fold_waiting(struct world *w, const struct coordinator_effect *effect)
{
    const struct coordinator *const c = &w->coordinator;
    for (uint32_t i = 0; i < c->roster.count; i++) {
        const uint32_t index = c->roster.order[i];
        if (c->roster.members[index].folding)
            sim_blob_folded(w, index, c->roster.members[index].blob.id);
    }
    sim_complete(w, effect, (struct coordinator_event){.kind = EV_FOLDED});
}

static void carry_asynchronous(struct world *w, const struct coordinator_effect *effect)
{
    const struct coordinator *const c = &w->coordinator;
    if (effect->kind == FX_PERSIST_EPOCH) {
        later(w, DURABLE_EPOCH, effect);
    } else if (effect->kind == FX_CREATE_MODEL) {
        sim_complete(
            w, effect,
            (struct coordinator_event){.kind = EV_MODEL_CREATED, .version = new_version(c, 0)});
    } else if (effect->kind == FX_FOLD) {
        sim_blob_folded(w, effect->member, effect->blob.id);
        sim_complete(w, effect, (struct coordinator_event){.kind = EV_FOLDED});
    } else if (effect->kind == FX_FOLD_WAITING) {
        fold_waiting(w, effect);
    } else if (effect->kind == FX_CLOSE) {
        close_round(w, effect);
    } else if (effect->kind == FX_VALIDATE) {
        sim_complete(w, effect,
                     sim_validated(w, c->round - (w->settings.validates_received ? 1 : 0)));
    } else if (effect->kind == FX_RESTORE) {
        restore(w, effect);
    } else if (effect->kind == FX_PERSIST_PAUSED) {
        later(w, DURABLE_PAUSE, effect);
    } else if (effect->kind == FX_COMMIT) {
        begin_commit(w, effect);
    } else if (effect->kind == FX_RECALL) {
        later(w, RECALL, effect);
    } else if (effect->kind == FX_PERSIST_OUTCOME) {
        later(w, DURABLE_OUTCOME, effect);
    } else {
        CHECK(!"an effect without completion");
    }
}

static void release_waiting(struct world *w)
{
    const struct coordinator *const c = &w->coordinator;
    for (uint32_t i = 0; i < c->roster.count; i++) {
        const struct member *const member = &c->roster.members[c->roster.order[i]];
        if (member->waiting)
            sim_blob_released(w, member->blob.id);
    }
    if (w->blobs_live != 0)
        sim_violation(w, "%llu payloads are held after the end", (unsigned long long)w->blobs_live);
}

static void release_shut_out(struct world *w)
{
    const struct coordinator *const c = &w->coordinator;
    for (uint32_t i = 0; i < c->roster.count; i++) {
        const struct member *const member = &c->roster.members[c->roster.order[i]];
        if (member->shut_out)
            sim_blob_released(w, member->blob.id);
    }
}

static void release_all(struct world *w, enum coordinator_effect_kind kind)
{
    if (kind == FX_RELEASE_WAITING)
        release_waiting(w);
    else
        release_shut_out(w);
}

static void send_offer(struct world *w, const struct coordinator_effect *effect)
{
    const struct node_event event = {.kind = NODE_EV_OFFER, .settled = {.key = effect->key}};
    sim_send_directive(w, effect->session, &event);
}

static void carry(struct world *w, const struct coordinator_effect *effect)
{
    switch (effect->kind) {
    case FX_WELCOME:
        sim_send_directive(w, effect->session, &(struct node_event){.kind = NODE_EV_CONNECTED});
        break;
    case FX_DENY:
    case FX_END_SESSION:
        sim_break_connection(w, effect->session);
        break;
    case FX_ANNOUNCE:
    case FX_FINISH:
        to_all(w, effect);
        break;
    case FX_SEND_BEACON:
        sim_send_beacon(w, effect->session);
        break;
    case FX_RECEIPT_ACCEPTED:
        sim_answer_ticket(w, effect->ticket, true, REASON_UNSPECIFIED);
        break;
    case FX_RECEIPT_REFUSED:
        sim_answer_ticket(w, effect->ticket, false, effect->reason);
        break;
    case FX_EVIDENCE:
        w->result.equivocations++;
        break;
    case FX_RELEASE:
        sim_blob_released(w, effect->blob.id);
        break;
    case FX_RELEASE_WAITING:
    case FX_RELEASE_SHUT_OUT:
        release_all(w, effect->kind);
        break;
    case FX_SETTLE:
        settle_all(w, effect);
        break;
    case FX_SEND_COUNTED:
    case FX_SEND_DROPPED:
        sim_send_settled(w, effect->session, effect->kind == FX_SEND_COUNTED, &effect->key,
                         effect->version.number, effect->reason);
        break;
    case FX_SEND_OFFER:
        send_offer(w, effect);
        break;
    case FX_SEND_FINISHED:
        send_finished(w, effect->session, effect->outcome);
        break;
    case FX_TIMER:
        w->timer_ns = effect->deadline_ns;
        break;
    case FX_EXIT:
        CHECK(effect->status == STATUS_OK);
        w->exited = true;
        w->up = false;
        break;
    case FX_PERSIST_EPOCH:
    case FX_CREATE_MODEL:
    case FX_FOLD:
    case FX_FOLD_WAITING:
    case FX_CLOSE:
    case FX_VALIDATE:
    case FX_RESTORE:
    case FX_COMMIT:
    case FX_RECALL:
    case FX_PERSIST_OUTCOME:
    case FX_PERSIST_PAUSED:
        carry_asynchronous(w, effect);
        break;
    }
}

static void crash_coordinator(struct world *w)
{
    sim_narrate(w, "world", "the coordinator is killed");
    w->up = false;
    w->incarnation++;
    w->timer_ns = NO_DEADLINE;
    sim_forget_blobs(w);
    for (uint64_t session = 1; session <= w->sessions; session++)
        sim_break_connection(w, session);
    sim_push_happening(w, sim_at(w, START_COORDINATOR, 200 * ms + sim_delay(w)));
}

void sim_step_coordinator(struct world *w, struct coordinator_event event)
{
    static struct coordinator_effects effects;
    event.now_ns = w->now_ns;
    if (event.kind == EV_START)
        w->asked_pause = w->told_paused = event.start.paused;
    else if (event.kind == EV_PAUSE || event.kind == EV_RESUME)
        w->asked_pause = event.kind == EV_PAUSE;
    else if (event.kind == EV_PAUSE_PERSISTED)
        w->told_paused = event.paused;
    coordinator_step(&w->coordinator, &event, &effects);
    sim_tell(w, &effects.traces, "coordinator");
    sim_check_machine(w, &effects.traces);
    const uint32_t incarnation = w->incarnation;
    for (uint32_t i = 0; i < effects.count && w->incarnation == incarnation; i++) {
        if (w->crashes_left > 0 && w->has_version && !sim_faults_are_over(w) &&
            random_below(&w->random, 40 * w->settings.nodes) < 4) {
            w->crashes_left--;
            crash_coordinator(w); /* between two effects of one step */
            return;
        }
        carry(w, &effects.items[i]);
    }
}

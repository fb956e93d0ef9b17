/*
 * federation_sim_coordinator.c - carries out what the coordinator's machine wants, or kills it
 * between two effects.
 */
#include "federation_sim_internal.h"

#include <stdlib.h>

static void begin_commit(struct world *w, const struct coordinator_effect *effect)
{
    const struct coordinator *const c = &w->coordinator;
    struct happening durable = sim_at(w, DURABLE_COMMIT, sim_delay(w));
    durable.incarnation = w->incarnation;
    durable.effect = *effect;
    durable.epoch = c->epoch;
    durable.accepted = calloc(w->settings.nodes, sizeof(uint32_t));
    durable.accepted_digests = calloc(w->settings.nodes, sizeof(struct digest));
    CHECK(durable.accepted != nullptr && durable.accepted_digests != nullptr);
    for (uint32_t i = 0; i < c->roster.count && effect->round > 0; i++) {
        const struct member *const member = &c->roster.members[c->roster.order[i]];
        if (!member->accepted)
            continue;
        durable.accepted_digests[durable.accepted_count] = member->key.payload_digest;
        durable.accepted[durable.accepted_count++] = sim_node_of(member->name);
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
            sim_send_settled(w, member->session, false, &member->held, 0, REASON_ROUND_CLOSED);
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

static void carry_asynchronous(struct world *w, const struct coordinator_effect *effect)
{
    const struct coordinator *const c = &w->coordinator;
    if (effect->kind == FX_PERSIST_EPOCH) {
        later(w, DURABLE_EPOCH, effect);
    } else if (effect->kind == FX_CREATE_MODEL) {
        sim_complete(
            w, effect,
            (struct coordinator_event){.kind = EV_MODEL_CREATED, .version = new_version(c, 0)});
    } else if (effect->kind == FX_FOLD || effect->kind == FX_FOLD_WAITING) {
        sim_complete(w, effect, (struct coordinator_event){.kind = EV_FOLDED});
    } else if (effect->kind == FX_CLOSE) {
        sim_complete(w, effect,
                     (struct coordinator_event){.kind = EV_CLOSED,
                                                .aggregate_norm = 1,
                                                .version = new_version(c, effect->round)});
    } else if (effect->kind == FX_VALIDATE) {
        sim_complete(
            w, effect,
            (struct coordinator_event){
                .kind = EV_VALIDATED,
                .validated = {.loss = 1, .accuracy = 0.5, .has_loss = true, .has_accuracy = true}});
    } else if (effect->kind == FX_RESTORE) {
        sim_complete(w, effect,
                     (struct coordinator_event){.kind = EV_RESTORED,
                                                .version = new_version(c, effect->round)});
    } else if (effect->kind == FX_PERSIST_PAUSED) {
        sim_complete(
            w, effect,
            (struct coordinator_event){.kind = EV_PAUSE_PERSISTED, .paused = effect->paused});
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
    case FX_RELEASE_WAITING:
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
        sim_send_directive(
            w, effect->session,
            &(struct node_event){.kind = NODE_EV_OFFER, .settled = {.key = effect->key}});
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
    for (uint64_t session = 1; session <= w->sessions; session++)
        sim_break_connection(w, session);
    sim_push_happening(w, sim_at(w, START_COORDINATOR, 200 * ms + sim_delay(w)));
}

void sim_step_coordinator(struct world *w, struct coordinator_event event)
{
    static struct coordinator_effects effects;
    event.now_ns = w->now_ns;
    coordinator_step(&w->coordinator, &event, &effects);
    sim_tell(w, &effects.traces, "coordinator");
    const uint32_t incarnation = w->incarnation;
    for (uint32_t i = 0; i < effects.count && w->incarnation == incarnation; i++) {
        if (w->crashes_left > 0 && w->has_version &&
            random_below(&w->random, 40 * w->settings.nodes) < 4) {
            w->crashes_left--;
            crash_coordinator(w); /* between two effects of one step */
            return;
        }
        carry(w, &effects.items[i]);
    }
}

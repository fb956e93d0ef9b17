/*
 * federation_sim_node.c - carries out what a node's machine wants, and keeps account of its notes.
 */
#include "federation_sim_internal.h"

void sim_step_node(struct world *w, uint32_t index, struct node_event event);

void sim_node_complete(struct world *w, uint32_t index, enum happening_kind kind, uint64_t delay_ns,
                       const struct node_event *event)
{
    struct happening happening = sim_at(w, kind, delay_ns);
    happening.node = index;
    happening.incarnation = w->nodes[index].incarnation;
    happening.node_event = *event;
    sim_push_happening(w, happening);
}

static void carry_push(struct world *w, uint32_t index, const struct node_effect *effect)
{
    struct sim_node *const node = &w->nodes[index];
    node->push_id = effect->id;
    if (node->session == 0) {
        node->push_id = 0;
        sim_node_complete(w, index, TO_NODE, sim_delay(w),
                          &(struct node_event){.kind = NODE_EV_RECEIPT,
                                               .id = effect->id,
                                               .status = STATUS_UNREACHABLE});
        return;
    }
    if (sim_lost(w)) {
        sim_break_connection(w, node->session);
        return;
    }
    struct happening push = sim_at(w, PUSH, sim_delay(w));
    push.node = index;
    push.incarnation = node->incarnation;
    push.session = node->session;
    push.event.update.ticket = ++w->ticket_count;
    w->tickets = sim_grow(w->tickets, &w->tickets_capacity, w->ticket_count, sizeof(*w->tickets));
    w->tickets[w->ticket_count] = (struct ticket){index, node->incarnation, effect->id};
    push.event.kind = EV_UPDATE;
    push.event.update.info.key = node->kept.key;
    push.event.update.info.base_id = node->kept.base_id;
    push.event.update.info.samples = 100 + index;
    sim_push_happening(w, push);
    if (!sim_faults_are_over(w) && random_unit(&w->random) < w->settings.duplication) {
        push.at_ns += sim_delay(w);
        push.event.update.ticket = 0; /* nobody waits for the second answer */
        sim_push_happening(w, push);
    }
    if (w->settings.liars && index == 0) {
        push.at_ns += sim_delay(w);
        push.event.update.ticket = 0;
        push.event.update.info.key.payload_digest = sim_make_digest(66, node->kept.key.round, 6);
        sim_push_happening(w, push);
    }
}

static void record_note(struct world *w, struct sim_node *node, const struct node_effect *effect)
{
    const uint64_t round = effect->key.round;
    CHECK(round < ROUNDS_MAX);
    const bool in_commit =
        node->is_counted[round] && digest_equal(&node->counted[round], &effect->key.payload_digest);
    if ((effect->note == NOTE_COUNTED && !in_commit) || (effect->note == NOTE_DROPPED && in_commit))
        sim_narrate(w, "world", "what the node was told next above is not true");
    switch (effect->note) {
    case NOTE_ACCEPTED:
        w->result.accepted += !node->is_acknowledged[round];
        node->is_acknowledged[round] = true;
        node->acknowledged[round] = effect->key.payload_digest;
        node->kept.state = UPDATE_ACCEPTED;
        break;
    case NOTE_COUNTED:
        w->result.wrongly_settled += !in_commit;
        node->is_settled[round] = true;
        node->kept.state = UPDATE_SETTLED;
        break;
    case NOTE_DROPPED:
        w->result.wrongly_settled += in_commit;
        node->is_settled[round] = true;
        node->is_dropped[round] = true;
        node->dropped[round] = effect->key.payload_digest;
        node->kept.state = UPDATE_SETTLED;
        break;
    case NOTE_REFUSED:
        break;
    }
}

static void carry_node(struct world *w, uint32_t index, const struct node_effect *effect)
{
    struct sim_node *const node = &w->nodes[index];
    struct node_event done = {.id = effect->id};
    switch (effect->kind) {
    case NODE_FX_CONNECT:
        sim_node_complete(w, index, DIAL, sim_delay(w), &done);
        break;
    case NODE_FX_RAISE:
        done.kind = NODE_EV_EPOCH_PERSISTED;
        done.beacon.epoch = effect->epoch;
        sim_node_complete(w, index, DURABLE_NODE_EPOCH, sim_delay(w), &done);
        break;
    case NODE_FX_PULL:
        done.kind = NODE_EV_PULLED;
        done.status = node->session != 0 && !sim_lost(w) ? STATUS_OK : STATUS_UNREACHABLE;
        sim_node_complete(w, index, TO_NODE, sim_delay(w), &done);
        break;
    case NODE_FX_TRAIN:
        done.kind = NODE_EV_TRAINED;
        sim_node_complete(w, index, TO_NODE, node->slowness * (50 * ms + 4 * sim_delay(w)), &done);
        break;
    case NODE_FX_ABORT: /* it completes as cancelled, unless it has just ended */
        done.kind = node->machine.work == WORK_PULLING ? NODE_EV_PULLED : NODE_EV_TRAINED;
        done.status = STATUS_CANCELLED;
        sim_node_complete(w, index, TO_NODE, sim_delay(w), &done);
        break;
    case NODE_FX_HOLD:
        done.kind = NODE_EV_HELD;
        done.beacon = effect->beacon;
        sim_node_complete(w, index, DURABLE_UPDATE, sim_delay(w), &done);
        break;
    case NODE_FX_PUSH:
        carry_push(w, index, effect);
        break;
    case NODE_FX_NOTE:
        record_note(w, node, effect);
        break;
    case NODE_FX_RELEASE:
        break;
    case NODE_FX_TIMER:
        node->timer_ns = effect->deadline_ns;
        break;
    case NODE_FX_EXIT:
        CHECK(effect->status == STATUS_OK);
        node->done = true;
        node->up = false;
        break;
    }
}

void sim_step_node(struct world *w, uint32_t index, struct node_event event)
{
    static struct node_effects effects;
    char who[16];
    event.now_ns = w->now_ns;
    node_step(&w->nodes[index].machine, &event, &effects);
    snprintf(who, sizeof(who), "n%04u", index);
    sim_tell(w, &effects.traces, who);
    const uint32_t incarnation = w->nodes[index].incarnation;
    for (uint32_t i = 0; i < effects.count && w->nodes[index].incarnation == incarnation; i++)
        carry_node(w, index, &effects.items[i]);
}

/*
 * sim_node.c - a node's process: carries out what its machine wants, keeps its update in an outbox,
 * is killed between two effects. As host/node_host.c, node_link.c and node_work.c.
 */
#include "sim/sim_internal.h"

#include "wire/messages.h"

#include <stdlib.h>
#include <string.h>

static void read_kept(const struct world *w, struct sim_node *node, struct kept_update *ret_kept)
{
    static const enum update_state states[] = {[OUTBOX_HELD] = UPDATE_HELD,
                                               [OUTBOX_ACCEPTED] = UPDATE_ACCEPTED,
                                               [OUTBOX_COUNTED] = UPDATE_SETTLED,
                                               [OUTBOX_DROPPED] = UPDATE_SETTLED,
                                               [OUTBOX_REFUSED] = UPDATE_REFUSED};
    const struct envelope_limits limits = sim_limits(w);
    struct outbox_update update;
    struct envelope envelope;
    if (outbox_get(node->outbox, &update, nullptr) != STATUS_OK)
        return;
    CHECK(envelope_parse(update.envelope, &limits, &envelope, nullptr) == STATUS_OK);
    node->outbox_sequence = update.sequence;
    *ret_kept = (struct kept_update){.state = states[update.state],
                                     .key = {.epoch = envelope.header.epoch,
                                             .round = envelope.header.round,
                                             .attempt = envelope.header.attempt,
                                             .payload_digest = envelope.header.payload_digest},
                                     .base_id = envelope.header.base_id};
}

void node_start(struct world *w, uint32_t index)
{
    struct sim_node *const node = &w->nodes[index];
    const struct node_settings settings = {
        .seed = w->plan->seed + index, .retry_min_ns = 100 * MS, .retry_max_ns = 2 * SECOND};
    struct node_event start = {.kind = NODE_EV_START};
    node_init(&node->machine, &settings);
    node->process.up = true;
    node->process.offset_ns = random_below(&w->random, 1000000 * SECOND);
    node->session = node->push_id = node->pull_id = node->work_done_id = 0;
    node->welcomed = false;
    memset(node->instance_id, 0, INSTANCE_ID_BYTES);
    rotation_start(w, index);
    start.start.epoch_seen = outbox_epoch(node->outbox);
    read_kept(w, node, &start.start.kept);
    node_sim_step(w, index, start);
}

void node_kill(struct world *w, uint32_t index, uint64_t back_after_ns)
{
    struct sim_node *const node = &w->nodes[index];
    node->process.up = false;
    node->writes = 0;
    node->process.incarnation++;
    node->process.timer_order = 0;
    if (node->machine.work == WORK_TRAINING)
        w->work->ops->stop(w->work, index);
    const bool forgets = !node->done && (w->healed || random_below(&w->random, 4) > 0);
    if (forgets)
        outbox_memory_crash(node->outbox); /* else what it noted had reached the disk */
    if (forgets || (node->note_missed && !node->done)) {
        struct kept_update kept = {0};
        read_kept(w, node, &kept);
        if (forgets || kept.state != UPDATE_SETTLED)
            oracle_notes_lost(w, index, &kept);
    }
    node->note_missed = false;
    sim_break(w, node->session);
    node->session = 0;
    if (!node->done)
        sim_push(w, sim_happening(w, HAPPEN_START, index, back_after_ns));
}

static void done_later(struct world *w, uint32_t index, uint64_t delay_ns,
                       const struct node_event *event)
{
    struct happening *const done = sim_happening(w, HAPPEN_DONE, index, delay_ns);
    done->node_event = *event;
    sim_push(w, done);
}

static void dial(struct world *w, uint32_t index)
{
    struct sim_node *const node = &w->nodes[index];
    struct happening *const join = sim_happening(w, HAPPEN_JOIN, index, 0);
    struct join_request request = {
        .job = SIM_JOB,
        .epoch_seen = node->machine.epoch_seen,
        .chain = {.count = 1, .certificates = {{(const uint8_t *)"certificate", 11}}},
        .has_held = node_awaits_settlement(&node->machine),
        .held_state = node->machine.kept.state == UPDATE_ACCEPTED ? HELD_ACCEPTED : HELD_UNSENT,
        .held = {.epoch = node->machine.kept.key.epoch,
                 .round = node->machine.kept.key.round,
                 .attempt = node->machine.kept.key.attempt,
                 .payload_digest = node->machine.kept.key.payload_digest}};
    memcpy(request.spiffe_id, w->names[index], sizeof(request.spiffe_id));
    if (node->liar && sim_strikes(w, SIM_LIAR, 0.3)) { /* it says that it saw a later epoch */
        const uint64_t bits = random_below(&w->random, 63);
        request.epoch_seen += 1 + (random_u64(&w->random) >> bits);
    }
    CHECK(join_request_encode(&request, &join->bytes) == STATUS_OK);
    join->node = index;
    join->ticket = node->generation;
    join->work_id = node->process.incarnation;
    node->session = 0;
    sim_send_up(w, join);
}

void node_send_update(struct world *w, uint32_t index, struct slice envelope,
                      struct payload *payload, uint64_t push_id)
{
    const struct sim_node *const node = &w->nodes[index];
    struct happening *const update = sim_happening(w, HAPPEN_UPDATE, index, 0);
    CHECK(bytes_append(&update->bytes, envelope.data, envelope.size) == STATUS_OK);
    update->payload = payload_ref(payload);
    update->node = index;
    update->session = node->session;
    update->ticket = ++w->ticket_count;
    w->tickets = sim_grow(w->tickets, &w->ticket_capacity, update->ticket, sizeof(*w->tickets));
    w->offers = sim_grow(w->offers, &w->offer_capacity, update->ticket, sizeof(struct offer *));
    w->tickets[update->ticket] = (struct ticket){index, node->process.incarnation, node->session,
                                                 push_id, rotation_generation(w, index)};
    sim_send_up(w, update);
}

static void push(struct world *w, uint32_t index, const struct node_effect *effect)
{
    struct sim_node *const node = &w->nodes[index];
    struct outbox_update update;
    const struct envelope_limits limits = sim_limits(w);
    struct envelope envelope;
    if (node->session == 0 || !node->welcomed) {
        done_later(w, index, sim_delay(w),
                   &(struct node_event){
                       .kind = NODE_EV_RECEIPT, .id = effect->id, .status = STATUS_UNREACHABLE});
        return;
    }
    if (node->push_id != 0)
        sim_fail(w, "%s offers twice at a time", sim_who(index));
    node->push_id = effect->id;
    CHECK(outbox_get(node->outbox, &update, nullptr) == STATUS_OK);
    CHECK(envelope_parse(update.envelope, &limits, &envelope, nullptr) == STATUS_OK);
    if (node->liar && sim_strikes(w, SIM_LIAR, 0.5))
        liar_lies(w, index, &envelope.header);
    struct bytes signed_again;
    rotation_sign_again(w, index, &envelope, &signed_again);
    const struct slice sent = signed_again.size > 0 ? bytes_slice(&signed_again) : update.envelope;
    if (node->session != 0)
        node_send_update(w, index, sent, node->kept, effect->id);
    if (node->session != 0 && sim_strikes(w, SIM_DUPLICATE, w->plan->duplication))
        node_send_update(w, index, sent, node->kept, 0);
    bytes_deinit(&signed_again);
}

static void pull(struct world *w, uint32_t index, const struct node_effect *effect)
{
    struct sim_node *const node = &w->nodes[index];
    if (node->session == 0 || !node->welcomed) {
        done_later(w, index, sim_delay(w),
                   &(struct node_event){
                       .kind = NODE_EV_PULLED, .id = effect->id, .status = STATUS_UNREACHABLE});
        return;
    }
    struct happening *const pull = sim_happening(w, HAPPEN_PULL, index, 0);
    pull->node = index;
    pull->session = node->session;
    pull->work_id = effect->id;
    pull->node_event.beacon = effect->beacon;
    node->pull_id = effect->id;
    sim_send_up(w, pull);
}

/* Healed, the slow ones are as quick as the others. */
static void train(struct world *w, uint32_t index, const struct node_effect *effect)
{
    struct sim_node *const node = &w->nodes[index];
    const struct sim_task task = {.node = index,
                                  .round = effect->beacon.round,
                                  .serial = ++node->trainings,
                                  .base = node->base};
    const uint64_t slowness = w->healed ? 1 : node->slowness;
    const uint64_t lasts_ns = w->work->ops->begin(w->work, &task);
    if (slowness > 1)
        w->result->happened[SIM_SLOW]++;
    done_later(w, index, slowness * (lasts_ns > 0 ? lasts_ns : 50 * MS + 4 * sim_delay(w)),
               &(struct node_event){.kind = NODE_EV_TRAINED, .id = effect->id});
}

static void to_node_disk(struct world *w, uint32_t index, const struct node_effect *effect)
{
    struct happening *const disk = sim_happening(w, HAPPEN_NODE_DISK, index, sim_delay(w));
    disk->node_effect = *effect;
    w->nodes[index].writes++;
    sim_push(w, disk);
}

static void note(struct world *w, uint32_t index, const struct node_effect *effect)
{
    static const enum outbox_state states[] = {[NOTE_ACCEPTED] = OUTBOX_ACCEPTED,
                                               [NOTE_COUNTED] = OUTBOX_COUNTED,
                                               [NOTE_DROPPED] = OUTBOX_DROPPED,
                                               [NOTE_REFUSED] = OUTBOX_REFUSED};
    struct sim_node *const node = &w->nodes[index];
    bool reached = true;
    oracle_note(w, index, effect);
    if (node_disk_write(w, index, &reached) != STATUS_OK && !reached) {
        node->note_missed = true; /* the machine knows it, as long as it lives */
        return;
    }
    const enum status status =
        outbox_set_state(node->outbox, node->outbox_sequence, states[effect->note], "-", nullptr);
    if (status != STATUS_OK)
        sim_fail(w, "%s notes what its outbox does not take: %s", sim_who(index),
                 status_text(status));
}

/* Its supervisor starts it again where it stopped for a fault. */
static void exit_process(struct world *w, uint32_t index, enum status status)
{
    struct sim_node *const node = &w->nodes[index];
    if (status != STATUS_OK && w->plan->node_disk_faults == 0)
        sim_fail(w, "%s stops for a fault that it did not have: %s", sim_who(index),
                 status_text(status));
    if (status == STATUS_OK) {
        node->done = true;
        w->nodes_done++;
    }
    node_kill(w, index, 200 * MS + sim_delay(w));
}

static void carry(struct world *w, uint32_t index, const struct node_effect *effect)
{
    struct sim_node *const node = &w->nodes[index];
    switch (effect->kind) {
    case NODE_FX_CONNECT:
        dial(w, index);
        break;
    case NODE_FX_PULL:
        pull(w, index, effect);
        break;
    case NODE_FX_TRAIN:
        train(w, index, effect);
        break;
    case NODE_FX_ABORT: /* it completes as cancelled, unless it has just ended */
        if (node->machine.work == WORK_TRAINING)
            w->work->ops->stop(w->work, index);
        done_later(w, index, sim_delay(w),
                   &(struct node_event){.kind = node->machine.work == WORK_PULLING
                                                    ? NODE_EV_PULLED
                                                    : NODE_EV_TRAINED,
                                        .id = effect->id,
                                        .status = STATUS_CANCELLED});
        break;
    case NODE_FX_RAISE:
    case NODE_FX_HOLD:
        to_node_disk(w, index, effect);
        break;
    case NODE_FX_PUSH:
        push(w, index, effect);
        break;
    case NODE_FX_NOTE:
        note(w, index, effect);
        break;
    case NODE_FX_RELEASE:
        break;
    case NODE_FX_TIMER:
        sim_set_timer(w, index, effect->deadline_ns);
        break;
    case NODE_FX_EXIT:
        exit_process(w, index, effect->status);
        break;
    }
}

/* Work completes once, whatever comes after it. */
static bool is_old_work(struct sim_node *node, const struct node_event *event)
{
    if (event->kind != NODE_EV_PULLED && event->kind != NODE_EV_TRAINED)
        return false;
    if (event->id <= node->work_done_id)
        return true;
    node->work_done_id = event->id;
    if (node->pull_id == event->id)
        node->pull_id = 0;
    return false;
}

void node_sim_step(struct world *w, uint32_t index, struct node_event event)
{
    struct sim_node *const node = &w->nodes[index];
    if (is_old_work(node, &event))
        return;
    if (event.kind == NODE_EV_TRAINED && event.status == STATUS_OK) {
        payload_unref(node->trained.payload);
        node->trained = (struct sim_trained){0};
        event.status = w->work->ops->end(w->work, index, &node->trained);
    }
    struct node_effects *const effects = malloc(sizeof(*effects));
    CHECK(effects != nullptr);
    event.now_ns = sim_clock(w, &node->process);
    node_step(&node->machine, &event, effects);
    sim_tell(w, &effects->traces, index);
    const uint32_t incarnation = node->process.incarnation;
    for (uint32_t i = 0; i < effects->count && node->process.incarnation == incarnation; i++) {
        if (sim_strikes(w, SIM_NODE_CRASH, w->node_crashes_left > 0 ? 0.03 : 0)) {
            w->node_crashes_left--;
            sim_narrate(w, "%s is killed", sim_who(index));
            node_kill(w, index, 200 * MS + sim_delay(w));
            break;
        }
        carry(w, index, &effects->items[i]);
    }
    if (node->process.incarnation == incarnation)
        oracle_node_queues(w, index);
    free(effects);
}

static enum status hold(struct world *w, uint32_t index, const struct beacon *beacon,
                        struct update_key *ret_key)
{
    struct sim_node *const node = &w->nodes[index];
    const struct sim_trained *const trained = &node->trained;
    struct bytes envelope;
    bytes_init(&envelope, OUTBOX_ENVELOPE_BYTES_MAX);
    struct envelope_header header = core_update_header(beacon);
    header.payload_digest = trained->payload->digest;
    header.payload_length = w->layout->bytes;
    header.layout_digest = w->layout->digest;
    header.samples = trained->samples;
    header.loss = trained->loss;
    if (trained->received.samples > 0) {
        header.has_holdout_loss = header.has_holdout_accuracy = true;
        header.holdout_loss = trained->received.loss;
        header.holdout_accuracy = trained->received.accuracy;
        header.holdout_samples = trained->received.samples;
    }
    snprintf(header.job, sizeof(header.job), "%s", SIM_JOB);
    CHECK(envelope_seal(&header, &node->signer, &envelope, nullptr) == STATUS_OK);
    archive_put(w, trained->payload);
    /* The outbox keeps the digest in the payload's place; what it names is node->kept. */
    const struct outbox_key key = {beacon->round, beacon->attempt, header.payload_digest};
    const struct slice slice = {header.payload_digest.bytes, DIGEST_BYTES};
    bool reached = true;
    const enum status status = node_disk_write(w, index, &reached);
    if (reached) {
        CHECK(outbox_put(node->outbox, &key, bytes_slice(&envelope), &slice, 1,
                         &node->outbox_sequence, nullptr) == STATUS_OK);
        payload_unref(node->kept);
        node->kept = payload_ref(trained->payload);
    }
    bytes_deinit(&envelope);
    *ret_key = (struct update_key){.epoch = beacon->epoch,
                                   .round = beacon->round,
                                   .attempt = beacon->attempt,
                                   .payload_digest = header.payload_digest};
    return status;
}

void node_disk(struct world *w, struct happening *happening)
{
    const uint32_t index = happening->process;
    const struct node_effect *const effect = &happening->node_effect;
    struct node_event event = {.id = effect->id};
    w->nodes[index].writes--;
    if (effect->kind == NODE_FX_RAISE) {
        event.kind = NODE_EV_EPOCH_PERSISTED;
        bool reached = true;
        event.status = node_disk_write(w, index, &reached);
        if (reached)
            CHECK(outbox_raise_epoch(w->nodes[index].outbox, effect->epoch, nullptr) == STATUS_OK);
    } else {
        event.kind = NODE_EV_HELD;
        event.status = hold(w, index, &effect->beacon, &event.key);
    }
    done_later(w, index, 1 + sim_delay(w) / 4, &event);
}

/* What went over it has failed, then it is gone. */
void node_lost(struct world *w, struct happening *happening)
{
    const uint32_t index = happening->process;
    struct sim_node *const node = &w->nodes[index];
    const uint32_t incarnation = node->process.incarnation;
    if (node->session != happening->session)
        return; /* of an older one */
    const uint64_t push_id = node->push_id;
    const uint64_t pull_id = node->pull_id;
    node->session = node->push_id = 0;
    node->welcomed = false;
    if (push_id != 0)
        node_sim_step(w, index,
                      (struct node_event){
                          .kind = NODE_EV_RECEIPT, .id = push_id, .status = STATUS_UNREACHABLE});
    if (pull_id != 0 && node->process.incarnation == incarnation)
        node_sim_step(w, index,
                      (struct node_event){
                          .kind = NODE_EV_PULLED, .id = pull_id, .status = STATUS_UNREACHABLE});
    if (node->process.incarnation == incarnation)
        node_sim_step(w, index, (struct node_event){.kind = NODE_EV_LOST});
}

static void hear_beacon(struct world *w, uint32_t index, struct slice bytes)
{
    const struct envelope_limits limits = sim_limits(w);
    struct envelope envelope;
    CHECK(envelope_parse(bytes, &limits, &envelope, nullptr) == STATUS_OK);
    CHECK(envelope_verify(&envelope, &w->verifier, 0, nullptr) == STATUS_OK);
    const struct envelope_header *const header = &envelope.header;
    node_sim_step(
        w, index,
        (struct node_event){.kind = NODE_EV_BEACON,
                            .beacon = {.epoch = header->epoch,
                                       .round = header->round,
                                       .attempt = header->attempt,
                                       .remaining_ns = header->deadline_ms * MS,
                                       .version = {.number = header->version_number,
                                                   .id = header->version_id,
                                                   .model_digest = header->model_digest,
                                                   .blob_digest = header->model_blob_digest,
                                                   .blob_bytes = header->model_blob_length}}});
}

static struct update_key key_of(const struct update_ref *ref)
{
    return (struct update_key){.epoch = ref->epoch,
                               .round = ref->round,
                               .attempt = ref->attempt,
                               .payload_digest = ref->payload_digest};
}

static void hear_welcome(struct world *w, uint32_t index, const struct welcome *welcome)
{
    struct sim_node *const node = &w->nodes[index];
    const bool is_same = memcmp(node->instance_id, welcome->instance_id, INSTANCE_ID_BYTES) == 0;
    memcpy(node->instance_id, welcome->instance_id, INSTANCE_ID_BYTES);
    node->welcomed = true;
    node_sim_step(w, index,
                  (struct node_event){.kind = NODE_EV_CONNECTED, .same_instance = is_same});
}

void on_directive_arrives(struct world *w, struct happening *happening)
{
    const uint32_t index = happening->process;
    struct directive directive;
    struct node_event event = {0};
    if (w->nodes[index].session != happening->session)
        return;
    CHECK(directive_decode(bytes_slice(&happening->bytes), &directive, nullptr) == STATUS_OK);
    switch (directive.kind) {
    case DIRECTIVE_WELCOME:
        hear_welcome(w, index, &directive.welcome);
        return;
    case DIRECTIVE_BEACON:
        hear_beacon(w, index, directive.beacon);
        return;
    case DIRECTIVE_COUNTED:
        event.kind = NODE_EV_COUNTED;
        event.settled.key = key_of(&directive.counted.update);
        event.settled.version_number = directive.counted.version_number;
        break;
    case DIRECTIVE_DROPPED:
        event.kind = NODE_EV_DROPPED;
        event.settled.key = key_of(&directive.dropped.update);
        event.settled.reason = directive.dropped.reason;
        break;
    case DIRECTIVE_OFFER:
        event.kind = NODE_EV_OFFER;
        event.settled.key = key_of(&directive.offer);
        break;
    case DIRECTIVE_FINISHED:
        event.kind = NODE_EV_FINISHED;
        event.outcome = (enum outcome)directive.finished.outcome;
        break;
    case DIRECTIVE_DRAIN:
        return;
    }
    node_sim_step(w, index, event);
}

void on_receipt_arrives(struct world *w, struct happening *happening)
{
    const uint32_t index = happening->process;
    struct sim_node *const node = &w->nodes[index];
    const struct ticket *const ticket = &w->tickets[happening->ticket];
    struct receipt receipt;
    if (node->push_id == 0 || node->push_id != ticket->push_id ||
        node->session != happening->session)
        return;
    CHECK(receipt_decode(bytes_slice(&happening->bytes), &receipt, nullptr) == STATUS_OK);
    node->push_id = 0;
    struct node_event event = {.kind = NODE_EV_RECEIPT,
                               .id = ticket->push_id,
                               .receipt = {.accepted = receipt.accepted, .reason = receipt.reason}};
    if (!receipt.accepted && receipt.reason == REASON_IDENTITY &&
        rotation_explains(w, index, ticket->generation))
        event.status = STATUS_IDENTITY; /* it is pushed again, under a newer key */
    node_sim_step(w, index, event);
}

void on_model_arrives(struct world *w, struct happening *happening)
{
    const uint32_t index = happening->process;
    struct sim_node *const node = &w->nodes[index];
    const struct beacon *const beacon = &node->machine.working;
    struct node_event event = {
        .kind = NODE_EV_PULLED, .id = happening->work_id, .status = STATUS_NOT_FOUND};
    if (node->pull_id != happening->work_id)
        return;
    if (happening->model != nullptr) {
        if (!digest_equal(&happening->model->model_digest, &beacon->version.model_digest))
            sim_fail(w, "%s pulled another model than was announced", sim_who(index));
        model_file_replace(&node->base, model_file_ref(happening->model));
        event.status = STATUS_OK;
    }
    node_sim_step(w, index, event);
}

/*
 * node.c - the node's step. The newest beacon says what is wanted; what is kept and what is under
 * way say what is missing for it.
 */
#include "core/node.h"

#include "base/check.h"

void node_init(struct node *node, const struct node_settings *settings)
{
    CHECK(settings->retry_min_ns > 0 && settings->retry_min_ns <= settings->retry_max_ns);
    *node = (struct node){
        .settings = *settings,
        .retry_ns = settings->retry_min_ns,
        .deadline_ns = NO_DEADLINE,
        .timer_ns = NO_DEADLINE,
    };
    random_init(&node->random, settings->seed, 0, 0);
}

static struct node_effect *add(struct node_effects *effects, enum node_effect_kind kind)
{
    CHECK(effects->count < EFFECTS_MAX);
    struct node_effect *const effect = &effects->items[effects->count++];
    *effect = (struct node_effect){.kind = kind};
    return effect;
}

static void trace(const struct node *node, struct node_effects *effects, enum trace_kind kind,
                  uint64_t a, uint64_t b, enum reason reason)
{
    struct traces *const traces = &effects->traces;
    if (traces->count == TRACES_MAX) {
        traces->lost++;
        return;
    }
    traces->items[traces->count++] = (struct trace_record){.now_ns = node->now_ns,
                                                           .kind = kind,
                                                           .member = NO_MEMBER,
                                                           .a = a,
                                                           .b = b,
                                                           .reason = reason};
}

static void fail(struct node *node, struct node_effects *effects, enum status status)
{
    node->stopped = true;
    node->deadline_ns = NO_DEADLINE;
    trace(node, effects, TRACE_FAILED, 0, 0, REASON_UNSPECIFIED);
    add(effects, NODE_FX_EXIT)->status = status;
}

static bool same_base(const struct beacon *beacon, uint64_t round, const struct digest *base_id)
{
    return beacon->round == round && digest_equal(&beacon->version.id, base_id);
}

static bool kept_is_for(const struct node *node, const struct beacon *beacon)
{
    return node->kept.state != UPDATE_NONE &&
           same_base(beacon, node->kept.key.round, &node->kept.base_id);
}

static void push(struct node *node, struct node_effects *effects)
{
    if (!node->connected || node->push_id != 0)
        return;
    node->push_id = ++node->next_id;
    node->push_is_outdated = false;
    struct node_effect *const effect = add(effects, NODE_FX_PUSH);
    effect->id = node->push_id;
    effect->key = node->kept.key;
    trace(node, effects, TRACE_OFFERED, node->kept.key.round, 0, REASON_UNSPECIFIED);
}

static void abort_work(struct node *node, struct node_effects *effects)
{
    if (node->aborted || (node->work != WORK_PULLING && node->work != WORK_TRAINING))
        return;
    node->aborted = true;
    add(effects, NODE_FX_ABORT)->id = node->work_id;
}

/* Does what the newest beacon wants and is not under way. */
static void work_on(struct node *node, struct node_effects *effects)
{
    if (node->stopped)
        return;
    const bool is_for_beacon = node->has_beacon && kept_is_for(node, &node->beacon);
    if (node->kept.state == UPDATE_HELD && (is_for_beacon || node->asked_for_kept))
        push(node, effects);
    if (is_for_beacon || !node->has_beacon)
        return;
    if (node->work != WORK_NONE) {
        if (!same_base(&node->beacon, node->working.round, &node->working.version.id))
            abort_work(node, effects);
        return;
    }
    if (!node->connected || node->failed_work)
        return;
    node->work = WORK_PULLING;
    node->aborted = false;
    node->working = node->beacon;
    node->work_id = ++node->next_id;
    struct node_effect *const effect = add(effects, NODE_FX_PULL);
    effect->id = node->work_id;
    effect->beacon = node->working;
}

static void connect(struct node *node, struct node_effects *effects)
{
    node->connecting = true;
    add(effects, NODE_FX_CONNECT);
}

static void wait_to_retry(struct node *node)
{
    /* From half to the whole of the wait, so that nodes do not come back in step. */
    const uint64_t half = node->retry_ns / 2;
    node->deadline_ns = node->now_ns + half + random_below(&node->random, half + 1);
    node->retry_ns = node->retry_ns > node->settings.retry_max_ns / 2 ? node->settings.retry_max_ns
                                                                      : node->retry_ns * 2;
}

static void on_node_start(struct node *node, const struct node_event *event,
                          struct node_effects *effects)
{
    node->epoch_seen = event->start.epoch_seen;
    node->kept = event->start.kept;
    connect(node, effects);
}

static void on_connected(struct node *node, const struct node_event *event)
{
    node->connected = true;
    node->connecting = false;
    node->retry_ns = node->settings.retry_min_ns;
    node->failed_work = false;
    node->deadline_ns = NO_DEADLINE;
    /* A new coordinator's accepted set is empty. */
    if (node->kept.state == UPDATE_REFUSED ||
        (node->kept.state == UPDATE_ACCEPTED && !event->same_instance))
        node->kept.state = UPDATE_HELD;
    node->has_beacon = false; /* it comes anew where the round is still open */
    node->asked_for_kept = false;
}

static void on_lost(struct node *node, struct node_effects *effects)
{
    if (node->connected)
        trace(node, effects, TRACE_CONNECTION_LOST, 0, 0, REASON_UNSPECIFIED);
    node->connected = false;
    node->connecting = false;
    wait_to_retry(node);
}

static void believe(struct node *node, const struct beacon *beacon, struct node_effects *effects)
{
    const bool again = node->has_beacon && beacon->epoch == node->beacon.epoch &&
                       beacon->attempt == node->beacon.attempt;
    node->beacon = *beacon;
    node->has_beacon = true;
    /* Asked anew for what was turned away: the round is open again. */
    if (node->kept.state == UPDATE_REFUSED && kept_is_for(node, beacon) && !again)
        node->kept.state = UPDATE_HELD;
    work_on(node, effects);
}

/* Nothing of the waiting beacon is believed before its epoch is durable. */
static void raise_epoch(struct node *node, struct node_effects *effects)
{
    node->raise_id = ++node->next_id;
    node->raise_epoch = node->waiting.epoch;
    struct node_effect *const raise = add(effects, NODE_FX_RAISE);
    raise->id = node->raise_id;
    raise->epoch = node->raise_epoch;
}

static void on_beacon(struct node *node, const struct node_event *event,
                      struct node_effects *effects)
{
    const struct beacon *const beacon = &event->beacon;
    const uint64_t newest = node->raise_id != 0 ? node->waiting.epoch : node->epoch_seen;
    if (beacon->epoch < newest) {
        trace(node, effects, TRACE_FENCED, beacon->epoch, newest, REASON_STALE_EPOCH);
        return;
    }
    if (beacon->epoch == node->epoch_seen) {
        believe(node, beacon, effects);
        return;
    }
    node->waiting = *beacon;
    if (node->raise_id == 0)
        raise_epoch(node, effects);
}

static void on_node_epoch_persisted(struct node *node, const struct node_event *event,
                                    struct node_effects *effects)
{
    CHECK(node->raise_id != 0 && event->id == node->raise_id);
    node->raise_id = 0;
    if (event->status != STATUS_OK) {
        fail(node, effects, event->status);
        return;
    }
    node->epoch_seen = node->raise_epoch;
    if (node->waiting.epoch > node->epoch_seen)
        raise_epoch(node, effects); /* a still later one came meanwhile */
    else
        believe(node, &node->waiting, effects);
}

/* Work that failed is tried again after a wait; one that is not wanted any more makes room. */
static void work_ended(struct node *node, struct node_effects *effects, bool failed)
{
    node->work = WORK_NONE;
    if (failed && !node->aborted) {
        node->failed_work = true;
        if (node->connected)
            wait_to_retry(node);
    }
    node->aborted = false;
    work_on(node, effects);
}

static void on_pulled(struct node *node, const struct node_event *event,
                      struct node_effects *effects)
{
    CHECK(node->work == WORK_PULLING && event->id == node->work_id);
    if (event->status != STATUS_OK || node->aborted) {
        if (event->status == STATUS_OK)
            add(effects, NODE_FX_RELEASE)->blob = event->blob;
        work_ended(node, effects, event->status != STATUS_OK);
        return;
    }
    node->work = WORK_TRAINING;
    node->work_id = ++node->next_id;
    trace(node, effects, TRACE_TRAINING, node->working.round, node->working.attempt,
          REASON_UNSPECIFIED);
    struct node_effect *const effect = add(effects, NODE_FX_TRAIN);
    effect->id = node->work_id;
    effect->beacon = node->working;
    effect->blob = event->blob;
}

static void note(struct node *node, struct node_effects *effects, enum node_note kind,
                 enum reason reason)
{
    struct node_effect *const effect = add(effects, NODE_FX_NOTE);
    effect->note = kind;
    effect->key = node->kept.key;
    effect->reason = reason;
}

static void on_trained(struct node *node, const struct node_event *event,
                       struct node_effects *effects)
{
    CHECK(node->work == WORK_TRAINING && event->id == node->work_id);
    if (event->status != STATUS_OK || node->aborted) {
        if (event->status == STATUS_OK)
            add(effects, NODE_FX_RELEASE)->blob = event->blob;
        work_ended(node, effects, event->status != STATUS_OK);
        return;
    }
    node->work = WORK_HOLDING;
    node->work_id = ++node->next_id;
    /* Signed for the newest attempt and epoch of the same round. */
    if (node->has_beacon &&
        same_base(&node->beacon, node->working.round, &node->working.version.id))
        node->working = node->beacon;
    /* The new update takes the place of one that nobody settled: its round is over. */
    if (node_awaits_settlement(node))
        note(node, effects, NOTE_DROPPED,
             node->kept.state == UPDATE_REFUSED ? REASON_ROUND_CLOSED : REASON_SUPERSEDED);
    node->kept.state = UPDATE_SETTLED;
    struct node_effect *const effect = add(effects, NODE_FX_HOLD);
    effect->id = node->work_id;
    effect->beacon = node->working;
    effect->blob = event->blob;
}

static void on_held(struct node *node, const struct node_event *event, struct node_effects *effects)
{
    CHECK(node->work == WORK_HOLDING && event->id == node->work_id);
    if (event->status != STATUS_OK) {
        fail(node, effects, event->status);
        return;
    }
    node->asked_for_kept = false;
    node->push_is_outdated = node->push_id != 0;
    node->kept = (struct kept_update){
        .state = UPDATE_HELD, .key = event->key, .base_id = node->working.version.id};
    trace(node, effects, TRACE_HELD, event->key.round, 0, REASON_UNSPECIFIED);
    work_ended(node, effects, false);
}

/*
 * Late, busy and the like say nothing against the update itself: its round may open again, and what
 * became of it is told after a Join.
 */
static bool may_come_back(enum reason reason)
{
    return reason == REASON_ROUND_CLOSED || reason == REASON_FUTURE_ROUND ||
           reason == REASON_JOB_ENDED || reason == REASON_NOT_SELECTED ||
           reason == REASON_FUTURE_EPOCH || reason == REASON_TOO_STALE ||
           reason == REASON_ALREADY_COUNTED || reason_class_of(reason) == REASON_CLASS_AGAIN;
}

static void on_receipt(struct node *node, const struct node_event *event,
                       struct node_effects *effects)
{
    CHECK(node->push_id != 0 && event->id == node->push_id);
    node->push_id = 0;
    if (event->status == STATUS_OK && node->push_is_outdated) {
        /* It answers for the update before the kept one, which nobody was offered yet. */
        if (!event->receipt.accepted &&
            reason_class_of(event->receipt.reason) == REASON_CLASS_AGAIN && node->connected)
            wait_to_retry(node);
        else
            work_on(node, effects);
        return;
    }
    if (event->status != STATUS_OK || node->kept.state != UPDATE_HELD) {
        /* No answer, or settled meanwhile: the next Join or the wait decides. */
        if (node->kept.state == UPDATE_HELD && node->connected)
            wait_to_retry(node);
        return;
    }
    if (event->receipt.accepted) {
        node->kept.state = UPDATE_ACCEPTED;
        trace(node, effects, TRACE_ACKNOWLEDGED, node->kept.key.round, 0, REASON_UNSPECIFIED);
        note(node, effects, NOTE_ACCEPTED, REASON_UNSPECIFIED);
        return;
    }
    trace(node, effects, TRACE_TURNED_AWAY, node->kept.key.round, 0, event->receipt.reason);
    note(node, effects, NOTE_REFUSED, event->receipt.reason);
    if (reason_class_of(event->receipt.reason) == REASON_CLASS_AGAIN) {
        wait_to_retry(node);
        return;
    }
    node->kept.state = may_come_back(event->receipt.reason) ? UPDATE_REFUSED : UPDATE_SETTLED;
    work_on(node, effects);
}

static void on_settled(struct node *node, const struct node_event *event,
                       struct node_effects *effects)
{
    const struct update_key *const key = &event->settled.key;
    const bool mine = node->kept.state != UPDATE_NONE && node->kept.state != UPDATE_SETTLED &&
                      key->round == node->kept.key.round &&
                      digest_equal(&key->payload_digest, &node->kept.key.payload_digest);
    if (!mine)
        return;
    const bool counted = event->kind == NODE_EV_COUNTED;
    trace(node, effects, counted ? TRACE_COUNTED : TRACE_DROPPED, key->round, 0,
          counted ? REASON_UNSPECIFIED : event->settled.reason);
    note(node, effects, counted ? NOTE_COUNTED : NOTE_DROPPED,
         counted ? REASON_UNSPECIFIED : event->settled.reason);
    effects->items[effects->count - 1].version_number = event->settled.version_number;
    node->kept.state = UPDATE_SETTLED;
}

/* The round of the kept update is closed, but it can still be counted. */
static void on_offer(struct node *node, const struct node_event *event,
                     struct node_effects *effects)
{
    const struct update_key *const key = &event->settled.key;
    if (!node_awaits_settlement(node) || key->round != node->kept.key.round ||
        !digest_equal(&key->payload_digest, &node->kept.key.payload_digest))
        return;
    if (node->kept.state == UPDATE_REFUSED)
        node->kept.state = UPDATE_HELD;
    node->asked_for_kept = true;
    /* What is under way since before this connection would take its place. */
    if (!node->has_beacon)
        abort_work(node, effects);
    work_on(node, effects);
}

static void on_finished(struct node *node, const struct node_event *event,
                        struct node_effects *effects)
{
    if (node_awaits_settlement(node)) {
        trace(node, effects, TRACE_DROPPED, node->kept.key.round, 0, REASON_JOB_ENDED);
        note(node, effects, NOTE_DROPPED, REASON_JOB_ENDED);
        node->kept.state = UPDATE_SETTLED;
    }
    trace(node, effects, TRACE_FINISHED, event->outcome, 0, REASON_UNSPECIFIED);
    node->stopped = true;
    node->deadline_ns = NO_DEADLINE;
    add(effects, NODE_FX_EXIT)->outcome = event->outcome;
}

static void on_deadline_passed(struct node *node, struct node_effects *effects)
{
    node->deadline_ns = NO_DEADLINE;
    node->failed_work = false;
    if (!node->connected && !node->connecting)
        connect(node, effects);
    else
        work_on(node, effects);
}

static void dispatch(struct node *node, const struct node_event *event,
                     struct node_effects *effects)
{
    switch (event->kind) {
    case NODE_EV_START:
        on_node_start(node, event, effects);
        break;
    case NODE_EV_CONNECTED:
        on_connected(node, event);
        break;
    case NODE_EV_LOST:
        on_lost(node, effects);
        break;
    case NODE_EV_BEACON:
        on_beacon(node, event, effects);
        break;
    case NODE_EV_EPOCH_PERSISTED:
        on_node_epoch_persisted(node, event, effects);
        break;
    case NODE_EV_PULLED:
        on_pulled(node, event, effects);
        break;
    case NODE_EV_TRAINED:
        on_trained(node, event, effects);
        break;
    case NODE_EV_HELD:
        on_held(node, event, effects);
        break;
    case NODE_EV_RECEIPT:
        on_receipt(node, event, effects);
        break;
    case NODE_EV_COUNTED:
    case NODE_EV_DROPPED:
        on_settled(node, event, effects);
        break;
    case NODE_EV_OFFER:
        on_offer(node, event, effects);
        break;
    case NODE_EV_FINISHED:
        on_finished(node, event, effects);
        break;
    case NODE_EV_TIMER:
        break;
    case NODE_EV_STOP:
        node->stopped = true;
        node->deadline_ns = NO_DEADLINE;
        add(effects, NODE_FX_EXIT)->outcome = OUTCOME_CANCELLED;
        break;
    }
}

void node_step(struct node *node, const struct node_event *event, struct node_effects *ret_effects)
{
    ret_effects->count = 0;
    ret_effects->traces = (struct traces){0};
    if (event->now_ns > node->now_ns)
        node->now_ns = event->now_ns;
    if (node->stopped)
        return;
    if (event->kind == NODE_EV_TIMER)
        node->timer_ns = NO_DEADLINE;
    if (node->now_ns >= node->deadline_ns)
        on_deadline_passed(node, ret_effects);
    dispatch(node, event, ret_effects);
    if (node->deadline_ns != node->timer_ns) {
        add(ret_effects, NODE_FX_TIMER)->deadline_ns = node->deadline_ns;
        node->timer_ns = node->deadline_ns;
    }
}

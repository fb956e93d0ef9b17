/*
 * federation_sim.c - the world around the machines: a queue of happenings in virtual time, what is
 * durable, and the oracles.
 */
#include "federation_sim.h"

#include "base/check.h"
#include "base/random.h"
#include "core/trace_text.h"

#include <stdlib.h>
#include <string.h>

enum {
    ROUNDS_MAX = 512,
    CONNECTIONS_MAX = 1 << 16,
    TICKETS_MAX = 1 << 18,
};

static const uint64_t ms = 1000000;
static const uint64_t virtual_time_max_ns = 3600ull * 1000 * 1000000;

enum happening_kind {
    TO_COORDINATOR, /* an event, if the incarnation still lives */
    TO_NODE,        /* likewise */
    DURABLE_EPOCH,  /* then the completion is sent */
    DURABLE_COMMIT,
    DURABLE_OUTCOME,
    DURABLE_NODE_EPOCH,
    DURABLE_UPDATE,
    RECALL,
    DIAL,      /* a node's connection attempt arrives */
    DIRECTIVE, /* an event for a node over a connection */
    PUSH,      /* an update arrives */
    BREAK,     /* a connection breaks */
    START_COORDINATOR,
    START_NODE,
    CRASH_NODE,
};

struct happening {
    uint64_t at_ns;
    uint64_t order;
    enum happening_kind kind;
    uint32_t node;
    uint32_t incarnation;
    uint64_t session;
    uint64_t epoch; /* of a commit or an epoch to be made durable */
    struct coordinator_event event;
    struct node_event node_event;
    struct coordinator_effect effect;
    uint32_t *accepted; /* DURABLE_COMMIT: node indices, owned */
    struct digest *accepted_digests;
    uint32_t accepted_count;
};

struct connection {
    uint32_t node;
    uint32_t node_incarnation;
    bool open;
    bool broken;      /* a directive was lost: nothing after it arrives */
    uint64_t last_ns; /* directives keep their order */
};

struct ticket {
    uint32_t node;
    uint32_t incarnation;
    uint64_t push_id; /* 0: nobody waits */
};

struct committed {
    bool used;
    uint64_t epoch;
    struct version_ref version;
};

struct sim_node {
    struct node machine;
    uint32_t incarnation;
    bool up;
    bool done;
    uint64_t timer_ns;
    uint64_t session; /* the connection that is open; 0 none */
    uint64_t push_id;
    uint64_t aborted_id;
    /* Durable. */
    uint64_t epoch_seen;
    struct kept_update kept;
    /* For the oracle, by round: digests acknowledged to the node, and settled. */
    struct digest acknowledged[ROUNDS_MAX];
    bool is_acknowledged[ROUNDS_MAX];
    bool is_settled[ROUNDS_MAX];
    bool is_counted[ROUNDS_MAX]; /* by a commit */
    struct digest counted[ROUNDS_MAX];
};

struct world {
    struct sim_settings settings;
    struct sim_result result;
    struct random random;
    uint64_t now_ns;
    uint64_t order;
    struct happening *heap;
    uint32_t heap_count;
    uint32_t heap_capacity;
    struct coordinator coordinator;
    struct member *members;
    uint32_t *roster_order;
    bool up;
    bool exited;
    uint32_t incarnation;
    uint64_t timer_ns;
    struct sim_node *nodes;
    struct connection *connections; /* index is the session */
    uint64_t sessions;
    struct ticket *tickets;
    uint64_t ticket_count;
    uint32_t crashes_left;
    uint32_t node_crashes_left;
    /* Durable at the coordinator. */
    uint64_t epoch;
    bool has_version;
    struct version_ref version;
    uint64_t open_round;
    enum outcome outcome;
    bool active[4096];
    struct committed committed[ROUNDS_MAX];
};

static void name_of(uint32_t node, char ret[static 32])
{
    snprintf(ret, 32, "spiffe://t/fedra/node/n%04u", node);
}

static uint32_t node_of(const char *name)
{
    return (uint32_t)strtoul(name + strlen("spiffe://t/fedra/node/n"), nullptr, 10);
}

static struct digest make_digest(uint64_t a, uint64_t b, uint64_t c)
{
    struct random random;
    struct digest digest;
    random_init(&random, a, b, c);
    for (int i = 0; i < 4; i++) {
        const uint64_t word = random_u64(&random);
        memcpy(digest.bytes + 8 * i, &word, 8);
    }
    return digest;
}

static uint64_t load_first(const struct digest *digest)
{
    uint64_t word = 0;
    memcpy(&word, digest->bytes, sizeof(word));
    return word;
}

static bool before(const struct happening *a, const struct happening *b)
{
    return a->at_ns != b->at_ns ? a->at_ns < b->at_ns : a->order < b->order;
}

static void push_happening(struct world *w, struct happening happening)
{
    if (w->heap_count == w->heap_capacity) {
        w->heap_capacity = w->heap_capacity > 0 ? 2 * w->heap_capacity : 1024;
        w->heap = realloc(w->heap, sizeof(*w->heap) * w->heap_capacity);
        CHECK(w->heap != nullptr);
    }
    happening.order = w->order++;
    uint32_t i = w->heap_count++;
    for (; i > 0 && before(&happening, &w->heap[(i - 1) / 2]); i = (i - 1) / 2)
        w->heap[i] = w->heap[(i - 1) / 2];
    w->heap[i] = happening;
}

static struct happening pop_happening(struct world *w)
{
    const struct happening first = w->heap[0];
    const struct happening last = w->heap[--w->heap_count];
    uint32_t i = 0;
    for (;;) {
        uint32_t child = 2 * i + 1;
        if (child >= w->heap_count)
            break;
        if (child + 1 < w->heap_count && before(&w->heap[child + 1], &w->heap[child]))
            child++;
        if (!before(&w->heap[child], &last))
            break;
        w->heap[i] = w->heap[child];
        i = child;
    }
    if (w->heap_count > 0)
        w->heap[i] = last;
    return first;
}

static uint64_t delay(struct world *w)
{
    return 1 + random_below(&w->random, w->settings.delay_max_ns);
}

static struct happening at(struct world *w, enum happening_kind kind, uint64_t delay_ns)
{
    return (struct happening){.at_ns = w->now_ns + delay_ns, .kind = kind};
}

static void tell(struct world *w, const struct traces *traces, const char *who)
{
    for (uint32_t i = 0; i < traces->count; i++) {
        const struct trace_record *const r = &traces->items[i];
        const uint64_t words[] = {r->now_ns, r->a, r->b, r->member, r->kind, r->reason};
        for (size_t j = 0; j < sizeof(words) / sizeof(*words); j++)
            w->result.trace_digest = (w->result.trace_digest ^ words[j]) * 0x100000001b3u;
        if (w->settings.story == nullptr)
            continue;
        char line[256];
        const char *const member =
            r->member == NO_MEMBER ? nullptr : strrchr(w->members[r->member].name, '/') + 1;
        trace_text(r, who, member, line, sizeof(line));
        fprintf(w->settings.story, "%s\n", line);
    }
}

static void narrate(struct world *w, const char *who, const char *what)
{
    if (w->settings.story != nullptr)
        fprintf(w->settings.story, "%9.3f s  %s: %s\n", (double)w->now_ns / 1e9, who, what);
}

/* Whether the world drops this one: then the connection it went over is broken. */
static bool lost(struct world *w)
{
    return random_unit(&w->random) < w->settings.loss;
}

static void break_connection(struct world *w, uint64_t session)
{
    struct connection *const connection = &w->connections[session];
    if (session == 0 || !connection->open)
        return;
    connection->open = false;
    struct sim_node *const node = &w->nodes[connection->node];
    if (node->session == session) {
        node->session = 0;
        struct happening event = at(w, TO_NODE, delay(w));
        event.node = connection->node;
        event.incarnation = connection->node_incarnation;
        if (node->push_id != 0) { /* exactly one completion: the call failed with its connection */
            event.node_event = (struct node_event){
                .kind = NODE_EV_RECEIPT, .id = node->push_id, .status = STATUS_UNREACHABLE};
            node->push_id = 0;
            push_happening(w, event);
        }
        event.node_event = (struct node_event){.kind = NODE_EV_LOST};
        event.at_ns += w->settings.delay_max_ns;
        push_happening(w, event);
    }
    struct happening leave = at(w, TO_COORDINATOR, delay(w));
    leave.incarnation = w->incarnation;
    leave.event = (struct coordinator_event){.kind = EV_LEAVE, .session = session};
    push_happening(w, leave);
}

/* Over the Join stream: in order, or the connection breaks. */
static void send_directive(struct world *w, uint64_t session, const struct node_event *event)
{
    struct connection *const connection = &w->connections[session];
    if (session == 0 || !connection->open || connection->broken)
        return;
    if (lost(w)) {
        connection->broken = true;
        struct happening broken = at(w, BREAK, delay(w));
        broken.session = session;
        push_happening(w, broken);
        return;
    }
    struct happening directive = at(w, DIRECTIVE, delay(w));
    if (directive.at_ns <= connection->last_ns)
        directive.at_ns = connection->last_ns + 1;
    connection->last_ns = directive.at_ns;
    directive.session = session;
    directive.node_event = *event;
    push_happening(w, directive);
}

static void complete(struct world *w, const struct coordinator_effect *effect,
                     struct coordinator_event event)
{
    struct happening happening = at(w, TO_COORDINATOR, delay(w));
    happening.incarnation = w->incarnation;
    happening.event = event;
    happening.event.id = effect->id;
    push_happening(w, happening);
}

static void check_durable(struct world *w, const struct version_ref *version)
{
    if (version->number >= ROUNDS_MAX || !w->committed[version->number].used ||
        !digest_equal(&w->committed[version->number].version.id, &version->id))
        w->result.sent_before_durable++;
}

static void send_beacon(struct world *w, uint64_t session)
{
    const struct coordinator *const c = &w->coordinator;
    check_durable(w, &c->version);
    const struct node_event event = {
        .kind = NODE_EV_BEACON,
        .beacon = {
            .epoch = c->epoch, .round = c->round, .attempt = c->attempt, .version = c->version}};
    send_directive(w, session, &event);
}

static void send_settled(struct world *w, uint64_t session, bool counted,
                         const struct update_key *key, uint64_t number, enum reason reason)
{
    const struct node_event event = {
        .kind = counted ? NODE_EV_COUNTED : NODE_EV_DROPPED,
        .settled = {.key = *key, .version_number = number, .reason = reason}};
    send_directive(w, session, &event);
}

static void answer_ticket(struct world *w, uint64_t id, bool accepted, enum reason reason)
{
    struct ticket *const ticket = &w->tickets[id];
    if (ticket->push_id == 0)
        return;
    struct sim_node *const node = &w->nodes[ticket->node];
    if (node->incarnation == ticket->incarnation && node->push_id == ticket->push_id) {
        if (lost(w)) {
            break_connection(w, node->session);
        } else {
            node->push_id = 0;
            struct happening receipt = at(w, TO_NODE, delay(w));
            receipt.node = ticket->node;
            receipt.incarnation = ticket->incarnation;
            receipt.node_event =
                (struct node_event){.kind = NODE_EV_RECEIPT,
                                    .id = ticket->push_id,
                                    .receipt = {.accepted = accepted, .reason = reason}};
            push_happening(w, receipt);
        }
    }
    ticket->push_id = 0;
}

static void begin_commit(struct world *w, const struct coordinator_effect *effect)
{
    const struct coordinator *const c = &w->coordinator;
    struct happening durable = at(w, DURABLE_COMMIT, delay(w));
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
        durable.accepted[durable.accepted_count++] = node_of(member->name);
    }
    push_happening(w, durable);
}

static void settle_all(struct world *w, const struct coordinator_effect *effect)
{
    const struct coordinator *const c = &w->coordinator;
    check_durable(w, &effect->version);
    for (uint32_t i = 0; i < c->roster.count; i++) {
        const struct member *const member = &c->roster.members[c->roster.order[i]];
        if (member->settlement == SETTLE_COUNTED)
            send_settled(w, member->session, true, &member->key, effect->version.number,
                         REASON_UNSPECIFIED);
        else if (member->settlement == SETTLE_DROPPED)
            send_settled(w, member->session, false, &member->held, 0, REASON_ROUND_CLOSED);
    }
}

static void send_finished(struct world *w, uint64_t session, enum outcome outcome)
{
    const struct node_event event = {.kind = NODE_EV_FINISHED, .outcome = outcome};
    send_directive(w, session, &event);
}

static void to_all(struct world *w, const struct coordinator_effect *effect)
{
    const struct coordinator *const c = &w->coordinator;
    for (uint32_t i = 0; i < c->roster.count; i++) {
        const struct member *const member = &c->roster.members[c->roster.order[i]];
        if (effect->kind == FX_FINISH && member_hears_finish(member))
            send_finished(w, member->session, effect->outcome);
        else if (effect->kind == FX_ANNOUNCE && member_hears_beacon(member))
            send_beacon(w, member->session);
    }
}

static void later(struct world *w, enum happening_kind kind,
                  const struct coordinator_effect *effect)
{
    struct happening happening = at(w, kind, delay(w));
    happening.incarnation = w->incarnation;
    happening.effect = *effect;
    push_happening(w, happening);
}

static struct version_ref new_version(const struct coordinator *c, uint64_t round)
{
    struct version_ref version = {.number = round, .blob_bytes = 100};
    uint64_t sum = round;
    for (uint32_t i = 0; i < c->roster.count; i++) {
        const struct member *const member = &c->roster.members[c->roster.order[i]];
        if (member->accepted)
            sum = sum * 31 + load_first(&member->key.payload_digest);
    }
    version.model_digest = make_digest(1, round, sum);
    version.blob_digest = make_digest(2, round, sum);
    return version;
}

static void carry_asynchronous(struct world *w, const struct coordinator_effect *effect)
{
    const struct coordinator *const c = &w->coordinator;
    if (effect->kind == FX_PERSIST_EPOCH) {
        later(w, DURABLE_EPOCH, effect);
    } else if (effect->kind == FX_CREATE_MODEL) {
        complete(
            w, effect,
            (struct coordinator_event){.kind = EV_MODEL_CREATED, .version = new_version(c, 0)});
    } else if (effect->kind == FX_FOLD) {
        complete(w, effect, (struct coordinator_event){.kind = EV_FOLDED});
    } else if (effect->kind == FX_CLOSE) {
        complete(w, effect,
                 (struct coordinator_event){.kind = EV_CLOSED,
                                            .version = new_version(c, effect->round)});
    } else if (effect->kind == FX_VALIDATE) {
        complete(w, effect,
                 (struct coordinator_event){.kind = EV_VALIDATED,
                                            .validated = {.loss = 1, .accuracy = 0.5}});
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
        send_directive(w, effect->session, &(struct node_event){.kind = NODE_EV_CONNECTED});
        break;
    case FX_DENY:
    case FX_END_SESSION:
        break_connection(w, effect->session);
        break;
    case FX_ANNOUNCE:
    case FX_FINISH:
        to_all(w, effect);
        break;
    case FX_SEND_BEACON:
        send_beacon(w, effect->session);
        break;
    case FX_RECEIPT_ACCEPTED:
        answer_ticket(w, effect->ticket, true, REASON_UNSPECIFIED);
        break;
    case FX_RECEIPT_REFUSED:
        answer_ticket(w, effect->ticket, false, effect->reason);
        break;
    case FX_EVIDENCE:
        w->result.equivocations++;
        break;
    case FX_RELEASE:
        break;
    case FX_SETTLE:
        settle_all(w, effect);
        break;
    case FX_SEND_COUNTED:
    case FX_SEND_DROPPED:
        send_settled(w, effect->session, effect->kind == FX_SEND_COUNTED, &effect->key,
                     effect->version.number, effect->reason);
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
    case FX_CLOSE:
    case FX_VALIDATE:
    case FX_COMMIT:
    case FX_RECALL:
    case FX_PERSIST_OUTCOME:
        carry_asynchronous(w, effect);
        break;
    }
}

static void crash_coordinator(struct world *w)
{
    narrate(w, "world", "the coordinator is killed");
    w->up = false;
    w->incarnation++;
    w->timer_ns = NO_DEADLINE;
    for (uint64_t session = 1; session <= w->sessions; session++)
        break_connection(w, session);
    push_happening(w, at(w, START_COORDINATOR, 200 * ms + delay(w)));
}

static void step_coordinator(struct world *w, struct coordinator_event event)
{
    static struct coordinator_effects effects;
    event.now_ns = w->now_ns;
    coordinator_step(&w->coordinator, &event, &effects);
    tell(w, &effects.traces, "coordinator");
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

static void step_node(struct world *w, uint32_t index, struct node_event event);

static void node_complete(struct world *w, uint32_t index, enum happening_kind kind,
                          uint64_t delay_ns, const struct node_event *event)
{
    struct happening happening = at(w, kind, delay_ns);
    happening.node = index;
    happening.incarnation = w->nodes[index].incarnation;
    happening.node_event = *event;
    push_happening(w, happening);
}

static void carry_push(struct world *w, uint32_t index, const struct node_effect *effect)
{
    struct sim_node *const node = &w->nodes[index];
    node->push_id = effect->id;
    if (node->session == 0) {
        node->push_id = 0;
        node_complete(w, index, TO_NODE, delay(w),
                      &(struct node_event){
                          .kind = NODE_EV_RECEIPT, .id = effect->id, .status = STATUS_UNREACHABLE});
        return;
    }
    if (lost(w)) {
        break_connection(w, node->session);
        return;
    }
    struct happening push = at(w, PUSH, delay(w));
    push.node = index;
    push.incarnation = node->incarnation;
    push.session = node->session;
    push.event.update.ticket = ++w->ticket_count;
    CHECK(w->ticket_count < TICKETS_MAX);
    w->tickets[w->ticket_count] = (struct ticket){index, node->incarnation, effect->id};
    push.event.kind = EV_UPDATE;
    push.event.update.info.key = node->kept.key;
    push.event.update.info.base_id = node->kept.base_id;
    push.event.update.info.samples = 100 + index;
    push_happening(w, push);
    if (random_unit(&w->random) < w->settings.duplication) {
        push.at_ns += delay(w);
        push.event.update.ticket = 0; /* nobody waits for the second answer */
        push_happening(w, push);
    }
    if (w->settings.liars && index == 0) {
        push.at_ns += delay(w);
        push.event.update.ticket = 0;
        push.event.update.info.key.payload_digest = make_digest(66, node->kept.key.round, 6);
        push_happening(w, push);
    }
}

static void record_note(struct world *w, struct sim_node *node, const struct node_effect *effect)
{
    const uint64_t round = effect->key.round;
    CHECK(round < ROUNDS_MAX);
    const bool in_commit =
        node->is_counted[round] && digest_equal(&node->counted[round], &effect->key.payload_digest);
    if ((effect->note == NOTE_COUNTED && !in_commit) || (effect->note == NOTE_DROPPED && in_commit))
        narrate(w, "world", "what the node was told next above is not true");
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
        node_complete(w, index, DIAL, delay(w), &done);
        break;
    case NODE_FX_RAISE:
        done.kind = NODE_EV_EPOCH_PERSISTED;
        done.beacon.epoch = effect->epoch;
        node_complete(w, index, DURABLE_NODE_EPOCH, delay(w), &done);
        break;
    case NODE_FX_PULL:
        done.kind = NODE_EV_PULLED;
        done.status = node->session != 0 && !lost(w) ? STATUS_OK : STATUS_UNREACHABLE;
        node_complete(w, index, TO_NODE, delay(w), &done);
        break;
    case NODE_FX_TRAIN:
        done.kind = NODE_EV_TRAINED;
        node_complete(w, index, TO_NODE, 50 * ms + 4 * delay(w), &done);
        break;
    case NODE_FX_ABORT:
        node->aborted_id = effect->id;
        break;
    case NODE_FX_HOLD:
        done.kind = NODE_EV_HELD;
        done.beacon = effect->beacon;
        node_complete(w, index, DURABLE_UPDATE, delay(w), &done);
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

static void step_node(struct world *w, uint32_t index, struct node_event event)
{
    static struct node_effects effects;
    char who[16];
    event.now_ns = w->now_ns;
    node_step(&w->nodes[index].machine, &event, &effects);
    snprintf(who, sizeof(who), "n%04u", index);
    tell(w, &effects.traces, who);
    const uint32_t incarnation = w->nodes[index].incarnation;
    for (uint32_t i = 0; i < effects.count && w->nodes[index].incarnation == incarnation; i++)
        carry_node(w, index, &effects.items[i]);
}

static void happen_commit(struct world *w, struct happening *h)
{
    if (h->incarnation == w->incarnation && w->up) {
        struct version_ref version = w->coordinator.candidate;
        version.id = make_digest(3, h->epoch, version.number);
        struct committed *const place = &w->committed[version.number];
        if (place->used)
            w->result.conflicting++;
        *place = (struct committed){true, h->epoch, version};
        w->has_version = true;
        w->version = version;
        w->open_round = h->effect.round + 1;
        w->outcome = h->effect.outcome;
        if (h->effect.round > 0) {
            w->result.versions++;
            memset(w->active, 0, sizeof(w->active));
            if (w->result.members_each_round_min > h->accepted_count)
                w->result.members_each_round_min = h->accepted_count;
        }
        for (uint32_t i = 0; i < h->accepted_count; i++) {
            struct sim_node *const node = &w->nodes[h->accepted[i]];
            w->result.counted_twice += node->is_counted[h->effect.round];
            node->is_counted[h->effect.round] = true;
            node->counted[h->effect.round] = h->accepted_digests[i];
            w->active[h->accepted[i]] = true;
            w->result.counted++;
        }
        complete(w, &h->effect,
                 (struct coordinator_event){.kind = EV_COMMITTED, .version = version});
    }
    free(h->accepted);
    free(h->accepted_digests);
}

static void happen_recall(struct world *w, const struct happening *h)
{
    const struct member *const member = &w->members[h->effect.member];
    const uint64_t round = h->effect.key.round;
    const struct sim_node *const node = &w->nodes[node_of(member->name)];
    const bool counted = round < ROUNDS_MAX && node->is_counted[round] &&
                         digest_equal(&node->counted[round], &h->effect.key.payload_digest);
    complete(w, &h->effect,
             (struct coordinator_event){
                 .kind = EV_RECALLED,
                 .status = counted ? STATUS_OK : STATUS_NOT_FOUND,
                 .recalled = {.member = h->effect.member,
                              .session = h->effect.session,
                              .key = h->effect.key,
                              .counted = counted,
                              .version = w->committed[round < ROUNDS_MAX ? round : 0].version}});
}

static void happen_dial(struct world *w, const struct happening *h)
{
    struct sim_node *const node = &w->nodes[h->node];
    if (!w->up || lost(w)) {
        node_complete(w, h->node, TO_NODE, delay(w), &(struct node_event){.kind = NODE_EV_LOST});
        return;
    }
    const uint64_t session = ++w->sessions;
    CHECK(session < CONNECTIONS_MAX);
    w->connections[session] =
        (struct connection){.node = h->node, .node_incarnation = node->incarnation, .open = true};
    node->session = session;
    char name[32];
    name_of(h->node, name);
    struct coordinator_event join = {
        .kind = EV_JOIN,
        .join = {.name = name, .session = session, .epoch_seen = node->epoch_seen}};
    join.join.has_held = node_awaits_settlement(&node->machine);
    join.join.held = node->machine.kept.key;
    step_coordinator(w, join);
}

static void start_coordinator(struct world *w)
{
    static char names[4096][32];
    static const char *members[4096];
    struct coordinator_settings settings = {
        .k_threshold = w->settings.k_threshold,
        .timeout_ns = 5000 * ms,
        .start_timeout_ns = 5000 * ms,
        .linger_ns = 20000 * ms,
        .min_updates = w->settings.min_updates,
        .start_nodes = w->settings.nodes,
        .rounds_max = w->settings.rounds,
        .samples_max = 1000000,
        .validate = true,
    };
    narrate(w, "world", "the coordinator starts");
    coordinator_init(&w->coordinator, &settings, w->members, w->roster_order, w->settings.nodes);
    w->up = true;
    w->timer_ns = NO_DEADLINE;
    uint32_t count = 0;
    for (uint32_t i = 0; i < w->settings.nodes; i++) {
        if (w->active[i]) {
            name_of(i, names[count]);
            members[count] = names[count];
            count++;
        }
    }
    step_coordinator(w, (struct coordinator_event){.kind = EV_START,
                                                   .start = {.epoch = w->epoch,
                                                             .has_version = w->has_version,
                                                             .version = w->version,
                                                             .open_round = w->open_round,
                                                             .outcome = w->outcome,
                                                             .members = members,
                                                             .member_count = count}});
}

static void start_node(struct world *w, uint32_t index)
{
    struct sim_node *const node = &w->nodes[index];
    const struct node_settings settings = {
        .seed = w->settings.seed + index, .retry_min_ns = 100 * ms, .retry_max_ns = 1000 * ms};
    node_init(&node->machine, &settings);
    node->up = true;
    node->aborted_id = 0;
    node->timer_ns = NO_DEADLINE;
    node->push_id = 0;
    step_node(w, index,
              (struct node_event){.kind = NODE_EV_START,
                                  .start = {.epoch_seen = node->epoch_seen, .kept = node->kept}});
}

static void crash_node(struct world *w, uint32_t index)
{
    struct sim_node *const node = &w->nodes[index];
    if (!node->up || node->done)
        return;
    char who[16];
    snprintf(who, sizeof(who), "n%04u", index);
    narrate(w, who, "is killed");
    node->up = false;
    node->incarnation++;
    node->push_id = 0;
    node->timer_ns = NO_DEADLINE;
    break_connection(w, node->session);
    node->session = 0;
    struct happening start = at(w, START_NODE, 300 * ms + delay(w));
    start.node = index;
    push_happening(w, start);
}

static void happen_node_durable(struct world *w, struct happening *h)
{
    struct sim_node *const node = &w->nodes[h->node];
    if (h->kind == DURABLE_NODE_EPOCH) {
        node->epoch_seen = h->node_event.beacon.epoch;
    } else {
        const struct beacon beacon = h->node_event.beacon;
        node->kept = (struct kept_update){
            .state = UPDATE_HELD,
            .key = {.epoch = beacon.epoch,
                    .round = beacon.round,
                    .attempt = beacon.attempt,
                    .payload_digest = make_digest(4, h->node, load_first(&beacon.version.id))},
            .base_id = beacon.version.id};
        h->node_event.key = node->kept.key;
    }
    node_complete(w, h->node, TO_NODE, delay(w), &h->node_event);
}

static void happen_push(struct world *w, struct happening *h)
{
    if (!w->up || !w->connections[h->session].open)
        return; /* the break completed it */
    char name[32];
    name_of(h->node, name);
    h->event.update.info.name = name;
    step_coordinator(w, h->event);
}

static void happen_to_coordinator(struct world *w, struct happening *h)
{
    if (!w->up || h->incarnation != w->incarnation)
        return;
    if (h->kind == TO_COORDINATOR) {
        step_coordinator(w, h->event);
    } else if (h->kind == DURABLE_EPOCH) {
        w->epoch = h->effect.epoch > w->epoch ? h->effect.epoch : w->epoch + 1;
        complete(w, &h->effect,
                 (struct coordinator_event){.kind = EV_EPOCH_PERSISTED, .epoch = w->epoch});
    } else if (h->kind == DURABLE_OUTCOME) {
        w->outcome = h->effect.outcome;
        complete(w, &h->effect, (struct coordinator_event){.kind = EV_OUTCOME_PERSISTED});
    } else {
        CHECK(h->kind == RECALL);
        happen_recall(w, h);
    }
}

static void happen_to_node(struct world *w, struct happening *h)
{
    struct sim_node *const node = &w->nodes[h->node];
    if (!node->up || node->done || node->incarnation != h->incarnation)
        return;
    if (h->kind == TO_NODE) {
        if (node->aborted_id != 0 && h->node_event.id == node->aborted_id)
            h->node_event.status = STATUS_CANCELLED;
        step_node(w, h->node, h->node_event);
    } else if (h->kind == DIAL) {
        happen_dial(w, h);
    } else {
        happen_node_durable(w, h);
    }
}

static void happen(struct world *w, struct happening *h)
{
    switch (h->kind) {
    case TO_COORDINATOR:
    case DURABLE_EPOCH:
    case DURABLE_OUTCOME:
    case RECALL:
        happen_to_coordinator(w, h);
        break;
    case DURABLE_COMMIT:
        happen_commit(w, h);
        break;
    case TO_NODE:
    case DIAL:
    case DURABLE_NODE_EPOCH:
    case DURABLE_UPDATE:
        happen_to_node(w, h);
        break;
    case DIRECTIVE: {
        const struct connection *const connection = &w->connections[h->session];
        const struct sim_node *const node = &w->nodes[connection->node];
        if (connection->open && node->up && node->session == h->session)
            step_node(w, connection->node, h->node_event);
        break;
    }
    case PUSH:
        happen_push(w, h);
        break;
    case BREAK:
        break_connection(w, h->session);
        break;
    case START_COORDINATOR:
        start_coordinator(w);
        break;
    case START_NODE:
        start_node(w, h->node);
        break;
    case CRASH_NODE:
        crash_node(w, h->node);
        break;
    }
}

/* The earliest timer, or NO_DEADLINE; *ret_node is NO_MEMBER for the coordinator's. */
static uint64_t next_timer(const struct world *w, uint32_t *ret_node)
{
    uint64_t earliest = w->up ? w->timer_ns : NO_DEADLINE;
    *ret_node = NO_MEMBER;
    for (uint32_t i = 0; i < w->settings.nodes; i++) {
        if (w->nodes[i].up && w->nodes[i].timer_ns < earliest) {
            earliest = w->nodes[i].timer_ns;
            *ret_node = i;
        }
    }
    return earliest;
}

static bool all_done(const struct world *w)
{
    for (uint32_t i = 0; i < w->settings.nodes; i++) {
        if (!w->nodes[i].done)
            return false;
    }
    return true;
}

static void run(struct world *w)
{
    while (w->now_ns < virtual_time_max_ns && !all_done(w)) {
        uint32_t node = NO_MEMBER;
        const uint64_t timer = next_timer(w, &node);
        if (w->heap_count == 0 && timer == NO_DEADLINE)
            return;
        if (w->heap_count > 0 && w->heap[0].at_ns <= timer) {
            struct happening h = pop_happening(w);
            w->now_ns = h.at_ns;
            happen(w, &h);
            continue;
        }
        w->now_ns = timer > w->now_ns ? timer : w->now_ns;
        if (node == NO_MEMBER) {
            w->timer_ns = NO_DEADLINE;
            step_coordinator(w, (struct coordinator_event){.kind = EV_TIMER});
        } else {
            w->nodes[node].timer_ns = NO_DEADLINE;
            step_node(w, node, (struct node_event){.kind = NODE_EV_TIMER});
        }
    }
}

static void judge(struct world *w)
{
    w->result.ended = w->outcome != OUTCOME_NONE && all_done(w);
    w->result.outcome = w->outcome;
    w->result.virtual_ns = w->now_ns;
    for (uint32_t i = 0; i < w->settings.nodes; i++) {
        for (uint32_t round = 0; round < ROUNDS_MAX; round++) {
            if (!w->nodes[i].is_acknowledged[round] || w->nodes[i].is_settled[round])
                continue;
            w->result.unsettled++;
            if (w->settings.story != nullptr)
                fprintf(w->settings.story, "n%04u never heard what became of round %u\n", i, round);
        }
    }
}

void sim_run(const struct sim_settings *settings, struct sim_result *ret_result)
{
    CHECK(settings->nodes > 0 && settings->nodes <= 4096 && settings->rounds + 1 < ROUNDS_MAX);
    struct world *const w = calloc(1, sizeof(*w));
    CHECK(w != nullptr);
    w->settings = *settings;
    w->result.members_each_round_min = UINT64_MAX;
    w->result.trace_digest = 0xcbf29ce484222325u;
    random_init(&w->random, settings->seed, 1, 0);
    w->members = calloc(settings->nodes, sizeof(*w->members));
    w->roster_order = calloc(settings->nodes, sizeof(*w->roster_order));
    w->nodes = calloc(settings->nodes, sizeof(*w->nodes));
    w->connections = calloc(CONNECTIONS_MAX, sizeof(*w->connections));
    w->tickets = calloc(TICKETS_MAX, sizeof(*w->tickets));
    CHECK(w->members && w->roster_order && w->nodes && w->connections && w->tickets);
    w->crashes_left = settings->coordinator_crashes;
    push_happening(w, at(w, START_COORDINATOR, 0));
    for (uint32_t i = 0; i < settings->nodes; i++) {
        struct happening start = at(w, START_NODE, delay(w));
        start.node = i;
        push_happening(w, start);
    }
    for (uint32_t i = 0; i < settings->node_crashes; i++) {
        struct happening crash = at(w, CRASH_NODE, random_below(&w->random, 5000 * ms));
        crash.node = (uint32_t)random_below(&w->random, settings->nodes);
        push_happening(w, crash);
    }
    run(w);
    judge(w);
    *ret_result = w->result;
    for (uint32_t i = 0; i < w->heap_count; i++) {
        free(w->heap[i].accepted);
        free(w->heap[i].accepted_digests);
    }
    free(w->heap);
    free(w->members);
    free(w->roster_order);
    free(w->nodes);
    free(w->connections);
    free(w->tickets);
    free(w);
}

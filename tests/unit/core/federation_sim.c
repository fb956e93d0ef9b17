/*
 * federation_sim.c - what happens when its time has come, what becomes durable, and the verdict.
 */
#include "federation_sim_internal.h"

#include <stdlib.h>
#include <string.h>

static void happen_commit(struct world *w, struct happening *h)
{
    if (h->incarnation == w->incarnation && w->up) {
        struct version_ref version = w->coordinator.candidate;
        version.id = sim_make_digest(3, h->epoch, version.number);
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
        sim_complete(w, &h->effect,
                     (struct coordinator_event){.kind = EV_COMMITTED, .version = version});
    }
    free(h->accepted);
    free(h->accepted_digests);
}

static void happen_recall(struct world *w, const struct happening *h)
{
    const struct member *const member = &w->members[h->effect.member];
    const uint64_t round = h->effect.key.round;
    const struct sim_node *const node = &w->nodes[sim_node_of(member->name)];
    const bool counted = round < ROUNDS_MAX && node->is_counted[round] &&
                         digest_equal(&node->counted[round], &h->effect.key.payload_digest);
    sim_complete(
        w, &h->effect,
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
    if (!w->up || sim_lost(w)) {
        sim_node_complete(w, h->node, TO_NODE, sim_delay(w),
                          &(struct node_event){.kind = NODE_EV_LOST});
        return;
    }
    const uint64_t session = ++w->sessions;
    CHECK(session < CONNECTIONS_MAX);
    w->connections[session] =
        (struct connection){.node = h->node, .node_incarnation = node->incarnation, .open = true};
    node->session = session;
    char name[32];
    sim_name_of(h->node, name);
    struct coordinator_event join = {
        .kind = EV_JOIN,
        .join = {.name = name, .session = session, .epoch_seen = node->epoch_seen}};
    join.join.has_held = node_awaits_settlement(&node->machine);
    join.join.held = node->machine.kept.key;
    sim_step_coordinator(w, join);
}

static void start_coordinator(struct world *w)
{
    static char names[4096][32];
    static const char *members[4096];
    struct coordinator_settings settings = {
        .k_threshold = w->settings.k_threshold,
        .share = 1,
        .seed = w->settings.seed,
        .convergence = {.window_size = 5,
                        .patience = 1000000,
                        .divergence_patience = 3,
                        .divergence_threshold = 0.5,
                        .max_rounds = 1},
        .schedule =
            {.kind = SCHEDULE_CONSTANT, .rate = 1, .factor = 1, .every = 1, .tau = 1, .rounds = 1},
        .timeout_ns = 5000 * ms,
        .start_timeout_ns = 5000 * ms,
        .linger_ns = 20000 * ms,
        .min_updates = w->settings.min_updates,
        .start_nodes = w->settings.nodes,
        .rounds_max = w->settings.rounds,
        .samples_max = 1000000,
        .validate = true,
    };
    sim_narrate(w, "world", "the coordinator starts");
    coordinator_init(&w->coordinator, &settings, w->members, w->roster_order, w->settings.nodes);
    w->up = true;
    w->timer_ns = NO_DEADLINE;
    uint32_t count = 0;
    for (uint32_t i = 0; i < w->settings.nodes; i++) {
        if (w->active[i]) {
            sim_name_of(i, names[count]);
            members[count] = names[count];
            count++;
        }
    }
    sim_step_coordinator(w, (struct coordinator_event){.kind = EV_START,
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
    sim_step_node(
        w, index,
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
    sim_narrate(w, who, "is killed");
    node->up = false;
    node->incarnation++;
    node->push_id = 0;
    node->timer_ns = NO_DEADLINE;
    sim_break_connection(w, node->session);
    node->session = 0;
    struct happening start = sim_at(w, START_NODE, 300 * ms + sim_delay(w));
    start.node = index;
    sim_push_happening(w, start);
}

static void happen_node_durable(struct world *w, struct happening *h)
{
    struct sim_node *const node = &w->nodes[h->node];
    if (h->kind == DURABLE_NODE_EPOCH) {
        node->epoch_seen = h->node_event.beacon.epoch;
    } else {
        const struct beacon beacon = h->node_event.beacon;
        node->kept =
            (struct kept_update){.state = UPDATE_HELD,
                                 .key = {.epoch = beacon.epoch,
                                         .round = beacon.round,
                                         .attempt = beacon.attempt,
                                         .payload_digest = sim_make_digest(
                                             4, h->node, sim_load_first(&beacon.version.id))},
                                 .base_id = beacon.version.id};
        h->node_event.key = node->kept.key;
    }
    sim_node_complete(w, h->node, TO_NODE, sim_delay(w), &h->node_event);
}

static void happen_push(struct world *w, struct happening *h)
{
    if (!w->up || !w->connections[h->session].open)
        return; /* the break completed it */
    char name[32];
    sim_name_of(h->node, name);
    h->event.update.info.name = name;
    sim_step_coordinator(w, h->event);
}

static void happen_to_coordinator(struct world *w, struct happening *h)
{
    if (!w->up || h->incarnation != w->incarnation)
        return;
    if (h->kind == TO_COORDINATOR) {
        sim_step_coordinator(w, h->event);
    } else if (h->kind == DURABLE_EPOCH) {
        w->epoch = h->effect.epoch > w->epoch ? h->effect.epoch : w->epoch + 1;
        sim_complete(w, &h->effect,
                     (struct coordinator_event){.kind = EV_EPOCH_PERSISTED, .epoch = w->epoch});
    } else if (h->kind == DURABLE_OUTCOME) {
        w->outcome = h->effect.outcome;
        sim_complete(w, &h->effect, (struct coordinator_event){.kind = EV_OUTCOME_PERSISTED});
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
        sim_step_node(w, h->node, h->node_event);
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
            sim_step_node(w, connection->node, h->node_event);
        break;
    }
    case PUSH:
        happen_push(w, h);
        break;
    case BREAK:
        sim_break_connection(w, h->session);
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
            struct happening h = sim_pop_happening(w);
            w->now_ns = h.at_ns;
            happen(w, &h);
            continue;
        }
        w->now_ns = timer > w->now_ns ? timer : w->now_ns;
        if (node == NO_MEMBER) {
            w->timer_ns = NO_DEADLINE;
            sim_step_coordinator(w, (struct coordinator_event){.kind = EV_TIMER});
        } else {
            w->nodes[node].timer_ns = NO_DEADLINE;
            sim_step_node(w, node, (struct node_event){.kind = NODE_EV_TIMER});
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
    sim_push_happening(w, sim_at(w, START_COORDINATOR, 0));
    for (uint32_t i = 0; i < settings->nodes; i++) {
        struct happening start = sim_at(w, START_NODE, sim_delay(w));
        start.node = i;
        sim_push_happening(w, start);
    }
    for (uint32_t i = 0; i < settings->node_crashes; i++) {
        struct happening crash = sim_at(w, CRASH_NODE, random_below(&w->random, 5000 * ms));
        crash.node = (uint32_t)random_below(&w->random, settings->nodes);
        sim_push_happening(w, crash);
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

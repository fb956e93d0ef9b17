/*
 * federation_sim.c - what happens when its time has come, what becomes durable, and the verdict.
 */
#include "federation_sim_internal.h"

#include <stdlib.h>
#include <string.h>

static void count_row(struct world *w, const struct happening *h, uint32_t index)
{
    struct sim_node *const node = &w->nodes[index];
    const struct row *const row = &h->commit->rows[index];
    const uint64_t round = row->key.round;
    node->row = *row;
    if (!row->in_set)
        return;
    if (h->effect.undone) {
        node->is_undone[round] = true;
        return;
    }
    w->result.counted_twice += node->is_counted[round];
    w->result.wrongly_settled +=
        node->is_dropped[round] && digest_equal(&node->dropped[round], &row->key.payload_digest);
    node->is_counted[round] = true;
    node->counted[round] = row->key.payload_digest;
    node->counted_in[round] = h->effect.round;
    w->result.counted++;
    w->result.counted_late += round < h->effect.round;
}

static uint64_t set_size(const struct world *w, const struct commit_rows *commit)
{
    uint64_t size = 0;
    for (uint32_t i = 0; i < w->settings.nodes; i++)
        size += commit->rows[i].in_set;
    return size;
}

static void happen_commit(struct world *w, struct happening *h)
{
    if (h->incarnation == w->incarnation && w->up) {
        struct version_ref version = h->commit->candidate;
        version.number = h->effect.round;
        version.id = sim_make_digest(3, h->epoch, version.number);
        struct committed *const place = &w->committed[version.number];
        if (place->used)
            w->result.conflicting++;
        *place = (struct committed){true, h->epoch, version};
        w->has_version = true;
        w->version = version;
        w->open_round = h->effect.round + 1;
        w->outcome = h->effect.outcome;
        w->convergence = h->commit->convergence;
        w->result.final_model = sim_load_first(&version.model_digest);
        w->result.models_digest =
            (w->result.models_digest ^ w->result.final_model) * 0x100000001b3u;
        for (uint32_t i = 0; i < w->settings.nodes; i++)
            count_row(w, h, i);
        if (h->effect.round > 0) {
            const uint64_t size = set_size(w, h->commit);
            w->result.versions++;
            if (w->result.members_each_round_min > size)
                w->result.members_each_round_min = size;
            if (!h->effect.undone)
                sim_check_commit(w, h->commit);
        }
        sim_complete(w, &h->effect,
                     (struct coordinator_event){.kind = EV_COMMITTED, .version = version});
    }
    free(h->commit);
}

static void happen_recall(struct world *w, const struct happening *h)
{
    const struct member *const member = &w->members[h->effect.member];
    const uint64_t round = h->effect.key.round;
    const struct sim_node *const node = &w->nodes[sim_node_of(member->name)];
    const bool known = round < ROUNDS_MAX;
    const bool counted = known && node->is_counted[round] &&
                         digest_equal(&node->counted[round], &h->effect.key.payload_digest);
    const bool undone = known && node->is_undone[round];
    sim_complete(
        w, &h->effect,
        (struct coordinator_event){
            .kind = EV_RECALLED,
            .status = counted || undone ? STATUS_OK : STATUS_NOT_FOUND,
            .recalled = {.member = h->effect.member,
                         .session = h->effect.session,
                         .key = h->effect.key,
                         .counted = counted,
                         .reason = undone ? REASON_SUPERSEDED : REASON_UNSPECIFIED,
                         .version = w->committed[counted ? node->counted_in[round] : 0].version}});
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
    w->connections =
        sim_grow(w->connections, &w->connections_capacity, session, sizeof(*w->connections));
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

static struct coordinator_settings coordinator_settings(const struct world *w)
{
    return (struct coordinator_settings){
        .k_threshold = w->settings.k_threshold,
        .share = w->settings.share > 0 ? w->settings.share : 1,
        .over_selection = w->settings.over_selection,
        .cooldown_rounds = w->settings.cooldown_rounds,
        .seed = w->settings.seed,
        .late = w->settings.late,
        .max_staleness = w->settings.max_staleness,
        .staleness = STALENESS_POLYNOMIAL,
        .staleness_exponent = 0.5,
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
        .validates_received = w->settings.validates_received,
    };
}

/* The versions of the last rounds, as host/coordinator_start.c reads them. */
static uint32_t read_bases(const struct world *w, struct base_ref bases[static STALENESS_MAX])
{
    uint32_t count = 0;
    for (uint64_t back = 1; back <= w->settings.max_staleness && back < w->open_round; back++) {
        const uint64_t round = w->open_round - back;
        CHECK(w->committed[round - 1].used);
        bases[count++] =
            (struct base_ref){.round = round, .id = w->committed[round - 1].version.id};
    }
    return count;
}

static void start_coordinator(struct world *w)
{
    static char names[4096][32];
    static const char *members[4096];
    static struct member_history histories[4096];
    struct base_ref bases[STALENESS_MAX];
    const struct coordinator_settings settings = coordinator_settings(w);
    sim_narrate(w, "world", "the coordinator starts");
    coordinator_init(&w->coordinator, &settings, w->members, w->roster_order, w->settings.nodes);
    w->up = true;
    w->timer_ns = NO_DEADLINE;
    uint32_t count = 0;
    for (uint32_t i = 0; i < w->settings.nodes; i++) {
        if (w->nodes[i].row.is_known) {
            sim_name_of(i, names[count]);
            members[count] = names[count];
            histories[count] = w->nodes[i].row.history;
            histories[count].is_away = !w->nodes[i].row.active;
            count++;
        }
    }
    const uint32_t base_count =
        w->settings.late == LATE_NEXT_ROUND && w->has_version ? read_bases(w, bases) : 0;
    sim_step_coordinator(w, (struct coordinator_event){
                                .kind = EV_START,
                                .start = {.epoch = w->epoch,
                                          .has_version = w->has_version,
                                          .version = w->version,
                                          .open_round = w->open_round,
                                          .outcome = w->outcome,
                                          .members = members,
                                          .histories = histories,
                                          .member_count = count,
                                          .bases = bases,
                                          .base_count = base_count,
                                          .convergence = w->has_version ? &w->convergence : nullptr,
                                          .paused = w->paused}});
    if (w->paused != w->wants_pause)
        sim_push_happening(w, sim_at(w, OPERATE, sim_delay(w)));
}

/* What was asked of a coordinator that was killed before it was durable is asked again. */
static void operate(struct world *w, const struct happening *h)
{
    if (h->event.kind == EV_PAUSE || h->event.kind == EV_RESUME)
        w->wants_pause = h->event.kind == EV_PAUSE;
    if (w->up)
        sim_step_coordinator(
            w, (struct coordinator_event){.kind = w->wants_pause ? EV_PAUSE : EV_RESUME});
}

static void start_node(struct world *w, uint32_t index)
{
    struct sim_node *const node = &w->nodes[index];
    const struct node_settings settings = {
        .seed = w->settings.seed + index, .retry_min_ns = 100 * ms, .retry_max_ns = 1000 * ms};
    node_init(&node->machine, &settings);
    node->up = true;
    node->work_done_id = 0;
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
    if (!node->up || node->done || sim_faults_are_over(w))
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
        node->kept = (struct kept_update){
            .state = UPDATE_HELD,
            .key = {.epoch = beacon.epoch,
                    .round = beacon.round,
                    .attempt = beacon.attempt,
                    .payload_digest =
                        sim_make_digest(4, h->node, sim_load_first(&beacon.version.model_digest))},
            .base_id = beacon.version.id};
        h->node_event.key = node->kept.key;
    }
    sim_node_complete(w, h->node, TO_NODE, sim_delay(w), &h->node_event);
}

/* As host/coordinator_updates.c: cheap checks first, without the machine. */
static void happen_push(struct world *w, struct happening *h)
{
    if (!w->up || !w->connections[h->session].open)
        return; /* the break completed it */
    struct update_info *const info = &h->event.update.info;
    info->name = w->nodes[h->node].name;
    const enum reason reason = coordinator_screen(&w->coordinator, info);
    if (reason != REASON_UNSPECIFIED && reason != REASON_EQUIVOCATION) {
        sim_answer_ticket(w, h->event.update.ticket, false, reason);
        return;
    }
    if (coordinator_holds(&w->coordinator, info)) {
        sim_answer_ticket(w, h->event.update.ticket, true, REASON_UNSPECIFIED);
        return;
    }
    struct happening verified = *h;
    verified.kind = VERIFIED;
    verified.incarnation = w->incarnation;
    verified.at_ns = w->now_ns + 1 + sim_delay(w) / 4;
    sim_push_happening(w, verified);
}

/* It counts though its connection may be gone by now. */
static void happen_verified(struct world *w, struct happening *h)
{
    struct random random;
    random_init(&random, w->settings.seed, 78, h->node << 16 | h->event.update.info.key.round);
    if (h->node >= w->settings.min_updates && random_unit(&random) < w->settings.bad_share) {
        struct coordinator_event refused = h->event;
        refused.kind = EV_REFUSED;
        sim_answer_ticket(w, h->event.update.ticket, false, REASON_NORM);
        sim_step_coordinator(w, refused);
        return;
    }
    sim_blob_arrives(w, &h->event);
    sim_step_coordinator(w, h->event);
}

static void happen_to_coordinator(struct world *w, struct happening *h)
{
    if (!w->up || h->incarnation != w->incarnation)
        return;
    if (h->kind == TO_COORDINATOR) {
        sim_step_coordinator(w, h->event);
    } else if (h->kind == VERIFIED) {
        happen_verified(w, h);
    } else if (h->kind == DURABLE_EPOCH) {
        w->epoch = h->effect.epoch > w->epoch ? h->effect.epoch : w->epoch + 1;
        sim_complete(w, &h->effect,
                     (struct coordinator_event){.kind = EV_EPOCH_PERSISTED, .epoch = w->epoch});
    } else if (h->kind == DURABLE_OUTCOME) {
        w->outcome = h->effect.outcome;
        sim_complete(w, &h->effect, (struct coordinator_event){.kind = EV_OUTCOME_PERSISTED});
    } else if (h->kind == DURABLE_PAUSE) {
        w->paused = h->effect.paused;
        sim_complete(w, &h->effect,
                     (struct coordinator_event){.kind = EV_PAUSE_PERSISTED, .paused = w->paused});
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
        const bool is_work =
            h->node_event.kind == NODE_EV_PULLED || h->node_event.kind == NODE_EV_TRAINED;
        if (is_work && h->node_event.id <= node->work_done_id)
            return; /* it had completed as cancelled, or before that */
        if (is_work)
            node->work_done_id = h->node_event.id;
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
    case DURABLE_PAUSE:
    case RECALL:
    case VERIFIED:
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
    case OPERATE:
        operate(w, h);
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
    w->result.faults_left = w->crashes_left;
    /* A liar whose other update came first is refused, whatever it was told before. */
    for (uint32_t i = w->settings.liars ? 1 : 0; i < w->settings.nodes; i++) {
        for (uint32_t round = 0; round < ROUNDS_MAX; round++) {
            if (!w->nodes[i].is_acknowledged[round] || w->nodes[i].is_settled[round])
                continue;
            w->result.unsettled++;
            if (w->settings.story != nullptr)
                fprintf(w->settings.story, "n%04u never heard what became of round %u\n", i, round);
        }
    }
}

/* 1, or for the slow ones 5 to 20. */
static uint64_t slowness_of(const struct world *w, uint32_t node)
{
    struct random random;
    random_init(&random, w->settings.seed, 77, node);
    return random_unit(&random) < w->settings.slow_share ? 5 + random_below(&random, 16) : 1;
}

static void plan(struct world *w)
{
    sim_push_happening(w, sim_at(w, START_COORDINATOR, 0));
    for (uint32_t i = 0; i < w->settings.nodes; i++) {
        struct happening start = sim_at(w, START_NODE, sim_delay(w));
        start.node = i;
        w->nodes[i].slowness = slowness_of(w, i);
        sim_name_of(i, w->nodes[i].name);
        sim_push_happening(w, start);
    }
    for (uint32_t i = 0; i < w->settings.node_crashes; i++) {
        struct happening crash = sim_at(w, CRASH_NODE, random_below(&w->random, 5000 * ms));
        crash.node = (uint32_t)random_below(&w->random, w->settings.nodes);
        sim_push_happening(w, crash);
    }
    for (uint32_t i = 0; i < w->settings.pauses; i++) {
        struct happening happening = sim_at(w, OPERATE, random_below(&w->random, 4000 * ms));
        happening.event.kind = EV_PAUSE;
        sim_push_happening(w, happening);
        happening.at_ns += random_below(&w->random, 1000 * ms);
        happening.event.kind = EV_RESUME;
        sim_push_happening(w, happening);
    }
    if (w->settings.pauses > 0) { /* whatever their order, the last word is to go on */
        struct happening happening = sim_at(w, OPERATE, 5000 * ms);
        happening.event.kind = EV_RESUME;
        sim_push_happening(w, happening);
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
    w->result.models_digest = 0xcbf29ce484222325u;
    random_init(&w->random, settings->seed, 1, 0);
    w->members = calloc(settings->nodes, sizeof(*w->members));
    w->roster_order = calloc(settings->nodes, sizeof(*w->roster_order));
    w->nodes = calloc(settings->nodes, sizeof(*w->nodes));
    w->connections = sim_grow(nullptr, &w->connections_capacity, 0, sizeof(*w->connections));
    w->tickets = sim_grow(nullptr, &w->tickets_capacity, 0, sizeof(*w->tickets));
    w->blobs = sim_grow(nullptr, &w->blobs_capacity, 0, sizeof(*w->blobs));
    w->folded = calloc(settings->nodes, sizeof(*w->folded));
    w->closed = calloc(settings->nodes, sizeof(*w->closed));
    CHECK(w->members && w->roster_order && w->nodes && w->connections && w->tickets);
    CHECK(w->blobs && w->folded && w->closed);
    w->crashes_left = settings->coordinator_crashes;
    plan(w);
    run(w);
    judge(w);
    *ret_result = w->result;
    for (uint32_t i = 0; i < w->heap_count; i++)
        free(w->heap[i].commit);
    free(w->heap);
    free(w->members);
    free(w->roster_order);
    free(w->nodes);
    free(w->connections);
    free(w->tickets);
    free(w->blobs);
    free(w->folded);
    free(w->closed);
    free(w);
}

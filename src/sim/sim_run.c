/*
 * sim_run.c - one run: the world is made, what happens happens, the oracles have the last word.
 */
#include "sim/sim_internal.h"

#include "host/run_setup.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { STOPPED_S_MAX = 60 };

/* The operator's word; EV_START: an earlier one is said again. */
static void hear_operator(struct world *w, enum coordinator_event_kind kind)
{
    if (kind == EV_PAUSE || kind == EV_RESUME)
        w->wants_pause = kind == EV_PAUSE;
    w->wants_cancel |= kind == EV_CANCEL;
    if (kind != EV_START)
        w->result->happened[kind == EV_CANCEL ? SIM_CANCEL : SIM_OPERATOR]++;
}

static void operate(struct world *w, const struct happening *happening)
{
    hear_operator(w, happening->event.kind);
    if (w->server.process.up)
        server_step(w, (struct coordinator_event){.kind = w->wants_pause ? EV_PAUSE : EV_RESUME});
    if (w->wants_cancel && w->server.process.up)
        server_step(w, (struct coordinator_event){.kind = EV_CANCEL});
}

static void stop(struct world *w, uint32_t process)
{
    struct process *const p = sim_process(w, process);
    if (w->healed || p->stopped_ns > w->now_ns)
        return;
    p->stopped_ns = w->now_ns + 1 + random_below(&w->random, STOPPED_S_MAX * SECOND);
    w->result->happened[SIM_STOP]++;
    sim_narrate(w, "%s stands still until %.3f s", sim_who(process), (double)p->stopped_ns / 1e9);
}

static void heal(struct world *w)
{
    sim_narrate(w, "from now on nothing goes wrong");
    w->healed = true;
    disk_heals(w);
    second_kill(w);
    for (uint32_t i = 0; i < w->plan->nodes; i++) {
        struct sim_node *const node = &w->nodes[i];
        /* A thousandfold training would end long after the job should. */
        if (node->slowness > 1 && node->process.up && node->machine.work == WORK_TRAINING)
            node_kill(w, i, 200 * MS + sim_delay(w));
    }
}

static void start(struct world *w, uint32_t process)
{
    if (sim_process(w, process)->up)
        return;
    if (process == COORDINATOR)
        server_start(w);
    else if (!w->nodes[process].done)
        node_start(w, process);
}

static uint64_t exponential_ns(struct world *w, double mean_s)
{
    return (uint64_t)(-log(1 - random_unit(&w->random)) * mean_s * 1e9);
}

static void will_go_away(struct world *w, uint32_t node, uint64_t after_ns)
{
    const double up_s = w->plan->availability.up_s;
    if (up_s > 0)
        sim_push(w, sim_happening(w, HAPPEN_AWAY, node, after_ns + exponential_ns(w, up_s)));
}

static void go_away(struct world *w, uint32_t node)
{
    const uint64_t down_ns = exponential_ns(w, w->plan->availability.down_s);
    if (w->nodes[node].done)
        return;
    if (w->nodes[node].process.up) {
        sim_narrate(w, "%s is switched off", sim_who(node));
        node_kill(w, node, down_ns);
    }
    will_go_away(w, node, down_ns);
}

/* What is done to the world, not to a process that must still be the same. */
static bool happen_to_world(struct world *w, struct happening *h)
{
    switch (h->kind) {
    case HAPPEN_START:
        start(w, h->process);
        return true;
    case HAPPEN_STOP:
        stop(w, h->process);
        return true;
    case HAPPEN_OPERATE:
        operate(w, h);
        return true;
    case HAPPEN_PARTITION:
        if (!w->healed)
            sim_cut(w, h->flag);
        return true;
    case HAPPEN_DISK_FAULT:
        if (!w->healed) {
            w->result->happened[SIM_DISK]++;
            disk_breaks(w);
        }
        return true;
    case HAPPEN_AWAY:
        go_away(w, h->process);
        return true;
    case HAPPEN_SECOND:
        second_start(w, h->flag);
        return true;
    case HAPPEN_HEAL:
        heal(w);
        return true;
    case HAPPEN_TIMER:
    case HAPPEN_DONE:
    case HAPPEN_MATH:
    case HAPPEN_DISK:
    case HAPPEN_NODE_DISK:
    case HAPPEN_JOIN:
    case HAPPEN_UPDATE:
    case HAPPEN_VERIFIED:
    case HAPPEN_PULL:
    case HAPPEN_DIRECTIVE:
    case HAPPEN_RECEIPT:
    case HAPPEN_MODEL:
    case HAPPEN_LOST:
    case HAPPEN_LEAVE:
    case HAPPEN_RENEW:
        break;
    }
    return false;
}

static void fire_timer(struct world *w, struct happening *h)
{
    struct process *const p = sim_process(w, h->process);
    if (p->timer_order != h->order)
        return; /* set anew, or stopped */
    p->timer_order = 0;
    if (h->process == COORDINATOR)
        server_step(w, (struct coordinator_event){.kind = EV_TIMER});
    else
        node_sim_step(w, h->process, (struct node_event){.kind = NODE_EV_TIMER});
}

/* Work has ended; a version is announced only after this. */
static void finish(struct world *w, struct happening *h)
{
    const struct coordinator_event event = h->event;
    if (h->process != COORDINATOR) {
        node_sim_step(w, h->process, h->node_event);
        return;
    }
    if (event.kind == EV_COMMITTED && event.status == STATUS_OK)
        server_take_candidate(w);
    server_step(w, event);
    if (event.status == STATUS_OK &&
        (event.kind == EV_COMMITTED || event.kind == EV_OUTCOME_PERSISTED))
        oracle_recovery(w);
}

static void happen_to_process(struct world *w, struct happening *h)
{
    switch (h->kind) {
    case HAPPEN_TIMER:
        fire_timer(w, h);
        break;
    case HAPPEN_DONE:
        finish(w, h);
        break;
    case HAPPEN_MATH:
    case HAPPEN_DISK:
        server_disk(w, h);
        break;
    case HAPPEN_NODE_DISK:
        node_disk(w, h);
        break;
    case HAPPEN_JOIN:
        on_join_arrives(w, h);
        break;
    case HAPPEN_UPDATE:
        on_update_arrives(w, h);
        break;
    case HAPPEN_VERIFIED:
        on_update_verified(w, h);
        break;
    case HAPPEN_PULL:
        on_pull_arrives(w, h);
        break;
    case HAPPEN_DIRECTIVE:
        on_directive_arrives(w, h);
        break;
    case HAPPEN_RECEIPT:
        on_receipt_arrives(w, h);
        break;
    case HAPPEN_MODEL:
        on_model_arrives(w, h);
        break;
    case HAPPEN_LOST:
        node_lost(w, h);
        break;
    case HAPPEN_RENEW:
        rotation_renew(w, h);
        break;
    case HAPPEN_LEAVE:
        server_step(w, (struct coordinator_event){.kind = EV_LEAVE, .session = h->session});
        break;
    case HAPPEN_START:
    case HAPPEN_STOP:
    case HAPPEN_OPERATE:
    case HAPPEN_PARTITION:
    case HAPPEN_DISK_FAULT:
    case HAPPEN_AWAY:
    case HAPPEN_SECOND:
    case HAPPEN_HEAL:
        CHECK(!"what happens to a process");
    }
}

/* Whether it goes on to happen later, and is not to be freed. */
static bool happen_here(struct world *w, struct happening *h)
{
    const struct process *const p = sim_process(w, h->process);
    const bool is_to_whoever =
        h->kind == HAPPEN_OPERATE || h->kind == HAPPEN_START || h->kind == HAPPEN_AWAY;
    if (p->stopped_ns > w->now_ns && (is_to_whoever || h->incarnation == p->incarnation) &&
        h->kind != HAPPEN_STOP && h->kind != HAPPEN_HEAL) {
        const bool is_timer = h->kind == HAPPEN_TIMER && p->timer_order == h->order;
        if (h->kind == HAPPEN_OPERATE) { /* the last word counts, whoever hears it when */
            hear_operator(w, h->event.kind);
            h->event.kind = EV_START;
        }
        h->at_ns = p->stopped_ns;
        sim_push(w, h);
        if (is_timer)
            sim_process(w, h->process)->timer_order = h->order;
        return true;
    }
    if (happen_to_world(w, h))
        return false;
    if (p->up && p->incarnation == h->incarnation)
        happen_to_process(w, h);
    else if (h->kind == HAPPEN_JOIN)
        sim_dial_failed(w, h, sim_delay(w));
    return false;
}

/* As happen_here; of two coordinators, to the one that it is meant for. */
static bool happen(struct world *w, struct happening *h)
{
    if (!second_is_meant(w, h))
        return happen_here(w, h);
    second_change(w);
    const bool happens_later = happen_here(w, h);
    second_change(w);
    if (!w->old.process.up)
        second_kill(w);
    return happens_later;
}

/* ---- the world ---- */

static void at_random(struct world *w, enum happening_kind kind, uint32_t process, uint32_t times)
{
    for (uint32_t i = 0; i < times; i++) {
        struct happening *const h =
            sim_happening(w, kind, process, random_below(&w->random, w->plan->heal_ns));
        h->flag = random_below(&w->random, 2) == 0;
        sim_push(w, h);
    }
}

static void operate_at(struct world *w, enum coordinator_event_kind kind, uint64_t at_ns)
{
    struct happening *const h = sim_happening(w, HAPPEN_OPERATE, COORDINATOR, at_ns);
    h->event.kind = kind;
    sim_push(w, h);
}

static void schedule_faults(struct world *w)
{
    const struct sim_plan *const plan = w->plan;
    at_random(w, HAPPEN_PARTITION, COORDINATOR, plan->partitions);
    at_random(w, HAPPEN_DISK_FAULT, COORDINATOR, plan->disk_faults);
    at_random(w, HAPPEN_SECOND, COORDINATOR, plan->zombies);
    for (uint32_t i = 0; i < plan->stops; i++) {
        const uint64_t who = random_below(&w->random, 2 * (uint64_t)plan->nodes);
        at_random(w, HAPPEN_STOP, who < plan->nodes ? (uint32_t)who : COORDINATOR, 1);
    }
    for (uint32_t i = 0; i < plan->pauses; i++) {
        const uint64_t at_ns = random_below(&w->random, plan->heal_ns);
        operate_at(w, EV_PAUSE, at_ns);
        operate_at(w, EV_RESUME, at_ns + random_below(&w->random, 5 * SECOND));
    }
    if (plan->pauses > 0) /* whatever their order, the last word is to go on */
        operate_at(w, EV_RESUME, plan->heal_ns + 5 * SECOND);
    if (plan->cancelled_ns > 0)
        operate_at(w, EV_CANCEL, plan->cancelled_ns);
    sim_push(w, sim_happening(w, HAPPEN_HEAL, COORDINATOR, plan->heal_ns));
    for (uint32_t i = 0; i < plan->nodes; i++)
        will_go_away(w, i, 0);
}

static int64_t draw_drift(struct world *w)
{
    if ((w->plan->faults & 1u << SIM_SKEW) == 0)
        return 0;
    w->result->happened[SIM_SKEW]++;
    return (int64_t)random_below(&w->random, 100001) - 50000;
}

static void make_processes(struct world *w)
{
    w->server.process.drift_ppm = draw_drift(w);
    sim_push(w, sim_happening(w, HAPPEN_START, COORDINATOR, 0));
    for (uint32_t i = 0; i < w->plan->nodes; i++) {
        struct sim_node *const node = &w->nodes[i];
        const uint64_t times = 10 + random_below(&w->random, 991);
        node->process.drift_ppm = draw_drift(w);
        node->slowness = random_unit(&w->random) < w->plan->slow_share ? times : 1;
        node->liar = i >= w->plan->nodes - w->plan->liars;
        CHECK(outbox_memory_open(&node->outbox) == STATUS_OK);
        bytes_init(&node->old_envelope, ENVELOPE_BYTES_MAX);
        sim_push(w, sim_happening(w, HAPPEN_START, i, random_below(&w->random, SECOND)));
    }
}

/* Of the optimiser's state. */
static struct layout *make_layout(uint32_t vectors, uint64_t shape)
{
    static const char *const names[] = {"m", "v"};
    struct layout_builder *builder = nullptr;
    struct layout *layout = nullptr;
    CHECK(vectors <= sizeof(names) / sizeof(names[0]));
    CHECK(layout_builder_create(&builder) == STATUS_OK);
    for (uint32_t i = 0; i < vectors; i++)
        CHECK(layout_builder_add(builder, names[i], 1, DTYPE_F32, 1, &shape, nullptr) == STATUS_OK);
    CHECK(layout_builder_finish(builder, &layout, nullptr) == STATUS_OK);
    layout_builder_destroy(builder);
    return layout;
}

static void make_names(struct world *w)
{
    const uint32_t nodes = w->plan->nodes;
    w->names = calloc(nodes + 1, MEMBER_NAME_MAX);
    w->name_pointers = calloc(nodes + 1, sizeof(char *));
    CHECK(w->names && w->name_pointers);
    for (uint32_t i = 0; i <= nodes; i++) {
        char name[CONFIG_NAME_MAX];
        run_node_name(i, name);
        if (i < nodes)
            snprintf(w->names[i], MEMBER_NAME_MAX, "spiffe://sim/fedra/node/%s", name);
        else
            snprintf(w->names[i], MEMBER_NAME_MAX, "spiffe://sim/fedra/coordinator");
        w->name_pointers[i] = w->names[i];
    }
    w->ring = (struct keyed_ring){.names = w->name_pointers, .count = nodes + 1};
    rotation_make(w);
}

static void make_work(struct world *w)
{
    w->work = w->plan->work != nullptr ? w->plan->work : drawn_work_create(w->plan->seed);
    w->layout = w->work->layout;
    w->parameter_count = w->layout->parameter_count;
    w->expected = calloc(3 * w->parameter_count, sizeof(*w->expected));
    w->evidence = calloc(w->plan->nodes, sizeof(*w->evidence));
    CHECK(w->expected != nullptr && w->evidence != nullptr);
    w->expected_momentum = w->expected + w->parameter_count;
    w->expected_second = w->expected_momentum + w->parameter_count;
}

static void make_world(struct world *w)
{
    const uint32_t nodes = w->plan->nodes;
    const uint32_t vectors = server_optimiser_vectors(&w->plan->optimiser);
    random_init(&w->random, w->plan->seed, 2, 0);
    make_names(w);
    make_work(w);
    w->state_layout = vectors > 0 ? make_layout(vectors, w->parameter_count) : nullptr;
    CHECK(store_memory_open(w->plan->models_keep, &w->store) == STATUS_OK);
    server_open(w);
    w->nodes = calloc(nodes, sizeof(*w->nodes));
    w->cut_up = calloc(nodes, sizeof(bool));
    w->cut_down = calloc(nodes, sizeof(bool));
    w->sessions = sim_grow(nullptr, &w->session_capacity, 0, sizeof(*w->sessions));
    w->tickets = sim_grow(nullptr, &w->ticket_capacity, 0, sizeof(*w->tickets));
    w->offers = sim_grow(nullptr, &w->offer_capacity, 0, sizeof(struct offer *));
    CHECK(w->nodes && w->cut_up && w->cut_down);
    w->crashes_left = w->plan->crashes;
    w->node_crashes_left = w->plan->node_crashes;
    links_make(w);
    w->node_disk_faults_left = w->plan->node_disk_faults;
    make_processes(w);
    schedule_faults(w);
}

static void free_world(struct world *w)
{
    w->healed = true; /* nobody dies any more */
    second_kill(w);
    server_close(w);
    for (uint64_t i = 0; i < w->heap_count; i++)
        sim_happening_free(w->heap[i]);
    for (uint32_t i = 0; i < w->plan->nodes; i++) {
        bytes_deinit(&w->nodes[i].old_envelope);
        outbox_close(w->nodes[i].outbox);
        model_file_unref(w->nodes[i].base);
        payload_unref(w->nodes[i].kept);
        payload_unref(w->nodes[i].trained.payload);
        free(w->nodes[i].accounts);
    }
    for (uint64_t i = 0; i < w->archive_capacity; i++)
        payload_unref(w->archive[i].payload);
    w->store->ops->close(w->store);
    layout_destroy(w->state_layout);
    if (w->plan->work == nullptr)
        drawn_work_destroy(w->work);
    free(w->evidence);
    free(w->expected);
    free(w->nodes);
    free(w->cut_up);
    free(w->cut_down);
    links_free(w);
    rotation_free(w);
    free(w->outcome);
    free(w->sessions);
    free(w->tickets);
    free(w->offers);
    free(w->archive);
    free(w->names);
    free(w->name_pointers);
    free(w->heap);
    free(w);
}

/* It exited by itself, and not everybody knows: started again, it says so again. */
static void tell_the_rest(struct world *w)
{
    if (!w->server.ended || w->nodes_done == w->plan->nodes)
        return;
    w->server.ended = false;
    sim_push(w, sim_happening(w, HAPPEN_START, COORDINATOR, SECOND));
}

static bool is_over(const struct world *w)
{
    return w->work->is_over || w->nodes_done == w->plan->nodes || w->now_ns > w->plan->end_ns ||
           w->result->failed || (w->server.ended && w->result->versions == 0);
}

void sim_run(const struct sim_plan *plan, FILE *story, struct sim_result *ret_result)
{
    CHECK(plan->nodes > 0 && plan->nodes <= SIM_NODES_MAX);
    struct world *const w = calloc(1, sizeof(*w));
    CHECK(w != nullptr);
    *ret_result = (struct sim_result){.trace_digest = 0xcbf29ce484222325u};
    w->plan = plan;
    w->result = ret_result;
    w->story = story;
    make_world(w);
    while (!is_over(w) && w->heap_count > 0) {
        struct happening *const happening = sim_pop(w);
        w->now_ns = happening->at_ns;
        if (!happen(w, happening))
            sim_happening_free(happening);
        if (w->server.ended && w->result->versions > 0)
            tell_the_rest(w);
    }
    if (!ret_result->failed && !w->work->is_over)
        oracle_end(w);
    ret_result->virtual_ns = w->now_ns;
    free_world(w);
}

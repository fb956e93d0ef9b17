/*
 * sim_plan.c - what a seed stands for: limits, policies, and which faults strike how hard.
 *
 * Swarm testing (Groce et al., ISSTA 2012): a run with some of the faults finds what a run with all
 * of them hides, because each fault keeps others from getting far.
 */
#include "sim/sim_internal.h"

#include <string.h>

static const char *const names[] = {
#define X(name, word, text) word,
    SIM_FAULT_LIST(X)
#undef X
};

static const char *const texts[] = {
#define X(name, word, text) text,
    SIM_FAULT_LIST(X)
#undef X
};

enum {
    STREAM_PLAN = 1,
    STREAM_QUARANTINE = 2,
    MLDSA_EVERY = 100, /* seeds; these are of few nodes: it is slow */
};

const char *sim_fault_name(enum sim_fault fault)
{
    return names[fault];
}

const char *sim_fault_text(enum sim_fault fault)
{
    return texts[fault];
}

static double pick(struct random *random, const double *values, uint32_t count)
{
    return values[random_below(random, count)];
}

static void draw_machine(struct random *random, struct sim_plan *plan)
{
    static const double thresholds[] = {1, 0.85, 0.6, 0.3};
    static const double shares[] = {1, 1, 0.6, 0.3};
    static const double over_selections[] = {0, 0.3, 1};
    static const double exponents[] = {0, 0.5, 2};
    static const enum late_policy policies[] = {LATE_DISCARD, LATE_NEXT_ROUND, LATE_MOMENTUM,
                                                LATE_NEXT_ROUND};
    const uint32_t least = plan->nodes < 3 ? plan->nodes : 3;
    struct coordinator_settings *const machine = &plan->machine;
    *machine = (struct coordinator_settings){
        .seed = plan->seed,
        .staleness = STALENESS_POLYNOMIAL,
        .convergence = {.window_size = 5,
                        .patience = 1000000,
                        .divergence_patience = 3,
                        .divergence_threshold = 0.5,
                        .max_rounds = 1},
        .schedule =
            {.kind = SCHEDULE_CONSTANT, .rate = 1, .factor = 1, .every = 1, .tau = 1, .rounds = 1},
        .start_timeout_ns = 5 * SECOND,
        .linger_ns = 30 * SECOND,
    };
    /* One after another: in an initialiser the order of the draws would be the compiler's. */
    machine->k_threshold = pick(random, thresholds, 4);
    machine->share = pick(random, shares, 4);
    machine->over_selection = pick(random, over_selections, 3);
    machine->cooldown_rounds = (uint32_t)random_below(random, 4);
    machine->late = policies[random_below(random, 4)];
    machine->max_staleness = 1 + (uint32_t)random_below(random, 6);
    machine->staleness_exponent = pick(random, exponents, 3);
    machine->timeout_ns = (2 + random_below(random, 6)) * SECOND;
    machine->min_updates = 1 + (uint32_t)random_below(random, least);
    machine->start_nodes = 1 + (uint32_t)random_below(random, plan->nodes);
    machine->rounds_max = 4 + random_below(random, 17);
    machine->samples_max = 100 + random_below(random, 1000);
    machine->validate = random_below(random, 4) > 0;
    machine->validates_received = random_below(random, 4) == 0;
}

/* By numbers of its own: all else that a seed stands for is as without. */
static void draw_quarantine(struct sim_plan *plan)
{
    static const enum quarantine_policy policies[] = {QUARANTINE_OFF, QUARANTINE_SUGGEST,
                                                      QUARANTINE_AUTO, QUARANTINE_AUTO};
    static const double suspicions[] = {0, 0.02, 0.2, 0.5};
    struct random random;
    random_init(&random, plan->seed, STREAM_QUARANTINE, 0);
    plan->machine.quarantine = policies[random_below(&random, 4)];
    plan->machine.quarantine_rounds = 1 + random_below(&random, 6);
    plan->suspicion = pick(&random, suspicions, 4);
}

static void draw_optimiser(struct random *random, struct sim_plan *plan)
{
    static const enum server_optimiser_kind kinds[] = {OPTIMISER_SGD, OPTIMISER_MOMENTUM,
                                                       OPTIMISER_ADAM};
    const enum server_optimiser_kind kind = kinds[random_below(random, 3)];
    plan->optimiser = (struct server_optimiser){
        .kind = kind,
        .momentum = random_below(random, 2) == 0 ? 0.9 : 0.5,
        .beta2 = 0.99,
        .epsilon = 1e-3,
        .keeps_momentum = plan->machine.late == LATE_MOMENTUM,
    };
}

static bool has(const struct sim_plan *plan, enum sim_fault fault)
{
    return (plan->faults & 1u << fault) != 0;
}

static uint32_t times(struct random *random, const struct sim_plan *plan, enum sim_fault fault,
                      uint32_t most)
{
    const uint32_t drawn = 1 + (uint32_t)random_below(random, most);
    return has(plan, fault) ? drawn : 0;
}

/* Every number is drawn, whether its fault is in or not: leaving one out changes no other. */
static void draw_faults(struct random *random, struct sim_plan *plan)
{
    static const double shares[] = {0.1, 0.3, 0.7, 1};
    static const double losses[] = {0.003, 0.01, 0.05};
    const double loss = pick(random, losses, 3);
    const double slow = pick(random, shares, 4);
    const uint32_t liars_max = (plan->nodes + 1) / 3;
    plan->loss = has(plan, SIM_LOSS) ? loss : 0;
    plan->slow_share = has(plan, SIM_SLOW) ? slow : 0;
    plan->duplication = has(plan, SIM_DUPLICATE) ? 0.3 : 0;
    plan->crashes = times(random, plan, SIM_CRASH, 12);
    plan->node_crashes = times(random, plan, SIM_NODE_CRASH, 2 * plan->nodes);
    plan->disk_faults = times(random, plan, SIM_DISK, 4);
    plan->partitions = times(random, plan, SIM_PARTITION, 4);
    plan->stops = times(random, plan, SIM_STOP, 6);
    plan->pauses = times(random, plan, SIM_OPERATOR, 4);
    plan->liars = liars_max > 0 ? times(random, plan, SIM_LIAR, liars_max) : 0;
    /* A liar that contradicts itself gives no update for that round: the others must suffice. */
    if (plan->machine.min_updates > plan->nodes - plan->liars)
        plan->machine.min_updates = plan->nodes - plan->liars;
    const uint64_t diverges_at = 1 + random_below(random, 8);
    plan->diverges_at = has(plan, SIM_DIVERGE) ? diverges_at : 0;
    plan->loss_is_nan = random_below(random, 2) > 0;
    const uint64_t cancelled_ns = 1 + random_below(random, 30 * SECOND);
    plan->cancelled_ns = has(plan, SIM_CANCEL) ? cancelled_ns : 0;
    plan->node_disk_faults = times(random, plan, SIM_NODE_DISK, plan->nodes);
    plan->life_ns = (8 + random_below(random, 33)) * SECOND;
    plan->zombies = times(random, plan, SIM_ZOMBIE, 3);
}

void sim_plan_strike(struct sim_plan *plan, uint32_t faults)
{
    struct random random;
    random_init(&random, plan->seed, STREAM_PLAN, 1);
    plan->faults = faults;
    draw_faults(&random, plan);
}

enum sim_fault sim_fault_find(const char *name, size_t size)
{
    int fault = 0;
    while (fault < SIM_FAULT_COUNT &&
           (strlen(names[fault]) != size || memcmp(names[fault], name, size) != 0))
        fault++;
    return (enum sim_fault)fault;
}

bool sim_faults_find(const char *text, uint32_t *ret_faults)
{
    *ret_faults = 0;
    for (const char *p = text + strspn(text, ", "); *p != 0;) {
        const size_t size = strcspn(p, ", ");
        const enum sim_fault fault = sim_fault_find(p, size);
        if (fault == SIM_FAULT_COUNT)
            return false;
        *ret_faults |= 1u << fault;
        p += size;
        p += strspn(p, ", ");
    }
    return true;
}

void sim_plan_draw(uint64_t seed, uint32_t nodes, uint32_t faults, struct sim_plan *ret_plan)
{
    static const uint64_t delays_ms[] = {2, 20, 100, 300};
    struct random random;
    random_init(&random, seed, STREAM_PLAN, 0);
    struct sim_plan plan = {.seed = seed};
    const uint32_t drawn = 2 + (uint32_t)random_below(&random, 19);
    plan.is_mldsa = seed % MLDSA_EVERY == 0 && nodes == 0;
    plan.nodes = nodes > 0 ? nodes : plan.is_mldsa ? 2 + drawn % 4 : drawn;
    CHECK(plan.nodes <= SIM_NODES_MAX);
    for (int i = 0; i < SIM_FAULT_COUNT; i++) {
        /* A job that is cancelled or diverges is a short one: seldom. */
        const uint64_t one_in = i == SIM_CANCEL || i == SIM_DIVERGE ? 8 : 2;
        plan.faults |= random_below(&random, one_in) == 0 ? 1u << i : 0;
    }
    plan.faults &= faults;
    draw_machine(&random, &plan);
    draw_quarantine(&plan);
    draw_optimiser(&random, &plan);
    plan.delay_max_ns = delays_ms[random_below(&random, 4)] * MS;
    plan.tick_ns = random_below(&random, 3) == 0 ? MS : 1;
    plan.models_keep = (uint32_t)random_below(&random, 4);
    plan.heal_ns = (10 + random_below(&random, 50)) * SECOND;
    draw_faults(&random, &plan);
    /* Healed: a round is repeated a few times at most, then lasts as long as its slowest node. */
    plan.end_ns =
        plan.heal_ns + (plan.machine.rounds_max + 5) * 3 * plan.machine.timeout_ns + 120 * SECOND;
    *ret_plan = plan;
}

/*
 * sim.h - a federation in a seed: the coordinator's and the nodes' machines, their messages, their
 * arithmetic and their store on virtual time, under faults, watched by oracles.
 *
 * Single-threaded; equal plans give equal runs on every machine. Shared with the daemon: core/,
 * learn/, robust/accumulator, tensor/, wire/, and store/ and outbox in memory. Not here: sockets,
 * ML-DSA (keyed_signer.h stands in), trainers (an update is drawn from the seed).
 */
#pragma once

#include "core/coordinator.h"
#include "host/config.h"
#include "learn/server_optimiser.h"

#include <stdio.h>

/* What can go wrong: NAME, its name on the command line, what it is. */
#define SIM_FAULT_LIST(X)                                                                          \
    X(CRASH, "crash", "the coordinator is killed between two effects, and starts again")           \
    X(NODE_CRASH, "node-crash", "nodes are killed between two effects, and start again")           \
    X(DISK, "disk", "the coordinator's disk fails, is full, or gives a wrong bit; it stops")       \
    X(NODE_DISK, "node-disk", "a node's outbox fails to write; the node starts again")             \
    X(ZOMBIE, "zombie", "a second coordinator is started on the store of one that goes on")        \
    X(ROTATE, "rotate", "identities live for seconds: keys change, old ones end")                  \
    X(LOSS, "loss", "messages are lost, and their connections with them")                          \
    X(HALF_OPEN, "half-open", "one side learns of a broken connection long after the other")       \
    X(DUPLICATE, "duplicate", "updates arrive twice")                                              \
    X(PARTITION, "partition", "nodes are cut off for a while, in one direction or in both")        \
    X(STOP, "stop", "processes stand still for up to a minute, as under SIGSTOP")                  \
    X(SLOW, "slow", "some nodes train 10 to 1,000 times as long")                                  \
    X(SKEW, "skew", "clocks run up to 5 % too fast or too slow")                                   \
    X(LIAR, "liar", "nodes send garbage, replays, contradictions, and updates of other rounds")    \
    X(OPERATOR, "operator", "the job is paused and resumed")                                       \
    X(CANCEL, "cancel", "the job is cancelled")                                                    \
    X(DIVERGE, "diverge", "the loss rises, or is no number")

enum sim_fault {
#define X(name, word, text) SIM_##name,
    SIM_FAULT_LIST(X)
#undef X
        SIM_FAULT_COUNT,
};

enum {
    SIM_ALL_FAULTS = (1 << SIM_FAULT_COUNT) - 1,
    SIM_NODES_MAX = 10000,
    SIM_FAILURE_MAX = 256, /* bytes of a failure's text with its zero */
};

struct sim_work;

/* How long messages are on their way, instead of the plan's delays. */
struct sim_links {
    enum config_latency latency;
    double latency_ms;      /* one way; of LOGNORMAL the median */
    double latency_spread;  /* of LOGNORMAL: sigma of its logarithm */
    const double *table_ms; /* of TABLE: each link has one of these; borrowed */
    uint32_t table_count;
    double node_mbit;        /* per second, each way; 0: no limit */
    double coordinator_mbit; /* likewise, shared by all nodes */
};

/* When nodes are there. Times are drawn from exponential distributions. */
struct sim_availability {
    double up_s; /* the mean; 0: always */
    double down_s;
    const uint32_t *killed; /* nodes that are killed once, after a round; borrowed */
    uint32_t killed_count;
    uint64_t killed_after;
    double killed_down_s;
};

/* One run. sim_plan_draw makes it; tests change it. */
struct sim_plan {
    uint64_t seed;
    uint32_t nodes;
    struct sim_work *work; /* what is learnt; null: updates of eight numbers, drawn from the seed */
    const struct sim_links *links; /* null: each message takes up to delay_max_ns */
    struct sim_availability availability;
    uint32_t faults; /* bit i: enum sim_fault i happens */
    struct coordinator_settings machine;
    struct server_optimiser optimiser;
    uint32_t models_keep; /* 0: all */
    uint64_t delay_max_ns;
    uint64_t tick_ns;   /* delays are whole ticks: with long ones, much happens at the same time */
    double loss;        /* share of messages */
    double duplication; /* share of updates */
    uint32_t crashes;   /* of the coordinator, at most */
    uint32_t node_crashes;
    uint32_t disk_faults;
    uint32_t node_disk_faults;
    uint32_t zombies; /* second coordinators */
    uint64_t life_ns; /* of an identity, under ROTATE */
    bool is_mldsa;    /* signatures are ML-DSA-65's, without randomness; else a keyed hash */
    uint32_t partitions;
    uint32_t stops;
    uint32_t pauses;
    double slow_share;
    uint32_t liars;        /* the last nodes */
    double suspicion;      /* that an update of a round is suspected, under the mean */
    uint64_t diverges_at;  /* the loss is bad from that round on; 0: never */
    bool loss_is_nan;      /* of DIVERGE; else it rises */
    uint64_t cancelled_ns; /* when; 0: never */
    uint64_t heal_ns;      /* from then on nothing goes wrong any more */
    uint64_t end_ns;       /* the job must have ended by then */
};

struct sim_result {
    bool failed;
    char failure[SIM_FAILURE_MAX]; /* the first one */
    enum outcome outcome;
    uint64_t versions; /* committed, with the first model and the end */
    uint64_t counted;  /* updates, in all */
    uint64_t counted_late;
    uint64_t recomputed; /* versions whose model was made again by the slow path */
    uint64_t refused;
    uint64_t evidence;
    uint32_t happened[SIM_FAULT_COUNT]; /* how often each fault struck */
    uint64_t virtual_ns;
    uint64_t trace_digest; /* FNV-1a over all that the machines said they did */
};

/* The name of a fault on the command line, and what it is; static. */
const char *sim_fault_name(enum sim_fault fault);
const char *sim_fault_text(enum sim_fault fault);

/* SIM_FAULT_COUNT where there is none of that name. */
enum sim_fault sim_fault_find(const char *name, size_t size);

/*
 * Adds faults (bits) to a plan, each with the strength that its seed draws; nodes, settings and
 * heal_ns are there.
 */
void sim_plan_strike(struct sim_plan *plan, uint32_t faults);

/* "crash,partition" as bits; false: there is a word that is none. */
bool sim_faults_find(const char *text, uint32_t *ret_faults);

/*
 * What a seed stands for: its limits and, of the faults that are allowed (bits), about a half with
 * the strength of each. nodes: 0 draws their number, else up to SIM_NODES_MAX.
 */
void sim_plan_draw(uint64_t seed, uint32_t nodes, uint32_t faults, struct sim_plan *ret_plan);

/* Runs it to its end or to end_ns. story: null, or where it is told. Aborts where memory is short.
 */
void sim_run(const struct sim_plan *plan, FILE *story, struct sim_result *ret_result);

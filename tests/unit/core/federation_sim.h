/*
 * federation_sim.h - a federation on virtual time: the real machines, a lossy network, crashes.
 *
 * The world keeps what is durable by itself (commits, epochs, outboxes), so that it can say whether
 * the machines kept their promises. Seeded: the same settings give the same run. Not here: real
 * arithmetic, signatures, disks.
 */
#pragma once

#include "core/coordinator.h"
#include "core/node.h"

#include <stdio.h>

struct sim_settings {
    uint64_t seed;
    uint32_t nodes;
    uint64_t rounds;
    double k_threshold;
    uint32_t min_updates;
    double loss;        /* share of messages after which the connection breaks */
    double duplication; /* share of pushes that arrive twice */
    uint64_t delay_max_ns;
    uint32_t coordinator_crashes; /* at random effects */
    uint32_t node_crashes;
    uint64_t faults_end_ns; /* from then on nothing is lost, doubled or killed; 0: never */
    bool liars;             /* the first node sends a second, different update for each round */
    double share;           /* of the nodes that a round needs; 0: all */
    double over_selection;
    uint32_t cooldown_rounds;
    enum late_policy late;
    uint32_t max_staleness; /* of LATE_NEXT_ROUND */
    double slow_share;      /* of nodes that train 5 to 20 times as long */
    double bad_share; /* of updates, but those of the first min_updates nodes: the norm is over the
                         bound */
    uint32_t pauses;  /* at random instants, each followed by a resume */
    uint64_t diverges_at; /* the loss rises from that round on; 0: never */
    bool loss_is_nan;     /* or is no number */
    bool retention;       /* the best version is not kept */
    bool validates_received;
    FILE *story; /* null, or where the trace is told */
};

struct sim_result {
    bool ended; /* the job ended and every node was told, within the virtual time */
    enum outcome outcome;
    uint64_t versions; /* commits after the first model */
    uint64_t accepted; /* receipts ACCEPTED that reached the world, distinct updates */
    uint64_t counted;
    uint64_t counted_twice;   /* must be 0 */
    uint64_t conflicting;     /* two contents under one (epoch, number): must be 0 */
    uint64_t unsettled;       /* acknowledged to a node, neither counted nor dropped: must be 0 */
    uint64_t wrongly_settled; /* a node was told COUNTED for what no commit holds, or DROPPED for
                                 what one does: must be 0 */
    uint64_t equivocations;   /* evidence kept */
    uint64_t counted_late;    /* of the counted, those of an earlier round */
    uint64_t stood_in;        /* members for which the server's momentum was counted, in all */
    uint64_t pauses;          /* times that the job stood still */
    uint64_t violations;      /* of what the machines promise, see first_violation: must be 0 */
    char first_violation[160];
    uint64_t models_digest; /* FNV-1a over the models, round after round */
    uint64_t final_model;   /* the first 8 bytes of the last model's digest */
    uint64_t faults_left;   /* kills that found no place */
    uint64_t
        sent_before_durable; /* effects that told of a version that was not durable: must be 0 */
    uint64_t members_each_round_min; /* smallest accepted set of a commit */
    uint64_t trace_digest;           /* FNV-1a over all trace records */
    uint64_t virtual_ns;
};

/* Runs one federation to its end or to a bound of virtual time. Aborts where memory is short. */
void sim_run(const struct sim_settings *settings, struct sim_result *ret_result);

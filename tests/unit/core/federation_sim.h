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
    bool liars;  /* the first node sends a second, different update for each round */
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
    uint64_t
        sent_before_durable; /* effects that told of a version that was not durable: must be 0 */
    uint64_t members_each_round_min; /* smallest accepted set of a commit */
    uint64_t trace_digest;           /* FNV-1a over all trace records */
    uint64_t virtual_ns;
};

/* Runs one federation to its end or to a bound of virtual time. Aborts where memory is short. */
void sim_run(const struct sim_settings *settings, struct sim_result *ret_result);

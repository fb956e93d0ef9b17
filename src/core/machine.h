/*
 * machine.h - the words that machines and their shell speak: ids, events' parts, effects, traces.
 *
 * Contract (all machines): one entry point, `step`; an event carries now, time is applied first;
 * an effect with an id gets exactly one completion event; nothing that depends on a PERSIST or
 * COMMIT goes out before its completion came. Not here: the machines (coordinator.h, node.h).
 */
#pragma once

#include "base/digest.h"
#include "base/reason.h"

#include <stdbool.h>
#include <stdint.h>

enum {
    MEMBER_NAME_MAX = 256, /* bytes of a SPIFFE id with its zero */
    EFFECTS_MAX = 16,      /* of one step */
    TRACES_MAX = 16,       /* of one step; more are counted, not kept */
    STALENESS_MAX = 64,    /* rounds an update may be late, at most */
};

#define NO_DEADLINE UINT64_MAX
#define NO_MEMBER   UINT32_MAX

/* What a member says it has seen at or above this is a lie: no number of starts leads there. */
#define EPOCH_BELIEVED_MAX (UINT64_C(1) << 62)

/* Bytes that the shell holds; the core knows them by reference only. */
struct blob_ref {
    uint64_t id;
    uint64_t bytes;
    struct digest digest;
};

/* A committed version. id is the digest of its record, number a label within the epoch. */
struct version_ref {
    uint64_t number;
    struct digest id;
    struct digest model_digest;
    struct digest blob_digest;
    uint64_t blob_bytes;
};

/* What the nodes of a round start from. */
struct base_ref {
    uint64_t round;
    struct digest id; /* of the version before it */
};

/* Names one update of one node; epoch and attempt as signed. */
struct update_key {
    uint64_t epoch;
    uint64_t round;
    uint32_t attempt;
    struct digest payload_digest;
};

enum outcome {
    OUTCOME_NONE,
    OUTCOME_CONVERGED,
    OUTCOME_DIVERGED,
    OUTCOME_EXHAUSTED,
    OUTCOME_CANCELLED,
};

/* What a step decided, for golden traces, logs and replays. Text is made outside (trace_text.h). */
#define TRACE_LIST(X)                                                                              \
    X(EPOCH_RAISED, "the coordinator serves with epoch {a}")                                       \
    X(JOINED, "{m} joins")                                                                         \
    X(LEFT, "{m} is gone")                                                                         \
    X(DENIED, "a node is turned away: the roster is full")                                         \
    X(MODEL_CREATED, "version {a} is the first model")                                             \
    X(ROUND_OPENED, "round {a} opens, {b} nodes are asked")                                        \
    X(ROUND_REPEATED, "round {a} is repeated, attempt {b}")                                        \
    X(BUSY, "{m} still works for round {a} and is not asked for round {b}")                        \
    X(ACCEPTED_LATE, "{m}'s update for round {a} is accepted late, for round {b}")                 \
    X(STANDS_IN, "the server's momentum stands in for {b} nodes that are late in round {a}")       \
    X(QUARANTINED, "{m} is quarantined from round {a} to the one before {b}")                      \
    X(QUARANTINE_SUGGESTED, "{m} should be quarantined from round {a} to the one before {b}")      \
    X(PAUSED, "the job is paused before round {a}")                                                \
    X(RESUMED, "the job goes on with round {a}")                                                   \
    X(RESTORING, "round {a} is undone: the version of round {b} is restored")                      \
    X(ACCEPTED, "{m}'s update for round {a} is accepted")                                          \
    X(DUPLICATE, "{m}'s update for round {a} came again and is acknowledged again")                \
    X(REFUSED, "{m}'s update for round {a} is refused: {r}")                                       \
    X(ROUND_CLOSED, "round {a} closes with {b} updates")                                           \
    X(VALIDATED, "the model of round {a} is validated")                                            \
    X(COMMITTED, "version {a} is durable, {b} updates are counted in it")                          \
    X(SETTLED, "{m} asks for round {a}: {r}")                                                      \
    X(ENDED, "the job has ended, outcome {a}")                                                     \
    X(FAILED, "a local fault stops the machine")                                                   \
    X(FENCED, "a beacon of epoch {a} is ignored: epoch {b} was seen")                              \
    X(TRAINING, "trains for round {a}, attempt {b}")                                               \
    X(HELD, "the update for round {a} is signed and durable")                                      \
    X(OFFERED, "offers the update for round {a}")                                                  \
    X(ACKNOWLEDGED, "the update for round {a} is acknowledged")                                    \
    X(TURNED_AWAY, "the update for round {a} is refused: {r}")                                     \
    X(COUNTED, "the update for round {a} is counted")                                              \
    X(DROPPED, "the update for round {a} is dropped: {r}")                                         \
    X(CONNECTION_LOST, "the connection is lost")                                                   \
    X(FINISHED, "is told that the job has ended, outcome {a}")

enum trace_kind {
#define X(name, text) TRACE_##name,
    TRACE_LIST(X)
#undef X
};

struct trace_record {
    uint64_t now_ns;
    uint64_t a;
    uint64_t b;
    uint32_t member; /* NO_MEMBER where none is meant */
    enum trace_kind kind;
    enum reason reason;
};

struct traces {
    uint32_t count;
    uint32_t lost; /* records that found no room */
    struct trace_record items[TRACES_MAX];
};

/*
 * coordinator_driver.h - one coordinator's machine driven by hand: send an event, look at the
 * effects.
 *
 * Asynchronous effects are completed by hand, so that a test can stand between any two events. Not
 * here: nodes, a network, crashes at random (federation_sim.h).
 */
#pragma once

#include "core/coordinator.h"

enum { CAPACITY = 128 };

#define SECOND UINT64_C(1000000000)

extern struct coordinator c;
extern struct member members[CAPACITY];
extern struct coordinator_effects fx; /* of the last step */
extern uint64_t now;

/* All must report, 10 s a round, 2 nodes to start, 3 rounds, no validation. */
struct coordinator_settings defaults(void);

/* Steps the machine; the event's time is `now`. */
void step(struct coordinator_event event);

/* Lets that much time pass and the timer fire. */
void tick(uint64_t duration_ns);

/* The first effect of that kind in fx; null. */
const struct coordinator_effect *effect(enum coordinator_effect_kind kind);

/* As effect; fails the test where there is none. */
const struct coordinator_effect *must(enum coordinator_effect_kind kind);

/* Completes the one effect of that kind in fx with this event. */
void complete(enum coordinator_effect_kind kind, struct coordinator_event event);

/* 32 bytes of that value. */
struct digest digest(uint8_t fill);

/* A version whose digests follow from its number. */
struct version_ref version(uint64_t number);

void join(const char *name, uint64_t session);
void join_having_seen(const char *name, uint64_t session, uint64_t epoch);
/* The node names a kept update of that round, with payload 9. */
void join_holding(const char *name, uint64_t session, uint64_t round);
void leave(uint64_t session);

/* The member of that name, which is known. */
struct member *member_of(const char *name);

/* A good update for the open round as it is now; its payload's digest is digest(payload). */
struct update_info update(const char *name, uint8_t payload);

/* Sends it with ticket 5. */
void offer(const struct update_info *info);

/* Offers a good update, sees it accepted, completes its fold. */
void offer_and_fold(const char *name, uint8_t payload);

/* Offers it and sees it refused for that reason, with no trace in the accepted set. */
void refused_for(const struct update_info *info, enum reason reason);

/* A new machine with a first model, waiting for nodes. */
void boot_with(struct coordinator_settings settings);

/* As boot_with, then nodes a (session 1) and b (session 2) join and round 1 is open. */
void boot(struct coordinator_settings settings);

/* A new machine that was told START with what a store holds; its epoch is being made durable. */
void begin_from(struct coordinator_settings settings, struct coordinator_event start);

/* Completes the FX_PERSIST_EPOCH in fx. */
void complete_epoch(uint64_t epoch);

/* begin_from, and the epoch after the store's is durable. */
void restart(struct coordinator_settings settings, struct coordinator_event start);

/* From FX_CLOSE in fx to the commit of that version. */
void close_and_commit(uint64_t number);

/* The loss and accuracy of a validation that went well. */
struct coordinator_event validated(void);

/* The name of the i-th of many nodes: n000, n001. Static. */
const char *name_of(uint32_t i);

/* Nodes n000 to below count join, with sessions 1 and on. */
void join_many(uint32_t count);

/* How many members are asked in the open round. */
uint32_t count_selected(void);

/* Everybody asked in the open round reports; the round closes and its version is committed. */
void run_round(void);

/* Keeps what the FX_COMMIT in fx makes durable as that version; close_and_commit does it. */
void store_commit(uint64_t number);

/* What the store would tell a restart now: as of the last store_commit. */
struct coordinator_event stored(void);

/* Answers the FX_RECALL in fx: the update is in that version, or (0) in none. */
void answer_recall(uint64_t counted_in);

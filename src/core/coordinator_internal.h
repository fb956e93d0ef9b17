/*
 * coordinator_internal.h - what the coordinator's files share. Not for other layers.
 */
#pragma once

#include "core/coordinator.h"

/* Appends an effect with all fields 0 but member (none). Aborts when EFFECTS_MAX is passed. */
struct coordinator_effect *effect_add(struct coordinator_effects *effects,
                                      enum coordinator_effect_kind kind);

/* As effect_add, for one that gets a completion event: with a new id. */
struct coordinator_effect *effect_add_pending(struct coordinator *c,
                                              struct coordinator_effects *effects,
                                              enum coordinator_effect_kind kind);

void trace_add(const struct coordinator *c, struct coordinator_effects *effects,
               enum trace_kind kind, uint32_t member, uint64_t a, uint64_t b, enum reason reason);

/* Whether as many updates are accepted as close the open round. */
static inline bool round_is_full(const struct coordinator *c)
{
    return c->accepted >= c->k;
}

/* Raises the epoch above one that a member saw, as soon as the phase allows. */
void epoch_raise_if_wanted(struct coordinator *c, struct coordinator_effects *effects);

/* Stops for a local fault; the store tells the next start where to go on. */
void machine_fail(struct coordinator *c, struct coordinator_effects *effects, enum status status);

/* What follows the first epoch: the first model, the open round again, or the end once more. */
void after_start(struct coordinator *c, struct coordinator_effects *effects);

/*
 * The beacon to all who are asked and connected; none while an epoch is being made durable, and
 * none for a round that is full.
 */
void round_announce(struct coordinator *c, struct coordinator_effects *effects);

/* Fixes the accepted set once k updates are there and folded. */
void round_close_if_complete(struct coordinator *c, struct coordinator_effects *effects);

/* Opens the next round where enough members are there. */
void gather(struct coordinator *c, struct coordinator_effects *effects);

void on_deadline(struct coordinator *c, struct coordinator_effects *effects);
void on_join(struct coordinator *c, const struct coordinator_event *event,
             struct coordinator_effects *effects);
void on_leave(struct coordinator *c, const struct coordinator_event *event,
              struct coordinator_effects *effects);
void on_update(struct coordinator *c, const struct coordinator_event *event,
               struct coordinator_effects *effects);
void on_folded(struct coordinator *c, const struct coordinator_event *event,
               struct coordinator_effects *effects);
void on_closed(struct coordinator *c, const struct coordinator_event *event,
               struct coordinator_effects *effects);
void on_validated(struct coordinator *c, const struct coordinator_event *event,
                  struct coordinator_effects *effects);
void on_committed(struct coordinator *c, const struct coordinator_event *event,
                  struct coordinator_effects *effects);
void on_outcome_persisted(struct coordinator *c, const struct coordinator_event *event,
                          struct coordinator_effects *effects);
void on_recalled(struct coordinator *c, const struct coordinator_event *event,
                 struct coordinator_effects *effects);
void on_cancel(struct coordinator *c, struct coordinator_effects *effects);

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

/* Whether nothing is counted any more: the outcome is durable, or on its way. */
static inline bool job_is_over(const struct coordinator *c)
{
    return c->phase == COORDINATOR_ENDING || c->phase == COORDINATOR_ENDED;
}

/* What of the samples that somebody claims counts. */
static inline uint32_t bound_samples(const struct coordinator *c, uint64_t samples)
{
    return (uint32_t)(samples < c->settings.samples_max ? samples : c->settings.samples_max);
}

/* Whether as many updates are accepted as close the open round; late ones are not counted. */
static inline bool round_is_full(const struct coordinator *c)
{
    return c->time_is_up || c->accepted - c->accepted_late >= c->k;
}

/* ---- coordinator_select.c ---- */

/* Forgets what was asked and accepted, before a round. */
void selection_clear(struct coordinator *c);

/* Chooses whom the open round asks; those accepted already stay. Sets needed, selected and k. */
void selection_draw(struct coordinator *c, struct coordinator_effects *effects);

/* Takes a member that works for an older round out of the N of the open one. */
void selection_remove(struct coordinator *c, struct member *member);

/* ---- coordinator_late.c ---- */

/* Remembers what the open round starts from. */
void bases_put(struct coordinator *c, uint64_t round, const struct digest *id);

/* What an update for an earlier round would be answered; UNSPECIFIED: it is taken. */
enum reason late_screen(const struct coordinator *c, const struct update_info *info,
                        const struct member *member);

/* Whether a member's update for that earlier round may still be counted in a round to come. */
bool late_can_count(const struct coordinator *c, const struct member *member,
                    const struct update_key *key);

/* Folds what waited for the round that has just opened. */
void late_take_waiting(struct coordinator *c, struct coordinator_effects *effects);

/* Marks for whom the server's momentum is counted in the round that closes. */
void late_let_momentum_stand_in(struct coordinator *c, struct coordinator_effects *effects);

/* ---- coordinator_quarantine.c ---- */

/* Takes what the round that closed shows of its members. */
void quarantine_note(struct coordinator *c, const struct coordinator_event *event);

/* Before a round's commit: records what it showed, and who is shut out of the next ones. */
void quarantine_decide(struct coordinator *c, struct coordinator_effects *effects);

/* The commit is durable. True: the member's waiting update is dropped, and is its `held`. */
bool quarantine_settle(struct coordinator *c, struct member *member,
                       struct coordinator_effects *effects);

/* ---- the rest ---- */

/* Takes an update into the open round's set. staleness: rounds that it is late. */
void update_accept(struct coordinator *c, uint32_t index, uint64_t staleness);

/* Cancels what can be cancelled now; ends the job with that outcome. */
void persist_outcome(struct coordinator *c, struct coordinator_effects *effects,
                     enum outcome outcome);

/* An outcome that waited for an epoch to be durable goes on. */
void persist_outcome_if_ending(struct coordinator *c, struct coordinator_effects *effects);

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

/* The next round, or the pause before it. */
void open_round(struct coordinator *c, struct coordinator_effects *effects);

/* Opens the next round where enough members are there. */
void gather(struct coordinator *c, struct coordinator_effects *effects);

void on_deadline(struct coordinator *c, struct coordinator_effects *effects);
void on_join(struct coordinator *c, const struct coordinator_event *event,
             struct coordinator_effects *effects);
void on_leave(struct coordinator *c, const struct coordinator_event *event,
              struct coordinator_effects *effects);
void on_update(struct coordinator *c, const struct coordinator_event *event,
               struct coordinator_effects *effects);
void on_refused(struct coordinator *c, const struct coordinator_event *event);
void on_folded(struct coordinator *c, const struct coordinator_event *event,
               struct coordinator_effects *effects);
void on_closed(struct coordinator *c, const struct coordinator_event *event,
               struct coordinator_effects *effects);
void on_validated(struct coordinator *c, const struct coordinator_event *event,
                  struct coordinator_effects *effects);
void on_committed(struct coordinator *c, const struct coordinator_event *event,
                  struct coordinator_effects *effects);
void on_restored(struct coordinator *c, const struct coordinator_event *event,
                 struct coordinator_effects *effects);
void on_pause_persisted(struct coordinator *c, const struct coordinator_event *event,
                        struct coordinator_effects *effects);
/* EV_PAUSE and EV_RESUME. */
void on_pause(struct coordinator *c, bool paused, struct coordinator_effects *effects);
void on_outcome_persisted(struct coordinator *c, const struct coordinator_event *event,
                          struct coordinator_effects *effects);
void on_recalled(struct coordinator *c, const struct coordinator_event *event,
                 struct coordinator_effects *effects);
void on_cancel(struct coordinator *c, struct coordinator_effects *effects);

/*
 * coordinator_round.c - how a job's phases follow one another: gather, collect, close, validate,
 * commit, and the end.
 *
 * Not here: joins and updates (coordinator_update.c).
 */
#include "core/coordinator_internal.h"

#include "base/check.h"

#include <float.h>

void machine_fail(struct coordinator *c, struct coordinator_effects *effects, enum status status)
{
    c->phase = COORDINATOR_FAILED;
    c->deadline_ns = NO_DEADLINE;
    trace_add(c, effects, TRACE_FAILED, NO_MEMBER, 0, 0, REASON_UNSPECIFIED);
    effect_add(effects, FX_EXIT)->status = status;
}

static uint64_t after(const struct coordinator *c, uint64_t duration_ns)
{
    return duration_ns > NO_DEADLINE - 1 - c->now_ns ? NO_DEADLINE - 1 : c->now_ns + duration_ns;
}

void open_round(struct coordinator *c, struct coordinator_effects *effects)
{
    selection_clear(c);
    if (c->paused || c->pause_wanted) {
        c->phase = COORDINATOR_PAUSED;
        c->deadline_ns = NO_DEADLINE;
        trace_add(c, effects, TRACE_PAUSED, NO_MEMBER, c->round, 0, REASON_UNSPECIFIED);
        return;
    }
    selection_draw(c, effects);
    bases_put(c, c->round, &c->version.id);
    c->phase = COORDINATOR_COLLECTING;
    c->deadline_ns = after(c, c->settings.timeout_ns);
    trace_add(c, effects, TRACE_ROUND_OPENED, NO_MEMBER, c->round, c->selected, REASON_UNSPECIFIED);
    round_announce(c, effects);
    late_take_waiting(c, effects);
}

void round_announce(struct coordinator *c, struct coordinator_effects *effects)
{
    epoch_raise_if_wanted(c, effects);
    if (c->epoch_id != 0)
        return; /* announced when the new epoch is durable */
    if (round_is_full(c))
        return; /* nobody is wanted any more; it closes in a moment */
    struct coordinator_effect *const effect = effect_add(effects, FX_ANNOUNCE);
    effect->epoch = c->epoch;
    effect->round = c->round;
    effect->attempt = c->attempt;
    effect->deadline_ns = c->deadline_ns;
    effect->version = c->version;
    for (uint32_t i = 0; i < c->roster.count; i++) {
        struct member *const member = &c->roster.members[c->roster.order[i]];
        member->told |= member_hears_beacon(member);
    }
}

/* Connected, and not in quarantine. */
static uint32_t count_there(const struct coordinator *c)
{
    uint32_t there = 0;
    for (uint32_t i = 0; i < c->roster.count; i++) {
        const struct member *const member = &c->roster.members[c->roster.order[i]];
        there += member->session != 0 && !coordinator_shuts_out(c, member, c->round);
    }
    return there;
}

void gather(struct coordinator *c, struct coordinator_effects *effects)
{
    const uint32_t there = count_there(c);
    const bool late = c->now_ns >= c->deadline_ns;
    /* start_nodes is for the first round; a later one goes on with whoever is there. */
    uint32_t least = late || c->round > 1 ? 1 : c->settings.start_nodes;
    if (least < c->settings.min_updates)
        least = c->settings.min_updates;
    if (least == 0)
        least = 1;
    if (there >= least)
        open_round(c, effects);
    else if (late)
        c->deadline_ns = after(c, c->settings.start_timeout_ns);
}

/* Whether the store knows members that were asked before: a round goes on with them. */
static bool knows_contributors(const struct coordinator *c)
{
    for (uint32_t i = 0; i < c->roster.count; i++) {
        const struct member *const member = &c->roster.members[c->roster.order[i]];
        if (member->contributed && !coordinator_shuts_out(c, member, c->round))
            return true;
    }
    return false;
}

static void end_job(struct coordinator *c, struct coordinator_effects *effects)
{
    c->phase = COORDINATOR_ENDED;
    c->deadline_ns = after(c, c->settings.linger_ns);
    trace_add(c, effects, TRACE_ENDED, NO_MEMBER, c->outcome, 0, REASON_UNSPECIFIED);
    struct coordinator_effect *const effect = effect_add(effects, FX_FINISH);
    effect->outcome = c->outcome;
    effect->version = c->version;
    effect_add(effects, FX_RELEASE_WAITING); /* their senders are told by the end itself */
}

void persist_outcome_if_ending(struct coordinator *c, struct coordinator_effects *effects)
{
    if (c->phase != COORDINATOR_ENDING || c->epoch_id != 0)
        return; /* the store takes nothing of the epoch that was */
    struct coordinator_effect *const effect = effect_add_pending(c, effects, FX_PERSIST_OUTCOME);
    effect->outcome = c->outcome;
    c->pending_id = effect->id;
}

void persist_outcome(struct coordinator *c, struct coordinator_effects *effects,
                     enum outcome outcome)
{
    c->phase = COORDINATOR_ENDING;
    c->deadline_ns = NO_DEADLINE;
    c->outcome = outcome;
    persist_outcome_if_ending(c, effects);
}

void after_start(struct coordinator *c, struct coordinator_effects *effects)
{
    if (c->outcome != OUTCOME_NONE) {
        end_job(c, effects);
        return;
    }
    if (c->cancelled) {
        persist_outcome(c, effects, OUTCOME_CANCELLED);
        return;
    }
    if (!c->has_version) {
        c->phase = COORDINATOR_CREATING;
        c->pending_id = effect_add_pending(c, effects, FX_CREATE_MODEL)->id;
        return;
    }
    c->phase = COORDINATOR_GATHERING;
    c->deadline_ns = after(c, c->settings.start_timeout_ns);
    /* The first round waits for start_nodes, whoever had come before. */
    if (c->round > 1 && knows_contributors(c))
        open_round(c, effects);
    else
        gather(c, effects);
}

void round_close_if_complete(struct coordinator *c, struct coordinator_effects *effects)
{
    if (c->phase != COORDINATOR_COLLECTING || !round_is_full(c) || c->folding > 0 ||
        c->epoch_id != 0)
        return;
    c->phase = COORDINATOR_CLOSING;
    c->deadline_ns = NO_DEADLINE;
    trace_add(c, effects, TRACE_ROUND_CLOSED, NO_MEMBER, c->round, c->accepted, REASON_UNSPECIFIED);
    late_let_momentum_stand_in(c, effects);
    c->measured = false;
    c->measured_accuracy = false;
    c->rate =
        schedule_rate(&c->settings.schedule, c->round - 1, (double)c->accepted_late / c->accepted);
    struct coordinator_effect *const effect = effect_add_pending(c, effects, FX_CLOSE);
    effect->round = c->round;
    effect->attempt = c->attempt;
    effect->rate = c->rate;
    c->pending_id = effect->id;
}

static bool is_repeated_too_often(const struct coordinator *c)
{
    return c->settings.repeats_max > 0 && c->attempt > c->settings.repeats_max;
}

bool coordinator_gave_up(const struct coordinator *coordinator)
{
    return coordinator->outcome == OUTCOME_CANCELLED && is_repeated_too_often(coordinator);
}

/* The round's time is over: close with what is there, or ask again and keep it. */
static void on_round_timeout(struct coordinator *c, struct coordinator_effects *effects)
{
    const uint32_t least = c->settings.min_updates > 0 ? c->settings.min_updates : 1;
    if (c->accepted >= least) {
        c->time_is_up = true; /* closes now, or when the last fold or the epoch is through */
        c->deadline_ns = NO_DEADLINE;
        round_close_if_complete(c, effects);
        return;
    }
    c->attempt++;
    if (is_repeated_too_often(c)) {
        persist_outcome(c, effects, OUTCOME_CANCELLED);
        return;
    }
    selection_draw(c, effects);
    c->deadline_ns = after(c, c->settings.timeout_ns);
    trace_add(c, effects, TRACE_ROUND_REPEATED, NO_MEMBER, c->round, c->attempt,
              REASON_UNSPECIFIED);
    round_announce(c, effects);
}

void on_deadline(struct coordinator *c, struct coordinator_effects *effects)
{
    switch (c->phase) {
    case COORDINATOR_GATHERING:
        gather(c, effects);
        break;
    case COORDINATOR_COLLECTING:
        on_round_timeout(c, effects);
        break;
    case COORDINATOR_ENDED:
        c->deadline_ns = NO_DEADLINE;
        effect_add(effects, FX_EXIT)->outcome = c->outcome;
        break;
    case COORDINATOR_BOOT:
    case COORDINATOR_RAISING:
    case COORDINATOR_CREATING:
    case COORDINATOR_PAUSED:
    case COORDINATOR_CLOSING:
    case COORDINATOR_VALIDATING:
    case COORDINATOR_RESTORING:
    case COORDINATOR_COMMITTING:
    case COORDINATOR_ENDING:
    case COORDINATOR_FAILED:
        CHECK(!"this phase has a deadline");
    }
}

void on_folded(struct coordinator *c, const struct coordinator_event *event,
               struct coordinator_effects *effects)
{
    CHECK(c->folding > 0);
    c->folding--;
    if (event->status != STATUS_OK)
        machine_fail(c, effects, event->status);
    else if (c->cancelled && c->folding == 0 && c->phase == COORDINATOR_COLLECTING)
        persist_outcome(c, effects, OUTCOME_CANCELLED);
    else
        round_close_if_complete(c, effects);
}

static enum commit_best best_of(const struct coordinator *c, bool undone)
{
    if (undone) /* the best one once more */
        return BEST_THIS;
    if (!c->convergence.best_is_last)
        return BEST_AS_BEFORE;
    return c->settings.validates_received ? BEST_PARENT : BEST_THIS;
}

static void commit(struct coordinator *c, struct coordinator_effects *effects, enum outcome outcome,
                   bool undone)
{
    c->phase = COORDINATOR_COMMITTING;
    quarantine_decide(c, effects);
    struct coordinator_effect *const effect = effect_add_pending(c, effects, FX_COMMIT);
    effect->round = c->round;
    effect->attempt = c->attempt;
    effect->rate = c->rate;
    effect->undone = undone;
    effect->best = best_of(c, undone);
    effect->outcome = outcome;
    c->outcome = outcome;
    c->undone = undone;
    c->pending_id = effect->id;
}

/* The job ends with the best version: the last one, or one that is read again. */
static void diverge(struct coordinator *c, struct coordinator_effects *effects)
{
    const uint64_t best = c->convergence.best_round;
    const bool any = c->convergence.best_loss < (double)INFINITY;
    if (!any || best + 1 >= c->round) {
        persist_outcome(c, effects, OUTCOME_DIVERGED);
        return;
    }
    c->phase = COORDINATOR_RESTORING;
    trace_add(c, effects, TRACE_RESTORING, NO_MEMBER, c->round, best, REASON_UNSPECIFIED);
    struct coordinator_effect *const effect = effect_add_pending(c, effects, FX_RESTORE);
    effect->round = best;
    c->pending_id = effect->id;
}

/* The figures of the round are there: records them, judges, and goes on accordingly. */
static void judge(struct coordinator *c, struct coordinator_effects *effects)
{
    const struct convergence_figures figures = {
        .round = c->settings.validates_received ? c->round - 1 : c->round,
        .aggregate_norm = c->aggregate_norm,
        .has_norm = true,
        .loss = c->validation_loss,
        .has_loss = c->measured,
        .accuracy = c->validation_accuracy,
        .has_accuracy = c->measured_accuracy,
    };
    const enum convergence_verdict verdict = convergence_record(&c->convergence, &figures);
    if (verdict == CONVERGENCE_DIVERGED)
        diverge(c, effects);
    else if (c->cancelled)
        commit(c, effects, OUTCOME_CANCELLED, false);
    else if (verdict == CONVERGENCE_CONVERGED)
        commit(c, effects, OUTCOME_CONVERGED, false);
    else if (c->round >= c->settings.rounds_max)
        commit(c, effects, OUTCOME_EXHAUSTED, false);
    else
        commit(c, effects, OUTCOME_NONE, false);
}

void on_closed(struct coordinator *c, const struct coordinator_event *event,
               struct coordinator_effects *effects)
{
    CHECK(c->phase == COORDINATOR_CLOSING && event->id == c->pending_id);
    c->aggregate_norm = event->aggregate_norm;
    quarantine_note(c, event);
    if (event->status == STATUS_PEER) { /* the new model is not finite */
        c->measured = true;
        c->validation_loss = (double)INFINITY;
        judge(c, effects);
        return;
    }
    if (event->status != STATUS_OK) {
        machine_fail(c, effects, event->status);
        return;
    }
    c->candidate = event->version;
    if (!c->settings.validate) {
        judge(c, effects);
        return;
    }
    c->phase = COORDINATOR_VALIDATING;
    c->pending_id = effect_add_pending(c, effects, FX_VALIDATE)->id;
}

void on_validated(struct coordinator *c, const struct coordinator_event *event,
                  struct coordinator_effects *effects)
{
    CHECK(c->phase == COORDINATOR_VALIDATING && event->id == c->pending_id);
    if (event->status != STATUS_OK) {
        machine_fail(c, effects, event->status);
        return;
    }
    c->measured = event->validated.has_loss;
    c->measured_accuracy = event->validated.has_accuracy;
    c->validation_loss = event->validated.loss;
    c->validation_accuracy = event->validated.accuracy;
    trace_add(c, effects, TRACE_VALIDATED, NO_MEMBER, c->round, 0, REASON_UNSPECIFIED);
    judge(c, effects);
}

void on_restored(struct coordinator *c, const struct coordinator_event *event,
                 struct coordinator_effects *effects)
{
    CHECK(c->phase == COORDINATOR_RESTORING && event->id == c->pending_id);
    if (event->status == STATUS_NOT_FOUND) { /* retention took it: the last version stays */
        persist_outcome(c, effects, OUTCOME_DIVERGED);
        return;
    }
    if (event->status != STATUS_OK) {
        machine_fail(c, effects, event->status);
        return;
    }
    c->candidate = event->version;
    commit(c, effects, OUTCOME_DIVERGED, true);
}

/* Whether its update, which waited, is dropped. */
static bool settle_member(struct coordinator *c, struct member *member,
                          struct coordinator_effects *effects)
{
    const bool is_shut_out = quarantine_settle(c, member, effects);
    const bool cannot_be_asked = coordinator_shuts_out(c, member, c->round + 1);
    const bool counted = member->accepted && !c->undone;
    const bool can_still_count =
        member->waiting || (c->settings.late == LATE_NEXT_ROUND &&
                            member->asked_round >= member->held.round && !cannot_be_asked);
    member->contributed = counted;
    member->expected &= member->asked_round != c->round;
    if (counted && member->key.round > member->counted_round)
        member->counted_round = member->key.round;
    member->settlement = SETTLE_NOTHING;
    if (is_shut_out) {
        member->settlement = SETTLE_DROPPED;
        member->settlement_reason = REASON_QUARANTINED;
    } else if (counted) {
        member->settlement = SETTLE_COUNTED;
    } else if (member->accepted) {
        member->settlement = SETTLE_DROPPED;
        member->settlement_reason = REASON_SUPERSEDED;
        member->held = member->key;
    } else if (member->held_pending && !can_still_count) {
        member->settlement = SETTLE_DROPPED;
        member->settlement_reason = cannot_be_asked ? REASON_QUARANTINED : REASON_ROUND_CLOSED;
    }
    return is_shut_out;
}

void on_committed(struct coordinator *c, const struct coordinator_event *event,
                  struct coordinator_effects *effects)
{
    CHECK(event->id == c->pending_id);
    if (event->status != STATUS_OK) {
        machine_fail(c, effects, event->status);
        return;
    }
    c->version = event->version;
    c->has_version = true;
    if (c->phase == COORDINATOR_CREATING) {
        trace_add(c, effects, TRACE_MODEL_CREATED, NO_MEMBER, c->version.number, 0,
                  REASON_UNSPECIFIED);
        c->round = 1;
        c->phase = COORDINATOR_GATHERING;
        c->deadline_ns = after(c, c->settings.start_timeout_ns);
        gather(c, effects);
        return;
    }
    CHECK(c->phase == COORDINATOR_COMMITTING);
    trace_add(c, effects, TRACE_COMMITTED, NO_MEMBER, c->version.number,
              c->undone ? 0 : c->accepted, REASON_UNSPECIFIED);
    struct coordinator_effect *const settle = effect_add(effects, FX_SETTLE);
    settle->round = c->round;
    settle->version = c->version;
    bool any_shut_out = false;
    for (uint32_t i = 0; i < c->roster.count; i++)
        any_shut_out |= settle_member(c, &c->roster.members[c->roster.order[i]], effects);
    if (any_shut_out)
        effect_add(effects, FX_RELEASE_SHUT_OUT);
    if (c->outcome != OUTCOME_NONE) {
        end_job(c, effects);
        return;
    }
    c->round++;
    if (c->cancelled) { /* while the version was on its way to the disk */
        selection_clear(c);
        persist_outcome(c, effects, OUTCOME_CANCELLED);
        return;
    }
    open_round(c, effects);
}

void on_outcome_persisted(struct coordinator *c, const struct coordinator_event *event,
                          struct coordinator_effects *effects)
{
    CHECK(c->phase == COORDINATOR_ENDING && event->id == c->pending_id);
    if (event->status != STATUS_OK)
        machine_fail(c, effects, event->status);
    else
        end_job(c, effects);
}

/* One request at a time; the last one counts. */
static void persist_paused(struct coordinator *c, struct coordinator_effects *effects)
{
    if (c->paused_id != 0 || c->paused == c->pause_wanted)
        return;
    struct coordinator_effect *const effect = effect_add_pending(c, effects, FX_PERSIST_PAUSED);
    effect->paused = c->pause_wanted;
    c->paused_id = effect->id;
}

void on_pause(struct coordinator *c, bool paused, struct coordinator_effects *effects)
{
    const bool has_ended = c->phase == COORDINATOR_RAISING && c->outcome != OUTCOME_NONE;
    if (c->phase == COORDINATOR_BOOT || has_ended || job_is_over(c))
        return; /* there is nothing to pause */
    c->pause_wanted = paused;
    persist_paused(c, effects);
}

void on_pause_persisted(struct coordinator *c, const struct coordinator_event *event,
                        struct coordinator_effects *effects)
{
    CHECK(c->paused_id != 0 && event->id == c->paused_id);
    c->paused_id = 0;
    if (event->status != STATUS_OK) {
        machine_fail(c, effects, event->status);
        return;
    }
    c->paused = event->paused;
    persist_paused(c, effects);
    if (c->phase != COORDINATOR_PAUSED || c->paused || c->pause_wanted)
        return;
    trace_add(c, effects, TRACE_RESUMED, NO_MEMBER, c->round, 0, REASON_UNSPECIFIED);
    c->phase = COORDINATOR_GATHERING;
    c->deadline_ns = after(c, c->settings.start_timeout_ns);
    gather(c, effects);
}

void on_cancel(struct coordinator *c, struct coordinator_effects *effects)
{
    c->cancelled = true;
    switch (c->phase) {
    case COORDINATOR_COLLECTING:
        if (c->folding > 0)
            return; /* ends when they are through */
        persist_outcome(c, effects, OUTCOME_CANCELLED);
        return;
    case COORDINATOR_GATHERING:
    case COORDINATOR_PAUSED:
        persist_outcome(c, effects, OUTCOME_CANCELLED);
        return;
    case COORDINATOR_CLOSING:
    case COORDINATOR_VALIDATING:
    case COORDINATOR_RESTORING:
    case COORDINATOR_COMMITTING:
    case COORDINATOR_ENDING:
        return; /* the version that is on its way is the last */
    case COORDINATOR_RAISING:
        if (c->has_version && c->outcome == OUTCOME_NONE)
            return; /* a job is there to be ended: as soon as the epoch is durable */
        break;
    case COORDINATOR_BOOT:
    case COORDINATOR_CREATING:
    case COORDINATOR_ENDED:
    case COORDINATOR_FAILED:
        break;
    }
    /* No job yet, or one that has ended already, as it has. */
    effect_add(effects, FX_EXIT)->outcome =
        c->outcome != OUTCOME_NONE ? c->outcome : OUTCOME_CANCELLED;
}

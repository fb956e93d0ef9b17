/*
 * coordinator_round.c - how a job's phases follow one another: gather, collect, close, validate,
 * commit, and the end.
 *
 * Not here: joins and updates (coordinator_update.c).
 */
#include "core/coordinator_internal.h"

#include "base/check.h"

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

/* The least whole number of n that is the share k of it, at least 1. */
static uint32_t share_of(double k, uint32_t n)
{
    uint32_t least = (uint32_t)(k * n);
    /* 1e-9: a product that is a whole number but for rounding (0.7 * 10) stays that number. */
    if ((double)least < k * n - 1e-9)
        least++;
    return least > 0 ? least : 1;
}

/* Fewer than min_updates never close a round, also where fewer are asked. */
static void set_k(struct coordinator *c)
{
    c->k = share_of(c->settings.k_threshold, c->selected);
    if (c->k < c->settings.min_updates)
        c->k = c->settings.min_updates;
}

static void clear_round(struct coordinator *c)
{
    for (uint32_t i = 0; i < c->roster.count; i++) {
        struct member *const member = &c->roster.members[c->roster.order[i]];
        member->accepted = false;
        member->selected = false;
        member->held_pending = false;
    }
    c->accepted = 0;
    c->late = 0;
    c->attempt = 0;
}

/* Asks who is connected, and who contributed last time: it may be back in a moment. */
static void select_members(struct coordinator *c)
{
    c->selected = 0;
    for (uint32_t i = 0; i < c->roster.count; i++) {
        struct member *const member = &c->roster.members[c->roster.order[i]];
        member->selected = member->session != 0 || member->contributed;
        c->selected += member->selected;
    }
    set_k(c);
}

static void open_round(struct coordinator *c, struct coordinator_effects *effects)
{
    clear_round(c);
    select_members(c);
    c->phase = COORDINATOR_COLLECTING;
    c->deadline_ns = after(c, c->settings.timeout_ns);
    trace_add(c, effects, TRACE_ROUND_OPENED, NO_MEMBER, c->round, c->selected, REASON_UNSPECIFIED);
    round_announce(c, effects);
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
}

void gather(struct coordinator *c, struct coordinator_effects *effects)
{
    const uint32_t there = roster_connected(&c->roster);
    const bool late = c->now_ns >= c->deadline_ns;
    uint32_t least = late ? 1 : c->settings.start_nodes;
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
        if (c->roster.members[c->roster.order[i]].contributed)
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
}

static void persist_outcome(struct coordinator *c, struct coordinator_effects *effects,
                            enum outcome outcome)
{
    c->phase = COORDINATOR_ENDING;
    c->deadline_ns = NO_DEADLINE;
    struct coordinator_effect *const effect = effect_add_pending(c, effects, FX_PERSIST_OUTCOME);
    effect->outcome = outcome;
    c->pending_id = effect->id;
    c->outcome = outcome;
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
    if (knows_contributors(c))
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
    struct coordinator_effect *const effect = effect_add_pending(c, effects, FX_CLOSE);
    effect->round = c->round;
    effect->attempt = c->attempt;
    c->pending_id = effect->id;
}

/* The round's time is over: close with what is there, or ask again and keep it. */
static void on_round_timeout(struct coordinator *c, struct coordinator_effects *effects)
{
    const uint32_t least = c->settings.min_updates > 0 ? c->settings.min_updates : 1;
    if (c->accepted >= least) {
        c->k = least; /* closes now, or when the last fold or the epoch is through */
        c->deadline_ns = NO_DEADLINE;
        round_close_if_complete(c, effects);
        return;
    }
    c->attempt++;
    if (c->settings.repeats_max > 0 && c->attempt > c->settings.repeats_max) {
        persist_outcome(c, effects, OUTCOME_CANCELLED);
        return;
    }
    for (uint32_t i = 0; i < c->roster.count; i++) {
        struct member *const member = &c->roster.members[c->roster.order[i]];
        member->selected = member->session != 0 || member->accepted;
    }
    c->selected = 0;
    for (uint32_t i = 0; i < c->roster.count; i++)
        c->selected += c->roster.members[c->roster.order[i]].selected;
    set_k(c);
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
    case COORDINATOR_CLOSING:
    case COORDINATOR_VALIDATING:
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

static void commit(struct coordinator *c, struct coordinator_effects *effects)
{
    c->phase = COORDINATOR_COMMITTING;
    struct coordinator_effect *const effect = effect_add_pending(c, effects, FX_COMMIT);
    effect->round = c->round;
    effect->attempt = c->attempt;
    if (c->cancelled)
        effect->outcome = OUTCOME_CANCELLED;
    else if (c->round >= c->settings.rounds_max)
        effect->outcome = OUTCOME_EXHAUSTED;
    c->outcome = effect->outcome;
    c->pending_id = effect->id;
}

void on_closed(struct coordinator *c, const struct coordinator_event *event,
               struct coordinator_effects *effects)
{
    CHECK(c->phase == COORDINATOR_CLOSING && event->id == c->pending_id);
    if (event->status == STATUS_PEER) { /* the new model is not finite */
        persist_outcome(c, effects, OUTCOME_DIVERGED);
        return;
    }
    if (event->status != STATUS_OK) {
        machine_fail(c, effects, event->status);
        return;
    }
    c->candidate = event->version;
    if (!c->settings.validate) {
        commit(c, effects);
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
    c->validation_loss = event->validated.loss;
    c->validation_accuracy = event->validated.accuracy;
    trace_add(c, effects, TRACE_VALIDATED, NO_MEMBER, c->round, 0, REASON_UNSPECIFIED);
    /* Not a number, or infinite: x - x is then no zero. */
    if (c->validation_loss - c->validation_loss != 0)
        persist_outcome(c, effects, OUTCOME_DIVERGED);
    else
        commit(c, effects);
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
    trace_add(c, effects, TRACE_COMMITTED, NO_MEMBER, c->version.number, c->accepted,
              REASON_UNSPECIFIED);
    struct coordinator_effect *const settle = effect_add(effects, FX_SETTLE);
    settle->round = c->round;
    settle->version = c->version;
    for (uint32_t i = 0; i < c->roster.count; i++) {
        struct member *const member = &c->roster.members[c->roster.order[i]];
        member->contributed = member->accepted;
        member->settlement = member->accepted       ? SETTLE_COUNTED
                             : member->held_pending ? SETTLE_DROPPED
                                                    : SETTLE_NOTHING;
    }
    if (c->outcome != OUTCOME_NONE) {
        end_job(c, effects);
        return;
    }
    c->round++;
    if (c->cancelled) { /* while the version was on its way to the disk */
        clear_round(c);
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
        persist_outcome(c, effects, OUTCOME_CANCELLED);
        return;
    case COORDINATOR_CLOSING:
    case COORDINATOR_VALIDATING:
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

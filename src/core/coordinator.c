/*
 * coordinator.c - the coordinator's step: time, then the event, then what follows from both.
 *
 * Members are visited in the order of their names, so equal events give equal effects. Not here:
 * what an update is answered (coordinator_update.c), how a phase follows another
 * (coordinator_round.c), who is asked (coordinator_select.c), what late updates are worth
 * (coordinator_late.c).
 */
#include "core/coordinator_internal.h"

#include "base/check.h"

#include <string.h>

void coordinator_init(struct coordinator *coordinator, const struct coordinator_settings *settings,
                      struct member *members, uint32_t *order, uint32_t capacity)
{
    CHECK(settings->k_threshold > 0 && settings->k_threshold <= 1);
    CHECK(settings->share > 0 && settings->share <= 1 && settings->over_selection >= 0);
    CHECK(settings->late != LATE_NEXT_ROUND ||
          (settings->max_staleness > 0 && settings->max_staleness <= STALENESS_MAX));
    CHECK(settings->timeout_ns > 0 && settings->rounds_max > 0 && settings->samples_max > 0);
    *coordinator = (struct coordinator){
        .settings = *settings,
        .phase = COORDINATOR_BOOT,
        .deadline_ns = NO_DEADLINE,
        .timer_ns = NO_DEADLINE,
    };
    roster_init(&coordinator->roster, members, order, capacity);
    struct convergence_settings judged = settings->convergence;
    judged.max_rounds = settings->rounds_max;
    convergence_init(&coordinator->convergence, &judged);
}

struct coordinator_effect *effect_add(struct coordinator_effects *effects,
                                      enum coordinator_effect_kind kind)
{
    CHECK(effects->count < EFFECTS_MAX);
    struct coordinator_effect *const effect = &effects->items[effects->count++];
    *effect = (struct coordinator_effect){.kind = kind, .member = NO_MEMBER};
    return effect;
}

struct coordinator_effect *effect_add_pending(struct coordinator *c,
                                              struct coordinator_effects *effects,
                                              enum coordinator_effect_kind kind)
{
    struct coordinator_effect *const effect = effect_add(effects, kind);
    effect->id = ++c->next_id;
    return effect;
}

void trace_add(const struct coordinator *c, struct coordinator_effects *effects,
               enum trace_kind kind, uint32_t member, uint64_t a, uint64_t b, enum reason reason)
{
    struct traces *const traces = &effects->traces;
    if (traces->count == TRACES_MAX) {
        traces->lost++;
        return;
    }
    traces->items[traces->count++] = (struct trace_record){
        .now_ns = c->now_ns, .kind = kind, .member = member, .a = a, .b = b, .reason = reason};
}

static void start_members(struct coordinator *c, const struct coordinator_event *event)
{
    for (uint32_t i = 0; i < event->start.member_count; i++) {
        const uint32_t index = roster_add(&c->roster, event->start.members[i]);
        if (index == NO_MEMBER)
            continue;
        struct member *const member = &c->roster.members[index];
        const struct member_history *const history =
            event->start.histories != nullptr ? &event->start.histories[i] : nullptr;
        member->contributed = history == nullptr || !history->is_away;
        member->expected = member->contributed;
        if (history == nullptr)
            continue;
        member->asked_round = history->asked_round;
        member->counted_round = history->counted_round;
        member->samples = history->samples;
        member->reputation = history->reputation;
        member->weight_samples = bound_samples(c, history->samples);
    }
}

static void on_start(struct coordinator *c, const struct coordinator_event *event,
                     struct coordinator_effects *effects)
{
    CHECK(c->phase == COORDINATOR_BOOT);
    c->has_version = event->start.has_version;
    c->version = event->start.version;
    c->outcome = event->start.outcome;
    c->round = event->start.open_round;
    c->paused = event->start.paused;
    c->pause_wanted = event->start.paused;
    if (event->start.convergence != nullptr) {
        const struct convergence_settings judged = c->convergence.settings;
        c->convergence = *event->start.convergence;
        c->convergence.settings = judged;
    }
    for (uint32_t i = 0; i < event->start.base_count; i++)
        bases_put(c, event->start.bases[i].round, &event->start.bases[i].id);
    start_members(c, event);
    c->phase = COORDINATOR_RAISING;
    struct coordinator_effect *const effect = effect_add_pending(c, effects, FX_PERSIST_EPOCH);
    effect->epoch = event->start.epoch + 1;
    c->pending_id = effect->id;
}

static void on_epoch_persisted(struct coordinator *c, const struct coordinator_event *event,
                               struct coordinator_effects *effects)
{
    if (event->status != STATUS_OK) {
        machine_fail(c, effects, event->status);
        return;
    }
    c->epoch = event->epoch;
    trace_add(c, effects, TRACE_EPOCH_RAISED, NO_MEMBER, c->epoch, 0, REASON_UNSPECIFIED);
    if (c->phase == COORDINATOR_RAISING) {
        CHECK(event->id == c->pending_id);
        after_start(c, effects);
        return;
    }
    CHECK(event->id == c->epoch_id);
    c->epoch_id = 0;
    persist_outcome_if_ending(c, effects);
    if (c->phase == COORDINATOR_COLLECTING) {
        round_announce(c, effects);
        round_close_if_complete(c, effects);
    }
}

static void on_model_created(struct coordinator *c, const struct coordinator_event *event,
                             struct coordinator_effects *effects)
{
    CHECK(c->phase == COORDINATOR_CREATING && event->id == c->pending_id);
    if (event->status != STATUS_OK) {
        machine_fail(c, effects, event->status);
        return;
    }
    c->candidate = event->version;
    struct coordinator_effect *const effect = effect_add_pending(c, effects, FX_COMMIT);
    c->pending_id = effect->id;
}

/* A later epoch was seen by a member: jump above it, between two rounds or while one is open. */
void epoch_raise_if_wanted(struct coordinator *c, struct coordinator_effects *effects)
{
    const bool may = c->phase == COORDINATOR_GATHERING || c->phase == COORDINATOR_PAUSED ||
                     c->phase == COORDINATOR_COLLECTING || c->phase == COORDINATOR_ENDED;
    if (c->epoch_wanted <= c->epoch || c->epoch_id != 0 || !may)
        return;
    struct coordinator_effect *const effect = effect_add_pending(c, effects, FX_PERSIST_EPOCH);
    effect->epoch = c->epoch_wanted;
    effect->held = c->epoch;
    c->epoch_id = effect->id;
}

static void set_timer(struct coordinator *c, struct coordinator_effects *effects)
{
    if (c->deadline_ns == c->timer_ns)
        return;
    effect_add(effects, FX_TIMER)->deadline_ns = c->deadline_ns;
    c->timer_ns = c->deadline_ns;
}

static void dispatch(struct coordinator *c, const struct coordinator_event *event,
                     struct coordinator_effects *effects)
{
    switch (event->kind) {
    case EV_START:
        on_start(c, event, effects);
        break;
    case EV_EPOCH_PERSISTED:
        on_epoch_persisted(c, event, effects);
        break;
    case EV_MODEL_CREATED:
        on_model_created(c, event, effects);
        break;
    case EV_JOIN:
        on_join(c, event, effects);
        break;
    case EV_LEAVE:
        on_leave(c, event, effects);
        break;
    case EV_UPDATE:
        on_update(c, event, effects);
        break;
    case EV_REFUSED:
        on_refused(c, event);
        break;
    case EV_FOLDED:
        on_folded(c, event, effects);
        break;
    case EV_CLOSED:
        on_closed(c, event, effects);
        break;
    case EV_VALIDATED:
        on_validated(c, event, effects);
        break;
    case EV_COMMITTED:
        on_committed(c, event, effects);
        break;
    case EV_OUTCOME_PERSISTED:
        on_outcome_persisted(c, event, effects);
        break;
    case EV_RECALLED:
        on_recalled(c, event, effects);
        break;
    case EV_RESTORED:
        on_restored(c, event, effects);
        break;
    case EV_PAUSE_PERSISTED:
        on_pause_persisted(c, event, effects);
        break;
    case EV_TIMER:
        break;
    case EV_PAUSE:
        on_pause(c, true, effects);
        break;
    case EV_RESUME:
        on_pause(c, false, effects);
        break;
    case EV_CANCEL:
        on_cancel(c, effects);
        break;
    }
}

void coordinator_step(struct coordinator *coordinator, const struct coordinator_event *event,
                      struct coordinator_effects *ret_effects)
{
    ret_effects->count = 0;
    ret_effects->traces = (struct traces){0};
    if (event->now_ns > coordinator->now_ns)
        coordinator->now_ns = event->now_ns;
    if (coordinator->phase == COORDINATOR_FAILED)
        return;
    /* A timer that fired is gone; it is set again below where it is still wanted. */
    if (event->kind == EV_TIMER)
        coordinator->timer_ns = NO_DEADLINE;
    if (coordinator->now_ns >= coordinator->deadline_ns)
        on_deadline(coordinator, ret_effects);
    if (coordinator->phase != COORDINATOR_FAILED)
        dispatch(coordinator, event, ret_effects);
    if (coordinator->phase != COORDINATOR_FAILED)
        epoch_raise_if_wanted(coordinator, ret_effects);
    set_timer(coordinator, ret_effects);
}

/*
 * coordinator_update.c - who may take part, and what an update is answered.
 *
 * Not here: how the accepted set becomes a version (coordinator_round.c).
 */
#include "core/coordinator_internal.h"

#include "base/check.h"

#include <string.h>

static bool same_update(const struct member *member, const struct update_info *info)
{
    return digest_equal(&member->key.payload_digest, &info->key.payload_digest) &&
           digest_equal(&member->base_id, &info->base_id) && member->samples == info->samples &&
           memcmp(&member->loss, &info->loss, sizeof(info->loss)) == 0;
}

static const struct member *holder(const struct coordinator *c, const struct update_info *info)
{
    const uint32_t index = roster_find(&c->roster, info->name);
    if (index == NO_MEMBER)
        return nullptr;
    CHECK(c->roster.members != nullptr);
    const struct member *const member = &c->roster.members[index];
    const bool holds = member->accepted || (member->waiting && !job_is_over(c));
    return holds && info->key.round == member->key.round ? member : nullptr;
}

bool coordinator_holds(const struct coordinator *coordinator, const struct update_info *info)
{
    const struct member *const member = holder(coordinator, info);
    return member != nullptr && same_update(member, info);
}

static enum reason screen_held(const struct member *member, const struct update_info *info)
{
    if (same_update(member, info))
        return REASON_UNSPECIFIED;
    return member->key.attempt == info->key.attempt && member->key.epoch == info->key.epoch
               ? REASON_EQUIVOCATION
               : REASON_REPLAY;
}

/* For the round that is open, or closing. */
static enum reason screen_fresh(const struct coordinator *c, const struct update_info *info,
                                const struct member *member)
{
    if (!digest_equal(&info->base_id, &c->version.id))
        return REASON_UNKNOWN_BASE;
    if (info->key.epoch == c->epoch && info->key.attempt > c->attempt)
        return REASON_FUTURE_ROUND;
    if (info->samples == 0)
        return REASON_SAMPLES;
    /* Who was asked in an earlier attempt, and is not again, may answer all the same. */
    if (member == nullptr || member->asked_round != info->key.round)
        return REASON_NOT_SELECTED;
    const struct member *const held = holder(c, info);
    if (held != nullptr)
        return screen_held(held, info);
    if (member->accepted || member->waiting) /* an earlier one of it: one of a node a round */
        return REASON_ROUND_CLOSED;
    /* The set is full at k, also while its last updates are still being folded in. */
    if (c->phase == COORDINATOR_COLLECTING && !round_is_full(c))
        return REASON_UNSPECIFIED;
    return c->settings.late == LATE_NEXT_ROUND ? REASON_UNSPECIFIED : REASON_ROUND_CLOSED;
}

static enum reason screen_older(const struct coordinator *c, const struct update_info *info,
                                const struct member *member)
{
    const struct member *const held = holder(c, info);
    if (held != nullptr)
        return screen_held(held, info);
    const enum reason reason = late_screen(c, info, member);
    return reason == REASON_UNSPECIFIED && info->samples == 0 ? REASON_SAMPLES : reason;
}

enum reason coordinator_screen(const struct coordinator *coordinator,
                               const struct update_info *info)
{
    const struct coordinator *const c = coordinator;
    if (job_is_over(c))
        return coordinator_holds(c, info) ? REASON_UNSPECIFIED : REASON_JOB_ENDED;
    if (c->phase < COORDINATOR_GATHERING || c->phase == COORDINATOR_FAILED)
        return REASON_DRAINING;
    if (info->key.epoch > c->epoch)
        return REASON_FUTURE_EPOCH;
    if (info->key.round > c->round)
        return REASON_FUTURE_ROUND;
    const uint32_t index = roster_find(&c->roster, info->name);
    const struct member *const member = index != NO_MEMBER ? &c->roster.members[index] : nullptr;
    if (member != nullptr && coordinator_shuts_out(c, member, c->round))
        return REASON_QUARANTINED;
    return info->key.round == c->round ? screen_fresh(c, info, member)
                                       : screen_older(c, info, member);
}

/* Its work for that round has come to an end. */
static void stop_working(struct member *member, uint64_t round)
{
    if (member->works_for == round)
        member->works_for = 0;
    if (member->asked_round == round)
        member->told = false;
}

static void refuse(struct coordinator *c, const struct coordinator_event *event,
                   struct coordinator_effects *effects, enum reason reason)
{
    const struct update_info *const info = &event->update.info;
    const uint32_t index = roster_find(&c->roster, info->name);
    if (index != NO_MEMBER && reason_class_of(reason) == REASON_CLASS_FINAL)
        stop_working(&c->roster.members[index], info->key.round);
    trace_add(c, effects, TRACE_REFUSED, index, info->key.round, 0, reason);
    if (reason == REASON_EQUIVOCATION) {
        struct coordinator_effect *const evidence = effect_add(effects, FX_EVIDENCE);
        evidence->member = index;
        evidence->ticket = event->update.ticket;
    }
    struct coordinator_effect *const receipt = effect_add(effects, FX_RECEIPT_REFUSED);
    receipt->ticket = event->update.ticket;
    receipt->reason = reason;
    effect_add(effects, FX_RELEASE)->blob = info->blob;
}

/* Whoever made it may be asked for the next round. */
void on_refused(struct coordinator *c, const struct coordinator_event *event)
{
    const uint32_t index = roster_find(&c->roster, event->update.info.name);
    if (index == NO_MEMBER)
        return;
    struct member *const member = &c->roster.members[index];
    stop_working(member, event->update.info.key.round);
    member->flagged = true;
    member->flag = event->update.flag;
}

static void acknowledge_again(struct coordinator *c, const struct coordinator_event *event,
                              struct coordinator_effects *effects)
{
    const struct update_info *const info = &event->update.info;
    trace_add(c, effects, TRACE_DUPLICATE, roster_find(&c->roster, info->name), info->key.round, 0,
              REASON_UNSPECIFIED);
    effect_add(effects, FX_RECEIPT_ACCEPTED)->ticket = event->update.ticket;
    effect_add(effects, FX_RELEASE)->blob = info->blob;
}

static void remember(struct coordinator *c, struct member *member, const struct update_info *info)
{
    member->key = info->key;
    member->base_id = info->base_id;
    member->samples = info->samples;
    member->loss = info->loss;
    member->report = info->report;
    member->blob = info->blob;
    member->weight_samples = bound_samples(c, info->samples);
}

void update_accept(struct coordinator *c, uint32_t index, uint64_t staleness)
{
    struct member *const member = &c->roster.members[index];
    member->staleness_weight =
        staleness_weight(c->settings.staleness, staleness, c->settings.staleness_exponent,
                         c->settings.staleness_hinge);
    if (staleness > 0) { /* it is not among the N of this round */
        selection_remove(c, member);
        member->late = true;
        member->works_for = 0;
        c->accepted_late++;
    } else if (!member->selected) { /* asked in an earlier attempt */
        member->selected = true;
        c->selected++;
    }
    member->accepted = true;
    c->accepted++;
}

void on_update(struct coordinator *c, const struct coordinator_event *event,
               struct coordinator_effects *effects)
{
    const struct update_info *const info = &event->update.info;
    const enum reason reason = coordinator_screen(c, info);
    if (reason != REASON_UNSPECIFIED) {
        refuse(c, event, effects, reason);
        return;
    }
    if (coordinator_holds(c, info)) {
        acknowledge_again(c, event, effects);
        return;
    }
    const uint32_t index = roster_find(&c->roster, info->name);
    struct member *const member = &c->roster.members[index];
    remember(c, member, info);
    struct coordinator_effect *const receipt = effect_add(effects, FX_RECEIPT_ACCEPTED);
    receipt->ticket = event->update.ticket;
    receipt->member = index;
    if (c->phase != COORDINATOR_COLLECTING || round_is_full(c)) {
        member->waiting = true;
        member->works_for = 0;
        return;
    }
    const uint64_t staleness = c->round - info->key.round;
    update_accept(c, index, staleness);
    c->folding++;
    trace_add(c, effects, staleness > 0 ? TRACE_ACCEPTED_LATE : TRACE_ACCEPTED, index,
              info->key.round, staleness > 0 ? c->round : 0, REASON_UNSPECIFIED);
    struct coordinator_effect *const fold = effect_add_pending(c, effects, FX_FOLD);
    fold->member = index;
    fold->blob = info->blob;
}

/* It is not asked before the offered update came, or is too stale. */
static void send_offer(struct coordinator *c, uint32_t index, const struct update_key *key,
                       struct coordinator_effects *effects)
{
    c->roster.members[index].works_for = key->round;
    struct coordinator_effect *const offer = effect_add(effects, FX_SEND_OFFER);
    offer->member = index;
    offer->session = c->roster.members[index].session;
    offer->key = *key;
}

/*
 * Answers for an update that the node still keeps from before this connection. One of a later round
 * is looked up too: this coordinator may be fenced off, and the later one may have counted it.
 */
static void settle_held(struct coordinator *c, uint32_t index, const struct update_key *held,
                        struct coordinator_effects *effects)
{
    struct member *const member = &c->roster.members[index];
    const bool ended = c->phase == COORDINATOR_ENDED;
    if (held->round == c->round && !ended) {
        member->held = *held;
        member->held_pending = true;
        /* The set is fixed, but the next one is not. */
        const bool is_fixed = c->phase != COORDINATOR_COLLECTING || round_is_full(c);
        if (c->settings.late == LATE_NEXT_ROUND && !job_is_over(c) && is_fixed &&
            member->selected && !member->accepted && !member->waiting)
            send_offer(c, index, held, effects);
        return;
    }
    member->recalling = true;
    struct coordinator_effect *const recall = effect_add_pending(c, effects, FX_RECALL);
    recall->member = index;
    recall->session = member->session;
    recall->key = *held;
}

static bool can_be_asked(const struct coordinator *c, const struct member *member)
{
    return c->phase == COORDINATOR_COLLECTING && member_hears_beacon(member) && c->epoch_id == 0 &&
           !round_is_full(c);
}

static void send_beacon(struct coordinator *c, uint32_t index, struct coordinator_effects *effects)
{
    c->roster.members[index].told = true;
    struct coordinator_effect *const beacon = effect_add(effects, FX_SEND_BEACON);
    beacon->member = index;
    beacon->session = c->roster.members[index].session;
}

static void send_finished(const struct coordinator *c, uint32_t index,
                          struct coordinator_effects *effects)
{
    struct coordinator_effect *const finished = effect_add(effects, FX_SEND_FINISHED);
    finished->member = index;
    finished->session = c->roster.members[index].session;
    finished->outcome = c->outcome;
    finished->version = c->version;
}

void on_join(struct coordinator *c, const struct coordinator_event *event,
             struct coordinator_effects *effects)
{
    CHECK(event->join.session != 0);
    const uint32_t index = roster_add(&c->roster, event->join.name);
    if (index == NO_MEMBER) {
        trace_add(c, effects, TRACE_DENIED, NO_MEMBER, 0, 0, REASON_BUSY);
        struct coordinator_effect *const deny = effect_add(effects, FX_DENY);
        deny->session = event->join.session;
        deny->reason = REASON_BUSY;
        return;
    }
    struct member *const member = &c->roster.members[index];
    if (member->session != 0)
        effect_add(effects, FX_END_SESSION)->session = member->session;
    member->session = event->join.session;
    member->expected = false;
    member->recalling = false;
    member->held_pending = false;
    member->told = false;
    member->works_for = 0;
    /* Of who was forgotten, or is new, it is not known which earlier updates are counted. */
    if (member->asked_round == 0 && c->round > 0)
        member->counted_round = c->round - 1;
    trace_add(c, effects, TRACE_JOINED, index, 0, 0, REASON_UNSPECIFIED);
    struct coordinator_effect *const welcome = effect_add(effects, FX_WELCOME);
    welcome->member = index;
    welcome->session = member->session;
    welcome->epoch = c->epoch;
    if (event->join.epoch_seen > c->epoch && event->join.epoch_seen >= c->epoch_wanted &&
        event->join.epoch_seen < EPOCH_BELIEVED_MAX)
        c->epoch_wanted = event->join.epoch_seen + 1;
    epoch_raise_if_wanted(c, effects); /* before anything is looked up */
    if (event->join.has_held)
        settle_held(c, index, &event->join.held, effects);
    if (c->phase == COORDINATOR_ENDED) {
        if (!member->recalling)
            send_finished(c, index, effects);
    } else if (c->phase == COORDINATOR_GATHERING) {
        gather(c, effects);
    } else if (can_be_asked(c, member)) {
        send_beacon(c, index, effects);
    }
}

void on_leave(struct coordinator *c, const struct coordinator_event *event,
              struct coordinator_effects *effects)
{
    const uint32_t index = roster_find_session(&c->roster, event->session);
    if (event->session == 0 || index == NO_MEMBER)
        return; /* a newer connection took its place */
    c->roster.members[index].session = 0;
    trace_add(c, effects, TRACE_LEFT, index, 0, 0, REASON_UNSPECIFIED);
}

/* Why an update of that round, of which the store knows nothing, is not counted. */
static enum reason reason_unknown(const struct coordinator *c, const struct member *member,
                                  uint64_t round)
{
    if (round > c->round) /* of a history that a restored backup does not have */
        return REASON_SUPERSEDED;
    if (c->phase != COORDINATOR_ENDED && coordinator_shuts_out(c, member, c->round))
        return REASON_QUARANTINED;
    return round == c->round && c->phase == COORDINATOR_ENDED ? REASON_JOB_ENDED
                                                              : REASON_ROUND_CLOSED;
}

void on_recalled(struct coordinator *c, const struct coordinator_event *event,
                 struct coordinator_effects *effects)
{
    if (event->status != STATUS_OK && event->status != STATUS_NOT_FOUND) {
        machine_fail(c, effects, event->status);
        return;
    }
    const uint32_t index = event->recalled.member;
    struct member *const member = &c->roster.members[index];
    if (!member->used || member->session != event->recalled.session)
        return; /* gone again; it asks when it comes back */
    member->recalling = false;
    const bool taken =
        (member->accepted || member->waiting) && member->key.round == event->recalled.key.round;
    if (event->status == STATUS_NOT_FOUND && taken && c->phase != COORDINATOR_ENDED)
        return; /* it came again meanwhile; the commit that counts it answers */
    if (event->status == STATUS_NOT_FOUND && late_can_count(c, member, &event->recalled.key)) {
        selection_remove(c, member);
        send_offer(c, index, &event->recalled.key, effects);
        round_close_if_complete(c, effects);
        return;
    }
    if (event->status == STATUS_NOT_FOUND && c->epoch_wanted > c->epoch) {
        /* Perhaps fenced off by a later coordinator, which counts it: only an epoch above all that
         * were seen allows a word on what is not in the store. The node comes again. */
        effect_add(effects, FX_END_SESSION)->session = member->session;
        member->session = 0;
        trace_add(c, effects, TRACE_LEFT, index, 0, 0, REASON_UNSPECIFIED);
        return;
    }
    struct coordinator_effect *const answer =
        effect_add(effects, event->recalled.counted ? FX_SEND_COUNTED : FX_SEND_DROPPED);
    answer->member = index;
    answer->session = member->session;
    answer->key = event->recalled.key;
    answer->version = event->recalled.version;
    answer->reason = event->recalled.reason;
    if (!event->recalled.counted && answer->reason == REASON_UNSPECIFIED)
        answer->reason = reason_unknown(c, member, event->recalled.key.round);
    trace_add(c, effects, TRACE_SETTLED, index, event->recalled.key.round, event->recalled.counted,
              answer->reason);
    if (c->phase == COORDINATOR_ENDED)
        send_finished(c, index, effects);
    else if (can_be_asked(c, member))
        send_beacon(c, index, effects);
}

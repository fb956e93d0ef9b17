/*
 * coordinator_late.c - updates that come after their round: whether they still count, where they
 * wait, and what stands in for them.
 *
 * Not here: updates of the open round (coordinator_update.c).
 */
#include "core/coordinator_internal.h"

enum { BASES = STALENESS_MAX + 1 };

void bases_put(struct coordinator *c, uint64_t round, const struct digest *id)
{
    c->bases[round % BASES] = (struct base_ref){.round = round, .id = *id};
}

static bool is_base_of(const struct coordinator *c, uint64_t round, const struct digest *id)
{
    const struct base_ref *const base = &c->bases[round % BASES];
    return base->round == round && digest_equal(&base->id, id);
}

/* The round in which an update that comes now is counted. */
static uint64_t counted_in(const struct coordinator *c)
{
    const bool open = c->phase == COORDINATOR_COLLECTING && !round_is_full(c);
    return open || c->phase < COORDINATOR_COLLECTING ? c->round : c->round + 1;
}

enum reason late_screen(const struct coordinator *c, const struct update_info *info,
                        const struct member *member)
{
    if (c->settings.late != LATE_NEXT_ROUND)
        return REASON_ROUND_CLOSED;
    if (counted_in(c) - info->key.round > c->settings.max_staleness)
        return REASON_TOO_STALE;
    if (!is_base_of(c, info->key.round, &info->base_id))
        return REASON_UNKNOWN_BASE;
    if (member == nullptr || member->asked_round < info->key.round)
        return REASON_NOT_SELECTED;
    if (info->key.round <= member->counted_round)
        return REASON_ALREADY_COUNTED;
    /* One update of a node a round; who was asked anew makes that of the open one. */
    return member->accepted || member->waiting || member->told ? REASON_ROUND_CLOSED
                                                               : REASON_UNSPECIFIED;
}

bool late_can_count(const struct coordinator *c, const struct member *member,
                    const struct update_key *key)
{
    return c->settings.late == LATE_NEXT_ROUND && !job_is_over(c) && key->round < c->round &&
           !coordinator_shuts_out(c, member, c->round) &&
           counted_in(c) - key->round <= c->settings.max_staleness &&
           c->bases[key->round % BASES].round == key->round && key->round > member->counted_round &&
           member->asked_round >= key->round && !member->accepted && !member->waiting;
}

void late_take_waiting(struct coordinator *c, struct coordinator_effects *effects)
{
    uint32_t taken = 0;
    for (uint32_t i = 0; i < c->roster.count; i++) {
        const uint32_t index = c->roster.order[i];
        struct member *const member = &c->roster.members[index];
        if (!member->waiting)
            continue;
        member->waiting = false;
        member->folding = true;
        update_accept(c, index, c->round - member->key.round);
        trace_add(c, effects, TRACE_ACCEPTED_LATE, index, member->key.round, c->round,
                  REASON_UNSPECIFIED);
        taken++;
    }
    if (taken == 0)
        return;
    c->folding++;
    effect_add_pending(c, effects, FX_FOLD_WAITING);
}

void late_let_momentum_stand_in(struct coordinator *c, struct coordinator_effects *effects)
{
    if (c->settings.late != LATE_MOMENTUM || c->round <= 1)
        return; /* before the first version there is no momentum */
    for (uint32_t i = 0; i < c->roster.count; i++) {
        struct member *const member = &c->roster.members[c->roster.order[i]];
        /* Who never contributed has no weight that is known. */
        member->stands_in = member->selected && !member->accepted && member->weight_samples > 0;
        c->stand_ins += member->stands_in;
    }
    if (c->stand_ins > 0)
        trace_add(c, effects, TRACE_STANDS_IN, NO_MEMBER, c->round, c->stand_ins,
                  REASON_UNSPECIFIED);
}

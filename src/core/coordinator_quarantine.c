/*
 * coordinator_quarantine.c - who lied too often is not asked for some rounds.
 *
 * What a round shows of its members is recorded before its commit, and holds once that is durable.
 * Not here: what is known of one member (reputation.c), whom a round asks of the others
 * (coordinator_select.c).
 */
#include "core/coordinator_internal.h"

static void record(struct coordinator *c, struct member *member)
{
    member->next_reputation = member->reputation;
    if (member->accepted || member->flagged)
        reputation_record(&member->next_reputation, c->round,
                          member->flagged ? &member->flag : nullptr, c->accepted);
    /* What is refused from now on belongs to the next round. */
    member->flagged = false;
}

/* Whether the next round could ask it, quarantine aside. */
static bool is_there(const struct member *member)
{
    return member->session != 0 || member->accepted;
}

/* The one with the most against it that is to be shut out and is not; ties by name. NO_MEMBER. */
static uint32_t find_worst(const struct coordinator *c)
{
    uint32_t worst = NO_MEMBER;
    for (uint32_t i = 0; i < c->roster.count; i++) {
        const uint32_t index = c->roster.order[i];
        const struct reputation *const next = &c->roster.members[index].next_reputation;
        if (next->until > c->round + 1 || !reputation_is_bad(next))
            continue;
        if (worst == NO_MEMBER ||
            next->distrust > c->roster.members[worst].next_reputation.distrust)
            worst = index;
    }
    return worst;
}

void quarantine_decide(struct coordinator *c, struct coordinator_effects *effects)
{
    const bool is_auto = c->settings.quarantine == QUARANTINE_AUTO;
    const uint32_t least = c->settings.min_updates > 0 ? c->settings.min_updates : 1;
    uint32_t left = 0;
    for (uint32_t i = 0; i < c->roster.count; i++) {
        struct member *const member = &c->roster.members[c->roster.order[i]];
        record(c, member);
        left += is_there(member) && member->next_reputation.until <= c->round + 1;
    }
    if (c->settings.quarantine == QUARANTINE_OFF)
        return;
    for (uint32_t worst = find_worst(c); worst != NO_MEMBER; worst = find_worst(c)) {
        struct member *const member = &c->roster.members[worst];
        if (is_there(member) && left <= least)
            return;
        left -= is_there(member);
        reputation_shut_out(&member->next_reputation, c->round + 1 + c->settings.quarantine_rounds);
        trace_add(c, effects, is_auto ? TRACE_QUARANTINED : TRACE_QUARANTINE_SUGGESTED, worst,
                  c->round + 1, member->next_reputation.until, REASON_UNSPECIFIED);
    }
}

bool quarantine_settle(struct coordinator *c, struct member *member,
                       struct coordinator_effects *effects)
{
    member->reputation = member->next_reputation;
    member->shut_out = member->waiting && coordinator_shuts_out(c, member, c->round + 1);
    if (!member->shut_out)
        return false;
    member->waiting = false;
    member->held = member->key;
    trace_add(c, effects, TRACE_REFUSED, roster_find(&c->roster, member->name), member->key.round,
              0, REASON_QUARANTINED);
    return true;
}

void quarantine_note(struct coordinator *c, const struct coordinator_event *event)
{
    for (uint32_t i = 0; i < event->evidence_count; i++) {
        struct member *const member = &c->roster.members[event->evidence[i].member];
        member->flagged = true;
        member->flag = event->evidence[i].flag;
    }
}

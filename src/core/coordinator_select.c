/*
 * coordinator_select.c - whom a round asks: a random share of those that are there, those that rest
 * last, a few more than are needed.
 *
 * One pass over the members in the order of their names (selection sampling: Knuth, The Art of
 * Computer Programming, 3.4.2, algorithm S), drawn from the job's seed, the round and the attempt.
 * Not here: when a round opens (coordinator_round.c).
 */
#include "core/coordinator_internal.h"

#include "base/random.h"

enum { STREAM_SELECTION = 1 };

/* The least whole number that is the share k of n, at least 1. */
static uint32_t share_of(double k, uint32_t n)
{
    const double wanted = k * n;
    uint32_t least = wanted < (double)UINT32_MAX ? (uint32_t)wanted : UINT32_MAX;
    /* 1e-9: a product that is a whole number but for rounding (0.7 * 10) stays that number. */
    if (least < UINT32_MAX && (double)least < wanted - 1e-9)
        least++;
    return least > 0 ? least : 1;
}

/* Fewer than min_updates never close a round, also where fewer are asked. */
static void set_k(struct coordinator *c)
{
    c->k = share_of(c->settings.k_threshold, c->needed);
    if (c->k < c->settings.min_updates)
        c->k = c->settings.min_updates;
}

/* The earlier round that it goes on working for while the next one is open; 0: none. */
static uint64_t still_works_for(const struct coordinator *c, const struct member *member)
{
    if (c->settings.late != LATE_NEXT_ROUND || member->session == 0 || member->accepted ||
        member->waiting || coordinator_shuts_out(c, member, c->round))
        return 0;
    const uint64_t round = member->told ? member->asked_round : member->works_for;
    return c->round - round <= c->settings.max_staleness ? round : 0;
}

void selection_clear(struct coordinator *c)
{
    for (uint32_t i = 0; i < c->roster.count; i++) {
        struct member *const member = &c->roster.members[c->roster.order[i]];
        member->works_for = still_works_for(c, member);
        member->accepted = false;
        member->selected = false;
        member->told = false;
        member->held_pending = false;
        member->late = false;
        member->folding = false;
        member->stands_in = false;
    }
    c->accepted = 0;
    c->accepted_late = 0;
    c->stand_ins = 0;
    c->attempt = 0;
    c->time_is_up = false;
}

/* Who is connected, or may be back in a moment: contributed last time, or lost us in a restart. */
static bool is_there(const struct coordinator *c, const struct member *member)
{
    return !member->accepted && !member->waiting && !coordinator_shuts_out(c, member, c->round) &&
           (member->session != 0 || ((member->contributed || member->expected) && c->attempt == 0));
}

/* Whether it was asked so shortly ago, or in an earlier attempt, that others are asked first. */
static bool rests(const struct coordinator *c, const struct member *member)
{
    return member->asked_round != 0 &&
           c->round - member->asked_round <= c->settings.cooldown_rounds;
}

struct tally {
    uint32_t rested; /* can be asked, and do not rest */
    uint32_t resting;
    uint32_t busy;
    uint32_t accepted; /* asked before in this round, and have answered */
};

static struct tally count_members(const struct coordinator *c)
{
    struct tally tally = {0};
    for (uint32_t i = 0; i < c->roster.count; i++) {
        const struct member *const member = &c->roster.members[c->roster.order[i]];
        tally.accepted += member->accepted && !member->late;
        if (!is_there(c, member))
            continue;
        if (member->works_for != 0)
            tally.busy++;
        else if (rests(c, member))
            tally.resting++;
        else
            tally.rested++;
    }
    return tally;
}

/* Asks wanted of those left members that are (not) resting, each as likely as any other. */
static void draw(struct coordinator *c, struct random *random, bool resting, uint32_t left,
                 uint32_t wanted)
{
    for (uint32_t i = 0; i < c->roster.count && wanted > 0; i++) {
        struct member *const member = &c->roster.members[c->roster.order[i]];
        if (!is_there(c, member) || member->works_for != 0 || rests(c, member) != resting)
            continue;
        if (random_below(random, left--) >= wanted)
            continue;
        wanted--;
        member->selected = true;
    }
}

/* Too few others are there: whoever is busy is asked to begin anew. */
static void ask_the_busy(struct coordinator *c)
{
    for (uint32_t i = 0; i < c->roster.count; i++)
        c->roster.members[c->roster.order[i]].works_for = 0;
}

static void trace_busy(struct coordinator *c, struct coordinator_effects *effects)
{
    for (uint32_t i = 0; i < c->roster.count; i++) {
        const uint32_t index = c->roster.order[i];
        const struct member *const member = &c->roster.members[index];
        if (member->works_for != 0 && c->attempt == 0)
            trace_add(c, effects, TRACE_BUSY, index, member->works_for, c->round,
                      REASON_UNSPECIFIED);
    }
}

void selection_draw(struct coordinator *c, struct coordinator_effects *effects)
{
    struct random random;
    struct tally tally = count_members(c);
    const uint32_t least = c->settings.min_updates > 0 ? c->settings.min_updates : 1;
    if (tally.busy > 0 && tally.rested + tally.resting + tally.accepted < least) {
        ask_the_busy(c);
        tally = count_members(c);
    }
    trace_busy(c, effects);
    random_init(&random, c->settings.seed, STREAM_SELECTION,
                c->round << 16 | (c->attempt & 0xffff));
    const uint32_t there = tally.rested + tally.resting + tally.accepted;
    c->needed = share_of(c->settings.share, there);
    if (c->needed < least) /* with fewer the round could not close */
        c->needed = least < there ? least : there;
    const double asked = c->needed * (1 + c->settings.over_selection);
    c->selected = asked < there ? share_of(1 + c->settings.over_selection, c->needed) : there;
    if (c->selected < tally.accepted)
        c->selected = tally.accepted;
    for (uint32_t i = 0; i < c->roster.count; i++) {
        struct member *const member = &c->roster.members[c->roster.order[i]];
        member->selected = member->accepted && !member->late;
    }
    const uint32_t wanted = c->selected - tally.accepted;
    const uint32_t rested = wanted < tally.rested ? wanted : tally.rested;
    draw(c, &random, false, tally.rested, rested);
    /* Who rests makes up for what the round needs, not for what it asks beyond. */
    uint32_t missing =
        c->needed > rested + tally.accepted ? c->needed - rested - tally.accepted : 0;
    if (missing > tally.resting)
        missing = tally.resting;
    draw(c, &random, true, tally.resting, missing);
    c->selected = tally.accepted + rested + missing;
    for (uint32_t i = 0; i < c->roster.count; i++) {
        struct member *const member = &c->roster.members[c->roster.order[i]];
        if (member->selected)
            member->asked_round = c->round;
    }
    set_k(c);
}

void selection_remove(struct coordinator *c, struct member *member)
{
    if (!member->selected || member->accepted)
        return;
    member->selected = false;
    c->selected--;
    if (c->needed > c->selected)
        c->needed = c->selected;
    set_k(c);
}

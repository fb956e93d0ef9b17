/*
 * sim_queues.c - no queue grows without end, and no payload is kept that nobody waits for.
 *
 * Caps are what the machines and shells promise, in members: a payload in the set and one that
 * waits; one session; one look-up of what became of an update and what a phase writes. Counted by
 * the world where something is put in and taken out.
 */
#include "sim/sim_internal.h"

enum {
    PAYLOADS_A_MEMBER_MAX = 2, /* one that is folded, one that waits for the next round */
    SUMS_BESIDES_FOLDS_MAX = 1,
    WRITES_BESIDES_LOOKUPS_MAX = 3, /* of the phase, of an epoch, of a pause */
    NODE_WRITES_MAX = 2,            /* an update, an epoch */
};

uint32_t queues_fold_count(const struct world *w, const struct coordinator_effect *effect)
{
    const struct roster *const roster = &w->server.machine.roster;
    uint32_t count = effect->kind == FX_FOLD;
    for (uint32_t i = 0; i < roster->count && effect->kind == FX_FOLD_WAITING; i++)
        count += roster->members[roster->order[i]].folding;
    return count;
}

static uint32_t count_waiting(const struct roster *roster)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < roster->count; i++)
        count += roster->members[roster->order[i]].waiting;
    return count;
}

static void check_sessions(struct world *w)
{
    const uint32_t coordinators = 1 + w->old.process.up;
    for (uint32_t i = 0; i < w->plan->nodes; i++) {
        if (w->nodes[i].sessions > coordinators)
            sim_fail(w, "%s has %u sessions", sim_who(i), w->nodes[i].sessions);
    }
}

void oracle_queues(struct world *w)
{
    const struct queues *const queues = &w->server.queues;
    const struct roster *const roster = &w->server.machine.roster;
    const uint32_t kept = queues->offers - queues->verifying;
    /* Those that wait are let go at the end, in the order of the effects. */
    const bool is_over = w->server.machine.phase >= COORDINATOR_ENDING;
    if (roster->count > w->plan->nodes)
        sim_fail(w, "the roster has %u members, of %u", roster->count, w->plan->nodes);
    if (kept > PAYLOADS_A_MEMBER_MAX * roster->count)
        sim_fail(w, "%u payloads are held for %u members", kept, roster->count);
    if (queues->folding > roster->count || queues->sums > queues->folding + SUMS_BESIDES_FOLDS_MAX)
        sim_fail(w, "%u pieces of arithmetic wait, %u updates in them, for %u members",
                 queues->sums, queues->folding, roster->count);
    if (queues->writes > WRITES_BESIDES_LOOKUPS_MAX + roster->count)
        sim_fail(w, "%u writes wait", queues->writes);
    if (w->steps % (1 + w->plan->nodes / 64) != 0)
        return;
    check_sessions(w);
    const uint32_t waiting = count_waiting(roster);
    if (!is_over && kept != queues->folding + waiting)
        sim_fail(w, "%u payloads are held; %u are to be folded, %u wait", kept, queues->folding,
                 waiting);
}

void oracle_node_queues(struct world *w, uint32_t index)
{
    if (w->nodes[index].writes > NODE_WRITES_MAX)
        sim_fail(w, "%s has %u writes under way", sim_who(index), w->nodes[index].writes);
}

/*
 * job_figures.c - counts for people.
 */
#include "host/job_figures.h"

#include "base/check.h"

#include <stdlib.h>
#include <string.h>

enum status job_figures_init(struct job_figures *figures, uint32_t capacity)
{
    *figures = (struct job_figures){.capacity = capacity};
    figures->members = calloc(capacity, sizeof(*figures->members));
    return figures->members != nullptr ? STATUS_OK : STATUS_NO_MEMORY;
}

void job_figures_deinit(struct job_figures *figures)
{
    free(figures->members);
    *figures = (struct job_figures){0};
}

struct member_figures *job_figures_of(struct job_figures *figures, const struct roster *roster,
                                      uint32_t index)
{
    CHECK(index < figures->capacity);
    struct member_figures *const own = &figures->members[index];
    const char *const name = roster->members[index].name;
    if (strcmp(own->name, name) != 0) {
        *own = (struct member_figures){0};
        memcpy(own->name, name, sizeof(own->name));
    }
    return own;
}

static void count(struct control_counts *counts, enum reason reason)
{
    const unsigned number = reason;
    counts->by_reason[number < CONTROL_REASONS_MAX ? number : 0]++;
}

static bool is_better(const struct control_round *round, const struct control_round *best)
{
    if (best->round == 0)
        return round->has_loss || round->has_accuracy;
    if (round->has_loss || best->has_loss)
        return round->has_loss && (!best->has_loss || round->loss < best->loss);
    return round->has_accuracy && round->accuracy > best->accuracy;
}

void job_figures_round(struct job_figures *figures, const struct control_round *round)
{
    figures->last = *round;
    if (is_better(round, &figures->best))
        figures->best = *round;
}

void job_figures_refused(struct job_figures *figures, const struct roster *roster, const char *name,
                         enum reason reason)
{
    count(&figures->refused, reason);
    const uint32_t index = name != nullptr ? roster_find(roster, name) : NO_MEMBER;
    if (index != NO_MEMBER)
        count(&job_figures_of(figures, roster, index)->refused, reason);
}

void job_figures_joined(struct job_figures *figures, const struct roster *roster, uint32_t index,
                        uint64_t now_unix_ms, uint64_t certificate_ends_unix_s)
{
    struct member_figures *const own = job_figures_of(figures, roster, index);
    own->since_unix_ms = now_unix_ms;
    own->certificate_ends_unix_s = certificate_ends_unix_s;
}

void job_figures_left(struct job_figures *figures, const struct roster *roster, uint32_t index,
                      uint64_t now_unix_ms)
{
    job_figures_of(figures, roster, index)->since_unix_ms = now_unix_ms;
}

void job_figures_accepted(struct job_figures *figures, const struct roster *roster, uint32_t index)
{
    struct member_figures *const own = job_figures_of(figures, roster, index);
    own->samples = roster->members[index].samples;
    own->loss = roster->members[index].loss;
}

void job_figures_counted(struct job_figures *figures, const struct roster *roster, uint32_t index)
{
    job_figures_of(figures, roster, index)->counted++;
}

static bool is_same_update(const struct update_key *a, const struct update_key *b)
{
    return a->round == b->round && digest_equal(&a->payload_digest, &b->payload_digest);
}

void job_figures_dropped(struct job_figures *figures, const struct roster *roster, uint32_t index,
                         const struct update_key *key, enum reason reason)
{
    struct member_figures *const own = job_figures_of(figures, roster, index);
    if (is_same_update(&own->dropped_key, key))
        return;
    own->dropped_key = *key;
    count(&own->dropped, reason);
}

static enum control_member_state state_of(const struct member *member, bool round_is_open,
                                          bool is_shut_out)
{
    if (member->session == 0)
        return CONTROL_MEMBER_AWAY;
    if (is_shut_out)
        return CONTROL_MEMBER_QUARANTINED;
    if (round_is_open && member->accepted)
        return CONTROL_MEMBER_ACCEPTED;
    if (round_is_open && member->selected)
        return CONTROL_MEMBER_ASKED;
    return member->works_for != 0 ? CONTROL_MEMBER_BUSY : CONTROL_MEMBER_IDLE;
}

void job_figures_describe(const struct job_figures *figures, const struct coordinator *machine,
                          uint32_t index, bool round_is_open, struct control_member *ret_member)
{
    static const struct member_figures none = {0};
    const struct member *const member = &machine->roster.members[index];
    const struct reputation *const known = &member->reputation;
    const struct member_figures *own = &figures->members[index];
    if (strcmp(own->name, member->name) != 0)
        own = &none;
    *ret_member = (struct control_member){
        .state =
            state_of(member, round_is_open, coordinator_shuts_out(machine, member, machine->round)),
        .connected = member->session != 0,
        .since_unix_ms = own->since_unix_ms,
        .round_counted = member->counted_round,
        .counted = own->counted,
        .dropped = own->dropped,
        .refused = own->refused,
        .samples = own->samples,
        .loss = own->loss,
        .certificate_ends_unix_s = own->certificate_ends_unix_s,
        .reputation = reputation_value(known),
        .rounds = known->rounds,
        .flagged = known->flagged,
        .flagged_round = known->flagged_round,
        .flag_reason = known->flag.reason,
        .flag_score = known->flag.score,
        .quarantined_until = known->until > machine->round ? known->until : 0,
    };
    static_assert(sizeof(ret_member->spiffe_id) >= sizeof(member->name));
    memcpy(ret_member->spiffe_id, member->name, sizeof(member->name));
}

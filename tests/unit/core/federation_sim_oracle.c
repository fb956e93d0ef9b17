/*
 * federation_sim_oracle.c - what must always hold: counted by the world itself, compared with the
 * machine's state after each step, with the payloads that its shell holds, and with each commit.
 */
#include "federation_sim_internal.h"

#include <math.h>
#include <stdarg.h>
#include <string.h>

void sim_violation(struct world *w, const char *format, ...)
{
    char text[sizeof(w->result.first_violation)];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    if (w->result.violations++ == 0)
        memcpy(w->result.first_violation, text, sizeof(text));
    sim_narrate(w, "world", text);
}

/* ---- the machine ---- */

static uint32_t ceil_share(double share, uint32_t of)
{
    const double least = ceil(share * of - 1e-9);
    return least < 1 ? 1 : (uint32_t)least;
}

/* What can be said of one member at any time. */
static void check_member(struct world *w, const struct member *member)
{
    const struct coordinator *const c = &w->coordinator;
    const bool collecting = c->phase == COORDINATOR_COLLECTING;
    const uint64_t most = c->settings.late == LATE_NEXT_ROUND ? c->settings.max_staleness : 0;
    const char *const name = strrchr(member->name, '/') + 1;
    if (member->accepted && member->waiting)
        sim_violation(w, "%s is in the set and waits", name);
    if (member->accepted && member->late == (member->key.round == c->round) &&
        c->phase < COORDINATOR_ENDING)
        sim_violation(w, "%s's accepted update is late, or it is not", name);
    if (member->accepted && member->key.round + most < c->round)
        sim_violation(w, "%s's update of round %llu is too stale for round %llu", name,
                      (unsigned long long)member->key.round, (unsigned long long)c->round);
    if (member->accepted && member->key.round <= member->counted_round &&
        c->phase < COORDINATOR_ENDING)
        sim_violation(w, "%s's update of round %llu is in the set again", name,
                      (unsigned long long)member->key.round);
    if (member->accepted && c->phase < COORDINATOR_ENDING &&
        !digest_equal(&member->base_id, &w->committed[member->key.round - 1].version.id))
        sim_violation(w, "%s's update of round %llu started from another version", name,
                      (unsigned long long)member->key.round);
    /* One that holds an update for the open round, whose set is fixed, may be asked for that. */
    const bool is_full = c->time_is_up || c->accepted - c->accepted_late >= c->k;
    if (collecting && member->works_for != 0 && !(member->works_for == c->round && is_full) &&
        (member->selected || c->round - member->works_for > most))
        sim_violation(w, "%s is busy with round %llu in round %llu", name,
                      (unsigned long long)member->works_for, (unsigned long long)c->round);
    if (member->selected && !member->accepted && member->waiting && collecting && !is_full)
        sim_violation(w, "%s waits while the round is open", name);
    if (member->stands_in && (c->settings.late != LATE_MOMENTUM || c->round <= 1 ||
                              member->accepted || !member->selected || member->weight_samples == 0))
        sim_violation(w, "the momentum stands in for %s", name);
}

static void check_counts(struct world *w)
{
    const struct coordinator *const c = &w->coordinator;
    uint32_t accepted = 0;
    uint32_t late = 0;
    uint32_t selected = 0;
    for (uint32_t i = 0; i < c->roster.count; i++) {
        const struct member *const member = &c->roster.members[c->roster.order[i]];
        accepted += member->accepted;
        late += member->accepted && member->late;
        selected += member->selected;
        check_member(w, member);
    }
    if (c->phase != COORDINATOR_COLLECTING)
        return;
    const uint32_t needed = c->needed > 0 ? ceil_share(c->settings.k_threshold, c->needed) : 1;
    const uint32_t k = needed > c->settings.min_updates ? needed : c->settings.min_updates;
    if (accepted != c->accepted || late != c->accepted_late || selected != c->selected || k != c->k)
        sim_violation(w, "accepted %u %u, late %u %u, selected %u %u, k %u %u", accepted,
                      c->accepted, late, c->accepted_late, selected, c->selected, k, c->k);
}

/* N as specified: of those that are there and not busy. */
static void check_draw(struct world *w)
{
    const struct coordinator *const c = &w->coordinator;
    const uint32_t least = c->settings.min_updates > 0 ? c->settings.min_updates : 1;
    uint32_t there = 0;
    uint32_t kept = 0;
    for (uint32_t i = 0; i < c->roster.count; i++) {
        const struct member *const member = &c->roster.members[c->roster.order[i]];
        const bool is_away =
            member->session == 0 && !(c->attempt == 0 && (member->contributed || member->expected));
        if (member->accepted && member->late)
            continue;
        kept += member->accepted;
        there += member->accepted || (!is_away && !member->waiting && member->works_for == 0);
    }
    uint32_t needed = ceil_share(c->settings.share, there);
    if (needed < least)
        needed = least < there ? least : there;
    uint32_t asked = ceil_share(1 + c->settings.over_selection, needed);
    asked = asked > there ? there : asked;
    asked = asked < kept ? kept : asked;
    const bool exact = c->settings.cooldown_rounds == 0 && c->attempt == 0;
    const uint32_t fewest = needed < there ? needed : there;
    if (c->needed != needed || c->selected > asked || c->selected < (exact ? asked : fewest))
        sim_violation(w, "round %llu, attempt %u needs %u of %u there, not %u; asks %u, not %u",
                      (unsigned long long)c->round, c->attempt, needed, there, c->needed, asked,
                      c->selected);
}

static void check_closing(struct world *w)
{
    const struct coordinator *const c = &w->coordinator;
    const uint32_t least = c->settings.min_updates > 0 ? c->settings.min_updates : 1;
    const uint32_t fresh = c->accepted - c->accepted_late;
    if (c->accepted < least || (!c->time_is_up && fresh < c->k))
        sim_violation(w, "round %llu closes with %u updates, %u of them late, for k %u",
                      (unsigned long long)c->round, c->accepted, c->accepted_late, c->k);
}

void sim_check_machine(struct world *w, const struct traces *traces)
{
    check_counts(w);
    for (uint32_t i = 0; i < traces->count; i++) {
        const enum trace_kind kind = traces->items[i].kind;
        if (kind == TRACE_ROUND_OPENED && (w->asked_pause || w->told_paused))
            sim_violation(w, "a round opens while the job is paused");
        if (kind == TRACE_ROUND_OPENED || kind == TRACE_ROUND_REPEATED)
            check_draw(w);
        else if (kind == TRACE_ROUND_CLOSED)
            check_closing(w);
        else if (kind == TRACE_PAUSED)
            w->result.pauses++;
        if (w->coordinator.phase == COORDINATOR_PAUSED && w->coordinator.deadline_ns != NO_DEADLINE)
            sim_violation(w, "a paused job waits for a deadline");
    }
}

void sim_check_beacon(struct world *w, uint64_t session)
{
    const uint32_t index = roster_find_session(&w->coordinator.roster, session);
    if (index == NO_MEMBER)
        return;
    const struct member *const member = &w->members[index];
    if (!member->selected || !member->told || member->works_for != 0 || member->recalling ||
        w->coordinator.phase != COORDINATOR_COLLECTING)
        sim_violation(w, "%s hears a beacon that is not for it", strrchr(member->name, '/') + 1);
}

/* ---- payloads ---- */

void sim_blob_arrives(struct world *w, struct coordinator_event *event)
{
    struct update_info *const info = &event->update.info;
    info->blob.id = ++w->blob_count;
    w->blobs = sim_grow(w->blobs, &w->blobs_capacity, w->blob_count, sizeof(*w->blobs));
    w->blobs[info->blob.id] = (struct held_blob){.live = true,
                                                 .node = sim_node_of(info->name),
                                                 .round = info->key.round,
                                                 .digest = info->key.payload_digest};
    w->blobs_live++;
}

void sim_blob_released(struct world *w, uint64_t id)
{
    CHECK(id <= w->blob_count);
    if (!w->blobs[id].live) {
        sim_violation(w, "a payload is released that is not held");
        return;
    }
    w->blobs[id].live = false;
    w->blobs_live--;
}

void sim_blob_folded(struct world *w, uint32_t member, uint64_t id)
{
    const struct held_blob blob = w->blobs[id];
    const uint32_t node = sim_node_of(w->members[member].name);
    sim_blob_released(w, id);
    if (blob.node != node || w->folded[node].live)
        sim_violation(w, "an update of n%04u is folded twice, or another's", node);
    w->folded[node] = blob;
}

void sim_accumulator_closed(struct world *w)
{
    memcpy(w->closed, w->folded, sizeof(*w->closed) * w->settings.nodes);
    memset(w->folded, 0, sizeof(*w->folded) * w->settings.nodes);
}

void sim_forget_blobs(struct world *w)
{
    for (uint64_t id = 1; id <= w->blob_count; id++)
        w->blobs[id].live = false;
    w->blobs_live = 0;
    memset(w->folded, 0, sizeof(*w->folded) * w->settings.nodes);
    memset(w->closed, 0, sizeof(*w->closed) * w->settings.nodes);
}

/* The record's set is what is in the accumulator. */
void sim_check_commit(struct world *w, const struct commit_rows *commit)
{
    for (uint32_t i = 0; i < w->settings.nodes; i++) {
        const struct row *const row = &commit->rows[i];
        const struct held_blob *const blob = &w->closed[i];
        if (row->in_set != blob->live ||
            (row->in_set && (blob->round != row->key.round ||
                             !digest_equal(&blob->digest, &row->key.payload_digest))))
            sim_violation(w, "n%04u is in the record and not in the model, or the other way", i);
    }
}

struct coordinator_event sim_validated(const struct world *w, uint64_t round)
{
    const bool bad = w->settings.diverges_at > 0 && round >= w->settings.diverges_at;
    const double worse = w->settings.loss_is_nan ? (double)NAN : 10;
    return (struct coordinator_event){.kind = EV_VALIDATED,
                                      .validated = {.loss = bad ? worse : 1.0 / (1 + (double)round),
                                                    .accuracy = 0.5,
                                                    .has_loss = true,
                                                    .has_accuracy = true}};
}

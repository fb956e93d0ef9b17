/*
 * sim_oracle.c - what must always hold, counted by the world itself.
 *
 * After each step of the coordinator: its state is what it promises. At each commit: the record's
 * updates were accepted once, started from the right version, and give this very model
 * (sim_recompute.c); the store holds what the machine knows. At each note of a node: it is true. At
 * the end: the job has ended, and every acknowledged update was settled.
 */
#include "sim/sim_internal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { COUNTED_EVERY_NODES = 64 };

/* ---- payloads that were signed ---- */

static uint64_t place_of(const struct world *w, const struct digest *digest)
{
    static const struct digest none;
    uint64_t place = load_u64le(digest->bytes) & (w->archive_capacity - 1);
    while (!digest_equal(&w->archive[place].digest, &none) &&
           !digest_equal(&w->archive[place].digest, digest))
        place = (place + 1) & (w->archive_capacity - 1);
    return place;
}

static void archive_enlarge(struct world *w)
{
    static const struct digest none;
    struct archived *const old = w->archive;
    const uint64_t old_capacity = w->archive_capacity;
    w->archive_capacity = old_capacity > 0 ? 2 * old_capacity : 256;
    w->archive = calloc(w->archive_capacity, sizeof(*w->archive));
    CHECK(w->archive != nullptr);
    for (uint64_t i = 0; i < old_capacity; i++) {
        if (!digest_equal(&old[i].digest, &none))
            w->archive[place_of(w, &old[i].digest)] = old[i];
    }
    free(old);
}

void archive_put(struct world *w, struct payload *payload)
{
    const struct digest *const digest = &payload->digest;
    if (!w->work->is_checked)
        return;
    if (2 * w->archive_count >= w->archive_capacity)
        archive_enlarge(w);
    struct archived *const place = &w->archive[place_of(w, digest)];
    if (digest_equal(&place->digest, digest))
        return;
    w->archive_count++;
    place->digest = *digest;
    place->payload = payload_ref(payload);
}

struct payload *archive_find(const struct world *w, const struct digest *digest)
{
    const struct archived *const place =
        w->archive_capacity > 0 ? &w->archive[place_of(w, digest)] : nullptr;
    return place != nullptr && digest_equal(&place->digest, digest) ? place->payload : nullptr;
}

/* ---- the machine ---- */

static uint32_t ceil_share(double share, uint32_t of)
{
    const double least = ceil(share * of - 1e-9);
    return least < 1 ? 1 : (uint32_t)least;
}

static const char *short_name(const struct member *member)
{
    return strrchr(member->name, '/') + 1;
}

static bool is_shut_out(const struct coordinator *c, const struct member *member)
{
    return c->settings.quarantine == QUARANTINE_AUTO && member->reputation.until > c->round;
}

static void check_member(struct world *w, const struct member *member)
{
    const struct coordinator *const c = &w->server.machine;
    const uint64_t most = c->settings.late == LATE_NEXT_ROUND ? c->settings.max_staleness : 0;
    const char *const name = short_name(member);
    if (member->selected && is_shut_out(c, member) && c->phase == COORDINATOR_COLLECTING)
        sim_fail(w, "%s is asked for round %llu, and is in quarantine before %llu", name,
                 (unsigned long long)c->round, (unsigned long long)member->reputation.until);
    if (member->accepted && member->waiting)
        sim_fail(w, "%s is in the set and waits", name);
    if (member->stands_in && (c->settings.late != LATE_MOMENTUM || c->round <= 1 ||
                              member->accepted || !member->selected || member->weight_samples == 0))
        sim_fail(w, "the momentum stands in for %s", name);
    if (member->accepted && member->key.round + most < c->round)
        sim_fail(w, "%s's update of round %llu is too stale for round %llu", name,
                 (unsigned long long)member->key.round, (unsigned long long)c->round);
    if (!member->accepted || c->phase >= COORDINATOR_ENDING)
        return;
    if (member->late == (member->key.round == c->round))
        sim_fail(w, "%s's accepted update is late, or it is not", name);
    if (member->key.round <= member->counted_round)
        sim_fail(w, "%s's update of round %llu is in the set again", name,
                 (unsigned long long)member->key.round);
    if (member->samples == 0)
        sim_fail(w, "%s's update stands for no samples", name);
}

static void check_counts(struct world *w)
{
    const struct coordinator *const c = &w->server.machine;
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
    const uint32_t share = c->needed > 0 ? ceil_share(c->settings.k_threshold, c->needed) : 1;
    const uint32_t k = share > c->settings.min_updates ? share : c->settings.min_updates;
    if (accepted != c->accepted || late != c->accepted_late || selected != c->selected || k != c->k)
        sim_fail(w, "accepted %u, not %u; late %u, not %u; selected %u, not %u; k %u, not %u",
                 accepted, c->accepted, late, c->accepted_late, selected, c->selected, k, c->k);
    const bool is_full = c->time_is_up || c->accepted - c->accepted_late >= c->k;
    if (is_full && c->folding == 0 && c->epoch_id == 0)
        sim_fail(w, "round %llu is full and stays open", (unsigned long long)c->round);
    if (c->deadline_ns == NO_DEADLINE && !c->time_is_up)
        sim_fail(w, "round %llu has no deadline", (unsigned long long)c->round);
}

/* N as specified: of those that are there and not busy. */
static void check_draw(struct world *w)
{
    const struct coordinator *const c = &w->server.machine;
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
        there += member->accepted || (!is_away && !member->waiting && member->works_for == 0 &&
                                      !is_shut_out(c, member));
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
        sim_fail(w, "round %llu, attempt %u needs %u of %u there, not %u; asks %u, not %u",
                 (unsigned long long)c->round, c->attempt, needed, there, c->needed, asked,
                 c->selected);
}

static void check_trace(struct world *w, const struct trace_record *record)
{
    const struct coordinator *const c = &w->server.machine;
    const uint32_t fresh = c->accepted - c->accepted_late;
    if (record->kind == TRACE_ROUND_OPENED && (w->server.asked_pause || w->server.told_paused))
        sim_fail(w, "a round opens while the job is paused");
    if (record->kind == TRACE_ROUND_OPENED && (c->accepted > c->accepted_late || c->attempt > 0))
        sim_fail(w, "round %llu begins with %u updates and attempt %u",
                 (unsigned long long)c->round, c->accepted, c->attempt);
    if (record->kind == TRACE_ROUND_OPENED || record->kind == TRACE_ROUND_REPEATED)
        check_draw(w);
    if (record->kind == TRACE_ROUND_CLOSED && !c->time_is_up && fresh < c->k)
        sim_fail(w, "round %llu closes with %u updates, of k %u", (unsigned long long)c->round,
                 fresh, c->k);
    if (record->kind == TRACE_ROUND_CLOSED &&
        (c->accepted < c->settings.min_updates || c->folding > 0))
        sim_fail(w, "round %llu closes too early", (unsigned long long)c->round);
}

/* Thousands of members are not looked at after every step, but at all that opens or closes. */
static bool is_time_to_count(struct world *w, const struct traces *traces)
{
    for (uint32_t i = 0; i < traces->count; i++) {
        const enum trace_kind kind = traces->items[i].kind;
        if (kind == TRACE_ROUND_OPENED || kind == TRACE_ROUND_REPEATED ||
            kind == TRACE_ROUND_CLOSED || kind == TRACE_COMMITTED)
            return true;
    }
    return w->steps++ % (1 + w->plan->nodes / COUNTED_EVERY_NODES) == 0;
}

void oracle_machine(struct world *w, const struct traces *traces)
{
    if (is_time_to_count(w, traces))
        check_counts(w);
    for (uint32_t i = 0; i < traces->count; i++)
        check_trace(w, &traces->items[i]);
    const uint64_t deadline_ns = w->server.machine.deadline_ns;
    if (deadline_ns != NO_DEADLINE && deadline_ns <= sim_clock(w, &w->server.process))
        sim_fail(w, "a deadline has passed, and nothing was done");
    if (w->server.machine.phase == COORDINATOR_PAUSED && deadline_ns != NO_DEADLINE)
        sim_fail(w, "a paused job waits for a deadline");
}

void oracle_beacon(struct world *w, uint64_t session)
{
    const struct coordinator *const c = &w->server.machine;
    const uint32_t index = roster_find(&c->roster, w->names[w->sessions[session].node]);
    struct store_version latest;
    struct store_summary summary;
    if (session == 0 || index == NO_MEMBER || c->roster.members[index].session != session)
        return;
    const struct member *const member = &c->roster.members[index];
    if (!member->selected || !member->told || member->works_for != 0 || member->recalling ||
        is_shut_out(c, member) || c->phase != COORDINATOR_COLLECTING)
        sim_fail(w, "%s hears a beacon that is not for it", short_name(member));
    CHECK(store_read_summary(w->store, &summary, nullptr) == STATUS_OK);
    if (w->result->happened[SIM_ZOMBIE] > 0 && summary.epoch > c->epoch)
        return; /* nobody told it yet that it is fenced off */
    if (store_find_number(w->store, 0, c->version.number, &latest, nullptr, nullptr) != STATUS_OK ||
        !digest_equal(&latest.id, &c->version.id) || summary.epoch != c->epoch)
        sim_fail(w, "round %llu is announced before its version and epoch are durable",
                 (unsigned long long)c->round);
}

void oracle_settle(struct world *w, const struct member *member, uint64_t round)
{
    const bool is_undone =
        member->settlement == SETTLE_DROPPED && member->settlement_reason == REASON_SUPERSEDED;
    if (member->settlement == SETTLE_DROPPED && !is_undone && member->held.round != round)
        sim_fail(w, "%s is told once more what became of its update of round %llu",
                 short_name(member), (unsigned long long)member->held.round);
}

static struct account *account_of(struct world *w, uint32_t node, uint64_t round)
{
    struct sim_node *const n = &w->nodes[node];
    CHECK(round <= w->plan->machine.rounds_max + 1);
    n->accounts = sim_grow(n->accounts, &n->account_capacity, round, sizeof(*n->accounts));
    return &n->accounts[round];
}

/* ---- commits ---- */

static void count_update(struct world *w, const struct record_head *head,
                         const struct envelope_header *header)
{
    const uint32_t node = sim_node_index(header->spiffe_id);
    const uint64_t round = header->round;
    struct store_version base;
    CHECK(node < w->plan->nodes);
    struct account *const account = account_of(w, node, round);
    if (account->counted)
        sim_fail(w, "%s's update of round %llu is counted twice", sim_who(node),
                 (unsigned long long)round);
    if (account->dropped && digest_equal(&account->dropped_digest, &header->payload_digest))
        sim_fail(w, "%s was told that its update of round %llu is dropped, and it is counted",
                 sim_who(node), (unsigned long long)round);
    if (store_find_round(w->store, 0, round - 1, &base, nullptr) == STATUS_OK &&
        !digest_equal(&base.id, &header->base_id))
        sim_fail(w, "%s's update of round %llu started from another version", sim_who(node),
                 (unsigned long long)round);
    if (header->samples == 0 || header->epoch > head->epoch || round > head->round)
        sim_fail(w, "%s's update of round %llu should have been refused", sim_who(node),
                 (unsigned long long)round);
    account->counted = true;
    account->counted_digest = header->payload_digest;
    w->result->counted++;
    w->result->counted_late += round < head->round;
}

static void check_set(struct world *w, const struct record *record)
{
    const struct envelope_limits limits = sim_limits(w);
    struct record_iter iter;
    struct record_accepted accepted;
    record_iter_init(&iter, record);
    while (record_iter_next(&iter, &accepted)) {
        struct envelope envelope = {.header_bytes = accepted.header_bytes,
                                    .signature = accepted.signature};
        CHECK(header_decode(accepted.header_bytes, &limits, &envelope.header, nullptr) ==
              STATUS_OK);
        if (envelope_verify(&envelope, &w->verifier, 0, nullptr) != STATUS_OK)
            sim_fail(w, "version %llu counts an update that is not signed",
                     (unsigned long long)record->head.number);
        count_update(w, &record->head, &envelope.header);
    }
}

static void note_undone(struct world *w)
{
    const struct roster *const roster = &w->server.machine.roster;
    for (uint32_t i = 0; i < roster->count; i++) {
        const struct member *const member = &roster->members[roster->order[i]];
        if (member->accepted)
            account_of(w, sim_node_index(member->name), member->key.round)->undone = true;
    }
}

void oracle_commit(struct world *w, const struct coordinator_effect *effect)
{
    struct store_version version;
    struct signed_record split;
    struct record *const record = calloc(1, sizeof(*record));
    struct bytes bytes;
    char who[SPIFFE_ID_MAX];
    CHECK(record != nullptr);
    bytes_init(&bytes, STORE_RECORD_BYTES_MAX);
    CHECK(store_find_latest(w->store, &version, &bytes, nullptr) == STATUS_OK);
    CHECK(signed_record_decode(bytes_slice(&bytes), &split, nullptr) == STATUS_OK);
    CHECK(record_decode(split.record, record, nullptr) == STATUS_OK);
    if (signed_record_verify(&split, &w->verifier, 0, who, nullptr) != STATUS_OK ||
        strcmp(who, w->names[w->plan->nodes]) != 0)
        sim_fail(w, "the record of version %llu is not the coordinator's",
                 (unsigned long long)version.number);
    w->result->versions++;
    w->result->outcome = effect->outcome;
    oracle_chain(w, &record->head, &version.id);
    sim_mix(w, load_u64le(version.id.bytes)); /* of everything that was signed up to now */
    check_set(w, record);
    if (w->server.cancelled && record->head.accepted_count > 0) {
        if (!w->server.is_on_its_way)
            sim_fail(w, "a cancelled job goes on");
        w->server.is_on_its_way = false;
    }
    if (effect->undone)
        note_undone(w);
    const struct model_file *const model =
        effect->kind == FX_COMMIT ? w->server.candidate : w->server.model;
    recompute(w, record, model);
    free(record);
    bytes_deinit(&bytes);
}

/* ---- recovery is replay ---- */

static bool same_reputation(const struct reputation *a, const struct reputation *b)
{
    return a->rounds == b->rounds && a->flagged == b->flagged &&
           a->flagged_round == b->flagged_round && a->flag.reason == b->flag.reason &&
           memcmp(&a->flag.score, &b->flag.score, sizeof(a->flag.score)) == 0 &&
           memcmp(&a->distrust, &b->distrust, sizeof(a->distrust)) == 0 && a->recent == b->recent &&
           a->until == b->until && a->probation == b->probation;
}

static void compare_members(struct world *w, const struct coordinator_event *event)
{
    const struct coordinator *const c = &w->server.machine;
    for (uint32_t i = 0; i < event->start.member_count; i++) {
        const struct member_history *const history = &event->start.histories[i];
        const uint32_t index = roster_find(&c->roster, event->start.members[i]);
        const struct member *const member =
            index != NO_MEMBER ? &c->roster.members[index] : nullptr;
        if (member == nullptr || history->asked_round == 0)
            continue; /* forgotten for another, or new since */
        if (member->counted_round != history->counted_round ||
            (member->asked_round != history->asked_round && member->asked_round != c->round))
            sim_fail(w, "the store knows of %s: asked %llu, counted %llu; the machine %llu, %llu",
                     short_name(member), (unsigned long long)history->asked_round,
                     (unsigned long long)history->counted_round,
                     (unsigned long long)member->asked_round,
                     (unsigned long long)member->counted_round);
        if (!same_reputation(&member->reputation, &history->reputation))
            sim_fail(w,
                     "the store knows of %s: flagged in %llu of %llu rounds, shut out before %llu; "
                     "the machine %llu of %llu, %llu",
                     short_name(member), (unsigned long long)history->reputation.flagged,
                     (unsigned long long)history->reputation.rounds,
                     (unsigned long long)history->reputation.until,
                     (unsigned long long)member->reputation.flagged,
                     (unsigned long long)member->reputation.rounds,
                     (unsigned long long)member->reputation.until);
    }
}

void oracle_start(struct world *w, const struct coordinator_event *start)
{
    compare_members(w, start);
}

static void compare_bases(struct world *w, const struct coordinator_event *event)
{
    const struct coordinator *const c = &w->server.machine;
    for (uint32_t i = 0; i < event->start.base_count; i++) {
        const struct base_ref *const base = &event->start.bases[i];
        const struct base_ref *const known = &c->bases[base->round % (STALENESS_MAX + 1)];
        if (known->round != base->round || !digest_equal(&known->id, &base->id))
            sim_fail(w, "the store knows another base of round %llu",
                     (unsigned long long)base->round);
    }
}

static bool same_convergence(const struct convergence *a, const struct convergence *b)
{
    struct bytes first;
    struct bytes second;
    bytes_init(&first, STORE_LEARN_STATE_BYTES_MAX);
    bytes_init(&second, STORE_LEARN_STATE_BYTES_MAX);
    CHECK(convergence_encode(a, &first) == STATUS_OK);
    CHECK(convergence_encode(b, &second) == STATUS_OK);
    const bool same = first.size == second.size && memcmp(first.data, second.data, first.size) == 0;
    bytes_deinit(&first);
    bytes_deinit(&second);
    return same;
}

void oracle_recovery(struct world *w)
{
    const struct coordinator *const c = &w->server.machine;
    struct coordinator_event event;
    struct model_file *model = nullptr;
    struct model_file *optimiser = nullptr;
    const uint32_t flips = w->flips;
    if (w->result->happened[SIM_ZOMBIE] > 0 && second_is_fenced(w))
        return;   /* the store is another's */
    w->flips = 0; /* the coordinator's disk errs, not this look at it */
    struct start_state *const state = start_read(w, &event, &model, &optimiser);
    w->flips = flips;
    if (state == nullptr)
        return; /* said */
    const bool goes_on = c->outcome == OUTCOME_NONE && c->phase >= COORDINATOR_GATHERING;
    if (!w->server.process.up || !(goes_on || c->phase == COORDINATOR_ENDED)) {
        /* Killed in this very step, or on the way to the next write. */
    } else if ((goes_on && (event.start.open_round != c->round ||
                            !digest_equal(&event.start.version.id, &c->version.id))) ||
               event.start.outcome != c->outcome) {
        sim_fail(w, "the store stands at round %llu, outcome %d; the machine at %llu, %d",
                 (unsigned long long)event.start.open_round, (int)event.start.outcome,
                 (unsigned long long)c->round, (int)c->outcome);
    } else if (!digest_equal(&model->model_digest, &w->server.model->model_digest) ||
               (optimiser == nullptr) != (w->server.state == nullptr) ||
               (optimiser != nullptr &&
                !digest_equal(&optimiser->model_digest, &w->server.state->model_digest))) {
        sim_fail(w, "the store holds another model or optimiser's state than the coordinator");
    } else if (event.start.convergence != nullptr &&
               !same_convergence(event.start.convergence, &c->convergence)) {
        sim_fail(w, "the store holds another state of convergence than the machine");
    } else if (memcmp(start_validated(state), &w->server.validated, sizeof(w->server.validated)) !=
               0) {
        sim_fail(w, "the store holds another memory of the rule validated than the coordinator");
    } else {
        compare_bases(w, &event);
        compare_members(w, &event);
    }
    model_file_unref(model);
    model_file_unref(optimiser);
    start_free(state);
}

/* ---- nodes ---- */

/* Of who is honest: late, or not asked, is all that can be wrong with its update. */
static bool may_be_refused(enum reason reason)
{
    return reason == REASON_ROUND_CLOSED || reason == REASON_FUTURE_ROUND ||
           reason == REASON_FUTURE_EPOCH || reason == REASON_NOT_SELECTED ||
           reason == REASON_TOO_STALE || reason == REASON_ALREADY_COUNTED ||
           reason == REASON_JOB_ENDED || reason == REASON_DRAINING || reason == REASON_QUARANTINED;
}

void oracle_note(struct world *w, uint32_t index, const struct node_effect *effect)
{
    const struct sim_node *const node = &w->nodes[index];
    const uint64_t round = effect->key.round;
    struct account *const account = account_of(w, index, round);
    const bool in_commit =
        account->counted && digest_equal(&account->counted_digest, &effect->key.payload_digest);
    switch (effect->note) {
    case NOTE_ACCEPTED:
        account->acknowledged = true;
        account->settled = false;
        account->acknowledged_digest = effect->key.payload_digest;
        break;
    case NOTE_COUNTED:
        account->settled = true;
        if (!in_commit)
            sim_fail(w, "%s is told that its update of round %llu is counted; no record has it",
                     sim_who(index), (unsigned long long)round);
        break;
    case NOTE_DROPPED:
        account->settled = true;
        account->dropped = true;
        account->dropped_digest = effect->key.payload_digest;
        if (in_commit)
            sim_fail(w, "%s is told that its update of round %llu is dropped; a record has it",
                     sim_who(index), (unsigned long long)round);
        if (account->undone && effect->reason != REASON_SUPERSEDED && !node->liar)
            sim_fail(w, "%s is told another reason than that round %llu was undone: %s",
                     sim_who(index), (unsigned long long)round, reason_name(effect->reason));
        break;
    case NOTE_REFUSED:
        if (!node->liar && !may_be_refused(effect->reason))
            sim_fail(w, "%s is honest, and its update of round %llu is refused: %s", sim_who(index),
                     (unsigned long long)round, reason_name(effect->reason));
        break;
    }
}

void oracle_notes_lost(struct world *w, uint32_t index, const struct kept_update *kept)
{
    if (kept->state == UPDATE_NONE)
        return;
    struct account *const account = account_of(w, index, kept->key.round);
    account->settled = false;
    account->dropped = false;
}

void oracle_end(struct world *w)
{
    struct store_summary summary;
    CHECK(store_read_summary(w->store, &summary, nullptr) == STATUS_OK);
    if (w->plan->cancelled_ns > 0 && summary.commit_count == 0)
        return; /* cancelled before its first model: there is no job */
    if (summary.outcome[0] == 0 || w->nodes_done < w->plan->nodes) {
        sim_fail(w, "the job has not ended after %.0f s: round %llu, %u of %u nodes were told",
                 (double)w->now_ns / 1e9, (unsigned long long)summary.open_round, w->nodes_done,
                 w->plan->nodes);
        return;
    }
    /* What a liar's other update did to the honest one is its own business. */
    for (uint32_t i = 0; i < w->plan->nodes - w->plan->liars; i++) {
        for (uint64_t round = 0; round < w->nodes[i].account_capacity; round++) {
            const struct account *const account = &w->nodes[i].accounts[round];
            if (account->acknowledged && !account->settled)
                sim_fail(w, "%s never heard what became of its update of round %llu", sim_who(i),
                         (unsigned long long)round);
        }
    }
}

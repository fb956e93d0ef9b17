/*
 * sim_commit.c - a version becomes durable: gathered when the machine says so, written later. As
 * host/coordinator_commit.c.
 */
#include "sim/sim_internal.h"

#include "host/learn_state.h"
#include "wire/control.h"

#include <stdlib.h>
#include <string.h>

struct sim_commit {
    struct store_version version;
    struct record_head head;
    struct model_file *model;
    struct model_file *state;
    struct bytes learn_state;
    struct validated seen; /* in it */
    uint64_t open_round;
    bool parent_is_best;
    uint32_t count;
    uint32_t dropped_count;
    uint32_t member_count;
    struct record_accepted *accepted; /* each of the members' number */
    struct bytes *envelopes;
    struct store_counted *counted;
    struct store_dropped *dropped;
    struct store_member *members;
};

void commit_free(struct sim_commit *commit)
{
    if (commit == nullptr)
        return;
    for (uint32_t i = 0; i < commit->count; i++)
        bytes_deinit(&commit->envelopes[i]);
    bytes_deinit(&commit->learn_state);
    model_file_unref(commit->model);
    model_file_unref(commit->state);
    free(commit->accepted);
    free(commit->envelopes);
    free(commit->counted);
    free(commit->dropped);
    free(commit->members);
    free(commit);
}

static void add_accepted(struct world *w, struct sim_commit *commit, uint32_t index,
                         const struct store_member *row)
{
    const struct member *const member = &w->server.members[index];
    const struct accepted *const update = &w->server.accepted[index];
    const uint32_t at = commit->count++;
    struct bytes *const copy = &commit->envelopes[at];
    bytes_init(copy, ENVELOPE_BYTES_MAX);
    CHECK(bytes_append(copy, update->envelope.data, update->envelope.size) == STATUS_OK);
    commit->accepted[at] = (struct record_accepted){
        .header_bytes = {copy->data, update->header_size},
        .signature = {copy->data + update->header_size, copy->size - update->header_size},
        .weight = update->weight,
        .key_id = update->key_id};
    commit->counted[at] = core_counted_row(member, row);
}

static void add_member(struct world *w, struct sim_commit *commit,
                       const struct coordinator_effect *effect, uint32_t index)
{
    const struct member *const member = &w->server.members[index];
    struct store_member *const row = &commit->members[commit->member_count++];
    switch (core_member_row(member, effect, &w->server.accepted[index].key_id, row)) {
    case FATE_COUNTED:
        add_accepted(w, commit, index, row);
        break;
    case FATE_DROPPED:
        commit->dropped[commit->dropped_count++] = core_dropped_row(member, row);
        break;
    case FATE_NONE:
        break;
    }
}

/* What a recomputation needs beyond the record's usual head: the rule and the optimiser. */
static void fill_head(struct world *w, struct sim_commit *commit,
                      const struct coordinator_effect *effect)
{
    const struct coordinator *const c = &w->server.machine;
    const bool is_round = effect->kind == FX_COMMIT && effect->round > 0;
    struct record_head *const head = &commit->head;
    *head = (struct record_head){
        .job = SIM_JOB,
        .hash_id = DIGEST_SHA256,
        .epoch = c->epoch,
        .attempt = effect->attempt,
        .number = c->has_version ? c->version.number + 1 : 0,
        .parent_id = c->version.id,
        .round = is_round       ? effect->round
                 : c->round > 0 ? c->round - 1
                                : 0,
        .rule = "mean",
        .parameter_count = 1,
        .learning_rate = effect->rate,
        .model_digest = commit->model->model_digest,
        .model_blob_digest = commit->model->blob_digest,
        .model_blob_length = commit->model->size,
        .layout_digest = w->layout->digest,
        .aggregate_norm = is_round && !effect->undone ? c->aggregate_norm : 0,
        .committed_unix_ms = 1 + w->now_ns / MS,
        .outcome = (enum wire_outcome)effect->outcome,
        .accepted_count = commit->count,
    };
    snprintf(head->parameters[0].name, RECORD_NAME_MAX, "stand_in_weight");
    snprintf(head->parameters[0].value, RECORD_VALUE_MAX, "%llu",
             (unsigned long long)(is_round ? w->server.stand_in_weight : 0));
    if (effect->undone)
        snprintf(head->validation_choice, sizeof(head->validation_choice), "undone");
    memcpy(head->instance_id, w->server.instance_id, INSTANCE_ID_BYTES);
    if (commit->state != nullptr)
        head->rule_state_digest = commit->state->model_digest;
}

static void fill_version(struct sim_commit *commit, const struct coordinator_effect *effect)
{
    char hex[DIGEST_HEX_MAX];
    const struct record_head *const head = &commit->head;
    commit->version = (struct store_version){.epoch = head->epoch,
                                             .number = head->number,
                                             .round = head->round,
                                             .parent = head->parent_id,
                                             .model_digest = head->model_digest,
                                             .blob_digest = head->model_blob_digest,
                                             .created_ms = (int64_t)head->committed_unix_ms,
                                             .best = effect->best == BEST_THIS};
    commit->parent_is_best = effect->best == BEST_PARENT;
    commit->open_round = head->round + 1;
    digest_to_hex(&head->model_digest, hex);
    snprintf(commit->version.model_file, sizeof(commit->version.model_file), "%06llu-%.16s.m",
             (unsigned long long)head->number, hex);
}

struct sim_commit *commit_gather(struct world *w, const struct coordinator_effect *effect)
{
    const struct server *const server = &w->server;
    const struct roster *const roster = &server->machine.roster;
    const bool is_commit = effect->kind == FX_COMMIT;
    const uint32_t room = roster->count > 0 ? roster->count : 1;
    struct sim_commit *const commit = calloc(1, sizeof(*commit));
    CHECK(commit != nullptr);
    commit->accepted = calloc(room, sizeof(*commit->accepted));
    commit->envelopes = calloc(room, sizeof(*commit->envelopes));
    commit->counted = calloc(room, sizeof(*commit->counted));
    commit->dropped = calloc(room, sizeof(*commit->dropped));
    commit->members = calloc(room, sizeof(*commit->members));
    CHECK(commit->accepted && commit->envelopes && commit->counted && commit->dropped &&
          commit->members);
    struct model_file *const state = is_commit ? server->state_candidate : server->state;
    commit->model = model_file_ref(is_commit ? server->candidate : server->model);
    commit->state = state != nullptr ? model_file_ref(state) : nullptr;
    bytes_init(&commit->learn_state, STORE_LEARN_STATE_BYTES_MAX);
    commit->seen = is_commit ? server->validated_candidate : server->validated;
    CHECK(learn_state_encode(&server->machine.convergence,
                             w->work->trusted != nullptr ? &commit->seen : nullptr,
                             &commit->learn_state) == STATUS_OK);
    for (uint32_t i = 0; i < roster->count; i++)
        add_member(w, commit, effect, roster->order[i]);
    fill_head(w, commit, effect);
    fill_version(commit, effect);
    return commit;
}

static enum status put_models(struct world *w, const struct sim_commit *commit,
                              const char *state_name)
{
    const struct slice model = {commit->model->bytes, commit->model->size};
    const enum status status =
        store_put_model(w->store, commit->version.model_file, &model, 1, nullptr);
    if (status != STATUS_OK || commit->state == nullptr)
        return status;
    const struct slice state = {commit->state->bytes, commit->state->size};
    return store_put_model(w->store, state_name, &state, 1, nullptr);
}

static enum status write_all(struct world *w, struct sim_commit *commit, struct slice record)
{
    char state_name[STORE_NAME_MAX + 8];
    snprintf(state_name, sizeof(state_name), "%s.state", commit->version.model_file);
    const enum status status = put_models(w, commit, state_name);
    if (status != STATUS_OK)
        return status;
    const struct store_commit row = {
        .version = commit->version,
        .parent_is_best = commit->parent_is_best,
        .record = record,
        .counted = commit->counted,
        .counted_count = commit->count,
        .dropped = commit->dropped,
        .dropped_count = commit->dropped_count,
        .members = commit->members,
        .member_count = commit->member_count,
        .open_round = commit->open_round,
        .outcome = commit->head.outcome != WIRE_OUTCOME_NONE
                       ? control_outcome_name(commit->head.outcome)
                       : nullptr,
        .learn_state = bytes_slice(&commit->learn_state),
        .state_file = commit->state != nullptr ? state_name : nullptr,
    };
    return store_commit(w->store, &row, nullptr);
}

void server_take_candidate(struct world *w)
{
    struct server *const server = &w->server;
    model_file_replace(&server->model, server->candidate);
    server->candidate = nullptr;
    model_file_replace(&server->state, server->state_candidate);
    server->state_candidate = nullptr;
    server->validated = server->validated_candidate;
}

static bool is_last(const struct world *w, const struct digest *id)
{
    struct store_version latest;
    return store_find_latest(w->store, &latest, nullptr, nullptr) == STATUS_OK &&
           digest_equal(&latest.id, id);
}

/* The second of two coordinators may be told that it is late. */
static void check_refusal(struct world *w, const struct sim_commit *commit, enum status status)
{
    const bool is_late = w->result->happened[SIM_ZOMBIE] > 0 &&
                         (second_is_fenced(w) || !is_last(w, &commit->version.parent));
    if ((status == STATUS_EXISTS || status == STATUS_INVAL) && !is_late)
        sim_fail(w, "the store refuses version %llu as a contradiction: %s",
                 (unsigned long long)commit->head.number, status_text(status));
}

/* Those that the plan has killed after a round. */
static void kill_planned(struct world *w, uint64_t round)
{
    const struct sim_availability *const plan = &w->plan->availability;
    if (round != plan->killed_after)
        return;
    for (uint32_t i = 0; i < plan->killed_count; i++) {
        const uint32_t node = plan->killed[i];
        if (w->nodes[node].process.up && !w->nodes[node].done)
            node_kill(w, node, (uint64_t)(plan->killed_down_s * 1e9));
    }
}

/* Who learns is told what became durable. */
static void tell_commit(struct world *w, const struct coordinator_effect *effect,
                        const struct sim_commit *commit)
{
    const struct coordinator *const machine = &w->server.machine;
    const struct sim_work_ops *const ops = w->work->ops;
    if (effect->kind == FX_COMMIT && effect->round > 0 && ops->committed != nullptr)
        ops->committed(w->work, &(struct sim_round){.machine = machine,
                                                    .model = commit->model,
                                                    .outcome = w->outcome,
                                                    .refused = w->refused,
                                                    .bytes_in = w->bytes_in,
                                                    .bytes_out = w->bytes_out,
                                                    .now_ns = w->now_ns});
    memset(w->refused, 0, sizeof(w->refused));
    w->bytes_in = w->bytes_out = 0;
    if (machine->outcome != OUTCOME_NONE && ops->ended != nullptr)
        ops->ended(w->work, machine, commit->model, w->now_ns);
    if (effect->kind == FX_COMMIT && effect->round > 0)
        kill_planned(w, effect->round);
}

struct coordinator_event commit_store(struct world *w, const struct coordinator_effect *effect,
                                      struct sim_commit *commit)
{
    struct bytes record;
    struct bytes signed_record;
    struct coordinator_event event = {
        .id = effect->id, .kind = effect->kind == FX_COMMIT ? EV_COMMITTED : EV_OUTCOME_PERSISTED};
    bytes_init(&record, STORE_RECORD_BYTES_MAX);
    bytes_init(&signed_record, STORE_RECORD_BYTES_MAX);
    CHECK(record_encode(&commit->head, commit->accepted, &record, nullptr) == STATUS_OK);
    CHECK(record_sign(bytes_slice(&record), &w->signer, &signed_record, &commit->version.id) ==
          STATUS_OK);
    event.status = write_all(w, commit, bytes_slice(&signed_record));
    check_refusal(w, commit, event.status);
    const bool is_durable = is_last(w, &commit->version.id);
    if (is_durable) { /* whatever the machine hears of it */
        w->seen = commit->seen;
        oracle_commit(w, effect);
        tell_commit(w, effect, commit);
    } else if (event.status == STATUS_OK)
        sim_fail(w, "version %llu is committed, and is not in the store",
                 (unsigned long long)commit->head.number);
    if (event.status == STATUS_OK && effect->kind == FX_COMMIT) {
        event.version = (struct version_ref){.number = commit->head.number,
                                             .id = commit->version.id,
                                             .model_digest = commit->head.model_digest,
                                             .blob_digest = commit->head.model_blob_digest,
                                             .blob_bytes = commit->head.model_blob_length};
    }
    bytes_deinit(&record);
    bytes_deinit(&signed_record);
    return event;
}

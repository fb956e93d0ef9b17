/*
 * sim_versions.c - the coordinator's arithmetic and its disk, one piece of work after another; and
 * what a start reads. As host/coordinator_versions.c, _optimiser.c and _start.c.
 */
#include "sim/sim_internal.h"

#include "host/learn_state.h"
#include "host/round_close.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

void server_math(struct world *w, const struct coordinator_effect *effect)
{
    struct happening *const math = sim_happening(w, HAPPEN_MATH, COORDINATOR, 0);
    math->at_ns = w->now_ns + sim_delay(w) / 4;
    if (math->at_ns <= w->server.math_ns)
        math->at_ns = w->server.math_ns + 1;
    w->server.math_ns = math->at_ns;
    w->server.queues.sums++;
    w->server.queues.folding += queues_fold_count(w, effect);
    math->effect = *effect;
    if (effect->kind == FX_CLOSE)
        w->server.stand_in_weight =
            core_stand_in_weight(&w->server.machine.roster, (uint32_t)w->plan->machine.samples_max);
    sim_push(w, math);
}

static void create_model(struct world *w, struct coordinator_event *event)
{
    struct model_file *file = nullptr;
    CHECK(model_file_create(w->layout, &file) == STATUS_OK);
    w->work->ops->first(w->work, model_file_parameters(file));
    CHECK(model_file_seal(file, w->layout) == STATUS_OK);
    model_file_replace(&w->server.candidate, file);
    model_file_replace(&w->server.state_candidate, nullptr);
    w->server.validated_candidate = (struct validated){0};
    event->kind = EV_MODEL_CREATED;
    event->version = core_version(file, 0);
}

void empty_sums(struct world *w)
{
    if (w->work->robust != nullptr)
        robust_round_reset(w->work->robust);
    else
        accumulator_reset(w->server.accumulator);
}

/* As the rule says; under the mean, whoever the plan has suspected, whether or not it lies. */
static void suspect(struct world *w, struct coordinator_event *event)
{
    const struct roster *const roster = &w->server.machine.roster;
    uint32_t count = core_evidence(roster, w->outcome, w->evidence);
    const bool is_drawn = w->outcome == nullptr && w->plan->suspicion > 0;
    for (uint32_t i = 0; is_drawn && i < roster->count; i++) {
        const uint32_t index = roster->order[i];
        if (!roster->members[index].accepted ||
            random_below(&w->random, 1000) >= (uint64_t)(1000 * w->plan->suspicion))
            continue;
        w->evidence[count++] = (struct evidence){
            index, {.reason = SUSPECTED_DIRECTION, .score = 1 + (double)(index % 7) / 5}};
    }
    event->evidence = w->evidence;
    event->evidence_count = count;
}

static void close_round(struct world *w, const struct coordinator_effect *effect,
                        struct coordinator_event *event)
{
    struct server *const server = &w->server;
    const struct round_choice choice = {
        .before = server->validated, .samples = w->work->trusted, .spec = w->work->spec};
    const struct round_inputs inputs = {.layout = w->layout,
                                        .state_layout = w->state_layout,
                                        .optimiser = &w->plan->optimiser,
                                        .model = server->model,
                                        .state = server->state,
                                        .accumulator = server->accumulator,
                                        .robust = w->work->robust,
                                        .choice = w->work->trusted != nullptr ? &choice : nullptr};
    const struct close_task task = {.rate = effect->rate,
                                    .selected = server->machine.selected,
                                    .seed = w->plan->seed ^ effect->round << 32,
                                    .steps = effect->round - 1,
                                    .stand_in_weight = server->stand_in_weight};
    struct closed_round closed = {0};
    struct error err = {0};
    event->kind = EV_CLOSED;
    event->status = round_close(&inputs, &task, &closed, &err);
    event->aggregate_norm = closed.norm;
    free(w->outcome);
    w->outcome = closed.outcome;
    suspect(w, event);
    if (event->status != STATUS_OK && event->status != STATUS_PEER)
        sim_fail(w, "round %llu cannot be closed: %s", (unsigned long long)effect->round,
                 err.text[0] != 0 ? err.text : status_text(event->status));
    if (event->status != STATUS_OK)
        return;
    model_file_replace(&server->candidate, closed.model);
    model_file_replace(&server->state_candidate, closed.state);
    server->validated_candidate =
        w->outcome != nullptr ? w->outcome->validated : (struct validated){0};
    event->version = core_version(closed.model, effect->round);
}

/* As the work says, until it is to be bad. */
static void validate(struct world *w, struct coordinator_event *event)
{
    const struct sim_plan *const plan = w->plan;
    const uint64_t round = w->server.machine.round - (plan->machine.validates_received ? 1 : 0);
    event->kind = EV_VALIDATED;
    if (plan->diverges_at > 0 && round >= plan->diverges_at) {
        w->result->happened[SIM_DIVERGE]++;
        event->validated.has_loss = true;
        event->validated.loss = plan->loss_is_nan ? (double)NAN : 10;
        return;
    }
    w->work->ops->validate(w->work, &w->server.machine, w->server.candidate, event);
}

static void do_math(struct world *w, struct happening *happening)
{
    const struct coordinator_effect effect = happening->effect;
    struct coordinator_event event = {.id = effect.id};
    w->server.queues.sums--;
    if (effect.kind == FX_CREATE_MODEL) {
        create_model(w, &event);
    } else if (effect.kind == FX_CLOSE) {
        close_round(w, &effect, &event);
    } else if (effect.kind == FX_VALIDATE) {
        validate(w, &event);
    } else {
        server_fold(w, &effect);
        event.kind = EV_FOLDED;
    }
    server_step(w, event);
}

/* ---- the disk ---- */

/* Null with the status where it is not there, or is not what was committed. */
static struct model_file *load(struct world *w, const char *name, const struct layout *layout,
                               const struct digest *digest, enum status *ret_status)
{
    const size_t room = layout->bytes + SIM_HEADER_ROOM;
    uint8_t *const bytes = malloc(room);
    size_t size = 0;
    struct model_file *file = nullptr;
    CHECK(bytes != nullptr);
    *ret_status = store_read_model(w->store, name, 0, bytes, room, &size, nullptr);
    if (*ret_status != STATUS_OK) {
        free(bytes);
        return nullptr;
    }
    disk_flip(w, bytes, size);
    *ret_status = model_file_adopt(bytes, size, layout, &file, nullptr);
    if (*ret_status == STATUS_OK && digest_equal(&file->model_digest, digest))
        return file;
    if (*ret_status == STATUS_OK)
        model_file_unref(file);
    *ret_status = STATUS_CORRUPT;
    return nullptr;
}

static void restore(struct world *w, const struct coordinator_effect *effect,
                    struct coordinator_event *event)
{
    struct store_version version;
    struct model_file *file = nullptr;
    event->kind = EV_RESTORED;
    event->status = store_find_round(w->store, 0, effect->round, &version, nullptr);
    if (event->status == STATUS_OK)
        file = load(w, version.model_file, w->layout, &version.model_digest, &event->status);
    /* Of who is fenced off, a later coordinator's commits may have taken it. */
    if (event->status == STATUS_NOT_FOUND && !second_is_fenced(w))
        sim_fail(w, "retention took the best version, of round %llu",
                 (unsigned long long)effect->round);
    if (file == nullptr)
        return;
    model_file_replace(&w->server.candidate, file);
    model_file_replace(&w->server.state_candidate, nullptr);
    w->server.validated_candidate = (struct validated){0};
    event->version = core_version(file, 0);
}

static void recall(struct world *w, const struct coordinator_effect *effect,
                   struct coordinator_event *event)
{
    struct store_receipt receipt;
    event->kind = EV_RECALLED;
    event->recalled.member = effect->member;
    event->recalled.session = effect->session;
    event->recalled.key = effect->key;
    event->status =
        store_find_receipt(w->store, 0, effect->key.round, w->server.members[effect->member].name,
                           &effect->key.payload_digest, &receipt, nullptr);
    if (event->status != STATUS_OK)
        return;
    event->recalled.counted = receipt.kind == STORE_RECEIPT_COUNTED;
    event->recalled.version =
        (struct version_ref){.number = receipt.version.number, .id = receipt.version.id};
    if (!event->recalled.counted)
        event->recalled.reason = reason_of_name(receipt.reason);
}

/* It may be raised, whatever the machine hears of it. */
static void note_epoch(struct world *w, const struct coordinator_event *event)
{
    struct store_summary summary;
    CHECK(store_read_summary(w->store, &summary, nullptr) == STATUS_OK);
    if (event->status == STATUS_OK &&
        (event->epoch != summary.epoch || event->epoch <= w->epoch_raised))
        sim_fail(w, "epoch %llu is raised after %llu", (unsigned long long)event->epoch,
                 (unsigned long long)w->epoch_raised);
    w->epoch_raised = summary.epoch;
}

static struct coordinator_event do_disk(struct world *w, struct happening *happening)
{
    const struct coordinator_effect *const effect = &happening->effect;
    struct coordinator_event event = {.id = effect->id};
    if (effect->kind != FX_RESTORE && effect->kind != FX_RECALL)
        disk_prepare(w);
    if (effect->kind == FX_PERSIST_EPOCH) {
        event.kind = EV_EPOCH_PERSISTED;
        event.status = store_raise_epoch(w->store, effect->held, effect->epoch,
                                         w->server.instance_id, &event.epoch, nullptr);
        note_epoch(w, &event);
        if (event.status == STATUS_OK && effect->held == 0 &&
            w->server.commits_read != w->result->versions)
            event.status = STATUS_EXISTS; /* somebody committed between the start's read and this */
    } else if (effect->kind == FX_PERSIST_PAUSED) {
        event.kind = EV_PAUSE_PERSISTED;
        event.paused = effect->paused;
        event.status = store_set_paused(w->store, effect->paused, nullptr);
    } else if (effect->kind == FX_RESTORE) {
        restore(w, effect, &event);
    } else if (effect->kind == FX_RECALL) {
        recall(w, effect, &event);
    } else {
        event = commit_store(w, effect, happening->commit);
    }
    return event;
}

void server_disk(struct world *w, struct happening *happening)
{
    if (happening->kind == HAPPEN_MATH) {
        do_math(w, happening);
        return;
    }
    struct happening *const done = sim_happening(w, HAPPEN_DONE, COORDINATOR, 1 + sim_delay(w) / 4);
    w->server.queues.writes--;
    const struct coordinator_event event = do_disk(w, happening);
    done->event = event;
    sim_push(w, done);
}

/* ---- the start ---- */

struct start_state {
    char (*names)[STORE_NAME_MAX];
    const char **pointers;
    struct member_history *histories;
    struct base_ref bases[STALENESS_MAX];
    struct convergence convergence;
    struct validated validated;
};

static void read_roster(struct world *w, struct start_state *state, struct coordinator_event *event)
{
    struct store_member member = {.name = ""};
    while (store_find_member_after(w->store, member.name, &member, nullptr) == STATUS_OK) {
        const uint32_t at = event->start.member_count++;
        CHECK(at < w->plan->nodes);
        memcpy(state->names[at], member.name, STORE_NAME_MAX);
        state->pointers[at] = state->names[at];
        state->histories[at] = core_member_history(&member);
    }
    event->start.members = state->pointers;
    event->start.histories = state->histories;
}

static void read_bases(struct world *w, struct start_state *state, struct coordinator_event *event)
{
    struct store_version version;
    event->start.bases = state->bases;
    if (w->plan->machine.late != LATE_NEXT_ROUND)
        return;
    for (uint64_t back = 1; back <= w->plan->machine.max_staleness; back++) {
        const uint64_t round = event->start.open_round - back;
        if (back >= event->start.open_round ||
            store_find_round(w->store, 0, round - 1, &version, nullptr) != STATUS_OK)
            continue;
        state->bases[event->start.base_count++] =
            (struct base_ref){.round = round, .id = version.id};
    }
}

static void read_convergence(struct world *w, struct start_state *state,
                             struct coordinator_event *event)
{
    struct bytes bytes;
    struct convergence_settings settings = w->plan->machine.convergence;
    settings.max_rounds = w->plan->machine.rounds_max;
    bytes_init(&bytes, STORE_LEARN_STATE_BYTES_MAX);
    convergence_init(&state->convergence, &settings);
    CHECK(store_read_learn_state(w->store, &bytes, nullptr) == STATUS_OK);
    if (bytes.size > 0) {
        CHECK(learn_state_decode(bytes_slice(&bytes), &state->convergence, &state->validated,
                                 nullptr) == STATUS_OK);
        event->start.convergence = &state->convergence;
    }
    bytes_deinit(&bytes);
}

static struct digest state_digest(struct world *w)
{
    struct store_version version;
    struct signed_record split;
    struct record *const record = calloc(1, sizeof(*record));
    struct bytes bytes;
    CHECK(record != nullptr);
    bytes_init(&bytes, STORE_RECORD_BYTES_MAX);
    CHECK(store_find_latest(w->store, &version, &bytes, nullptr) == STATUS_OK);
    CHECK(signed_record_decode(bytes_slice(&bytes), &split, nullptr) == STATUS_OK);
    CHECK(record_decode(split.record, record, nullptr) == STATUS_OK);
    const struct digest digest = record->head.rule_state_digest;
    free(record);
    bytes_deinit(&bytes);
    return digest;
}

static bool read_models(struct world *w, const struct store_version *version,
                        const struct store_summary *summary, struct model_file **ret_model,
                        struct model_file **ret_optimiser)
{
    enum status status = STATUS_OK;
    *ret_model = load(w, version->model_file, w->layout, &version->model_digest, &status);
    if (status == STATUS_OK && summary->state_file[0] != 0) {
        const struct digest digest = state_digest(w);
        *ret_optimiser = load(w, summary->state_file, w->state_layout, &digest, &status);
    }
    if (status == STATUS_NOT_FOUND)
        sim_fail(w, "a model of version %llu is gone", (unsigned long long)version->number);
    if (status == STATUS_OK)
        return true;
    model_file_unref(*ret_model);
    *ret_model = nullptr;
    return false;
}

struct start_state *start_read(struct world *w, struct coordinator_event *ret_event,
                               struct model_file **ret_model, struct model_file **ret_optimiser)
{
    struct store_summary summary;
    struct store_version version;
    struct start_state *const state = calloc(1, sizeof(*state));
    CHECK(state != nullptr);
    state->names = calloc(w->plan->nodes, STORE_NAME_MAX);
    state->pointers = calloc(w->plan->nodes, sizeof(char *));
    state->histories = calloc(w->plan->nodes, sizeof(*state->histories));
    CHECK(state->names && state->pointers && state->histories);
    CHECK(store_read_summary(w->store, &summary, nullptr) == STATUS_OK);
    *ret_event = (struct coordinator_event){.kind = EV_START,
                                            .start = {.epoch = summary.epoch,
                                                      .open_round = summary.open_round,
                                                      .outcome = core_outcome(summary.outcome),
                                                      .paused = summary.paused}};
    *ret_model = *ret_optimiser = nullptr;
    if (store_find_latest(w->store, &version, nullptr, nullptr) != STATUS_OK)
        return state;
    if (!read_models(w, &version, &summary, ret_model, ret_optimiser)) {
        start_free(state);
        return nullptr;
    }
    ret_event->start.has_version = true;
    ret_event->start.version = core_version(*ret_model, version.number);
    ret_event->start.version.id = version.id;
    read_convergence(w, state, ret_event);
    read_bases(w, state, ret_event);
    read_roster(w, state, ret_event);
    return state;
}

const struct validated *start_validated(const struct start_state *state)
{
    return &state->validated;
}

void start_free(struct start_state *state)
{
    free(state->names);
    free(state->pointers);
    free(state->histories);
    free(state);
}

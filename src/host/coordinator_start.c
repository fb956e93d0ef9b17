/*
 * coordinator_start.c - what the store knows of the job, as the machine's first event.
 */
#include "host/coordinator_host_internal.h"

#include "host/coordinator_commit.h"
#include "host/learn_state.h"
#include "wire/record.h"

#include <stdlib.h>
#include <string.h>

/* The whole of a stored file, malloc's. CORRUPT where it is longer than room. */
static enum status read_file(struct coordinator_host *host, const char *name, size_t room,
                             uint8_t **ret_bytes, size_t *ret_size, struct error *err)
{
    uint8_t *const bytes = malloc(room);
    size_t size = 0;
    if (bytes == nullptr)
        return error_set(err, STATUS_NO_MEMORY, "no memory for the model");
    enum status status = STATUS_OK;
    for (;;) {
        size_t got = 0;
        status = store_read_model(host->store, name, size, bytes + size, room - size, &got, err);
        if (status != STATUS_OK || got == 0)
            break;
        size += got;
    }
    if (status != STATUS_OK) {
        free(bytes);
        return status;
    }
    *ret_bytes = bytes;
    *ret_size = size;
    return STATUS_OK;
}

enum status versions_load(struct coordinator_host *host, const struct store_version *version,
                          struct model_file **ret_file, struct error *err)
{
    uint8_t *bytes = nullptr;
    size_t size = 0;
    struct model_file *file = nullptr;
    enum status status = read_file(host, version->model_file,
                                   host->layout->bytes + SAFETENSORS_ROOM, &bytes, &size, err);
    if (status == STATUS_OK)
        status = model_file_adopt(bytes, size, host->layout, &file, err);
    if (status == STATUS_OK && !digest_equal(&file->model_digest, &version->model_digest)) {
        model_file_unref(file);
        status = error_set(err, STATUS_CORRUPT,
                           "the stored model of version %llu is not the one "
                           "that was committed",
                           (unsigned long long)version->number);
    }
    if (status == STATUS_OK)
        *ret_file = file;
    return status;
}

/* What the record of a version says of the optimiser's state. */
static enum status read_state_digest(const struct store_version *version, struct slice bytes,
                                     struct digest *ret_digest, struct error *err)
{
    struct signed_record split;
    struct record *const record = calloc(1, sizeof(*record));
    if (record == nullptr)
        return error_set(err, STATUS_NO_MEMORY, "no memory for a record");
    enum status status = signed_record_decode(bytes, &split, err);
    if (status == STATUS_OK && !digest_equal(&split.version_id, &version->id))
        status = error_set(err, STATUS_CORRUPT,
                           "the stored record of version %llu is not the one that was committed",
                           (unsigned long long)version->number);
    if (status == STATUS_OK)
        status = record_decode(split.record, record, err);
    if (status == STATUS_OK)
        *ret_digest = record->head.rule_state_digest;
    free(record);
    return status;
}

/* A changed bit in it would be learnt on from, and nobody would see it. */
static enum status check_optimiser(struct coordinator_host *host, struct error *err)
{
    struct store_version version;
    struct bytes record;
    struct digest digest;
    bytes_init(&record, STORE_RECORD_BYTES_MAX);
    enum status status = store_find_latest(host->store, &version, &record, err);
    if (status == STATUS_OK)
        status = read_state_digest(&version, bytes_slice(&record), &digest, err);
    if (status == STATUS_OK && !digest_equal(&digest, &host->optimiser_state->model_digest))
        status = error_set(err, STATUS_CORRUPT,
                           "the stored optimiser's state of version %llu is not the one that was "
                           "committed",
                           (unsigned long long)version.number);
    bytes_deinit(&record);
    return status;
}

static enum status load_optimiser(struct coordinator_host *host, const char *name,
                                  struct error *err)
{
    uint8_t *bytes = nullptr;
    size_t size = 0;
    if (name[0] == 0)
        return STATUS_OK;
    enum status status =
        read_file(host, name, 2 * host->layout->bytes + SAFETENSORS_ROOM, &bytes, &size, err);
    if (status == STATUS_OK)
        status = optimiser_adopt(host, bytes, size, err);
    return status == STATUS_OK && host->optimiser_state != nullptr ? check_optimiser(host, err)
                                                                   : status;
}

/* What the first event borrows. */
struct start_state {
    char (*names)[STORE_NAME_MAX];
    const char **pointers;
    struct member_history *histories;
    uint32_t count;
    struct base_ref bases[STALENESS_MAX];
    struct convergence convergence;
};

/* Those who had a part in the last version, or the others: what these were last counted for may
 * still weigh. */
static enum status load_members(struct coordinator_host *host, bool are_away,
                                struct start_state *state, struct error *err)
{
    const uint64_t capacity = host->config->limits.nodes_max;
    struct store_member member = {.name = ""};
    for (;;) {
        const enum status status = store_find_member_after(host->store, member.name, &member, err);
        if (status == STATUS_NOT_FOUND)
            return STATUS_OK;
        if (status != STATUS_OK)
            return status;
        if (member.active == are_away || state->count == capacity)
            continue;
        memcpy(state->names[state->count], member.name, STORE_NAME_MAX);
        state->pointers[state->count] = state->names[state->count];
        state->histories[state->count] = core_member_history(&member);
        state->count++;
    }
}

static enum status load_roster(struct coordinator_host *host, struct start_state *state,
                               struct error *err)
{
    const enum status status = load_members(host, false, state, err);
    return status == STATUS_OK ? load_members(host, true, state, err) : status;
}

/* What late updates may have started from: the version of each of the last rounds. */
static enum status load_bases(struct coordinator_host *host, struct coordinator_event *event,
                              struct start_state *state, struct error *err)
{
    const uint64_t most = host->config->aggregation.max_staleness;
    if (host->config->aggregation.late_updates != CONFIG_LATE_NEXT_ROUND)
        return STATUS_OK;
    event->start.bases = state->bases;
    for (uint64_t back = 1; back <= most && back < event->start.open_round; back++) {
        const uint64_t round = event->start.open_round - back;
        struct store_version version;
        const enum status status = store_find_round(host->store, 0, round - 1, &version, err);
        if (status == STATUS_NOT_FOUND)
            continue;
        if (status != STATUS_OK)
            return status;
        state->bases[event->start.base_count++] =
            (struct base_ref){.round = round, .id = version.id};
    }
    return STATUS_OK;
}

static enum status load_convergence(struct coordinator_host *host, struct coordinator_event *event,
                                    struct start_state *state, struct error *err)
{
    struct bytes bytes;
    const struct convergence_settings settings = config_convergence(host->config);
    bytes_init(&bytes, STORE_LEARN_STATE_BYTES_MAX);
    enum status status = store_read_learn_state(host->store, &bytes, err);
    convergence_init(&state->convergence, &settings);
    if (status == STATUS_OK && bytes.size > 0)
        status =
            learn_state_decode(bytes_slice(&bytes), &state->convergence, &host->validated, err);
    if (status == STATUS_OK && bytes.size > 0)
        event->start.convergence = &state->convergence;
    bytes_deinit(&bytes);
    return status;
}

static enum status read_state(struct coordinator_host *host, struct coordinator_event *event,
                              struct start_state *state, struct error *err)
{
    struct store_summary summary;
    struct store_version version;
    enum status status = store_read_summary(host->store, &summary, err);
    if (status != STATUS_OK)
        return status;
    host->commits_read = summary.commit_count;
    event->start.epoch = summary.epoch;
    event->start.open_round = summary.open_round;
    event->start.outcome = core_outcome(summary.outcome);
    event->start.paused = summary.paused;
    status = store_find_latest(host->store, &version, nullptr, err);
    if (status == STATUS_NOT_FOUND)
        return STATUS_OK;
    if (status == STATUS_OK)
        status = versions_load(host, &version, &host->model, err);
    if (status != STATUS_OK)
        return status;
    versions_serve(host, host->model);
    event->start.has_version = true;
    event->start.version = core_version(host->model, version.number);
    event->start.version.id = version.id;
    status = load_optimiser(host, summary.state_file, err);
    if (status == STATUS_OK)
        status = load_convergence(host, event, state, err);
    if (status == STATUS_OK)
        status = load_bases(host, event, state, err);
    return status == STATUS_OK ? load_roster(host, state, err) : status;
}

static enum status open_kept(struct coordinator_host *host, const struct coordinator_event *event,
                             struct error *err)
{
    const struct config *const config = host->config;
    const uint64_t next = event->start.has_version ? event->start.version.number + 1 : 0;
    char folder[2 * CONFIG_PATH_MAX];
    snprintf(folder, sizeof(folder), "%s/jobs/%s", config->server.state, config->job.name);
    return kept_updates_open(folder, config->audit.keep_updates, next, &host->kept, err);
}

enum status versions_start(struct coordinator_host *host, struct error *err)
{
    const uint64_t capacity = host->config->limits.nodes_max;
    struct coordinator_event event = {.kind = EV_START};
    struct start_state *const state = calloc(1, sizeof(*state));
    if (state == nullptr)
        return error_set(err, STATUS_NO_MEMORY, "no memory for the members");
    state->names = calloc(capacity, STORE_NAME_MAX);
    state->pointers = calloc(capacity, sizeof(char *));
    state->histories = calloc(capacity, sizeof(*state->histories));
    enum status status = STATUS_OK;
    if (!state->names || !state->pointers || !state->histories)
        status = error_set(err, STATUS_NO_MEMORY, "no memory for the members");
    versions_new_round(host);
    if (status == STATUS_OK)
        status = read_state(host, &event, state, err);
    if (status == STATUS_OK)
        status = open_kept(host, &event, err);
    if (status == STATUS_OK) {
        event.start.members = state->pointers;
        event.start.histories = state->histories;
        event.start.member_count = state->count;
        host_step(host, &event);
    }
    free(state->names);
    free(state->pointers);
    free(state->histories);
    free(state);
    return status;
}

/*
 * coordinator_commit.c - gathers what a commit record needs on the loop's thread, then encodes,
 * signs and stores it on the disk worker.
 */
#include "host/coordinator_commit.h"

#include "base/check.h"
#include "host/learn_state.h"
#include "store/store_digest.h"
#include "store/store_sqlite.h"
#include "wire/control.h"
#include "wire/record.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

struct commit_job {
    struct job job;
    struct coordinator_host *host;
    struct coordinator_effect effect;
    struct coordinator_event event;
    struct error error;
    struct model_file *file;
    struct credentials *credentials; /* those that are valid now: they sign */
    struct bytes own_chain;          /* of their signing key, unless the store has it */
    struct record_head head;
    struct store_version version;
    char outcome[STORE_OUTCOME_MAX];
    struct bytes metrics;
    uint64_t open_round;
    uint32_t count; /* counted */
    uint32_t dropped_count;
    struct store_dropped *dropped;
    struct model_file *state;        /* of the optimiser; null: it has none */
    struct digest base_state_digest; /* of the one that the round began with; 0: none */
    char state_name[STORE_NAME_MAX];
    struct bytes learn_state;
    struct record_accepted *accepted;
    struct store_counted *counted;
    struct bytes *envelopes; /* copies, by accepted */
    struct bytes *chains;    /* certificates the store does not have yet, by accepted */
    uint32_t *indices;       /* of the members, by accepted */
    struct store_member *members;
    uint32_t member_count;
};

static void commit_free(struct commit_job *work)
{
    for (uint32_t i = 0; i < work->count; i++) {
        if (work->envelopes != nullptr)
            bytes_deinit(&work->envelopes[i]);
        if (work->chains != nullptr)
            bytes_deinit(&work->chains[i]);
    }
    credentials_unref(work->credentials);
    bytes_deinit(&work->own_chain);
    bytes_deinit(&work->metrics);
    bytes_deinit(&work->learn_state);
    free(work->dropped);
    free(work->accepted);
    free(work->counted);
    free(work->envelopes);
    free(work->chains);
    free(work->indices);
    free(work->members);
    free(work);
}

static void add_accepted(struct commit_job *work, uint32_t index, const struct store_member *row)
{
    struct coordinator_host *const host = work->host;
    const struct member *const member = &host->machine.roster.members[index];
    const struct accepted_update *const update = &host->accepted[index];
    const uint32_t at = work->count++;
    struct bytes *const copy = &work->envelopes[at];
    bytes_init(copy, ENVELOPE_BYTES_MAX);
    bytes_init(&work->chains[at], STORE_CERTIFICATE_BYTES_MAX);
    CHECK(bytes_append(copy, update->envelope.data, update->envelope.size) == STATUS_OK);
    work->indices[at] = index;
    /* A key that is gone from the ring leaves no certificate; the record names it all the same. */
    if (!digest_equal(&update->kept_key_id, &update->key_id))
        (void)!keyring_find_certificate(host->keyring, &update->key_id, &work->chains[at]);
    work->accepted[at] = (struct record_accepted){
        .header_bytes = {copy->data, update->header_size},
        .signature = {copy->data + update->header_size, copy->size - update->header_size},
        .weight = update->weight,
        .key_id = update->key_id};
    work->counted[at] = core_counted_row(member, row);
}

/* What the store is to know of a member when it is started again. */
static void add_member(struct commit_job *work, uint32_t index)
{
    const struct member *const member = &work->host->machine.roster.members[index];
    struct store_member *const row = &work->members[work->member_count++];
    switch (core_member_row(member, &work->effect, &work->host->accepted[index].key_id, row)) {
    case FATE_COUNTED:
        add_accepted(work, index, row);
        break;
    case FATE_DROPPED:
        work->dropped[work->dropped_count++] = core_dropped_row(member, row);
        break;
    case FATE_NONE:
        break;
    }
}

/* Members in the order of their names, which is that of the record. */
static enum status gather(struct commit_job *work)
{
    const struct roster *const roster = &work->host->machine.roster;
    const uint32_t capacity = roster->count > 0 ? roster->count : 1;
    work->accepted = calloc(capacity, sizeof(*work->accepted));
    work->counted = calloc(capacity, sizeof(*work->counted));
    work->envelopes = calloc(capacity, sizeof(*work->envelopes));
    work->chains = calloc(capacity, sizeof(*work->chains));
    work->indices = calloc(capacity, sizeof(*work->indices));
    work->members = calloc(capacity, sizeof(*work->members));
    work->dropped = calloc(capacity, sizeof(*work->dropped));
    if (!work->dropped || !work->accepted || !work->counted || !work->envelopes || !work->chains ||
        !work->indices || !work->members)
        return STATUS_NO_MEMORY;
    for (uint32_t i = 0; i < roster->count; i++)
        add_member(work, roster->order[i]);
    return STATUS_OK;
}

__attribute__((format(printf, 3, 4))) static void
add_parameter(struct record_head *head, const char *name, const char *format, ...)
{
    CHECK(head->parameter_count < RECORD_PARAMETER_COUNT_MAX);
    struct record_parameter *const parameter = &head->parameters[head->parameter_count++];
    va_list arguments;
    va_start(arguments, format);
    snprintf(parameter->name, sizeof(parameter->name), "%s", name);
    vsnprintf(parameter->value, sizeof(parameter->value), format, arguments);
    va_end(arguments);
}

/* All that the result depends on besides the set and the state. Names rise by their bytes. */
static void fill_rule(struct record_head *head, const struct coordinator_host *host,
                      const struct coordinator_effect *effect)
{
    const struct config *const config = host->config;
    char suspects[ROBUST_SUSPECTS_TEXT_MAX];
    snprintf(head->rule, sizeof(head->rule), "%s", rule_get(config->robust.rule)->name);
    if (effect->round > 0 && !effect->undone) {
        add_parameter(head, "optimiser", "%s", config_optimiser_name(host->optimiser.kind));
        if (host->optimiser.kind != OPTIMISER_SGD && host->optimiser.kind != OPTIMISER_MOMENTUM) {
            add_parameter(head, "optimiser_beta2", "%a", host->optimiser.beta2);
            add_parameter(head, "optimiser_epsilon", "%a", host->optimiser.epsilon);
        }
        if (host->state_layout != nullptr)
            add_parameter(head, "optimiser_momentum", "%a", host->optimiser.momentum);
    }
    if (host->outcome != nullptr && effect->round > 0 && !effect->undone) {
        add_parameter(head, "robust_f", "%llu", (unsigned long long)host->outcome->f);
        if (config->robust.pre[0] != 0)
            add_parameter(head, "robust_pre", "%s", config->robust.pre);
        if (config->robust.set[0] != 0)
            add_parameter(head, "robust_set", "%s", config->robust.set);
        CHECK(robust_outcome_text(host->outcome, suspects) == STATUS_OK);
        add_parameter(head, "robust_suspects", "%s", suspects);
    }
    add_parameter(head, "samples_max", "%llu", (unsigned long long)config->limits.samples_max);
    if (config->aggregation.late_updates == CONFIG_LATE_NEXT_ROUND) {
        add_parameter(head, "staleness", "%s",
                      config_staleness_name(config->aggregation.staleness));
        add_parameter(head, "staleness_exponent", "%a", config->aggregation.staleness_exponent);
        add_parameter(head, "staleness_hinge", "%llu",
                      (unsigned long long)config->aggregation.staleness_hinge);
    }
    if (host->machine.stand_ins > 0)
        add_parameter(head, "stand_in_weight", "%llu", (unsigned long long)host->stand_in_weight);
    add_parameter(head, "update_norm_max", "%a", config->limits.update_norm_max);
}

static void fill_validation(struct record_head *head, const struct coordinator_host *host)
{
    static const enum validation_source sources[] = {
        [CONFIG_VALIDATION_NONE] = VALIDATION_NONE,
        [CONFIG_VALIDATION_CENTRAL] = VALIDATION_CENTRAL,
        [CONFIG_VALIDATION_NODES] = VALIDATION_NODES,
        [CONFIG_VALIDATION_BOTH] = VALIDATION_BOTH,
    };
    const struct coordinator *const machine = &host->machine;
    if (!machine->measured)
        return;
    head->validation_source = sources[host->config->validation.source];
    head->validation_loss = machine->validation_loss;
    head->validation_accuracy = machine->measured_accuracy ? machine->validation_accuracy : 0;
    head->validation_samples = config_validates_centrally(host->config)
                                   ? host->validation.samples
                                   : host->node_figures.samples;
}

static void fill_head(struct commit_job *work)
{
    const struct coordinator_host *const host = work->host;
    const struct coordinator *const machine = &host->machine;
    const bool round = work->effect.kind == FX_COMMIT && work->effect.round > 0;
    struct record_head *const head = &work->head;
    memcpy(head->job, host->config->job.name, sizeof(host->config->job.name));
    memcpy(head->instance_id, host->instance_id, INSTANCE_ID_BYTES);
    head->hash_id = DIGEST_SHA256;
    head->epoch = machine->epoch;
    head->attempt = work->effect.attempt;
    head->number = machine->has_version ? machine->version.number + 1 : 0;
    head->parent_id = machine->version.id;
    /* An outcome without a round describes the model of the round before. */
    head->round = round ? work->effect.round : machine->round > 0 ? machine->round - 1 : 0;
    fill_rule(head, host, &work->effect);
    head->learning_rate = work->effect.rate;
    head->round_seed = host->round_seed;
    if (work->effect.undone)
        snprintf(head->validation_choice, sizeof(head->validation_choice), "round %llu",
                 (unsigned long long)machine->convergence.best_round);
    else if (round)
        fill_validation(head, host);
    if (round && !work->effect.undone && host->outcome != nullptr && host->outcome->has_choice)
        snprintf(head->validation_choice, sizeof(head->validation_choice), "%s",
                 validated_candidate_name(host->outcome->choice));
    if (work->state != nullptr)
        head->rule_state_digest = work->state->model_digest;
    head->model_digest = work->file->model_digest;
    head->model_blob_digest = work->file->blob_digest;
    head->model_blob_length = work->file->size;
    head->layout_digest = host->layout->digest;
    head->aggregate_norm = round && !work->effect.undone ? host->aggregate_norm : 0;
    head->committed_unix_ms = clock_unix_ms();
    head->outcome = (enum wire_outcome)work->effect.outcome;
    head->accepted_count = work->count;
    head->best = work->effect.best == BEST_THIS     ? RECORD_BEST_THIS
                 : work->effect.best == BEST_PARENT ? RECORD_BEST_PARENT
                                                    : RECORD_BEST_AS_BEFORE;
}

static void fill_version(struct commit_job *work)
{
    char hex[DIGEST_HEX_MAX];
    const struct record_head *const head = &work->head;
    work->version = (struct store_version){.epoch = head->epoch,
                                           .number = head->number,
                                           .round = head->round,
                                           .parent = head->parent_id,
                                           .model_digest = head->model_digest,
                                           .blob_digest = head->model_blob_digest,
                                           .created_ms = (int64_t)head->committed_unix_ms,
                                           .best = work->effect.best == BEST_THIS};
    digest_to_hex(&head->model_digest, hex);
    snprintf(work->version.model_file, sizeof(work->version.model_file), "%06llu-%.16s.safetensors",
             (unsigned long long)head->number, hex);
    if (work->state != nullptr)
        snprintf(work->state_name, sizeof(work->state_name), "%06llu-%.16s.state.safetensors",
                 (unsigned long long)head->number, hex);
    snprintf(work->outcome, sizeof(work->outcome), "%s",
             control_outcome_name((enum wire_outcome)work->effect.outcome));
    work->open_round = head->round + 1;
}

static enum status put_chain(struct commit_job *work, const struct digest *key_id,
                             const struct bytes *chain)
{
    if (chain->size == 0)
        return STATUS_OK;
    const enum status status =
        store_put_certificate(work->host->store, key_id, bytes_slice(chain), &work->error);
    /* Renewed: the certificate of the first use stays. */
    return status == STATUS_EXISTS ? STATUS_OK : status;
}

/* The model, the optimiser's state and the certificates: what the commit names must be there. */
static enum status put_files(struct commit_job *work)
{
    struct store *const store = work->host->store;
    const struct slice model = {work->file->bytes, work->file->size};
    enum status status = store_put_model(store, work->version.model_file, &model, 1, &work->error);
    if (status == STATUS_OK && work->state != nullptr) {
        const struct slice state = {work->state->bytes, work->state->size};
        status = store_put_model(store, work->state_name, &state, 1, &work->error);
    }
    if (status == STATUS_OK)
        status = put_chain(work, &work->credentials->signer.key_id, &work->own_chain);
    for (uint32_t i = 0; i < work->count && status == STATUS_OK; i++)
        status = put_chain(work, &work->accepted[i].key_id, &work->chains[i]);
    return status;
}

/* For an audit: the updates that are counted, and the state that they met. */
static enum status keep_updates(struct commit_job *work)
{
    struct coordinator_host *const host = work->host;
    struct store_summary summary;
    char path[CONFIG_PATH_MAX];
    enum status status = STATUS_OK;
    if (host->config->audit.keep_updates == 0 || work->count == 0)
        return STATUS_OK;
    if (!digest_is_zero(&work->base_state_digest))
        status = store_read_summary(host->store, &summary, &work->error);
    if (status == STATUS_OK && !digest_is_zero(&work->base_state_digest)) {
        status = store_sqlite_model_path(host->store, summary.state_file, path, sizeof(path));
        if (status == STATUS_OK)
            status = kept_updates_put_state(host->kept, work->head.number, &work->base_state_digest,
                                            path, &work->error);
    }
    return status == STATUS_OK ? kept_updates_sync(host->kept, work->head.number, &work->error)
                               : status;
}

static enum status sign(struct commit_job *work, struct store_commit *commit,
                        struct bytes *signed_record)
{
    struct bytes record;
    bytes_init(&record, STORE_RECORD_BYTES_MAX);
    enum status status = store_history_digest(commit, &work->head.history_digest);
    if (status == STATUS_OK)
        status = store_state_digest(commit, &work->head.state_digest);
    if (status == STATUS_OK)
        status = record_encode(&work->head, work->accepted, &record, &work->error);
    if (status == STATUS_OK)
        status = record_sign(bytes_slice(&record), &work->credentials->signer, signed_record,
                             &work->version.id);
    bytes_deinit(&record);
    commit->version.id = work->version.id;
    commit->record = bytes_slice(signed_record);
    return status;
}

static enum status store_all(struct commit_job *work)
{
    struct bytes signed_record;
    enum status status = put_files(work);
    if (status == STATUS_OK)
        status = keep_updates(work);
    if (status == STATUS_OK && work->metrics.size > 0)
        status = run_folder_metrics_end(work->host, &work->metrics);
    if (status != STATUS_OK)
        return status;
    struct store_commit commit = {
        .version = work->version,
        .parent_is_best = work->effect.best == BEST_PARENT,
        .counted = work->counted,
        .counted_count = work->count,
        .dropped = work->dropped,
        .dropped_count = work->dropped_count,
        .learn_state = bytes_slice(&work->learn_state),
        .state_file = work->state != nullptr ? work->state_name : nullptr,
        .members = work->members,
        .member_count = work->member_count,
        .open_round = work->open_round,
        .outcome = work->outcome[0] != 0 ? work->outcome : nullptr,
        .metrics = work->metrics.size > 0 ? (const char *)work->metrics.data : nullptr,
    };
    bytes_init(&signed_record, STORE_RECORD_BYTES_MAX);
    status = sign(work, &commit, &signed_record);
    if (status == STATUS_OK)
        status = store_commit(work->host->store, &commit, &work->error);
    if (status == STATUS_OK)
        kept_updates_committed(work->host->kept, work->head.number, work->count > 0);
    bytes_deinit(&signed_record);
    return status;
}

static void run_commit(struct job *job)
{
    struct commit_job *const work = (struct commit_job *)job;
    enum status status = store_all(work);
    /* The line's zero is for the store; the file gets the line only. */
    if (status == STATUS_OK && work->metrics.size > 0) {
        work->metrics.size--;
        status = run_folder_append_metrics(work->host, bytes_slice(&work->metrics), &work->error);
    }
    work->event.status = status;
}

/* What this commit made durable need not be offered to the store, round after round. */
static void note_certificates(const struct commit_job *work)
{
    for (uint32_t i = 0; i < work->count; i++) {
        if (work->chains[i].size > 0)
            work->host->accepted[work->indices[i]].kept_key_id = work->accepted[i].key_id;
    }
    work->host->kept_key_id = work->credentials->signer.key_id;
}

static void on_committed(struct job *job)
{
    struct commit_job *const work = (struct commit_job *)job;
    struct coordinator_host *const host = work->host;
    struct coordinator_event event = work->event;
    const struct coordinator_effect effect = work->effect;
    if (event.status != STATUS_OK) {
        log_event(host->log, LOG_ERROR, "commit.failed", LOG_STATUS(event.status),
                  LOG_STR("text", work->error.text));
        fprintf(stderr, "fedra coordinator: the version could not be made durable: %s\n",
                work->error.text[0] != 0 ? work->error.text : status_text(event.status));
    } else if (event.kind == EV_COMMITTED) {
        note_certificates(work);
        event.version = (struct version_ref){.number = work->head.number,
                                             .id = work->version.id,
                                             .model_digest = work->head.model_digest,
                                             .blob_digest = work->head.model_blob_digest,
                                             .blob_bytes = work->head.model_blob_length};
    }
    model_file_unref(work->file);
    model_file_unref(work->state);
    commit_free(work);
    versions_committed(host, &effect, &event);
}

void commit_begin(struct coordinator_host *host, const struct coordinator_effect *effect)
{
    const bool commit = effect->kind == FX_COMMIT;
    struct commit_job *const work = calloc(1, sizeof(*work));
    CHECK(work != nullptr);
    work->job = (struct job){.run = run_commit, .done = on_committed};
    work->host = host;
    work->effect = *effect;
    work->event = (struct coordinator_event){.kind = commit ? EV_COMMITTED : EV_OUTCOME_PERSISTED,
                                             .id = effect->id};
    work->file = model_file_ref(commit ? host->candidate : host->model);
    struct model_file *const state = commit ? host->optimiser_candidate : host->optimiser_state;
    work->state = state != nullptr ? model_file_ref(state) : nullptr;
    if (host->optimiser_state != nullptr)
        work->base_state_digest = host->optimiser_state->model_digest;
    work->credentials = credentials_ref(host->credentials);
    bytes_init(&work->own_chain, STORE_CERTIFICATE_BYTES_MAX);
    bytes_init(&work->metrics, STORE_METRICS_BYTES_MAX);
    bytes_init(&work->learn_state, STORE_LEARN_STATE_BYTES_MAX);
    const struct validated *const seen = commit ? &host->validated_candidate : &host->validated;
    enum status status = learn_state_encode(
        &host->machine.convergence, host->config->robust.rule == RULE_VALIDATED ? seen : nullptr,
        &work->learn_state);
    /* A chain that is too long leaves no certificate; the record names the key all the same. */
    if (!digest_equal(&host->kept_key_id, &host->credentials->signer.key_id))
        (void)!credentials_append_chain(host->credentials, &work->own_chain);
    if (status == STATUS_OK)
        status = gather(work);
    if (status == STATUS_OK && commit && effect->round > 0)
        status = run_folder_metrics_begin(host, &work->metrics);
    CHECK(status == STATUS_OK); /* out of memory: the next start goes on from the last commit */
    fill_head(work);
    fill_version(work);
    worker_submit(host->disk, &work->job);
}

/*
 * coordinator_versions.c - versions: the first model, the closing of a round into the next one, its
 * validation, its commit record, and what the store knows.
 *
 * Arithmetic runs on the math worker, the store on the disk worker, one thread each. Not here: when
 * any of it happens (core/coordinator_round.c).
 */
#include "host/coordinator_host_internal.h"

#include "base/check.h"
#include "host/coordinator_commit.h"
#include "store/store_sqlite.h"
#include "train/evaluate.h"

#include <math.h>
#include <openssl/rand.h>
#include <stdlib.h>
#include <string.h>

/* One asynchronous effect; the event is its completion. */
struct version_job {
    struct job job;
    struct coordinator_host *host;
    struct coordinator_event event;
    struct coordinator_effect effect;
    struct error error;
    struct model_file *file;
    double learning_rate;
    double norm;
    char node[STORE_NAME_MAX];
};

static void submit(struct coordinator_host *host, struct worker *worker,
                   const struct coordinator_effect *effect, enum coordinator_event_kind kind,
                   void (*run)(struct job *), void (*done)(struct job *))
{
    struct version_job *const work = calloc(1, sizeof(*work));
    CHECK(work != nullptr);
    work->job = (struct job){.run = run, .done = done};
    work->host = host;
    work->effect = *effect;
    work->event = (struct coordinator_event){.kind = kind, .id = effect->id};
    if (effect->kind == FX_RECALL)
        memcpy(work->node, host->machine.roster.members[effect->member].name, sizeof(work->node));
    worker_submit(worker, &work->job);
}

static void complete(struct version_job *work)
{
    struct coordinator_host *const host = work->host;
    if (work->event.status != STATUS_OK && work->event.status != STATUS_NOT_FOUND)
        log_event(host->log, LOG_ERROR, "work.failed", LOG_STATUS(work->event.status),
                  LOG_STR("text", work->error.text));
    if (work->event.status != STATUS_OK && work->error.text[0] != 0 &&
        work->event.status != STATUS_NOT_FOUND)
        fprintf(stderr, "fedra coordinator: %s\n", work->error.text);
    if (!host->draining)
        host_step(host, &work->event);
    free(work);
}

static void on_done(struct job *job)
{
    complete((struct version_job *)job);
}

static void run_epoch(struct job *job)
{
    struct version_job *const work = (struct version_job *)job;
    work->event.status =
        store_raise_epoch(work->host->store, work->effect.epoch, work->host->instance_id,
                          &work->event.epoch, &work->error);
}

static void describe(const struct model_file *file, uint64_t number,
                     struct version_ref *ret_version)
{
    *ret_version = (struct version_ref){.number = number,
                                        .model_digest = file->model_digest,
                                        .blob_digest = file->blob_digest,
                                        .blob_bytes = file->size};
}

static void run_create(struct job *job)
{
    struct version_job *const work = (struct version_job *)job;
    const struct coordinator_host *const host = work->host;
    work->event.status = model_file_create(host->layout, &work->file);
    if (work->event.status != STATUS_OK)
        return;
    model_spec_initial(&host->spec, host->config->job.seed, model_file_parameters(work->file));
    work->event.status = model_file_seal(work->file, host->layout);
    describe(work->file, 0, &work->event.version);
}

/* M' = M - rate * mean, each element rounded once from f64; the norm of the mean beside it. */
static enum status apply_mean(const struct coordinator_host *host, double rate,
                              struct model_file *next, double *ret_norm)
{
    const uint64_t count = host->layout->parameter_count;
    double *const mean = malloc(sizeof(*mean) * count);
    if (mean == nullptr)
        return STATUS_NO_MEMORY;
    enum status status = accumulator_finish_f64(host->accumulator, mean);
    const float *const old = model_file_parameters(host->model);
    float *const new = model_file_parameters(next);
    double squared = 0;
    bool finite = true;
    for (uint64_t i = 0; i < count && status == STATUS_OK; i++) {
        squared += mean[i] * mean[i];
        new[i] = (float)((double)old[i] - rate * mean[i]);
        finite = finite && isfinite(new[i]);
    }
    free(mean);
    if (status == STATUS_OK && !finite)
        status = STATUS_PEER;
    *ret_norm = sqrt(squared);
    return status;
}

static void run_close(struct job *job)
{
    struct version_job *const work = (struct version_job *)job;
    const struct coordinator_host *const host = work->host;
    work->event.status = model_file_create(host->layout, &work->file);
    if (work->event.status == STATUS_OK)
        work->event.status =
            apply_mean(host, host->config->optimiser.learning_rate, work->file, &work->norm);
    accumulator_reset(host->accumulator);
    if (work->event.status == STATUS_OK)
        work->event.status = model_file_seal(work->file, host->layout);
    if (work->event.status == STATUS_OK)
        describe(work->file, work->effect.round, &work->event.version);
}

static void on_model(struct job *job)
{
    struct version_job *const work = (struct version_job *)job;
    struct coordinator_host *const host = work->host;
    if (work->event.status == STATUS_OK) {
        model_file_unref(host->candidate);
        host->candidate = work->file;
        host->aggregate_norm = work->norm;
    } else {
        model_file_unref(work->file);
    }
    complete(work);
}

static void run_validate(struct job *job)
{
    struct version_job *const work = (struct version_job *)job;
    const struct coordinator_host *const host = work->host;
    struct evaluation evaluation;
    work->event.status = evaluate_model(&host->spec, model_file_parameters(host->candidate),
                                        &host->validation, &evaluation, &work->error);
    if (work->event.status == STATUS_OK) {
        work->event.validated.loss = evaluation.loss;
        work->event.validated.accuracy = evaluation.accuracy;
    }
}

static void run_recall(struct job *job)
{
    struct version_job *const work = (struct version_job *)job;
    const struct update_key *const key = &work->effect.key;
    struct store_receipt receipt;
    work->event.status = store_find_receipt(work->host->store, 0, key->round, work->node,
                                            &key->payload_digest, &receipt, &work->error);
    work->event.recalled.member = work->effect.member;
    work->event.recalled.session = work->effect.session;
    work->event.recalled.key = *key;
    if (work->event.status != STATUS_OK)
        return;
    work->event.recalled.counted = receipt.kind == STORE_RECEIPT_COUNTED;
    work->event.recalled.version =
        (struct version_ref){.number = receipt.version.number, .id = receipt.version.id};
    if (!work->event.recalled.counted)
        work->event.recalled.reason = REASON_ROUND_CLOSED;
}

/* From now on the committed model is the one that is announced and can be pulled. */
static void serve(struct coordinator_host *host, struct model_file *file)
{
    file->next = host->served;
    host->served = model_file_ref(file);
    struct model_file **place = &file->next;
    while (*place != nullptr) {
        struct model_file *const old = *place;
        if (old->references > 1) { /* somebody still pulls it */
            place = &old->next;
            continue;
        }
        *place = old->next;
        model_file_unref(old);
    }
}

static void round_figures_reset(struct coordinator_host *host)
{
    memset(host->refused, 0, sizeof(host->refused));
    host->bytes_in_all += host->bytes_in;
    host->bytes_out_all += host->bytes_out;
    host->bytes_in = 0;
    host->bytes_out = 0;
    CHECK(RAND_bytes((unsigned char *)&host->round_seed, sizeof(host->round_seed)) == 1);
}

void versions_committed(struct coordinator_host *host, const struct coordinator_effect *effect,
                        struct coordinator_event *event)
{
    if (event->status == STATUS_OK && effect->kind == FX_COMMIT) {
        model_file_unref(host->model);
        host->model = host->candidate;
        host->candidate = nullptr;
        serve(host, host->model);
        if (effect->round > 0)
            run_folder_progress(host);
        round_figures_reset(host);
    }
    if (!host->draining)
        host_step(host, event);
}

/* A part of the round begins: that of the one before it ends. */
static void mark(struct round_marks *marks, enum coordinator_effect_kind kind)
{
    const uint64_t now = clock_boot_ns();
    if (kind == FX_CLOSE) {
        marks->aggregate_ns = now;
        marks->validate_ns = 0; /* perhaps nobody validates */
    } else if (kind == FX_VALIDATE) {
        marks->validate_ns = now;
    } else if (kind == FX_COMMIT) {
        marks->persist_ns = now;
    }
}

void versions_carry(struct coordinator_host *host, const struct coordinator_effect *effect)
{
    mark(&host->marks, effect->kind);
    if (effect->kind == FX_PERSIST_EPOCH)
        submit(host, host->disk, effect, EV_EPOCH_PERSISTED, run_epoch, on_done);
    else if (effect->kind == FX_CREATE_MODEL)
        submit(host, host->math, effect, EV_MODEL_CREATED, run_create, on_model);
    else if (effect->kind == FX_CLOSE)
        submit(host, host->math, effect, EV_CLOSED, run_close, on_model);
    else if (effect->kind == FX_VALIDATE)
        submit(host, host->math, effect, EV_VALIDATED, run_validate, on_done);
    else if (effect->kind == FX_RECALL)
        submit(host, host->disk, effect, EV_RECALLED, run_recall, on_done);
    else
        commit_begin(host, effect);
}

void versions_deinit(struct coordinator_host *host)
{
    while (host->served != nullptr) {
        struct model_file *const file = host->served;
        host->served = file->next;
        file->references = file->references > 1 && file == host->model ? file->references : 1;
        model_file_unref(file);
    }
}

static enum outcome outcome_of(const char *name)
{
    static const char *const names[] = {"", "converged", "diverged", "exhausted", "cancelled"};
    for (size_t i = 1; i < sizeof(names) / sizeof(*names); i++) {
        if (strcmp(name, names[i]) == 0)
            return (enum outcome)i;
    }
    return OUTCOME_NONE;
}

static enum status load_model(struct coordinator_host *host, const struct store_version *version,
                              struct error *err)
{
    const size_t room = host->layout->bytes + SAFETENSORS_ROOM;
    uint8_t *const bytes = malloc(room);
    size_t size = 0;
    if (bytes == nullptr)
        return error_set(err, STATUS_NO_MEMORY, "no memory for the model");
    enum status status = STATUS_OK;
    for (;;) {
        size_t got = 0;
        status = store_read_model(host->store, version->model_file, size, bytes + size, room - size,
                                  &got, err);
        if (status != STATUS_OK || got == 0)
            break;
        size += got;
    }
    if (status != STATUS_OK) {
        free(bytes);
        return status;
    }
    status = model_file_adopt(bytes, size, host->layout, &host->model, err);
    if (status == STATUS_OK && !digest_equal(&host->model->model_digest, &version->model_digest))
        status = error_set(err, STATUS_CORRUPT,
                           "the stored model of version %llu is not the one "
                           "that was committed",
                           (unsigned long long)version->number);
    if (status == STATUS_OK)
        serve(host, host->model);
    return status;
}

struct names {
    char (*texts)[STORE_NAME_MAX];
    const char **pointers;
    uint32_t count;
};

static enum status load_roster(struct coordinator_host *host, struct names *names,
                               struct error *err)
{
    const uint64_t capacity = host->config->limits.nodes_max;
    struct store_member member = {.name = ""};
    for (;;) {
        const enum status status = store_find_member_after(host->store, member.name, &member, err);
        if (status == STATUS_NOT_FOUND)
            return STATUS_OK;
        if (status != STATUS_OK)
            return status;
        if (!member.active || names->count == capacity)
            continue;
        memcpy(names->texts[names->count], member.name, STORE_NAME_MAX);
        names->pointers[names->count] = names->texts[names->count];
        names->count++;
    }
}

static enum status read_state(struct coordinator_host *host, struct coordinator_event *event,
                              struct names *names, struct error *err)
{
    struct store_summary summary;
    struct store_version version;
    enum status status = store_read_summary(host->store, &summary, err);
    if (status != STATUS_OK)
        return status;
    event->start.epoch = summary.epoch;
    event->start.open_round = summary.open_round;
    event->start.outcome = outcome_of(summary.outcome);
    status = store_find_latest(host->store, &version, nullptr, err);
    if (status == STATUS_NOT_FOUND)
        return STATUS_OK;
    if (status == STATUS_OK)
        status = load_model(host, &version, err);
    if (status != STATUS_OK)
        return status;
    event->start.has_version = true;
    describe(host->model, version.number, &event->start.version);
    event->start.version.id = version.id;
    return load_roster(host, names, err);
}

enum status versions_start(struct coordinator_host *host, struct error *err)
{
    const uint64_t capacity = host->config->limits.nodes_max;
    struct coordinator_event event = {.kind = EV_START};
    struct names names = {.texts = calloc(capacity, STORE_NAME_MAX),
                          .pointers = calloc(capacity, sizeof(char *))};
    enum status status = names.texts != nullptr && names.pointers != nullptr
                             ? STATUS_OK
                             : error_set(err, STATUS_NO_MEMORY, "no memory for the members");
    round_figures_reset(host);
    if (status == STATUS_OK)
        status = read_state(host, &event, &names, err);
    if (status == STATUS_OK) {
        event.start.members = names.pointers;
        event.start.member_count = names.count;
        host_step(host, &event);
    }
    free(names.texts);
    free(names.pointers);
    return status;
}

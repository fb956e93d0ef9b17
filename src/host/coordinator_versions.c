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
#include "host/job_model.h"
#include "host/quarantine_report.h"

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
    struct close_task close;
    struct closed_round closed;
    struct node_figures nodes;
    char node[STORE_NAME_MAX];
};

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
    struct coordinator_host *const host = work->host;
    struct store_summary summary;
    enum status status = store_raise_epoch(host->store, work->effect.held, work->effect.epoch,
                                           host->instance_id, &work->event.epoch, &work->error);
    if (status == STATUS_OK && work->effect.held == 0)
        status = store_read_summary(host->store, &summary, &work->error);
    /* From now on nobody of an older epoch commits; until now somebody could. */
    if (status == STATUS_OK && work->effect.held == 0 && summary.commit_count != host->commits_read)
        status = error_set(&work->error, STATUS_EXISTS,
                           "another coordinator has committed since this one read where the job "
                           "stands; the next start reads it anew");
    work->event.status = status;
}

static void run_create(struct job *job)
{
    struct version_job *const work = (struct version_job *)job;
    const struct coordinator_host *const host = work->host;
    work->event.status = model_file_create(host->layout, &work->file);
    if (work->event.status != STATUS_OK)
        return;
    work->event.status = job_model_initial(host->config, &host->spec, host->layout,
                                           model_file_parameters(work->file), &work->error);
    if (work->event.status == STATUS_OK)
        work->event.status = model_file_seal(work->file, host->layout);
    if (work->event.status == STATUS_OK)
        work->event.version = core_version(work->file, 0);
}

static void run_close(struct job *job)
{
    struct version_job *const work = (struct version_job *)job;
    work->event.status = optimiser_close(work->host, &work->close, &work->closed, &work->error);
    work->event.aggregate_norm = work->closed.norm;
    if (work->event.status == STATUS_OK)
        work->event.version = core_version(work->closed.model, work->effect.round);
}

/* Names each suspect in the log; the outcome is kept for the metrics and the record. */
static void take_outcome(struct coordinator_host *host, struct robust_outcome *outcome,
                         uint64_t round)
{
    free(host->outcome);
    host->outcome = outcome;
    if (outcome == nullptr)
        return;
    if (outcome->f < outcome->wanted)
        log_event(host->log, LOG_WARN, "round.few_updates", LOG_U64("round", round),
                  LOG_U64("f", outcome->f), LOG_U64("wanted", outcome->wanted),
                  LOG_STR("text", "too few updates came for robust.rule to reckon with all liars"));
    for (uint32_t i = 0; i < outcome->count; i++)
        log_event(host->log, LOG_WARN, "update.suspected", LOG_U64("round", round),
                  LOG_STR("node", outcome->suspects[i].node),
                  LOG_STR("reason", reason_suspected_name(outcome->suspects[i].reason)),
                  LOG_F64("score", outcome->suspects[i].score));
}

static void on_closed(struct job *job)
{
    struct version_job *const work = (struct version_job *)job;
    struct coordinator_host *const host = work->host;
    host->aggregate_norm = work->closed.norm;
    take_outcome(host, work->closed.outcome, work->effect.round);
    struct evidence *const evidence =
        calloc(host->outcome != nullptr ? host->outcome->count + 1 : 1, sizeof(*evidence));
    CHECK(evidence != nullptr);
    work->event.evidence = evidence;
    work->event.evidence_count = core_evidence(&host->machine.roster, host->outcome, evidence);
    if (work->event.status == STATUS_OK) {
        model_file_replace(&host->candidate, work->closed.model);
        model_file_replace(&host->optimiser_candidate, work->closed.state);
        host->validated_candidate =
            host->outcome != nullptr ? host->outcome->validated : (struct validated){0};
    }
    complete(work);
    free(evidence);
}

static void begin_close(struct coordinator_host *host, struct version_job *work)
{
    host->stand_in_weight =
        core_stand_in_weight(&host->machine.roster, (uint32_t)host->config->limits.samples_max);
    work->close = (struct close_task){.rate = work->effect.rate,
                                      .steps = work->effect.round - 1,
                                      .selected = host->machine.selected,
                                      .seed = host->round_seed,
                                      .stand_in_weight = host->stand_in_weight};
}

/* The first model, or one that is restored; neither the optimiser's state nor what the rule
 * validated has seen goes with it. */
static void on_model(struct job *job)
{
    struct version_job *const work = (struct version_job *)job;
    struct coordinator_host *const host = work->host;
    if (work->event.status == STATUS_OK) {
        model_file_replace(&host->candidate, work->file);
        model_file_replace(&host->optimiser_candidate, nullptr);
        host->validated_candidate = (struct validated){0};
    } else {
        model_file_unref(work->file);
    }
    complete(work);
}

/* On the disk worker. */
static void run_restore(struct job *job)
{
    struct version_job *const work = (struct version_job *)job;
    struct store_version version;
    work->event.status =
        store_find_round(work->host->store, 0, work->effect.round, &version, &work->error);
    if (work->event.status == STATUS_OK)
        work->event.status = versions_load(work->host, &version, &work->file, &work->error);
    if (work->event.status == STATUS_OK)
        work->event.version = core_version(work->file, 0);
}

static void run_pause(struct job *job)
{
    struct version_job *const work = (struct version_job *)job;
    work->event.paused = work->effect.paused;
    work->event.status = store_set_paused(work->host->store, work->effect.paused, &work->error);
}

static void run_validate(struct job *job)
{
    struct version_job *const work = (struct version_job *)job;
    const struct round_validation round = {.nodes = &work->nodes,
                                           .samples = config_validates_centrally(work->host->config)
                                                          ? &work->host->validation
                                                          : nullptr,
                                           .spec = &work->host->spec,
                                           .model = work->host->candidate};
    work->event.status = round_validate(&round, &work->event, &work->error);
}

static void begin_validate(struct coordinator_host *host, struct version_job *work)
{
    host->node_figures = (struct node_figures){0};
    if (config_validates_by_nodes(host->config))
        CHECK(node_figures_collect(&host->machine.roster, host->config->validation.trim,
                                   &host->node_figures) == STATUS_OK);
    work->nodes = host->node_figures;
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
        work->event.recalled.reason = reason_of_name(receipt.reason);
}

/* From now on the committed model is the one that is announced and can be pulled. */
void versions_serve(struct coordinator_host *host, struct model_file *file)
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

void versions_new_round(struct coordinator_host *host)
{
    memset(host->refused, 0, sizeof(host->refused));
    host->bytes_in_all += host->bytes_in;
    host->bytes_out_all += host->bytes_out;
    host->bytes_in = 0;
    host->bytes_out = 0;
    CHECK(RAND_bytes((unsigned char *)&host->round_seed, sizeof(host->round_seed)) == 1);
}

/* The round that is committed, before the machine goes on to the next one. */
static void note_round(struct coordinator_host *host)
{
    const struct coordinator *const machine = &host->machine;
    const struct control_round round = {
        .round = machine->round,
        .selected = machine->selected,
        .accepted = machine->accepted,
        .late = (uint32_t)host_refused_late(host),
        .round_ms = (clock_boot_ns() - host->marks.announce_ns) / 1000000,
        .has_loss = machine->measured,
        .has_accuracy = machine->measured_accuracy,
        .loss = machine->validation_loss,
        .accuracy = machine->validation_accuracy,
    };
    job_figures_round(&host->figures, &round);
}

void versions_committed(struct coordinator_host *host, const struct coordinator_effect *effect,
                        struct coordinator_event *event)
{
    if (event->status == STATUS_OK && effect->kind == FX_COMMIT) {
        model_file_unref(host->model);
        host->model = host->candidate;
        host->candidate = nullptr;
        model_file_replace(&host->optimiser_state, host->optimiser_candidate);
        host->optimiser_candidate = nullptr;
        host->validated = host->validated_candidate;
        versions_serve(host, host->model);
        if (effect->round > 0) {
            run_folder_progress(host);
            quarantine_report_progress(&host->machine);
            quarantine_report_log(&host->machine, host->log);
            note_round(host);
        }
        versions_new_round(host);
    }
    if (!host->draining)
        host_step(host, event);
}

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
    if (effect->kind == FX_CLOSE)
        begin_close(host, work);
    else if (effect->kind == FX_VALIDATE)
        begin_validate(host, work);
    else if (effect->kind == FX_RECALL)
        memcpy(work->node, host->machine.roster.members[effect->member].name, sizeof(work->node));
    worker_submit(worker, &work->job);
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
        submit(host, host->math, effect, EV_CLOSED, run_close, on_closed);
    else if (effect->kind == FX_VALIDATE)
        submit(host, host->math, effect, EV_VALIDATED, run_validate, on_done);
    else if (effect->kind == FX_RESTORE)
        submit(host, host->disk, effect, EV_RESTORED, run_restore, on_model);
    else if (effect->kind == FX_PERSIST_PAUSED)
        submit(host, host->disk, effect, EV_PAUSE_PERSISTED, run_pause, on_done);
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

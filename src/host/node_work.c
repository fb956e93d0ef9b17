/*
 * node_work.c - what a node does by itself: train, sign, make durable, note.
 *
 * The outbox is used on the disk worker and, for reading, by a push; a HOLD waits for the push
 * under way to end. Not here: when (core/node.c).
 */
#include "host/node_host_internal.h"

#include "base/check.h"
#include "host/core_terms.h"
#include "host/job_data.h"
#include "host/job_model.h"
#include "host/job_trainer.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Less than `fedra up` waits for its nodes to end by themselves. */
enum { TRAINER_END_S = 2 };

struct work_job {
    struct job job;
    struct node_host *host;
    struct node_event event;
    struct node_effect effect;
    struct error error;
    struct credentials *credentials; /* of a HOLD: they sign */
    uint64_t sequence;
};

static struct work_job *work_create(struct node_host *host, const struct node_effect *effect,
                                    enum node_event_kind kind, void (*run)(struct job *),
                                    void (*done)(struct job *))
{
    struct work_job *const work = calloc(1, sizeof(*work));
    CHECK(work != nullptr);
    work->job = (struct job){.run = run, .done = done};
    work->host = host;
    work->effect = *effect;
    work->event = (struct node_event){.kind = kind, .id = effect->id};
    return work;
}

static void complete(struct work_job *work, const char *what)
{
    struct node_host *const host = work->host;
    if (work->event.status != STATUS_OK && work->event.status != STATUS_CANCELLED)
        log_event(host->log, LOG_WARN, "work.failed", LOG_STR("what", what),
                  LOG_STATUS(work->event.status), LOG_STR("text", work->error.text));
    if (work->event.status != STATUS_OK && work->event.kind != NODE_EV_TRAINED)
        node_host_say(host, what, work->error.text);
    node_host_step(host, &work->event);
    credentials_unref(work->credentials);
    free(work);
    node_host_done(host);
}

static void run_train(struct job *job)
{
    struct work_job *const work = (struct work_job *)job;
    struct node_host *const host = work->host;
    struct trainer_result result = {0};
    struct pace pace = node_faults_pace(host, work->effect.id);
    const struct trainer_task task = {.serial = work->effect.id,
                                      .seed = host->config->job.seed,
                                      .round = work->effect.beacon.round,
                                      .base = model_file_parameters(host->model),
                                      .parameters = (uint32_t)host->layout->parameter_count,
                                      .progress = pace.factor > 1 ? node_faults_pause : nullptr,
                                      .progress_context = &pace};
    work->event.status =
        host->trainer_ops->train(host->trainer, &task, host->delta, &result, &work->error);
    node_faults_pause(&pace, result.steps, result.steps);
    host->delta_samples = result.samples;
    host->delta_loss = result.loss;
    host->received_evaluated =
        result.received_evaluated && result.received.samples > 0 && isfinite(result.received.loss);
    host->received = result.received;
}

static void on_trained(struct job *job)
{
    struct work_job *const work = (struct work_job *)job;
    work->host->training_id = 0;
    complete(work, "training");
}

void node_work_train(struct node_host *host, const struct node_effect *effect)
{
    struct work_job *const work = work_create(host, effect, NODE_EV_TRAINED, run_train, on_trained);
    host->training_id = effect->id;
    node_host_submit(host, host->trainers, &work->job);
}

void node_work_cancel_training(struct node_host *host, uint64_t id)
{
    atomic_store(&host->cancelled_train, id);
    host->trainer_ops->cancel(host->trainer, id);
}

static enum status seal(struct work_job *work, struct bytes *envelope, struct outbox_key *ret_key)
{
    struct node_host *const host = work->host;
    const struct beacon *const beacon = &work->effect.beacon;
    struct digest payload;
    enum status status = blob_digest(host->delta, host->layout->bytes, 0, &payload);
    if (status != STATUS_OK)
        return status;
    struct envelope_header header = core_update_header(beacon);
    header.payload_digest = payload;
    header.payload_length = host->layout->bytes;
    header.layout_digest = host->layout->digest;
    header.samples = host->delta_samples;
    header.loss = host->delta_loss;
    if (host->received_evaluated) {
        header.has_holdout_loss = true;
        header.holdout_loss = host->received.loss;
        header.has_holdout_accuracy = true;
        header.holdout_accuracy = host->received.accuracy;
        header.holdout_samples = host->received.samples;
    }
    memcpy(header.job, host->config->job.name, sizeof(host->config->job.name));
    *ret_key = (struct outbox_key){
        .round = beacon->round, .attempt = beacon->attempt, .payload_digest = payload};
    work->event.key = (struct update_key){.epoch = beacon->epoch,
                                          .round = beacon->round,
                                          .attempt = beacon->attempt,
                                          .payload_digest = payload};
    return envelope_seal(&header, &work->credentials->signer, envelope, &work->error);
}

static void run_hold(struct job *job)
{
    struct work_job *const work = (struct work_job *)job;
    struct node_host *const host = work->host;
    struct outbox_key key;
    struct bytes envelope;
    bytes_init(&envelope, OUTBOX_ENVELOPE_BYTES_MAX);
    enum status status = seal(work, &envelope, &key);
    const struct slice payload = {(const uint8_t *)host->delta, host->layout->bytes};
    if (status == STATUS_OK)
        status = outbox_put(host->outbox, &key, bytes_slice(&envelope), &payload, 1,
                            &work->sequence, &work->error);
    bytes_deinit(&envelope);
    work->event.status = status;
}

static void on_held(struct job *job)
{
    struct work_job *const work = (struct work_job *)job;
    if (work->event.status == STATUS_OK)
        work->host->outbox_sequence = work->sequence;
    complete(work, "the update could not be made durable");
}

void node_work_hold(struct node_host *host, const struct node_effect *effect)
{
    struct work_job *const work = work_create(host, effect, NODE_EV_HELD, run_hold, on_held);
    work->credentials = credentials_ref(node_connection_credentials(host));
    if (host->push_id != 0) {
        host->hold_waiting = &work->job;
        node_connection_cancel(host, host->push_id);
        return;
    }
    node_host_submit(host, host->disk, &work->job);
}

void node_work_push_ended(struct node_host *host)
{
    struct job *const waiting = host->hold_waiting;
    if (waiting == nullptr || host->push_id != 0)
        return;
    host->hold_waiting = nullptr;
    node_host_submit(host, host->disk, waiting);
}

static void run_raise(struct job *job)
{
    struct work_job *const work = (struct work_job *)job;
    work->event.status = outbox_raise_epoch(work->host->outbox, work->effect.epoch, &work->error);
}

static void on_raised(struct job *job)
{
    complete((struct work_job *)job, "the epoch could not be made durable");
}

void node_work_raise(struct node_host *host, const struct node_effect *effect)
{
    struct work_job *const work =
        work_create(host, effect, NODE_EV_EPOCH_PERSISTED, run_raise, on_raised);
    node_host_submit(host, host->disk, &work->job);
}

static void run_note(struct job *job)
{
    static const enum outbox_state states[] = {[NOTE_ACCEPTED] = OUTBOX_ACCEPTED,
                                               [NOTE_COUNTED] = OUTBOX_COUNTED,
                                               [NOTE_DROPPED] = OUTBOX_DROPPED,
                                               [NOTE_REFUSED] = OUTBOX_REFUSED};
    struct work_job *const work = (struct work_job *)job;
    char detail[OUTBOX_DETAIL_MAX];
    if (work->effect.note == NOTE_COUNTED)
        snprintf(detail, sizeof(detail), "version=%" PRIu64, work->effect.version_number);
    else
        snprintf(detail, sizeof(detail), "%s",
                 work->effect.reason == REASON_UNSPECIFIED ? "-"
                                                           : reason_name(work->effect.reason));
    work->event.status = outbox_set_state(work->host->outbox, work->sequence,
                                          states[work->effect.note], detail, &work->error);
}

static void on_noted(struct job *job)
{
    struct work_job *const work = (struct work_job *)job;
    struct node_host *const host = work->host;
    /* The outbox notes it before the next update; after a new start the next Join asks again. */
    if (work->event.status != STATUS_OK)
        log_event(host->log, LOG_WARN, "note.lost", LOG_STATUS(work->event.status),
                  LOG_STR("text", work->error.text));
    free(work);
    node_host_done(host);
}

void node_work_note(struct node_host *host, const struct node_effect *effect)
{
    struct work_job *const work = work_create(host, effect, NODE_EV_TIMER, run_note, on_noted);
    work->sequence = host->outbox_sequence;
    node_host_submit(host, host->disk, &work->job);
}

enum status node_work_kept(struct node_host *host, struct kept_update *ret_kept, struct error *err)
{
    static const enum update_state states[] = {[OUTBOX_HELD] = UPDATE_HELD,
                                               [OUTBOX_ACCEPTED] = UPDATE_ACCEPTED,
                                               [OUTBOX_COUNTED] = UPDATE_SETTLED,
                                               [OUTBOX_DROPPED] = UPDATE_SETTLED,
                                               [OUTBOX_REFUSED] = UPDATE_REFUSED};
    const struct envelope_limits limits = {.payload_bytes_max = OUTBOX_PAYLOAD_BYTES_MAX,
                                           .codecs = 1};
    struct outbox_update update;
    struct envelope envelope;
    struct refusal refusal = {0};
    enum status status = outbox_get(host->outbox, &update, err);
    if (status == STATUS_NOT_FOUND)
        return STATUS_OK;
    if (status != STATUS_OK)
        return status;
    host->outbox_sequence = update.sequence;
    status = envelope_parse(update.envelope, &limits, &envelope, &refusal);
    const struct envelope_header *const header = &envelope.header;
    if (status != STATUS_OK || strcmp(header->job, host->config->job.name) != 0 ||
        strcmp(header->spiffe_id, host->credentials->identity->svid.id.text) != 0) {
        log_event(host->log, LOG_WARN, "outbox.foreign",
                  LOG_STR("text", "the kept update is of another job or identity"));
        return STATUS_OK;
    }
    *ret_kept = (struct kept_update){.state = states[update.state],
                                     .key = {.epoch = header->epoch,
                                             .round = header->round,
                                             .attempt = header->attempt,
                                             .payload_digest = header->payload_digest},
                                     .base_id = header->base_id};
    return STATUS_OK;
}

static void on_trainer_note(void *context, enum trainer_note kind, struct slice text)
{
    struct node_host *const host = context;
    switch (kind) {
    case TRAINER_NOTE_READY:
        log_event(host->log, LOG_INFO, "trainer.ready", LOG_SLICE("name", text));
        break;
    case TRAINER_NOTE_SAID:
        log_event(host->log, LOG_INFO, "trainer.said", LOG_SLICE("text", text));
        break;
    case TRAINER_NOTE_TROUBLE:
        log_event(host->log, LOG_WARN, "trainer.trouble", LOG_SLICE("text", text));
        break;
    }
}

static enum status open_trainer(struct node_host *host, struct error *err)
{
    char folder[CONFIG_PATH_MAX + 16];
    snprintf(folder, sizeof(folder), "%s/trainer", host->config->node.state);
    const struct job_trainer job = {.config = host->config,
                                    .spec = &host->spec,
                                    .layout = host->layout,
                                    .data = &host->part->data,
                                    .holdout = &host->part->holdout,
                                    .folder = folder,
                                    .end_grace_s = TRAINER_END_S,
                                    .note = on_trainer_note,
                                    .note_context = host};
    return job_trainer_open(&job, &host->trainer_ops, &host->trainer, err);
}

enum status node_work_open(struct node_host *host, struct error *err)
{
    const struct config *const config = host->config;
    const struct node_group *const group = host->group;
    host->trainers = group->trainers;
    const bool waits = config->faults.slow.share > 0 || config->train.fixed_wait_s > 0 ||
                       config->train.trainer == CONFIG_TRAINER_COMMAND;
    if (waits && group->count > 1) {
        const enum status status = worker_create(&host->group->loop, 1, &host->own_trainer);
        if (status != STATUS_OK)
            return status;
        host->trainers = host->own_trainer;
    }
    host->disk = group->disks[(host - group->nodes) % group->disk_count];
    enum status status = job_model(config, &host->spec, &host->layout, err);
    if (status == STATUS_OK && job_trainer_wants_data(config) && host->part->data.samples == 0)
        status = job_load_part(config, host->part, err);
    if (status == STATUS_OK) {
        host->delta = malloc(host->layout->bytes);
        status = host->delta != nullptr ? STATUS_OK
                                        : error_set(err, STATUS_NO_MEMORY, "no memory for updates");
    }
    if (status == STATUS_OK)
        status = outbox_file_open(config->node.state, &host->outbox, err);
    if (status == STATUS_OK) /* in the folder that the outbox has locked */
        status = open_trainer(host, err);
    return status;
}

void node_work_close(struct node_host *host)
{
    struct work_job *const waiting = (struct work_job *)host->hold_waiting;
    if (waiting != nullptr)
        credentials_unref(waiting->credentials);
    free(waiting);
    if (host->trainer != nullptr)
        host->trainer_ops->close(host->trainer);
    outbox_close(host->outbox);
    worker_close(host->own_trainer);
    layout_destroy(host->layout);
    model_file_unref(host->model);
    free(host->delta);
}

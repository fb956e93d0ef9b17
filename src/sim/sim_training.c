/*
 * sim_training.c - see sim_training.h.
 */
#include "sim/sim_training.h"

#include "base/check.h"
#include "host/job_trainer.h"
#include "host/run_setup.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    TRAINERS_OPEN_MAX = 16, /* programs that run at the same time; more than threads */
    THREADS_MAX = TRAINERS_OPEN_MAX / 2,
    END_GRACE_S = 2,
};

enum task_state { TASK_NONE, TASK_QUEUED, TASK_RUNNING, TASK_DONE };

/* A node's training. */
struct task {
    enum task_state state;
    struct task *next; /* in the queue */
    struct sim_task what;
    bool unwanted;
    struct open_trainer *trainer; /* while it runs */
    uint64_t slot;
    struct payload measured; /* digest and squared */
    struct trainer_result result;
    enum status status;
};

struct open_trainer {
    const struct trainer_ops *ops; /* null: this place is free */
    void *trainer;
    struct config *config; /* of that node; the trainer points into it */
    uint32_t node;
    bool in_use;
    uint64_t used; /* when last, counted in uses */
    struct training *training;
};

struct training {
    struct training_options options;
    char *folder;
    uint64_t parameter_count;
    struct task *tasks; /* [nodes] */
    struct task *first; /* of the queue */
    struct task **last;
    pthread_mutex_t mutex; /* of tasks, queue and trainers */
    pthread_cond_t queued;
    pthread_cond_t done;
    pthread_t threads[THREADS_MAX];
    uint32_t thread_count;
    bool closing;
    struct open_trainer trainers[TRAINERS_OPEN_MAX];
    uint64_t uses;
    /* Of the simulation's thread. */
    int file;
    uint64_t slot_count;
    uint64_t *free_slots;
    uint64_t free_count;
    uint64_t free_capacity;
    float *read;  /* [parameter_count] */
    float *delta; /* [parameter_count], of trainings that this thread does itself */
};

/* ---- the file ---- */

static off_t place_of(const struct training *t, uint64_t slot)
{
    return (off_t)(slot * t->parameter_count * sizeof(float));
}

static uint64_t take_slot(struct training *t)
{
    return t->free_count > 0 ? t->free_slots[--t->free_count] : t->slot_count++;
}

void training_forget(struct training *t, uint64_t slot)
{
    if (t->free_count == t->free_capacity) {
        t->free_capacity = 2 * t->free_capacity + 64;
        uint64_t *const grown = realloc(t->free_slots, t->free_capacity * sizeof(*grown));
        CHECK(grown != nullptr);
        t->free_slots = grown;
    }
    t->free_slots[t->free_count++] = slot;
}

static enum status write_update(const struct training *t, uint64_t slot, const float *values)
{
    const char *from = (const char *)values;
    size_t left = t->parameter_count * sizeof(float);
    off_t at = place_of(t, slot);
    while (left > 0) {
        const ssize_t size = pwrite(t->file, from, left, at);
        if (size < 0 && errno == EINTR)
            continue;
        if (size <= 0)
            return errno == ENOSPC ? STATUS_NO_SPACE : STATUS_IO;
        from += size;
        at += size;
        left -= (size_t)size;
    }
    return STATUS_OK;
}

const float *training_read(struct training *t, const struct payload *payload)
{
    char *to = (char *)t->read;
    size_t left = t->parameter_count * sizeof(float);
    off_t at = place_of(t, payload->slot);
    while (left > 0) {
        const ssize_t size = pread(t->file, to, left, at);
        if (size < 0 && errno == EINTR)
            continue;
        if (size <= 0)
            return nullptr;
        to += size;
        at += size;
        left -= (size_t)size;
    }
    return t->read;
}

/* ---- trainers ---- */

static void on_note(void *context, enum trainer_note kind, struct slice text)
{
    static const char *const names[] = {[TRAINER_NOTE_READY] = "trainer.ready",
                                        [TRAINER_NOTE_SAID] = "trainer.said",
                                        [TRAINER_NOTE_TROUBLE] = "trainer.trouble"};
    const struct open_trainer *const open = context;
    char name[CONFIG_NAME_MAX];
    run_node_name(open->node, name);
    log_event(open->training->options.log, kind == TRAINER_NOTE_TROUBLE ? LOG_WARN : LOG_INFO,
              names[kind], LOG_STR("node", name), LOG_SLICE("text", text));
}

static enum status open_trainer(struct training *t, struct open_trainer *place, struct error *err)
{
    static const struct job_part none;
    struct config *const config = malloc(sizeof(*config));
    char folder[RUN_PATH_MAX + CONFIG_NAME_MAX];
    if (config == nullptr)
        return error_set(err, STATUS_NO_MEMORY, "no memory for a trainer");
    *config = *t->options.config;
    config->data.part = place->node;
    config->train.fixed_wait_s = 0; /* it is virtual */
    run_node_name(place->node, config->node.name);
    snprintf(folder, sizeof(folder), "%s/%s", t->folder, config->node.name);
    const bool has_parts = job_trainer_wants_data(config);
    const struct job_part *const part = has_parts ? &t->options.parts[place->node] : &none;
    const struct job_trainer job = {.config = config,
                                    .spec = t->options.spec,
                                    .layout = t->options.work->layout,
                                    .data = &part->data,
                                    .holdout = &part->holdout,
                                    .folder = folder,
                                    .end_grace_s = END_GRACE_S,
                                    .note = on_note,
                                    .note_context = place};
    const enum status status = job_trainer_open(&job, &place->ops, &place->trainer, err);
    place->config = config;
    if (status != STATUS_OK) {
        place->ops = nullptr;
        free(config);
    }
    return status;
}

/* The node's own where it is open, else a free place, else the one that was used longest ago. Fewer
 * threads than places: there is one. */
static struct open_trainer *find_place(struct training *t, uint32_t node)
{
    struct open_trainer *best = nullptr;
    for (uint32_t i = 0; i < TRAINERS_OPEN_MAX; i++) {
        struct open_trainer *const place = &t->trainers[i];
        if (place->in_use)
            continue;
        if (place->ops != nullptr && place->node == node)
            return place;
        if (best == nullptr || (best->ops != nullptr && place->ops == nullptr) ||
            ((best->ops == nullptr) == (place->ops == nullptr) && place->used < best->used))
            best = place;
    }
    CHECK(best != nullptr);
    return best;
}

/* Open, and this task's alone. Mutex held; it is let go meanwhile. */
static enum status acquire(struct training *t, struct task *task, struct error *err)
{
    struct open_trainer *const place = find_place(t, task->what.node);
    const struct trainer_ops *const other_ops =
        place->ops != nullptr && place->node != task->what.node ? place->ops : nullptr;
    void *const other = place->trainer;
    struct config *const other_config = place->config;
    const bool is_open = place->ops != nullptr && other_ops == nullptr;
    enum status status = STATUS_OK;
    place->in_use = true;
    place->used = ++t->uses;
    place->node = task->what.node;
    place->training = t;
    if (!is_open) {
        place->ops = nullptr;
        pthread_mutex_unlock(&t->mutex);
        if (other_ops != nullptr) {
            other_ops->close(other);
            free(other_config);
        }
        status = open_trainer(t, place, err);
        pthread_mutex_lock(&t->mutex);
    }
    if (status == STATUS_OK)
        task->trainer = place;
    else
        place->in_use = false;
    return status;
}

/* ---- a task ---- */

static enum status train(struct training *t, struct task *task, float *delta, struct error *err)
{
    const struct trainer_task what = {.serial = task->what.serial,
                                      .seed = t->options.config->job.seed,
                                      .round = task->what.round,
                                      .base = model_file_parameters(task->what.base),
                                      .parameters = (uint32_t)t->parameter_count};
    enum status status =
        task->trainer->ops->train(task->trainer->trainer, &what, delta, &task->result, err);
    if (status != STATUS_OK)
        return status;
    payload_measure(delta, t->options.work->layout, &task->measured);
    status = write_update(t, task->slot, delta);
    return status == STATUS_OK
               ? status
               : error_set_errno(err, status, errno, "%s: the updates' file", t->folder);
}

/* Mutex held; it is let go meanwhile. */
static void run_task(struct training *t, struct task *task, float *delta)
{
    struct error err = {0};
    task->state = TASK_RUNNING;
    task->result = (struct trainer_result){0};
    task->status = acquire(t, task, &err);
    if (task->status == STATUS_OK && !task->unwanted) {
        pthread_mutex_unlock(&t->mutex);
        task->status = train(t, task, delta, &err);
        pthread_mutex_lock(&t->mutex);
    }
    if (task->trainer != nullptr)
        task->trainer->in_use = false;
    task->trainer = nullptr;
    task->state = TASK_DONE;
    if (task->status != STATUS_OK && !task->unwanted) {
        char name[CONFIG_NAME_MAX];
        run_node_name(task->what.node, name);
        log_event(t->options.log, LOG_WARN, "training.failed", LOG_STR("node", name),
                  LOG_U64("round", task->what.round), LOG_STATUS(task->status),
                  LOG_STR("text", err.text));
    }
    pthread_cond_broadcast(&t->done);
}

static struct task *take_first(struct training *t)
{
    struct task *const task = t->first;
    t->first = task->next;
    if (t->first == nullptr)
        t->last = &t->first;
    return task;
}

static void take_out(struct training *t, struct task *task)
{
    struct task **place = &t->first;
    while (*place != task)
        place = &(*place)->next;
    *place = task->next;
    if (task->next == nullptr)
        t->last = place;
}

static void *work(void *context)
{
    struct training *const t = context;
    float *const delta = malloc(sizeof(*delta) * t->parameter_count);
    CHECK(delta != nullptr);
    pthread_mutex_lock(&t->mutex);
    for (;;) {
        while (t->first == nullptr && !t->closing)
            pthread_cond_wait(&t->queued, &t->mutex);
        if (t->closing)
            break;
        run_task(t, take_first(t), delta);
    }
    pthread_mutex_unlock(&t->mutex);
    free(delta);
    return nullptr;
}

void training_begin(struct training *t, const struct sim_task *what)
{
    struct task *const task = &t->tasks[what->node];
    CHECK(task->state == TASK_NONE);
    *task = (struct task){.state = TASK_QUEUED, .what = *what, .slot = take_slot(t)};
    task->what.base = model_file_ref(what->base);
    pthread_mutex_lock(&t->mutex);
    *t->last = task;
    t->last = &task->next;
    pthread_cond_signal(&t->queued);
    pthread_mutex_unlock(&t->mutex);
}

/* Waits until it is done; does it itself where nobody has begun it. */
static void finish(struct training *t, struct task *task)
{
    pthread_mutex_lock(&t->mutex);
    if (task->state == TASK_QUEUED) {
        take_out(t, task);
        if (!task->unwanted)
            run_task(t, task, t->delta);
    }
    while (task->state == TASK_RUNNING)
        pthread_cond_wait(&t->done, &t->mutex);
    pthread_mutex_unlock(&t->mutex);
    model_file_unref(task->what.base);
    task->state = TASK_NONE;
}

void training_stop(struct training *t, uint32_t node)
{
    struct task *const task = &t->tasks[node];
    if (task->state == TASK_NONE)
        return;
    pthread_mutex_lock(&t->mutex);
    task->unwanted = true;
    if (task->trainer != nullptr)
        task->trainer->ops->cancel(task->trainer->trainer, task->what.serial);
    pthread_mutex_unlock(&t->mutex);
    finish(t, task);
    training_forget(t, task->slot);
}

enum status training_end(struct training *t, uint32_t node, struct sim_trained *ret_trained)
{
    struct task *const task = &t->tasks[node];
    if (task->state == TASK_NONE)
        return STATUS_CANCELLED; /* stopped just before */
    finish(t, task);
    if (task->status != STATUS_OK) {
        training_forget(t, task->slot);
        return task->status;
    }
    struct payload *const payload = calloc(1, sizeof(*payload));
    CHECK(payload != nullptr);
    *payload = (struct payload){.references = 1,
                                .digest = task->measured.digest,
                                .squared = task->measured.squared,
                                .work = t->options.work,
                                .slot = task->slot};
    *ret_trained = (struct sim_trained){
        .payload = payload, .samples = task->result.samples, .loss = task->result.loss};
    if (task->result.received_evaluated && isfinite(task->result.received.loss))
        ret_trained->received = task->result.received;
    return STATUS_OK;
}

/* ---- open and close ---- */

static enum status start_threads(struct training *t, struct error *err)
{
    const uint32_t wanted =
        t->options.threads < THREADS_MAX ? t->options.threads : (uint32_t)THREADS_MAX;
    for (; t->thread_count < wanted; t->thread_count++) {
        const int code = pthread_create(&t->threads[t->thread_count], nullptr, work, t);
        if (code != 0)
            return error_set_errno(err, STATUS_NO_MEMORY, code, "no thread can be started");
    }
    return STATUS_OK;
}

enum status training_open(const struct training_options *options, struct training **ret_training,
                          struct error *err)
{
    struct training *const t = calloc(1, sizeof(*t));
    if (t == nullptr)
        return error_set(err, STATUS_NO_MEMORY, "no memory for the trainings");
    t->options = *options;
    t->folder = strdup(options->folder);
    t->parameter_count = options->work->layout->parameter_count;
    t->last = &t->first;
    CHECK(pthread_mutex_init(&t->mutex, nullptr) == 0);
    CHECK(pthread_cond_init(&t->queued, nullptr) == 0);
    CHECK(pthread_cond_init(&t->done, nullptr) == 0);
    t->file = open(options->folder, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    enum status status = t->file >= 0 ? STATUS_OK
                                      : error_set_errno(err, STATUS_IO, errno,
                                                        "%s: no file for updates", options->folder);
    t->tasks = calloc(options->nodes, sizeof(*t->tasks));
    t->read = malloc(sizeof(*t->read) * t->parameter_count);
    t->delta = malloc(sizeof(*t->delta) * t->parameter_count);
    if (status == STATUS_OK && (!t->folder || !t->tasks || !t->read || !t->delta))
        status = error_set(err, STATUS_NO_MEMORY, "no memory for %u nodes", options->nodes);
    if (status == STATUS_OK)
        status = start_threads(t, err);
    if (status != STATUS_OK) {
        training_close(t);
        return status;
    }
    *ret_training = t;
    return STATUS_OK;
}

void training_close(struct training *t)
{
    if (t == nullptr)
        return;
    for (uint32_t node = 0; t->tasks != nullptr && node < t->options.nodes; node++)
        training_stop(t, node);
    pthread_mutex_lock(&t->mutex);
    t->closing = true;
    pthread_cond_broadcast(&t->queued);
    pthread_mutex_unlock(&t->mutex);
    for (uint32_t i = 0; i < t->thread_count; i++)
        pthread_join(t->threads[i], nullptr);
    for (uint32_t i = 0; i < TRAINERS_OPEN_MAX; i++) {
        struct open_trainer *const place = &t->trainers[i];
        if (place->ops == nullptr)
            continue;
        place->ops->close(place->trainer);
        free(place->config);
    }
    if (t->file >= 0)
        close(t->file);
    pthread_mutex_destroy(&t->mutex);
    pthread_cond_destroy(&t->queued);
    pthread_cond_destroy(&t->done);
    free(t->folder);
    free(t->tasks);
    free(t->free_slots);
    free(t->read);
    free(t->delta);
    free(t);
}

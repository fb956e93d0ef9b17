/*
 * trainer_fixed.c - the trainer that answers every task with the same vector.
 */
#include "base/random.h"
#include "train/trainer.h"

#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { STREAM_FIXED = 0x66697864 };

struct fixed {
    uint64_t samples;
    uint64_t wait_ms;
    uint32_t parameters;
    float *delta; /* f32[parameters] */
    pthread_mutex_t lock;
    pthread_cond_t cancelled;
    uint64_t cancelled_serial; /* under lock */
};

static enum status fixed_open(const struct trainer_options *options, void **ret_trainer,
                              struct error *err)
{
    const enum status status = model_spec_check(&options->spec, err);
    if (status != STATUS_OK)
        return status;
    if (options->fixed_samples < 1)
        return error_set(err, STATUS_INVAL, "a fixed trainer with 0 samples; at least 1 is right");
    const uint32_t parameters = model_spec_parameters(&options->spec);
    struct fixed *const fixed = calloc(1, sizeof(*fixed));
    float *const delta = malloc((size_t)parameters * sizeof(*delta));
    if (fixed == nullptr || delta == nullptr) {
        free(fixed);
        free(delta);
        return error_set(err, STATUS_NO_MEMORY, "no memory for %u parameters", parameters);
    }
    if (options->fixed_delta != nullptr) {
        memcpy(delta, options->fixed_delta, (size_t)parameters * sizeof(*delta));
    } else {
        struct random random;
        random_init(&random, options->node, STREAM_FIXED, 0);
        const double scale = 1 / sqrt(parameters);
        for (uint32_t i = 0; i < parameters; i++)
            delta[i] = (float)((2 * random_unit(&random) - 1) * scale);
    }
    pthread_mutex_init(&fixed->lock, nullptr); /* of its default kind it cannot fail, nor cond */
    pthread_cond_init(&fixed->cancelled, nullptr);
    fixed->samples = options->fixed_samples;
    fixed->wait_ms = options->fixed_wait_ms;
    fixed->parameters = parameters;
    fixed->delta = delta;
    *ret_trainer = fixed;
    return STATUS_OK;
}

/* Waits as long as a training would take; false where it was cancelled before or meanwhile. */
static bool wait_it_out(struct fixed *fixed, uint64_t serial)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += (time_t)(fixed->wait_ms / 1000);
    until.tv_nsec += (long)(fixed->wait_ms % 1000) * 1000000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000;
    }
    bool over = fixed->wait_ms == 0;
    pthread_mutex_lock(&fixed->lock);
    while (fixed->cancelled_serial < serial && !over)
        over =
            pthread_cond_clockwait(&fixed->cancelled, &fixed->lock, CLOCK_MONOTONIC, &until) != 0;
    const bool good = fixed->cancelled_serial < serial;
    pthread_mutex_unlock(&fixed->lock);
    return good;
}

static enum status fixed_train(void *trainer, const struct trainer_task *task, float *ret_delta,
                               struct trainer_result *ret_result, struct error *err)
{
    struct fixed *const fixed = trainer;
    if (task->parameters != fixed->parameters)
        return error_set(err, STATUS_INVAL,
                         "the model received has %u parameters, but the trainer's has %u",
                         task->parameters, fixed->parameters);
    if (!wait_it_out(fixed, task->serial))
        return error_set(err, STATUS_CANCELLED, "training was cancelled");
    memcpy(ret_delta, fixed->delta, (size_t)fixed->parameters * sizeof(*ret_delta));
    if (task->progress != nullptr)
        task->progress(task->progress_context, 1, 1);
    *ret_result = (struct trainer_result){.samples = fixed->samples, .steps = 1};
    return STATUS_OK;
}

static enum status fixed_evaluate(void *trainer, const float *parameters,
                                  const struct dataset *data, struct evaluation *ret_evaluation,
                                  struct error *err)
{
    return error_set(err, STATUS_UNSUPPORTED, "the fixed trainer cannot evaluate a model");
}

static void fixed_cancel(void *trainer, uint64_t serial)
{
    struct fixed *const fixed = trainer;
    pthread_mutex_lock(&fixed->lock);
    if (fixed->cancelled_serial < serial)
        fixed->cancelled_serial = serial;
    pthread_cond_broadcast(&fixed->cancelled);
    pthread_mutex_unlock(&fixed->lock);
}

static void fixed_close(void *trainer)
{
    struct fixed *const fixed = trainer;
    pthread_cond_destroy(&fixed->cancelled);
    pthread_mutex_destroy(&fixed->lock);
    free(fixed->delta);
    free(fixed);
}

const struct trainer_ops trainer_fixed = {
    .name = "fixed",
    .open = fixed_open,
    .train = fixed_train,
    .evaluate = fixed_evaluate,
    .cancel = fixed_cancel,
    .close = fixed_close,
};

/*
 * trainer_builtin.c - the trainer that runs sgd.h over the node's samples.
 */
#include "train/network.h"
#include "train/trainer.h"

#include <stdatomic.h>
#include <stdlib.h>

struct builtin {
    struct trainer_options options;
    uint32_t parameters;
    struct sgd *sgd;
    _Atomic uint64_t cancelled_serial; /* the highest that cancel was called with */
};

/* What the callbacks of one train call need. */
struct call {
    struct builtin *builtin;
    const struct trainer_task *task;
};

static enum status builtin_open(const struct trainer_options *options, void **ret_trainer,
                                struct error *err)
{
    struct builtin *const builtin = calloc(1, sizeof(*builtin));
    if (builtin == nullptr)
        return error_set(err, STATUS_NO_MEMORY, "no memory for a trainer");
    builtin->options = *options;
    enum status status = sgd_create(&options->spec, &options->sgd, &builtin->sgd, err);
    if (status == STATUS_OK)
        status = network_check_data(&options->spec, options->data, err);
    if (status == STATUS_OK && options->holdout != nullptr)
        status = network_check_data(&options->spec, options->holdout, err);
    if (status != STATUS_OK) {
        sgd_destroy(builtin->sgd);
        free(builtin);
        return status;
    }
    builtin->parameters = model_spec_parameters(&options->spec);
    *ret_trainer = builtin;
    return STATUS_OK;
}

static bool call_cancelled(void *context)
{
    const struct call *const call = context;
    return atomic_load(&call->builtin->cancelled_serial) >= call->task->serial;
}

static void call_progress(void *context, uint64_t steps, uint64_t steps_total)
{
    const struct call *const call = context;
    if (call->task->progress != nullptr)
        call->task->progress(call->task->progress_context, steps, steps_total);
}

static enum status builtin_train(void *trainer, const struct trainer_task *task, float *ret_delta,
                                 struct trainer_result *ret_result, struct error *err)
{
    struct builtin *const builtin = trainer;
    if (task->parameters != builtin->parameters)
        return error_set(err, STATUS_INVAL,
                         "the model received has %u parameters, but the trainer's has %u",
                         task->parameters, builtin->parameters);
    struct call call = {builtin, task};
    const struct sgd_watch watch = {call_cancelled, call_progress, &call};
    const struct sgd_key key = {task->seed, builtin->options.node, task->round};
    struct sgd_result result = {0};
    struct evaluation received = {0};
    const struct dataset *const holdout = builtin->options.holdout;
    enum status status = STATUS_OK;
    if (holdout != nullptr && !call_cancelled(&call))
        status = evaluate_model(&builtin->options.spec, task->base, holdout, &received, err);
    if (status == STATUS_OK)
        status = sgd_train(builtin->sgd, &key, builtin->options.data, task->base, &watch, ret_delta,
                           &result, err);
    if (status != STATUS_OK)
        return status;
    *ret_result = (struct trainer_result){.samples = result.samples,
                                          .steps = result.steps,
                                          .loss = result.loss,
                                          .received_evaluated = holdout != nullptr,
                                          .received = received};
    return STATUS_OK;
}

static enum status builtin_evaluate(void *trainer, const float *parameters,
                                    const struct dataset *data, struct evaluation *ret_evaluation,
                                    struct error *err)
{
    const struct builtin *const builtin = trainer;
    return evaluate_model(&builtin->options.spec, parameters, data, ret_evaluation, err);
}

static void builtin_cancel(void *trainer, uint64_t serial)
{
    struct builtin *const builtin = trainer;
    uint64_t highest = atomic_load(&builtin->cancelled_serial);
    while (highest < serial &&
           !atomic_compare_exchange_weak(&builtin->cancelled_serial, &highest, serial)) {
        /* highest was read anew */
    }
}

static void builtin_close(void *trainer)
{
    struct builtin *const builtin = trainer;
    sgd_destroy(builtin->sgd);
    free(builtin);
}

const struct trainer_ops trainer_builtin = {
    .name = "builtin",
    .open = builtin_open,
    .train = builtin_train,
    .evaluate = builtin_evaluate,
    .cancel = builtin_cancel,
    .close = builtin_close,
};

/*
 * round_close.c - see round_close.h. The arithmetic of a step is in learn/server_optimiser.c.
 */
#include "host/round_close.h"

#include "base/check.h"
#include "train/evaluate.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum status round_state_layout(const struct server_optimiser *optimiser, uint64_t parameter_count,
                               struct layout **ret_layout, struct error *err)
{
    static const char *const names[] = {"momentum", "second_moment"};
    const uint32_t vectors = server_optimiser_vectors(optimiser);
    struct layout_builder *builder = nullptr;
    *ret_layout = nullptr;
    if (vectors == 0)
        return STATUS_OK;
    CHECK(vectors <= sizeof(names) / sizeof(names[0]));
    enum status status = layout_builder_create(&builder);
    if (status != STATUS_OK)
        return error_set(err, status, "no memory for a layout");
    for (uint32_t i = 0; i < vectors && status == STATUS_OK; i++)
        status = layout_builder_add(builder, names[i], strlen(names[i]), DTYPE_F32, 1,
                                    &parameter_count, err);
    if (status == STATUS_OK)
        status = layout_builder_finish(builder, ret_layout, err);
    layout_builder_destroy(builder);
    return status;
}

/* The momentum in the place of who is late. */
static enum status count_momentum(const struct round_inputs *inputs, uint64_t steps,
                                  uint64_t late_weight, double *mean)
{
    const uint64_t count = inputs->layout->parameter_count;
    const double weight =
        (double)(inputs->robust != nullptr ? robust_round_weight_sum(inputs->robust)
                                           : accumulator_weight_sum(inputs->accumulator));
    if (inputs->state == nullptr || late_weight == 0 || steps == 0)
        return STATUS_OK;
    double *const direction = malloc(sizeof(*direction) * count);
    if (direction == nullptr)
        return STATUS_NO_MEMORY;
    server_optimiser_direction(inputs->optimiser, model_file_parameters(inputs->state), direction,
                               count);
    server_optimiser_stand_in(inputs->optimiser, steps, weight, (double)late_weight, direction,
                              mean, count);
    free(direction);
    return STATUS_OK;
}

/* A copy of the state, or zeros before the first step; null where the optimiser has none. */
static enum status next_state(const struct round_inputs *inputs, struct model_file **ret_state)
{
    *ret_state = nullptr;
    if (inputs->state_layout == nullptr)
        return STATUS_OK;
    struct model_file *state = nullptr;
    const enum status status = model_file_create(inputs->state_layout, &state);
    if (status != STATUS_OK)
        return status;
    const size_t size = sizeof(float) * inputs->state_layout->parameter_count;
    if (inputs->state != nullptr)
        memcpy(model_file_parameters(state), model_file_parameters(inputs->state), size);
    else
        memset(model_file_parameters(state), 0, size);
    *ret_state = state;
    return STATUS_OK;
}

static double norm_of(const double *mean, uint64_t count)
{
    double squared = 0;
    for (uint64_t i = 0; i < count; i++)
        squared += mean[i] * mean[i];
    return sqrt(squared);
}

static enum status seal(const struct round_inputs *inputs, struct model_file *next,
                        struct model_file *state)
{
    enum status status = model_file_seal(next, inputs->layout);
    if (status == STATUS_OK && state != nullptr)
        status = model_file_seal(state, inputs->state_layout);
    return status;
}

/* A candidate of the rule validated on its way to a loss. */
struct trial {
    const struct round_inputs *inputs;
    const struct close_task *task;
    enum status status; /* the first that failed */
};

/* Moves the model and the state, which is null where there is none, by mean; it ends as the
 * direction. PEER: they would not be finite. */
static enum status move(const struct round_inputs *inputs, const struct close_task *task,
                        double *mean, struct model_file *model, struct model_file *state)
{
    const enum status status = count_momentum(inputs, task->steps, task->stand_in_weight, mean);
    if (status != STATUS_OK)
        return status;
    return server_optimiser_step(inputs->optimiser, task->rate, mean,
                                 model_file_parameters(inputs->model), model_file_parameters(model),
                                 state != nullptr ? model_file_parameters(state) : nullptr,
                                 inputs->layout->parameter_count)
               ? STATUS_OK
               : STATUS_PEER;
}

/* The loss of the model that the round would make of this aggregate. */
static double loss_of(void *context, const float *aggregate)
{
    struct trial *const trial = context;
    const struct round_inputs *const inputs = trial->inputs;
    const uint64_t count = inputs->layout->parameter_count;
    struct model_file *model = nullptr;
    struct model_file *state = nullptr;
    struct evaluation evaluation = {0};
    double *const mean = malloc(sizeof(*mean) * count);
    enum status status =
        mean != nullptr ? model_file_create(inputs->layout, &model) : STATUS_NO_MEMORY;
    if (status == STATUS_OK)
        status = next_state(inputs, &state);
    for (uint64_t i = 0; i < count && status == STATUS_OK; i++)
        mean[i] = (double)aggregate[i];
    if (status == STATUS_OK)
        status = move(inputs, trial->task, mean, model, state);
    if (status == STATUS_OK)
        status = evaluate_model(inputs->choice->spec, model_file_parameters(model),
                                inputs->choice->samples, &evaluation, nullptr);
    model_file_unref(model);
    model_file_unref(state);
    free(mean);
    if (status != STATUS_OK && status != STATUS_PEER && trial->status == STATUS_OK)
        trial->status = status;
    return status == STATUS_OK && isfinite(evaluation.loss) ? evaluation.loss : (double)INFINITY;
}

/* The mean, or what the rule made of the updates. */
static enum status aggregate(const struct round_inputs *inputs, const struct close_task *task,
                             double *mean, struct closed_round *closed, struct error *err)
{
    struct trial trial = {.inputs = inputs, .task = task};
    struct robust_choice choice = {0};
    if (inputs->robust == nullptr)
        return accumulator_finish_f64(inputs->accumulator, mean);
    if (inputs->choice != nullptr)
        choice =
            (struct robust_choice){.before = inputs->choice->before,
                                   .loss = inputs->choice->samples != nullptr ? loss_of : nullptr,
                                   .context = &trial,
                                   .chosen = inputs->choice->chosen};
    const enum status status = robust_round_close(inputs->robust, task->selected, task->seed,
                                                  inputs->choice != nullptr ? &choice : nullptr,
                                                  mean, &closed->outcome, err);
    return status == STATUS_OK && trial.status != STATUS_OK
               ? error_set(err, trial.status, "a candidate of the rule could not be measured")
               : status;
}

enum status round_close(const struct round_inputs *inputs, const struct close_task *task,
                        struct closed_round *ret_closed, struct error *err)
{
    const uint64_t count = inputs->layout->parameter_count;
    struct closed_round closed = {0};
    double *const mean = malloc(sizeof(*mean) * count);
    enum status status =
        mean != nullptr ? model_file_create(inputs->layout, &closed.model) : STATUS_NO_MEMORY;
    if (status == STATUS_OK)
        status = next_state(inputs, &closed.state);
    if (status == STATUS_OK)
        status = aggregate(inputs, task, mean, &closed, err);
    if (status == STATUS_OK) {
        status = move(inputs, task, mean, closed.model, closed.state);
        closed.norm = norm_of(mean, count);
    }
    if (status == STATUS_OK)
        status = seal(inputs, closed.model, closed.state);
    if (inputs->robust != nullptr)
        robust_round_reset(inputs->robust);
    else
        accumulator_reset(inputs->accumulator);
    free(mean);
    if (status != STATUS_OK) {
        model_file_unref(closed.model);
        model_file_unref(closed.state);
        ret_closed->norm = closed.norm;
        ret_closed->outcome = closed.outcome;
        return status;
    }
    *ret_closed = closed;
    return STATUS_OK;
}

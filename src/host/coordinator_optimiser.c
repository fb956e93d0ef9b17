/*
 * coordinator_optimiser.c - from the accumulator to the next model: the mean, the momentum of those
 * who are late, the server's optimiser and its state.
 *
 * The state is a safetensors file of its own beside the models; it becomes durable with the version
 * that it belongs to. Runs on the math worker but for optimiser_open. Not here: when (core/), the
 * arithmetic of a step (learn/server_optimiser.c).
 */
#include "host/coordinator_host_internal.h"

#include "base/check.h"
#include "host/job_settings.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum status optimiser_open(struct coordinator_host *host, struct error *err)
{
    static const char *const names[] = {"momentum", "second_moment"};
    host->optimiser = job_optimiser(host->config);
    const uint32_t vectors = server_optimiser_vectors(&host->optimiser);
    enum status status = STATUS_OK;
    if (robust_round_is_needed(host->config))
        status = robust_round_create(host->config, host->config->server.state,
                                     host->layout->parameter_count, &host->robust, err);
    else
        status = accumulator_create(host->layout->parameter_count,
                                    grid_from_norm_max(host->config->limits.update_norm_max),
                                    &host->accumulator);
    if (status != STATUS_OK || vectors == 0)
        return status;
    CHECK(vectors <= sizeof(names) / sizeof(names[0]));
    struct layout_builder *builder = nullptr;
    status = layout_builder_create(&builder);
    if (status != STATUS_OK)
        return error_set(err, status, "no memory for a layout");
    for (uint32_t i = 0; i < vectors && status == STATUS_OK; i++)
        status = layout_builder_add(builder, names[i], strlen(names[i]), DTYPE_F32, 1,
                                    &host->layout->parameter_count, err);
    if (status == STATUS_OK)
        status = layout_builder_finish(builder, &host->state_layout, err);
    layout_builder_destroy(builder);
    return status;
}

enum status optimiser_adopt(struct coordinator_host *host, uint8_t *bytes, size_t size,
                            struct error *err)
{
    if (host->state_layout == nullptr) {
        free(bytes);
        return STATUS_OK; /* a state that the present kind does not look at */
    }
    const enum status status =
        model_file_adopt(bytes, size, host->state_layout, &host->optimiser_state, err);
    return status == STATUS_OK
               ? STATUS_OK
               : error_prefix(err, status,
                              "the stored state is not one of this optimiser.kind, which must "
                              "stay the same within a job");
}

/* The momentum in the place of who is late. */
static enum status count_momentum(const struct coordinator_host *host, uint64_t steps,
                                  uint64_t late_weight, double *mean)
{
    const uint64_t count = host->layout->parameter_count;
    const double weight =
        (double)(host->robust != nullptr ? robust_round_weight_sum(host->robust)
                                         : accumulator_weight_sum(host->accumulator));
    if (host->optimiser_state == nullptr || late_weight == 0 || steps == 0)
        return STATUS_OK;
    double *const direction = malloc(sizeof(*direction) * count);
    if (direction == nullptr)
        return STATUS_NO_MEMORY;
    server_optimiser_direction(&host->optimiser, model_file_parameters(host->optimiser_state),
                               direction, count);
    server_optimiser_stand_in(&host->optimiser, steps, weight, (double)late_weight, direction, mean,
                              count);
    free(direction);
    return STATUS_OK;
}

/* A copy of the state, or zeros before the first step; null where the optimiser has none. */
static enum status next_state(const struct coordinator_host *host, struct model_file **ret_state)
{
    *ret_state = nullptr;
    if (host->state_layout == nullptr)
        return STATUS_OK;
    struct model_file *state = nullptr;
    const enum status status = model_file_create(host->state_layout, &state);
    if (status != STATUS_OK)
        return status;
    const size_t size = sizeof(float) * host->state_layout->parameter_count;
    if (host->optimiser_state != nullptr)
        memcpy(model_file_parameters(state), model_file_parameters(host->optimiser_state), size);
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

static enum status step(const struct coordinator_host *host, double rate, const double *mean,
                        struct model_file *next, struct model_file *state)
{
    const bool finite = server_optimiser_step(
        &host->optimiser, rate, mean, model_file_parameters(host->model),
        model_file_parameters(next), state != nullptr ? model_file_parameters(state) : nullptr,
        host->layout->parameter_count);
    if (!finite)
        return STATUS_PEER;
    enum status status = model_file_seal(next, host->layout);
    if (status == STATUS_OK && state != nullptr)
        status = model_file_seal(state, host->state_layout);
    return status;
}

/* The mean, or what the rule made of the updates. */
static enum status aggregate(const struct coordinator_host *host, const struct close_task *task,
                             double *mean, struct closed_round *closed, struct error *err)
{
    if (host->robust != nullptr)
        return robust_round_close(host->robust, task->selected, task->seed, mean, &closed->outcome,
                                  err);
    return accumulator_finish_f64(host->accumulator, mean);
}

enum status optimiser_close(const struct coordinator_host *host, const struct close_task *task,
                            struct closed_round *ret_closed, struct error *err)
{
    const uint64_t count = host->layout->parameter_count;
    struct closed_round closed = {0};
    double *const mean = malloc(sizeof(*mean) * count);
    enum status status =
        mean != nullptr ? model_file_create(host->layout, &closed.model) : STATUS_NO_MEMORY;
    if (status == STATUS_OK)
        status = next_state(host, &closed.state);
    if (status == STATUS_OK)
        status = aggregate(host, task, mean, &closed, err);
    if (status == STATUS_OK)
        status = count_momentum(host, task->steps, task->stand_in_weight, mean);
    if (status == STATUS_OK) {
        closed.norm = norm_of(mean, count);
        status = step(host, task->rate, mean, closed.model, closed.state);
    }
    if (host->robust != nullptr)
        robust_round_reset(host->robust);
    else
        accumulator_reset(host->accumulator);
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

void optimiser_deinit(struct coordinator_host *host)
{
    model_file_unref(host->optimiser_state);
    model_file_unref(host->optimiser_candidate);
    layout_destroy(host->state_layout);
    accumulator_destroy(host->accumulator);
    robust_round_destroy(host->robust);
    free(host->outcome);
}

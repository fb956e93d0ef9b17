/*
 * coordinator_optimiser.c - what a coordinator closes rounds with: accumulator or robust rule, the
 * server's optimiser and its state.
 *
 * The state is a safetensors file of its own beside the models; it becomes durable with the version
 * that it belongs to. Runs on the math worker but for optimiser_open. Not here: when (core/), how
 * (round_close.c).
 */
#include "host/coordinator_host_internal.h"

#include "host/job_settings.h"

#include <stdlib.h>

enum status optimiser_open(struct coordinator_host *host, struct error *err)
{
    host->optimiser = job_optimiser(host->config);
    enum status status = STATUS_OK;
    if (robust_round_is_needed(host->config))
        status = robust_round_create(host->config, host->config->server.state,
                                     host->layout->parameter_count, &host->robust, err);
    else
        status = accumulator_create(host->layout->parameter_count,
                                    grid_from_norm_max(host->config->limits.update_norm_max),
                                    &host->accumulator);
    return status == STATUS_OK ? round_state_layout(&host->optimiser, host->layout->parameter_count,
                                                    &host->state_layout, err)
                               : status;
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

enum status optimiser_close(const struct coordinator_host *host, const struct close_task *task,
                            struct closed_round *ret_closed, struct error *err)
{
    const struct round_choice choice = {
        .before = host->validated, .samples = &host->validation, .spec = &host->spec};
    const bool chooses = host->config->robust.rule == RULE_VALIDATED;
    const struct round_inputs inputs = {.layout = host->layout,
                                        .state_layout = host->state_layout,
                                        .optimiser = &host->optimiser,
                                        .model = host->model,
                                        .state = host->optimiser_state,
                                        .accumulator = host->accumulator,
                                        .robust = host->robust,
                                        .choice = chooses ? &choice : nullptr};
    return round_close(&inputs, task, ret_closed, err);
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

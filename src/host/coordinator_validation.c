/*
 * coordinator_validation.c - what a round's figures are: measured on the coordinator's own samples,
 * or the trimmed mean of what the nodes of the accepted set report of the model they received.
 *
 * Not here: what follows from them (learn/convergence.c, core/coordinator_round.c).
 */
#include "host/coordinator_host_internal.h"

#include "learn/trimmed_mean.h"
#include "train/evaluate.h"

#include <stdlib.h>

enum status validation_collect(const struct coordinator_host *host, struct node_figures *ret)
{
    const struct roster *const roster = &host->machine.roster;
    struct node_figures figures = {0};
    double *const losses = malloc(sizeof(*losses) * (2 * (size_t)roster->count + 1));
    if (losses == nullptr)
        return STATUS_NO_MEMORY;
    double *const accuracies = losses + roster->count;
    uint32_t accuracy_count = 0;
    for (uint32_t i = 0; i < roster->count; i++) {
        const struct member *const member = &roster->members[roster->order[i]];
        /* A late update reports an older version. */
        if (!member->accepted || member->late || member->report.samples == 0)
            continue;
        losses[figures.nodes++] = member->report.loss;
        if (member->report.has_accuracy)
            accuracies[accuracy_count++] = member->report.accuracy;
        figures.samples += member->report.samples;
    }
    const double trim = host->config->validation.trim;
    if (figures.nodes > 0)
        figures.loss = trimmed_mean(losses, figures.nodes, trim);
    if (accuracy_count > 0)
        figures.accuracy = trimmed_mean(accuracies, accuracy_count, trim);
    figures.has_accuracy = accuracy_count > 0;
    free(losses);
    *ret = figures;
    return STATUS_OK;
}

enum status validation_measure(const struct coordinator_host *host,
                               const struct node_figures *nodes, struct coordinator_event *event,
                               struct error *err)
{
    struct evaluation evaluation;
    if (!config_validates_centrally(host->config)) {
        event->validated.has_loss = nodes->nodes > 0;
        event->validated.loss = nodes->loss;
        event->validated.has_accuracy = nodes->has_accuracy;
        event->validated.accuracy = nodes->accuracy;
        return STATUS_OK;
    }
    const enum status status = evaluate_model(&host->spec, model_file_parameters(host->candidate),
                                              &host->validation, &evaluation, err);
    if (status != STATUS_OK)
        return status;
    event->validated.has_loss = true;
    event->validated.loss = evaluation.loss;
    event->validated.has_accuracy = true;
    event->validated.accuracy = evaluation.accuracy;
    return STATUS_OK;
}

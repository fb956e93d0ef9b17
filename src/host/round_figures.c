/*
 * round_figures.c - see round_figures.h.
 */
#include "host/round_figures.h"

#include "learn/trimmed_mean.h"
#include "train/evaluate.h"

#include <stdlib.h>

enum status node_figures_collect(const struct roster *roster, double trim,
                                 struct node_figures *ret_figures)
{
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
    if (figures.nodes > 0)
        figures.loss = trimmed_mean(losses, figures.nodes, trim);
    if (accuracy_count > 0)
        figures.accuracy = trimmed_mean(accuracies, accuracy_count, trim);
    figures.has_accuracy = accuracy_count > 0;
    free(losses);
    *ret_figures = figures;
    return STATUS_OK;
}

enum status round_validate(const struct round_validation *round, struct coordinator_event *event,
                           struct error *err)
{
    const struct node_figures *const nodes = round->nodes;
    struct evaluation evaluation;
    if (round->samples == nullptr) {
        event->validated.has_loss = nodes->nodes > 0;
        event->validated.loss = nodes->loss;
        event->validated.has_accuracy = nodes->has_accuracy;
        event->validated.accuracy = nodes->accuracy;
        return STATUS_OK;
    }
    const enum status status = evaluate_model(round->spec, model_file_parameters(round->model),
                                              round->samples, &evaluation, err);
    if (status != STATUS_OK)
        return status;
    event->validated.has_loss = true;
    event->validated.loss = evaluation.loss;
    event->validated.has_accuracy = true;
    event->validated.accuracy = evaluation.accuracy;
    return STATUS_OK;
}

/*
 * round_figures.h - what a round's figures are: measured on samples of the coordinator's own, or
 * the trimmed mean of what the nodes of the accepted set report of the model they received.
 *
 * Not here: what follows from them (learn/convergence.c, core/coordinator_round.c).
 */
#pragma once

#include "core/coordinator.h"
#include "host/model_file.h"
#include "train/dataset.h"
#include "train/model_spec.h"

/* What the nodes of a round say of the model they received: trimmed means. */
struct node_figures {
    uint32_t nodes; /* that reported a loss; 0: there are no figures */
    uint64_t samples;
    double loss;
    double accuracy;
    bool has_accuracy;
};

/* Of those whose accepted update is not late. trim: the share left out at each end. NO_MEMORY. */
[[nodiscard]] enum status node_figures_collect(const struct roster *roster, double trim,
                                               struct node_figures *ret_figures);

struct round_validation {
    const struct node_figures *nodes;
    const struct dataset *samples; /* null: the nodes' figures are the round's */
    const struct model_spec *spec;
    const struct model_file *model; /* the candidate */
};

/* Fills in event->validated. As evaluate_model. */
[[nodiscard]] enum status round_validate(const struct round_validation *round,
                                         struct coordinator_event *event, struct error *err);

/*
 * job_trainer.h - the trainer that a configuration asks for, opened.
 *
 * Not here: what trainers do (train/trainer.h), which thread calls them (node_work.c).
 */
#pragma once

#include "host/config.h"
#include "train/trainer.h"

/* What a trainer needs besides the configuration; all is borrowed until it is closed. */
struct job_trainer {
    const struct config *config;
    const struct model_spec *spec;
    const struct layout *layout;
    const struct dataset *data; /* empty where the trainer reads its samples itself, or has none */
    const struct dataset *holdout; /* likewise */
    const char *folder;            /* for a program's files; its parent exists */
    double end_grace_s;            /* what a program gets to end when the trainer is closed */
    trainer_on_note *note;
    void *note_context;
};

/* Whether the samples are read by this process for the trainer: see job_load_part. */
bool job_trainer_wants_data(const struct config *config);

/* Opens it; the caller closes. What the table's open gives, or reading the labels. */
[[nodiscard]] enum status job_trainer_open(const struct job_trainer *job,
                                           const struct trainer_ops **ret_ops, void **ret_trainer,
                                           struct error *err);

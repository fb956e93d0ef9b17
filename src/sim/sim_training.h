/*
 * sim_training.h - the trainings of a simulated federation, for real: on threads of their own,
 * beside the virtual time that they are said to take; their updates lie in a file.
 *
 * What a training gives depends on nothing but its task, so the number of threads changes nothing.
 * All functions but for what runs inside are for the one thread of the simulation. Not here: how
 * long a training is said to take (sim_job.c).
 */
#pragma once

#include "host/job_data.h"
#include "host/log.h"
#include "sim/sim_work.h"
#include "train/model_spec.h"

struct training;

/* Borrowed until it is closed, but for the folder's name. */
struct training_options {
    const struct config *config; /* of the job; each node has its own name and part */
    const struct model_spec *spec;
    struct sim_work *work;        /* its layout is the model's */
    const struct job_part *parts; /* [nodes]; empty where trainers read their samples themselves */
    uint32_t nodes;
    uint32_t threads;   /* at least 1 */
    const char *folder; /* for updates and the files of programs */
    struct log *log;    /* what trainers say */
};

/* IO: no file can be made in folder; NO_MEMORY. */
[[nodiscard]] enum status training_open(const struct training_options *options,
                                        struct training **ret_training, struct error *err);
void training_close(struct training *training); /* null is allowed */

/* The node has no training under way. */
void training_begin(struct training *training, const struct sim_task *task);
/* Waits for it, or does it. What the trainer gives, its text is in the log; CANCELLED where it was
 * stopped. */
enum status training_end(struct training *training, uint32_t node, struct sim_trained *ret_trained);
/* It is cancelled, where there is one. */
void training_stop(struct training *training, uint32_t node);

/* f32[parameter_count] of an update; valid until the next call. Null: the file cannot be read. */
const float *training_read(struct training *training, const struct payload *payload);
void training_forget(struct training *training, uint64_t slot);

/*
 * sim_work.h - what the nodes of a simulated federation learn: eight numbers drawn from the seed
 * (sim_drawn.c), or a real model from real samples (sim_job.c).
 *
 * Not here: when somebody trains and who takes what is learnt (sim_node.c, sim_updates.c).
 */
#pragma once

#include "base/digest.h"
#include "core/coordinator.h"
#include "host/model_file.h"
#include "host/robust_round.h"
#include "host/run_report.h"
#include "tensor/layout.h"
#include "train/evaluate.h"

/* The numbers of an update, in memory or in a file: held by the node that made it, by the messages
 * that carry it, by the coordinator until it is folded. */
struct payload {
    uint32_t references;
    struct digest digest;  /* of its bytes, as CODEC_RAW_F32 */
    double squared;        /* the sum of its squares: not finite where one of them is not */
    float *values;         /* f32[parameter_count]; null: they lie with the work, read_payload */
    struct sim_work *work; /* where they lie with it */
    uint64_t slot;         /* there */
};

/* Takes values (malloc's, f32[layout->parameter_count]) over; one reference, the caller's. */
struct payload *payload_create(float *values, const struct layout *layout);
/* Digest and squared of values. On any thread. */
void payload_measure(const float *values, const struct layout *layout, struct payload *payload);
struct payload *payload_ref(struct payload *payload);
void payload_unref(struct payload *payload); /* null is allowed */

struct sim_task {
    uint32_t node;
    uint64_t round;
    uint64_t serial;         /* of the node's trainings, from 1 */
    struct model_file *base; /* valid until the training ends or is stopped */
};

/* What a training comes to. */
struct sim_trained {
    struct payload *payload; /* a reference */
    uint64_t samples;
    double loss;
    struct evaluation received; /* of the model received; samples 0: not measured */
};

struct sim_work;
struct sim_round;

struct sim_work_ops {
    /* The first model: f32[parameter_count]. */
    void (*first)(struct sim_work *work, float *ret_parameters);
    /* Begins a training; gives how long it lasts in virtual ns, 0: as long as the plan's delays. */
    uint64_t (*begin)(struct sim_work *work, const struct sim_task *task);
    /* Ends what was begun, waiting for it where it goes on by itself. OK; else there is no update.
     */
    enum status (*end)(struct sim_work *work, uint32_t node, struct sim_trained *ret_trained);
    /* What was begun is not wanted any more; nothing where nothing was. */
    void (*stop)(struct sim_work *work, uint32_t node);
    /* Fills in how good the candidate of the machine's round is. */
    void (*validate)(struct sim_work *work, const struct coordinator *machine,
                     const struct model_file *candidate, struct coordinator_event *event);
    /* f32[parameter_count] of a payload that lies with the work; valid until the next call. */
    const float *(*read_payload)(struct sim_work *work, const struct payload *payload);
    void (*forget_payload)(struct sim_work *work, uint64_t slot);
    /* A round is durable. May be null. */
    void (*committed)(struct sim_work *work, const struct sim_round *round);
    /* The job has ended; said again after a coordinator that ended was started again. May be null.
     */
    void (*ended)(struct sim_work *work, const struct coordinator *machine,
                  const struct model_file *model, uint64_t now_ns);
};

/* What a committed round was; the machine is still in it. */
struct sim_round {
    const struct coordinator *machine;
    const struct model_file *model;       /* of the version that it made */
    const struct robust_outcome *outcome; /* null: under the mean */
    const uint64_t *refused;              /* [REASONS] */
    uint64_t bytes_in;
    uint64_t bytes_out;
    uint64_t now_ns;
};

/* The head of every implementation's own struct. */
struct sim_work {
    const struct sim_work_ops *ops;
    struct layout *layout;       /* of the model; the work's */
    double norm_max;             /* of an update */
    bool is_checked;             /* every update is kept, and each model is made again from them */
    struct robust_round *robust; /* the work's; null: the rule is the mean */
    const struct dataset *trusted; /* what the rule validated chooses by; null: another rule */
    const struct model_spec *spec; /* of the model that they measure */
    bool is_over;                  /* nothing is to happen any more, whatever the job does */
};

/* Eight numbers from the seed. */
struct sim_work *drawn_work_create(uint64_t seed);
void drawn_work_destroy(struct sim_work *work);

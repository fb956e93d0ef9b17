/*
 * trainer.h - what a node learns with, behind one table: built-in SGD, a program of the user's, or
 * a fixed answer.
 *
 * The table is fit for a trainer that runs long or outside the process: calls block, and cancel may
 * come from another thread. Not here: which thread calls (host/), what becomes of a delta
 * (tensor/).
 */
#pragma once

#include "base/bytes.h"
#include "base/status.h"
#include "tensor/layout.h"
#include "train/dataset.h"
#include "train/evaluate.h"
#include "train/model_spec.h"
#include "train/sgd.h"
#include "train/trainer_keeper.h"

#include <stdint.h>

enum trainer_note {
    TRAINER_NOTE_READY,   /* its process is ready; the text is its name, and more */
    TRAINER_NOTE_SAID,    /* a line of its standard error, as it came: escape it */
    TRAINER_NOTE_TROUBLE, /* something was wrong that made no task fail */
};

/* Told by a trainer, on the thread that trains or closes. text is valid for the call. */
typedef void trainer_on_note(void *context, enum trainer_note kind, struct slice text);

/*
 * What trainer_external is opened with. Texts are UTF-8; "" is: none. folder and indices are used
 * by open only. docs/trainer.md says what the program sees of it.
 */
struct trainer_external_options {
    const char *command; /* for /bin/sh -c, in the process's working directory */
    /* What runs trainer_keeper_main: a program's path and its first arguments, then null. */
    const char *const *keeper;
    const char *folder; /* its own: made where it is missing, emptied; the parent must exist */
    const struct layout *layout; /* of the model, all F32 */
    const char *job;
    const char *node;
    uint64_t part;
    uint64_t parts;
    uint64_t seed;           /* of the job */
    const char *data;        /* where the samples are; may be "" */
    const uint32_t *indices; /* u32[index_count], ascending: the node's samples; null: not known */
    uint32_t index_count;
    double holdout;         /* share of them on which the models received are to be measured */
    double start_timeout_s; /* until it is ready */
    double task_timeout_s;  /* of one task; 0 none */
    double heartbeat_s;     /* silence in a task, of one that sends heartbeats */
    double cancel_grace_s;  /* from a cancel to SIGTERM */
    double end_grace_s;     /* from the close of its standard input to SIGTERM */
    struct trainer_limits limits;
    trainer_on_note *note; /* may be null */
    void *note_context;
};

/* What a trainer is opened with. All pointers are borrowed until close. */
struct trainer_options {
    struct model_spec spec;
    const struct dataset *data;    /* the node's own samples; null for trainer_fixed */
    const struct dataset *holdout; /* samples not in data on which each model received is measured
                                      before it is trained; null: that is not done */
    struct sgd_settings sgd;       /* trainer_builtin */
    uint64_t node;                 /* trainer_node_key of the node's name */
    const float *fixed_delta; /* trainer_fixed: f32[parameters] that is the answer, or null for a
                                 vector made from node: elements in [-1, 1) / sqrt(parameters) */
    uint64_t fixed_samples;   /* trainer_fixed: the number of samples it claims; at least 1 */
    uint64_t fixed_wait_ms;   /* trainer_fixed: how long it waits before it answers */
    struct trainer_external_options external; /* trainer_external */
};

/* One round's work. */
struct trainer_task {
    uint64_t serial; /* rises from task to task of one trainer; from 1; what cancel names */
    uint64_t seed;   /* of the job */
    uint64_t round;
    const float *base; /* f32[parameters], the model received; borrowed for the call */
    uint32_t parameters;
    /* After some or all batches, on the thread that trains; may be null. */
    void (*progress)(void *context, uint64_t steps, uint64_t steps_total);
    void *progress_context;
};

struct trainer_result {
    uint64_t samples;
    uint64_t steps;
    double loss; /* mean local loss; 0 from trainer_fixed */
    /* Whether received is filled: the model received, over samples that are not trained on. */
    bool received_evaluated;
    struct evaluation received;
    bool has_accuracy; /* whether accuracy is filled: that of the local training, in [0, 1] */
    double accuracy;
};

struct trainer_ops {
    /* For configuration, logs and metrics: "builtin", "fixed", "command". */
    const char *name;

    /*
     * Called once, before all others; may block shortly; allocates all that train needs. options is
     * copied, what it points to is borrowed. On success the caller closes. INVAL, NO_MEMORY.
     */
    enum status (*open)(const struct trainer_options *options, void **ret_trainer,
                        struct error *err);

    /*
     * Trains from task->base and blocks until done, for minutes perhaps. On any thread, not always
     * the same one, but one call (train or evaluate) at a time.
     *
     * ret_delta  f32[parameters], the caller's: base - trained. Its content is of no use after an
     *            error. Must not overlap base.
     *
     * INVAL where the task does not fit the model or training ran away, CANCELLED, NO_MEMORY.
     * trainer_external also: PEER and TIMEOUT where its process misbehaves, IO, NO_SPACE; whatever
     * its process does, the next call starts from a sound one.
     */
    enum status (*train)(void *trainer, const struct trainer_task *task, float *ret_delta,
                         struct trainer_result *ret_result, struct error *err);

    /*
     * Evaluates parameters (f32[parameters]) over data; as train where threads are concerned.
     * UNSUPPORTED from a trainer that cannot.
     */
    enum status (*evaluate)(void *trainer, const float *parameters, const struct dataset *data,
                            struct evaluation *ret_evaluation, struct error *err);

    /*
     * Makes every train call whose serial is at most this one end with CANCELLED soon: the one that
     * runs, or one that has not begun. From any thread, between open and close; never blocks.
     * A train call that has just ended is not affected, nor is a later serial. UINT64_MAX says that
     * nothing will be trained any more: a process outside is then not asked but ended.
     */
    void (*cancel)(void *trainer, uint64_t serial);

    /* Called once, after train has returned; frees everything. May block for end_grace_s. */
    void (*close)(void *trainer);
};

/* Softmax regression and MLP by sgd.h. */
extern const struct trainer_ops trainer_builtin;

/* Answers, at once or after a wait, with a fixed vector of the model's size, for measuring all but
 * training. */
extern const struct trainer_ops trainer_fixed;

/*
 * A program of the user's, in a process of its own, which gets tasks as lines and models as files.
 * Its process is started by open, and anew by the first train after it ended or misbehaved. SIGPIPE
 * must be ignored.
 */
extern const struct trainer_ops trainer_external;

/* The table of that name, static; null where there is none. */
const struct trainer_ops *trainer_find(const char *name);

/* The key of a node's name: the first 8 bytes, little-endian, of its SHA-256. */
uint64_t trainer_node_key(const char *name);

/*
 * sgd.h - a node's local training: minibatch SGD over its own samples.
 *
 * Steps are defined as PyTorch's torch.optim.SGD does (momentum without dampening or Nesterov).
 * Not here: forward and backward passes (network.h), who calls it when (trainer.h).
 */
#pragma once

#include "base/status.h"
#include "train/dataset.h"
#include "train/model_spec.h"

#include <stdint.h>

enum {
    SGD_EPOCHS_MAX = 10000,
    SGD_BATCH_MAX = 65536,
};

struct sgd_settings {
    uint32_t local_epochs; /* in [1, SGD_EPOCHS_MAX] */
    uint32_t batch_size;   /* in [1, SGD_BATCH_MAX]; the last batch of an epoch may be shorter */
    float learning_rate;   /* finite, > 0 */
    float momentum;        /* in [0, 1); its buffer starts at zero in every round */
    float weight_decay;    /* >= 0, finite; added to the gradient as weight_decay * parameter */
    float proximal_mu;     /* >= 0, finite; FedProx: adds mu * (parameter - base) to the gradient */
};

/* What keys the order of samples: the same three give the same batches. */
struct sgd_key {
    uint64_t seed; /* of the job */
    uint64_t node; /* trainer_node_key of the node's name */
    uint64_t round;
};

/* Called between batches, on the thread that trains. */
struct sgd_watch {
    /* True to stop. May be null. */
    bool (*cancelled)(void *context);
    /* After each batch: steps done of steps in all. May be null. */
    void (*progress)(void *context, uint64_t steps, uint64_t steps_total);
    void *context;
};

struct sgd_result {
    uint64_t samples; /* the node's, not multiplied by epochs */
    uint64_t steps;   /* batches done */
    double loss;      /* mean cross-entropy over the last epoch, each batch before its step */
};

/* A trainer's memory for one model and one size of batch; nothing is allocated while training. */
struct sgd;

/* INVAL with a text that names the setting and its range. */
[[nodiscard]] enum status sgd_settings_check(const struct sgd_settings *settings,
                                             struct error *err);

/* spec is softmax or mlp. INVAL, NO_MEMORY. The caller destroys it. */
[[nodiscard]] enum status sgd_create(const struct model_spec *spec,
                                     const struct sgd_settings *settings, struct sgd **ret_sgd,
                                     struct error *err);
void sgd_destroy(struct sgd *sgd);

/*
 * Trains from base over all samples of the data set for local_epochs.
 *
 * base       f32[parameters], in; not changed.
 * data       at least one sample, of spec's input size; labels under spec's classes.
 * watch      may be null.
 * ret_delta  f32[parameters]: base - trained. Written also where the call fails: it is the
 *            working memory. Must not overlap base.
 *
 * The same inputs give the same bits on one processor type, in any process; OpenBLAS picks kernels
 * by processor, so another type may differ in the last bits. INVAL for data that does not fit or
 * a result that is not finite; CANCELLED; NO_MEMORY.
 */
[[nodiscard]] enum status sgd_train(struct sgd *sgd, const struct sgd_key *key,
                                    const struct dataset *data, const float *base,
                                    const struct sgd_watch *watch, float *ret_delta,
                                    struct sgd_result *ret_result, struct error *err);

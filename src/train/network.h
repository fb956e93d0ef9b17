/*
 * network.h - forward and backward passes of softmax regression and MLPs, a batch at a time.
 *
 * For sgd.c and evaluate.c. Not here: which samples a batch has, what is done with a gradient.
 */
#pragma once

#include "base/status.h"
#include "train/dataset.h"
#include "train/model_spec.h"

#include <stdint.h>

struct network;

/* Allocates for batches of up to batch_max samples. INVAL, NO_MEMORY. */
[[nodiscard]] enum status network_create(const struct model_spec *spec, uint32_t batch_max,
                                         struct network **ret_network, struct error *err);
void network_destroy(struct network *network);

/* INVAL where the data set is empty, or its samples or labels do not fit the model. */
[[nodiscard]] enum status network_check_data(const struct model_spec *spec,
                                             const struct dataset *data, struct error *err);

/*
 * Loads a batch (as dataset_batch does) and computes its outputs.
 *
 * parameters  f32[parameters], the flat array of model_spec.h.
 */
void network_forward(struct network *network, const float *parameters, const struct dataset *data,
                     const uint32_t *picks, uint32_t first, uint32_t count);

/* Of the last forward: the summed cross-entropy (nats); adds how many were right to ret_right. */
double network_loss(const struct network *network, uint64_t *ret_right);

/*
 * Of the last forward: target = keep * target + scale * gradient of the batch's mean cross-entropy.
 *
 * target  f32[parameters], in/out; may be the parameters that forward used. Turns the outputs
 *         into working memory: call network_loss before.
 */
void network_backward(struct network *network, const float *parameters, float keep, float scale,
                      float *target);

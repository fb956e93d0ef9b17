/*
 * evaluate.h - loss and accuracy of a model over a data set.
 */
#pragma once

#include "base/status.h"
#include "train/dataset.h"
#include "train/model_spec.h"

#include <stdint.h>

struct evaluation {
    double loss;     /* mean cross-entropy, nats; not finite where the model is not */
    double accuracy; /* share of samples whose largest output is their label's, in [0, 1] */
    uint64_t samples;
};

/*
 * Evaluates a softmax or mlp model.
 *
 * parameters  f32[model_spec_parameters(spec)].
 * data        at least one sample, of spec's input size; labels under spec's classes.
 *
 * Sums are f64 in the order of samples, so the same inputs give the same bits on one processor
 * type. Among equal outputs the lowest class counts. An output that is not a number is never right.
 * INVAL where data does not fit, NO_MEMORY.
 */
[[nodiscard]] enum status evaluate_model(const struct model_spec *spec, const float *parameters,
                                         const struct dataset *data,
                                         struct evaluation *ret_evaluation, struct error *err);

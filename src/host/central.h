/*
 * central.h - the job's model trained in one place, on the samples of all nodes together: what a
 * federation is compared with.
 *
 * Not here: when it runs (cli/up_command.c).
 */
#pragma once

#include "host/config.h"

struct central_result {
    double accuracy; /* on the test samples */
    double loss;
    uint64_t samples; /* trained on */
    uint64_t epochs;
    double seconds; /* of training alone */
};

/* Called after each pass over the samples. */
typedef void central_progress(void *context, uint64_t epochs, uint64_t epochs_total);

/*
 * Trains for central.epochs from the job's initial model, by the SGD that nodes use, and measures
 * the result on the test samples.
 *
 * config    central.epochs over 0, which implies data and a model that can be trained
 *           (config_check).
 * progress  may be null.
 *
 * Errors as job_data.h and sgd_train.
 */
[[nodiscard]] enum status central_train(const struct config *config, central_progress *progress,
                                        void *context, struct central_result *ret_result,
                                        struct error *err);

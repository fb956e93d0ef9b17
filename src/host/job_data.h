/*
 * job_data.h - what a configuration says about model and data, made real: the model's shape, a
 * node's own samples, the coordinator's validation and test samples.
 */
#pragma once

#include "host/config.h"
#include "train/dataset.h"
#include "train/model_spec.h"

/*
 * The model's shape. inputs 0 in the configuration is the data's, which the labels' file does not
 * tell: 784 for idx. INVAL with the key that is wrong.
 */
[[nodiscard]] enum status job_model_spec(const struct config *config, struct model_spec *ret_spec,
                                         struct error *err);

/* Loads the samples of this node (data.part). Empty where data.format is none. */
[[nodiscard]] enum status job_load_part(const struct config *config, struct dataset *ret_data,
                                        struct error *err);

/* Loads the samples held back for validation; empty where validation.source is none. */
[[nodiscard]] enum status job_load_validation(const struct config *config, struct dataset *ret_data,
                                              struct error *err);

/* Loads the test images; empty where data.evaluate_test_at_end is false. */
[[nodiscard]] enum status job_load_test(const struct config *config, struct dataset *ret_data,
                                        struct error *err);

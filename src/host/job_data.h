/*
 * job_data.h - what a configuration says about model and data, made real: the model's shape, a
 * node's own samples, the coordinator's validation and test samples.
 */
#pragma once

#include "host/config.h"
#include "train/dataset.h"
#include "train/model_spec.h"

/*
 * The model's shape. inputs 0 in the configuration is the data's: 784 for idx, else the file's at
 * data.path, which is looked at. INVAL with the key that is wrong, and what reading gives.
 */
[[nodiscard]] enum status job_model_spec(const struct config *config, struct model_spec *ret_spec,
                                         struct error *err);

/*
 * Loads the samples of this node (data.part), and takes those it measures received models on out of
 * them: none where validation.source is neither nodes nor both. Both empty where data.format is
 * none.
 */
[[nodiscard]] enum status job_load_part(const struct config *config, struct dataset *ret_data,
                                        struct dataset *ret_holdout, struct error *err);

/* Loads the samples held back for validation; empty where validation.source is none. */
[[nodiscard]] enum status job_load_validation(const struct config *config, struct dataset *ret_data,
                                              struct error *err);

/* Loads the test samples; empty where data.evaluate_test_at_end is false. */
[[nodiscard]] enum status job_load_test(const struct config *config, struct dataset *ret_data,
                                        struct error *err);

/*
 * Whether the data is what the configuration says, before any process starts: reads the labels (of
 * CSV and safetensors files all that is in them) of training and test samples and deals them out.
 * Errors as the loads above.
 */
[[nodiscard]] enum status job_check_data(const struct config *config, struct error *err);

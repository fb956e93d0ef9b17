/*
 * job_data.h - what a configuration says about model and data, made real: the model's shape, a
 * node's own samples, the coordinator's validation and test samples.
 */
#pragma once

#include "host/config.h"
#include "train/dataset.h"
#include "train/model_spec.h"

/*
 * The model's shape; a model from a file is a flat one here (job_model.h). inputs 0 in the
 * configuration is the data's: 784 for idx, else the file's at data.path, which is looked at. INVAL
 * with the key that is wrong, and what reading gives.
 */
[[nodiscard]] enum status job_model_spec(const struct config *config, struct model_spec *ret_spec,
                                         struct error *err);

/* The samples of one node; all zeros is empty. */
struct job_part {
    struct dataset data;    /* it trains on these */
    struct dataset holdout; /* it measures received models on these */
};

/*
 * The ascending indices of this node's samples among those of the training data: u32[*ret_count],
 * the caller frees it. Null and 0 where data.format is none.
 */
[[nodiscard]] enum status job_part_indices(const struct config *config, uint32_t **ret_indices,
                                           uint32_t *ret_count, struct error *err);

/*
 * Loads the samples of this node (data.part), and takes those it measures received models on out of
 * them: none where validation.source is neither nodes nor both. Both empty where data.format is
 * none.
 */
[[nodiscard]] enum status job_load_part(const struct config *config, struct job_part *ret_part,
                                        struct error *err);
void job_part_deinit(struct job_part *part);

/* The second half of job_load_part: part->data is there. NO_MEMORY. */
[[nodiscard]] enum status job_hold_out(const struct config *config, struct job_part *part,
                                       struct error *err);

/*
 * Gives every training sample its owner, a node's part or PARTITION_VALIDATION, in the order of the
 * file: u32[*ret_samples], the caller frees it. Not where data.format is none.
 */
[[nodiscard]] enum status job_deal_out(const struct config *config, uint32_t **ret_owner,
                                       uint32_t *ret_samples, struct error *err);

/* Loads chosen training samples: u32[count], ascending; null: all. Not where data.format is none.
 */
[[nodiscard]] enum status job_load_training(const struct config *config, const uint32_t *indices,
                                            uint32_t count, struct dataset *ret_data,
                                            struct error *err);

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

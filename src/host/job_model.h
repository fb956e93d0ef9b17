/*
 * job_model.h - the model of a job: its tensors, and what they hold at the start.
 *
 * Either a built-in model (train/model_spec.h), or the tensors of a safetensors file, whose meaning
 * only the trainer knows: that is a flat model to all others, with a layout of its own.
 */
#pragma once

#include "host/config.h"
#include "tensor/layout.h"
#include "train/model_spec.h"

/*
 * The tensors of model.path; the caller destroys the layout. NOT_FOUND, IO, INVAL where the file is
 * not what it should be, with the key and what would be right.
 */
[[nodiscard]] enum status job_file_layout(const struct config *config, struct layout **ret_layout,
                                          struct error *err);

/* The model's shape and its layout, which the caller destroys. As job_model_spec and above. */
[[nodiscard]] enum status job_model(const struct config *config, struct model_spec *ret_spec,
                                    struct layout **ret_layout, struct error *err);

/*
 * The first parameters, f32[layout->parameter_count]: from job.seed, or from model.path, which must
 * still have this layout.
 */
[[nodiscard]] enum status job_model_initial(const struct config *config,
                                            const struct model_spec *spec,
                                            const struct layout *layout, float *ret_parameters,
                                            struct error *err);

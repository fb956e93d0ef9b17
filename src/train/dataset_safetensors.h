/*
 * dataset_safetensors.h - labelled samples from a safetensors file: tensor `x`, F32 or U8 [n, ...],
 * and tensor `y`, whole numbers of any type [n].
 *
 * What numpy and PyTorch write in one line. Other tensors in the file are not looked at. F32 is
 * taken as it is, U8 as in idx files. The file is mapped while it is read: shortening it meanwhile
 * kills the process. Not here: which samples are a node's (partition.h).
 */
#pragma once

#include "base/bytes.h"
#include "base/status.h"
#include "train/dataset.h"

#include <stdint.h>

/*
 * Checks the whole file and gives the labels: u8[*ret_samples], the caller frees them. classes in
 * [1, DATASET_CLASSES_MAX].
 *
 * CORRUPT for the first mistake (the text names file, tensor, sample, what stands there and what
 * would be right): no such tensor, type, shape, a value that is not finite, a label that is not
 * under classes. NOT_FOUND, IO, INVAL, LIMIT, NO_MEMORY.
 */
[[nodiscard]] enum status dataset_safetensors_labels(const char *path, uint32_t classes,
                                                     uint8_t **ret_labels, uint32_t *ret_samples,
                                                     struct error *err);

/* Reads the chosen samples: indices u32[count] as in dataset_load, null for all. Errors as above.
 */
[[nodiscard]] enum status dataset_safetensors_load(const char *path, uint32_t classes,
                                                   const uint32_t *indices, uint32_t count,
                                                   struct dataset *ret_dataset, struct error *err);

/* How many features a sample has: the product of x's dimensions but the first. Errors as above. */
[[nodiscard]] enum status dataset_safetensors_features(const char *path, uint32_t *ret_features,
                                                       struct error *err);

/* As dataset_safetensors_load of all samples, from a file in memory; name is for messages. */
[[nodiscard]] enum status dataset_safetensors_read(const char *name, struct slice file,
                                                   uint32_t classes, struct dataset *ret_dataset,
                                                   struct error *err);

/*
 * Writes samples as a file that dataset_safetensors_load reads back to the same bits, replacing
 * what is there; neither atomic nor durable. On failure no file is left. IO, NO_SPACE, NO_MEMORY.
 * Blocks.
 */
[[nodiscard]] enum status dataset_safetensors_write(const char *path, const struct dataset *data,
                                                    struct error *err);

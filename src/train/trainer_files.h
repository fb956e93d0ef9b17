/*
 * trainer_files.h - the files between a node and its external trainer: its folder, the model it
 * gets, the list of its samples, the trained model it leaves.
 *
 * Not here: the format (tensor/safetensors.h), when files are made (trainer_external.c).
 */
#pragma once

#include "base/status.h"
#include "tensor/layout.h"

#include <stdint.h>

enum { TRAINER_PATH_MAX = 1024 };

/*
 * Makes the folder (0700) where it is not there and gives its absolute path, UTF-8 or not. Its
 * parent must exist. LIMIT where the path is too long, IO.
 */
[[nodiscard]] enum status
trainer_folder_make(const char *folder, char ret_path[static TRAINER_PATH_MAX], struct error *err);

/* Removes all that is in a folder, not following links, but not the folder. IO. */
[[nodiscard]] enum status trainer_folder_empty(const char *folder, struct error *err);

/* Writes one index a line, in decimal. IO, NO_SPACE. */
[[nodiscard]] enum status trainer_indices_write(const char *path, const uint32_t *indices,
                                                uint32_t count, struct error *err);

/*
 * Reads the model that a trainer left at path.
 *
 * layout     what it must be: the same tensors, all F32.
 * base       f32[parameter_count], the model it was trained from.
 * ret_delta  f32[parameter_count]: base - trained. Of no use after an error.
 *
 * INVAL with a sentence about the trainer's output: missing, no regular file, damaged, other
 * tensors, types or shapes, values that are not finite. IO, NO_MEMORY. The file is read, never
 * mapped: the trainer may still change it. Blocks on disk only.
 */
[[nodiscard]] enum status trainer_output_read(const char *path, const struct layout *layout,
                                              const float *base, float *ret_delta,
                                              struct error *err);

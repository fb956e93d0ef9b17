/*
 * run_data.h - the training files of a run, unpacked or read once for all the processes that want
 * them.
 */
#pragma once

#include "host/config.h"

/*
 * Where the job's training files are compressed (data.format idx), unpacks them to RUN/data; where
 * they are text (csv), writes what they say as a safetensors file there. What is there already is
 * replaced. Elsewhere does nothing.
 *
 * ret_format, ret_path  the data.format and data.path that nodes are to use: the same samples, bit
 *                       for bit.
 *
 * Errors as unpack_gzip and dataset_csv_load; LIMIT for paths that are too long.
 */
[[nodiscard]] enum status run_data_unpack(const char *folder, const struct config *config,
                                          enum config_data_format *ret_format,
                                          char ret_path[static CONFIG_PATH_MAX], struct error *err);

/* Removes what run_data_unpack wrote; the run does not need it any more. */
void run_data_remove(const char *folder);

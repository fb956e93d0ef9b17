/*
 * run_data.h - the training files of a run, unpacked once for all the processes that read them.
 */
#pragma once

#include "host/config.h"

/*
 * Where the job's training files are compressed (data.format idx), unpacks them to RUN/data; what
 * is there already is replaced. Elsewhere does nothing.
 *
 * ret_path  the data.path that nodes are to use.
 *
 * Errors as unpack_gzip; LIMIT for paths that are too long.
 */
[[nodiscard]] enum status run_data_unpack(const char *folder, const struct config *config,
                                          char ret_path[static CONFIG_PATH_MAX], struct error *err);

/* Removes what run_data_unpack wrote; the run does not need it any more. */
void run_data_remove(const char *folder);

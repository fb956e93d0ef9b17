/*
 * job_pool.h - the samples of several nodes at once: of those in one process, or of all of them.
 */
#pragma once

#include "host/job_data.h"

/*
 * Loads the samples of count nodes, each as job_load_part does, reading the files once where all
 * have the same.
 *
 * ret_parts  struct job_part[count], the caller's to free; all empty after an error.
 */
[[nodiscard]] enum status job_load_parts(const struct config *configs, uint32_t count,
                                         struct job_part *ret_parts, struct error *err);

/* job_load_parts of a run's nodes: those of its parts 0 to below nodes, with the names that they
 * have.
 */
[[nodiscard]] enum status job_load_all_parts(const struct config *config, uint32_t nodes,
                                             struct job_part *ret_parts, struct error *err);

/* Loads the samples of all nodes together. Empty where data.format is none. */
[[nodiscard]] enum status job_load_pool(const struct config *config, struct dataset *ret_data,
                                        struct error *err);

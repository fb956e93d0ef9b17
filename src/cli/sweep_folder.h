/*
 * sweep_folder.h - where a sweep keeps its runs, and the command line of each.
 */
#pragma once

#include "cli/sweep_plan.h"
#include "cli/sweep_run.h"
#include "host/run_setup.h"

/* Makes the folder (its parents too) and locks it. EXISTS: it holds something else than a sweep, or
 * another process has it. IO, LIMIT. */
[[nodiscard]] enum status sweep_folder_make(const char *folder, int *ret_lock, struct error *err);

/*
 * Makes the folder of a setting, and notes its configuration there. Where it is there already, the
 * configuration must be the same: EXISTS else. IO, NO_SPACE, NO_MEMORY.
 */
[[nodiscard]] enum status sweep_folder_add(const char *folder, const char *setting,
                                           const struct config *config, struct error *err);

/* Of one run. */
struct sweep_paths {
    char **arguments; /* of its process, null after the last */
    char *name;       /* "aggregation.k_threshold=0.5 seed 3" */
    char *folder;
    char *output;
};

/* NO_MEMORY, IO. The caller deinits, also on an error. */
[[nodiscard]] enum status sweep_paths_init(struct sweep_paths *paths, const char *folder,
                                           const struct sweep_setting *setting, uint64_t seed,
                                           const struct sweep_base *base, struct error *err);
void sweep_paths_deinit(struct sweep_paths *paths);

/* Writes the page whole, or not at all. NO_SPACE, IO. */
[[nodiscard]] enum status sweep_page_save(const char *path, const char *text, size_t size,
                                          struct error *err);

/*
 * sim_files.h - what a simulated run leaves: metrics.jsonl, models/, model.safetensors,
 * summary.json, as a real one; and the table of latencies that it may read.
 */
#pragma once

#include "host/config.h"
#include "host/run_report.h"
#include "sim/sim_work.h"

struct sim_files;

/* config and folder are borrowed; RUN/models exists. quiet: no line of progress. NO_MEMORY. */
[[nodiscard]] enum status sim_files_open(const struct config *config, const char *folder,
                                         bool quiet, struct sim_files **ret_files,
                                         struct error *err);
void sim_files_close(struct sim_files *files); /* null is allowed */

/* What the nodes of the round that is committed next say. */
void sim_files_measured(struct sim_files *files, const struct node_figures *figures);

/* A line, a model, a line of progress. IO, NO_SPACE, NO_MEMORY. */
[[nodiscard]] enum status sim_files_round(struct sim_files *files, const struct sim_round *round,
                                          struct error *err);

/* The model and the summary; nothing where they are there already. As sim_files_round, and what
 * reading the test samples gives. */
[[nodiscard]] enum status sim_files_end(struct sim_files *files, const struct coordinator *machine,
                                        const struct model_file *model,
                                        const struct model_spec *spec, uint64_t now_ns,
                                        struct error *err);

/*
 * Latencies in ms, one a line, numbers from 0 to 1e6; "#" begins a remark. f64[*ret_count], the
 * caller frees it. NOT_FOUND, IO; INVAL with the line that is wrong.
 */
[[nodiscard]] enum status sim_files_read_table(const char *path, double **ret_ms,
                                               uint32_t *ret_count, struct error *err);

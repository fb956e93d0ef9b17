/*
 * run_report.h - a round's line of metrics.jsonl, its line of progress, and a run's summary.json:
 * text made of figures, the same for a federation (run_folder.c) and a simulated one (sim/).
 *
 * Not here: when a line becomes durable.
 */
#pragma once

#include "core/coordinator.h"
#include "host/robust_round.h"
#include "host/round_figures.h"
#include "train/evaluate.h"

enum { REASONS = 32 }; /* numbers of enum reason are below */

/* Borrowed for the call. */
struct run_round {
    const struct coordinator *machine; /* the round it is in */
    const struct digest *model_digest; /* of the version that it made */
    const uint64_t *refused;           /* [REASONS], by enum reason */
    uint64_t late;
    const struct node_figures *nodes;     /* null: nodes do not measure */
    const struct robust_outcome *outcome; /* null: under the mean */
    double aggregate_norm;
    uint64_t bytes_in;
    uint64_t bytes_out;
    double virtual_s; /* since the start of a simulated run; negative: it is a real one */
    double round_ms;  /* of a simulated round */
};

/* Appends the line, an object of JSON and a zero. NO_MEMORY, LIMIT. */
[[nodiscard]] enum status run_report_round(const struct run_round *round, struct bytes *line);

/* On standard output: on a terminal a bar that is written over, else a line. */
void run_report_progress(const struct coordinator *machine, double seconds);

/* Why the job ended, for people; static. */
const char *run_report_reason(const struct coordinator *machine);

struct run_summary {
    const struct coordinator *machine;
    const struct evaluation *evaluation; /* on the test samples; samples 0: there are none */
    uint64_t rounds;
    uint32_t nodes;
    uint64_t bytes_in;
    uint64_t bytes_out;
    double seconds;
    double virtual_s; /* of a simulated run; negative: it is a real one */
    uint64_t peak_rss_bytes;
};

/* Writes summary.json, durable. NO_MEMORY, IO, NO_SPACE. */
[[nodiscard]] enum status run_report_summary(const struct run_summary *summary, const char *path,
                                             struct error *err);

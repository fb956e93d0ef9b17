/*
 * lab.h - the laboratory: rules against attacks on a real task, over shares of liars, degrees of
 * heterogeneity, private noise and seeds. What each defence is worth, printed.
 *
 * A cell is one training under one attack with one rule. Cells of the same seed share nodes,
 * samples, liars, first model and the order of batches, so that they can be compared in pairs. Not
 * here: the command line (cli/lab_command.c).
 */
#pragma once

#include "host/config.h"
#include "lab/attack.h"
#include "robust/rule_table.h"

#include <stdio.h>

enum {
    LAB_LIST_MAX = 32, /* of rules, attacks, shares ... */
    LAB_NAME_MAX = 64, /* of a rule, with its zero */
    LAB_CELLS_MAX = 200000,
    LAB_CURVE_MAX = 64, /* points */
    LAB_NODES_MAX = 1000,
};

/* "nnm+trimmed_mean"; "validated=50" */
struct lab_rule {
    char name[LAB_NAME_MAX];
    struct recipe recipe;
    bool is_validated;
    uint32_t trusted; /* samples */
};

struct lab_cell {
    double alpha;
    uint32_t seed;
    double share;
    double jitter;
    enum attack attack;
    uint32_t rule; /* index */
};

/* What is run. */
struct lab_plan {
    const struct config *config; /* borrowed */
    uint32_t rule_count;
    struct lab_rule rules[LAB_LIST_MAX];
    uint32_t attack_count;
    enum attack attacks[ATTACK_COUNT];
    uint32_t alpha_count;
    double alphas[LAB_LIST_MAX];
    uint32_t share_count;
    double shares[LAB_LIST_MAX];
    uint32_t jitter_count;
    double jitters[LAB_LIST_MAX];
    uint64_t settings; /* a digest of all that changes a cell's result, but for the cell */
    uint32_t cell_count;
    struct lab_cell *cells; /* by alpha and seed first */
};

/*
 * Makes the cells of lab.*: nobody lying once for all shares, private noise only with attacks that
 * share a vector. INVAL with the key that is wrong; LIMIT; NO_MEMORY.
 */
[[nodiscard]] enum status lab_plan_make(const struct config *config, struct lab_plan *ret_plan,
                                        struct error *err);
void lab_plan_deinit(struct lab_plan *plan);

struct lab_result {
    double accuracy; /* on the test samples, at the end */
    double loss;
    double detected; /* share of the liars' updates that were suspected or refused; NaN: no liar */
    double false_alarms; /* share of the honest updates that were */
    double seconds;
    uint32_t curve_count;
    double curve[LAB_CURVE_MAX]; /* accuracy on the first test samples, every few rounds */
};

/* ---- lab_task.c: what cells of one alpha and seed share ---- */

struct lab_task;

[[nodiscard]] enum status lab_task_open(const struct lab_plan *plan, double alpha, uint32_t seed,
                                        struct lab_task **ret_task, struct error *err);
void lab_task_close(struct lab_task *task); /* null is allowed */

/* ---- lab_cell.c ---- */

/* One training. As reading, training and aggregating give. */
[[nodiscard]] enum status lab_cell_run(const struct lab_plan *plan, const struct lab_task *task,
                                       const struct lab_cell *cell, struct lab_result *ret_result,
                                       struct error *err);

/* ---- lab_results.c: RUN/results.jsonl ---- */

/* Appends a line to a file opened for appending, at once. IO, NO_SPACE, NO_MEMORY. */
[[nodiscard]] enum status lab_result_write(int fd, const struct lab_plan *plan,
                                           const struct lab_cell *cell,
                                           const struct lab_result *result, struct error *err);

/*
 * Reads what is there. A line that is cut off is passed over.
 *
 * ret_done     bool[cell_count]
 * ret_results  struct lab_result[cell_count], of those that are done
 *
 * NOT_FOUND where there is no file; INVAL where it is of other settings; IO.
 */
[[nodiscard]] enum status lab_results_read(const char *path, const struct lab_plan *plan,
                                           bool *ret_done, struct lab_result *ret_results,
                                           struct error *err);

/* ---- lab_table.c, lab_page.c ---- */

/* Figures of one rule at one alpha and share, over attacks, private noise and seeds. */
struct lab_summary {
    uint32_t attacks;   /* with results; 0: there is nothing else here */
    double worst;       /* the least over attacks of the mean over seeds */
    double worst_error; /* its standard error; NaN with one seed */
    const char *worst_attack;
    double worst_jitter;
    double mean;  /* over attacks */
    double clean; /* nobody lying; NaN: not run */
    double detected;
    double false_alarms;
};

void lab_summarise(const struct lab_plan *plan, const bool *done, const struct lab_result *results,
                   double alpha, double share, uint32_t rule, struct lab_summary *ret_summary);
/* Mean over seeds of one attack; false: none is done. */
bool lab_mean_of(const struct lab_plan *plan, const bool *done, const struct lab_result *results,
                 const struct lab_cell *like, struct lab_result *ret_mean, double *ret_error);

void lab_table_print(const struct lab_plan *plan, const bool *done,
                     const struct lab_result *results, FILE *file);
/* A page that needs nothing else. IO. */
[[nodiscard]] enum status lab_page_write(const struct lab_plan *plan, const bool *done,
                                         const struct lab_result *results, const char *path,
                                         struct error *err);

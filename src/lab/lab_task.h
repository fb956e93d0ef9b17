/*
 * lab_task.h - what the cells of one alpha and seed share; for lab_cell.c.
 */
#pragma once

#include "host/job_data.h"
#include "lab/lab.h"
#include "train/model_spec.h"

struct lab_task {
    const struct lab_plan *plan;
    struct config
        *config; /* with this alpha, and a seed that follows from job.seed and the cell's */
    struct model_spec spec;
    uint32_t nodes;
    struct job_part *parts; /* [nodes], each of at most lab.node_samples */
    struct dataset trusted; /* the coordinator's; empty where no rule wants them */
    struct dataset test;
    struct dataset test_first; /* borrows the first samples of test: for curves */
    uint32_t *order;           /* [nodes]: the first ones lie */
    float *initial;            /* f32[parameters] */
};

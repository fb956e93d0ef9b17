/*
 * aggregate_matrix.h - the rows of a file of updates as one matrix, its tensors side by side. For
 * aggregate.c only.
 */
#pragma once

#include "base/status.h"
#include "robust/aggregate_rows.h"
#include "robust/update_matrix.h"

struct aggregate_matrix {
    struct update_matrix matrix; /* points to this, which must not move */
    const struct rows *rows;
    uint32_t *tensors; /* u32[tensor_count]: index in the file, in the order of the result */
    uint64_t *ends;    /* u64[tensor_count]: where each ends among the columns */
    uint32_t tensor_count;
    bool is_large; /* copied tile by tile instead of mapped */
};

/* NO_MEMORY; then, too, it is to be deinitialised. rows must outlive it. */
[[nodiscard]] enum status aggregate_matrix_init(struct aggregate_matrix *matrix,
                                                const struct rows *rows);
void aggregate_matrix_deinit(struct aggregate_matrix *matrix);

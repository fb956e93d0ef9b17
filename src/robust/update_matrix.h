/*
 * update_matrix.h - the updates of a round as a matrix that is read tile by tile: in memory, or in
 * files that together are larger than memory.
 *
 * Rows are updates, columns parameters. Nothing here writes into the rows.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct update_matrix {
    uint64_t n; /* rows, 1 or more */
    uint64_t d; /* columns, 0 or more */
    const void *context;
    /*
     * Elements [first, first + count) of a row: where they lie, if they lie as f32 one after
     * another, else copied into buffer, f32[count]. Valid until the buffer is used again. Called
     * by several threads at once. Cannot fail.
     */
    const float *(*read)(const void *context, uint64_t row, uint64_t first, size_t count,
                         float *buffer);
};

/* Rows in the caller's memory; strides are in elements and may be negative. */
struct strided_rows {
    const float *data; /* element (0, 0) */
    ptrdiff_t row_stride;
    ptrdiff_t column_stride;
};

/* A matrix over rows, which must outlive it. */
struct update_matrix update_matrix_strided(const struct strided_rows *rows, uint64_t n, uint64_t d);

/* Some rows of a matrix, in any order. */
struct picked_rows {
    const struct update_matrix *matrix;
    const uint64_t *rows; /* u64[n] */
};

/* A matrix of n picked rows, which must outlive it. */
struct update_matrix update_matrix_picked(const struct picked_rows *picked, uint64_t n);

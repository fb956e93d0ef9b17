/*
 * update_matrix.c - rows in the caller's memory, and rows picked from any matrix. Rows of files are
 * in aggregate_matrix.c.
 */
#include "robust/update_matrix.h"

static const float *read_strided(const void *context, uint64_t row, uint64_t first, size_t count,
                                 float *buffer)
{
    const struct strided_rows *const rows = context;
    const ptrdiff_t stride = rows->column_stride;
    const float *const start =
        rows->data + (ptrdiff_t)row * rows->row_stride + (ptrdiff_t)first * stride;
    if (stride == 1)
        return start;
    for (size_t i = 0; i < count; i++)
        buffer[i] = start[(ptrdiff_t)i * stride];
    return buffer;
}

struct update_matrix update_matrix_strided(const struct strided_rows *rows, uint64_t n, uint64_t d)
{
    return (struct update_matrix){.n = n, .d = d, .context = rows, .read = read_strided};
}

static const float *read_picked(const void *context, uint64_t row, uint64_t first, size_t count,
                                float *buffer)
{
    const struct picked_rows *const picked = context;
    return picked->matrix->read(picked->matrix->context, picked->rows[row], first, count, buffer);
}

struct update_matrix update_matrix_picked(const struct picked_rows *picked, uint64_t n)
{
    return (struct update_matrix){
        .n = n, .d = picked->matrix->d, .context = picked, .read = read_picked};
}

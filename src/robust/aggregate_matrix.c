/*
 * aggregate_matrix.c - columns of a file across its tensors, mapped or copied.
 */
#include "robust/aggregate_matrix.h"

#include <stdlib.h>
#include <string.h>

/*
 * Bytes of updates that may be mapped. Of a larger file, tiles are copied: a mapping of a hundred
 * rows takes up to a large page a row for each tile, and nobody gives them back.
 */
static const uint64_t mapped_bytes_max = 128 << 20;

/* The tensor that a column lies in. */
static uint32_t find_tensor(const struct aggregate_matrix *matrix, uint64_t column)
{
    uint32_t first = 0;
    uint32_t end = matrix->tensor_count;
    while (end - first > 1) {
        const uint32_t middle = first + (end - first) / 2;
        if (matrix->ends[middle - 1] <= column)
            first = middle;
        else
            end = middle;
    }
    return first;
}

static uint64_t start_of(const struct aggregate_matrix *matrix, uint32_t tensor)
{
    return tensor == 0 ? 0 : matrix->ends[tensor - 1];
}

static const float *read(const void *context, uint64_t row, uint64_t first, size_t count,
                         float *buffer)
{
    const struct aggregate_matrix *const matrix = context;
    uint32_t tensor = find_tensor(matrix, first);
    const float *whole = nullptr;
    for (size_t done = 0; done < count; tensor++) {
        const uint64_t column = first + done;
        const uint64_t left = matrix->ends[tensor] - column;
        const size_t part = left < count - done ? (size_t)left : count - done;
        if (part == 0)
            continue; /* a tensor without elements */
        const float *const x = rows_read_part(matrix->rows, matrix->tensors[tensor], row,
                                              column - start_of(matrix, tensor), part,
                                              matrix->is_large, buffer + done);
        whole = part == count ? x : buffer;
        if (part < count && x != buffer + done)
            memcpy(buffer + done, x, part * sizeof(*x));
        done += part;
    }
    return whole;
}

enum status aggregate_matrix_init(struct aggregate_matrix *matrix, const struct rows *rows)
{
    const struct layout *const layout = rows->file->layout;
    *matrix = (struct aggregate_matrix){.rows = rows};
    matrix->tensors = calloc(layout->tensor_count, sizeof(*matrix->tensors));
    matrix->ends = calloc(layout->tensor_count, sizeof(*matrix->ends));
    if (matrix->tensors == nullptr || matrix->ends == nullptr)
        return STATUS_NO_MEMORY;
    uint64_t end = 0;
    for (uint32_t i = 0; i < layout->tensor_count; i++) {
        if (rows_is_samples(&layout->tensors[i]))
            continue;
        end += layout->tensors[i].count / rows->n;
        matrix->tensors[matrix->tensor_count] = i;
        matrix->ends[matrix->tensor_count++] = end;
    }
    matrix->is_large = layout->bytes > mapped_bytes_max;
    matrix->matrix =
        (struct update_matrix){.n = rows->n, .d = rows->d, .context = matrix, .read = read};
    return STATUS_OK;
}

void aggregate_matrix_deinit(struct aggregate_matrix *matrix)
{
    free(matrix->tensors);
    free(matrix->ends);
    *matrix = (struct aggregate_matrix){0};
}

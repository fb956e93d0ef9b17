/*
 * aggregate_rows.h - the rows of a file of updates, read as f32 tile by tile. For aggregate.c and
 * aggregate_matrix.c.
 */
#pragma once

#include "base/status.h"
#include "tensor/safetensors.h"

#include <stdint.h>

enum { ROWS_TILE = 16384 }; /* elements; a multiple of the kernels' lanes */

/* Part of one tensor: elements [first, first + count) of every row. */
struct rows_tile {
    uint32_t tensor; /* index in the file's layout */
    uint32_t count;  /* 1 to ROWS_TILE */
    uint64_t first;
    uint64_t output; /* where the first element is in the flat result */
};

struct rows {
    const struct safetensors *file;
    uint64_t n;
    uint64_t d;
    uint32_t *weights;     /* u32[n] */
    uint64_t weight_sum;   /* more than 0 */
    struct layout *layout; /* of the result */
    struct rows_tile *tiles;
    uint64_t tile_count;
};

/* Whether a tensor of a file holds the samples, not updates. */
bool rows_is_samples(const struct tensor *tensor);

/* Checks the shape of a file and lists its tiles; errors as aggregate_file. */
[[nodiscard]] enum status rows_init(const struct safetensors *file, struct rows *ret_rows,
                                    struct error *err);
void rows_deinit(struct rows *rows);

/*
 * The elements of a tile in one row, f32[tile->count]: in the file itself where they are F32 and
 * aligned, otherwise converted (exactly) into buffer, f32[ROWS_TILE].
 */
const float *rows_read(const struct rows *rows, const struct rows_tile *tile, uint64_t row,
                       float *buffer);

/*
 * The same for elements [first, first + count) of one tensor's row, buffer f32[count]. is_copied:
 * always into buffer, without mapping the file's pages.
 */
const float *rows_read_part(const struct rows *rows, uint32_t tensor, uint64_t row, uint64_t first,
                            size_t count, bool is_copied, float *buffer);

/*
 * tiles.h - passes over a matrix of updates, tile by tile of columns, on several threads, with the
 * same bits whatever their number.
 *
 * Tiles are fixed by the shape of the matrix alone. Where a pass adds something up, each tile adds
 * from zero and the tiles' sums are added in the order of the tiles.
 */
#pragma once

#include "base/status.h"
#include "robust/arena.h"
#include "robust/update_matrix.h"

#include <stddef.h>
#include <stdint.h>

enum {
    TILES_THREADS_MAX = 256,
    TILE_PANEL = 1024,        /* columns of a panel: what stays in a cache near the processor */
    TILE_COLUMNS_MAX = 16384, /* a multiple of TILE_PANEL, as every tile but the last */
    TILE_ELEMENTS = 1 << 21,  /* aimed at, of all rows of a tile */
};

/* What one thread works with. */
struct tile_lane {
    const float **rows;  /* f32*[n + 1]: tiles_read fills in those of the pass */
    const float **parts; /* f32*[n + 1]: for the work's own use */
    float *converted;    /* f32[n * tile columns] */
    float *panel;        /* f32[(n + 1) * TILE_PANEL]: for the work's own use */
    double *sums;        /* f64[sum_count], zero when the work is called */
    void *scratch;       /* for the kernels, aligned as they want it */
};

struct tiles {
    const struct update_matrix *matrix;
    uint32_t row_count; /* rows that are read */
    uint32_t *rows;     /* u32[row_count], ascending: which of the matrix they are */
    uint32_t threads;   /* 1 to TILES_THREADS_MAX */
    struct tile_lane *lanes;
};

/* Columns of a tile where there are n rows. */
size_t tiles_columns(uint64_t n);

/* Bytes of the lanes, with room for sum_count sums each. */
size_t tiles_size(uint64_t n, uint32_t threads, size_t sum_count);

/* Takes the lanes from arena, tiles_size bytes. All rows of the matrix are read at first. */
void tiles_init(struct tiles *tiles, const struct update_matrix *matrix, uint32_t threads,
                size_t sum_count, struct arena *arena);

/* Work on columns [first, first + count), count from 1 to the columns of a tile. */
typedef void tile_work(const struct tiles *tiles, struct tile_lane *lane, uint64_t first,
                       size_t count, void *context);

/*
 * Calls work for every tile, on threads. Where ret_sums is not null it becomes f64[sum_count], the
 * sum of what the calls left in lane->sums, in the order of tiles.
 */
void tiles_run(const struct tiles *tiles, tile_work *work, void *context, size_t sum_count,
               double *ret_sums);

/* Fills in lane->rows: columns [first, first + count) of every row that is read. */
void tiles_read(const struct tiles *tiles, struct tile_lane *lane, uint64_t first, size_t count);

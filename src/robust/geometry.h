/*
 * geometry.h - updates as points of which only distances and inner products are known: what rules
 * on distances compute with, without touching the data again.
 *
 * Every point is an affine combination of the updates and of the origin (its coefficients sum to
 * 1), so that whatever is done to points can be done to the data in one weighted sum at the end.
 * Inner products are taken from one of the updates, the centre, as robust.md of the project's
 * measurements asks: on raw parameters they would lose everything.
 */
#pragma once

#include "base/status.h"
#include "robust/arena.h"
#include "robust/tiles.h"

#include <stddef.h>
#include <stdint.h>

/* Under this share of |x|^2 + |y|^2 a squared distance is taken from the data again. */
#define GEOMETRY_CLOSE 1e-4

struct points {
    size_t count; /* points; the origin is one more, at index count */
    size_t side;  /* count + 1: the side of the matrices */
    /* f64[side * side], symmetric: <x_i - centre, x_j - centre> and |x_i - x_j|^2. */
    double *gram;
    double *distances;
    size_t source_count; /* updates */
    /* f64[side * (source_count + 1)]: point = sum of coefficient * update, the origin last; null
     * where point i is update i. */
    double *coefficients;
    /* Two buffers for each of the three, and one more, f64[source side squared]. */
    double *spare_gram;
    double *spare_distances;
    double *spare_coefficients[2];
    double *product;
};

/* From which row and in what unit to measure. */
struct frame {
    uint32_t center; /* index among the rows that are read */
    int exponent;    /* rows are measured in units of 2^exponent, so that differences stay f32 */
};

/* Bytes of what points_measure takes of an arena for n updates. */
size_t geometry_size(uint64_t n);

/*
 * Chooses the centre: the row whose norm is the lower median (a liar that is far away would blur
 * all the others). norms: f64[row_count]. order: u32[row_count] scratch.
 */
struct frame frame_choose(size_t row_count, const double *norms, uint32_t *order);

/*
 * Adds the inner products of columns [0, count) of rows, and of the origin (last), to lane->sums,
 * f64[side * side] below and on the diagonal, in the frame's unit. lane->rows: f32*[row_count];
 * count at most TILE_COLUMNS_MAX. exact: in f64 throughout, slower.
 */
void frame_add_products(const struct frame *frame, size_t row_count, struct tile_lane *lane,
                        size_t count, bool exact, double *sums);

/* Whether products over so many rows and columns are taken in f64: where that costs nothing. */
bool frame_is_small(uint64_t row_count, uint64_t columns);

/* Takes the unit out of sums and mirrors them: f64[side * side]. */
void frame_finish_products(const struct frame *frame, size_t side, double *sums);

/* Measures all rows in passes over the data. */
void points_measure(struct points *points, const struct tiles *tiles, const struct frame *frame,
                    struct arena *arena);

/*
 * New points, count of them: point i is the sum of map[i * side + j] * old point j, where a row of
 * map sums to 1 and the origin is the last column. map: f64[count * side], count <= points->count.
 */
void points_map(struct points *points, const double *map, size_t count);

/* Gives gram in the coefficients' points: ret = C sums C^T for other products than the points' own.
 * sums: f64[source side squared], ret: f64[side * side]. Where points are updates, a copy. */
void points_project(const struct points *points, const double *sums, double *ret_gram);

/*
 * Weights of updates from weights of points, f64[side] with the origin last: f64[source_count]; the
 * origin's own weight counts nothing.
 */
void points_weigh_sources(const struct points *points, const double *weights, double *ret_weights);

/* |x_i - z|^2 for all i in [0, side), z the sum of weights[j] * point j, which sum to 1. */
void points_distances_from(const struct points *points, const double *weights,
                           double *ret_distances);

/* indices, u32[count], in ascending order of keys[index], ties by index. Allocates nothing. */
void sort_by_key(uint32_t *indices, size_t count, const double *keys);

/* ret_order, u32[count]: 0 to count - 1 in that order. */
void order_by_key(uint32_t *ret_order, size_t count, const double *keys);

/*
 * kern.h - the arithmetic that runs over every parameter, in one table of pointers chosen at start.
 *
 * Every implementation gives the same bits as the plain reference: sums run in a fixed order, and
 * no multiply-add is fused but those of gram, which are fused everywhere. Not here: what the sums
 * mean (robust/).
 *
 * Kernels over rows take f32[n][count] as n pointers, since rows may lie in mapped files: the
 * caller points them at the first of the columns that a call shall work on, cuts the columns into
 * tiles and gives these to threads. Columns do not depend on each other (gram: see there), so any
 * cut gives the same bits. All values are finite: what is not was refused before
 * (check_finite_and_norm). Values that are not give results without meaning, nothing worse. n is 1
 * to KERN_ROWS_MAX.
 */
#pragma once

#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum kern_isa {
    KERN_REF,
    KERN_AVX2,
    KERN_AVX512, /* a place only: there is no implementation yet, AVX2 is used */
    KERN_ISA_COUNT,
};

enum {
    KERN_LANES = 16, /* virtual lanes of sums, on every instruction set */
    /* fold: |x * scale| stays below 2^KERN_GRID_BITS. */
    KERN_GRID_BITS = 62,
    KERN_ROWS_MAX = 1 << 20,
    /* What kernels over rows work on at a time; tiles of a multiple of it waste nothing. */
    KERN_TILE_COLUMNS = 64,
    /* gram: a sum over so many columns is taken in f32. */
    KERN_PANEL_COLUMNS = 512,
    KERN_SCRATCH_ALIGNMENT = 64,
};

struct kern {
    const char *name; /* as FEDRA_CPU names it */

    /*
     * (hi, lo)[i] += weight * rint(x[i] * scale) for i in [0, n), exactly.
     *
     * lo, hi  u64[n] and i64[n], in/out: the low and the high half of 128-bit two's complement
     *         numbers; they wrap at 2^128, which 2^20 calls cannot reach (2^20 * 2^32 * 2^62).
     * x       f32[n], finite, |x[i] * scale| < 2^62; may not overlap lo or hi.
     * scale   a power of two, 2^-66 to 2^188, so that the product is exact in f64.
     * weight  -(2^32 - 1) to 2^32 - 1; negative takes out what a positive one put in.
     *
     * rint rounds halves to even. Arrays need only the alignment of their elements. Exact, hence
     * free of order. Cannot fail; x out of its range gives numbers without meaning, nothing worse.
     */
    void (*fold)(uint64_t *lo, int64_t *hi, const float *x, size_t n, double scale, int64_t weight);

    /*
     * The largest |x[i]| as its IEEE 754 bits without the sign; 0 where n is 0. Over 0x7f800000
     * where there is a NaN, 0x7f800000 where there is an infinity and no NaN.
     */
    uint32_t (*abs_max_bits)(const float *x, size_t n);

    /*
     * One pass: whether all x[i] are finite, and the sum of their squares as f64.
     *
     * x  f32[n].
     *
     * Lane l of 16 adds the squares of elements l, l + 16, ... in that order (each square is exact
     * in f64); then lanes l and l + 8 are added, then l and l + 4, l + 2, l + 1. The sum is written
     * only where all are finite (it cannot overflow: each square is below 2^256).
     */
    bool (*check_finite_and_norm)(const float *x, size_t n, double *ret_norm_squared);

    /*
     * ret[c] = the median of rows[0..n)[c] for c in [0, count): the middle value, or of an even n
     * the mean of the two middle ones, taken in f64 and rounded once. A zero is +0.0, whatever the
     * signs of those in the rows.
     *
     * rows     n pointers to f32[count]; any alignment.
     * ret      f32[count], out; may not overlap the rows.
     * scratch  kern_select_scratch(n) bytes, aligned to KERN_SCRATCH_ALIGNMENT; one a thread.
     */
    void (*median)(const float *const *rows, size_t n, size_t count, float *ret, void *scratch);

    /*
     * ret[c] = the mean of rows[0..n)[c] without the trim lowest and the trim highest of them.
     *
     * trim  2 trim < n. The rest as for median; a zero is +0.0.
     *
     * With lo and hi the lowest and the highest value kept: what lies strictly between them is
     * added in f64 in row order, then lo and hi as often as they are kept; one division, rounded
     * once to f32. What is cut off enters no sum.
     */
    void (*trimmed_mean)(const float *const *rows, size_t n, size_t count, size_t trim, float *ret,
                         void *scratch);

    /*
     * ret[c] = the mean of the keep values of rows[0..n)[c] nearest to their median; among equal
     * distances those of the lowest rows. (The last step of Bulyan, and MeaMed.)
     *
     * keep  1 to n. The rest as for median; a zero is +0.0.
     *
     * The median and |x - median| are rounded to f32; a distance beyond f32 is an infinite one. The
     * values are added in f64 in row order; one division, rounded once.
     */
    void (*nearest_mean)(const float *const *rows, size_t n, size_t count, size_t keep, float *ret,
                         void *scratch);

    /*
     * gram[i * n + j] += the sum over c in [0, count) of (rows[i][c] - center[c]) *
     * (rows[j][c] - center[c]) for j <= i; what is above the diagonal stays as it is.
     *
     * rows     n pointers to f32[count].
     * center   f32[count], or null: nothing is subtracted. Distances between rows that lie close
     *          together, far from the origin, need one of the rows here. Differences must stay
     * within f32. gram     f64[n * n], in/out. scratch  kern_gram_scratch(n) bytes, aligned to
     * KERN_SCRATCH_ALIGNMENT; one a thread.
     *
     * Panels of KERN_PANEL_COLUMNS columns: the differences, rounded to f32, are scaled by a power
     * of two a row and panel (2^-e, -126 <= e <= 126, the largest magnitude in [0.5, 1) times 2^e),
     * so that neither 1e30 nor 1e-30 leaves the range; lane l of 8 takes columns l, l + 8, ... by
     * fused multiply-adds in f32; lanes are added in f32 ((0 + 1) + (2 + 3)) + ((4 + 5) + (6 + 7)),
     * scaled back in f64, and added to gram, panels in order. Hence calls on consecutive columns
     * give the same bits as one call where all but the last are multiples of KERN_PANEL_COLUMNS.
     * Columns given to several threads need a Gram matrix for each fixed stretch of columns, added
     * in order.
     */
    void (*gram)(const float *const *rows, const float *center, size_t n, size_t count,
                 double *gram, void *scratch);

    /*
     * The sum of (x[i] - y[i])^2 in f64, for pairs whose distance a Gram matrix does not resolve.
     *
     * x, y  f32[n]. 16 lanes, added as in check_finite_and_norm.
     */
    double (*distance_squared)(const float *x, const float *y, size_t n);

    /* The sum of x[i] * y[i] in f64: each product is exact; 16 lanes as in check_finite_and_norm.
     */
    double (*dot)(const float *x, const float *y, size_t n);

    /*
     * ret[c] = the sum of weights[i] * rows[i][c] over i, in row order in f64, from +0.0, rounded
     * once. One multiplication and one addition an element.
     *
     * rows     n pointers to f32[count]; n may be 0.
     * weights  f64[n], finite.
     * ret      f32[count], out; may not overlap the rows. What is beyond f32 becomes infinite.
     */
    void (*weighted_sum)(const float *const *rows, const double *weights, size_t n, size_t count,
                         float *ret);

    /*
     * ret = matrix x for a symmetric matrix, of which the lower triangle is read.
     *
     * matrix  f64[n][stride], stride >= n, finite.
     * x       f64[n], finite.
     * ret     f64[n], out; may not overlap.
     *
     * ret[j]: matrix[j][i] * x[i] over i in [0, j], lane l of 4 taking i = l, l + 4, ... in order;
     * lanes are added (0 + 2) + (1 + 3); then matrix[i][j] * x[i] over i from j + 1 on, in order.
     * Nothing fused.
     */
    void (*multiply_symmetric)(const double *matrix, size_t n, size_t stride, const double *x,
                               double *ret);

    /*
     * ret[k] = the sum of rows[k * count + i] * x[i] over i in [0, count), for k in [0, n); 4 lanes
     * as in multiply_symmetric, nothing fused. rows: f64[n * count]; ret: f64[n].
     */
    void (*dot_rows)(const double *rows, size_t n, size_t count, const double *x, double *ret);

    /*
     * acc[i] += weights[k] * rows[k * count + i] for k in [0, n), in that order, and i in
     * [0, count). Nothing fused. rows: f64[n * count]; may not overlap acc.
     */
    void (*add_rows)(const double *rows, const double *weights, size_t n, size_t count,
                     double *acc);
};

/* Bytes of scratch that median, trimmed_mean and nearest_mean need for n rows; a multiple of 64. */
size_t kern_select_scratch(size_t n);

/* Bytes of scratch that gram needs for n rows; a multiple of 64. */
size_t kern_gram_scratch(size_t n);

/*
 * Chooses the best table that the processor has, capped by the environment variable FEDRA_CPU
 * (ref, avx2 or avx512). Call it at the start of a program, before threads. INVAL: FEDRA_CPU is
 * something else; the text says so, and the reference is chosen. err may be null.
 */
[[nodiscard]] enum status kern_init(struct error *err);

/* The chosen table, static. Chooses as kern_init does where that was not called. Any thread. */
const struct kern *kern_get(void);

/* The table of one instruction set, static; null where it is not built in or not in the processor.
 */
const struct kern *kern_find(enum kern_isa isa);

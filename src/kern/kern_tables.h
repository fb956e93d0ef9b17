/*
 * kern_tables.h - the tables that kern.c chooses among, and the kernels over rows that they are
 * made of. For this folder only.
 */
#pragma once

#include "kern/kern.h"

enum {
    SELECT_GROUPS = 2, /* kern_select_avx2.c: groups of eight columns that are copied at a time */
    SELECT_SAMPLE_ROWS = 64, /* kern_count_avx2.c: rows of a sample */
    SELECT_WORK_ROWS =
        2 * 128 + SELECT_SAMPLE_ROWS, /* rows that are merged, twice, and the sample */
    GRAM_PAD_ROWS = 4, /* kern_sums_avx2.c: rows of zeros after the last of a panel */
};

extern const struct kern kern_ref;
extern const struct kern kern_avx2; /* x86-64 only */

/* kern_rows_ref.c; contracts in kern.h */
void rows_ref_median(const float *const *rows, size_t n, size_t count, float *ret, void *scratch);
void rows_ref_trimmed_mean(const float *const *rows, size_t n, size_t count, size_t trim,
                           float *ret, void *scratch);
void rows_ref_nearest_mean(const float *const *rows, size_t n, size_t count, size_t keep,
                           float *ret, void *scratch);
void rows_ref_gram(const float *const *rows, const float *center, size_t n, size_t count,
                   double *gram, void *scratch);
double rows_ref_distance_squared(const float *x, const float *y, size_t n);
double rows_ref_dot(const float *x, const float *y, size_t n);
void rows_ref_weighted_sum(const float *const *rows, const double *weights, size_t n, size_t count,
                           float *ret);

/* kern_dense_ref.c; contracts in kern.h */
void dense_ref_multiply_symmetric(const double *matrix, size_t n, size_t stride, const double *x,
                                  double *ret);
void dense_ref_dot_rows(const double *rows, size_t n, size_t count, const double *x, double *ret);
void dense_ref_add_rows(const double *rows, const double *weights, size_t n, size_t count,
                        double *acc);

/* kern_select_avx2.c */
void select_avx2_median(const float *const *rows, size_t n, size_t count, float *ret,
                        void *scratch);
void select_avx2_trimmed_mean(const float *const *rows, size_t n, size_t count, size_t trim,
                              float *ret, void *scratch);
void select_avx2_nearest_mean(const float *const *rows, size_t n, size_t count, size_t keep,
                              float *ret, void *scratch);

/* kern_sums_avx2.c */
void sums_avx2_gram(const float *const *rows, const float *center, size_t n, size_t count,
                    double *gram, void *scratch);
double sums_avx2_distance_squared(const float *x, const float *y, size_t n);
double sums_avx2_dot(const float *x, const float *y, size_t n);
void sums_avx2_weighted_sum(const float *const *rows, const double *weights, size_t n, size_t count,
                            float *ret);

/* kern_dense_avx2.c */
void dense_avx2_multiply_symmetric(const double *matrix, size_t n, size_t stride, const double *x,
                                   double *ret);
void dense_avx2_dot_rows(const double *rows, size_t n, size_t count, const double *x, double *ret);
void dense_avx2_add_rows(const double *rows, const double *weights, size_t n, size_t count,
                         double *acc);

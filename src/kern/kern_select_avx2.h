/*
 * kern_select_avx2.h - order statistics of eight columns at a time, as the parts of the selection
 * kernels for AVX2 share them. For this folder only.
 *
 * A register holds eight neighbouring columns of one row, so nothing is transposed. Minima and
 * maxima may swap the signs of zeros; no result depends on these.
 */
#pragma once

#include "kern/kern_tables.h"

#include <immintrin.h>

enum {
    LANES = 8,
    NETWORK_BLOCK = 16, /* rows that are sorted in registers */
    NETWORK_ROWS_MAX = 128,
    COUNT_SAMPLE = SELECT_SAMPLE_ROWS,
};

/* Scratch beside the values: a row holds eight columns; rows lie one after the other, here and
 * below. */
struct work {
    float *distances; /* n rows */
    float *runs;      /* SELECT_WORK_ROWS rows */
};

/* Sorted runs of rows: the first in [0, first), the second in [first, first + second). */
struct runs {
    const float *values;
    size_t first;
    size_t second;
};

/* The values of two ranks. */
struct ranks {
    __m256 first;
    __m256 second;
};

static inline __m256 load(const float *values, size_t row)
{
    return _mm256_load_ps(values + row * LANES);
}

static inline void store(float *values, size_t row, __m256 value)
{
    _mm256_store_ps(values + row * LANES, value);
}

static inline __m256i is_true(__m256 mask)
{
    return _mm256_castps_si256(mask);
}

static inline __m256 as_mask(__m256i mask)
{
    return _mm256_castsi256_ps(mask);
}

/* Sorts n = 1 to 16 rows into to, which may be values. */
void network_sort_block(const float *values, float *to, size_t n);

/* The two middle values, of 1 to 16 rows; of an odd number twice the same. */
struct ranks network_middle_of_few(const float *values, size_t n);

/*
 * Sorts 1 to 128 rows into at most two runs, in the same time whatever the values are. Rows up to a
 * multiple of 16 are infinities. work has room for 2 * 128 rows.
 */
struct runs network_sort(const float *values, size_t n, float *work);

/* The value of rank k, from 0, of sorted runs. */
__m256 network_rank(const struct runs *runs, size_t k);

/*
 * The values of ranks first and second, from 0, of n >= COUNT_SAMPLE rows by counting; second is
 * first or first + 1. work has room for SELECT_WORK_ROWS rows.
 */
struct ranks count_ranks(const float *values, size_t n, size_t first, size_t second, float *work);

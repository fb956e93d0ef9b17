/*
 * kern_dense_avx2.c - the kernels over f64 for AVX2. All take four rows at a time: what is read of
 * the vector serves four of them.
 */
#include "kern/kern_tables.h"

#include <immintrin.h>

enum {
    LANES = 4,
    ROWS = 4,
};

/* (0 + 2) + (1 + 3) */
static inline double add_lanes(const double lanes[static LANES])
{
    return (lanes[0] + lanes[2]) + (lanes[1] + lanes[3]);
}

static inline __m256d add_product(__m256d sum, __m256d x, __m256d y)
{
    return _mm256_add_pd(sum, _mm256_mul_pd(x, y));
}

/*
 * Rows first to first + rows - 1, rows a constant, first a multiple of LANES: the columns before
 * first serve both sides of the diagonal, one register of the result at a time.
 */
[[gnu::always_inline]] static inline void multiply_strip(const double *matrix, size_t first,
                                                         size_t rows, size_t stride,
                                                         const double *x, double *ret)
{
    __m256d sums[ROWS];
    __m256d factors[ROWS];
    for (size_t r = 0; r < rows; r++) {
        sums[r] = _mm256_setzero_pd();
        factors[r] = _mm256_set1_pd(x[first + r]);
    }
    const double *const strip = matrix + first * stride;
    for (size_t i = 0; i < first; i += LANES) {
        const __m256d xi = _mm256_loadu_pd(x + i);
        __m256d to = _mm256_loadu_pd(ret + i);
        for (size_t r = 0; r < rows; r++) {
            const __m256d values = _mm256_loadu_pd(strip + r * stride + i);
            to = add_product(to, factors[r], values);
            sums[r] = add_product(sums[r], values, xi);
        }
        _mm256_storeu_pd(ret + i, to);
    }
    for (size_t r = 0; r < rows; r++) {
        const double *const row = strip + r * stride + first;
        double lanes[LANES];
        _mm256_storeu_pd(lanes, sums[r]);
        for (size_t i = 0; i <= r; i++)
            lanes[i] += row[i] * x[first + i];
        for (size_t i = 0; i < r; i++)
            ret[first + i] += x[first + r] * row[i];
        ret[first + r] = add_lanes(lanes);
    }
}

void dense_avx2_multiply_symmetric(const double *matrix, size_t n, size_t stride, const double *x,
                                   double *ret)
{
    size_t first = 0;
    for (; first + ROWS <= n; first += ROWS)
        multiply_strip(matrix, first, ROWS, stride, x, ret);
    if (n - first == 3)
        multiply_strip(matrix, first, 3, stride, x, ret);
    else if (n - first == 2)
        multiply_strip(matrix, first, 2, stride, x, ret);
    else if (n - first == 1)
        multiply_strip(matrix, first, 1, stride, x, ret);
}

[[gnu::always_inline]] static inline void dot_strip(const double *rows, size_t n, size_t count,
                                                    const double *x, double *ret)
{
    __m256d sums[ROWS];
    size_t i = 0;
    for (size_t r = 0; r < n; r++)
        sums[r] = _mm256_setzero_pd();
    for (; i + LANES <= count; i += LANES) {
        const __m256d xi = _mm256_loadu_pd(x + i);
        for (size_t r = 0; r < n; r++)
            sums[r] = add_product(sums[r], _mm256_loadu_pd(rows + r * count + i), xi);
    }
    for (size_t r = 0; r < n; r++) {
        double lanes[LANES];
        _mm256_storeu_pd(lanes, sums[r]);
        for (size_t k = i; k < count; k++)
            lanes[k - i] += rows[r * count + k] * x[k];
        ret[r] = add_lanes(lanes);
    }
}

void dense_avx2_dot_rows(const double *rows, size_t n, size_t count, const double *x, double *ret)
{
    size_t k = 0;
    for (; k + ROWS <= n; k += ROWS)
        dot_strip(rows + k * count, ROWS, count, x, ret + k);
    for (; k < n; k++)
        dot_strip(rows + k * count, 1, count, x, ret + k);
}

[[gnu::always_inline]] static inline void add_strip(const double *rows, const double *weights,
                                                    size_t n, size_t count, double *acc)
{
    size_t i = 0;
    for (; i + LANES <= count; i += LANES) {
        __m256d to = _mm256_loadu_pd(acc + i);
        for (size_t r = 0; r < n; r++)
            to = add_product(to, _mm256_set1_pd(weights[r]), _mm256_loadu_pd(rows + r * count + i));
        _mm256_storeu_pd(acc + i, to);
    }
    for (; i < count; i++) {
        for (size_t r = 0; r < n; r++)
            acc[i] += weights[r] * rows[r * count + i];
    }
}

void dense_avx2_add_rows(const double *rows, const double *weights, size_t n, size_t count,
                         double *acc)
{
    size_t k = 0;
    for (; k + ROWS <= n; k += ROWS)
        add_strip(rows + k * count, weights + k, ROWS, count, acc);
    for (; k < n; k++)
        add_strip(rows + k * count, weights + k, 1, count, acc);
}

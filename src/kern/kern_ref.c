/*
 * kern_ref.c - the plain kernels over one array, written to be read; all others must give their
 * bits. Those over rows: kern_rows_ref.c.
 */
#include "kern/kern_tables.h"

#include <math.h>
#include <string.h>

static void fold(uint64_t *lo, int64_t *hi, const float *x, size_t n, double scale, int64_t weight)
{
    for (size_t i = 0; i < n; i++) {
        const int64_t q = llrint((double)x[i] * scale);
        const unsigned __int128 product = (unsigned __int128)((__int128)q * weight);
        const unsigned __int128 sum = ((unsigned __int128)(uint64_t)hi[i] << 64 | lo[i]) + product;
        lo[i] = (uint64_t)sum;
        hi[i] = (int64_t)(uint64_t)(sum >> 64);
    }
}

static uint32_t abs_bits(float value)
{
    uint32_t bits = 0;
    memcpy(&bits, &value, sizeof(bits));
    return bits & 0x7fffffff;
}

static uint32_t abs_max_bits(const float *x, size_t n)
{
    uint32_t largest = 0;
    for (size_t i = 0; i < n; i++) {
        const uint32_t bits = abs_bits(x[i]);
        largest = bits > largest ? bits : largest;
    }
    return largest;
}

static bool check_finite_and_norm(const float *x, size_t n, double *ret_norm_squared)
{
    double lanes[KERN_LANES] = {0};
    if (abs_max_bits(x, n) >= 0x7f800000)
        return false;
    for (size_t i = 0; i < n; i++)
        lanes[i % KERN_LANES] += (double)x[i] * (double)x[i];
    for (size_t width = KERN_LANES / 2; width > 0; width /= 2) {
        for (size_t l = 0; l < width; l++)
            lanes[l] += lanes[l + width];
    }
    *ret_norm_squared = lanes[0];
    return true;
}

const struct kern kern_ref = {
    .name = "ref",
    .fold = fold,
    .abs_max_bits = abs_max_bits,
    .check_finite_and_norm = check_finite_and_norm,
    .median = rows_ref_median,
    .trimmed_mean = rows_ref_trimmed_mean,
    .nearest_mean = rows_ref_nearest_mean,
    .gram = rows_ref_gram,
    .distance_squared = rows_ref_distance_squared,
    .dot = rows_ref_dot,
    .weighted_sum = rows_ref_weighted_sum,
    .multiply_symmetric = dense_ref_multiply_symmetric,
    .dot_rows = dense_ref_dot_rows,
    .add_rows = dense_ref_add_rows,
};

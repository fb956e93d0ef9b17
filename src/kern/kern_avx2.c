/*
 * kern_avx2.c - the kernels for AVX2. Compiled with -mavx2: nothing here may run before kern.c has
 * looked at the processor.
 */
#include "kern/kern_tables.h"

#include <immintrin.h>
#include <math.h>
#include <string.h>

/* A weight fits the signed 32-bit factor of _mm256_mul_epi32. */
enum : int64_t { WEIGHT_STEP = INT32_MAX };

struct fold_constants {
    __m256d scale;
    __m256i weight;
};

/*
 * Four elements. q = x * scale is cut into q = h * 2^31 + l, with h = rint(q / 2^31), |h| < 2^31,
 * |l| <= 2^30: adding and taking 1.5 * 2^52 away rounds halves to even and leaves the integer in
 * the low 32 bits. Every step is exact, since q has 24 significant bits. Then, with A = w h and
 * B = w l, w q = T * 2^31 + b, where b is the low 31 bits of B and T = A + floor(B / 2^31).
 * AVX2 has no arithmetic shift of 64 bits: B and T are shifted with an offset that keeps them
 * positive, 2^62 and 2^63.
 */
static inline void fold4(uint64_t *lo, int64_t *hi, __m128 x, const struct fold_constants *c)
{
    const __m256d magic = _mm256_set1_pd(0x1.8p52);
    const __m256d q = _mm256_mul_pd(_mm256_cvtps_pd(x), c->scale);
    const __m256d h_magic = _mm256_add_pd(_mm256_mul_pd(q, _mm256_set1_pd(0x1p-31)), magic);
    const __m256d h = _mm256_sub_pd(h_magic, magic);
    const __m256d l = _mm256_sub_pd(q, _mm256_mul_pd(h, _mm256_set1_pd(0x1p31)));
    const __m256d l_magic = _mm256_add_pd(l, magic);
    const __m256i a = _mm256_mul_epi32(_mm256_castpd_si256(h_magic), c->weight);
    const __m256i b = _mm256_mul_epi32(_mm256_castpd_si256(l_magic), c->weight);

    const __m256i b_positive = _mm256_add_epi64(b, _mm256_set1_epi64x(INT64_C(1) << 62));
    const __m256i t_offset =
        _mm256_add_epi64(_mm256_add_epi64(a, _mm256_srli_epi64(b_positive, 31)),
                         _mm256_set1_epi64x((int64_t)((UINT64_C(1) << 63) - (UINT64_C(1) << 31))));
    const __m256i b_low = _mm256_and_si256(b_positive, _mm256_set1_epi64x(INT32_MAX));
    const __m256i add_lo = _mm256_or_si256(_mm256_slli_epi64(t_offset, 31), b_low);
    const __m256i add_hi =
        _mm256_sub_epi64(_mm256_srli_epi64(t_offset, 33), _mm256_set1_epi64x(INT64_C(1) << 30));

    const __m256i sign = _mm256_set1_epi64x(INT64_MIN);
    const __m256i new_lo = _mm256_add_epi64(_mm256_loadu_si256((const __m256i *)lo), add_lo);
    const __m256i carry =
        _mm256_cmpgt_epi64(_mm256_xor_si256(add_lo, sign), _mm256_xor_si256(new_lo, sign));
    const __m256i new_hi =
        _mm256_sub_epi64(_mm256_add_epi64(_mm256_loadu_si256((const __m256i *)hi), add_hi), carry);
    _mm256_storeu_si256((__m256i *)lo, new_lo);
    _mm256_storeu_si256((__m256i *)hi, new_hi);
}

/* weight is -WEIGHT_STEP to WEIGHT_STEP. */
static void fold_small(uint64_t *lo, int64_t *hi, const float *x, size_t n, double scale,
                       int64_t weight)
{
    const struct fold_constants constants = {_mm256_set1_pd(scale), _mm256_set1_epi64x(weight)};
    size_t i = 0;
    for (; i + 8 <= n; i += 8) {
        fold4(lo + i, hi + i, _mm_loadu_ps(x + i), &constants);
        fold4(lo + i + 4, hi + i + 4, _mm_loadu_ps(x + i + 4), &constants);
    }
    for (; i < n; i += 4) {
        const size_t count = n - i < 4 ? n - i : 4;
        float tail[4] = {0};
        uint64_t tail_lo[4] = {0};
        int64_t tail_hi[4] = {0};
        memcpy(tail, x + i, count * sizeof(*tail));
        memcpy(tail_lo, lo + i, count * sizeof(*tail_lo));
        memcpy(tail_hi, hi + i, count * sizeof(*tail_hi));
        fold4(tail_lo, tail_hi, _mm_loadu_ps(tail), &constants);
        memcpy(lo + i, tail_lo, count * sizeof(*tail_lo));
        memcpy(hi + i, tail_hi, count * sizeof(*tail_hi));
    }
}

/* A weight over 31 bits, which no sample count gives, goes in in at most three exact parts. */
static void fold(uint64_t *lo, int64_t *hi, const float *x, size_t n, double scale, int64_t weight)
{
    while (weight > WEIGHT_STEP) {
        fold_small(lo, hi, x, n, scale, WEIGHT_STEP);
        weight -= WEIGHT_STEP;
    }
    while (weight < -WEIGHT_STEP) {
        fold_small(lo, hi, x, n, scale, -WEIGHT_STEP);
        weight += WEIGHT_STEP;
    }
    fold_small(lo, hi, x, n, scale, weight);
}

static uint32_t largest_of(__m256i values)
{
    uint32_t lanes[8];
    memcpy(lanes, &values, sizeof(lanes));
    uint32_t largest = 0;
    for (size_t i = 0; i < 8; i++)
        largest = lanes[i] > largest ? lanes[i] : largest;
    return largest;
}

/* Up to 8 elements, zeros after them. */
static __m256 load_tail(const float *x, size_t count)
{
    float tail[8] = {0};
    memcpy(tail, x, count * sizeof(*tail));
    return _mm256_loadu_ps(tail);
}

static inline __m256i abs_max_step(__m256i largest, __m256 x)
{
    const __m256i bits = _mm256_and_si256(_mm256_castps_si256(x), _mm256_set1_epi32(INT32_MAX));
    return _mm256_max_epu32(largest, bits);
}

static uint32_t abs_max_bits(const float *x, size_t n)
{
    __m256i a = _mm256_setzero_si256();
    __m256i b = _mm256_setzero_si256();
    size_t i = 0;
    for (; i + 16 <= n; i += 16) {
        a = abs_max_step(a, _mm256_loadu_ps(x + i));
        b = abs_max_step(b, _mm256_loadu_ps(x + i + 8));
    }
    for (; i < n; i += 8)
        a = abs_max_step(a, load_tail(x + i, n - i < 8 ? n - i : 8));
    return largest_of(_mm256_max_epu32(a, b));
}

/* Adds the squares of 8 elements to 8 lanes; a square of zero changes no lane. */
static inline void square_step(__m256d lanes[static 2], __m256 x)
{
    const __m256d low = _mm256_cvtps_pd(_mm256_castps256_ps128(x));
    const __m256d high = _mm256_cvtps_pd(_mm256_extractf128_ps(x, 1));
    lanes[0] = _mm256_add_pd(lanes[0], _mm256_mul_pd(low, low));
    lanes[1] = _mm256_add_pd(lanes[1], _mm256_mul_pd(high, high));
}

static bool check_finite_and_norm(const float *x, size_t n, double *ret_norm_squared)
{
    __m256i largest = _mm256_setzero_si256();
    __m256d lanes[4] = {_mm256_setzero_pd(), _mm256_setzero_pd(), _mm256_setzero_pd(),
                        _mm256_setzero_pd()};
    size_t i = 0;
    for (; i + 16 <= n; i += 16) {
        const __m256 a = _mm256_loadu_ps(x + i);
        const __m256 b = _mm256_loadu_ps(x + i + 8);
        largest = abs_max_step(abs_max_step(largest, a), b);
        square_step(lanes, a);
        square_step(lanes + 2, b);
    }
    for (size_t lane = 0; i < n; i += 8, lane += 2) {
        const __m256 tail = load_tail(x + i, n - i < 8 ? n - i : 8);
        largest = abs_max_step(largest, tail);
        square_step(lanes + lane, tail);
    }
    if (largest_of(largest) >= 0x7f800000)
        return false;
    double sums[KERN_LANES / 4];
    const __m256d quads =
        _mm256_add_pd(_mm256_add_pd(lanes[0], lanes[2]), _mm256_add_pd(lanes[1], lanes[3]));
    _mm256_storeu_pd(sums, quads);
    *ret_norm_squared = (sums[0] + sums[2]) + (sums[1] + sums[3]);
    return true;
}

const struct kern kern_avx2 = {
    .name = "avx2",
    .fold = fold,
    .abs_max_bits = abs_max_bits,
    .check_finite_and_norm = check_finite_and_norm,
    .median = select_avx2_median,
    .trimmed_mean = select_avx2_trimmed_mean,
    .nearest_mean = select_avx2_nearest_mean,
    .gram = sums_avx2_gram,
    .distance_squared = sums_avx2_distance_squared,
    .dot = sums_avx2_dot,
    .weighted_sum = sums_avx2_weighted_sum,
    .multiply_symmetric = dense_avx2_multiply_symmetric,
    .dot_rows = dense_avx2_dot_rows,
    .add_rows = dense_avx2_add_rows,
};

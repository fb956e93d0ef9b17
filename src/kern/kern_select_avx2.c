/*
 * kern_select_avx2.c - medians, trimmed and nearest means for AVX2: exact order statistics of eight
 * columns at a time. Sums of rows are in kern_sums_avx2.c.
 *
 * A register holds eight neighbouring columns of one row, so nothing is transposed: a minimum and a
 * maximum are a comparator of a sorting network over rows. Up to NETWORK_ROWS_MAX rows, blocks of
 * 16 are sorted in registers and merged, and the last merge gives only the ranks that are wanted;
 * that takes the same time whatever the values are. Above, counting: two pivots a pass bracket the
 * rank (Floyd and Rivest 1975: the first two from a sorted sample), until few values are left to
 * sort.
 *
 * Minima and maxima may swap the signs of zeros; no result depends on these.
 */
#include "kern/kern_tables.h"

#include <immintrin.h>
#include <math.h>
#include <string.h>

enum {
    LANES = 8,
    BLOCK = 16, /* rows that are sorted in registers */
    NETWORK_ROWS_MAX = 128,
    SAMPLE = 64,
    /* A bracket with no more values than this is sorted. */
    DENSE = BLOCK,
    /* Rows of which some column lies in its bracket, and a place to write in vain. */
    LIST_MAX = DENSE * LANES + 1,
    /* counting: after so many passes one of the two pivots halves the range of keys. */
    PASSES_BEFORE_BISECTION = 4,
    /* A tile, and the next one fetched meanwhile, stay within this much of the second-level cache.
     */
    TILE_BYTES = 128 << 10,
};

/* Values of one column stand LANES floats apart; LANES columns lie together. */
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

/* ---- networks ----------------------------------------------------------------------------------
 */

/* A comparator: the lower value to i, i < j. What the caller does not use is not computed. */
[[gnu::always_inline]] static inline void sort2(__m256 v[BLOCK], size_t n, size_t i, size_t j)
{
    if (j >= n)
        return;
    const __m256 low = _mm256_min_ps(v[i], v[j]);
    v[j] = _mm256_max_ps(v[i], v[j]);
    v[i] = low;
}

/*
 * Sorts n <= 16 registers, n a constant: the network of 60 comparators by Green (Knuth, TAOCP 3,
 * 5.3.4) in the arrangement of 10 layers by B. Dobbelaere. Without the wires from n on, as if these
 * held infinity.
 */
[[gnu::always_inline]] static inline void sort_registers(__m256 v[BLOCK], size_t n)
{
    sort2(v, n, 0, 13), sort2(v, n, 1, 12), sort2(v, n, 2, 15), sort2(v, n, 3, 14);
    sort2(v, n, 4, 8), sort2(v, n, 5, 6), sort2(v, n, 7, 11), sort2(v, n, 9, 10);
    sort2(v, n, 0, 5), sort2(v, n, 1, 7), sort2(v, n, 2, 9), sort2(v, n, 3, 4);
    sort2(v, n, 6, 13), sort2(v, n, 8, 14), sort2(v, n, 10, 15), sort2(v, n, 11, 12);
    sort2(v, n, 0, 1), sort2(v, n, 2, 3), sort2(v, n, 4, 5), sort2(v, n, 6, 8);
    sort2(v, n, 7, 9), sort2(v, n, 10, 11), sort2(v, n, 12, 13), sort2(v, n, 14, 15);
    sort2(v, n, 0, 2), sort2(v, n, 1, 3), sort2(v, n, 4, 10), sort2(v, n, 5, 11);
    sort2(v, n, 6, 7), sort2(v, n, 8, 9), sort2(v, n, 12, 14), sort2(v, n, 13, 15);
    sort2(v, n, 1, 2), sort2(v, n, 3, 12), sort2(v, n, 4, 6), sort2(v, n, 5, 7);
    sort2(v, n, 8, 10), sort2(v, n, 9, 11), sort2(v, n, 13, 14);
    sort2(v, n, 1, 4), sort2(v, n, 2, 6), sort2(v, n, 5, 8), sort2(v, n, 7, 10);
    sort2(v, n, 9, 13), sort2(v, n, 11, 14);
    sort2(v, n, 2, 4), sort2(v, n, 3, 6), sort2(v, n, 9, 12), sort2(v, n, 11, 13);
    sort2(v, n, 3, 5), sort2(v, n, 6, 8), sort2(v, n, 7, 9), sort2(v, n, 10, 12);
    sort2(v, n, 3, 4), sort2(v, n, 5, 6), sort2(v, n, 7, 8), sort2(v, n, 9, 10);
    sort2(v, n, 11, 12);
    sort2(v, n, 6, 7), sort2(v, n, 8, 9);
}

/* Sorts 16 registers that rise and then fall, or are a rotation of such. */
[[gnu::always_inline]] static inline void sort_bitonic(__m256 v[BLOCK])
{
    for (size_t i = 0; i < 8; i++)
        sort2(v, BLOCK, i, i + 8);
    for (size_t i = 0; i < 4; i++) {
        sort2(v, BLOCK, i, i + 4);
        sort2(v, BLOCK, i + 8, i + 12);
    }
    for (size_t i = 0; i < 16; i += 4) {
        sort2(v, BLOCK, i, i + 2);
        sort2(v, BLOCK, i + 1, i + 3);
    }
    for (size_t i = 0; i < 16; i += 2)
        sort2(v, BLOCK, i, i + 1);
}

[[gnu::always_inline]] static inline void store_block(float *to, const __m256 v[BLOCK], size_t n)
{
    for (size_t i = 0; i < n; i++)
        store(to, i, v[i]);
}

[[gnu::always_inline]] static inline void sort_rows(const float *from, float *to, size_t n)
{
    __m256 v[BLOCK];
    for (size_t i = 0; i < n; i++)
        v[i] = load(from, i);
    sort_registers(v, n);
    store_block(to, v, n);
}

/* Sorts n = 1 to 16 rows; one piece of code for each n. */
static void sort_block(const float *from, float *to, size_t n)
{
    switch (n) {
    case 1:
        return sort_rows(from, to, 1);
    case 2:
        return sort_rows(from, to, 2);
    case 3:
        return sort_rows(from, to, 3);
    case 4:
        return sort_rows(from, to, 4);
    case 5:
        return sort_rows(from, to, 5);
    case 6:
        return sort_rows(from, to, 6);
    case 7:
        return sort_rows(from, to, 7);
    case 8:
        return sort_rows(from, to, 8);
    case 9:
        return sort_rows(from, to, 9);
    case 10:
        return sort_rows(from, to, 10);
    case 11:
        return sort_rows(from, to, 11);
    case 12:
        return sort_rows(from, to, 12);
    case 13:
        return sort_rows(from, to, 13);
    case 14:
        return sort_rows(from, to, 14);
    case 15:
        return sort_rows(from, to, 15);
    default:
        return sort_rows(from, to, 16);
    }
}

/* Merges sorted a[16] and b[16] into to[32]. */
static void merge16(const float *a, const float *b, float *to)
{
    __m256 v[BLOCK];
    for (size_t i = 0; i < BLOCK; i++)
        v[i] = _mm256_min_ps(load(a, i), load(b, 15 - i));
    sort_bitonic(v);
    store_block(to, v, BLOCK);
    for (size_t i = 0; i < BLOCK; i++)
        v[i] = _mm256_max_ps(load(a, i), load(b, 15 - i));
    sort_bitonic(v);
    store_block(to + BLOCK * LANES, v, BLOCK);
}

/*
 * Merges sorted a[32] and b[32] into to[64]: the first two layers are taken together, a quarter of
 * the result at a time, so that it fits the registers.
 */
static void merge32(const float *a, const float *b, float *to)
{
    __m256 v[BLOCK];
    for (size_t i = 0; i < BLOCK; i++)
        v[i] = _mm256_min_ps(_mm256_min_ps(load(a, i), load(b, 31 - i)),
                             _mm256_min_ps(load(a, i + 16), load(b, 15 - i)));
    sort_bitonic(v);
    store_block(to, v, BLOCK);
    for (size_t i = 0; i < BLOCK; i++)
        v[i] = _mm256_max_ps(_mm256_min_ps(load(a, i), load(b, 31 - i)),
                             _mm256_min_ps(load(a, i + 16), load(b, 15 - i)));
    sort_bitonic(v);
    store_block(to + 1 * BLOCK * LANES, v, BLOCK);
    for (size_t i = 0; i < BLOCK; i++)
        v[i] = _mm256_min_ps(_mm256_max_ps(load(a, i), load(b, 31 - i)),
                             _mm256_max_ps(load(a, i + 16), load(b, 15 - i)));
    sort_bitonic(v);
    store_block(to + 2 * BLOCK * LANES, v, BLOCK);
    for (size_t i = 0; i < BLOCK; i++)
        v[i] = _mm256_max_ps(_mm256_max_ps(load(a, i), load(b, 31 - i)),
                             _mm256_max_ps(load(a, i + 16), load(b, 15 - i)));
    sort_bitonic(v);
    store_block(to + 3 * BLOCK * LANES, v, BLOCK);
}

/* Merges sorted a[32] and b[16] into to[48]: merge32 with b followed by infinities. */
static void merge32_16(const float *a, const float *b, float *to)
{
    __m256 v[BLOCK];
    for (size_t i = 0; i < BLOCK; i++)
        v[i] = _mm256_min_ps(load(a, i), _mm256_min_ps(load(a, i + 16), load(b, 15 - i)));
    sort_bitonic(v);
    store_block(to, v, BLOCK);
    for (size_t i = 0; i < BLOCK; i++)
        v[i] = _mm256_max_ps(load(a, i), _mm256_min_ps(load(a, i + 16), load(b, 15 - i)));
    sort_bitonic(v);
    store_block(to + 1 * BLOCK * LANES, v, BLOCK);
    for (size_t i = 0; i < BLOCK; i++)
        v[i] = _mm256_max_ps(load(a, i + 16), load(b, 15 - i));
    sort_bitonic(v);
    store_block(to + 2 * BLOCK * LANES, v, BLOCK);
}

/* Sorted runs of rows: the first in [0, first), the second in [first, first + second). */
struct runs {
    const float *values;
    size_t first;
    size_t second;
};

/*
 * Sorts n rows, 1 to 128, into at most two runs. Rows up to a multiple of 16 are infinities. work
 * has room for 2 * 128 rows.
 */
static struct runs sort_into_runs(const float *from, size_t n, float *work)
{
    const size_t blocks = (n + BLOCK - 1) / BLOCK;
    float *const other = work + (size_t)NETWORK_ROWS_MAX * LANES;
    for (size_t b = 0; b < blocks; b++) {
        const size_t left = n - b * BLOCK;
        sort_block(from + b * BLOCK * LANES, work + b * BLOCK * LANES, left < BLOCK ? left : BLOCK);
    }
    for (size_t i = n; i < blocks * BLOCK; i++)
        store(work, i, _mm256_set1_ps(INFINITY));
    if (blocks <= 2)
        return (struct runs){work, BLOCK, (blocks - 1) * BLOCK};
    const size_t run32 = 2 * (size_t)BLOCK * LANES;
    for (size_t b = 0; b + 1 < blocks; b += 2)
        merge16(work + b * BLOCK * LANES, work + (b + 1) * BLOCK * LANES,
                other + b * BLOCK * LANES);
    if (blocks % 2)
        memcpy(other + (blocks - 1) * BLOCK * LANES, work + (blocks - 1) * BLOCK * LANES,
               BLOCK * LANES * sizeof(float));
    if (blocks <= 4)
        return (struct runs){other, 32, (blocks - 2) * BLOCK};
    merge32(other, other + run32, work);
    if (blocks == 8)
        merge32(other + 2 * run32, other + 3 * run32, work + 2 * run32);
    else if (blocks == 7)
        merge32_16(other + 2 * run32, other + 3 * run32, work + 2 * run32);
    else
        memcpy(work + 2 * run32, other + 2 * run32, (blocks - 4) * BLOCK * LANES * sizeof(float));
    return (struct runs){work, 64, (blocks - 4) * BLOCK};
}

/*
 * The value of rank k, from 0, of two sorted runs: of all ways to take i values from the one and
 * k + 1 - i from the other, the least of what is the greatest.
 */
static __m256 rank_of_runs(const struct runs *runs, size_t k)
{
    const float *const a = runs->values;
    const float *const b = a + runs->first * LANES;
    if (runs->second == 0)
        return load(a, k);
    const size_t first = k + 1 > runs->second ? k + 1 - runs->second : 0;
    const size_t last = k + 1 < runs->first ? k + 1 : runs->first;
    __m256 least = _mm256_set1_ps(INFINITY);
    size_t i = first;
    if (i == 0)
        least = load(b, k), i = 1;
    for (; i <= last && i < k + 1; i++)
        least = _mm256_min_ps(least, _mm256_max_ps(load(a, i - 1), load(b, k - i)));
    if (i == k + 1 && i <= last)
        least = _mm256_min_ps(least, load(a, k));
    return least;
}

/* ---- counting ----------------------------------------------------------------------------------
 */

/* Integers in the order of the floats; both zeros are 0. */
static inline __m256i key_of(__m256 value)
{
    const __m256i bits = _mm256_castps_si256(value);
    return _mm256_sign_epi32(_mm256_and_si256(bits, _mm256_set1_epi32(INT32_MAX)), bits);
}

static inline __m256 value_of(__m256i key)
{
    const __m256i sign = _mm256_and_si256(key, _mm256_set1_epi32(INT32_MIN));
    return _mm256_castsi256_ps(_mm256_or_si256(_mm256_abs_epi32(key), sign));
}

/* Halfway in keys, rounded down. */
static inline __m256 halfway(__m256 a, __m256 b)
{
    const __m256i x = key_of(a);
    const __m256i y = key_of(b);
    return value_of(
        _mm256_add_epi32(_mm256_and_si256(x, y), _mm256_srai_epi32(_mm256_xor_si256(x, y), 1)));
}

static inline __m256i is_true(__m256 mask)
{
    return _mm256_castps_si256(mask);
}

static inline __m256 as_mask(__m256i mask)
{
    return _mm256_castsi256_ps(mask);
}

/*
 * What is known of the ranks first and second of eight columns; second is first or first + 1. In
 * each column below values are <= lo, below <= first, and upto are <= hi, upto > second: both lie
 * in (lo, hi]. Where a pivot fell between them, split is true and between is that pivot.
 */
struct bracket {
    __m256 lo;
    __m256 hi;
    __m256i below;
    __m256i upto;
    __m256 split;
    __m256 between;
    __m256i first;
    __m256i second;
};

static void bracket_narrow(struct bracket *b, __m256 pivot, __m256i count)
{
    const __m256 over_first = as_mask(_mm256_cmpgt_epi32(count, b->first));
    const __m256 over_second = as_mask(_mm256_cmpgt_epi32(count, b->second));
    const __m256 raise = _mm256_andnot_ps(over_first, _mm256_cmp_ps(pivot, b->lo, _CMP_GT_OQ));
    const __m256 lower = _mm256_and_ps(over_second, _mm256_cmp_ps(pivot, b->hi, _CMP_LT_OQ));
    const __m256 split = _mm256_andnot_ps(over_second, over_first);
    b->lo = _mm256_blendv_ps(b->lo, pivot, raise);
    b->below = _mm256_blendv_epi8(b->below, count, is_true(raise));
    b->hi = _mm256_blendv_ps(b->hi, pivot, lower);
    b->upto = _mm256_blendv_epi8(b->upto, count, is_true(lower));
    b->between = _mm256_blendv_ps(b->between, pivot, split);
    b->split = _mm256_or_ps(b->split, split);
}

/* One pass: how many of n values are at most a, at most b. */
static void count_two(struct bracket *bracket, const float *values, size_t n, __m256 a, __m256 b)
{
    __m256i a_count[2] = {_mm256_setzero_si256(), _mm256_setzero_si256()};
    __m256i b_count[2] = {_mm256_setzero_si256(), _mm256_setzero_si256()};
    size_t i = 0;
    for (; i + 2 <= n; i += 2) {
        const __m256 x = load(values, i);
        const __m256 y = load(values, i + 1);
        a_count[0] = _mm256_sub_epi32(a_count[0], is_true(_mm256_cmp_ps(x, a, _CMP_LE_OQ)));
        b_count[0] = _mm256_sub_epi32(b_count[0], is_true(_mm256_cmp_ps(x, b, _CMP_LE_OQ)));
        a_count[1] = _mm256_sub_epi32(a_count[1], is_true(_mm256_cmp_ps(y, a, _CMP_LE_OQ)));
        b_count[1] = _mm256_sub_epi32(b_count[1], is_true(_mm256_cmp_ps(y, b, _CMP_LE_OQ)));
    }
    if (i < n) {
        const __m256 x = load(values, i);
        a_count[0] = _mm256_sub_epi32(a_count[0], is_true(_mm256_cmp_ps(x, a, _CMP_LE_OQ)));
        b_count[0] = _mm256_sub_epi32(b_count[0], is_true(_mm256_cmp_ps(x, b, _CMP_LE_OQ)));
    }
    bracket_narrow(bracket, a, _mm256_add_epi32(a_count[0], a_count[1]));
    bracket_narrow(bracket, b, _mm256_add_epi32(b_count[0], b_count[1]));
}

/* Draws the bracket in to the values that are there: of one value only, its ends become adjacent.
 */
static void bracket_tighten(struct bracket *b, const float *values, size_t n)
{
    const __m256 none = _mm256_set1_ps(INFINITY);
    __m256 least = none;
    __m256 most = _mm256_set1_ps(-INFINITY);
    for (size_t i = 0; i < n; i++) {
        const __m256 x = load(values, i);
        least =
            _mm256_min_ps(least, _mm256_blendv_ps(none, x, _mm256_cmp_ps(x, b->lo, _CMP_GT_OQ)));
        most = _mm256_max_ps(most, _mm256_blendv_ps(b->lo, x, _mm256_cmp_ps(x, b->hi, _CMP_LE_OQ)));
    }
    b->lo = value_of(_mm256_sub_epi32(key_of(least), _mm256_set1_epi32(1)));
    b->hi = most;
}

/* Columns whose two ranks are hi: no other float lies in the bracket. */
static inline __m256 bracket_is_one_value(const struct bracket *b)
{
    const __m256i width = _mm256_sub_epi32(key_of(b->hi), key_of(b->lo));
    return as_mask(_mm256_cmpeq_epi32(width, _mm256_set1_epi32(1)));
}

static inline bool bracket_is_narrow(const struct bracket *b)
{
    const __m256i width = _mm256_sub_epi32(b->upto, b->below);
    const __m256 wide = as_mask(_mm256_cmpgt_epi32(width, _mm256_set1_epi32(DENSE)));
    const __m256 known = _mm256_or_ps(b->split, bracket_is_one_value(b));
    return _mm256_movemask_ps(_mm256_andnot_ps(known, wide)) == 0;
}

/*
 * Pivots on both sides of where the ranks lie if values are spread evenly over the bracket, one
 * standard deviation away; keys halfway where that is not within the bracket, or bisect.
 */
static void bracket_pivots(const struct bracket *b, bool bisect, __m256 *ret_a, __m256 *ret_b)
{
    const __m256 width = _mm256_cvtepi32_ps(_mm256_sub_epi32(b->upto, b->below));
    const __m256 rank = _mm256_add_ps(_mm256_cvtepi32_ps(_mm256_sub_epi32(b->first, b->below)),
                                      _mm256_set1_ps(0.5f));
    const __m256 share = _mm256_div_ps(rank, width);
    const __m256 variance = _mm256_mul_ps(rank, _mm256_sub_ps(_mm256_set1_ps(1), share));
    const __m256 margin =
        _mm256_div_ps(_mm256_add_ps(_mm256_sqrt_ps(_mm256_max_ps(variance, _mm256_setzero_ps())),
                                    _mm256_set1_ps(1)),
                      width);
    const __m256 range = _mm256_sub_ps(b->hi, b->lo);
    const __m256 middle = halfway(b->lo, b->hi);
    __m256 a = _mm256_add_ps(b->lo, _mm256_mul_ps(range, _mm256_sub_ps(share, margin)));
    __m256 c = _mm256_add_ps(b->lo, _mm256_mul_ps(range, _mm256_add_ps(share, margin)));
    const __m256 a_within =
        _mm256_and_ps(_mm256_cmp_ps(a, b->lo, _CMP_GT_OQ), _mm256_cmp_ps(a, b->hi, _CMP_LT_OQ));
    const __m256 c_within =
        _mm256_and_ps(_mm256_cmp_ps(c, b->lo, _CMP_GT_OQ), _mm256_cmp_ps(c, b->hi, _CMP_LT_OQ));
    a = bisect ? middle : _mm256_blendv_ps(middle, a, a_within);
    *ret_a = a;
    *ret_b = _mm256_blendv_ps(halfway(a, b->hi), c, c_within);
}

/* The first two pivots: values of a sorted sample around the rank. */
static void bracket_sample(struct bracket *b, const float *values, size_t n, size_t rank,
                           float *work)
{
    float *const sample = work + 2 * (size_t)NETWORK_ROWS_MAX * LANES;
    for (size_t i = 0; i < SAMPLE; i++)
        store(sample, i, load(values, i * n / SAMPLE));
    const struct runs runs = sort_into_runs(sample, SAMPLE, work);
    const double share = ((double)rank + 0.5) / (double)n;
    const double center = share * SAMPLE;
    const double margin = 1.5 * sqrt(center * (1 - share)) + 1;
    const double first = floor(center - margin);
    const double last = ceil(center + margin);
    const __m256 lowest =
        first < 0 ? _mm256_set1_ps(-INFINITY) : rank_of_runs(&runs, (size_t)first);
    const __m256 highest =
        last > SAMPLE - 1 ? _mm256_set1_ps(INFINITY) : rank_of_runs(&runs, (size_t)last);
    const __m256 under =
        first < 0 ? lowest : value_of(_mm256_sub_epi32(key_of(lowest), _mm256_set1_epi32(1)));
    count_two(b, values, n, under, highest);
}

/*
 * The ranks of columns with few values in their bracket: rows with such a value, then each column's
 * values close together, sorted.
 */
static struct ranks bracket_sort(const struct bracket *b, const float *values, size_t n,
                                 float *work)
{
    const __m256 known = _mm256_or_ps(b->split, bracket_is_one_value(b));
    const __m256 hi = _mm256_blendv_ps(b->hi, b->lo, known); /* nothing lies in (lo, lo] */
    float *const list = work;
    float *const dense = list + (size_t)LIST_MAX * LANES;
    size_t listed = 0;
    for (size_t i = 0; i < n; i++) {
        const __m256 x = load(values, i);
        const __m256 within =
            _mm256_and_ps(_mm256_cmp_ps(x, b->lo, _CMP_GT_OQ), _mm256_cmp_ps(x, hi, _CMP_LE_OQ));
        store(list, listed, _mm256_blendv_ps(_mm256_set1_ps(NAN), x, within));
        listed += _mm256_movemask_ps(within) != 0;
    }
    uint32_t used[LANES] = {0};
    for (size_t i = 0; i <= DENSE; i++)
        store(dense, i, _mm256_set1_ps(INFINITY));
    for (size_t i = 0; i < listed; i++) {
        for (size_t l = 0; l < LANES; l++) {
            const float x = list[i * LANES + l];
            dense[used[l] * LANES + l] = x;
            used[l] += x == x;
        }
    }
    for (size_t l = 0; l < LANES; l++) /* the last value written in vain */
        dense[used[l] * LANES + l] = INFINITY;
    sort_block(dense, dense, DENSE);
    int32_t first[LANES];
    int32_t second[LANES];
    float found[2][LANES];
    _mm256_storeu_si256((__m256i *)first, _mm256_sub_epi32(b->first, b->below));
    _mm256_storeu_si256((__m256i *)second, _mm256_sub_epi32(b->second, b->below));
    for (size_t l = 0; l < LANES; l++) {
        found[0][l] = dense[(size_t)(first[l] & (DENSE - 1)) * LANES + l];
        found[1][l] = dense[(size_t)(second[l] & (DENSE - 1)) * LANES + l];
    }
    return (struct ranks){_mm256_blendv_ps(_mm256_loadu_ps(found[0]), b->hi, known),
                          _mm256_blendv_ps(_mm256_loadu_ps(found[1]), b->hi, known)};
}

/* Columns with a pivot between the two ranks: the greatest value up to it, the least above. */
static void bracket_split(const struct bracket *b, const float *values, size_t n,
                          struct ranks *ranks)
{
    __m256 low = _mm256_set1_ps(-INFINITY);
    __m256 high = _mm256_set1_ps(INFINITY);
    for (size_t i = 0; i < n; i++) {
        const __m256 x = load(values, i);
        const __m256 over = _mm256_cmp_ps(x, b->between, _CMP_GT_OQ);
        low = _mm256_max_ps(low, _mm256_blendv_ps(x, _mm256_set1_ps(-INFINITY), over));
        high = _mm256_min_ps(high, _mm256_blendv_ps(_mm256_set1_ps(INFINITY), x, over));
    }
    ranks->first = _mm256_blendv_ps(ranks->first, low, b->split);
    ranks->second = _mm256_blendv_ps(ranks->second, high, b->split);
}

static struct ranks ranks_by_counting(const float *values, size_t n, size_t first, size_t second,
                                      float *work)
{
    struct bracket b = {
        .lo = _mm256_set1_ps(-INFINITY),
        .hi = _mm256_set1_ps(INFINITY),
        .below = _mm256_setzero_si256(),
        .upto = _mm256_set1_epi32((int)n),
        .split = _mm256_setzero_ps(),
        .between = _mm256_setzero_ps(),
        .first = _mm256_set1_epi32((int)first),
        .second = _mm256_set1_epi32((int)second),
    };
    bracket_sample(&b, values, n, first, work);
    for (size_t pass = 1; !bracket_is_narrow(&b); pass++) {
        __m256 pivots[2];
        const __m256 open = _mm256_or_ps(_mm256_cmp_ps(b.lo, _mm256_set1_ps(-INFINITY), _CMP_EQ_OQ),
                                         _mm256_cmp_ps(b.hi, _mm256_set1_ps(INFINITY), _CMP_EQ_OQ));
        if (pass % 3 == 0 || (pass == 1 && _mm256_movemask_ps(open) != 0)) {
            bracket_tighten(&b, values, n);
            continue;
        }
        bracket_pivots(&b, pass > PASSES_BEFORE_BISECTION, &pivots[0], &pivots[1]);
        count_two(&b, values, n, pivots[0], pivots[1]);
    }
    struct ranks ranks = bracket_sort(&b, values, n, work);
    if (_mm256_movemask_ps(b.split) != 0)
        bracket_split(&b, values, n, &ranks);
    return ranks;
}

/* ---- eight columns -----------------------------------------------------------------------------
 */

/* The values of ranks first and second, from 0; second is first or first + 1. */
static struct ranks ranks_of(const float *values, size_t n, size_t first, size_t second,
                             float *work)
{
    if (n > NETWORK_ROWS_MAX)
        return ranks_by_counting(values, n, first, second, work);
    const struct runs runs = sort_into_runs(values, n, work);
    const __m256 low = rank_of_runs(&runs, first);
    return (struct ranks){low, first == second ? low : rank_of_runs(&runs, second)};
}

struct sums {
    __m256d low;
    __m256d high;
};

static inline void sums_add(struct sums *sums, __m256 x)
{
    sums->low = _mm256_add_pd(sums->low, _mm256_cvtps_pd(_mm256_castps256_ps128(x)));
    sums->high = _mm256_add_pd(sums->high, _mm256_cvtps_pd(_mm256_extractf128_ps(x, 1)));
}

static inline void sums_add_times(struct sums *sums, __m256 x, __m256i times)
{
    const __m256d low = _mm256_mul_pd(_mm256_cvtps_pd(_mm256_castps256_ps128(x)),
                                      _mm256_cvtepi32_pd(_mm256_castsi256_si128(times)));
    const __m256d high = _mm256_mul_pd(_mm256_cvtps_pd(_mm256_extractf128_ps(x, 1)),
                                       _mm256_cvtepi32_pd(_mm256_extracti128_si256(times, 1)));
    sums->low = _mm256_add_pd(sums->low, low);
    sums->high = _mm256_add_pd(sums->high, high);
}

/* Rounded to f32; -0.0 becomes +0.0. */
static inline __m256 sums_round(const struct sums *sums)
{
    return _mm256_add_ps(_mm256_set_m128(_mm256_cvtpd_ps(sums->high), _mm256_cvtpd_ps(sums->low)),
                         _mm256_setzero_ps());
}

static inline __m256 sums_mean(const struct sums *sums, size_t count)
{
    const __m256d divisor = _mm256_set1_pd((double)count);
    const struct sums mean = {_mm256_div_pd(sums->low, divisor),
                              _mm256_div_pd(sums->high, divisor)};
    return sums_round(&mean);
}

static inline __m256 middle_of(__m256 low, __m256 high)
{
    struct sums sums = {_mm256_setzero_pd(), _mm256_setzero_pd()};
    sums_add(&sums, low);
    sums_add(&sums, high);
    sums.low = _mm256_mul_pd(sums.low, _mm256_set1_pd(0.5));
    sums.high = _mm256_mul_pd(sums.high, _mm256_set1_pd(0.5));
    return sums_round(&sums);
}

static __m256 median_of(const float *values, size_t n, size_t unused, float *work)
{
    const struct ranks ranks = ranks_of(values, n, (n - 1) / 2, n / 2, work);
    return middle_of(ranks.first, ranks.second);
}

static __m256 trimmed_mean_of(const float *values, size_t n, size_t trim, float *work)
{
    __m256 lo;
    __m256 hi;
    if (n > NETWORK_ROWS_MAX) {
        lo = ranks_by_counting(values, n, trim, trim, work).first;
        hi = ranks_by_counting(values, n, n - 1 - trim, n - 1 - trim, work).first;
    } else {
        const struct runs runs = sort_into_runs(values, n, work);
        lo = rank_of_runs(&runs, trim);
        hi = rank_of_runs(&runs, n - 1 - trim);
    }
    struct sums sums = {_mm256_setzero_pd(), _mm256_setzero_pd()};
    __m256i over = _mm256_setzero_si256(); /* how many are > lo, and < hi */
    __m256i under = _mm256_setzero_si256();
    for (size_t i = 0; i < n; i++) {
        const __m256 x = load(values, i);
        const __m256 is_over = _mm256_cmp_ps(x, lo, _CMP_GT_OQ);
        const __m256 is_under = _mm256_cmp_ps(x, hi, _CMP_LT_OQ);
        over = _mm256_sub_epi32(over, is_true(is_over));
        under = _mm256_sub_epi32(under, is_true(is_under));
        sums_add(&sums, _mm256_and_ps(x, _mm256_and_ps(is_over, is_under)));
    }
    const __m256 differ = _mm256_cmp_ps(lo, hi, _CMP_LT_OQ);
    const __m256i most = _mm256_set1_epi32((int)(n - trim)); /* rows that are not cut off there */
    const __m256i kept = _mm256_set1_epi32((int)(n - 2 * trim));
    const __m256i lo_kept = _mm256_blendv_epi8(kept, _mm256_sub_epi32(most, over), is_true(differ));
    const __m256i hi_kept = _mm256_and_si256(_mm256_sub_epi32(most, under), is_true(differ));
    sums_add_times(&sums, lo, lo_kept);
    sums_add_times(&sums, hi, hi_kept);
    return sums_mean(&sums, n - 2 * trim);
}

static __m256 nearest_mean_of(const float *values, size_t n, size_t keep, float *work)
{
    const __m256 median = median_of(values, n, 0, work);
    const __m256 sign = _mm256_set1_ps(-0.0f);
    float *const distances = work;
    float *const rest = work + (n + BLOCK) * LANES;
    for (size_t i = 0; i < n; i++)
        store(distances, i, _mm256_andnot_ps(sign, _mm256_sub_ps(load(values, i), median)));
    const __m256 farthest = ranks_of(distances, n, keep - 1, keep - 1, rest).first;
    __m256i ties = _mm256_set1_epi32((int)keep); /* minus those that are nearer */
    for (size_t i = 0; i < n; i++)
        ties = _mm256_add_epi32(ties,
                                is_true(_mm256_cmp_ps(load(distances, i), farthest, _CMP_LT_OQ)));
    struct sums sums = {_mm256_setzero_pd(), _mm256_setzero_pd()};
    for (size_t i = 0; i < n; i++) {
        const __m256 distance = load(distances, i);
        const __m256 near = _mm256_cmp_ps(distance, farthest, _CMP_LT_OQ);
        const __m256 tied =
            _mm256_and_ps(_mm256_cmp_ps(distance, farthest, _CMP_EQ_OQ),
                          as_mask(_mm256_cmpgt_epi32(ties, _mm256_setzero_si256())));
        ties = _mm256_add_epi32(ties, is_true(tied));
        sums_add(&sums, _mm256_and_ps(load(values, i), _mm256_or_ps(near, tied)));
    }
    return sums_mean(&sums, keep);
}

/* ---- tiles -------------------------------------------------------------------------------------
 */

/* Columns of a tile: as many as fit, and no more than scratch is planned for. */
static size_t tile_columns(size_t n)
{
    size_t columns = KERN_TILE_COLUMNS;
    while (columns > 2 * LANES && columns * n * sizeof(float) > TILE_BYTES)
        columns /= 2;
    return columns;
}

/* Copies columns [0, count) of a tile to groups of LANES columns, n rows each; zeros after count.
 */
static void load_tile(const float *const *rows, size_t n, size_t first, size_t count, float *tile)
{
    for (size_t i = 0; i < n; i++) {
        const float *const row = rows[i] + first;
        size_t c = 0;
        for (; c + LANES <= count; c += LANES)
            _mm256_store_ps(tile + (c * n + i * LANES), _mm256_loadu_ps(row + c));
        if (c < count) {
            float *const to = tile + (c * n + i * LANES);
            _mm256_store_ps(to, _mm256_setzero_ps());
            memcpy(to, row + c, (count - c) * sizeof(float));
        }
    }
}

/* Asks for rows [from, to) of a tile. */
static void fetch_tile(const float *const *rows, size_t from, size_t to, size_t first, size_t count)
{
    for (size_t i = from; i < to; i++) {
        const char *const row = (const char *)(rows[i] + first);
        for (size_t at = 0; at < count * sizeof(float); at += 64)
            _mm_prefetch(row + at, _MM_HINT_T1);
    }
}

/* Runs work over all columns, a tile at a time; the next tile is fetched meanwhile. */
[[gnu::always_inline]] static inline void
for_columns(const float *const *rows, size_t n, size_t count, size_t parameter, float *ret,
            void *scratch, __m256 (*of)(const float *, size_t, size_t, float *))
{
    const size_t columns = tile_columns(n);
    float *const tile = scratch;
    float *const work = tile + columns * n;
    for (size_t first = 0; first < count; first += columns) {
        const size_t width = count - first < columns ? count - first : columns;
        const size_t next = first + width;
        const size_t next_width = count - next < columns ? count - next : columns;
        load_tile(rows, n, first, width, tile);
        for (size_t c = 0; c < width; c += LANES) {
            fetch_tile(rows, c * n / width,
                       (c + LANES) * n / width > n ? n : (c + LANES) * n / width, next, next_width);
            const __m256 result = of(tile + c * n, n, parameter, work);
            if (c + LANES <= width) {
                _mm256_storeu_ps(ret + first + c, result);
            } else {
                float tail[LANES];
                _mm256_storeu_ps(tail, result);
                memcpy(ret + first + c, tail, (width - c) * sizeof(float));
            }
        }
    }
}

void select_avx2_median(const float *const *rows, size_t n, size_t count, float *ret, void *scratch)
{
    for_columns(rows, n, count, 0, ret, scratch, median_of);
}

void select_avx2_trimmed_mean(const float *const *rows, size_t n, size_t count, size_t trim,
                              float *ret, void *scratch)
{
    for_columns(rows, n, count, trim, ret, scratch, trimmed_mean_of);
}

void select_avx2_nearest_mean(const float *const *rows, size_t n, size_t count, size_t keep,
                              float *ret, void *scratch)
{
    for_columns(rows, n, count, keep, ret, scratch, nearest_mean_of);
}

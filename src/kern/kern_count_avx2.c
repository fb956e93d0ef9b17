/*
 * kern_count_avx2.c - exact order statistics of many rows by counting: two pivots a pass bracket
 * the rank in each of eight columns (after Floyd and Rivest 1975: the first two from a sorted
 * sample), until few values are left to sort. The order of floats is that of integer keys, so that
 * the bracket can be halved whatever values there are.
 */
#include "kern/kern_select_avx2.h"

#include <math.h>

enum {
    SAMPLE = COUNT_SAMPLE,
    /* A bracket with no more values than this is sorted. */
    DENSE = NETWORK_BLOCK,
    /* Rows of which some column lies in its bracket, and a place to write in vain. */
    LIST_MAX = DENSE * LANES + 1,
    /* After so many passes one of the two pivots halves the range of keys. */
    PASSES_BEFORE_BISECTION = 4,
};

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
    const struct runs runs = network_sort(sample, SAMPLE, work);
    const double share = ((double)rank + 0.5) / (double)n;
    const double center = share * SAMPLE;
    const double margin = 1.5 * sqrt(center * (1 - share)) + 1;
    const double first = floor(center - margin);
    const double last = ceil(center + margin);
    const __m256 lowest =
        first < 0 ? _mm256_set1_ps(-INFINITY) : network_rank(&runs, (size_t)first);
    const __m256 highest =
        last > SAMPLE - 1 ? _mm256_set1_ps(INFINITY) : network_rank(&runs, (size_t)last);
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
    network_sort_block(dense, dense, DENSE);
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

struct ranks count_ranks(const float *values, size_t n, size_t first, size_t second, float *work)
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

/*
 * kern_select_avx2.c - medians, trimmed and nearest means for AVX2, eight columns at a time: by
 * sorting networks (kern_network_avx2.c) up to 128 rows, above by counting (kern_count_avx2.c).
 */
#include "kern/kern_select_avx2.h"

#include <string.h>

enum {
    /* Fewer rows than this the processor fetches in time by itself. */
    FETCH_ROWS_MIN = 17,
    /* What is fetched ahead: so much stays in the second-level cache. */
    FETCH_BYTES = 128 << 10,
    LINE = 64,
    GROUPS = SELECT_GROUPS,
};

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

static __m256 median_of(const float *values, size_t n, size_t unused, const struct work *work)
{
    if (n <= NETWORK_BLOCK) {
        const struct ranks middle = network_middle_of_few(values, n);
        return middle_of(middle.first, middle.second);
    }
    if (n <= NETWORK_ROWS_MAX) {
        const struct runs runs = network_sort(values, n, work->runs);
        const __m256 low = network_rank(&runs, (n - 1) / 2);
        return middle_of(low, n % 2 ? low : network_rank(&runs, n / 2));
    }
    const struct ranks ranks = count_ranks(values, n, (n - 1) / 2, n / 2, work->runs);
    return middle_of(ranks.first, ranks.second);
}

static __m256 trimmed_mean_of(const float *values, size_t n, size_t trim, const struct work *work)
{
    __m256 lo;
    __m256 hi;
    if (n <= NETWORK_ROWS_MAX) {
        const struct runs runs = network_sort(values, n, work->runs);
        lo = network_rank(&runs, trim);
        hi = network_rank(&runs, n - 1 - trim);
    } else {
        lo = count_ranks(values, n, trim, trim, work->runs).first;
        hi = count_ranks(values, n, n - 1 - trim, n - 1 - trim, work->runs).first;
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
    const __m256i differ = is_true(_mm256_cmp_ps(lo, hi, _CMP_LT_OQ));
    const __m256i most = _mm256_set1_epi32((int)(n - trim)); /* rows that are not cut off there */
    const __m256i kept = _mm256_set1_epi32((int)(n - 2 * trim));
    const __m256i lo_kept = _mm256_blendv_epi8(kept, _mm256_sub_epi32(most, over), differ);
    const __m256i hi_kept = _mm256_and_si256(_mm256_sub_epi32(most, under), differ);
    sums_add_times(&sums, lo, lo_kept);
    sums_add_times(&sums, hi, hi_kept);
    return sums_mean(&sums, n - 2 * trim);
}

/* The value of rank k of the distances. */
static __m256 rank_of_distances(size_t n, size_t k, const struct work *work)
{
    if (n > NETWORK_ROWS_MAX)
        return count_ranks(work->distances, n, k, k, work->runs).first;
    const struct runs runs = network_sort(work->distances, n, work->runs);
    return network_rank(&runs, k);
}

static __m256 nearest_mean_of(const float *values, size_t n, size_t keep, const struct work *work)
{
    const __m256 median = median_of(values, n, 0, work);
    const __m256 sign = _mm256_set1_ps(-0.0f);
    for (size_t i = 0; i < n; i++)
        store(work->distances, i, _mm256_andnot_ps(sign, _mm256_sub_ps(load(values, i), median)));
    const __m256 farthest = rank_of_distances(n, keep - 1, work);
    __m256i ties = _mm256_set1_epi32((int)keep); /* minus those that are nearer */
    for (size_t i = 0; i < n; i++)
        ties = _mm256_add_epi32(
            ties, is_true(_mm256_cmp_ps(load(work->distances, i), farthest, _CMP_LT_OQ)));
    struct sums sums = {_mm256_setzero_pd(), _mm256_setzero_pd()};
    for (size_t i = 0; i < n; i++) {
        const __m256 distance = load(work->distances, i);
        const __m256 near = _mm256_cmp_ps(distance, farthest, _CMP_LT_OQ);
        const __m256 tied =
            _mm256_and_ps(_mm256_cmp_ps(distance, farthest, _CMP_EQ_OQ),
                          as_mask(_mm256_cmpgt_epi32(ties, _mm256_setzero_si256())));
        ties = _mm256_add_epi32(ties, is_true(tied));
        sums_add(&sums, _mm256_and_ps(load(values, i), _mm256_or_ps(near, tied)));
    }
    return sums_mean(&sums, keep);
}

/* ---- all columns -------------------------------------------------------------------------------
 */

/* Columns that are fetched ahead: of many rows fewer. */
static size_t fetch_columns(size_t n)
{
    size_t columns = KERN_TILE_COLUMNS;
    while (columns > LINE / sizeof(float) && columns * n * sizeof(float) > FETCH_BYTES)
        columns /= 2;
    return columns;
}

/* At each eight columns of a tile, asks for a part of the rows of the next tile. */
static void fetch_ahead(const float *const *rows, size_t n, size_t at, size_t tile, size_t count)
{
    const size_t share = (n * LANES + tile - 1) / tile;
    const size_t from = at % tile / LANES * share;
    const size_t first = at / tile * tile + tile;
    const size_t end = first + tile < count ? first + tile : count;
    for (size_t i = from; i < from + share && i < n; i++) {
        for (size_t c = first; c < end; c += LINE / sizeof(float))
            _mm_prefetch((const char *)(rows[i] + c), _MM_HINT_T1);
    }
}

/* Copies columns [0, count) to groups of eight, n rows each; zeros after count. */
static void copy_groups(const float *const *rows, size_t n, size_t first, size_t count, float *to)
{
    if (count == GROUPS * LANES) {
        for (size_t i = 0; i < n; i++) {
            for (size_t g = 0; g < GROUPS; g++)
                store(to, g * n + i, _mm256_loadu_ps(rows[i] + first + g * LANES));
        }
        return;
    }
    memset(to, 0, GROUPS * n * LANES * sizeof(*to));
    for (size_t i = 0; i < n; i++) {
        for (size_t c = 0; c < count; c++)
            to[(c / LANES * n + i) * LANES + c % LANES] = rows[i][first + c];
    }
}

/*
 * Rows are copied first, a cache line of each: where they start at the same place of a page, as in
 * mapped files, one set of the first-level cache would hold them all.
 */
[[gnu::always_inline]] static inline void
for_columns(const float *const *rows, size_t n, size_t count, size_t parameter, float *ret,
            void *scratch, __m256 (*of)(const float *, size_t, size_t, const struct work *))
{
    float *const values = scratch;
    float *const distances = values + GROUPS * n * LANES;
    const struct work work = {distances, distances + n * LANES};
    const size_t tile = fetch_columns(n);
    for (size_t first = 0; first < count; first += GROUPS * LANES) {
        const size_t left = count - first;
        copy_groups(rows, n, first, left < GROUPS * LANES ? left : GROUPS * LANES, values);
        for (size_t c = first; c < count && c < first + GROUPS * LANES; c += LANES) {
            if (n >= FETCH_ROWS_MIN)
                fetch_ahead(rows, n, c, tile, count);
            float results[LANES];
            _mm256_storeu_ps(results, of(values + (c - first) * n, n, parameter, &work));
            memcpy(ret + c, results, (count - c < LANES ? count - c : LANES) * sizeof(*ret));
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

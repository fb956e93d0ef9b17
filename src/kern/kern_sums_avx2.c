/*
 * kern_sums_avx2.c - sums of products for AVX2: the Gram matrix, distances, inner products and
 * weighted sums of rows. Order statistics are in kern_select_avx2.c.
 *
 * The Gram matrix of n rows much longer than n: a panel of columns is packed, scaled, so that it
 * stays in the second-level cache and no stride of the rows meets the cache's own, then multiplied
 * by itself in blocks of 3 by 4 rows, whose 12 sums of 8 lanes stay in registers.
 */
#include "kern/kern_tables.h"

#include <immintrin.h>
#include <string.h>

enum {
    LANES = 8,
    PANEL = KERN_PANEL_COLUMNS,
    /* A block of sums: rows i by rows j. */
    BLOCK_I = 3,
    BLOCK_J = 4,
    /* Rows j that stay in the first-level cache while rows i go by, and rows i in the second. */
    KEEP_J = 2 * BLOCK_J,
    KEEP_I = 32 * BLOCK_I,
    /* Up to so many rows the next panel is fetched while this one is multiplied: both fit the
       cache. */
    FETCH_ROWS_MAX = 120,
    FETCH_LINES = 8,
    /* weighted_sum: columns whose sums stay in a near cache while rows go by, long enough for the
       processor to see where it should read ahead; and rows added at a time. */
    SUM_COLUMNS = 4096,
    SUM_ROWS = 8,
};

/* Up to 8 elements, zeros after them. */
static __m256 load_tail(const float *x, size_t count)
{
    float tail[LANES] = {0};
    memcpy(tail, x, count * sizeof(*tail));
    return _mm256_loadu_ps(tail);
}

static inline __m256d low_of(__m256 x)
{
    return _mm256_cvtps_pd(_mm256_castps256_ps128(x));
}

static inline __m256d high_of(__m256 x)
{
    return _mm256_cvtps_pd(_mm256_extractf128_ps(x, 1));
}

/* Four elements as f64: a conversion from memory, where halves of a register would cost one more.
 */
static inline __m256d load_wide(const float *x)
{
    return _mm256_cvtps_pd(_mm_loadu_ps(x));
}

/* ---- two rows ----------------------------------------------------------------------------------
 */

/* Adds the products of 8 elements to 8 lanes; a product of zeros changes no lane. */
static inline void dot_step(__m256d lanes[static 2], __m256 x, __m256 y)
{
    lanes[0] = _mm256_add_pd(lanes[0], _mm256_mul_pd(low_of(x), low_of(y)));
    lanes[1] = _mm256_add_pd(lanes[1], _mm256_mul_pd(high_of(x), high_of(y)));
}

static inline void distance_step(__m256d lanes[static 2], __m256 x, __m256 y)
{
    const __m256d low = _mm256_sub_pd(low_of(x), low_of(y));
    const __m256d high = _mm256_sub_pd(high_of(x), high_of(y));
    lanes[0] = _mm256_add_pd(lanes[0], _mm256_mul_pd(low, low));
    lanes[1] = _mm256_add_pd(lanes[1], _mm256_mul_pd(high, high));
}

[[gnu::always_inline]] static inline double sum_of_pairs(const float *x, const float *y, size_t n,
                                                         void (*step)(__m256d lanes[static 2],
                                                                      __m256 x, __m256 y))
{
    __m256d lanes[4] = {_mm256_setzero_pd(), _mm256_setzero_pd(), _mm256_setzero_pd(),
                        _mm256_setzero_pd()};
    size_t i = 0;
    for (; i + KERN_LANES <= n; i += KERN_LANES) {
        step(lanes, _mm256_loadu_ps(x + i), _mm256_loadu_ps(y + i));
        step(lanes + 2, _mm256_loadu_ps(x + i + LANES), _mm256_loadu_ps(y + i + LANES));
    }
    for (size_t lane = 0; i < n; i += LANES, lane += 2) {
        const size_t count = n - i < LANES ? n - i : LANES;
        step(lanes + lane, load_tail(x + i, count), load_tail(y + i, count));
    }
    double sums[4];
    _mm256_storeu_pd(
        sums, _mm256_add_pd(_mm256_add_pd(lanes[0], lanes[2]), _mm256_add_pd(lanes[1], lanes[3])));
    return (sums[0] + sums[2]) + (sums[1] + sums[3]);
}

double sums_avx2_dot(const float *x, const float *y, size_t n)
{
    return sum_of_pairs(x, y, n, dot_step);
}

double sums_avx2_distance_squared(const float *x, const float *y, size_t n)
{
    return sum_of_pairs(x, y, n, distance_step);
}

/* ---- weighted sums -----------------------------------------------------------------------------
 */

/* sums[c] += weights[0] * rows[0][first + c], then those of the next row, for count rows, a
 * constant. */
[[gnu::always_inline]] static inline void add_rows(double *sums, const float *const *rows,
                                                   const double *weights, size_t first,
                                                   size_t columns, size_t count)
{
    size_t c = 0;
    for (; c + LANES <= columns; c += LANES) {
        __m256d low = _mm256_load_pd(sums + c);
        __m256d high = _mm256_load_pd(sums + c + 4);
        for (size_t i = 0; i < count; i++) {
            const float *const x = rows[i] + first + c;
            const __m256d weight = _mm256_set1_pd(weights[i]);
            low = _mm256_add_pd(low, _mm256_mul_pd(weight, load_wide(x)));
            high = _mm256_add_pd(high, _mm256_mul_pd(weight, load_wide(x + 4)));
        }
        _mm256_store_pd(sums + c, low);
        _mm256_store_pd(sums + c + 4, high);
    }
    for (; c < columns; c++) {
        for (size_t i = 0; i < count; i++)
            sums[c] += weights[i] * (double)rows[i][first + c];
    }
}

static void add_all_rows(double *sums, const float *const *rows, const double *weights, size_t n,
                         size_t first, size_t columns)
{
    size_t i = 0;
    for (; i + SUM_ROWS <= n; i += SUM_ROWS)
        add_rows(sums, rows + i, weights + i, first, columns, SUM_ROWS);
    if (n - i >= 4) {
        add_rows(sums, rows + i, weights + i, first, columns, 4);
        i += 4;
    }
    if (n - i >= 2) {
        add_rows(sums, rows + i, weights + i, first, columns, 2);
        i += 2;
    }
    if (n - i == 1)
        add_rows(sums, rows + i, weights + i, first, columns, 1);
}

static void round_sums(const double *sums, size_t columns, float *ret)
{
    size_t c = 0;
    for (; c + 4 <= columns; c += 4)
        _mm_storeu_ps(ret + c, _mm256_cvtpd_ps(_mm256_load_pd(sums + c)));
    for (; c < columns; c++)
        ret[c] = (float)sums[c];
}

void sums_avx2_weighted_sum(const float *const *rows, const double *weights, size_t n, size_t count,
                            float *ret)
{
    alignas(32) double sums[SUM_COLUMNS];
    for (size_t first = 0; first < count; first += SUM_COLUMNS) {
        const size_t columns = count - first < SUM_COLUMNS ? count - first : SUM_COLUMNS;
        memset(sums, 0, columns * sizeof(*sums));
        add_all_rows(sums, rows, weights, n, first, columns);
        round_sums(sums, columns, ret + first);
    }
}

/* ---- the Gram matrix ---------------------------------------------------------------------------
 */

/* What is left of the next panel to ask the memory for. */
struct fetch {
    const float *const *rows;
    size_t first;
    size_t lines; /* of a row */
    size_t next;
    size_t end;
};

struct panel {
    float *values;   /* f32[rows][PANEL] */
    double *unscale; /* f64[rows]: what undoes the scale of each row */
    size_t width;    /* columns, rounded up to whole steps; those beyond the matrix are 0 */
    struct fetch fetch;
};

static void fetch_some(struct fetch *fetch)
{
    const size_t left = fetch->end - fetch->next;
    for (size_t i = left < FETCH_LINES ? left : FETCH_LINES; i > 0; i--, fetch->next++) {
        const char *const row =
            (const char *)(fetch->rows[fetch->next / fetch->lines] + fetch->first);
        _mm_prefetch(row + fetch->next % fetch->lines * 64, _MM_HINT_T1);
    }
}

static inline __m256 abs_max(__m256 most, __m256 x)
{
    return _mm256_max_ps(most, _mm256_andnot_ps(_mm256_set1_ps(-0.0f), x));
}

/* The exponent field of the largest lane, kept in what makes the scale and its inverse normal. */
static uint32_t exponent_field(__m256 lanes)
{
    uint32_t bits[LANES];
    uint32_t most = 0;
    _mm256_storeu_si256((__m256i *)bits, _mm256_castps_si256(lanes));
    for (size_t l = 0; l < LANES; l++)
        most = bits[l] > most ? bits[l] : most;
    return most >> 23 < 252 ? most >> 23 : 252;
}

/*
 * The differences of one row, scaled, and zeros up to a whole register; returns what undoes the
 * scale. An exponent field of k is a largest magnitude in [0.5, 1) times 2^(k - 126).
 */
static double pack_row(const float *row, const float *center, size_t columns, float *to)
{
    __m256 most = _mm256_setzero_ps();
    size_t c = 0;
    for (; center == nullptr && c + LANES <= columns; c += LANES) {
        const __m256 x = _mm256_loadu_ps(row + c);
        most = abs_max(most, x);
        _mm256_store_ps(to + c, x);
    }
    for (; c + LANES <= columns; c += LANES) {
        const __m256 x = _mm256_sub_ps(_mm256_loadu_ps(row + c), _mm256_loadu_ps(center + c));
        most = abs_max(most, x);
        _mm256_store_ps(to + c, x);
    }
    if (c < columns) {
        __m256 x = load_tail(row + c, columns - c);
        if (center != nullptr)
            x = _mm256_sub_ps(x, load_tail(center + c, columns - c));
        most = abs_max(most, x);
        _mm256_store_ps(to + c, x);
    }
    const uint32_t field = exponent_field(most);
    const __m256 scale = _mm256_castsi256_ps(_mm256_set1_epi32((int)((253 - field) << 23)));
    for (c = 0; c < columns; c += LANES)
        _mm256_store_ps(to + c, _mm256_mul_ps(_mm256_load_ps(to + c), scale));
    const uint64_t unscale_bits = (uint64_t)(field + 1023 - 126) << 52;
    double unscale = 0;
    memcpy(&unscale, &unscale_bits, sizeof(unscale));
    return unscale;
}

/* Four sums, the lanes of each added as ((0 + 1) + (2 + 3)) + ((4 + 5) + (6 + 7)). */
static inline __m256d add_lanes(const __m256 sums[BLOCK_J])
{
    const __m256 quarters =
        _mm256_hadd_ps(_mm256_hadd_ps(sums[0], sums[1]), _mm256_hadd_ps(sums[2], sums[3]));
    return _mm256_cvtps_pd(
        _mm_add_ps(_mm256_castps256_ps128(quarters), _mm256_extractf128_ps(quarters, 1)));
}

/* Eight columns of 3 by 4 rows. */
[[gnu::always_inline]] static inline void multiply_step(__m256 sums[BLOCK_I][BLOCK_J],
                                                        const float *x, const float *y)
{
    const __m256 x0 = _mm256_load_ps(x);
    const __m256 x1 = _mm256_load_ps(x + PANEL);
    const __m256 x2 = _mm256_load_ps(x + 2 * PANEL);
    for (size_t b = 0; b < BLOCK_J; b++) {
        const __m256 yb = _mm256_load_ps(y + b * PANEL);
        sums[0][b] = _mm256_fmadd_ps(x0, yb, sums[0][b]);
        sums[1][b] = _mm256_fmadd_ps(x1, yb, sums[1][b]);
        sums[2][b] = _mm256_fmadd_ps(x2, yb, sums[2][b]);
    }
}

/* gram += rows i to i + 2 by rows j to j + 3, where j <= i < n. */
static void multiply_block(const struct panel *panel, size_t i, size_t j, size_t n, double *gram)
{
    const float *const x = panel->values + i * PANEL;
    const float *const y = panel->values + j * PANEL;
    __m256 sums[BLOCK_I][BLOCK_J];
    for (size_t a = 0; a < BLOCK_I; a++) {
        for (size_t b = 0; b < BLOCK_J; b++)
            sums[a][b] = _mm256_setzero_ps();
        if (i + a < n) /* of a large matrix it is in no cache */
            _mm_prefetch((const char *)(gram + (i + a) * n + j), _MM_HINT_T0);
    }
    /* Twelve sums and what they take fill the registers exactly: unrolled, some would be spilled.
     */
#pragma GCC unroll 1
    for (size_t c = 0; c < panel->width; c += LANES)
        multiply_step(sums, x + c, y + c);
    const __m256d unscale = _mm256_loadu_pd(panel->unscale + j);
    for (size_t a = 0; a < BLOCK_I && i + a < n; a++) {
        double *const to = gram + (i + a) * n + j;
        const __m256d sum = _mm256_mul_pd(
            add_lanes(sums[a]), _mm256_mul_pd(_mm256_set1_pd(panel->unscale[i + a]), unscale));
        if (j + BLOCK_J <= i + a + 1) {
            _mm256_storeu_pd(to, _mm256_add_pd(_mm256_loadu_pd(to), sum));
        } else {
            double parts[BLOCK_J];
            _mm256_storeu_pd(parts, sum);
            for (size_t b = 0; j + b <= i + a; b++)
                to[b] += parts[b];
        }
    }
}

/* Whole blocks are multiplied; what rows after the last one give is dropped. */
static void multiply_panel(struct panel *panel, size_t n, double *gram)
{
    for (size_t first = 0; first < n; first += KEEP_I) {
        const size_t end = n - first < KEEP_I ? n : first + KEEP_I;
        for (size_t keep = 0; keep < end; keep += KEEP_J) {
            const size_t below = keep > first ? (keep - first) / BLOCK_I * BLOCK_I : 0;
            for (size_t i = first + below; i < end; i += BLOCK_I) {
                for (size_t j = keep; j < keep + KEEP_J && j < i + BLOCK_I && j < n; j += BLOCK_J)
                    multiply_block(panel, i, j, n, gram);
                fetch_some(&panel->fetch);
            }
        }
    }
}

void sums_avx2_gram(const float *const *rows, const float *center, size_t n, size_t count,
                    double *gram, void *scratch)
{
    const size_t rows_padded = n + GRAM_PAD_ROWS;
    struct panel panel = {.values = scratch};
    panel.unscale = (double *)(void *)(panel.values + rows_padded * PANEL);
    /* Not that their values matter: zeros are never slow. */
    memset(panel.values + n * PANEL, 0, GRAM_PAD_ROWS * PANEL * sizeof(float));
    for (size_t i = n; i < rows_padded; i++)
        panel.unscale[i] = 1;
    for (size_t first = 0; first < count; first += PANEL) {
        const size_t columns = count - first < PANEL ? count - first : PANEL;
        const size_t left = count - first - columns;
        const size_t lines = (left < PANEL ? left : PANEL) / (64 / sizeof(float));
        for (size_t i = 0; i < n; i++)
            panel.unscale[i] =
                pack_row(rows[i] + first, center != nullptr ? center + first : nullptr, columns,
                         panel.values + i * PANEL);
        panel.width = (columns + LANES - 1) / LANES * LANES;
        panel.fetch = (struct fetch){.rows = rows,
                                     .first = first + columns,
                                     .lines = lines,
                                     .end = n <= FETCH_ROWS_MAX ? n * lines : 0};
        multiply_panel(&panel, n, gram);
    }
}

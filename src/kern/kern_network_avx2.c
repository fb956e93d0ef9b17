/*
 * kern_network_avx2.c - sorts up to 128 rows by networks: a minimum and a maximum are a comparator
 * over eight columns. Blocks of 16 rows are sorted in registers and merged; of the last merge only
 * the ranks that are wanted are computed.
 */
#include "kern/kern_select_avx2.h"

#include <math.h>
#include <string.h>

enum { BLOCK = NETWORK_BLOCK };

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

/* Written out, so that no compiler keeps the array in memory. n is a constant, 1 to 16. */
[[gnu::always_inline]] static inline void load_block(__m256 v[BLOCK], const float *values, size_t n)
{
    if (n > 0)
        v[0] = load(values, 0);
    if (n > 1)
        v[1] = load(values, 1);
    if (n > 2)
        v[2] = load(values, 2);
    if (n > 3)
        v[3] = load(values, 3);
    if (n > 4)
        v[4] = load(values, 4);
    if (n > 5)
        v[5] = load(values, 5);
    if (n > 6)
        v[6] = load(values, 6);
    if (n > 7)
        v[7] = load(values, 7);
    if (n > 8)
        v[8] = load(values, 8);
    if (n > 9)
        v[9] = load(values, 9);
    if (n > 10)
        v[10] = load(values, 10);
    if (n > 11)
        v[11] = load(values, 11);
    if (n > 12)
        v[12] = load(values, 12);
    if (n > 13)
        v[13] = load(values, 13);
    if (n > 14)
        v[14] = load(values, 14);
    if (n > 15)
        v[15] = load(values, 15);
}

[[gnu::always_inline]] static inline void store_block(float *to, const __m256 v[BLOCK], size_t n)
{
    if (n > 0)
        store(to, 0, v[0]);
    if (n > 1)
        store(to, 1, v[1]);
    if (n > 2)
        store(to, 2, v[2]);
    if (n > 3)
        store(to, 3, v[3]);
    if (n > 4)
        store(to, 4, v[4]);
    if (n > 5)
        store(to, 5, v[5]);
    if (n > 6)
        store(to, 6, v[6]);
    if (n > 7)
        store(to, 7, v[7]);
    if (n > 8)
        store(to, 8, v[8]);
    if (n > 9)
        store(to, 9, v[9]);
    if (n > 10)
        store(to, 10, v[10]);
    if (n > 11)
        store(to, 11, v[11]);
    if (n > 12)
        store(to, 12, v[12]);
    if (n > 13)
        store(to, 13, v[13]);
    if (n > 14)
        store(to, 14, v[14]);
    if (n > 15)
        store(to, 15, v[15]);
}

[[gnu::always_inline]] static inline void sort_rows(const float *values, float *to, size_t n)
{
    __m256 v[BLOCK];
    load_block(v, values, n);
    sort_registers(v, n);
    store_block(to, v, n);
}

/* One piece of code for each n. */
void network_sort_block(const float *values, float *to, size_t n)
{
    switch (n) {
    case 1:
        return sort_rows(values, to, 1);
    case 2:
        return sort_rows(values, to, 2);
    case 3:
        return sort_rows(values, to, 3);
    case 4:
        return sort_rows(values, to, 4);
    case 5:
        return sort_rows(values, to, 5);
    case 6:
        return sort_rows(values, to, 6);
    case 7:
        return sort_rows(values, to, 7);
    case 8:
        return sort_rows(values, to, 8);
    case 9:
        return sort_rows(values, to, 9);
    case 10:
        return sort_rows(values, to, 10);
    case 11:
        return sort_rows(values, to, 11);
    case 12:
        return sort_rows(values, to, 12);
    case 13:
        return sort_rows(values, to, 13);
    case 14:
        return sort_rows(values, to, 14);
    case 15:
        return sort_rows(values, to, 15);
    default:
        return sort_rows(values, to, 16);
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

struct runs network_sort(const float *values, size_t n, float *work)
{
    const size_t blocks = (n + BLOCK - 1) / BLOCK;
    float *const other = work + (size_t)NETWORK_ROWS_MAX * LANES;
    for (size_t b = 0; b < blocks; b++) {
        const size_t left = n - b * BLOCK;
        network_sort_block(values + b * BLOCK * LANES, work + b * BLOCK * LANES,
                           left < BLOCK ? left : BLOCK);
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
 * Of all ways to take i values from the one run and k + 1 - i from the other, the least of what is
 * the greatest.
 */
__m256 network_rank(const struct runs *runs, size_t k)
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

[[gnu::always_inline]] static inline struct ranks middle_of_block(const float *values, size_t n)
{
    __m256 v[BLOCK];
    load_block(v, values, n);
    sort_registers(v, n);
    return (struct ranks){v[(n - 1) / 2], v[n / 2]};
}

struct ranks network_middle_of_few(const float *values, size_t n)
{
    switch (n) {
    case 1:
        return middle_of_block(values, 1);
    case 2:
        return middle_of_block(values, 2);
    case 3:
        return middle_of_block(values, 3);
    case 4:
        return middle_of_block(values, 4);
    case 5:
        return middle_of_block(values, 5);
    case 6:
        return middle_of_block(values, 6);
    case 7:
        return middle_of_block(values, 7);
    case 8:
        return middle_of_block(values, 8);
    case 9:
        return middle_of_block(values, 9);
    case 10:
        return middle_of_block(values, 10);
    case 11:
        return middle_of_block(values, 11);
    case 12:
        return middle_of_block(values, 12);
    case 13:
        return middle_of_block(values, 13);
    case 14:
        return middle_of_block(values, 14);
    case 15:
        return middle_of_block(values, 15);
    default:
        return middle_of_block(values, 16);
    }
}

/*
 * kern_rows_ref.c - the plain kernels over rows, written to be read; all others must give their
 * bits.
 */
#include "kern/kern_tables.h"

#include <math.h>
#include <string.h>

/* Shell sort, with the gaps of Ciura (2001) continued by 9/4. */
static void sort(float *values, size_t n)
{
    static const size_t gaps[] = {510774, 227011, 100894, 44842, 19930, 8858, 3937, 1750,
                                  701,    301,    132,    57,    23,    10,   4,    1};
    for (size_t g = 0; g < sizeof(gaps) / sizeof(gaps[0]); g++) {
        const size_t gap = gaps[g];
        for (size_t i = gap; i < n; i++) {
            const float value = values[i];
            size_t j = i;
            for (; j >= gap && values[j - gap] > value; j -= gap)
                values[j] = values[j - gap];
            values[j] = value;
        }
    }
}

static void load_sorted(const float *const *rows, size_t n, size_t column, float *ret)
{
    for (size_t i = 0; i < n; i++)
        ret[i] = rows[i][column];
    sort(ret, n);
}

/* -0.0 becomes +0.0. */
static float round_to_f32(double value)
{
    return (float)value + 0.0f;
}

static float median_of_sorted(const float *values, size_t n)
{
    return round_to_f32(((double)values[(n - 1) / 2] + (double)values[n / 2]) * 0.5);
}

void rows_ref_median(const float *const *rows, size_t n, size_t count, float *ret, void *scratch)
{
    float *const sorted = scratch;
    for (size_t c = 0; c < count; c++) {
        load_sorted(rows, n, c, sorted);
        ret[c] = median_of_sorted(sorted, n);
    }
}

static float trimmed_mean_of(const float *const *rows, size_t n, size_t column, size_t trim,
                             float lo, float hi)
{
    const size_t kept = n - 2 * trim;
    size_t lo_kept = 0;
    size_t hi_kept = 0;
    double sum = 0;
    for (size_t i = 0; i < n; i++) {
        const float x = rows[i][column];
        sum += x > lo && x < hi ? (double)x : 0.0;
        lo_kept += x <= lo;
        hi_kept += x >= hi;
    }
    lo_kept = lo < hi ? lo_kept - trim : kept;
    hi_kept = lo < hi ? hi_kept - trim : 0;
    sum += (double)lo * (double)lo_kept;
    sum += (double)hi * (double)hi_kept;
    return round_to_f32(sum / (double)kept);
}

void rows_ref_trimmed_mean(const float *const *rows, size_t n, size_t count, size_t trim,
                           float *ret, void *scratch)
{
    float *const sorted = scratch;
    for (size_t c = 0; c < count; c++) {
        load_sorted(rows, n, c, sorted);
        ret[c] = trimmed_mean_of(rows, n, c, trim, sorted[trim], sorted[n - 1 - trim]);
    }
}

static float nearest_mean_of(const float *const *rows, size_t n, size_t column, size_t keep,
                             float *sorted)
{
    load_sorted(rows, n, column, sorted);
    const float median = median_of_sorted(sorted, n);
    for (size_t i = 0; i < n; i++)
        sorted[i] = fabsf(rows[i][column] - median);
    sort(sorted, n);
    const float farthest = sorted[keep - 1];
    size_t ties = keep;
    for (size_t i = 0; i < n; i++)
        ties -= sorted[i] < farthest;
    double sum = 0;
    for (size_t i = 0; i < n; i++) {
        const float x = rows[i][column];
        const float distance = fabsf(x - median);
        const bool tied = distance == farthest && ties > 0;
        sum += distance < farthest || tied ? (double)x : 0.0;
        ties -= tied;
    }
    return round_to_f32(sum / (double)keep);
}

void rows_ref_nearest_mean(const float *const *rows, size_t n, size_t count, size_t keep,
                           float *ret, void *scratch)
{
    for (size_t c = 0; c < count; c++)
        ret[c] = nearest_mean_of(rows, n, c, keep, scratch);
}

/* The differences of one row in one panel, scaled; returns what undoes the scale. */
static double load_scaled(const float *row, const float *center, size_t count, float *ret)
{
    float largest = 0;
    for (size_t c = 0; c < count; c++) {
        ret[c] = center != nullptr ? row[c] - center[c] : row[c];
        largest = fmaxf(largest, fabsf(ret[c]));
    }
    int exponent = 0;
    (void)frexpf(largest, &exponent);
    exponent = exponent < -126 ? -126 : exponent > 126 ? 126 : exponent;
    const float scale = ldexpf(1, -exponent);
    for (size_t c = 0; c < count; c++)
        ret[c] *= scale;
    return ldexp(1, exponent);
}

static double dot_in_f32(const float *x, const float *y, size_t count)
{
    float lanes[8] = {0};
    for (size_t c = 0; c < count; c++)
        lanes[c % 8] = fmaf(x[c], y[c], lanes[c % 8]);
    const float low = (lanes[0] + lanes[1]) + (lanes[2] + lanes[3]);
    const float high = (lanes[4] + lanes[5]) + (lanes[6] + lanes[7]);
    return (double)(low + high);
}

void rows_ref_gram(const float *const *rows, const float *center, size_t n, size_t count,
                   double *gram, void *scratch)
{
    double *const unscale = scratch;
    float *const panel = (float *)(void *)(unscale + n);
    for (size_t first = 0; first < count; first += KERN_PANEL_COLUMNS) {
        const size_t width =
            count - first < KERN_PANEL_COLUMNS ? count - first : KERN_PANEL_COLUMNS;
        for (size_t i = 0; i < n; i++)
            unscale[i] = load_scaled(rows[i] + first, center != nullptr ? center + first : nullptr,
                                     width, panel + i * KERN_PANEL_COLUMNS);
        for (size_t i = 0; i < n; i++) {
            for (size_t j = 0; j <= i; j++)
                gram[i * n + j] += dot_in_f32(panel + i * KERN_PANEL_COLUMNS,
                                              panel + j * KERN_PANEL_COLUMNS, width) *
                                   (unscale[i] * unscale[j]);
        }
    }
}

static double add_lanes(double lanes[static KERN_LANES])
{
    for (size_t width = KERN_LANES / 2; width > 0; width /= 2) {
        for (size_t l = 0; l < width; l++)
            lanes[l] += lanes[l + width];
    }
    return lanes[0];
}

double rows_ref_distance_squared(const float *x, const float *y, size_t n)
{
    double lanes[KERN_LANES] = {0};
    for (size_t i = 0; i < n; i++) {
        const double difference = (double)x[i] - (double)y[i];
        lanes[i % KERN_LANES] += difference * difference;
    }
    return add_lanes(lanes);
}

double rows_ref_dot(const float *x, const float *y, size_t n)
{
    double lanes[KERN_LANES] = {0};
    for (size_t i = 0; i < n; i++)
        lanes[i % KERN_LANES] += (double)x[i] * (double)y[i];
    return add_lanes(lanes);
}

void rows_ref_weighted_sum(const float *const *rows, const double *weights, size_t n, size_t count,
                           float *ret)
{
    for (size_t c = 0; c < count; c++) {
        double sum = 0;
        for (size_t i = 0; i < n; i++)
            sum += weights[i] * (double)rows[i][c];
        ret[c] = (float)sum;
    }
}

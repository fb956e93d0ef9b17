/*
 * sweep_figures.c - see sweep_figures.h.
 */
#include "cli/sweep_figures.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Ascending; NaN comes last. */
static int by_size(const void *a, const void *b)
{
    const double left = *(const double *)a;
    const double right = *(const double *)b;
    if (isnan(left) || isnan(right))
        return isnan(left) - isnan(right);
    return (left > right) - (left < right);
}

/* Least, median and greatest of values[count], which it sorts; the median of an even number is the
 * mean of the two in the middle. */
static struct sweep_spread spread_of(double *values, uint32_t count)
{
    qsort(values, count, sizeof(*values), by_size);
    const double low = values[(count - 1) / 2];
    const double high = values[count / 2];
    return (struct sweep_spread){
        .middle = low < high ? low + (high - low) / 2 : high,
        .low = values[0],
        .high = values[count - 1],
    };
}

double sweep_target(const struct sweep_result *results, uint32_t count)
{
    double best = (double)NAN;
    for (uint32_t i = 0; i < count; i++) {
        struct sweep_spread spread;
        /* A time after all points. */
        if (sweep_curve_at(&results[i], (double)INFINITY, &spread) == STATUS_OK)
            best = fmax(best, spread.middle);
    }
    return best * SWEEP_TARGET_SHARE;
}

static double mean_of(const double *values, uint32_t count)
{
    double sum = 0;
    for (uint32_t i = 0; i < count; i++)
        sum += values[i];
    return sum / count;
}

enum status sweep_figures_of(const struct sweep_result *result, double target,
                             struct sweep_figures *ret_figures)
{
    const uint32_t count = result->count;
    struct sweep_figures figures = {0};
    double *const values = malloc(sizeof(*values) * count);
    if (values == nullptr)
        return STATUS_NO_MEMORY;
    for (uint32_t i = 0; i < count; i++) {
        const struct sweep_series *const series = &result->series[i];
        values[i] = sweep_series_reaches(series, target);
        figures.reached += isfinite(values[i]);
        figures.diverged += strcmp(series->outcome, "diverged") == 0;
        if (series->peak_rss_bytes > figures.peak_rss_bytes)
            figures.peak_rss_bytes = series->peak_rss_bytes;
    }
    figures.target_s = spread_of(values, count);
    for (uint32_t i = 0; i < count; i++)
        values[i] = (double)result->series[i].rounds;
    figures.rounds = spread_of(values, count).middle;
    for (uint32_t i = 0; i < count; i++)
        values[i] = result->series[i].wall_s;
    figures.wall_s = mean_of(values, count);
    for (uint32_t i = 0; i < count; i++)
        values[i] = result->series[i].accuracy;
    const double mean = mean_of(values, count);
    figures.accuracy = spread_of(values, count);
    figures.accuracy.middle = mean;
    free(values);
    *ret_figures = figures;
    return STATUS_OK;
}

bool sweep_curve_span(const struct sweep_result *result, double *ret_begin_s, double *ret_end_s)
{
    double begin = 0;
    double end = 0;
    for (uint32_t i = 0; i < result->count; i++) {
        const struct sweep_series *const series = &result->series[i];
        if (series->count == 0)
            return false;
        begin = fmax(begin, series->points[0].virtual_s);
        end = fmax(end, series->points[series->count - 1].virtual_s);
    }
    *ret_begin_s = begin;
    *ret_end_s = end;
    return true;
}

enum status sweep_curve_at(const struct sweep_result *result, double virtual_s,
                           struct sweep_spread *ret_spread)
{
    double *const values = malloc(sizeof(*values) * result->count);
    if (values == nullptr)
        return STATUS_NO_MEMORY;
    for (uint32_t i = 0; i < result->count; i++)
        values[i] = sweep_series_at(&result->series[i], virtual_s);
    *ret_spread = spread_of(values, result->count);
    free(values);
    return STATUS_OK;
}

/*
 * trimmed_mean.c - a sort, and the sum of the middle.
 */
#include "learn/trimmed_mean.h"

#include "base/check.h"

#include <stdlib.h>

static int compare(const void *a, const void *b)
{
    const double left = *(const double *)a;
    const double right = *(const double *)b;
    return (left > right) - (left < right);
}

double trimmed_mean(double *values, size_t count, double trim)
{
    CHECK(count > 0 && trim >= 0 && trim < 0.5);
    const size_t cut = (size_t)(trim * (double)count);
    qsort(values, count, sizeof(*values), compare);
    double sum = 0;
    for (size_t i = cut; i < count - cut; i++)
        sum += values[i];
    return sum / (double)(count - 2 * cut);
}

/*
 * kern_dense_ref.c - the plain kernels over f64: what an eigenproblem of a Gram matrix consists of;
 * all others must give their bits.
 */
#include "kern/kern_tables.h"

/* The sum of x[i] * y[i] in four lanes: (0 + 2) + (1 + 3). */
static double dot_in_lanes(const double *x, const double *y, size_t count)
{
    double lanes[4] = {0};
    for (size_t i = 0; i < count; i++)
        lanes[i % 4] += x[i] * y[i];
    return (lanes[0] + lanes[2]) + (lanes[1] + lanes[3]);
}

void dense_ref_multiply_symmetric(const double *matrix, size_t n, size_t stride, const double *x,
                                  double *ret)
{
    for (size_t j = 0; j < n; j++) {
        const double *const row = matrix + j * stride;
        for (size_t i = 0; i < j; i++)
            ret[i] += x[j] * row[i];
        ret[j] = dot_in_lanes(row, x, j + 1);
    }
}

void dense_ref_dot_rows(const double *rows, size_t n, size_t count, const double *x, double *ret)
{
    for (size_t k = 0; k < n; k++)
        ret[k] = dot_in_lanes(rows + k * count, x, count);
}

void dense_ref_add_rows(const double *rows, const double *weights, size_t n, size_t count,
                        double *acc)
{
    for (size_t k = 0; k < n; k++) {
        for (size_t i = 0; i < count; i++)
            acc[i] += weights[k] * rows[k * count + i];
    }
}

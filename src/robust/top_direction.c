/*
 * top_direction.c - the leading eigenpair of a weighted covariance, from inner products alone.
 *
 * The covariance of n points has at most n eigenvalues that are not 0, those of an n x n matrix
 * (the Gram matrix, centred and weighted). Golub and Van Loan, Matrix Computations, 4th edition,
 * 10.1 (Lanczos) and 8.3 (implicit QL).
 */
#include "base/random.h"
#include "robust/rules.h"

#include <math.h>

enum { BASIS_MAX = 48, RESTARTS_MAX = 200, SWEEPS_MAX = 60 };

static const double residual_max = 1e-14; /* of the eigenvalue */

struct covariance {
    const double *gram;
    size_t count;
    size_t side;
    const double *shares; /* f64[count] */
    double share_sum;
    double *combined; /* f64[count] scratch */
};

size_t top_direction_size(uint64_t n)
{
    return arena_bytes((BASIS_MAX + 4) * n, sizeof(double)) + 4 * arena_bytes(n, sizeof(double));
}

/* ret[i] = <x_i - mean, sum of sqrt(share_j) y_j (x_j - mean)>. */
static void project_combination(const struct covariance *covariance, const double *y, double *ret)
{
    const size_t count = covariance->count;
    double *const combined = covariance->combined;
    double sum = 0;
    for (size_t j = 0; j < count; j++) {
        combined[j] = sqrt(covariance->shares[j]) * y[j];
        sum += combined[j];
        ret[j] = 0;
    }
    for (size_t j = 0; j < count; j++) {
        combined[j] -= covariance->shares[j] * sum / covariance->share_sum;
        const double *const row = covariance->gram + j * covariance->side;
        if (combined[j] == 0)
            continue;
        for (size_t i = 0; i < count; i++)
            ret[i] += combined[j] * row[i];
    }
    double mean = 0;
    for (size_t j = 0; j < count; j++)
        mean += covariance->shares[j] * ret[j];
    for (size_t i = 0; i < count; i++)
        ret[i] -= mean / covariance->share_sum;
}

static void apply(const struct covariance *covariance, const double *y, double *ret)
{
    project_combination(covariance, y, ret);
    for (size_t i = 0; i < covariance->count; i++)
        ret[i] *= sqrt(covariance->shares[i]) / covariance->share_sum;
}

static double dot(const double *x, const double *y, size_t count)
{
    double sum = 0;
    for (size_t i = 0; i < count; i++)
        sum += x[i] * y[i];
    return sum;
}

static void scale(double *x, size_t count, double factor)
{
    for (size_t i = 0; i < count; i++)
        x[i] *= factor;
}

/* One rotation of the implicit QL step between rows i and i + 1, on the eigenvectors. */
static void rotate_vectors(double vectors[BASIS_MAX][BASIS_MAX], size_t count, size_t i, double c,
                           double s)
{
    for (size_t k = 0; k < count; k++) {
        const double kept = vectors[k][i + 1];
        vectors[k][i + 1] = s * vectors[k][i] + c * kept;
        vectors[k][i] = c * vectors[k][i] - s * kept;
    }
}

/* One implicit QL step on the block [first, last] of the tridiagonal matrix. */
static void step_ql(double *diagonal, double *beside, double vectors[BASIS_MAX][BASIS_MAX],
                    size_t count, size_t first, size_t last)
{
    double g = (diagonal[first + 1] - diagonal[first]) / (2 * beside[first]);
    double r = sqrt(g * g + 1);
    g = diagonal[last] - diagonal[first] + beside[first] / (g + copysign(r, g));
    double s = 1;
    double c = 1;
    double p = 0;
    for (size_t i = last; i-- > first;) {
        const double f = s * beside[i];
        const double b = c * beside[i];
        r = sqrt(f * f + g * g);
        beside[i + 1] = r;
        if (r == 0) {
            diagonal[i + 1] -= p;
            beside[last] = 0;
            return;
        }
        s = f / r;
        c = g / r;
        g = diagonal[i + 1] - p;
        r = (diagonal[i] - g) * s + 2 * c * b;
        p = s * r;
        diagonal[i + 1] = g + p;
        g = c * r - b;
        rotate_vectors(vectors, count, i, c, s);
    }
    diagonal[first] -= p;
    beside[first] = g;
    beside[last] = 0;
}

/*
 * Eigenvalues of a symmetric tridiagonal matrix into diagonal, eigenvectors into the columns of
 * vectors. beside[i] joins i and i + 1; beside[count - 1] is overwritten.
 */
static void solve_tridiagonal(double *diagonal, double *beside,
                              double vectors[BASIS_MAX][BASIS_MAX], size_t count)
{
    for (size_t i = 0; i < count; i++) {
        for (size_t j = 0; j < count; j++)
            vectors[i][j] = i == j ? 1 : 0;
    }
    beside[count - 1] = 0;
    for (size_t first = 0; first < count; first++) {
        for (int sweep = 0; sweep < SWEEPS_MAX; sweep++) {
            size_t last = first;
            for (; last + 1 < count; last++) {
                const double size = fabs(diagonal[last]) + fabs(diagonal[last + 1]);
                if (fabs(beside[last]) <= 0x1p-53 * size)
                    break;
            }
            if (last == first)
                break;
            step_ql(diagonal, beside, vectors, count, first, last);
        }
    }
}

/* Takes the parts along the first used rows of basis out of x, twice; the norm that is left. */
static double orthogonalise(const double *basis, size_t used, double *x, size_t count)
{
    for (int pass = 0; pass < 2; pass++) {
        for (size_t k = 0; k < used; k++) {
            const double part = dot(basis + k * count, x, count);
            for (size_t i = 0; i < count; i++)
                x[i] -= part * basis[k * count + i];
        }
    }
    return sqrt(dot(x, x, count));
}

/*
 * One Lanczos run from start, which has norm 1 and becomes the Ritz vector of the largest Ritz
 * value, which is given. basis: f64[(BASIS_MAX + 1) * count].
 */
static double run_lanczos(const struct covariance *covariance, double *basis, double *start,
                          double *ret_residual)
{
    const size_t count = covariance->count;
    const size_t most = count < BASIS_MAX ? count : BASIS_MAX;
    double diagonal[BASIS_MAX] = {0};
    double beside[BASIS_MAX] = {0};
    double vectors[BASIS_MAX][BASIS_MAX];
    size_t used = 0;
    double left = 0;
    double largest = 0;
    memcpy(basis, start, count * sizeof(*basis));
    while (used < most) {
        double *const next = basis + (used + 1) * count;
        apply(covariance, basis + used * count, next);
        diagonal[used] = dot(basis + used * count, next, count);
        largest = fmax(largest, fabs(diagonal[used]));
        used++;
        left = orthogonalise(basis, used, next, count);
        if (left <= residual_max * largest || used == most)
            break;
        beside[used - 1] = left;
        scale(next, count, 1 / left);
    }
    solve_tridiagonal(diagonal, beside, vectors, used);
    size_t best = 0;
    for (size_t k = 1; k < used; k++) {
        if (diagonal[k] > diagonal[best])
            best = k;
    }
    memset(start, 0, count * sizeof(*start));
    for (size_t k = 0; k < used; k++) {
        for (size_t i = 0; i < count; i++)
            start[i] += vectors[k][best] * basis[k * count + i];
    }
    *ret_residual = used < count ? fabs(left * vectors[used - 1][best]) : 0;
    return diagonal[best];
}

double find_top_direction(const double *gram, size_t count, size_t side, const double *shares,
                          struct arena *arena, double *ret_squares)
{
    const size_t used = arena->used;
    struct covariance covariance = {.gram = gram, .count = count, .side = side, .shares = shares};
    covariance.combined = arena_take(arena, count, sizeof(double));
    double *const start = arena_take(arena, count, sizeof(double));
    double *const basis = arena_take(arena, (BASIS_MAX + 1) * count, sizeof(double));
    for (size_t i = 0; i < count; i++)
        covariance.share_sum += shares[i];
    struct random random;
    random_init(&random, 1, 2, 3);
    for (size_t i = 0; i < count; i++)
        start[i] = sqrt(shares[i]) * (random_unit(&random) - 0.5);
    double value = 0;
    for (int run = 0; run < RESTARTS_MAX; run++) {
        const double norm = sqrt(dot(start, start, count));
        double residual = 0;
        if (!(norm > 0))
            break;
        scale(start, count, 1 / norm);
        value = run_lanczos(&covariance, basis, start, &residual);
        if (residual <= residual_max * value)
            break;
    }
    project_combination(&covariance, start, ret_squares);
    for (size_t i = 0; i < count; i++)
        ret_squares[i] =
            value > 0 ? ret_squares[i] * ret_squares[i] / (covariance.share_sum * value) : 0;
    arena->used = used;
    return value > 0 ? value : 0;
}

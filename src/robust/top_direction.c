/*
 * top_direction.c - the leading eigenpair of a weighted covariance, from inner products alone.
 *
 * The covariance of n points has at most n eigenvalues that are not 0, those of an n x n matrix
 * (the Gram matrix, centred and weighted). Golub and Van Loan, Matrix Computations, 4th edition,
 * 10.1 and 10.3 (Lanczos), 8.4 (bisection).
 */
#include "base/random.h"
#include "kern/kern.h"
#include "robust/rules.h"

#include <float.h>
#include <math.h>

enum {
    BASIS_MAX = 240, /* 1000 normal updates need 108 to 180 */
    RUNS_MAX = 8,    /* what is not found then lies among directions that differ by 1e-5 or less */
    CHECK_EVERY = 4, /* steps; a check costs as much as a fraction of one */
    BISECTIONS_MAX = 80,
    INVERSE_STEPS = 3,
};

/* The residual at which the direction counts as found: at the rounding, a share of the eigenvalue;
 * or a share of the gap to the next eigenvalue, as far as that is known by then: the angle to the
 * true direction. */
static const double residual_max = 1e-14;
static const double angle_max = 1e-7;

struct covariance {
    const double *gram;
    size_t count;
    size_t side;
    const double *shares; /* f64[count] */
    double *roots;        /* f64[count], of the shares */
    double share_sum;
    double *combined; /* f64[count] scratch */
};

/* The tridiagonal matrix that Lanczos makes. beside[k] > 0 joins k and k + 1. */
struct tridiagonal {
    double diagonal[BASIS_MAX];
    double beside[BASIS_MAX];
    size_t count;
};

/* Its largest eigenvalue, that eigenvalue's distance to the next, and its vector. */
struct ritz {
    double value;
    double gap;
    double vector[BASIS_MAX];
};

size_t top_direction_size(uint64_t n)
{
    return arena_bytes((BASIS_MAX + 1) * n, sizeof(double)) + 4 * arena_bytes(n, sizeof(double));
}

/* ret[i] = <x_i - mean, sum of sqrt(share_j) y_j (x_j - mean)>. */
static void project_combination(const struct covariance *covariance, const double *y, double *ret)
{
    const size_t count = covariance->count;
    double *const combined = covariance->combined;
    double sum = 0;
    for (size_t j = 0; j < count; j++) {
        combined[j] = covariance->roots[j] * y[j];
        sum += combined[j];
    }
    for (size_t j = 0; j < count; j++)
        combined[j] -= covariance->shares[j] * sum / covariance->share_sum;
    kern_get()->multiply_symmetric(covariance->gram, count, covariance->side, combined, ret);
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
        ret[i] *= covariance->roots[i] / covariance->share_sum;
}

static double dot(const double *x, const double *y, size_t count)
{
    double sum = 0;
    kern_get()->dot_rows(x, 1, count, y, &sum);
    return sum;
}

static void scale(double *x, size_t count, double factor)
{
    for (size_t i = 0; i < count; i++)
        x[i] *= factor;
}

/* The pivots of x - matrix; false where one is not positive: an eigenvalue is not under x. */
static bool find_pivots(const struct tridiagonal *matrix, double x, double *ret_pivots)
{
    double pivot = 1;
    for (size_t k = 0; k < matrix->count; k++) {
        const double beside = k > 0 ? matrix->beside[k - 1] : 0;
        pivot = x - matrix->diagonal[k] - beside * beside / pivot;
        if (!(pivot > 0))
            return false;
        ret_pivots[k] = pivot;
    }
    return true;
}

/* Whether two eigenvalues at least are x or more (Sturm's count, ended early). */
static bool has_two_from(const struct tridiagonal *matrix, double x)
{
    double pivot = 1;
    int found = 0;
    for (size_t k = 0; k < matrix->count && found < 2; k++) {
        const double beside = k > 0 ? matrix->beside[k - 1] : 0;
        pivot = x - matrix->diagonal[k] - beside * beside / pivot;
        if (!(pivot > 0)) {
            found++;
            pivot = pivot < 0 ? pivot : -DBL_MIN;
        }
    }
    return found == 2;
}

/* The gap under the largest eigenvalue, to a quarter of it; the least that counts if smaller. */
static double find_gap(const struct tridiagonal *matrix, double largest, double lowest)
{
    double low = lowest;
    double high = largest;
    while (high - low > (largest - high) / 4 && high - low > residual_max * largest) {
        const double middle = low + (high - low) / 2;
        if (has_two_from(matrix, middle))
            low = middle;
        else
            high = middle;
    }
    return largest - high;
}

/*
 * Inverse iteration from just above the largest eigenvalue. As nothing beside the diagonal is
 * negative, neither the vector nor anything on the way has a negative element: nothing cancels.
 */
static void find_vector(const struct tridiagonal *matrix, const double *pivots, double *ret_vector)
{
    const size_t count = matrix->count;
    for (size_t k = 0; k < count; k++)
        ret_vector[k] = 1;
    for (int step = 0; step < INVERSE_STEPS; step++) {
        double squares = 0;
        for (size_t k = 1; k < count; k++)
            ret_vector[k] += matrix->beside[k - 1] / pivots[k - 1] * ret_vector[k - 1];
        for (size_t k = count; k-- > 0;) {
            ret_vector[k] /= pivots[k];
            if (k + 1 < count)
                ret_vector[k] += matrix->beside[k] / pivots[k] * ret_vector[k + 1];
        }
        double largest = 0;
        for (size_t k = 0; k < count; k++)
            largest = fmax(largest, ret_vector[k]);
        scale(ret_vector, count, 1 / largest);
        for (size_t k = 0; k < count; k++)
            squares += ret_vector[k] * ret_vector[k];
        scale(ret_vector, count, 1 / sqrt(squares));
    }
}

/* The largest eigenvalue is at least the largest of the diagonal; Gershgorin bounds it from above.
 */
static void find_ritz(const struct tridiagonal *matrix, struct ritz *ret)
{
    double low = -INFINITY;
    double lowest = INFINITY;
    double high = -INFINITY;
    double pivots[BASIS_MAX] = {0};
    double tried[BASIS_MAX] = {0};
    for (size_t k = 0; k < matrix->count; k++) {
        const double radius =
            (k > 0 ? matrix->beside[k - 1] : 0) + (k + 1 < matrix->count ? matrix->beside[k] : 0);
        low = fmax(low, matrix->diagonal[k]);
        lowest = fmin(lowest, matrix->diagonal[k] - radius);
        high = fmax(high, matrix->diagonal[k] + radius);
    }
    high += 0x1p-50 * fabs(high) + DBL_MIN;
    while (!find_pivots(matrix, high, pivots))
        high += 0x1p-50 * fabs(high) + DBL_MIN;
    for (int i = 0; i < BISECTIONS_MAX && high - low > 0x1p-52 * fabs(high); i++) {
        const double middle = low + (high - low) / 2;
        if (!find_pivots(matrix, middle, tried)) {
            low = middle;
            continue;
        }
        high = middle;
        memcpy(pivots, tried, matrix->count * sizeof(*pivots));
    }
    ret->value = low + (high - low) / 2;
    ret->gap = matrix->count > 1 ? find_gap(matrix, ret->value, lowest) : 0;
    find_vector(matrix, pivots, ret->vector);
}

/*
 * Takes the parts along the first used rows of basis out of x: first those along the last two, all
 * that there are but for the rounding; what the rounding left along all; that once more where
 * little of x is left. The norm that is left. parts: f64[used] scratch.
 */
static double orthogonalise(const double *basis, size_t used, double *parts, double *x,
                            size_t count)
{
    const struct kern *const kern = kern_get();
    const double before = sqrt(dot(x, x, count));
    double left = before;
    for (size_t pass = 0, from = used > 1 ? used - 2 : 0; pass < 3; pass++, from = 0) {
        if (pass == 2 && left > before / 1024)
            break;
        kern->dot_rows(basis + from * count, used - from, count, x, parts);
        scale(parts, used - from, -1);
        kern->add_rows(basis + from * count, parts, used - from, count, x);
        left = sqrt(dot(x, x, count));
    }
    return left;
}

/*
 * One Lanczos run from start, which has norm 1 and becomes the Ritz vector of the largest Ritz
 * value, which is given. basis: f64[(BASIS_MAX + 1) * count].
 */
static double run_lanczos(const struct covariance *covariance, double *basis, double *start,
                          bool *ret_is_found)
{
    const size_t count = covariance->count;
    const size_t most = count < BASIS_MAX ? count : BASIS_MAX;
    struct tridiagonal matrix = {.count = 0};
    struct ritz ritz = {.value = 0};
    double parts[BASIS_MAX] = {0};
    double largest = 0;
    *ret_is_found = false;
    memcpy(basis, start, count * sizeof(*basis));
    while (!*ret_is_found && matrix.count < most) {
        const size_t at = matrix.count++;
        double *const next = basis + (at + 1) * count;
        apply(covariance, basis + at * count, next);
        matrix.diagonal[at] = dot(basis + at * count, next, count);
        largest = fmax(largest, fabs(matrix.diagonal[at]));
        const double left = orthogonalise(basis, matrix.count, parts, next, count);
        const bool is_whole = left <= residual_max * largest || matrix.count == count;
        if (is_whole || matrix.count == most || matrix.count % CHECK_EVERY == 0) {
            find_ritz(&matrix, &ritz);
            const double residual = left * ritz.vector[at];
            *ret_is_found = is_whole || residual <= residual_max * ritz.value ||
                            residual <= angle_max * ritz.gap;
        }
        if (!*ret_is_found) {
            matrix.beside[at] = left;
            scale(next, count, 1 / left);
        }
    }
    memset(start, 0, count * sizeof(*start));
    kern_get()->add_rows(basis, ritz.vector, matrix.count, count, start);
    return ritz.value;
}

double find_top_direction(const double *gram, size_t count, size_t side, const double *shares,
                          struct arena *arena, double *ret_squares)
{
    const size_t used = arena->used;
    struct covariance covariance = {.gram = gram, .count = count, .side = side, .shares = shares};
    covariance.combined = arena_take(arena, count, sizeof(double));
    covariance.roots = arena_take(arena, count, sizeof(double));
    double *const start = arena_take(arena, count, sizeof(double));
    double *const basis = arena_take(arena, (BASIS_MAX + 1) * count, sizeof(double));
    for (size_t i = 0; i < count; i++) {
        covariance.share_sum += shares[i];
        covariance.roots[i] = sqrt(shares[i]);
    }
    struct random random;
    random_init(&random, 1, 2, 3);
    for (size_t i = 0; i < count; i++)
        start[i] = covariance.roots[i] * (random_unit(&random) - 0.5);
    double value = 0;
    bool is_found = false;
    for (int run = 0; run < RUNS_MAX && !is_found; run++) {
        const double norm = sqrt(dot(start, start, count));
        if (!(norm > 0))
            break;
        scale(start, count, 1 / norm);
        value = run_lanczos(&covariance, basis, start, &is_found);
    }
    project_combination(&covariance, start, ret_squares);
    for (size_t i = 0; i < count; i++)
        ret_squares[i] =
            value > 0 ? ret_squares[i] * ret_squares[i] / (covariance.share_sum * value) : 0;
    arena->used = used;
    return value > 0 ? value : 0;
}

/*
 * top_direction_test.c - the direction of most variance, against a dense eigen-solver.
 *
 * Goal: the variance and the projections are those of the true leading eigenpair, whatever the
 * number of points, the shares and the gaps between eigenvalues. Method: the weighted, centred
 * matrix is formed in full and diagonalised by Jacobi's rotations, which share nothing with the
 * code under test.
 */
#include "base/random.h"
#include "robust/rules.h"

#include "testing.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { COUNT_MAX = 200, CROWD = 300, SWEEPS = 9 };

struct problem {
    size_t count;
    size_t side;
    double *gram;   /* f64[side * side] */
    double *shares; /* f64[count] */
    double *squares;
    double *matrix; /* f64[count * count]: what is diagonalised */
    double *vectors;
    struct arena arena;
    void *memory;
};

static void problem_init(struct problem *problem, size_t count)
{
    const size_t side = count + 1;
    const size_t size = top_direction_size(count);
    *problem = (struct problem){
        .count = count,
        .side = side,
        .gram = calloc(side * side, sizeof(double)),
        .shares = calloc(count, sizeof(double)),
        .squares = calloc(count, sizeof(double)),
        .matrix = calloc(count * count, sizeof(double)),
        .vectors = calloc(count * count, sizeof(double)),
        .memory = aligned_alloc(ARENA_ALIGNMENT, size),
    };
    assert_true(problem->gram != nullptr && problem->shares != nullptr &&
                problem->squares != nullptr && problem->matrix != nullptr &&
                problem->vectors != nullptr && problem->memory != nullptr);
    problem->arena = (struct arena){problem->memory, size, 0};
    for (size_t i = 0; i < count; i++)
        problem->shares[i] = 1;
}

static void problem_deinit(struct problem *problem)
{
    free(problem->gram);
    free(problem->shares);
    free(problem->squares);
    free(problem->matrix);
    free(problem->vectors);
    free(problem->memory);
}

/* Inner products of points in d dimensions, dimension k drawn with deviation deviations[k]. */
static void make_points(struct problem *problem, struct random *random, size_t d,
                        const double *deviations)
{
    double *const points = calloc(problem->count * d, sizeof(double));
    assert_true(points != nullptr);
    for (size_t i = 0; i < problem->count * d; i++)
        points[i] = 3 + deviations[i % d] * random_normal(random);
    for (size_t i = 0; i < problem->count; i++) {
        for (size_t j = 0; j < problem->count; j++) {
            double sum = 0;
            for (size_t k = 0; k < d; k++)
                sum += points[i * d + k] * points[j * d + k];
            problem->gram[i * problem->side + j] = sum;
        }
    }
    free(points);
}

/* matrix[i][j] = sqrt(share_i share_j) <x_i - mean, x_j - mean> / the sum of shares */
static double form_matrix(struct problem *problem)
{
    const size_t count = problem->count;
    double share_sum = 0;
    double mean_square = 0;
    double *const means = calloc(count, sizeof(double));
    for (size_t i = 0; i < count; i++)
        share_sum += problem->shares[i];
    for (size_t i = 0; i < count; i++) {
        for (size_t j = 0; j < count; j++)
            means[i] += problem->shares[j] * problem->gram[i * problem->side + j] / share_sum;
    }
    for (size_t i = 0; i < count; i++)
        mean_square += problem->shares[i] * means[i] / share_sum;
    for (size_t i = 0; i < count; i++) {
        for (size_t j = 0; j < count; j++) {
            const double product =
                problem->gram[i * problem->side + j] - means[i] - means[j] + mean_square;
            problem->matrix[i * count + j] =
                sqrt(problem->shares[i] * problem->shares[j]) * product / share_sum;
            problem->vectors[i * count + j] = i == j;
        }
    }
    free(means);
    return share_sum;
}

static void rotate(double *a, double *b, double c, double s)
{
    const double kept = *a;
    *a = c * kept - s * *b;
    *b = s * kept + c * *b;
}

/* Golub and Van Loan, 8.5: cyclic Jacobi. Eigenvectors become the columns of vectors. */
static void diagonalise(struct problem *problem)
{
    const size_t count = problem->count;
    double *const a = problem->matrix;
    for (int sweep = 0; sweep < SWEEPS; sweep++) {
        for (size_t p = 0; p < count; p++) {
            for (size_t q = p + 1; q < count; q++) {
                if (fabs(a[p * count + q]) < 1e-300)
                    continue;
                const double tau = (a[q * count + q] - a[p * count + p]) / (2 * a[p * count + q]);
                const double t = copysign(1, tau) / (fabs(tau) + sqrt(1 + tau * tau));
                const double c = 1 / sqrt(1 + t * t);
                for (size_t k = 0; k < count; k++)
                    rotate(&a[k * count + p], &a[k * count + q], c, t * c);
                for (size_t k = 0; k < count; k++)
                    rotate(&a[p * count + k], &a[q * count + k], c, t * c);
                for (size_t k = 0; k < count; k++)
                    rotate(&problem->vectors[k * count + p], &problem->vectors[k * count + q], c,
                           t * c);
            }
        }
    }
}

/* Compares with the dense solution; squares where the next eigenvalue is not too near. */
static void check(struct problem *problem)
{
    const size_t count = problem->count;
    const double found = find_top_direction(problem->gram, count, problem->side, problem->shares,
                                            &problem->arena, problem->squares);
    const double share_sum = form_matrix(problem);
    diagonalise(problem);
    size_t best = 0;
    double next = 0;
    double along = 0;
    for (size_t k = 1; k < count; k++) {
        if (problem->matrix[k * count + k] > problem->matrix[best * count + best])
            best = k;
    }
    const double value = problem->matrix[best * count + best];
    for (size_t k = 0; k < count; k++) {
        if (k != best)
            next = fmax(next, problem->matrix[k * count + k]);
    }
    if (fabs(found - value) > 1e-12 * value)
        fail_msg("%zu points: variance %.17g, the dense solver says %.17g", count, found, value);
    for (size_t i = 0; i < count; i++)
        along += problem->shares[i] * problem->squares[i] / share_sum;
    assert_true(fabs(along - value) <= 1e-12 * value);
    for (size_t i = 0; i < count; i++) {
        const double element = problem->vectors[i * count + best];
        if (problem->shares[i] < 1e-3)
            continue;
        const double expected = element * element * value * share_sum / problem->shares[i];
        const double scale = value * share_sum / problem->shares[i];
        if (fabs(problem->squares[i] - expected) > scale * (4e-6 + 1e-12 * value / (value - next)))
            fail_msg("%zu points: square %zu is %.12g, the dense solver says %.12g (gap %.3g)",
                     count, i, problem->squares[i], expected, (value - next) / value);
    }
}

static void normal_points_of_any_number_and_any_shares(void **state)
{
    struct random random;
    random_init(&random, 1, 0, 0);
    for (size_t count = 2; count <= COUNT_MAX; count = count < 12 ? count + 1 : count * 3 / 2) {
        double deviations[300];
        struct problem problem;
        problem_init(&problem, count);
        for (size_t k = 0; k < 300; k++)
            deviations[k] = 1;
        make_points(&problem, &random, 300, deviations);
        check(&problem);
        for (size_t i = 0; i < count; i++)
            problem.shares[i] = i % 5 == 1 && i > 3 ? 0 : random_unit(&random) + 0.01;
        check(&problem);
        problem_deinit(&problem);
    }
}

/* More steps than the basis has room for: variances crowd under the largest. */
static void a_direction_beside_many_much_like_it_is_found_by_restarts(void **state)
{
    struct problem problem;
    problem_init(&problem, CROWD);
    for (size_t i = 0; i < CROWD; i++) {
        const double share = (double)i / CROWD;
        problem.gram[i * problem.side + i] = 1 - share * share;
    }
    check(&problem);
    problem_deinit(&problem);
}

static void few_dimensions_end_early(void **state)
{
    const double deviations[] = {1, 0.5, 1e-3};
    struct random random;
    random_init(&random, 3, 0, 0);
    for (size_t d = 1; d <= 3; d++) {
        struct problem problem;
        problem_init(&problem, 60);
        make_points(&problem, &random, d, deviations);
        check(&problem);
        problem_deinit(&problem);
    }
}

static void equal_points_have_no_variance(void **state)
{
    struct problem problem;
    problem_init(&problem, 20);
    for (size_t i = 0; i < problem.side * problem.side; i++)
        problem.gram[i] = 4;
    assert_true(find_top_direction(problem.gram, 20, problem.side, problem.shares, &problem.arena,
                                   problem.squares) < 1e-12);
    for (size_t i = 0; i < 20; i++)
        assert_true(problem.squares[i] < 1e-12);
    problem_deinit(&problem);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(normal_points_of_any_number_and_any_shares),
        cmocka_unit_test(a_direction_beside_many_much_like_it_is_found_by_restarts),
        cmocka_unit_test(few_dimensions_end_early),
        cmocka_unit_test(equal_points_have_no_variance),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}

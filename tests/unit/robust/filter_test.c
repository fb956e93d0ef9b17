/*
 * filter_test.c - each test of the filter on the attack that only it finds, and nobody else
 * flagged; and the distances under all rules, against plain sums in f64.
 *
 * Honest updates: a common direction and private noise of about the same size, from a seed.
 */
#include "base/random.h"
#include "robust/geometry.h"
#include "robust_testing.h"

#include <float.h>
#include <math.h>
#include <unistd.h>

enum { N = 60, D = 300 };

static float data[N * D];

/* All honest: 0.6 of a common direction, 1 of private noise. */
static void fill(uint64_t seed)
{
    struct random random;
    float common[D];
    random_init(&random, seed, 0, 0);
    for (size_t k = 0; k < D; k++)
        common[k] = (float)(0.6 * random_normal(&random));
    for (size_t i = 0; i < N * D; i++)
        data[i] = common[i % D] + (float)random_normal(&random);
}

/* Runs the filter and requires that the liars, the last count, are flagged for reason and have no
 * weight, and of the honest at most one is flagged (1.7 %). */
static void expect_liars(size_t count, enum reason_suspected reason)
{
    struct outcome outcome = run_recipe("filter f=18", data, N, D, 1);
    size_t found = 0;
    size_t honest = 0;
    assert_int_equal(outcome.status, STATUS_OK);
    for (size_t i = 0; i < outcome.report.suspect_count; i++) {
        const struct suspect *const suspect = &outcome.report.suspects[i];
        assert_true(suspect->score >= 1);
        assert_true(outcome.report.weights[suspect->index] == 0);
        if (suspect->index < N - count) {
            honest++;
            continue;
        }
        if (suspect->reason != reason)
            fail_msg("%u: %s", suspect->index, reason_suspected_name(suspect->reason));
        found++;
    }
    assert_int_equal(found, count);
    assert_true(honest <= 1);
    outcome_deinit(&outcome);
}

static void nobody_is_flagged_where_nobody_lies(void **state)
{
    size_t flagged = 0;
    for (uint64_t seed = 1; seed <= 10; seed++) {
        fill(seed);
        struct outcome outcome = run_recipe("filter", data, N, D, 1);
        assert_int_equal(outcome.report.f, 18);
        flagged += outcome.report.suspect_count;
        outcome_deinit(&outcome);
    }
    assert_true(flagged <= 6); /* 1 % of 600 */
}

/* Three: too few for a crowd, and one of them alone is an honest update. */
static void copies_are_collusion(void **state)
{
    fill(11);
    for (size_t i = N - 3; i < N; i++)
        memcpy(data + i * D, data + (N - 3) * D, D * sizeof(float));
    expect_liars(3, SUSPECTED_COLLUSION);
}

/* Fifteen around one honest update, each with noise of its own: no copies, nothing unusual alone.
 */
static void a_crowd_is_collusion(void **state)
{
    struct random random;
    fill(12);
    random_init(&random, 12, 1, 0);
    for (size_t i = N - 15; i < N; i++) {
        for (size_t k = 0; k < D; k++)
            data[i * D + k] = data[(N - 15) * D + k] + (float)(0.25 * random_normal(&random));
    }
    expect_liars(15, SUSPECTED_COLLUSION);
}

/* As long as the others, and turned round: a different one each. */
static void own_sign_flips_have_a_wrong_direction(void **state)
{
    fill(13);
    for (size_t i = (N - 5) * D; i < N * D; i++)
        data[i] = -data[i];
    struct outcome outcome = run_recipe("filter f=18", data, N, D, 1);
    bool is_direction[N] = {0};
    for (size_t i = 0; i < outcome.report.suspect_count; i++)
        is_direction[outcome.report.suspects[i].index] = true;
    for (size_t i = 0; i < N; i++)
        assert_int_equal(is_direction[i], i >= N - 5);
    outcome_deinit(&outcome);
}

/* Of the length of the others, but noise alone: it has no relatives. */
static void noise_has_a_wrong_direction(void **state)
{
    struct random random;
    fill(14);
    random_init(&random, 14, 1, 0);
    for (size_t i = (N - 4) * D; i < N * D; i++)
        data[i] = (float)(0.8 * random_normal(&random));
    expect_liars(4, SUSPECTED_DIRECTION);
}

static void tenfold_updates_are_too_long(void **state)
{
    fill(15);
    for (size_t i = (N - 15) * D; i < N * D; i++)
        data[i] *= 10;
    expect_liars(15, SUSPECTED_NORM);
}

static void at_most_f_are_dropped_and_all_are_named(void **state)
{
    fill(16);
    for (size_t i = N - 6; i < N; i++) {
        for (size_t k = 0; k < D; k++)
            data[i * D + k] *= (float)(10 + 20 * (i - N + 6));
    }
    struct outcome outcome = run_recipe("filter f=2", data, N, D, 1);
    assert_true(outcome.report.suspect_count >= 6);
    assert_int_equal(outcome.report.suspects[0].index, N - 1); /* the worst first */
    assert_int_equal(outcome.report.suspects[1].index, N - 2);
    for (size_t i = 0; i < N; i++)
        assert_true(outcome.report.weights[i] == (i < N - 2 ? 1.0 / (N - 2) : 0));
    outcome_deinit(&outcome);
}

/* Half of all equal: that is no minority, and nothing says which half lies. */
static void never_are_more_flagged_than_45_percent(void **state)
{
    fill(17);
    for (size_t i = N / 2; i < N; i++)
        memcpy(data + i * D, data + N / 2 * D, D * sizeof(float));
    struct outcome outcome = run_recipe("filter", data, N, D, 1);
    assert_true(outcome.report.suspect_count <= N * 45 / 100);
    outcome_deinit(&outcome);
    struct outcome few = run_recipe("filter f=2", data + (N / 2 - 3) * D, 9, D, 1);
    assert_int_equal(few.report.suspect_count, 0); /* under 10 */
    outcome_deinit(&few);
}

/* Distances of rows i and j, by a plain sum and by geometry.h. */
static void compare_distances(const float *rows, size_t n, size_t d, double tolerance)
{
    const struct strided_rows strided = {rows, (ptrdiff_t)d, 1};
    const struct update_matrix matrix = update_matrix_strided(&strided, n, d);
    const size_t side = n + 1;
    const size_t size = tiles_size(n, 2, side * side) + geometry_size(n) + 4096 + 16 * n;
    struct arena arena = {aligned_alloc(ARENA_ALIGNMENT, (size + 63) / 64 * 64), size, 0};
    struct tiles tiles = {0};
    struct points points = {0};
    double *const norms = calloc(n, sizeof(*norms));
    uint32_t *const order = calloc(n, sizeof(*order));
    tiles_init(&tiles, &matrix, 2, side * side, &arena);
    for (size_t i = 0; i < n * d; i++)
        norms[i / d] += (double)rows[i] * (double)rows[i];
    for (size_t i = 0; i < n; i++)
        norms[i] = sqrt(norms[i]);
    const struct frame frame = frame_choose(n, norms, order);
    assert_false(frame_is_small(n, d));
    points_measure(&points, &tiles, &frame, &arena);
    for (size_t i = 0; i < n; i++) {
        for (size_t j = 0; j < i; j++) {
            double sum = 0;
            for (size_t k = 0; k < d; k++) {
                const double difference = (double)rows[i * d + k] - (double)rows[j * d + k];
                sum += difference * difference;
            }
            if (!(fabs(points.distances[i * side + j] - sum) <= tolerance * sum))
                fail_msg("%zu %zu: %.17g, not %.17g", i, j, points.distances[i * side + j], sum);
        }
    }
    free(order);
    free(norms);
    free(arena.base);
}

/* Rows far from the origin; some pairs so close that inner products cannot tell; some at the end of
 * f32's range, where a difference overflows. */
static void distances_are_those_of_the_data(void **state)
{
    enum { n = 24, d = 3000 };
    struct random random;
    float *const rows = malloc(n * d * sizeof(*rows));
    random_init(&random, 18, 0, 0);
    for (size_t i = 0; i < n * d; i++)
        rows[i] = (float)(10 + 0.01 * random_normal(&random));
    compare_distances(rows, n, d, 1e-5);
    for (size_t i = 1; i < 6; i++) {
        for (size_t k = 0; k < d; k++)
            rows[i * d + k] = rows[k] + (float)((k + i) % 3) * 1e-5f;
    }
    compare_distances(rows, n, d, 1e-5);
    for (size_t k = 0; k < d; k++) {
        rows[7 * d + k] = FLT_MAX;
        rows[8 * d + k] = k % 2 == 0 ? FLT_MAX : -FLT_MAX;
        for (size_t i = 9; i < n; i++)
            rows[i * d + k] = (float)(1e38 * (double)((i * k) % 7) - 3e38);
    }
    compare_distances(rows, n, d, 1e-5);
    free(rows);
}

/* Sums of tiles are added in the order of the tiles, whoever is done first: weights to the last
 * bit. */
static void several_tiles_give_the_same_bits_on_any_number_of_threads(void **state)
{
    enum { n = 8, d = 3 * TILE_COLUMNS_MAX + 100 };
    static const char *const rules[] = {"geometric_median", "centered_clipping tau=20 iterations=5",
                                        "arc mean f=2",     "caf f=2",
                                        "median",           "bulyan f=1"};
    struct random random;
    float *const rows = malloc(n * d * sizeof(*rows));
    random_init(&random, 19, 0, 0);
    for (size_t i = 0; i < n * d; i++)
        rows[i] = (float)(random_unit(&random) - 0.3);
    for (size_t r = 0; r < sizeof(rules) / sizeof(rules[0]); r++) {
        struct outcome first = run_recipe(rules[r], rows, n, d, 1);
        assert_int_equal(first.status, STATUS_OK);
        for (uint32_t threads = 2; threads < 5; threads++) {
            struct outcome other = run_recipe(rules[r], rows, n, d, threads);
            assert_memory_equal(first.report.weights, other.report.weights, n * sizeof(double));
            assert_memory_equal(first.values, other.values, d * sizeof(float));
            outcome_deinit(&other);
        }
        outcome_deinit(&first);
    }
    free(rows);
}

/* 2^53 + 1 - 2^53 + 1 is 1 in this order only; the first tile takes the longest. */
static void add_what_does_not_commute(const struct tiles *tiles, struct tile_lane *lane,
                                      uint64_t first, size_t count, void *context)
{
    static const double parts[] = {0x1p53, 1, -0x1p53, 1};
    if (first == 0)
        usleep(20000);
    lane->sums[0] += parts[first / TILE_COLUMNS_MAX];
}

static void sums_are_added_in_the_order_of_the_tiles(void **state)
{
    static const float element = 0;
    const struct strided_rows strided = {&element, 0, 0};
    const struct update_matrix matrix = update_matrix_strided(&strided, 1, 4 * TILE_COLUMNS_MAX);
    const size_t size = tiles_size(1, 4, 1);
    struct arena arena = {aligned_alloc(ARENA_ALIGNMENT, (size + 63) / 64 * 64), size, 0};
    struct tiles tiles = {0};
    double sum = 0;
    tiles_init(&tiles, &matrix, 4, 1, &arena);
    tiles_run(&tiles, add_what_does_not_commute, nullptr, 1, &sum);
    assert_true(sum == 1);
    free(arena.base);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nobody_is_flagged_where_nobody_lies),
        cmocka_unit_test(copies_are_collusion),
        cmocka_unit_test(a_crowd_is_collusion),
        cmocka_unit_test(own_sign_flips_have_a_wrong_direction),
        cmocka_unit_test(noise_has_a_wrong_direction),
        cmocka_unit_test(tenfold_updates_are_too_long),
        cmocka_unit_test(at_most_f_are_dropped_and_all_are_named),
        cmocka_unit_test(never_are_more_flagged_than_45_percent),
        cmocka_unit_test(distances_are_those_of_the_data),
        cmocka_unit_test(sums_are_added_in_the_order_of_the_tiles),
        cmocka_unit_test(several_tiles_give_the_same_bits_on_any_number_of_threads),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}

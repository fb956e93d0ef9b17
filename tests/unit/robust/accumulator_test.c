/*
 * accumulator_test.c - the exact mean against rational arithmetic, and its promises: order,
 * threads, instruction sets, taking out, and errors that change nothing.
 */
#include "robust/accumulator.h"

#include "base/random.h"
#include "kern/kern.h"

#include "testing.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    PARAMETERS = 10007, /* more than two blocks, and odd */
    UPDATES = 12,
};

static struct accumulator *new_accumulator(uint64_t parameter_count, int grid)
{
    struct accumulator *accumulator = nullptr;
    assert_int_equal(accumulator_create(parameter_count, grid, &accumulator), STATUS_OK);
    return accumulator;
}

static void fold(struct accumulator *accumulator, const float *update, uint32_t weight)
{
    struct error err = {0};
    if (accumulator_fold(accumulator, update, weight, &err) != STATUS_OK)
        fail_msg("%s", err.text);
}

/*
 * Computed with python's fractions: each x rounded to the grid (round() of a Fraction: halves to
 * even), the exact rational mean, rounded to 24 bits (last bit at least 2^-149) and to 53.
 */
static const struct {
    float x[3];
    uint32_t weights[3];
    int grid;
    float f32;
    double f64;
} means[] = {
    {{0x1.7bcb820000000p-6f, -0x1.ae421c0000000p-7f, -0x1.4c46640000000p-3f},
     {3u, 4294967295u, 1070867289u},
     61,
     -0x1.5f591e0000000p-5f,
     -0x1.5f591d868894bp-5},
    {{0x1.1e30a00000000p-3f, 0x1.46de920000000p-8f, -0x1.1c32180000000p-14f},
     {2u, 2u, 2u},
     61,
     0x1.8b05680000000p-5f,
     0x1.8b056866aaaabp-5},
    {{0x1.412dd20000000p-26f, -0x1.740eb40000000p-3f, -0x1.eee1840000000p-3f},
     {1u, 2u, 3u},
     62,
     -0x1.7375a80000000p-3f,
     -0x1.7375a83f9b64bp-3},
    {{0x1.34977a0000000p-13f, -0x1.3124280000000p-9f, 0x1.0e6d8e0000000p-23f},
     {153600u, 2u, 2066817247u},
     61,
     0x1.25e2a60000000p-23f,
     0x1.25e2a5824bd89p-23},
    {{-0x1.0654880000000p-2f, -0x1.e6003a0000000p-20f, 0x1.2804bc0000000p-11f},
     {153600u, 1u, 4294967295u},
     61,
     0x1.2334660000000p-11f,
     0x1.2334653e89bdbp-11},
    {{-0x1.82efe20000000p-2f, 0x1.60a5a00000000p-21f, 0x1.8d1bd60000000p-28f},
     {153600u, 3u, 3u},
     62,
     -0x1.82ec040000000p-2f,
     -0x1.82ec037a9f743p-2},
    {{0x1.5f36ea0000000p-22f, -0x1.98f8dc0000000p-11f, -0x1.71389c0000000p-22f},
     {2u, 1u, 2u},
     50,
     -0x1.4731160000000p-13f,
     -0x1.473116bd33333p-13},
    {{0x1.d299e00000000p-19f, -0x1.c85a880000000p-6f, -0x1.9a73c20000000p-21f},
     {2u, 2u, 2u},
     62,
     -0x1.3034c60000000p-7f,
     -0x1.3034c565ad555p-7},
    {{0x1.2de3700000000p-18f, -0x1.f3b7440000000p-17f, 0x1.60af820000000p-21f},
     {3u, 2u, 4294967295u},
     61,
     0x1.60af820000000p-21f,
     0x1.60af81d6f2fc7p-21},
    {{0x1.bc50240000000p-26f, -0x1.f7aaae0000000p-16f, 0x1.027e5e0000000p-9f},
     {3328161954u, 4294967295u, 2086002145u},
     50,
     0x1.ae61c40000000p-12f,
     0x1.ae61c30e148fap-12},
    {{0x1.4ca4740000000p-13f, -0x1.e5afe80000000p-8f, 0x1.4dba060000000p-24f},
     {4294967295u, 3u, 2u},
     30,
     0x1.4ca4800000000p-13f,
     0x1.4ca47f435f258p-13},
    {{0x1.e9bc880000000p-15f, -0x1.0f05aa0000000p-26f, -0x1.ac597e0000000p-2f},
     {3u, 2969650282u, 4294967295u},
     30,
     -0x1.fa7ece0000000p-3f,
     -0x1.fa7eceaf5e54dp-3},
    {{0x1.0000000000000p-149f, 0x1.0000000000000p-149f, 0x0.0p+0f},
     {1u, 1u, 1u},
     188,
     0x1.0000000000000p-149f,
     0x1.5555555555555p-150},
    {{0x1.0000000000000p-149f, 0x0.0p+0f, 0x0.0p+0f},
     {1u, 1u, 0u},
     188,
     0x0.0p+0f,
     0x1.0000000000000p-150},
    {{0x1.0000000000000p-149f, 0x0.0p+0f, 0x0.0p+0f},
     {1u, 2u, 0u},
     188,
     0x0.0p+0f,
     0x1.5555555555555p-151},
    {{0x1.8000000000000p-148f, 0x0.0p+0f, 0x0.0p+0f},
     {1u, 1u, 0u},
     188,
     0x1.0000000000000p-148f,
     0x1.8000000000000p-149},
    {{-0x1.0000000000000p-149f, 0x0.0p+0f, 0x0.0p+0f},
     {1u, 3u, 0u},
     188,
     0x0.0p+0f,
     -0x1.0000000000000p-151},
    {{0x1.0000020000000p+0f, 0x1.0000000000000p+0f, 0x0.0p+0f},
     {1u, 1u, 0u},
     60,
     0x1.0000000000000p+0f,
     0x1.0000010000000p+0},
    {{0x1.0000040000000p+0f, 0x1.0000020000000p+0f, 0x0.0p+0f},
     {1u, 1u, 0u},
     60,
     0x1.0000040000000p+0f,
     0x1.0000030000000p+0},
    {{0x1.0000040000000p+0f, 0x1.0000020000000p+0f, 0x1.0000000000000p-60f},
     {2147483648u, 2147483648u, 1u},
     60,
     0x1.0000020000000p+0f,
     0x1.000002ff00000p+0},
    {{0x1.fffffe0000000p+127f, 0x1.fffffe0000000p+127f, 0x1.fffffe0000000p+127f},
     {4294967295u, 4294967295u, 4294967295u},
     -66,
     0x1.fffffe0000000p+127f,
     0x1.fffffe0000000p+127},
    {{0x1.fffffe0000000p+127f, -0x1.fffffe0000000p+127f, 0x1.0000000000000p+70f},
     {5u, 5u, 1u},
     -66,
     0x1.745d180000000p+66f,
     0x1.745d1745d1746p+66},
    {{0x1.fffffe0000000p+126f, 0x1.fffffe0000000p+126f, 0x1.0000000000000p-140f},
     {1u, 1u, 1u},
     -66,
     0x1.5555540000000p+126f,
     0x1.5555540000000p+126},
    /* A tie of f32 but for 2^-79, far below the 63 bits of the quotient. */
    {{0x1.000002p+0f, 0x1p+0f, 0x1.000002p-24f},
     {4000000000u, 3983222784u, 1u},
     60,
     0x1.000002p+0f,
     0x1.000001p+0},
};

static void the_mean_is_the_rational_one_rounded_once(void **state)
{
    for (size_t i = 0; i < sizeof(means) / sizeof(means[0]); i++) {
        struct accumulator *const accumulator = new_accumulator(1, means[i].grid);
        for (int j = 0; j < 3; j++)
            fold(accumulator, &means[i].x[j], means[i].weights[j]);
        float f32 = 7;
        double f64 = 7;
        assert_int_equal(accumulator_finish_f32(accumulator, &f32), STATUS_OK);
        assert_int_equal(accumulator_finish_f64(accumulator, &f64), STATUS_OK);
        if (f32 != means[i].f32 || f64 != means[i].f64)
            fail_msg("case %zu: %a and %a", i, (double)f32, f64);
        accumulator_destroy(accumulator);
    }
}

/*
 * |mean - m| <= half the distance to the next number, in whole numbers: with elements that are
 * multiples of 2^-10, sum and mean * weights are both multiples of 2^-73 and below 2^127.
 */
static void a_random_mean_is_the_nearest_number(void **state)
{
    struct random random;
    random_init(&random, 4, 0, 0);
    for (int repeat = 0; repeat < 20000; repeat++) {
        struct accumulator *const accumulator = new_accumulator(1, 40);
        __int128 sum = 0; /* in 2^-10 */
        for (uint64_t i = 0; i < 5; i++) {
            const int64_t value = (int64_t)random_below(&random, 1 << 20) - (1 << 19);
            const uint32_t weight = (uint32_t)random_below(&random, 1 << 20) + 1;
            const float x = (float)value * 0x1p-10f;
            fold(accumulator, &x, weight);
            sum += (__int128)value * weight;
        }
        float mean = 0;
        assert_int_equal(accumulator_finish_f32(accumulator, &mean), STATUS_OK);
        int exponent = 0;
        const __int128 mantissa = (__int128)ldexp(frexp(mean, &exponent), 24); /* * 2^(exp-24) */
        if (mean != 0 && exponent - 24 >= -70) {
            const __int128 weights = accumulator_weight_sum(accumulator);
            const int unit = exponent - 24 < -10 ? exponent - 24 : -10;
            const __int128 ulp = weights << (exponent - 24 - unit);
            const __int128 apart = sum * ((__int128)1 << (-10 - unit)) - mantissa * ulp;
            const __int128 twice = 2 * (apart < 0 ? -apart : apart);
            assert_true(twice < ulp || (twice == ulp && mantissa % 2 == 0));
        }
        accumulator_destroy(accumulator);
    }
}

static void the_grid_is_the_finest_that_holds_the_norm(void **state)
{
    static const struct {
        double norm_max;
        int grid;
    } cases[] = {
        {1, 61},
        {0x1.fffffffffffffp-1, 62},
        {1000, 52},
        {1024, 51},
        {1023.9, 52},
        {0, GRID_MAX},
        {0x1p-149, GRID_MAX},
        {0x1p-127, GRID_MAX},
        {0x1p-126, 187},
        {0x1.fffffep127, GRID_MIN},
        {1e300, GRID_MIN},
        {INFINITY, GRID_MIN},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        assert_int_equal(grid_from_norm_max(cases[i].norm_max), cases[i].grid);
}

static void everything_up_to_the_norm_fits_and_the_next_power_of_two_does_not(void **state)
{
    static const float norms[] = {1.0f, 1.5f, 0x1.fffffep9f, 1024.0f, 0x1.fffffep127f, 0x1p-126f};
    for (size_t i = 0; i < sizeof(norms) / sizeof(norms[0]); i++) {
        struct accumulator *const accumulator =
            new_accumulator(1, grid_from_norm_max((double)norms[i]));
        float mean = 0;
        fold(accumulator, &norms[i], UINT32_MAX);
        assert_int_equal(accumulator_finish_f32(accumulator, &mean), STATUS_OK);
        assert_true(mean == norms[i]);
        int exponent = 0;
        frexp((double)norms[i], &exponent);
        const float over = exponent < 128 ? ldexpf(-1, exponent) : INFINITY;
        struct error err = {0};
        assert_int_equal(accumulator_fold(accumulator, &over, 1, &err),
                         isinf(over) ? STATUS_PEER : STATUS_LIMIT);
        assert_non_null(strstr(err.text, "element 0"));
        accumulator_destroy(accumulator);
    }
}

/* One part in 10^9 for elements 2^31 below the norm: the grid's step is 2^-62 of it. */
static void small_elements_keep_their_value(void **state)
{
    struct accumulator *const accumulator = new_accumulator(1, grid_from_norm_max(1000));
    const float x = 1.234567e-6f;
    for (int i = 0; i < 1000; i++)
        fold(accumulator, &x, 600 * 256);
    double mean = 0;
    assert_int_equal(accumulator_finish_f64(accumulator, &mean), STATUS_OK);
    assert_true(fabs(mean / (double)x - 1) < 1e-9);
    accumulator_destroy(accumulator);
}

/* Updates of mixed magnitudes, many elements far below the grid's coarsest. */
struct updates {
    float x[UPDATES][PARAMETERS];
    uint32_t weights[UPDATES];
};

static struct updates *random_updates(uint64_t seed)
{
    struct random random;
    random_init(&random, seed, 0, 0);
    struct updates *const updates = calloc(1, sizeof(*updates));
    assert_non_null(updates);
    for (size_t i = 0; i < UPDATES; i++) {
        updates->weights[i] = (uint32_t)random_u64(&random) >> random_below(&random, 32);
        for (size_t j = 0; j < PARAMETERS; j++)
            updates->x[i][j] =
                (float)ldexp(random_unit(&random) * 2 - 1, -(int)random_below(&random, 40));
    }
    updates->weights[0] = UINT32_MAX;
    return updates;
}

static void finish(const struct accumulator *accumulator, double ret_mean[static PARAMETERS])
{
    assert_int_equal(accumulator_finish_f64(accumulator, ret_mean), STATUS_OK);
}

static void the_order_does_not_change_a_bit(void **state)
{
    struct updates *const updates = random_updates(5);
    struct accumulator *const accumulator = new_accumulator(PARAMETERS, 61);
    static double expected[PARAMETERS];
    static double mean[PARAMETERS];
    struct random random;
    random_init(&random, 6, 0, 0);
    uint32_t order[UPDATES];
    for (uint32_t i = 0; i < UPDATES; i++)
        order[i] = i;
    for (int repeat = 0; repeat < 5; repeat++) {
        accumulator_reset(accumulator);
        assert_int_equal(accumulator_count(accumulator), 0);
        for (size_t i = 0; i < UPDATES; i++)
            fold(accumulator, updates->x[order[i]], updates->weights[order[i]]);
        finish(accumulator, repeat == 0 ? expected : mean);
        if (repeat > 0)
            assert_memory_equal(mean, expected, sizeof(expected));
        random_shuffle_u32(&random, order, UPDATES);
    }
    accumulator_destroy(accumulator);
    free(updates);
}

static void instruction_sets_give_the_same_bits(void **state)
{
    static const char *const caps[] = {"ref", "avx2", "avx512"};
    struct updates *const updates = random_updates(7);
    static double expected[PARAMETERS];
    static double mean[PARAMETERS];
    for (size_t i = 0; i < 3; i++) {
        setenv("FEDRA_CPU", caps[i], 1);
        assert_int_equal(kern_init(nullptr), STATUS_OK);
        struct accumulator *const accumulator = new_accumulator(PARAMETERS, 61);
        for (size_t j = 0; j < UPDATES; j++)
            fold(accumulator, updates->x[j], updates->weights[j]);
        finish(accumulator, i == 0 ? expected : mean);
        if (i > 0)
            assert_memory_equal(mean, expected, sizeof(expected));
        accumulator_destroy(accumulator);
    }
    unsetenv("FEDRA_CPU");
    assert_int_equal(kern_init(nullptr), STATUS_OK);
    free(updates);
}

static void merged_parts_are_the_whole(void **state)
{
    struct updates *const updates = random_updates(8);
    struct accumulator *const whole = new_accumulator(PARAMETERS, 61);
    struct accumulator *const a = new_accumulator(PARAMETERS, 61);
    struct accumulator *const b = new_accumulator(PARAMETERS, 61);
    for (size_t i = 0; i < UPDATES; i++) {
        fold(whole, updates->x[i], updates->weights[i]);
        fold(i % 3 == 0 ? a : b, updates->x[i], updates->weights[i]);
    }
    assert_int_equal(accumulator_merge(a, b), STATUS_OK);
    static double expected[PARAMETERS];
    static double mean[PARAMETERS];
    finish(whole, expected);
    finish(a, mean);
    assert_memory_equal(mean, expected, sizeof(expected));
    assert_int_equal(accumulator_count(a), UPDATES);
    assert_int_equal(accumulator_weight_sum(a), accumulator_weight_sum(whole));
    struct accumulator *const other_grid = new_accumulator(PARAMETERS, 60);
    struct accumulator *const other_size = new_accumulator(PARAMETERS - 1, 61);
    assert_int_equal(accumulator_merge(a, other_grid), STATUS_INVAL);
    assert_int_equal(accumulator_merge(a, other_size), STATUS_INVAL);
    accumulator_destroy(other_grid);
    accumulator_destroy(other_size);
    accumulator_destroy(whole);
    accumulator_destroy(a);
    accumulator_destroy(b);
    free(updates);
}

static void what_is_taken_out_was_never_there(void **state)
{
    struct updates *const updates = random_updates(9);
    struct accumulator *const with = new_accumulator(PARAMETERS, 61);
    struct accumulator *const without = new_accumulator(PARAMETERS, 61);
    for (size_t i = 0; i < UPDATES; i++) {
        fold(with, updates->x[i], updates->weights[i]);
        if (i != 0 && i != 5)
            fold(without, updates->x[i], updates->weights[i]);
    }
    assert_int_equal(accumulator_unfold(with, updates->x[0], updates->weights[0], nullptr),
                     STATUS_OK);
    assert_int_equal(accumulator_unfold(with, updates->x[5], updates->weights[5], nullptr),
                     STATUS_OK);
    static double expected[PARAMETERS];
    static double mean[PARAMETERS];
    finish(without, expected);
    finish(with, mean);
    assert_memory_equal(mean, expected, sizeof(expected));
    assert_int_equal(accumulator_count(with), UPDATES - 2);
    assert_int_equal(accumulator_weight_sum(with), accumulator_weight_sum(without));
    accumulator_destroy(with);
    accumulator_destroy(without);
    free(updates);
}

static void a_wrong_update_changes_nothing_wherever_it_is_wrong(void **state)
{
    static const struct {
        float value;
        enum status status;
        const char *reason;
    } wrong[] = {{NAN, STATUS_PEER, "not a number"},
                 {-INFINITY, STATUS_PEER, "infinite"},
                 {2, STATUS_LIMIT, "is 2; its magnitude must be below 2"},
                 {-0x1p127f, STATUS_LIMIT, "below 2"}};
    static const size_t places[] = {0, 4095, 4096, 9999, PARAMETERS - 1};
    struct updates *const updates = random_updates(10);
    struct accumulator *const accumulator = new_accumulator(PARAMETERS, 61);
    fold(accumulator, updates->x[0], 3);
    static double expected[PARAMETERS];
    static double mean[PARAMETERS];
    finish(accumulator, expected);
    for (size_t i = 0; i < 4; i++) {
        for (size_t j = 0; j < 5; j++) {
            const float kept = updates->x[1][places[j]];
            struct error err = {0};
            char named[32];
            updates->x[1][places[j]] = wrong[i].value;
            snprintf(named, sizeof(named), "element %zu ", places[j]);
            assert_int_equal(accumulator_fold(accumulator, updates->x[1], 7, &err),
                             wrong[i].status);
            assert_non_null(strstr(err.text, wrong[i].reason));
            assert_non_null(strstr(err.text, named));
            assert_int_equal(accumulator_unfold(accumulator, updates->x[1], 1, &err),
                             wrong[i].status);
            updates->x[1][places[j]] = kept;
            finish(accumulator, mean);
            assert_memory_equal(mean, expected, sizeof(expected));
            assert_int_equal(accumulator_count(accumulator), 1);
            assert_int_equal(accumulator_weight_sum(accumulator), 3);
        }
    }
    accumulator_destroy(accumulator);
    free(updates);
}

static void the_limits_hold(void **state)
{
    struct accumulator *accumulator = nullptr;
    assert_int_equal(accumulator_create(1, GRID_MIN - 1, &accumulator), STATUS_INVAL);
    assert_int_equal(accumulator_create(1, GRID_MAX + 1, &accumulator), STATUS_INVAL);
    assert_int_equal(accumulator_create(ACCUMULATOR_PARAMETERS_MAX + 1, 0, &accumulator),
                     STATUS_LIMIT);
    accumulator = new_accumulator(1, 61);
    float mean = 7;
    double f64 = 7;
    const float x = -0x1.fffffep0f; /* the largest that fits, the most often, with most weight */
    assert_int_equal(accumulator_finish_f32(accumulator, &mean), STATUS_INVAL);
    assert_int_equal(accumulator_unfold(accumulator, &x, 0, nullptr), STATUS_INVAL);
    fold(accumulator, &x, 0);
    assert_int_equal(accumulator_finish_f64(accumulator, &f64), STATUS_INVAL);
    assert_true(mean == 7 && f64 == 7);
    assert_int_equal(accumulator_unfold(accumulator, &x, 1, nullptr), STATUS_INVAL);
    assert_int_equal(accumulator_unfold(accumulator, &x, 0, nullptr), STATUS_OK);
    for (int i = 0; i < ACCUMULATOR_UPDATES_MAX; i++)
        fold(accumulator, &x, UINT32_MAX);
    assert_int_equal(accumulator_fold(accumulator, &x, 1, nullptr), STATUS_LIMIT);
    assert_int_equal(accumulator_finish_f32(accumulator, &mean), STATUS_OK);
    assert_true(mean == x);
    struct accumulator *const one = new_accumulator(1, 61);
    fold(one, &x, 1);
    assert_int_equal(accumulator_merge(accumulator, one), STATUS_LIMIT);
    accumulator_destroy(one);
    accumulator_destroy(accumulator);
}

static void no_parameters_are_fine(void **state)
{
    struct accumulator *const accumulator = new_accumulator(0, 0);
    float none = 7;
    fold(accumulator, &none, 1);
    assert_int_equal(accumulator_finish_f32(accumulator, &none), STATUS_OK);
    assert_true(none == 7);
    assert_int_equal(accumulator_parameter_count(accumulator), 0);
    accumulator_destroy(accumulator);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_mean_is_the_rational_one_rounded_once),
        cmocka_unit_test(a_random_mean_is_the_nearest_number),
        cmocka_unit_test(the_grid_is_the_finest_that_holds_the_norm),
        cmocka_unit_test(everything_up_to_the_norm_fits_and_the_next_power_of_two_does_not),
        cmocka_unit_test(small_elements_keep_their_value),
        cmocka_unit_test(the_order_does_not_change_a_bit),
        cmocka_unit_test(instruction_sets_give_the_same_bits),
        cmocka_unit_test(merged_parts_are_the_whole),
        cmocka_unit_test(what_is_taken_out_was_never_there),
        cmocka_unit_test(a_wrong_update_changes_nothing_wherever_it_is_wrong),
        cmocka_unit_test(the_limits_hold),
        cmocka_unit_test(no_parameters_are_fine),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}

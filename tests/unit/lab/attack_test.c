/*
 * attack_test.c - what the laboratory's liars send.
 *
 * Goal: the liars send what the papers say, and nothing else.
 * Method: properties of the vectors over random honest updates, reckoned here anew; quantiles from
 * tables.
 */
#include "lab/attack.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
/* clang-format off */
#include <cmocka.h>
/* clang-format on */

enum { N = 20, F = 6, H = N - F, D = 200 };

static float honest[H * D];
static float own[F * D];
static float liars[F * D];
static double mean[D];
static double deviation[D];
static struct random draws;

static void fill(float *rows, size_t count)
{
    for (size_t i = 0; i < count; i++)
        rows[i] = (float)(0.3 + random_normal(&draws) * (1 + (double)(i % 7)));
}

static int set_up(void **state)
{
    random_init(&draws, 1, 2, 3);
    fill(honest, H * D);
    fill(own, F * D);
    for (int i = 0; i < D; i++) {
        mean[i] = deviation[i] = 0;
        for (int row = 0; row < H; row++)
            mean[i] += (double)honest[row * D + i] / H;
        for (int row = 0; row < H; row++)
            deviation[i] += pow((double)honest[row * D + i] - mean[i], 2) / (H - 1);
        deviation[i] = sqrt(deviation[i]);
    }
    return 0;
}

static void make(enum attack attack, double jitter, attack_judge *judge, void *context)
{
    const struct attack_view view = {.n = N,
                                     .f = F,
                                     .d = D,
                                     .honest = honest,
                                     .jitter = jitter,
                                     .random = &draws,
                                     .judge = judge,
                                     .judge_context = context};
    memcpy(liars, own, sizeof(liars));
    attack_make(attack, &view, liars);
}

static void expect_shared(double means, double deviations)
{
    for (int row = 0; row < F; row++) {
        for (int i = 0; i < D; i++)
            assert_double_equal((double)liars[row * D + i],
                                means * mean[i] + deviations * deviation[i], 1e-5);
    }
}

static void expect_own_times(double factor)
{
    for (int i = 0; i < F * D; i++)
        assert_double_equal((double)liars[i], factor * (double)own[i], 1e-5);
}

static void attacks_have_names_that_find_them(void **state)
{
    for (int i = 0; i < ATTACK_COUNT; i++) {
        const char *const name = attack_name((enum attack)i);
        assert_int_equal(attack_find(name, strlen(name)), i);
        assert_true(strlen(attack_text((enum attack)i)) > 5);
    }
    assert_int_equal(attack_find("nois", 4), ATTACK_COUNT);
    assert_int_equal(attack_find("noise_", 6), ATTACK_COUNT);
}

static void multiples_are_of_the_mean_or_of_ones_own(void **state)
{
    make(ATTACK_MEAN_SIGN_FLIP, 0, nullptr, nullptr);
    expect_shared(-1, 0);
    make(ATTACK_INNER_PRODUCT_HALF, 0, nullptr, nullptr);
    expect_shared(-0.5, 0);
    make(ATTACK_OWN_SIGN_FLIP, 0, nullptr, nullptr);
    expect_own_times(-1);
    make(ATTACK_SCALE_10, 0, nullptr, nullptr);
    expect_own_times(10);
    make(ATTACK_LABEL_FLIP, 0, nullptr, nullptr);
    expect_own_times(1);
    make(ATTACK_NONE, 0, nullptr, nullptr);
    expect_own_times(1);
}

/* n = 20, f = 6: s = 11 - 6 = 5, Phi(z) = (14 - 5) / 14; z = 0.3661 by a table. */
static void a_little_is_as_much_as_a_vote_lets_pass(void **state)
{
    make(ATTACK_A_LITTLE, 0, nullptr, nullptr);
    expect_shared(1, 1.5);
    make(ATTACK_A_LITTLE_MAX, 0, nullptr, nullptr);
    expect_shared(1, 0.36610635680056963);
}

static double square_between(const float *a, const float *b)
{
    double sum = 0;
    for (int i = 0; i < D; i++)
        sum += pow((double)a[i] - (double)b[i], 2);
    return sum;
}

static void min_max_and_min_sum_touch_their_bounds(void **state)
{
    double largest = 0;
    double largest_sum = 0;
    for (int a = 0; a < H; a++) {
        double sum = 0;
        for (int b = 0; b < H; b++) {
            const double square = square_between(honest + a * D, honest + b * D);
            sum += square;
            largest = square > largest ? square : largest;
        }
        largest_sum = sum > largest_sum ? sum : largest_sum;
    }
    double reached = 0;
    make(ATTACK_MIN_MAX, 0, nullptr, nullptr);
    for (int a = 0; a < H; a++) {
        const double square = square_between(honest + a * D, liars);
        reached = square > reached ? square : reached;
    }
    assert_double_equal(reached / largest, 1, 1e-4);
    reached = 0;
    make(ATTACK_MIN_SUM, 0, nullptr, nullptr);
    for (int a = 0; a < H; a++)
        reached += square_between(honest + a * D, liars);
    assert_double_equal(reached / largest_sum, 1, 1e-4);
    assert_true((double)liars[0] < mean[0]);
}

static void mimic_copies_an_honest_node(void **state)
{
    make(ATTACK_MIMIC, 0, nullptr, nullptr);
    for (int row = 0; row < F; row++)
        assert_memory_equal(liars + row * D, honest, sizeof(float) * D);
}

static void private_noise_is_each_ones_own_and_as_wide_as_said(void **state)
{
    double squared = 0;
    make(ATTACK_A_LITTLE, 0.3, nullptr, nullptr);
    assert_memory_not_equal(liars, liars + D, sizeof(float) * D);
    for (int i = 0; i < F * D; i++) {
        const double off = (double)liars[i] - mean[i % D] - 1.5 * deviation[i % D];
        squared += pow(off / deviation[i % D], 2);
    }
    assert_double_equal(sqrt(squared / (F * D)), 0.3, 0.03);
}

static void noise_is_wide_or_of_an_honest_norm(void **state)
{
    double squared = 0;
    make(ATTACK_NOISE, 0, nullptr, nullptr);
    for (int i = 0; i < F * D; i++)
        squared += pow(((double)liars[i] - mean[i % D]) / deviation[i % D], 2);
    assert_double_equal(sqrt(squared / (F * D)), 3, 0.3);
    make(ATTACK_NOISE_SAME_NORM, 0, nullptr, nullptr);
    float zeros[D] = {0};
    for (int row = 0; row < F; row++)
        assert_double_equal(square_between(liars + row * D, zeros) / square_between(honest, zeros),
                            1, 1e-4);
    make(ATTACK_DECOY, 0, nullptr, nullptr);
    for (int i = 0; i < D; i++)
        assert_double_equal((double)liars[i] / (double)own[i], 1000, 0.01);
    make(ATTACK_NAN, 0, nullptr, nullptr);
    assert_true(isnan(liars[0]) && isnan(liars[F * D - 1]));
    make(ATTACK_INF, 0, nullptr, nullptr);
    assert_true(isinf(liars[0]));
}

/* A rule that is hurt most by what is nearest to one multiple. */
static double judge(void *context, const float *vector, const double *honest_mean)
{
    const double *const wanted = context;
    double off = 0;
    for (int i = 0; i < D; i++) {
        assert_double_equal(honest_mean[i], mean[i], 1e-12);
        off += fabs((double)vector[i] - (wanted[0] * mean[i] + wanted[1] * deviation[i]));
    }
    return 1 / (1 + off);
}

static void the_worst_is_what_the_judge_says(void **state)
{
    double wanted[] = {1, 0.6};
    make(ATTACK_A_LITTLE_WORST, 0, judge, wanted);
    expect_shared(1, 0.6);
    double other[] = {-4, 0};
    make(ATTACK_INNER_PRODUCT_WORST, 0, judge, other);
    expect_shared(-4, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(attacks_have_names_that_find_them, set_up),
        cmocka_unit_test_setup(multiples_are_of_the_mean_or_of_ones_own, set_up),
        cmocka_unit_test_setup(a_little_is_as_much_as_a_vote_lets_pass, set_up),
        cmocka_unit_test_setup(min_max_and_min_sum_touch_their_bounds, set_up),
        cmocka_unit_test_setup(mimic_copies_an_honest_node, set_up),
        cmocka_unit_test_setup(private_noise_is_each_ones_own_and_as_wide_as_said, set_up),
        cmocka_unit_test_setup(noise_is_wide_or_of_an_honest_norm, set_up),
        cmocka_unit_test_setup(the_worst_is_what_the_judge_says, set_up),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}

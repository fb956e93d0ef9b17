/*
 * trimmed_mean_test.c - the mean of the middle against values by hand, and that a minority of liars
 * moves it only within what honest ones report.
 */
#include "learn/trimmed_mean.h"

#include "base/random.h"

#include "testing.h"

#include <float.h>
#include <math.h>

/* -1 2 3 7 16.5, cut as scipy.stats.trim_mean does: floor(trim * count) at each end. */
static void the_middle_is_averaged_whatever_the_order(void **state)
{
    static const struct {
        double trim;
        double mean;
    } rows[] = {{0, 5.5}, {0.1, 5.5}, {0.19, 5.5}, {0.2, 4}, {0.39, 4}, {0.4, 3}, {0.49, 3}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        double values[] = {16.5, 3, 7, -1, 2};
        assert_true(trimmed_mean(values, 5, rows[i].trim) == rows[i].mean);
    }
    double one[] = {7};
    assert_true(trimmed_mean(one, 1, 0.49) == 7);
    double two[] = {7, 1};
    assert_true(trimmed_mean(two, 2, 0.49) == 4);
}

static void a_minority_of_liars_moves_it_only_among_the_honest(void **state)
{
    static const double lies[] = {DBL_MAX / 8, -DBL_MAX / 8, 1e10, 0};
    struct random random;
    for (uint64_t seed = 1; seed <= 200; seed++) {
        random_init(&random, seed, 0, 0);
        double values[50];
        const size_t count = 5 + (size_t)random_below(&random, 46);
        const size_t liars = (size_t)(0.2 * (double)count);
        double least = INFINITY, most = -INFINITY;
        for (size_t i = 0; i < count; i++) {
            const bool lie = i < liars;
            values[i] = lie ? lies[random_below(&random, 4)] : 0.5 + random_unit(&random);
            least = lie ? least : fmin(least, values[i]);
            most = lie ? most : fmax(most, values[i]);
        }
        const double mean = trimmed_mean(values, count, 0.2);
        if (!(mean >= least && mean <= most))
            fail_msg("seed %llu: %g is not in [%g, %g]", (unsigned long long)seed, mean, least,
                     most);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_middle_is_averaged_whatever_the_order),
        cmocka_unit_test(a_minority_of_liars_moves_it_only_among_the_honest),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}

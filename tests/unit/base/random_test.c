/*
 * random_test.c - the generator is xoshiro256** bit for bit, and what is drawn from it is
 * distributed right.
 *
 * Goal: the same seed gives the same run on every machine, and no draw is biased. Method: the
 * published first outputs of xoshiro256** from the state {1, 2, 3, 4}; the seeding against a second
 * implementation in Python (below); then counts against their expectation, within bounds that fair
 * draws leave once in more than a million seeds (the seeds are fixed, so the test is too).
 *
 *     M = 2**64 - 1
 *     def splitmix(s):
 *         s = (s + 0x9e3779b97f4a7c15) & M
 *         z = ((s ^ s >> 30) * 0xbf58476d1ce4e5b9) & M
 *         z = ((z ^ z >> 27) * 0x94d049bb133111eb) & M
 *         return s, z ^ z >> 31
 *     s, z = splitmix(42)           # the seed
 *     s, z = splitmix(z ^ 7)        # the stream
 *     s, state = z ^ 9, []          # the substream
 *     for _ in range(4): s, z = splitmix(s); state.append(z)
 */
#include "base/random.h"

#include "testing.h"

#include <math.h>

static void outputs_are_the_published_ones(void **state)
{
    static const uint64_t expected[] = {
        11520u,
        0u,
        1509978240u,
        1215971899390074240u,
        1216172134540287360u,
        607988272756665600u,
        16172922978634559625u,
        8476171486693032832u,
        10595114339597558777u,
        2904607092377533576u,
    };
    struct random random = {{1, 2, 3, 4}};
    for (size_t i = 0; i < sizeof(expected) / sizeof(expected[0]); i++)
        assert_true(random_u64(&random) == expected[i]);
}

static void seeding_is_splitmix_over_seed_stream_and_substream(void **state)
{
    static const uint64_t expected[] = {0xec56d7d409cf7398u, 0x12fa7a8ad14f2a8cu,
                                        0x3756a27d55022bccu, 0x0164ebfb700e36e9u};
    struct random random;
    random_init(&random, 42, 7, 9);
    for (size_t i = 0; i < 4; i++)
        assert_true(random.state[i] == expected[i]);
    assert_true(random_u64(&random) == 0x03c53365753d4fa7u);
    assert_true(random_u64(&random) == 0x7a549feff7180038u);
}

static void each_part_of_the_seed_matters(void **state)
{
    struct random random[5];
    random_init(&random[0], 1, 2, 3);
    random_init(&random[1], 2, 2, 3);
    random_init(&random[2], 1, 3, 3);
    random_init(&random[3], 1, 2, 4);
    random_init(&random[4], 2, 1, 3);
    uint64_t first[5];
    for (int i = 0; i < 5; i++)
        first[i] = random_u64(&random[i]);
    for (int i = 0; i < 5; i++) {
        for (int j = 0; j < i; j++)
            assert_true(first[i] != first[j]);
    }
}

static void draws_below_a_bound_are_even(void **state)
{
    enum { DRAWS = 100000, CELLS = 10 };
    struct random random;
    random_init(&random, 1, 0, 0);
    uint32_t counts[CELLS] = {0};
    for (int i = 0; i < DRAWS; i++) {
        const uint64_t value = random_below(&random, CELLS);
        assert_true(value < CELLS);
        counts[value]++;
    }
    double chi_square = 0;
    for (int i = 0; i < CELLS; i++)
        chi_square += pow(counts[i] - (double)DRAWS / CELLS, 2) / ((double)DRAWS / CELLS);
    assert_true(chi_square < 44); /* 9 degrees of freedom: one in a million passes 45 */
    for (int i = 0; i < 10; i++)
        assert_true(random_below(&random, 1) == 0);
}

/* With a bound of 3/4 of 2^64, taking the product's high half alone gives every third value half of
 * all draws. */
static void large_bounds_have_no_bias(void **state)
{
    enum { DRAWS = 60000 };
    const uint64_t bound = 3u * (UINT64_C(1) << 62);
    struct random random;
    random_init(&random, 2, 0, 0);
    uint32_t counts[3] = {0};
    for (int i = 0; i < DRAWS; i++) {
        const uint64_t value = random_below(&random, bound);
        assert_true(value < bound);
        counts[value % 3]++;
    }
    for (int i = 0; i < 3; i++) /* 5 standard deviations of 115 */
        assert_true(fabs(counts[i] - DRAWS / 3.0) < 580);
}

static void units_fill_the_interval_without_its_end(void **state)
{
    enum { DRAWS = 100000 };
    struct random random;
    random_init(&random, 3, 0, 0);
    double sum = 0;
    double squares = 0;
    double least = 1;
    double most = 0;
    for (int i = 0; i < DRAWS; i++) {
        const double value = random_unit(&random);
        assert_true(value >= 0 && value < 1);
        sum += value;
        squares += value * value;
        least = fmin(least, value);
        most = fmax(most, value);
    }
    assert_true(fabs(sum / DRAWS - 0.5) < 0.005);
    assert_true(fabs(squares / DRAWS - 1 / 3.0) < 0.005);
    assert_true(least < 0.001 && most > 0.999);
    /* The largest 64 bits give the largest unit: 1 - 2^-53. s[1] * 5 rotated by 7, times 9, is 2^64
     * - 1. */
    const uint64_t inverse_of_9 = 0x8e38e38e38e38e39u;
    const uint64_t inverse_of_5 = 0xcccccccccccccccdu;
    const uint64_t rotated = UINT64_MAX * inverse_of_9;
    struct random edge = {{1, (rotated >> 7 | rotated << 57) * inverse_of_5, 1, 1}};
    assert_true(random_unit(&edge) == 1 - 0x1p-53);
}

static void normals_have_the_moments_of_a_standard_normal(void **state)
{
    enum { DRAWS = 200000 };
    struct random random;
    random_init(&random, 4, 0, 0);
    double sums[5] = {0};
    uint32_t within_one = 0;
    for (int i = 0; i < DRAWS; i++) {
        const double value = random_normal(&random);
        assert_true(isfinite(value));
        for (int k = 1; k <= 4; k++)
            sums[k] += pow(value, k);
        within_one += fabs(value) < 1;
    }
    /* 5 standard deviations of the mean of x^k: sqrt(var(x^k) / DRAWS), var 1, 2, 15, 96. */
    assert_true(fabs(sums[1] / DRAWS) < 0.0112);
    assert_true(fabs(sums[2] / DRAWS - 1) < 0.0159);
    assert_true(fabs(sums[3] / DRAWS) < 0.0433);
    assert_true(fabs(sums[4] / DRAWS - 3) < 0.1096);
    assert_true(fabs((double)within_one / DRAWS - 0.6826895) < 0.0053);
}

static void shuffles_reach_every_order_equally_often(void **state)
{
    enum { SHUFFLES = 60000 };
    struct random random;
    random_init(&random, 5, 0, 0);
    uint32_t counts[27] = {0};
    for (int i = 0; i < SHUFFLES; i++) {
        uint32_t items[3] = {0, 1, 2};
        random_shuffle_u32(&random, items, 3);
        counts[items[0] * 9 + items[1] * 3 + items[2]]++;
    }
    static const uint32_t orders[6] = {5, 7, 11, 15, 19, 21}; /* 012 021 102 120 201 210 */
    uint32_t sum = 0;
    for (int i = 0; i < 6; i++) { /* 5 standard deviations of 91 */
        assert_true(fabs(counts[orders[i]] - SHUFFLES / 6.0) < 456);
        sum += counts[orders[i]];
    }
    assert_int_equal(sum, SHUFFLES);
}

static void shuffling_none_or_one_draws_nothing(void **state)
{
    struct random random = {{1, 2, 3, 4}};
    uint32_t item = 77;
    random_shuffle_u32(&random, nullptr, 0);
    random_shuffle_u32(&random, &item, 1);
    assert_int_equal(item, 77);
    assert_true(random_u64(&random) == 11520);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(outputs_are_the_published_ones),
        cmocka_unit_test(seeding_is_splitmix_over_seed_stream_and_substream),
        cmocka_unit_test(each_part_of_the_seed_matters),
        cmocka_unit_test(draws_below_a_bound_are_even),
        cmocka_unit_test(large_bounds_have_no_bias),
        cmocka_unit_test(units_fill_the_interval_without_its_end),
        cmocka_unit_test(normals_have_the_moments_of_a_standard_normal),
        cmocka_unit_test(shuffles_reach_every_order_equally_often),
        cmocka_unit_test(shuffling_none_or_one_draws_nothing),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}

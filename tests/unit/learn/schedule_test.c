/*
 * schedule_test.c - rates against python's, and that reading one changes nothing.
 */
#include "learn/schedule.h"

#include "testing.h"

#include <math.h>
#include <string.h>

#define RATE 0.05

static const struct schedule schedules[] = {
    {.kind = SCHEDULE_CONSTANT, .rate = RATE},
    {.kind = SCHEDULE_STEP, .rate = RATE, .factor = 0.1, .every = 10},
    {.kind = SCHEDULE_EXPONENTIAL, .rate = RATE, .tau = 100},
    {.kind = SCHEDULE_ADAPTIVE, .rate = RATE},
    {.kind = SCHEDULE_COSINE, .rate = RATE, .rounds = 100, .floor = 0.1},
};
enum { SCHEDULES = sizeof(schedules) / sizeof(schedules[0]) };

/*
 * from math import *
 * for t in [0, 1, 9, 10, 25, 100, 1000]:
 *     print(t, *[(0.05 * share).hex() for share in [1, 0.1 ** (t // 10), exp(-t / 100), 1 / (1 +
 * t), 0.1 + 0.9 * (1 + cos(pi * min(t, 100) / 100)) / 2]])
 */
static const struct {
    uint64_t t;
    double rates[SCHEDULES];
} rows[] = {
    {0, {RATE, RATE, RATE, RATE, RATE}},
    {1, {RATE, RATE, 0x1.95863fdbc7d98p-5, 0x1.999999999999ap-6, 0x1.9982510c7e73bp-5}},
    {9, {RATE, RATE, 0x1.7658a1727481fp-5, 0x1.47ae147ae147bp-8, 0x1.9248056225aecp-5}},
    {10,
     {RATE, 0x1.47ae147ae147cp-8, 0x1.729f147ddbc2fp-5, 0x1.29e4129e4129fp-8,
      0x1.9094281d0eb67p-5}},
    {25,
     {RATE, 0x1.0624dd2f1a9fdp-11, 0x1.3eff2e556ce70p-5, 0x1.f81f81f81f820p-10,
      0x1.639d29fc76773p-5}},
    {100,
     {RATE, 0x1.5fd7fe1796499p-38, 0x1.2d5de91bd8c2dp-6, 0x1.038c6b78247fcp-11,
      0x1.47ae147ae147cp-8}},
    {1000,
     {RATE, 0x1.665bf1d3e6ab0p-337, 0x1.30ac7c45063afp-19, 0x1.a302ea5d31760p-15,
      0x1.47ae147ae147cp-8}},
};

/* An ulp or two for another libm. */
static void assert_close(double got, double wanted)
{
    if (!(fabs(got - wanted) <= 4 * 0x1p-53 * fabs(wanted)))
        fail_msg("got %a, expected %a", got, wanted);
}

static void rates_are_those_of_the_formulas(void **state)
{
    for (size_t row = 0; row < sizeof(rows) / sizeof(rows[0]); row++)
        for (size_t i = 0; i < SCHEDULES; i++)
            assert_close(schedule_rate(&schedules[i], rows[row].t, 0), rows[row].rates[i]);
}

static void reading_a_rate_never_advances_it(void **state)
{
    for (size_t i = 0; i < SCHEDULES; i++) {
        const struct schedule before = schedules[i];
        struct schedule schedule = before;
        const double first = schedule_rate(&schedule, 25, 0);
        for (int again = 0; again < 100; again++)
            assert_true(schedule_rate(&schedule, 25, 0) == first);
        assert_close(schedule_rate(&schedule, 0, 0), RATE);
        assert_true(schedule_rate(&schedule, 25, 0) == first);
        assert_memory_equal(&schedule, &before, sizeof(before));
    }
}

static void rates_never_rise(void **state)
{
    for (size_t i = 0; i < SCHEDULES; i++)
        for (uint64_t t = 0; t < 300; t++)
            assert_true(schedule_rate(&schedules[i], t + 1, 0) <=
                        schedule_rate(&schedules[i], t, 0));
}

static void stale_updates_take_up_to_half_of_it(void **state)
{
    assert_close(schedule_rate(&schedules[2], 25, 0.25), 0x1.171f488abf4a2p-5); /* times 0.875 */
    for (size_t i = 0; i < SCHEDULES; i++) {
        const double fresh = schedule_rate(&schedules[i], 7, 0);
        assert_close(schedule_rate(&schedules[i], 7, 1), fresh / 2);
        assert_close(schedule_rate(&schedules[i], 7, 0.5), fresh * 0.75);
    }
}

static void the_cosine_ends_at_its_floor_and_stays(void **state)
{
    const struct schedule to_zero = {.kind = SCHEDULE_COSINE, .rate = 2, .rounds = 7};
    assert_close(schedule_rate(&to_zero, 0, 0), 2);
    assert_true(schedule_rate(&to_zero, 6, 0) > 0);
    assert_true(schedule_rate(&to_zero, 7, 0) == 0);
    assert_true(schedule_rate(&to_zero, UINT64_MAX, 0) == 0);
    const struct schedule flat = {.kind = SCHEDULE_COSINE, .rate = 2, .rounds = 1, .floor = 1};
    assert_true(schedule_rate(&flat, 0, 0) == 2 && schedule_rate(&flat, 1, 0) == 2);
}

static void the_last_round_there_can_be_has_a_rate(void **state)
{
    for (size_t i = 0; i < SCHEDULES; i++) {
        const double rate = schedule_rate(&schedules[i], UINT64_MAX, 1);
        assert_true(rate >= 0 && rate <= RATE);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rates_are_those_of_the_formulas),
        cmocka_unit_test(reading_a_rate_never_advances_it),
        cmocka_unit_test(rates_never_rise),
        cmocka_unit_test(stale_updates_take_up_to_half_of_it),
        cmocka_unit_test(the_cosine_ends_at_its_floor_and_stays),
        cmocka_unit_test(the_last_round_there_can_be_has_a_rate),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}

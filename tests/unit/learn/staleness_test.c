/*
 * staleness_test.c - the weights of late updates against python's, and their bounds.
 */
#include "learn/staleness.h"

#include "testing.h"

#include <float.h>
#include <math.h>

static void assert_close(double got, double wanted)
{
    if (!(fabs(got - wanted) <= 4 * 0x1p-53 * fabs(wanted)))
        fail_msg("got %a, expected %a", got, wanted);
}

/*
 * for s in [0, 1, 2, 3, 4, 5, 10, 100]:
 *     print(s, ((1 + s) ** -0.5).hex(), (1.0 if s <= 4 else 1 / (1 + 10 * (s - 4))).hex())
 * The exponents are those of Xie et al. 2019, section 6: a = 0.5; a = 10, b = 4.
 */
static const struct {
    uint64_t staleness;
    double polynomial;
    double hinge;
} rows[] = {
    {0, 1, 1},
    {1, 0x1.6a09e667f3bcdp-1, 1},
    {2, 0x1.279a74590331cp-1, 1},
    {3, 0.5, 1},
    {4, 0x1.c9f25c5bfedd9p-2, 1},
    {5, 0x1.a20bd700c2c3ep-2, 0x1.745d1745d1746p-4},
    {10, 0x1.34bf63d156826p-2, 0x1.0c9714fbcda3bp-6},
    {100, 0x1.9791363068b54p-4, 0x1.10c8531d0952ep-10},
};

static void weights_are_those_of_the_paper(void **state)
{
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const uint64_t staleness = rows[i].staleness;
        assert_true(staleness_weight(STALENESS_CONSTANT, staleness, 0.5, 4) == 1);
        assert_close(staleness_weight(STALENESS_POLYNOMIAL, staleness, 0.5, 4), rows[i].polynomial);
        assert_close(staleness_weight(STALENESS_HINGE, staleness, 10, 4), rows[i].hinge);
    }
}

static void fresh_updates_count_in_full_and_later_ones_never_more(void **state)
{
    for (uint32_t kind = STALENESS_CONSTANT; kind <= STALENESS_HINGE; kind++)
        for (double exponent = 0; exponent < 3; exponent += 0.25) {
            double before = staleness_weight((enum staleness_kind)kind, 0, exponent, 3);
            assert_true(before == 1);
            for (uint64_t staleness = 1; staleness < 50; staleness++) {
                const double weight =
                    staleness_weight((enum staleness_kind)kind, staleness, exponent, 3);
                assert_true(weight > 0 && weight <= before);
                before = weight;
            }
        }
}

static void no_staleness_is_worth_nothing(void **state)
{
    const double far[] = {10, 1e6, DBL_MAX};
    for (size_t i = 0; i < 3; i++) {
        assert_true(staleness_weight(STALENESS_POLYNOMIAL, UINT64_MAX, far[i], 0) >= DBL_MIN);
        assert_true(staleness_weight(STALENESS_HINGE, UINT64_MAX, far[i], 0) >= DBL_MIN);
    }
    assert_true(staleness_weight(STALENESS_POLYNOMIAL, 10, 1000, 0) == DBL_MIN);
    assert_true(staleness_weight(STALENESS_HINGE, UINT64_MAX, 10, UINT64_MAX) == 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(weights_are_those_of_the_paper),
        cmocka_unit_test(fresh_updates_count_in_full_and_later_ones_never_more),
        cmocka_unit_test(no_staleness_is_worth_nothing),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}

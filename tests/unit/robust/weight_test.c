/*
 * weight_test.c - sample counts as weights: exact when fresh, rounded once when stale, never lost.
 */
#include "robust/weight.h"

#include "testing.h"

static void fresh_counts_are_exact_up_to_the_cap(void **state)
{
    assert_int_equal(weight_from_samples(0, WEIGHT_SAMPLES_MAX_DEFAULT, 1), 0);
    assert_int_equal(weight_from_samples(1, WEIGHT_SAMPLES_MAX_DEFAULT, 1), 256);
    assert_int_equal(weight_from_samples(999999, WEIGHT_SAMPLES_MAX_DEFAULT, 1), 999999 * 256);
    assert_int_equal(weight_from_samples(1000000, WEIGHT_SAMPLES_MAX_DEFAULT, 1), 256000000);
    assert_int_equal(weight_from_samples(UINT64_MAX, WEIGHT_SAMPLES_MAX_DEFAULT, 1), 256000000);
    assert_int_equal(weight_from_samples(UINT64_MAX, WEIGHT_SAMPLES_MAX, 1),
                     ((1u << 23) - 1) * 256);
    assert_int_equal(weight_from_samples(7, 1, 1), 256);
}

static void staleness_scales_and_is_rounded_to_nearest(void **state)
{
    assert_int_equal(weight_from_samples(600, 1000, 0.5), 600 * 128);
    assert_int_equal(weight_from_samples(1, 1000, 1.0 / 3), 85);   /* 85.33 */
    assert_int_equal(weight_from_samples(2, 1000, 1.0 / 3), 171);  /* 170.67 */
    assert_int_equal(weight_from_samples(1, 1000, 1.0 / 1024), 1); /* 0.25, but never nothing */
    assert_int_equal(weight_from_samples(2000, 1000, 0.5), 1000 * 128); /* the cap comes first */
    assert_int_equal(weight_from_samples(1, 1000, 2.5 / 256), 2);       /* halves to even */
    assert_int_equal(weight_from_samples(1, 1000, 3.5 / 256), 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fresh_counts_are_exact_up_to_the_cap),
        cmocka_unit_test(staleness_scales_and_is_rounded_to_nearest),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}

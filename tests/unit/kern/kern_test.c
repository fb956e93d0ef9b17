/*
 * kern_test.c - the reference kernels against exact arithmetic, and every instruction set against
 * the reference.
 *
 * Method of the checker: all lengths from 0 to 4 vectors + 3, all alignments of the arrays, values
 * with denormals and ties among them, guard bytes around what is written. Bit for bit.
 */
#include "base/random.h"
#include "kern/kern.h"

#include "testing.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    LENGTH_MAX = 4 * 16 + 3,
    ALIGNMENTS = 8,
    ROOM = LENGTH_MAX + ALIGNMENTS + 8,
};

struct sums {
    uint64_t lo[ROOM];
    int64_t hi[ROOM];
};

static __int128 sum_at(const struct sums *sums, size_t i)
{
    return (__int128)((unsigned __int128)(uint64_t)sums->hi[i] << 64 | sums->lo[i]);
}

/* Rounding halves to even and the weights' ends, from the definition of rint in IEEE 754. */
static void fold_rounds_halves_to_even_and_multiplies_exactly(void **state)
{
    static const struct {
        float x;
        double scale;
        int64_t weight;
        __int128 expected;
    } cases[] = {
        {0.5f, 1, 1, 0},
        {1.5f, 1, 1, 2},
        {2.5f, 1, 1, 2},
        {-0.5f, 1, 1, 0},
        {-1.5f, 1, 1, -2},
        {-2.5f, 1, 3, -6},
        {0x1.000002p-1f, 1, 1, 1},
        {0x1p31f, 1, 1, (__int128)1 << 31},
        {0x1p30f, 1, -1, -((__int128)1 << 30)},
        {0x1.8p31f, 1, 5, (__int128)5 * 3 << 30},
        {-0x1.4p33f, 1, 7, -((__int128)7 * 5 << 31)},
        {0x1.fffffep61f, 1, UINT32_MAX, (__int128)UINT32_MAX * 0xffffff << 38},
        {-0x1.fffffep61f, 1, UINT32_MAX, -((__int128)UINT32_MAX * 0xffffff << 38)},
        {-0x1.fffffep61f, 1, -(int64_t)UINT32_MAX, (__int128)UINT32_MAX * 0xffffff << 38},
        {0x1.fffffep127f, 0x1p-66, INT32_MAX, (__int128)INT32_MAX * 0xffffff << 38},
        {0x1p-149f, 0x1p188, 9, (__int128)9 << 39},
        {0x1p-149f, 0x1p-66, 9, 0},
        {1.0f, 0x1p40, 0x80000000, (__int128)1 << 71},
        {1.0f, 0x1p40, 0, 0},
    };
    for (int isa = 0; isa < KERN_ISA_COUNT; isa++) {
        const struct kern *const kern = kern_find((enum kern_isa)isa);
        for (size_t i = 0; kern != nullptr && i < sizeof(cases) / sizeof(cases[0]); i++) {
            struct sums sums = {0};
            kern->fold(sums.lo, sums.hi, &cases[i].x, 1, cases[i].scale, cases[i].weight);
            if (sum_at(&sums, 0) != cases[i].expected)
                fail_msg("%s, case %zu: %lld %llu", kern->name, i, (long long)sums.hi[0],
                         (unsigned long long)sums.lo[0]);
        }
    }
}

/* A value of any exponent that keeps |x * scale| < 2^62 for scale 2^scale_exponent. */
static float any_value(struct random *random, int scale_exponent)
{
    const uint64_t kind = random_below(random, 8);
    if (kind == 0)
        return random_below(random, 2) ? 0.0f : -0.0f;
    const float mantissa =
        (float)random_below(random, 1 << 24) * (random_below(random, 2) ? 1 : -1);
    if (kind == 1) /* a tie on the grid */
        return ldexpf(floorf(mantissa / 1024) + 0.5f, -scale_exponent);
    if (kind == 2)
        return ldexpf(mantissa, -149 - (int)random_below(random, 23));
    return ldexpf(mantissa, -scale_exponent - 40 + (int)random_below(random, 78));
}

static int64_t any_weight(struct random *random)
{
    const int64_t weight = (int64_t)(random_u64(random) >> (32 + random_below(random, 32)));
    return random_below(random, 2) ? weight : -weight;
}

static void fill(struct random *random, struct sums *sums)
{
    for (size_t i = 0; i < ROOM; i++) {
        sums->lo[i] = random_below(random, 3) ? random_u64(random) : (uint64_t)-1;
        sums->hi[i] = (int64_t)random_u64(random) >> 16;
    }
}

static void check_fold(const struct kern *kern, struct random *random, size_t n, size_t shift)
{
    static const int exponents[] = {0, 20, -66, 40};
    const int exponent = exponents[random_below(random, 4)];
    float x[ROOM];
    struct sums expected;
    struct sums sums;
    for (size_t i = 0; i < n; i++)
        x[shift + i] = any_value(random, exponent);
    fill(random, &expected);
    sums = expected;
    const int64_t weight = any_weight(random);
    kern_find(KERN_REF)->fold(expected.lo + shift, expected.hi + shift, x + shift, n,
                              ldexp(1, exponent), weight);
    kern->fold(sums.lo + shift, sums.hi + shift, x + shift, n, ldexp(1, exponent), weight);
    assert_memory_equal(&sums, &expected, sizeof(sums)); /* what is beside [shift, shift + n) too */
}

static void fold_gives_the_reference_bits_at_every_length_and_alignment(void **state)
{
    struct random random;
    random_init(&random, 1, 0, 0);
    for (int isa = 1; isa < KERN_ISA_COUNT; isa++) {
        const struct kern *const kern = kern_find((enum kern_isa)isa);
        for (size_t n = 0; kern != nullptr && n <= LENGTH_MAX; n++) {
            for (size_t shift = 0; shift < ALIGNMENTS; shift++) {
                for (int repeat = 0; repeat < 8; repeat++)
                    check_fold(kern, &random, n, shift);
            }
        }
    }
}

/* The inputs end where their allocation ends, so that a sanitizer sees every read past them. */
static void no_kernel_reads_or_writes_past_the_end(void **state)
{
    for (int isa = 0; isa < KERN_ISA_COUNT; isa++) {
        const struct kern *const kern = kern_find((enum kern_isa)isa);
        for (size_t n = 1; kern != nullptr && n <= LENGTH_MAX; n++) {
            float *const x = calloc(n, sizeof(*x));
            uint64_t *const lo = calloc(n, sizeof(*lo));
            int64_t *const hi = calloc(n, sizeof(*hi));
            double norm_squared = 1;
            kern->fold(lo, hi, x, n, 1, 1);
            assert_int_equal(kern->abs_max_bits(x, n), 0);
            assert_true(kern->check_finite_and_norm(x, n, &norm_squared));
            assert_true(norm_squared == 0);
            free(x);
            free(lo);
            free(hi);
        }
    }
}

static void what_was_folded_is_taken_out_exactly(void **state)
{
    struct random random;
    random_init(&random, 2, 0, 0);
    for (int isa = 0; isa < KERN_ISA_COUNT; isa++) {
        const struct kern *const kern = kern_find((enum kern_isa)isa);
        if (kern == nullptr)
            continue;
        float x[LENGTH_MAX];
        struct sums before;
        struct sums sums;
        for (size_t i = 0; i < LENGTH_MAX; i++)
            x[i] = any_value(&random, 20);
        fill(&random, &before);
        sums = before;
        kern->fold(sums.lo, sums.hi, x, LENGTH_MAX, 0x1p20, UINT32_MAX);
        assert_memory_not_equal(&sums, &before, sizeof(sums));
        kern->fold(sums.lo, sums.hi, x, LENGTH_MAX, 0x1p20, -(int64_t)UINT32_MAX);
        assert_memory_equal(&sums, &before, sizeof(sums));
    }
}

/* 1 + 4 + ... + n^2 = n (n + 1) (2 n + 1) / 6, exact in f64 here whatever the order. */
static void norm_squared_of_a_ramp_is_the_closed_form(void **state)
{
    float x[LENGTH_MAX];
    for (size_t i = 0; i < LENGTH_MAX; i++)
        x[i] = (i % 2 ? -1.0f : 1.0f) * (float)(i + 1);
    for (int isa = 0; isa < KERN_ISA_COUNT; isa++) {
        const struct kern *const kern = kern_find((enum kern_isa)isa);
        for (size_t n = 0; kern != nullptr && n <= LENGTH_MAX; n++) {
            double norm_squared = -1;
            assert_true(kern->check_finite_and_norm(x, n, &norm_squared));
            assert_true(norm_squared == (double)(n * (n + 1) * (2 * n + 1) / 6));
        }
    }
}

/*
 * The pinned order of the sum: 2^106 in lane 0 swallows the 1 of an element in its own lane, and
 * of all lanes that join it, but not ones that were added to each other before.
 */
static void norm_squared_is_summed_in_the_pinned_order(void **state)
{
    for (int isa = 0; isa < KERN_ISA_COUNT; isa++) {
        const struct kern *const kern = kern_find((enum kern_isa)isa);
        if (kern == nullptr)
            continue;
        float x[48] = {[0] = 0x1p27f}; /* squared 2^54: its spacing is 4, and 2 is half of it */
        double norm_squared = 0;
        x[8] = x[4] = 1;
        assert_true(kern->check_finite_and_norm(x, 48, &norm_squared));
        assert_true(norm_squared == 0x1p54); /* (2^54 + 1) + 1: each is lost */
        x[8] = 0;
        x[12] = 1;
        x[20] = 1; /* lanes 4 and 12 make 3, which counts as 4 */
        assert_true(kern->check_finite_and_norm(x, 48, &norm_squared));
        assert_true(norm_squared == 0x1p54 + 4);
    }
}

static void norms_and_maxima_give_the_reference_bits(void **state)
{
    struct random random;
    random_init(&random, 3, 0, 0);
    for (int isa = 1; isa < KERN_ISA_COUNT; isa++) {
        const struct kern *const kern = kern_find((enum kern_isa)isa);
        for (size_t n = 0; kern != nullptr && n <= LENGTH_MAX; n++) {
            for (size_t shift = 0; shift < ALIGNMENTS; shift++) {
                float x[ROOM];
                for (size_t i = 0; i < ROOM; i++)
                    x[i] = any_value(&random, 0);
                double expected = -1;
                double norm_squared = -2;
                assert_true(kern_find(KERN_REF)->check_finite_and_norm(x + shift, n, &expected));
                assert_true(kern->check_finite_and_norm(x + shift, n, &norm_squared));
                assert_memory_equal(&norm_squared, &expected, sizeof(expected));
                assert_int_equal(kern->abs_max_bits(x + shift, n),
                                 kern_find(KERN_REF)->abs_max_bits(x + shift, n));
            }
        }
    }
}

static void one_value_that_is_not_finite_is_found_wherever_it_is(void **state)
{
    static const uint32_t bad[] = {0x7f800000, 0xff800000, 0x7fc00000, 0xff800001};
    for (int isa = 0; isa < KERN_ISA_COUNT; isa++) {
        const struct kern *const kern = kern_find((enum kern_isa)isa);
        for (size_t at = 0; kern != nullptr && at < LENGTH_MAX; at++) {
            for (size_t i = 0; i < 4; i++) {
                float x[LENGTH_MAX] = {0};
                memcpy(&x[at], &bad[i], sizeof(float));
                double norm_squared = 7;
                assert_false(kern->check_finite_and_norm(x, LENGTH_MAX, &norm_squared));
                assert_true(norm_squared == 7);
                assert_int_equal(kern->abs_max_bits(x, LENGTH_MAX), bad[i] & 0x7fffffff);
                assert_true(kern->check_finite_and_norm(x, at, &norm_squared));
            }
        }
    }
}

static void the_largest_value_is_found_wherever_it_is(void **state)
{
    for (int isa = 0; isa < KERN_ISA_COUNT; isa++) {
        const struct kern *const kern = kern_find((enum kern_isa)isa);
        for (size_t at = 0; kern != nullptr && at < LENGTH_MAX; at++) {
            float x[LENGTH_MAX] = {[0] = 1};
            x[at] = -1.5f; /* 3fc00000 */
            assert_int_equal(kern->abs_max_bits(x, LENGTH_MAX), 0x3fc00000);
        }
    }
}

static void the_environment_caps_the_choice(void **state)
{
    struct error err = {0};
    setenv("FEDRA_CPU", "ref", 1);
    assert_int_equal(kern_init(&err), STATUS_OK);
    assert_string_equal(kern_get()->name, "ref");
    setenv("FEDRA_CPU", "sse", 1);
    assert_int_equal(kern_init(&err), STATUS_INVAL);
    assert_non_null(strstr(err.text, "FEDRA_CPU is sse"));
    assert_string_equal(kern_get()->name, "ref");
    static const char *const caps[] = {"avx2", "avx512", nullptr};
    for (size_t i = 0; i < 3; i++) {
        if (caps[i] != nullptr)
            setenv("FEDRA_CPU", caps[i], 1);
        else
            unsetenv("FEDRA_CPU");
        assert_int_equal(kern_init(&err), STATUS_OK);
        assert_string_equal(kern_get()->name, kern_find(KERN_AVX2) != nullptr ? "avx2" : "ref");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fold_rounds_halves_to_even_and_multiplies_exactly),
        cmocka_unit_test(fold_gives_the_reference_bits_at_every_length_and_alignment),
        cmocka_unit_test(no_kernel_reads_or_writes_past_the_end),
        cmocka_unit_test(what_was_folded_is_taken_out_exactly),
        cmocka_unit_test(norm_squared_of_a_ramp_is_the_closed_form),
        cmocka_unit_test(norm_squared_is_summed_in_the_pinned_order),
        cmocka_unit_test(norms_and_maxima_give_the_reference_bits),
        cmocka_unit_test(one_value_that_is_not_finite_is_found_wherever_it_is),
        cmocka_unit_test(the_largest_value_is_found_wherever_it_is),
        cmocka_unit_test(the_environment_caps_the_choice),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}

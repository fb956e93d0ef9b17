/*
 * kern_dense_test.c - the kernels over f64: against exact integers, and every instruction set
 * against the reference, bit for bit, at any alignment, with arrays that end where their allocation
 * ends and values around the results that must stay.
 */
#include "base/random.h"
#include "kern/kern.h"

#include "testing.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { SIDE_MAX = 40, GUARD = 4 };

static const double guard_value = -7.25;

struct arrays {
    double *matrix; /* f64[n * stride], no more */
    double *x;      /* f64[stride] */
    double *ret;    /* f64[GUARD + stride + GUARD] */
    double *expected;
};

static double draw(struct random *random, bool is_integer)
{
    if (is_integer)
        return (double)random_below(random, 201) - 100;
    return ldexp(random_unit(random) - 0.5, (int)random_below(random, 80) - 40);
}

static void arrays_init(struct arrays *arrays, struct random *random, size_t n, size_t stride,
                        bool is_integer)
{
    const size_t room = (n > stride ? n : stride) + 2 * GUARD;
    *arrays = (struct arrays){
        .matrix = malloc(n * stride * sizeof(double)),
        .x = malloc(stride * sizeof(double)),
        .ret = malloc(room * sizeof(double)),
        .expected = malloc(room * sizeof(double)),
    };
    assert_true(arrays->matrix != nullptr && arrays->x != nullptr && arrays->ret != nullptr &&
                arrays->expected != nullptr);
    for (size_t i = 0; i < n * stride; i++)
        arrays->matrix[i] = draw(random, is_integer);
    for (size_t i = 0; i < stride; i++)
        arrays->x[i] = random_below(random, 9) ? draw(random, is_integer) : 0;
    for (size_t i = 0; i < room; i++)
        arrays->ret[i] = arrays->expected[i] = guard_value;
}

static void arrays_deinit(struct arrays *arrays)
{
    free(arrays->matrix);
    free(arrays->x);
    free(arrays->ret);
    free(arrays->expected);
}

/* Also what is around the result. */
static void check_same(const struct kern *kern, const struct arrays *arrays, size_t count,
                       const char *name)
{
    for (size_t i = 0; i < count + 2 * GUARD; i++) {
        if (memcmp(&arrays->ret[i], &arrays->expected[i], sizeof(double)) != 0)
            fail_msg("%s of %s, %zu values, at %zu: %a, expected is %a", name, kern->name, count,
                     i - GUARD, arrays->ret[i], arrays->expected[i]);
    }
}

/* One of the three kernels, by the kernel or by whole numbers. */
static void check_all(const struct kern *kern, struct random *random, bool is_integer)
{
    const struct kern *const ref = kern_find(KERN_REF);
    for (size_t n = 1; n <= SIDE_MAX; n++) {
        const size_t stride = n + random_below(random, 6);
        struct arrays arrays;
        arrays_init(&arrays, random, n, stride, is_integer);
        double *const ret = arrays.ret + GUARD;
        double *const expected = arrays.expected + GUARD;
        for (size_t i = 0; is_integer && i < n; i++) {
            expected[i] = 0;
            for (size_t j = 0; j < n; j++)
                expected[i] +=
                    arrays.matrix[(i > j ? i : j) * stride + (i > j ? j : i)] * arrays.x[j];
        }
        if (!is_integer)
            ref->multiply_symmetric(arrays.matrix, n, stride, arrays.x, expected);
        kern->multiply_symmetric(arrays.matrix, n, stride, arrays.x, ret);
        check_same(kern, &arrays, n, "multiply_symmetric");
        for (size_t k = 0; is_integer && k < n; k++) {
            expected[k] = 0;
            for (size_t i = 0; i < stride; i++)
                expected[k] += arrays.matrix[k * stride + i] * arrays.x[i];
        }
        if (!is_integer)
            ref->dot_rows(arrays.matrix, n, stride, arrays.x, expected);
        kern->dot_rows(arrays.matrix, n, stride, arrays.x, ret);
        check_same(kern, &arrays, n, "dot_rows");
        for (size_t i = 0; i < stride; i++) {
            ret[i] = expected[i] = (double)i;
            for (size_t k = 0; is_integer && k < n; k++)
                expected[i] += arrays.x[k] * arrays.matrix[k * stride + i];
        }
        if (!is_integer)
            ref->add_rows(arrays.matrix, arrays.x, n, stride, expected);
        kern->add_rows(arrays.matrix, arrays.x, n, stride, ret);
        check_same(kern, &arrays, stride, "add_rows");
        arrays_deinit(&arrays);
    }
}

static void whole_numbers_give_exact_results(void **state)
{
    struct random random;
    random_init(&random, 1, 0, 0);
    for (int isa = 0; isa < KERN_ISA_COUNT; isa++) {
        const struct kern *const kern = kern_find((enum kern_isa)isa);
        for (int run = 0; kern != nullptr && run < 20; run++)
            check_all(kern, &random, true);
    }
}

static void every_instruction_set_gives_the_reference_bits(void **state)
{
    struct random random;
    random_init(&random, 2, 0, 0);
    for (int isa = 1; isa < KERN_ISA_COUNT; isa++) {
        const struct kern *const kern = kern_find((enum kern_isa)isa);
        for (int run = 0; kern != nullptr && run < 50; run++)
            check_all(kern, &random, false);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whole_numbers_give_exact_results),
        cmocka_unit_test(every_instruction_set_gives_the_reference_bits),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}

/*
 * kern_gram_test.c - the kernels that add up products: the Gram matrix, distances, inner products,
 * weighted sums. The reference against long double and exact integers, and every instruction set
 * against the reference, bit for bit.
 */
#include "base/random.h"
#include "kern/kern.h"

#include "testing.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    ROWS_MAX = 130,
    COUNT_MAX = 3 * KERN_PANEL_COLUMNS + 40,
    ROOM = COUNT_MAX + 16,
};

struct matrix {
    float *values;
    const float *rows[ROWS_MAX];
    double *gram;
    double *expected;
    void *scratch;
};

static void matrix_init(struct matrix *matrix)
{
    *matrix = (struct matrix){
        .values = calloc((ROWS_MAX + 1) * ROOM, sizeof(float)),
        .gram = calloc(ROWS_MAX * ROWS_MAX, sizeof(double)),
        .expected = calloc(ROWS_MAX * ROWS_MAX, sizeof(double)),
        .scratch = aligned_alloc(KERN_SCRATCH_ALIGNMENT, kern_gram_scratch(ROWS_MAX))};
    assert_true(matrix->values != nullptr && matrix->gram != nullptr &&
                matrix->expected != nullptr && matrix->scratch != nullptr);
}

static void matrix_deinit(struct matrix *matrix)
{
    free(matrix->values);
    free(matrix->gram);
    free(matrix->expected);
    free(matrix->scratch);
}

/* Rows of very different sizes at any alignment. */
static void matrix_fill(struct matrix *matrix, struct random *random, size_t n, size_t count)
{
    static const int exponents[] = {0, 0, -200, -10, 60, 127, -60, -130, -149, 0};
    for (size_t i = 0; i <= n; i++) {
        float *const row = matrix->values + i * ROOM + random_below(random, 8);
        const int exponent = exponents[random_below(random, 10)];
        if (i < n)
            matrix->rows[i] = row;
        for (size_t c = 0; c < count; c++)
            row[c] = ldexpf((float)random_below(random, 1 << 24) - 0x1p23f, exponent - 23);
    }
    for (size_t i = 0; i < n * n; i++)
        matrix->gram[i] = matrix->expected[i] = random_unit(random);
}

static void check_gram(const struct kern *kern, struct matrix *matrix, size_t n, size_t count,
                       const float *center)
{
    kern_find(KERN_REF)->gram(matrix->rows, center, n, count, matrix->expected, matrix->scratch);
    kern->gram(matrix->rows, center, n, count, matrix->gram, matrix->scratch);
    for (size_t i = 0; i < n * n; i++) {
        if (memcmp(&matrix->gram[i], &matrix->expected[i], sizeof(double)) != 0)
            fail_msg("%s n=%zu count=%zu at %zu,%zu: %a, the reference says %a", kern->name, n,
                     count, i / n, i % n, matrix->gram[i], matrix->expected[i]);
    }
}

static void gram_gives_the_reference_bits(void **state)
{
    struct random random;
    struct matrix matrix;
    random_init(&random, 1, 0, 0);
    matrix_init(&matrix);
    for (int isa = 1; isa < KERN_ISA_COUNT; isa++) {
        const struct kern *const kern = kern_find((enum kern_isa)isa);
        for (size_t n = 1; kern != nullptr && n <= ROWS_MAX; n += n < 40 ? 1 : 15) {
            const size_t count = random_below(&random, n > 40 ? 600 : COUNT_MAX + 1);
            matrix_fill(&matrix, &random, n, count);
            check_gram(kern, &matrix, n, count, nullptr);
            check_gram(kern, &matrix, n, count, matrix.values + n * ROOM);
        }
        for (size_t count = 0; kern != nullptr && count <= 80; count++) {
            const size_t n = 1 + count % 9;
            matrix_fill(&matrix, &random, n, count);
            check_gram(kern, &matrix, n, count, count % 2 ? matrix.rows[0] : nullptr);
        }
    }
    matrix_deinit(&matrix);
}

static void gram_is_what_long_double_says(void **state)
{
    struct random random;
    struct matrix matrix;
    random_init(&random, 2, 0, 0);
    matrix_init(&matrix);
    for (int isa = 0; isa < KERN_ISA_COUNT; isa++) {
        const struct kern *const kern = kern_find((enum kern_isa)isa);
        for (size_t n = 1; kern != nullptr && n < 20; n += 3) {
            matrix_fill(&matrix, &random, n, COUNT_MAX);
            memset(matrix.gram, 0, n * n * sizeof(double));
            kern->gram(matrix.rows, nullptr, n, COUNT_MAX, matrix.gram, matrix.scratch);
            for (size_t i = 0; i < n * n; i++) {
                long double sum = 0;
                long double x = 0;
                long double y = 0;
                for (size_t c = 0; c < COUNT_MAX; c++) {
                    const long double a = matrix.rows[i / n][c];
                    const long double b = matrix.rows[i % n][c];
                    sum += a * b;
                    x += a * a;
                    y += b * b;
                }
                if (i % n > i / n)
                    assert_true(matrix.gram[i] == 0);
                else
                    assert_true(fabsl((long double)matrix.gram[i] - sum) <= 1e-6L * sqrtl(x * y));
            }
        }
    }
    matrix_deinit(&matrix);
}

/* Small integers: exact, so that any slip of an index shows. */
static void gram_of_integers_is_exact_also_in_parts_and_around_a_center(void **state)
{
    struct random random;
    struct matrix matrix;
    random_init(&random, 3, 0, 0);
    matrix_init(&matrix);
    const size_t n = 29;
    matrix_fill(&matrix, &random, n, 0);
    for (size_t i = 0; i < n; i++) {
        for (size_t c = 0; c < COUNT_MAX; c++)
            matrix.values[(size_t)(matrix.rows[i] - matrix.values) + c] =
                (float)random_below(&random, 17) - 8;
    }
    for (int isa = 0; isa < KERN_ISA_COUNT; isa++) {
        const struct kern *const kern = kern_find((enum kern_isa)isa);
        for (size_t at = n; kern != nullptr && at-- > 0;) {
            const float *const center = at % 2 ? matrix.rows[at] : nullptr;
            const float *rest[ROWS_MAX];
            for (size_t i = 0; i < n; i++)
                rest[i] = matrix.rows[i] + KERN_PANEL_COLUMNS;
            memset(matrix.gram, 0, n * n * sizeof(double));
            kern->gram(matrix.rows, center, n, KERN_PANEL_COLUMNS, matrix.gram, matrix.scratch);
            kern->gram(rest, center != nullptr ? center + KERN_PANEL_COLUMNS : nullptr, n,
                       COUNT_MAX - KERN_PANEL_COLUMNS, matrix.gram, matrix.scratch);
            for (size_t i = 0; i < n * n; i++) {
                int64_t sum = 0;
                for (size_t c = 0; i % n <= i / n && c < COUNT_MAX; c++) {
                    const float origin = center != nullptr ? center[c] : 0;
                    sum += (int64_t)(matrix.rows[i / n][c] - origin) *
                           (int64_t)(matrix.rows[i % n][c] - origin);
                }
                assert_true(matrix.gram[i] == (double)sum);
            }
        }
    }
    matrix_deinit(&matrix);
}

static void distances_and_dots_give_the_reference_bits(void **state)
{
    struct random random;
    struct matrix matrix;
    const struct kern *const ref = kern_find(KERN_REF);
    random_init(&random, 4, 0, 0);
    matrix_init(&matrix);
    for (int isa = 1; isa < KERN_ISA_COUNT; isa++) {
        const struct kern *const kern = kern_find((enum kern_isa)isa);
        for (size_t count = 0; kern != nullptr && count < 300; count++) {
            matrix_fill(&matrix, &random, 2, count);
            const float *const x = matrix.rows[0];
            const float *const y = matrix.rows[1];
            const double distances[] = {ref->distance_squared(x, y, count),
                                        kern->distance_squared(x, y, count)};
            const double dots[] = {ref->dot(x, y, count), kern->dot(x, y, count)};
            assert_memory_equal(&distances[0], &distances[1], sizeof(double));
            assert_memory_equal(&dots[0], &dots[1], sizeof(double));
        }
    }
    matrix_deinit(&matrix);
}

/* x = i + 1, y = -1: sums of integers and squares in closed form. */
static void distances_and_dots_of_a_ramp_are_the_closed_forms(void **state)
{
    float x[100];
    float y[100];
    for (size_t i = 0; i < 100; i++) {
        x[i] = (float)(i + 1);
        y[i] = -1;
    }
    for (int isa = 0; isa < KERN_ISA_COUNT; isa++) {
        const struct kern *const kern = kern_find((enum kern_isa)isa);
        for (size_t n = 0; kern != nullptr && n <= 100; n++) {
            const size_t m = n + 1; /* 2^2 + ... + m^2 */
            assert_true(kern->dot(x, y, n) == -(double)(n * (n + 1) / 2));
            assert_true(kern->distance_squared(x, y, n) ==
                        (double)(m * (m + 1) * (2 * m + 1) / 6 - 1));
        }
    }
}

static void weighted_sums_give_the_reference_bits_and_are_right(void **state)
{
    struct random random;
    struct matrix matrix;
    random_init(&random, 5, 0, 0);
    matrix_init(&matrix);
    for (int isa = 0; isa < KERN_ISA_COUNT; isa++) {
        const struct kern *const kern = kern_find((enum kern_isa)isa);
        for (size_t count = 0; kern != nullptr && count < 200; count++) {
            const size_t n = random_below(&random, 40);
            double weights[ROWS_MAX];
            float expected[256] = {0};
            float ret[256] = {0};
            const size_t shift = random_below(&random, 8);
            matrix_fill(&matrix, &random, n, count);
            for (size_t i = 0; i < n; i++)
                weights[i] = random_below(&random, 8) ? random_unit(&random) - 0.5 : 0;
            kern_find(KERN_REF)->weighted_sum(matrix.rows, weights, n, count, expected + shift);
            kern->weighted_sum(matrix.rows, weights, n, count, ret + shift);
            assert_memory_equal(ret, expected, sizeof(ret));
            for (size_t c = 0; c < count; c++) {
                long double sum = 0;
                long double magnitude = 0;
                for (size_t i = 0; i < n; i++) {
                    sum += (long double)weights[i] * (long double)matrix.rows[i][c];
                    magnitude += fabsl((long double)weights[i] * (long double)matrix.rows[i][c]);
                }
                assert_true(fabsl((long double)ret[shift + c] - sum) <= 1e-7L * magnitude + 1e-45L);
            }
        }
    }
    matrix_deinit(&matrix);
}

/* Columns are taken in blocks of some thousands, rows eight, four, two and one at a time. */
static void weighted_sums_of_many_columns_give_the_reference_bits(void **state)
{
    enum { COUNT = 9001, N_MAX = 31 };
    static float values[COUNT + N_MAX];
    static float expected[COUNT];
    static float ret[COUNT];
    const float *rows[N_MAX];
    double weights[N_MAX];
    struct random random;
    random_init(&random, 6, 0, 0);
    for (size_t i = 0; i < COUNT + N_MAX; i++)
        values[i] = (float)random_normal(&random);
    for (size_t i = 0; i < N_MAX; i++) {
        rows[i] = values + i;
        weights[i] = random_unit(&random);
    }
    for (int isa = 1; isa < KERN_ISA_COUNT; isa++) {
        const struct kern *const kern = kern_find((enum kern_isa)isa);
        for (size_t n = 0; kern != nullptr && n <= N_MAX; n++) {
            const size_t count = COUNT - n;
            kern_find(KERN_REF)->weighted_sum(rows, weights, n, count, expected);
            kern->weighted_sum(rows, weights, n, count, ret);
            assert_memory_equal(ret, expected, count * sizeof(float));
        }
    }
}

/* Every array ends where its allocation ends, so that a sanitizer sees every access past it. */
static void no_sum_touches_more_than_its_arrays(void **state)
{
    for (int isa = 0; isa < KERN_ISA_COUNT; isa++) {
        const struct kern *const kern = kern_find((enum kern_isa)isa);
        for (size_t count = 1; kern != nullptr && count < 60; count++) {
            const size_t n = 1 + count % 15;
            float *const values = calloc(count, sizeof(float));
            float *const ret = calloc(count, sizeof(float));
            double *const gram = calloc(n * n, sizeof(double));
            void *const scratch = aligned_alloc(KERN_SCRATCH_ALIGNMENT, kern_gram_scratch(n));
            const float *rows[16];
            const double weights[16] = {0};
            assert_int_equal(kern_gram_scratch(n) % KERN_SCRATCH_ALIGNMENT, 0);
            for (size_t i = 0; i < n; i++)
                rows[i] = values;
            kern->gram(rows, values, n, count, gram, scratch);
            assert_true(gram[n * n - 1] == 0);
            assert_true(kern->dot(values, values, count) == 0);
            assert_true(kern->distance_squared(values, values, count) == 0);
            kern->weighted_sum(rows, weights, n, count, ret);
            free(values);
            free(ret);
            free(gram);
            free(scratch);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gram_is_what_long_double_says),
        cmocka_unit_test(gram_of_integers_is_exact_also_in_parts_and_around_a_center),
        cmocka_unit_test(gram_gives_the_reference_bits),
        cmocka_unit_test(distances_and_dots_of_a_ramp_are_the_closed_forms),
        cmocka_unit_test(distances_and_dots_give_the_reference_bits),
        cmocka_unit_test(weighted_sums_give_the_reference_bits_and_are_right),
        cmocka_unit_test(weighted_sums_of_many_columns_give_the_reference_bits),
        cmocka_unit_test(no_sum_touches_more_than_its_arrays),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}

/*
 * kern_rows_test.c - the kernels over rows: the reference against what the C library's qsort and
 * long double say, and every instruction set against the reference.
 *
 * Method of the checker: all numbers of rows from 1 to 70 and some larger ones, all widths from 1
 * to 130, every alignment; a column each of the kinds below, shuffled; guards around what is
 * written. Bit for bit.
 */
#include "base/random.h"
#include "kern/kern.h"

#include "testing.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    ROWS_MAX = 1100,
    COUNT_MAX = 130,
    ALIGNMENTS = 8,
    GUARDS = 16,
    ROOM = COUNT_MAX + ALIGNMENTS + GUARDS,
};

static const size_t row_counts[] = {71,  95,  96,  97,  100, 112, 113, 127, 128, 129,  130, 160,
                                    191, 192, 193, 255, 256, 257, 300, 511, 513, 1000, 1001};

/* What columns hold. */
enum kind {
    NORMAL,
    DENORMAL,
    ZEROS,
    FEW_VALUES,
    EQUAL,
    RISING,
    FALLING,
    ONE_HUGE,
    ANY_EXPONENT,
    TWO_CROWDS,
    MOSTLY_ZERO,
    LARGEST,
    NEIGHBOURS,
    FAR_FROM_ZERO,
    LEAST, /* means that round to zero from below */
    KIND_COUNT,
};

struct matrix {
    float *values;
    const float *rows[ROWS_MAX];
    float expected[ROOM];
    float ret[ROOM];
    void *scratch;
    size_t n;
};

static float from_bits(uint32_t bits)
{
    float value = 0;
    memcpy(&value, &bits, sizeof(value));
    return value;
}

static float value_of(struct random *random, enum kind kind, size_t row)
{
    const float sign = random_below(random, 2) ? 1.0f : -1.0f;
    switch (kind) {
    case NORMAL:
        return (float)random_normal(random);
    case DENORMAL:
        return sign * from_bits((uint32_t)random_below(random, 1 << 24));
    case ZEROS:
        return sign * 0.0f;
    case FEW_VALUES:
        return sign * (float)random_below(random, 4);
    case EQUAL:
        return 0.7f;
    case RISING:
        return (float)row - 20.5f;
    case FALLING:
        return 20.25f - (float)row;
    case ONE_HUGE:
        return row == 1 ? 1e30f : row == 4 ? -FLT_MAX : (float)random_normal(random);
    case ANY_EXPONENT:
        return sign * from_bits((uint32_t)random_below(random, 0x7f800000));
    case TWO_CROWDS:
        return sign * 1000 + (float)random_normal(random);
    case MOSTLY_ZERO:
        return random_below(random, 8) ? sign * 0.0f : (float)random_normal(random);
    case LARGEST:
        return sign * FLT_MAX;
    case NEIGHBOURS:
        return from_bits(0x3f800000 + (uint32_t)random_below(random, 64));
    case FAR_FROM_ZERO:
        return 1e6f + (float)random_normal(random) * 1e-1f;
    case LEAST:
        return sign * from_bits((uint32_t)random_below(random, 2));
    case KIND_COUNT:
        break;
    }
    return 0;
}

static void matrix_init(struct matrix *matrix)
{
    const size_t size = kern_select_scratch(ROWS_MAX) + kern_gram_scratch(ROWS_MAX);
    *matrix = (struct matrix){.values = calloc(ROWS_MAX * ROOM, sizeof(float)),
                              .scratch = aligned_alloc(KERN_SCRATCH_ALIGNMENT, size)};
    assert_non_null(matrix->values);
    assert_non_null(matrix->scratch);
}

static void matrix_deinit(struct matrix *matrix)
{
    free(matrix->values);
    free(matrix->scratch);
}

/* n rows of count columns, each of a kind; rows at unequal alignments. */
static void matrix_fill(struct matrix *matrix, struct random *random, size_t n, size_t count)
{
    matrix->n = n;
    for (size_t i = 0; i < n; i++)
        matrix->rows[i] = matrix->values + i * ROOM + random_below(random, ALIGNMENTS);
    for (size_t c = 0; c < count; c++) {
        const enum kind kind = (enum kind)random_below(random, KIND_COUNT);
        for (size_t i = 0; i < n; i++) /* the rows are this test's own */
            matrix->values[(size_t)(matrix->rows[i] - matrix->values) + c] =
                value_of(random, kind, i);
    }
    for (size_t i = 0; i < ROOM; i++)
        matrix->expected[i] = matrix->ret[i] = (float)i;
}

static void assert_same_bits(const struct matrix *matrix, const char *isa, const char *kernel,
                             size_t parameter, size_t count)
{
    if (memcmp(matrix->expected, matrix->ret, sizeof(matrix->ret)) == 0)
        return;
    for (size_t i = 0; i < ROOM; i++) {
        if (memcmp(&matrix->expected[i], &matrix->ret[i], sizeof(float)) != 0)
            fail_msg("%s %s n=%zu parameter=%zu count=%zu at %zu: %a, the reference says %a", isa,
                     kernel, matrix->n, parameter, count, i, (double)matrix->ret[i],
                     (double)matrix->expected[i]);
    }
}

/* One call of each of the three, with ret at any alignment. */
static void check_selections(const struct kern *kern, struct matrix *matrix, struct random *random,
                             size_t count)
{
    const struct kern *const ref = kern_find(KERN_REF);
    const size_t n = matrix->n;
    const size_t shift = random_below(random, ALIGNMENTS);
    ref->median(matrix->rows, n, count, matrix->expected + shift, matrix->scratch);
    kern->median(matrix->rows, n, count, matrix->ret + shift, matrix->scratch);
    assert_same_bits(matrix, kern->name, "median", 0, count);
    const size_t trims[] = {0, (n - 1) / 2, n / 4, random_below(random, (n + 1) / 2)};
    for (size_t i = 0; i < 4; i++) {
        ref->trimmed_mean(matrix->rows, n, count, trims[i], matrix->expected + shift,
                          matrix->scratch);
        kern->trimmed_mean(matrix->rows, n, count, trims[i], matrix->ret + shift, matrix->scratch);
        assert_same_bits(matrix, kern->name, "trimmed_mean", trims[i], count);
    }
    const size_t keeps[] = {1, n, n / 2 + 1, 1 + random_below(random, n)};
    for (size_t i = 0; i < 4; i++) {
        ref->nearest_mean(matrix->rows, n, count, keeps[i], matrix->expected + shift,
                          matrix->scratch);
        kern->nearest_mean(matrix->rows, n, count, keeps[i], matrix->ret + shift, matrix->scratch);
        assert_same_bits(matrix, kern->name, "nearest_mean", keeps[i], count);
    }
}

static void selections_give_the_reference_bits_for_any_number_of_rows(void **state)
{
    struct random random;
    struct matrix matrix;
    random_init(&random, 1, 0, 0);
    matrix_init(&matrix);
    for (int isa = 1; isa < KERN_ISA_COUNT; isa++) {
        const struct kern *const kern = kern_find((enum kern_isa)isa);
        for (size_t n = 1; kern != nullptr && n <= 70; n++) {
            matrix_fill(&matrix, &random, n, COUNT_MAX);
            check_selections(kern, &matrix, &random, 100 + random_below(&random, 31));
        }
        for (size_t i = 0; kern != nullptr && i < sizeof(row_counts) / sizeof(row_counts[0]); i++) {
            matrix_fill(&matrix, &random, row_counts[i], COUNT_MAX);
            check_selections(kern, &matrix, &random, 40 + random_below(&random, 30));
        }
    }
    matrix_deinit(&matrix);
}

static void selections_give_the_reference_bits_at_every_width(void **state)
{
    static const size_t n_values[] = {1, 2, 7, 16, 25, 150};
    struct random random;
    struct matrix matrix;
    random_init(&random, 2, 0, 0);
    matrix_init(&matrix);
    for (int isa = 1; isa < KERN_ISA_COUNT; isa++) {
        const struct kern *const kern = kern_find((enum kern_isa)isa);
        for (size_t count = 0; kern != nullptr && count <= COUNT_MAX; count++) {
            const size_t n = n_values[count % (sizeof(n_values) / sizeof(n_values[0]))];
            matrix_fill(&matrix, &random, n, count);
            check_selections(kern, &matrix, &random, count);
        }
    }
    matrix_deinit(&matrix);
}

struct oracle {
    float values[ROWS_MAX];
    float distances[ROWS_MAX];
    size_t order[ROWS_MAX];
    size_t n;
};

static struct oracle oracle;

static int by_value(const void *a, const void *b)
{
    const float x = *(const float *)a;
    const float y = *(const float *)b;
    return (x > y) - (x < y);
}

static int by_distance_then_row(const void *a, const void *b)
{
    const size_t i = *(const size_t *)a;
    const size_t j = *(const size_t *)b;
    const float x = oracle.distances[i];
    const float y = oracle.distances[j];
    return x != y ? (x > y) - (x < y) : (i > j) - (i < j);
}

static void oracle_load(const struct matrix *matrix, size_t column)
{
    oracle.n = matrix->n;
    for (size_t i = 0; i < matrix->n; i++)
        oracle.values[i] = matrix->rows[i][column];
    qsort(oracle.values, matrix->n, sizeof(float), by_value);
}

static void assert_near(const char *what, size_t n, float value, long double expected,
                        long double magnitude)
{
    if (fabsl((long double)value - expected) > magnitude * 1.2e-7L + 1.5e-45L ||
        (value == 0 && signbit(value)))
        fail_msg("%s of %zu: %a, expected %La", what, n, (double)value, expected);
}

static void check_column(const struct matrix *matrix, size_t column, const float *median,
                         const float *trimmed, size_t trim, const float *nearest, size_t keep)
{
    const size_t n = matrix->n;
    oracle_load(matrix, column);
    const long double low = oracle.values[(n - 1) / 2];
    const long double high = oracle.values[n / 2];
    const float middle = (float)((low + high) / 2);
    assert_true(median[column] == middle);
    assert_true(middle != 0 || !signbit(median[column]));
    long double sum = 0;
    long double magnitude = 0;
    for (size_t i = trim; i < n - trim; i++) {
        sum += (long double)oracle.values[i];
        magnitude = fmaxl(magnitude, fabsl((long double)oracle.values[i]));
    }
    assert_near("trimmed mean", n, trimmed[column], sum / (long double)(n - 2 * trim), magnitude);
    for (size_t i = 0; i < n; i++) {
        oracle.order[i] = i;
        oracle.distances[i] = fabsf(matrix->rows[i][column] - middle);
    }
    qsort(oracle.order, n, sizeof(*oracle.order), by_distance_then_row);
    sum = magnitude = 0;
    for (size_t i = 0; i < keep; i++) {
        const long double x = matrix->rows[oracle.order[i]][column];
        sum += x;
        magnitude = fmaxl(magnitude, fabsl(x));
    }
    assert_near("nearest mean", n, nearest[column], sum / (long double)keep, magnitude);
}

static void selections_agree_with_sorting(void **state)
{
    struct random random;
    struct matrix matrix;
    random_init(&random, 3, 0, 0);
    matrix_init(&matrix);
    for (int isa = 0; isa < KERN_ISA_COUNT; isa++) {
        const struct kern *const kern = kern_find((enum kern_isa)isa);
        for (size_t n = 1; kern != nullptr && n <= 300; n += n < 70 ? 1 : 37) {
            float trimmed[COUNT_MAX];
            float nearest[COUNT_MAX];
            const size_t count = 3 * KIND_COUNT;
            const size_t trim = random_below(&random, (n + 1) / 2);
            const size_t keep = 1 + random_below(&random, n);
            matrix_fill(&matrix, &random, n, count);
            kern->median(matrix.rows, n, count, matrix.ret, matrix.scratch);
            kern->trimmed_mean(matrix.rows, n, count, trim, trimmed, matrix.scratch);
            kern->nearest_mean(matrix.rows, n, count, keep, nearest, matrix.scratch);
            for (size_t c = 0; c < count; c++)
                check_column(&matrix, c, matrix.ret, trimmed, trim, nearest, keep);
        }
    }
    matrix_deinit(&matrix);
}

/* Ties in distance: of 1, 3 (twice) and 5 around 3, two places are left for 1 and 5. */
static void nearest_mean_takes_the_lowest_rows_of_equal_distances(void **state)
{
    static const float values[] = {5, 3, 1, 3, 1};
    const float *rows[5];
    alignas(KERN_SCRATCH_ALIGNMENT) static char scratch[1 << 16];
    assert_true(kern_select_scratch(5) <= sizeof(scratch));
    for (size_t i = 0; i < 5; i++)
        rows[i] = &values[i];
    for (int isa = 0; isa < KERN_ISA_COUNT; isa++) {
        const struct kern *const kern = kern_find((enum kern_isa)isa);
        static const float expected[] = {3, 3, 11.0f / 3, 3, 13.0f / 5};
        for (size_t keep = 1; kern != nullptr && keep <= 5; keep++) {
            float ret = 0;
            kern->nearest_mean(rows, 5, 1, keep, &ret, scratch);
            assert_true(ret == expected[keep - 1]);
        }
    }
}

/* Rows, the result and the scratch end where their allocations end: a sanitizer sees any more. */
static void no_selection_touches_more_than_its_arrays(void **state)
{
    static const size_t n_values[] = {1, 3, 16, 17, 33, 100, 128, 129, 200};
    for (int isa = 0; isa < KERN_ISA_COUNT; isa++) {
        const struct kern *const kern = kern_find((enum kern_isa)isa);
        for (size_t k = 0; kern != nullptr && k < sizeof(n_values) / sizeof(n_values[0]); k++) {
            const size_t n = n_values[k];
            void *const scratch = aligned_alloc(KERN_SCRATCH_ALIGNMENT, kern_select_scratch(n));
            const float *rows[200];
            assert_int_equal(kern_select_scratch(n) % KERN_SCRATCH_ALIGNMENT, 0);
            for (size_t count = 1; count < 80; count += 3) {
                float *const ret = calloc(count, sizeof(float));
                for (size_t i = 0; i < n; i++)
                    rows[i] = calloc(count, sizeof(float));
                kern->median(rows, n, count, ret, scratch);
                kern->trimmed_mean(rows, n, count, (n - 1) / 2, ret, scratch);
                kern->nearest_mean(rows, n, count, n, ret, scratch);
                for (size_t i = 0; i < n; i++)
                    free((void *)(uintptr_t)rows[i]);
                free(ret);
            }
            free(scratch);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(selections_agree_with_sorting),
        cmocka_unit_test(nearest_mean_takes_the_lowest_rows_of_equal_distances),
        cmocka_unit_test(selections_give_the_reference_bits_for_any_number_of_rows),
        cmocka_unit_test(selections_give_the_reference_bits_at_every_width),
        cmocka_unit_test(no_selection_touches_more_than_its_arrays),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}

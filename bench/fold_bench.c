/*
 * fold_bench.c - what folding an update into the exact accumulator costs, beside what the machine
 * can copy. Arguments: parameters (default 10000000), runs (default 9).
 *
 * Medians. GB/s counts what is read and written: 36 bytes a parameter for a fold (4 of the update,
 * 16 of the sum each way), 4 for a check; a copy counts both ways too.
 */
#include "base/check.h"
#include "kern/kern.h"
#include "robust/accumulator.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { RUNS_MAX = 99, TILE = 16384 };

struct data {
    float *x;
    uint64_t *lo;
    int64_t *hi;
    uint8_t *from;
    uint8_t *to;
    struct accumulator *accumulator;
    size_t n;
};

static double now_seconds(void)
{
    struct timespec time = {0};
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

static int compare(const void *a, const void *b)
{
    const double x = *(const double *)a;
    const double y = *(const double *)b;
    return (x > y) - (x < y);
}

static void report(const char *name, const struct data *data, double bytes_each, int runs,
                   void (*work)(const struct kern *kern, const struct data *data),
                   const struct kern *kern)
{
    double seconds[RUNS_MAX];
    work(kern, data);
    for (int i = 0; i < runs; i++) {
        const double start = now_seconds();
        work(kern, data);
        seconds[i] = now_seconds() - start;
    }
    qsort(seconds, (size_t)runs, sizeof(*seconds), compare);
    const double median = seconds[runs / 2];
    printf("%-28s %-5s %8.2f ms  %6.3f ns a parameter  %6.2f GB/s\n", name,
           kern != nullptr ? kern->name : "", median * 1e3, median * 1e9 / (double)data->n,
           bytes_each * (double)data->n / median * 1e-9);
}

static void copy(const struct kern *kern, const struct data *data)
{
    memcpy(data->to, data->from, data->n * 16);
}

static void fold(const struct kern *kern, const struct data *data)
{
    kern->fold(data->lo, data->hi, data->x, data->n, 0x1p52, 600 * 256);
}

/* The same number of parameters, but sums that stay in the cache: what the arithmetic alone costs.
 */
static void fold_in_cache(const struct kern *kern, const struct data *data)
{
    for (size_t at = 0; at < data->n; at += TILE) {
        const size_t n = data->n - at < TILE ? data->n - at : TILE;
        kern->fold(data->lo, data->hi, data->x + at, n, 0x1p52, 600 * 256);
    }
}

static void norm(const struct kern *kern, const struct data *data)
{
    double norm_squared = 0;
    CHECK(kern->check_finite_and_norm(data->x, data->n, &norm_squared));
}

static void accumulator_add(const struct kern *kern, const struct data *data)
{
    CHECK(accumulator_fold(data->accumulator, data->x, 600 * 256, nullptr) == STATUS_OK);
}

static void finish(const struct kern *kern, const struct data *data)
{
    CHECK(accumulator_finish_f32(data->accumulator, (float *)(void *)data->to) == STATUS_OK);
}

int main(int argc, char **argv)
{
    const size_t n = argc > 1 ? strtoul(argv[1], nullptr, 10) : 10000000;
    const int runs = argc > 2 ? (int)strtol(argv[2], nullptr, 10) : 9;
    CHECK(n > 0 && n < (size_t)1 << 32 && runs >= 1 && runs <= RUNS_MAX);
    struct data data = {.x = malloc(n * sizeof(*data.x)),
                        .lo = calloc(n + TILE, sizeof(*data.lo)),
                        .hi = calloc(n + TILE, sizeof(*data.hi)),
                        .from = malloc(n * 16),
                        .to = malloc(n * 16),
                        .n = n};
    CHECK(data.x != nullptr && data.lo != nullptr && data.hi != nullptr && data.from != nullptr &&
          data.to != nullptr);
    for (size_t i = 0; i < n; i++)
        data.x[i] = sinf((float)i) * 1e-3f;
    memset(data.from, 1, n * 16);
    CHECK(accumulator_create(n, grid_from_norm_max(1000), &data.accumulator) == STATUS_OK);
    printf("%zu parameters, median of %d runs, one thread\n", n, runs);
    report("copy of 16 bytes each", &data, 32, runs, copy, nullptr);
    for (int isa = 0; isa < KERN_ISA_COUNT; isa++) {
        const struct kern *const kern = kern_find((enum kern_isa)isa);
        if (kern == nullptr)
            continue;
        report("fold", &data, 36, runs, fold, kern);
        report("fold, sums in the cache", &data, 4, runs, fold_in_cache, kern);
        report("finite and norm", &data, 4, runs, norm, kern);
    }
    report("accumulator: check and fold", &data, 36, runs, accumulator_add, kern_get());
    report("accumulator: mean as f32", &data, 20, runs, finish, kern_get());
    accumulator_destroy(data.accumulator);
    free(data.x);
    free(data.lo);
    free(data.hi);
    free(data.from);
    free(data.to);
    return 0;
}

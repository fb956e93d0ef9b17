/*
 * rules_bench.c - what whole rules cost beside the inner products that all rules on distances need.
 *
 * Arguments: nodes and parameters (default: 100 1000000), then threads (default 2), then runs
 * (default 3), then the one rule to time. 30 % of the nodes lie, in each of three ways: not at all
 * (normal values like everybody's), ten times too long, and towards a point of their own. Krum
 * stands for the inner products: what it does with them costs next to nothing. It runs before each
 * rule, so that both meet the same load; times are the least over runs.
 */
#include "base/check.h"
#include "base/random.h"
#include "robust/robust.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { RUNS_MAX = 99 };

enum lie { LIE_NONE, LIE_LONG, LIE_ASIDE, LIE_COUNT };

struct bench {
    float *values; /* f32[n * d] */
    float *ret;
    struct robust_report report;
    uint64_t n;
    uint64_t d;
    uint32_t threads;
};

static double now_seconds(void)
{
    struct timespec time = {0};
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

/* Sums of four uniform values: near enough to normal ones, and quick to make. */
static float draw(struct random *random)
{
    const uint64_t bits = random_u64(random);
    float sum = 0;
    for (int shift = 0; shift < 64; shift += 16)
        sum += (float)(bits >> shift & 0xffff);
    return (sum - 131070) * 0x1p-16f;
}

static void fill(struct bench *bench, enum lie lie)
{
    const uint64_t liars = bench->n * 3 / 10;
    for (uint64_t i = 0; i < bench->n; i++) {
        struct random random;
        random_init(&random, 1, i, (uint64_t)lie);
        float *const row = bench->values + i * bench->d;
        for (uint64_t k = 0; k < bench->d; k++) {
            row[k] = draw(&random) + 0.1f;
            if (i < liars && lie == LIE_LONG)
                row[k] *= 10;
            else if (i < liars && lie == LIE_ASIDE)
                row[k] -= 0.3f;
        }
    }
}

static double run_once(struct bench *bench, const char *name)
{
    struct recipe recipe = {0};
    size_t size = 0;
    struct error err = {0};
    const struct strided_rows rows = {bench->values, (ptrdiff_t)bench->d, 1};
    const struct update_matrix matrix = update_matrix_strided(&rows, bench->n, bench->d);
    CHECK(recipe_set_rule(&recipe, name, nullptr) == STATUS_OK);
    CHECK(robust_workspace_size(&recipe, bench->n, bench->d, bench->threads, &size, &err) ==
          STATUS_OK);
    void *const workspace = malloc(size);
    CHECK(workspace != nullptr);
    memset(workspace, 0, size);
    const double start = now_seconds();
    CHECK(robust_aggregate(&recipe, &matrix, bench->threads, workspace, size, bench->ret,
                           &bench->report, &err) == STATUS_OK);
    const double seconds = now_seconds() - start;
    free(workspace);
    return seconds;
}

static void time_rule(struct bench *bench, const char *name, const char *lie, int runs)
{
    double least = 1e9;
    double least_krum = 1e9;
    for (int run = 0; run < runs; run++) {
        const double krum = run_once(bench, "krum");
        const double rule = run_once(bench, name);
        least_krum = krum < least_krum ? krum : least_krum;
        least = rule < least ? rule : least;
    }
    printf("%-18s n=%-5llu d=%-8llu threads=%u liars: %-5s  %9.1f ms, krum %9.1f ms: %5.2f times\n",
           name, (unsigned long long)bench->n, (unsigned long long)bench->d, bench->threads, lie,
           least * 1e3, least_krum * 1e3, least / least_krum);
    fflush(stdout);
}

int main(int argc, char **argv)
{
    static const char *const rules[] = {
        "multi_krum", "geometric_median", "centered_clipping", "caf", "dnc", "filter"};
    static const char *const lies[LIE_COUNT] = {"none", "long", "aside"};
    const int runs = argc > 4 ? (int)strtol(argv[4], nullptr, 10) : 3;
    struct bench bench = {
        .n = argc > 2 ? strtoul(argv[1], nullptr, 10) : 100,
        .d = argc > 2 ? strtoul(argv[2], nullptr, 10) : 1000000,
        .threads = argc > 3 ? (uint32_t)strtoul(argv[3], nullptr, 10) : 2,
    };
    CHECK(bench.n >= 10 && bench.n <= ROBUST_ROWS_MAX && bench.d >= 1 && runs >= 1 &&
          runs <= RUNS_MAX);
    bench.values = malloc(bench.n * bench.d * sizeof(float));
    bench.ret = malloc(bench.d * sizeof(float));
    bench.report.weights = malloc(bench.n * sizeof(double));
    bench.report.is_selected = malloc(bench.n * sizeof(bool));
    bench.report.suspects = malloc(bench.n * sizeof(struct suspect));
    CHECK(bench.values != nullptr && bench.ret != nullptr && bench.report.weights != nullptr &&
          bench.report.is_selected != nullptr && bench.report.suspects != nullptr);
    for (int lie = 0; lie < LIE_COUNT; lie++) {
        fill(&bench, (enum lie)lie);
        for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++) {
            if (argc <= 5 || strcmp(argv[5], rules[i]) == 0)
                time_rule(&bench, rules[i], lies[lie], runs);
        }
    }
    free(bench.values);
    free(bench.ret);
    free(bench.report.weights);
    free(bench.report.is_selected);
    free(bench.report.suspects);
    return 0;
}

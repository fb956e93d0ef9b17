/*
 * aggregate_bench.c - what the kernels over rows cost, beside what this machine can read.
 *
 * Arguments: nodes and parameters (default: 10 1000000, 100 1000000 and 1000 100000 in turn), then
 * threads (default 2), then runs (default 5), then the one kernel to time. Times are medians over
 * runs; cpu is the mean of what all threads used. Values are normal. GB/s counts each value of the
 * matrix once; "of reading" is that beside a sum over the same matrix, a row at a time, by as many
 * threads: 100 % is what no kernel that reads all can exceed.
 *
 * Columns are given to threads in stretches of fixed length, as robust/ does; the Gram matrix of
 * each stretch is added to the whole in order, so that the result does not depend on threads.
 */
#include "base/check.h"
#include "base/random.h"
#include "kern/kern.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

enum {
    RUNS_MAX = 99,
    THREADS_MAX = 64,
    STRETCH = 16384,
    GRAM_STRETCH = 16 * KERN_PANEL_COLUMNS,
    HUGE_PAGE = 2 << 20
};

struct task {
    const struct kern *kern;
    const float **rows;
    float *ret;
    double *weights;
    double *gram;
    size_t n;
    size_t count;
    size_t stretch;
    atomic_size_t next;
    pthread_mutex_t mutex;
    pthread_cond_t added;
    size_t added_upto;
    double sum;
    void (*work)(struct task *task, size_t first, size_t count, const float **rows, void *scratch);
};

static double now_seconds(void)
{
    struct timespec time = {0};
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

/* Of all threads. */
static double cpu_seconds(void)
{
    struct timespec time = {0};
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

static int compare(const void *a, const void *b)
{
    const double x = *(const double *)a;
    const double y = *(const double *)b;
    return (x > y) - (x < y);
}

static void *run_thread(void *argument)
{
    struct task *const task = argument;
    const float **const rows = malloc(task->n * sizeof(*rows));
    const size_t gram_size = kern_gram_scratch(task->n);
    const size_t select_size = kern_select_scratch(task->n);
    void *const scratch =
        aligned_alloc(KERN_SCRATCH_ALIGNMENT, gram_size > select_size ? gram_size : select_size);
    CHECK(rows != nullptr && scratch != nullptr);
    for (;;) {
        const size_t first = atomic_fetch_add(&task->next, task->stretch);
        if (first >= task->count)
            break;
        const size_t left = task->count - first;
        for (size_t i = 0; i < task->n; i++)
            rows[i] = task->rows[i] + first;
        task->work(task, first, left < task->stretch ? left : task->stretch, rows, scratch);
    }
    free(rows);
    free(scratch);
    return nullptr;
}

static double run_once(struct task *task, int threads)
{
    pthread_t ids[THREADS_MAX];
    const double start = now_seconds();
    atomic_store(&task->next, 0);
    task->added_upto = 0;
    for (int i = 1; i < threads; i++)
        CHECK(pthread_create(&ids[i], nullptr, run_thread, task) == 0);
    run_thread(task);
    for (int i = 1; i < threads; i++)
        CHECK(pthread_join(ids[i], nullptr) == 0);
    return now_seconds() - start;
}

static void add_sum(struct task *task, double sum)
{
    CHECK(pthread_mutex_lock(&task->mutex) == 0);
    task->sum += sum;
    CHECK(pthread_mutex_unlock(&task->mutex) == 0);
}

static void work_read(struct task *task, size_t first, size_t count, const float **rows,
                      void *scratch)
{
    uint32_t largest = 0; /* the least work that looks at every value */
    for (size_t i = 0; i < task->n; i++)
        largest |= task->kern->abs_max_bits(rows[i], count);
    add_sum(task, largest);
}

static void work_weighted_sum(struct task *task, size_t first, size_t count, const float **rows,
                              void *scratch)
{
    task->kern->weighted_sum(rows, task->weights, task->n, count, task->ret + first);
}

static void work_median(struct task *task, size_t first, size_t count, const float **rows,
                        void *scratch)
{
    task->kern->median(rows, task->n, count, task->ret + first, scratch);
}

static void work_trimmed_mean(struct task *task, size_t first, size_t count, const float **rows,
                              void *scratch)
{
    task->kern->trimmed_mean(rows, task->n, count, task->n * 3 / 10, task->ret + first, scratch);
}

static void work_nearest_mean(struct task *task, size_t first, size_t count, const float **rows,
                              void *scratch)
{
    task->kern->nearest_mean(rows, task->n, count, task->n - task->n * 3 / 10, task->ret + first,
                             scratch);
}

static void work_gram(struct task *task, size_t first, size_t count, const float **rows,
                      void *scratch)
{
    const size_t n = task->n;
    double *const gram = calloc(n * n, sizeof(*gram));
    CHECK(gram != nullptr);
    task->kern->gram(rows, nullptr, n, count, gram, scratch);
    CHECK(pthread_mutex_lock(&task->mutex) == 0);
    while (task->added_upto != first)
        CHECK(pthread_cond_wait(&task->added, &task->mutex) == 0);
    for (size_t i = 0; i < n * n; i++)
        task->gram[i] += gram[i];
    task->added_upto = first + count;
    CHECK(pthread_cond_broadcast(&task->added) == 0);
    CHECK(pthread_mutex_unlock(&task->mutex) == 0);
    free(gram);
}

static double report(struct task *task, const char *name, size_t stretch, int threads, int runs,
                     double read_seconds,
                     void (*work)(struct task *, size_t, size_t, const float **, void *))
{
    double seconds[RUNS_MAX];
    task->work = work;
    task->stretch = stretch;
    (void)run_once(task, threads);
    const double cpu = cpu_seconds();
    for (int i = 0; i < runs; i++)
        seconds[i] = run_once(task, threads);
    const double cpu_each = (cpu_seconds() - cpu) / (double)runs;
    qsort(seconds, (size_t)runs, sizeof(*seconds), compare);
    const double median = seconds[runs / 2];
    const double bytes = (double)task->n * (double)task->count * sizeof(float);
    printf("%-14s %-5s n=%-5zu d=%-8zu threads=%d  %9.2f ms (least %9.2f, cpu %9.2f)  %6.2f GB/s  "
           "%5.1f %% of "
           "reading\n",
           name, task->kern->name, task->n, task->count, threads, median * 1e3, seconds[0] * 1e3,
           cpu_each * 1e3, bytes / median * 1e-9,
           100 * (read_seconds > 0 ? read_seconds / median : 1));
    return median;
}

static void run_size(size_t n, size_t count, int threads, int runs, const char *only)
{
    const size_t size = (n * count * sizeof(float) + HUGE_PAGE - 1) / HUGE_PAGE * HUGE_PAGE;
    float *const values = aligned_alloc(HUGE_PAGE, size);
    struct task task = {
        .kern = kern_get(),
        .rows = malloc(n * sizeof(*task.rows)),
        .ret = malloc(count * sizeof(*task.ret)),
        .weights = malloc(n * sizeof(*task.weights)),
        .gram = calloc(n * n, sizeof(*task.gram)),
        .n = n,
        .count = count,
        .mutex = PTHREAD_MUTEX_INITIALIZER,
        .added = PTHREAD_COND_INITIALIZER,
    };
    CHECK(values != nullptr && task.rows != nullptr && task.ret != nullptr &&
          task.weights != nullptr && task.gram != nullptr);
    (void)madvise(values, size, MADV_HUGEPAGE); /* as numpy does with its own arrays */
    struct random random;
    random_init(&random, 1, 0, 0);
    for (size_t i = 0; i < n; i++) {
        task.rows[i] = values + i * count;
        task.weights[i] = 1.0 / (double)n;
        for (size_t c = 0; c < count; c++)
            values[i * count + c] = (float)random_normal(&random);
    }
    const double reading = report(&task, "reading", STRETCH, threads, runs, 0, work_read);
    static const struct {
        const char *name;
        size_t stretch;
        void (*work)(struct task *, size_t, size_t, const float **, void *);
    } kernels[] = {
        {"weighted_sum", STRETCH, work_weighted_sum},
        {"median", STRETCH, work_median},
        {"trimmed_mean", STRETCH, work_trimmed_mean},
        {"nearest_mean", STRETCH, work_nearest_mean},
        {"gram", GRAM_STRETCH, work_gram},
    };
    for (size_t i = 0; i < sizeof(kernels) / sizeof(kernels[0]); i++) {
        if (only == nullptr || strcmp(only, kernels[i].name) == 0)
            (void)report(&task, kernels[i].name, kernels[i].stretch, threads, runs, reading,
                         kernels[i].work);
    }
    free(values);
    free(task.rows);
    free(task.ret);
    free(task.weights);
    free(task.gram);
}

int main(int argc, char **argv)
{
    static const size_t sizes[][2] = {{10, 1000000}, {100, 1000000}, {1000, 100000}};
    const size_t n = argc > 2 ? strtoul(argv[1], nullptr, 10) : 0;
    const size_t count = argc > 2 ? strtoul(argv[2], nullptr, 10) : 0;
    const int threads = argc > 3 ? (int)strtol(argv[3], nullptr, 10) : 2;
    const int runs = argc > 4 ? (int)strtol(argv[4], nullptr, 10) : 5;
    CHECK(threads >= 1 && threads <= THREADS_MAX && runs >= 1 && runs <= RUNS_MAX);
    CHECK(n <= KERN_ROWS_MAX && (n == 0) == (count == 0));
    for (size_t i = 0; n == 0 && i < sizeof(sizes) / sizeof(sizes[0]); i++)
        run_size(sizes[i][0], sizes[i][1], threads, runs, nullptr);
    if (n > 0)
        run_size(n, count, threads, runs, argc > 5 ? argv[5] : nullptr);
    return 0;
}

/*
 * aggregate.c - aggregates a file's rows; by itself only the mean, in two passes over the file: the
 * largest norm, which gives the grid, then the exact sums, tile by tile. Other rules: robust.c.
 *
 * Threads take rows in the first pass and tiles in the second. What each does is exact or in a
 * fixed order, so the result does not depend on who does it.
 */
#include "robust/aggregate.h"

#include "base/check.h"
#include "base/text.h"
#include "kern/kern.h"
#include "robust/accumulator.h"
#include "robust/aggregate_matrix.h"
#include "robust/aggregate_rows.h"

#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { SHOWN_MAX = 300 };

/* What the threads share. */
struct job {
    const struct rows *rows;
    float *data;               /* f32[d], in the second pass */
    double *norms_squared;     /* f64[n], in the first pass; -1: not finite */
    int grid;                  /* in the second pass */
    atomic_uint_fast64_t next; /* row or tile that nobody has taken */
    atomic_int status;         /* the first failure, OK until then */
};

static double now_seconds(void)
{
    struct timespec time = {0};
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

static void fail(struct job *job, enum status status)
{
    int expected = STATUS_OK;
    atomic_compare_exchange_strong(&job->status, &expected, (int)status);
}

/* The squared norm of one row, its tiles in their order; -1 where it is not finite. */
static double row_norm_squared(const struct rows *rows, uint64_t row, float *buffer)
{
    const struct kern *const kern = kern_get();
    double sum = 0;
    for (uint64_t i = 0; i < rows->tile_count; i++) {
        const float *const x = rows_read(rows, &rows->tiles[i], row, buffer);
        double part = 0;
        if (!kern->check_finite_and_norm(x, rows->tiles[i].count, &part))
            return -1;
        sum += part;
    }
    return sum;
}

static void *measure_rows(void *argument)
{
    struct job *const job = argument;
    float *const buffer = malloc(ROWS_TILE * sizeof(*buffer));
    if (buffer == nullptr)
        fail(job, STATUS_NO_MEMORY);
    while (atomic_load(&job->status) == STATUS_OK) {
        const uint64_t row = atomic_fetch_add(&job->next, 1);
        if (row >= job->rows->n)
            break;
        job->norms_squared[row] = row_norm_squared(job->rows, row, buffer);
    }
    free(buffer);
    return nullptr;
}

static enum status sum_tile(const struct job *job, const struct rows_tile *tile, float *buffer)
{
    struct accumulator *accumulator = nullptr;
    enum status status = accumulator_create(tile->count, job->grid, &accumulator);
    for (uint64_t row = 0; row < job->rows->n && status == STATUS_OK; row++)
        status = accumulator_fold(accumulator, rows_read(job->rows, tile, row, buffer),
                                  job->rows->weights[row], nullptr);
    if (status == STATUS_OK)
        status = accumulator_finish_f32(accumulator, job->data + tile->output);
    accumulator_destroy(accumulator);
    return status;
}

static void *sum_tiles(void *argument)
{
    struct job *const job = argument;
    float *const buffer = malloc(ROWS_TILE * sizeof(*buffer));
    if (buffer == nullptr)
        fail(job, STATUS_NO_MEMORY);
    while (atomic_load(&job->status) == STATUS_OK) {
        const uint64_t index = atomic_fetch_add(&job->next, 1);
        if (index >= job->rows->tile_count)
            break;
        const enum status status = sum_tile(job, &job->rows->tiles[index], buffer);
        if (status != STATUS_OK)
            fail(job, status);
    }
    free(buffer);
    return nullptr;
}

/* Runs work on that many threads, this one among them; fewer where the system gives no more. */
static enum status run(struct job *job, uint32_t threads, void *(*work)(void *))
{
    pthread_t started[AGGREGATE_THREADS_MAX];
    uint32_t count = 0;
    atomic_store(&job->next, 0);
    while (count + 1 < threads && pthread_create(&started[count], nullptr, work, job) == 0)
        count++;
    work(job);
    for (uint32_t i = 0; i < count; i++)
        pthread_join(started[i], nullptr);
    return (enum status)atomic_load(&job->status);
}

/* Names the first tensor of a row that is not finite. */
static enum status explain_row(const struct rows *rows, uint64_t row, struct error *err)
{
    char shown[SHOWN_MAX] = "";
    float *const buffer = malloc(ROWS_TILE * sizeof(*buffer));
    for (uint64_t i = 0; buffer != nullptr && i < rows->tile_count; i++) {
        const struct rows_tile *const tile = &rows->tiles[i];
        const float *const x = rows_read(rows, tile, row, buffer);
        if (kern_get()->abs_max_bits(x, tile->count) >= 0x7f800000) {
            const struct tensor *const tensor = &rows->file->layout->tensors[tile->tensor];
            text_escape(tensor->name, tensor->name_size, shown, sizeof(shown));
            break;
        }
    }
    free(buffer);
    return error_set(err, STATUS_PEER, "update %llu holds a value that is not finite, in tensor %s",
                     (unsigned long long)row, shown);
}

static enum status choose_grid(struct job *job, uint32_t threads, struct error *err)
{
    job->norms_squared = calloc(job->rows->n, sizeof(*job->norms_squared));
    if (job->norms_squared == nullptr)
        return error_set(err, STATUS_NO_MEMORY, "no memory for the norms");
    enum status status = run(job, threads, measure_rows);
    if (status != STATUS_OK)
        error_set(err, status, "no memory for a thread's buffer");
    double largest = 0;
    for (uint64_t row = 0; row < job->rows->n && status == STATUS_OK; row++) {
        if (job->norms_squared[row] < 0)
            status = explain_row(job->rows, row, err);
        else if (job->norms_squared[row] > largest)
            largest = job->norms_squared[row];
    }
    free(job->norms_squared);
    job->norms_squared = nullptr;
    job->grid = grid_from_norm_max(sqrt(largest));
    return status;
}

static enum status mean(struct rows *rows, uint32_t threads, float *data, struct error *err)
{
    struct job job = {.rows = rows, .data = data};
    enum status status = choose_grid(&job, threads, err);
    if (status != STATUS_OK)
        return status;
    status = run(&job, threads, sum_tiles);
    if (status != STATUS_OK)
        return error_set(err, status, "the sums failed: %s", status_text(status));
    return STATUS_OK;
}

/* The report's memory, for n rows; freed by aggregate_result_deinit. */
static enum status make_report(struct aggregate_result *result, struct error *err)
{
    result->shares = calloc(result->n, sizeof(*result->shares));
    result->is_selected = calloc(result->n, sizeof(*result->is_selected));
    result->suspects = calloc(result->n, sizeof(*result->suspects));
    result->data = calloc(result->d + 1, sizeof(*result->data));
    if (result->shares == nullptr || result->is_selected == nullptr ||
        result->suspects == nullptr || result->data == nullptr)
        return error_set(err, STATUS_NO_MEMORY, "no memory for the result");
    return STATUS_OK;
}

static enum status weighted_mean(struct rows *rows, uint32_t threads,
                                 struct aggregate_result *result, struct error *err)
{
    const enum status status = mean(rows, threads, result->data, err);
    for (uint64_t i = 0; i < rows->n && status == STATUS_OK; i++) {
        result->shares[i] = (double)rows->weights[i] / (double)rows->weight_sum;
        result->is_selected[i] = rows->weights[i] > 0;
    }
    result->has_shares = true;
    return status;
}

static enum status robust_rule(const struct rows *rows, const struct aggregate_options *options,
                               struct aggregate_result *result, struct error *err)
{
    struct robust_report report = {.weights = result->shares,
                                   .is_selected = result->is_selected,
                                   .suspects = result->suspects};
    struct aggregate_matrix matrix = {0};
    size_t size = 0;
    enum status status =
        robust_workspace_size(options->recipe, rows->n, rows->d, options->threads, &size, err);
    if (status != STATUS_OK)
        return status;
    void *const workspace = malloc(size);
    if (workspace == nullptr || aggregate_matrix_init(&matrix, rows) != STATUS_OK)
        status = error_set(err, STATUS_NO_MEMORY, "no memory for a workspace of %zu bytes", size);
    if (status == STATUS_OK)
        status = robust_aggregate(options->recipe, &matrix.matrix, options->threads, workspace,
                                  size, result->data, &report, err);
    aggregate_matrix_deinit(&matrix);
    free(workspace);
    result->f = report.f;
    result->has_shares = report.has_weights;
    result->suspect_count = report.suspect_count;
    return status;
}

enum status aggregate_file(const struct safetensors *file, const struct aggregate_options *options,
                           struct aggregate_result *ret_result, struct error *err)
{
    const double start_seconds = now_seconds();
    const struct recipe *const recipe = options->recipe;
    if (options->threads < 1 || options->threads > AGGREGATE_THREADS_MAX)
        return error_set(err, STATUS_LIMIT, "%u threads; 1 to %d are allowed", options->threads,
                         AGGREGATE_THREADS_MAX);
    struct rows rows = {0};
    struct aggregate_result result = {.rule = rule_get(recipe->rule)->name};
    enum status status = recipe_check(recipe, err);
    if (status == STATUS_OK)
        status = rows_init(file, &rows, err);
    if (status != STATUS_OK)
        return status;
    result.n = rows.n;
    result.d = rows.d;
    status = make_report(&result, err);
    if (status == STATUS_OK && recipe->rule == RULE_MEAN && recipe->pre_count == 0)
        status = weighted_mean(&rows, options->threads, &result, err);
    else if (status == STATUS_OK)
        status = robust_rule(&rows, options, &result, err);
    if (status == STATUS_OK) {
        result.layout = rows.layout;
        rows.layout = nullptr;
        result.seconds = now_seconds() - start_seconds;
        *ret_result = result;
    } else {
        aggregate_result_deinit(&result);
    }
    rows_deinit(&rows);
    return status;
}

void aggregate_result_deinit(struct aggregate_result *result)
{
    free(result->shares);
    free(result->is_selected);
    free(result->suspects);
    layout_destroy(result->layout);
    free(result->data);
    *result = (struct aggregate_result){0};
}

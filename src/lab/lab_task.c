/*
 * lab_task.c - the nodes, samples and first model of one alpha and seed.
 */
#include "lab/lab_task.h"

#include "base/check.h"
#include "base/random.h"
#include "host/job_pool.h"

#include <stdlib.h>
#include <string.h>

enum {
    STREAM_LIARS = 0x6c696172, /* "liar": a stream of random numbers of its own */
    CURVE_SAMPLES = 1000,
};

static uint32_t trusted_wanted(const struct lab_plan *plan)
{
    uint32_t most = 0;
    for (uint32_t i = 0; i < plan->rule_count; i++)
        most = plan->rules[i].trusted > most ? plan->rules[i].trusted : most;
    return most;
}

static void set_up(struct lab_task *task, double alpha, uint32_t seed)
{
    struct config *const config = task->config;
    *config = *task->plan->config;
    config->job.seed += 1000003 * (uint64_t)seed;
    config->data.alpha = alpha;
    config->data.parts = task->nodes;
    config->data.part = 0;
    config->validation.samples = trusted_wanted(task->plan);
    config->validation.source =
        config->validation.samples > 0 ? CONFIG_VALIDATION_CENTRAL : CONFIG_VALIDATION_NONE;
}

/* The first samples of a part, no more than wanted. */
static enum status cap(struct dataset *data, uint64_t most, struct error *err)
{
    struct dataset fewer = {0};
    if (data->samples <= most)
        return STATUS_OK;
    uint32_t *const picks = malloc(sizeof(*picks) * most);
    if (picks == nullptr)
        return error_set(err, STATUS_NO_MEMORY, "no memory for samples");
    for (uint32_t i = 0; i < most; i++)
        picks[i] = i;
    const enum status status = dataset_take(data, picks, (uint32_t)most, &fewer, err);
    free(picks);
    if (status != STATUS_OK)
        return status;
    dataset_deinit(data);
    *data = fewer;
    return STATUS_OK;
}

static enum status load_parts(struct lab_task *task, struct error *err)
{
    task->parts = calloc(task->nodes, sizeof(*task->parts));
    if (task->parts == nullptr)
        return error_set(err, STATUS_NO_MEMORY, "no memory for %u nodes", task->nodes);
    enum status status = job_load_all_parts(task->config, task->nodes, task->parts, err);
    for (uint32_t i = 0; i < task->nodes && status == STATUS_OK; i++)
        status = cap(&task->parts[i].data, task->plan->config->lab.node_samples, err);
    return status;
}

static enum status make_start(struct lab_task *task, struct error *err)
{
    struct random random;
    task->order = malloc(sizeof(*task->order) * task->nodes);
    task->initial = malloc(sizeof(float) * model_spec_parameters(&task->spec));
    if (task->order == nullptr || task->initial == nullptr)
        return error_set(err, STATUS_NO_MEMORY, "no memory for a model");
    for (uint32_t i = 0; i < task->nodes; i++)
        task->order[i] = i;
    random_init(&random, task->config->job.seed, STREAM_LIARS, 0);
    random_shuffle_u32(&random, task->order, task->nodes);
    model_spec_initial(&task->spec, task->config->job.seed, task->initial);
    return STATUS_OK;
}

enum status lab_task_open(const struct lab_plan *plan, double alpha, uint32_t seed,
                          struct lab_task **ret_task, struct error *err)
{
    struct lab_task *const task = calloc(1, sizeof(*task));
    CHECK(task != nullptr);
    task->plan = plan;
    task->nodes = (uint32_t)plan->config->lab.nodes;
    task->config = malloc(sizeof(*task->config));
    CHECK(task->config != nullptr);
    set_up(task, alpha, seed);
    enum status status = job_model_spec(task->config, &task->spec, err);
    if (status == STATUS_OK)
        status = load_parts(task, err);
    if (status == STATUS_OK)
        status = job_load_validation(task->config, &task->trusted, err);
    if (status == STATUS_OK)
        status = job_load_test(task->config, &task->test, err);
    if (status == STATUS_OK)
        status = make_start(task, err);
    if (status != STATUS_OK) {
        lab_task_close(task);
        return status;
    }
    task->test_first = task->test;
    if (task->test_first.samples > CURVE_SAMPLES)
        task->test_first.samples = CURVE_SAMPLES;
    *ret_task = task;
    return STATUS_OK;
}

void lab_task_close(struct lab_task *task)
{
    if (task == nullptr)
        return;
    for (uint32_t i = 0; task->parts != nullptr && i < task->nodes; i++)
        job_part_deinit(&task->parts[i]);
    dataset_deinit(&task->trusted);
    dataset_deinit(&task->test);
    free(task->parts);
    free(task->order);
    free(task->initial);
    free(task->config);
    free(task);
}

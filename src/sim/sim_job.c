/*
 * sim_job.c - see sim_job.h.
 */
#include "sim/sim_job.h"

#include "base/check.h"
#include "base/random.h"
#include "host/clock.h"
#include "host/fault_plan.h"
#include "host/job_data.h"
#include "host/job_model.h"
#include "host/job_pool.h"
#include "host/job_settings.h"
#include "host/job_trainer.h"
#include "host/run_setup.h"
#include "sim/sim_files.h"
#include "sim/sim_training.h"
#include "train/partition.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    STREAM_SPEED = 0x73706565, /* "spee": a stream of random numbers of its own */
    LOCAL_MS = 1,   /* what a piece of the coordinator's or a node's own work takes, at most */
    END_YEARS = 10, /* of virtual time: a job that takes longer is not waited for */
    CALM_YEARS = 5, /* nothing heals before, where nothing is to go wrong */
};

#define YEAR_NS (UINT64_C(365) * 86400 * 1000000000)

struct sim_job {
    struct sim_work work; /* must be first */
    struct sim_job_options options;
    struct config *config; /* as the simulation has it */
    struct sim_plan plan;
    struct sim_links links;
    struct model_spec spec;
    struct job_part *parts; /* [nodes]; null where trainers read their samples themselves */
    struct dataset validation;
    struct training *training;
    struct sim_files *files;
    struct log *log;
    uint64_t *lasts_ns; /* [nodes]: a training */
    uint32_t *killed;   /* [plan.availability.killed_count] */
    double *table_ms;
    enum status status;
    struct error err;
};

static void fail(struct sim_job *job, enum status status, const struct error *err)
{
    if (job->status != STATUS_OK)
        return;
    job->status = status;
    job->err = *err;
    job->work.is_over = true;
}

/* ---- the work ---- */

static void first(struct sim_work *work, float *ret_parameters)
{
    struct sim_job *const job = (struct sim_job *)work;
    struct error err = {0};
    const enum status status =
        job_model_initial(job->config, &job->spec, work->layout, ret_parameters, &err);
    if (status != STATUS_OK)
        fail(job, status, &err);
}

static uint64_t begin(struct sim_work *work, const struct sim_task *task)
{
    struct sim_job *const job = (struct sim_job *)work;
    training_begin(job->training, task);
    work->is_over |= *job->options.interrupted != 0;
    return job->lasts_ns[task->node];
}

static enum status end(struct sim_work *work, uint32_t node, struct sim_trained *ret_trained)
{
    return training_end(((struct sim_job *)work)->training, node, ret_trained);
}

static void stop(struct sim_work *work, uint32_t node)
{
    training_stop(((struct sim_job *)work)->training, node);
}

static void validate(struct sim_work *work, const struct coordinator *machine,
                     const struct model_file *candidate, struct coordinator_event *event)
{
    struct sim_job *const job = (struct sim_job *)work;
    struct node_figures figures = {0};
    struct error err = {0};
    if (config_validates_by_nodes(job->config))
        CHECK(node_figures_collect(&machine->roster, job->config->validation.trim, &figures) ==
              STATUS_OK);
    const struct round_validation round = {
        .nodes = &figures,
        .samples = config_validates_centrally(job->config) ? &job->validation : nullptr,
        .spec = &job->spec,
        .model = candidate};
    event->status = round_validate(&round, event, &err);
    sim_files_measured(job->files, &figures);
    if (event->status != STATUS_OK)
        fail(job, event->status, &err);
}

static const float *read_payload(struct sim_work *work, const struct payload *payload)
{
    struct sim_job *const job = (struct sim_job *)work;
    const float *const values = training_read(job->training, payload);
    CHECK(values != nullptr); /* it was written a moment ago */
    return values;
}

static void forget_payload(struct sim_work *work, uint64_t slot)
{
    training_forget(((struct sim_job *)work)->training, slot);
}

static void committed(struct sim_work *work, const struct sim_round *round)
{
    struct sim_job *const job = (struct sim_job *)work;
    struct error err = {0};
    const enum status status = sim_files_round(job->files, round, &err);
    if (status != STATUS_OK)
        fail(job, status, &err);
    work->is_over |= *job->options.interrupted != 0;
}

static void ended(struct sim_work *work, const struct coordinator *machine,
                  const struct model_file *model, uint64_t now_ns)
{
    struct sim_job *const job = (struct sim_job *)work;
    struct error err = {0};
    const enum status status = sim_files_end(job->files, machine, model, &job->spec, now_ns, &err);
    if (status != STATUS_OK)
        fail(job, status, &err);
}

static const struct sim_work_ops ops = {.first = first,
                                        .begin = begin,
                                        .end = end,
                                        .stop = stop,
                                        .validate = validate,
                                        .read_payload = read_payload,
                                        .forget_payload = forget_payload,
                                        .committed = committed,
                                        .ended = ended};

/* ---- open ---- */

/* How many samples each node trains on: u64[nodes]; 1 where only its trainer knows. */
static enum status count_samples(const struct sim_job *job, uint64_t *ret_samples,
                                 struct error *err)
{
    uint32_t *owners = nullptr;
    uint32_t samples = 0;
    for (uint32_t i = 0; i < job->options.nodes; i++)
        ret_samples[i] = job->parts != nullptr ? job->parts[i].data.samples : 0;
    if (job->parts == nullptr && job->config->data.format != CONFIG_DATA_NONE) {
        const enum status status = job_deal_out(job->config, &owners, &samples, err);
        if (status != STATUS_OK)
            return status;
        for (uint32_t i = 0; i < samples; i++) {
            if (owners[i] != PARTITION_VALIDATION)
                ret_samples[owners[i]]++;
        }
        free(owners);
    }
    for (uint32_t i = 0; i < job->options.nodes; i++)
        ret_samples[i] = ret_samples[i] > 0 ? ret_samples[i] : 1;
    return STATUS_OK;
}

/* As the time that simulation.* and faults.slow give it; fixed_wait_s beside it. */
static enum status plan_times(struct sim_job *job, const struct fault_plan *faults,
                              struct error *err)
{
    const struct config *const config = job->config;
    const uint32_t nodes = job->options.nodes;
    job->lasts_ns = calloc(nodes, sizeof(*job->lasts_ns));
    if (job->lasts_ns == nullptr)
        return error_set(err, STATUS_NO_MEMORY, "no memory for %u nodes", nodes);
    const enum status status = count_samples(job, job->lasts_ns, err);
    for (uint32_t i = 0; i < nodes && status == STATUS_OK; i++) {
        struct random random;
        random_init(&random, config->job.seed, STREAM_SPEED, i);
        const double speed = exp(config->simulation.speed_spread * random_normal(&random));
        const double us = config->simulation.sample_us * (double)job->lasts_ns[i] *
                          (double)config->train.local_epochs;
        const double factor = faults[i].slow ? config->faults.slow.factor : 1;
        const double ns = (us * 1e3 / speed + config->train.fixed_wait_s * 1e9) * factor;
        job->lasts_ns[i] = ns < 1 ? 1 : ns < (double)YEAR_NS ? (uint64_t)ns : YEAR_NS;
    }
    return status;
}

static enum status plan_kills(struct sim_job *job, const struct fault_plan *faults,
                              struct error *err)
{
    const uint32_t nodes = job->options.nodes;
    struct sim_availability *const plan = &job->plan.availability;
    job->killed = calloc(nodes, sizeof(*job->killed));
    if (job->killed == nullptr)
        return error_set(err, STATUS_NO_MEMORY, "no memory for %u nodes", nodes);
    *plan = (struct sim_availability){.up_s = job->config->simulation.up_s,
                                      .down_s = job->config->simulation.down_s,
                                      .killed = job->killed,
                                      .killed_after = job->config->faults.kill.after_rounds,
                                      .killed_down_s = job->config->faults.kill.down_s};
    for (uint32_t i = 0; i < nodes; i++) {
        if (faults[i].killed)
            job->killed[plan->killed_count++] = i;
    }
    return STATUS_OK;
}

static enum status plan_nodes(struct sim_job *job, struct error *err)
{
    struct fault_plan *const faults = calloc(job->options.nodes, sizeof(*faults));
    if (faults == nullptr)
        return error_set(err, STATUS_NO_MEMORY, "no memory for %u nodes", job->options.nodes);
    enum status status = fault_plan_draw(job->config, job->options.nodes, faults, err);
    if (status == STATUS_OK)
        status = plan_times(job, faults, err);
    if (status == STATUS_OK)
        status = plan_kills(job, faults, err);
    free(faults);
    return status;
}

static enum status plan_links(struct sim_job *job, struct error *err)
{
    const struct config *const config = job->config;
    job->links = (struct sim_links){.latency = config->simulation.latency,
                                    .latency_ms = config->simulation.latency_ms,
                                    .latency_spread = config->simulation.latency_spread,
                                    .node_mbit = config->simulation.node_mbit,
                                    .coordinator_mbit = config->simulation.coordinator_mbit};
    job->plan.links = &job->links;
    if (job->links.latency != CONFIG_LATENCY_TABLE)
        return STATUS_OK;
    const enum status status = sim_files_read_table(config->simulation.latency_file, &job->table_ms,
                                                    &job->links.table_count, err);
    job->links.table_ms = job->table_ms;
    return status;
}

static enum status plan_machine(struct sim_job *job, struct error *err)
{
    uint32_t faults = 0;
    const struct config *const config = job->config;
    struct sim_plan *const plan = &job->plan;
    plan->seed = config->job.seed;
    plan->nodes = job->options.nodes;
    plan->work = &job->work;
    plan->machine = job_machine_settings(config);
    plan->optimiser = job_optimiser(config);
    plan->models_keep = (uint32_t)config->limits.models_keep;
    plan->delay_max_ns = LOCAL_MS * UINT64_C(1000000);
    plan->tick_ns = 1;
    plan->heal_ns = CALM_YEARS * YEAR_NS;
    plan->end_ns = END_YEARS * YEAR_NS;
    if (!sim_faults_find(config->simulation.faults, &faults))
        return error_set(
            err, STATUS_INVAL,
            "simulation.faults: %s: names of `fedra sim --faults`, separated by commas, "
            "are wanted",
            config->simulation.faults);
    if (faults != 0) {
        plan->heal_ns = (uint64_t)(config->simulation.faults_s * 1e9);
        sim_plan_strike(plan, faults);
    }
    plan->loss = config->simulation.loss;
    return STATUS_OK;
}

static enum status read_samples(struct sim_job *job, struct error *err)
{
    const uint32_t nodes = job->options.nodes;
    if (!job_trainer_wants_data(job->config) || job->config->data.format == CONFIG_DATA_NONE)
        return job_load_validation(job->config, &job->validation, err);
    job->parts = calloc(nodes, sizeof(*job->parts));
    if (job->parts == nullptr)
        return error_set(err, STATUS_NO_MEMORY, "no memory for %u nodes", nodes);
    enum status status = job_load_all_parts(job->config, nodes, job->parts, err);
    if (status == STATUS_OK)
        status = job_load_validation(job->config, &job->validation, err);
    return status;
}

static enum status open_work(struct sim_job *job, struct error *err)
{
    job->work.ops = &ops;
    job->work.norm_max = job->config->limits.update_norm_max;
    enum status status = job_model(job->config, &job->spec, &job->work.layout, err);
    if (status == STATUS_OK && robust_round_is_needed(job->config))
        status = robust_round_create(job->config, job->options.folder,
                                     job->work.layout->parameter_count, &job->work.robust, err);
    if (job->config->robust.rule == RULE_VALIDATED)
        job->work.trusted = &job->validation;
    job->work.spec = &job->spec;
    return status;
}

static enum status open_training(struct sim_job *job, struct error *err)
{
    char path[RUN_PATH_MAX + 32];
    const struct config *const config = job->config;
    snprintf(path, sizeof(path), "%s/logs/simulation.log", job->options.folder);
    enum status status = log_open(path, config->log.level, config->log.format, err, &job->log);
    if (status != STATUS_OK)
        return status;
    char nodes[RUN_PATH_MAX + 32];
    snprintf(nodes, sizeof(nodes), "%s/nodes", job->options.folder);
    const struct training_options options = {.config = config,
                                             .spec = &job->spec,
                                             .work = &job->work,
                                             .parts = job->parts,
                                             .nodes = job->options.nodes,
                                             .threads = job->options.threads,
                                             .folder = nodes,
                                             .log = job->log};
    return training_open(&options, &job->training, err);
}

enum status sim_job_open(const struct sim_job_options *options, struct sim_job **ret_job,
                         struct error *err)
{
    static const char *const folders[] = {"models", "nodes", "logs"};
    struct sim_job *const job = calloc(1, sizeof(*job));
    if (job == nullptr)
        return error_set(err, STATUS_NO_MEMORY, "no memory for a job");
    job->options = *options;
    job->config = malloc(sizeof(*job->config));
    CHECK(job->config != nullptr);
    *job->config = *options->config;
    enum status status = run_make_folders(options->folder, folders, 3, err);
    if (status == STATUS_OK)
        status = open_work(job, err);
    if (status == STATUS_OK)
        status = read_samples(job, err);
    if (status == STATUS_OK)
        status = open_training(job, err);
    if (status == STATUS_OK)
        status = sim_files_open(job->config, options->folder, options->quiet, &job->files, err);
    if (status == STATUS_OK)
        status = plan_machine(job, err);
    if (status == STATUS_OK)
        status = plan_nodes(job, err);
    if (status == STATUS_OK)
        status = plan_links(job, err);
    if (status != STATUS_OK) {
        sim_job_close(job);
        return status;
    }
    *ret_job = job;
    return STATUS_OK;
}

void sim_job_close(struct sim_job *job)
{
    if (job == nullptr)
        return;
    training_close(job->training);
    sim_files_close(job->files);
    robust_round_destroy(job->work.robust);
    layout_destroy(job->work.layout);
    for (uint32_t i = 0; job->parts != nullptr && i < job->options.nodes; i++)
        job_part_deinit(&job->parts[i]);
    dataset_deinit(&job->validation);
    log_close(job->log);
    free(job->parts);
    free(job->lasts_ns);
    free(job->killed);
    free(job->table_ms);
    free(job->config);
    free(job);
}

const struct sim_plan *sim_job_plan(const struct sim_job *job)
{
    return &job->plan;
}

enum status sim_job_status(const struct sim_job *job, struct error *err)
{
    *err = job->err;
    return job->status;
}

/*
 * job_trainer.c - from keys of the configuration to a trainer's options.
 */
#include "host/job_trainer.h"

#include "host/job_data.h"

#include <stdlib.h>

/* By these words fedra becomes a program's keeper: cli/trainer_command.c. */
static const char *const keeper[] = {"/proc/self/exe", "trainer", "keep", nullptr};

static const struct trainer_ops *ops_of(enum config_trainer trainer)
{
    switch (trainer) {
    case CONFIG_TRAINER_BUILTIN:
        return &trainer_builtin;
    case CONFIG_TRAINER_FIXED:
        return &trainer_fixed;
    case CONFIG_TRAINER_COMMAND:
        return &trainer_external;
    }
    return nullptr;
}

bool job_trainer_wants_data(const struct config *config)
{
    return config->train.trainer == CONFIG_TRAINER_BUILTIN;
}

static struct trainer_external_options external_options(const struct job_trainer *job,
                                                        const uint32_t *indices, uint32_t count)
{
    const struct config *const config = job->config;
    return (struct trainer_external_options){
        .command = config->train.command,
        .keeper = keeper,
        .folder = job->folder,
        .layout = job->layout,
        .job = config->job.name,
        .node = config->node.name,
        .part = config->data.part,
        .parts = config->data.parts,
        .seed = config->job.seed,
        .data = config->data.path,
        .indices = indices,
        .index_count = count,
        .holdout = config_validates_by_nodes(config) ? config->validation.holdout : 0,
        .start_timeout_s = config->train.start_timeout_s,
        .task_timeout_s = config->train.task_timeout_s,
        .heartbeat_s = config->train.heartbeat_s,
        .cancel_grace_s = config->train.cancel_grace_s,
        .end_grace_s = job->end_grace_s,
        .limits = {.memory_bytes = config->train.memory_max_bytes,
                   .cpus = (uint32_t)config->train.cpus_max,
                   /* Nodes that share a machine do not all take the same processors. */
                   .cpu_first = (uint32_t)(config->data.part * config->train.cpus_max),
                   .nice = (uint32_t)config->train.nice},
        .note = job->note,
        .note_context = job->note_context,
    };
}

enum status job_trainer_open(const struct job_trainer *job, const struct trainer_ops **ret_ops,
                             void **ret_trainer, struct error *err)
{
    const struct config *const config = job->config;
    uint32_t *indices = nullptr;
    uint32_t count = 0;
    enum status status = STATUS_OK;
    struct trainer_options options = {
        .spec = *job->spec,
        .data = job->data->samples > 0 ? job->data : nullptr,
        .holdout = job->holdout->samples > 0 ? job->holdout : nullptr,
        .sgd = {.local_epochs = (uint32_t)config->train.local_epochs,
                .batch_size = (uint32_t)config->train.batch_size,
                .learning_rate = (float)config->train.learning_rate,
                .momentum = (float)config->train.momentum,
                .weight_decay = (float)config->train.weight_decay,
                .proximal_mu = (float)config->train.proximal_mu},
        .node = trainer_node_key(config->node.name),
        .fixed_samples = 1,
        .fixed_wait_ms = (uint64_t)(config->train.fixed_wait_s * 1000),
    };
    if (config->train.trainer == CONFIG_TRAINER_COMMAND) {
        status = job_part_indices(config, &indices, &count, err);
        options.external = external_options(job, indices, count);
    }
    *ret_ops = ops_of(config->train.trainer);
    if (status == STATUS_OK)
        status = (*ret_ops)->open(&options, ret_trainer, err);
    free(indices);
    return status;
}

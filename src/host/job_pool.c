/*
 * job_pool.c - see job_pool.h.
 */
#include "host/job_pool.h"

#include "host/run_setup.h"
#include "train/partition.h"

#include <stdlib.h>
#include <string.h>

/* Whether two nodes' samples come from the same files, dealt out the same way. */
static bool same_source(const struct config *a, const struct config *b)
{
    struct config *const other = malloc(sizeof(*other));
    if (other == nullptr)
        return false;
    *other = *b;
    other->data.part = a->data.part;
    const bool same = a->job.seed == b->job.seed && a->model.classes == b->model.classes &&
                      a->validation.samples == b->validation.samples &&
                      config_validates_centrally(a) == config_validates_centrally(b) &&
                      memcmp(&a->data, &other->data, sizeof(a->data)) == 0;
    free(other);
    return same;
}

/*
 * Splits a data set by node: sample i goes to the nodes whose part is owners[i].
 *
 * owners  u32[whole->samples], part numbers.
 */
static enum status split(const struct config *configs, uint32_t count, const struct dataset *whole,
                         const uint32_t *owners, struct job_part *ret_parts, struct error *err)
{
    uint32_t *const picks = malloc(sizeof(*picks) * (whole->samples + 1));
    enum status status = picks != nullptr ? STATUS_OK
                                          : error_set(err, STATUS_NO_MEMORY,
                                                      "no memory for %u samples", whole->samples);
    for (uint32_t node = 0; node < count && status == STATUS_OK; node++) {
        uint32_t picked = 0;
        for (uint32_t i = 0; i < whole->samples; i++) {
            if (owners[i] == configs[node].data.part)
                picks[picked++] = i;
        }
        status = picked > 0 ? dataset_take(whole, picks, picked, &ret_parts[node].data, err)
                            : error_set(err, STATUS_INVAL, "no samples are left for %s",
                                        configs[node].node.name);
        if (status == STATUS_OK)
            status = job_hold_out(&configs[node], &ret_parts[node], err);
    }
    free(picks);
    return status;
}

/*
 * Loads the samples whose owner is wanted, and leaves their owners at the head of owners.
 *
 * wanted  bool[parts], by part; null: all parts.
 */
static enum status load_owned(const struct config *config, const bool *wanted, uint32_t *owners,
                              uint32_t samples, struct dataset *ret_data, struct error *err)
{
    uint32_t *const indices = malloc(sizeof(*indices) * (samples + 1));
    uint32_t count = 0;
    if (indices == nullptr)
        return error_set(err, STATUS_NO_MEMORY, "no memory for %u samples", samples);
    for (uint32_t i = 0; i < samples; i++) {
        if (owners[i] == PARTITION_VALIDATION || (wanted != nullptr && !wanted[owners[i]]))
            continue;
        owners[count] = owners[i];
        indices[count++] = i;
    }
    const enum status status = job_load_training(config, indices, count, ret_data, err);
    free(indices);
    return status;
}

static enum status load_parts(const struct config *configs, uint32_t count,
                              struct job_part *ret_parts, struct error *err)
{
    struct dataset whole = {0};
    uint32_t *owners = nullptr;
    uint32_t samples = 0;
    bool *const wanted = calloc(configs[0].data.parts, sizeof(*wanted));
    if (wanted == nullptr)
        return error_set(err, STATUS_NO_MEMORY, "no memory for the parts of the samples");
    for (uint32_t node = 0; node < count; node++)
        wanted[configs[node].data.part] = true;
    enum status status = job_deal_out(&configs[0], &owners, &samples, err);
    if (status == STATUS_OK)
        status = load_owned(&configs[0], wanted, owners, samples, &whole, err);
    if (status == STATUS_OK)
        status = split(configs, count, &whole, owners, ret_parts, err);
    dataset_deinit(&whole);
    free(owners);
    free(wanted);
    return status;
}

enum status job_load_parts(const struct config *configs, uint32_t count, struct job_part *ret_parts,
                           struct error *err)
{
    enum status status = STATUS_OK;
    bool same = true;
    for (uint32_t i = 0; i < count; i++) {
        ret_parts[i] = (struct job_part){0};
        same = same && same_source(&configs[0], &configs[i]);
    }
    if (same && configs[0].data.format != CONFIG_DATA_NONE)
        status = load_parts(configs, count, ret_parts, err);
    for (uint32_t i = 0; i < count && !same && status == STATUS_OK; i++)
        status = job_load_part(&configs[i], &ret_parts[i], err);
    for (uint32_t i = 0; i < count && status != STATUS_OK; i++)
        job_part_deinit(&ret_parts[i]);
    return status;
}

enum status job_load_all_parts(const struct config *config, uint32_t nodes,
                               struct job_part *ret_parts, struct error *err)
{
    struct config *const configs = calloc(nodes, sizeof(*configs));
    if (configs == nullptr)
        return error_set(err, STATUS_NO_MEMORY, "no memory for %u nodes", nodes);
    for (uint32_t i = 0; i < nodes; i++) {
        configs[i] = *config;
        configs[i].data.part = i;
        run_node_name(i, configs[i].node.name);
    }
    const enum status status = job_load_parts(configs, nodes, ret_parts, err);
    free(configs);
    return status;
}

enum status job_load_pool(const struct config *config, struct dataset *ret_data, struct error *err)
{
    uint32_t *owners = nullptr;
    uint32_t samples = 0;
    *ret_data = (struct dataset){0};
    if (config->data.format == CONFIG_DATA_NONE)
        return STATUS_OK;
    enum status status = job_deal_out(config, &owners, &samples, err);
    if (status == STATUS_OK)
        status = load_owned(config, nullptr, owners, samples, ret_data, err);
    free(owners);
    return status;
}

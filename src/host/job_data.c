/*
 * job_data.c - from keys of the configuration to train/'s structs.
 */
#include "host/job_data.h"

#include "train/partition.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { IDX_INPUTS = 784, PART_SAMPLES_MIN = 10 };

enum status job_model_spec(const struct config *config, struct model_spec *ret_spec,
                           struct error *err)
{
    struct model_spec spec = {
        .kind = config->model.kind == CONFIG_MODEL_SOFTMAX ? MODEL_SOFTMAX
                : config->model.kind == CONFIG_MODEL_MLP   ? MODEL_MLP
                                                           : MODEL_FLAT,
        .inputs = config->model.inputs > 0 ? (uint32_t)config->model.inputs : IDX_INPUTS,
        .classes = (uint32_t)config->model.classes,
        .hidden_count = config->model.kind == CONFIG_MODEL_MLP ? config->model.hidden.count : 0,
        .parameters = (uint32_t)config->model.parameters,
    };
    for (uint32_t i = 0; i < spec.hidden_count; i++)
        spec.hidden[i] = config->model.hidden.items[i];
    const enum status status = model_spec_check(&spec, err);
    if (status != STATUS_OK)
        return error_prefix(err, status, "model");
    *ret_spec = spec;
    return STATUS_OK;
}

/* The name of an idx file in a folder: plain where there is one, else compressed. */
static enum status idx_path(const struct config *config, const char *name, char *ret_path,
                            size_t capacity, struct error *err)
{
    static const char *const endings[] = {"", ".gz"};
    for (size_t i = 0; i < sizeof(endings) / sizeof(*endings); i++) {
        const int length =
            snprintf(ret_path, capacity, "%s/%s%s", config->data.path, name, endings[i]);
        if (length < 0 || (size_t)length >= capacity)
            return error_set(err, STATUS_LIMIT, "data.path: the path is too long");
        if (access(ret_path, R_OK) == 0)
            return STATUS_OK;
    }
    return error_set(err, STATUS_NOT_FOUND,
                     "data.path: neither %s nor %s.gz can be read in %s; on Debian the package "
                     "dataset-fashion-mnist brings them",
                     name, name, config->data.path);
}

static enum status load(const struct config *config, const char *images, const char *labels,
                        const uint32_t *indices, uint32_t count, struct dataset *ret_data,
                        struct error *err)
{
    char images_path[CONFIG_PATH_MAX + 64];
    char labels_path[CONFIG_PATH_MAX + 64];
    enum status status = idx_path(config, images, images_path, sizeof(images_path), err);
    if (status == STATUS_OK)
        status = idx_path(config, labels, labels_path, sizeof(labels_path), err);
    if (status == STATUS_OK)
        status = dataset_load(images_path, labels_path, (uint32_t)config->model.classes, indices,
                              count, ret_data, err);
    return status;
}

static enum status load_owner(const struct config *config, uint32_t owner_wanted,
                              struct dataset *ret_data, struct error *err)
{
    char path[CONFIG_PATH_MAX + 64];
    uint8_t *labels = nullptr;
    uint32_t *owner = nullptr;
    uint32_t *indices = nullptr;
    uint32_t samples = 0;
    uint32_t count = 0;
    const struct partition_plan plan = {
        .seed = config->job.seed,
        .validation_samples =
            config_validates_centrally(config) ? (uint32_t)config->validation.samples : 0,
        .parts = (uint32_t)config->data.parts,
        .kind =
            config->data.partition == CONFIG_PARTITION_IID ? PARTITION_IID : PARTITION_DIRICHLET,
        .alpha = config->data.alpha,
        .samples_min = PART_SAMPLES_MIN,
    };
    enum status status = idx_path(config, "train-labels-idx1-ubyte", path, sizeof(path), err);
    if (status != STATUS_OK)
        return status;
    status = dataset_labels_load(path, (uint32_t)config->model.classes, &labels, &samples, err);
    if (status != STATUS_OK)
        goto out;
    owner = malloc(sizeof(*owner) * (samples > 0 ? samples : 1));
    if (owner == nullptr) {
        status = error_set(err, STATUS_NO_MEMORY, "no memory for %u labels", samples);
        goto out;
    }
    status = partition_assign(&plan, labels, samples, owner, err);
    if (status == STATUS_OK)
        status = partition_indices(owner, samples, owner_wanted, &indices, &count);
    if (status == STATUS_OK && count == 0)
        status = error_set(err, STATUS_INVAL, "no samples are left for this process");
    if (status == STATUS_OK)
        status = load(config, "train-images-idx3-ubyte", "train-labels-idx1-ubyte", indices, count,
                      ret_data, err);
out:
    free(indices);
    free(owner);
    free(labels);
    return status;
}

enum status job_load_part(const struct config *config, struct dataset *ret_data, struct error *err)
{
    *ret_data = (struct dataset){0};
    if (config->data.format == CONFIG_DATA_NONE)
        return STATUS_OK;
    return load_owner(config, (uint32_t)config->data.part, ret_data, err);
}

enum status job_load_validation(const struct config *config, struct dataset *ret_data,
                                struct error *err)
{
    *ret_data = (struct dataset){0};
    if (config->data.format == CONFIG_DATA_NONE || !config_validates_centrally(config))
        return STATUS_OK;
    return load_owner(config, PARTITION_VALIDATION, ret_data, err);
}

enum status job_load_test(const struct config *config, struct dataset *ret_data, struct error *err)
{
    *ret_data = (struct dataset){0};
    if (config->data.format == CONFIG_DATA_NONE || !config->data.evaluate_test_at_end)
        return STATUS_OK;
    return load(config, "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte", nullptr, 0, ret_data,
                err);
}

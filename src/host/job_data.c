/*
 * job_data.c - from keys of the configuration to train/'s structs.
 */
#include "host/job_data.h"

#include "host/job_model.h"
#include "train/dataset_csv.h"
#include "train/dataset_safetensors.h"
#include "train/partition.h"
#include "train/trainer.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { IDX_INPUTS = 784, PART_SAMPLES_MIN = 10 };

static struct csv_format csv_format_of(const struct config *config)
{
    static const char separators[] = {[CONFIG_CSV_COMMA] = ',',
                                      [CONFIG_CSV_SEMICOLON] = ';',
                                      [CONFIG_CSV_TAB] = '\t',
                                      [CONFIG_CSV_PIPE] = '|',
                                      [CONFIG_CSV_SPACE] = ' '};
    static const enum csv_header headers[] = {[CONFIG_CSV_HEADER_AUTO] = CSV_HEADER_AUTO,
                                              [CONFIG_CSV_HEADER_YES] = CSV_HEADER_YES,
                                              [CONFIG_CSV_HEADER_NO] = CSV_HEADER_NO};
    return (struct csv_format){.separator = separators[config->data.csv_separator],
                               .header = headers[config->data.csv_header],
                               .label = config->data.csv_label};
}

/* How many values a sample has. */
static enum status data_inputs(const struct config *config, uint32_t *ret_inputs, struct error *err)
{
    const struct csv_format csv = csv_format_of(config);
    enum status status = STATUS_OK;
    switch (config->data.format) {
    case CONFIG_DATA_NONE:
    case CONFIG_DATA_IDX:
        *ret_inputs = IDX_INPUTS;
        return STATUS_OK;
    case CONFIG_DATA_CSV:
        status = dataset_csv_features(config->data.path, &csv, ret_inputs, err);
        break;
    case CONFIG_DATA_SAFETENSORS:
        status = dataset_safetensors_features(config->data.path, ret_inputs, err);
        break;
    }
    return status == STATUS_OK
               ? STATUS_OK
               : error_prefix(err, status, "data.path (model.inputs is 0, so the data tells)");
}

enum status job_model_spec(const struct config *config, struct model_spec *ret_spec,
                           struct error *err)
{
    struct model_spec spec = {
        .kind = config->model.kind == CONFIG_MODEL_SOFTMAX ? MODEL_SOFTMAX
                : config->model.kind == CONFIG_MODEL_MLP   ? MODEL_MLP
                                                           : MODEL_FLAT,
        .inputs = (uint32_t)config->model.inputs,
        .classes = (uint32_t)config->model.classes,
        .hidden_count = config->model.kind == CONFIG_MODEL_MLP ? config->model.hidden.count : 0,
        .parameters = (uint32_t)config->model.parameters,
    };
    for (uint32_t i = 0; i < spec.hidden_count; i++)
        spec.hidden[i] = config->model.hidden.items[i];
    enum status status = STATUS_OK;
    if (config->model.kind == CONFIG_MODEL_FILE) {
        struct layout *layout = nullptr;
        status = job_file_layout(config, &layout, err);
        spec.parameters = layout != nullptr ? (uint32_t)layout->parameter_count : 0;
        layout_destroy(layout);
    }
    if (spec.inputs == 0 && spec.kind != MODEL_FLAT)
        status = data_inputs(config, &spec.inputs, err);
    if (status != STATUS_OK)
        return status;
    status = model_spec_check(&spec, err);
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

static enum status load_idx(const struct config *config, const char *images, const char *labels,
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

/* The labels of all training samples, or of all test samples. */
static enum status load_labels(const struct config *config, bool test, uint8_t **ret_labels,
                               uint32_t *ret_samples, struct error *err)
{
    const uint32_t classes = (uint32_t)config->model.classes;
    const struct csv_format csv = csv_format_of(config);
    const char *const file = test ? config->data.test_path : config->data.path;
    char path[CONFIG_PATH_MAX + 64];
    enum status status = STATUS_OK;
    switch (config->data.format) {
    case CONFIG_DATA_NONE:
        break;
    case CONFIG_DATA_IDX:
        status = idx_path(config, test ? "t10k-labels-idx1-ubyte" : "train-labels-idx1-ubyte", path,
                          sizeof(path), err);
        return status == STATUS_OK
                   ? dataset_labels_load(path, classes, ret_labels, ret_samples, err)
                   : status;
    case CONFIG_DATA_CSV:
        return dataset_csv_labels(file, &csv, classes, ret_labels, ret_samples, err);
    case CONFIG_DATA_SAFETENSORS:
        return dataset_safetensors_labels(file, classes, ret_labels, ret_samples, err);
    }
    return error_set(err, STATUS_INVAL, "data.format: none has no samples");
}

/* The chosen training samples, or all of the test samples (indices null). */
static enum status load_samples(const struct config *config, bool test, const uint32_t *indices,
                                uint32_t count, struct dataset *ret_data, struct error *err)
{
    const uint32_t classes = (uint32_t)config->model.classes;
    const struct csv_format csv = csv_format_of(config);
    const char *const path = test ? config->data.test_path : config->data.path;
    switch (config->data.format) {
    case CONFIG_DATA_NONE:
        break;
    case CONFIG_DATA_IDX:
        return test ? load_idx(config, "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte", indices,
                               count, ret_data, err)
                    : load_idx(config, "train-images-idx3-ubyte", "train-labels-idx1-ubyte",
                               indices, count, ret_data, err);
    case CONFIG_DATA_CSV:
        return dataset_csv_load(path, &csv, classes, indices, count, ret_data, err);
    case CONFIG_DATA_SAFETENSORS:
        return dataset_safetensors_load(path, classes, indices, count, ret_data, err);
    }
    return error_set(err, STATUS_INVAL, "data.format: none has no samples");
}

static struct partition_plan plan_of(const struct config *config)
{
    static const enum partition_kind kinds[] = {[CONFIG_PARTITION_IID] = PARTITION_IID,
                                                [CONFIG_PARTITION_DIRICHLET] = PARTITION_DIRICHLET,
                                                [CONFIG_PARTITION_SHARDS] = PARTITION_SHARDS};
    return (struct partition_plan){
        .seed = config->job.seed,
        .validation_samples =
            config_validates_centrally(config) ? (uint32_t)config->validation.samples : 0,
        .parts = (uint32_t)config->data.parts,
        .kind = kinds[config->data.partition],
        .alpha = config->data.alpha,
        /* Who has a file of its own has what it has. */
        .samples_min = config->data.parts > 1 ? PART_SAMPLES_MIN : 1,
        .shards = (uint32_t)config->data.shards_per_node,
    };
}

enum status job_deal_out(const struct config *config, uint32_t **ret_owner, uint32_t *ret_samples,
                         struct error *err)
{
    uint8_t *labels = nullptr;
    uint32_t *owner = nullptr;
    uint32_t samples = 0;
    const struct partition_plan plan = plan_of(config);
    enum status status = load_labels(config, false, &labels, &samples, err);
    if (status != STATUS_OK)
        return status;
    owner = malloc(sizeof(*owner) * (samples > 0 ? samples : 1));
    if (owner == nullptr)
        status = error_set(err, STATUS_NO_MEMORY, "no memory for %u labels", samples);
    if (status == STATUS_OK)
        status = partition_assign(&plan, labels, samples, owner, err);
    free(labels);
    if (status != STATUS_OK) {
        free(owner);
        return status;
    }
    *ret_owner = owner;
    *ret_samples = samples;
    return STATUS_OK;
}

/* The samples of one owner, at least one: u32[*ret_count], the caller frees it. */
static enum status owner_indices(const struct config *config, uint32_t owner_wanted,
                                 uint32_t **ret_indices, uint32_t *ret_count, struct error *err)
{
    uint32_t *owner = nullptr;
    uint32_t samples = 0;
    enum status status = job_deal_out(config, &owner, &samples, err);
    if (status == STATUS_OK)
        status = partition_indices(owner, samples, owner_wanted, ret_indices, ret_count);
    free(owner);
    if (status == STATUS_OK && *ret_count == 0)
        status = error_set(err, STATUS_INVAL, "no samples are left for this process");
    return status;
}

static enum status load_owner(const struct config *config, uint32_t owner_wanted,
                              struct dataset *ret_data, struct error *err)
{
    uint32_t *indices = nullptr;
    uint32_t count = 0;
    enum status status = owner_indices(config, owner_wanted, &indices, &count, err);
    if (status == STATUS_OK)
        status = load_samples(config, false, indices, count, ret_data, err);
    free(indices);
    return status;
}

enum status job_load_training(const struct config *config, const uint32_t *indices, uint32_t count,
                              struct dataset *ret_data, struct error *err)
{
    return load_samples(config, false, indices, count, ret_data, err);
}

enum status job_part_indices(const struct config *config, uint32_t **ret_indices,
                             uint32_t *ret_count, struct error *err)
{
    *ret_indices = nullptr;
    *ret_count = 0;
    if (config->data.format == CONFIG_DATA_NONE)
        return STATUS_OK;
    return owner_indices(config, (uint32_t)config->data.part, ret_indices, ret_count, err);
}

enum status job_check_data(const struct config *config, struct error *err)
{
    struct model_spec spec;
    uint32_t *owner = nullptr;
    uint8_t *labels = nullptr;
    uint32_t samples = 0;
    enum status status = job_model_spec(config, &spec, err);
    if (status != STATUS_OK || config->data.format == CONFIG_DATA_NONE)
        return status;
    status = job_deal_out(config, &owner, &samples, err);
    if (status == STATUS_OK && config->data.evaluate_test_at_end)
        status = load_labels(config, true, &labels, &samples, err);
    free(owner);
    free(labels);
    return status;
}

enum status job_hold_out(const struct config *config, struct job_part *part, struct error *err)
{
    if (!config_validates_by_nodes(config))
        return STATUS_OK;
    return dataset_hold_out(&part->data, config->validation.holdout, config->job.seed,
                            trainer_node_key(config->node.name), &part->holdout, err);
}

enum status job_load_part(const struct config *config, struct job_part *ret_part, struct error *err)
{
    *ret_part = (struct job_part){0};
    if (config->data.format == CONFIG_DATA_NONE)
        return STATUS_OK;
    enum status status = load_owner(config, (uint32_t)config->data.part, &ret_part->data, err);
    if (status == STATUS_OK)
        status = job_hold_out(config, ret_part, err);
    return status;
}

void job_part_deinit(struct job_part *part)
{
    dataset_deinit(&part->data);
    dataset_deinit(&part->holdout);
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
    return load_samples(config, true, nullptr, 0, ret_data, err);
}

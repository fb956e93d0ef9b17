/*
 * dataset_safetensors.c - tensors x and y made samples, and samples made tensors.
 */
#include "train/dataset_safetensors.h"

#include "base/check.h"
#include "base/text.h"
#include "tensor/safetensors.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { SHAPE_TEXT_MAX = 96, NAMES_TEXT_MAX = 160, NAME_SHOWN_MAX = 40, HEADER_BYTES_MAX = 1024 };

/* Both tensors of an open file. */
struct pair {
    const char *path;
    const struct tensor *x;
    const struct tensor *y;
    const uint8_t *x_data;
    const uint8_t *y_data;
    uint32_t samples;
    uint32_t features;
};

static void shape_text(const struct tensor *tensor, char ret_text[static SHAPE_TEXT_MAX])
{
    size_t used = (size_t)snprintf(ret_text, SHAPE_TEXT_MAX, "%s [", dtype_name(tensor->dtype));
    for (uint32_t i = 0; i < tensor->rank && used < SHAPE_TEXT_MAX; i++)
        used += (size_t)snprintf(ret_text + used, SHAPE_TEXT_MAX - used, "%s%llu",
                                 i > 0 ? ", " : "", (unsigned long long)tensor->shape[i]);
    if (used < SHAPE_TEXT_MAX)
        snprintf(ret_text + used, SHAPE_TEXT_MAX - used, "]");
}

static enum status missing(const struct safetensors *file, const char *path, const char *name,
                           struct error *err)
{
    char names[NAMES_TEXT_MAX] = "none";
    size_t used = 0;
    for (uint32_t i = 0; i < file->layout->tensor_count && used + NAME_SHOWN_MAX < NAMES_TEXT_MAX;
         i++) {
        const struct tensor *const tensor = &file->layout->tensors[i];
        char shown[NAME_SHOWN_MAX];
        text_escape(tensor->name, tensor->name_size, shown, sizeof(shown));
        used +=
            (size_t)snprintf(names + used, sizeof(names) - used, "%s%s", i > 0 ? ", " : "", shown);
    }
    return error_set(err, STATUS_CORRUPT,
                     "%s: has no tensor %s; x (F32 or U8, [n, ...]) and y (whole numbers, [n]) are "
                     "right, its tensors are: %s",
                     path, name, names);
}

static enum status check_x(struct pair *pair, struct error *err)
{
    char shape[SHAPE_TEXT_MAX];
    const struct tensor *const x = pair->x;
    shape_text(x, shape);
    if ((x->dtype != DTYPE_F32 && x->dtype != DTYPE_U8) || x->rank < 2)
        return error_set(err, STATUS_CORRUPT, "%s: x is %s; F32 or U8 [n, ...] is right",
                         pair->path, shape);
    if (x->shape[0] < 1 || x->shape[0] > DATASET_SAMPLES_MAX)
        return error_set(err, x->shape[0] < 1 ? STATUS_CORRUPT : STATUS_LIMIT,
                         "%s: x is %s; 1 to %u samples are right", pair->path, shape,
                         (unsigned)DATASET_SAMPLES_MAX);
    const uint64_t features = x->count / x->shape[0];
    if (features < 1 || features > DATASET_FEATURES_MAX)
        return error_set(err, features < 1 ? STATUS_CORRUPT : STATUS_LIMIT,
                         "%s: x is %s; 1 to %u values a sample are right", pair->path, shape,
                         (unsigned)DATASET_FEATURES_MAX);
    pair->samples = (uint32_t)x->shape[0];
    pair->features = (uint32_t)features;
    return STATUS_OK;
}

static bool is_whole(enum dtype dtype)
{
    return dtype == DTYPE_U8 || dtype == DTYPE_I8 || dtype == DTYPE_U16 || dtype == DTYPE_I16 ||
           dtype == DTYPE_U32 || dtype == DTYPE_I32 || dtype == DTYPE_U64 || dtype == DTYPE_I64;
}

static enum status check_y(const struct pair *pair, struct error *err)
{
    char shape[SHAPE_TEXT_MAX];
    shape_text(pair->y, shape);
    if (!is_whole(pair->y->dtype) || pair->y->rank != 1 || pair->y->shape[0] != pair->samples)
        return error_set(err, STATUS_CORRUPT,
                         "%s: y is %s; whole numbers (I64, U8, ...) [%u], one a sample of x, are "
                         "right",
                         pair->path, shape, pair->samples);
    return STATUS_OK;
}

static enum status find_pair(const struct safetensors *file, const char *path,
                             struct pair *ret_pair, struct error *err)
{
    uint32_t x = 0;
    uint32_t y = 0;
    if (!layout_find(file->layout, "x", 1, &x))
        return missing(file, path, "x", err);
    if (!layout_find(file->layout, "y", 1, &y))
        return missing(file, path, "y", err);
    *ret_pair = (struct pair){.path = path,
                              .x = &file->layout->tensors[x],
                              .y = &file->layout->tensors[y],
                              .x_data = file->data[x],
                              .y_data = file->data[y]};
    const enum status status = check_x(ret_pair, err);
    return status == STATUS_OK ? check_y(ret_pair, err) : status;
}

/* The label of a sample as 64 bits, sign extended; any alignment. */
static uint64_t label_at(const struct pair *pair, uint32_t sample)
{
    const uint32_t size = dtype_size(pair->y->dtype);
    const uint8_t *const at = pair->y_data + (size_t)sample * size;
    uint64_t value = 0;
    for (uint32_t i = 0; i < size; i++)
        value |= (uint64_t)at[i] << (8 * i);
    const bool is_signed = pair->y->dtype == DTYPE_I8 || pair->y->dtype == DTYPE_I16 ||
                           pair->y->dtype == DTYPE_I32 || pair->y->dtype == DTYPE_I64;
    if (is_signed && size < 8 && at[size - 1] >= 0x80)
        value |= UINT64_MAX << (8 * size);
    return value;
}

static enum status take_label(const struct pair *pair, uint32_t sample, uint32_t classes,
                              uint8_t *ret_label, struct error *err)
{
    const uint64_t label = label_at(pair, sample);
    if (label >= classes) {
        char text[24];
        if (pair->y->dtype == DTYPE_U64)
            snprintf(text, sizeof(text), "%llu", (unsigned long long)label);
        else
            snprintf(text, sizeof(text), "%lld", (long long)label);
        return error_set(err, STATUS_CORRUPT,
                         "%s: y[%u] is %s; labels of %u classes are 0 to %u (model.classes)",
                         pair->path, sample, text, classes, classes - 1);
    }
    *ret_label = (uint8_t)label;
    return STATUS_OK;
}

/* Copies one sample's values to ret; all must be finite. */
static enum status take_values(const struct pair *pair, uint32_t sample, float *ret,
                               struct error *err)
{
    const size_t size = pair->features * sizeof(float);
    memcpy(ret, pair->x_data + sample * size, size);
    for (uint32_t i = 0; i < pair->features; i++) {
        if (!isfinite(ret[i]))
            return error_set(err, STATUS_CORRUPT,
                             "%s: x[%u], value %u of %u, is %g; finite numbers are right",
                             pair->path, sample, i, pair->features, (double)ret[i]);
    }
    return STATUS_OK;
}

static enum status check_classes(uint32_t classes, struct error *err)
{
    if (classes < 1 || classes > DATASET_CLASSES_MAX)
        return error_set(err, STATUS_INVAL, "%u classes; 1 to %d are right", classes,
                         (int)DATASET_CLASSES_MAX);
    return STATUS_OK;
}

static enum status take_labels(const struct pair *pair, uint32_t classes, uint8_t **ret_labels,
                               struct error *err)
{
    enum status status = STATUS_OK;
    uint8_t *const labels = malloc(pair->samples);
    float *const row = malloc(pair->features * sizeof(*row));
    if (labels == nullptr || row == nullptr)
        status = error_set(err, STATUS_NO_MEMORY, "%s: no memory for %u labels", pair->path,
                           pair->samples);
    for (uint32_t i = 0; i < pair->samples && status == STATUS_OK; i++) {
        status = take_label(pair, i, classes, &labels[i], err);
        if (status == STATUS_OK && pair->x->dtype == DTYPE_F32)
            status = take_values(pair, i, row, err);
    }
    free(row);
    if (status == STATUS_OK)
        *ret_labels = labels;
    else
        free(labels);
    return status;
}

/* The chosen samples; indices null for all. */
static enum status take_samples(const struct pair *pair, uint32_t classes, const uint32_t *indices,
                                uint32_t count, struct dataset *ret_dataset, struct error *err)
{
    CHECK(pair->x != nullptr && pair->y != nullptr);
    const bool bytes = pair->x->dtype == DTYPE_U8;
    struct dataset set = {.samples = count, .features = pair->features};
    enum status status = STATUS_OK;
    void *const samples = malloc((size_t)count * pair->features * (bytes ? 1 : sizeof(float)) + 1);
    set.pixels = bytes ? samples : nullptr;
    set.values = bytes ? nullptr : samples;
    set.labels = malloc((size_t)count + 1);
    if (samples == nullptr || set.labels == nullptr)
        status = error_set(err, STATUS_NO_MEMORY, "%s: no memory for %u samples of %u values",
                           pair->path, count, pair->features);
    for (uint32_t i = 0; i < count && status == STATUS_OK; i++) {
        const uint32_t sample = indices == nullptr ? i : indices[i];
        if (sample >= pair->samples || (i > 0 && indices != nullptr && sample <= indices[i - 1])) {
            status = error_set(err, STATUS_INVAL,
                               "%s: sample %u was asked for after sample %u; there are %u, in "
                               "ascending order",
                               pair->path, sample, i > 0 ? indices[i - 1] : 0, pair->samples);
            break;
        }
        const size_t at = (size_t)i * pair->features;
        if (bytes)
            memcpy(set.pixels + at, pair->x_data + (size_t)sample * pair->features, pair->features);
        else
            status = take_values(pair, sample, set.values + at, err);
        if (status == STATUS_OK)
            status = take_label(pair, sample, classes, &set.labels[i], err);
    }
    if (status == STATUS_OK)
        *ret_dataset = set;
    else
        dataset_deinit(&set);
    return status;
}

static enum status open_pair(const char *path, struct safetensors **ret_file, struct pair *ret_pair,
                             struct error *err)
{
    struct safetensors *file = nullptr;
    enum status status = safetensors_open_file(path, &file, err);
    if (status != STATUS_OK)
        return status;
    status = find_pair(file, path, ret_pair, err);
    if (status == STATUS_OK)
        *ret_file = file;
    else
        safetensors_close(file);
    return status;
}

enum status dataset_safetensors_labels(const char *path, uint32_t classes, uint8_t **ret_labels,
                                       uint32_t *ret_samples, struct error *err)
{
    struct safetensors *file = nullptr;
    struct pair pair = {0};
    enum status status = check_classes(classes, err);
    if (status == STATUS_OK)
        status = open_pair(path, &file, &pair, err);
    if (status != STATUS_OK)
        return status;
    status = take_labels(&pair, classes, ret_labels, err);
    if (status == STATUS_OK)
        *ret_samples = pair.samples;
    safetensors_close(file);
    return status;
}

enum status dataset_safetensors_load(const char *path, uint32_t classes, const uint32_t *indices,
                                     uint32_t count, struct dataset *ret_dataset, struct error *err)
{
    struct safetensors *file = nullptr;
    struct pair pair = {0};
    enum status status = check_classes(classes, err);
    if (status == STATUS_OK)
        status = open_pair(path, &file, &pair, err);
    if (status != STATUS_OK)
        return status;
    status = take_samples(&pair, classes, indices, indices == nullptr ? pair.samples : count,
                          ret_dataset, err);
    safetensors_close(file);
    return status;
}

enum status dataset_safetensors_features(const char *path, uint32_t *ret_features,
                                         struct error *err)
{
    struct safetensors *file = nullptr;
    struct pair pair = {0};
    const enum status status = open_pair(path, &file, &pair, err);
    if (status != STATUS_OK)
        return status;
    *ret_features = pair.features;
    safetensors_close(file);
    return STATUS_OK;
}

enum status dataset_safetensors_read(const char *name, struct slice data, uint32_t classes,
                                     struct dataset *ret_dataset, struct error *err)
{
    struct safetensors *file = nullptr;
    struct pair pair = {0};
    enum status status = check_classes(classes, err);
    if (status == STATUS_OK)
        status = safetensors_open(data, &file, err);
    if (status != STATUS_OK)
        return status;
    status = find_pair(file, name, &pair, err);
    if (status == STATUS_OK)
        status = take_samples(&pair, classes, nullptr, pair.samples, ret_dataset, err);
    safetensors_close(file);
    return status;
}

static enum status layout_of(const struct dataset *data, struct layout **ret_layout,
                             struct error *err)
{
    const uint64_t shape[2] = {data->samples, data->features};
    struct layout_builder *builder = nullptr;
    enum status status = layout_builder_create(&builder);
    if (status != STATUS_OK)
        return error_set(err, status, "no memory for a layout");
    status = layout_builder_add(builder, "x", 1, data->values != nullptr ? DTYPE_F32 : DTYPE_U8, 2,
                                shape, err);
    if (status == STATUS_OK)
        status = layout_builder_add(builder, "y", 1, DTYPE_U8, 1, shape, err);
    if (status == STATUS_OK)
        status = layout_builder_finish(builder, ret_layout, err);
    layout_builder_destroy(builder);
    return status;
}

static bool write_parts(FILE *file, const struct bytes *header, const struct dataset *data)
{
    const size_t values = (size_t)data->samples * data->features;
    const size_t size = data->values != nullptr ? sizeof(float) : 1;
    const void *const x = data->values != nullptr ? (const void *)data->values : data->pixels;
    return fwrite(header->data, 1, header->size, file) == header->size &&
           fwrite(x, size, values, file) == values &&
           fwrite(data->labels, 1, data->samples, file) == data->samples;
}

enum status dataset_safetensors_write(const char *path, const struct dataset *data,
                                      struct error *err)
{
    struct layout *layout = nullptr;
    struct bytes header;
    bytes_init(&header, HEADER_BYTES_MAX);
    enum status status = layout_of(data, &layout, err);
    if (status == STATUS_OK)
        status = safetensors_encode_header(layout, nullptr, 0, &header, err);
    if (status != STATUS_OK)
        goto out;
    FILE *const file = fopen(path, "we");
    if (file == nullptr) {
        status = error_set_errno(err, STATUS_IO, errno, "%s: cannot be made", path);
        goto out;
    }
    struct stat info = {0};
    const bool is_regular = fstat(fileno(file), &info) == 0 && S_ISREG(info.st_mode);
    errno = 0;
    const bool written = write_parts(file, &header, data);
    if (fclose(file) != 0 || !written) {
        status =
            error_set_errno(err, errno == ENOSPC || errno == EDQUOT ? STATUS_NO_SPACE : STATUS_IO,
                            errno, "%s: cannot be written", path);
        if (is_regular) /* never a device */
            unlink(path);
    }
out:
    bytes_deinit(&header);
    layout_destroy(layout);
    return status;
}

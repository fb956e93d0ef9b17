/*
 * aggregate_rows.c - what a file of updates must look like, and its elements as f32.
 */
#include "robust/aggregate_rows.h"

#include "base/bytes.h"
#include "base/text.h"
#include "robust/aggregate.h"

#include <stdlib.h>
#include <string.h>

enum { SHOWN_MAX = 300 };

static const char samples_name[] = "samples";

bool rows_is_samples(const struct tensor *tensor)
{
    return strcmp(tensor->name, samples_name) == 0;
}

static enum status check_tensor(const struct tensor *tensor, uint64_t n, struct error *err)
{
    char shown[SHOWN_MAX];
    text_escape(tensor->name, tensor->name_size, shown, sizeof(shown));
    if (tensor->dtype != DTYPE_F32 && tensor->dtype != DTYPE_F16 && tensor->dtype != DTYPE_BF16)
        return error_set(err, STATUS_INVAL,
                         "tensor %s has elements of type %s; updates are F32, F16 or BF16", shown,
                         dtype_name(tensor->dtype));
    if (tensor->rank == 0)
        return error_set(err, STATUS_INVAL,
                         "tensor %s is a scalar; its first axis must be the updates", shown);
    if (tensor->shape[0] != n)
        return error_set(err, STATUS_INVAL,
                         "tensor %s has %llu rows, but another tensor has %llu; the first axis is "
                         "the updates",
                         shown, (unsigned long long)tensor->shape[0], (unsigned long long)n);
    return STATUS_OK;
}

/* n and that all tensors have it. */
static enum status check_shape(const struct layout *layout, uint64_t *ret_n, struct error *err)
{
    uint64_t n = 0;
    bool is_known = false;
    for (uint32_t i = 0; i < layout->tensor_count; i++) {
        const struct tensor *const tensor = &layout->tensors[i];
        if (rows_is_samples(tensor))
            continue;
        if (!is_known && tensor->rank > 0)
            n = tensor->shape[0];
        is_known = true;
        const enum status status = check_tensor(tensor, n, err);
        if (status != STATUS_OK)
            return status;
    }
    if (!is_known)
        return error_set(err, STATUS_INVAL, "the file holds no tensors of updates");
    if (n == 0)
        return error_set(err, STATUS_INVAL, "the file holds no updates: its first axis is 0 long");
    if (n > AGGREGATE_ROWS_MAX)
        return error_set(err, STATUS_LIMIT, "%llu updates, at most %d are allowed",
                         (unsigned long long)n, AGGREGATE_ROWS_MAX);
    *ret_n = n;
    return STATUS_OK;
}

static enum status read_samples(const struct safetensors *file, uint32_t index, struct rows *rows,
                                struct error *err)
{
    const struct tensor *const tensor = &file->layout->tensors[index];
    if (tensor->dtype != DTYPE_I64 || tensor->rank != 1 || tensor->shape[0] != rows->n)
        return error_set(err, STATUS_INVAL, "tensor samples must be I64 of shape [%llu]",
                         (unsigned long long)rows->n);
    for (uint64_t i = 0; i < rows->n; i++) {
        const int64_t samples = (int64_t)load_u64le(file->data[index] + 8 * i);
        if (samples < 0)
            return error_set(err, STATUS_INVAL, "samples[%llu] is %lld; it must be 0 or more",
                             (unsigned long long)i, (long long)samples);
        if (samples > UINT32_MAX)
            return error_set(err, STATUS_LIMIT, "samples[%llu] is %lld; it may be at most %u",
                             (unsigned long long)i, (long long)samples, UINT32_MAX);
        rows->weights[i] = (uint32_t)samples;
        rows->weight_sum += rows->weights[i];
    }
    if (rows->weight_sum == 0)
        return error_set(err, STATUS_INVAL, "samples are all 0: there is nothing to weigh by");
    return STATUS_OK;
}

static enum status read_weights(struct rows *rows, struct error *err)
{
    rows->weights = calloc(rows->n, sizeof(*rows->weights));
    if (rows->weights == nullptr)
        return error_set(err, STATUS_NO_MEMORY, "no memory for the weights");
    uint32_t index = 0;
    if (layout_find(rows->file->layout, samples_name, strlen(samples_name), &index))
        return read_samples(rows->file, index, rows, err);
    for (uint64_t i = 0; i < rows->n; i++)
        rows->weights[i] = 1;
    rows->weight_sum = rows->n;
    return STATUS_OK;
}

static enum status make_layout(struct rows *rows, struct error *err)
{
    struct layout_builder *builder = nullptr;
    if (layout_builder_create(&builder) != STATUS_OK)
        return error_set(err, STATUS_NO_MEMORY, "no memory for a layout");
    const struct layout *const layout = rows->file->layout;
    enum status status = STATUS_OK;
    for (uint32_t i = 0; i < layout->tensor_count && status == STATUS_OK; i++) {
        const struct tensor *const tensor = &layout->tensors[i];
        if (!rows_is_samples(tensor))
            status = layout_builder_add(builder, tensor->name, tensor->name_size, DTYPE_F32,
                                        tensor->rank - 1, tensor->shape + 1, err);
    }
    if (status == STATUS_OK)
        status = layout_builder_finish(builder, &rows->layout, err);
    layout_builder_destroy(builder);
    return status;
}

static enum status list_tiles(struct rows *rows, struct error *err)
{
    uint64_t most = 1;
    for (uint32_t i = 0; i < rows->layout->tensor_count; i++)
        most += rows->layout->tensors[i].count / ROWS_TILE + 1;
    rows->tiles = calloc(most, sizeof(*rows->tiles));
    if (rows->tiles == nullptr)
        return error_set(err, STATUS_NO_MEMORY, "no memory for the list of tiles");
    uint64_t output = 0;
    uint32_t made = 0; /* tensors of the result: those of the file without samples, in its order */
    for (uint32_t i = 0; i < rows->file->layout->tensor_count; i++) {
        if (rows_is_samples(&rows->file->layout->tensors[i]))
            continue;
        const uint64_t count = rows->layout->tensors[made++].count;
        for (uint64_t first = 0; first < count; first += ROWS_TILE) {
            const uint32_t size = (uint32_t)(count - first < ROWS_TILE ? count - first : ROWS_TILE);
            rows->tiles[rows->tile_count++] = (struct rows_tile){i, size, first, output + first};
        }
        output += count;
    }
    return STATUS_OK;
}

enum status rows_init(const struct safetensors *file, struct rows *ret_rows, struct error *err)
{
    struct rows rows = {.file = file};
    enum status status = check_shape(file->layout, &rows.n, err);
    if (status == STATUS_OK)
        status = read_weights(&rows, err);
    if (status == STATUS_OK)
        status = make_layout(&rows, err);
    if (status == STATUS_OK)
        status = list_tiles(&rows, err);
    if (status != STATUS_OK) {
        rows_deinit(&rows);
        return status;
    }
    rows.d = rows.layout->parameter_count;
    *ret_rows = rows;
    return STATUS_OK;
}

void rows_deinit(struct rows *rows)
{
    free(rows->weights);
    layout_destroy(rows->layout);
    free(rows->tiles);
    *rows = (struct rows){0};
}

static float from_bits(uint32_t bits)
{
    float value = 0;
    memcpy(&value, &bits, sizeof(value));
    return value;
}

/* IEEE 754 binary16; exact, NaN stays NaN. */
static float from_f16(uint16_t half)
{
    const uint32_t sign = (uint32_t)(half & 0x8000) << 16;
    const uint32_t exponent = half >> 10 & 0x1f;
    const uint32_t mantissa = half & 0x3ff;
    if (exponent == 0x1f)
        return from_bits(sign | 0x7f800000 | mantissa << 13);
    if (exponent == 0) {
        const float magnitude = (float)mantissa * 0x1p-24f;
        return sign != 0 ? -magnitude : magnitude;
    }
    return from_bits(sign | (exponent + 112) << 23 | mantissa << 13);
}

const float *rows_read_part(const struct rows *rows, uint32_t tensor_index, uint64_t row,
                            uint64_t first, size_t count, bool is_copied, float *buffer)
{
    const struct tensor *const tensor = &rows->file->layout->tensors[tensor_index];
    const uint64_t row_count = tensor->count / rows->n;
    const uint32_t size = dtype_size(tensor->dtype);
    const uint8_t *data = rows->file->data[tensor_index] + (row * row_count + first) * size;
    if (tensor->dtype == DTYPE_F32) {
        if (is_copied)
            safetensors_read(rows->file, data, count * sizeof(float), buffer);
        else if ((uintptr_t)data % alignof(float) == 0)
            return (const float *)(const void *)data;
        else
            memcpy(buffer, data, count * sizeof(float));
        return buffer;
    }
    if (is_copied) {
        /* Halves in the second half of the buffer, which the loop has read before it writes there.
         */
        uint8_t *const halves = (uint8_t *)buffer + count * sizeof(uint16_t);
        safetensors_read(rows->file, data, count * sizeof(uint16_t), halves);
        data = halves;
    }
    for (size_t i = 0; i < count; i++) {
        const uint16_t bits = (uint16_t)(data[2 * i] | data[2 * i + 1] << 8);
        buffer[i] = tensor->dtype == DTYPE_F16 ? from_f16(bits) : from_bits((uint32_t)bits << 16);
    }
    return buffer;
}

const float *rows_read(const struct rows *rows, const struct rows_tile *tile, uint64_t row,
                       float *buffer)
{
    return rows_read_part(rows, tile->tensor, row, tile->first, tile->count, false, buffer);
}

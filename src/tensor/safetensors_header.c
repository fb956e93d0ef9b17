/*
 * safetensors_header.c - reads the JSON header of a safetensors file.
 */
#include "tensor/safetensors_header.h"

#include "base/check.h"
#include "base/text.h"

#include <stdlib.h>
#include <string.h>
#include <yyjson.h>

enum { NAME_SHOWN_MAX = 300 };

/* The three members that describe a tensor. */
struct fields {
    yyjson_val *dtype;
    yyjson_val *shape;
    yyjson_val *data_offsets;
};

static void show(yyjson_val *text, char ret[static NAME_SHOWN_MAX])
{
    text_escape(yyjson_get_str(text), yyjson_get_len(text), ret, NAME_SHOWN_MAX);
}

static enum status find_fields(yyjson_val *value, const char *shown, struct fields *ret_fields,
                               struct error *err)
{
    if (!yyjson_is_obj(value))
        return error_set(err, STATUS_CORRUPT, "tensor %s: its description is not a JSON object",
                         shown);
    struct fields fields = {0};
    const struct {
        const char *name;
        yyjson_val **slot;
    } slots[] = {
        {"dtype", &fields.dtype}, {"shape", &fields.shape}, {"data_offsets", &fields.data_offsets}};
    yyjson_obj_iter iterator = yyjson_obj_iter_with(value);
    for (yyjson_val *key; (key = yyjson_obj_iter_next(&iterator)) != nullptr;) {
        for (size_t i = 0; i < sizeof(slots) / sizeof(slots[0]); i++) {
            if (!yyjson_equals_str(key, slots[i].name))
                continue;
            if (*slots[i].slot != nullptr)
                return error_set(err, STATUS_CORRUPT, "tensor %s: \"%s\" is there twice", shown,
                                 slots[i].name);
            *slots[i].slot = yyjson_obj_iter_get_val(key);
        }
    }
    for (size_t i = 0; i < sizeof(slots) / sizeof(slots[0]); i++) {
        if (*slots[i].slot == nullptr)
            return error_set(err, STATUS_CORRUPT, "tensor %s: \"%s\" is missing", shown,
                             slots[i].name);
    }
    *ret_fields = fields;
    return STATUS_OK;
}

static enum status read_shape(yyjson_val *value, const char *shown, uint32_t *ret_rank,
                              uint64_t ret_shape[static LAYOUT_RANK_MAX], struct error *err)
{
    if (!yyjson_is_arr(value))
        return error_set(err, STATUS_CORRUPT, "tensor %s: \"shape\" is not an array", shown);
    const size_t rank = yyjson_arr_size(value);
    if (rank > LAYOUT_RANK_MAX)
        return error_set(err, STATUS_LIMIT, "tensor %s: rank %zu, at most %d is allowed", shown,
                         rank, LAYOUT_RANK_MAX);
    yyjson_arr_iter iterator = yyjson_arr_iter_with(value);
    for (size_t i = 0; i < rank; i++) {
        yyjson_val *const dimension = yyjson_arr_iter_next(&iterator);
        if (!yyjson_is_uint(dimension))
            return error_set(err, STATUS_CORRUPT,
                             "tensor %s: dimension %zu of \"shape\" is no integer from 0 to 2^64-1",
                             shown, i);
        ret_shape[i] = yyjson_get_uint(dimension);
    }
    *ret_rank = (uint32_t)rank;
    return STATUS_OK;
}

static enum status read_range(yyjson_val *value, const char *shown, struct header_range *range,
                              struct error *err)
{
    yyjson_val *const begin = yyjson_arr_get(value, 0);
    yyjson_val *const end = yyjson_arr_get(value, 1);
    if (yyjson_arr_size(value) != 2 || !yyjson_is_uint(begin) || !yyjson_is_uint(end))
        return error_set(err, STATUS_CORRUPT,
                         "tensor %s: \"data_offsets\" is not an array of two integers from 0 on",
                         shown);
    range->begin = yyjson_get_uint(begin);
    range->end = yyjson_get_uint(end);
    if (range->begin > range->end)
        return error_set(err, STATUS_CORRUPT, "tensor %s: its data end before they begin", shown);
    return STATUS_OK;
}

/* Statuses of the builder are about our caller; here the file is at fault. */
static enum status as_file_status(enum status status)
{
    return status == STATUS_INVAL || status == STATUS_EXISTS ? STATUS_CORRUPT : status;
}

static enum status read_tensor(yyjson_val *key, yyjson_val *value, struct layout_builder *builder,
                               struct header_range *range, struct error *err)
{
    char shown[NAME_SHOWN_MAX];
    show(key, shown);
    struct fields fields = {0};
    enum status status = find_fields(value, shown, &fields, err);
    if (status != STATUS_OK)
        return status;
    const enum dtype dtype = yyjson_is_str(fields.dtype) ? dtype_find(yyjson_get_str(fields.dtype),
                                                                      yyjson_get_len(fields.dtype))
                                                         : DTYPE_NONE;
    if (dtype == DTYPE_NONE)
        return error_set(err, STATUS_CORRUPT,
                         "tensor %s: \"dtype\" is none of BOOL, U8, I8, F8_E5M2, F8_E4M3, I16, "
                         "U16, F16, BF16, I32, U32, F32, F64, I64, U64",
                         shown);
    uint32_t rank = 0;
    uint64_t shape[LAYOUT_RANK_MAX] = {0};
    status = read_shape(fields.shape, shown, &rank, shape, err);
    if (status == STATUS_OK)
        status = read_range(fields.data_offsets, shown, range, err);
    if (status != STATUS_OK)
        return status;
    range->name = yyjson_get_str(key);
    range->name_size = yyjson_get_len(key);
    return as_file_status(
        layout_builder_add(builder, range->name, range->name_size, dtype, rank, shape, err));
}

static int compare_pairs(const void *a, const void *b)
{
    const struct safetensors_pair *const x = a;
    const struct safetensors_pair *const y = b;
    return strcmp(x->key, y->key);
}

static bool has_zero_byte(yyjson_val *text)
{
    return strlen(yyjson_get_str(text)) != yyjson_get_len(text);
}

static enum status read_metadata(yyjson_val *value, struct header *header, struct error *err)
{
    if (!yyjson_is_obj(value))
        return error_set(err, STATUS_CORRUPT, "__metadata__ is not a JSON object");
    const size_t count = yyjson_obj_size(value);
    if (count > SAFETENSORS_METADATA_MAX)
        return error_set(err, STATUS_LIMIT, "__metadata__ has %zu entries, at most %d are allowed",
                         count, SAFETENSORS_METADATA_MAX);
    header->metadata = calloc(count + 1, sizeof(*header->metadata));
    if (header->metadata == nullptr)
        return error_set(err, STATUS_NO_MEMORY, "no memory for the metadata");
    yyjson_obj_iter iterator = yyjson_obj_iter_with(value);
    for (yyjson_val *key; (key = yyjson_obj_iter_next(&iterator)) != nullptr;) {
        yyjson_val *const text = yyjson_obj_iter_get_val(key);
        char shown[NAME_SHOWN_MAX];
        show(key, shown);
        if (!yyjson_is_str(text))
            return error_set(err, STATUS_CORRUPT, "__metadata__: the value of %s is not a string",
                             shown);
        if (has_zero_byte(key) || has_zero_byte(text))
            return error_set(err, STATUS_CORRUPT, "__metadata__: %s holds a zero byte", shown);
        header->metadata[header->metadata_count++] =
            (struct safetensors_pair){yyjson_get_str(key), yyjson_get_str(text)};
    }
    qsort(header->metadata, count, sizeof(*header->metadata), compare_pairs);
    for (size_t i = 1; i < count; i++) {
        if (strcmp(header->metadata[i - 1].key, header->metadata[i].key) == 0) {
            char shown[NAME_SHOWN_MAX];
            text_escape(header->metadata[i].key, strlen(header->metadata[i].key), shown,
                        sizeof(shown));
            return error_set(err, STATUS_CORRUPT, "__metadata__: %s is there twice", shown);
        }
    }
    return STATUS_OK;
}

/* Walks the members of the top object. */
static enum status read_members(yyjson_val *root, struct layout_builder *builder,
                                struct header *header, struct error *err)
{
    const size_t count = yyjson_obj_size(root);
    if (count > LAYOUT_TENSORS_MAX + 1)
        return error_set(err, STATUS_LIMIT, "%zu tensors, at most %d are allowed", count,
                         LAYOUT_TENSORS_MAX);
    header->ranges = calloc(count + 1, sizeof(*header->ranges));
    if (header->ranges == nullptr)
        return error_set(err, STATUS_NO_MEMORY, "no memory for the list of tensors");
    size_t tensors = 0;
    yyjson_obj_iter iterator = yyjson_obj_iter_with(root);
    for (yyjson_val *key; (key = yyjson_obj_iter_next(&iterator)) != nullptr;) {
        yyjson_val *const value = yyjson_obj_iter_get_val(key);
        enum status status = STATUS_OK;
        if (!yyjson_equals_str(key, "__metadata__"))
            status = read_tensor(key, value, builder, &header->ranges[tensors++], err);
        else if (header->metadata != nullptr)
            status = error_set(err, STATUS_CORRUPT, "__metadata__ is there twice");
        else
            status = read_metadata(value, header, err);
        if (status != STATUS_OK)
            return status;
    }
    return as_file_status(layout_builder_finish(builder, &header->layout, err));
}

static enum status check_sizes(const struct header *header, struct error *err)
{
    for (uint32_t i = 0; i < header->layout->tensor_count; i++) {
        const struct header_range *const range = &header->ranges[i];
        uint32_t index = 0;
        CHECK(layout_find(header->layout, range->name, range->name_size, &index));
        const struct tensor *const tensor = &header->layout->tensors[index];
        if (range->end - range->begin != tensor->size) {
            char shown[NAME_SHOWN_MAX];
            text_escape(range->name, range->name_size, shown, sizeof(shown));
            return error_set(
                err, STATUS_CORRUPT,
                "tensor %s: \"data_offsets\" span %llu bytes, its dtype and shape need "
                "%llu",
                shown, (unsigned long long)(range->end - range->begin),
                (unsigned long long)tensor->size);
        }
    }
    return STATUS_OK;
}

enum status header_read(struct slice json, struct header *ret_header, struct error *err)
{
    struct header header = {0};
    struct layout_builder *builder = nullptr;
    yyjson_read_err json_err = {0};
    enum status status = layout_builder_create(&builder);
    if (status != STATUS_OK) {
        error_set(err, status, "no memory for a header");
        goto out;
    }
    if (json.size == 0 || json.data[0] != '{') {
        status = error_set(err, STATUS_CORRUPT, "the header does not begin with '{'");
        goto out;
    }
    /* Without YYJSON_READ_INSITU the text is copied, never written to, whatever the type says. */
    header.document = yyjson_read_opts((char *)(uintptr_t)json.data, json.size, YYJSON_READ_NOFLAG,
                                       nullptr, &json_err);
    if (header.document == nullptr) {
        status = json_err.code == YYJSON_READ_ERROR_MEMORY_ALLOCATION
                     ? error_set(err, STATUS_NO_MEMORY, "no memory for a header")
                     : error_set(err, STATUS_CORRUPT, "the header is not JSON: %s at byte %zu",
                                 json_err.msg, json_err.pos);
        goto out;
    }
    status = read_members(yyjson_doc_get_root(header.document), builder, &header, err);
    if (status == STATUS_OK)
        status = check_sizes(&header, err);
out:
    layout_builder_destroy(builder);
    if (status == STATUS_OK)
        *ret_header = header;
    else
        header_deinit(&header);
    return status;
}

void header_deinit(struct header *header)
{
    layout_destroy(header->layout);
    free(header->ranges);
    free(header->metadata);
    yyjson_doc_free(header->document);
    *header = (struct header){0};
}

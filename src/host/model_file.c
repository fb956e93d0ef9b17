/*
 * model_file.c - makes, checks and frees model files in memory.
 */
#include "host/model_file.h"

#include "base/check.h"
#include "tensor/safetensors.h"

#include <stdlib.h>
#include <string.h>

enum status model_file_create(const struct layout *layout, struct model_file **ret_file)
{
    CHECK(layout_is_f32(layout));
    struct bytes header;
    bytes_init(&header, SAFETENSORS_HEADER_MAX + 8);
    struct model_file *const file = calloc(1, sizeof(*file));
    enum status status = file != nullptr
                             ? safetensors_encode_header(layout, nullptr, 0, &header, nullptr)
                             : STATUS_NO_MEMORY;
    if (status == STATUS_OK) {
        file->references = 1;
        file->data_offset = header.size;
        file->size = header.size + layout->bytes;
        file->parameter_count = layout->parameter_count;
        file->bytes = malloc(file->size);
        status = file->bytes != nullptr ? STATUS_OK : STATUS_NO_MEMORY;
    }
    if (status == STATUS_OK) {
        memcpy(file->bytes, header.data, header.size);
        *ret_file = file;
    } else {
        free(file);
    }
    bytes_deinit(&header);
    return status;
}

enum status model_file_seal(struct model_file *file, const struct layout *layout)
{
    const enum status status =
        model_digest(layout, file->bytes + file->data_offset, &file->model_digest);
    if (status != STATUS_OK)
        return status;
    return blob_digest(file->bytes, file->size, 0, &file->blob_digest);
}

enum status model_file_adopt(uint8_t *bytes, size_t size, const struct layout *layout,
                             struct model_file **ret_file, struct error *err)
{
    struct safetensors *opened = nullptr;
    struct model_file *file = nullptr;
    enum status status = safetensors_open((struct slice){bytes, size}, &opened, err);
    if (status == STATUS_OK && !layout_equal(opened->layout, layout))
        status = error_set(err, STATUS_CORRUPT,
                           "the model has other tensors than the configuration says");
    if (status == STATUS_OK)
        status = model_file_create(layout, &file);
    if (status == STATUS_OK) {
        safetensors_copy(opened, model_file_parameters(file));
        status = model_file_seal(file, layout);
    }
    if (status == STATUS_OK)
        *ret_file = file;
    else
        model_file_unref(file);
    safetensors_close(opened);
    free(bytes);
    return status;
}

struct model_file *model_file_ref(struct model_file *file)
{
    file->references++;
    return file;
}

void model_file_unref(struct model_file *file)
{
    if (file == nullptr || --file->references > 0)
        return;
    free(file->bytes);
    free(file);
}

void model_file_replace(struct model_file **place, struct model_file *file)
{
    model_file_unref(*place);
    *place = file;
}

/*
 * job_model.c - built-in models by their specification, others from a file.
 */
#include "host/job_model.h"

#include "base/text.h"
#include "host/job_data.h"
#include "tensor/safetensors.h"

#include <inttypes.h>
#include <math.h>

enum { NAME_SHOWN_MAX = 120 };

static enum status open_file(const struct config *config, struct safetensors **ret_file,
                             struct error *err)
{
    enum status status = safetensors_open_file(config->model.path, ret_file, err);
    if (status == STATUS_CORRUPT || status == STATUS_LIMIT)
        status =
            error_prefix(err, STATUS_INVAL, "%s is no good safetensors file", config->model.path);
    return status == STATUS_OK ? status : error_prefix(err, status, "model.path");
}

/* Whether a layout can be that of a job. */
static enum status check_layout(const struct layout *layout, const char *path, struct error *err)
{
    char name[NAME_SHOWN_MAX];
    for (uint32_t i = 0; i < layout->tensor_count; i++) {
        const struct tensor *const tensor = &layout->tensors[i];
        text_escape(tensor->name, tensor->name_size, name, sizeof(name));
        if (tensor->dtype != DTYPE_F32)
            return error_set(err, STATUS_INVAL,
                             "model.path: the tensor %s of %s is %s, all must be F32: leave out "
                             "what is not trained",
                             name, path, dtype_name(tensor->dtype));
    }
    if (layout->parameter_count < 1 || layout->parameter_count > MODEL_PARAMETERS_MAX)
        return error_set(err, STATUS_INVAL,
                         "model.path: %s has %" PRIu64 " parameters, 1 to %d are wanted", path,
                         layout->parameter_count, MODEL_PARAMETERS_MAX);
    return STATUS_OK;
}

static enum status copy_layout(const struct layout *from, struct layout **ret_layout,
                               struct error *err)
{
    struct layout_builder *builder = nullptr;
    enum status status = layout_builder_create(&builder);
    for (uint32_t i = 0; i < from->tensor_count && status == STATUS_OK; i++) {
        const struct tensor *const tensor = &from->tensors[i];
        status = layout_builder_add(builder, tensor->name, tensor->name_size, tensor->dtype,
                                    tensor->rank, tensor->shape, err);
    }
    if (status == STATUS_OK)
        status = layout_builder_finish(builder, ret_layout, err);
    layout_builder_destroy(builder);
    return status;
}

enum status job_file_layout(const struct config *config, struct layout **ret_layout,
                            struct error *err)
{
    struct safetensors *file = nullptr;
    enum status status = open_file(config, &file, err);
    if (status == STATUS_OK)
        status = check_layout(file->layout, config->model.path, err);
    if (status == STATUS_OK)
        status = copy_layout(file->layout, ret_layout, err);
    safetensors_close(file);
    return status;
}

enum status job_model(const struct config *config, struct model_spec *ret_spec,
                      struct layout **ret_layout, struct error *err)
{
    if (config->model.kind != CONFIG_MODEL_FILE) {
        const enum status status = job_model_spec(config, ret_spec, err);
        return status == STATUS_OK ? model_spec_layout(ret_spec, ret_layout, err) : status;
    }
    const enum status status = job_file_layout(config, ret_layout, err);
    if (status == STATUS_OK)
        *ret_spec = (struct model_spec){.kind = MODEL_FLAT,
                                        .parameters = (uint32_t)(*ret_layout)->parameter_count};
    return status;
}

enum status job_model_initial(const struct config *config, const struct model_spec *spec,
                              const struct layout *layout, float *ret_parameters, struct error *err)
{
    struct safetensors *file = nullptr;
    if (config->model.kind != CONFIG_MODEL_FILE) {
        model_spec_initial(spec, config->job.seed, ret_parameters);
        return STATUS_OK;
    }
    enum status status = open_file(config, &file, err);
    if (status == STATUS_OK && !layout_equal(file->layout, layout))
        status = error_set(err, STATUS_INVAL, "model.path: %s has other tensors than at the start",
                           config->model.path);
    if (status == STATUS_OK) {
        safetensors_copy(file, ret_parameters);
        for (uint64_t i = 0; i < layout->parameter_count && status == STATUS_OK; i++) {
            if (!isfinite(ret_parameters[i]))
                status =
                    error_set(err, STATUS_INVAL,
                              "model.path: %s holds NaN or infinity, finite numbers are wanted",
                              config->model.path);
        }
    }
    safetensors_close(file);
    return status;
}

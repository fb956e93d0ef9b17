/*
 * trainer_files.c - makes, empties, reads and distrusts the files of a trainer.
 */
#include "train/trainer_files.h"

#include "base/bytes.h"
#include "base/check.h"
#include "base/text.h"
#include "tensor/safetensors.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <inttypes.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    WALK_FDS = 16,
    NAME_SHOWN_MAX = 120,
    SHAPE_TEXT_MAX = LAYOUT_RANK_MAX * 21 + 3,
};

enum status trainer_folder_make(const char *folder, char ret_path[static TRAINER_PATH_MAX],
                                struct error *err)
{
    if (mkdir(folder, 0700) != 0 && errno != EEXIST)
        return error_set_errno(err, errno == ENOSPC ? STATUS_NO_SPACE : STATUS_IO, errno,
                               "the trainer's folder %s cannot be made", folder);
    char *const path = realpath(folder, nullptr);
    if (path == nullptr)
        return error_set_errno(err, STATUS_IO, errno, "the trainer's folder %s", folder);
    const enum status status = text_copy(path, ret_path, TRAINER_PATH_MAX);
    free(path);
    if (status != STATUS_OK)
        return error_set(err, status, "the trainer's folder %s has too long a path", folder);
    return STATUS_OK;
}

static int remove_entry(const char *path, const struct stat *unused, int type, struct FTW *place)
{
    if (place->level == 0) /* the folder itself */
        return 0;
    return remove(path) == 0 || errno == ENOENT ? 0 : errno;
}

enum status trainer_folder_empty(const char *folder, struct error *err)
{
    const int result = nftw(folder, remove_entry, WALK_FDS, FTW_DEPTH | FTW_PHYS);
    if (result == 0)
        return STATUS_OK;
    return error_set_errno(err, STATUS_IO, result > 0 ? result : errno,
                           "the trainer's folder %s cannot be emptied", folder);
}

enum status trainer_indices_write(const char *path, const uint32_t *indices, uint32_t count,
                                  struct error *err)
{
    FILE *const file = fopen(path, "we");
    if (file == nullptr)
        return error_set_errno(err, STATUS_IO, errno, "%s", path);
    bool good = true;
    for (uint32_t i = 0; i < count && good; i++)
        good = fprintf(file, "%" PRIu32 "\n", indices[i]) > 0;
    if (fclose(file) != 0 || !good)
        return error_set_errno(err, errno == ENOSPC ? STATUS_NO_SPACE : STATUS_IO, errno, "%s",
                               path);
    return STATUS_OK;
}

/* ---- what a trainer left ---- */

static enum status read_all(int fd, uint8_t *bytes, size_t size, struct error *err)
{
    size_t got = 0;
    while (got < size) {
        const ssize_t part = read(fd, bytes + got, size - got);
        if (part < 0 && errno == EINTR)
            continue;
        if (part < 0)
            return error_set_errno(err, STATUS_IO, errno, "the trainer's output cannot be read");
        if (part == 0)
            return error_set(err, STATUS_INVAL,
                             "the trainer's output became shorter while it was read");
        got += (size_t)part;
    }
    return STATUS_OK;
}

/* The whole file, malloc's; the caller frees it. */
static enum status read_file(const char *path, uint64_t bytes_max, uint8_t **ret_bytes,
                             size_t *ret_size, struct error *err)
{
    struct stat stat = {0};
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0 && errno == ENOENT)
        return error_set(err, STATUS_INVAL, "the trainer wrote no output, %s is missing", path);
    if (fd < 0 && errno != ELOOP)
        return error_set_errno(err, STATUS_INVAL, errno, "the trainer's output cannot be opened");
    if (fd < 0 || fstat(fd, &stat) != 0 || !S_ISREG(stat.st_mode)) {
        if (fd >= 0)
            close(fd);
        return error_set(err, STATUS_INVAL, "the trainer's output %s is no regular file", path);
    }
    enum status status = STATUS_OK;
    const uint64_t size = (uint64_t)stat.st_size;
    uint8_t *bytes = nullptr;
    if (size > bytes_max)
        status = error_set(err, STATUS_INVAL,
                           "the trainer's output has %" PRIu64 " bytes, at most %" PRIu64
                           " are wanted for this model",
                           size, bytes_max);
    if (status == STATUS_OK) {
        bytes = malloc(size > 0 ? size : 1);
        if (bytes == nullptr)
            status = error_set(err, STATUS_NO_MEMORY, "no memory for the trainer's output");
    }
    if (status == STATUS_OK)
        status = read_all(fd, bytes, size, err);
    close(fd);
    if (status != STATUS_OK) {
        free(bytes);
        return status;
    }
    *ret_bytes = bytes;
    *ret_size = size;
    return STATUS_OK;
}

/* "[10, 128]" */
static void show_shape(const struct tensor *tensor, char ret_text[static SHAPE_TEXT_MAX])
{
    size_t used = 0;
    used += (size_t)snprintf(ret_text, SHAPE_TEXT_MAX, "[");
    for (uint32_t i = 0; i < tensor->rank; i++)
        used += (size_t)snprintf(ret_text + used, SHAPE_TEXT_MAX - used, "%s%" PRIu64,
                                 i > 0 ? ", " : "", tensor->shape[i]);
    snprintf(ret_text + used, SHAPE_TEXT_MAX - used, "]");
}

static void show_name(const struct tensor *tensor, char ret_text[static NAME_SHOWN_MAX])
{
    text_escape(tensor->name, tensor->name_size, ret_text, NAME_SHOWN_MAX);
}

static enum status check_tensor(const struct layout *found, const struct tensor *wanted,
                                uint32_t *ret_index, struct error *err)
{
    char name[NAME_SHOWN_MAX];
    char shape[SHAPE_TEXT_MAX];
    char wanted_shape[SHAPE_TEXT_MAX];
    show_name(wanted, name);
    if (!layout_find(found, wanted->name, wanted->name_size, ret_index))
        return error_set(err, STATUS_INVAL, "the trainer's output has no tensor %s", name);
    const struct tensor *const tensor = &found->tensors[*ret_index];
    if (tensor->dtype != wanted->dtype)
        return error_set(err, STATUS_INVAL,
                         "the trainer's output has the tensor %s as %s, %s is wanted", name,
                         dtype_name(tensor->dtype), dtype_name(wanted->dtype));
    if (tensor->rank == wanted->rank &&
        memcmp(tensor->shape, wanted->shape, sizeof(tensor->shape)) == 0)
        return STATUS_OK;
    show_shape(tensor, shape);
    show_shape(wanted, wanted_shape);
    return error_set(err, STATUS_INVAL,
                     "the trainer's output has the tensor %s in the shape %s, %s is wanted", name,
                     shape, wanted_shape);
}

/* A tensor of the output that the model does not have. */
static enum status refuse_extra(const struct layout *found, const struct layout *layout,
                                struct error *err)
{
    char name[NAME_SHOWN_MAX];
    uint32_t index = 0;
    for (uint32_t i = 0; i < found->tensor_count; i++) {
        const struct tensor *const tensor = &found->tensors[i];
        if (layout_find(layout, tensor->name, tensor->name_size, &index))
            continue;
        show_name(tensor, name);
        return error_set(err, STATUS_INVAL,
                         "the trainer's output has a tensor %s, which the model has not", name);
    }
    return STATUS_OK;
}

/* delta = base - trained over one tensor; trained lies in delta. */
static enum status subtract(const struct tensor *tensor, const float *base, float *delta,
                            struct error *err)
{
    char name[NAME_SHOWN_MAX];
    for (uint64_t i = 0; i < tensor->count; i++) {
        const float trained = delta[i];
        delta[i] = base[i] - trained;
        if (isfinite(delta[i]))
            continue;
        show_name(tensor, name);
        return error_set(err, STATUS_INVAL,
                         "the trainer's output has %s in %s[%" PRIu64 "], did training diverge?",
                         isnan(trained)   ? "NaN"
                         : isinf(trained) ? "infinity"
                                          : "a value far too large",
                         name, i);
    }
    return STATUS_OK;
}

static enum status take_tensors(const struct safetensors *file, const struct layout *layout,
                                const float *base, float *ret_delta, struct error *err)
{
    enum status status = STATUS_OK;
    for (uint32_t i = 0; i < layout->tensor_count && status == STATUS_OK; i++) {
        const struct tensor *const tensor = &layout->tensors[i];
        const uint64_t first = tensor->offset / sizeof(float);
        uint32_t index = 0;
        status = check_tensor(file->layout, tensor, &index, err);
        if (status != STATUS_OK || tensor->size == 0)
            continue;
        memcpy(ret_delta + first, file->data[index], tensor->size);
        status = subtract(tensor, base + first, ret_delta + first, err);
    }
    if (status == STATUS_OK)
        status = refuse_extra(file->layout, layout, err);
    return status;
}

enum status trainer_output_read(const char *path, const struct layout *layout, const float *base,
                                float *ret_delta, struct error *err)
{
    struct safetensors *file = nullptr;
    uint8_t *bytes = nullptr;
    size_t size = 0;
    CHECK(layout_is_f32(layout));
    /* Room for a header with metadata, or for twice the bytes: F64 gets its own message. */
    const uint64_t bytes_max = 2 * layout->bytes + SAFETENSORS_HEADER_MAX;
    enum status status = read_file(path, bytes_max, &bytes, &size, err);
    if (status != STATUS_OK)
        return status;
    status = safetensors_open((struct slice){bytes, size}, &file, err);
    if (status == STATUS_CORRUPT || status == STATUS_LIMIT)
        status =
            error_prefix(err, STATUS_INVAL, "the trainer's output is no good safetensors file");
    if (status == STATUS_OK)
        status = take_tensors(file, layout, base, ret_delta, err);
    safetensors_close(file);
    free(bytes);
    return status;
}

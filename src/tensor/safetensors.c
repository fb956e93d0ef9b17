/*
 * safetensors.c - opens safetensors files: the frame around the header, and that the tensors tile
 * the data exactly.
 */
#include "tensor/safetensors.h"

#include "base/check.h"
#include "base/text.h"
#include "tensor/safetensors_header.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    PREFIX_BYTES = 8, /* u64le size of the JSON text */
    NAME_SHOWN_MAX = 300,
};

/* What the caller sees comes first, so that a pointer to it is a pointer to this. */
struct safetensors_owner {
    struct safetensors file;
    struct header header;
    const uint8_t **data;
    void *mapping; /* null where the caller owns the bytes */
    size_t mapping_size;
    int fd; /* of the mapping */
};

static int compare_ranges(const void *a, const void *b)
{
    const struct header_range *const x = a;
    const struct header_range *const y = b;
    if (x->begin != y->begin)
        return x->begin < y->begin ? -1 : 1;
    return (x->end > y->end) - (x->end < y->end);
}

/* Sorts the ranges by place; each must begin where the one before it ended, the last end at size.
 */
static enum status check_tiling(struct header *header, uint64_t size, struct error *err)
{
    const uint32_t count = header->layout->tensor_count;
    if (count > 0)
        qsort(header->ranges, count, sizeof(*header->ranges), compare_ranges);
    uint64_t at = 0;
    for (uint32_t i = 0; i < count; i++) {
        const struct header_range *const range = &header->ranges[i];
        char shown[NAME_SHOWN_MAX];
        text_escape(range->name, range->name_size, shown, sizeof(shown));
        if (range->begin != at)
            return error_set(
                err, STATUS_CORRUPT, "tensor %s: its data begin at byte %llu, %s at %llu", shown,
                (unsigned long long)range->begin,
                range->begin < at ? "but those before it end" : "which leaves a hole that begins",
                (unsigned long long)at);
        if (range->end > size)
            return error_set(err, STATUS_CORRUPT,
                             "tensor %s: its data end at byte %llu, but the file has only %llu",
                             shown, (unsigned long long)range->end, (unsigned long long)size);
        at = range->end;
    }
    if (at != size)
        return error_set(err, STATUS_CORRUPT, "%llu bytes at the end belong to no tensor",
                         (unsigned long long)(size - at));
    return STATUS_OK;
}

static enum status split(struct slice file, struct slice *ret_json, struct slice *ret_data,
                         struct error *err)
{
    if (file.size < PREFIX_BYTES)
        return error_set(err, STATUS_CORRUPT, "%zu bytes are too few for a safetensors file",
                         file.size);
    const uint64_t json_size = load_u64le(file.data);
    if (json_size > file.size - PREFIX_BYTES)
        return error_set(err, STATUS_CORRUPT,
                         "the header should have %llu bytes, but only %zu are there",
                         (unsigned long long)json_size, file.size - PREFIX_BYTES);
    if (json_size > SAFETENSORS_HEADER_MAX)
        return error_set(err, STATUS_LIMIT, "a header of %llu bytes, at most %d are allowed",
                         (unsigned long long)json_size, SAFETENSORS_HEADER_MAX);
    *ret_json = (struct slice){file.data + PREFIX_BYTES, json_size};
    *ret_data =
        (struct slice){file.data + PREFIX_BYTES + json_size, file.size - PREFIX_BYTES - json_size};
    return STATUS_OK;
}

static void point_into(struct safetensors_owner *owner, const uint8_t *data)
{
    const struct header *const header = &owner->header;
    for (uint32_t i = 0; i < header->layout->tensor_count; i++) {
        const struct header_range *const range = &header->ranges[i];
        uint32_t index = 0;
        CHECK(layout_find(header->layout, range->name, range->name_size, &index));
        owner->data[index] = data + range->begin;
    }
    owner->file = (struct safetensors){.layout = header->layout,
                                       .data = owner->data,
                                       .metadata = header->metadata,
                                       .metadata_count = header->metadata_count};
}

enum status safetensors_open(struct slice file, struct safetensors **ret_file, struct error *err)
{
    struct slice json = {0};
    struct slice data = {0};
    enum status status = split(file, &json, &data, err);
    if (status != STATUS_OK)
        return status;
    struct safetensors_owner *const owner = calloc(1, sizeof(*owner));
    if (owner == nullptr)
        return error_set(err, STATUS_NO_MEMORY, "no memory for a file's description");
    status = header_read(json, &owner->header, err);
    if (status != STATUS_OK)
        goto out;
    status = check_tiling(&owner->header, data.size, err);
    if (status != STATUS_OK)
        goto out;
    owner->data = calloc((size_t)owner->header.layout->tensor_count + 1, sizeof(*owner->data));
    if (owner->data == nullptr) {
        status = error_set(err, STATUS_NO_MEMORY, "no memory for a file's description");
        goto out;
    }
    point_into(owner, data.data);
    *ret_file = &owner->file;
out:
    if (status != STATUS_OK)
        safetensors_close(&owner->file);
    return status;
}

static enum status map_file(const char *path, int fd, struct slice *ret_file, struct error *err)
{
    struct stat stat = {0};
    if (fstat(fd, &stat) != 0)
        return error_set_errno(err, STATUS_IO, errno, "%s", path);
    if (!S_ISREG(stat.st_mode))
        return error_set(err, STATUS_INVAL, "%s is not a regular file", path);
    if (stat.st_size == 0)
        return error_set(err, STATUS_CORRUPT, "%s is empty", path);
    void *const mapping = mmap(nullptr, (size_t)stat.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (mapping == MAP_FAILED)
        return error_set_errno(err, STATUS_IO, errno, "%s", path);
    *ret_file = (struct slice){mapping, (size_t)stat.st_size};
    return STATUS_OK;
}

enum status safetensors_open_file(const char *path, struct safetensors **ret_file,
                                  struct error *err)
{
    /* O_NONBLOCK, so that a pipe is refused instead of waited for. */
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return error_set_errno(err, errno == ENOENT ? STATUS_NOT_FOUND : STATUS_IO, errno, "%s",
                               path);
    struct slice file = {0};
    enum status status = map_file(path, fd, &file, err);
    if (status != STATUS_OK) {
        close(fd);
        return status;
    }
    struct safetensors *opened = nullptr;
    status = safetensors_open(file, &opened, err);
    if (status != STATUS_OK) {
        munmap((void *)(uintptr_t)file.data, file.size);
        close(fd);
        return error_prefix(err, status, "%s", path);
    }
    struct safetensors_owner *const owner = (struct safetensors_owner *)opened;
    owner->mapping = (void *)(uintptr_t)file.data;
    owner->mapping_size = file.size;
    owner->fd = fd;
    *ret_file = opened;
    return STATUS_OK;
}

void safetensors_close(struct safetensors *file)
{
    if (file == nullptr)
        return;
    struct safetensors_owner *const owner = (struct safetensors_owner *)file;
    header_deinit(&owner->header);
    free(owner->data);
    if (owner->mapping != nullptr) {
        munmap(owner->mapping, owner->mapping_size);
        close(owner->fd);
    }
    free(owner);
}

void safetensors_read(const struct safetensors *file, const void *data, size_t size, void *ret_data)
{
    const struct safetensors_owner *const owner = (const struct safetensors_owner *)file;
    size_t done = 0;
    while (owner->mapping != nullptr && done < size) {
        const off_t offset =
            (off_t)((const uint8_t *)data - (const uint8_t *)owner->mapping) + (off_t)done;
        const ssize_t got = pread(owner->fd, (uint8_t *)ret_data + done, size - done, offset);
        if (got > 0)
            done += (size_t)got;
        else if (got == 0 || errno != EINTR)
            break; /* the mapping tells of the fault as it always does */
    }
    if (done < size)
        memcpy((uint8_t *)ret_data + done, (const uint8_t *)data + done, size - done);
}

void safetensors_copy(const struct safetensors *file, void *ret_data)
{
    for (uint32_t i = 0; i < file->layout->tensor_count; i++) {
        const struct tensor *const tensor = &file->layout->tensors[i];
        if (tensor->size > 0)
            memcpy((uint8_t *)ret_data + tensor->offset, file->data[i], tensor->size);
    }
}

/*
 * safetensors_write.c - writes safetensors files: tensors in the order of the layout, no spaces in
 * the JSON but those that pad it.
 */
#include "tensor/safetensors.h"

#include "base/check.h"
#include "base/text.h"
#include "tensor/utf8.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    PREFIX_BYTES = 8,
    ALIGNMENT = 8,
    PIECE_BYTES_MAX = 128, /* of a formatted piece: two numbers of 20 digits and their names */
    SHOWN_MAX = 300,
};

/* JSON text that grows; after the first failure nothing is added any more. */
struct json {
    struct bytes text;
    enum status status;
};

static void append_bytes(struct json *json, const char *text, size_t size)
{
    if (json->status == STATUS_OK)
        json->status = bytes_append(&json->text, text, size);
}

static void append_format(struct json *json, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static void append_format(struct json *json, const char *format, ...)
{
    char text[PIECE_BYTES_MAX];
    va_list arguments;
    va_start(arguments, format);
    const int length = vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    append_bytes(json, text, (size_t)length);
}

/* A JSON string: quote, backslash and control characters escaped, all else as it is (UTF-8). */
static void append_string(struct json *json, const char *text, size_t size)
{
    append_bytes(json, "\"", 1);
    for (size_t i = 0; i < size; i++) {
        const unsigned char c = (unsigned char)text[i];
        if (c == '"' || c == '\\')
            append_format(json, "\\%c", c);
        else if (c < 0x20)
            append_format(json, "\\u%04x", c);
        else
            append_bytes(json, &text[i], 1);
    }
    append_bytes(json, "\"", 1);
}

static void append_tensor(struct json *json, const struct tensor *tensor)
{
    append_string(json, tensor->name, tensor->name_size);
    append_format(json, ":{\"dtype\":\"%s\",\"shape\":[", dtype_name(tensor->dtype));
    for (uint32_t i = 0; i < tensor->rank; i++)
        append_format(json, "%s%llu", i > 0 ? "," : "", (unsigned long long)tensor->shape[i]);
    append_format(json, "],\"data_offsets\":[%llu,%llu]}", (unsigned long long)tensor->offset,
                  (unsigned long long)(tensor->offset + tensor->size));
}

static void append_metadata(struct json *json, const struct safetensors_pair *metadata,
                            uint32_t count)
{
    append_format(json, "\"__metadata__\":{");
    for (uint32_t i = 0; i < count; i++) {
        append_format(json, "%s", i > 0 ? "," : "");
        append_string(json, metadata[i].key, strlen(metadata[i].key));
        append_bytes(json, ":", 1);
        append_string(json, metadata[i].value, strlen(metadata[i].value));
    }
    append_bytes(json, "}", 1);
}

static enum status check_metadata(const struct safetensors_pair *metadata, uint32_t count,
                                  struct error *err)
{
    if (count > SAFETENSORS_METADATA_MAX)
        return error_set(err, STATUS_LIMIT, "%u metadata entries, at most %d are allowed", count,
                         SAFETENSORS_METADATA_MAX);
    for (uint32_t i = 0; i < count; i++) {
        char shown[SHOWN_MAX];
        text_escape(metadata[i].key, strlen(metadata[i].key), shown, sizeof(shown));
        if (!utf8_is_valid(metadata[i].key, strlen(metadata[i].key)) ||
            !utf8_is_valid(metadata[i].value, strlen(metadata[i].value)))
            return error_set(err, STATUS_INVAL, "metadata %s is not UTF-8", shown);
        if (i > 0 && strcmp(metadata[i - 1].key, metadata[i].key) >= 0)
            return error_set(err, STATUS_INVAL, "metadata %s is not after the key before it",
                             shown);
    }
    return STATUS_OK;
}

/* The whole JSON text, padded so that it and the prefix are a multiple of ALIGNMENT. */
static void append_json(struct json *json, const struct layout *layout,
                        const struct safetensors_pair *metadata, uint32_t metadata_count)
{
    static const char spaces[ALIGNMENT + 1] = "        ";
    append_bytes(json, "{", 1);
    if (metadata_count > 0)
        append_metadata(json, metadata, metadata_count);
    for (uint32_t i = 0; i < layout->tensor_count; i++) {
        append_format(json, "%s", i > 0 || metadata_count > 0 ? "," : "");
        append_tensor(json, &layout->tensors[i]);
    }
    append_bytes(json, "}", 1);
    append_bytes(json, spaces, (ALIGNMENT - json->text.size % ALIGNMENT) % ALIGNMENT);
}

enum status safetensors_encode_header(const struct layout *layout,
                                      const struct safetensors_pair *metadata,
                                      uint32_t metadata_count, struct bytes *ret_header,
                                      struct error *err)
{
    enum status status = check_metadata(metadata, metadata_count, err);
    if (status != STATUS_OK)
        return status;
    struct json json = {.status = STATUS_OK};
    bytes_init(&json.text, SAFETENSORS_HEADER_MAX);
    append_json(&json, layout, metadata, metadata_count);
    status = json.status;
    if (status == STATUS_OK)
        status = bytes_reserve(ret_header, PREFIX_BYTES + json.text.size);
    if (status == STATUS_OK) {
        uint8_t prefix[PREFIX_BYTES];
        store_u64le(prefix, json.text.size);
        CHECK(bytes_append(ret_header, prefix, sizeof(prefix)) == STATUS_OK);
        CHECK(bytes_append(ret_header, json.text.data, json.text.size) == STATUS_OK);
    } else {
        error_set(err, status, "no room for the header of %u tensors", layout->tensor_count);
    }
    bytes_deinit(&json.text);
    return status;
}

static enum status write_all(int fd, const void *data, size_t size, const char *path,
                             struct error *err)
{
    const uint8_t *next = data;
    while (size > 0) {
        const ssize_t written = write(fd, next, size);
        if (written < 0 && errno == EINTR)
            continue;
        if (written < 0)
            return error_set_errno(err,
                                   errno == ENOSPC || errno == EDQUOT ? STATUS_NO_SPACE : STATUS_IO,
                                   errno, "%s", path);
        next += written;
        size -= (size_t)written;
    }
    return STATUS_OK;
}

enum status safetensors_write_file(const char *path, const struct layout *layout,
                                   const struct safetensors_pair *metadata, uint32_t metadata_count,
                                   const void *data, struct error *err)
{
    int fd = -1;
    struct bytes header;
    bytes_init(&header, PREFIX_BYTES + SAFETENSORS_HEADER_MAX);
    enum status status = safetensors_encode_header(layout, metadata, metadata_count, &header, err);
    if (status != STATUS_OK)
        goto out;
    fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd < 0) {
        status = error_set_errno(err, STATUS_IO, errno, "%s", path);
        goto out;
    }
    struct stat stat = {0};
    const bool is_regular = fstat(fd, &stat) == 0 && S_ISREG(stat.st_mode); /* never a device */
    status = write_all(fd, header.data, header.size, path, err);
    if (status == STATUS_OK)
        status = write_all(fd, data, layout->bytes, path, err);
    if (close(fd) != 0 && status == STATUS_OK)
        status = error_set_errno(err, STATUS_IO, errno, "%s", path);
    if (status != STATUS_OK && is_regular)
        unlink(path);
out:
    bytes_deinit(&header);
    return status;
}

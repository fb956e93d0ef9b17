/*
 * run_record.c - see run_record.h.
 */
#include "host/run_record.h"

#include "store/durable_file.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <yyjson.h>

enum { RECORD_SCHEMA = 1, RECORD_BYTES_MAX = 4096 };

static void path_of(const char *folder, char ret_path[static RUN_PATH_MAX + 32])
{
    snprintf(ret_path, RUN_PATH_MAX + 32, "%s/run.json", folder);
}

enum status run_record_write(const char *folder, const struct run_record *record, struct error *err)
{
    char path[RUN_PATH_MAX + 32];
    char text[256];
    const int size = snprintf(
        text, sizeof(text), "{\"schema\":%d,\"nodes\":%u,\"per_process\":%u,\"port_picked\":%s}\n",
        RECORD_SCHEMA, record->shape.nodes, record->shape.per_process,
        record->port_picked ? "true" : "false");
    const struct slice slice = {(const uint8_t *)text, (size_t)size};
    path_of(folder, path);
    return durable_file_write(path, &slice, 1, err);
}

static enum status parse(const char *path, const struct bytes *text, struct run_record *ret_record,
                         struct error *err)
{
    yyjson_doc *const doc = yyjson_read((const char *)text->data, text->size, 0);
    yyjson_val *const root = yyjson_doc_get_root(doc);
    yyjson_val *const schema = yyjson_obj_get(root, "schema");
    const uint64_t nodes = yyjson_get_uint(yyjson_obj_get(root, "nodes"));
    const uint64_t per_process = yyjson_get_uint(yyjson_obj_get(root, "per_process"));
    yyjson_val *const picked = yyjson_obj_get(root, "port_picked");
    enum status status = STATUS_OK;
    if (yyjson_is_uint(schema) && yyjson_get_uint(schema) != RECORD_SCHEMA)
        status = error_set(err, STATUS_UNSUPPORTED, "%s is of another version of fedra", path);
    else if (!yyjson_is_uint(schema) || nodes < 1 || nodes > RUN_NODES_MAX || per_process < 1 ||
             per_process > RUN_PER_PROCESS_MAX || !yyjson_is_bool(picked))
        status = error_set(err, STATUS_CORRUPT, "%s is damaged", path);
    else
        *ret_record = (struct run_record){
            .shape = {.nodes = (uint32_t)nodes, .per_process = (uint32_t)per_process},
            .port_picked = yyjson_get_bool(picked)};
    yyjson_doc_free(doc);
    return status;
}

enum status run_record_read(const char *folder, struct run_record *ret_record, struct error *err)
{
    char path[RUN_PATH_MAX + 32];
    struct stat info;
    struct bytes text;
    if (strlen(folder) >= RUN_PATH_MAX)
        return error_set(err, STATUS_LIMIT, "the run's folder has too long a path");
    if (stat(folder, &info) != 0)
        return error_set_errno(err, errno == ENOENT ? STATUS_NOT_FOUND : STATUS_IO, errno, "%s",
                               folder);
    path_of(folder, path);
    if (stat(path, &info) != 0)
        return error_set(err, STATUS_NOT_FOUND,
                         "%s is no run that can go on: there is no run.json in it, which `fedra "
                         "up` writes when all is prepared",
                         folder);
    bytes_init(&text, RECORD_BYTES_MAX);
    enum status status = durable_file_read(path, &text, err);
    if (status == STATUS_OK)
        status = parse(path, &text, ret_record, err);
    bytes_deinit(&text);
    return status;
}

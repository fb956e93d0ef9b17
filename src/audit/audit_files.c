/*
 * audit_files.c - files beside the database: which there are, what they hold.
 *
 * Names are listed before the database is copied: what is listed and no version names was there
 * before the last version, or is being made.
 */
#include "audit/audit_internal.h"

#include "store/kept_updates.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { SNAPSHOTS_AGAIN_MAX = 8 };

static int compare_names(const void *a, const void *b)
{
    return strcmp(a, b);
}

static enum status add_name(struct audit_names *names, const char *name)
{
    if (names->count == names->capacity) {
        const size_t capacity = names->capacity == 0 ? 64 : 2 * names->capacity;
        char(*const grown)[STORE_NAME_MAX] = realloc(names->items, capacity * sizeof(*grown));
        if (grown == nullptr)
            return STATUS_NO_MEMORY;
        names->items = grown;
        names->capacity = capacity;
    }
    snprintf(names->items[names->count++], STORE_NAME_MAX, "%s", name);
    return STATUS_OK;
}

enum status audit_list(const char *path, struct audit_names *ret_names, struct error *err)
{
    struct audit_names names = {0};
    enum status status = STATUS_OK;
    DIR *const dir = opendir(path);
    if (dir == nullptr && errno != ENOENT)
        return error_set_errno(err, STATUS_IO, errno, "cannot list the folder %s", path);
    while (dir != nullptr && status == STATUS_OK) {
        const struct dirent *const entry = readdir(dir);
        if (entry == nullptr)
            break;
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            status = add_name(&names, entry->d_name);
    }
    if (dir != nullptr)
        closedir(dir);
    if (status != STATUS_OK) {
        audit_names_deinit(&names);
        return error_set(err, status, "no memory for the names in %s", path);
    }
    if (names.count > 0)
        qsort(names.items, names.count, sizeof(*names.items), compare_names);
    *ret_names = names;
    return STATUS_OK;
}

bool audit_names_have(const struct audit_names *names, const char *name)
{
    char wanted[STORE_NAME_MAX];
    snprintf(wanted, sizeof(wanted), "%s", name);
    return names->count > 0 && bsearch(wanted, names->items, names->count, sizeof(*names->items),
                                       compare_names) != nullptr;
}

void audit_names_deinit(struct audit_names *names)
{
    free(names->items);
    *names = (struct audit_names){0};
}

enum status audit_read_file(const char *path, uint64_t size_max, uint8_t **ret_bytes,
                            size_t *ret_size, struct error *err)
{
    struct stat info;
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return error_set_errno(err, errno == ENOENT ? STATUS_NOT_FOUND : STATUS_IO, errno,
                               "cannot open %s", path);
    enum status status = STATUS_OK;
    uint8_t *bytes = nullptr;
    size_t size = 0;
    if (fstat(fd, &info) != 0 || !S_ISREG(info.st_mode))
        status = error_set(err, STATUS_IO, "%s is no file", path);
    else if ((uint64_t)info.st_size > size_max)
        status = error_set(err, STATUS_LIMIT, "%s has %lld bytes", path, (long long)info.st_size);
    else if ((bytes = malloc((size_t)info.st_size + 1)) == nullptr)
        status = error_set(err, STATUS_NO_MEMORY, "no memory for %s", path);
    while (status == STATUS_OK && size < (size_t)info.st_size) {
        const ssize_t got = read(fd, bytes + size, (size_t)info.st_size - size);
        if (got < 0 && errno != EINTR)
            status = error_set_errno(err, STATUS_IO, errno, "cannot read %s", path);
        if (got == 0)
            break;
        size += got > 0 ? (size_t)got : 0;
    }
    close(fd);
    if (status != STATUS_OK) {
        free(bytes);
        return status;
    }
    *ret_bytes = bytes;
    *ret_size = size;
    return STATUS_OK;
}

bool audit_is_still_kept(struct audit *audit, const char *name)
{
    char path[DURABLE_PATH_MAX];
    struct store_snapshot now;
    sqlite3_stmt *statement = nullptr;
    bool is_kept = true;
    if (audit->snapshots_again++ >= SNAPSHOTS_AGAIN_MAX)
        return true;
    snprintf(path, sizeof(path), "%.900s/state.db", audit->folder);
    if (store_snapshot_open(path, &now, nullptr) != STATUS_OK)
        return true;
    if (sqlite3_prepare_v2(now.db, "SELECT 1 FROM models WHERE file = ?", -1, &statement,
                           nullptr) == SQLITE_OK &&
        sqlite3_bind_text(statement, 1, name, -1, SQLITE_STATIC) == SQLITE_OK)
        is_kept = sqlite3_step(statement) != SQLITE_DONE;
    sqlite3_finalize(statement);
    store_snapshot_close(&now);
    return is_kept;
}

static bool ends_with(const char *text, const char *end)
{
    const size_t size = strlen(text);
    const size_t end_size = strlen(end);
    return size >= end_size && strcmp(text + size - end_size, end) == 0;
}

/* Whether a crash, or a commit that is under way, explains a file of that name. */
static bool is_of_next(const struct audit *audit, const char *name)
{
    char *end = nullptr;
    const uint64_t number = strtoull(name, &end, 10);
    const uint64_t next =
        audit->version_count > 0 ? audit->versions[audit->version_count - 1].number + 1 : 0;
    return end != name && number == next;
}

static bool exists(const struct audit *audit, const char *folder, const char *name)
{
    char path[2 * DURABLE_PATH_MAX];
    struct stat info;
    snprintf(path, sizeof(path), "%s/%s/%s", audit->folder, folder, name);
    return lstat(path, &info) == 0;
}

static void other_models(struct audit *audit)
{
    for (size_t i = 0; i < audit->models.count; i++) {
        const char *const name = audit->models.items[i];
        if (audit_find_file(audit, name) != nullptr || ends_with(name, DURABLE_FILE_SUFFIX) ||
            is_of_next(audit, name) || !exists(audit, "models", name))
            continue;
        audit_at(audit, "models/%.128s", name);
        audit_find(audit, "files of versions only", "no version names the file");
    }
}

/* Folders of versions were looked into with them. */
static void other_updates(struct audit *audit)
{
    for (size_t i = 0; i < audit->updates.count; i++) {
        const char *const name = audit->updates.items[i];
        char wanted[32] = "";
        const uint64_t number = strtoull(name, nullptr, 10);
        bool is_of_version = name[0] == '.' || is_of_next(audit, name);
        for (size_t j = 0; j < audit->version_count && !is_of_version; j++)
            is_of_version = audit->versions[j].number == number;
        kept_updates_folder_name(number, wanted, sizeof(wanted));
        if ((is_of_version && (name[0] == '.' || strcmp(name, wanted) == 0)) ||
            !exists(audit, "updates", name))
            continue;
        audit_at(audit, "updates/%.128s", name);
        audit_find(audit, "folders of versions only", "no version has the number");
    }
}

/* A copy of a model that was the last one when a job ended. */
static enum status final_model(struct audit *audit, struct error *err)
{
    char path[DURABLE_PATH_MAX];
    uint8_t *bytes = nullptr;
    size_t size = 0;
    struct digest digest;
    uint64_t size_max = 0;
    for (size_t i = 0; i < audit->version_count; i++) {
        if (audit->versions[i].blob_length > size_max)
            size_max = audit->versions[i].blob_length;
    }
    snprintf(path, sizeof(path), "%.900s/model.safetensors", audit->options->folder);
    enum status status = audit_read_file(path, size_max, &bytes, &size, err);
    if (status == STATUS_NOT_FOUND)
        return STATUS_OK;
    snprintf(audit->place, sizeof(audit->place), "model.safetensors");
    if (status == STATUS_LIMIT) {
        audit_find(audit, "the model of the last version", "%s", err->text);
        return STATUS_OK;
    }
    if (status == STATUS_OK)
        status = blob_digest(bytes, size, 0, &digest);
    free(bytes);
    if (status != STATUS_OK)
        return status;
    for (size_t i = audit->version_count; i > 0; i--) {
        const struct audit_version *const version = &audit->versions[i - 1];
        if ((version->outcome != WIRE_OUTCOME_NONE || i == audit->version_count) &&
            digest_equal(&version->blob_digest, &digest))
            return STATUS_OK;
    }
    audit_find(audit, "the model of the last version", "its bytes are those of another model");
    return STATUS_OK;
}

enum status audit_other_files(struct audit *audit, struct error *err)
{
    other_models(audit);
    other_updates(audit);
    return audit->report->job_count == 1 ? final_model(audit, err) : STATUS_OK;
}

void audit_metrics_line(struct audit *audit, struct slice line)
{
    const uint8_t *const at = audit->metrics.data + audit->metrics_at;
    const size_t left = audit->metrics.size - audit->metrics_at;
    if (!audit->has_metrics)
        return;
    if (left == 0) { /* the last line is written after the commit; more at the next start */
        audit->metrics_at = audit->metrics.size;
        return;
    }
    const uint8_t *const end = memchr(at, '\n', left);
    const size_t size = end != nullptr ? (size_t)(end - at) : left;
    audit->metrics_at += end != nullptr ? size + 1 : size;
    if (size == line.size && memcmp(at, line.data, size) == 0)
        return;
    snprintf(audit->place, sizeof(audit->place), "metrics.jsonl");
    audit_find(audit, "the line that the database has",
               "the line of version %" PRIu64 " is another one",
               audit->versions[audit->version_count - 1].number);
}

void audit_metrics_end(struct audit *audit)
{
    if (!audit->has_metrics || audit->metrics_at >= audit->metrics.size)
        return;
    snprintf(audit->place, sizeof(audit->place), "metrics.jsonl");
    audit_find(audit, "a line a round", "there is more in it than the rounds' lines");
}

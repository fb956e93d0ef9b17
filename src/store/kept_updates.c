/*
 * kept_updates.c - see kept_updates.h.
 */
#include "store/kept_updates.h"

#include "store/crash_point.h"
#include "store/durable_file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* A folder that is being removed; one rename takes all of it out of sight. */
#define GONE_PREFIX ".gone-"

struct kept_updates {
    char folder[DURABLE_PATH_MAX];
    uint64_t versions;
    uint64_t first; /* all folders of versions before are gone */
};

void kept_updates_folder_name(uint64_t number, char *ret_name, size_t capacity)
{
    snprintf(ret_name, capacity, "%06" PRIu64, number);
}

static void path_of(const struct kept_updates *kept, uint64_t number,
                    char ret_path[static DURABLE_PATH_MAX])
{
    char name[32];
    kept_updates_folder_name(number, name, sizeof(name));
    snprintf(ret_path, DURABLE_PATH_MAX, "%.900s/%s", kept->folder, name);
}

static void empty_folder(const char *path)
{
    DIR *const dir = opendir(path);
    if (dir == nullptr)
        return;
    for (const struct dirent *entry = readdir(dir); entry != nullptr; entry = readdir(dir)) {
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            unlinkat(dirfd(dir), entry->d_name, 0);
    }
    closedir(dir);
}

/* Whether no version has a folder of that name any more. */
static bool remove_folder(const struct kept_updates *kept, const char *name)
{
    char path[DURABLE_PATH_MAX];
    char gone[DURABLE_PATH_MAX];
    snprintf(path, sizeof(path), "%.600s/%.200s", kept->folder, name);
    if (strncmp(name, GONE_PREFIX, strlen(GONE_PREFIX)) != 0) {
        snprintf(gone, sizeof(gone), "%.600s/" GONE_PREFIX "%.200s", kept->folder, name);
        if (rename(path, gone) != 0)
            return errno == ENOENT;
        memcpy(path, gone, sizeof(path));
    }
    empty_folder(path);
    rmdir(path);
    return true;
}

/* The first version whose updates stay once that of `latest` is committed. */
static uint64_t first_kept(const struct kept_updates *kept, uint64_t latest)
{
    return kept->versions > latest ? 0 : latest - kept->versions + 1;
}

/*
 * Removes what no version keeps. What is older may stay until the next start; what was put for a
 * version that was not committed may not: the next one of that number has other updates.
 */
static enum status sweep(struct kept_updates *kept, uint64_t next, struct error *err)
{
    const uint64_t first = next > 0 ? first_kept(kept, next - 1) : 0;
    DIR *const dir = opendir(kept->folder);
    if (dir == nullptr)
        return error_set_errno(err, STATUS_IO, errno, "cannot list the folder %s", kept->folder);
    enum status status = STATUS_OK;
    for (const struct dirent *entry = readdir(dir); entry != nullptr; entry = readdir(dir)) {
        char *end = nullptr;
        const uint64_t number = strtoull(entry->d_name, &end, 10);
        const bool is_number = end != entry->d_name && *end == 0;
        const bool is_gone = strncmp(entry->d_name, GONE_PREFIX, strlen(GONE_PREFIX)) == 0;
        if ((is_gone || (is_number && (number < first || number >= next))) &&
            !remove_folder(kept, entry->d_name) && is_number && number >= next)
            status = error_set_errno(err, STATUS_IO, errno, "cannot remove %s/%s", kept->folder,
                                     entry->d_name);
    }
    closedir(dir);
    kept->first = first;
    return status;
}

enum status kept_updates_open(const char *job_folder, uint64_t versions, uint64_t next,
                              struct kept_updates **ret_kept, struct error *err)
{
    struct kept_updates *const kept = calloc(1, sizeof(*kept));
    if (kept == nullptr)
        return error_set(err, STATUS_NO_MEMORY, "no memory for kept updates");
    kept->versions = versions;
    enum status status = STATUS_OK;
    if ((size_t)snprintf(kept->folder, sizeof(kept->folder), "%s/updates", job_folder) > 600)
        status = error_set(err, STATUS_LIMIT, "the path %s is too long", job_folder);
    if (status == STATUS_OK && (versions > 0 || access(kept->folder, F_OK) == 0)) {
        status = durable_folder_make(kept->folder, err);
        if (status == STATUS_OK)
            status = sweep(kept, next, err);
    }
    if (status == STATUS_OK)
        *ret_kept = kept;
    else
        free(kept);
    return status;
}

void kept_updates_close(struct kept_updates *kept)
{
    free(kept);
}

static enum status fault(enum status otherwise, const char *path, struct error *err)
{
    const int number = errno;
    return error_set_errno(err, number == 0 ? otherwise : durable_status_of(number), number,
                           "an update could not be kept (audit.keep_updates) in %s", path);
}

/* Opens a file of a version's folder for writing; the folder is made where it is missing. */
static enum status make_file(const struct kept_updates *kept, uint64_t number,
                             const struct digest *digest, const char *suffix, int *ret_fd,
                             struct error *err)
{
    char folder[DURABLE_PATH_MAX];
    char path[DURABLE_PATH_MAX];
    char hex[DIGEST_HEX_MAX];
    digest_to_hex(digest, hex);
    path_of(kept, number, folder);
    if (mkdir(folder, 0700) != 0 && errno != EEXIST)
        return fault(STATUS_IO, folder, err);
    snprintf(path, sizeof(path), "%.900s/%s%s", folder, hex, suffix);
    *ret_fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    return *ret_fd >= 0 ? STATUS_OK : fault(STATUS_IO, path, err);
}

static bool write_whole(int fd, const uint8_t *data, size_t size)
{
    for (size_t done = 0; done < size;) {
        const ssize_t put = write(fd, data + done, size - done);
        if (put < 0 && errno != EINTR)
            return false;
        done += put > 0 ? (size_t)put : 0;
    }
    return true;
}

enum status kept_updates_put(struct kept_updates *kept, uint64_t number,
                             const struct digest *digest, struct slice payload, struct error *err)
{
    int fd = -1;
    if (kept->versions == 0)
        return STATUS_OK;
    enum status status = make_file(kept, number, digest, "", &fd, err);
    if (status != STATUS_OK)
        return status;
    if (!write_whole(fd, payload.data, payload.size))
        status = fault(STATUS_IO, kept->folder, err);
    if (close(fd) != 0 && status == STATUS_OK)
        status = fault(STATUS_IO, kept->folder, err);
    return status;
}

enum status kept_updates_put_state(struct kept_updates *kept, uint64_t number,
                                   const struct digest *digest, const char *path, struct error *err)
{
    char folder[DURABLE_PATH_MAX];
    char target[DURABLE_PATH_MAX];
    char hex[DIGEST_HEX_MAX];
    if (kept->versions == 0)
        return STATUS_OK;
    digest_to_hex(digest, hex);
    path_of(kept, number, folder);
    snprintf(target, sizeof(target), "%.900s/%s" KEPT_STATE_SUFFIX, folder, hex);
    /* The file is durable, and never written to again: a second name is enough. */
    if ((mkdir(folder, 0700) != 0 && errno != EEXIST) ||
        (link(path, target) != 0 && errno != EEXIST))
        return fault(STATUS_IO, target, err);
    return STATUS_OK;
}

/* OK also where there is no such folder. */
static enum status sync_files(const char *path, struct error *err)
{
    DIR *const dir = opendir(path);
    enum status status = STATUS_OK;
    if (dir == nullptr)
        return errno == ENOENT ? STATUS_OK : fault(STATUS_IO, path, err);
    for (const struct dirent *entry = readdir(dir); entry != nullptr && status == STATUS_OK;
         entry = readdir(dir)) {
        if (entry->d_name[0] == '.')
            continue;
        const int fd = openat(dirfd(dir), entry->d_name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
        if (fd < 0 || fdatasync(fd) != 0)
            status = fault(STATUS_IO, path, err);
        if (fd >= 0)
            close(fd);
    }
    if (status == STATUS_OK && fsync(dirfd(dir)) != 0)
        status = fault(STATUS_IO, path, err);
    closedir(dir);
    return status;
}

enum status kept_updates_sync(struct kept_updates *kept, uint64_t number, struct error *err)
{
    char path[DURABLE_PATH_MAX];
    if (kept->versions == 0)
        return STATUS_OK;
    path_of(kept, number, path);
    enum status status = sync_files(path, err);
    if (status == STATUS_OK)
        status = durable_folder_sync(kept->folder, err);
    crash_point("kept_updates.synced");
    return status;
}

void kept_updates_committed(struct kept_updates *kept, uint64_t number, bool counted_any)
{
    char name[32];
    if (kept->versions == 0)
        return;
    for (const uint64_t first = first_kept(kept, number); kept->first < first; kept->first++) {
        kept_updates_folder_name(kept->first, name, sizeof(name));
        (void)remove_folder(kept, name);
    }
    kept_updates_folder_name(number, name, sizeof(name));
    if (!counted_any)
        (void)remove_folder(kept, name);
}

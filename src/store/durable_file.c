/*
 * durable_file.c - write new, sync, rename, sync the folder (see durable_file.h).
 */
#include "store/durable_file.h"

#include "store/crash_point.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { WRITE_BYTES_MAX = 1 << 30 }; /* of one write(2), under what Linux takes at once */

enum status durable_status_of(int error_number)
{
    return error_number == ENOSPC || error_number == EDQUOT || error_number == EFBIG
               ? STATUS_NO_SPACE
               : STATUS_IO;
}

/* Puts the folder of path ("." where it has none) into ret, DURABLE_PATH_MAX bytes. */
static void folder_of(const char *path, char *ret)
{
    const char *const slash = strrchr(path, '/');
    if (slash == nullptr)
        snprintf(ret, DURABLE_PATH_MAX, ".");
    else if (slash == path)
        snprintf(ret, DURABLE_PATH_MAX, "/");
    else
        snprintf(ret, DURABLE_PATH_MAX, "%.*s", (int)(slash - path), path);
}

static int write_all(int fd, const struct slice *slices, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        for (size_t done = 0; done < slices[i].size;) {
            const size_t left = slices[i].size - done;
            const ssize_t size =
                write(fd, slices[i].data + done, left < WRITE_BYTES_MAX ? left : WRITE_BYTES_MAX);
            if (size < 0 && errno == EINTR)
                continue;
            if (size < 0)
                return errno;
            done += (size_t)size;
        }
    }
    return 0;
}

enum status durable_folder_sync(const char *path, struct error *err)
{
    const int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return error_set_errno(err, STATUS_IO, errno, "cannot open the folder %s", path);
    const int error_number = fsync(fd) == 0 ? 0 : errno;
    close(fd);
    if (error_number != 0)
        return error_set_errno(err, durable_status_of(error_number), error_number,
                               "cannot sync the folder %s", path);
    return STATUS_OK;
}

enum status durable_file_write(const char *path, const struct slice *slices, size_t count,
                               struct error *err)
{
    char fresh[DURABLE_PATH_MAX], folder[DURABLE_PATH_MAX];
    const int length = snprintf(fresh, sizeof(fresh), "%s%s", path, DURABLE_FILE_SUFFIX);
    if (length < 0 || (size_t)length >= sizeof(fresh))
        return error_set(err, STATUS_LIMIT, "the path of %zu bytes is too long: %s", strlen(path),
                         path);
    folder_of(path, folder);
    crash_point("durable_file.before_write");
    const int fd = open(fresh, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return error_set_errno(err, durable_status_of(errno), errno, "cannot make %s", fresh);
    const char *step = "write";
    int error_number = write_all(fd, slices, count);
    if (error_number == 0) {
        crash_point("durable_file.before_sync");
        step = "sync";
        error_number = fsync(fd) == 0 ? 0 : errno;
    }
    if (close(fd) != 0 && error_number == 0)
        error_number = errno;
    if (error_number == 0) {
        crash_point("durable_file.before_rename");
        step = "rename";
        error_number = rename(fresh, path) == 0 ? 0 : errno;
    }
    if (error_number != 0) {
        unlink(fresh);
        return error_set_errno(err, durable_status_of(error_number), error_number, "cannot %s %s",
                               step, fresh);
    }
    crash_point("durable_file.before_folder_sync");
    const enum status status = durable_folder_sync(folder, err);
    if (status == STATUS_OK)
        crash_point("durable_file.done");
    return status;
}

enum status durable_folder_make(const char *path, struct error *err)
{
    char parent[DURABLE_PATH_MAX];
    if (strlen(path) >= sizeof(parent))
        return error_set(err, STATUS_LIMIT, "the path of %zu bytes is too long", strlen(path));
    struct stat info;
    if (mkdir(path, 0700) != 0) {
        const int error_number = errno;
        if (error_number != EEXIST)
            return error_set_errno(err, durable_status_of(error_number), error_number,
                                   "cannot make the folder %s", path);
        if (stat(path, &info) != 0 || !S_ISDIR(info.st_mode))
            return error_set(err, STATUS_IO, "%s is not a folder", path);
    }
    /* Also when it was there: whoever made it may have died before the sync. */
    folder_of(path, parent);
    return durable_folder_sync(parent, err);
}

enum status durable_folder_clean(const char *path, struct error *err)
{
    DIR *const dir = opendir(path);
    if (dir == nullptr)
        return error_set_errno(err, STATUS_IO, errno, "cannot list the folder %s", path);
    enum status status = STATUS_OK;
    const size_t suffix_size = strlen(DURABLE_FILE_SUFFIX);
    for (const struct dirent *entry = readdir(dir); entry != nullptr; entry = readdir(dir)) {
        const size_t size = strlen(entry->d_name);
        if (size <= suffix_size ||
            strcmp(entry->d_name + size - suffix_size, DURABLE_FILE_SUFFIX) != 0)
            continue;
        if (unlinkat(dirfd(dir), entry->d_name, 0) != 0)
            status =
                error_set_errno(err, STATUS_IO, errno, "cannot remove %s/%s", path, entry->d_name);
    }
    closedir(dir);
    return status;
}

enum status durable_file_read(const char *path, struct bytes *content, struct error *err)
{
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return error_set_errno(err, errno == ENOENT ? STATUS_NOT_FOUND : STATUS_IO, errno,
                               "cannot open %s", path);
    enum status status = STATUS_OK;
    content->size = 0;
    for (;;) {
        uint8_t piece[4096];
        const ssize_t size = read(fd, piece, sizeof(piece));
        if (size < 0 && errno == EINTR)
            continue;
        if (size < 0)
            status = error_set_errno(err, STATUS_IO, errno, "cannot read %s", path);
        else if (size > 0)
            status = bytes_append(content, piece, (size_t)size);
        if (status == STATUS_LIMIT)
            error_set(err, status, "%s is larger than the %zu bytes allowed", path,
                      content->size_max);
        if (status != STATUS_OK || size <= 0)
            break;
    }
    close(fd);
    return status;
}

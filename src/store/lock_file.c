/*
 * lock_file.c - see lock_file.h. The file is never removed: that would let two processes lock two
 * files of one name.
 */
#include "store/lock_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <unistd.h>

enum status lock_file_open(const char *path, int *ret_fd, struct error *err)
{
    const int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return error_set_errno(err, errno == ENOSPC ? STATUS_NO_SPACE : STATUS_IO, errno,
                               "cannot open the lock %s", path);
    char text[32] = {0};
    if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        const int error_number = errno;
        const bool held = error_number == EWOULDBLOCK;
        const ssize_t size = held ? pread(fd, text, sizeof(text) - 1, 0) : 0;
        close(fd);
        if (!held)
            return error_set_errno(err, STATUS_IO, error_number, "cannot lock %s", path);
        return error_set(err, STATUS_EXISTS,
                         "%s is locked by the running process %ld; stop it first", path,
                         size > 0 ? strtol(text, nullptr, 10) : 0L);
    }
    const int length = snprintf(text, sizeof(text), "%ld\n", (long)getpid());
    /* The pid is only for the message: a disk too full for it must not stop a start. */
    if (ftruncate(fd, 0) == 0)
        (void)!pwrite(fd, text, (size_t)length, 0);
    *ret_fd = fd;
    return STATUS_OK;
}

void lock_file_close(int fd)
{
    if (fd >= 0)
        close(fd);
}

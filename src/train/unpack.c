/*
 * unpack.c - see unpack.h.
 */
#include "train/unpack.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>
#include <zlib.h>

enum { CHUNK_BYTES = 1 << 18 };

static enum status write_all(int fd, const char *bytes, size_t size)
{
    while (size > 0) {
        const ssize_t wrote = write(fd, bytes, size);
        if (wrote < 0 && errno == EINTR)
            continue;
        if (wrote <= 0)
            return wrote < 0 && (errno == ENOSPC || errno == EDQUOT) ? STATUS_NO_SPACE : STATUS_IO;
        bytes += wrote;
        size -= (size_t)wrote;
    }
    return STATUS_OK;
}

static enum status copy(gzFile in, const char *from, int fd, const char *to, char *chunk,
                        struct error *err)
{
    for (;;) {
        errno = 0;
        const int size = gzread(in, chunk, CHUNK_BYTES);
        int code = Z_OK;
        const char *const text = gzerror(in, &code);
        if (code == Z_ERRNO)
            return error_set_errno(err, STATUS_IO, errno, "%s: cannot be read", from);
        if (size < 0 || (size == 0 && code == Z_BUF_ERROR))
            return error_set(err, STATUS_CORRUPT, "%s: the compressed data is damaged (%s)", from,
                             code == Z_BUF_ERROR ? "cut off" : text);
        if (size == 0)
            return STATUS_OK;
        const enum status status = write_all(fd, chunk, (size_t)size);
        if (status != STATUS_OK)
            return error_set_errno(err, status, errno, "%s: cannot be written", to);
    }
}

enum status unpack_gzip(const char *from, const char *to, struct error *err)
{
    enum status status = STATUS_OK;
    int fd = -1;
    char *const chunk = malloc(CHUNK_BYTES);
    errno = 0;
    gzFile in = gzopen(from, "rbe");
    if (chunk == nullptr || (in == nullptr && errno == 0)) {
        status = error_set(err, STATUS_NO_MEMORY, "%s: no memory to unpack it", from);
        goto out;
    }
    if (in == nullptr) {
        status = error_set_errno(err, STATUS_IO, errno, "%s: cannot be opened", from);
        goto out;
    }
    fd = open(to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0640);
    if (fd < 0) {
        status = error_set_errno(err, errno == ENOSPC ? STATUS_NO_SPACE : STATUS_IO, errno,
                                 "%s: cannot be made", to);
        goto out;
    }
    gzbuffer(in, CHUNK_BYTES);
    status = copy(in, from, fd, to, chunk, err);
    if (close(fd) != 0 && status == STATUS_OK)
        status = error_set_errno(err, STATUS_IO, errno, "%s: cannot be written", to);
    if (status != STATUS_OK)
        unlink(to);
out:
    if (in != nullptr)
        gzclose_r(in);
    free(chunk);
    return status;
}

/*
 * lock_file.h - one process at a time for a folder, by flock on a file that names the holder.
 */
#pragma once

#include "base/status.h"

/*
 * Locks path (made where it is missing) and writes the own pid into it. The lock ends with
 * lock_file_close or with the process. EXISTS names the pid of the holder; IO.
 */
[[nodiscard]] enum status lock_file_open(const char *path, int *ret_fd, struct error *err);

/* Releases the lock; the file stays. -1 is allowed. */
void lock_file_close(int fd);

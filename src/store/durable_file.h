/*
 * durable_file.h - files that are either the old or the new one, whole, whatever dies when.
 *
 * A file is written beside its place under a name that ends in DURABLE_FILE_SUFFIX, synced, renamed
 * over its place, and the folder is synced. Not here: what the files mean.
 */
#pragma once

#include "base/bytes.h"
#include "base/status.h"

#include <stddef.h>

/* The end of the names of files that were not finished; nothing else may end so. */
#define DURABLE_FILE_SUFFIX ".fedra-new"

enum { DURABLE_PATH_MAX = 1024 }; /* bytes of a path, with its zero */

/*
 * Writes the count slices one after another as the whole content of path, replacing what was there.
 * On return OK it survives a crash. On any error the old file is intact, except IO from the last
 * step (syncing the folder): then the new file is in place but may be gone after a crash.
 * NO_SPACE, LIMIT (path too long), IO. Mode 0600. Blocks. One writer a path at a time.
 */
[[nodiscard]] enum status durable_file_write(const char *path, const struct slice *slices,
                                             size_t count, struct error *err);

/* Makes a folder (0700) durably unless it is there; its parent must exist. NO_SPACE, IO, LIMIT. */
[[nodiscard]] enum status durable_folder_make(const char *path, struct error *err);

/* Makes the names in a folder durable. IO. */
[[nodiscard]] enum status durable_folder_sync(const char *path, struct error *err);

/* Removes unfinished files from a folder, not below it. Only for who holds the folder's lock. IO.
 */
[[nodiscard]] enum status durable_folder_clean(const char *path, struct error *err);

/*
 * Reads a small file whole into content (emptied first). NOT_FOUND; LIMIT where it is larger than
 * content's size_max; IO.
 */
[[nodiscard]] enum status durable_file_read(const char *path, struct bytes *content,
                                            struct error *err);

/* The status for a failed write's errno: NO_SPACE for a full disk, quota or file limit, else IO. */
enum status durable_status_of(int error_number);

/*
 * run_data.c - see run_data.h. A hundred processes that unpack 26 MB each take longer to start than
 * they train.
 */
#include "host/run_data.h"

#include "train/unpack.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PATH_BYTES_MAX = CONFIG_PATH_MAX + 64 };

static const char *const names[] = {"train-images-idx3-ubyte", "train-labels-idx1-ubyte"};
static const size_t name_count = sizeof(names) / sizeof(*names);

static bool exists(const char *folder, const char *name, const char *ending)
{
    char path[PATH_BYTES_MAX];
    snprintf(path, sizeof(path), "%s/%s%s", folder, name, ending);
    return access(path, R_OK) == 0;
}

enum status run_data_unpack(const char *folder, const struct config *config,
                            char ret_path[static CONFIG_PATH_MAX], struct error *err)
{
    char from[PATH_BYTES_MAX];
    char to[PATH_BYTES_MAX];
    char place[CONFIG_PATH_MAX];
    const char *const source = config->data.path;
    memcpy(ret_path, config->data.path, sizeof(config->data.path));
    if (config->data.format != CONFIG_DATA_IDX || exists(source, names[0], ""))
        return STATUS_OK;
    const int length = snprintf(place, sizeof(place), "%s/data", folder);
    if (length < 0 || (size_t)length >= sizeof(place))
        return error_set(err, STATUS_LIMIT, "the run's folder has too long a path");
    if (mkdir(place, 0700) != 0 && errno != EEXIST)
        return error_set_errno(err, STATUS_IO, errno, "the folder %s cannot be made", place);
    for (size_t i = 0; i < name_count; i++) {
        snprintf(from, sizeof(from), "%s/%s%s", source, names[i],
                 exists(source, names[i], "") ? "" : ".gz");
        snprintf(to, sizeof(to), "%s/%s", place, names[i]);
        const enum status status = unpack_gzip(from, to, err);
        if (status != STATUS_OK)
            return status;
    }
    memcpy(ret_path, place, sizeof(place));
    return STATUS_OK;
}

void run_data_remove(const char *folder)
{
    char path[PATH_BYTES_MAX];
    for (size_t i = 0; i < name_count; i++) {
        snprintf(path, sizeof(path), "%s/data/%s", folder, names[i]);
        unlink(path);
    }
    snprintf(path, sizeof(path), "%s/data", folder);
    rmdir(path);
}

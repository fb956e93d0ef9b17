/*
 * run_data.c - see run_data.h. A hundred processes that unpack 26 MB each take longer to start than
 * they train; the more so where they read numbers in text.
 */
#include "host/run_data.h"

#include "host/job_data.h"
#include "train/dataset_safetensors.h"
#include "train/unpack.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PATH_BYTES_MAX = CONFIG_PATH_MAX + 64 };

static const char tensors_name[] = "train.safetensors";

static const char *const names[] = {"train-images-idx3-ubyte", "train-labels-idx1-ubyte"};
static const size_t name_count = sizeof(names) / sizeof(*names);

static bool exists(const char *folder, const char *name, const char *ending)
{
    char path[PATH_BYTES_MAX];
    snprintf(path, sizeof(path), "%s/%s%s", folder, name, ending);
    return access(path, R_OK) == 0;
}

static enum status make_place(const char *folder, char ret_place[static CONFIG_PATH_MAX],
                              struct error *err)
{
    const size_t room = CONFIG_PATH_MAX - sizeof(tensors_name);
    const int length = snprintf(ret_place, room, "%s/data", folder);
    if (length < 0 || (size_t)length >= room)
        return error_set(err, STATUS_LIMIT, "the run's folder has too long a path");
    if (mkdir(ret_place, 0700) != 0 && errno != EEXIST)
        return error_set_errno(err, STATUS_IO, errno, "the folder %s cannot be made", ret_place);
    return STATUS_OK;
}

/* Reads all samples and writes them to PLACE/train.safetensors, whose path becomes place. */
static enum status read_text(const struct config *config, char place[static CONFIG_PATH_MAX],
                             struct error *err)
{
    struct dataset data = {0};
    const size_t used = strlen(place);
    snprintf(place + used, CONFIG_PATH_MAX - used, "/%s", tensors_name);
    enum status status = job_load_training(config, nullptr, 0, &data, err);
    if (status == STATUS_OK)
        status = dataset_safetensors_write(place, &data, err);
    dataset_deinit(&data);
    return status;
}

enum status run_data_unpack(const char *folder, const struct config *config,
                            enum config_data_format *ret_format,
                            char ret_path[static CONFIG_PATH_MAX], struct error *err)
{
    char from[PATH_BYTES_MAX];
    char to[PATH_BYTES_MAX];
    char place[CONFIG_PATH_MAX];
    const char *const source = config->data.path;
    const bool packed = config->data.format == CONFIG_DATA_IDX && !exists(source, names[0], "");
    memcpy(ret_path, config->data.path, sizeof(config->data.path));
    *ret_format = config->data.format;
    if (!packed && config->data.format != CONFIG_DATA_CSV)
        return STATUS_OK;
    enum status status = make_place(folder, place, err);
    if (status == STATUS_OK && !packed) {
        status = read_text(config, place, err);
        *ret_format = CONFIG_DATA_SAFETENSORS;
    }
    for (size_t i = 0; i < name_count && packed && status == STATUS_OK; i++) {
        snprintf(from, sizeof(from), "%s/%s%s", source, names[i],
                 exists(source, names[i], "") ? "" : ".gz");
        snprintf(to, sizeof(to), "%s/%s", place, names[i]);
        status = unpack_gzip(from, to, err);
    }
    if (status == STATUS_OK)
        memcpy(ret_path, place, sizeof(place));
    return status;
}

void run_data_remove(const char *folder)
{
    char path[PATH_BYTES_MAX];
    for (size_t i = 0; i < name_count; i++) {
        snprintf(path, sizeof(path), "%s/data/%s", folder, names[i]);
        unlink(path);
    }
    snprintf(path, sizeof(path), "%s/data/%s", folder, tensors_name);
    unlink(path);
    snprintf(path, sizeof(path), "%s/data", folder);
    rmdir(path);
}

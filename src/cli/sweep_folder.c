/*
 * sweep_folder.c - see sweep_folder.h.
 */
#include "cli/sweep_folder.h"

#include "store/durable_file.h"
#include "store/lock_file.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    WORDS_MAX = 16, /* of a command line beside its sets */
    CONFIG_TEXT_MAX = 256 * 1024,
};

static const char lock_name[] = "sweep.lock";

static bool is_sweep_or_empty(const char *folder)
{
    char path[RUN_PATH_MAX + sizeof(lock_name)];
    snprintf(path, sizeof(path), "%s/%s", folder, lock_name);
    if (access(path, F_OK) == 0)
        return true;
    DIR *const stream = opendir(folder);
    bool empty = stream != nullptr;
    for (const struct dirent *entry; empty && (entry = readdir(stream)) != nullptr;)
        empty = strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0;
    if (stream != nullptr)
        closedir(stream);
    return empty;
}

enum status sweep_folder_make(const char *folder, int *ret_lock, struct error *err)
{
    char path[RUN_PATH_MAX + sizeof(lock_name)];
    const int length = snprintf(path, sizeof(path), "%s", folder);
    if (length <= 0 || length + SWEEP_FOLDER_MAX + 64 > RUN_PATH_MAX)
        return error_set(err, STATUS_LIMIT, "the sweep's folder has too long a path, or none");
    for (char *slash = strchr(path + 1, '/');; slash = strchr(slash + 1, '/')) {
        if (slash != nullptr)
            *slash = 0;
        if (mkdir(path, 0755) != 0 && errno != EEXIST)
            return error_set_errno(err, STATUS_IO, errno, "the folder %s cannot be made", path);
        if (slash == nullptr)
            break;
        *slash = '/';
    }
    if (!is_sweep_or_empty(folder))
        return error_set(err, STATUS_EXISTS,
                         "%s holds something else than a sweep, a new or empty folder is wanted",
                         folder);
    snprintf(path, sizeof(path), "%s/%s", folder, lock_name);
    return lock_file_open(path, ret_lock, err);
}

static enum status config_text(const struct config *config, char **ret_text, size_t *ret_size)
{
    FILE *const file = open_memstream(ret_text, ret_size);
    if (file == nullptr)
        return STATUS_NO_MEMORY;
    const enum status status = config_write(config, file);
    return fclose(file) == 0 ? status : STATUS_NO_MEMORY;
}

enum status sweep_folder_add(const char *folder, const char *setting, const struct config *config,
                             struct error *err)
{
    char path[RUN_PATH_MAX];
    struct bytes before;
    char *text = nullptr;
    size_t size = 0;
    bytes_init(&before, CONFIG_TEXT_MAX);
    snprintf(path, sizeof(path), "%s/%s", folder, setting);
    enum status status = durable_folder_make(path, err);
    if (status == STATUS_OK)
        status = config_text(config, &text, &size);
    if (status != STATUS_OK)
        goto out;
    snprintf(path, sizeof(path), "%s/%s/settings.yaml", folder, setting);
    status = durable_file_read(path, &before, err);
    if (status == STATUS_NOT_FOUND) {
        const struct slice slice = {(const uint8_t *)text, size};
        status = durable_file_write(path, &slice, 1, err);
    } else if (status == STATUS_OK &&
               (before.size != size || memcmp(before.data, text, size) != 0)) {
        status = error_set(err, STATUS_EXISTS,
                           "%s is of a sweep of another configuration; another --run-dir, or the "
                           "configuration that it was, is wanted",
                           path);
    }
out:
    free(text);
    bytes_deinit(&before);
    return status;
}

/* A copy of the formatted text; null where there is no memory. */
static char *print(const char *format, ...) __attribute__((format(printf, 1, 2)));

static char *print(const char *format, ...)
{
    char *text = nullptr;
    va_list arguments;
    va_start(arguments, format);
    const int length = vasprintf(&text, format, arguments);
    va_end(arguments);
    return length >= 0 ? text : nullptr;
}

/* Adds a word, null where there was no memory for it, to a command line with room. */
static void add(struct sweep_paths *paths, uint32_t *count, char *word)
{
    paths->arguments[(*count)++] = word;
}

/* "fedra-sim FILE --threads 1 --nodes N --seed S --run-dir DIR --set ..."; how many words it should
 * have. */
static uint32_t add_all(struct sweep_paths *paths, const char *program,
                        const struct sweep_setting *setting, uint64_t seed,
                        const struct sweep_base *base)
{
    uint32_t count = 0;
    add(paths, &count, strdup(program));
    add(paths, &count, strdup(base->file));
    add(paths, &count, strdup("--threads"));
    add(paths, &count, strdup("1")); /* as many runs at a time as there are cores */
    add(paths, &count, strdup("--nodes"));
    add(paths, &count, print("%" PRIu64, base->nodes));
    add(paths, &count, strdup("--seed"));
    add(paths, &count, print("%" PRIu64, seed));
    add(paths, &count, strdup("--run-dir"));
    add(paths, &count, strdup(paths->folder));
    for (uint32_t i = 0; i < base->sets->count; i++) {
        add(paths, &count, strdup("--set"));
        add(paths, &count, strdup(base->sets->items[i]));
    }
    for (uint32_t i = 0; i < setting->count; i++) {
        add(paths, &count, strdup("--set"));
        add(paths, &count, strdup(setting->sets[i]));
    }
    return count;
}

enum status sweep_paths_init(struct sweep_paths *paths, const char *folder,
                             const struct sweep_setting *setting, uint64_t seed,
                             const struct sweep_base *base, struct error *err)
{
    char program[RUN_PATH_MAX];
    const ssize_t length = readlink("/proc/self/exe", program, sizeof(program) - 1);
    if (length <= 0)
        return error_set_errno(err, STATUS_IO, errno, "/proc/self/exe");
    program[length] = 0;
    const uint32_t words = WORDS_MAX + 2 * (base->sets->count + setting->count);
    paths->arguments = calloc(words, sizeof(*paths->arguments));
    paths->name = print("%s seed %" PRIu64, setting->name, seed);
    paths->folder = print("%s/%s/seed-%" PRIu64, folder, setting->folder, seed);
    paths->output = print("%s/%s/seed-%" PRIu64 ".log", folder, setting->folder, seed);
    if (paths->arguments == nullptr || paths->name == nullptr || paths->folder == nullptr ||
        paths->output == nullptr)
        return STATUS_NO_MEMORY;
    const uint32_t count = add_all(paths, program, setting, seed, base);
    for (uint32_t i = 0; i < count; i++) {
        if (paths->arguments[i] == nullptr)
            return STATUS_NO_MEMORY; /* what stands after it is lost, the program does not go on */
    }
    return STATUS_OK;
}

void sweep_paths_deinit(struct sweep_paths *paths)
{
    for (uint32_t i = 0; paths->arguments != nullptr && paths->arguments[i] != nullptr; i++)
        free(paths->arguments[i]);
    free(paths->arguments);
    free(paths->name);
    free(paths->folder);
    free(paths->output);
    *paths = (struct sweep_paths){0};
}

enum status sweep_page_save(const char *path, const char *text, size_t size, struct error *err)
{
    const struct slice slice = {(const uint8_t *)text, size};
    return durable_file_write(path, &slice, 1, err);
}

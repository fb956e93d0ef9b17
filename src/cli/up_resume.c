/*
 * up_resume.c - see up_resume.h.
 *
 * An interruption leaves RUN/interrupted before it cancels the job, and going on takes the outcome
 * back before it removes summary and mark: whoever dies in between, the next time does the same.
 */
#include "cli/up_resume.h"

#include "cli/up_summary.h"
#include "host/run_setup.h"
#include "store/store_sqlite.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
    LOCK_TRIES = 50, /* children of a process that was just killed are still on their way out */
    LOCK_WAIT_MS = 100,
};

static void path_of(const char *folder, const char *name, char ret_path[static RUN_PATH_MAX + 32])
{
    snprintf(ret_path, RUN_PATH_MAX + 32, "%s/%s", folder, name);
}

static bool exists(const char *folder, const char *name)
{
    char path[RUN_PATH_MAX + 32];
    path_of(folder, name, path);
    return access(path, F_OK) == 0;
}

bool up_wants_comparison(const struct config *config)
{
    return config->central.epochs > 0 && config->data.format != CONFIG_DATA_NONE &&
           config->data.evaluate_test_at_end;
}

void up_note_interruption(const char *folder)
{
    char path[RUN_PATH_MAX + 32];
    path_of(folder, "interrupted", path);
    /* Where that is not possible the job is cancelled, as it was asked for. */
    const int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0640);
    if (fd >= 0)
        close(fd);
}

static enum status open_store(const char *folder, const struct config *config,
                              struct store **ret_store, struct error *err)
{
    const struct store_sqlite_options options = {.folder = folder,
                                                 .job_id = config->job.name,
                                                 .models_keep =
                                                     (uint32_t)config->limits.models_keep};
    enum status status = store_sqlite_open(&options, ret_store, err);
    for (int i = 0; i < LOCK_TRIES && status == STATUS_EXISTS; i++) {
        const struct timespec wait = {.tv_nsec = LOCK_WAIT_MS * 1000000L};
        nanosleep(&wait, nullptr);
        *err = (struct error){0};
        status = store_sqlite_open(&options, ret_store, err);
    }
    return status;
}

static enum status take_cancel_back(const char *folder, const struct config *config,
                                    struct error *err)
{
    struct store *store = nullptr;
    struct store_summary summary;
    enum status status = open_store(folder, config, &store, err);
    if (status == STATUS_OK)
        status = store_read_summary(store, &summary, err);
    if (status == STATUS_OK && strcmp(summary.outcome, "cancelled") == 0)
        status = store_clear_outcome(store, err);
    store_close(store);
    return status;
}

static enum status remove_file(const char *folder, const char *name, struct error *err)
{
    char path[RUN_PATH_MAX + 32];
    path_of(folder, name, path);
    if (unlink(path) != 0 && errno != ENOENT)
        return error_set_errno(err, STATUS_IO, errno, "%s cannot be removed", path);
    return STATUS_OK;
}

enum status up_find_standing(const char *folder, const struct config *config,
                             enum up_standing *ret_standing, struct error *err)
{
    const bool interrupted = exists(folder, "interrupted");
    struct up_outcome outcome = {0};
    enum status status = STATUS_OK;
    if (exists(folder, "summary.json"))
        status = up_summary_read_outcome(folder, &outcome, err);
    if (status != STATUS_OK)
        return status;
    if (interrupted && (!outcome.known || outcome.cancelled)) {
        status = take_cancel_back(folder, config, err);
        if (status == STATUS_OK)
            status = remove_file(folder, "summary.json", err);
        if (status == STATUS_OK)
            status = remove_file(folder, "interrupted", err);
        *ret_standing = UP_GOES_ON;
        return status;
    }
    if (!outcome.known)
        *ret_standing = UP_GOES_ON;
    else if (!outcome.cancelled && !outcome.compared && up_wants_comparison(config))
        *ret_standing = UP_COMPARES;
    else
        *ret_standing = UP_ENDED;
    return STATUS_OK;
}

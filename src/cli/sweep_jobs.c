/*
 * sweep_jobs.c - see sweep_jobs.h. The supervisor starts the processes and kills what is left of
 * them; none is started twice.
 */
#include "cli/sweep_jobs.h"

#include "base/check.h"
#include "cli/last_line.h"
#include "host/supervisor.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

enum {
    EXIT_DIVERGED = 3, /* a result like others */
    REMOVE_DESCRIPTORS = 16,
};

struct sweep_jobs {
    uv_loop_t loop;
    uv_signal_t signals[2];
    struct supervisor *supervisor;
    struct child *children; /* [count] */
    const struct sweep_job *jobs;
    uint32_t count;
    uint32_t next; /* the first that has not been started */
    sweep_job_ended *on_ended;
    void *context;
    enum status status;
    struct error *err;
};

static int remove_one(const char *path, const struct stat *info, int type, struct FTW *walk)
{
    (void)info;
    (void)type;
    (void)walk;
    return remove(path);
}

/* A run that did not come to its end begins anew: it is as if it had never been. */
static enum status clear(const struct sweep_job *job, struct error *err)
{
    if (nftw(job->folder, remove_one, REMOVE_DESCRIPTORS, FTW_DEPTH | FTW_PHYS) != 0 &&
        errno != ENOENT)
        return error_set_errno(err, STATUS_IO, errno,
                               "%s, which is not finished, cannot be removed", job->folder);
    if (unlink(job->output) != 0 && errno != ENOENT)
        return error_set_errno(err, STATUS_IO, errno, "%s cannot be removed", job->output);
    return STATUS_OK;
}

static enum status start_next(struct sweep_jobs *jobs)
{
    struct child *const child = &jobs->children[jobs->next];
    const enum status status = clear(&jobs->jobs[jobs->next], jobs->err);
    jobs->next++;
    return status == STATUS_OK ? supervisor_start(jobs->supervisor, child, jobs->err) : status;
}

static enum status failed(const struct sweep_jobs *jobs, const struct sweep_job *job, int code,
                          int number)
{
    char how[32];
    char last[LAST_LINE_MAX];
    last_line_read(job->output, last);
    snprintf(how, sizeof(how), number != 0 ? "signal %d" : "exit code %d",
             number != 0 ? number : code);
    return error_set(jobs->err, code == CHILD_EXIT_USAGE ? STATUS_INVAL : STATUS_IO,
                     "%s failed with %s; what it said is in %s, at last: %s", job->name, how,
                     job->output, last[0] != 0 ? last : "nothing");
}

static bool on_exit_of_child(void *context, struct child *child, int code, int number)
{
    struct sweep_jobs *const jobs = context;
    const uint32_t index = (uint32_t)(child - jobs->children);
    if (jobs->status == STATUS_OK)
        jobs->status = code == EXIT_SUCCESS || code == EXIT_DIVERGED
                           ? jobs->on_ended(jobs->context, index, jobs->err)
                           : failed(jobs, &jobs->jobs[index], code, number);
    if (jobs->status == STATUS_OK && jobs->next < jobs->count)
        jobs->status = start_next(jobs);
    if (jobs->status != STATUS_OK || supervisor_running(jobs->supervisor) == 0)
        uv_stop(&jobs->loop);
    return false;
}

static void on_signal(uv_signal_t *handle, int number)
{
    struct sweep_jobs *const jobs = handle->data;
    (void)number;
    jobs->status = error_set(jobs->err, STATUS_CANCELLED, "interrupted");
    uv_stop(&jobs->loop);
}

static void run_all(struct sweep_jobs *jobs, uint32_t at_once)
{
    static const int numbers[] = {SIGINT, SIGTERM};
    CHECK(uv_loop_init(&jobs->loop) == 0);
    for (size_t i = 0; i < 2; i++) {
        CHECK(uv_signal_init(&jobs->loop, &jobs->signals[i]) == 0);
        jobs->signals[i].data = jobs;
        CHECK(uv_signal_start(&jobs->signals[i], on_signal, numbers[i]) == 0);
    }
    jobs->status = supervisor_open(&jobs->loop, nullptr, jobs->children, jobs->count,
                                   on_exit_of_child, jobs, &jobs->supervisor);
    while (jobs->status == STATUS_OK && jobs->next < jobs->count && jobs->next < at_once)
        jobs->status = start_next(jobs);
    if (jobs->status == STATUS_OK)
        uv_run(&jobs->loop, UV_RUN_DEFAULT);
    supervisor_close(jobs->supervisor);
    for (size_t i = 0; i < 2; i++)
        uv_close((uv_handle_t *)&jobs->signals[i], nullptr);
    uv_run(&jobs->loop, UV_RUN_DEFAULT);
    CHECK(uv_loop_close(&jobs->loop) == 0);
}

enum status sweep_jobs_run(const struct sweep_job *jobs, uint32_t count, uint32_t at_once,
                           sweep_job_ended *on_ended, void *context, struct error *err)
{
    struct sweep_jobs all = {
        .jobs = jobs, .count = count, .on_ended = on_ended, .context = context, .err = err};
    if (count == 0)
        return STATUS_OK;
    all.children = calloc(count, sizeof(*all.children));
    if (all.children == nullptr)
        return error_set(err, STATUS_NO_MEMORY, "no memory for %u runs", count);
    for (uint32_t i = 0; i < count; i++) {
        struct child *const child = &all.children[i];
        snprintf(child->name, sizeof(child->name), "run %u", i + 1);
        child->arguments = jobs[i].arguments;
        child->output = jobs[i].output;
    }
    run_all(&all, at_once);
    free(all.children);
    return all.status;
}

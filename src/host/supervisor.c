/*
 * supervisor.c - fork, exec and wait, with a wait that doubles between one death and the next.
 *
 * A child asks the kernel to be killed when its parent dies, so that no orphan goes on.
 */
#include "host/supervisor.h"

#include "base/check.h"
#include "host/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

struct supervisor {
    uv_loop_t *loop;
    uv_signal_t on_death;
    struct log *log;
    struct child *children;
    uint32_t count;
    supervisor_on_exit *on_exit;
    void *context;
    uint32_t open_handles;
};

/*
 * The path by which the child becomes this program. By its own name, so that ps and pgrep show
 * that; by the kernel's where another program has taken its place since, so that all run the same.
 */
static const char *path_of_program(const struct child *child)
{
    static const char self[] = "/proc/self/exe";
    struct stat ours;
    struct stat named;
    if (stat(self, &ours) != 0 || stat(child->arguments[0], &named) != 0 ||
        ours.st_dev != named.st_dev || ours.st_ino != named.st_ino)
        return self;
    return child->arguments[0];
}

/* In the child, all signals blocked; only what may be called after a fork. */
[[noreturn]] static void become(const struct child *child, const char *path, pid_t parent, int null,
                                int output)
{
    sigset_t none;
    sigemptyset(&none);
    signal(SIGINT, SIG_DFL);
    signal(SIGTERM, SIG_DFL);
    signal(SIGCHLD, SIG_DFL);
    signal(SIGTTOU, SIG_IGN); /* in the background of a terminal it still shows its progress */
    /* Not before: our handlers would tell the parent of a signal that it did not get. */
    sigprocmask(SIG_SETMASK, &none, nullptr);
    /* A terminal's Ctrl-C is for us; we tell the children in order. */
    setpgid(0, 0);
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || getppid() != parent)
        _exit(127);
    dup2(null, STDIN_FILENO);
    if (output >= 0) {
        if (!child->keeps_output)
            dup2(output, STDOUT_FILENO);
        dup2(output, STDERR_FILENO);
    }
    execv(path, child->arguments);
    _exit(127);
}

static uint64_t alive_ms(const struct child *child)
{
    return (clock_boot_ns() - child->started_ns) / 1000000;
}

enum status supervisor_start(struct supervisor *supervisor, struct child *child, struct error *err)
{
    CHECK(child->pid == 0);
    const pid_t parent = getpid();
    const int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
    const int output = child->output != nullptr
                           ? open(child->output, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640)
                           : -1;
    if (null < 0 || (child->output != nullptr && output < 0)) {
        const int number = errno;
        if (null >= 0)
            close(null);
        return error_set_errno(err, STATUS_IO, number, "%s cannot be started: %s", child->name,
                               null < 0 ? "/dev/null" : child->output);
    }
    const char *const path = path_of_program(child);
    sigset_t all;
    sigset_t before;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &before);
    const pid_t pid = fork();
    if (pid == 0)
        become(child, path, parent, null, output);
    const int number = errno;
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
    close(null);
    if (output >= 0)
        close(output);
    if (pid < 0)
        return error_set_errno(err, STATUS_IO, number, "%s cannot be started", child->name);
    child->pid = pid;
    child->wanted = true;
    child->started_ns = clock_boot_ns();
    log_event(supervisor->log, LOG_INFO, "child.started", LOG_STR("name", child->name),
              LOG_I64("pid", pid));
    return STATUS_OK;
}

static void on_wait_over(uv_timer_t *timer)
{
    struct child *const child = timer->data;
    struct error err = {0};
    if (!child->wanted || child->pid != 0)
        return;
    if (supervisor_start(child->supervisor, child, &err) != STATUS_OK) {
        log_event(child->supervisor->log, LOG_ERROR, "child.not_started",
                  LOG_STR("name", child->name), LOG_STR("text", err.text));
        uv_timer_start(timer, on_wait_over, RESTART_LONGEST_MS, 0);
    }
}

static void child_died(struct supervisor *supervisor, struct child *child, int status)
{
    const int code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    const int number = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
    const bool stable = alive_ms(child) >= RESTART_STABLE_MS;
    log_event(supervisor->log, LOG_INFO, "child.ended", LOG_STR("name", child->name),
              LOG_I64("pid", child->pid), LOG_I64("exit_code", code), LOG_I64("signal", number));
    child->pid = 0;
    /* Who is killed from outside may be killed as often as somebody likes. */
    const bool killed = number == SIGKILL || number == SIGTERM;
    child->deaths_in_vain = stable ? 0 : child->deaths_in_vain + !killed;
    child->wait_ms = stable || child->wait_ms == 0 ? RESTART_FIRST_MS : child->wait_ms * 2;
    if (child->wait_ms > RESTART_LONGEST_MS)
        child->wait_ms = RESTART_LONGEST_MS;
    if (!supervisor->on_exit(supervisor->context, child, code, number) || !child->wanted)
        return;
    uv_update_time(supervisor->loop);
    uv_timer_start(&child->timer, on_wait_over,
                   child->down_ms > 0 ? child->down_ms : child->wait_ms, 0);
    child->down_ms = 0;
}

static void on_death(uv_signal_t *handle, int unused)
{
    struct supervisor *const supervisor = handle->data;
    for (uint32_t i = 0; i < supervisor->count; i++) {
        struct child *const child = &supervisor->children[i];
        int status = 0;
        if (child->pid != 0 && waitpid(child->pid, &status, WNOHANG) == child->pid)
            child_died(supervisor, child, status);
    }
}

enum status supervisor_open(uv_loop_t *loop, struct log *log, struct child *children,
                            uint32_t count, supervisor_on_exit *on_exit, void *context,
                            struct supervisor **ret_supervisor)
{
    struct supervisor *const supervisor = calloc(1, sizeof(*supervisor));
    if (supervisor == nullptr)
        return STATUS_NO_MEMORY;
    *supervisor = (struct supervisor){.loop = loop,
                                      .log = log,
                                      .children = children,
                                      .count = count,
                                      .on_exit = on_exit,
                                      .context = context,
                                      .open_handles = count + 1};
    for (uint32_t i = 0; i < count; i++) {
        children[i].supervisor = supervisor;
        CHECK(uv_timer_init(loop, &children[i].timer) == 0);
        children[i].timer.data = &children[i];
    }
    CHECK(uv_signal_init(loop, &supervisor->on_death) == 0);
    supervisor->on_death.data = supervisor;
    CHECK(uv_signal_start(&supervisor->on_death, on_death, SIGCHLD) == 0);
    *ret_supervisor = supervisor;
    return STATUS_OK;
}

void supervisor_stop(struct supervisor *supervisor, struct child *child, int number)
{
    child->wanted = false;
    uv_timer_stop(&child->timer);
    if (child->pid != 0)
        (void)kill(child->pid, number);
}

void supervisor_kill(struct supervisor *supervisor, struct child *child, uint32_t down_ms)
{
    if (!child->wanted)
        return;
    log_event(supervisor->log, LOG_INFO, "child.killed", LOG_STR("name", child->name),
              LOG_U64("down_ms", down_ms));
    if (child->pid != 0) {
        child->down_ms = down_ms;
        (void)kill(child->pid, SIGKILL);
    } else {
        uv_update_time(supervisor->loop);
        uv_timer_start(&child->timer, on_wait_over, down_ms, 0);
    }
}

uint32_t supervisor_running(const struct supervisor *supervisor)
{
    uint32_t running = 0;
    for (uint32_t i = 0; i < supervisor->count; i++)
        running += supervisor->children[i].pid != 0;
    return running;
}

static void on_handle_closed(uv_handle_t *handle)
{
    struct supervisor *const supervisor =
        handle->type == UV_SIGNAL ? handle->data : ((struct child *)handle->data)->supervisor;
    if (--supervisor->open_handles == 0)
        free(supervisor);
}

void supervisor_close(struct supervisor *supervisor)
{
    if (supervisor == nullptr)
        return;
    for (uint32_t i = 0; i < supervisor->count; i++) {
        struct child *const child = &supervisor->children[i];
        if (child->pid != 0) {
            (void)kill(child->pid, SIGKILL);
            while (waitpid(child->pid, nullptr, 0) < 0 && errno == EINTR)
                ;
            child->pid = 0;
        }
        uv_close((uv_handle_t *)&child->timer, on_handle_closed);
    }
    uv_close((uv_handle_t *)&supervisor->on_death, on_handle_closed);
}

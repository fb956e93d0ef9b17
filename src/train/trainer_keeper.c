/*
 * trainer_keeper.c - one child in a process group of its own, watched until it or the node ends.
 *
 * The keeper is a subreaper: what the trainer's processes leave behind becomes its child, and is
 * found and killed when the trainer has ended. Linux only.
 */
#include "train/trainer_keeper.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
    EXIT_ARGUMENTS = 2,
    EXIT_NOT_STARTED = 127, /* as a shell says it */
    SWEEP_MS = 2000,        /* how long what was left behind is killed and collected */
    SWEEP_STEP_MS = 5,
    OOM_ADJUSTMENT = 500, /* of 1000: where memory runs out, rather the trainer than the node */
};

static uint64_t now_ms(void)
{
    struct timespec now = {0};
    clock_gettime(CLOCK_BOOTTIME, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static bool read_number(const char *text, uint64_t max, uint64_t *ret_number)
{
    char *end = nullptr;
    errno = 0;
    *ret_number = strtoull(text, &end, 10);
    return text[0] >= '0' && text[0] <= '9' && *end == 0 && errno == 0 && *ret_number <= max;
}

static bool read_limits(char **arguments, struct trainer_limits *ret_limits)
{
    uint64_t cpus = 0;
    uint64_t first = 0;
    uint64_t nice_added = 0;
    if (!read_number(arguments[0], UINT64_MAX, &ret_limits->memory_bytes) ||
        !read_number(arguments[1], CPU_SETSIZE, &cpus) ||
        !read_number(arguments[2], UINT32_MAX, &first) ||
        !read_number(arguments[3], 19, &nice_added))
        return false;
    ret_limits->cpus = (uint32_t)cpus;
    ret_limits->cpu_first = (uint32_t)first;
    ret_limits->nice = (uint32_t)nice_added;
    return true;
}

/* Of the processors this process may use, limits->cpus ones from limits->cpu_first on. */
static bool take_processors(const struct trainer_limits *limits)
{
    cpu_set_t all;
    cpu_set_t taken;
    if (limits->cpus == 0)
        return true;
    if (sched_getaffinity(0, sizeof(all), &all) != 0)
        return false;
    const uint32_t count = (uint32_t)CPU_COUNT(&all);
    CPU_ZERO(&taken);
    uint32_t place = 0;
    for (uint32_t cpu = 0; cpu < CPU_SETSIZE; cpu++) {
        if (!CPU_ISSET(cpu, &all))
            continue;
        const uint32_t distance = (place + count - limits->cpu_first % count) % count;
        if (distance < limits->cpus)
            CPU_SET(cpu, &taken);
        place++;
    }
    return sched_setaffinity(0, sizeof(taken), &taken) == 0;
}

static bool limit(int resource, uint64_t value)
{
    const struct rlimit limit = {value, value};
    return setrlimit((__rlimit_resource_t)resource, &limit) == 0;
}

static void volunteer_for_oom(void)
{
    const int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
    char text[16];
    const int size = snprintf(text, sizeof(text), "%d", OOM_ADJUSTMENT);
    if (fd >= 0) {
        (void)!write(fd, text, (size_t)size); /* a wish; it may not be allowed in a container */
        close(fd);
    }
}

/* In the trainer's process, before it is one. */
[[noreturn]] static void become_trainer(const struct trainer_limits *limits, const char *command,
                                        pid_t keeper)
{
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, nullptr);
    setpgid(0, 0);
    const char *what = "PR_SET_PDEATHSIG";
    bool good = prctl(PR_SET_PDEATHSIG, SIGKILL) == 0;
    if (getppid() != keeper)
        _exit(EXIT_NOT_STARTED);
    volunteer_for_oom();
    if (good) {
        what = "train.cpus_max";
        good = take_processors(limits);
    }
    if (good) {
        what = "train.nice";
        good = limits->nice == 0 ||
               setpriority(PRIO_PROCESS, 0, getpriority(PRIO_PROCESS, 0) + (int)limits->nice) == 0;
    }
    if (good) {
        what = "train.memory_max_bytes";
        good = limit(RLIMIT_CORE, 0) &&
               (limits->memory_bytes == 0 || limit(RLIMIT_DATA, limits->memory_bytes));
    }
    if (good) {
        what = "/bin/sh";
        execl("/bin/sh", "sh", "-c", command, nullptr);
    }
    dprintf(STDERR_FILENO, "fedra: %s: %s\n", what, strerror(errno));
    _exit(EXIT_NOT_STARTED);
}

/* SIGKILL to each child of this process, by the kernel's list of them. */
static void kill_children(void)
{
    char path[64];
    int pid = 0;
    snprintf(path, sizeof(path), "/proc/self/task/%d/children", (int)getpid());
    FILE *const file = fopen(path, "re");
    if (file == nullptr)
        return;
    char word[16];
    size_t used = 0;
    for (int c = fgetc(file); c != EOF; c = fgetc(file)) {
        if (c >= '0' && c <= '9' && used + 1 < sizeof(word)) {
            word[used++] = (char)c;
            continue;
        }
        word[used] = 0;
        pid = (int)strtol(word, nullptr, 10);
        if (used > 0 && pid > 1)
            (void)kill(pid, SIGKILL);
        used = 0;
    }
    fclose(file);
}

/* Kills and collects all children; those of a killed one become ours and are next. */
static void sweep(void)
{
    const uint64_t end = now_ms() + SWEEP_MS;
    for (;;) {
        pid_t collected = 0;
        kill_children();
        do
            collected = waitpid(-1, nullptr, WNOHANG);
        while (collected > 0);
        if (collected < 0 || now_ms() >= end)
            return;
        poll(nullptr, 0, SWEEP_STEP_MS);
    }
}

/* Collects orphans; true once the trainer itself has ended, which is not collected. */
static bool trainer_ended(pid_t trainer)
{
    for (;;) {
        siginfo_t info = {0};
        if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) != 0 || info.si_pid == 0)
            return false;
        if (info.si_pid == trainer)
            return true;
        (void)waitpid(info.si_pid, nullptr, WNOHANG);
    }
}

/* Until the trainer or the node has ended. True: the trainer. */
static bool watch(pid_t trainer, int deaths)
{
    for (;;) {
        struct pollfd fds[] = {{.fd = KEEPER_CONTROL_FD, .events = POLLIN},
                               {.fd = deaths, .events = POLLIN}};
        struct signalfd_siginfo info;
        char order = 0;
        if (poll(fds, 2, -1) < 0 && errno != EINTR)
            return false;
        if (fds[1].revents != 0) {
            (void)!read(deaths, &info, sizeof(info));
            if (trainer_ended(trainer))
                return true;
        }
        if (fds[0].revents == 0)
            continue;
        if (recv(KEEPER_CONTROL_FD, &order, 1, 0) != 1)
            return false;
        (void)kill(-trainer, order == KEEPER_TERMINATE ? SIGTERM : SIGKILL);
    }
}

/* The trainer's pipes are its own: their ends must not be held open here. */
static bool let_go_of_pipes(void)
{
    const int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    return null >= 0 && dup2(null, STDIN_FILENO) >= 0 && dup2(null, STDOUT_FILENO) >= 0 &&
           dup2(null, STDERR_FILENO) >= 0;
}

int trainer_keeper_main(int argc, char **arguments)
{
    struct trainer_limits limits = {0};
    sigset_t deaths_only;
    int status = 0;
    if (argc != KEEPER_ARGUMENTS || !read_limits(arguments, &limits) ||
        fcntl(KEEPER_CONTROL_FD, F_SETFD, FD_CLOEXEC) != 0)
        return EXIT_ARGUMENTS;
    (void)close_range(KEEPER_CONTROL_FD + 1, UINT_MAX, 0);
    sigemptyset(&deaths_only);
    sigaddset(&deaths_only, SIGCHLD);
    sigprocmask(SIG_BLOCK, &deaths_only, nullptr);
    const int deaths = signalfd(-1, &deaths_only, SFD_CLOEXEC);
    if (deaths < 0 || prctl(PR_SET_CHILD_SUBREAPER, 1) != 0)
        return EXIT_FAILURE;
    const pid_t keeper = getpid();
    const pid_t trainer = fork();
    if (trainer < 0)
        return EXIT_FAILURE;
    if (trainer == 0)
        become_trainer(&limits, arguments[4], keeper);
    setpgid(trainer, trainer); /* here too: an order may come before the child has run */
    const bool ended = let_go_of_pipes() && watch(trainer, deaths);
    /* While it is not collected, its number is nobody else's: its group can be killed. */
    (void)kill(-trainer, SIGKILL);
    if (waitpid(trainer, &status, ended ? 0 : WNOHANG) == trainer)
        (void)send(KEEPER_CONTROL_FD, &status, sizeof(status), MSG_NOSIGNAL);
    sweep();
    return EXIT_SUCCESS;
}

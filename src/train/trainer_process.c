/*
 * trainer_process.c - pipes, a control socket, and a keeper that is spawned with them.
 */
#include "train/trainer_process.h"

#include "base/check.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    FD_MIN = 10, /* descriptors of ours lie over those that the keeper gets */
    NUMBER_TEXT_MAX = 24,
    KEEPER_ENDS_MS = 5000, /* longer than it sweeps */
};

/* The ends of the three pipes and of the control socket: [0] the node's, [1] the keeper's. */
struct channels {
    int fds[4][2];
};

static void channels_close(struct channels *channels, int side)
{
    for (int i = 0; i < 4; i++) {
        if (channels->fds[i][side] >= 0)
            close(channels->fds[i][side]);
        channels->fds[i][side] = -1;
    }
}

/* Moves a descriptor out of the way of those that spawning overwrites. */
static bool move_up(int *fd)
{
    if (*fd >= FD_MIN)
        return true;
    const int moved = fcntl(*fd, F_DUPFD_CLOEXEC, FD_MIN);
    const int number = errno;
    close(*fd);
    *fd = moved;
    errno = number;
    return moved >= 0;
}

static bool channels_open(struct channels *channels)
{
    for (int i = 0; i < 4; i++)
        channels->fds[i][0] = channels->fds[i][1] = -1;
    for (int i = 0; i < 4; i++) {
        int *const pair = channels->fds[i];
        int made[2] = {-1, -1};
        const bool is_control = i == KEEPER_CONTROL_FD;
        if (is_control ? socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, made) != 0
                       : pipe2(made, O_CLOEXEC) != 0)
            return false;
        /* A pipe is written at [1]; standard input is the one that the node writes. */
        pair[0] = i == STDIN_FILENO ? made[1] : made[0];
        pair[1] = i == STDIN_FILENO ? made[0] : made[1];
        const bool first = move_up(&pair[0]);
        if (!move_up(&pair[1]) || !first || fcntl(pair[0], F_SETFL, O_NONBLOCK) != 0)
            return false;
    }
    return true;
}

/* ---- the environment ---- */

extern char **environ;

static bool is_named(const char *entry, const char *name)
{
    const size_t size = strlen(name);
    return strncmp(entry, name, size) == 0 && entry[size] == '=';
}

static const struct trainer_variable *find_variable(const struct trainer_process_options *options,
                                                    const char *entry)
{
    for (uint32_t i = 0; i < options->variable_count; i++) {
        if (is_named(entry, options->variables[i].name))
            return &options->variables[i];
    }
    return nullptr;
}

static bool is_set(const char *name)
{
    return getenv(name) != nullptr;
}

/* NAME=value texts in one array that ends in null; the first *ret_borrowed are not ours to free. */
static char **make_environment(const struct trainer_process_options *options, size_t *ret_borrowed)
{
    size_t count = 0;
    while (environ != nullptr && environ[count] != nullptr)
        count++;
    char **const entries = calloc(count + options->variable_count + 1, sizeof(*entries));
    if (entries == nullptr)
        return nullptr;
    size_t used = 0;
    for (size_t i = 0; i < count; i++) {
        const struct trainer_variable *const ours = find_variable(options, environ[i]);
        if (ours == nullptr || ours->gives_way)
            entries[used++] = environ[i];
    }
    *ret_borrowed = used;
    for (uint32_t i = 0; i < options->variable_count; i++) {
        const struct trainer_variable *const variable = &options->variables[i];
        if (variable->gives_way && is_set(variable->name))
            continue;
        if (asprintf(&entries[used], "%s=%s", variable->name, variable->value) < 0) {
            entries[used] = nullptr;
            for (size_t j = *ret_borrowed; j < used; j++)
                free(entries[j]);
            free(entries);
            return nullptr;
        }
        used++;
    }
    return entries;
}

static void free_environment(char **entries, size_t borrowed)
{
    for (size_t i = borrowed; entries != nullptr && entries[i] != nullptr; i++)
        free(entries[i]);
    free(entries);
}

/* ---- the start ---- */

static int spawn_with(char *const *arguments, char *const *environment,
                      const struct channels *channels, pid_t *ret_pid)
{
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t none;
    sigset_t all;
    sigemptyset(&none);
    sigfillset(&all);
    int number = posix_spawn_file_actions_init(&actions);
    if (number != 0)
        return number;
    number = posix_spawnattr_init(&attributes);
    if (number != 0) {
        posix_spawn_file_actions_destroy(&actions);
        return number;
    }
    for (int i = 0; i < 4 && number == 0; i++)
        number = posix_spawn_file_actions_adddup2(&actions, channels->fds[i][1], i);
    if (number == 0) { /* a terminal's Ctrl-C is for the node, which tells the trainer in order */
        posix_spawnattr_setsigmask(&attributes, &none);
        posix_spawnattr_setsigdefault(&attributes, &all);
        number = posix_spawnattr_setflags(
            &attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSID);
    }
    if (number == 0)
        number = posix_spawn(ret_pid, arguments[0], &actions, &attributes, arguments, environment);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
    return number;
}

static enum status spawn(const struct trainer_process_options *options,
                         const struct channels *channels, pid_t *ret_pid, struct error *err)
{
    char *arguments[TRAINER_KEEPER_WORDS_MAX + KEEPER_ARGUMENTS + 1] = {nullptr};
    char numbers[KEEPER_ARGUMENTS - 1][NUMBER_TEXT_MAX];
    const unsigned long long limits[] = {options->limits.memory_bytes, options->limits.cpus,
                                         options->limits.cpu_first, options->limits.nice};
    size_t count = 0;
    size_t borrowed = 0;
    for (; options->keeper[count] != nullptr; count++) {
        CHECK(count < TRAINER_KEEPER_WORDS_MAX);
        arguments[count] = (char *)(uintptr_t)options->keeper[count]; /* they stay as they are */
    }
    for (size_t i = 0; i < KEEPER_ARGUMENTS - 1; i++) {
        snprintf(numbers[i], sizeof(numbers[i]), "%llu", limits[i]);
        arguments[count++] = numbers[i];
    }
    arguments[count] = (char *)(uintptr_t)options->command;
    char **const environment = make_environment(options, &borrowed);
    if (environment == nullptr)
        return error_set(err, STATUS_NO_MEMORY, "no memory for a trainer's environment");
    const int number = spawn_with(arguments, environment, channels, ret_pid);
    free_environment(environment, borrowed);
    if (number != 0)
        return error_set_errno(err, STATUS_IO, number, "the trainer cannot be started");
    return STATUS_OK;
}

enum status trainer_process_start(const struct trainer_process_options *options,
                                  struct trainer_process **ret_process, struct error *err)
{
    struct channels channels;
    struct trainer_process *const process = calloc(1, sizeof(*process));
    if (process == nullptr)
        return error_set(err, STATUS_NO_MEMORY, "no memory for a trainer");
    enum status status = STATUS_OK;
    if (!channels_open(&channels))
        status = error_set_errno(err, STATUS_IO, errno, "the trainer's pipes cannot be made");
    if (status == STATUS_OK)
        status = spawn(options, &channels, &process->keeper, err);
    channels_close(&channels, 1);
    if (status != STATUS_OK) {
        channels_close(&channels, 0);
        free(process);
        return status;
    }
    process->input = channels.fds[STDIN_FILENO][0];
    process->output = channels.fds[STDOUT_FILENO][0];
    process->errors = channels.fds[STDERR_FILENO][0];
    process->control = channels.fds[KEEPER_CONTROL_FD][0];
    *ret_process = process;
    return STATUS_OK;
}

/* ---- the end ---- */

/* The keeper is gone without a word: somebody killed it, and by that the trainer. */
static void take_keepers_end(struct trainer_process *process)
{
    int status = 0;
    while (waitpid(process->keeper, &status, 0) < 0 && errno == EINTR)
        ;
    process->keeper = 0;
    process->ended = true;
    process->wait_status = status;
}

bool trainer_process_ended(struct trainer_process *process)
{
    int status = 0;
    if (process->ended)
        return true;
    const ssize_t got = recv(process->control, &status, sizeof(status), MSG_DONTWAIT);
    if (got == (ssize_t)sizeof(status)) {
        process->ended = true;
        process->wait_status = status;
    } else if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR)) {
        take_keepers_end(process);
    }
    return process->ended;
}

static void order(const struct trainer_process *process, char what)
{
    if (!process->ended)
        (void)send(process->control, &what, 1, MSG_NOSIGNAL | MSG_DONTWAIT);
}

void trainer_process_terminate(struct trainer_process *process)
{
    order(process, KEEPER_TERMINATE);
}

void trainer_process_close_input(struct trainer_process *process)
{
    if (process->input >= 0)
        close(process->input);
    process->input = -1;
}

size_t trainer_process_unread(const struct trainer_process *process)
{
    int unread = 0;
    if (process->input < 0 || ioctl(process->input, FIONREAD, &unread) != 0 || unread < 0)
        return SIZE_MAX;
    return (size_t)unread;
}

void trainer_process_describe_end(const struct trainer_process *process,
                                  char ret_text[static TRAINER_END_TEXT_MAX])
{
    CHECK(process->ended);
    const int status = process->wait_status;
    const int number = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
    const char *const name = number == SIGKILL ? "out of memory?" : sigdescr_np(number);
    if (number != 0)
        snprintf(ret_text, TRAINER_END_TEXT_MAX, "was killed by signal %d (%s)", number,
                 name != nullptr ? name : "?");
    else
        snprintf(ret_text, TRAINER_END_TEXT_MAX, "ended with exit code %d", WEXITSTATUS(status));
}

/* Closes descriptors, so that the keeper kills all, and waits for it. */
void trainer_process_destroy(struct trainer_process *process)
{
    if (process == nullptr)
        return;
    trainer_process_close_input(process);
    if (process->output >= 0)
        close(process->output);
    if (process->errors >= 0)
        close(process->errors);
    order(process, KEEPER_KILL);
    (void)shutdown(process->control, SHUT_WR);
    if (process->keeper > 0) {
        /* The keeper's end closes when it has ended, and by then nothing is left of the trainer. */
        struct pollfd fd = {.fd = process->control, .events = POLLIN};
        char rest[8];
        int left = 1;
        while (left > 0 && poll(&fd, 1, KEEPER_ENDS_MS) > 0)
            left = (int)recv(process->control, rest, sizeof(rest), MSG_DONTWAIT);
        if (left > 0)
            (void)kill(process->keeper, SIGKILL);
        take_keepers_end(process);
    }
    close(process->control);
    free(process);
}

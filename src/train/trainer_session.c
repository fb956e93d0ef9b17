/*
 * trainer_session.c - poll(2) over a trainer's pipes, its keeper and whoever wakes.
 */
#include "train/trainer_session.h"

#include "base/text.h"
#include "train/trainer_protocol.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
    SAID_LINE_MAX = 64 * 1024, /* of standard error; longer lines are cut */
    NOTES_BURST = 50,
    NOTES_PER_S = 5,
    ENDS_SOON_MS = 1000,  /* between the close of its output and the news that it has ended */
    DRAIN_READS_MAX = 64, /* of what an ended trainer left in its pipes; they hold less */
    OUTGOING_MAX = 64 * 1024 * 1024,
};

struct trainer_session {
    struct trainer_process *process;
    struct bytes outgoing;
    struct trainer_lines answers;
    struct trainer_lines said;
    char answers_data[TRAINER_LINE_MAX + 1];
    char said_data[SAID_LINE_MAX];
    /* The line of standard error that came last and was not empty, cut; escaped when asked for. */
    char last_line[TRAINER_TEXT_MAX];
    size_t last_size;
    char last_words[TRAINER_TEXT_MAX];
    trainer_on_note *note;
    void *note_context;
    uint64_t closed_ns; /* when its output was found closed; 0 it is open */
    /* A bucket of lines that may be passed on, filled up with time. */
    double tokens;
    uint64_t filled_ns;
    uint64_t left_out;
};

uint64_t trainer_now_ns(void)
{
    struct timespec now = {0};
    clock_gettime(CLOCK_BOOTTIME, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

enum status trainer_session_open(const struct trainer_process_options *options,
                                 trainer_on_note *note, void *context,
                                 struct trainer_session **ret_session, struct error *err)
{
    struct trainer_session *const session = calloc(1, sizeof(*session));
    if (session == nullptr)
        return error_set(err, STATUS_NO_MEMORY, "no memory for a trainer");
    const enum status status = trainer_process_start(options, &session->process, err);
    if (status != STATUS_OK) {
        free(session);
        return status;
    }
    bytes_init(&session->outgoing, OUTGOING_MAX);
    trainer_lines_init(&session->answers, session->answers_data, sizeof(session->answers_data));
    trainer_lines_init(&session->said, session->said_data, sizeof(session->said_data));
    session->note = note;
    session->note_context = context;
    session->tokens = NOTES_BURST;
    session->filled_ns = trainer_now_ns();
    *ret_session = session;
    return STATUS_OK;
}

/* ---- standard error ---- */

static void tell(struct trainer_session *session, struct slice text)
{
    if (session->note != nullptr)
        session->note(session->note_context, TRAINER_NOTE_SAID, text);
}

static void tell_left_out(struct trainer_session *session)
{
    char text[64];
    if (session->left_out == 0)
        return;
    const int size = snprintf(text, sizeof(text), "(%llu lines are left out here)",
                              (unsigned long long)session->left_out);
    session->left_out = 0;
    tell(session, (struct slice){(const uint8_t *)text, (size_t)size});
}

static void on_said(struct trainer_session *session, struct slice line)
{
    while (line.size > 0 && (line.data[line.size - 1] == '\r' || line.data[line.size - 1] == ' '))
        line.size--;
    if (line.size == 0)
        return;
    session->last_size =
        line.size < sizeof(session->last_line) ? line.size : sizeof(session->last_line);
    memcpy(session->last_line, line.data, session->last_size);
    if (session->tokens < 1) {
        session->left_out++;
        return;
    }
    session->tokens -= 1;
    tell_left_out(session);
    tell(session, line);
}

static void on_errors(struct trainer_session *session)
{
    char *room = nullptr;
    struct slice line;
    const uint64_t now = trainer_now_ns();
    session->tokens += (double)(now - session->filled_ns) * 1e-9 * NOTES_PER_S;
    session->tokens = session->tokens < NOTES_BURST ? session->tokens : NOTES_BURST;
    session->filled_ns = now;
    const size_t size = trainer_lines_room(&session->said, &room);
    const ssize_t got = read(session->process->errors, room, size);
    if (got > 0)
        trainer_lines_fed(&session->said, (size_t)got);
    while (trainer_lines_next(&session->said, &line))
        on_said(session, line);
    if (trainer_lines_cut(&session->said, &line))
        on_said(session, line);
    if (got > 0 || (got < 0 && (errno == EAGAIN || errno == EINTR)))
        return;
    close(session->process->errors);
    session->process->errors = -1;
}

/* ---- standard output and input ---- */

static void on_answers(struct trainer_session *session)
{
    char *room = nullptr;
    const size_t size = trainer_lines_room(&session->answers, &room);
    if (size == 0)
        return;
    const ssize_t got = read(session->process->output, room, size);
    if (got > 0)
        trainer_lines_fed(&session->answers, (size_t)got);
    if (got > 0 || (got < 0 && (errno == EAGAIN || errno == EINTR)))
        return;
    close(session->process->output);
    session->process->output = -1;
    session->closed_ns = trainer_now_ns();
}

static void on_writable(struct trainer_session *session)
{
    const ssize_t put =
        write(session->process->input, session->outgoing.data, session->outgoing.size);
    if (put >= 0)
        bytes_consume(&session->outgoing, (size_t)put);
    else if (errno != EAGAIN && errno != EINTR)
        trainer_process_close_input(session->process); /* it closed its end: it will be seen why */
}

/* What an ended process left in its pipes. */
static void drain(struct trainer_session *session)
{
    for (int i = 0; i < DRAIN_READS_MAX && session->process->errors >= 0; i++) {
        struct pollfd fd = {.fd = session->process->errors, .events = POLLIN};
        if (poll(&fd, 1, 0) <= 0)
            break;
        on_errors(session);
    }
    struct slice rest = {(const uint8_t *)session->said.data + session->said.begin,
                         session->said.end - session->said.begin};
    if (!session->said.skipping)
        on_said(session, rest); /* last words may lack their newline */
    session->said.begin = session->said.end;
    tell_left_out(session);
}

/* ---- the wait ---- */

/* Whether something has happened that can be told without waiting. */
static bool find_event(struct trainer_session *session, uint64_t deadline_ns,
                       struct slice *ret_line, enum trainer_session_event *ret_event)
{
    struct trainer_process *const process = session->process;
    const uint64_t now = trainer_now_ns();
    *ret_event = SESSION_DEADLINE;
    if (now >= deadline_ns) /* first of all: who floods us with lines is stopped too */
        return true;
    if (trainer_lines_next(&session->answers, ret_line)) {
        *ret_event = SESSION_LINE;
        return true;
    }
    if (trainer_lines_cut(&session->answers, ret_line)) {
        *ret_event = SESSION_OVERLONG;
        return true;
    }
    if (trainer_process_ended(process)) {
        struct pollfd fd = {.fd = process->output, .events = POLLIN};
        if (process->output >= 0 && poll(&fd, 1, 0) > 0 && (fd.revents & POLLIN) != 0)
            return false; /* there is still something to read */
        drain(session);
        *ret_event = SESSION_ENDED;
        return true;
    }
    if (session->closed_ns != 0 && now - session->closed_ns >= ENDS_SOON_MS * UINT64_C(1000000)) {
        *ret_event = SESSION_CLOSED;
        return true;
    }
    return false;
}

static int wait_ms(const struct trainer_session *session, uint64_t deadline_ns)
{
    const uint64_t now = trainer_now_ns();
    uint64_t until = deadline_ns;
    if (session->closed_ns != 0 &&
        session->closed_ns + ENDS_SOON_MS * UINT64_C(1000000) < deadline_ns)
        until = session->closed_ns + ENDS_SOON_MS * UINT64_C(1000000);
    const uint64_t ms = until > now ? (until - now) / 1000000 + 1 : 0;
    return ms < 60000 ? (int)ms : 60000;
}

enum trainer_session_event trainer_session_wait(struct trainer_session *session,
                                                uint64_t deadline_ns, int wake,
                                                struct slice *ret_line)
{
    struct trainer_process *const process = session->process;
    enum trainer_session_event event = SESSION_DEADLINE;
    while (!find_event(session, deadline_ns, ret_line, &event)) {
        struct pollfd fds[] = {
            {.fd = process->output, .events = POLLIN},
            {.fd = process->errors, .events = POLLIN},
            {.fd = process->control, .events = POLLIN},
            {.fd = wake, .events = POLLIN},
            {.fd = session->outgoing.size > 0 ? process->input : -1, .events = POLLOUT},
        };
        if (poll(fds, sizeof(fds) / sizeof(*fds), wait_ms(session, deadline_ns)) <= 0)
            continue;
        if (fds[0].revents != 0)
            on_answers(session);
        if (fds[1].revents != 0)
            on_errors(session);
        if (fds[4].revents != 0)
            on_writable(session);
        if (fds[3].revents != 0)
            return SESSION_WOKEN;
    }
    return event;
}

bool trainer_session_unread(const struct trainer_session *session)
{
    return session->outgoing.size > 0 || trainer_process_unread(session->process) > 0;
}

struct bytes *trainer_session_outgoing(struct trainer_session *session)
{
    return &session->outgoing;
}

struct trainer_process *trainer_session_process(struct trainer_session *session)
{
    return session->process;
}

const char *trainer_session_last_words(struct trainer_session *session)
{
    text_escape(session->last_line, session->last_size, session->last_words,
                sizeof(session->last_words));
    return session->last_words;
}

void trainer_session_close(struct trainer_session *session)
{
    if (session == nullptr)
        return;
    trainer_process_destroy(session->process);
    bytes_deinit(&session->outgoing);
    free(session);
}

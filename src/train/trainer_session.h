/*
 * trainer_session.h - one process of a trainer and the talk with it: lines out, lines in, its
 * standard error, its end, each wait with a deadline.
 *
 * One thread at a time. Standard error is read while somebody waits for an answer; between two
 * tasks what is said there waits in its pipe. Not here: what the lines mean (trainer_external.c).
 */
#pragma once

#include "base/bytes.h"
#include "train/trainer.h"
#include "train/trainer_process.h"

#include <stdint.h>

enum trainer_session_event {
    SESSION_LINE,     /* a whole line was answered */
    SESSION_OVERLONG, /* a line without an end; here is its beginning */
    SESSION_ENDED,    /* the process has ended, and all that it said was given out */
    SESSION_CLOSED,   /* it closed its standard output and lives on */
    SESSION_DEADLINE, /* beats all the others */
    SESSION_WOKEN,    /* the descriptor given to wake is readable */
};

struct trainer_session;

/*
 * Starts a process. note (may be null) is told what is said on standard error, a line at a time; of
 * a flood only some lines, and how many were left out. Errors as trainer_process_start.
 */
[[nodiscard]] enum status trainer_session_open(const struct trainer_process_options *options,
                                               trainer_on_note *note, void *context,
                                               struct trainer_session **ret_session,
                                               struct error *err);

/* Kills what lives, frees. Null is allowed. Blocks as trainer_process_destroy. */
void trainer_session_close(struct trainer_session *session);

/* Where lines are put that are to be sent; sent by trainer_session_wait, as they are taken. */
struct bytes *trainer_session_outgoing(struct trainer_session *session);

/*
 * Waits for the next event: until deadline_ns (of trainer_now_ns), or wake (-1 none) is readable.
 * ret_line is written with LINE and OVERLONG, and valid until the next call.
 */
enum trainer_session_event trainer_session_wait(struct trainer_session *session,
                                                uint64_t deadline_ns, int wake,
                                                struct slice *ret_line);

/* Whether a line was sent, or is to be, that was not read wholly. */
bool trainer_session_unread(const struct trainer_session *session);

struct trainer_process *trainer_session_process(struct trainer_session *session);

/* The last line said on standard error that was not empty, escaped; "" where there was none. */
const char *trainer_session_last_words(struct trainer_session *session);

/* CLOCK_BOOTTIME. */
uint64_t trainer_now_ns(void);

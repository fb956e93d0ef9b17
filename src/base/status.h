/*
 * status.h - the one list of things that can go wrong, and the text that explains one to a person.
 *
 * A status says how to react (its class), an error says what happened. The text is written once,
 * where the decision is taken; callers pass it on unchanged.
 */
#pragma once

#include <stddef.h>

/*
 * name, class, short text.
 * AGAIN: wait and try again. PEER: drop that peer's message. LIMIT: a configured bound.
 * IO and CORRUPT: a local fault. INVAL: the caller's (or the user's) mistake. CANCEL: was told to
 * stop.
 */
#define STATUS_LIST(X)                                                                             \
    X(OK, OK, "ok")                                                                                \
    X(AGAIN, AGAIN, "try again")                                                                   \
    X(TIMEOUT, AGAIN, "took too long")                                                             \
    X(UNREACHABLE, AGAIN, "cannot be reached")                                                     \
    X(PEER, PEER, "the peer broke the protocol")                                                   \
    X(IDENTITY, PEER, "the identity is not acceptable")                                            \
    X(SIGNATURE, PEER, "the signature does not match")                                             \
    X(DIGEST, PEER, "the digest does not match")                                                   \
    X(PERMISSION, PEER, "not permitted")                                                           \
    X(LIMIT, LIMIT, "over a limit")                                                                \
    X(NO_MEMORY, LIMIT, "out of memory")                                                           \
    X(IO, IO, "input or output failed")                                                            \
    X(NO_SPACE, IO, "no space left")                                                               \
    X(CORRUPT, CORRUPT, "stored data is damaged")                                                  \
    X(VERSION, CORRUPT, "stored data has an unknown version")                                      \
    X(INVAL, INVAL, "invalid")                                                                     \
    X(NOT_FOUND, INVAL, "not found")                                                               \
    X(EXISTS, INVAL, "exists already")                                                             \
    X(UNSUPPORTED, INVAL, "not supported")                                                         \
    X(CANCELLED, CANCEL, "cancelled")

enum status {
#define X(name, class, text) STATUS_##name,
    STATUS_LIST(X)
#undef X
};

enum status_class {
    STATUS_CLASS_OK,
    STATUS_CLASS_AGAIN,
    STATUS_CLASS_PEER,
    STATUS_CLASS_LIMIT,
    STATUS_CLASS_IO,
    STATUS_CLASS_CORRUPT,
    STATUS_CLASS_INVAL,
    STATUS_CLASS_CANCEL,
};

enum { ERROR_TEXT_MAX = 512 };

/* What went wrong, for a person: what, where, what would be right. Cut at its end when too long. */
struct error {
    char text[ERROR_TEXT_MAX];
};

/* The short English text of a status, static. */
const char *status_text(enum status status);

/* The lower-case name of a status ("no_space"), static; for logs and metrics. */
const char *status_name(enum status status);

/* How to react to a status. */
enum status_class status_class_of(enum status status);

/*
 * Writes the text and gives status back, so that `return error_set(err, STATUS_INVAL, "...")` reads
 * well. err may be null: then only the status is passed on.
 */
enum status error_set(struct error *err, enum status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Puts "prefix: " (formatted) before the text that is there; gives status back. err may be null. */
enum status error_prefix(struct error *err, enum status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* error_set with ": " and the text of the system's error number at the end. */
enum status error_set_errno(struct error *err, enum status status, int error_number,
                            const char *format, ...) __attribute__((format(printf, 4, 5)));

#ifdef __clang_analyzer__
/* The analyzer sees one file at a time: this shows it that the status given is the one given back.
 */
#define error_set(err, status, ...)    ((void)(error_set)(err, status, __VA_ARGS__), (status))
#define error_prefix(err, status, ...) ((void)(error_prefix)(err, status, __VA_ARGS__), (status))
#define error_set_errno(err, status, number, ...)                                                  \
    ((void)(error_set_errno)(err, status, number, __VA_ARGS__), (status))
#endif

/*
 * reason.h - why an update is refused or dropped: the one list, with names for metrics.
 *
 * The numbers are those of fedra.v1.RefusalReason. Not here: who decides (core/, host/).
 */
#pragma once

/* NAME, name in metrics, number on the wire, class, text for people. */
#define REASON_LIST(X)                                                                             \
    X(UNSPECIFIED, unspecified, 0, FINAL, "no reason was given")                                   \
    X(MALFORMED, malformed, 1, FINAL, "not a message of this protocol, or a field out of range")   \
    X(VERSION, version, 2, FINAL, "a protocol version that is not known")                          \
    X(UNSUPPORTED, unsupported, 3, FINAL, "a hash or codec that is not known or not allowed")      \
    X(IDENTITY, identity, 4, FINAL, "the identity is not acceptable")                              \
    X(PERMISSION, permission, 5, FINAL, "the identity has not the role for this")                  \
    X(SIGNATURE, signature, 6, FINAL, "the signature does not match the header")                   \
    X(WRONG_JOB, wrong_job, 7, FINAL, "no such job or fork here")                                  \
    X(STALE_EPOCH, stale_epoch, 8, FINAL, "the epoch was fenced off")                              \
    X(FUTURE_EPOCH, future_epoch, 9, FINAL, "the epoch never began")                               \
    X(ROUND_CLOSED, round_closed, 10, FINAL, "too late: the round is closed")                      \
    X(FUTURE_ROUND, future_round, 11, FINAL, "the round has not begun")                            \
    X(UNKNOWN_BASE, unknown_base, 12, FINAL, "trained from a version this job does not have")      \
    X(TOO_STALE, too_stale, 13, FINAL, "trained from a version that is too old")                   \
    X(NOT_SELECTED, not_selected, 14, FINAL, "the sender was not asked this round")                \
    X(QUARANTINED, quarantined, 15, FINAL, "the sender is shut out")                               \
    X(REPLAY, replay, 16, FINAL, "seen before")                                                    \
    X(EQUIVOCATION, equivocation, 17, FINAL, "two different updates for the same round")           \
    X(ALREADY_COUNTED, already_counted, 18, FINAL, "counted in a committed version already")       \
    X(DIGEST, digest, 19, FINAL, "the payload is not what the header signed")                      \
    X(TOO_LARGE, too_large, 20, FINAL, "more bytes than the limit")                                \
    X(SHAPE, shape, 21, FINAL, "other tensors than the model's")                                   \
    X(NON_FINITE, non_finite, 22, FINAL, "NaN or infinity")                                        \
    X(NORM, norm, 23, FINAL, "the norm is over the bound")                                         \
    X(SAMPLES, samples, 24, FINAL, "no samples, or more than are possible")                        \
    X(FLAGGED, flagged, 25, FINAL, "left out by the aggregation rule")                             \
    X(JOB_ENDED, job_ended, 26, FINAL, "the job is over")                                          \
    X(SUPERSEDED, superseded, 27, FINAL, "its round was undone")                                   \
    X(BUSY, busy, 28, AGAIN, "no room at the moment")                                              \
    X(DRAINING, draining, 29, AGAIN, "the receiver is ending")                                     \
    X(INTERNAL, internal, 30, AGAIN, "a fault of the receiver")

enum reason {
#define X(name, lower, number, class, text) REASON_##name = (number),
    REASON_LIST(X)
#undef X
};

enum reason_class {
    REASON_CLASS_FINAL, /* this update will never be taken */
    REASON_CLASS_AGAIN, /* the same update may be sent again later */
};

/* The lower-case name ("round_closed"), static; for logs and metrics. */
const char *reason_name(enum reason reason);

/* The short English text, static. */
const char *reason_text(enum reason reason);

/* Whether sending again can help. */
enum reason_class reason_class_of(enum reason reason);

/* The reason of that lower-case name; UNSPECIFIED for one that is not known. */
enum reason reason_of_name(const char *name);

/* The reason with this number on the wire; UNSPECIFIED for one that is not known. */
enum reason reason_of_number(unsigned number);

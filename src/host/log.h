/*
 * log.h - the structured log: one line an event, a stable dotted name and typed fields.
 *
 *     2026-11-24T09:31:30.123Z info round.aggregated round=12 updates=850 took_ms=41
 *
 * or the same as one JSON object a line. Never payloads, keys or tokens; text is always escaped and
 * cut, as much of it comes from peers. Not here: what is logged when, that is the callers' affair.
 */
#pragma once

#include "base/bytes.h"
#include "base/digest.h"
#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum log_level : uint32_t {
    LOG_ERROR,
    LOG_WARN,
    LOG_INFO,
    LOG_DEBUG,
};

enum log_format : uint32_t {
    LOG_FORMAT_TEXT,
    LOG_FORMAT_JSON,
};

enum {
    LOG_LINE_BYTES_MAX = 4096, /* with its newline; PIPE_BUF, so a line in a pipe stays whole */
    LOG_TEXT_MAX = 256,        /* of one escaped text, with its zero; longer ends in "..." */
};

/* An open log. All its functions may be called from any thread, but log_close. */
struct log;

enum log_field_kind {
    LOG_FIELD_NONE,
    LOG_FIELD_U64,
    LOG_FIELD_I64,
    LOG_FIELD_F64,
    LOG_FIELD_BOOL,
    LOG_FIELD_TEXT,
    LOG_FIELD_DIGEST,
};

/* One key=value; made by the LOG_... macros below, valid for the one call. Keys are literals. */
struct log_field {
    const char *key;
    enum log_field_kind kind;
    union {
        uint64_t u64;
        int64_t i64;
        double f64;
        bool boolean;
        struct slice text;
        const struct digest *digest;
    };
};

/* A zero-terminated text as a slice; null is "". */
static inline struct slice log_text(const char *text)
{
    return (struct slice){(const uint8_t *)text, text ? __builtin_strlen(text) : 0};
}

#define LOG_U64(name, value)                                                                       \
    ((struct log_field){.key = (name), .kind = LOG_FIELD_U64, .u64 = (value)})
#define LOG_I64(name, value)                                                                       \
    ((struct log_field){.key = (name), .kind = LOG_FIELD_I64, .i64 = (value)})
#define LOG_F64(name, value)                                                                       \
    ((struct log_field){.key = (name), .kind = LOG_FIELD_F64, .f64 = (value)})
#define LOG_BOOL(name, value)                                                                      \
    ((struct log_field){.key = (name), .kind = LOG_FIELD_BOOL, .boolean = (value)})
/* A zero-terminated text, a slice of text, a digest (const struct digest *), a status's name. */
#define LOG_STR(name, value)                                                                       \
    ((struct log_field){.key = (name), .kind = LOG_FIELD_TEXT, .text = log_text(value)})
#define LOG_SLICE(name, value)                                                                     \
    ((struct log_field){.key = (name), .kind = LOG_FIELD_TEXT, .text = (value)})
#define LOG_DIGEST(name, value)                                                                    \
    ((struct log_field){.key = (name), .kind = LOG_FIELD_DIGEST, .digest = (value)})
#define LOG_STATUS(value) LOG_STR("status", status_name(value))

/*
 * Opens a log.
 *
 * file    appended to, made (mode 0640) where it is not there; null or "" is standard error.
 * level   events above it are not written.
 *
 * IO with a text in err (may be null) where the file cannot be opened, NO_MEMORY. The caller closes
 * *ret_log.
 */
[[nodiscard]] enum status log_open(const char *file, enum log_level level, enum log_format format,
                                   struct error *err, struct log **ret_log);

/* Closes the log; null is fine. No other thread may be using it. */
void log_close(struct log *log);

/* Whether an event of this level would be written; a null log writes nothing. */
bool log_enabled(const struct log *log, enum log_level level);

/* How many lines could not be written since the log was opened. */
uint64_t log_lines_lost(const struct log *log);

/*
 * Writes one event; use log_event. fields[0] is skipped. What does not fit in LOG_LINE_BYTES_MAX is
 * left out and said so by cut=true. Never fails: a lost line is counted.
 */
void log_write(struct log *log, enum log_level level, const char *event,
               const struct log_field *fields, size_t count);

/*
 * log_event(log, LOG_INFO, "round.aggregated", LOG_U64("round", 12), LOG_STR("node", name));
 * Fields are evaluated only where the level is enabled. event and keys: [a-z0-9_.], literals.
 */
#define log_event(log, level, event, ...)                                                          \
    do {                                                                                           \
        if (log_enabled((log), (level))) {                                                         \
            const struct log_field log_fields_[] = {{.key = ""} __VA_OPT__(, ) __VA_ARGS__};       \
            log_write((log), (level), (event), log_fields_,                                        \
                      sizeof log_fields_ / sizeof log_fields_[0]);                                 \
        }                                                                                          \
    } while (0)

/*
 * log.c - events rendered as one line of text or JSON, each written by one write(2).
 *
 * No lock: the line is made on the caller's stack, and O_APPEND (or a pipe's PIPE_BUF) keeps lines
 * of several threads and processes apart.
 */
#include "host/log.h"

#include "base/text.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

struct log {
    int fd;
    bool owned; /* fd is ours to close */
    enum log_level level;
    enum log_format format;
    _Atomic uint64_t lines_lost;
};

enum {
    TAIL_BYTES = 16, /* room kept for the end of the line: cut=true, }, newline */
    VALUE_BYTES_MAX = 2 * LOG_TEXT_MAX + 8, /* a backslash doubles in JSON, and quotes */
    FIELD_BYTES_MAX = VALUE_BYTES_MAX + 80,
};

static const char *const level_names[] = {"error", "warn", "info", "debug"};

enum status log_open(const char *file, enum log_level level, enum log_format format,
                     struct error *err, struct log **ret_log)
{
    struct log *const log = calloc(1, sizeof *log);
    if (!log)
        return error_set(err, STATUS_NO_MEMORY, "out of memory for the log");
    log->fd = STDERR_FILENO;
    log->level = level;
    log->format = format;
    if (file && file[0]) {
        log->fd = open(file, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY, 0640);
        log->owned = true;
    }
    if (log->fd < 0) {
        const int error_number = errno;
        free(log);
        return error_set_errno(err, STATUS_IO, error_number, "cannot open the log file %s", file);
    }
    *ret_log = log;
    return STATUS_OK;
}

void log_close(struct log *log)
{
    if (log && log->owned)
        close(log->fd);
    free(log);
}

bool log_enabled(const struct log *log, enum log_level level)
{
    return log && level <= log->level;
}

uint64_t log_lines_lost(const struct log *log)
{
    return log ? atomic_load_explicit(&log->lines_lost, memory_order_relaxed) : 0;
}

/* Whether a text can stand in a key=value line without quotes. */
static bool is_word(const char *text)
{
    for (const char *c = text; *c; c++) {
        if (*c == ' ' || *c == '=' || *c == '\\')
            return false;
    }
    return text[0] != 0;
}

/*
 * A text, escaped and cut, in quotes where the format wants them. text_escape leaves a backslash
 * only in \xNN; JSON has no such escape, so there the backslash itself is escaped.
 */
static void render_text(const struct log *log, struct slice text, char *ret)
{
    char escaped[LOG_TEXT_MAX];
    size_t used = 0;
    const bool json = log->format == LOG_FORMAT_JSON;
    text_escape(text.data, text.size, escaped, sizeof escaped);
    const bool quoted = json || !is_word(escaped);
    if (quoted)
        ret[used++] = '"';
    for (const char *c = escaped; *c; c++) {
        if (*c == '\\' && json)
            ret[used++] = '\\';
        ret[used++] = *c;
    }
    if (quoted)
        ret[used++] = '"';
    ret[used] = 0;
}

static void render_f64(const struct log *log, double value, char ret[static VALUE_BYTES_MAX])
{
    const char *const quote = log->format == LOG_FORMAT_JSON && !isfinite(value) ? "\"" : "";
    snprintf(ret, VALUE_BYTES_MAX, "%s%.9g%s", quote, value, quote);
}

static void render_value(const struct log *log, const struct log_field *field,
                         char ret[static VALUE_BYTES_MAX])
{
    char hex[DIGEST_HEX_MAX];
    switch (field->kind) {
    case LOG_FIELD_U64:
        snprintf(ret, VALUE_BYTES_MAX, "%" PRIu64, field->u64);
        return;
    case LOG_FIELD_I64:
        snprintf(ret, VALUE_BYTES_MAX, "%" PRId64, field->i64);
        return;
    case LOG_FIELD_F64:
        render_f64(log, field->f64, ret);
        return;
    case LOG_FIELD_BOOL:
        snprintf(ret, VALUE_BYTES_MAX, "%s", field->boolean ? "true" : "false");
        return;
    case LOG_FIELD_TEXT:
        render_text(log, field->text, ret);
        return;
    case LOG_FIELD_DIGEST:
        digest_to_hex(field->digest, hex);
        render_text(log, log_text(hex), ret);
        return;
    case LOG_FIELD_NONE:
        break;
    }
    snprintf(ret, VALUE_BYTES_MAX, "\"\"");
}

/* Appends one field where it fits before the tail; false where not. */
static bool append_field(const struct log *log, const struct log_field *field, char *line,
                         size_t *used)
{
    char value[VALUE_BYTES_MAX];
    char text[FIELD_BYTES_MAX];
    render_value(log, field, value);
    const bool json = log->format == LOG_FORMAT_JSON;
    const int size =
        snprintf(text, sizeof text, json ? ",\"%.64s\":%s" : " %.64s=%s", field->key, value);
    if (*used + (size_t)size + TAIL_BYTES > LOG_LINE_BYTES_MAX)
        return false;
    memcpy(line + *used, text, (size_t)size);
    *used += (size_t)size;
    return true;
}

static size_t append_head(const struct log *log, enum log_level level, const char *event,
                          char line[static LOG_LINE_BYTES_MAX])
{
    struct timespec now = {0};
    struct tm utc = {0};
    char when[32];
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &utc);
    strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%S", &utc);
    const int ms = (int)(now.tv_nsec / 1000000);
    const int size = log->format == LOG_FORMAT_JSON
                         ? snprintf(line, LOG_LINE_BYTES_MAX,
                                    "{\"time\":\"%s.%03dZ\",\"level\":\"%s\",\"event\":\"%.64s\"",
                                    when, ms, level_names[level], event)
                         : snprintf(line, LOG_LINE_BYTES_MAX, "%s.%03dZ %s %.64s", when, ms,
                                    level_names[level], event);
    return (size_t)size;
}

void log_write(struct log *log, enum log_level level, const char *event,
               const struct log_field *fields, size_t count)
{
    char line[LOG_LINE_BYTES_MAX + 1];
    const int saved_errno = errno;
    if (!log_enabled(log, level))
        return;
    const bool json = log->format == LOG_FORMAT_JSON;
    size_t used = append_head(log, level, event, line);
    bool cut = false;
    for (size_t i = 1; i < count; i++)
        cut = !append_field(log, &fields[i], line, &used) || cut;
    const char *const mark = !cut ? "" : json ? ",\"cut\":true" : " cut=true";
    used += (size_t)snprintf(line + used, sizeof line - used, "%s%s\n", mark, json ? "}" : "");
    ssize_t put;
    do {
        put = write(log->fd, line, used);
    } while (put < 0 && errno == EINTR);
    if (put != (ssize_t)used)
        atomic_fetch_add_explicit(&log->lines_lost, 1, memory_order_relaxed);
    errno = saved_errno;
}

/*
 * status.c - texts of statuses, and the forming of error texts.
 *
 * Not here: logging (host/log.c).
 */
#include "base/status.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* What the analyzer is shown of them. */
#undef error_set
#undef error_prefix
#undef error_set_errno

static const struct {
    const char *name;
    const char *text;
    enum status_class class;
} statuses[] = {
#define X(name, class, text) {#name, text, STATUS_CLASS_##class},
    STATUS_LIST(X)
#undef X
};

const char *status_text(enum status status)
{
    return statuses[status].text;
}

const char *status_name(enum status status)
{
    static const char *const lower[] = {
        "ok",        "again",     "timeout",  "unreachable", "peer",
        "identity",  "signature", "digest",   "permission",  "limit",
        "no_memory", "io",        "no_space", "corrupt",     "version",
        "inval",     "not_found", "exists",   "unsupported", "cancelled",
    };
    static_assert(sizeof(lower) / sizeof(*lower) == sizeof(statuses) / sizeof(*statuses));
    return lower[status];
}

enum status_class status_class_of(enum status status)
{
    return statuses[status].class;
}

enum status error_set(struct error *err, enum status status, const char *format, ...)
{
    if (err == nullptr)
        return status;
    va_list args;
    va_start(args, format);
    vsnprintf(err->text, sizeof(err->text), format, args);
    va_end(args);
    return status;
}

enum status error_prefix(struct error *err, enum status status, const char *format, ...)
{
    if (err == nullptr)
        return status;
    char old[ERROR_TEXT_MAX];
    memcpy(old, err->text, sizeof(old));
    va_list args;
    va_start(args, format);
    const int length = vsnprintf(err->text, sizeof(err->text), format, args);
    va_end(args);
    if (length >= 0 && (size_t)length < sizeof(err->text))
        snprintf(err->text + length, sizeof(err->text) - (size_t)length, ": %s", old);
    return status;
}

enum status error_set_errno(struct error *err, enum status status, int error_number,
                            const char *format, ...)
{
    if (err == nullptr)
        return status;
    va_list args;
    va_start(args, format);
    const int length = vsnprintf(err->text, sizeof(err->text), format, args);
    va_end(args);
    char reason[128];
    if (length >= 0 && (size_t)length < sizeof(err->text))
        snprintf(err->text + length, sizeof(err->text) - (size_t)length, ": %s",
                 strerror_r(error_number, reason, sizeof(reason)));
    return status;
}

/*
 * openssl_error.c - OpenSSL's reasons as an error's text.
 */
#include "identity/openssl_error.h"

#include <openssl/err.h>
#include <stdarg.h>
#include <stdio.h>

enum status error_set_openssl(struct error *err, enum status status, const char *format, ...)
{
    char what[ERROR_TEXT_MAX];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(what, sizeof what, format, arguments);
    va_end(arguments);

    unsigned long code = 0;
    for (unsigned long next = ERR_get_error(); next != 0; next = ERR_get_error()) {
        if (ERR_GET_REASON(next) == ERR_R_MALLOC_FAILURE)
            status = STATUS_NO_MEMORY;
        code = next;
    }
    const char *reason = code != 0 ? ERR_reason_error_string(code) : nullptr;
    return error_set(err, status, "%s: %s", what, reason != nullptr ? reason : "OpenSSL refused");
}

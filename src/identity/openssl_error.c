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

    const unsigned long code = ERR_peek_last_error();
    const char *reason = code != 0 ? ERR_reason_error_string(code) : nullptr;
    if (code != 0 && ERR_GET_REASON(code) == ERR_R_MALLOC_FAILURE)
        status = STATUS_NO_MEMORY;
    ERR_clear_error();
    return error_set(err, status, "%s: %s", what, reason != nullptr ? reason : "OpenSSL refused");
}

/*
 * openssl_error.h - OpenSSL's reasons as an error's text.
 */
#pragma once

#include "base/status.h"

/*
 * error_set with OpenSSL's last reason at the end; empties its queue. Gives NO_MEMORY instead of
 * status where memory was what was missing. err may be null.
 */
enum status error_set_openssl(struct error *err, enum status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/*
 * check.h - assertions that stay on in release builds.
 *
 * An assertion is for our own bugs; what comes from outside is answered with a status.
 */
#pragma once

/* Says what was expected and where on standard error, and aborts. */
[[noreturn]] void check_failed(const char *expression, const char *file, int line);

/* Aborts, saying where, unless the condition holds. Evaluated once, always. */
#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (__builtin_expect(!(condition), 0))                                                     \
            check_failed(#condition, __FILE__, __LINE__);                                          \
    } while (0)

/*
 * check.c - what happens when an assertion fails: one line on standard error, then abort.
 */
#include "base/check.h"

#include <stdio.h>
#include <stdlib.h>

void check_failed(const char *expression, const char *file, int line)
{
    fprintf(stderr, "fedra: internal error at %s:%d: %s does not hold\n", file, line, expression);
    abort();
}

/*
 * crash_point.c - dies at a named step; only in test builds (see crash_point.h).
 */
#include "store/crash_point.h"

#ifdef FEDRA_CRASH_POINTS

#include <signal.h>
#include <stdlib.h>
#include <string.h>

void crash_point(const char *name)
{
    static unsigned long passed;
    const char *const wanted = getenv("FEDRA_CRASH_AT");
    if (wanted == nullptr)
        return;
    const char *const colon = strrchr(wanted, ':');
    if (colon == nullptr || strlen(name) != (size_t)(colon - wanted) ||
        strncmp(name, wanted, (size_t)(colon - wanted)) != 0)
        return;
    if (++passed == strtoul(colon + 1, nullptr, 10))
        raise(SIGKILL);
}

#endif

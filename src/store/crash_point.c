/*
 * crash_point.c - dies at a named step; only in test builds (see crash_point.h).
 */
#include "store/crash_point.h"

#ifdef FEDRA_CRASH_POINTS

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { COMMAND_LINE_MAX = 4096 };

/* Who starts others hands them its environment, and may have to live on itself. */
static bool is_meant(void)
{
    const char *const wanted = getenv("FEDRA_CRASH_COMMAND");
    char line[COMMAND_LINE_MAX + 1] = "";
    if (wanted == nullptr)
        return true;
    FILE *const file = fopen("/proc/self/cmdline", "re");
    if (file == nullptr)
        return false;
    const size_t size = fread(line, 1, COMMAND_LINE_MAX, file);
    fclose(file);
    const char *const second = line + strlen(line) + 1;
    return second < line + size && strcmp(second, wanted) == 0;
}

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
    if (is_meant() && ++passed == strtoul(colon + 1, nullptr, 10))
        raise(SIGKILL);
}

#endif

/*
 * clock.c - the clocks of the shells: boot time for deadlines, wall time for certificates.
 */
#include "host/clock.h"

#include "base/check.h"

#include <time.h>

static uint64_t clock_ns(clockid_t clock)
{
    struct timespec now;
    CHECK(clock_gettime(clock, &now) == 0);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

uint64_t clock_boot_ns(void)
{
    return clock_ns(CLOCK_BOOTTIME);
}

uint64_t clock_unix_ms(void)
{
    return clock_ns(CLOCK_REALTIME) / 1000000;
}

int64_t clock_unix_s(void)
{
    return (int64_t)(clock_ns(CLOCK_REALTIME) / 1000000000);
}

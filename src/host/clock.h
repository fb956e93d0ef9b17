/*
 * clock.h - the clocks of the shells. Machines get their time by events (core/machine.h).
 */
#pragma once

#include <stdint.h>

/* CLOCK_BOOTTIME in ns: goes on while the machine sleeps, never back. For deadlines. */
uint64_t clock_boot_ns(void);

/* Wall time since 1970, in s and in ms. For certificates and records only. */
int64_t clock_unix_s(void);
uint64_t clock_unix_ms(void);

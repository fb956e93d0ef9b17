/*
 * alloc_fault.c - the allocation functions of the linker's --wrap, one of which can be made to
 * fail.
 */
#include "alloc_fault.h"

#include <errno.h>
#include <stddef.h>

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *old, size_t size);
void *__real_reallocarray(void *old, size_t count, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *old, size_t size);
void *__wrap_reallocarray(void *old, size_t count, size_t size);

static bool armed;
static bool fired;
static uint64_t passing;

void alloc_fault_at(uint64_t index)
{
    armed = true;
    fired = false;
    passing = index;
}

bool alloc_fault_off(void)
{
    armed = false;
    return fired;
}

bool alloc_fault_is_now(void)
{
    if (!armed || fired)
        return false;
    fired = passing == 0;
    passing -= !fired;
    errno = fired ? ENOMEM : errno;
    return fired;
}

void *__wrap_malloc(size_t size)
{
    return alloc_fault_is_now() ? nullptr : __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
    return alloc_fault_is_now() ? nullptr : __real_calloc(count, size);
}

void *__wrap_realloc(void *old, size_t size)
{
    return alloc_fault_is_now() ? nullptr : __real_realloc(old, size);
}

void *__wrap_reallocarray(void *old, size_t count, size_t size)
{
    return alloc_fault_is_now() ? nullptr : __real_reallocarray(old, count, size);
}

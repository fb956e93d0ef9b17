/*
 * alloc_fault.h - makes one allocation of our own code fail, to show that each is answered.
 *
 * A test that depends on alloc_fault_dep is linked so that malloc, calloc, realloc and reallocarray
 * of the code under test (not of shared libraries) pass by here. One thread only.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* Lets `index` allocations pass from now on; the next one fails, once. */
void alloc_fault_at(uint64_t index);

/* No allocation fails from here on. Gives back whether one did since alloc_fault_at. */
bool alloc_fault_off(void);

/* For a wrapper of another allocating function: is this the allocation that fails? Counts it. */
bool alloc_fault_is_now(void);

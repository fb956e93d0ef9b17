/*
 * kern_tables.h - the tables that kern.c chooses among. For this folder only.
 */
#pragma once

#include "kern/kern.h"

extern const struct kern kern_ref;
extern const struct kern kern_avx2; /* x86-64 only */

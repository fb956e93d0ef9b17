/*
 * text.h - strings from outside made safe to print, and bounded copies.
 */
#pragma once

#include "base/status.h"

#include <stddef.h>

/*
 * Copies size bytes of text that came from a peer into ret (capacity bytes, with its zero): control
 * characters, backslash, quote and bytes over 126 become \xNN; too long ends in "...". capacity of
 * at least 8.
 */
void text_escape(const void *data, size_t size, char *ret, size_t capacity);

/* Copies a string with its zero. LIMIT where it does not fit; ret is then empty. */
[[nodiscard]] enum status text_copy(const char *text, char *ret, size_t capacity);

/* Edit distance (Levenshtein) between two short strings, at most 63 bytes each are looked at. */
size_t text_distance(const char *a, const char *b);

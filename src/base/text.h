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

/*
 * The candidate that a mistyped word was meant to be: at most NEAREST_DISTANCE_MAX edits away, and
 * fewer than it has letters. The first of equals; best stays null where none is near.
 */
struct text_nearest {
    const char *word; /* borrowed, as the candidates are */
    const char *best;
    size_t distance;
};

enum { NEAREST_DISTANCE_MAX = 3 };

static inline struct text_nearest text_nearest_begin(const char *word)
{
    return (struct text_nearest){.word = word, .distance = NEAREST_DISTANCE_MAX + 1};
}

/* Takes one more candidate into account. */
void text_nearest_try(struct text_nearest *nearest, const char *candidate);

/* Edit distance (Levenshtein) between two short strings, at most 63 bytes each are looked at. */
size_t text_distance(const char *a, const char *b);

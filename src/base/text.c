/*
 * text.c - escaping, bounded copies, and how far two words are apart.
 */
#include "base/text.h"

#include "base/check.h"

#include <stdio.h>
#include <string.h>

enum { DISTANCE_TEXT_MAX = 63 };

void text_escape(const void *data, size_t size, char *ret, size_t capacity)
{
    CHECK(capacity >= 8);
    const unsigned char *const in = data;
    size_t used = 0;
    for (size_t i = 0; i < size; i++) {
        const bool plain = in[i] >= ' ' && in[i] <= 126 && in[i] != '\\' && in[i] != '"';
        const size_t need = plain ? 1 : 4;
        if (used + need + 4 > capacity) { /* room for "..." and the zero */
            memcpy(ret + used, "...", 3);
            used += 3;
            break;
        }
        if (plain)
            ret[used] = (char)in[i];
        else
            snprintf(ret + used, 5, "\\x%02x", in[i]);
        used += need;
    }
    ret[used] = 0;
}

enum status text_copy(const char *text, char *ret, size_t capacity)
{
    CHECK(capacity > 0);
    const size_t length = strlen(text);
    ret[0] = 0;
    if (length >= capacity)
        return STATUS_LIMIT;
    memcpy(ret, text, length + 1);
    return STATUS_OK;
}

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

size_t text_distance(const char *a, const char *b)
{
    const size_t a_length = least(strlen(a), DISTANCE_TEXT_MAX);
    const size_t b_length = least(strlen(b), DISTANCE_TEXT_MAX);
    size_t row[DISTANCE_TEXT_MAX + 1];
    for (size_t j = 0; j <= b_length; j++)
        row[j] = j;
    for (size_t i = 1; i <= a_length; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= b_length; j++) {
            const size_t above = row[j];
            const size_t replace = diagonal + (a[i - 1] != b[j - 1]);
            row[j] = least(replace, least(above, row[j - 1]) + 1);
            diagonal = above;
        }
    }
    return row[b_length];
}

void text_nearest_try(struct text_nearest *nearest, const char *candidate)
{
    const size_t size = strlen(candidate);
    const size_t word_size = strlen(nearest->word);
    /* As many edits as the sizes differ are needed at least: most candidates end here. */
    const size_t difference = size > word_size ? size - word_size : word_size - size;
    if (difference >= nearest->distance)
        return;
    const size_t distance = text_distance(nearest->word, candidate);
    if (distance < nearest->distance && distance < size) {
        nearest->distance = distance;
        nearest->best = candidate;
    }
}

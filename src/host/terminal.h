/*
 * terminal.h - what may be shown on a stream: whether it is a terminal that a line can be drawn on
 * again and again, how wide it is, whether it takes UTF-8.
 *
 * Not here: what is drawn (progress.h).
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

enum {
    TERMINAL_WIDTH_DEFAULT = 80,
    TERMINAL_WIDTH_MAX = 400,
};

/* Whether the stream is a terminal whose cursor can be moved (TERM is set, and not dumb). */
bool terminal_is_live(FILE *stream);

/* Its width now, in columns, from 1 to TERMINAL_WIDTH_MAX; TERMINAL_WIDTH_DEFAULT where it is not
 * known. */
uint32_t terminal_width(FILE *stream);

/* Whether the environment's locale (LC_ALL, LC_CTYPE, LANG; the first that is set) is UTF-8. */
bool terminal_is_utf8(void);

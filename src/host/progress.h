/*
 * progress.h - a bar and a sparkline for terminals: text made of figures. Pure.
 * Not here: what is shown (run_folder.c, cli/up_summary.c), what a terminal can show (terminal.h).
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    PROGRESS_WIDTH_MAX = 200,                       /* cells */
    PROGRESS_TEXT_MAX = 4 * PROGRESS_WIDTH_MAX + 1, /* bytes of a text of so many, with its zero */
};

/* width cells, 1 to PROGRESS_WIDTH_MAX, of which the share in [0, 1] is full. */
void progress_bar(double share, uint32_t width, bool utf8, char ret_text[static PROGRESS_TEXT_MAX]);

/*
 * One cell a value, between the least and the greatest of them; where there are more values than
 * width (1 to PROGRESS_WIDTH_MAX), each cell shows the mean of its part. A value that is not finite
 * is a blank, or not part of a mean.
 */
void progress_sparkline(const double *values, size_t count, uint32_t width, bool utf8,
                        char ret_text[static PROGRESS_TEXT_MAX]);

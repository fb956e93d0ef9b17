/*
 * progress.h - a bar and a sparkline for terminals: text made of figures. Pure but for the two
 * functions that look at the terminal. Not here: what is shown (run_folder.c, cli/up_summary.c).
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    PROGRESS_WIDTH_MAX = 200,                       /* cells */
    PROGRESS_TEXT_MAX = 4 * PROGRESS_WIDTH_MAX + 1, /* bytes of a text of so many, with its zero */
};

/* Whether fd is a terminal that can be written over. */
bool progress_is_terminal(int fd);

/* Whether the locale says that the terminal shows UTF-8 (LC_ALL, LC_CTYPE, LANG, in this order). */
bool progress_is_utf8(void);

/* Its width in cells, 20 to PROGRESS_WIDTH_MAX; 80 where it is not known. */
uint32_t progress_columns(int fd);

/* width cells, 1 to PROGRESS_WIDTH_MAX, of which the share in [0, 1] is full. */
void progress_bar(double share, uint32_t width, bool utf8, char ret_text[static PROGRESS_TEXT_MAX]);

/*
 * One cell a value, between the least and the greatest of them; where there are more values than
 * width (1 to PROGRESS_WIDTH_MAX), each cell shows the mean of its part. A value that is not finite
 * is a blank, or not part of a mean.
 */
void progress_sparkline(const double *values, size_t count, uint32_t width, bool utf8,
                        char ret_text[static PROGRESS_TEXT_MAX]);

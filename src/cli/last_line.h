/*
 * last_line.h - the last that a process said, from the file that its output went to.
 */
#pragma once

enum { LAST_LINE_MAX = 512 };

/* The last line of the file, without its newline; "" where there is none or no file. */
void last_line_read(const char *path, char ret_line[static LAST_LINE_MAX]);

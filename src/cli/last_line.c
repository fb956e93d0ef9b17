/*
 * last_line.c - see last_line.h.
 */
#include "cli/last_line.h"

#include <stdio.h>
#include <string.h>

void last_line_read(const char *path, char ret_line[static LAST_LINE_MAX])
{
    char line[LAST_LINE_MAX];
    FILE *const file = fopen(path, "re");
    ret_line[0] = 0;
    if (file == nullptr)
        return;
    if (fseek(file, -(LAST_LINE_MAX - 1), SEEK_END) != 0)
        (void)!fseek(file, 0, SEEK_SET); /* it is shorter than that */
    while (fgets(line, sizeof(line), file) != nullptr)
        memcpy(ret_line, line, sizeof(line));
    fclose(file);
    ret_line[strcspn(ret_line, "\n")] = 0;
}

/*
 * sweep_table.c - see sweep_table.h.
 */
#include "cli/sweep_table.h"

#include <math.h>
#include <stdarg.h>
#include <string.h>

enum { ROUNDS, TARGET, REACHED, ACCURACY, DIVERGED, WALL, MEMORY };

static void cell(struct sweep_row *row, int column, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static void cell(struct sweep_row *row, int column, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(row->cells[column], SWEEP_CELL_MAX, format, arguments);
    va_end(arguments);
}

void sweep_table_heads(double target, struct sweep_row *ret_row)
{
    *ret_row = (struct sweep_row){0};
    cell(ret_row, ROUNDS, "rounds");
    if (isfinite(target))
        cell(ret_row, TARGET, "virtual s to %.4f", target);
    else
        cell(ret_row, TARGET, "virtual s to target");
    cell(ret_row, REACHED, "reached");
    cell(ret_row, ACCURACY, "final accuracy");
    cell(ret_row, DIVERGED, "diverged");
    cell(ret_row, WALL, "wall s");
    cell(ret_row, MEMORY, "peak MB");
}

void sweep_table_row(const struct sweep_figures *figures, uint32_t seeds, struct sweep_row *ret_row)
{
    const struct sweep_spread *const time = &figures->target_s;
    const struct sweep_spread *const accuracy = &figures->accuracy;
    *ret_row = (struct sweep_row){0};
    cell(ret_row, ROUNDS, "%.10g", figures->rounds);
    if (!isfinite(time->middle))
        cell(ret_row, TARGET, "not reached");
    else if (!isfinite(time->high))
        cell(ret_row, TARGET, "%.1f (%.1f to never)", time->middle, time->low);
    else
        cell(ret_row, TARGET, "%.1f (%.1f to %.1f)", time->middle, time->low, time->high);
    cell(ret_row, REACHED, "%u of %u", figures->reached, seeds);
    if (isfinite(accuracy->middle))
        cell(ret_row, ACCURACY, "%.4f (%.4f to %.4f)", accuracy->middle, accuracy->low,
             accuracy->high);
    else
        cell(ret_row, ACCURACY, "not measured");
    cell(ret_row, DIVERGED, "%u", figures->diverged);
    cell(ret_row, WALL, "%.1f", figures->wall_s);
    cell(ret_row, MEMORY, "%.0f", (double)figures->peak_rss_bytes / 1e6);
}

static void write_line(const char *name, int name_width, const struct sweep_row *row,
                       const int widths[static SWEEP_COLUMNS], FILE *file)
{
    fprintf(file, "%-*s", name_width, name);
    for (int i = 0; i + 1 < SWEEP_COLUMNS; i++)
        fprintf(file, "  %-*s", widths[i], row->cells[i]);
    fprintf(file, "  %s\n", row->cells[SWEEP_COLUMNS - 1]);
}

static void widen(int *width, const char *text)
{
    const int length = (int)strlen(text);
    if (length > *width)
        *width = length;
}

void sweep_table_write(const struct sweep_result *results, const struct sweep_figures *figures,
                       uint32_t count, double target, FILE *file)
{
    static const char first[] = "setting";
    int name_width = (int)sizeof(first) - 1;
    int widths[SWEEP_COLUMNS] = {0};
    struct sweep_row row;
    sweep_table_heads(target, &row);
    for (int j = 0; j < SWEEP_COLUMNS; j++)
        widen(&widths[j], row.cells[j]);
    for (uint32_t i = 0; i < count; i++) {
        sweep_table_row(&figures[i], results[i].count, &row);
        widen(&name_width, results[i].name);
        for (int j = 0; j < SWEEP_COLUMNS; j++)
            widen(&widths[j], row.cells[j]);
    }
    sweep_table_heads(target, &row);
    write_line(first, name_width, &row, widths, file);
    for (uint32_t i = 0; i < count; i++) {
        sweep_table_row(&figures[i], results[i].count, &row);
        write_line(results[i].name, name_width, &row, widths, file);
    }
}

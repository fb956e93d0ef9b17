/*
 * sweep_table.h - the figures of a sweep as a table: a row a setting. Pure.
 */
#pragma once

#include "cli/sweep_figures.h"

enum { SWEEP_COLUMNS = 7, SWEEP_CELL_MAX = 64 };

/* The cells right of the setting's name, as text and page have them. */
struct sweep_row {
    char cells[SWEEP_COLUMNS][SWEEP_CELL_MAX];
};

/* The heads of the columns; "setting" comes before them. target NaN: nobody measured. */
void sweep_table_heads(double target, struct sweep_row *ret_row);
void sweep_table_row(const struct sweep_figures *figures, uint32_t seeds,
                     struct sweep_row *ret_row);

/* Writes the whole table as text, columns under each other. */
void sweep_table_write(const struct sweep_result *results, const struct sweep_figures *figures,
                       uint32_t count, double target, FILE *file);

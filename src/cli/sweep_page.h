/*
 * sweep_page.h - a sweep as one page of HTML: curves of the accuracy over virtual time, a colour a
 * setting, and the table below. It needs nothing from elsewhere: no scripts, fonts or pictures.
 * Pure.
 */
#pragma once

#include "cli/sweep_figures.h"

/* What stands above the chart. */
struct sweep_page {
    const char *title;   /* the job's name */
    const char *command; /* what makes the same page again */
    uint64_t nodes;
    uint32_t seeds;
    double target; /* NaN: nobody measured */
};

/* Writes the page; file errors are the file's (ferror). NO_MEMORY. */
[[nodiscard]] enum status sweep_page_write(const struct sweep_page *page,
                                           const struct sweep_result *results,
                                           const struct sweep_figures *figures, uint32_t count,
                                           FILE *file);

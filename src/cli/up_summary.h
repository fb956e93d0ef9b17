/*
 * up_summary.h - a run's summary.json: the comparison with central training added, and all of it
 * printed.
 *
 * Not here: who writes it first (host/run_folder.c).
 */
#pragma once

#include "base/status.h"

#include <stdbool.h>

/* Copies the accuracy of RUN/central.json into RUN/summary.json. IO, CORRUPT, NO_MEMORY. */
[[nodiscard]] enum status up_summary_add_central(const char *folder, struct error *err);

/* Whether RUN/summary.json says that the job came to its own end: it was not cancelled. */
bool up_summary_is_whole(const char *folder);

/*
 * Prints the summary on standard output; the last line is "LABEL: outcome=..." where label is not
 * null. Says on standard error why where there is none.
 */
void up_summary_print(const char *folder, const char *label);

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

/* How the job ended, by RUN/summary.json. */
struct up_outcome {
    bool known;     /* there is a summary */
    bool cancelled; /* it did not come to its own end */
    bool compared;  /* with central training */
};

/* Errors: NOT_FOUND, CORRUPT, IO; ret_outcome says unknown then. */
[[nodiscard]] enum status
up_summary_read_outcome(const char *folder, struct up_outcome *ret_outcome, struct error *err);

/*
 * Prints the summary on standard output; the last line is "LABEL: outcome=..." where label is not
 * null. Says on standard error why where there is none.
 */
void up_summary_print(const char *folder, const char *label);

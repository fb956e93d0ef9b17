/*
 * up_resume.h - where a run that is to go on stands: its job may have ended, or its end may have
 * been Ctrl-C's.
 *
 * Not here: identities and configurations (host/run_setup.c).
 */
#pragma once

#include "host/config.h"

enum up_standing {
    UP_GOES_ON,  /* the job has not ended */
    UP_COMPARES, /* it has; the central training that config asks for is missing */
    UP_ENDED,    /* nothing is left to be done */
};

/* Whether the job is to be trained centrally too: asked for, with test samples to measure on. */
bool up_wants_comparison(const struct config *config);

/* Notes that the job is cancelled only because somebody interrupted `fedra up`. */
void up_note_interruption(const char *folder);

/*
 * Tells where the run in folder stands. A job that was cancelled by an interruption is made to go
 * on: its outcome is taken back, its summary removed. Nobody else may be using the folder.
 *
 * config  the coordinator's.
 *
 * IO, CORRUPT, EXISTS (its coordinator still runs), NO_MEMORY.
 */
[[nodiscard]] enum status up_find_standing(const char *folder, const struct config *config,
                                           enum up_standing *ret_standing, struct error *err);

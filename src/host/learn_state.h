/*
 * learn_state.h - what a job carries from round to round beside the model and the optimiser's
 * state, as the bytes that are durable with each version: convergence, and what the rule validated
 * has seen so far.
 *
 * Pure. Not here: how each of the two is encoded (learn/convergence.h, robust/validated.h).
 */
#pragma once

#include "learn/convergence.h"
#include "robust/validated.h"

/*
 * Appends both. validated null: the rule is another one; the bytes are then those of a Fedra that
 * knew convergence only. NO_MEMORY, LIMIT.
 */
[[nodiscard]] enum status learn_state_encode(const struct convergence *convergence,
                                             const struct validated *validated,
                                             struct bytes *ret_bytes);

/*
 * Reads what learn_state_encode wrote, or convergence alone, as older folders have it:
 * *ret_validated is zeros then. convergence was initialised. On error both are untouched. CORRUPT;
 * VERSION where another version of Fedra wrote it. err may be null.
 */
[[nodiscard]] enum status learn_state_decode(struct slice bytes, struct convergence *convergence,
                                             struct validated *ret_validated, struct error *err);

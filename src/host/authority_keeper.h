/*
 * authority_keeper.h - identities on the authority's own machine that nobody else renews: the one
 * that the authority shows, and those of a folder.
 *
 * Processes renew themselves by fedra.v1.Authority; here is what no running process is of (an
 * operator's), or what one failed to renew because the machine slept.
 */
#pragma once

#include "host/worker.h"
#include "identity/authority.h"

#include <uv.h>

struct authority_keeper;

/* The identity that the authority shows was made anew, by the keeper or by somebody else. */
typedef void authority_keeper_on_own(void *context);

/*
 * Keeps the identity in the folder own, renewed at half of its life (at once where it is over by
 * then), and, where all is not null, every identity in a folder in all, renewed when four fifths of
 * its life are gone. What fails is said on standard error, once a reason, and tried again.
 *
 * authority  outlives the keeper. Strings are copied. NO_MEMORY, IO.
 */
[[nodiscard]] enum status authority_keeper_open(uv_loop_t *loop, const struct authority *authority,
                                                const char *own, const char *all,
                                                authority_keeper_on_own *on_own, void *context,
                                                struct authority_keeper **ret_keeper);

/* Ends it; blocks for what is under way. Null is allowed. The loop has to run once more. */
void authority_keeper_close(struct authority_keeper *keeper);

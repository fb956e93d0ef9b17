/*
 * kept_updates.h - the payloads of counted updates, kept for an audit: a folder a version, a file
 * an update, named by its digest.
 *
 *     jobs/JOB/updates/000012/<payload digest>            what version 12 counted
 *                             <model digest>.state        the optimiser's state before it, if any
 *
 * A folder whose version was not committed means nothing and goes at the next start.
 * kept_updates_put may be called while another thread is in any other function. Not here: which
 * updates count (core/), recomputing (audit/).
 */
#pragma once

#include "base/bytes.h"
#include "base/digest.h"
#include "base/status.h"

#include <stdint.h>

#define KEPT_STATE_SUFFIX ".state"

struct kept_updates;

/*
 * job_folder   of the store; must exist.
 * versions     how many of the last versions keep their updates: 0 none, UINT64_MAX all.
 * next         the number of the version that is made next: folders from it on are removed, and
 *              those that retention takes.
 *
 * IO, NO_SPACE, LIMIT, NO_MEMORY.
 */
[[nodiscard]] enum status kept_updates_open(const char *job_folder, uint64_t versions,
                                            uint64_t next, struct kept_updates **ret_kept,
                                            struct error *err);
void kept_updates_close(struct kept_updates *kept); /* null is allowed */

/* Writes an update for the version of that number; not durable yet. NO_SPACE, IO. */
[[nodiscard]] enum status kept_updates_put(struct kept_updates *kept, uint64_t number,
                                           const struct digest *digest, struct slice payload,
                                           struct error *err);

/* Keeps the file path, which stays as it is, as the state of that digest beside the updates. */
[[nodiscard]] enum status kept_updates_put_state(struct kept_updates *kept, uint64_t number,
                                                 const struct digest *digest, const char *path,
                                                 struct error *err);

/* Makes what was put for a version durable: before the commit that counts it. NO_SPACE, IO. */
[[nodiscard]] enum status kept_updates_sync(struct kept_updates *kept, uint64_t number,
                                            struct error *err);

/*
 * After the commit of the version of that number: what retention does not keep any more goes, and
 * what was put for it too where it counted none. What cannot be removed goes at the next start.
 */
void kept_updates_committed(struct kept_updates *kept, uint64_t number, bool counted_any);

/* The name of a version's folder below updates/. */
void kept_updates_folder_name(uint64_t number, char *ret_name, size_t capacity);

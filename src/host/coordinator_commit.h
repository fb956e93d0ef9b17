/*
 * coordinator_commit.h - one commit: the record, its signature, the model file, the transaction.
 */
#pragma once

#include "host/coordinator_host_internal.h"

enum { SAFETENSORS_ROOM = 1 << 25 }; /* bytes that a model's file may have beside its data */

/*
 * Begins FX_COMMIT or FX_PERSIST_OUTCOME; versions_committed gets the completion. The latter
 * commits the present model once more, under the next number, with an empty set and the outcome.
 */
void commit_begin(struct coordinator_host *host, const struct coordinator_effect *effect);

/* coordinator_versions.c: what follows a commit. */
void versions_committed(struct coordinator_host *host, const struct coordinator_effect *effect,
                        struct coordinator_event *event);

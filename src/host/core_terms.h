/*
 * core_terms.h - the store's rows, signed headers and model files in the core's terms, and back:
 * one translation for all that run its machines (coordinator_*.c, node_work.c, sim/).
 *
 * Not here: when something is read or written.
 */
#pragma once

#include "core/coordinator.h"
#include "core/node.h"
#include "host/model_file.h"
#include "host/robust_round.h"
#include "store/store.h"
#include "wire/envelope.h"

/* What the core decides on of an update whose payload is the blob of that id. Borrows the header.
 */
struct update_info core_update_info(const struct envelope_header *header, uint64_t blob_id);

/*
 * The part of an update's header that follows from the beacon it answers; payload, layout, samples,
 * figures and job are the caller's to fill in.
 */
struct envelope_header core_update_header(const struct beacon *beacon);

/* A version without its id, which follows from the commit record. */
struct version_ref core_version(const struct model_file *file, uint64_t number);

/* NONE for a name that is not known, and for "". */
enum outcome core_outcome(const char *name);

struct member_history core_member_history(const struct store_member *row);

/* Whether a commit counts the member's update, or drops it; neither where it has none in the set.
 */
enum member_fate { FATE_NONE, FATE_COUNTED, FATE_DROPPED };

/*
 * The row that an FX_COMMIT or FX_PERSIST_OUTCOME makes durable of a member, and what becomes of
 * its update thereby. key_id is that of its last update.
 */
enum member_fate core_member_row(const struct member *member,
                                 const struct coordinator_effect *effect,
                                 const struct digest *key_id, struct store_member *ret_row);

/* Where its fate is DROPPED: the row of its update. Borrows row's name. */
struct store_dropped core_dropped_row(const struct member *member, const struct store_member *row);

/* Where its fate is COUNTED: the row of its update. Borrows row's name. */
struct store_counted core_counted_row(const struct member *member, const struct store_member *row);

/*
 * The suspects of a rule by their members, those that are known; outcome: null under the mean.
 * Gives their number.
 *
 * ret_evidence  evidence[outcome->count]
 */
uint32_t core_evidence(const struct roster *roster, const struct robust_outcome *outcome,
                       struct evidence *ret_evidence);

/* What the momentum weighs in the place of all that `stand in`. */
uint64_t core_stand_in_weight(const struct roster *roster, uint32_t samples_max);

/*
 * store_digest.h - digests of the rows of a commit that no record holds, for the record to name.
 *
 * What the signed record says of these rows is all that vouches for them later. Not here: reading
 * rows back (audit/), the record (wire/).
 */
#pragma once

#include "store/store.h"

/*
 * Of the rows that stay: H("fedra/v1/history\0" | metrics | u64le dropped_count | for each dropped:
 * node | u64le round | payload digest | reason). A text is u64le size | bytes; no metrics are the
 * empty text. NO_MEMORY.
 */
[[nodiscard]] enum status store_history_digest(const struct store_commit *commit,
                                               struct digest *ret_digest);

/*
 * Of the rows that the next commit replaces: H("fedra/v1/state\0" | u64le open_round | outcome |
 * state_file | learn_state | u64le member_count | for each member: name | u64le active | key id |
 * u64le asked_round | u64le samples | u64le counted_round | reputations). NO_MEMORY.
 *
 * reputations are nothing where all are zero, as they are in rows of before there were any; else
 * u64le their number | for each that is not zero: u64le index of the member | u64le rounds,
 * flagged, flagged_round, reason | f64le score, distrust | u64le recent, until, probation.
 */
[[nodiscard]] enum status store_state_digest(const struct store_commit *commit,
                                             struct digest *ret_digest);

/*
 * Of the job's row, which also changes between commits: H("fedra/v1/job\0" | u64le epoch |
 * instance | u64le open_round | outcome | state_file | u64le paused). It is kept beside the row and
 * signed by nobody: it shows decay, not a forger.
 */
[[nodiscard]] enum status store_job_digest(const struct store_summary *summary,
                                           struct digest *ret_digest);

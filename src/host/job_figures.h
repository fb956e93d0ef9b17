/*
 * job_figures.h - what a coordinator counts for people beside what its machine decides by: rounds,
 * refusals, and each member's record.
 *
 * Nothing is decided by these figures, and they are not durable: they begin with the process, but
 * for those of committed rounds. Not here: the figures of the open round (core/coordinator.h).
 */
#pragma once

#include "core/coordinator.h"
#include "wire/control.h"

/* Of the member that has this place in the roster; another one's name there is a new beginning. */
struct member_figures {
    char name[MEMBER_NAME_MAX];
    uint64_t since_unix_ms; /* when it came or went last; 0: neither */
    uint64_t certificate_ends_unix_s;
    uint64_t counted;
    struct control_counts dropped;
    struct control_counts refused;
    uint64_t samples; /* of the update accepted last */
    double loss;
    struct update_key dropped_key; /* counted in dropped already, however often it is said again */
};

struct job_figures {
    struct member_figures *members; /* by the roster's index */
    uint32_t capacity;
    struct control_counts refused; /* of everybody and everything */
    struct control_round last;
    struct control_round best;
};

/* Figures of a roster with that capacity. NO_MEMORY. */
[[nodiscard]] enum status job_figures_init(struct job_figures *figures, uint32_t capacity);
void job_figures_deinit(struct job_figures *figures);

/* The figures of the member at that index, for writing. */
struct member_figures *job_figures_of(struct job_figures *figures, const struct roster *roster,
                                      uint32_t index);

/* A round is committed: the last one, and the best where its loss is the lowest so far (its
 * accuracy the highest, where no loss was ever known). */
void job_figures_round(struct job_figures *figures, const struct control_round *round);

/* Something was refused. name: who is known to have sent it; null or not in the roster: nobody. */
void job_figures_refused(struct job_figures *figures, const struct roster *roster, const char *name,
                         enum reason reason);

/* A member came, or went. */
void job_figures_joined(struct job_figures *figures, const struct roster *roster, uint32_t index,
                        uint64_t now_unix_ms, uint64_t certificate_ends_unix_s);
void job_figures_left(struct job_figures *figures, const struct roster *roster, uint32_t index,
                      uint64_t now_unix_ms);

/* What became of a member's update: accepted, counted by a commit, dropped (a drop that is said
 * again counts once). */
void job_figures_accepted(struct job_figures *figures, const struct roster *roster, uint32_t index);
void job_figures_counted(struct job_figures *figures, const struct roster *roster, uint32_t index);
void job_figures_dropped(struct job_figures *figures, const struct roster *roster, uint32_t index,
                         const struct update_key *key, enum reason reason);

/* The member at that index for people. Asked and accepted mean the round that is open, if one is.
 */
void job_figures_describe(const struct job_figures *figures, const struct coordinator *machine,
                          uint32_t index, bool round_is_open, struct control_member *ret_member);

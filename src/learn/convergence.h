/*
 * convergence.h - whether a job is finished: figures of one round after another are recorded, then
 * judged.
 *
 * Pure; a plain struct that can be copied, and encoded so that it outlives the process. Not here:
 * what follows from a verdict (core/coordinator_round.c), where the figures come from.
 */
#pragma once

#include "base/bytes.h"
#include "base/status.h"

#include <stdbool.h>
#include <stdint.h>

enum {
    CONVERGENCE_WINDOW_MAX = 100,       /* rounds */
    CONVERGENCE_STATE_BYTES_MAX = 4096, /* of an encoded state */
};

enum convergence_criteria : uint32_t { CONVERGENCE_ALL, CONVERGENCE_ANY };

struct convergence_settings {
    uint32_t
        window_size;   /* rounds over which improvement is measured, [1, CONVERGENCE_WINDOW_MAX] */
    uint32_t patience; /* rounds in a row in which the criteria must hold, 1 or more */
    uint32_t divergence_patience; /* rounds in a row in which the loss must be risen, 1 or more */
    uint64_t min_rounds;          /* no convergence before so many rounds are recorded */
    uint64_t max_rounds;          /* exhausted then; 1 or more */
    double threshold;             /* of improvement, see convergence_record; finite, 0 or more */
    double divergence_threshold; /* share over the best loss that counts as risen; finite, over 0 */
    double gradient_threshold;   /* L2 norm of the aggregated update; finite; 0: never under it */
    enum convergence_criteria criteria;
};

/* What one round came to. */
struct convergence_figures {
    uint64_t round;
    double aggregate_norm; /* L2 norm of the aggregated update; not looked at unless has_norm */
    double loss;           /* of the validation; not looked at unless has_loss */
    double accuracy;       /* in [0, 1]; not looked at unless has_accuracy and finite */
    bool has_norm;
    bool has_loss;
    bool has_accuracy;
};

enum convergence_verdict {
    CONVERGENCE_GOES_ON,
    CONVERGENCE_CONVERGED,
    CONVERGENCE_DIVERGED,
    CONVERGENCE_EXHAUSTED,
};

/* Why; for people see convergence_reason_text. */
enum convergence_reason {
    CONVERGENCE_REASON_NONE,
    CONVERGENCE_REASON_GRADIENT, /* the aggregated update's norm is under the gradient threshold */
    CONVERGENCE_REASON_LOSS,     /* ANY (or no accuracy is known): the loss stopped falling */
    CONVERGENCE_REASON_ACCURACY, /* ANY (or no loss is known): the accuracy stopped rising */
    CONVERGENCE_REASON_PLATEAU,  /* ALL: both did */
    CONVERGENCE_REASON_LOSS_ROSE,
    CONVERGENCE_REASON_NON_FINITE, /* the loss is no number, or infinite */
    CONVERGENCE_REASON_MAX_ROUNDS,
};

/* The state. Members are for tests and for metrics to read; only convergence_record writes them. */
struct convergence {
    struct convergence_settings settings;
    uint64_t recorded;    /* rounds so far */
    uint64_t best_round;  /* of the least loss (of the highest accuracy where no loss is known); 0
                             where neither is; of equal ones the first */
    double best_loss;     /* infinity before the first */
    double best_accuracy; /* the highest so far, -infinity before the first */
    /* Best so far after each of the last window_size + 1 rounds with that figure, oldest first. */
    double best_losses[CONVERGENCE_WINDOW_MAX + 1];
    double best_accuracies[CONVERGENCE_WINDOW_MAX + 1];
    uint32_t loss_count;              /* of best_losses; 0: no loss was ever known */
    uint32_t accuracy_count;          /* of best_accuracies */
    uint32_t loss_plateau;            /* rounds in a row in which the loss criterion held */
    uint32_t accuracy_plateau;        /* the same for accuracy */
    uint32_t both_plateau;            /* rounds in a row in which both held */
    uint32_t risen;                   /* rounds in a row with a risen loss */
    bool best_is_last;                /* the round recorded last is the best so far */
    enum convergence_verdict verdict; /* of the round recorded last */
    enum convergence_reason reason;
};

/* An empty state. Settings out of range abort. */
void convergence_init(struct convergence *convergence, const struct convergence_settings *settings);

/*
 * Records a round, then judges it; the verdict is also kept in the state.
 *
 * Improvement is that of the best so far over the window: the loss criterion holds where
 * (best loss window_size rounds ago - best loss now) <= threshold * |best loss window_size rounds
 * ago|; the accuracy criterion where best accuracy now - best accuracy then <= threshold. Neither
 * holds before window_size + 1 rounds with that figure are recorded. A round that lacks a figure
 * says nothing about it: windows and counts of rounds in a row are over those that have it.
 *
 * A rising loss never converges: in a round whose loss is risen (over best loss +
 * divergence_threshold * |best loss|, or not finite) no criterion holds but the gradient's. The
 * gradient criterion (norm < gradient_threshold) alone suffices, at once, from min_rounds on. Under
 * ALL, where only one of loss and accuracy was ever known in a job, that one decides. Order where
 * several apply: NON_FINITE, GRADIENT, plateau (LOSS before ACCURACY), LOSS_ROSE, MAX_ROUNDS.
 */
enum convergence_verdict convergence_record(struct convergence *convergence,
                                            const struct convergence_figures *figures);

/* The verdict that a reason stands for. */
enum convergence_verdict convergence_verdict_of(enum convergence_reason reason);

/* "the loss and the accuracy stopped improving": a clause for people; static. */
const char *convergence_reason_text(enum convergence_reason reason);

/* Appends the state, without its settings, to ret_state (little-endian, versioned). NO_MEMORY,
 * LIMIT. */
[[nodiscard]] enum status convergence_encode(const struct convergence *convergence,
                                             struct bytes *ret_state);

/*
 * Reads what convergence_encode wrote into a state that was initialised; on error it is untouched.
 * A window that was set otherwise meanwhile keeps as many of the last rounds as it can. CORRUPT;
 * VERSION where another version of Fedra wrote it. err may be null.
 */
[[nodiscard]] enum status convergence_decode(struct convergence *convergence, struct slice state,
                                             struct error *err);

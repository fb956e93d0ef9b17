/*
 * validated.h - the choice among several aggregates of one round by their loss on trusted samples,
 * smoothed over rounds. docs/robustness.md.
 *
 * The filter goes first; the candidates are made of what it leaves. Pure but for the loss, which
 * the caller measures. Not here: the samples.
 */
#pragma once

#include "base/bytes.h"
#include "robust/robust.h"

enum validated_candidate {
    VALIDATED_MEAN,
    VALIDATED_CAF,
    VALIDATED_NNM_TRIMMED_MEAN,
    VALIDATED_GEOMETRIC_MEDIAN,
    VALIDATED_COUNT,
};

#define VALIDATED_SMOOTHING  0.8 /* the share of what was known before a round */
#define VALIDATED_EXCESS_MAX 1.0

/* What is carried from round to round; zeros at the beginning. */
struct validated {
    double excess[VALIDATED_COUNT]; /* loss over the round's best, capped, averaged */
};

/* The loss of the model that this aggregate, f32[d], would give; infinite where it is not finite.
 */
typedef double validated_loss(void *context, const float *aggregate);

struct validated_call {
    const struct update_matrix *matrix;
    uint64_t f; /* that may lie */
    uint32_t threads;
    validated_loss *loss;
    void *context;
};

/*
 * Aggregates.
 *
 * state       in and out
 * ret_values  f32[d]
 * report      the filter's; is_selected says what the filter left
 * ret_chosen  may be null
 *
 * As robust_aggregate; NO_MEMORY.
 */
[[nodiscard]] enum status validated_aggregate(struct validated *state,
                                              const struct validated_call *call, float *ret_values,
                                              struct robust_report *report,
                                              enum validated_candidate *ret_chosen,
                                              struct error *err);

/*
 * The same aggregate again for one candidate, without samples: what validated_aggregate gave where
 * it chose that one. loss and context are not looked at.
 *
 * As robust_aggregate, INVAL also where the candidate does not fit so few updates; NO_MEMORY.
 */
[[nodiscard]] enum status validated_repeat(enum validated_candidate candidate,
                                           const struct validated_call *call, float *ret_values,
                                           struct robust_report *report, struct error *err);

/* Appends the state (little-endian, versioned). NO_MEMORY, LIMIT. */
[[nodiscard]] enum status validated_encode(const struct validated *state, struct bytes *ret_bytes);

/* CORRUPT; VERSION where another version of Fedra wrote it. err may be null. */
[[nodiscard]] enum status validated_decode(struct slice bytes, struct validated *ret_state,
                                           struct error *err);

/* "mean", "caf", "nnm+trimmed_mean", "geometric_median"; static. */
const char *validated_candidate_name(enum validated_candidate candidate);

/* The candidate of that name; false: there is none. */
bool validated_candidate_find(const char *name, enum validated_candidate *ret_candidate);

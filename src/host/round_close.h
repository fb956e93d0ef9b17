/*
 * round_close.h - from the counted updates of a round to the next model: the mean or a robust rule,
 * the momentum of those who are late, the server's optimiser and its state.
 *
 * A pure function of what is given, for the coordinator and for who computes its versions again.
 * Not here: where the updates come from, what is durable.
 */
#pragma once

#include "host/model_file.h"
#include "host/robust_round.h"
#include "learn/server_optimiser.h"
#include "robust/accumulator.h"
#include "train/dataset.h"
#include "train/model_spec.h"

struct close_task {
    double rate;
    uint64_t selected;
    uint64_t seed;  /* of what a rule draws */
    uint64_t steps; /* the optimiser has made before */
    uint64_t stand_in_weight;
};

/* How the rule validated takes one of its candidates: by the models that they would give. */
struct round_choice {
    struct validated before;         /* what the rounds before this one came to */
    const struct dataset *samples;   /* trusted; null: chosen is taken, as it was before */
    const struct model_spec *spec;   /* of the model that samples measure */
    enum validated_candidate chosen; /* not looked at where there are samples */
};

/* What a round is closed with; all borrowed. */
struct round_inputs {
    const struct layout *layout;       /* of the model */
    const struct layout *state_layout; /* of the optimiser's state; null where it has none */
    const struct server_optimiser *optimiser;
    const struct model_file *model; /* of the version before */
    const struct model_file *state; /* the same; null before the first step */
    struct accumulator *accumulator;
    struct robust_round *robust;       /* in place of it where the rule is robust; else null */
    const struct round_choice *choice; /* where the rule is validated; else null */
};

struct closed_round {
    struct model_file *model;
    struct model_file *state;       /* null where the optimiser has none */
    double norm;                    /* L2, of the aggregate; set also where the rest is not */
    struct robust_outcome *outcome; /* of a robust rule; null under the mean */
};

/*
 * The layout of an optimiser's state for a model of so many parameters, which the caller destroys;
 * null where it has none. NO_MEMORY, LIMIT.
 */
[[nodiscard]] enum status round_state_layout(const struct server_optimiser *optimiser,
                                             uint64_t parameter_count, struct layout **ret_layout,
                                             struct error *err);

/* Empties what the updates were in. PEER where the model would not be finite, NO_MEMORY, INVAL, IO.
 */
[[nodiscard]] enum status round_close(const struct round_inputs *inputs,
                                      const struct close_task *task,
                                      struct closed_round *ret_closed, struct error *err);

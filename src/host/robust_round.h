/*
 * robust_round.h - the updates of a round under a robust rule: kept one after another in a file
 * without a name, so that they need not fit in memory, and aggregated when the round closes.
 *
 * For one thread at a time (the math worker). The file dies with the process: after a restart the
 * round is asked for again, as under the mean. Not here: who is accepted (core/), rules (robust/).
 */
#pragma once

#include "base/status.h"
#include "robust/validated.h"
#include "store/store.h"

#include <stdint.h>

struct config;
struct robust_round;

struct robust_suspect {
    char node[STORE_NAME_MAX];
    double score;
    enum reason_suspected reason;
};

/* What a rule found; freed by free(). */
struct robust_outcome {
    uint64_t f;      /* reckoned with */
    uint64_t wanted; /* more than f where too few updates came for it */
    bool has_choice; /* the rule is validated */
    enum validated_candidate choice;
    struct validated validated; /* what the rounds up to this one came to */
    uint32_t count;
    struct robust_suspect suspects[]; /* suspect[count], the worst first */
};

/* How the rule validated takes one of its candidates. */
struct robust_choice {
    struct validated before;         /* what the rounds before this one came to */
    validated_loss *loss;            /* null: chosen is taken, as it was before */
    void *context;                   /* of loss */
    enum validated_candidate chosen; /* not looked at where there is a loss */
};

/* Whether robust.rule is another than the plain mean, which needs nothing kept. */
bool robust_round_is_needed(const struct config *config);

/* The recipe of robust.rule, pre, set and f. INVAL: one of them does not fit; err may be null. */
[[nodiscard]] enum status robust_round_recipe(const struct config *config,
                                              struct recipe *ret_recipe, struct error *err);

/* ceil(tolerance * selected), or robust.f where that is not 0. */
uint64_t robust_round_f(const struct config *config, uint64_t selected);

/* INVAL as robust_round_recipe, IO: no file in folder, NO_MEMORY. config must outlive it. */
[[nodiscard]] enum status robust_round_create(const struct config *config, const char *folder,
                                              uint64_t parameter_count,
                                              struct robust_round **ret_round, struct error *err);
void robust_round_destroy(struct robust_round *round);

/* Copies an update, finite f32[parameter_count]. IO, NO_SPACE, LIMIT (ROBUST_ROWS_MAX), NO_MEMORY.
 */
[[nodiscard]] enum status robust_round_keep(struct robust_round *round, const char *node,
                                            const float *update, uint32_t weight,
                                            struct error *err);

/* Of all updates kept. */
uint64_t robust_round_weight_sum(const struct robust_round *round);

/*
 * Aggregates what is kept, in the order of the nodes' names, so that it does not matter who came
 * first.
 *
 * selected  nodes that were asked: f is a share of them, since liars answer first
 * seed      of what is drawn at random, where robust.set names none; secret until the round closed
 * choice    where the rule is validated; else null
 * ret_mean  f64[parameter_count]
 *
 * Where fewer updates came than the rule needs for f, it reckons with as many as it can, and where
 * they are too few for the rule at all, the geometric median is taken. INVAL: nothing is kept. IO,
 * NO_MEMORY. What is kept stays until robust_round_reset.
 */
[[nodiscard]] enum status robust_round_close(struct robust_round *round, uint64_t selected,
                                             uint64_t seed, const struct robust_choice *choice,
                                             double *ret_mean, struct robust_outcome **ret_outcome,
                                             struct error *err);
void robust_round_reset(struct robust_round *round);

/*
 * The suspects as one line for a record: "COUNT:HEX", HEX being H("fedra/v1/suspects\0" | u64le
 * count | for each, the worst first: u64le size | node | u64le reason | f64le score). NO_MEMORY.
 */
enum { ROBUST_SUSPECTS_TEXT_MAX = 96 };
[[nodiscard]] enum status robust_outcome_text(const struct robust_outcome *outcome,
                                              char ret_text[static ROBUST_SUSPECTS_TEXT_MAX]);

/*
 * attack.h - what liars send, to measure defences by. For the laboratory and tests only: it is
 * linked into build/fedra-sim, never into what a node runs.
 *
 * All colluders know all honest updates (omniscient), as the threat model says. Definitions and
 * papers: docs/robustness.md. Not here: when a round is run (lab_cell.c).
 */
#pragma once

#include "base/random.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* NAME, name on the command line, what the liars do. */
#define ATTACK_LIST(X)                                                                             \
    X(NONE, "none", "nobody lies")                                                                 \
    X(OWN_SIGN_FLIP, "own_sign_flip", "each sends the negative of its own update")                 \
    X(MEAN_SIGN_FLIP, "mean_sign_flip", "the negative of the honest mean")                         \
    X(INNER_PRODUCT_LOW, "inner_product_0.1", "-0.1 times the honest mean")                        \
    X(INNER_PRODUCT_HALF, "inner_product_0.5", "-0.5 times the honest mean")                       \
    X(INNER_PRODUCT_TWICE, "inner_product_2", "-2 times the honest mean")                          \
    X(INNER_PRODUCT_WORST, "inner_product_worst", "the multiple that hurts the rule most")         \
    X(A_LITTLE, "a_little_1.5", "the honest mean and 1.5 deviations")                              \
    X(A_LITTLE_MAX, "a_little_max", "as many deviations as a majority vote lets pass")             \
    X(A_LITTLE_WORST, "a_little_worst", "as many deviations as hurt the rule most")                \
    X(MIN_MAX, "min_max", "as far as no honest update is from another")                            \
    X(MIN_SUM, "min_sum", "as far as no honest update is from all others together")                \
    X(MIMIC, "mimic", "copies of one honest update")                                               \
    X(NOISE, "noise", "the honest mean and noise of 3 deviations")                                 \
    X(NOISE_SAME_NORM, "noise_same_norm", "noise of an honest update's norm")                      \
    X(SCALE_2, "scale_2", "each sends twice its own update")                                       \
    X(SCALE_10, "scale_10", "each sends ten times its own update")                                 \
    X(DECOY, "decoy", "one sends 1,000 times its update, the others noise of 3 deviations")        \
    X(NAN, "nan", "not a number")                                                                  \
    X(INF, "inf", "infinity")                                                                      \
    X(LABEL_FLIP, "label_flip", "each trains on the labels counted from the other end")            \
    X(BACKDOOR, "backdoor", "each teaches half of its samples with a mark to be of class 0")

enum attack {
#define X(name, word, text) ATTACK_##name,
    ATTACK_LIST(X)
#undef X
        ATTACK_COUNT,
};

const char *attack_name(enum attack attack);
const char *attack_text(enum attack attack);
/* ATTACK_COUNT where there is none of that name. */
enum attack attack_find(const char *name, size_t size);

/* Whether the liars train on samples that were changed, and send what comes of it. */
bool attack_is_in_data(enum attack attack);

/* Whether all colluders send the same vector, to which private noise can be added. */
bool attack_is_shared(enum attack attack);

/* How far the rule is led off the honest mean, f64[d], by that vector, sent by all colluders. */
typedef double attack_judge(void *context, const float *vector, const double *mean);

struct attack_view {
    uint64_t n;          /* nodes */
    uint64_t f;          /* liars among them */
    uint64_t d;          /* parameters */
    const float *honest; /* f32[n - f][d] */
    double jitter;       /* sigma of the private noise, in deviations of the honest updates */
    struct random *random;
    attack_judge *judge; /* of *_WORST; may be null: then the largest multiple is taken */
    void *judge_context;
};

/*
 * Makes the liars' updates. liars: f32[f][d]; in: what their own training gave, out: what they
 * send. Nothing where n = f or f = 0. NaN and infinity are as they are.
 */
void attack_make(enum attack attack, const struct attack_view *view, float *liars);

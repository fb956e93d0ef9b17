/*
 * rule_table.c - the table itself. What is read from and written of it is in recipe.c and
 * rule_table_print.c.
 */
#include "robust/rule_table.h"

#include "base/check.h"

#include <math.h>

/* The largest whole number that a double holds with all below it. */
static const double whole_max = 0x1p53;

static const struct param_spec params[PARAM_COUNT] = {
    [PARAM_BETA] = {.name = "beta",
                    .help = "share of the updates that is dropped at each end of a coordinate, "
                            "rounded down to updates; in place of f",
                    .kind = PARAM_REAL,
                    .min = 0,
                    .max = 0.499999},
    [PARAM_COORDINATES] = {.name = "coordinates",
                           .help = "coordinates drawn in each iteration; all where there are fewer",
                           .kind = PARAM_WHOLE,
                           .min = 1,
                           .max = 1 << 24},
    [PARAM_ITERATIONS] = {.name = "iterations",
                          .help = "how often the step is repeated",
                          .kind = PARAM_WHOLE,
                          .min = 1,
                          .max = 1000},
    [PARAM_M] = {.name = "m",
                 .help = "how many updates are averaged, at most n",
                 .kind = PARAM_WHOLE,
                 .min = 1,
                 .max = 1 << 20},
    [PARAM_NEIGHBOURS] = {.name = "neighbours",
                          .help = "a score sums over the n - f - 2 nearest others (paper) or the "
                                  "n - f - 1 nearest (byzfl, which allows n >= 2f + 1)",
                          .kind = PARAM_CHOICE,
                          .choices = {"paper", "byzfl"}},
    [PARAM_S] =
        {.name = "s", .help = "updates in a bucket", .kind = PARAM_WHOLE, .min = 1, .max = 1 << 20},
    [PARAM_SEED] = {.name = "seed",
                    .help = "of the random choices; the same seed gives the same result",
                    .kind = PARAM_WHOLE,
                    .min = 0,
                    .max = whole_max},
    [PARAM_SELECTION] = {.name = "selection",
                         .help = "the n - 2f updates are chosen one by one, scores anew among the "
                                 "rest (repeated), or as the n - 2f lowest scores (once)",
                         .kind = PARAM_CHOICE,
                         .choices = {"repeated", "once"}},
    [PARAM_TAU] = {.name = "tau",
                   .help = "radius of the ball around the centre that updates are clipped to",
                   .kind = PARAM_REAL,
                   .min = 0,
                   .max = 1e30},
};

#define GRAM_COST "all distances: n^2 d / 2 multiply-adds, three passes over the data"

static const struct rule_spec rules[RULE_COUNT] = {
    [RULE_MEAN] = {.name = "mean",
                   .summary = "the mean, weighted by samples; unweighted after a --pre",
                   .when = "when nobody lies; after nnm, arc or bucketing as the simplest of rules",
                   .breakdown = "0: a single update moves it anywhere",
                   .cost = "two passes over the data",
                   .paper = "McMahan et al., AISTATS 2017 (arXiv:1602.05629)",
                   .updates_least = 1},
    [RULE_MEDIAN] = {.name = "median",
                     .summary = "per coordinate the median; for even n the mean of the two in the "
                                "middle",
                     .when = "few parameters or near-equal data; poor where nodes' data differ",
                     .breakdown = "1/2 a coordinate: f < n/2 liars leave each coordinate within "
                                  "the honest values",
                     .cost = "one selection a coordinate, two passes over the data",
                     .paper = "Yin et al., ICML 2018 (arXiv:1803.01498)",
                     .updates_least = 1},
    [RULE_TRIMMED_MEAN] =
        {.name = "trimmed_mean",
         .summary = "per coordinate the mean without the f lowest and the f highest values",
         .when = "as median, with less variance; good after nnm",
         .breakdown = "f < n/2 a coordinate",
         .cost = "one selection a coordinate, two passes over the data",
         .paper = "Yin et al., ICML 2018 (arXiv:1803.01498)",
         .updates_per_f = 2,
         .updates_least = 1,
         .uses_f = true,
         .param_count = 1,
         .params = {{PARAM_BETA, NAN, "f / n"}}},
    [RULE_GEOMETRIC_MEDIAN] =
        {.name = "geometric_median",
         .summary = "the point with the least sum of distances to the updates (smoothed Weiszfeld, "
                    "converged)",
         .when = "a sound default without knowing f",
         .breakdown = "1/2: bounded for f < n/2 liars",
         .cost = GRAM_COST ", one of them for any number of iterations",
         .paper = "Pillutla et al., IEEE TSP 2022 (arXiv:1912.13445)",
         .updates_least = 1,
         .uses_distances = true},
    [RULE_KRUM] = {.name = "krum",
                   .summary = "the update with the least sum of squared distances to its nearest "
                              "others",
                   .when = "when a single honest update is wanted; throws the others' work away",
                   .breakdown = "n >= 2f + 3",
                   .cost = GRAM_COST,
                   .paper = "Blanchard et al., NeurIPS 2017 (arXiv:1703.02757)",
                   .updates_per_f = 2,
                   .updates_least = 3,
                   .uses_f = true,
                   .uses_distances = true,
                   .param_count = 1,
                   .params = {{PARAM_NEIGHBOURS, NEIGHBOURS_PAPER, nullptr}}},
    [RULE_MULTI_KRUM] = {.name = "multi_krum",
                         .summary = "the unweighted mean of the m updates with the lowest Krum "
                                    "scores",
                         .when = "gross attacks on near-equal data, at the price of the distances",
                         .breakdown = "n >= 2f + 3",
                         .cost = GRAM_COST,
                         .paper = "Blanchard et al., NeurIPS 2017 (arXiv:1703.02757)",
                         .updates_per_f = 2,
                         .updates_least = 3,
                         .uses_f = true,
                         .uses_distances = true,
                         .param_count = 2,
                         .params = {{PARAM_M, NAN, "n - f"},
                                    {PARAM_NEIGHBOURS, NEIGHBOURS_PAPER, nullptr}}},
    [RULE_BULYAN] =
        {.name = "bulyan",
         .summary = "chooses n - 2f updates by Krum, then per coordinate the mean of the n - 4f of "
                    "their values nearest their median",
         .when = "many parameters and f < n/4: no single coordinate can be moved far",
         .breakdown = "n >= 4f + 3",
         .cost = GRAM_COST ", and one selection a coordinate",
         .paper = "El Mhamdi et al., ICML 2018 (arXiv:1802.07927)",
         .updates_per_f = 4,
         .updates_least = 3,
         .uses_f = true,
         .uses_distances = true,
         .param_count = 2,
         .params = {{PARAM_NEIGHBOURS, NEIGHBOURS_PAPER, nullptr},
                    {PARAM_SELECTION, SELECTION_REPEATED, nullptr}}},
    [RULE_CENTERED_CLIPPING] =
        {.name = "centered_clipping",
         .summary = "v <- v + mean((x_i - v) min(1, tau / |x_i - v|)), from v = 0",
         .when = "with momentum at the nodes and a tau that fits the size of honest updates",
         .breakdown = "bounded by tau iterations f / n",
         .cost = GRAM_COST ", one of them for any number of iterations",
         .paper = "Karimireddy et al., ICML 2021 (arXiv:2012.10333)",
         .updates_least = 1,
         .uses_distances = true,
         .param_count = 2,
         .params = {{PARAM_TAU, 10, nullptr}, {PARAM_ITERATIONS, 1, nullptr}}},
    [RULE_CAF] =
        {.name = "caf",
         .summary = "covariance-bound agnostic filter: updates lose weight by their projection on "
                    "the direction of most variance; of all weighted means the one with the least "
                    "such variance",
         .when = "the best single rule where nodes' data are alike; at skewed data it takes honest "
                 "nodes' weight",
         .breakdown = "f < n/2",
         .cost = GRAM_COST ", and up to n eigenpairs of an n x n matrix",
         .paper = "Allouah et al., ICLR 2025 (arXiv:2410.12508)",
         .updates_per_f = 2,
         .updates_least = 1,
         .uses_f = true,
         .uses_distances = true},
    [RULE_DNC] = {.name = "dnc",
                  .summary = "divide and conquer: on randomly drawn coordinates the f updates with "
                             "the largest projections on the direction of most variance are "
                             "dropped, several times; the mean of those never dropped",
                  .when = "many parameters, where all distances cost too much",
                  .breakdown = "n >= 2f + 1",
                  .cost = "n^2 c / 2 multiply-adds an iteration for c coordinates",
                  .paper = "Shejwalkar and Houmansadr, NDSS 2021",
                  .updates_per_f = 2,
                  .updates_least = 1,
                  .uses_f = true,
                  .uses_distances = true,
                  .param_count = 3,
                  .params = {{PARAM_ITERATIONS, 5, nullptr},
                             {PARAM_COORDINATES, 10000, nullptr},
                             {PARAM_SEED, 1, nullptr}}},
    [RULE_FILTER] =
        {.name = "filter",
         .summary = "flags copies, gross outliers, crowds that stand closer together than honest "
                    "nodes do, and outliers by distance, norm, direction and relatives; drops at "
                    "most f of them, the worst first; the mean of the rest",
         .when = "the default: names the suspects and keeps honest nodes with unusual data; needs "
                 "10 updates, below that nothing is flagged",
         .breakdown = "f < n/2; flags reach 45 % of n",
         .cost = GRAM_COST,
         .paper = "measured in docs/robustness.md",
         .updates_per_f = 2,
         .updates_least = 1,
         .uses_f = true,
         .uses_distances = true},
    [RULE_VALIDATED] =
        {.name = "validated",
         .summary = "the filter; then, of the updates that it leaves, the best of mean, caf, "
                    "nnm with trimmed_mean, and geometric_median: that whose model has the least "
                    "loss on trusted samples, smoothed over rounds",
         .when = "where the coordinator holds samples that it trusts, a few dozen will do; against "
                 "liars whom the filter does not see",
         .breakdown = "f < n/2, as the filter and the candidate that is taken",
         .cost = GRAM_COST ", four times over, and four evaluations",
         .paper = "measured in docs/laboratory.md",
         .updates_per_f = 2,
         .updates_least = 1,
         .uses_f = true,
         .uses_distances = true,
         .needs_samples = true},
    [RULE_NNM] = {.name = "nnm",
                  .summary = "each update becomes the mean of the n - f nearest to it, itself "
                             "included",
                  .when = "before trimmed_mean, median, krum or geometric_median where nodes' data "
                          "differ",
                  .breakdown = "f < n/2 together with the rule after it",
                  .cost = GRAM_COST,
                  .paper = "Allouah et al., AISTATS 2023 (arXiv:2302.01772)",
                  .updates_per_f = 1,
                  .updates_least = 1,
                  .uses_f = true,
                  .uses_distances = true},
    [RULE_BUCKETING] = {.name = "bucketing",
                        .summary = "means of s updates each, in a random order; the last bucket "
                                   "may be smaller",
                        .when = "before any rule where nodes' data differ; multiplies the liars' "
                                "share by up to s",
                        .breakdown = "f s < n/2 together with the rule after it",
                        .cost = GRAM_COST,
                        .paper = "Karimireddy et al., ICLR 2022 (arXiv:2006.09365)",
                        .updates_least = 1,
                        .uses_distances = true,
                        .param_count = 2,
                        .params = {{PARAM_S, 2, nullptr}, {PARAM_SEED, 1, nullptr}}},
    [RULE_ARC] = {.name = "arc",
                  .summary =
                      "adaptive robust clipping: the floor(2 (f/n) (n - f)) updates with the "
                      "largest norms are scaled down to the next largest norm",
                  .when = "before nnm or any rule, against updates that are only large",
                  .breakdown = "that of the rule after it",
                  .cost = GRAM_COST,
                  .paper = "Allouah et al., ICLR 2025 (arXiv:2405.14432)",
                  .updates_per_f = 1,
                  .updates_least = 1,
                  .uses_f = true,
                  .uses_distances = true},
};

const struct rule_spec *rule_get(enum rule_id id)
{
    CHECK(id < RULE_COUNT);
    return &rules[id];
}

const struct param_spec *param_get(enum param param)
{
    CHECK(param < PARAM_COUNT);
    return &params[param];
}

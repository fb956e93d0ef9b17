/*
 * rule_table.h - the one table of aggregation rules, of what may go before them, and of their
 * parameters: parser, checks, help, `fedra aggregate --list` and the documentation come from it.
 *
 * Not here: how a rule computes (rule_*.c), how one is run (robust.h).
 */
#pragma once

#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum param {
    PARAM_BETA,
    PARAM_COORDINATES,
    PARAM_ITERATIONS,
    PARAM_M,
    PARAM_NEIGHBOURS,
    PARAM_S,
    PARAM_SEED,
    PARAM_SELECTION,
    PARAM_TAU,
    PARAM_COUNT,
};

enum neighbours { NEIGHBOURS_PAPER, NEIGHBOURS_BYZFL };
enum selection { SELECTION_REPEATED, SELECTION_ONCE };

enum param_kind { PARAM_WHOLE, PARAM_REAL, PARAM_CHOICE };

struct param_spec {
    const char *name;
    const char *help;
    enum param_kind kind;
    double min; /* the range, both ends included */
    double max;
    const char *choices[2]; /* of a PARAM_CHOICE: its value is the index */
};

enum rule_id : uint32_t {
    RULE_MEAN,
    RULE_MEDIAN,
    RULE_TRIMMED_MEAN,
    RULE_GEOMETRIC_MEDIAN,
    RULE_KRUM,
    RULE_MULTI_KRUM,
    RULE_BULYAN,
    RULE_CENTERED_CLIPPING,
    RULE_CAF,
    RULE_DNC,
    RULE_FILTER,
    RULE_VALIDATED,
    RULE_NNM, /* from here on: what goes before a rule */
    RULE_BUCKETING,
    RULE_ARC,
    RULE_COUNT,
};

/* A parameter of a rule, and its value where none is given. */
struct rule_param {
    enum param param;
    double fallback;           /* NaN: fallback_text says how it comes about */
    const char *fallback_text; /* null: the fallback as a number or a choice */
};

enum { RULE_PARAMS_MAX = 4 };

struct rule_spec {
    const char *name;
    const char *summary;   /* what it computes */
    const char *when;      /* when to use it */
    const char *breakdown; /* how many may lie, and what holds then */
    const char *cost;      /* n updates of d parameters */
    const char *paper;
    /* Allowed: n >= updates_per_f * f + updates_least. */
    uint32_t updates_per_f;
    uint32_t updates_least;
    bool uses_f;
    bool needs_samples;  /* trusted ones: only for the rounds of a federation (validated.h) */
    bool uses_distances; /* works on the distances of all pairs; otherwise coordinate by coordinate
                          */
    uint32_t param_count;
    struct rule_param params[RULE_PARAMS_MAX];
};

enum { RULE_PRE_MAX = 8 };

/* A rule with all that was chosen for it. */
struct recipe {
    enum rule_id rule;
    uint32_t pre_count;
    enum rule_id pre[RULE_PRE_MAX]; /* in the order in which they are applied */
    bool has_f;
    uint64_t f;
    bool is_set[PARAM_COUNT];
    double values[PARAM_COUNT];
};

const struct rule_spec *rule_get(enum rule_id id);
const struct param_spec *param_get(enum param param);

/*
 * Chooses the rule, or adds what goes before it, or sets a parameter ("name=value").
 *
 * INVAL: there is no such rule or parameter, the rule needs samples, or the value is out of its
 * range; the text says what there is. LIMIT: more than RULE_PRE_MAX before. The recipe is unchanged
 * then. err may be null.
 */
[[nodiscard]] enum status recipe_set_rule(struct recipe *recipe, const char *name,
                                          struct error *err);
[[nodiscard]] enum status recipe_add_pre(struct recipe *recipe, const char *name,
                                         struct error *err);
[[nodiscard]] enum status recipe_set_param(struct recipe *recipe, const char *setting,
                                           struct error *err);

/* INVAL: a parameter is set that neither the rule nor what goes before it has, or something goes
 * before a rule that takes nothing before it. err may be null. */
[[nodiscard]] enum status recipe_check(const struct recipe *recipe, struct error *err);

/* Whether the rule or what goes before it works on the distances. */
bool recipe_uses_distances(const struct recipe *recipe);

/* Whether the rule or what goes before it draws at random, by PARAM_SEED. */
bool recipe_uses_seed(const struct recipe *recipe);

/* Whether the rule or what goes before it takes f into account. */
bool recipe_uses_f(const struct recipe *recipe);

/* The value of a parameter of one rule: the one that was set, else the rule's own. */
double recipe_value(const struct recipe *recipe, enum rule_id rule, enum param param);

/* How many of n updates the share beta is, rounded down. */
uint64_t recipe_trim(double beta, uint64_t n);

/*
 * The f to reckon with for n updates: what was given, else the largest of 30 % of n, rounded up,
 * that all parts of the recipe allow.
 *
 * INVAL: n is too small for the recipe, or for f; the text says what is needed. err may be null.
 */
[[nodiscard]] enum status recipe_find_f(const struct recipe *recipe, uint64_t n, uint64_t *ret_f,
                                        struct error *err);

/* Prints the table, for people (plain text) and for the documentation (Markdown). */
void rule_table_print(FILE *file);
void rule_table_print_markdown(FILE *file);

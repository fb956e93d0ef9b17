/*
 * robust_testing.h - what the tests of rules share: one call that runs a recipe over rows in memory
 * on a workspace of exactly the size that is asked for.
 */
#pragma once

#include "robust/robust.h"

#include "testing.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct outcome {
    enum status status;
    struct error err;
    struct robust_report report;
    float *values;
};

static inline void outcome_deinit(struct outcome *outcome)
{
    free(outcome->report.weights);
    free(outcome->report.is_selected);
    free(outcome->report.suspects);
    free(outcome->values);
}

/* A recipe in words: "nnm krum neighbours=byzfl f=3": what goes before, the rule, its settings. */
static inline struct recipe recipe_of(const char *words)
{
    struct recipe recipe = {0};
    char text[200];
    snprintf(text, sizeof(text), "%s", words);
    for (char *word = strtok(text, " "); word != nullptr; word = strtok(nullptr, " ")) {
        if (strncmp(word, "f=", 2) == 0) {
            recipe.has_f = true;
            recipe.f = strtoul(word + 2, nullptr, 10);
        } else if (strchr(word, '=') != nullptr) {
            assert_int_equal(recipe_set_param(&recipe, word, nullptr), STATUS_OK);
        } else if (recipe_add_pre(&recipe, word, nullptr) != STATUS_OK) {
            assert_int_equal(recipe_set_rule(&recipe, word, nullptr), STATUS_OK);
        }
    }
    return recipe;
}

/* data: f32[n * d]; also checks that it is not written into. */
static inline struct outcome run_recipe(const char *words, const float *data, uint64_t n,
                                        uint64_t d, uint32_t threads)
{
    const struct recipe recipe = recipe_of(words);
    const struct strided_rows rows = {data, (ptrdiff_t)d, 1};
    const struct update_matrix matrix = update_matrix_strided(&rows, n, d);
    struct outcome outcome = {0};
    size_t size = 0;
    outcome.report.weights = calloc(n + 1, sizeof(double));
    outcome.report.is_selected = calloc(n + 1, sizeof(bool));
    outcome.report.suspects = calloc(n + 1, sizeof(struct suspect));
    outcome.values = calloc(d + 1, sizeof(float));
    outcome.status = robust_workspace_size(&recipe, n, d, threads, &size, &outcome.err);
    if (outcome.status != STATUS_OK)
        return outcome;
    float *const copy = malloc(n * d * sizeof(float) + 1);
    memcpy(copy, data, n * d * sizeof(float));
    void *const workspace = malloc(size);
    outcome.status = robust_aggregate(&recipe, &matrix, threads, workspace, size, outcome.values,
                                      &outcome.report, &outcome.err);
    assert_memory_equal(copy, data, n * d * sizeof(float));
    free(workspace);
    free(copy);
    return outcome;
}

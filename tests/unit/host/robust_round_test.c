/*
 * robust_round_test.c - a round's updates under a robust rule: kept in a file, in whatever order
 * they come, and aggregated with the f that is due.
 */
#include "host/robust_round.h"

#include "host/config.h"

#include "testing.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { NODES = 12, PARAMETERS = 3 };

static struct config config;
static struct robust_round *make(enum rule_id rule, const char *pre, const char *set)
{
    struct robust_round *round = nullptr;
    struct error err = {0};
    config_defaults(&config);
    config.robust.rule = rule;
    snprintf(config.robust.pre, sizeof(config.robust.pre), "%s", pre);
    snprintf(config.robust.set, sizeof(config.robust.set), "%s", set);
    if (robust_round_create(&config, "/tmp", PARAMETERS, &round, &err) != STATUS_OK)
        fail_msg("%s", err.text);
    return round;
}

/* Node i of 12: (i % 3, 1, 2) and a little; the last two are far away, all alike. */
static void keep(struct robust_round *round, uint32_t i)
{
    char node[32];
    const bool lies = i >= NODES - 2;
    const float update[PARAMETERS] = {lies ? 900 : (float)(i % 3) + (float)i / 100,
                                      lies ? 900 : 1 + (float)(i * 7 % 5) / 50, lies ? 900 : 2};
    snprintf(node, sizeof(node), "spiffe://a/node-%02u", i);
    assert_int_equal(robust_round_keep(round, node, update, 256 * (i + 1), nullptr), STATUS_OK);
}

static void the_order_in_which_updates_come_does_not_matter(void **state)
{
    static const struct {
        enum rule_id rule;
        const char *pre;
        const char *set;
    } rules[] = {{RULE_FILTER, "", ""},
                 {RULE_MEDIAN, "bucketing", "s=2"},
                 {RULE_TRIMMED_MEAN, "arc, nnm", ""},
                 {RULE_DNC, "", "iterations=3,coordinates=2"}};
    for (size_t r = 0; r < sizeof(rules) / sizeof(rules[0]); r++) {
        double first[PARAMETERS] = {0};
        for (uint32_t turn = 0; turn < 3; turn++) {
            struct robust_round *const round = make(rules[r].rule, rules[r].pre, rules[r].set);
            struct robust_outcome *outcome = nullptr;
            double mean[PARAMETERS] = {0};
            /* Twice, to see that nothing of a round stays for the next. */
            for (int again = 0; again < 2; again++) {
                for (uint32_t i = 0; i < NODES; i++)
                    keep(round, (i * 5 + turn) % NODES);
                free(outcome);
                assert_int_equal(
                    robust_round_close(round, NODES, 77, nullptr, mean, &outcome, nullptr),
                    STATUS_OK);
                assert_int_equal(robust_round_weight_sum(round), 256 * 78);
                robust_round_reset(round);
                assert_int_equal(robust_round_weight_sum(round), 0);
            }
            if (turn == 0)
                memcpy(first, mean, sizeof(first));
            assert_memory_equal(first, mean, sizeof(first));
            assert_true(mean[0] >= 0 && mean[0] < 3 && mean[2] > 1 && mean[2] < 2.01);
            assert_int_equal(outcome->f, 4); /* 0.3 of 12, rounded up */
            free(outcome);
            robust_round_destroy(round);
        }
    }
}

static void suspects_are_named(void **state)
{
    struct robust_round *const round = make(RULE_FILTER, "", "");
    struct robust_outcome *outcome = nullptr;
    double mean[PARAMETERS] = {0};
    bool found[2] = {0};
    for (uint32_t i = 0; i < NODES; i++)
        keep(round, NODES - 1 - i);
    assert_int_equal(robust_round_close(round, NODES, 1, nullptr, mean, &outcome, nullptr),
                     STATUS_OK);
    for (uint32_t i = 0; i < outcome->count; i++) {
        for (int k = 0; k < 2; k++)
            found[k] =
                found[k] || strcmp(outcome->suspects[i].node,
                                   k == 0 ? "spiffe://a/node-10" : "spiffe://a/node-11") == 0;
        assert_true(outcome->suspects[i].score > 0);
    }
    assert_true(found[0] && found[1]);
    free(outcome);
    robust_round_destroy(round);
}

static void too_few_updates_are_reckoned_with_as_far_as_they_go(void **state)
{
    struct robust_round *const round = make(RULE_KRUM, "", "");
    struct robust_outcome *outcome = nullptr;
    double mean[PARAMETERS] = {0};
    assert_int_equal(robust_round_close(round, 12, 1, nullptr, mean, &outcome, nullptr),
                     STATUS_INVAL);
    for (uint32_t i = 0; i < 7; i++)
        keep(round, i);
    assert_int_equal(robust_round_close(round, 12, 1, nullptr, mean, &outcome, nullptr), STATUS_OK);
    assert_int_equal(outcome->wanted, 4);
    assert_int_equal(outcome->f, 2); /* 7 >= 2 f + 3 */
    free(outcome);
    robust_round_reset(round);
    keep(round, 0);
    keep(round, 1);
    assert_int_equal(robust_round_close(round, 12, 1, nullptr, mean, &outcome, nullptr), STATUS_OK);
    assert_true(mean[0] > 0.49 && mean[0] < 0.52); /* the middle of two */
    free(outcome);
    robust_round_destroy(round);
}

/* By the first coordinate, as far as it is from what is wanted. */
static double distance_from(void *context, const float *aggregate)
{
    const double *const wanted = context;
    return fabs((double)aggregate[0] - *wanted);
}

static void a_candidate_is_chosen_and_made_again(void **state)
{
    bool is_chosen[VALIDATED_COUNT] = {0};
    for (double wanted = 0.9; wanted < 1.1; wanted += 0.02) {
        struct robust_round *const round = make(RULE_VALIDATED, "", "");
        struct robust_outcome *first = nullptr;
        struct robust_outcome *again = nullptr;
        double mean[2][PARAMETERS] = {0};
        struct robust_choice choice = {
            .before = {.excess = {0.5, 0.5, 0.5, 0.5}}, .loss = distance_from, .context = &wanted};
        for (uint32_t i = 0; i < NODES; i++)
            keep(round, i);
        assert_int_equal(robust_round_close(round, NODES, 1, &choice, mean[0], &first, nullptr),
                         STATUS_OK);
        assert_true(first->has_choice && first->f == 4 && first->count >= 2);
        assert_true(fabs(mean[0][0] - wanted) < 0.5);
        assert_double_equal(first->validated.excess[first->choice], 0.4, 1e-9);
        is_chosen[first->choice] = true;
        choice = (struct robust_choice){.chosen = first->choice};
        assert_int_equal(robust_round_close(round, NODES, 2, &choice, mean[1], &again, nullptr),
                         STATUS_OK);
        assert_memory_equal(mean[0], mean[1], sizeof(mean[0]));
        assert_int_equal(again->choice, first->choice);
        free(first);
        free(again);
        robust_round_destroy(round);
    }
    int chosen = 0;
    for (int i = 0; i < VALIDATED_COUNT; i++)
        chosen += is_chosen[i];
    assert_true(chosen > 1); /* else it would not be seen that the right one is made again */
}

static void f_is_a_share_of_those_asked_or_a_number(void **state)
{
    config_defaults(&config);
    assert_int_equal(robust_round_f(&config, 10), 3);
    assert_int_equal(robust_round_f(&config, 11), 4);
    assert_int_equal(robust_round_f(&config, 100), 30);
    assert_int_equal(robust_round_f(&config, 1), 1);
    config.robust.f = 7;
    assert_int_equal(robust_round_f(&config, 10), 7);
}

static void rules_have_the_names_of_their_table(void **state)
{
    for (uint32_t id = 0; id < RULE_NNM; id++) {
        char text[160];
        struct config_report report;
        config_report_init(&report);
        const int size =
            snprintf(text, sizeof(text),
                     "schema: 1\ndata:\n  format: idx\n  path: p\nvalidation:\n  source: central\n"
                     "robust:\n  tolerance: 0.1\n  rule: %s\n",
                     rule_get((enum rule_id)id)->name);
        assert_int_equal(config_parse("f", text, (size_t)size, nullptr, 0, &report, &config),
                         STATUS_OK);
        assert_int_equal(config.robust.rule, id);
        assert_int_equal(robust_round_is_needed(&config), id != RULE_MEAN);
        config_report_deinit(&report);
    }
}

static void a_folder_that_is_not_there_is_told(void **state)
{
    struct robust_round *round = nullptr;
    struct error err = {0};
    config_defaults(&config);
    config.robust.rule = RULE_MEDIAN;
    assert_int_equal(robust_round_create(&config, "/nowhere/at/all", 1, &round, &err), STATUS_IO);
    assert_non_null(strstr(err.text, "/nowhere/at/all"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_order_in_which_updates_come_does_not_matter),
        cmocka_unit_test(suspects_are_named),
        cmocka_unit_test(too_few_updates_are_reckoned_with_as_far_as_they_go),
        cmocka_unit_test(a_candidate_is_chosen_and_made_again),
        cmocka_unit_test(f_is_a_share_of_those_asked_or_a_number),
        cmocka_unit_test(rules_have_the_names_of_their_table),
        cmocka_unit_test(a_folder_that_is_not_there_is_told),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}

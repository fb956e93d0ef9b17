/*
 * federation_test.c - whole federations on virtual time, from seeds.
 *
 * Goal: nothing acknowledged is lost, nothing is counted twice, no two contents under one number,
 * the job always ends - under every policy for late updates, with slow nodes, draws and pauses,
 * under loss, delay, duplication, reordering, and kills at every effect. Method: federation_sim.h
 * keeps its own account of what was durable and compares; federation_sim_oracle.c says with what.
 */
#include "federation_sim.h"

#include "base/random.h"

#include "testing.h"

#include <stdlib.h>
#include <string.h>

static const uint64_t ms = 1000000;
static const uint64_t second = 1000000000;

static struct sim_settings calm(uint64_t seed, uint32_t nodes, uint64_t rounds)
{
    return (struct sim_settings){.seed = seed,
                                 .nodes = nodes,
                                 .rounds = rounds,
                                 .k_threshold = 1,
                                 .min_updates = 1,
                                 .delay_max_ns = 10 * ms};
}

/* What does not hang on how the job ends. */
static bool is_kept(const struct sim_result *result)
{
    return result->ended && result->counted_twice == 0 && result->conflicting == 0 &&
           result->unsettled == 0 && result->wrongly_settled == 0 &&
           result->sent_before_durable == 0 && result->violations == 0;
}

static void print_result(const struct sim_settings *settings, const struct sim_result *result)
{
    print_error("# seed %llu nodes %u: ended %d outcome %d versions %llu twice %llu conflict %llu "
                "unsettled %llu wrong %llu early %llu violations %llu (%s) at %.1f s\n",
                (unsigned long long)settings->seed, settings->nodes, result->ended,
                (int)result->outcome, (unsigned long long)result->versions,
                (unsigned long long)result->counted_twice, (unsigned long long)result->conflicting,
                (unsigned long long)result->unsettled, (unsigned long long)result->wrongly_settled,
                (unsigned long long)result->sent_before_durable,
                (unsigned long long)result->violations, result->first_violation,
                (double)result->virtual_ns / 1e9);
}

static void check_promises(const struct sim_settings *settings, const struct sim_result *result)
{
    const bool good = is_kept(result) && result->outcome == OUTCOME_EXHAUSTED &&
                      result->versions == settings->rounds;
    if (!good)
        print_result(settings, result);
    assert_true(good);
}

static void a_calm_job_counts_every_node_in_every_round(void **state)
{
    const struct sim_settings settings = calm(1, 10, 20);
    struct sim_result result;
    sim_run(&settings, &result);
    check_promises(&settings, &result);
    assert_int_equal(result.counted, 200);
    assert_int_equal(result.members_each_round_min, 10);
}

static void k_of_n_closes_without_the_slowest(void **state)
{
    struct sim_settings settings = calm(2, 100, 10);
    settings.k_threshold = 0.85;
    struct sim_result result;
    sim_run(&settings, &result);
    check_promises(&settings, &result);
    assert_int_equal(result.members_each_round_min, 85);
}

static void hundreds_of_nodes_over_a_bad_network_keep_every_promise(void **state)
{
    for (uint64_t seed = 1; seed <= 3; seed++) {
        struct sim_settings settings = calm(seed, 300, 8);
        settings.k_threshold = 0.8;
        settings.loss = 0.02;
        settings.duplication = 0.1;
        settings.delay_max_ns = 200 * ms;
        struct sim_result result;
        sim_run(&settings, &result);
        check_promises(&settings, &result);
        assert_true(result.counted >= 8 * 200);
    }
}

static void kills_at_any_effect_lose_and_double_nothing(void **state)
{
    for (uint64_t seed = 1; seed <= 700; seed++) {
        struct sim_settings settings = calm(seed, 3 + seed % 10, 12);
        settings.k_threshold = seed % 3 == 0 ? 1 : 0.7;
        settings.loss = seed % 4 == 0 ? 0 : 0.03;
        settings.duplication = 0.2;
        settings.delay_max_ns = (1 + seed % 100) * ms;
        settings.coordinator_crashes = 1 + seed % 12;
        settings.node_crashes = seed % 8;
        struct sim_result result;
        sim_run(&settings, &result);
        check_promises(&settings, &result);
    }
}

static void at_k_of_one_a_killed_coordinator_counts_everybody_all_the_same(void **state)
{
    for (uint64_t seed = 1; seed <= 100; seed++) {
        struct sim_settings settings = calm(seed, 10, 10);
        settings.coordinator_crashes = 10;
        struct sim_result result;
        sim_run(&settings, &result);
        check_promises(&settings, &result);
        assert_int_equal(result.members_each_round_min, 10);
    }
}

static void a_node_that_says_two_things_is_found_out_and_counted_once(void **state)
{
    struct sim_settings settings = calm(7, 10, 10);
    settings.liars = true;
    struct sim_result result;
    sim_run(&settings, &result);
    check_promises(&settings, &result);
    assert_true(result.equivocations > 0);
    assert_int_equal(result.counted, 100);
}

static void one_seed_gives_one_trace(void **state)
{
    struct sim_settings settings = calm(9, 20, 10);
    settings.loss = 0.05;
    settings.coordinator_crashes = 3;
    struct sim_result first;
    struct sim_result again;
    sim_run(&settings, &first);
    sim_run(&settings, &again);
    assert_true(first.trace_digest == again.trace_digest);
    settings.seed = 10;
    sim_run(&settings, &again);
    assert_true(first.trace_digest != again.trace_digest);
}

static double pick(struct random *random, const double *values, uint32_t count)
{
    return values[random_below(random, count)];
}

/* Any policy under any mixture of faults, drawn from the seed. */
static struct sim_settings mixed(uint64_t seed)
{
    static const double thresholds[] = {1, 0.85, 0.6, 0.3};
    static const double shares[] = {1, 1, 0.6, 0.3};
    static const double over_selections[] = {0, 0.3, 1};
    static const double slow_shares[] = {0, 0.2, 0.5, 1};
    static const double bad_shares[] = {0, 0, 0.1, 0.4};
    static const enum late_policy policies[] = {LATE_DISCARD, LATE_NEXT_ROUND, LATE_MOMENTUM,
                                                LATE_NEXT_ROUND};
    struct random random;
    random_init(&random, seed, 2, 0);
    struct sim_settings settings =
        calm(seed, 3 + (uint32_t)random_below(&random, 12), 8 + random_below(&random, 12));
    settings.min_updates = 1 + (uint32_t)random_below(&random, 3);
    settings.delay_max_ns = (1 + random_below(&random, 100)) * ms;
    settings.k_threshold = pick(&random, thresholds, 4);
    settings.share = pick(&random, shares, 4);
    settings.over_selection = pick(&random, over_selections, 3);
    settings.cooldown_rounds = (uint32_t)random_below(&random, 4);
    settings.late = policies[random_below(&random, 4)];
    settings.max_staleness = 1 + (uint32_t)random_below(&random, 6);
    settings.slow_share = pick(&random, slow_shares, 4);
    settings.loss = random_below(&random, 3) > 0 ? 0.03 : 0;
    settings.duplication = 0.2;
    settings.coordinator_crashes = (uint32_t)random_below(&random, 10);
    settings.node_crashes = (uint32_t)random_below(&random, 8);
    settings.pauses = random_below(&random, 2) > 0 ? (uint32_t)random_below(&random, 5) : 0;
    settings.liars = random_below(&random, 5) == 0 && settings.nodes > settings.min_updates;
    settings.bad_share = settings.liars ? 0 : pick(&random, bad_shares, 4);
    if (random_below(&random, 5) == 0) {
        settings.diverges_at = 1 + random_below(&random, 8);
        settings.loss_is_nan = random_below(&random, 2) > 0;
        settings.retention = random_below(&random, 4) == 0;
    }
    settings.validates_received = random_below(&random, 4) == 0;
    settings.faults_end_ns = 20 * second;
    return settings;
}

static void check_mixed(uint64_t seed, FILE *story, struct sim_result *total)
{
    struct sim_settings settings = mixed(seed);
    struct sim_result result;
    settings.story = story;
    sim_run(&settings, &result);
    /* Faults are over after 20 s; then a round is repeated a few times at most, 5 s each. */
    const uint64_t bound = settings.faults_end_ns + (settings.rounds + 2) * 20 * second;
    const bool diverged = result.outcome == OUTCOME_DIVERGED && settings.diverges_at > 0 &&
                          result.versions <= settings.rounds;
    const bool exhausted =
        result.outcome == OUTCOME_EXHAUSTED && result.versions == settings.rounds;
    if (!is_kept(&result) || !(diverged || exhausted) || result.virtual_ns > bound) {
        print_result(&settings, &result);
        fail_msg("FEDRA_SIM_SEED=%llu federation_test tells the story", (unsigned long long)seed);
    }
    total->counted += result.counted;
    total->counted_late += result.counted_late;
    total->stood_in += result.stood_in;
    total->pauses += result.pauses;
    total->equivocations += result.equivocations;
    total->unsettled += diverged; /* here: how many */
}

/* FEDRA_SIM_SEEDS: how many (the soak); FEDRA_SIM_SEED: this one only, told. */
static void every_policy_keeps_every_promise_under_every_fault(void **state)
{
    const char *const one = getenv("FEDRA_SIM_SEED");
    const char *const many = getenv("FEDRA_SIM_SEEDS");
    const uint64_t seeds = many != nullptr ? strtoull(many, nullptr, 10) : 800;
    struct sim_result total = {0};
    if (one != nullptr) {
        check_mixed(strtoull(one, nullptr, 10), stderr, &total);
        return;
    }
    for (uint64_t seed = 1; seed <= seeds; seed++)
        check_mixed(seed, nullptr, &total);
    /* All that is promised has happened, not now and then but often. */
    assert_true(total.counted > 20 * seeds);
    assert_true(total.counted_late > seeds);
    assert_true(total.stood_in > seeds);
    assert_true(total.pauses > seeds / 10);
    assert_true(total.equivocations > seeds / 2);
    assert_true(total.unsettled > seeds / 20);
}

static void at_k_of_one_kills_and_pauses_change_no_model(void **state)
{
    static const double shares[] = {1, 0.5, 0.3};
    for (uint64_t seed = 1; seed <= 60; seed++) {
        struct sim_settings settings = calm(seed, 10, 10);
        settings.share = shares[seed % 3];
        settings.cooldown_rounds = seed % 2;
        settings.late = (enum late_policy)(seed / 3 % 3);
        settings.max_staleness = 3;
        settings.slow_share = seed % 4 == 0 ? 0.3 : 0;
        settings.diverges_at = seed % 5 == 0 ? 6 : 0;
        struct sim_result undisturbed;
        sim_run(&settings, &undisturbed);
        settings.coordinator_crashes = 10;
        settings.pauses = seed % 4;
        struct sim_result disturbed;
        sim_run(&settings, &disturbed);
        if (!is_kept(&disturbed) || undisturbed.models_digest != disturbed.models_digest)
            print_result(&settings, &disturbed);
        assert_true(is_kept(&undisturbed) && is_kept(&disturbed));
        assert_true(undisturbed.models_digest == disturbed.models_digest);
        assert_true(undisturbed.outcome == disturbed.outcome);
        assert_int_equal(undisturbed.counted_late, 0);
    }
}

static void a_job_that_diverges_ends_with_its_best_model(void **state)
{
    for (uint64_t seed = 1; seed <= 60; seed++) {
        struct sim_settings settings = calm(seed, 6, 20);
        const uint64_t best = 3 + seed % 7;
        settings.validates_received = seed % 2 == 0;
        settings.retention = seed % 5 == 0;
        settings.loss_is_nan = seed % 3 == 0;
        settings.diverges_at = best + 1;
        settings.coordinator_crashes = seed % 4;
        struct sim_result diverged;
        sim_run(&settings, &diverged);
        if (!is_kept(&diverged))
            print_result(&settings, &diverged);
        assert_true(is_kept(&diverged));
        assert_int_equal(diverged.outcome, OUTCOME_DIVERGED);
        /* The loss is no number: found at once. It has risen: in the third round. Of the version
         * before: a round later. Where retention took the best, the last one that was committed. */
        const uint64_t found =
            (settings.loss_is_nan ? best + 1 : best + 3) + (settings.validates_received ? 1 : 0);
        settings.rounds = settings.retention ? found - 1 : best;
        settings.diverges_at = 0;
        settings.coordinator_crashes = 0;
        struct sim_result calm_result;
        sim_run(&settings, &calm_result);
        assert_int_equal(calm_result.versions, settings.rounds);
        assert_true(calm_result.final_model == diverged.final_model);
    }
}

/* Compares what the machines say with the file that the variable names. */
static void check_story(struct sim_settings settings, const char *variable)
{
    const char *const path = getenv(variable);
    assert_non_null(path);
    char *told = nullptr;
    size_t told_size = 0;
    settings.story = open_memstream(&told, &told_size);
    assert_non_null(settings.story);
    struct sim_result result;
    sim_run(&settings, &result);
    fclose(settings.story);
    check_promises(&settings, &result);
    if (getenv("FEDRA_WRITE_GOLDEN") != nullptr) {
        FILE *const file = fopen(path, "w");
        assert_non_null(file);
        fwrite(told, 1, told_size, file);
        fclose(file);
    }
    FILE *const file = fopen(path, "r");
    assert_non_null(file);
    static char golden[65536];
    const size_t golden_size = fread(golden, 1, sizeof(golden), file);
    fclose(file);
    assert_int_equal(golden_size, told_size);
    assert_memory_equal(golden, told, told_size);
    free(told);
}

static void a_round_with_a_crash_in_it_is_told_as_it_always_was(void **state)
{
    struct sim_settings settings = calm(91, 3, 2);
    settings.coordinator_crashes = 1;
    check_story(settings, "FEDRA_GOLDEN_STORY");
}

static void a_slow_node_among_three_is_told_as_it_always_was(void **state)
{
    struct sim_settings settings = calm(130, 3, 3);
    settings.k_threshold = 0.6;
    settings.late = LATE_NEXT_ROUND;
    settings.max_staleness = 3;
    settings.slow_share = 0.3;
    check_story(settings, "FEDRA_GOLDEN_STORY_LATE");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_calm_job_counts_every_node_in_every_round),
        cmocka_unit_test(k_of_n_closes_without_the_slowest),
        cmocka_unit_test(hundreds_of_nodes_over_a_bad_network_keep_every_promise),
        cmocka_unit_test(kills_at_any_effect_lose_and_double_nothing),
        cmocka_unit_test(at_k_of_one_a_killed_coordinator_counts_everybody_all_the_same),
        cmocka_unit_test(a_node_that_says_two_things_is_found_out_and_counted_once),
        cmocka_unit_test(one_seed_gives_one_trace),
        cmocka_unit_test(every_policy_keeps_every_promise_under_every_fault),
        cmocka_unit_test(at_k_of_one_kills_and_pauses_change_no_model),
        cmocka_unit_test(a_job_that_diverges_ends_with_its_best_model),
        cmocka_unit_test(a_round_with_a_crash_in_it_is_told_as_it_always_was),
        cmocka_unit_test(a_slow_node_among_three_is_told_as_it_always_was),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}

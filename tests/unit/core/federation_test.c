/*
 * federation_test.c - whole federations on virtual time, from seeds.
 *
 * Goal: nothing acknowledged is lost, nothing is counted twice, no two contents under one number,
 * the job always ends - under loss, delay, duplication, reordering, and kills at every effect.
 * Method: federation_sim.h keeps its own account of what was durable and compares.
 */
#include "federation_sim.h"

#include "testing.h"

#include <stdlib.h>
#include <string.h>

static const uint64_t ms = 1000000;

static struct sim_settings calm(uint64_t seed, uint32_t nodes, uint64_t rounds)
{
    return (struct sim_settings){.seed = seed,
                                 .nodes = nodes,
                                 .rounds = rounds,
                                 .k_threshold = 1,
                                 .min_updates = 1,
                                 .delay_max_ns = 10 * ms};
}

static void check_promises(const struct sim_settings *settings, const struct sim_result *result)
{
    const bool good = result->ended && result->counted_twice == 0 && result->conflicting == 0 &&
                      result->unsettled == 0 && result->wrongly_settled == 0 &&
                      result->sent_before_durable == 0 && result->outcome == OUTCOME_EXHAUSTED &&
                      result->versions == settings->rounds;
    if (!good)
        print_error(
            "# seed %llu nodes %u: ended %d outcome %d versions %llu twice %llu conflict "
            "%llu unsettled %llu wrong %llu early %llu at %.1f s\n",
            (unsigned long long)settings->seed, settings->nodes, result->ended,
            (int)result->outcome, (unsigned long long)result->versions,
            (unsigned long long)result->counted_twice, (unsigned long long)result->conflicting,
            (unsigned long long)result->unsettled, (unsigned long long)result->wrongly_settled,
            (unsigned long long)result->sent_before_durable, (double)result->virtual_ns / 1e9);
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
    for (uint64_t seed = 1; seed <= 6; seed++) {
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
    for (uint64_t seed = 1; seed <= 4000; seed++) {
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
    struct sim_result second;
    sim_run(&settings, &first);
    sim_run(&settings, &second);
    assert_true(first.trace_digest == second.trace_digest);
    settings.seed = 10;
    sim_run(&settings, &second);
    assert_true(first.trace_digest != second.trace_digest);
}

static void a_round_with_a_crash_in_it_is_told_as_it_always_was(void **state)
{
    const char *const path = getenv("FEDRA_GOLDEN_STORY");
    assert_non_null(path);
    char *told = nullptr;
    size_t told_size = 0;
    struct sim_settings settings = calm(3, 3, 2);
    settings.coordinator_crashes = 1;
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
        cmocka_unit_test(a_round_with_a_crash_in_it_is_told_as_it_always_was),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}

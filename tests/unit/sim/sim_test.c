/*
 * sim_test.c - federations in a seed: calm ones come out as reckoned, and under every fault the
 * promises are kept.
 *
 * Goal: nothing acknowledged is lost, nothing is counted twice, each model is what its record says,
 * the job always ends. Method: the simulator's own oracles (src/sim/sim_oracle.c) on a fixed set of
 * seeds; `./run sim` and `./run soak` run more. That the oracles see what is wrong is shown by
 * `./run mutants`.
 */
#include "sim/keyed_signer.h"
#include "sim/sim.h"

#include "testing.h"

#include <stdlib.h>
#include <string.h>

enum { SEEDS = 80 };

static void run(const struct sim_plan *plan, struct sim_result *ret_result)
{
    sim_run(plan, nullptr, ret_result);
    if (ret_result->failed)
        fail_msg("seed %llu: %s", (unsigned long long)plan->seed, ret_result->failure);
}

static void a_calm_job_counts_every_node_in_every_round(void **state)
{
    struct sim_plan plan;
    struct sim_result result;
    sim_plan_draw(1, 10, 0, &plan);
    plan.machine.k_threshold = 1;
    plan.machine.share = 1;
    plan.machine.start_nodes = 10;
    plan.machine.rounds_max = 12;
    run(&plan, &result);
    assert_int_equal(result.outcome, OUTCOME_EXHAUSTED);
    assert_int_equal(result.counted, 120);
    assert_int_equal(result.versions, 13);
    assert_int_equal(result.recomputed, 12);
    assert_int_equal(result.refused, 0);
    for (int i = 0; i < SIM_FAULT_COUNT; i++)
        assert_int_equal(result.happened[i], 0);
}

static void no_promise_is_broken_under_any_fault(void **state)
{
    uint64_t happened[SIM_FAULT_COUNT] = {0};
    uint64_t late = 0;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        struct sim_plan plan;
        struct sim_result result;
        sim_plan_draw(seed, 0, SIM_ALL_FAULTS, &plan);
        run(&plan, &result);
        late += result.counted_late;
        for (int i = 0; i < SIM_FAULT_COUNT; i++) {
            happened[i] += result.happened[i];
            assert_true((plan.faults & 1u << i) != 0 || result.happened[i] == 0);
        }
    }
    assert_true(late > SEEDS);
    for (int i = 0; i < SIM_FAULT_COUNT; i++) {
        if (happened[i] == 0)
            fail_msg("%s never struck", sim_fault_name((enum sim_fault)i));
    }
}

static void each_fault_alone_breaks_no_promise(void **state)
{
    for (uint32_t fault = 0; fault < SIM_FAULT_COUNT; fault++) {
        for (uint64_t seed = 1; seed <= 2; seed++) {
            struct sim_plan plan;
            struct sim_result result;
            sim_plan_draw(seed, 0, 1u << fault, &plan);
            run(&plan, &result);
        }
    }
}

static void one_seed_gives_one_run(void **state)
{
    for (uint64_t seed = 1; seed <= 8; seed++) {
        struct sim_plan plan;
        struct sim_result first;
        struct sim_result again;
        sim_plan_draw(seed, 0, SIM_ALL_FAULTS, &plan);
        run(&plan, &first);
        run(&plan, &again);
        assert_memory_equal(&first, &again, sizeof(first));
        sim_plan_draw(seed + 1000, 0, SIM_ALL_FAULTS, &plan);
        run(&plan, &again);
        assert_true(first.trace_digest != again.trace_digest);
    }
}

/* The ids of versions are digests over all signatures in them, and are in the digest of the run. */
static void a_run_with_ml_dsa_is_the_same_again(void **state)
{
    struct sim_plan plan;
    struct sim_result first;
    struct sim_result again;
    sim_plan_draw(100, 0, SIM_ALL_FAULTS, &plan);
    assert_true(plan.is_mldsa && plan.nodes <= 5);
    plan.faults |= 1u << SIM_ROTATE;
    plan.machine.rounds_max = 4;
    run(&plan, &first);
    run(&plan, &again);
    assert_memory_equal(&first, &again, sizeof(first));
    assert_true(first.counted > 0);
    plan.is_mldsa = false;
    run(&plan, &again);
    assert_int_equal(first.counted, again.counted);
    assert_int_equal(first.versions, again.versions);
    assert_true(first.trace_digest != again.trace_digest);
}

static void a_fault_that_is_left_out_changes_no_other(void **state)
{
    for (uint64_t seed = 1; seed <= 50; seed++) {
        struct sim_plan all;
        struct sim_plan less;
        sim_plan_draw(seed, 0, SIM_ALL_FAULTS, &all);
        sim_plan_draw(seed, 0, SIM_ALL_FAULTS & ~(1u << SIM_LOSS), &less);
        assert_int_equal(less.faults, all.faults & ~(1u << SIM_LOSS));
        assert_true(less.loss == 0);
        assert_int_equal(less.crashes, all.crashes);
        assert_int_equal(less.stops, all.stops);
        assert_int_equal(less.nodes, all.nodes);
        assert_int_equal(less.cancelled_ns, all.cancelled_ns);
    }
}

/* An oracle that says nothing may be one that does not look. */
static void a_job_that_does_not_end_in_its_time_fails(void **state)
{
    struct sim_plan plan;
    struct sim_result result;
    sim_plan_draw(1, 5, 0, &plan);
    plan.end_ns = 1;
    sim_run(&plan, nullptr, &result);
    assert_true(result.failed);
    assert_non_null(strstr(result.failure, "has not ended"));
}

static void a_story_tells_what_machines_and_world_do(void **state)
{
    struct sim_plan plan;
    struct sim_result told;
    struct sim_result untold;
    char *text = nullptr;
    size_t size = 0;
    sim_plan_draw(3, 4, 1u << SIM_CRASH, &plan);
    plan.crashes = 5;
    FILE *const story = open_memstream(&text, &size);
    assert_non_null(story);
    sim_run(&plan, story, &told);
    fclose(story);
    assert_non_null(strstr(text, "world: the coordinator starts"));
    assert_non_null(strstr(text, "coordinator: the coordinator serves with epoch 1"));
    assert_non_null(strstr(text, "n0003: trains for round 1"));
    free(text);
    sim_run(&plan, nullptr, &untold);
    assert_memory_equal(&told, &untold, sizeof(told));
}

static const char *const names[] = {"spiffe://t/fedra/node/a", "spiffe://t/fedra/node/b"};

static enum status verify(const struct digest *key_id, const char *context, const char *message,
                          struct slice signature, char ret_name[SPIFFE_ID_MAX])
{
    struct keyed_ring ring = {.names = names, .count = 2};
    struct verifier verifier;
    keyed_verifier_init(&verifier, &ring);
    return verifier.ops->verify(verifier.state, key_id, context,
                                (struct slice){(const uint8_t *)message, strlen(message)},
                                signature, 0, ret_name, nullptr);
}

static void a_keyed_signature_is_of_one_name_context_and_message(void **state)
{
    const struct keyed_ring ring = {.names = names, .count = 2};
    struct signer a;
    struct signer b;
    uint8_t bytes[SIGNATURE_BYTES_MAX];
    size_t size = 0;
    char name[SPIFFE_ID_MAX];
    keyed_signer_init(&a, &ring, 0, 0);
    keyed_signer_init(&b, &ring, 1, 7);
    assert_int_equal(
        a.ops->sign(a.state, "x", (struct slice){(const uint8_t *)"hello", 5}, bytes, &size),
        STATUS_OK);
    const struct slice signature = {bytes, size};
    assert_int_equal(verify(&a.key_id, "x", "hello", signature, name), STATUS_OK);
    assert_string_equal(name, names[0]);
    assert_int_equal(verify(&b.key_id, "x", "hello", signature, name), STATUS_SIGNATURE);
    assert_int_equal(verify(&a.key_id, "y", "hello", signature, name), STATUS_SIGNATURE);
    assert_int_equal(verify(&a.key_id, "x", "hallo", signature, name), STATUS_SIGNATURE);
    assert_int_equal(verify(&a.key_id, "x", "hello", (struct slice){bytes, size - 1}, name),
                     STATUS_SIGNATURE);
    struct digest unknown = a.key_id;
    unknown.bytes[DIGEST_BYTES - 1] ^= 1;
    assert_int_equal(verify(&unknown, "x", "hello", signature, name), STATUS_IDENTITY);
    unknown = a.key_id;
    unknown.bytes[0] = 2; /* there are two names: 0 and 1 */
    assert_int_equal(verify(&unknown, "x", "hello", signature, name), STATUS_IDENTITY);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_calm_job_counts_every_node_in_every_round),
        cmocka_unit_test(no_promise_is_broken_under_any_fault),
        cmocka_unit_test(each_fault_alone_breaks_no_promise),
        cmocka_unit_test(one_seed_gives_one_run),
        cmocka_unit_test(a_run_with_ml_dsa_is_the_same_again),
        cmocka_unit_test(a_fault_that_is_left_out_changes_no_other),
        cmocka_unit_test(a_job_that_does_not_end_in_its_time_fails),
        cmocka_unit_test(a_story_tells_what_machines_and_world_do),
        cmocka_unit_test(a_keyed_signature_is_of_one_name_context_and_message),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}

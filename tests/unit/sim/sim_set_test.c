/*
 * sim_set_test.c - the numbers of a plan by name, and the smallest plan that still fails.
 *
 * Goal: what shrinking gives still fails, has nothing in it that the failure does not need, and is
 * replayed by its text. Method: failures planted as a condition on the plan, whose smallest plan is
 * known; and one of the simulator itself.
 */
#include "sim/sim_set.h"

#include "testing.h"

#include <string.h>

static uint32_t find(const char *name)
{
    uint32_t i = 0;
    while (strcmp(sim_set_name(i), name) != 0)
        i++;
    return i;
}

static double get(const struct sim_plan *plan, const char *name)
{
    return sim_set_get(plan, find(name));
}

static void draw(struct sim_plan *plan)
{
    sim_plan_draw(7, 20, SIM_ALL_FAULTS, plan);
    plan->crashes = 11;
    plan->liars = 4;
    plan->loss = 0.05;
    plan->faults |= 1u << SIM_SKEW | 1u << SIM_HALF_OPEN;
}

static bool needs_three_crashes_and_five_nodes(void *context, const struct sim_plan *plan)
{
    (*(uint32_t *)context)++;
    return plan->crashes >= 3 && plan->nodes >= 5 && (plan->faults & 1u << SIM_SKEW) != 0;
}

static void the_smallest_plan_has_what_the_failure_needs_and_no_more(void **state)
{
    struct sim_plan drawn;
    uint32_t calls = 0;
    draw(&drawn);
    struct sim_plan plan = drawn;
    const uint32_t runs = sim_shrink(&plan, needs_three_crashes_and_five_nodes, &calls, 1000);
    assert_int_equal(runs, calls);
    assert_true(runs < 200);
    assert_true(get(&plan, "crashes") == 3);
    assert_true(get(&plan, "nodes") == 5);
    assert_true(get(&plan, "skew") == 1);
    static const char *const none[] = {
        "node_crashes", "disk_faults", "node_disk_faults", "zombies",    "partitions", "stops",
        "pauses",       "loss",        "duplication",      "slow_share", "half_open",  "liars",
        "suspicion",    "diverges_at", "cancelled_s",      "models_keep"};
    for (size_t i = 0; i < sizeof(none) / sizeof(*none); i++)
        assert_true(get(&plan, none[i]) == 0);
    assert_true(get(&plan, "rounds") == 1);
    assert_true(plan.machine.start_nodes <= 5 && plan.machine.min_updates <= 5);
}

static bool never(void *context, const struct sim_plan *plan)
{
    (*(uint32_t *)context)++;
    return false;
}

static void a_plan_that_nothing_smaller_fails_stays(void **state)
{
    struct sim_plan drawn;
    uint32_t calls = 0;
    draw(&drawn);
    struct sim_plan plan = drawn;
    const uint32_t runs = sim_shrink(&plan, never, &calls, 1000);
    assert_int_equal(runs, calls);
    assert_memory_equal(&plan, &drawn, sizeof(plan));
    assert_int_equal(sim_shrink(&plan, never, &calls, 5), 5);
}

/* A run that is over before it can be is a failure whatever strikes. */
static bool fails(void *context, const struct sim_plan *plan)
{
    struct sim_result result;
    sim_run(plan, nullptr, &result);
    return result.failed;
}

static void a_failing_run_is_replayed_by_its_text(void **state)
{
    struct sim_plan drawn;
    struct sim_plan again;
    char text[1024];
    char error[128];
    draw(&drawn);
    struct sim_plan plan = drawn;
    assert_true(sim_set_parse(&plan, "end_s=0.5", error));
    assert_true(fails(nullptr, &plan));
    sim_shrink(&plan, fails, nullptr, 200);
    assert_true(fails(nullptr, &plan));
    assert_true(get(&plan, "crashes") == 0 && get(&plan, "nodes") == 1);
    sim_set_write(&drawn, &plan, text, sizeof(text));
    assert_non_null(strstr(text, "nodes=1"));
    again = drawn;
    assert_true(sim_set_parse(&again, text, error));
    assert_memory_equal(&again, &plan, sizeof(plan));
    sim_set_write(&drawn, &drawn, text, sizeof(text));
    assert_string_equal(text, "");
}

static void what_is_no_number_of_a_plan_is_named(void **state)
{
    static const struct {
        const char *text;
        const char *error;
    } wrong[] = {
        {"crush=1", "\"crush\" is none of the names"},
        {"crashes", "\"crashes\" is none of the names"},
        {"crashes=", "crashes must be a whole number from 0 to 1e+06"},
        {"crashes=1.5", "crashes must be a whole number"},
        {"crashes=-1", "crashes must be a whole number"},
        {"crashes=nan", "crashes must be a whole number"},
        {"crashes=1e300", "crashes must be a whole number"},
        {"crashes=1;loss=1", "crashes must be a whole number"},
        {"loss=1.5", "loss must be a number from 0 to 1"},
        {"nodes=0", "nodes must be a whole number from 1 to 10000"},
        {"half_open=2", "half_open must be a whole number from 0 to 1"},
    };
    for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
        struct sim_plan plan;
        char error[128] = "";
        draw(&plan);
        assert_false(sim_set_parse(&plan, wrong[i].text, error));
        if (strstr(error, wrong[i].error) == nullptr)
            fail_msg("%s: %s", wrong[i].text, error);
    }
}

static void each_number_is_set_alone(void **state)
{
    for (uint32_t i = 0; i < sim_set_count(); i++) {
        struct sim_plan drawn;
        char text[64];
        char error[128];
        draw(&drawn);
        struct sim_plan plan = drawn;
        snprintf(text, sizeof(text), "%s=1", sim_set_name(i));
        assert_true(sim_set_parse(&plan, text, error));
        assert_true(sim_set_get(&plan, i) == 1);
        for (uint32_t j = 0; j < sim_set_count(); j++) {
            const bool follows =
                strcmp(sim_set_name(i), "nodes") == 0 && strcmp(sim_set_name(j), "liars") == 0;
            if (j != i && !follows)
                assert_true(sim_set_get(&plan, j) == sim_set_get(&drawn, j));
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_smallest_plan_has_what_the_failure_needs_and_no_more),
        cmocka_unit_test(a_plan_that_nothing_smaller_fails_stays),
        cmocka_unit_test(a_failing_run_is_replayed_by_its_text),
        cmocka_unit_test(what_is_no_number_of_a_plan_is_named),
        cmocka_unit_test(each_number_is_set_alone),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}

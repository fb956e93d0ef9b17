/*
 * sweep_plan_test.c - what --sweep makes of its texts: the combinations, their names, and what it
 * refuses.
 */
#include "testing.h"

#include "cli/sweep_plan.h"

#include <stdlib.h>
#include <string.h>

static struct option_list list_of(uint32_t count, const char *const *items)
{
    struct option_list list = {.count = count};
    for (uint32_t i = 0; i < count; i++)
        list.items[i] = items[i];
    return list;
}

static enum status parse(uint32_t count, const char *const *sweeps, struct sweep_plan *ret_plan,
                         struct error *err)
{
    const struct option_list list = list_of(count, sweeps);
    const struct option_list sets = {0};
    return sweep_plan_parse(&list, &sets, ret_plan, err);
}

static struct sweep_plan *plan_new(void **state)
{
    *state = malloc(sizeof(struct sweep_plan));
    assert_non_null(*state);
    return *state;
}

static int plan_free(void **state)
{
    free(*state);
    return 0;
}

static void each_value_is_a_setting(void **state)
{
    struct sweep_plan *const plan = plan_new(state);
    struct error err = {0};
    const char *const sweeps[] = {"aggregation.k_threshold=0.5,0.85,1.0"};
    assert_int_equal(parse(1, sweeps, plan, &err), STATUS_OK);
    assert_int_equal(plan->count, 3);
    assert_int_equal(plan->settings[1].count, 1);
    assert_string_equal(plan->settings[0].sets[0], "aggregation.k_threshold=0.5");
    assert_string_equal(plan->settings[1].name, "aggregation.k_threshold=0.85");
    assert_string_equal(plan->settings[2].folder, "aggregation.k_threshold=1.0");
}

static void all_combinations_are_made_the_last_key_fastest(void **state)
{
    struct sweep_plan *const plan = plan_new(state);
    struct error err = {0};
    const char *const sweeps[] = {"aggregation.k_threshold=0.5,1", "train.local_epochs=1,2,3"};
    static const char *const names[] = {
        "aggregation.k_threshold=0.5 train.local_epochs=1",
        "aggregation.k_threshold=0.5 train.local_epochs=2",
        "aggregation.k_threshold=0.5 train.local_epochs=3",
        "aggregation.k_threshold=1 train.local_epochs=1",
        "aggregation.k_threshold=1 train.local_epochs=2",
        "aggregation.k_threshold=1 train.local_epochs=3",
    };
    assert_int_equal(parse(2, sweeps, plan, &err), STATUS_OK);
    assert_int_equal(plan->count, 6);
    for (uint32_t i = 0; i < 6; i++)
        assert_string_equal(plan->settings[i].name, names[i]);
    assert_string_equal(plan->settings[5].sets[0], "aggregation.k_threshold=1");
    assert_string_equal(plan->settings[5].sets[1], "train.local_epochs=3");
}

static void a_comma_in_brackets_is_part_of_the_value(void **state)
{
    struct sweep_plan *const plan = plan_new(state);
    struct error err = {0};
    const char *const sweeps[] = {"model.hidden=[64],[128,64],32"};
    assert_int_equal(parse(1, sweeps, plan, &err), STATUS_OK);
    assert_int_equal(plan->count, 3);
    assert_string_equal(plan->settings[1].sets[0], "model.hidden=[128,64]");
    assert_string_equal(plan->settings[2].sets[0], "model.hidden=32");
}

/* Whatever stands in a value, folders lie in the sweep's folder, and no two are one. */
static void folders_are_names_without_slashes_and_differ(void **state)
{
    struct sweep_plan *const plan = plan_new(state);
    struct error err = {0};
    const char *const sweeps[] = {"model.path=../../a,_/_/a,%2F"};
    assert_int_equal(parse(1, sweeps, plan, &err), STATUS_OK);
    assert_string_equal(plan->settings[0].folder, "model.path=..%2F..%2Fa");
    assert_string_equal(plan->settings[1].folder, "model.path=_%2F_%2Fa");
    assert_string_equal(plan->settings[2].folder, "model.path=%252F");
}

static void without_a_sweep_there_is_the_setting_as_configured(void **state)
{
    struct sweep_plan *const plan = plan_new(state);
    struct error err = {0};
    assert_int_equal(parse(0, nullptr, plan, &err), STATUS_OK);
    assert_int_equal(plan->count, 1);
    assert_int_equal(plan->settings[0].count, 0);
    assert_string_equal(plan->settings[0].name, "as configured");
    assert_string_equal(plan->settings[0].folder, "as-configured");
}

static void expect_refusal(void **state, const char *sweep, enum status status, const char *said)
{
    struct sweep_plan *const plan = plan_new(state);
    struct error err = {0};
    assert_int_equal(parse(1, &sweep, plan, &err), status);
    if (strstr(err.text, said) == nullptr)
        fail_msg("%s: \"%s\" does not say \"%s\"", sweep, err.text, said);
    plan_free(state);
    *state = nullptr;
}

static void mistakes_are_named(void **state)
{
    expect_refusal(state, "aggregation.k_threshold", STATUS_INVAL, "has no =");
    expect_refusal(state, "aggregation.k_treshold=1", STATUS_INVAL,
                   "did you mean aggregation.k_threshold?");
    expect_refusal(state, "weather=1", STATUS_INVAL, "no such key");
    expect_refusal(state, "aggregation=1", STATUS_INVAL, "no such key");
    expect_refusal(state, "aggregation.k_threshold=", STATUS_INVAL, "has no values");
    expect_refusal(state, "aggregation.k_threshold=0.5,,1", STATUS_INVAL, "has an empty value");
    expect_refusal(state, "aggregation.k_threshold=0.5,", STATUS_INVAL, "has an empty value");
    expect_refusal(state, "aggregation.k_threshold=0.5,1,0.5", STATUS_INVAL,
                   "the value 0.5 is there twice");
    expect_refusal(state, "job.seed=1,2", STATUS_INVAL, "--repeat");
}

static void a_key_is_given_once(void **state)
{
    struct sweep_plan *const plan = plan_new(state);
    struct error err = {0};
    const char *const twice[] = {"train.momentum=0,0.5", "train.momentum=0.9"};
    const char *const both[] = {"train.momentum=0.9", "train.momentum=0"};
    assert_int_equal(parse(2, twice, plan, &err), STATUS_INVAL);
    assert_non_null(strstr(err.text, "train.momentum: is swept twice"));
    const struct option_list sweeps = list_of(1, both);
    const struct option_list sets = list_of(1, both + 1);
    assert_int_equal(sweep_plan_parse(&sweeps, &sets, plan, &err), STATUS_INVAL);
    assert_non_null(strstr(err.text, "train.momentum: --set gives that key too"));
    /* A key that only begins alike is another. */
    const char *const alike[] = {"aggregation.staleness=constant,hinge",
                                 "aggregation.staleness_exponent=1"};
    const struct option_list other = list_of(1, alike + 1);
    const struct option_list begun = list_of(1, alike);
    assert_int_equal(sweep_plan_parse(&begun, &other, plan, &err), STATUS_OK);
}

/* "key=1,2,...,count" */
static char *numbers(const char *key, uint32_t count)
{
    char *text = nullptr;
    size_t size = 0;
    FILE *const file = open_memstream(&text, &size);
    assert_non_null(file);
    fprintf(file, "%s=", key);
    for (uint32_t i = 1; i <= count; i++)
        fprintf(file, "%s%u", i > 1 ? "," : "", i);
    fclose(file);
    return text;
}

static void there_are_at_most_so_many_combinations(void **state)
{
    struct sweep_plan *const plan = plan_new(state);
    struct error err = {0};
    char *const most = numbers("train.batch_size", SWEEP_SETTINGS_MAX);
    char *const more = numbers("train.batch_size", SWEEP_SETTINGS_MAX + 1);
    char *const half = numbers("train.batch_size", SWEEP_SETTINGS_MAX / 2);
    const char *const combined[] = {half, "train.local_epochs=1,2", "train.momentum=0,0.5"};
    const char *const fitting[] = {most};
    const char *const many[] = {more};
    assert_int_equal(parse(1, fitting, plan, &err), STATUS_OK);
    assert_int_equal(plan->count, SWEEP_SETTINGS_MAX);
    assert_int_equal(parse(1, many, plan, &err), STATUS_LIMIT);
    assert_int_equal(parse(2, combined, plan, &err), STATUS_OK);
    assert_int_equal(plan->count, SWEEP_SETTINGS_MAX);
    assert_int_equal(parse(3, combined, plan, &err), STATUS_LIMIT);
    const char *const one_more[] = {"train.local_epochs=1,2,3,4,5",
                                    "train.batch_size=1,2,3,4,5,6,7,8,9,10,11,12,13"};
    assert_int_equal(parse(2, one_more, plan, &err), STATUS_LIMIT); /* 65 */
    assert_non_null(strstr(err.text, "at most 64"));
    const char *const five[] = {"train.batch_size=1", "train.local_epochs=1", "train.momentum=0",
                                "train.nice=1", "train.cpus_max=1"};
    assert_int_equal(parse(5, five, plan, &err), STATUS_LIMIT);
    assert_non_null(strstr(err.text, "given 5 times, at most 4"));
    free(most);
    free(more);
    free(half);
}

static void what_is_too_long_is_refused(void **state)
{
    struct sweep_plan *const plan = plan_new(state);
    struct error err = {0};
    char text[SWEEP_SET_MAX + 2] = "model.path=";
    memset(text + 11, 'a', sizeof(text) - 12);
    text[sizeof(text) - 1] = 0;
    const char *const sweep[] = {text};
    assert_int_equal(parse(1, sweep, plan, &err), STATUS_LIMIT);
    text[SWEEP_SET_MAX - 1] = 0;
    assert_int_equal(parse(1, sweep, plan, &err), STATUS_OK);
    assert_int_equal(strlen(plan->settings[0].sets[0]), SWEEP_SET_MAX - 1);
    memset(text + 11, '/', SWEEP_SET_MAX - 12);
    assert_int_equal(parse(1, sweep, plan, &err), STATUS_LIMIT);
    assert_non_null(strstr(err.text, "too long for the name of a folder"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(each_value_is_a_setting, plan_free),
        cmocka_unit_test_teardown(all_combinations_are_made_the_last_key_fastest, plan_free),
        cmocka_unit_test_teardown(a_comma_in_brackets_is_part_of_the_value, plan_free),
        cmocka_unit_test_teardown(folders_are_names_without_slashes_and_differ, plan_free),
        cmocka_unit_test_teardown(without_a_sweep_there_is_the_setting_as_configured, plan_free),
        cmocka_unit_test(mistakes_are_named),
        cmocka_unit_test_teardown(a_key_is_given_once, plan_free),
        cmocka_unit_test_teardown(there_are_at_most_so_many_combinations, plan_free),
        cmocka_unit_test_teardown(what_is_too_long_is_refused, plan_free),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}

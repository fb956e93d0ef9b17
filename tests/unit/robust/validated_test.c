/*
 * validated_test.c - the choice among aggregates by their loss.
 *
 * Goal: of the candidates the one with the least loss is taken, smoothed over rounds; what is not
 * finite never is; the filter's suspects are out before.
 * Method: losses that the test makes up, by candidate or by the distance from a vector.
 */
#include "robust/validated.h"

#include "base/random.h"
#include "robust_testing.h"

#include <math.h>

enum { N = 40, D = 50 };

static float rows[N * D];

static int set_up(void **state)
{
    struct random random;
    random_init(&random, 7, 0, 0);
    for (int i = 0; i < N * D; i++)
        rows[i] = (float)(1 + random_normal(&random));
    return 0;
}

/* One a call, in the order of the candidates. */
struct losses {
    double values[VALIDATED_COUNT];
    uint32_t calls;
};

static double loss_of(void *context, const float *aggregate)
{
    struct losses *const losses = context;
    for (int i = 0; i < D; i++)
        assert_true(isfinite(aggregate[i]));
    return losses->values[losses->calls++];
}

static enum status choose(struct validated *state, uint64_t n, validated_loss *loss, void *context,
                          float *values, enum validated_candidate *chosen, size_t *suspects)
{
    double weights[N];
    bool is_selected[N];
    struct suspect found[N];
    const struct strided_rows strided = {rows, D, 1};
    const struct update_matrix matrix = update_matrix_strided(&strided, n, D);
    const struct validated_call call = {
        .matrix = &matrix, .f = n / 4, .threads = 1, .loss = loss, .context = context};
    struct robust_report report = {
        .weights = weights, .is_selected = is_selected, .suspects = found};
    const enum status status = validated_aggregate(state, &call, values, &report, chosen, nullptr);
    if (suspects != nullptr)
        *suspects = report.suspect_count;
    return status;
}

static enum validated_candidate chosen_by(struct validated *state, double mean, double caf,
                                          double nnm, double median)
{
    struct losses losses = {{mean, caf, nnm, median}, 0};
    float values[D];
    enum validated_candidate chosen = VALIDATED_COUNT;
    assert_int_equal(choose(state, N, loss_of, &losses, values, &chosen, nullptr), STATUS_OK);
    assert_int_equal(losses.calls, VALIDATED_COUNT);
    return chosen;
}

static void the_least_loss_is_taken(void **state)
{
    struct validated fresh = {0};
    assert_int_equal(chosen_by(&fresh, 2, 1, 3, 4), VALIDATED_CAF);
    fresh = (struct validated){0};
    assert_int_equal(chosen_by(&fresh, 2, 3, 3, 1), VALIDATED_GEOMETRIC_MEDIAN);
    fresh = (struct validated){0};
    assert_int_equal(chosen_by(&fresh, 2, 2, 2, 2), VALIDATED_MEAN);
}

static void one_round_does_not_overturn_many(void **state)
{
    struct validated memory = {0};
    for (int round = 0; round < 10; round++)
        assert_int_equal(chosen_by(&memory, 1.5, 1, 1.5, 1.5), VALIDATED_CAF);
    assert_int_equal(chosen_by(&memory, 1, 1.2, 1.5, 1.5), VALIDATED_CAF);
    /* 0.5 * 0.8^k falls under what caf has gathered meanwhile. */
    enum validated_candidate chosen = VALIDATED_CAF;
    int rounds = 0;
    for (; chosen == VALIDATED_CAF && rounds < 100; rounds++)
        chosen = chosen_by(&memory, 1, 1.2, 1.5, 1.5);
    assert_int_equal(chosen, VALIDATED_MEAN);
    assert_in_range(rounds, 2, 12);
    /* However bad a round, it counts for 1 at most. */
    memory = (struct validated){0};
    (void)chosen_by(&memory, 1, 1e9, 1e9, 1e9);
    assert_double_equal(memory.excess[VALIDATED_CAF], 0.2, 1e-12);
}

static void what_is_not_finite_is_never_taken(void **state)
{
    struct validated fresh = {0};
    assert_int_equal(chosen_by(&fresh, (double)NAN, (double)INFINITY, 7, 8),
                     VALIDATED_NNM_TRIMMED_MEAN);
    fresh = (struct validated){0};
    (void)chosen_by(&fresh, (double)NAN, (double)NAN, (double)NAN, (double)NAN);
    assert_double_equal(fresh.excess[VALIDATED_MEAN], 0.2, 1e-12);
}

/* Liars far away, whom the filter sees; the mean of the others is as good as it gets. */
static double distance_from_ones(void *context, const float *aggregate)
{
    double squared = 0;
    for (int i = 0; i < D; i++)
        squared += pow((double)aggregate[i] - 1, 2);
    return squared;
}

static void the_filter_goes_first(void **state)
{
    struct validated fresh = {0};
    float values[D];
    size_t suspects = 0;
    enum validated_candidate chosen = VALIDATED_COUNT;
    for (int i = 0; i < 8 * D; i++)
        rows[i] = -300;
    assert_int_equal(choose(&fresh, N, distance_from_ones, nullptr, values, &chosen, &suspects),
                     STATUS_OK);
    assert_int_equal(suspects, 8);
    assert_true(distance_from_ones(nullptr, values) < 5);
    assert_string_equal(validated_candidate_name(VALIDATED_NNM_TRIMMED_MEAN), "nnm+trimmed_mean");
}

static void few_updates_do(void **state)
{
    struct validated fresh = {0};
    float values[D];
    for (uint64_t n = 1; n < 6; n++)
        assert_int_equal(choose(&fresh, n, distance_from_ones, nullptr, values, nullptr, nullptr),
                         STATUS_OK);
}

/* Which candidate is the least is made up; what is made again for it must be the same bits. */
static void each_candidate_is_made_again(void **state)
{
    float last[D] = {0};
    for (int wanted = 0; wanted < VALIDATED_COUNT; wanted++) {
        struct validated fresh = {0};
        struct losses losses = {{9, 9, 9, 9}, 0};
        float first[D];
        float again[D];
        double weights[N];
        bool is_selected[N];
        struct suspect found[N];
        enum validated_candidate chosen = VALIDATED_COUNT;
        losses.values[wanted] = 1;
        assert_int_equal(choose(&fresh, N, loss_of, &losses, first, &chosen, nullptr), STATUS_OK);
        assert_int_equal(chosen, wanted);
        const struct strided_rows strided = {rows, D, 1};
        const struct update_matrix matrix = update_matrix_strided(&strided, N, D);
        const struct validated_call call = {.matrix = &matrix, .f = N / 4, .threads = 2};
        struct robust_report report = {
            .weights = weights, .is_selected = is_selected, .suspects = found};
        assert_int_equal(validated_repeat(chosen, &call, again, &report, nullptr), STATUS_OK);
        assert_memory_equal(first, again, sizeof(first));
        assert_memory_not_equal(first, last, sizeof(first));
        memcpy(last, first, sizeof(last));
    }
}

/* The rule itself on the 32 who are left, with 2 of the 10 liars: 8 were filtered out. */
static void candidates_are_made_of_the_rest_with_the_liars_that_are_left(void **state)
{
    static const char *const rules[VALIDATED_COUNT] = {"mean", "caf f=2", "nnm trimmed_mean f=2",
                                                       "geometric_median"};
    for (int i = 0; i < 8 * D; i++)
        rows[i] = -300;
    for (int i = 0; i < VALIDATED_COUNT; i++) {
        float values[D];
        double weights[N];
        bool is_selected[N];
        struct suspect found[N];
        const struct strided_rows strided = {rows, D, 1};
        const struct update_matrix matrix = update_matrix_strided(&strided, N, D);
        const struct validated_call call = {.matrix = &matrix, .f = N / 4, .threads = 1};
        struct robust_report report = {
            .weights = weights, .is_selected = is_selected, .suspects = found};
        assert_int_equal(
            validated_repeat((enum validated_candidate)i, &call, values, &report, nullptr),
            STATUS_OK);
        struct outcome outcome = run_recipe(rules[i], rows + 8 * D, N - 8, D, 1);
        assert_int_equal(outcome.status, STATUS_OK);
        assert_memory_equal(values, outcome.values, sizeof(values));
        outcome_deinit(&outcome);
    }
}

static void candidates_have_names(void **state)
{
    enum validated_candidate found = VALIDATED_COUNT;
    for (int i = 0; i < VALIDATED_COUNT; i++) {
        assert_true(validated_candidate_find(validated_candidate_name((enum validated_candidate)i),
                                             &found));
        assert_int_equal(found, i);
    }
    assert_false(validated_candidate_find("", &found));
    assert_false(validated_candidate_find("nnm", &found));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(the_least_loss_is_taken, set_up),
        cmocka_unit_test_setup(one_round_does_not_overturn_many, set_up),
        cmocka_unit_test_setup(what_is_not_finite_is_never_taken, set_up),
        cmocka_unit_test_setup(the_filter_goes_first, set_up),
        cmocka_unit_test_setup(few_updates_do, set_up),
        cmocka_unit_test_setup(each_candidate_is_made_again, set_up),
        cmocka_unit_test_setup(candidates_are_made_of_the_rest_with_the_liars_that_are_left,
                               set_up),
        cmocka_unit_test(candidates_have_names),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}

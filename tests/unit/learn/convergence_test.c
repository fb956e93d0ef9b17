/*
 * convergence_test.c - when a job is finished: each criterion alone and together, and a judge that
 * recomputes everything from all rounds so far, over random jobs.
 */
#include "learn/convergence.h"

#include "base/random.h"

#include "testing.h"

#include <math.h>
#include <string.h>

static struct convergence_settings defaults(void)
{
    return (struct convergence_settings){
        .window_size = 5,
        .patience = 10,
        .divergence_patience = 5,
        .max_rounds = 100,
        .threshold = 0.001,
        .divergence_threshold = 0.1,
        .gradient_threshold = 1e-5,
        .criteria = CONVERGENCE_ALL,
    };
}

static struct convergence started(struct convergence_settings settings)
{
    struct convergence convergence;
    convergence_init(&convergence, &settings);
    return convergence;
}

static struct random random_from(uint64_t seed)
{
    struct random random;
    random_init(&random, seed, 0, 0);
    return random;
}

static enum convergence_verdict loss_and_accuracy(struct convergence *convergence, double loss,
                                                  double accuracy)
{
    const struct convergence_figures figures = {.round = convergence->recorded + 1,
                                                .aggregate_norm = 1,
                                                .loss = loss,
                                                .accuracy = accuracy,
                                                .has_norm = true,
                                                .has_loss = true,
                                                .has_accuracy = true};
    return convergence_record(convergence, &figures);
}

static enum convergence_verdict only_loss(struct convergence *convergence, double loss)
{
    const struct convergence_figures figures = {
        .round = convergence->recorded + 1, .loss = loss, .accuracy = NAN, .has_loss = true};
    return convergence_record(convergence, &figures);
}

static enum convergence_verdict only_accuracy(struct convergence *convergence, double accuracy)
{
    const struct convergence_figures figures = {.round = convergence->recorded + 1,
                                                .loss = NAN,
                                                .accuracy = accuracy,
                                                .has_accuracy = true};
    return convergence_record(convergence, &figures);
}

static enum convergence_verdict only_norm(struct convergence *convergence, double norm)
{
    const struct convergence_figures figures = {
        .round = convergence->recorded + 1, .aggregate_norm = norm, .has_norm = true};
    return convergence_record(convergence, &figures);
}

/* Flat from the first round: the window fills in 6 rounds, then patience counts from that one. */
static void a_plateau_converges_after_window_and_patience(void **state)
{
    struct convergence convergence = started(defaults());
    for (int round = 1; round < 15; round++)
        assert_int_equal(loss_and_accuracy(&convergence, 0.5, 0.8), CONVERGENCE_GOES_ON);
    assert_int_equal(loss_and_accuracy(&convergence, 0.5, 0.8), CONVERGENCE_CONVERGED);
    assert_int_equal(convergence.reason, CONVERGENCE_REASON_PLATEAU);
    assert_int_equal(convergence.recorded, 15);
    assert_int_equal(convergence.best_round, 1);
    assert_int_equal(convergence.verdict, CONVERGENCE_CONVERGED);
}

/* Improvement of exactly the threshold is not enough to go on; a bit more is. Powers of two. */
static void the_threshold_itself_counts_as_no_improvement(void **state)
{
    struct convergence_settings settings = defaults();
    settings.window_size = 1;
    settings.patience = 1;
    settings.threshold = 0.25;
    struct convergence convergence = started(settings);
    assert_int_equal(only_loss(&convergence, 4), CONVERGENCE_GOES_ON);
    assert_int_equal(only_loss(&convergence, nextafter(3, 0)), CONVERGENCE_GOES_ON);
    convergence = started(settings);
    assert_int_equal(only_loss(&convergence, 4), CONVERGENCE_GOES_ON);
    assert_int_equal(only_loss(&convergence, 3), CONVERGENCE_CONVERGED);
    assert_int_equal(convergence.reason, CONVERGENCE_REASON_LOSS);
    convergence = started(settings);
    assert_int_equal(only_accuracy(&convergence, 0.25), CONVERGENCE_GOES_ON);
    assert_int_equal(only_accuracy(&convergence, nextafter(0.5, 1)), CONVERGENCE_GOES_ON);
    assert_int_equal(only_accuracy(&convergence, 0.75), CONVERGENCE_CONVERGED);
    assert_int_equal(convergence.reason, CONVERGENCE_REASON_ACCURACY);
}

/* The loss may be below 0 (a log density): its share is of its magnitude. */
static void a_negative_loss_is_judged_by_its_magnitude(void **state)
{
    struct convergence_settings settings = defaults();
    settings.window_size = 1;
    settings.patience = 1;
    settings.threshold = 0.25;
    settings.divergence_patience = 1;
    settings.divergence_threshold = 0.5;
    struct convergence convergence = started(settings);
    assert_int_equal(only_loss(&convergence, -4), CONVERGENCE_GOES_ON);
    assert_int_equal(only_loss(&convergence, -6), CONVERGENCE_GOES_ON);
    assert_int_equal(only_loss(&convergence, -7), CONVERGENCE_CONVERGED);
    convergence = started(settings);
    assert_int_equal(only_loss(&convergence, -4), CONVERGENCE_GOES_ON);
    assert_int_equal(only_loss(&convergence, -2),
                     CONVERGENCE_CONVERGED); /* at the bound, not over */
    assert_int_equal(only_loss(&convergence, -1.5), CONVERGENCE_DIVERGED);
}

static void under_all_an_improving_accuracy_keeps_a_job_going(void **state)
{
    struct convergence_settings settings = defaults();
    struct convergence all = started(settings);
    settings.criteria = CONVERGENCE_ANY;
    struct convergence any = started(settings);
    for (int round = 1; round < 15; round++) {
        assert_int_equal(loss_and_accuracy(&all, 0.5, 0.01 * round), CONVERGENCE_GOES_ON);
        assert_int_equal(loss_and_accuracy(&any, 0.5, 0.01 * round), CONVERGENCE_GOES_ON);
    }
    assert_int_equal(loss_and_accuracy(&all, 0.5, 0.15), CONVERGENCE_GOES_ON);
    assert_int_equal(loss_and_accuracy(&any, 0.5, 0.15), CONVERGENCE_CONVERGED);
    assert_int_equal(any.reason, CONVERGENCE_REASON_LOSS);
    /* The accuracy stands still from 15 on: 5 rounds until the window says so, then patience. */
    int rounds = 0;
    while (loss_and_accuracy(&all, 0.5, 0.15) == CONVERGENCE_GOES_ON)
        rounds++;
    assert_int_equal(rounds + 1, 5 + 10 - 1);
    assert_int_equal(all.reason, CONVERGENCE_REASON_PLATEAU);
}

static void under_any_the_accuracy_alone_suffices(void **state)
{
    struct convergence_settings settings = defaults();
    settings.criteria = CONVERGENCE_ANY;
    struct convergence convergence = started(settings);
    enum convergence_verdict verdict = CONVERGENCE_GOES_ON;
    double loss = 2;
    while (verdict == CONVERGENCE_GOES_ON)
        verdict = loss_and_accuracy(&convergence, loss *= 0.9, 0.8);
    assert_int_equal(verdict, CONVERGENCE_CONVERGED);
    assert_int_equal(convergence.reason, CONVERGENCE_REASON_ACCURACY);
    assert_int_equal(convergence.recorded, 15);
}

static void under_all_the_only_figure_there_is_decides(void **state)
{
    struct convergence convergence = started(defaults());
    while (only_loss(&convergence, 0.5) == CONVERGENCE_GOES_ON) {
    }
    assert_int_equal(convergence.reason, CONVERGENCE_REASON_LOSS);
    assert_int_equal(convergence.recorded, 15);
    convergence = started(defaults());
    while (only_accuracy(&convergence, 0.5) == CONVERGENCE_GOES_ON) {
    }
    assert_int_equal(convergence.reason, CONVERGENCE_REASON_ACCURACY);
    assert_int_equal(convergence.recorded, 15);
    assert_int_equal(convergence.best_round, 1);
}

/* Where no one validates, only the norm or the last round ends a job. */
static void nothing_known_never_converges(void **state)
{
    struct convergence convergence = started(defaults());
    const struct convergence_figures none = {.round = 1, .loss = 0, .accuracy = 1};
    for (int round = 1; round < 100; round++)
        assert_int_equal(convergence_record(&convergence, &none), CONVERGENCE_GOES_ON);
    assert_int_equal(convergence_record(&convergence, &none), CONVERGENCE_EXHAUSTED);
    assert_int_equal(convergence.reason, CONVERGENCE_REASON_MAX_ROUNDS);
    assert_false(convergence.best_is_last);
    assert_int_equal(convergence.best_round, 0);
}

/* Rounds without a validation between those with one: they neither count nor break a row. */
static void rounds_without_figures_say_nothing(void **state)
{
    struct convergence_settings settings = defaults();
    settings.gradient_threshold = 0;
    struct convergence convergence = started(settings);
    for (int validated = 1; validated < 15; validated++) {
        assert_int_equal(loss_and_accuracy(&convergence, 0.5, 0.8), CONVERGENCE_GOES_ON);
        assert_int_equal(only_norm(&convergence, 1), CONVERGENCE_GOES_ON);
        assert_int_equal(only_norm(&convergence, 0), CONVERGENCE_GOES_ON);
    }
    assert_int_equal(loss_and_accuracy(&convergence, 0.5, 0.8), CONVERGENCE_CONVERGED);
    assert_int_equal(convergence.recorded, 43);
}

static void an_accuracy_that_is_no_number_is_unknown(void **state)
{
    struct convergence convergence = started(defaults());
    assert_int_equal(only_accuracy(&convergence, NAN), CONVERGENCE_GOES_ON);
    assert_int_equal(only_accuracy(&convergence, INFINITY), CONVERGENCE_GOES_ON);
    assert_int_equal(convergence.accuracy_count, 0);
    assert_false(convergence.best_is_last);
}

/* At rates from a crawl to a jump, for as many rounds as it takes: it ends, but never converged. */
static void a_rising_loss_never_converges(void **state)
{
    for (uint32_t criteria = CONVERGENCE_ALL; criteria <= CONVERGENCE_ANY; criteria++)
        for (double growth = 1.06; growth < 3; growth *= 1.05)
            for (int falls = 1; falls < 10; falls++) {
                struct convergence_settings settings = defaults();
                settings.criteria = (enum convergence_criteria)criteria;
                settings.patience = 5;
                struct convergence convergence = started(settings);
                double loss = 1;
                for (int round = 0; round < falls; round++)
                    assert_int_equal(loss_and_accuracy(&convergence, loss *= 0.5, 0.05 * round),
                                     CONVERGENCE_GOES_ON);
                enum convergence_verdict verdict = CONVERGENCE_GOES_ON;
                while (verdict == CONVERGENCE_GOES_ON)
                    verdict = loss_and_accuracy(&convergence, loss *= growth, 0.5);
                assert_int_equal(verdict, CONVERGENCE_DIVERGED);
                assert_int_equal(convergence.reason, CONVERGENCE_REASON_LOSS_ROSE);
                assert_int_equal(convergence.best_round, falls);
            }
}

static void divergence_needs_its_own_patience_in_a_row(void **state)
{
    struct convergence convergence = started(defaults());
    assert_int_equal(only_loss(&convergence, 1), CONVERGENCE_GOES_ON);
    for (int round = 0; round < 4; round++)
        assert_int_equal(only_loss(&convergence, 2), CONVERGENCE_GOES_ON);
    assert_int_equal(only_loss(&convergence, 1.05), CONVERGENCE_GOES_ON); /* within 10 % */
    for (int round = 0; round < 4; round++)
        assert_int_equal(only_loss(&convergence, 1.11), CONVERGENCE_GOES_ON);
    assert_int_equal(only_loss(&convergence, 1.11), CONVERGENCE_DIVERGED);
    assert_int_equal(convergence.reason, CONVERGENCE_REASON_LOSS_ROSE);
}

/* One round with a risen loss starts the patience of every criterion anew. */
static void a_risen_loss_breaks_the_row_of_both_criteria(void **state)
{
    struct convergence convergence = started(defaults());
    for (int round = 1; round < 15; round++)
        assert_int_equal(loss_and_accuracy(&convergence, 0.5, 0.8), CONVERGENCE_GOES_ON);
    assert_int_equal(loss_and_accuracy(&convergence, 0.9, 0.8), CONVERGENCE_GOES_ON);
    assert_int_equal(convergence.loss_plateau, 0);
    assert_int_equal(convergence.accuracy_plateau, 0);
    assert_int_equal(convergence.both_plateau, 0);
    for (int round = 1; round < 10; round++)
        assert_int_equal(loss_and_accuracy(&convergence, 0.5, 0.8), CONVERGENCE_GOES_ON);
    assert_int_equal(loss_and_accuracy(&convergence, 0.5, 0.8), CONVERGENCE_CONVERGED);
}

static void a_loss_that_is_no_number_diverges_at_once(void **state)
{
    const double wrong[] = {NAN, INFINITY, -INFINITY};
    for (int i = 0; i < 3; i++)
        for (int before = 0; before < 20; before++) {
            struct convergence_settings settings = defaults();
            settings.max_rounds = 20;
            settings.gradient_threshold = 10; /* the norm of 1 is under it */
            settings.min_rounds = 20;
            struct convergence convergence = started(settings);
            for (int round = 0; round < before; round++)
                loss_and_accuracy(&convergence, 0.5, 0.8);
            const double best = convergence.best_loss;
            assert_int_equal(loss_and_accuracy(&convergence, wrong[i], 0.8), CONVERGENCE_DIVERGED);
            assert_int_equal(convergence.reason, CONVERGENCE_REASON_NON_FINITE);
            assert_true(convergence.best_loss == best);
            assert_int_equal(convergence.loss_plateau + convergence.both_plateau, 0);
        }
}

static void a_small_update_alone_suffices_from_min_rounds_on(void **state)
{
    struct convergence_settings settings = defaults();
    settings.min_rounds = 3;
    struct convergence convergence = started(settings);
    assert_int_equal(only_norm(&convergence, 0), CONVERGENCE_GOES_ON);
    assert_int_equal(only_norm(&convergence, 0), CONVERGENCE_GOES_ON);
    assert_int_equal(only_norm(&convergence, 1e-5), CONVERGENCE_GOES_ON); /* at it, not under */
    assert_int_equal(only_norm(&convergence, NAN), CONVERGENCE_GOES_ON);
    assert_int_equal(only_norm(&convergence, 0.99e-5), CONVERGENCE_CONVERGED);
    assert_int_equal(convergence.reason, CONVERGENCE_REASON_GRADIENT);
    const struct convergence_figures figures = {.round = 6, .aggregate_norm = 0};
    assert_int_equal(convergence_record(&convergence, &figures), CONVERGENCE_GOES_ON);
}

static void no_convergence_before_min_rounds_but_divergence(void **state)
{
    struct convergence_settings settings = defaults();
    settings.min_rounds = 30;
    struct convergence convergence = started(settings);
    for (int round = 1; round < 30; round++)
        assert_int_equal(loss_and_accuracy(&convergence, 0.5, 0.8), CONVERGENCE_GOES_ON);
    assert_int_equal(loss_and_accuracy(&convergence, 0.5, 0.8), CONVERGENCE_CONVERGED);
    convergence = started(settings);
    assert_int_equal(only_loss(&convergence, 0.5), CONVERGENCE_GOES_ON);
    for (int round = 1; round < 5; round++)
        assert_int_equal(only_loss(&convergence, 0.9), CONVERGENCE_GOES_ON);
    assert_int_equal(only_loss(&convergence, 0.9), CONVERGENCE_DIVERGED);
}

/* In the round in which a job would be exhausted, what else is true of it is said. */
static void the_last_round_says_the_better_reason(void **state)
{
    struct convergence_settings settings = defaults();
    settings.max_rounds = 15;
    struct convergence convergence = started(settings);
    for (int round = 1; round < 15; round++)
        assert_int_equal(loss_and_accuracy(&convergence, 0.5, 0.8), CONVERGENCE_GOES_ON);
    struct convergence rising = convergence;
    struct convergence small = convergence;
    assert_int_equal(loss_and_accuracy(&convergence, 0.5, 0.8), CONVERGENCE_CONVERGED);
    assert_int_equal(loss_and_accuracy(&rising, 0.9, 0.8), CONVERGENCE_EXHAUSTED);
    assert_int_equal(only_norm(&small, 0), CONVERGENCE_CONVERGED);
    assert_int_equal(small.reason, CONVERGENCE_REASON_GRADIENT);
}

static void the_best_is_that_of_the_loss_where_one_is_known(void **state)
{
    struct convergence convergence = started(defaults());
    only_accuracy(&convergence, 0.9);
    assert_true(convergence.best_is_last);
    assert_int_equal(convergence.best_round, 1);
    only_accuracy(&convergence, 0.9); /* of equal ones the first */
    assert_false(convergence.best_is_last);
    loss_and_accuracy(&convergence, 2, 0.1);
    assert_true(convergence.best_is_last);
    assert_int_equal(convergence.best_round, 3);
    loss_and_accuracy(&convergence, 3, 0.95);
    assert_false(convergence.best_is_last);
    assert_int_equal(convergence.best_round, 3);
    assert_true(convergence.best_accuracy == 0.95);
    only_norm(&convergence, 1);
    assert_false(convergence.best_is_last);
    loss_and_accuracy(&convergence, 1.5, 0.2);
    assert_true(convergence.best_is_last);
    assert_int_equal(convergence.best_round, 6);
}

/*
 * Goal: the noise of a federation (it selects other nodes each round) is no plateau under ALL, as
 * long as the best so far still improves. Method: a loss that falls as 2 / sqrt(round) and the
 * accuracy with it, both with noise of several thresholds, over 80 rounds and many seeds.
 */
static void noise_of_a_federation_does_not_stop_it_under_all(void **state)
{
    for (uint64_t seed = 1; seed <= 200; seed++) {
        struct random random = random_from(seed);
        struct convergence convergence = started(defaults());
        for (int round = 1; round <= 80; round++) {
            const double noise = random_unit(&random) - 0.5;
            const double loss = 2 / sqrt(round) * (1 + 0.1 * noise);
            const double accuracy = 1 - 0.6 / sqrt(round) - 0.01 * noise;
            if (loss_and_accuracy(&convergence, loss, accuracy) != CONVERGENCE_GOES_ON)
                fail_msg("seed %llu: %s in round %d", (unsigned long long)seed,
                         convergence_reason_text(convergence.reason), round);
        }
    }
}

enum { JUDGE_ROUNDS = 60 };

/* The judge: all rounds so far, nothing kept between them. */
struct judge {
    struct convergence_settings settings;
    struct convergence_figures rounds[JUDGE_ROUNDS];
    int count;
};

static double judge_best(const struct judge *judge, int end, bool of_loss, int *ret_known)
{
    double best = INFINITY;
    *ret_known = 0;
    for (int i = 0; i < end; i++) {
        const struct convergence_figures *const figures = &judge->rounds[i];
        if (!(of_loss ? figures->has_loss : figures->has_accuracy) ||
            !isfinite(of_loss ? figures->loss : figures->accuracy))
            continue;
        (*ret_known)++;
        best = fmin(best, of_loss ? figures->loss : -figures->accuracy);
    }
    return best;
}

/* Whether round i's loss is over the best of the rounds before it by more than allowed. */
static bool judge_risen(const struct judge *judge, int i)
{
    if (!judge->rounds[i].has_loss)
        return false;
    int known = 0;
    const double best = judge_best(judge, i, true, &known);
    const double loss = judge->rounds[i].loss;
    return !isfinite(loss) ||
           (known > 0 && loss > best + judge->settings.divergence_threshold * fabs(best));
}

/* Whether a criterion holds in round i. */
static bool judge_holds(const struct judge *judge, int i, bool of_loss)
{
    if (judge_risen(judge, i))
        return false;
    int known = 0;
    const double now = judge_best(judge, i + 1, of_loss, &known);
    if (known <= (int)judge->settings.window_size)
        return false;
    const int wanted = known - (int)judge->settings.window_size;
    int end = 0;
    double then = INFINITY;
    do
        then = judge_best(judge, ++end, of_loss, &known);
    while (known < wanted);
    return then - now <= judge->settings.threshold * (of_loss ? fabs(then) : 1);
}

/* Rounds in a row at the end; a round that says nothing is passed over. */
static int judge_row(const struct judge *judge, bool loss, bool accuracy)
{
    int row = 0;
    for (int i = judge->count - 1; i >= 0; i--) {
        const struct convergence_figures *const figures = &judge->rounds[i];
        const bool has_accuracy = figures->has_accuracy && isfinite(figures->accuracy);
        if (accuracy && judge_risen(judge, i))
            break;
        if ((loss && figures->has_loss && !judge_holds(judge, i, true)) ||
            (accuracy && has_accuracy && !judge_holds(judge, i, false)))
            break;
        row += (!loss || figures->has_loss) && (!accuracy || has_accuracy);
    }
    return row;
}

static enum convergence_reason judge_reason(const struct judge *judge)
{
    const struct convergence_settings *const settings = &judge->settings;
    const struct convergence_figures *const last = &judge->rounds[judge->count - 1];
    if (last->has_loss && !isfinite(last->loss))
        return CONVERGENCE_REASON_NON_FINITE;
    int losses = 0;
    int accuracies = 0;
    judge_best(judge, judge->count, true, &losses);
    judge_best(judge, judge->count, false, &accuracies);
    const int patience = (int)settings->patience;
    if (judge->count >= (int)settings->min_rounds) {
        if (last->has_norm && last->aggregate_norm < settings->gradient_threshold)
            return CONVERGENCE_REASON_GRADIENT;
        const bool both = settings->criteria == CONVERGENCE_ALL && losses > 0 && accuracies > 0;
        if (both && judge_row(judge, true, true) >= patience)
            return CONVERGENCE_REASON_PLATEAU;
        if (!both && losses > 0 && judge_row(judge, true, false) >= patience)
            return CONVERGENCE_REASON_LOSS;
        if (!both && accuracies > 0 && judge_row(judge, false, true) >= patience)
            return CONVERGENCE_REASON_ACCURACY;
    }
    int risen = 0;
    for (int i = judge->count - 1; i >= 0; i--) {
        if (judge->rounds[i].has_loss && !judge_risen(judge, i))
            break;
        risen += judge->rounds[i].has_loss;
    }
    if (risen >= (int)settings->divergence_patience)
        return CONVERGENCE_REASON_LOSS_ROSE;
    return judge->count >= (int)settings->max_rounds ? CONVERGENCE_REASON_MAX_ROUNDS
                                                     : CONVERGENCE_REASON_NONE;
}

/* Few distinct values, so that ties, plateaus and rises are frequent. */
static struct convergence_figures random_figures(struct random *random, uint64_t round)
{
    static const double losses[] = {4, 3.75, 3, 2.5, 2, 2, 1.5, 1.25, 1, 1, NAN, INFINITY};
    const uint64_t loss = random_below(random, 200);
    return (struct convergence_figures){
        .round = round,
        .aggregate_norm = random_below(random, 60) == 0 ? 0.5 : 2,
        .loss = loss < 2 ? losses[10 + loss] : losses[random_below(random, 10)],
        .accuracy = random_below(random, 40) == 0 ? NAN : (double)random_below(random, 5) / 8,
        .has_norm = random_below(random, 3) > 0,
        .has_loss = random_below(random, 8) > 0,
        .has_accuracy = random_below(random, 8) > 0,
    };
}

static void verdicts_are_those_of_a_judge_who_sees_all_rounds(void **state)
{
    int seen[CONVERGENCE_REASON_MAX_ROUNDS + 1] = {0};
    for (uint64_t seed = 1; seed <= 1000; seed++) {
        struct random random = random_from(seed);
        const uint64_t knows = random_below(&random, 4); /* 0: only losses, 1: only accuracies */
        struct judge judge = {
            .settings = {.window_size = 1 + (uint32_t)random_below(&random, 5),
                         .patience = 1 + (uint32_t)random_below(&random, 5),
                         .divergence_patience = 1 + (uint32_t)random_below(&random, 4),
                         .min_rounds = random_below(&random, 20),
                         .max_rounds = 40 + random_below(&random, 40),
                         .threshold = random_below(&random, 2) > 0 ? 0.125 : 0,
                         .divergence_threshold = 0.5 + (double)random_below(&random, 3),
                         .gradient_threshold = 1,
                         .criteria = (enum convergence_criteria)random_below(&random, 2)}};
        struct convergence convergence = started(judge.settings);
        while (judge.count < JUDGE_ROUNDS) {
            struct convergence_figures figures = random_figures(&random, (uint64_t)judge.count + 1);
            figures.has_loss = figures.has_loss && knows != 1;
            figures.has_accuracy = figures.has_accuracy && knows != 0;
            judge.rounds[judge.count++] = figures;
            convergence_record(&convergence, &figures);
            if (convergence.reason != judge_reason(&judge))
                fail_msg("seed %llu, round %d: %s; the judge says: %s", (unsigned long long)seed,
                         judge.count, convergence_reason_text(convergence.reason),
                         convergence_reason_text(judge_reason(&judge)));
            assert_int_equal(convergence.verdict, convergence_verdict_of(convergence.reason));
            seen[convergence.reason]++;
        }
    }
    for (int reason = 0; reason <= CONVERGENCE_REASON_MAX_ROUNDS; reason++)
        assert_true(seen[reason] > 100); /* else this shows nothing */
}

static void every_reason_has_its_text_and_verdict(void **state)
{
    for (int reason = 0; reason <= CONVERGENCE_REASON_MAX_ROUNDS; reason++) {
        const char *const text = convergence_reason_text((enum convergence_reason)reason);
        assert_true(strlen(text) > 10);
        for (int other = 0; other < reason; other++)
            assert_string_not_equal(text, convergence_reason_text((enum convergence_reason)other));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_plateau_converges_after_window_and_patience),
        cmocka_unit_test(the_threshold_itself_counts_as_no_improvement),
        cmocka_unit_test(a_negative_loss_is_judged_by_its_magnitude),
        cmocka_unit_test(under_all_an_improving_accuracy_keeps_a_job_going),
        cmocka_unit_test(under_any_the_accuracy_alone_suffices),
        cmocka_unit_test(under_all_the_only_figure_there_is_decides),
        cmocka_unit_test(nothing_known_never_converges),
        cmocka_unit_test(rounds_without_figures_say_nothing),
        cmocka_unit_test(an_accuracy_that_is_no_number_is_unknown),
        cmocka_unit_test(a_rising_loss_never_converges),
        cmocka_unit_test(divergence_needs_its_own_patience_in_a_row),
        cmocka_unit_test(a_risen_loss_breaks_the_row_of_both_criteria),
        cmocka_unit_test(a_loss_that_is_no_number_diverges_at_once),
        cmocka_unit_test(a_small_update_alone_suffices_from_min_rounds_on),
        cmocka_unit_test(no_convergence_before_min_rounds_but_divergence),
        cmocka_unit_test(the_last_round_says_the_better_reason),
        cmocka_unit_test(the_best_is_that_of_the_loss_where_one_is_known),
        cmocka_unit_test(noise_of_a_federation_does_not_stop_it_under_all),
        cmocka_unit_test(verdicts_are_those_of_a_judge_who_sees_all_rounds),
        cmocka_unit_test(every_reason_has_its_text_and_verdict),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}

/*
 * coordinator_judge_test.c - what follows from the figures of a round: the job goes on, has
 * converged, is exhausted, or diverged and goes back to its best version.
 *
 * Not here: how figures are judged (learn/convergence_test.c), how a job ends otherwise
 * (coordinator_end_test.c).
 */
#include "coordinator_driver.h"

#include "testing.h"

#include <math.h>

/* Validated centrally; diverged after two rounds with a risen loss. */
static struct coordinator_settings judged(void)
{
    struct coordinator_settings settings = defaults();
    settings.validate = true;
    settings.rounds_max = 100;
    settings.convergence.divergence_patience = 2;
    settings.convergence.min_rounds = 1;
    return settings;
}

static void report(void)
{
    offer_and_fold("a", 1);
    offer_and_fold("b", 2);
}

/* The open round's set is aggregated and validated with that loss; what follows is in fx. */
static void measure(double loss)
{
    report();
    complete(FX_CLOSE, (struct coordinator_event){
                           .kind = EV_CLOSED, .aggregate_norm = 1, .version = version(c.round)});
    complete(FX_VALIDATE, (struct coordinator_event){
                              .kind = EV_VALIDATED, .validated = {.loss = loss, .has_loss = true}});
}

static void commit(uint64_t number)
{
    complete(FX_COMMIT,
             (struct coordinator_event){.kind = EV_COMMITTED, .version = version(number)});
}

/* A whole round with that loss, after which the job goes on. */
static void go_through(double loss)
{
    measure(loss);
    assert_int_equal(must(FX_COMMIT)->outcome, OUTCOME_NONE);
    assert_false(must(FX_COMMIT)->undone);
    commit(c.round);
}

static void end_as(enum outcome outcome)
{
    assert_int_equal(must(FX_PERSIST_OUTCOME)->outcome, outcome);
    assert_int_equal(c.phase, COORDINATOR_ENDING);
    complete(FX_PERSIST_OUTCOME, (struct coordinator_event){.kind = EV_OUTCOME_PERSISTED});
    assert_int_equal(must(FX_FINISH)->outcome, outcome);
}

static void a_small_enough_update_converges_in_the_commit_of_its_round(void **state)
{
    struct coordinator_settings settings = judged();
    settings.validate = false;
    settings.convergence.gradient_threshold = 0.5;
    settings.convergence.min_rounds = 2;
    boot(settings);
    for (int round = 1; round <= 2; round++) {
        report();
        complete(FX_CLOSE, (struct coordinator_event){.kind = EV_CLOSED,
                                                      .aggregate_norm = 0.4,
                                                      .version = version((uint64_t)round)});
        assert_null(effect(FX_VALIDATE));
        assert_true(c.aggregate_norm == 0.4);
        assert_int_equal(must(FX_COMMIT)->outcome, round == 1 ? OUTCOME_NONE : OUTCOME_CONVERGED);
        commit((uint64_t)round);
    }
    assert_int_equal(must(FX_FINISH)->outcome, OUTCOME_CONVERGED);
    assert_int_equal(member_of("a")->settlement, SETTLE_COUNTED);
    assert_int_equal(must(FX_FINISH)->version.number, 2);
    assert_null(effect(FX_ANNOUNCE));
}

static void a_loss_that_stopped_falling_converges(void **state)
{
    struct coordinator_settings settings = judged();
    settings.convergence.window_size = 2;
    settings.convergence.patience = 2;
    boot(settings);
    go_through(2);
    go_through(1);
    go_through(1); /* 2 -> 1 over the window */
    go_through(1); /* the first without improvement */
    measure(1);
    assert_int_equal(must(FX_COMMIT)->outcome, OUTCOME_CONVERGED);
    assert_int_equal(c.convergence.reason, CONVERGENCE_REASON_LOSS);
}

static void the_last_round_is_exhausted_unless_it_converged(void **state)
{
    struct coordinator_settings settings = judged();
    settings.rounds_max = 2;
    boot(settings);
    go_through(2);
    measure(1);
    assert_int_equal(must(FX_COMMIT)->outcome, OUTCOME_EXHAUSTED);
    settings.convergence.gradient_threshold = 2;
    settings.convergence.min_rounds = 2;
    boot(settings);
    go_through(2);
    measure(1);
    assert_int_equal(must(FX_COMMIT)->outcome, OUTCOME_CONVERGED);
}

static void the_figures_of_a_round_are_its_own(void **state)
{
    boot(judged());
    report();
    complete(FX_CLOSE, (struct coordinator_event){
                           .kind = EV_CLOSED, .aggregate_norm = 0.25, .version = version(1)});
    complete(
        FX_VALIDATE,
        (struct coordinator_event){
            .kind = EV_VALIDATED,
            .validated = {.loss = 0.5, .accuracy = 0.75, .has_loss = true, .has_accuracy = true}});
    assert_true(c.measured && c.measured_accuracy);
    assert_true(c.validation_loss == 0.5 && c.validation_accuracy == 0.75);
    assert_true(c.convergence.best_loss == 0.5 && c.convergence.best_accuracy == 0.75);
    assert_int_equal(c.convergence.best_round, 1);
    commit(1);
    /* Nobody reports anything the next time: nothing is said of it. */
    report();
    complete(FX_CLOSE, (struct coordinator_event){
                           .kind = EV_CLOSED, .aggregate_norm = 1, .version = version(2)});
    assert_false(c.measured || c.measured_accuracy);
    complete(FX_VALIDATE,
             (struct coordinator_event){.kind = EV_VALIDATED, .validated = {.loss = NAN}});
    assert_false(c.measured);
    assert_int_equal(must(FX_COMMIT)->outcome, OUTCOME_NONE);
    assert_int_equal(c.convergence.recorded, 2);
    assert_int_equal(c.convergence.best_round, 1);
}

static void a_risen_loss_goes_back_to_the_best_version(void **state)
{
    boot(judged());
    go_through(1);
    go_through(0.5);
    go_through(2);
    measure(2);
    assert_int_equal(c.phase, COORDINATOR_RESTORING);
    assert_int_equal(must(FX_RESTORE)->round, 2);
    assert_null(effect(FX_COMMIT));
    const struct update_info info = update("a", 1);
    assert_int_equal(coordinator_screen(&c, &info), REASON_UNSPECIFIED); /* it is in the set */
    join("e", 9);
    assert_null(effect(FX_SEND_BEACON));
    fx = (struct coordinator_effects){.count = 1,
                                      .items = {{.kind = FX_RESTORE, .id = c.pending_id}}};
    complete(FX_RESTORE, (struct coordinator_event){.kind = EV_RESTORED, .version = version(2)});
    assert_int_equal(must(FX_COMMIT)->outcome, OUTCOME_DIVERGED);
    assert_true(must(FX_COMMIT)->undone);
    assert_int_equal(must(FX_COMMIT)->round, 4);
    const struct version_ref restored = version(2);
    assert_true(digest_equal(&c.candidate.model_digest, &restored.model_digest));
    assert_null(effect(FX_SETTLE)); /* not before it is durable */
    commit(4);
    const struct member *const a = member_of("a");
    assert_int_equal(a->settlement, SETTLE_DROPPED);
    assert_int_equal(a->settlement_reason, REASON_SUPERSEDED);
    assert_int_equal(a->held.round, 4);
    assert_true(digest_equal(&a->held.payload_digest, &a->key.payload_digest));
    assert_int_equal(a->counted_round, 3);
    assert_false(a->contributed);
    assert_true(must(FX_SETTLE) < must(FX_FINISH));
    assert_int_equal(must(FX_FINISH)->outcome, OUTCOME_DIVERGED);
    assert_int_equal(must(FX_FINISH)->version.number, 4);
    for (uint32_t i = 0; i < fx.traces.count; i++) {
        if (fx.traces.items[i].kind == TRACE_COMMITTED)
            assert_int_equal(fx.traces.items[i].b, 0);
    }
    assert_non_null(effect(FX_RELEASE_WAITING));
    /* Who was away hears so from the store. */
    join_holding("b", 10, 4);
    assert_non_null(effect(FX_RECALL));
    assert_null(effect(FX_SEND_FINISHED));
    answer_recall(0);
    assert_non_null(effect(FX_SEND_DROPPED));
    assert_non_null(effect(FX_SEND_FINISHED));
}

static void what_is_held_or_waits_in_a_round_that_is_undone_is_not_counted(void **state)
{
    for (int late = LATE_DISCARD; late <= LATE_NEXT_ROUND; late++) {
        struct coordinator_settings settings = judged();
        settings.late = late;
        settings.k_threshold = 0.6;
        settings.start_nodes = 3;
        boot_with(settings);
        join("a", 1);
        join("b", 2);
        join("d", 3);
        go_through(1);
        c.convergence.risen = 0;
        go_through(3);
        const struct update_info info = update("d", 9);
        measure(3);
        assert_non_null(effect(FX_RESTORE));
        const struct coordinator_effects restoring = fx;
        join_holding("e", 5, 3);
        assert_null(effect(FX_SEND_OFFER));
        offer(&info);
        fx = restoring;
        complete(FX_RESTORE,
                 (struct coordinator_event){.kind = EV_RESTORED, .version = version(1)});
        commit(3);
        assert_int_equal(member_of("d")->settlement, SETTLE_NOTHING);
        assert_int_equal(member_of("e")->settlement, SETTLE_DROPPED);
        assert_int_equal(member_of("e")->settlement_reason, REASON_ROUND_CLOSED);
        assert_non_null(effect(FX_RELEASE_WAITING));
        assert_null(effect(FX_FOLD_WAITING));
        assert_int_equal(coordinator_screen(&c, &info), REASON_JOB_ENDED);
    }
}

static void a_best_version_that_is_the_last_stays(void **state)
{
    static const double bad[] = {NAN, INFINITY, -INFINITY};
    for (size_t i = 0; i < 4; i++) {
        boot(judged());
        go_through(1);
        go_through(0.5);
        if (i == 3) {
            report();
            complete(FX_CLOSE, (struct coordinator_event){
                                   .kind = EV_CLOSED, .status = STATUS_PEER, .aggregate_norm = 7});
            assert_true(c.measured && isinf(c.validation_loss));
        } else {
            measure(bad[i]);
        }
        assert_null(effect(FX_RESTORE));
        assert_null(effect(FX_COMMIT));
        end_as(OUTCOME_DIVERGED);
        assert_int_equal(must(FX_FINISH)->version.number, 2);
        assert_null(effect(FX_SETTLE));
    }
}

static void a_model_that_is_not_finite_goes_back_further_where_the_last_was_worse(void **state)
{
    boot(judged());
    go_through(1);
    go_through(1.2);
    report();
    complete(FX_CLOSE, (struct coordinator_event){.kind = EV_CLOSED, .status = STATUS_PEER});
    assert_int_equal(must(FX_RESTORE)->round, 1);
}

static void where_nothing_was_recorded_the_last_version_stays(void **state)
{
    boot(judged());
    measure(NAN);
    assert_null(effect(FX_RESTORE));
    end_as(OUTCOME_DIVERGED);
    assert_int_equal(must(FX_FINISH)->version.number, 0);
    /* Nor is an accuracy without a loss a best version to go back to. */
    boot(judged());
    for (int round = 1; round <= 2; round++) {
        report();
        complete(FX_CLOSE, (struct coordinator_event){.kind = EV_CLOSED,
                                                      .aggregate_norm = 1,
                                                      .version = version((uint64_t)round)});
        complete(FX_VALIDATE, (struct coordinator_event){
                                  .kind = EV_VALIDATED,
                                  .validated = {.accuracy = 1.0 / round, .has_accuracy = true}});
        commit((uint64_t)round);
    }
    measure(INFINITY);
    assert_null(effect(FX_RESTORE));
    end_as(OUTCOME_DIVERGED);
}

static void figures_that_nodes_report_are_of_the_version_before(void **state)
{
    struct coordinator_settings settings = judged();
    settings.validates_received = true;
    boot(settings);
    go_through(1); /* of version 0, the first model */
    assert_int_equal(c.convergence.best_round, 0);
    go_through(0.5); /* of version 1 */
    assert_int_equal(c.convergence.best_round, 1);
    measure(NAN); /* of version 2, the last one */
    assert_int_equal(must(FX_RESTORE)->round, 1);
    /* The first model may be the best. */
    boot(settings);
    go_through(1);
    measure(NAN);
    assert_int_equal(must(FX_RESTORE)->round, 0);
    complete(FX_RESTORE, (struct coordinator_event){.kind = EV_RESTORED, .version = version(0)});
    assert_true(must(FX_COMMIT)->undone);
    commit(2);
    /* Where it is the last one, there is nothing to go back to. */
    boot(settings);
    measure(NAN);
    end_as(OUTCOME_DIVERGED);
    /* So it is with the best of all rounds. */
    boot(settings);
    go_through(1);
    go_through(0.5);
    report();
    complete(FX_CLOSE, (struct coordinator_event){.kind = EV_CLOSED, .status = STATUS_PEER});
    assert_int_equal(must(FX_RESTORE)->round, 1);
}

/* The host keeps the model of the best version, whatever retention takes. */
static void a_commit_says_which_version_is_the_best(void **state)
{
    struct coordinator_settings settings = judged();
    settings.convergence.divergence_patience = 100;
    for (int received = 0; received < 2; received++) {
        settings.validates_received = received != 0;
        boot(settings);
        assert_int_equal(must(FX_ANNOUNCE)->best, BEST_AS_BEFORE);
        measure(1);
        assert_int_equal(must(FX_COMMIT)->best, received != 0 ? BEST_PARENT : BEST_THIS);
        commit(1);
        measure(2);
        assert_int_equal(must(FX_COMMIT)->best, BEST_AS_BEFORE);
        commit(2);
        measure(2);
        assert_int_equal(must(FX_COMMIT)->best, BEST_AS_BEFORE);
        commit(3);
        measure(NAN); /* undone: the best once more */
        complete(FX_RESTORE,
                 (struct coordinator_event){.kind = EV_RESTORED, .version = version(1)});
        assert_int_equal(must(FX_COMMIT)->best, BEST_THIS);
    }
}

static void a_version_that_cannot_be_restored_leaves_the_last(void **state)
{
    boot(judged());
    go_through(0.5);
    go_through(2);
    measure(2);
    complete(FX_RESTORE,
             (struct coordinator_event){.kind = EV_RESTORED, .status = STATUS_NOT_FOUND});
    assert_null(effect(FX_COMMIT));
    end_as(OUTCOME_DIVERGED);
    assert_int_equal(must(FX_FINISH)->version.number, 2);
    static const enum status faults[] = {STATUS_IO, STATUS_CORRUPT, STATUS_NO_MEMORY};
    for (size_t i = 0; i < 3; i++) {
        boot(judged());
        go_through(0.5);
        go_through(2);
        measure(2);
        complete(FX_RESTORE, (struct coordinator_event){.kind = EV_RESTORED, .status = faults[i]});
        assert_int_equal(must(FX_EXIT)->status, faults[i]);
        assert_int_equal(c.phase, COORDINATOR_FAILED);
    }
    /* A commit of what was restored that fails stops the machine, too. */
    boot(judged());
    go_through(0.5);
    go_through(2);
    measure(2);
    complete(FX_RESTORE, (struct coordinator_event){.kind = EV_RESTORED, .version = version(1)});
    complete(FX_COMMIT, (struct coordinator_event){.kind = EV_COMMITTED, .status = STATUS_IO});
    assert_int_equal(must(FX_EXIT)->status, STATUS_IO);
    assert_null(effect(FX_SETTLE));
}

static void a_job_that_diverges_while_it_is_cancelled_has_diverged(void **state)
{
    const struct coordinator_event cancel = {.kind = EV_CANCEL};
    boot(judged());
    go_through(0.5);
    go_through(2);
    report();
    complete(FX_CLOSE, (struct coordinator_event){
                           .kind = EV_CLOSED, .aggregate_norm = 1, .version = version(3)});
    const struct coordinator_effects validating = fx;
    step(cancel);
    assert_int_equal(fx.count, 0);
    fx = validating;
    complete(FX_VALIDATE, (struct coordinator_event){.kind = EV_VALIDATED,
                                                     .validated = {.loss = 2, .has_loss = true}});
    const struct coordinator_effects restoring = fx;
    assert_non_null(effect(FX_RESTORE));
    step(cancel);
    assert_int_equal(fx.count, 0);
    fx = restoring;
    complete(FX_RESTORE, (struct coordinator_event){.kind = EV_RESTORED, .version = version(1)});
    const struct coordinator_effects committing = fx;
    step(cancel);
    assert_int_equal(fx.count, 0);
    fx = committing;
    commit(3);
    assert_int_equal(must(FX_FINISH)->outcome, OUTCOME_DIVERGED);
    step(cancel);
    assert_int_equal(must(FX_EXIT)->outcome, OUTCOME_DIVERGED);
    /* One that converges while it is cancelled is cancelled, with its last version. */
    struct coordinator_settings settings = judged();
    settings.convergence.gradient_threshold = 2;
    boot(settings);
    report();
    const struct coordinator_effects closing = fx;
    step(cancel);
    fx = closing;
    complete(FX_CLOSE, (struct coordinator_event){
                           .kind = EV_CLOSED, .aggregate_norm = 1, .version = version(1)});
    complete(FX_VALIDATE, validated());
    assert_int_equal(must(FX_COMMIT)->outcome, OUTCOME_CANCELLED);
    assert_false(must(FX_COMMIT)->undone);
}

static void what_was_judged_is_known_after_a_restart(void **state)
{
    boot(judged());
    for (int round = 0; round < 3; round++) {
        static const double losses[] = {1, 0.5, 2};
        report();
        complete(FX_CLOSE, (struct coordinator_event){.kind = EV_CLOSED,
                                                      .aggregate_norm = 1,
                                                      .version = version(c.round)});
        struct coordinator_event figures = validated();
        figures.validated.loss = losses[round];
        complete(FX_VALIDATE, figures);
        store_commit(c.round);
        commit(c.round);
    }
    restart(judged(), stored());
    assert_int_equal(c.round, 4);
    join("a", 1);
    join("b", 2);
    measure(2); /* the second in a row */
    assert_int_equal(must(FX_RESTORE)->round, 2);
    /* Without it nothing would be known. */
    struct coordinator_event start = stored();
    start.start.convergence = nullptr;
    restart(judged(), start);
    join("a", 1);
    join("b", 2);
    measure(2);
    assert_int_equal(must(FX_COMMIT)->outcome, OUTCOME_NONE);
    /* It is judged by the settings of the new start. */
    struct coordinator_settings patient = judged();
    patient.convergence.divergence_patience = 3;
    restart(patient, stored());
    join("a", 1);
    join("b", 2);
    measure(2);
    assert_int_equal(must(FX_COMMIT)->outcome, OUTCOME_NONE);
    commit(4);
    measure(2);
    assert_int_equal(must(FX_RESTORE)->round, 2);
}

static void the_rate_is_that_of_the_rounds_before(void **state)
{
    struct coordinator_settings settings = judged();
    settings.schedule = (struct schedule){
        .kind = SCHEDULE_STEP, .rate = 0.5, .factor = 0.1, .every = 2, .tau = 1, .rounds = 1};
    boot(settings);
    static const double rates[] = {0.5, 0.5, 0.05, 0.05, 0.005};
    for (int round = 0; round < 5; round++) {
        report();
        assert_true(fabs(must(FX_CLOSE)->rate - rates[round]) < 1e-15);
        complete(FX_CLOSE, (struct coordinator_event){.kind = EV_CLOSED,
                                                      .aggregate_norm = 1,
                                                      .version = version(c.round)});
        complete(FX_VALIDATE, validated());
        assert_true(must(FX_COMMIT)->rate == c.rate);
        assert_true(fabs(c.rate - rates[round]) < 1e-15);
        store_commit(c.round);
        commit(c.round);
        if (round != 2)
            continue;
        restart(settings, stored());
        join("a", 1);
        join("b", 2);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_small_enough_update_converges_in_the_commit_of_its_round),
        cmocka_unit_test(a_loss_that_stopped_falling_converges),
        cmocka_unit_test(the_last_round_is_exhausted_unless_it_converged),
        cmocka_unit_test(the_figures_of_a_round_are_its_own),
        cmocka_unit_test(a_risen_loss_goes_back_to_the_best_version),
        cmocka_unit_test(what_is_held_or_waits_in_a_round_that_is_undone_is_not_counted),
        cmocka_unit_test(a_best_version_that_is_the_last_stays),
        cmocka_unit_test(a_model_that_is_not_finite_goes_back_further_where_the_last_was_worse),
        cmocka_unit_test(where_nothing_was_recorded_the_last_version_stays),
        cmocka_unit_test(figures_that_nodes_report_are_of_the_version_before),
        cmocka_unit_test(a_commit_says_which_version_is_the_best),
        cmocka_unit_test(a_version_that_cannot_be_restored_leaves_the_last),
        cmocka_unit_test(a_job_that_diverges_while_it_is_cancelled_has_diverged),
        cmocka_unit_test(what_was_judged_is_known_after_a_restart),
        cmocka_unit_test(the_rate_is_that_of_the_rounds_before),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}

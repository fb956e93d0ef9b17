/*
 * coordinator_end_test.c - how a job ends: exhausted, diverged, cancelled, by a local fault; and
 * who is told when.
 */
#include "coordinator_driver.h"

#include "testing.h"

#include <math.h>

static const struct coordinator_event cancel = {.kind = EV_CANCEL};

static void the_job_ends_with_the_last_round_in_one_commit(void **state)
{
    struct coordinator_settings settings = defaults();
    settings.rounds_max = 1;
    settings.validate = true;
    boot(settings);
    offer_and_fold("a", 1);
    offer_and_fold("b", 2);
    complete(FX_CLOSE, (struct coordinator_event){.kind = EV_CLOSED, .version = version(1)});
    complete(FX_VALIDATE,
             (struct coordinator_event){
                 .kind = EV_VALIDATED,
                 .validated = {.loss = 1, .accuracy = 1, .has_loss = true, .has_accuracy = true}});
    assert_int_equal(must(FX_COMMIT)->outcome, OUTCOME_EXHAUSTED);
    complete(FX_COMMIT, (struct coordinator_event){.kind = EV_COMMITTED, .version = version(1)});
    assert_non_null(effect(FX_SETTLE));
    assert_int_equal(must(FX_FINISH)->outcome, OUTCOME_EXHAUSTED);
    assert_int_equal(c.phase, COORDINATOR_ENDED);
    /* Who comes now is told; who holds an update first hears what became of it. */
    join("b", 7);
    assert_int_equal(must(FX_SEND_FINISHED)->session, 7);
    join_holding("a", 8, 1);
    assert_null(effect(FX_SEND_FINISHED));
    answer_recall(1);
    assert_non_null(effect(FX_SEND_COUNTED));
    assert_non_null(effect(FX_SEND_FINISHED));
    struct update_info late = update("a", 3);
    refused_for(&late, REASON_JOB_ENDED);
    now += 2 * SECOND;
    step((struct coordinator_event){.kind = EV_TIMER});
    assert_int_equal(must(FX_EXIT)->outcome, OUTCOME_EXHAUSTED);
}

static void a_round_repeated_too_often_ends_the_job(void **state)
{
    struct coordinator_settings settings = defaults();
    settings.repeats_max = 1;
    boot(settings);
    now += 11 * SECOND;
    step((struct coordinator_event){.kind = EV_TIMER});
    assert_int_equal(c.attempt, 1);
    now += 11 * SECOND;
    step((struct coordinator_event){.kind = EV_TIMER});
    assert_int_equal(must(FX_PERSIST_OUTCOME)->outcome, OUTCOME_CANCELLED);
    complete(FX_PERSIST_OUTCOME, (struct coordinator_event){.kind = EV_OUTCOME_PERSISTED});
    assert_non_null(effect(FX_FINISH));
    assert_true(coordinator_gave_up(&c));
    /* Whoever cancels it after its end is not the cause; whoever cancels another job is. */
    step((struct coordinator_event){.kind = EV_CANCEL});
    assert_true(coordinator_gave_up(&c));
    boot(settings);
    tick(11 * SECOND);
    step((struct coordinator_event){.kind = EV_CANCEL});
    assert_int_equal(c.outcome, OUTCOME_CANCELLED);
    assert_false(coordinator_gave_up(&c));
    /* A machine started after the end cannot tell, and accuses nobody. */
    restart(settings, (struct coordinator_event){.start = {.epoch = 4,
                                                           .has_version = true,
                                                           .version = version(3),
                                                           .open_round = 4,
                                                           .outcome = OUTCOME_CANCELLED}});
    assert_false(coordinator_gave_up(&c));
}

static void a_restart_of_an_ended_job_says_so_again(void **state)
{
    restart(defaults(), (struct coordinator_event){.start = {.epoch = 4,
                                                             .has_version = true,
                                                             .version = version(3),
                                                             .open_round = 4,
                                                             .outcome = OUTCOME_EXHAUSTED}});
    assert_int_equal(must(FX_FINISH)->outcome, OUTCOME_EXHAUSTED);
    join_holding("a", 1, 2);
    answer_recall(0);
    assert_int_equal(must(FX_SEND_DROPPED)->reason, REASON_ROUND_CLOSED);
    assert_non_null(effect(FX_SEND_FINISHED));
    join_holding("b", 2, 4); /* of the round that never closed */
    answer_recall(0);
    assert_int_equal(must(FX_SEND_DROPPED)->reason, REASON_JOB_ENDED);
}

static void a_model_or_loss_that_is_not_finite_ends_as_diverged(void **state)
{
    static const double losses[] = {NAN, INFINITY, -INFINITY};
    for (size_t i = 0; i < 4; i++) {
        struct coordinator_settings settings = defaults();
        settings.validate = true;
        boot(settings);
        offer_and_fold("a", 1);
        offer_and_fold("b", 2);
        if (i == 3) {
            complete(FX_CLOSE,
                     (struct coordinator_event){.kind = EV_CLOSED, .status = STATUS_PEER});
        } else {
            complete(FX_CLOSE,
                     (struct coordinator_event){.kind = EV_CLOSED, .version = version(1)});
            complete(FX_VALIDATE,
                     (struct coordinator_event){
                         .kind = EV_VALIDATED, .validated = {.loss = losses[i], .has_loss = true}});
        }
        assert_int_equal(must(FX_PERSIST_OUTCOME)->outcome, OUTCOME_DIVERGED);
        assert_null(effect(FX_COMMIT));
        const struct update_info info = update("a", 8);
        assert_int_equal(coordinator_screen(&c, &info), REASON_JOB_ENDED);
    }
}

static void a_look_up_that_fails_stops_the_machine(void **state)
{
    boot(defaults());
    step((struct coordinator_event){.kind = EV_RECALLED, .status = STATUS_IO});
    assert_int_equal(must(FX_EXIT)->status, STATUS_IO);
    assert_int_equal(c.phase, COORDINATOR_FAILED);
    join("x", 44);
    assert_int_equal(fx.count, 0);
}

/* Brings a machine to where one completion is awaited; returns the event that answers it. */
static struct coordinator_event stand_before(enum coordinator_event_kind completion)
{
    struct coordinator_settings settings = defaults();
    settings.validate = true;
    if (completion == EV_EPOCH_PERSISTED || completion == EV_MODEL_CREATED) {
        begin_from(settings, (struct coordinator_event){0});
        if (completion == EV_MODEL_CREATED)
            complete_epoch(1);
        return (struct coordinator_event){.kind = completion, .id = c.pending_id};
    }
    boot(settings);
    if (completion == EV_OUTCOME_PERSISTED) {
        step((struct coordinator_event){.kind = EV_CANCEL});
        return (struct coordinator_event){.kind = completion, .id = c.pending_id};
    }
    offer_and_fold("a", 1);
    const struct update_info last = update("b", 2);
    offer(&last);
    struct coordinator_event answer = {.kind = EV_FOLDED, .id = must(FX_FOLD)->id};
    const enum coordinator_event_kind chain[] = {EV_CLOSED, EV_VALIDATED, EV_COMMITTED};
    for (size_t i = 0; answer.kind != completion; i++) {
        answer.version = version(1);
        if (answer.kind == EV_VALIDATED)
            answer.validated = validated().validated;
        step(answer);
        answer = (struct coordinator_event){.kind = chain[i], .id = c.pending_id};
    }
    return answer;
}

static void a_local_fault_at_any_completion_stops_the_machine(void **state)
{
    static const enum coordinator_event_kind completions[] = {
        EV_EPOCH_PERSISTED, EV_MODEL_CREATED, EV_FOLDED,           EV_CLOSED,
        EV_VALIDATED,       EV_COMMITTED,     EV_OUTCOME_PERSISTED};
    for (size_t i = 0; i < sizeof(completions) / sizeof(*completions); i++) {
        struct coordinator_event bad = stand_before(completions[i]);
        bad.status = STATUS_NO_SPACE;
        step(bad);
        assert_int_equal(must(FX_EXIT)->status, STATUS_NO_SPACE);
        assert_int_equal(c.phase, COORDINATOR_FAILED);
        assert_null(effect(FX_SETTLE));
        assert_null(effect(FX_ANNOUNCE));
        assert_null(effect(FX_FINISH));
        const struct update_info info = update("a", 1);
        assert_int_equal(coordinator_screen(&c, &info), REASON_DRAINING);
    }
    /* The first commit, that of the model, too. */
    struct coordinator_event created = stand_before(EV_MODEL_CREATED);
    created.version = version(0);
    step(created);
    complete(FX_COMMIT, (struct coordinator_event){.kind = EV_COMMITTED, .status = STATUS_IO});
    assert_int_equal(must(FX_EXIT)->status, STATUS_IO);
}

static void a_job_cancelled_before_it_began_just_exits(void **state)
{
    const struct coordinator_settings settings = defaults();
    coordinator_init(&c, &settings, members, (uint32_t[CAPACITY]){0}, CAPACITY);
    step(cancel);
    assert_int_equal(must(FX_EXIT)->outcome, OUTCOME_CANCELLED);
    stand_before(EV_EPOCH_PERSISTED);
    step(cancel);
    assert_int_equal(must(FX_EXIT)->outcome, OUTCOME_CANCELLED);
    stand_before(EV_MODEL_CREATED);
    step(cancel);
    assert_int_equal(must(FX_EXIT)->outcome, OUTCOME_CANCELLED);
}

static void a_job_cancelled_while_its_coordinator_starts_ends_durably(void **state)
{
    const struct coordinator_settings settings = defaults();
    begin_from(
        settings,
        (struct coordinator_event){
            .start = {.epoch = 4, .has_version = true, .version = version(1), .open_round = 2}});
    const struct coordinator_effects raising = fx;
    step(cancel);
    assert_int_equal(fx.count, 0);
    fx = raising;
    complete_epoch(5);
    assert_int_equal(must(FX_PERSIST_OUTCOME)->outcome, OUTCOME_CANCELLED);
    assert_null(effect(FX_ANNOUNCE));
    assert_int_equal(c.round, 2);
    complete(FX_PERSIST_OUTCOME, (struct coordinator_event){.kind = EV_OUTCOME_PERSISTED});
    assert_int_equal(must(FX_FINISH)->outcome, OUTCOME_CANCELLED);
    /* One that has ended already keeps its outcome. */
    begin_from(settings, (struct coordinator_event){.start = {.epoch = 4,
                                                              .has_version = true,
                                                              .version = version(3),
                                                              .open_round = 4,
                                                              .outcome = OUTCOME_EXHAUSTED}});
    step(cancel);
    assert_int_equal(must(FX_EXIT)->outcome, OUTCOME_EXHAUSTED);
}

static void a_job_cancelled_between_commits_ends_without_a_version(void **state)
{
    boot_with(defaults());
    step(cancel);
    assert_int_equal(must(FX_PERSIST_OUTCOME)->outcome, OUTCOME_CANCELLED);
    const uint64_t id = must(FX_PERSIST_OUTCOME)->id;
    step(cancel);
    assert_int_equal(fx.count, 0);
    step((struct coordinator_event){.kind = EV_OUTCOME_PERSISTED, .id = id});
    assert_int_equal(must(FX_FINISH)->outcome, OUTCOME_CANCELLED);

    boot(defaults());
    offer_and_fold("a", 1);
    step(cancel);
    assert_int_equal(must(FX_PERSIST_OUTCOME)->outcome, OUTCOME_CANCELLED);
    assert_int_equal(must(FX_TIMER)->deadline_ns, NO_DEADLINE);
}

static void a_cancelled_round_waits_for_the_folds_under_way(void **state)
{
    boot(defaults());
    const struct update_info info = update("a", 1);
    const struct update_info other = update("b", 2);
    offer(&info);
    const uint64_t first = must(FX_FOLD)->id;
    offer(&other);
    const uint64_t last = must(FX_FOLD)->id;
    step(cancel);
    assert_int_equal(fx.count, 0);
    step((struct coordinator_event){.kind = EV_FOLDED, .id = first});
    assert_int_equal(fx.count, 0);
    step((struct coordinator_event){.kind = EV_FOLDED, .id = last});
    assert_int_equal(must(FX_PERSIST_OUTCOME)->outcome, OUTCOME_CANCELLED);
    assert_null(effect(FX_CLOSE)); /* though the round is complete */
}

static void a_version_on_its_way_when_a_job_is_cancelled_is_the_last(void **state)
{
    static const enum coordinator_event_kind completions[] = {EV_CLOSED, EV_VALIDATED};
    for (size_t i = 0; i < sizeof(completions) / sizeof(*completions); i++) {
        struct coordinator_event answer = stand_before(completions[i]);
        step(cancel);
        assert_int_equal(fx.count, 0);
        answer.version = version(1);
        if (answer.kind == EV_VALIDATED)
            answer.validated = validated().validated;
        step(answer);
        if (answer.kind == EV_CLOSED)
            complete(FX_VALIDATE, validated());
        assert_int_equal(must(FX_COMMIT)->outcome, OUTCOME_CANCELLED);
        complete(FX_COMMIT,
                 (struct coordinator_event){.kind = EV_COMMITTED, .version = version(1)});
        assert_true(must(FX_SETTLE) < must(FX_FINISH));
        assert_int_equal(must(FX_FINISH)->outcome, OUTCOME_CANCELLED);
    }
}

static void a_job_cancelled_during_its_commit_opens_no_round_after_it(void **state)
{
    struct coordinator_event committed = stand_before(EV_COMMITTED);
    step(cancel);
    assert_int_equal(fx.count, 0);
    committed.version = version(1);
    step(committed);
    assert_null(effect(FX_ANNOUNCE));
    assert_true(must(FX_SETTLE) < must(FX_PERSIST_OUTCOME));
    assert_int_equal(member_of("a")->settlement, SETTLE_COUNTED);
    assert_int_equal(must(FX_PERSIST_OUTCOME)->outcome, OUTCOME_CANCELLED);
    assert_int_equal(c.round, 2); /* the next start would open it, were the outcome not durable */
    assert_int_equal(c.accepted, 0);
    complete(FX_PERSIST_OUTCOME, (struct coordinator_event){.kind = EV_OUTCOME_PERSISTED});
    assert_int_equal(must(FX_FINISH)->outcome, OUTCOME_CANCELLED);
}

static void an_ended_job_that_is_cancelled_exits_at_once_with_its_own_outcome(void **state)
{
    struct coordinator_settings settings = defaults();
    settings.rounds_max = 1;
    boot(settings);
    offer_and_fold("a", 1);
    offer_and_fold("b", 2);
    close_and_commit(1);
    step(cancel);
    assert_int_equal(must(FX_EXIT)->outcome, OUTCOME_EXHAUSTED);
}

static void nobody_is_told_of_an_end_that_is_not_durable(void **state)
{
    boot(defaults());
    step(cancel);
    const uint64_t id = must(FX_PERSIST_OUTCOME)->id;
    join("d", 3);
    assert_non_null(effect(FX_WELCOME));
    assert_null(effect(FX_SEND_FINISHED));
    assert_null(effect(FX_SEND_BEACON));
    join_holding("a", 4, 1); /* of the round that will not close: FINISHED settles it */
    assert_null(effect(FX_RECALL));
    step((struct coordinator_event){.kind = EV_OUTCOME_PERSISTED, .id = id});
    assert_non_null(effect(FX_FINISH));
    assert_true(member_hears_finish(member_of("d")) && member_hears_finish(member_of("a")));
}

static void a_look_up_under_way_at_the_end_is_answered_before_the_end_is_told(void **state)
{
    boot(defaults());
    offer_and_fold("a", 1);
    offer_and_fold("b", 2);
    close_and_commit(1);
    join_holding("a", 3, 1);
    const struct coordinator_effects asked = fx;
    step(cancel);
    complete(FX_PERSIST_OUTCOME, (struct coordinator_event){.kind = EV_OUTCOME_PERSISTED});
    assert_non_null(effect(FX_FINISH));
    assert_false(member_hears_finish(member_of("a")));
    assert_true(member_hears_finish(member_of("b")));
    fx = asked;
    answer_recall(1);
    assert_true(must(FX_SEND_COUNTED) < must(FX_SEND_FINISHED));
}

static void a_node_from_a_lost_future_hears_of_the_end_too(void **state)
{
    restart(defaults(), (struct coordinator_event){.start = {.epoch = 4,
                                                             .has_version = true,
                                                             .version = version(3),
                                                             .open_round = 4,
                                                             .outcome = OUTCOME_EXHAUSTED}});
    join_holding("a", 1, 9);
    answer_recall(0);
    assert_int_equal(must(FX_SEND_DROPPED)->reason, REASON_SUPERSEDED);
    assert_true(must(FX_SEND_DROPPED) < must(FX_SEND_FINISHED));
}

static void an_ended_job_answers_for_its_linger_and_no_longer(void **state)
{
    struct coordinator_settings settings = defaults();
    settings.rounds_max = 1;
    boot(settings);
    const struct update_info again = update("a", 1);
    offer_and_fold("a", 1);
    offer_and_fold("b", 2);
    close_and_commit(1);
    offer(&again); /* its receipt was lost */
    assert_non_null(effect(FX_RECEIPT_ACCEPTED));
    assert_null(effect(FX_FOLD));
    now += settings.linger_ns - 1;
    join("b", 9);
    assert_int_equal(must(FX_SEND_FINISHED)->outcome, OUTCOME_EXHAUSTED);
    assert_null(effect(FX_EXIT));
    tick(1);
    assert_int_equal(must(FX_EXIT)->outcome, OUTCOME_EXHAUSTED);
    assert_int_equal(must(FX_EXIT)->status, STATUS_OK);
    assert_null(effect(FX_TIMER));
}

static void a_fold_that_ends_after_its_job_changes_nothing(void **state)
{
    struct coordinator_settings settings = defaults();
    settings.min_updates = 2;
    settings.repeats_max = 1;
    boot(settings);
    const struct update_info info = update("a", 1);
    offer(&info);
    const uint64_t fold = must(FX_FOLD)->id;
    tick(10 * SECOND);
    assert_int_equal(must(FX_ANNOUNCE)->attempt, 1);
    tick(10 * SECOND);
    assert_int_equal(must(FX_PERSIST_OUTCOME)->outcome, OUTCOME_CANCELLED);
    step((struct coordinator_event){.kind = EV_FOLDED, .id = fold});
    assert_int_equal(fx.count, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_job_ends_with_the_last_round_in_one_commit),
        cmocka_unit_test(a_round_repeated_too_often_ends_the_job),
        cmocka_unit_test(a_restart_of_an_ended_job_says_so_again),
        cmocka_unit_test(a_model_or_loss_that_is_not_finite_ends_as_diverged),
        cmocka_unit_test(a_look_up_that_fails_stops_the_machine),
        cmocka_unit_test(a_local_fault_at_any_completion_stops_the_machine),
        cmocka_unit_test(a_job_cancelled_before_it_began_just_exits),
        cmocka_unit_test(a_job_cancelled_while_its_coordinator_starts_ends_durably),
        cmocka_unit_test(a_job_cancelled_between_commits_ends_without_a_version),
        cmocka_unit_test(a_cancelled_round_waits_for_the_folds_under_way),
        cmocka_unit_test(a_version_on_its_way_when_a_job_is_cancelled_is_the_last),
        cmocka_unit_test(a_job_cancelled_during_its_commit_opens_no_round_after_it),
        cmocka_unit_test(an_ended_job_that_is_cancelled_exits_at_once_with_its_own_outcome),
        cmocka_unit_test(nobody_is_told_of_an_end_that_is_not_durable),
        cmocka_unit_test(a_look_up_under_way_at_the_end_is_answered_before_the_end_is_told),
        cmocka_unit_test(a_node_from_a_lost_future_hears_of_the_end_too),
        cmocka_unit_test(an_ended_job_answers_for_its_linger_and_no_longer),
        cmocka_unit_test(a_fold_that_ends_after_its_job_changes_nothing),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}

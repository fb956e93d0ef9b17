/*
 * coordinator_carry_test.c - what a coordinator carries from one round, one connection or one start
 * to the next, and what it must not.
 *
 * Each case is one forgotten assignment away from a mistake that whole rounds survive: a settlement
 * told twice, an attempt of the last round, a look-up of a connection that is gone.
 */
#include "coordinator_late_scenes.h"

#include "testing.h"

static void a_repeat_ends_with_its_round(void **state)
{
    boot(defaults());
    tick(10 * SECOND);
    assert_int_equal(must(FX_ANNOUNCE)->attempt, 1);
    offer_and_fold("a", 1);
    offer_and_fold("b", 2);
    close_and_commit(1);
    assert_int_equal(must(FX_ANNOUNCE)->round, 2);
    assert_int_equal(must(FX_ANNOUNCE)->attempt, 0);
    tick(10 * SECOND);
    assert_int_equal(must(FX_ANNOUNCE)->attempt, 1);
}

static void what_was_settled_is_not_settled_again_with_the_next_round(void **state)
{
    struct coordinator_settings settings = defaults();
    settings.k_threshold = 0.5;
    boot(settings);
    join_holding("a", 3, 1);
    offer_and_fold("b", 2);
    close_and_commit(1);
    assert_int_equal(member_of("a")->settlement, SETTLE_DROPPED);
    assert_int_equal(member_of("a")->settlement_reason, REASON_ROUND_CLOSED);
    offer_and_fold("b", 3);
    close_and_commit(2);
    assert_int_equal(member_of("a")->settlement, SETTLE_NOTHING);
}

static void what_was_counted_before_a_restart_is_not_counted_after_it(void **state)
{
    boot_with_all(settings_of(LATE_NEXT_ROUND));
    struct update_info counted = update_for("d", 3, 1);
    restart(settings_of(LATE_NEXT_ROUND), stored());
    assert_int_equal(c.round, 2);
    counted.key.epoch = 1;
    refused_for(&counted, REASON_ALREADY_COUNTED);
}

static void an_attempt_of_an_older_epoch_is_none_of_this_one(void **state)
{
    boot(defaults());
    offer_and_fold("a", 1);
    offer_and_fold("b", 2);
    close_and_commit(1);
    tick(10 * SECOND);
    tick(10 * SECOND);
    const struct update_info info = update("a", 7);
    assert_int_equal(info.key.attempt, 2);
    restart(defaults(), stored());
    assert_int_equal(c.attempt, 0);
    offer(&info);
    assert_non_null(effect(FX_RECEIPT_ACCEPTED));
    /* In this epoch it has not begun. */
    struct update_info ahead = update("b", 8);
    ahead.key.attempt = 1;
    refused_for(&ahead, REASON_FUTURE_ROUND);
}

static void a_second_late_update_does_not_take_the_place_of_one_that_waits(void **state)
{
    boot_three(settings_of(LATE_NEXT_ROUND));
    close_without_d();
    join("d", 7); /* it gave the work for round 1 up */
    close_without_d();
    assert_int_equal(member_of("d")->asked_round, 3);
    offer_and_fold("a", 1);
    offer_and_fold("b", 2);
    const struct coordinator_effect closing = *must(FX_CLOSE);
    join("d", 8);
    const struct update_info waits = update("d", 9);
    offer(&waits);
    assert_non_null(effect(FX_RECEIPT_ACCEPTED));
    assert_true(member_of("d")->waiting);
    const struct update_info older = update_for("d", 8, 1);
    refused_for(&older, REASON_ROUND_CLOSED);
    fx.items[0] = closing;
    fx.count = 1;
    close_and_commit(3);
    assert_int_equal(member_of("d")->key.round, 3);
    assert_true(member_of("d")->accepted && member_of("d")->late);
}

static void a_job_paused_anew_while_it_resumes_stands_still(void **state)
{
    boot(defaults());
    step((struct coordinator_event){.kind = EV_PAUSE});
    complete(FX_PERSIST_PAUSED,
             (struct coordinator_event){.kind = EV_PAUSE_PERSISTED, .paused = true});
    offer_and_fold("a", 1);
    offer_and_fold("b", 2);
    close_and_commit(1);
    assert_int_equal(c.phase, COORDINATOR_PAUSED);
    step((struct coordinator_event){.kind = EV_RESUME});
    const struct coordinator_effect resuming = *must(FX_PERSIST_PAUSED);
    step((struct coordinator_event){.kind = EV_PAUSE});
    assert_null(effect(FX_PERSIST_PAUSED)); /* one at a time */
    fx.items[0] = resuming;
    fx.count = 1;
    complete(FX_PERSIST_PAUSED, (struct coordinator_event){.kind = EV_PAUSE_PERSISTED});
    assert_int_equal(c.phase, COORDINATOR_PAUSED);
    assert_int_equal(traced(TRACE_RESUMED), 0);
    assert_null(effect(FX_ANNOUNCE));
    assert_true(must(FX_PERSIST_PAUSED)->paused);
}

static void a_look_up_ends_with_its_connection(void **state)
{
    boot(defaults());
    offer_and_fold("a", 1);
    offer_and_fold("b", 2);
    close_and_commit(1);
    join_holding("a", 5, 1);
    const struct coordinator_effect recall = *must(FX_RECALL);
    assert_null(effect(FX_SEND_BEACON)); /* not before its answer */
    join("a", 6);
    assert_int_equal(must(FX_SEND_BEACON)->session, 6);
    fx.items[0] = recall;
    fx.count = 1;
    answer_recall(1);
    assert_int_equal(fx.count, 0); /* nobody is there to hear it */
}

static void who_has_seen_a_later_epoch_hears_no_beacon_of_this_one(void **state)
{
    boot(defaults());
    join_having_seen("a", 9, 41);
    assert_non_null(effect(FX_PERSIST_EPOCH));
    assert_null(effect(FX_SEND_BEACON));
    complete_epoch(42);
    assert_int_equal(must(FX_ANNOUNCE)->epoch, 42);
}

/* What a shell asks before each event, so that no effect of time is carried out after the event. */
static void time_is_due_from_the_deadline_on(void **state)
{
    boot(defaults());
    assert_false(coordinator_is_due(&c, 10 * SECOND - 1));
    assert_true(coordinator_is_due(&c, 10 * SECOND));
    tick(10 * SECOND);
    assert_int_equal(must(FX_ANNOUNCE)->attempt, 1);
    assert_false(coordinator_is_due(&c, now));
    step((struct coordinator_event){.kind = EV_CANCEL});
    assert_false(coordinator_is_due(&c, UINT64_MAX - 1)); /* nothing is waited for */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_repeat_ends_with_its_round),
        cmocka_unit_test(what_was_settled_is_not_settled_again_with_the_next_round),
        cmocka_unit_test(what_was_counted_before_a_restart_is_not_counted_after_it),
        cmocka_unit_test(an_attempt_of_an_older_epoch_is_none_of_this_one),
        cmocka_unit_test(a_second_late_update_does_not_take_the_place_of_one_that_waits),
        cmocka_unit_test(a_job_paused_anew_while_it_resumes_stands_still),
        cmocka_unit_test(a_look_up_ends_with_its_connection),
        cmocka_unit_test(time_is_due_from_the_deadline_on),
        cmocka_unit_test(who_has_seen_a_later_epoch_hears_no_beacon_of_this_one),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}

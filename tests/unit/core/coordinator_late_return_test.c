/*
 * coordinator_late_return_test.c - late updates over a restart of either side, of nodes that were
 * forgotten, and of those that came back with one.
 *
 * Not here: late updates of nodes that stay (coordinator_late_test.c).
 */
#include "coordinator_late_scenes.h"

#include "testing.h"

#include <math.h>
#include <stdio.h>

/* Round 2 of a restarted coordinator, which nobody has joined yet. d was slow in round 1. */
static void restart_in_round_2(struct coordinator_settings settings)
{
    boot_three(settings);
    close_without_d();
    restart(settings, stored());
    assert_int_equal(c.phase, COORDINATOR_COLLECTING);
    assert_int_equal(c.round, 2);
    assert_int_equal(c.selected, 3);
}

static void after_a_restart_the_update_that_a_node_holds_is_offered_and_counted(void **state)
{
    restart_in_round_2(settings_of(LATE_NEXT_ROUND));
    join("a", 1);
    assert_non_null(effect(FX_SEND_BEACON));
    join_holding("d", 2, 1);
    assert_null(effect(FX_SEND_BEACON));
    answer_recall(0);
    assert_int_equal(must(FX_SEND_OFFER)->key.round, 1);
    assert_int_equal(must(FX_SEND_OFFER)->session, 2);
    assert_null(effect(FX_SEND_DROPPED));
    assert_null(effect(FX_SEND_BEACON));
    assert_int_equal(c.selected, 2);
    assert_int_equal(c.needed, 2);
    assert_int_equal(c.k, 2);
    struct update_info late = update_for("d", 9, 1);
    late.key.epoch = 1; /* as signed before */
    offer(&late);
    fold();
    assert_int_equal(c.accepted_late, 1);
    assert_int_equal(c.selected, 2);
    offer_and_fold("a", 1);
    assert_null(effect(FX_CLOSE));
    join("b", 3);
    offer_and_fold("b", 1);
    close_and_commit(2);
    assert_int_equal(member_of("d")->settlement, SETTLE_COUNTED);
}

static void an_offer_that_nobody_answers_holds_its_node_back_for_its_staleness_only(void **state)
{
    struct coordinator_settings settings = settings_of(LATE_NEXT_ROUND);
    settings.max_staleness = 2;
    restart_in_round_2(settings);
    join("a", 1);
    join("b", 2);
    join_holding("d", 3, 1);
    answer_recall(0);
    assert_non_null(effect(FX_SEND_OFFER));
    close_without_d();
    assert_int_equal(member_of("d")->works_for, 1);
    assert_false(member_of("d")->selected);
    close_without_d(); /* round 4: made for round 1, it would be 3 rounds late */
    assert_true(member_hears_beacon(member_of("d")));
}

static void a_round_that_waits_for_nobody_else_closes_at_the_offer(void **state)
{
    restart_in_round_2(settings_of(LATE_NEXT_ROUND));
    join("a", 1);
    join_holding("d", 3, 1);
    const struct coordinator_effect recall = *must(FX_RECALL);
    offer_and_fold("a", 1);
    assert_null(effect(FX_CLOSE));
    fx.items[0] = recall;
    fx.count = 1;
    answer_recall(0);
    assert_non_null(effect(FX_SEND_OFFER));
    assert_int_equal(c.k, 2); /* of a and b */
    assert_null(effect(FX_CLOSE));
    /* With half of two it is one. */
    struct coordinator_settings settings = settings_of(LATE_NEXT_ROUND);
    settings.k_threshold = 0.5;
    boot_with(settings);
    join("a", 1);
    join("b", 2);
    join("d", 3);
    close_without_d();
    restart(settings, stored());
    join("a", 1);
    join_holding("d", 3, 1);
    const struct coordinator_effect second = *must(FX_RECALL);
    offer_and_fold("a", 1);
    assert_null(effect(FX_CLOSE));
    fx.items[0] = second;
    fx.count = 1;
    answer_recall(0);
    assert_non_null(effect(FX_CLOSE));
}

static void what_cannot_be_counted_any_more_is_dropped_and_the_node_is_asked(void **state)
{
    struct coordinator_settings settings = settings_of(LATE_NEXT_ROUND);
    /* Too stale. */
    settings.max_staleness = 1;
    boot_three(settings);
    close_without_d();
    close_without_d();
    restart(settings, stored());
    join_holding("d", 3, 1);
    answer_recall(0);
    assert_int_equal(must(FX_SEND_DROPPED)->reason, REASON_ROUND_CLOSED);
    assert_non_null(effect(FX_SEND_BEACON));
    assert_true(member_of("d")->told);
    /* Its version is not known. */
    boot_three(settings);
    close_without_d();
    struct coordinator_event start = stored();
    start.start.base_count = 0;
    restart(settings, start);
    join_holding("d", 3, 1);
    answer_recall(0);
    assert_non_null(effect(FX_SEND_DROPPED));
    /* Another policy. */
    settings.late = LATE_DISCARD;
    restart_in_round_2(settings);
    join_holding("d", 3, 1);
    answer_recall(0);
    assert_non_null(effect(FX_SEND_DROPPED));
    assert_non_null(effect(FX_SEND_BEACON));
}

static void what_was_not_asked_for_cannot_be_counted(void **state)
{
    boot_three(settings_of(LATE_NEXT_ROUND));
    close_without_d();
    join_holding("e", 5, 1);
    answer_recall(0);
    assert_non_null(effect(FX_SEND_DROPPED));
    assert_null(effect(FX_SEND_OFFER));
}

static void what_came_again_while_it_was_looked_up_is_answered_by_its_commit(void **state)
{
    restart_in_round_2(settings_of(LATE_NEXT_ROUND));
    join("a", 1);
    join_holding("d", 3, 1);
    const struct coordinator_effect recall = *must(FX_RECALL);
    const struct update_info late = update_for("d", 9, 1);
    offer(&late);
    fold();
    fx.items[0] = recall;
    fx.count = 1;
    answer_recall(0);
    assert_int_equal(fx.count, 0);
    assert_false(member_of("d")->recalling);
    assert_true(member_hears_finish(member_of("d")));
    /* So it is where it waits. */
    const struct coordinator_effect pending = fix_the_set(COORDINATOR_CLOSING);
    const struct update_info info = update("d", 9);
    offer(&info);
    go_on(pending);
    leave(3);
    join_holding("d", 9, 1);
    answer_recall(0);
    assert_int_equal(fx.count, 0);
}

static void who_comes_while_the_set_is_fixed_is_asked_for_what_it_holds(void **state)
{
    const struct coordinator_effect pending = fix_the_set(COORDINATOR_CLOSING);
    leave(3);
    join_holding("d", 9, 1);
    assert_int_equal(must(FX_SEND_OFFER)->key.round, 1);
    assert_null(effect(FX_RECALL));
    go_on(pending);
    /* It is not asked for the next round before that came. */
    const struct member *const d = member_of("d");
    assert_int_equal(d->settlement, SETTLE_NOTHING);
    assert_int_equal(d->works_for, 1);
    assert_false(d->selected);
    const struct update_info late = update_for("d", 9, 1);
    offer(&late);
    fold();
    assert_true(d->accepted && d->late);
    /* Who is in the set needs no offer. */
    fix_the_set(COORDINATOR_CLOSING);
    join_holding("a", 9, 1);
    assert_null(effect(FX_SEND_OFFER));
    const struct update_info info = update("d", 9);
    offer(&info);
    join_holding("d", 10, 1);
    assert_null(effect(FX_SEND_OFFER));
    /* Nor has one that was not asked. */
    const struct coordinator_effect third = fix_the_set(COORDINATOR_CLOSING);
    join_holding("e", 11, 1);
    assert_null(effect(FX_SEND_OFFER));
    go_on(third);
    assert_int_equal(member_of("e")->settlement, SETTLE_DROPPED);
    assert_int_equal(member_of("e")->settlement_reason, REASON_ROUND_CLOSED);
    /* Nor is one wanted that is still asked in the open round. */
    boot_three(settings_of(LATE_NEXT_ROUND));
    join_holding("d", 9, 1);
    assert_null(effect(FX_SEND_OFFER));
    assert_non_null(effect(FX_SEND_BEACON));
    close_without_d();
    assert_int_equal(member_of("d")->settlement, SETTLE_NOTHING);
    assert_int_equal(member_of("d")->works_for, 1);
}

/* While an epoch is being raised, members are selected whom nobody has told yet. */
static void a_late_update_of_one_who_was_drawn_takes_it_out_of_the_needed(void **state)
{
    boot_three(settings_of(LATE_NEXT_ROUND));
    close_without_d();
    leave(3);
    join("d", 4);
    offer_and_fold("a", 1);
    offer_and_fold("b", 2);
    const struct coordinator_effect closing = *must(FX_CLOSE);
    join_having_seen("b", 5, 7);
    fx.items[0] = closing;
    fx.count = 1;
    close_and_commit(2);
    const struct coordinator_effect raise = *must(FX_PERSIST_EPOCH);
    assert_null(effect(FX_ANNOUNCE));
    assert_int_equal(c.selected, 3);
    assert_true(member_of("d")->selected && !member_of("d")->told);
    const struct update_info late = update_for("d", 9, 1);
    offer(&late);
    fold();
    assert_int_equal(c.selected, 2);
    assert_int_equal(c.needed, 2);
    assert_int_equal(c.k, 2);
    const struct update_info fresh = update("d", 7);
    refused_for(&fresh, REASON_ROUND_CLOSED); /* one of a node a round */
    fx.items[0] = raise;
    fx.count = 1;
    complete_epoch(8);
    assert_false(member_hears_beacon(member_of("d")));
}

static void one_that_waits_is_not_replaced_by_one_of_the_open_round(void **state)
{
    boot_three(settings_of(LATE_NEXT_ROUND));
    close_without_d();
    leave(3);
    join("d", 4);
    offer_and_fold("a", 1);
    offer_and_fold("b", 2);
    const struct coordinator_effect closing = *must(FX_CLOSE);
    join_having_seen("b", 5, 7);
    fx.items[0] = closing;
    fx.count = 1;
    close_and_commit(2);
    offer_and_fold("a", 1);
    offer_and_fold("b", 2); /* full, but it does not close before the epoch is durable */
    const struct update_info late = update_for("d", 9, 1);
    offer(&late);
    assert_true(member_of("d")->waiting);
    const struct update_info fresh = update("d", 7);
    refused_for(&fresh, REASON_ROUND_CLOSED);
    assert_int_equal(member_of("d")->blob.id, 9);
    assert_int_equal(member_of("d")->key.round, 1);
}

static void nothing_is_counted_twice_after_its_node_was_forgotten(void **state)
{
    /* By a restart: it was away at the commit before. */
    boot_with_all(settings_of(LATE_NEXT_ROUND));
    leave(3);
    close_without_d();
    restart(settings_of(LATE_NEXT_ROUND), stored());
    join("a", 1);
    join("b", 2);
    join("d", 3);
    close_without_d();
    assert_true(member_of("d")->selected);
    struct update_info again = update_for("d", 3, 1);
    refused_for(&again, REASON_ALREADY_COUNTED);
    /* By a full roster. */
    struct coordinator_settings settings = settings_of(LATE_NEXT_ROUND);
    settings.max_staleness = 10;
    boot_with_all(settings);
    leave(3);
    close_without_d();
    close_without_d();
    for (uint32_t i = 0; i < CAPACITY - 2; i++)
        join(name_of(i), 100 + i);
    assert_int_equal(roster_find(&c.roster, "d"), NO_MEMBER);
    leave(100);
    join("d", 300);
    assert_int_equal(member_of("d")->asked_round, 0);
    member_of("d")->asked_round = c.round; /* as it will be */
    again = update_for("d", 3, 1);
    refused_for(&again, REASON_ALREADY_COUNTED);
}

static void who_was_forgotten_is_counted_as_of_the_round_in_which_it_came(void **state)
{
    boot_three(settings_of(LATE_NEXT_ROUND));
    close_without_d();
    join("e", 4);
    assert_int_equal(member_of("e")->counted_round, 1);
    close_without_d();
    offer_and_fold("e", 5);
    assert_true(member_of("e")->accepted);
    /* One that is known keeps its own count. */
    leave(1);
    join("a", 8);
    assert_int_equal(member_of("a")->counted_round, 2);
    join("d", 9);
    assert_int_equal(member_of("d")->counted_round, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(after_a_restart_the_update_that_a_node_holds_is_offered_and_counted),
        cmocka_unit_test(an_offer_that_nobody_answers_holds_its_node_back_for_its_staleness_only),
        cmocka_unit_test(a_round_that_waits_for_nobody_else_closes_at_the_offer),
        cmocka_unit_test(what_cannot_be_counted_any_more_is_dropped_and_the_node_is_asked),
        cmocka_unit_test(what_was_not_asked_for_cannot_be_counted),
        cmocka_unit_test(what_came_again_while_it_was_looked_up_is_answered_by_its_commit),
        cmocka_unit_test(who_comes_while_the_set_is_fixed_is_asked_for_what_it_holds),
        cmocka_unit_test(a_late_update_of_one_who_was_drawn_takes_it_out_of_the_needed),
        cmocka_unit_test(one_that_waits_is_not_replaced_by_one_of_the_open_round),
        cmocka_unit_test(nothing_is_counted_twice_after_its_node_was_forgotten),
        cmocka_unit_test(who_was_forgotten_is_counted_as_of_the_round_in_which_it_came),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}

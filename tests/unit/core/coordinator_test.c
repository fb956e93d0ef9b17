/*
 * coordinator_test.c - the coordinator's machine, event by event: members, rounds, what an update
 * is answered.
 *
 * Not here: epochs and restarts (coordinator_epoch_test.c), how a job ends
 * (coordinator_end_test.c).
 */
#include "coordinator_driver.h"

#include "testing.h"

#include <math.h>
#include <stdio.h>

static void nothing_is_told_before_it_is_durable(void **state)
{
    boot(defaults());
    offer_and_fold("a", 1);
    offer_and_fold("b", 2);
    complete(FX_CLOSE, (struct coordinator_event){.kind = EV_CLOSED, .version = version(1)});
    assert_int_equal(must(FX_COMMIT)->round, 1);
    assert_null(effect(FX_SETTLE));
    assert_null(effect(FX_ANNOUNCE));
    complete(FX_COMMIT, (struct coordinator_event){.kind = EV_COMMITTED, .version = version(1)});
    /* In this order: COUNTED, then the next beacon. */
    assert_true(must(FX_SETTLE) < must(FX_ANNOUNCE));
    assert_int_equal(members[roster_find(&c.roster, "a")].settlement, SETTLE_COUNTED);
    assert_int_equal(must(FX_ANNOUNCE)->round, 2);
}

static void k_of_n_is_the_least_whole_number_of_the_share(void **state)
{
    static const struct {
        double k;
        uint32_t nodes;
        uint32_t min_updates;
        uint32_t expected;
    } table[] = {{1, 7, 1, 7},    {0.7, 5, 1, 4},     {0.5, 4, 1, 2},    {0.85, 7, 1, 6},
                 {0.01, 3, 1, 1}, {0.2, 5, 1, 1},     {0.2, 5, 3, 3},    {0.6, 5, 1, 3},
                 {0.7, 10, 1, 7}, {0.85, 100, 1, 85}, {0.07, 100, 1, 7}, {0.29, 100, 1, 29},
                 {0.3, 10, 4, 4}};
    for (size_t i = 0; i < sizeof(table) / sizeof(*table); i++) {
        struct coordinator_settings settings = defaults();
        settings.k_threshold = table[i].k;
        settings.min_updates = table[i].min_updates;
        settings.start_nodes = table[i].nodes;
        boot_with(settings);
        for (uint32_t node = 0; node < table[i].nodes; node++) {
            char name[16];
            snprintf(name, sizeof(name), "n%u", node);
            join(name, node + 1);
        }
        assert_int_equal(c.selected, table[i].nodes);
        assert_int_equal(c.k, table[i].expected);
    }
}

static void the_set_is_fixed_at_k_even_while_folds_are_under_way(void **state)
{
    struct coordinator_settings settings = defaults();
    settings.k_threshold = 0.5;
    boot(settings);
    const struct update_info first = update("a", 1);
    offer(&first);
    const uint64_t fold = must(FX_FOLD)->id;
    const struct update_info second_one = update("b", 2);
    refused_for(&second_one, REASON_ROUND_CLOSED);
    step((struct coordinator_event){.kind = EV_FOLDED, .id = fold});
    assert_non_null(effect(FX_CLOSE));
    refused_for(&second_one, REASON_ROUND_CLOSED);
}

static void every_wrong_update_is_refused_for_its_reason(void **state)
{
    boot(defaults());
    join("later", 3);
    struct update_info info = update("a", 1);
    info.key.epoch = 2;
    refused_for(&info, REASON_FUTURE_EPOCH);
    info = update("a", 1);
    info.key.round = 0;
    refused_for(&info, REASON_ROUND_CLOSED);
    info.key.round = 2;
    refused_for(&info, REASON_FUTURE_ROUND);
    info = update("a", 1);
    info.key.attempt = 1;
    refused_for(&info, REASON_FUTURE_ROUND);
    info = update("a", 1);
    info.base_id = digest(77);
    refused_for(&info, REASON_UNKNOWN_BASE);
    info = update("a", 1);
    info.samples = 0;
    refused_for(&info, REASON_SAMPLES);
    info = update("later", 1);
    refused_for(&info, REASON_NOT_SELECTED);
    info = update("stranger", 1);
    refused_for(&info, REASON_NOT_SELECTED);
}

static void the_same_again_is_acknowledged_and_another_is_equivocation(void **state)
{
    boot(defaults());
    offer_and_fold("a", 1);
    struct update_info info = update("a", 1);
    assert_true(coordinator_holds(&c, &info));
    offer(&info);
    assert_int_equal(must(FX_RECEIPT_ACCEPTED)->member, NO_MEMBER);
    assert_null(effect(FX_FOLD));
    assert_int_equal(c.accepted, 1);

    struct update_info other = update("a", 2);
    refused_for(&other, REASON_EQUIVOCATION);
    assert_non_null(effect(FX_EVIDENCE));
    other = info;
    other.samples = 11;
    refused_for(&other, REASON_EQUIVOCATION);
    other = info;
    other.loss = 0.5;
    refused_for(&other, REASON_EQUIVOCATION);
    other = update("a", 2);
    other.key.epoch = 0; /* signed before a restart: no contradiction, but one is held already */
    refused_for(&other, REASON_REPLAY);
    assert_null(effect(FX_EVIDENCE));
}

static void a_round_that_times_out_closes_with_enough_or_is_repeated(void **state)
{
    struct coordinator_settings settings = defaults();
    settings.min_updates = 2;
    settings.start_nodes = 3;
    settings.repeats_max = 2;
    boot_with(settings);
    join("a", 1);
    join("b", 2);
    join("d", 3);
    offer_and_fold("a", 1);
    const struct update_info old = update("b", 2);
    now += 11 * SECOND;
    step((struct coordinator_event){.kind = EV_TIMER});
    assert_int_equal(must(FX_ANNOUNCE)->attempt, 1);
    assert_int_equal(c.accepted, 1);
    /* One signed for the attempt before is as good. */
    offer(&old);
    complete(FX_FOLD, (struct coordinator_event){.kind = EV_FOLDED});
    assert_null(effect(FX_CLOSE));
    now += 11 * SECOND;
    step((struct coordinator_event){.kind = EV_TIMER});
    assert_non_null(effect(FX_CLOSE));
    assert_int_equal(c.accepted, 2);
}

static void a_deadline_beats_the_message_that_comes_with_it(void **state)
{
    struct coordinator_settings settings = defaults();
    boot(settings);
    offer_and_fold("a", 1);
    now += 10 * SECOND;
    const struct update_info info = update("b", 2);
    offer(&info);
    assert_non_null(effect(FX_CLOSE));
    assert_int_equal(must(FX_RECEIPT_REFUSED)->reason, REASON_ROUND_CLOSED);
}

static void a_start_waits_for_its_nodes_or_its_time(void **state)
{
    struct coordinator_settings settings = defaults();
    settings.min_updates = 0;
    settings.start_nodes = 0;
    boot_with(settings);
    now += 6 * SECOND;
    step((struct coordinator_event){.kind = EV_TIMER});
    assert_int_equal(c.phase, COORDINATOR_GATHERING); /* nobody is there: it goes on waiting */
    assert_true(must(FX_TIMER)->deadline_ns > now);
    join("a", 1);
    assert_int_equal(c.phase, COORDINATOR_COLLECTING);

    settings.start_nodes = 5;
    boot_with(settings);
    join("a", 1);
    assert_int_equal(c.phase, COORDINATOR_GATHERING);
    const struct update_info info = update("a", 1);
    refused_for(&info, REASON_NOT_SELECTED);
    now += 6 * SECOND;
    step((struct coordinator_event){.kind = EV_TIMER});
    assert_int_equal(c.phase, COORDINATOR_COLLECTING);
}

static void a_new_connection_takes_the_old_ones_place(void **state)
{
    boot(defaults());
    join("a", 9);
    assert_int_equal(must(FX_END_SESSION)->session, 1);
    assert_int_equal(must(FX_WELCOME)->session, 9);
    assert_int_equal(must(FX_SEND_BEACON)->session, 9);
    step((struct coordinator_event){.kind = EV_LEAVE, .session = 1});
    assert_int_equal(members[roster_find(&c.roster, "a")].session, 9);
    step((struct coordinator_event){.kind = EV_LEAVE, .session = 9});
    assert_int_equal(members[roster_find(&c.roster, "a")].session, 0);
    step((struct coordinator_event){.kind = EV_LEAVE, .session = 0});
}

static void a_full_roster_turns_a_node_away(void **state)
{
    boot(defaults());
    for (uint32_t i = 0; i < CAPACITY - 2; i++) {
        char name[16];
        snprintf(name, sizeof(name), "m%u", i);
        join(name, 10 + i);
    }
    join("one too many", 99);
    assert_int_equal(must(FX_DENY)->session, 99);
    assert_null(effect(FX_WELCOME));
}

static void what_a_node_holds_is_settled_after_it_comes_back(void **state)
{
    boot(defaults());
    offer_and_fold("a", 1);
    offer_and_fold("b", 2);
    close_and_commit(1);
    /* Of the round before: looked up, and no beacon until it is answered. */
    join_holding("a", 5, 1);
    assert_null(effect(FX_SEND_BEACON));
    const struct coordinator_effect recall = *must(FX_RECALL);
    struct coordinator_event recalled = {
        .kind = EV_RECALLED,
        .id = recall.id,
        .status = STATUS_NOT_FOUND,
        .recalled = {.member = recall.member, .session = recall.session, .key = recall.key}};
    step(recalled);
    assert_int_equal(must(FX_SEND_DROPPED)->reason, REASON_ROUND_CLOSED);
    assert_non_null(effect(FX_SEND_BEACON));
    step((struct coordinator_event){.kind = EV_LEAVE, .session = 5});
    step(recalled);
    assert_int_equal(fx.count, 0); /* gone again: it asks anew when it is back */
    /* Of a future: only the store tells whether it is undone, or a later coordinator's. */
    join_holding("b", 6, 9);
    assert_null(effect(FX_SEND_DROPPED));
    const struct coordinator_effect future = *must(FX_RECALL);
    recalled.id = future.id;
    recalled.recalled.member = future.member;
    recalled.recalled.session = future.session;
    recalled.recalled.key = future.key;
    step(recalled);
    assert_int_equal(must(FX_SEND_DROPPED)->reason, REASON_SUPERSEDED);
    /* Of the open round: answered by its commit. */
    join_holding("a", 7, 2);
    assert_null(effect(FX_RECALL));
    offer_and_fold("b", 4);
    now += 11 * SECOND;
    step((struct coordinator_event){.kind = EV_TIMER});
    close_and_commit(2);
    assert_int_equal(members[roster_find(&c.roster, "a")].settlement, SETTLE_DROPPED);
    assert_int_equal(members[roster_find(&c.roster, "b")].settlement, SETTLE_COUNTED);
}

static void weights_are_capped_samples(void **state)
{
    boot(defaults());
    struct update_info info = update("a", 1);
    info.samples = 5000;
    offer(&info);
    assert_int_equal(members[roster_find(&c.roster, "a")].weight_samples, 1000);
    info = update("b", 2);
    offer(&info);
    assert_int_equal(members[roster_find(&c.roster, "b")].weight_samples, 10);
}

static void who_missed_a_round_and_is_away_is_not_asked_again(void **state)
{
    struct coordinator_settings settings = defaults();
    settings.k_threshold = 0.5;
    boot(settings);
    step((struct coordinator_event){.kind = EV_LEAVE, .session = 2});
    offer_and_fold("a", 1);
    close_and_commit(1);
    assert_int_equal(c.selected, 1);
    assert_false(members[roster_find(&c.roster, "b")].selected);
    /* One that contributed is expected once more, though it is away. */
    step((struct coordinator_event){.kind = EV_LEAVE, .session = 1});
    join("b", 5);
    struct update_info info = update("b", 3);
    refused_for(&info, REASON_NOT_SELECTED);
    assert_int_equal(c.selected, 1);
}

static void fewer_than_min_updates_never_close_a_round(void **state)
{
    static const char *const names[] = {"a"};
    struct coordinator_settings settings = defaults();
    settings.min_updates = 2;
    settings.k_threshold = 0.5;
    restart(settings, (struct coordinator_event){.start = {.epoch = 1,
                                                           .has_version = true,
                                                           .version = version(1),
                                                           .open_round = 2,
                                                           .members = names,
                                                           .member_count = 1}});
    assert_int_equal(c.selected, 1); /* fewer are asked than are wanted */
    join("a", 1);
    join("b", 2);
    offer_and_fold("a", 1);
    assert_null(effect(FX_CLOSE));
    tick(10 * SECOND);
    assert_null(effect(FX_CLOSE));
    assert_int_equal(must(FX_ANNOUNCE)->attempt, 1); /* now b is asked too */
    offer_and_fold("b", 2);
    assert_non_null(effect(FX_CLOSE));
}

static void a_first_round_waits_for_as_many_as_it_needs_to_close(void **state)
{
    struct coordinator_settings settings = defaults();
    settings.start_nodes = 1;
    settings.min_updates = 3;
    boot_with(settings);
    join("a", 1);
    join("b", 2);
    tick(5 * SECOND);
    assert_int_equal(c.phase, COORDINATOR_GATHERING);
    join("d", 3);
    assert_int_equal(c.phase, COORDINATOR_COLLECTING);
    assert_int_equal(c.k, 3);
}

static void a_beacon_says_which_round_from_which_version_until_when(void **state)
{
    boot_with(defaults());
    join("a", 1);
    now += 2 * SECOND;
    join("b", 2);
    const struct coordinator_effect *const beacon = must(FX_ANNOUNCE);
    assert_int_equal(beacon->epoch, 1);
    assert_int_equal(beacon->round, 1);
    assert_int_equal(beacon->attempt, 0);
    assert_int_equal(beacon->version.number, 0);
    assert_int_equal(beacon->deadline_ns, 12 * SECOND);
    assert_int_equal(must(FX_TIMER)->deadline_ns, 12 * SECOND);
    /* A timer that fires too early changes nothing and is set again. */
    tick(10 * SECOND - 1);
    assert_int_equal(fx.count, 1);
    assert_int_equal(must(FX_TIMER)->deadline_ns, 12 * SECOND);
    tick(1);
    assert_int_equal(must(FX_ANNOUNCE)->attempt, 1);
}

static void a_clock_that_goes_back_does_not_take_time_back(void **state)
{
    boot_with(defaults());
    now = 3 * SECOND;
    join("a", 1);
    now = SECOND;
    join("b", 2);
    assert_int_equal(must(FX_ANNOUNCE)->deadline_ns, 13 * SECOND);
}

static void a_round_without_end_has_a_deadline_all_the_same(void **state)
{
    struct coordinator_settings settings = defaults();
    settings.timeout_ns = UINT64_MAX;
    boot_with(settings);
    join("a", 1);
    now = 1;
    join("b", 2);
    assert_int_equal(must(FX_ANNOUNCE)->deadline_ns, NO_DEADLINE - 1);
}

static void a_repeated_round_asks_who_is_there_and_keeps_what_it_has(void **state)
{
    struct coordinator_settings settings = defaults();
    settings.min_updates = 3;
    settings.start_nodes = 4;
    boot_with(settings);
    join("a", 1);
    join("b", 2);
    join("d", 3);
    join("e", 4);
    offer_and_fold("a", 1);
    leave(1); /* its update is here */
    leave(2); /* nothing is */
    join("new", 5);
    tick(10 * SECOND);
    assert_int_equal(must(FX_ANNOUNCE)->round, 1);
    assert_int_equal(must(FX_ANNOUNCE)->deadline_ns, 20 * SECOND);
    assert_int_equal(c.accepted, 1);
    assert_int_equal(c.selected, 4);
    assert_true(member_of("a")->selected && member_of("new")->selected);
    assert_false(member_of("b")->selected);
    offer_and_fold("new", 5);
    offer_and_fold("d", 3);
    assert_null(effect(FX_CLOSE)); /* k is 1: all who are asked */
    offer_and_fold("e", 4);
    assert_int_equal(must(FX_CLOSE)->round, 1);
    assert_int_equal(must(FX_CLOSE)->attempt, 1);
}

static void a_round_whose_nodes_are_all_gone_goes_on_being_repeated(void **state)
{
    boot(defaults());
    leave(1);
    leave(2);
    for (uint32_t attempt = 1; attempt < 50; attempt++) {
        tick(10 * SECOND);
        assert_int_equal(must(FX_ANNOUNCE)->attempt, attempt);
        assert_int_equal(c.selected, 0);
        assert_int_equal(c.k, 1);
    }
    join("a", 3);
    tick(10 * SECOND);
    assert_int_equal(c.selected, 1);
    offer_and_fold("a", 1);
    assert_non_null(effect(FX_CLOSE));
}

static void a_timeout_with_enough_closes_when_the_last_fold_is_through(void **state)
{
    boot(defaults());
    const struct update_info info = update("a", 1);
    offer(&info);
    const uint64_t fold = must(FX_FOLD)->id;
    tick(10 * SECOND);
    assert_null(effect(FX_CLOSE));
    assert_null(effect(FX_ANNOUNCE));
    join("b", 3);
    assert_null(effect(FX_SEND_BEACON)); /* it would train in vain */
    const struct update_info late = update("b", 2);
    refused_for(&late, REASON_ROUND_CLOSED);
    step((struct coordinator_event){.kind = EV_FOLDED, .id = fold});
    assert_non_null(effect(FX_CLOSE));
}

static void what_is_held_is_acknowledged_again_while_its_round_closes(void **state)
{
    struct coordinator_settings settings = defaults();
    settings.validate = true;
    boot(settings);
    const struct update_info held = update("a", 1);
    const struct update_info other = update("a", 3);
    offer_and_fold("a", 1);
    offer_and_fold("b", 2);
    for (enum coordinator_phase phase = COORDINATOR_CLOSING; phase <= COORDINATOR_COMMITTING;
         phase++) {
        assert_int_equal(c.phase, phase);
        const struct coordinator_effects pending = fx;
        offer(&held);
        assert_int_equal(must(FX_RECEIPT_ACCEPTED)->ticket, 5);
        assert_int_equal(must(FX_RELEASE)->blob.id, 1);
        refused_for(&other, REASON_EQUIVOCATION);
        assert_int_equal(must(FX_EVIDENCE)->ticket, 5);
        fx = pending;
        if (phase == COORDINATOR_CLOSING)
            complete(FX_CLOSE,
                     (struct coordinator_event){.kind = EV_CLOSED, .version = version(1)});
        else if (phase == COORDINATOR_VALIDATING)
            complete(FX_VALIDATE, validated());
    }
    complete(FX_COMMIT, (struct coordinator_event){.kind = EV_COMMITTED, .version = version(1)});
    refused_for(&held, REASON_ROUND_CLOSED);
    assert_false(coordinator_holds(&c, &held));
}

static void what_contradicts_is_the_payload_the_base_the_samples_or_the_loss(void **state)
{
    boot(defaults());
    offer_and_fold("a", 1);
    const struct update_info held = update("a", 1);
    struct update_info other = held;
    other.loss = -0.0; /* equal as a number, other bytes were signed */
    refused_for(&other, REASON_EQUIVOCATION);
    other = held;
    other.base_id = digest(9); /* seen before it is compared: no such version */
    refused_for(&other, REASON_UNKNOWN_BASE);
    assert_false(coordinator_holds(&c, &other));
    tick(10 * SECOND - 1);
    other = update("b", 2);
    other.key.attempt = 0;
    offer(&other);
    assert_non_null(effect(FX_RECEIPT_ACCEPTED));
}

static void another_update_for_a_later_attempt_is_a_replay_and_the_same_again_is_none(void **state)
{
    struct coordinator_settings settings = defaults();
    settings.min_updates = 2;
    boot(settings);
    offer_and_fold("a", 1);
    tick(10 * SECOND);
    assert_int_equal(c.attempt, 1);
    const struct update_info other = update("a", 2);
    refused_for(&other, REASON_REPLAY);
    assert_null(effect(FX_EVIDENCE));
    const struct update_info again = update("a", 1); /* signed anew for attempt 1 */
    offer(&again);
    assert_non_null(effect(FX_RECEIPT_ACCEPTED));
    assert_null(effect(FX_FOLD));
}

static void a_node_that_reconnects_while_its_round_closes_is_told_by_the_commit(void **state)
{
    struct coordinator_settings settings = defaults();
    settings.k_threshold = 0.5;
    settings.start_nodes = 4;
    boot_with(settings);
    join("a", 1);
    join("b", 2);
    join("d", 3);
    join("e", 4);
    offer_and_fold("a", 1);
    offer_and_fold("b", 2);
    const struct coordinator_effects closing = fx;
    join_holding("a", 5, 1); /* in the set */
    join_holding("d", 6, 1); /* not in it */
    assert_null(effect(FX_RECALL));
    assert_null(effect(FX_SEND_BEACON));
    join_holding("e", 7, 1);
    join("e", 8); /* and then says it holds nothing */
    assert_int_equal(must(FX_END_SESSION)->session, 7);
    fx = closing;
    close_and_commit(1);
    assert_int_equal(member_of("a")->settlement, SETTLE_COUNTED);
    assert_int_equal(member_of("d")->settlement, SETTLE_DROPPED);
    assert_int_equal(member_of("d")->held.payload_digest.bytes[0], 9);
    assert_int_equal(member_of("e")->settlement, SETTLE_NOTHING);
    assert_non_null(effect(FX_ANNOUNCE)); /* to all: nobody's update is being looked up */
    assert_true(member_hears_beacon(member_of("d")));
}

static void a_look_up_is_answered_to_the_connection_that_asked(void **state)
{
    boot(defaults());
    offer_and_fold("a", 1);
    offer_and_fold("b", 2);
    close_and_commit(1);
    join_holding("a", 5, 1);
    const struct coordinator_effects first = fx;
    join_holding("a", 6, 1);
    const struct coordinator_effects second = fx;
    fx = first;
    answer_recall(1);
    assert_int_equal(fx.count, 0);
    assert_true(member_of("a")->recalling);
    fx = second;
    answer_recall(1);
    assert_int_equal(must(FX_SEND_COUNTED)->session, 6);
    assert_int_equal(must(FX_SEND_COUNTED)->version.number, 1);
    assert_int_equal(must(FX_SEND_COUNTED)->key.payload_digest.bytes[0], 9);
    assert_true(must(FX_SEND_COUNTED) < must(FX_SEND_BEACON));
}

static void a_reason_that_the_store_knows_is_passed_on(void **state)
{
    boot(defaults());
    offer_and_fold("a", 1);
    offer_and_fold("b", 2);
    close_and_commit(1);
    join("late", 4);
    join_holding("late", 5, 1);
    const struct coordinator_effect recall = *must(FX_RECALL);
    step((struct coordinator_event){.kind = EV_RECALLED,
                                    .id = recall.id,
                                    .recalled = {.member = recall.member,
                                                 .session = recall.session,
                                                 .key = recall.key,
                                                 .reason = REASON_FLAGGED}});
    assert_int_equal(must(FX_SEND_DROPPED)->reason, REASON_FLAGGED);
    assert_null(effect(FX_SEND_BEACON)); /* it came after the round had opened */
}

static void nodes_that_came_before_the_model_are_asked_as_soon_as_it_is_there(void **state)
{
    restart(defaults(), (struct coordinator_event){0});
    const uint64_t created = must(FX_CREATE_MODEL)->id;
    join("a", 1);
    join("b", 2);
    step(
        (struct coordinator_event){.kind = EV_MODEL_CREATED, .id = created, .version = version(0)});
    assert_null(effect(FX_ANNOUNCE)); /* not durable yet */
    complete(FX_COMMIT, (struct coordinator_event){.kind = EV_COMMITTED, .version = version(0)});
    assert_int_equal(must(FX_ANNOUNCE)->round, 1);
    assert_true(c.has_version);
}

static void a_round_that_needs_no_update_to_close_still_needs_one(void **state)
{
    struct coordinator_settings settings = defaults();
    settings.min_updates = 0;
    boot(settings);
    leave(1);
    leave(2);
    tick(10 * SECOND);
    assert_null(effect(FX_CLOSE));
    assert_int_equal(must(FX_ANNOUNCE)->attempt, 1);
    assert_int_equal(c.selected, 0);
    assert_int_equal(c.k, 1);
}

static void a_start_ends_at_its_time_and_not_before(void **state)
{
    struct coordinator_settings settings = defaults();
    settings.start_nodes = 5;
    boot_with(settings);
    join("a", 1);
    tick(5 * SECOND - 1);
    assert_int_equal(c.phase, COORDINATOR_GATHERING);
    tick(1);
    assert_int_equal(c.phase, COORDINATOR_COLLECTING);
}

static void what_was_held_is_settled_by_one_commit_only(void **state)
{
    struct coordinator_settings settings = defaults();
    settings.k_threshold = 0.5;
    boot(settings);
    offer_and_fold("a", 1);
    const struct coordinator_effects closing = fx;
    join_holding("b", 3, 1);
    fx = closing;
    close_and_commit(1);
    assert_int_equal(member_of("b")->settlement, SETTLE_DROPPED);
    assert_int_equal(member_of("a")->settlement, SETTLE_COUNTED);
    offer_and_fold("b", 2);
    close_and_commit(2);
    assert_int_equal(member_of("b")->settlement, SETTLE_COUNTED);
    assert_int_equal(member_of("a")->settlement, SETTLE_NOTHING);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_told_before_it_is_durable),
        cmocka_unit_test(k_of_n_is_the_least_whole_number_of_the_share),
        cmocka_unit_test(the_set_is_fixed_at_k_even_while_folds_are_under_way),
        cmocka_unit_test(every_wrong_update_is_refused_for_its_reason),
        cmocka_unit_test(the_same_again_is_acknowledged_and_another_is_equivocation),
        cmocka_unit_test(a_round_that_times_out_closes_with_enough_or_is_repeated),
        cmocka_unit_test(a_deadline_beats_the_message_that_comes_with_it),
        cmocka_unit_test(a_start_waits_for_its_nodes_or_its_time),
        cmocka_unit_test(a_new_connection_takes_the_old_ones_place),
        cmocka_unit_test(a_full_roster_turns_a_node_away),
        cmocka_unit_test(what_a_node_holds_is_settled_after_it_comes_back),
        cmocka_unit_test(weights_are_capped_samples),
        cmocka_unit_test(who_missed_a_round_and_is_away_is_not_asked_again),
        cmocka_unit_test(fewer_than_min_updates_never_close_a_round),
        cmocka_unit_test(a_first_round_waits_for_as_many_as_it_needs_to_close),
        cmocka_unit_test(a_beacon_says_which_round_from_which_version_until_when),
        cmocka_unit_test(a_clock_that_goes_back_does_not_take_time_back),
        cmocka_unit_test(a_round_without_end_has_a_deadline_all_the_same),
        cmocka_unit_test(a_repeated_round_asks_who_is_there_and_keeps_what_it_has),
        cmocka_unit_test(a_round_whose_nodes_are_all_gone_goes_on_being_repeated),
        cmocka_unit_test(a_timeout_with_enough_closes_when_the_last_fold_is_through),
        cmocka_unit_test(what_is_held_is_acknowledged_again_while_its_round_closes),
        cmocka_unit_test(what_contradicts_is_the_payload_the_base_the_samples_or_the_loss),
        cmocka_unit_test(another_update_for_a_later_attempt_is_a_replay_and_the_same_again_is_none),
        cmocka_unit_test(a_node_that_reconnects_while_its_round_closes_is_told_by_the_commit),
        cmocka_unit_test(a_look_up_is_answered_to_the_connection_that_asked),
        cmocka_unit_test(a_reason_that_the_store_knows_is_passed_on),
        cmocka_unit_test(nodes_that_came_before_the_model_are_asked_as_soon_as_it_is_there),
        cmocka_unit_test(a_round_that_needs_no_update_to_close_still_needs_one),
        cmocka_unit_test(a_start_ends_at_its_time_and_not_before),
        cmocka_unit_test(what_was_held_is_settled_by_one_commit_only),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}

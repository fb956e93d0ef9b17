/*
 * coordinator_late_test.c - updates that come after their round: counted once in a later one,
 * refused for a reason, waiting, or stood in for by the server's momentum.
 *
 * Nodes a and b report in time; d is the slow one. Not here: whom a round asks otherwise
 * (coordinator_select_test.c).
 */
#include "coordinator_late_scenes.h"

#include "testing.h"

#include <math.h>
#include <stdio.h>

static void a_late_update_is_counted_once_with_its_weight(void **state)
{
    for (uint64_t staleness = 1; staleness <= 3; staleness++) {
        boot_three(settings_of(LATE_NEXT_ROUND));
        for (uint64_t round = 1; round <= staleness; round++) {
            close_without_d();
            assert_int_equal(traced(TRACE_BUSY), 1);
            assert_int_equal(c.selected, 2);
        }
        const struct update_info late = update_for("d", 9, 1);
        offer(&late);
        assert_non_null(effect(FX_RECEIPT_ACCEPTED));
        assert_int_equal(traced(TRACE_ACCEPTED_LATE), 1);
        assert_int_equal(must(FX_FOLD)->blob.id, 9);
        const struct member *const d = member_of("d");
        assert_true(d->accepted && d->late);
        assert_true(d->staleness_weight == pow(1 + (double)staleness, -0.5));
        assert_int_equal(c.accepted_late, 1);
        fold();
        assert_null(effect(FX_CLOSE));
        /* The same is acknowledged, another contradicts it. */
        offer(&late);
        assert_non_null(effect(FX_RECEIPT_ACCEPTED));
        assert_null(effect(FX_FOLD));
        const struct update_info other = update_for("d", 8, 1);
        refused_for(&other, REASON_EQUIVOCATION);
        assert_non_null(effect(FX_EVIDENCE));
        offer_and_fold("a", 1);
        offer_and_fold("b", 2);
        /* One of three is stale: the rate is 1 - 0.5 / 3. */
        assert_true(fabs(must(FX_CLOSE)->rate - 5.0 / 6) < 1e-12);
        close_and_commit(staleness + 1);
        assert_int_equal(d->settlement, SETTLE_COUNTED);
        assert_int_equal(d->key.round, 1);
        assert_int_equal(d->counted_round, 1);
        const enum reason reason = staleness == 3 ? REASON_TOO_STALE : REASON_ALREADY_COUNTED;
        refused_for(&late, reason);
        refused_for(&other, reason);
        /* Now it is asked again. */
        assert_true(member_hears_beacon(d));
        assert_int_equal(c.selected, 3);
    }
}

static void a_fresh_update_weighs_all_it_has(void **state)
{
    boot_three(settings_of(LATE_NEXT_ROUND));
    offer_and_fold("a", 1);
    assert_true(member_of("a")->staleness_weight == 1);
    offer_and_fold("b", 2);
    assert_true(must(FX_CLOSE)->rate == 1);
}

static void beyond_the_bound_it_is_too_stale_and_its_node_is_asked_anew(void **state)
{
    boot_three(settings_of(LATE_NEXT_ROUND));
    for (int round = 1; round <= 3; round++) {
        close_without_d();
        assert_false(member_of("d")->selected);
        assert_int_equal(member_of("d")->works_for, 1);
    }
    /* While round 4 is open it would be counted there; once that closes it is 4 rounds late. */
    const struct update_info late = update_for("d", 9, 1);
    assert_int_equal(coordinator_screen(&c, &late), REASON_UNSPECIFIED);
    offer_and_fold("a", 1);
    offer_and_fold("b", 2);
    const struct coordinator_effect closing = *must(FX_CLOSE);
    refused_for(&late, REASON_TOO_STALE);
    fx.items[0] = closing;
    fx.count = 1;
    close_and_commit(4);
    assert_true(member_hears_beacon(member_of("d")));
    assert_int_equal(member_of("d")->works_for, 0);
    refused_for(&late, REASON_TOO_STALE);
}

static void every_late_update_that_is_not_taken_is_told_why(void **state)
{
    static const enum late_policy others[] = {LATE_DISCARD, LATE_MOMENTUM};
    for (int i = 0; i < 2; i++) {
        boot_three(settings_of(others[i]));
        close_without_d();
        const struct update_info late = update_for("d", 9, 1);
        refused_for(&late, REASON_ROUND_CLOSED);
        assert_true(member_hears_beacon(member_of("d"))); /* it begins anew */
        assert_int_equal(traced(TRACE_BUSY), 0);
    }
    boot_three(settings_of(LATE_NEXT_ROUND));
    close_without_d();
    join("e", 4);
    struct update_info late = update_for("d", 9, 1);
    late.base_id = version(1).id;
    refused_for(&late, REASON_UNKNOWN_BASE);
    boot_three(settings_of(LATE_NEXT_ROUND));
    close_without_d();
    join("e", 4);
    late = update_for("e", 9, 1);
    refused_for(&late, REASON_NOT_SELECTED);
    late = update_for("stranger", 9, 1);
    refused_for(&late, REASON_NOT_SELECTED);
    late = update_for("a", 1, 1);
    refused_for(&late, REASON_ALREADY_COUNTED);
    late = update_for("d", 9, 1);
    late.samples = 0;
    refused_for(&late, REASON_SAMPLES);
    late = update_for("d", 9, 1);
    late.key.round = 0;
    late.base_id = (struct digest){0};
    refused_for(&late, REASON_ALREADY_COUNTED);
}

static void an_update_that_was_refused_for_good_ends_the_work_for_it(void **state)
{
    boot_three(settings_of(LATE_NEXT_ROUND));
    close_without_d();
    struct update_info late = update_for("d", 9, 1);
    late.samples = 0;
    assert_int_equal(member_of("d")->works_for, 1);
    refused_for(&late, REASON_SAMPLES);
    assert_int_equal(member_of("d")->works_for, 0);
    close_without_d();
    assert_true(member_of("d")->selected);
    /* Also where it is of the open round. */
    late = update("d", 9);
    late.samples = 0;
    refused_for(&late, REASON_SAMPLES);
    close_without_d();
    assert_true(member_of("d")->selected);
    /* One for an earlier round says nothing of the work for this one. */
    late = update_for("d", 9, 1);
    refused_for(&late, REASON_ROUND_CLOSED);
    assert_true(member_of("d")->told);
}

static void what_the_shell_refused_for_good_ends_the_work_as_well(void **state)
{
    boot_three(settings_of(LATE_NEXT_ROUND));
    struct coordinator_event refused = {.kind = EV_REFUSED, .update = {.info = update("d", 9)}};
    step(refused);
    assert_int_equal(fx.count, 0);
    close_without_d();
    assert_int_equal(traced(TRACE_BUSY), 0);
    assert_true(member_hears_beacon(member_of("d")));
    close_without_d();
    assert_int_equal(member_of("d")->works_for, 2);
    refused.update.info = update_for("d", 9, 1); /* an old one says nothing of that */
    step(refused);
    assert_int_equal(member_of("d")->works_for, 2);
    refused.update.info = update_for("d", 9, 2);
    step(refused);
    assert_int_equal(member_of("d")->works_for, 0);
    refused.update.info.name = "stranger";
    step(refused);
    assert_int_equal(fx.count, 0);
}

static const enum coordinator_phase fixed[] = {COORDINATOR_COLLECTING, COORDINATOR_CLOSING,
                                               COORDINATOR_VALIDATING, COORDINATOR_COMMITTING};

static void what_comes_while_the_set_is_fixed_waits_for_the_next_round(void **state)
{
    for (int i = 0; i < 4; i++) {
        const struct coordinator_effect pending = fix_the_set(fixed[i]);
        assert_int_equal(c.phase, fixed[i]);
        const struct member *const d = member_of("d");
        const struct update_info info = update("d", 9);
        assert_int_equal(coordinator_screen(&c, &info), REASON_UNSPECIFIED);
        offer(&info);
        assert_int_equal(must(FX_RECEIPT_ACCEPTED)->member, roster_find(&c.roster, "d"));
        assert_null(effect(FX_FOLD));
        assert_null(effect(FX_RELEASE));
        assert_true(d->waiting && !d->accepted);
        assert_int_equal(c.accepted, 2);
        assert_true(coordinator_holds(&c, &info));
        offer(&info);
        assert_non_null(effect(FX_RECEIPT_ACCEPTED));
        assert_non_null(effect(FX_RELEASE));
        const struct update_info other = update("d", 8);
        refused_for(&other, REASON_EQUIVOCATION);
        assert_non_null(effect(FX_EVIDENCE));
        leave(3); /* that it leaves changes nothing */
        go_on(pending);
        assert_int_equal(d->settlement, SETTLE_NOTHING);
        assert_int_equal(traced(TRACE_BUSY), 0);
        assert_int_equal(traced(TRACE_ACCEPTED_LATE), 1);
        assert_int_equal(c.selected, 2);
        assert_int_equal(c.needed, 2);
        assert_true(must(FX_ANNOUNCE) < must(FX_FOLD_WAITING));
        assert_true(d->folding && d->accepted && d->late && !d->waiting && !d->selected);
        assert_true(d->staleness_weight == pow(2, -0.5));
        assert_int_equal(d->blob.id, 9);
        const struct coordinator_effect folds = *must(FX_FOLD_WAITING);
        offer_and_fold("a", 1);
        offer_and_fold("b", 2);
        assert_null(effect(FX_CLOSE)); /* not before it is folded */
        step((struct coordinator_event){.kind = EV_FOLDED, .id = folds.id});
        close_and_commit(2);
        assert_int_equal(d->settlement, SETTLE_COUNTED);
        assert_int_equal(d->counted_round, 1);
        assert_null(effect(FX_FOLD_WAITING));
    }
}

static void an_older_one_waits_as_well(void **state)
{
    for (uint64_t staleness = 2; staleness <= 4; staleness++) {
        boot_three(settings_of(LATE_NEXT_ROUND));
        for (uint64_t round = 1; round < staleness; round++)
            close_without_d();
        offer_and_fold("a", 1);
        offer_and_fold("b", 2);
        const struct coordinator_effect closing = *must(FX_CLOSE);
        const struct update_info late = update_for("d", 9, 1);
        if (staleness == 4) { /* it would be counted in round 5 */
            refused_for(&late, REASON_TOO_STALE);
            continue;
        }
        offer(&late);
        assert_true(member_of("d")->waiting);
        assert_int_equal(member_of("d")->works_for, 0);
        fx.items[0] = closing;
        fx.count = 1;
        close_and_commit(staleness);
        assert_non_null(effect(FX_FOLD_WAITING));
        assert_true(member_of("d")->staleness_weight == pow(1 + (double)staleness, -0.5));
    }
}

static void all_that_waits_is_folded_by_one_effect(void **state)
{
    struct coordinator_settings settings = settings_of(LATE_NEXT_ROUND);
    settings.start_nodes = 30;
    settings.k_threshold = 0.1;
    boot_with(settings);
    join_many(30);
    for (uint32_t i = 0; i < 3; i++)
        offer_and_fold(name_of(i), 1);
    const struct coordinator_effect closing = *must(FX_CLOSE);
    for (uint32_t i = 3; i < 30; i++) {
        const struct update_info info = update(name_of(i), 1);
        offer(&info);
    }
    fx.items[0] = closing;
    fx.count = 1;
    close_and_commit(1);
    assert_non_null(effect(FX_FOLD_WAITING));
    assert_int_equal(c.folding, 1);
    assert_int_equal(c.accepted, 27);
    assert_int_equal(c.accepted_late, 27);
    assert_int_equal(c.selected, 3);
    assert_int_equal(c.k, 1);
    complete(FX_FOLD_WAITING, (struct coordinator_event){.kind = EV_FOLDED});
    assert_null(effect(FX_CLOSE));
}

static void what_waits_when_the_job_ends_is_released_and_never_counted(void **state)
{
    static const char *const ways[] = {"exhausted", "cancelled in commit", "cancelled in pause"};
    for (int way = 0; way < 3; way++) {
        const struct coordinator_effect pending = fix_the_set(COORDINATOR_COMMITTING);
        const struct update_info info = update("d", 9);
        offer(&info);
        if (way == 0)
            c.outcome = OUTCOME_EXHAUSTED; /* as the commit under way says */
        if (way == 1)
            step((struct coordinator_event){.kind = EV_CANCEL});
        if (way == 2)
            step((struct coordinator_event){.kind = EV_PAUSE});
        go_on(pending);
        if (way == 2) {
            assert_int_equal(c.phase, COORDINATOR_PAUSED);
            assert_null(effect(FX_FOLD_WAITING));
            assert_true(coordinator_holds(&c, &info));
            step((struct coordinator_event){.kind = EV_CANCEL});
        }
        if (way > 0) {
            refused_for(&info, REASON_JOB_ENDED);
            fx.items[0] =
                (struct coordinator_effect){.kind = FX_PERSIST_OUTCOME, .id = c.pending_id};
            fx.count = 1;
            complete(FX_PERSIST_OUTCOME, (struct coordinator_event){.kind = EV_OUTCOME_PERSISTED});
        }
        assert_non_null(effect(FX_FINISH));
        if (effect(FX_RELEASE_WAITING) == nullptr || !member_of("d")->waiting)
            fail_msg("%s", ways[way]);
        refused_for(&info, REASON_JOB_ENDED);
        assert_false(coordinator_holds(&c, &info));
        /* Who comes back is told, and that the job is over. */
        join_holding("d", 8, 1);
        answer_recall(0);
        assert_non_null(effect(FX_SEND_DROPPED));
        assert_non_null(effect(FX_SEND_FINISHED));
    }
}

static void what_waits_through_a_pause_is_counted_after_it(void **state)
{
    const struct coordinator_effect pending = fix_the_set(COORDINATOR_CLOSING);
    step((struct coordinator_event){.kind = EV_PAUSE});
    complete(FX_PERSIST_PAUSED,
             (struct coordinator_event){.kind = EV_PAUSE_PERSISTED, .paused = true});
    go_on(pending);
    assert_int_equal(c.phase, COORDINATOR_PAUSED);
    /* It comes in the pause. */
    const struct update_info info = update_for("d", 9, 1);
    offer(&info);
    assert_true(member_of("d")->waiting);
    assert_null(effect(FX_FOLD));
    struct update_info fresh = update_for("a", 9, 2);
    refused_for(&fresh, REASON_NOT_SELECTED);
    fresh = update_for("d", 7, 2);
    refused_for(&fresh, REASON_NOT_SELECTED);
    assert_int_equal(member_of("d")->blob.id, 9);
    step((struct coordinator_event){.kind = EV_RESUME});
    complete(FX_PERSIST_PAUSED, (struct coordinator_event){.kind = EV_PAUSE_PERSISTED});
    assert_int_equal(c.phase, COORDINATOR_COLLECTING);
    assert_non_null(effect(FX_FOLD_WAITING));
    assert_true(member_of("d")->staleness_weight == pow(2, -0.5));
    assert_int_equal(c.selected, 2);
}

static void the_bound_of_what_comes_in_a_pause_is_that_of_the_round_after_it(void **state)
{
    for (int rounds = 3; rounds <= 4; rounds++) {
        boot_three(settings_of(LATE_NEXT_ROUND));
        for (int round = 1; round < rounds; round++)
            close_without_d();
        step((struct coordinator_event){.kind = EV_PAUSE});
        close_without_d();
        assert_int_equal(c.phase, COORDINATOR_PAUSED);
        const struct update_info late = update_for("d", 9, 1);
        assert_int_equal(coordinator_screen(&c, &late),
                         rounds == 3 ? REASON_UNSPECIFIED : REASON_TOO_STALE);
    }
}

static void who_came_back_or_is_too_late_is_asked_again(void **state)
{
    boot_three(settings_of(LATE_NEXT_ROUND));
    close_without_d();
    assert_false(member_hears_beacon(member_of("d")));
    leave(3);
    join("d", 4);
    /* Not in the open round, whose N is fixed. */
    assert_null(effect(FX_SEND_BEACON));
    close_without_d();
    assert_true(member_hears_beacon(member_of("d")));
    /* Gone for a whole round, it is not among the N. */
    close_without_d();
    assert_int_equal(member_of("d")->works_for, 3);
    leave(4);
    close_without_d();
    assert_int_equal(member_of("d")->works_for, 0);
    assert_false(member_of("d")->selected);
}

static void who_joined_too_late_for_a_beacon_is_not_busy_with_it(void **state)
{
    boot_with_all(settings_of(LATE_NEXT_ROUND));
    close_without_d();
    const struct update_info late = update_for("d", 9, 2);
    offer(&late);
    fold();
    leave(3);
    close_without_d();
    assert_int_equal(c.k, 2);
    assert_true(member_of("d")->selected); /* away, but it may be back in a moment */
    offer_and_fold("a", 1);
    const struct update_info info = update("b", 2);
    offer(&info);
    const struct coordinator_effect last = *must(FX_FOLD);
    join("d", 4); /* the set is fixed: no beacon */
    assert_null(effect(FX_SEND_BEACON));
    step((struct coordinator_event){.kind = EV_FOLDED, .id = last.id});
    close_and_commit(4);
    assert_int_equal(traced(TRACE_BUSY), 0);
    assert_true(member_hears_beacon(member_of("d")));
    /* Nor is who lost its work with its connection, and came back while the round was closing. */
    offer_and_fold("a", 1);
    offer_and_fold("b", 2);
    const struct coordinator_effect closing = *must(FX_CLOSE);
    leave(4);
    join("d", 5);
    fx.items[0] = closing;
    fx.count = 1;
    close_and_commit(5);
    assert_true(member_hears_beacon(member_of("d")));
}

static void where_too_few_are_there_the_busy_begin_anew(void **state)
{
    struct coordinator_settings settings = settings_of(LATE_NEXT_ROUND);
    settings.min_updates = 2;
    boot_three(settings);
    close_without_d();
    assert_false(member_of("d")->selected); /* two are enough */
    offer_and_fold("a", 1);
    offer_and_fold("b", 2);
    const struct coordinator_effect closing = *must(FX_CLOSE);
    leave(2);
    member_of("b")->accepted = false; /* as if another had been counted: it does not come back */
    fx.items[0] = closing;
    fx.count = 1;
    close_and_commit(2);
    assert_true(member_hears_beacon(member_of("d")));
    assert_int_equal(traced(TRACE_BUSY), 0);
    assert_int_equal(c.selected, 2);
    /* What it was making is not taken any more: it drops that when the new one is made. */
    const struct update_info late = update_for("d", 9, 1);
    refused_for(&late, REASON_ROUND_CLOSED);
    offer_and_fold("d", 8);
    assert_int_equal(c.accepted, 1);
}

static void late_updates_count_towards_min_updates_but_not_towards_k(void **state)
{
    struct coordinator_settings settings = settings_of(LATE_NEXT_ROUND);
    settings.min_updates = 2;
    boot_three(settings);
    close_without_d();
    const struct update_info late = update_for("d", 9, 1);
    offer(&late);
    fold();
    offer_and_fold("a", 1);
    assert_null(effect(FX_CLOSE)); /* two are there, one of the two that were asked */
    tick(11 * SECOND);
    assert_int_equal(c.accepted, 2);
    assert_non_null(effect(FX_CLOSE));
    /* With one fewer it is repeated, and the late one kept. */
    boot_three(settings);
    close_without_d();
    offer(&late);
    fold();
    tick(11 * SECOND);
    assert_null(effect(FX_CLOSE));
    assert_int_equal(c.attempt, 1);
    assert_int_equal(c.accepted, 1);
    assert_int_equal(c.accepted_late, 1);
    assert_int_equal(c.selected, 2);
    assert_false(member_of("d")->selected);
}

static void momentum_stands_in_for_who_is_late(void **state)
{
    struct coordinator_settings settings = settings_of(LATE_MOMENTUM);
    settings.start_nodes = 4;
    settings.k_threshold = 0.5;
    boot_with(settings);
    join("a", 1);
    join("b", 2);
    join("d", 3);
    join("e", 4);
    offer_and_fold("d", 3);
    offer_and_fold("a", 1);
    assert_non_null(effect(FX_CLOSE)); /* before the first version there is no momentum */
    assert_int_equal(c.stand_ins, 0);
    assert_int_equal(traced(TRACE_STANDS_IN), 0);
    close_and_commit(1);
    join("g", 5); /* not asked this round */
    offer_and_fold("a", 1);
    offer_and_fold("b", 2);
    /* d and e are late; of e no samples are known. */
    assert_int_equal(traced(TRACE_STANDS_IN), 1);
    assert_int_equal(c.stand_ins, 1);
    assert_int_equal(c.k, 2);
    assert_true(member_of("d")->stands_in);
    assert_false(member_of("e")->stands_in);
    assert_false(member_of("a")->stands_in);
    assert_false(member_of("g")->stands_in);
    assert_int_equal(member_of("d")->weight_samples, 10);
    close_and_commit(2);
    assert_false(member_of("d")->stands_in);
    assert_int_equal(c.stand_ins, 0);
    assert_int_equal(member_of("d")->settlement, SETTLE_NOTHING);
    /* It is asked again at once: what it was making is dropped. */
    assert_true(member_hears_beacon(member_of("d")));
    /* It does not count towards what closes a round. */
    offer_and_fold("a", 1);
    assert_null(effect(FX_CLOSE));
}

static void momentum_is_for_no_other_policy_and_known_after_a_restart(void **state)
{
    for (int late = LATE_DISCARD; late <= LATE_NEXT_ROUND; late++) {
        boot_with_all(settings_of(late));
        offer_and_fold("a", 1);
        offer_and_fold("b", 1);
        assert_non_null(effect(FX_CLOSE));
        assert_int_equal(c.stand_ins, 0);
    }
    const struct coordinator_settings settings = settings_of(LATE_MOMENTUM);
    boot_three(settings);
    offer_and_fold("d", 3);
    offer_and_fold("a", 1);
    close_and_commit(1);
    restart(settings, stored());
    join("a", 1);
    join("b", 1);
    offer_and_fold("a", 1);
    offer_and_fold("b", 1);
    assert_int_equal(c.stand_ins, 1);
    assert_true(member_of("d")->stands_in);
    assert_int_equal(member_of("d")->weight_samples, 10);
}

static void who_was_away_when_the_coordinator_died_keeps_its_weight(void **state)
{
    const struct coordinator_settings settings = settings_of(LATE_MOMENTUM);
    boot_three(settings);
    offer_and_fold("d", 3);
    offer_and_fold("a", 1);
    close_and_commit(1);
    leave(member_of("d")->session);
    offer_and_fold("a", 1);
    offer_and_fold("b", 2);
    close_and_commit(2);
    restart(settings, stored());
    assert_false(member_of("d")->expected); /* nobody waits for it */
    assert_true(member_of("a")->expected);
    assert_int_equal(member_of("d")->weight_samples, 10);
    join("d", 1);
    join("a", 2);
    join("b", 3);
    offer_and_fold("a", 1);
    offer_and_fold("b", 1);
    assert_false(member_of("d")->stands_in); /* the open round is not its own */
    close_and_commit(3);
    offer_and_fold("a", 1);
    offer_and_fold("b", 1);
    assert_true(member_of("d")->stands_in);
    assert_int_equal(c.stand_ins, 1);
}

static void samples_are_bounded_before_they_weigh(void **state)
{
    struct coordinator_settings settings = settings_of(LATE_MOMENTUM);
    settings.samples_max = 7;
    boot_three(settings);
    offer_and_fold("a", 1);
    assert_int_equal(member_of("a")->samples, 10);
    assert_int_equal(member_of("a")->weight_samples, 7);
    offer_and_fold("d", 1);
    close_and_commit(1);
    settings.samples_max = 5;
    restart(settings, stored());
    assert_int_equal(member_of("a")->weight_samples, 5);
    assert_int_equal(member_of("b")->weight_samples, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_late_update_is_counted_once_with_its_weight),
        cmocka_unit_test(a_fresh_update_weighs_all_it_has),
        cmocka_unit_test(beyond_the_bound_it_is_too_stale_and_its_node_is_asked_anew),
        cmocka_unit_test(every_late_update_that_is_not_taken_is_told_why),
        cmocka_unit_test(an_update_that_was_refused_for_good_ends_the_work_for_it),
        cmocka_unit_test(what_the_shell_refused_for_good_ends_the_work_as_well),
        cmocka_unit_test(what_comes_while_the_set_is_fixed_waits_for_the_next_round),
        cmocka_unit_test(an_older_one_waits_as_well),
        cmocka_unit_test(all_that_waits_is_folded_by_one_effect),
        cmocka_unit_test(what_waits_when_the_job_ends_is_released_and_never_counted),
        cmocka_unit_test(what_waits_through_a_pause_is_counted_after_it),
        cmocka_unit_test(the_bound_of_what_comes_in_a_pause_is_that_of_the_round_after_it),
        cmocka_unit_test(who_came_back_or_is_too_late_is_asked_again),
        cmocka_unit_test(who_joined_too_late_for_a_beacon_is_not_busy_with_it),
        cmocka_unit_test(where_too_few_are_there_the_busy_begin_anew),
        cmocka_unit_test(late_updates_count_towards_min_updates_but_not_towards_k),
        cmocka_unit_test(momentum_stands_in_for_who_is_late),
        cmocka_unit_test(momentum_is_for_no_other_policy_and_known_after_a_restart),
        cmocka_unit_test(who_was_away_when_the_coordinator_died_keeps_its_weight),
        cmocka_unit_test(samples_are_bounded_before_they_weigh),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}

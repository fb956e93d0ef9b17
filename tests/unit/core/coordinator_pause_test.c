/*
 * coordinator_pause_test.c - a job that is paused stands still between two rounds, durably, and
 * goes on when it is resumed.
 */
#include "coordinator_driver.h"

#include "testing.h"

static const struct coordinator_event pause_job = {.kind = EV_PAUSE};
static const struct coordinator_event resume_job = {.kind = EV_RESUME};
static const struct coordinator_event cancel = {.kind = EV_CANCEL};

/* Completes the FX_PERSIST_PAUSED under way, whatever is in fx. */
static void persist(bool paused)
{
    assert_int_not_equal(c.paused_id, 0);
    step((struct coordinator_event){
        .kind = EV_PAUSE_PERSISTED, .id = c.paused_id, .paused = paused});
}

static void stands_still(uint64_t round)
{
    assert_int_equal(c.phase, COORDINATOR_PAUSED);
    assert_int_equal(c.round, round);
    assert_int_equal(c.deadline_ns, NO_DEADLINE);
    assert_null(effect(FX_ANNOUNCE));
    tick(1000000 * SECOND);
    assert_int_equal(fx.count, 0);
    join("z", 90);
    assert_non_null(effect(FX_WELCOME));
    assert_null(effect(FX_SEND_BEACON));
    leave(90);
    const struct update_info info = update("a", 1);
    refused_for(&info, REASON_NOT_SELECTED);
}

static void a_pause_waits_for_the_round_to_end_and_is_durable_at_once(void **state)
{
    static const enum coordinator_phase phases[] = {COORDINATOR_COLLECTING, COORDINATOR_CLOSING,
                                                    COORDINATOR_VALIDATING, COORDINATOR_COMMITTING};
    for (int at = 0; at < 4; at++) {
        struct coordinator_settings settings = defaults();
        settings.validate = true;
        boot(settings);
        struct coordinator_effects pending = fx;
        for (int i = 0; i < 4; i++) {
            if (i == at) {
                assert_int_equal(c.phase, phases[at]);
                step(pause_job);
                assert_true(must(FX_PERSIST_PAUSED)->paused);
                persist(true);
                assert_int_equal(fx.count, 0);
                assert_int_equal(c.phase, phases[at]);
                fx = pending;
            }
            if (i == 0) {
                offer_and_fold("a", 1);
                offer_and_fold("b", 2);
            } else if (i == 1) {
                complete(FX_CLOSE, (struct coordinator_event){.kind = EV_CLOSED,
                                                              .aggregate_norm = 1,
                                                              .version = version(1)});
            } else if (i == 2) {
                complete(FX_VALIDATE, validated());
            } else {
                complete(FX_COMMIT,
                         (struct coordinator_event){.kind = EV_COMMITTED, .version = version(1)});
            }
            pending = fx;
        }
        assert_non_null(effect(FX_SETTLE)); /* what was counted is told */
        assert_int_equal(member_of("a")->settlement, SETTLE_COUNTED);
        stands_still(2);
        step(resume_job);
        assert_false(must(FX_PERSIST_PAUSED)->paused);
        assert_null(effect(FX_ANNOUNCE)); /* not before that is durable */
        persist(false);
        assert_int_equal(must(FX_ANNOUNCE)->round, 2);
        assert_int_equal(c.phase, COORDINATOR_COLLECTING);
        assert_int_equal(c.selected, 2);
    }
}

static void a_job_paused_before_its_first_round_stands_before_it(void **state)
{
    /* While its epoch is raised, its model made or committed, its nodes gathered. */
    for (int at = 0; at < 4; at++) {
        begin_from(defaults(), (struct coordinator_event){0});
        struct coordinator_effects pending = fx;
        for (int i = 0; i < 4; i++) {
            if (i == at) {
                step(pause_job);
                assert_true(must(FX_PERSIST_PAUSED)->paused);
                persist(true);
                assert_int_equal(fx.count, 0);
                fx = pending;
            }
            if (i == 0)
                complete_epoch(1);
            else if (i == 1)
                complete(FX_CREATE_MODEL, (struct coordinator_event){.kind = EV_MODEL_CREATED,
                                                                     .version = version(0)});
            else if (i == 2)
                complete(FX_COMMIT,
                         (struct coordinator_event){.kind = EV_COMMITTED, .version = version(0)});
            pending = fx;
        }
        assert_int_equal(c.phase, COORDINATOR_GATHERING);
        join("a", 1);
        join("b", 2);
        stands_still(1);
        step(resume_job);
        persist(false);
        assert_int_equal(must(FX_ANNOUNCE)->round, 1);
    }
}

static void the_last_round_ends_the_job_also_where_a_pause_is_wanted(void **state)
{
    struct coordinator_settings settings = defaults();
    settings.rounds_max = 1;
    boot(settings);
    step(pause_job);
    persist(true);
    offer_and_fold("a", 1);
    offer_and_fold("b", 2);
    close_and_commit(1);
    assert_int_equal(must(FX_FINISH)->outcome, OUTCOME_EXHAUSTED);
    assert_int_equal(c.phase, COORDINATOR_ENDED);
    step(resume_job);
    assert_int_equal(fx.count, 0);
}

static void there_is_nothing_to_pause_before_a_start_or_after_the_end(void **state)
{
    const struct coordinator_settings settings = defaults();
    coordinator_init(&c, &settings, members, (uint32_t[CAPACITY]){0}, CAPACITY);
    step(pause_job);
    assert_int_equal(fx.count, 0);
    assert_false(c.pause_wanted);
    boot(settings);
    step(cancel);
    const struct coordinator_effects ending = fx;
    step(pause_job);
    assert_int_equal(fx.count, 0);
    fx = ending;
    complete(FX_PERSIST_OUTCOME, (struct coordinator_event){.kind = EV_OUTCOME_PERSISTED});
    step(pause_job);
    assert_int_equal(fx.count, 0);
    /* Nor in a job that had ended before this start. */
    begin_from(settings, (struct coordinator_event){.start = {.epoch = 4,
                                                              .has_version = true,
                                                              .version = version(3),
                                                              .open_round = 4,
                                                              .outcome = OUTCOME_EXHAUSTED}});
    step(pause_job);
    assert_int_equal(fx.count, 0);
}

static void the_same_again_is_not_written_again(void **state)
{
    boot(defaults());
    step(resume_job);
    assert_int_equal(fx.count, 0);
    step(pause_job);
    assert_non_null(effect(FX_PERSIST_PAUSED));
    step(pause_job);
    assert_int_equal(fx.count, 0);
    persist(true);
    assert_int_equal(fx.count, 0);
    step(pause_job);
    assert_int_equal(fx.count, 0);
}

/*
 * Every order of up to 8 pauses, resumes and completions, begun while a round is open and while the
 * job stands still. One request is under way at most; once all are through, what is durable and
 * what the job does is what was asked for last.
 */
static void every_order_of_pauses_and_resumes_ends_as_the_last_says(void **state)
{
    enum { STEPS = 8, ORDERS = 6561 };
    for (int paused = 0; paused < 2; paused++) {
        for (uint32_t order = 0; order < ORDERS; order++) {
            boot(defaults());
            if (paused) {
                step(pause_job);
                persist(true);
                offer_and_fold("a", 1);
                offer_and_fold("b", 2);
                close_and_commit(1);
            }
            bool durable = paused;
            bool wanted = paused;
            bool writing = false;
            uint32_t left = order;
            for (int i = 0; i < STEPS || c.paused_id != 0; i++, left /= 3) {
                const uint32_t move = i < STEPS ? left % 3 : 2;
                if (move == 2 && c.paused_id == 0)
                    continue;
                const uint64_t before = c.paused_id;
                if (move < 2) {
                    wanted = move == 0;
                    step(wanted ? pause_job : resume_job);
                } else {
                    durable = writing;
                    persist(durable);
                }
                const struct coordinator_effect *const request = effect(FX_PERSIST_PAUSED);
                assert_true(request == nullptr || before == 0 || move == 2);
                if (request != nullptr)
                    writing = request->paused;
                assert_true(c.paused == durable);
                if (c.paused_id == 0)
                    assert_true(durable == wanted);
                if (paused && c.phase == COORDINATOR_COLLECTING)
                    break; /* it went on: from here it is as with an open round */
                assert_int_equal(c.phase, paused ? COORDINATOR_PAUSED : COORDINATOR_COLLECTING);
            }
            if (paused) {
                assert_true((c.phase == COORDINATOR_PAUSED) == wanted);
                continue;
            }
            offer_and_fold("a", 1);
            offer_and_fold("b", 2);
            close_and_commit(1);
            assert_int_equal(c.phase, wanted ? COORDINATOR_PAUSED : COORDINATOR_COLLECTING);
        }
    }
}

static void a_round_that_ends_while_a_pause_is_written_does_not_open_the_next(void **state)
{
    boot(defaults());
    step(pause_job);
    offer_and_fold("a", 1);
    offer_and_fold("b", 2);
    close_and_commit(1);
    assert_int_equal(c.phase, COORDINATOR_PAUSED);
    persist(true);
    stands_still(2);
    /* Resumed, but not durably: it stands. */
    boot(defaults());
    step(pause_job);
    persist(true);
    step(resume_job);
    offer_and_fold("a", 1);
    offer_and_fold("b", 2);
    close_and_commit(1);
    assert_int_equal(c.phase, COORDINATOR_PAUSED);
    assert_null(effect(FX_ANNOUNCE));
    persist(false);
    assert_int_equal(must(FX_ANNOUNCE)->round, 2);
}

/* As the store gives it after one round, in a pause. */
static void restart_paused(void)
{
    struct coordinator_settings settings = defaults();
    settings.late = LATE_NEXT_ROUND;
    boot(settings);
    offer_and_fold("a", 1);
    offer_and_fold("b", 2);
    close_and_commit(1);
    struct coordinator_event start = stored();
    start.start.paused = true;
    restart(settings, start);
    assert_int_equal(c.phase, COORDINATOR_PAUSED);
    assert_int_equal(c.epoch, 2);
}

static void a_paused_job_is_paused_after_a_restart(void **state)
{
    restart_paused();
    assert_null(effect(FX_ANNOUNCE));
    assert_null(effect(FX_PERSIST_PAUSED));
    join("a", 1);
    assert_null(effect(FX_SEND_BEACON));
    /* Of the round that stands open it is said nothing yet; of the one before, what became of it.
     */
    join_holding("a", 2, 2);
    assert_null(effect(FX_RECALL));
    assert_null(effect(FX_SEND_OFFER));
    join_holding("b", 3, 1);
    answer_recall(1);
    assert_non_null(effect(FX_SEND_COUNTED));
    assert_null(effect(FX_SEND_BEACON));
    step(resume_job);
    persist(false);
    assert_int_equal(must(FX_ANNOUNCE)->round, 2);
    assert_true(member_hears_beacon(member_of("a")) && member_hears_beacon(member_of("b")));
    offer_and_fold("a", 9);
    offer_and_fold("b", 2);
    close_and_commit(2);
}

static void a_job_resumed_with_nobody_there_waits_for_somebody(void **state)
{
    restart_paused();
    step(resume_job);
    persist(false);
    assert_int_equal(c.phase, COORDINATOR_GATHERING);
    assert_int_equal(must(FX_TIMER)->deadline_ns, now + 5 * SECOND);
    tick(5 * SECOND);
    assert_int_equal(c.phase, COORDINATOR_GATHERING);
    join("a", 1);
    assert_int_equal(must(FX_ANNOUNCE)->round, 2);
    assert_int_equal(c.selected, 2); /* b contributed, and may be back in a moment */
}

static void a_restart_before_the_pause_was_written_goes_on(void **state)
{
    boot(defaults());
    offer_and_fold("a", 1);
    offer_and_fold("b", 2);
    close_and_commit(1);
    step(pause_job);
    restart(defaults(), stored());
    assert_int_equal(must(FX_ANNOUNCE)->round, 2);
}

static void a_pause_that_cannot_be_written_stops_the_machine(void **state)
{
    for (int paused = 0; paused < 2; paused++) {
        if (paused)
            restart_paused();
        else
            boot(defaults());
        step(paused ? resume_job : pause_job);
        complete(FX_PERSIST_PAUSED,
                 (struct coordinator_event){.kind = EV_PAUSE_PERSISTED, .status = STATUS_NO_SPACE});
        assert_int_equal(must(FX_EXIT)->status, STATUS_NO_SPACE);
        assert_int_equal(c.phase, COORDINATOR_FAILED);
        assert_null(effect(FX_ANNOUNCE));
    }
}

static void a_paused_job_can_be_cancelled(void **state)
{
    restart_paused();
    step(cancel);
    assert_int_equal(must(FX_PERSIST_OUTCOME)->outcome, OUTCOME_CANCELLED);
    complete(FX_PERSIST_OUTCOME, (struct coordinator_event){.kind = EV_OUTCOME_PERSISTED});
    assert_int_equal(must(FX_FINISH)->outcome, OUTCOME_CANCELLED);
    /* While its end of the pause is being written. */
    restart_paused();
    step(resume_job);
    step(cancel);
    const struct coordinator_effects ending = fx;
    assert_int_equal(must(FX_PERSIST_OUTCOME)->outcome, OUTCOME_CANCELLED);
    persist(false);
    assert_int_equal(fx.count, 0);
    assert_int_equal(c.phase, COORDINATOR_ENDING);
    fx = ending;
    complete(FX_PERSIST_OUTCOME, (struct coordinator_event){.kind = EV_OUTCOME_PERSISTED});
    assert_int_equal(must(FX_FINISH)->outcome, OUTCOME_CANCELLED);
    /* Or only after the end. */
    restart_paused();
    step(resume_job);
    step(cancel);
    complete(FX_PERSIST_OUTCOME, (struct coordinator_event){.kind = EV_OUTCOME_PERSISTED});
    persist(false);
    assert_int_equal(fx.count, 0);
    assert_int_equal(c.phase, COORDINATOR_ENDED);
}

static void an_epoch_is_raised_in_a_pause_and_the_beacon_after_it_carries_it(void **state)
{
    restart_paused();
    join_having_seen("a", 1, 7);
    assert_int_equal(must(FX_PERSIST_EPOCH)->epoch, 8);
    complete_epoch(8);
    assert_null(effect(FX_ANNOUNCE));
    assert_int_equal(c.phase, COORDINATOR_PAUSED);
    step(resume_job);
    persist(false);
    assert_int_equal(must(FX_ANNOUNCE)->epoch, 8);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_pause_waits_for_the_round_to_end_and_is_durable_at_once),
        cmocka_unit_test(a_job_paused_before_its_first_round_stands_before_it),
        cmocka_unit_test(the_last_round_ends_the_job_also_where_a_pause_is_wanted),
        cmocka_unit_test(there_is_nothing_to_pause_before_a_start_or_after_the_end),
        cmocka_unit_test(the_same_again_is_not_written_again),
        cmocka_unit_test(every_order_of_pauses_and_resumes_ends_as_the_last_says),
        cmocka_unit_test(a_round_that_ends_while_a_pause_is_written_does_not_open_the_next),
        cmocka_unit_test(a_paused_job_is_paused_after_a_restart),
        cmocka_unit_test(a_job_resumed_with_nobody_there_waits_for_somebody),
        cmocka_unit_test(a_restart_before_the_pause_was_written_goes_on),
        cmocka_unit_test(a_pause_that_cannot_be_written_stops_the_machine),
        cmocka_unit_test(a_paused_job_can_be_cancelled),
        cmocka_unit_test(an_epoch_is_raised_in_a_pause_and_the_beacon_after_it_carries_it),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}

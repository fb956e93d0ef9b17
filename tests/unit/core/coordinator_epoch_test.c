/*
 * coordinator_epoch_test.c - epochs are raised durably and above what members saw; a restart is a
 * replay of what was durable.
 */
#include "coordinator_driver.h"

#include "testing.h"

static void a_new_coordinator_serves_with_the_epoch_that_the_store_gave(void **state)
{
    begin_from(defaults(), (struct coordinator_event){.start = {.epoch = 4}});
    const uint64_t id = must(FX_PERSIST_EPOCH)->id;
    join("a", 1);
    assert_int_equal(must(FX_WELCOME)->epoch, 0);
    const struct update_info early = update("a", 1);
    assert_int_equal(coordinator_screen(&c, &early), REASON_DRAINING);
    /* Another process may have raised it meanwhile: the store gives more than was asked for. */
    step((struct coordinator_event){.kind = EV_EPOCH_PERSISTED, .id = id, .epoch = 9});
    assert_int_equal(c.epoch, 9);
    assert_non_null(effect(FX_CREATE_MODEL));
    join("b", 2);
    assert_int_equal(must(FX_WELCOME)->epoch, 9);
}

static void a_later_epoch_is_jumped_above_while_nodes_gather(void **state)
{
    boot_with(defaults());
    join_having_seen("a", 1, 41);
    assert_int_equal(must(FX_PERSIST_EPOCH)->epoch, 42);
    const uint64_t id = must(FX_PERSIST_EPOCH)->id;
    join("b", 2);
    assert_int_equal(c.phase, COORDINATOR_COLLECTING);
    assert_null(effect(FX_ANNOUNCE)); /* not with an epoch that nodes have fenced off */
    join("a", 3);
    assert_null(effect(FX_SEND_BEACON));
    step((struct coordinator_event){.kind = EV_EPOCH_PERSISTED, .id = id, .epoch = 42});
    assert_int_equal(must(FX_ANNOUNCE)->epoch, 42);
    assert_int_equal(must(FX_ANNOUNCE)->deadline_ns, 10 * SECOND);
}

static void no_round_closes_while_an_epoch_is_made_durable(void **state)
{
    boot(defaults());
    const struct update_info info = update("b", 2);
    offer_and_fold("a", 1);
    join_having_seen("d", 3, 50);
    const uint64_t id = must(FX_PERSIST_EPOCH)->id;
    offer(&info);
    complete(FX_FOLD, (struct coordinator_event){.kind = EV_FOLDED});
    assert_null(effect(FX_CLOSE));
    step((struct coordinator_event){.kind = EV_EPOCH_PERSISTED, .id = id, .epoch = 51});
    assert_non_null(effect(FX_CLOSE));
    assert_null(effect(FX_ANNOUNCE)); /* the round has all it wants */
}

/* The store refuses what is signed in the epoch that was. */
static void an_outcome_waits_for_the_epoch_that_is_being_raised(void **state)
{
    boot(defaults());
    assert_int_equal(must(FX_ANNOUNCE)->epoch, 1);
    join_having_seen("d", 3, 50);
    const struct coordinator_effect raise = *must(FX_PERSIST_EPOCH);
    assert_int_equal(raise.held, 1);
    step((struct coordinator_event){.kind = EV_CANCEL});
    assert_null(effect(FX_PERSIST_OUTCOME));
    const struct update_info late = update("a", 1);
    refused_for(&late, REASON_JOB_ENDED);
    step((struct coordinator_event){.kind = EV_EPOCH_PERSISTED, .id = raise.id, .epoch = 51});
    assert_int_equal(must(FX_PERSIST_OUTCOME)->outcome, OUTCOME_CANCELLED);
    assert_null(effect(FX_ANNOUNCE));
    complete(FX_PERSIST_OUTCOME, (struct coordinator_event){.kind = EV_OUTCOME_PERSISTED});
    assert_int_equal(must(FX_FINISH)->outcome, OUTCOME_CANCELLED);
}

static struct coordinator_event not_found(const struct coordinator_effect *recall)
{
    return (struct coordinator_event){
        .kind = EV_RECALLED,
        .id = recall->id,
        .status = STATUS_NOT_FOUND,
        .recalled = {.member = recall->member, .session = recall->session, .key = recall->key}};
}

static void join_holding_after_epoch(uint64_t session, uint64_t epoch)
{
    step((struct coordinator_event){.kind = EV_JOIN,
                                    .join = {.name = "d",
                                             .session = session,
                                             .epoch_seen = epoch,
                                             .has_held = true,
                                             .held = {.epoch = epoch, .round = 9}}});
}

/* A later coordinator may be about to count it. */
static void what_the_store_does_not_know_is_dropped_only_above_all_epochs_seen(void **state)
{
    boot(defaults());
    join_holding_after_epoch(3, 50);
    const struct coordinator_effect raise = *must(FX_PERSIST_EPOCH);
    const struct coordinator_effect recall = *must(FX_RECALL);
    assert_true(must(FX_PERSIST_EPOCH) < must(FX_RECALL)); /* in the order of the disk */
    step(not_found(&recall));
    assert_null(effect(FX_SEND_DROPPED));
    assert_int_equal(must(FX_END_SESSION)->session, 3);
    step((struct coordinator_event){.kind = EV_LEAVE, .session = 3}); /* known already */
    step((struct coordinator_event){.kind = EV_EPOCH_PERSISTED, .id = raise.id, .epoch = 51});
    join_holding_after_epoch(4, 50);
    const struct coordinator_effect again = *must(FX_RECALL);
    step(not_found(&again));
    assert_int_equal(must(FX_SEND_DROPPED)->reason, REASON_SUPERSEDED);
}

static void a_round_that_timed_out_meanwhile_closes_unannounced(void **state)
{
    boot(defaults());
    offer_and_fold("a", 1);
    join_having_seen("d", 3, 50);
    const uint64_t id = must(FX_PERSIST_EPOCH)->id;
    tick(10 * SECOND);
    assert_null(effect(FX_CLOSE));
    join("b", 4);
    assert_null(effect(FX_SEND_BEACON));
    const struct update_info late = update("b", 2);
    refused_for(&late, REASON_ROUND_CLOSED);
    step((struct coordinator_event){.kind = EV_EPOCH_PERSISTED, .id = id, .epoch = 51});
    assert_null(effect(FX_ANNOUNCE)); /* a beacon without a deadline would be none */
    assert_non_null(effect(FX_CLOSE));
}

static void a_later_epoch_seen_while_a_round_closes_waits_for_its_commit(void **state)
{
    struct coordinator_settings settings = defaults();
    settings.validate = true;
    boot(settings);
    offer_and_fold("a", 1);
    offer_and_fold("b", 2);
    const struct coordinator_effects closing = fx;
    join_having_seen("d", 3, 7);
    assert_null(effect(FX_PERSIST_EPOCH));
    fx = closing;
    close_and_commit(1);
    assert_non_null(effect(FX_SETTLE));
    assert_int_equal(must(FX_PERSIST_EPOCH)->epoch, 8);
    assert_null(effect(FX_ANNOUNCE));
    complete_epoch(8);
    assert_int_equal(must(FX_ANNOUNCE)->round, 2);
    assert_int_equal(must(FX_ANNOUNCE)->epoch, 8);
}

static void a_still_later_epoch_is_jumped_above_in_a_second_step(void **state)
{
    boot(defaults());
    join_having_seen("d", 3, 50);
    const uint64_t id = must(FX_PERSIST_EPOCH)->id;
    join_having_seen("e", 4, 60);
    join_having_seen("f", 5, 55);
    assert_null(effect(FX_PERSIST_EPOCH)); /* one at a time */
    step((struct coordinator_event){.kind = EV_EPOCH_PERSISTED, .id = id, .epoch = 51});
    assert_null(effect(FX_ANNOUNCE));
    assert_int_equal(must(FX_PERSIST_EPOCH)->epoch, 61);
    complete_epoch(61);
    assert_int_equal(must(FX_ANNOUNCE)->epoch, 61);
    join_having_seen("g", 6, 61);
    assert_null(effect(FX_PERSIST_EPOCH)); /* its own */
}

static void a_member_that_lies_about_epochs_cannot_use_them_up(void **state)
{
    static const uint64_t lies[] = {UINT64_MAX, UINT64_MAX - 1, INT64_MAX, EPOCH_BELIEVED_MAX};
    boot(defaults());
    for (size_t i = 0; i < sizeof(lies) / sizeof(*lies); i++) {
        join_having_seen("liar", 10 + i, lies[i]);
        assert_null(effect(FX_PERSIST_EPOCH));
        assert_int_equal(c.epoch_wanted, 0);
    }
    join_having_seen("liar", 20, EPOCH_BELIEVED_MAX - 1);
    assert_int_equal(must(FX_PERSIST_EPOCH)->epoch, EPOCH_BELIEVED_MAX);
}

static void an_epoch_raised_late_fails_or_ends_like_any_other(void **state)
{
    boot(defaults());
    join_having_seen("d", 3, 50);
    complete(FX_PERSIST_EPOCH,
             (struct coordinator_event){.kind = EV_EPOCH_PERSISTED, .status = STATUS_IO});
    assert_int_equal(must(FX_EXIT)->status, STATUS_IO);
    /* The job is cancelled meanwhile: there is nothing to announce. */
    boot(defaults());
    join_having_seen("d", 3, 50);
    const uint64_t id = must(FX_PERSIST_EPOCH)->id;
    step((struct coordinator_event){.kind = EV_CANCEL});
    step((struct coordinator_event){.kind = EV_EPOCH_PERSISTED, .id = id, .epoch = 51});
    assert_null(effect(FX_ANNOUNCE));
    complete(FX_PERSIST_OUTCOME, (struct coordinator_event){.kind = EV_OUTCOME_PERSISTED});
    /* An ended job's epoch is raised too: it still answers. */
    join_having_seen("e", 4, 70);
    assert_int_equal(must(FX_PERSIST_EPOCH)->epoch, 71);
    complete_epoch(71);
    assert_int_equal(c.epoch, 71);
}

/* What of a machine is durable, or follows from what is. */
struct durable {
    struct version_ref version;
    uint64_t round;
    uint32_t attempt;
    uint32_t selected;
    uint32_t k;
    uint32_t accepted;
    enum outcome outcome;
    enum coordinator_phase phase;
    bool asked[2];
};

static struct durable durable_state(void)
{
    return (struct durable){.version = c.version,
                            .round = c.round,
                            .attempt = c.attempt,
                            .selected = c.selected,
                            .k = c.k,
                            .accepted = c.accepted,
                            .outcome = c.outcome,
                            .phase = c.phase,
                            .asked = {member_of("a")->selected, member_of("b")->selected}};
}

static void assert_same_state(const struct durable *one, const struct durable *other)
{
    assert_int_equal(one->version.number, other->version.number);
    assert_memory_equal(&one->version.id, &other->version.id, sizeof(one->version.id));
    assert_int_equal(one->round, other->round);
    assert_int_equal(one->attempt, other->attempt);
    assert_int_equal(one->selected, other->selected);
    assert_int_equal(one->k, other->k);
    assert_int_equal(one->accepted, other->accepted);
    assert_int_equal(one->outcome, other->outcome);
    assert_int_equal(one->phase, other->phase);
    assert_int_equal(one->asked[0], other->asked[0]);
    assert_int_equal(one->asked[1], other->asked[1]);
}

static void a_restart_is_a_replay_of_what_was_durable(void **state)
{
    static const char *const names[] = {"b", "a"};
    struct coordinator_settings settings = defaults();
    settings.min_updates = 2;
    const struct coordinator_event stored = {.start = {.epoch = 1,
                                                       .has_version = true,
                                                       .version = version(1),
                                                       .open_round = 2,
                                                       .members = names,
                                                       .member_count = 2}};
    boot(settings);
    offer_and_fold("a", 1);
    offer_and_fold("b", 2);
    close_and_commit(1);
    const struct durable before = durable_state();
    assert_int_equal(before.round, 2);
    /* An accepted update, an attempt, a closed set: none of it is durable. */
    offer_and_fold("a", 3);
    const struct update_info kept[] = {update("a", 3), update("b", 4)};
    tick(10 * SECOND);
    assert_int_equal(c.attempt, 1);
    restart(settings, stored);
    const struct durable after = durable_state();
    assert_same_state(&after, &before);
    assert_int_equal(c.epoch, 2);
    assert_int_equal(must(FX_ANNOUNCE)->round, 2);
    /* What nodes signed before is good, and counted once. */
    join("a", 1);
    assert_non_null(effect(FX_SEND_BEACON));
    join("b", 2);
    for (size_t i = 0; i < 2; i++) {
        offer(&kept[i]);
        assert_non_null(effect(FX_RECEIPT_ACCEPTED));
        complete(FX_FOLD, (struct coordinator_event){.kind = EV_FOLDED});
        assert_int_equal(member_of(kept[i].name)->key.epoch, 1);
    }
    close_and_commit(2);
    assert_int_equal(must(FX_SETTLE)->version.number, 2);
}

static void a_restart_with_more_members_than_room_keeps_what_fits(void **state)
{
    static const char *const names[] = {"b", "a"};
    const struct coordinator_settings settings = defaults();
    uint32_t order[1];
    coordinator_init(&c, &settings, members, order, 1);
    step((struct coordinator_event){.kind = EV_START,
                                    .start = {.epoch = 1,
                                              .has_version = true,
                                              .version = version(1),
                                              .open_round = 2,
                                              .members = names,
                                              .member_count = 2}});
    complete_epoch(2);
    assert_int_equal(c.roster.count, 1);
    assert_int_equal(c.phase, COORDINATOR_COLLECTING);
}

static void a_restart_before_the_first_round_waits_for_nodes_again(void **state)
{
    restart(defaults(), (struct coordinator_event){
                            .start = {.epoch = 1, .has_version = true, .open_round = 1}});
    assert_int_equal(c.phase, COORDINATOR_GATHERING);
    assert_int_equal(c.round, 1);
    join("a", 1);
    join("b", 2);
    assert_int_equal(must(FX_ANNOUNCE)->round, 1);
    /* Who came while the epoch was being made durable is there already. */
    begin_from(defaults(), (struct coordinator_event){
                               .start = {.epoch = 1, .has_version = true, .open_round = 1}});
    const struct coordinator_effects raising = fx;
    join("a", 1);
    join("b", 2);
    fx = raising;
    complete_epoch(2);
    assert_int_equal(must(FX_ANNOUNCE)->round, 1);
}

static void an_epoch_that_a_member_saw_elsewhere_is_not_served_with(void **state)
{
    boot(defaults());
    join_having_seen("d", 3, 50);
    const uint64_t id = must(FX_PERSIST_EPOCH)->id;
    join_having_seen("e", 4, 51); /* the very one that is being made durable */
    step((struct coordinator_event){.kind = EV_EPOCH_PERSISTED, .id = id, .epoch = 51});
    assert_null(effect(FX_ANNOUNCE));
    assert_int_equal(must(FX_PERSIST_EPOCH)->epoch, 52);
    complete_epoch(52);
    assert_int_equal(must(FX_ANNOUNCE)->epoch, 52);
    join("a", 5); /* and then everybody is served as before */
    assert_int_equal(must(FX_SEND_BEACON)->session, 5);
}

static void a_restart_before_the_first_round_is_over_waits_for_start_nodes(void **state)
{
    struct coordinator_settings settings = defaults();
    settings.start_nodes = 3;
    static const char *const there[] = {"a", "b"}; /* when the first model was committed */
    restart(settings, (struct coordinator_event){.start = {.epoch = 1,
                                                           .has_version = true,
                                                           .version = version(0),
                                                           .open_round = 1,
                                                           .members = there,
                                                           .member_count = 2}});
    assert_int_equal(c.phase, COORDINATOR_GATHERING);
    join("a", 1);
    join("b", 2);
    assert_int_equal(c.phase, COORDINATOR_GATHERING);
    join("d", 3);
    assert_int_equal(c.selected, 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_new_coordinator_serves_with_the_epoch_that_the_store_gave),
        cmocka_unit_test(a_later_epoch_is_jumped_above_while_nodes_gather),
        cmocka_unit_test(no_round_closes_while_an_epoch_is_made_durable),
        cmocka_unit_test(an_outcome_waits_for_the_epoch_that_is_being_raised),
        cmocka_unit_test(what_the_store_does_not_know_is_dropped_only_above_all_epochs_seen),
        cmocka_unit_test(a_round_that_timed_out_meanwhile_closes_unannounced),
        cmocka_unit_test(a_later_epoch_seen_while_a_round_closes_waits_for_its_commit),
        cmocka_unit_test(a_still_later_epoch_is_jumped_above_in_a_second_step),
        cmocka_unit_test(a_member_that_lies_about_epochs_cannot_use_them_up),
        cmocka_unit_test(an_epoch_raised_late_fails_or_ends_like_any_other),
        cmocka_unit_test(a_restart_is_a_replay_of_what_was_durable),
        cmocka_unit_test(a_restart_with_more_members_than_room_keeps_what_fits),
        cmocka_unit_test(a_restart_before_the_first_round_waits_for_nodes_again),
        cmocka_unit_test(an_epoch_that_a_member_saw_elsewhere_is_not_served_with),
        cmocka_unit_test(a_restart_before_the_first_round_is_over_waits_for_start_nodes),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}

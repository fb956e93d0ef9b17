/*
 * coordinator_test.c - the coordinator's machine, event by event: each rule of docs/protocol.md.
 *
 * Method: a small driver sends events and looks at the effects; asynchronous ones are completed by
 * hand, so that a test can stand between any two of them.
 */
#include "core/coordinator.h"

#include "testing.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { CAPACITY = 8 };

static const uint64_t second = 1000000000;

static struct coordinator c;
static struct member members[CAPACITY];
static uint32_t order[CAPACITY];
static struct coordinator_effects fx;
static uint64_t now;

static struct coordinator_settings defaults(void)
{
    return (struct coordinator_settings){.k_threshold = 1,
                                         .timeout_ns = 10 * second,
                                         .start_timeout_ns = 5 * second,
                                         .linger_ns = second,
                                         .min_updates = 1,
                                         .start_nodes = 2,
                                         .rounds_max = 3,
                                         .samples_max = 1000};
}

static void step(struct coordinator_event event)
{
    event.now_ns = now;
    coordinator_step(&c, &event, &fx);
}

static const struct coordinator_effect *effect(enum coordinator_effect_kind kind)
{
    for (uint32_t i = 0; i < fx.count; i++) {
        if (fx.items[i].kind == kind)
            return &fx.items[i];
    }
    return nullptr;
}

static const struct coordinator_effect *must(enum coordinator_effect_kind kind)
{
    const struct coordinator_effect *const found = effect(kind);
    assert_non_null(found);
    return found;
}

/* Completes the one effect of that kind in fx. */
static void complete(enum coordinator_effect_kind kind, struct coordinator_event event)
{
    event.id = must(kind)->id;
    step(event);
}

static struct digest digest(uint8_t fill)
{
    struct digest made;
    memset(made.bytes, fill, sizeof(made.bytes));
    return made;
}

static struct version_ref version(uint64_t number)
{
    return (struct version_ref){.number = number,
                                .id = digest((uint8_t)(100 + number)),
                                .model_digest = digest((uint8_t)number),
                                .blob_bytes = 8};
}

static void join(const char *name, uint64_t session)
{
    step((struct coordinator_event){.kind = EV_JOIN, .join = {.name = name, .session = session}});
}

static void join_holding(const char *name, uint64_t session, uint64_t round)
{
    step((struct coordinator_event){
        .kind = EV_JOIN,
        .join = {.name = name,
                 .session = session,
                 .has_held = true,
                 .held = {.epoch = 1, .round = round, .payload_digest = digest(9)}}});
}

static struct update_info update(const char *name, uint8_t payload)
{
    return (struct update_info){.name = name,
                                .key = {.epoch = c.epoch,
                                        .round = c.round,
                                        .attempt = c.attempt,
                                        .payload_digest = digest(payload)},
                                .base_id = c.version.id,
                                .samples = 10,
                                .blob = {.id = payload}};
}

static void offer(const struct update_info *info)
{
    step((struct coordinator_event){.kind = EV_UPDATE, .update = {.ticket = 5, .info = *info}});
}

static void offer_and_fold(const char *name, uint8_t payload)
{
    const struct update_info info = update(name, payload);
    offer(&info);
    assert_non_null(effect(FX_RECEIPT_ACCEPTED));
    complete(FX_FOLD, (struct coordinator_event){.kind = EV_FOLDED});
}

static void refused_for(const struct update_info *info, enum reason reason)
{
    const uint32_t accepted = c.accepted;
    assert_int_equal(coordinator_screen(&c, info), reason);
    offer(info);
    assert_int_equal(must(FX_RECEIPT_REFUSED)->reason, reason);
    assert_non_null(effect(FX_RELEASE));
    assert_null(effect(FX_FOLD));
    assert_int_equal(c.accepted, accepted);
}

static void boot_with(struct coordinator_settings settings)
{
    now = 0;
    coordinator_init(&c, &settings, members, order, CAPACITY);
    step((struct coordinator_event){.kind = EV_START});
    assert_int_equal(must(FX_PERSIST_EPOCH)->epoch, 1);
    complete(FX_PERSIST_EPOCH, (struct coordinator_event){.kind = EV_EPOCH_PERSISTED, .epoch = 1});
    complete(FX_CREATE_MODEL,
             (struct coordinator_event){.kind = EV_MODEL_CREATED, .version = version(0)});
    complete(FX_COMMIT, (struct coordinator_event){.kind = EV_COMMITTED, .version = version(0)});
    assert_int_equal(c.phase, COORDINATOR_GATHERING);
}

/* An open first round with nodes a and b. */
static void boot(struct coordinator_settings settings)
{
    boot_with(settings);
    join("a", 1);
    join("b", 2);
    assert_int_equal(c.phase, COORDINATOR_COLLECTING);
    assert_int_equal(must(FX_ANNOUNCE)->round, 1);
}

static void close_and_commit(uint64_t number)
{
    complete(FX_CLOSE, (struct coordinator_event){.kind = EV_CLOSED, .version = version(number)});
    if (c.settings.validate)
        complete(FX_VALIDATE, (struct coordinator_event){.kind = EV_VALIDATED,
                                                         .validated = {.loss = 1, .accuracy = 1}});
    complete(FX_COMMIT,
             (struct coordinator_event){.kind = EV_COMMITTED, .version = version(number)});
}

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

static void the_job_ends_with_the_last_round_in_one_commit(void **state)
{
    struct coordinator_settings settings = defaults();
    settings.rounds_max = 1;
    settings.validate = true;
    boot(settings);
    offer_and_fold("a", 1);
    offer_and_fold("b", 2);
    complete(FX_CLOSE, (struct coordinator_event){.kind = EV_CLOSED, .version = version(1)});
    complete(FX_VALIDATE, (struct coordinator_event){.kind = EV_VALIDATED,
                                                     .validated = {.loss = 1, .accuracy = 1}});
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
    const struct coordinator_effect recall = *must(FX_RECALL);
    step((struct coordinator_event){.kind = EV_RECALLED,
                                    .id = recall.id,
                                    .recalled = {.member = recall.member,
                                                 .session = recall.session,
                                                 .key = recall.key,
                                                 .counted = true,
                                                 .version = version(1)}});
    assert_non_null(effect(FX_SEND_COUNTED));
    assert_non_null(effect(FX_SEND_FINISHED));
    struct update_info late = update("a", 3);
    refused_for(&late, REASON_JOB_ENDED);
    now += 2 * second;
    step((struct coordinator_event){.kind = EV_TIMER});
    assert_int_equal(must(FX_EXIT)->outcome, OUTCOME_EXHAUSTED);
}

static void k_of_n_is_the_least_whole_number_of_the_share(void **state)
{
    static const struct {
        double k;
        uint32_t nodes;
        uint32_t min_updates;
        uint32_t expected;
    } table[] = {{1, 7, 1, 7},   {0.7, 5, 1, 4}, {0.5, 4, 1, 2}, {0.85, 7, 1, 6}, {0.01, 3, 1, 1},
                 {0.2, 5, 1, 1}, {0.2, 5, 3, 3}, {0.2, 2, 7, 2}, {0.6, 5, 1, 3}};
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
    assert_int_equal(c.late, 1);
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
    now += 11 * second;
    step((struct coordinator_event){.kind = EV_TIMER});
    assert_int_equal(must(FX_ANNOUNCE)->attempt, 1);
    assert_int_equal(c.accepted, 1);
    /* One signed for the attempt before is as good. */
    offer(&old);
    complete(FX_FOLD, (struct coordinator_event){.kind = EV_FOLDED});
    assert_null(effect(FX_CLOSE));
    now += 11 * second;
    step((struct coordinator_event){.kind = EV_TIMER});
    assert_non_null(effect(FX_CLOSE));
    assert_int_equal(c.accepted, 2);
}

static void a_round_repeated_too_often_ends_the_job(void **state)
{
    struct coordinator_settings settings = defaults();
    settings.repeats_max = 1;
    boot(settings);
    now += 11 * second;
    step((struct coordinator_event){.kind = EV_TIMER});
    assert_int_equal(c.attempt, 1);
    now += 11 * second;
    step((struct coordinator_event){.kind = EV_TIMER});
    assert_int_equal(must(FX_PERSIST_OUTCOME)->outcome, OUTCOME_CANCELLED);
    complete(FX_PERSIST_OUTCOME, (struct coordinator_event){.kind = EV_OUTCOME_PERSISTED});
    assert_non_null(effect(FX_FINISH));
}

static void a_deadline_beats_the_message_that_comes_with_it(void **state)
{
    struct coordinator_settings settings = defaults();
    boot(settings);
    offer_and_fold("a", 1);
    now += 10 * second;
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
    now += 6 * second;
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
    now += 6 * second;
    step((struct coordinator_event){.kind = EV_TIMER});
    assert_int_equal(c.phase, COORDINATOR_COLLECTING);
}

static void a_later_epoch_seen_by_a_node_is_jumped_above(void **state)
{
    boot_with(defaults());
    step((struct coordinator_event){.kind = EV_JOIN,
                                    .join = {.name = "a", .session = 1, .epoch_seen = 41}});
    assert_int_equal(must(FX_PERSIST_EPOCH)->epoch, 42);
    const uint64_t id = must(FX_PERSIST_EPOCH)->id;
    join("b", 2);
    assert_int_equal(c.phase, COORDINATOR_COLLECTING);
    assert_null(effect(FX_ANNOUNCE)); /* not with an epoch that nodes have fenced off */
    step((struct coordinator_event){.kind = EV_EPOCH_PERSISTED, .id = id, .epoch = 42});
    assert_int_equal(must(FX_ANNOUNCE)->epoch, 42);
    /* In an open round too: nothing closes before it is durable. */
    offer_and_fold("a", 1);
    step((struct coordinator_event){.kind = EV_JOIN,
                                    .join = {.name = "d", .session = 3, .epoch_seen = 50}});
    const uint64_t again = must(FX_PERSIST_EPOCH)->id;
    offer_and_fold("b", 2);
    assert_null(effect(FX_CLOSE));
    step((struct coordinator_event){.kind = EV_EPOCH_PERSISTED, .id = again, .epoch = 51});
    assert_non_null(effect(FX_CLOSE));
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
    /* Of a future that this store does not know: undone. */
    join_holding("b", 6, 9);
    assert_int_equal(must(FX_SEND_DROPPED)->reason, REASON_SUPERSEDED);
    /* Of the open round: answered by its commit. */
    join_holding("a", 7, 2);
    assert_null(effect(FX_RECALL));
    offer_and_fold("b", 4);
    now += 11 * second;
    step((struct coordinator_event){.kind = EV_TIMER});
    close_and_commit(2);
    assert_int_equal(members[roster_find(&c.roster, "a")].settlement, SETTLE_DROPPED);
    assert_int_equal(members[roster_find(&c.roster, "b")].settlement, SETTLE_COUNTED);
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

static void a_restart_takes_up_the_open_round(void **state)
{
    const char *const names[] = {"b", "a"};
    const struct coordinator_settings settings = defaults();
    now = 0;
    coordinator_init(&c, &settings, members, order, CAPACITY);
    step((struct coordinator_event){.kind = EV_START,
                                    .start = {.epoch = 4,
                                              .has_version = true,
                                              .version = version(1),
                                              .open_round = 2,
                                              .members = names,
                                              .member_count = 2}});
    assert_int_equal(must(FX_PERSIST_EPOCH)->epoch, 5);
    const struct update_info early = update("a", 1);
    assert_int_equal(coordinator_screen(&c, &early), REASON_DRAINING);
    complete(FX_PERSIST_EPOCH, (struct coordinator_event){.kind = EV_EPOCH_PERSISTED, .epoch = 5});
    assert_int_equal(c.phase, COORDINATOR_COLLECTING);
    assert_int_equal(c.round, 2);
    assert_int_equal(c.selected, 2); /* both are away, and expected */
    join("a", 1);
    assert_non_null(effect(FX_SEND_BEACON));
    /* Its update was signed in the epoch before. */
    struct update_info info = update("a", 1);
    info.key.epoch = 4;
    offer(&info);
    assert_non_null(effect(FX_RECEIPT_ACCEPTED));
}

static void a_restart_of_an_ended_job_says_so_again(void **state)
{
    const struct coordinator_settings settings = defaults();
    now = 0;
    coordinator_init(&c, &settings, members, order, CAPACITY);
    step((struct coordinator_event){.kind = EV_START,
                                    .start = {.epoch = 4,
                                              .has_version = true,
                                              .version = version(3),
                                              .open_round = 4,
                                              .outcome = OUTCOME_EXHAUSTED}});
    complete(FX_PERSIST_EPOCH, (struct coordinator_event){.kind = EV_EPOCH_PERSISTED, .epoch = 5});
    assert_int_equal(must(FX_FINISH)->outcome, OUTCOME_EXHAUSTED);
    join_holding("a", 1, 2);
    const struct coordinator_effect recall = *must(FX_RECALL);
    step((struct coordinator_event){
        .kind = EV_RECALLED,
        .id = recall.id,
        .status = STATUS_NOT_FOUND,
        .recalled = {.member = recall.member, .session = recall.session, .key = recall.key}});
    assert_int_equal(must(FX_SEND_DROPPED)->reason, REASON_ROUND_CLOSED);
    assert_non_null(effect(FX_SEND_FINISHED));
    join_holding("b", 2, 4); /* of the round that never closed */
    const struct coordinator_effect other = *must(FX_RECALL);
    step((struct coordinator_event){
        .kind = EV_RECALLED,
        .id = other.id,
        .status = STATUS_NOT_FOUND,
        .recalled = {.member = other.member, .session = other.session, .key = other.key}});
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
            complete(FX_VALIDATE, (struct coordinator_event){.kind = EV_VALIDATED,
                                                             .validated = {.loss = losses[i]}});
        }
        assert_int_equal(must(FX_PERSIST_OUTCOME)->outcome, OUTCOME_DIVERGED);
        assert_null(effect(FX_COMMIT));
        const struct update_info info = update("a", 8);
        assert_int_equal(coordinator_screen(&c, &info), REASON_JOB_ENDED);
    }
}

static void a_local_fault_in_any_phase_stops_the_machine(void **state)
{
    for (int stage = 0; stage < 8; stage++) {
        struct coordinator_settings settings = defaults();
        settings.validate = true;
        now = 0;
        coordinator_init(&c, &settings, members, order, CAPACITY);
        step((struct coordinator_event){.kind = EV_START});
        struct coordinator_event bad = {.kind = EV_EPOCH_PERSISTED, .status = STATUS_NO_SPACE};
        if (stage > 0)
            complete(FX_PERSIST_EPOCH,
                     (struct coordinator_event){.kind = EV_EPOCH_PERSISTED, .epoch = 1});
        if (stage == 1)
            bad.kind = EV_MODEL_CREATED;
        if (stage > 1)
            complete(FX_CREATE_MODEL,
                     (struct coordinator_event){.kind = EV_MODEL_CREATED, .version = version(0)});
        if (stage == 2 || stage == 6)
            bad.kind = EV_COMMITTED;
        if (stage > 2) {
            complete(FX_COMMIT,
                     (struct coordinator_event){.kind = EV_COMMITTED, .version = version(0)});
            join("a", 1);
            join("b", 2);
            if (stage == 7) {
                step((struct coordinator_event){.kind = EV_CANCEL});
                bad.kind = EV_OUTCOME_PERSISTED;
            } else {
                offer_and_fold("a", 1);
                const struct update_info info = update("b", 2);
                offer(&info);
                bad.kind = EV_FOLDED;
            }
        }
        if (stage > 3 && stage < 7) {
            complete(FX_FOLD, (struct coordinator_event){.kind = EV_FOLDED});
            bad.kind = EV_CLOSED;
        }
        if (stage > 4 && stage < 7) {
            complete(FX_CLOSE,
                     (struct coordinator_event){.kind = EV_CLOSED, .version = version(1)});
            bad.kind = EV_VALIDATED;
        }
        if (stage == 6) {
            complete(FX_VALIDATE,
                     (struct coordinator_event){.kind = EV_VALIDATED, .validated = {.loss = 1}});
            bad.kind = EV_COMMITTED;
        }
        bad.id = c.pending_id;
        step(bad);
        assert_int_equal(must(FX_EXIT)->status, STATUS_NO_SPACE);
        assert_int_equal(c.phase, COORDINATOR_FAILED);
    }
}

static void a_cancelled_job_ends_in_every_phase(void **state)
{
    const struct coordinator_event cancel = {.kind = EV_CANCEL};
    const struct coordinator_settings settings = defaults();
    now = 0;
    coordinator_init(&c, &settings, members, order, CAPACITY);
    step(cancel);
    assert_int_equal(must(FX_EXIT)->outcome, OUTCOME_CANCELLED);

    boot_with(defaults());
    step(cancel);
    assert_int_equal(must(FX_PERSIST_OUTCOME)->outcome, OUTCOME_CANCELLED);
    step(cancel);
    assert_int_equal(fx.count, 0);

    boot(defaults());
    const struct update_info info = update("a", 1);
    offer(&info);
    const uint64_t fold = must(FX_FOLD)->id;
    step(cancel);
    assert_null(effect(FX_PERSIST_OUTCOME)); /* the fold under way comes first */
    step((struct coordinator_event){.kind = EV_FOLDED, .id = fold});
    assert_int_equal(must(FX_PERSIST_OUTCOME)->outcome, OUTCOME_CANCELLED);

    boot(defaults());
    offer_and_fold("a", 1);
    offer_and_fold("b", 2);
    const uint64_t close = must(FX_CLOSE)->id;
    step(cancel);
    step((struct coordinator_event){.kind = EV_CLOSED, .id = close, .version = version(1)});
    assert_int_equal(must(FX_COMMIT)->outcome, OUTCOME_CANCELLED);
    complete(FX_COMMIT, (struct coordinator_event){.kind = EV_COMMITTED, .version = version(1)});
    assert_int_equal(must(FX_FINISH)->outcome, OUTCOME_CANCELLED);
    step(cancel);
    assert_non_null(effect(FX_EXIT));
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_told_before_it_is_durable),
        cmocka_unit_test(the_job_ends_with_the_last_round_in_one_commit),
        cmocka_unit_test(k_of_n_is_the_least_whole_number_of_the_share),
        cmocka_unit_test(the_set_is_fixed_at_k_even_while_folds_are_under_way),
        cmocka_unit_test(every_wrong_update_is_refused_for_its_reason),
        cmocka_unit_test(the_same_again_is_acknowledged_and_another_is_equivocation),
        cmocka_unit_test(a_round_that_times_out_closes_with_enough_or_is_repeated),
        cmocka_unit_test(a_round_repeated_too_often_ends_the_job),
        cmocka_unit_test(a_deadline_beats_the_message_that_comes_with_it),
        cmocka_unit_test(a_start_waits_for_its_nodes_or_its_time),
        cmocka_unit_test(a_later_epoch_seen_by_a_node_is_jumped_above),
        cmocka_unit_test(a_new_connection_takes_the_old_ones_place),
        cmocka_unit_test(a_full_roster_turns_a_node_away),
        cmocka_unit_test(what_a_node_holds_is_settled_after_it_comes_back),
        cmocka_unit_test(a_look_up_that_fails_stops_the_machine),
        cmocka_unit_test(a_restart_takes_up_the_open_round),
        cmocka_unit_test(a_restart_of_an_ended_job_says_so_again),
        cmocka_unit_test(a_model_or_loss_that_is_not_finite_ends_as_diverged),
        cmocka_unit_test(a_local_fault_in_any_phase_stops_the_machine),
        cmocka_unit_test(a_cancelled_job_ends_in_every_phase),
        cmocka_unit_test(weights_are_capped_samples),
        cmocka_unit_test(who_missed_a_round_and_is_away_is_not_asked_again),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}

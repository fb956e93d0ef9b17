/*
 * node_test.c - the node's machine, event by event: fencing, keeping, offering, settling.
 */
#include "node_driver.h"

#include "core/trace_text.h"

static const uint64_t ms = 1000000;

static struct beacon beacon(uint64_t epoch, uint64_t round)
{
    return (struct beacon){
        .epoch = epoch,
        .round = round,
        .version = {.number = round - 1, .id = digest((uint8_t)(round - 1)), .blob_bytes = 8}};
}

static void hear(uint64_t epoch, uint64_t round)
{
    step((struct node_event){.kind = NODE_EV_BEACON, .beacon = beacon(epoch, round)});
}

static void start(struct kept_update kept, uint64_t epoch_seen)
{
    const struct node_settings settings = {
        .seed = 1, .retry_min_ns = 100 * ms, .retry_max_ns = 800 * ms};
    now = 0;
    node_init(&n, &settings);
    step((struct node_event){.kind = NODE_EV_START,
                             .start = {.epoch_seen = epoch_seen, .kept = kept}});
    assert_non_null(effect(NODE_FX_CONNECT));
}

static void connect(void)
{
    step((struct node_event){.kind = NODE_EV_CONNECTED});
}

/* Joined, epoch 1 believed, pulling for round 1. */
static void begin(void)
{
    start((struct kept_update){0}, 0);
    connect();
    hear(1, 1);
    assert_int_equal(must(NODE_FX_RAISE)->epoch, 1);
    assert_null(effect(NODE_FX_PULL)); /* not before the epoch is durable */
    step((struct node_event){.kind = NODE_EV_EPOCH_PERSISTED, .id = must(NODE_FX_RAISE)->id});
    assert_non_null(effect(NODE_FX_PULL));
}

static void pull_and_train(void)
{
    step((struct node_event){.kind = NODE_EV_PULLED, .id = must(NODE_FX_PULL)->id});
    step((struct node_event){.kind = NODE_EV_TRAINED, .id = must(NODE_FX_TRAIN)->id});
}

static void hold(uint64_t round)
{
    pull_and_train();
    const struct node_effect held = *must(NODE_FX_HOLD);
    step((struct node_event){.kind = NODE_EV_HELD,
                             .id = held.id,
                             .key = {.epoch = held.beacon.epoch,
                                     .round = round,
                                     .payload_digest = digest((uint8_t)(50 + round))}});
}

static void receipt(bool accepted, enum reason reason)
{
    step((struct node_event){.kind = NODE_EV_RECEIPT,
                             .id = n.push_id,
                             .receipt = {.accepted = accepted, .reason = reason}});
}

static void settle(enum node_event_kind kind, uint64_t round, enum reason reason)
{
    step((struct node_event){
        .kind = kind,
        .settled = {.key = {.round = round, .payload_digest = digest((uint8_t)(50 + round))},
                    .version_number = round,
                    .reason = reason}});
}

static void an_update_is_durable_before_it_is_offered(void **state)
{
    begin();
    pull_and_train();
    assert_null(effect(NODE_FX_PUSH));
    const struct node_effect held = *must(NODE_FX_HOLD);
    step((struct node_event){.kind = NODE_EV_HELD, .id = held.id, .key = {.round = 1}});
    assert_non_null(effect(NODE_FX_PUSH));
    receipt(true, REASON_UNSPECIFIED);
    assert_int_equal(must(NODE_FX_NOTE)->note, NOTE_ACCEPTED);
}

static void counted_and_dropped_settle_it_once(void **state)
{
    begin();
    hold(1);
    receipt(true, REASON_UNSPECIFIED);
    settle(NODE_EV_COUNTED, 2, REASON_UNSPECIFIED); /* another's */
    assert_null(effect(NODE_FX_NOTE));
    settle(NODE_EV_COUNTED, 1, REASON_UNSPECIFIED);
    assert_int_equal(must(NODE_FX_NOTE)->note, NOTE_COUNTED);
    assert_int_equal(must(NODE_FX_NOTE)->version_number, 1);
    settle(NODE_EV_DROPPED, 1, REASON_ROUND_CLOSED);
    assert_null(effect(NODE_FX_NOTE));
    assert_false(node_awaits_settlement(&n));
}

static void an_older_coordinator_is_ignored(void **state)
{
    start((struct kept_update){0}, 7);
    connect();
    hear(6, 1);
    assert_int_equal(fx.count, 0);
    assert_int_equal(fx.traces.items[0].kind, TRACE_FENCED);
    hear(7, 1);
    assert_non_null(effect(NODE_FX_PULL));
}

static void the_newest_beacon_wins_while_an_epoch_is_made_durable(void **state)
{
    start((struct kept_update){0}, 0);
    connect();
    hear(3, 1);
    const uint64_t raise = must(NODE_FX_RAISE)->id;
    hear(3, 2);
    assert_null(effect(NODE_FX_RAISE));
    step((struct node_event){.kind = NODE_EV_EPOCH_PERSISTED, .id = raise});
    assert_int_equal(must(NODE_FX_PULL)->beacon.round, 2);
    assert_int_equal(n.epoch_seen, 3);
}

static void work_for_an_older_round_is_given_up(void **state)
{
    begin();
    const uint64_t pull = must(NODE_FX_PULL)->id;
    hear(1, 2);
    assert_int_equal(must(NODE_FX_ABORT)->id, pull);
    hear(1, 2);
    assert_null(effect(NODE_FX_ABORT)); /* once is enough */
    step((struct node_event){.kind = NODE_EV_PULLED, .id = pull, .status = STATUS_CANCELLED});
    const struct node_effect next = *must(NODE_FX_PULL);
    assert_int_equal(next.beacon.round, 2);
    step((struct node_event){.kind = NODE_EV_PULLED, .id = next.id});
    const uint64_t train = must(NODE_FX_TRAIN)->id;
    hear(1, 3);
    assert_int_equal(must(NODE_FX_ABORT)->id, train);
    step((struct node_event){.kind = NODE_EV_TRAINED, .id = train}); /* it was just done */
    assert_non_null(effect(NODE_FX_RELEASE));
    assert_null(effect(NODE_FX_HOLD));
    assert_int_equal(must(NODE_FX_PULL)->beacon.round, 3);
    /* A pull that came through though it was given up is not used. */
    const uint64_t last = must(NODE_FX_PULL)->id;
    hear(1, 4);
    step((struct node_event){.kind = NODE_EV_PULLED, .id = last});
    assert_non_null(effect(NODE_FX_RELEASE));
    assert_int_equal(must(NODE_FX_PULL)->beacon.round, 4);
}

static void a_new_attempt_of_the_same_round_is_signed_for(void **state)
{
    begin();
    step((struct node_event){.kind = NODE_EV_PULLED, .id = must(NODE_FX_PULL)->id});
    const uint64_t train = must(NODE_FX_TRAIN)->id;
    struct beacon repeated = beacon(1, 1);
    repeated.attempt = 2;
    step((struct node_event){.kind = NODE_EV_BEACON, .beacon = repeated});
    assert_null(effect(NODE_FX_ABORT));
    step((struct node_event){.kind = NODE_EV_TRAINED, .id = train});
    assert_int_equal(must(NODE_FX_HOLD)->beacon.attempt, 2);
}

static void what_is_kept_is_offered_again_to_a_new_connection(void **state)
{
    begin();
    hold(1);
    receipt(true, REASON_UNSPECIFIED);
    step((struct node_event){.kind = NODE_EV_CONNECTED, .same_instance = true});
    hear(1, 1); /* the same coordinator again: it has it */
    assert_null(effect(NODE_FX_PUSH));
    step((struct node_event){.kind = NODE_EV_LOST});
    assert_non_null(effect(NODE_FX_TIMER));
    assert_true(node_awaits_settlement(&n));
    connect();
    hear(1, 1);
    assert_non_null(effect(NODE_FX_PUSH));
    assert_null(effect(NODE_FX_PULL));
}

static void a_kept_update_survives_the_node(void **state)
{
    const struct kept_update kept = {.state = UPDATE_HELD,
                                     .key = {.epoch = 1, .round = 1, .payload_digest = digest(51)},
                                     .base_id = digest(0)};
    start(kept, 1);
    assert_true(node_awaits_settlement(&n));
    connect();
    hear(1, 1);
    assert_non_null(effect(NODE_FX_PUSH));
    /* A round later it is of no use, and settled as superseded when the next takes its place. */
    start(kept, 1);
    connect();
    hear(1, 2);
    pull_and_train();
    assert_int_equal(must(NODE_FX_NOTE)->note, NOTE_DROPPED);
    assert_int_equal(must(NODE_FX_NOTE)->reason, REASON_SUPERSEDED);
    assert_non_null(effect(NODE_FX_HOLD));
}

static void a_late_update_is_kept_since_its_round_may_open_again(void **state)
{
    begin();
    hold(1);
    receipt(false, REASON_ROUND_CLOSED);
    assert_int_equal(must(NODE_FX_NOTE)->note, NOTE_REFUSED);
    assert_true(node_awaits_settlement(&n));
    hear(1, 1);
    assert_null(effect(NODE_FX_PUSH)); /* not to the same coordinator */
    step((struct node_event){.kind = NODE_EV_LOST});
    connect();
    hear(1, 1);
    assert_non_null(effect(NODE_FX_PUSH));
    receipt(false, REASON_ROUND_CLOSED);
    hear(1, 2);
    pull_and_train();
    assert_int_equal(must(NODE_FX_NOTE)->reason, REASON_ROUND_CLOSED);
}

static void a_busy_receiver_is_asked_again_after_a_wait(void **state)
{
    begin();
    hold(1);
    receipt(false, REASON_BUSY);
    const uint64_t deadline = must(NODE_FX_TIMER)->deadline_ns;
    assert_true(deadline >= now + 50 * ms && deadline <= now + 100 * ms);
    now = deadline;
    step((struct node_event){.kind = NODE_EV_TIMER});
    assert_non_null(effect(NODE_FX_PUSH));
    /* No answer at all: the same, while the connection stands. */
    step((struct node_event){.kind = NODE_EV_RECEIPT, .id = n.push_id, .status = STATUS_TIMEOUT});
    now = must(NODE_FX_TIMER)->deadline_ns;
    step((struct node_event){.kind = NODE_EV_TIMER});
    assert_non_null(effect(NODE_FX_PUSH));
    receipt(false, REASON_NORM);
    assert_false(node_awaits_settlement(&n));
    hear(1, 1);
    assert_null(effect(NODE_FX_PUSH));
}

static void an_answer_after_the_settlement_changes_nothing(void **state)
{
    begin();
    hold(1);
    settle(NODE_EV_COUNTED, 1, REASON_UNSPECIFIED);
    receipt(true, REASON_UNSPECIFIED);
    assert_null(effect(NODE_FX_NOTE));
    assert_false(node_awaits_settlement(&n));
}

static void waits_double_to_their_longest_and_begin_anew(void **state)
{
    start((struct kept_update){0}, 0);
    uint64_t longest = 100 * ms;
    for (int i = 0; i < 6; i++) {
        step((struct node_event){.kind = NODE_EV_LOST});
        const uint64_t deadline = must(NODE_FX_TIMER)->deadline_ns;
        assert_true(deadline >= now + longest / 2 && deadline <= now + longest);
        now = deadline;
        step((struct node_event){.kind = NODE_EV_TIMER});
        assert_non_null(effect(NODE_FX_CONNECT));
        longest = longest * 2 > 800 * ms ? 800 * ms : longest * 2;
    }
    connect();
    step((struct node_event){.kind = NODE_EV_LOST});
    assert_true(must(NODE_FX_TIMER)->deadline_ns <= now + 100 * ms);
}

static void work_that_fails_is_tried_again(void **state)
{
    begin();
    step((struct node_event){
        .kind = NODE_EV_PULLED, .id = must(NODE_FX_PULL)->id, .status = STATUS_DIGEST});
    assert_null(effect(NODE_FX_PULL));
    now = must(NODE_FX_TIMER)->deadline_ns;
    step((struct node_event){.kind = NODE_EV_TIMER});
    step((struct node_event){.kind = NODE_EV_PULLED, .id = must(NODE_FX_PULL)->id});
    step((struct node_event){
        .kind = NODE_EV_TRAINED, .id = must(NODE_FX_TRAIN)->id, .status = STATUS_INVAL});
    now = must(NODE_FX_TIMER)->deadline_ns;
    step((struct node_event){.kind = NODE_EV_TIMER});
    assert_non_null(effect(NODE_FX_PULL));
    /* While the connection is lost the next Join decides. */
    step((struct node_event){.kind = NODE_EV_LOST});
    step(
        (struct node_event){.kind = NODE_EV_PULLED, .id = n.work_id, .status = STATUS_UNREACHABLE});
    assert_null(effect(NODE_FX_PULL));
}

static void a_disk_that_fails_ends_the_node(void **state)
{
    begin();
    pull_and_train();
    step((struct node_event){
        .kind = NODE_EV_HELD, .id = must(NODE_FX_HOLD)->id, .status = STATUS_NO_SPACE});
    assert_int_equal(must(NODE_FX_EXIT)->status, STATUS_NO_SPACE);
    hear(1, 2);
    assert_int_equal(fx.count, 0);

    start((struct kept_update){0}, 0);
    connect();
    hear(1, 1);
    step((struct node_event){
        .kind = NODE_EV_EPOCH_PERSISTED, .id = must(NODE_FX_RAISE)->id, .status = STATUS_IO});
    assert_int_equal(must(NODE_FX_EXIT)->status, STATUS_IO);
}

static void the_end_of_the_job_settles_what_is_left(void **state)
{
    begin();
    hold(1);
    step((struct node_event){.kind = NODE_EV_FINISHED, .outcome = OUTCOME_CANCELLED});
    assert_int_equal(must(NODE_FX_NOTE)->reason, REASON_JOB_ENDED);
    assert_int_equal(must(NODE_FX_EXIT)->outcome, OUTCOME_CANCELLED);

    begin();
    step((struct node_event){.kind = NODE_EV_FINISHED, .outcome = OUTCOME_EXHAUSTED});
    assert_null(effect(NODE_FX_NOTE));
    begin();
    step((struct node_event){.kind = NODE_EV_STOP});
    assert_non_null(effect(NODE_FX_EXIT));
}

static void a_trace_is_told_in_words(void **state)
{
    char line[128];
    struct trace_record record = {
        .now_ns = 1500 * ms, .kind = TRACE_REFUSED, .a = 3, .reason = REASON_NORM};
    trace_text(&record, "coordinator", "n1", line, sizeof(line));
    assert_string_equal(line, "    1.500 s  coordinator: n1's update for round 3 is refused: the "
                              "norm is over the bound");
    trace_text(&record, "coordinator", nullptr, line, 40);
    assert_string_equal(line, "    1.500 s  coordinator: a stranger's ");
    record.kind = TRACE_ROUND_OPENED;
    record.b = 12;
    trace_text(&record, "c", nullptr, line, sizeof(line));
    assert_string_equal(line, "    1.500 s  c: round 3 opens, 12 nodes are asked");
}

static void no_epoch_is_believed_before_it_is_durable_itself(void **state)
{
    start((struct kept_update){0}, 0);
    connect();
    hear(3, 1);
    const uint64_t first = must(NODE_FX_RAISE)->id;
    hear(5, 2); /* a still later coordinator */
    assert_null(effect(NODE_FX_RAISE));
    step((struct node_event){.kind = NODE_EV_EPOCH_PERSISTED, .id = first});
    assert_int_equal(n.epoch_seen, 3);
    assert_null(effect(NODE_FX_PULL));
    assert_int_equal(must(NODE_FX_RAISE)->epoch, 5);
    step((struct node_event){.kind = NODE_EV_EPOCH_PERSISTED, .id = must(NODE_FX_RAISE)->id});
    assert_int_equal(n.epoch_seen, 5);
    assert_int_equal(must(NODE_FX_PULL)->beacon.epoch, 5);
}

static void an_older_coordinator_is_ignored_while_an_epoch_is_made_durable(void **state)
{
    start((struct kept_update){0}, 2);
    connect();
    hear(5, 2);
    const uint64_t raise = must(NODE_FX_RAISE)->id;
    for (uint64_t older = 1; older < 5; older++) {
        hear(older, 1);
        assert_int_equal(fx.count, 0);
        assert_int_equal(fx.traces.items[0].kind, TRACE_FENCED);
        assert_int_equal(fx.traces.items[0].b, 5);
    }
    step((struct node_event){.kind = NODE_EV_EPOCH_PERSISTED, .id = raise});
    assert_int_equal(n.epoch_seen, 5);
    assert_int_equal(must(NODE_FX_PULL)->beacon.round, 2);
}

static void work_goes_on_while_the_connection_is_lost(void **state)
{
    begin();
    step((struct node_event){.kind = NODE_EV_PULLED, .id = must(NODE_FX_PULL)->id});
    const uint64_t train = must(NODE_FX_TRAIN)->id;
    step((struct node_event){.kind = NODE_EV_LOST});
    assert_null(effect(NODE_FX_ABORT));
    step((struct node_event){.kind = NODE_EV_TRAINED, .id = train});
    step((struct node_event){.kind = NODE_EV_HELD,
                             .id = must(NODE_FX_HOLD)->id,
                             .key = {.epoch = 1, .round = 1, .payload_digest = digest(51)}});
    assert_null(effect(NODE_FX_PUSH));
    assert_true(node_awaits_settlement(&n));
    connect();
    assert_null(effect(NODE_FX_PUSH)); /* not before it is asked for: it may be settled already */
    hear(1, 1);
    assert_int_equal(must(NODE_FX_PUSH)->key.round, 1);
}

static void an_offer_that_ends_with_its_connection_is_made_again_on_the_next(void **state)
{
    begin();
    hold(1);
    const uint64_t offer = must(NODE_FX_PUSH)->id;
    hear(1, 1);
    assert_null(effect(NODE_FX_PUSH)); /* one at a time */
    step((struct node_event){.kind = NODE_EV_LOST});
    const uint64_t deadline = must(NODE_FX_TIMER)->deadline_ns;
    step((struct node_event){.kind = NODE_EV_RECEIPT, .id = offer, .status = STATUS_UNREACHABLE});
    assert_null(effect(NODE_FX_TIMER));
    assert_int_equal(n.deadline_ns, deadline); /* the wait for the connection is no longer */
    connect();
    hear(1, 1);
    assert_int_not_equal(must(NODE_FX_PUSH)->id, offer);
}

static void what_is_being_made_durable_is_not_given_up(void **state)
{
    begin();
    pull_and_train();
    const uint64_t held = must(NODE_FX_HOLD)->id;
    hear(1, 2);
    assert_null(effect(NODE_FX_ABORT));
    step((struct node_event){.kind = NODE_EV_HELD,
                             .id = held,
                             .key = {.epoch = 1, .round = 1, .payload_digest = digest(51)}});
    assert_null(effect(NODE_FX_PUSH)); /* its round is over */
    assert_int_equal(must(NODE_FX_PULL)->beacon.round, 2);
    pull_and_train();
    assert_int_equal(must(NODE_FX_NOTE)->reason, REASON_SUPERSEDED);
    assert_int_equal(must(NODE_FX_NOTE)->key.round, 1);
}

static void work_that_was_given_up_is_no_failure(void **state)
{
    begin();
    step((struct node_event){.kind = NODE_EV_PULLED, .id = must(NODE_FX_PULL)->id});
    const uint64_t train = must(NODE_FX_TRAIN)->id;
    hear(1, 2);
    assert_int_equal(must(NODE_FX_ABORT)->id, train);
    step((struct node_event){.kind = NODE_EV_TRAINED, .id = train, .status = STATUS_CANCELLED});
    assert_null(effect(NODE_FX_TIMER));
    assert_null(effect(NODE_FX_RELEASE)); /* there is nothing to release */
    assert_int_equal(must(NODE_FX_PULL)->beacon.round, 2);
}

static void work_that_failed_waits_even_where_another_round_opens(void **state)
{
    begin();
    step((struct node_event){
        .kind = NODE_EV_PULLED, .id = must(NODE_FX_PULL)->id, .status = STATUS_DIGEST});
    const uint64_t deadline = must(NODE_FX_TIMER)->deadline_ns;
    hear(1, 2);
    assert_null(effect(NODE_FX_PULL));
    now = deadline - 1;
    step((struct node_event){.kind = NODE_EV_TIMER});
    assert_null(effect(NODE_FX_PULL));
    assert_int_equal(must(NODE_FX_TIMER)->deadline_ns, deadline); /* it was too early */
    now = deadline;
    step((struct node_event){.kind = NODE_EV_TIMER});
    assert_int_equal(must(NODE_FX_PULL)->beacon.round, 2);
    /* Or until there is a new connection. */
    step((struct node_event){
        .kind = NODE_EV_PULLED, .id = must(NODE_FX_PULL)->id, .status = STATUS_DIGEST});
    step((struct node_event){.kind = NODE_EV_LOST});
    connect();
    hear(1, 2);
    assert_non_null(effect(NODE_FX_PULL));
}

static void a_refusal_is_final_or_waits_for_another_coordinator_or_for_room(void **state)
{
    for (unsigned number = 0; number <= REASON_INTERNAL; number++) {
        const enum reason reason = reason_of_number(number);
        const bool again =
            reason == REASON_BUSY || reason == REASON_DRAINING || reason == REASON_INTERNAL;
        const bool kept = again || reason == REASON_ROUND_CLOSED || reason == REASON_FUTURE_ROUND ||
                          reason == REASON_JOB_ENDED || reason == REASON_NOT_SELECTED ||
                          reason == REASON_FUTURE_EPOCH || reason == REASON_TOO_STALE ||
                          reason == REASON_ALREADY_COUNTED;
        begin();
        hold(1);
        receipt(false, reason);
        assert_int_equal(must(NODE_FX_NOTE)->note, NOTE_REFUSED);
        assert_int_equal(must(NODE_FX_NOTE)->reason, reason);
        assert_int_equal(effect(NODE_FX_TIMER) != nullptr, again);
        assert_int_equal(node_awaits_settlement(&n), kept);
        step((struct node_event){.kind = NODE_EV_LOST});
        connect();
        hear(1, 1);
        assert_int_equal(effect(NODE_FX_PUSH) != nullptr, kept);
        assert_null(effect(NODE_FX_PULL)); /* trained for this round it has */
    }
}

static void a_late_update_that_was_counted_after_all_is_settled_so(void **state)
{
    begin();
    hold(1);
    receipt(false, REASON_ROUND_CLOSED);
    step((struct node_event){.kind = NODE_EV_COUNTED,
                             .settled = {.key = {.round = 1, .payload_digest = digest(99)}}});
    assert_null(effect(NODE_FX_NOTE)); /* of another payload */
    settle(NODE_EV_COUNTED, 1, REASON_UNSPECIFIED);
    assert_int_equal(must(NODE_FX_NOTE)->note, NOTE_COUNTED);
    begin();
    hold(1);
    receipt(true, REASON_UNSPECIFIED);
    settle(NODE_EV_DROPPED, 1, REASON_SUPERSEDED);
    assert_int_equal(must(NODE_FX_NOTE)->note, NOTE_DROPPED);
    assert_int_equal(must(NODE_FX_NOTE)->reason, REASON_SUPERSEDED);
    assert_false(node_awaits_settlement(&n));
}

static void an_offer_asks_for_the_kept_update_though_its_round_is_over(void **state)
{
    const struct kept_update kept = {.state = UPDATE_HELD,
                                     .key = {.round = 1, .payload_digest = digest(51)},
                                     .base_id = digest(0)};
    start(kept, 1);
    connect();
    assert_null(effect(NODE_FX_PUSH)); /* nobody asked yet */
    settle(NODE_EV_OFFER, 2, REASON_UNSPECIFIED);
    assert_null(effect(NODE_FX_PUSH)); /* not for this one */
    step((struct node_event){.kind = NODE_EV_OFFER,
                             .settled = {.key = {.round = 1, .payload_digest = digest(77)}}});
    assert_null(effect(NODE_FX_PUSH));
    settle(NODE_EV_OFFER, 1, REASON_UNSPECIFIED);
    assert_int_equal(must(NODE_FX_PUSH)->key.round, 1);
    settle(NODE_EV_OFFER, 1, REASON_UNSPECIFIED); /* again, while it is on its way */
    assert_null(effect(NODE_FX_PUSH));
    /* Without room it is sent again, though no beacon came. */
    receipt(false, REASON_BUSY);
    now = must(NODE_FX_TIMER)->deadline_ns;
    step((struct node_event){.kind = NODE_EV_TIMER});
    assert_non_null(effect(NODE_FX_PUSH));
    /* Refused as late, it may be asked for once more. */
    receipt(false, REASON_ROUND_CLOSED);
    assert_null(effect(NODE_FX_PUSH));
    settle(NODE_EV_OFFER, 1, REASON_UNSPECIFIED);
    assert_non_null(effect(NODE_FX_PUSH));
    receipt(true, REASON_UNSPECIFIED);
    assert_int_equal(must(NODE_FX_NOTE)->note, NOTE_ACCEPTED);
    settle(NODE_EV_OFFER, 1, REASON_UNSPECIFIED);
    assert_null(effect(NODE_FX_PUSH));
    settle(NODE_EV_COUNTED, 1, REASON_UNSPECIFIED);
    assert_int_equal(must(NODE_FX_NOTE)->note, NOTE_COUNTED);
    settle(NODE_EV_OFFER, 1, REASON_UNSPECIFIED);
    assert_int_equal(fx.count, 0);
    /* Another connection asks anew. */
    start(kept, 1);
    connect();
    settle(NODE_EV_OFFER, 1, REASON_UNSPECIFIED);
    step((struct node_event){.kind = NODE_EV_LOST});
    step((struct node_event){
        .kind = NODE_EV_RECEIPT, .id = n.push_id, .status = STATUS_UNREACHABLE});
    connect();
    now += 10000 * ms;
    step((struct node_event){.kind = NODE_EV_TIMER});
    assert_null(effect(NODE_FX_PUSH));
}

static void an_offer_stops_the_work_that_would_take_the_offered_ones_place(void **state)
{
    for (int training = 0; training < 2; training++) {
        begin();
        hold(1);
        receipt(false, REASON_ROUND_CLOSED);
        hear(1, 2);
        if (training)
            step((struct node_event){.kind = NODE_EV_PULLED, .id = must(NODE_FX_PULL)->id});
        step((struct node_event){.kind = NODE_EV_LOST});
        connect();
        settle(NODE_EV_OFFER, 1, REASON_UNSPECIFIED);
        assert_int_equal(must(NODE_FX_ABORT)->id, n.work_id);
        assert_non_null(effect(NODE_FX_PUSH));
        settle(NODE_EV_OFFER, 1, REASON_UNSPECIFIED);
        assert_null(effect(NODE_FX_ABORT)); /* once */
        /* It had just ended: what it made is let go. */
        step((struct node_event){.kind = training ? NODE_EV_TRAINED : NODE_EV_PULLED,
                                 .id = n.work_id});
        assert_non_null(effect(NODE_FX_RELEASE));
        assert_null(effect(NODE_FX_HOLD));
        assert_null(effect(NODE_FX_NOTE));
        receipt(true, REASON_UNSPECIFIED);
        settle(NODE_EV_COUNTED, 1, REASON_UNSPECIFIED);
        assert_int_equal(must(NODE_FX_NOTE)->note, NOTE_COUNTED);
        hear(1, 3);
        assert_int_equal(must(NODE_FX_PULL)->beacon.round, 3);
    }
    /* What is being made durable has taken its place already. */
    begin();
    hold(1);
    receipt(false, REASON_ROUND_CLOSED);
    hear(1, 2);
    pull_and_train();
    step((struct node_event){.kind = NODE_EV_LOST});
    connect();
    settle(NODE_EV_OFFER, 1, REASON_UNSPECIFIED);
    assert_null(effect(NODE_FX_PUSH));
    assert_null(effect(NODE_FX_ABORT));
    /* Nor does it stop work that this connection's beacon asked for. */
    begin();
    hold(1);
    receipt(false, REASON_ROUND_CLOSED);
    hear(1, 2);
    settle(NODE_EV_OFFER, 1, REASON_UNSPECIFIED);
    assert_null(effect(NODE_FX_ABORT));
    assert_non_null(effect(NODE_FX_PUSH));
}

static void what_was_settled_before_a_restart_is_not_offered(void **state)
{
    start((struct kept_update){.state = UPDATE_SETTLED, .key = {.round = 1}, .base_id = digest(0)},
          1);
    assert_false(node_awaits_settlement(&n));
    connect();
    hear(1, 1);
    assert_int_equal(fx.count, 0);
    settle(NODE_EV_DROPPED, 1, REASON_ROUND_CLOSED);
    assert_null(effect(NODE_FX_NOTE));
    step((struct node_event){.kind = NODE_EV_FINISHED, .outcome = OUTCOME_CONVERGED});
    assert_null(effect(NODE_FX_NOTE));
    assert_int_equal(must(NODE_FX_EXIT)->outcome, OUTCOME_CONVERGED);
}

static void nodes_with_other_seeds_wait_for_other_times(void **state)
{
    uint64_t waits[3];
    for (uint64_t i = 0; i < 3; i++) {
        const struct node_settings settings = {
            .seed = i % 2, .retry_min_ns = 100 * ms, .retry_max_ns = 100 * ms};
        now = 0;
        node_init(&n, &settings);
        step((struct node_event){.kind = NODE_EV_START});
        step((struct node_event){.kind = NODE_EV_LOST});
        waits[i] = must(NODE_FX_TIMER)->deadline_ns;
        assert_true(waits[i] >= 50 * ms && waits[i] <= 100 * ms);
    }
    assert_true(waits[0] != waits[1]);
    assert_true(waits[0] == waits[2]); /* and one seed gives one wait */
}

static void one_connection_is_dialled_at_a_time(void **state)
{
    start((struct kept_update){0}, 0);
    step((struct node_event){.kind = NODE_EV_LOST});
    now = must(NODE_FX_TIMER)->deadline_ns;
    step((struct node_event){.kind = NODE_EV_TIMER});
    assert_non_null(effect(NODE_FX_CONNECT));
    now += 1000 * ms;
    step((struct node_event){.kind = NODE_EV_TIMER});
    assert_int_equal(fx.count, 0); /* the second is under way */
}

static void the_same_round_from_another_version_is_another_round(void **state)
{
    struct beacon other = beacon(1, 1);
    other.version.id = digest(77); /* a coordinator that was restored and went another way */
    begin();
    const uint64_t pull = must(NODE_FX_PULL)->id;
    step((struct node_event){.kind = NODE_EV_BEACON, .beacon = other});
    assert_int_equal(must(NODE_FX_ABORT)->id, pull);
    begin();
    hold(1);
    receipt(true, REASON_UNSPECIFIED);
    step((struct node_event){.kind = NODE_EV_LOST});
    connect();
    step((struct node_event){.kind = NODE_EV_BEACON, .beacon = other});
    assert_null(effect(NODE_FX_PUSH));
    assert_int_equal(must(NODE_FX_PULL)->beacon.version.id.bytes[0], 77);
}

static void nothing_is_offered_to_a_new_connection_before_its_beacon(void **state)
{
    begin();
    pull_and_train();
    const uint64_t held = must(NODE_FX_HOLD)->id;
    step((struct node_event){.kind = NODE_EV_LOST});
    connect();
    step((struct node_event){.kind = NODE_EV_HELD,
                             .id = held,
                             .key = {.epoch = 1, .round = 1, .payload_digest = digest(51)}});
    assert_null(effect(NODE_FX_PUSH));
    hear(1, 1);
    assert_non_null(effect(NODE_FX_PUSH));
}

static void a_wait_for_room_does_not_dial_a_second_time(void **state)
{
    begin();
    hold(1);
    step((struct node_event){.kind = NODE_EV_LOST});
    now = must(NODE_FX_TIMER)->deadline_ns;
    step((struct node_event){.kind = NODE_EV_TIMER});
    assert_non_null(effect(NODE_FX_CONNECT));
    receipt(false, REASON_BUSY); /* the answer to the offer came through after all */
    now = must(NODE_FX_TIMER)->deadline_ns;
    step((struct node_event){.kind = NODE_EV_TIMER});
    assert_null(effect(NODE_FX_CONNECT));
}

static void a_node_that_stopped_does_nothing_more(void **state)
{
    static const enum node_event_kind ends[] = {NODE_EV_STOP, NODE_EV_FINISHED, NODE_EV_HELD};
    for (size_t i = 0; i < sizeof(ends) / sizeof(*ends); i++) {
        begin();
        pull_and_train();
        step((struct node_event){
            .kind = ends[i], .id = must(NODE_FX_HOLD)->id, .status = STATUS_NO_SPACE});
        assert_non_null(effect(NODE_FX_EXIT));
        step((struct node_event){.kind = NODE_EV_LOST});
        assert_int_equal(fx.count, 0);
        connect();
        hear(2, 1);
        assert_int_equal(fx.count, 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_update_is_durable_before_it_is_offered),
        cmocka_unit_test(counted_and_dropped_settle_it_once),
        cmocka_unit_test(an_older_coordinator_is_ignored),
        cmocka_unit_test(the_newest_beacon_wins_while_an_epoch_is_made_durable),
        cmocka_unit_test(work_for_an_older_round_is_given_up),
        cmocka_unit_test(a_new_attempt_of_the_same_round_is_signed_for),
        cmocka_unit_test(what_is_kept_is_offered_again_to_a_new_connection),
        cmocka_unit_test(a_kept_update_survives_the_node),
        cmocka_unit_test(a_late_update_is_kept_since_its_round_may_open_again),
        cmocka_unit_test(a_busy_receiver_is_asked_again_after_a_wait),
        cmocka_unit_test(an_answer_after_the_settlement_changes_nothing),
        cmocka_unit_test(waits_double_to_their_longest_and_begin_anew),
        cmocka_unit_test(work_that_fails_is_tried_again),
        cmocka_unit_test(a_disk_that_fails_ends_the_node),
        cmocka_unit_test(the_end_of_the_job_settles_what_is_left),
        cmocka_unit_test(a_trace_is_told_in_words),
        cmocka_unit_test(no_epoch_is_believed_before_it_is_durable_itself),
        cmocka_unit_test(an_older_coordinator_is_ignored_while_an_epoch_is_made_durable),
        cmocka_unit_test(work_goes_on_while_the_connection_is_lost),
        cmocka_unit_test(an_offer_that_ends_with_its_connection_is_made_again_on_the_next),
        cmocka_unit_test(what_is_being_made_durable_is_not_given_up),
        cmocka_unit_test(work_that_was_given_up_is_no_failure),
        cmocka_unit_test(work_that_failed_waits_even_where_another_round_opens),
        cmocka_unit_test(a_refusal_is_final_or_waits_for_another_coordinator_or_for_room),
        cmocka_unit_test(a_late_update_that_was_counted_after_all_is_settled_so),
        cmocka_unit_test(an_offer_asks_for_the_kept_update_though_its_round_is_over),
        cmocka_unit_test(an_offer_stops_the_work_that_would_take_the_offered_ones_place),
        cmocka_unit_test(what_was_settled_before_a_restart_is_not_offered),
        cmocka_unit_test(nodes_with_other_seeds_wait_for_other_times),
        cmocka_unit_test(one_connection_is_dialled_at_a_time),
        cmocka_unit_test(the_same_round_from_another_version_is_another_round),
        cmocka_unit_test(nothing_is_offered_to_a_new_connection_before_its_beacon),
        cmocka_unit_test(a_wait_for_room_does_not_dial_a_second_time),
        cmocka_unit_test(a_node_that_stopped_does_nothing_more),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}

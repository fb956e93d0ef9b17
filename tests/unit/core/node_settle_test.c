/*
 * node_settle_test.c - what a node's kept update is settled by, and when one that was turned away
 * is offered again. The rest of the node's machine: node_test.c.
 */
#include "node_driver.h"

static void hear(uint32_t attempt)
{
    step((struct node_event){
        .kind = NODE_EV_BEACON,
        .beacon = {.epoch = 1, .round = 4, .attempt = attempt, .version = {.id = digest(3)}}});
}

/* Connected, with an update for round 4 that is being offered. */
static void begin(void)
{
    const struct node_settings settings = {.seed = 1, .retry_min_ns = 1, .retry_max_ns = 8};
    const struct kept_update kept = {.state = UPDATE_HELD,
                                     .key = {.epoch = 1, .round = 4, .payload_digest = digest(50)},
                                     .base_id = digest(3)};
    now = 0;
    node_init(&n, &settings);
    step((struct node_event){.kind = NODE_EV_START, .start = {.epoch_seen = 1, .kept = kept}});
    step((struct node_event){.kind = NODE_EV_CONNECTED});
    hear(0);
    assert_non_null(effect(NODE_FX_PUSH));
}

static void refuse(enum reason reason)
{
    step((struct node_event){
        .kind = NODE_EV_RECEIPT, .id = n.push_id, .receipt = {.reason = reason}});
}

static void only_what_names_round_and_payload_settles(void **state)
{
    static const enum node_event_kind kinds[] = {NODE_EV_COUNTED, NODE_EV_DROPPED};
    for (int i = 0; i < 2; i++) {
        begin();
        step((struct node_event){.kind = kinds[i],
                                 .settled.key = {.round = 5, .payload_digest = digest(50)}});
        assert_null(effect(NODE_FX_NOTE));
        step((struct node_event){.kind = kinds[i],
                                 .settled.key = {.round = 4, .payload_digest = digest(51)}});
        assert_null(effect(NODE_FX_NOTE));
        assert_int_equal(n.kept.state, UPDATE_HELD);
        /* Signed for another attempt and epoch, it is the same update. */
        step((struct node_event){
            .kind = kinds[i],
            .settled.key = {.epoch = 7, .round = 4, .attempt = 2, .payload_digest = digest(50)}});
        assert_non_null(effect(NODE_FX_NOTE));
        assert_int_equal(n.kept.state, UPDATE_SETTLED);
    }
}

static void what_was_turned_away_is_offered_when_its_round_is_asked_for_anew(void **state)
{
    begin();
    refuse(REASON_ROUND_CLOSED);
    assert_int_equal(n.kept.state, UPDATE_REFUSED);
    hear(0); /* the same beacon again asks for nothing new */
    assert_null(effect(NODE_FX_PUSH));
    hear(1);
    assert_non_null(effect(NODE_FX_PUSH));
    assert_null(effect(NODE_FX_PULL)); /* it need not be made anew */
    refuse(REASON_NORM);               /* no attempt makes that good */
    hear(2);
    assert_null(effect(NODE_FX_PUSH));
}

/*
 * The coordinator stood still with the offered update on its way, and closed the round. The node
 * makes the next update before it hears what became of the offer.
 */
static void hold_the_next_while_the_offer_is_under_way(void)
{
    begin();
    step((struct node_event){.kind = NODE_EV_COUNTED,
                             .settled.key = {.round = 4, .payload_digest = digest(50)}});
    step((struct node_event){.kind = NODE_EV_BEACON,
                             .beacon = {.epoch = 1, .round = 5, .version = {.id = digest(4)}}});
    step((struct node_event){.kind = NODE_EV_PULLED, .id = n.work_id});
    step((struct node_event){.kind = NODE_EV_TRAINED, .id = n.work_id});
    step((struct node_event){.kind = NODE_EV_HELD,
                             .id = n.work_id,
                             .key = {.epoch = 1, .round = 5, .payload_digest = digest(51)}});
    assert_int_equal(n.kept.state, UPDATE_HELD);
    assert_null(effect(NODE_FX_PUSH)); /* one at a time */
}

static void a_receipt_for_an_earlier_offer_says_nothing_about_the_next_update(void **state)
{
    static const struct node_event answers[] = {
        {.kind = NODE_EV_RECEIPT, .receipt = {.accepted = true}},
        {.kind = NODE_EV_RECEIPT, .receipt = {.reason = REASON_ROUND_CLOSED}},
        {.kind = NODE_EV_RECEIPT, .receipt = {.reason = REASON_NORM}},
        {.kind = NODE_EV_RECEIPT, .receipt = {.reason = REASON_BUSY}},
        {.kind = NODE_EV_RECEIPT, .status = STATUS_UNREACHABLE},
    };
    for (int i = 0; i < 5; i++) {
        hold_the_next_while_the_offer_is_under_way();
        struct node_event answer = answers[i];
        answer.id = n.push_id;
        step(answer);
        assert_null(effect(NODE_FX_NOTE));
        assert_int_equal(n.kept.state, UPDATE_HELD);
        if (i >= 3) { /* for those there is a wait before the next offer */
            assert_null(effect(NODE_FX_PUSH));
            now = 100;
            step((struct node_event){.kind = NODE_EV_TIMER});
        }
        assert_non_null(effect(NODE_FX_PUSH));
        assert_int_equal(effect(NODE_FX_PUSH)->key.round, 5);
        step((struct node_event){
            .kind = NODE_EV_RECEIPT, .id = n.push_id, .receipt = {.accepted = true}});
        assert_int_equal(n.kept.state, UPDATE_ACCEPTED);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_what_names_round_and_payload_settles),
        cmocka_unit_test(what_was_turned_away_is_offered_when_its_round_is_asked_for_anew),
        cmocka_unit_test(a_receipt_for_an_earlier_offer_says_nothing_about_the_next_update),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}

/*
 * node_settle_test.c - what a node's kept update is settled by, and when one that was turned away
 * is offered again. The rest of the node's machine: node_test.c.
 */
#include "core/node.h"

#include "testing.h"

#include <string.h>

static struct node n;
static struct node_effects fx;

static void step(struct node_event event)
{
    node_step(&n, &event, &fx);
}

static const struct node_effect *effect(enum node_effect_kind kind)
{
    for (uint32_t i = 0; i < fx.count; i++) {
        if (fx.items[i].kind == kind)
            return &fx.items[i];
    }
    return nullptr;
}

static struct digest digest(uint8_t fill)
{
    struct digest made;
    memset(made.bytes, fill, sizeof(made.bytes));
    return made;
}

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_what_names_round_and_payload_settles),
        cmocka_unit_test(what_was_turned_away_is_offered_when_its_round_is_asked_for_anew),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}

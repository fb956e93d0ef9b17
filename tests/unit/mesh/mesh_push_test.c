/*
 * mesh_push_test.c - updates over loopback TLS: offers, payloads, receipts, and pushes that break.
 */
#include "mesh_world.h"

#include <string.h>

static void start_push(struct world *w, const struct bytes *envelope)
{
    const struct slice payload = {w->blob, BLOB_BYTES};
    w->in_call++;
    assert_int_equal(leaf_push(w->leaf, 6, bytes_slice(envelope), payload), STATUS_OK);
    w->in_call--;
}

static void answer(struct world *w)
{
    const struct receipt receipt = {.reason = REASON_ROUND_CLOSED, .text = "too late"};
    w->in_call++;
    hub_receipt(w->hub, w->ticket, &receipt);
    w->in_call--;
}

static void an_update_comes_whole_and_is_answered(void **state)
{
    struct world *const w = *state;
    struct bytes envelope = world_envelope(BLOB_BYTES, ENVELOPE_UPDATE);
    struct digest digest;
    world_join(w);
    start_push(w, &envelope);
    world_run_until(w, &w->receipts, 1);
    assert_string_equal(w->log, "offer payload receipt");
    assert_int_equal(w->receipt_status, STATUS_OK);
    assert_true(w->receipt.accepted);
    assert_memory_equal(w->memory, w->blob, BLOB_BYTES);
    assert_int_equal(blob_digest(w->blob, BLOB_BYTES, 0, &digest), STATUS_OK);
    assert_memory_equal(&w->payload_digest, &digest, sizeof(digest));
    world_close(w);
    assert_int_equal(w->gones, 0);
    bytes_deinit(&envelope);
}

static void an_offer_without_room_waits_until_it_is_resumed(void **state)
{
    struct world *const w = *state;
    struct bytes envelope = world_envelope(BLOB_BYTES, ENVELOPE_UPDATE);
    world_join(w);
    w->offer = STATUS_AGAIN;
    start_push(w, &envelope);
    world_run_until(w, &w->offers, 1);
    const uint64_t ticket = w->ticket;
    world_run_for(w, 50);
    assert_int_equal(w->offers, 1);
    w->in_call++;
    hub_resume(w->hub, ticket);
    hub_resume(w->hub, ticket);
    hub_resume(w->hub, 12345);
    w->in_call--;
    world_run_until(w, &w->offers, 2);
    assert_int_equal(w->ticket, ticket);
    w->offer = STATUS_OK;
    w->in_call++;
    hub_resume(w->hub, ticket);
    w->in_call--;
    world_run_until(w, &w->receipts, 1);
    assert_string_equal(w->log, "offer offer offer payload receipt");
    assert_true(w->receipt.accepted);
    assert_memory_equal(w->memory, w->blob, BLOB_BYTES);
    world_close(w);
    bytes_deinit(&envelope);
}

static void an_offer_that_waits_may_be_answered(void **state)
{
    struct world *const w = *state;
    struct bytes envelope = world_envelope(BLOB_BYTES, ENVELOPE_UPDATE);
    world_join(w);
    w->offer = STATUS_AGAIN;
    start_push(w, &envelope);
    world_run_until(w, &w->offers, 1);
    w->in_call++;
    hub_resume(w->hub, w->ticket); /* and then it is too late */
    w->in_call--;
    answer(w);
    answer(w);
    world_run_until(w, &w->receipts, 1);
    assert_int_equal(w->receipt_status, STATUS_OK);
    assert_int_equal(w->receipt.reason, REASON_ROUND_CLOSED);
    assert_string_equal(w->receipt.text, "too late");
    world_close(w);
    assert_int_equal(w->offers, 1);
    assert_int_equal(w->gones, 0);
    bytes_deinit(&envelope);
}

static void a_payload_that_is_not_wanted_is_not_kept(void **state)
{
    struct world *const w = *state;
    struct bytes envelope = world_envelope(BLOB_BYTES, ENVELOPE_UPDATE);
    world_join(w);
    w->offer = STATUS_EXISTS;
    start_push(w, &envelope);
    world_run_until(w, &w->offers, 1);
    world_run_for(w, 100); /* all parts come, and are ignored */
    assert_int_equal(w->receipts, 0);
    answer(w);
    world_run_until(w, &w->receipts, 1);
    assert_int_equal(w->receipt.reason, REASON_ROUND_CLOSED);
    w->answer_in_offer = true;
    start_push(w, &envelope);
    world_run_until(w, &w->receipts, 2);
    assert_true(w->receipt.accepted);
    world_close(w);
    assert_int_equal(w->payloads, 0);
    assert_int_equal(w->gones, 0);
    assert_int_equal(w->memory[0], GUARD_FILL);
    bytes_deinit(&envelope);
}

static void envelopes_that_fail_the_cheap_checks_are_refused(void **state)
{
    struct world *const w = *state;
    struct bytes good = world_envelope(BLOB_BYTES, ENVELOPE_UPDATE);
    struct bytes large = world_envelope(BLOB_BYTES + 1, ENVELOPE_UPDATE);
    struct bytes beacon = world_envelope(0, ENVELOPE_BEACON);
    struct bytes garbage;
    bytes_init(&garbage, 64);
    assert_int_equal(bytes_append(&garbage, "garbage", 7), STATUS_OK);
    const struct {
        const struct bytes *envelope;
        enum reason reason;
    } cases[] = {
        {&garbage, REASON_MALFORMED}, {&large, REASON_TOO_LARGE}, {&beacon, REASON_MALFORMED}};
    world_join(w);
    for (int i = 0; i < 3; i++) {
        start_push(w, cases[i].envelope);
        world_run_until(w, &w->receipts, i + 1);
        assert_int_equal(w->receipt_status, STATUS_OK);
        assert_false(w->receipt.accepted);
        assert_int_equal(w->receipt.reason, cases[i].reason);
        assert_int_equal(w->refused_reason, cases[i].reason);
        assert_true(w->receipt.text[0] != '\0');
    }
    world_close(w);
    assert_int_equal(w->refusals, 3);
    assert_int_equal(w->offers, 0);
    assert_int_equal(w->gones, 0);
    bytes_deinit(&good);
    bytes_deinit(&large);
    bytes_deinit(&beacon);
    bytes_deinit(&garbage);
}

/* A call with the envelope of a payload of 1,000 bytes. */
static void call_with_envelope(struct world *w)
{
    struct bytes envelope = world_envelope(1000, ENVELOPE_UPDATE);
    struct bytes message;
    const int want = w->offers + 1;
    world_call(w, "/fedra.v1.Federation/PushUpdate");
    bytes_init(&message, UPDATE_PART_BYTES_MAX);
    assert_int_equal(update_part_encode_envelope(bytes_slice(&envelope), &message), STATUS_OK);
    world_call_send(w, &message);
    world_run_until(w, &w->offers, want);
    bytes_deinit(&envelope);
}

static void expect_refused(struct world *w, enum reason reason)
{
    struct receipt receipt;
    world_run_until(w, &w->calls_closed, 1);
    assert_int_equal(w->code, GRPC_STATUS_OK);
    assert_int_equal(receipt_decode(bytes_slice(&w->received), &receipt, nullptr), STATUS_OK);
    assert_false(receipt.accepted);
    assert_int_equal(receipt.reason, reason);
    assert_int_equal(w->refused_reason, reason);
}

static void parts_come_in_order_without_gap_and_in_bounds(void **state)
{
    struct world *const w = *state;
    struct bytes message;
    world_open(w);
    world_open_client(w);
    call_with_envelope(w);
    world_call_send_chunk(w, 0, w->blob, 500);
    world_call_send_chunk(w, 501, w->blob, 10); /* a gap */
    expect_refused(w, REASON_MALFORMED);
    call_with_envelope(w);
    world_call_send_chunk(w, 0, w->blob, 500);
    world_call_send_chunk(w, 499, w->blob, 10); /* twice the same byte */
    expect_refused(w, REASON_MALFORMED);
    memset(w->memory, GUARD_FILL, BLOB_BYTES);
    call_with_envelope(w);
    world_call_send_chunk(w, 0, w->blob, 500);
    world_call_send_chunk(w, 500, w->blob, 501); /* one too many */
    expect_refused(w, REASON_TOO_LARGE);
    assert_int_equal(w->memory[1000], GUARD_FILL);
    call_with_envelope(w);
    world_call_send_chunk(w, 0, w->blob, 999);
    assert_int_equal(rpc_call_half_close(w->call), STATUS_OK); /* one too few */
    expect_refused(w, REASON_MALFORMED);
    assert_int_equal(w->gones, 4);
    call_with_envelope(w);
    bytes_init(&message, UPDATE_PART_BYTES_MAX);
    assert_int_equal(update_part_encode_envelope((struct slice){w->blob, 9}, &message), STATUS_OK);
    world_call_send(w, &message); /* a second envelope */
    expect_refused(w, REASON_MALFORMED);
    world_call(w, "/fedra.v1.Federation/PushUpdate");
    world_call_send_chunk(w, 0, w->blob, 10); /* no envelope */
    expect_refused(w, REASON_MALFORMED);
    world_call(w, "/fedra.v1.Federation/PushUpdate");
    assert_int_equal(rpc_call_half_close(w->call), STATUS_OK);
    expect_refused(w, REASON_MALFORMED);
    world_close(w);
    assert_int_equal(w->offers, 5);
    assert_int_equal(w->gones, 5);
    assert_int_equal(w->refusals, 7);
    assert_int_equal(w->payloads, 0);
}

static void nothing_is_written_after_the_receipt(void **state)
{
    struct world *const w = *state;
    world_open(w);
    world_open_client(w);
    call_with_envelope(w);
    world_call_send_chunk(w, 0, w->blob, 500);
    world_run_for(w, 50);
    assert_memory_equal(w->memory, w->blob, 500);
    answer(w);
    world_call_send_chunk(w, 500, w->blob + 500, 500);
    world_run_until(w, &w->calls_closed, 1);
    world_run_for(w, 20);
    assert_int_equal(w->memory[500], GUARD_FILL);
    world_close(w);
    assert_int_equal(w->payloads + w->gones, 0);
}

static void a_push_that_stalls_is_cut(void **state)
{
    struct world *const w = *state;
    w->hub_options.push_timeout_ms = 200;
    world_open(w);
    world_open_client(w);
    call_with_envelope(w);
    for (int i = 0; i < 4; i++) { /* slow, but not stalled */
        world_call_send_chunk(w, (uint64_t)i * 100, w->blob, 100);
        world_run_for(w, 100);
    }
    assert_int_equal(w->gones, 0);
    world_run_until(w, &w->gones, 1);
    world_run_until(w, &w->calls_closed, 1);
    assert_int_equal(w->code, GRPC_STATUS_DEADLINE_EXCEEDED);
    world_call(w, "/fedra.v1.Federation/PushUpdate"); /* not even an envelope */
    world_run_until(w, &w->calls_closed, 1);
    assert_int_equal(w->code, GRPC_STATUS_DEADLINE_EXCEEDED);
    world_close(w);
    assert_int_equal(w->gones, 1);
}

static void an_owner_without_room_is_not_a_stalled_peer(void **state)
{
    struct world *const w = *state;
    struct bytes envelope = world_envelope(BLOB_BYTES, ENVELOPE_UPDATE);
    w->hub_options.push_timeout_ms = 100;
    world_join(w);
    w->offer = STATUS_AGAIN;
    start_push(w, &envelope);
    world_run_until(w, &w->offers, 1);
    world_run_for(w, 300);
    assert_int_equal(w->gones, 0);
    w->offer = STATUS_OK;
    w->answer_payload = false;
    hub_resume(w->hub, w->ticket);
    world_run_until(w, &w->payloads, 1);
    world_run_for(w, 300); /* the owner takes its time to check */
    assert_int_equal(w->gones + w->receipts, 0);
    answer(w);
    world_run_until(w, &w->receipts, 1);
    assert_int_equal(w->receipt_status, STATUS_OK);
    world_close(w);
    bytes_deinit(&envelope);
}

static void a_leaf_gives_up_a_push_without_progress(void **state)
{
    struct world *const w = *state;
    struct bytes envelope = world_envelope(BLOB_BYTES, ENVELOPE_UPDATE);
    w->leaf_options.call_timeout_ms = 200;
    world_join(w);
    w->offer = STATUS_AGAIN;
    start_push(w, &envelope);
    world_run_until(w, &w->receipts, 1);
    assert_int_equal(w->receipt_status, STATUS_TIMEOUT);
    world_run_until(w, &w->gones, 1);
    assert_int_equal(w->losts, 0);
    world_close(w);
    bytes_deinit(&envelope);
}

static void a_lost_connection_ends_the_push_and_then_the_join(void **state)
{
    struct world *const w = *state;
    struct bytes envelope = world_envelope(BLOB_BYTES, ENVELOPE_UPDATE);
    const struct digest digest = {{1}};
    world_join(w);
    w->offer = STATUS_AGAIN; /* it stays in its middle */
    start_push(w, &envelope);
    world_run_until(w, &w->offers, 1);
    w->in_call++;
    hub_drain(w->hub, 0, nullptr);
    w->in_call--;
    w->hub = nullptr;
    w->hub_closed = 1;
    world_run_until(w, &w->losts, 1);
    world_run_until(w, &w->gones, 1);
    assert_non_null(strstr(w->log, "receipt lost"));
    assert_int_equal(w->receipt_status, STATUS_UNREACHABLE);
    assert_true(w->reason[0] != '\0');
    w->in_call++;
    assert_int_equal(leaf_push(w->leaf, 6, bytes_slice(&envelope), (struct slice){w->blob, 8}),
                     STATUS_UNREACHABLE);
    assert_int_equal(leaf_pull(w->leaf, 5, &digest, w->memory, 8), STATUS_UNREACHABLE);
    w->in_call--;
    world_close(w);
    assert_int_equal(w->receipts, 1);
    assert_int_equal(w->losts, 1);
    assert_int_equal(w->gones, 1);
    bytes_deinit(&envelope);
}

static void a_leaf_that_leaves_in_mid_push_is_gone(void **state)
{
    struct world *const w = *state;
    struct bytes envelope = world_envelope(BLOB_BYTES, ENVELOPE_UPDATE);
    world_join(w);
    start_push(w, &envelope);
    world_run_until(w, &w->offers, 1);
    w->in_call++;
    leaf_leave(w->leaf);
    w->in_call--;
    world_run_until(w, &w->losts, 1);
    assert_non_null(strstr(w->log, "receipt"));
    assert_int_not_equal(w->receipt_status, STATUS_OK);
    assert_int_equal(w->lost_status, STATUS_CANCELLED);
    world_run_until(w, &w->gones, 1);
    world_close(w);
    bytes_deinit(&envelope);
}

static void a_leaf_that_closes_completes_what_is_open(void **state)
{
    struct world *const w = *state;
    struct bytes envelope = world_envelope(BLOB_BYTES, ENVELOPE_UPDATE);
    world_join(w);
    w->offer = STATUS_AGAIN;
    start_push(w, &envelope);
    world_run_until(w, &w->offers, 1);
    world_close(w);
    assert_int_equal(w->receipts, 1);
    assert_int_equal(w->losts, 1);
    assert_int_equal(w->gones, 1);
    bytes_deinit(&envelope);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, world_set_up, world_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(an_update_comes_whole_and_is_answered),
        CASE(an_offer_without_room_waits_until_it_is_resumed),
        CASE(an_offer_that_waits_may_be_answered),
        CASE(a_payload_that_is_not_wanted_is_not_kept),
        CASE(envelopes_that_fail_the_cheap_checks_are_refused),
        CASE(parts_come_in_order_without_gap_and_in_bounds),
        CASE(nothing_is_written_after_the_receipt),
        CASE(a_push_that_stalls_is_cut),
        CASE(an_owner_without_room_is_not_a_stalled_peer),
        CASE(a_leaf_gives_up_a_push_without_progress),
        CASE(a_lost_connection_ends_the_push_and_then_the_join),
        CASE(a_leaf_that_leaves_in_mid_push_is_gone),
        CASE(a_leaf_that_closes_completes_what_is_open),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}

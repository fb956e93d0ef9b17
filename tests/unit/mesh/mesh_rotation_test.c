/*
 * mesh_rotation_test.c - certificates that end, and a leaf that another one replaces.
 *
 * Goal: no connection outlives its peer's certificate, on either side; what is under way on a leaf
 * that was replaced is not cut.
 */
#include "mesh_world.h"

#include <string.h>
#include <time.h>

static const struct receipt accepted = {.accepted = true};

/* Ends the older Join as a hub's owner does when a newer one came. */
static void replace(struct world *w)
{
    w->in_call++;
    hub_end(w->hub, w->session, "a newer connection took its place");
    w->in_call--;
}

static void retire(struct world *w)
{
    w->in_call++;
    leaf_retire(w->leaf);
    w->in_call--;
}

static void push(struct world *w, const struct bytes *envelope)
{
    w->in_call++;
    assert_int_equal(
        leaf_push(w->leaf, 6, bytes_slice(envelope), (struct slice){w->blob, BLOB_BYTES}),
        STATUS_OK);
    w->in_call--;
}

static void the_hub_ends_a_connection_whose_peers_certificate_ended(void **state)
{
    struct world *const w = *state;
    const int64_t now = (int64_t)time(nullptr);
    w->peer_until_unix_s = now + 2;
    world_join(w);
    world_run_until(w, &w->losts, 1);
    assert_true(time(nullptr) >= now + 2 && time(nullptr) <= now + 3);
    assert_int_equal(w->expireds, 1);
    assert_non_null(strstr(w->reason, "certificate"));
    world_run_until(w, &w->leaves, 1);
    assert_int_equal(w->connections_refused, 0); /* it was let in: that is no refusal */
    world_run_for(w, 600);
    assert_int_equal(w->expireds, 1);
    /* With a new one it comes back, and stays. */
    const struct join_request request = world_join_request();
    struct error err = {};
    w->peer_until_unix_s = now + 3600;
    assert_int_equal(leaf_join(w->leaf, &request, &err), STATUS_OK);
    world_run_until(w, &w->joins, 2);
    world_run_for(w, 600);
    assert_int_equal(w->leaves, 1);
    world_close(w);
}

static void a_bare_connection_ends_with_its_certificate_too(void **state)
{
    struct world *const w = *state;
    w->peer_until_unix_s = (int64_t)time(nullptr) + 1;
    world_open(w);
    world_open_client(w);
    world_call(w, "/fedra.v1.Federation/Heartbeat");
    world_run_until(w, &w->calls_closed, 1);
    assert_int_equal(w->code, GRPC_STATUS_UNAVAILABLE);
    assert_int_equal(w->expireds, 1);
    world_close(w);
}

static void the_leaf_ends_a_connection_whose_hubs_certificate_ended(void **state)
{
    struct world *const w = *state;
    const int64_t now = (int64_t)time(nullptr);
    w->hub_until_unix_s = now + 2;
    world_join(w);
    world_run_until(w, &w->losts, 1);
    assert_true(time(nullptr) >= now + 2 && time(nullptr) <= now + 3);
    assert_int_equal(w->lost_status, STATUS_IDENTITY);
    assert_string_equal(w->reason, "the certificate that the hub showed has ended");
    world_run_until(w, &w->leaves, 1);
    world_close(w);
    assert_int_equal(w->losts, 1);
}

static void a_retired_leaf_hears_the_last_directives_and_ends(void **state)
{
    struct world *const w = *state;
    world_join(w);
    retire(w);
    world_run_for(w, 50);
    assert_int_equal(w->losts, 0);
    assert_int_equal(world_send(w, DIRECTIVE_COUNTED), STATUS_OK);
    replace(w);
    world_run_until(w, &w->losts, 1);
    assert_non_null(strstr(w->log, "counted lost"));
    assert_int_equal(w->lost_status, STATUS_CANCELLED);
    world_run_until(w, &w->leaves, 1);
    world_close(w);
}

/* Goal: an update under way when the connection is replaced arrives, and its receipt too. */
static void a_retired_leaf_completes_its_push(void **state)
{
    struct world *const w = *state;
    struct bytes envelope = world_envelope(BLOB_BYTES, ENVELOPE_UPDATE);
    struct error err = {};
    const struct join_request request = world_join_request();
    world_join(w);
    w->answer_payload = false;
    push(w, &envelope);
    world_run_until(w, &w->offers, 1);
    retire(w);
    replace(w);
    world_run_until(w, &w->leaves, 1); /* the Join is over */
    world_run_until(w, &w->payloads, 1);
    world_run_for(w, 100);
    assert_int_equal(w->losts, 0);
    assert_memory_equal(w->memory, w->blob, BLOB_BYTES);
    w->in_call++;
    hub_receipt(w->hub, w->ticket, &accepted);
    assert_int_equal(leaf_push(w->leaf, 7, bytes_slice(&envelope), (struct slice){w->blob, 1}),
                     STATUS_UNREACHABLE); /* it begins nothing any more */
    assert_int_equal(leaf_join(w->leaf, &request, &err), STATUS_INVAL);
    w->in_call--;
    world_run_until(w, &w->receipts, 1);
    assert_int_equal(w->receipt_status, STATUS_OK);
    assert_true(w->receipt.accepted);
    world_run_until(w, &w->losts, 1);
    world_close(w);
    assert_int_equal(w->gones, 0);
    bytes_deinit(&envelope);
}

static void a_retired_leaf_whose_join_nobody_ends_ends_it_itself(void **state)
{
    struct world *const w = *state;
    struct bytes envelope = world_envelope(BLOB_BYTES, ENVELOPE_UPDATE);
    w->leaf_options.call_timeout_ms = 300;
    world_join(w);
    push(w, &envelope);
    world_run_until(w, &w->offers, 1);
    retire(w);
    world_run_until(w, &w->receipts, 1);
    assert_true(w->receipt.accepted);
    world_run_until(w, &w->losts, 1);
    assert_int_equal(w->lost_status, STATUS_CANCELLED);
    world_close(w);
    bytes_deinit(&envelope);
}

static void a_retired_leaf_that_loses_its_connection_says_so_once(void **state)
{
    struct world *const w = *state;
    struct bytes envelope = world_envelope(BLOB_BYTES, ENVELOPE_UPDATE);
    w->peer_until_unix_s = (int64_t)time(nullptr) + 1;
    world_join(w);
    w->offer = STATUS_AGAIN;
    push(w, &envelope);
    world_run_until(w, &w->offers, 1);
    retire(w);
    world_run_until(w, &w->losts, 1);
    assert_int_equal(w->receipts, 1);
    assert_int_not_equal(w->receipt_status, STATUS_OK);
    world_close(w);
    assert_int_equal(w->losts, 1);
    bytes_deinit(&envelope);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, world_set_up, world_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(the_hub_ends_a_connection_whose_peers_certificate_ended),
        CASE(a_bare_connection_ends_with_its_certificate_too),
        CASE(the_leaf_ends_a_connection_whose_hubs_certificate_ended),
        CASE(a_retired_leaf_hears_the_last_directives_and_ends),
        CASE(a_retired_leaf_completes_its_push),
        CASE(a_retired_leaf_whose_join_nobody_ends_ends_it_itself),
        CASE(a_retired_leaf_that_loses_its_connection_says_so_once),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}

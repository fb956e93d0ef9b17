/*
 * h2_session_test.c - gRPC calls between two sessions in memory, on virtual time.
 *
 * Goal: every way a call can go and end, on both sides, with the bytes whole and one at a time.
 * What the statuses must be is the gRPC specification's (PROTOCOL-HTTP2, statuscodes).
 */
#include "testing.h"

#include "h2_pair.h"

#include <stdlib.h>
#include <string.h>

static struct slice text(const char *words)
{
    return (struct slice){(const uint8_t *)words, strlen(words)};
}

static void send(struct rpc_call *call, const char *words)
{
    assert_int_equal(rpc_call_send(call, text(words)), STATUS_OK);
}

static void unary(struct pair *pair)
{
    struct rpc_call *const call = pair_call(pair, "/t/Echo", 0);
    send(call, "ping");
    assert_int_equal(rpc_call_half_close(call), STATUS_OK);
    pair_pump(pair);
}

static void expect_unary_ok(const struct pair *pair)
{
    assert_int_equal(pair->client.code, GRPC_STATUS_OK);
    assert_string_equal(pair->client.log, "mc");
    assert_string_equal(pair->server.log, "mhc");
    assert_int_equal(pair->server.code, GRPC_STATUS_OK);
    assert_int_equal(pair->client.message_size, 4);
    assert_memory_equal(pair->client.message, "ping", 4);
    assert_int_equal(h2_session_call_count(pair->client.session), 0);
    assert_int_equal(h2_session_call_count(pair->server.session), 0);
}

static void a_unary_call_is_answered(void **state)
{
    struct pair pair;
    pair_init(&pair, nullptr, nullptr);
    unary(&pair);
    expect_unary_ok(&pair);
    assert_int_equal(pair.client.readies, 1);
    assert_int_equal(pair.server.readies, 1);
    pair_deinit(&pair);
}

static void bytes_one_at_a_time_make_no_difference(void **state)
{
    struct pair pair;
    pair_init(&pair, nullptr, nullptr);
    pair.step = 1;
    unary(&pair);
    expect_unary_ok(&pair);
    pair_deinit(&pair);
}

static void a_stream_of_requests_gets_one_answer(void **state)
{
    struct pair pair;
    pair_init(&pair, nullptr, nullptr);
    pair.echo = false;
    pair.answer_at_half = false;
    struct rpc_call *const call = pair_call(&pair, "/t/Collect", 0);
    for (int i = 0; i < 10; i++) {
        send(call, "part");
        pair_pump(&pair);
    }
    assert_int_equal(pair.server.messages, 10);
    assert_int_equal(pair.server.half_closes, 0);
    assert_int_equal(rpc_call_half_close(call), STATUS_OK);
    assert_int_equal(rpc_call_half_close(call), STATUS_INVAL);
    assert_int_equal(rpc_call_send(call, text("late")), STATUS_INVAL);
    pair_pump(&pair);
    assert_int_equal(pair.server.half_closes, 1);
    send(pair.server.call, "sum");
    assert_int_equal(rpc_call_finish(pair.server.call, GRPC_STATUS_OK, "fine"), STATUS_OK);
    assert_int_equal(rpc_call_finish(pair.server.call, GRPC_STATUS_OK, "fine"), STATUS_INVAL);
    pair_pump(&pair);
    assert_string_equal(pair.client.log, "mc");
    assert_string_equal(pair.client.text, "fine");
    pair_deinit(&pair);
}

static void one_request_gets_a_stream_of_answers(void **state)
{
    struct pair pair;
    pair_init(&pair, nullptr, nullptr);
    pair.answer_at_half = false;
    pair.echo = false;
    struct rpc_call *const call = pair_call(&pair, "/t/List", 0);
    send(call, "all");
    assert_int_equal(rpc_call_half_close(call), STATUS_OK);
    pair_pump(&pair);
    for (int i = 0; i < 5; i++) {
        send(pair.server.call, "item");
        pair_pump(&pair);
        assert_int_equal(pair.client.messages, i + 1);
    }
    assert_int_equal(rpc_call_send(pair.server.call, (struct slice){nullptr, 0}), STATUS_OK);
    assert_int_equal(rpc_call_finish(pair.server.call, GRPC_STATUS_ABORTED, "enough"), STATUS_OK);
    pair_pump(&pair);
    assert_string_equal(pair.client.log, "mmmmmmc");
    assert_int_equal(pair.client.message_size, 0);
    assert_int_equal(pair.client.code, GRPC_STATUS_ABORTED);
    pair_deinit(&pair);
}

static void both_sides_stream_at_once(void **state)
{
    struct pair pair;
    pair_init(&pair, nullptr, nullptr);
    pair.step = 7;
    struct rpc_call *const call = pair_call(&pair, "/t/Echo", 0);
    for (int i = 0; i < 20; i++) {
        send(call, "to and fro");
        pair_pump(&pair);
        assert_int_equal(pair.client.messages, i + 1);
    }
    assert_int_equal(rpc_call_half_close(call), STATUS_OK);
    pair_pump(&pair);
    assert_int_equal(pair.client.code, GRPC_STATUS_OK);
    assert_int_equal(pair.server.closes, 1);
    pair_deinit(&pair);
}

static void a_refusal_is_one_header_block_with_its_message_whole(void **state)
{
    struct pair pair;
    pair_init(&pair, nullptr, nullptr);
    pair.refuse = true;
    struct rpc_call *const call = pair_call(&pair, "/t/Echo", 0);
    send(call, "may I");
    pair_pump(&pair);
    assert_string_equal(pair.client.log, "c");
    assert_int_equal(pair.client.code, GRPC_STATUS_PERMISSION_DENIED);
    assert_string_equal(pair.client.text, "not you: 50 %\n");
    assert_string_equal(pair.server.log, "c");
    assert_int_equal(pair.server.code, GRPC_STATUS_PERMISSION_DENIED);
    pair_deinit(&pair);
}

static void an_unknown_method_is_unimplemented(void **state)
{
    struct pair pair;
    pair_init(&pair, nullptr, nullptr);
    (void)pair_call(&pair, "/t/Unknown", 0);
    pair_pump(&pair);
    assert_int_equal(pair.client.code, GRPC_STATUS_UNIMPLEMENTED);
    assert_int_equal(h2_session_call_count(pair.server.session), 0);
    pair_deinit(&pair);
}

static void an_early_end_by_the_server_stops_a_client_that_still_sends(void **state)
{
    struct pair pair;
    pair_init(&pair, nullptr, nullptr);
    pair.echo = false;
    struct rpc_call *const call = pair_call(&pair, "/t/Collect", 0);
    send(call, "one");
    pair_pump(&pair);
    assert_int_equal(rpc_call_finish(pair.server.call, GRPC_STATUS_RESOURCE_EXHAUSTED, "full"),
                     STATUS_OK);
    pair_pump(&pair);
    assert_int_equal(pair.client.code, GRPC_STATUS_RESOURCE_EXHAUSTED);
    assert_string_equal(pair.client.text, "full");
    assert_int_equal(pair.server.code, GRPC_STATUS_RESOURCE_EXHAUSTED);
    assert_int_equal(h2_session_call_count(pair.client.session), 0);
    assert_int_equal(h2_session_call_count(pair.server.session), 0);
    pair_deinit(&pair);
}

static void a_client_that_cancels_tells_the_server(void **state)
{
    struct pair pair;
    pair_init(&pair, nullptr, nullptr);
    struct rpc_call *const call = pair_call(&pair, "/t/Echo", 0);
    send(call, "one");
    pair_pump(&pair);
    rpc_call_cancel(call, GRPC_STATUS_CANCELLED, "changed my mind");
    assert_int_equal(pair.client.closes, 0);
    pair_pump(&pair);
    assert_string_equal(pair.client.log, "mc");
    assert_string_equal(pair.client.text, "changed my mind");
    assert_int_equal(pair.server.code, GRPC_STATUS_CANCELLED);
    assert_int_equal(pair.server.closes, 1);
    pair_deinit(&pair);
}

static void a_call_cancelled_before_a_byte_went_out_never_reaches_the_server(void **state)
{
    struct pair pair;
    pair_init(&pair, nullptr, nullptr);
    struct rpc_call *const call = pair_call(&pair, "/t/Echo", 0);
    rpc_call_cancel(call, GRPC_STATUS_CANCELLED, nullptr);
    pair_pump(&pair);
    assert_int_equal(pair.client.closes, 1);
    assert_int_equal(pair.server.closes, 0);
    assert_int_equal(h2_session_call_count(pair.client.session), 0);
    unary(&pair);
    assert_int_equal(pair.client.code, GRPC_STATUS_OK);
    pair_deinit(&pair);
}

static void a_server_that_cancels_sends_its_status(void **state)
{
    struct pair pair;
    pair_init(&pair, nullptr, nullptr);
    struct rpc_call *const call = pair_call(&pair, "/t/Echo", 0);
    send(call, "one");
    pair_pump(&pair);
    rpc_call_cancel(pair.server.call, GRPC_STATUS_DATA_LOSS, "disk");
    pair_pump(&pair);
    assert_int_equal(pair.client.code, GRPC_STATUS_DATA_LOSS);
    assert_string_equal(pair.client.text, "disk");
    assert_int_equal(pair.server.code, GRPC_STATUS_DATA_LOSS);
    assert_int_equal(h2_session_call_count(pair.server.session), 0);
    pair_deinit(&pair);
}

static void a_deadline_ends_a_call_on_both_sides_on_time(void **state)
{
    struct pair pair;
    pair_init(&pair, nullptr, nullptr);
    struct rpc_call *const call = pair_call(&pair, "/t/Echo", 500);
    assert_int_equal(rpc_call_deadline_ns(call), pair.now_ns + 500000000);
    pair_pump(&pair);
    assert_int_equal(rpc_call_deadline_ns(pair.server.call), pair.now_ns + 500000000);
    assert_true(h2_session_next_ns(pair.server.session) <= pair.now_ns + 500000000);
    pair.cut_to_server = true; /* each side by itself */
    pair.cut_to_client = true;
    pair_wait(&pair, 499);
    assert_int_equal(pair.client.closes + pair.server.closes, 0);
    pair_wait(&pair, 1);
    assert_int_equal(pair.client.code, GRPC_STATUS_DEADLINE_EXCEEDED);
    assert_int_equal(pair.server.code, GRPC_STATUS_DEADLINE_EXCEEDED);
    assert_int_equal(pair.client.closes, 1);
    assert_int_equal(pair.server.closes, 1);
    pair_deinit(&pair);
}

static void losing_the_transport_closes_every_call_once(void **state)
{
    struct pair pair;
    pair_init(&pair, nullptr, nullptr);
    for (int i = 0; i < 3; i++)
        send(pair_call(&pair, "/t/Echo", 0), "one");
    pair_pump(&pair);
    h2_session_fail(pair.client.session, "cable");
    h2_session_fail(pair.server.session, "cable");
    pair_pump(&pair);
    assert_string_equal(pair.client.log, "mmmccc");
    assert_string_equal(pair.server.log, "mmmccc");
    assert_int_equal(pair.client.code, GRPC_STATUS_UNAVAILABLE);
    assert_string_equal(pair.client.text, "cable");
    assert_true(h2_session_is_finished(pair.client.session));
    assert_int_equal(h2_session_status(pair.client.session), STATUS_UNREACHABLE);
    pair_deinit(&pair);
}

static void a_drained_server_lets_calls_finish_and_takes_no_new_ones(void **state)
{
    struct pair pair;
    pair_init(&pair, nullptr, nullptr);
    struct rpc_call *const call = pair_call(&pair, "/t/Echo", 0);
    send(call, "one");
    pair_pump(&pair);
    h2_session_drain(pair.server.session, 1000000000, pair.now_ns);
    pair_pump(&pair);
    assert_int_equal(pair.client.drainings, 1);
    struct rpc_call *late = nullptr;
    assert_int_equal(h2_session_call(pair.client.session, "/t/Echo", 0, &pair_client_handlers,
                                     &pair, pair.now_ns, &late),
                     STATUS_UNREACHABLE);
    assert_false(h2_session_is_finished(pair.server.session));
    send(call, "two");
    assert_int_equal(rpc_call_half_close(call), STATUS_OK);
    pair_pump(&pair);
    assert_int_equal(pair.client.code, GRPC_STATUS_OK);
    assert_int_equal(pair.client.messages, 2);
    assert_true(h2_session_is_finished(pair.server.session));
    assert_true(h2_session_is_finished(pair.client.session));
    assert_int_equal(h2_session_status(pair.client.session), STATUS_OK);
    pair_deinit(&pair);
}

static void calls_in_flight_while_the_server_begins_to_drain_are_served(void **state)
{
    struct pair pair;
    pair_init(&pair, nullptr, nullptr);
    pair_pump(&pair);
    h2_session_drain(pair.server.session, 1000000000, pair.now_ns);
    unary(&pair); /* leaves before the GOAWAY comes */
    expect_unary_ok(&pair);
    pair_deinit(&pair);
}

static void a_drain_ends_calls_that_do_not(void **state)
{
    struct pair pair;
    pair_init(&pair, nullptr, nullptr);
    send(pair_call(&pair, "/t/Echo", 0), "one");
    pair_pump(&pair);
    h2_session_drain(pair.server.session, 1000000000, pair.now_ns);
    pair_wait(&pair, 999);
    assert_int_equal(pair.server.closes, 0);
    pair_wait(&pair, 1);
    assert_int_equal(pair.server.code, GRPC_STATUS_UNAVAILABLE);
    assert_true(h2_session_is_finished(pair.server.session)); /* its owner closes the transport */
    h2_session_fail(pair.client.session, "closed");
    pair_pump(&pair);
    assert_int_equal(pair.client.code, GRPC_STATUS_UNAVAILABLE);
    pair_deinit(&pair);
}

static void keepalive_notices_a_dead_peer_and_only_that(void **state)
{
    const struct rpc_limits limits = {.keepalive_interval_ms = 1000, .keepalive_timeout_ms = 300};
    struct pair pair;
    pair_init(&pair, &limits, nullptr);
    (void)pair_call(&pair, "/t/Echo", 0);
    pair_pump(&pair);
    for (int i = 0; i < 5; i++) {
        assert_int_equal(h2_session_next_ns(pair.client.session), pair.now_ns + 1000000000);
        pair_wait(&pair, 1000); /* a PING goes and comes */
    }
    assert_int_equal(pair.client.closes, 0);
    pair.cut_to_client = true;
    pair_wait(&pair, 1000);
    pair_wait(&pair, 299);
    assert_int_equal(pair.client.closes, 0);
    pair_wait(&pair, 1);
    assert_int_equal(pair.client.code, GRPC_STATUS_UNAVAILABLE);
    assert_non_null(strstr(h2_session_reason(pair.client.session), "keepalive"));
    pair_deinit(&pair);
}

static void an_idle_session_is_drained(void **state)
{
    const struct rpc_limits limits = {.idle_timeout_ms = 1000};
    struct pair pair;
    pair_init(&pair, nullptr, &limits);
    unary(&pair);
    pair_wait(&pair, 999);
    assert_int_equal(pair.client.drainings, 0);
    pair_wait(&pair, 1);
    assert_int_equal(pair.client.drainings, 1);
    assert_string_equal(h2_session_reason(pair.server.session), "idle for too long");
    assert_true(h2_session_is_finished(pair.server.session));
    pair_deinit(&pair);
}

static void termination_carries_its_reason(void **state)
{
    struct pair pair;
    pair_init(&pair, nullptr, nullptr);
    send(pair_call(&pair, "/t/Echo", 0), "one");
    pair_pump(&pair);
    h2_session_terminate(pair.server.session, NGHTTP2_INADEQUATE_SECURITY, "who are you");
    pair_pump(&pair);
    assert_string_equal(h2_session_reason(pair.client.session), "who are you");
    assert_int_equal(h2_session_status(pair.client.session), STATUS_IDENTITY);
    assert_int_equal(pair.server.code, GRPC_STATUS_UNAVAILABLE);
    assert_true(h2_session_is_finished(pair.server.session));
    pair_deinit(&pair);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_unary_call_is_answered),
        cmocka_unit_test(bytes_one_at_a_time_make_no_difference),
        cmocka_unit_test(a_stream_of_requests_gets_one_answer),
        cmocka_unit_test(one_request_gets_a_stream_of_answers),
        cmocka_unit_test(both_sides_stream_at_once),
        cmocka_unit_test(a_refusal_is_one_header_block_with_its_message_whole),
        cmocka_unit_test(an_unknown_method_is_unimplemented),
        cmocka_unit_test(an_early_end_by_the_server_stops_a_client_that_still_sends),
        cmocka_unit_test(a_client_that_cancels_tells_the_server),
        cmocka_unit_test(a_call_cancelled_before_a_byte_went_out_never_reaches_the_server),
        cmocka_unit_test(a_server_that_cancels_sends_its_status),
        cmocka_unit_test(a_deadline_ends_a_call_on_both_sides_on_time),
        cmocka_unit_test(losing_the_transport_closes_every_call_once),
        cmocka_unit_test(a_drained_server_lets_calls_finish_and_takes_no_new_ones),
        cmocka_unit_test(calls_in_flight_while_the_server_begins_to_drain_are_served),
        cmocka_unit_test(a_drain_ends_calls_that_do_not),
        cmocka_unit_test(keepalive_notices_a_dead_peer_and_only_that),
        cmocka_unit_test(an_idle_session_is_drained),
        cmocka_unit_test(termination_carries_its_reason),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}

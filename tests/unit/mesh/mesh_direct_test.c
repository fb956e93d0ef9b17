/*
 * mesh_direct_test.c - joins, directives and pulls over loopback TLS, and how they end.
 *
 * No handler may be called from within a function of the mesh: the world checks it in every case.
 */
#include "mesh_world.h"

#include <string.h>

static void tell_end(struct world *w, const char *reason)
{
    w->in_call++;
    hub_end(w->hub, w->session, reason);
    w->in_call--;
}

static struct digest digest_of_blob(const struct world *w)
{
    struct digest digest;
    assert_int_equal(blob_digest(w->blob, BLOB_BYTES, 0, &digest), STATUS_OK);
    return digest;
}

static void start_pull(struct world *w, uint64_t size)
{
    const struct digest digest = digest_of_blob(w);
    w->in_call++;
    assert_int_equal(leaf_pull(w->leaf, 5, &digest, w->memory, size), STATUS_OK);
    w->in_call--;
}

static void directives_come_in_order_and_before_the_end(void **state)
{
    struct world *const w = *state;
    world_join(w);
    assert_string_equal(w->peer, NODE_NAME);
    for (int i = 0; i < 100; i++)
        assert_int_equal(world_send(w, DIRECTIVE_BEACON), STATUS_OK);
    assert_int_equal(world_send(w, DIRECTIVE_COUNTED), STATUS_OK);
    assert_int_equal(world_send(w, DIRECTIVE_DRAIN), STATUS_OK);
    tell_end(w, "the hub restarts");
    assert_int_equal(world_send(w, DIRECTIVE_DRAIN), STATUS_NOT_FOUND);
    world_run_until(w, &w->losts, 1);
    assert_int_equal(w->directives, 103);
    assert_non_null(strstr(w->log, "beacon counted drain"));
    assert_int_equal(w->lost_status, STATUS_AGAIN);
    assert_string_equal(w->reason, "the hub restarts");
    world_run_until(w, &w->leaves, 1);
    tell_end(w, "unknown by now");
    world_close(w);
    assert_int_equal(w->losts, 1);
}

static void a_leaf_that_leaves_may_join_again(void **state)
{
    struct world *const w = *state;
    const struct join_request request = world_join_request();
    const struct digest digest = digest_of_blob(w);
    struct error err = {};
    world_join(w);
    assert_int_equal(leaf_join(w->leaf, &request, &err), STATUS_INVAL);
    w->in_call++;
    leaf_leave(w->leaf);
    assert_int_equal(leaf_pull(w->leaf, 5, &digest, w->memory, 8), STATUS_UNREACHABLE);
    w->in_call--;
    world_run_until(w, &w->losts, 1);
    assert_int_equal(w->lost_status, STATUS_CANCELLED);
    world_run_until(w, &w->leaves, 1);
    assert_int_equal(leaf_join(w->leaf, &request, &err), STATUS_OK);
    world_run_until(w, &w->joins, 2);
    assert_int_equal(world_send(w, DIRECTIVE_WELCOME), STATUS_OK);
    world_run_until(w, &w->directives, 2);
    world_close(w);
    assert_int_equal(w->losts, 2);
}

static void who_is_no_member_may_call_nothing(void **state)
{
    static const char *const methods[] = {"Join", "PullBlob", "PushUpdate", "Heartbeat"};
    struct world *const w = *state;
    const struct join_request request = world_join_request();
    struct error err = {};
    w->is_member = false;
    world_open(w);
    assert_int_equal(leaf_join(w->leaf, &request, &err), STATUS_OK);
    start_pull(w, BLOB_BYTES);
    world_run_until(w, &w->losts, 1);
    assert_int_equal(w->lost_status, STATUS_PERMISSION);
    assert_int_equal(w->pulleds, 1);
    assert_int_not_equal(w->pulled_status, STATUS_OK);
    world_open_client(w);
    for (int i = 0; i < 4; i++) {
        char path[64];
        snprintf(path, sizeof(path), "/fedra.v1.Federation/%s", methods[i]);
        const int refusals = w->refusals;
        world_call(w, path);
        world_run_until(w, &w->calls_closed, 1);
        assert_int_equal(w->code, GRPC_STATUS_PERMISSION_DENIED);
        assert_int_equal(w->refusals, refusals + 1);
        assert_int_equal(w->refused_reason, REASON_PERMISSION);
        assert_non_null(strstr(w->message, NODE_NAME " may not call fedra.v1.Federation/"));
        assert_non_null(strstr(w->message, methods[i]));
        assert_non_null(strstr(w->message, "right is the identity of one who trains"));
    }
    world_close(w);
    assert_int_equal(w->joins, 0);
    assert_int_equal(w->pulls, 0);
}

/* --- services beside Federation --- */

static void answer_at_once(struct rpc_call *call, void *context)
{
    (void)rpc_call_finish(call, GRPC_STATUS_DATA_LOSS, "from the other service");
}

static enum status add_other(void *context, struct rpc_server *server, struct health *health,
                             struct error *err)
{
    static const struct rpc_call_handlers handlers = {};
    const struct rpc_method method = {&handlers, answer_at_once, context};
    assert_int_equal(health_set(health, "test.Other", HEALTH_SERVING), STATUS_OK);
    return rpc_server_add_method(server, "/test.Other/Do", &method);
}

static enum status add_none(void *context, struct rpc_server *server, struct health *health,
                            struct error *err)
{
    return error_set(err, STATUS_LIMIT, "there are services enough");
}

static void a_service_that_is_added_is_served_on_the_same_listener(void **state)
{
    struct world *const w = *state;
    w->hub_options.add_services = add_other;
    world_open(w);
    world_open_client(w);
    world_call(w, "/test.Other/Do");
    world_run_until(w, &w->calls_closed, 1);
    assert_int_equal(w->code, GRPC_STATUS_DATA_LOSS);
    assert_string_equal(w->message, "from the other service");
    world_close(w);
}

static void a_service_that_cannot_be_added_ends_the_opening(void **state)
{
    struct world *const w = *state;
    struct error err = {};
    uint16_t port = 0;
    w->hub_options.add_services = add_none;
    assert_int_equal(hub_direct_open(&w->loop, &w->hub_options, nullptr, w, &w->hub, &port, &err),
                     STATUS_LIMIT);
    assert_string_equal(err.text, "there are services enough");
}

static void an_identity_that_is_refused_gets_no_further(void **state)
{
    struct world *const w = *state;
    const struct join_request request = world_join_request();
    struct error err = {};
    w->identify_peer = STATUS_IDENTITY;
    world_open(w);
    assert_int_equal(leaf_join(w->leaf, &request, &err), STATUS_OK);
    world_run_until(w, &w->losts, 1);
    assert_int_equal(w->lost_status, STATUS_IDENTITY);
    assert_non_null(strstr(w->reason, "may not come in"));
    world_run_until(w, &w->connections_refused, 1);
    w->identify_peer = STATUS_OK;
    w->identify_hub = STATUS_IDENTITY;
    assert_int_equal(leaf_join(w->leaf, &request, &err), STATUS_OK);
    world_run_until(w, &w->losts, 2);
    assert_int_equal(w->lost_status, STATUS_IDENTITY);
    assert_string_equal(w->reason, "this is not the hub");
    world_close(w);
    assert_int_equal(w->joins, 0);
}

static void the_first_directive_is_a_welcome_and_others_may_follow(void **state)
{
    struct world *const w = *state;
    const struct join_request request = world_join_request();
    struct error err = {};
    world_join(w);
    assert_int_equal(world_send(w, DIRECTIVE_WELCOME), STATUS_OK); /* the signing key is new */
    world_run_until(w, &w->directives, 2);
    tell_end(w, "once more");
    world_run_until(w, &w->losts, 1);
    assert_int_equal(leaf_join(w->leaf, &request, &err), STATUS_OK);
    world_run_until(w, &w->joins, 2);
    assert_int_equal(world_send(w, DIRECTIVE_DRAIN), STATUS_OK);
    world_run_until(w, &w->losts, 2);
    assert_int_equal(w->lost_status, STATUS_PEER);
    assert_int_equal(w->directives, 2);
    world_close(w);
}

static void a_join_without_a_welcome_is_given_up(void **state)
{
    struct world *const w = *state;
    const struct join_request request = world_join_request();
    struct error err = {};
    w->leaf_options.call_timeout_ms = 200;
    world_open(w);
    assert_int_equal(leaf_join(w->leaf, &request, &err), STATUS_OK);
    world_run_until(w, &w->losts, 1);
    assert_int_equal(w->lost_status, STATUS_TIMEOUT);
    world_close(w);
}

static void a_hub_that_is_not_there_is_unreachable(void **state)
{
    struct world *const w = *state;
    const struct join_request request = world_join_request();
    struct error err = {};
    struct hub *other = nullptr;
    uint16_t port = 0;
    world_open(w);
    w->hub_options.port = w->port;
    const struct hub_handlers none = {};
    assert_int_equal(hub_direct_open(&w->loop, &w->hub_options, &none, w, &other, &port, &err),
                     STATUS_EXISTS);
    assert_non_null(strstr(err.text, "127.0.0.1"));
    w->in_call++;
    hub_drain(w->hub, 0, nullptr);
    w->in_call--;
    w->hub = nullptr;
    w->hub_closed = 1;
    world_run_for(w, 50);
    assert_int_equal(leaf_join(w->leaf, &request, &err), STATUS_OK);
    world_run_until(w, &w->losts, 1);
    assert_int_equal(w->lost_status, STATUS_UNREACHABLE);
    world_close(w);
}

/* The reader pauses; what rpc and the sockets hold is finite, then the queue's bound counts. */
static void a_member_that_does_not_read_loses_its_session(void **state)
{
    struct world *const w = *state;
    const struct join_request request = world_join_request();
    struct bytes message;
    w->hub_options.directive_queue_max = MIB;
    world_open(w);
    world_open_client(w);
    world_call(w, "/fedra.v1.Federation/Join");
    rpc_call_pause(w->call);
    bytes_init(&message, JOIN_BYTES_MAX);
    assert_int_equal(join_request_encode(&request, &message), STATUS_OK);
    world_call_send(w, &message);
    assert_int_equal(rpc_call_half_close(w->call), STATUS_OK);
    world_run_until(w, &w->joins, 1);
    enum status status = STATUS_OK;
    int sent = 0;
    while (status == STATUS_OK && sent < 2000) {
        status = world_send(w, DIRECTIVE_BEACON);
        if (++sent % 50 == 0)
            world_run_for(w, 5);
    }
    assert_int_equal(status, STATUS_LIMIT);
    assert_true(sent * 8000 > MIB);
    assert_true(sent * 8000 < 4 * MIB); /* the stream's window and the queue */
    assert_int_equal(world_send(w, DIRECTIVE_BEACON), STATUS_NOT_FOUND);
    world_run_until(w, &w->leaves, 1);
    world_close(w);
}

static void a_slow_member_gets_all_that_the_queue_holds(void **state)
{
    struct world *const w = *state;
    const struct join_request request = world_join_request();
    struct bytes message;
    world_open(w);
    world_open_client(w);
    world_call(w, "/fedra.v1.Federation/Join");
    rpc_call_pause(w->call);
    bytes_init(&message, JOIN_BYTES_MAX);
    assert_int_equal(join_request_encode(&request, &message), STATUS_OK);
    world_call_send(w, &message);
    world_run_until(w, &w->joins, 1);
    for (int i = 0; i < 300; i++)
        assert_int_equal(world_send(w, DIRECTIVE_BEACON), STATUS_OK);
    tell_end(w, "over");
    world_run_for(w, 20);
    assert_int_equal(w->leaves, 0);
    rpc_call_resume(w->call);
    world_run_until(w, &w->calls_closed, 1);
    assert_int_equal(w->messages, 300);
    assert_int_equal(w->code, GRPC_STATUS_ABORTED);
    assert_string_equal(w->message, "over");
    world_close(w);
}

static void a_blob_comes_whole(void **state)
{
    struct world *const w = *state;
    world_join(w);
    start_pull(w, BLOB_BYTES);
    world_run_until(w, &w->pulleds, 1);
    assert_int_equal(w->pulled_status, STATUS_OK);
    assert_memory_equal(w->memory, w->blob, BLOB_BYTES);
    assert_string_equal(w->log, "pull blob_done pulled");
    world_close(w);
}

static void a_blob_that_is_not_right_is_not_taken(void **state)
{
    struct world *const w = *state;
    world_join(w);
    const struct digest right = digest_of_blob(w);
    w->blob[2 * MIB + 7] ^= 1;
    w->in_call++;
    assert_int_equal(leaf_pull(w->leaf, 5, &right, w->memory, BLOB_BYTES), STATUS_OK);
    w->in_call--;
    world_run_until(w, &w->pulleds, 1);
    assert_int_equal(w->pulled_status, STATUS_DIGEST);
    start_pull(w, BLOB_BYTES - 1); /* more comes than there is room */
    memset(w->memory, GUARD_FILL, BLOB_BYTES);
    world_run_until(w, &w->pulleds, 2);
    assert_int_equal(w->pulled_status, STATUS_PEER);
    assert_int_equal(w->memory[BLOB_BYTES - 1], GUARD_FILL);
    w->pull_bytes.size = BLOB_BYTES - 1; /* less comes than should */
    start_pull(w, BLOB_BYTES);
    world_run_until(w, &w->pulleds, 3);
    assert_int_equal(w->pulled_status, STATUS_PEER);
    w->pull = STATUS_NOT_FOUND;
    start_pull(w, BLOB_BYTES);
    world_run_until(w, &w->pulleds, 4);
    assert_int_equal(w->pulled_status, STATUS_NOT_FOUND);
    world_close(w);
    assert_int_equal(w->pulls, 3);
}

static void a_pull_that_is_cancelled_still_completes(void **state)
{
    struct world *const w = *state;
    world_join(w);
    start_pull(w, BLOB_BYTES);
    world_run_until(w, &w->pulls, 1);
    w->in_call++;
    leaf_cancel(w->leaf, 5);
    leaf_cancel(w->leaf, 99);
    w->in_call--;
    world_run_until(w, &w->pulleds, 1);
    assert_int_equal(w->pulled_status, STATUS_CANCELLED);
    world_run_until(w, &w->blobs_done, 1);
    world_close(w);
    assert_int_equal(w->pulleds, 1);
}

static void ask_blob(struct world *w, uint64_t offset)
{
    const struct blob_request request = {.digest = {{1}}, .offset = offset};
    struct bytes message;
    bytes_init(&message, SMALL_MESSAGE_BYTES_MAX);
    world_call(w, "/fedra.v1.Federation/PullBlob");
    assert_int_equal(blob_request_encode(&request, &message), STATUS_OK);
    world_call_send(w, &message);
    assert_int_equal(rpc_call_half_close(w->call), STATUS_OK);
}

static void a_blob_is_sent_from_an_offset_on(void **state)
{
    struct world *const w = *state;
    world_open(w);
    world_open_client(w);
    w->takes_chunks = true;
    ask_blob(w, MIB + 5);
    world_run_until(w, &w->calls_closed, 1);
    assert_int_equal(w->code, GRPC_STATUS_OK);
    assert_int_equal(w->received.size, BLOB_BYTES - MIB - 5);
    assert_memory_equal(w->received.data, w->blob + MIB + 5, w->received.size);
    ask_blob(w, BLOB_BYTES);
    world_run_until(w, &w->calls_closed, 1);
    assert_int_equal(w->code, GRPC_STATUS_OK);
    assert_int_equal(w->received.size, 0);
    ask_blob(w, BLOB_BYTES + 1);
    world_run_until(w, &w->calls_closed, 1);
    assert_int_equal(w->code, GRPC_STATUS_OUT_OF_RANGE);
    world_close(w);
    assert_int_equal(w->pulls, 3);
}

static void a_blob_that_is_not_read_is_given_back(void **state)
{
    struct world *const w = *state;
    w->hub_options.push_timeout_ms = 200;
    world_open(w);
    world_open_client(w);
    ask_blob(w, 0);
    rpc_call_pause(w->call);
    world_run_until(w, &w->pulls, 1);
    assert_int_equal(w->blobs_done, 0);
    world_run_until(w, &w->blobs_done, 1);
    world_close(w);
}

static void pulses_come_back(void **state)
{
    struct world *const w = *state;
    struct pulse pulse = {.sequence = 7, .sent_ms = 1234, .state = PULSE_TRAINING};
    struct pulse back;
    struct bytes message;
    world_open(w);
    world_open_client(w);
    world_call(w, "/fedra.v1.Federation/Heartbeat");
    for (int i = 1; i <= 3; i++) {
        pulse.sequence++;
        bytes_init(&message, SMALL_MESSAGE_BYTES_MAX);
        assert_int_equal(pulse_encode(&pulse, &message), STATUS_OK);
        world_call_send(w, &message);
        world_run_until(w, &w->messages, i);
        assert_int_equal(pulse_decode(bytes_slice(&w->received), &back, nullptr), STATUS_OK);
        assert_memory_equal(&back, &pulse, sizeof(back));
    }
    assert_int_equal(rpc_call_half_close(w->call), STATUS_OK);
    world_run_until(w, &w->calls_closed, 1);
    assert_int_equal(w->code, GRPC_STATUS_OK);
    world_close(w);
}

static void the_hub_says_that_it_serves(void **state)
{
    static const uint8_t serving[] = {0x08, 0x01}; /* HealthCheckResponse.SERVING */
    struct world *const w = *state;
    struct bytes message;
    world_open(w);
    world_open_client(w);
    world_call(w, "/grpc.health.v1.Health/Check");
    bytes_init(&message, 64);
    assert_int_equal(bytes_append(&message,
                                  "\x0a\x13"
                                  "fedra.v1.Federation",
                                  21),
                     STATUS_OK);
    world_call_send(w, &message);
    world_run_until(w, &w->calls_closed, 1);
    assert_int_equal(w->code, GRPC_STATUS_OK);
    assert_int_equal(w->received.size, sizeof(serving));
    assert_memory_equal(w->received.data, serving, sizeof(serving));
    world_close(w);
}

static void malformed_requests_are_refused(void **state)
{
    static const char *const paths[] = {"/fedra.v1.Federation/Join",
                                        "/fedra.v1.Federation/PullBlob",
                                        "/fedra.v1.Federation/Heartbeat"};
    struct world *const w = *state;
    struct bytes message;
    world_open(w);
    world_open_client(w);
    for (size_t i = 0; i < 3; i++) {
        world_call(w, paths[i]);
        bytes_init(&message, 64);
        assert_int_equal(bytes_append(&message, "\xff\xff", 2), STATUS_OK);
        world_call_send(w, &message);
        world_run_until(w, &w->calls_closed, 1);
        assert_int_equal(w->code, GRPC_STATUS_INVALID_ARGUMENT);
    }
    for (size_t i = 0; i < 2; i++) {
        world_call(w, paths[i]);
        assert_int_equal(rpc_call_half_close(w->call), STATUS_OK);
        world_run_until(w, &w->calls_closed, 1);
        assert_int_equal(w->code, GRPC_STATUS_INVALID_ARGUMENT);
    }
    world_close(w);
    assert_int_equal(w->joins, 0);
}

static void the_bound_of_messages_leaves_room_for_chunks(void **state)
{
    struct world *const w = *state;
    struct error err = {};
    struct hub *hub = nullptr;
    struct leaf *leaf = nullptr;
    uint16_t port = 0;
    w->hub_options.message_bytes_max = UPDATE_PART_BYTES_MAX - 1;
    w->leaf_options.message_bytes_max = UPDATE_PART_BYTES_MAX - 1;
    assert_int_equal(hub_direct_open(&w->loop, &w->hub_options, nullptr, w, &hub, &port, &err),
                     STATUS_INVAL);
    assert_int_equal(leaf_direct_create(&w->loop, &w->leaf_options, nullptr, w, &leaf, &err),
                     STATUS_INVAL);
    assert_non_null(strstr(err.text, "message_bytes_max"));
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, world_set_up, world_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(directives_come_in_order_and_before_the_end),
        CASE(a_leaf_that_leaves_may_join_again),
        CASE(who_is_no_member_may_call_nothing),
        CASE(a_service_that_is_added_is_served_on_the_same_listener),
        CASE(a_service_that_cannot_be_added_ends_the_opening),
        CASE(an_identity_that_is_refused_gets_no_further),
        CASE(the_first_directive_is_a_welcome_and_others_may_follow),
        CASE(a_join_without_a_welcome_is_given_up),
        CASE(a_hub_that_is_not_there_is_unreachable),
        CASE(a_member_that_does_not_read_loses_its_session),
        CASE(a_slow_member_gets_all_that_the_queue_holds),
        CASE(a_blob_comes_whole),
        CASE(a_blob_that_is_not_right_is_not_taken),
        CASE(a_pull_that_is_cancelled_still_completes),
        CASE(a_blob_is_sent_from_an_offset_on),
        CASE(a_blob_that_is_not_read_is_given_back),
        CASE(pulses_come_back),
        CASE(the_hub_says_that_it_serves),
        CASE(malformed_requests_are_refused),
        CASE(the_bound_of_messages_leaves_room_for_chunks),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}

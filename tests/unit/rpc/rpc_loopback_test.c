/*
 * rpc_loopback_test.c - the server and the client over real sockets with mutual TLS 1.3.
 *
 * Goal: what the sans-IO tests cannot show: handshakes that fail, connections that break,
 * back-pressure through the kernel's buffers. Each case opens a server on a free port.
 */
#include "testing.h"

#include "rpc/health.h"
#include "rpc_world.h"

#include <openssl/ssl.h>
#include <netinet/in.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static void a_unary_call_goes_over_post_quantum_mutual_tls(void **state)
{
    struct world *const w = *state;
    world_open_server(w, nullptr);
    world_open_client(w);
    struct rpc_call *const call = world_make_call(w, "/test/Echo", 5000);
    const struct slice message = {(const uint8_t *)"hello", 5};
    assert_int_equal(rpc_call_send(call, message), STATUS_OK);
    assert_int_equal(rpc_call_half_close(call), STATUS_OK);
    world_run_until(w, &w->calls_closed, 1);
    assert_int_equal(w->code, GRPC_STATUS_OK);
    assert_string_equal(w->message, "done");
    assert_int_equal(w->received_count, 1);
    assert_int_equal(w->last_size, 5);
    assert_memory_equal(w->last, "hello", 5);
    assert_int_equal(w->opened, 1);
    assert_int_equal(w->ready, 1);
    world_run_until(w, &w->server_calls_closed, 1);
    assert_int_equal(w->server_code, GRPC_STATUS_OK);
}

static void a_hundred_megabytes_stream_through_in_order_and_bounded(void **state)
{
    struct world *const w = *state;
    world_open_server(w, nullptr);
    world_open_client(w);
    w->to_send_bytes = 100u * CHUNK_BYTES;
    struct rpc_call *const call = world_make_call(w, "/test/Download", 0);
    assert_int_equal(rpc_call_half_close(call), STATUS_OK);
    world_run_until(w, &w->calls_closed, 1);
    assert_int_equal(w->code, GRPC_STATUS_OK);
    assert_int_equal(w->received_bytes, 100u * CHUNK_BYTES);
    assert_int_equal(w->received_count, 100);
    assert_true(w->queued_max <= 2u * CHUNK_BYTES);
}

static void a_paused_reader_holds_the_sender_back(void **state)
{
    struct world *const w = *state;
    world_open_server(w, nullptr);
    world_open_client(w);
    w->to_send_bytes = 64u * CHUNK_BYTES;
    struct rpc_call *const call = world_make_call(w, "/test/Download", 0);
    assert_int_equal(rpc_call_half_close(call), STATUS_OK);
    rpc_call_pause(call);
    world_run_for(w, 300);
    assert_int_equal(w->received_count, 0);
    /* Left the queue: at most one stream window; the rest waits at the sender. */
    assert_true(w->to_send_bytes >= (64u - 1 - 2 - 1) * CHUNK_BYTES);
    assert_true(w->queued_max <= 2u * CHUNK_BYTES);
    rpc_call_resume(call);
    world_run_until(w, &w->calls_closed, 1);
    assert_int_equal(w->received_bytes, 64u * CHUNK_BYTES);
    assert_int_equal(w->code, GRPC_STATUS_OK);
}

static void an_unknown_method_is_unimplemented(void **state)
{
    struct world *const w = *state;
    world_open_server(w, nullptr);
    world_open_client(w);
    (void)world_make_call(w, "/test/Nothing", 5000);
    world_run_until(w, &w->calls_closed, 1);
    assert_int_equal(w->code, GRPC_STATUS_UNIMPLEMENTED);
}

static void a_call_that_nobody_answers_ends_at_its_deadline_on_both_sides(void **state)
{
    struct world *const w = *state;
    world_open_server(w, nullptr);
    world_open_client(w);
    (void)world_make_call(w, "/test/Echo", 100);
    world_run_until(w, &w->calls_closed, 1);
    assert_int_equal(w->code, GRPC_STATUS_DEADLINE_EXCEEDED);
    world_run_until(w, &w->server_calls_closed, 1);
    assert_true(w->server_code == GRPC_STATUS_DEADLINE_EXCEEDED ||
                w->server_code == GRPC_STATUS_CANCELLED);
}

static void expect_refused(struct world *w, enum status status, const char *client_reason,
                           const char *server_reason)
{
    world_open_client(w);
    world_run_until(w, &w->client_closed, 1);
    assert_int_equal(w->client_status, status);
    if (strstr(w->client_reason, client_reason) == nullptr)
        fail_msg("the client says: %s", w->client_reason);
    world_run_until(w, &w->refused, 1);
    if (strstr(w->refused_reason, server_reason) == nullptr)
        fail_msg("the server says: %s", w->refused_reason);
    assert_int_equal(w->ready, 0);
    assert_int_equal(w->opened, 0);
    assert_int_equal(rpc_server_get_stats(w->server).handshakes, 0);
    assert_int_equal(rpc_server_get_stats(w->server).connections, 0);
    assert_int_equal(rpc_server_get_stats(w->server).refused, 1);
}

static void use_client(struct world *w, SSL_CTX *ctx)
{
    SSL_CTX_free(w->client_ctx);
    w->client_ctx = ctx;
}

static void an_expired_client_certificate_is_refused_by_name(void **state)
{
    struct world *const w = *state;
    use_client(w, test_context(&w->ca, TEST_LEAF_EXPIRED, GROUPS));
    world_open_server(w, nullptr);
    expect_refused(w, STATUS_IDENTITY, "certificate expired", "certificate has expired");
}

static void a_client_without_a_certificate_is_refused(void **state)
{
    struct world *const w = *state;
    use_client(w, test_context(&w->ca, TEST_LEAF_NONE, GROUPS));
    world_open_server(w, nullptr);
    expect_refused(w, STATUS_IDENTITY, "asks for a certificate", "sent no certificate");
}

static void a_client_of_another_authority_is_refused(void **state)
{
    struct world *const w = *state;
    struct test_ca other;
    test_ca_init(&other);
    SSL_CTX *const ctx = test_context(&other, TEST_LEAF_GOOD, GROUPS);
    SSL_CTX_set_verify(ctx, SSL_VERIFY_NONE, nullptr);
    use_client(w, ctx);
    world_open_server(w, nullptr);
    world_open_client(w);
    world_run_until(w, &w->refused, 1);
    assert_non_null(strstr(w->refused_reason, "the peer's certificate"));
    assert_int_equal(w->opened, 0);
    world_run_until(w, &w->client_closed, 1);
    test_ca_deinit(&other);
}

static void a_server_of_another_authority_is_refused_by_the_client(void **state)
{
    struct world *const w = *state;
    struct test_ca other;
    test_ca_init(&other);
    SSL_CTX_free(w->server_ctx);
    w->server_ctx = test_context(&other, TEST_LEAF_GOOD, GROUPS);
    world_open_server(w, nullptr);
    expect_refused(w, STATUS_IDENTITY, "the peer's certificate", "unknown ca");
    test_ca_deinit(&other);
}

static void sides_without_a_shared_group_say_so(void **state)
{
    struct world *const w = *state;
    SSL_CTX_free(w->server_ctx);
    w->server_ctx = test_context(&w->ca, TEST_LEAF_GOOD, "X25519");
    world_open_server(w, nullptr);
    expect_refused(w, STATUS_PEER, "handshake failure", "no shared group");
}

static void the_owner_refuses_a_connection_with_a_reason_that_reaches_the_client(void **state)
{
    struct world *const w = *state;
    w->refuse_with = STATUS_IDENTITY;
    world_open_server(w, nullptr);
    world_open_client(w);
    (void)world_make_call(w, "/test/Echo", 0);
    world_run_until(w, &w->client_closed, 1);
    assert_int_equal(w->client_status, STATUS_IDENTITY);
    assert_string_equal(w->client_reason, "this identity may not come in");
    assert_int_equal(w->calls_closed, 1);
    assert_int_equal(w->code, GRPC_STATUS_UNAVAILABLE);
    assert_string_equal(w->refused_reason, "this identity may not come in");
    assert_int_equal(w->server_calls_closed, 0);
}

static void the_client_refuses_a_server_that_verify_does_not_accept(void **state)
{
    struct world *const w = *state;
    w->verify_with = STATUS_IDENTITY;
    world_open_server(w, nullptr);
    world_open_client(w);
    (void)world_make_call(w, "/test/Echo", 0);
    world_run_until(w, &w->client_closed, 1);
    assert_int_equal(w->client_status, STATUS_IDENTITY);
    assert_string_equal(w->client_reason, "another server was expected");
    world_run_for(w, 50);
    assert_int_equal(w->server_calls_closed, 0);
}

static int connect_raw(struct world *w)
{
    const struct sockaddr_in address = {
        .sin_family = AF_INET,
        .sin_port = htons(w->port),
        .sin_addr = {htonl(INADDR_LOOPBACK)},
    };
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
    return fd;
}

static void tls_1_2_and_plain_http_are_refused(void **state)
{
    struct world *const w = *state;
    world_open_server(w, nullptr);
    SSL_CTX *const old = test_context(&w->ca, TEST_LEAF_GOOD, "X25519");
    SSL_CTX_set_max_proto_version(old, TLS1_2_VERSION);
    SSL *const ssl = SSL_new(old);
    BIO *const hello = BIO_new(BIO_s_mem());
    SSL_set_bio(ssl, BIO_new(BIO_s_mem()), hello);
    SSL_set_connect_state(ssl);
    assert_true(SSL_do_handshake(ssl) < 0);
    uint8_t *data = nullptr;
    const long size = BIO_get_mem_data(hello, &data);
    const int fd = connect_raw(w);
    assert_int_equal(write(fd, data, (size_t)size), size);
    world_run_until(w, &w->refused, 1);
    assert_non_null(strstr(w->refused_reason, "unsupported protocol"));
    close(fd);
    const int plain = connect_raw(w);
    assert_int_equal(write(plain, "GET / HTTP/1.1\r\n\r\n", 18), 18);
    world_run_until(w, &w->refused, 2);
    assert_non_null(strstr(w->refused_reason, "unsupported protocol"));
    close(plain);
    SSL_free(ssl);
    SSL_CTX_free(old);
}

static void a_tls_1_3_client_without_alpn_is_refused(void **state)
{
    struct world *const w = *state;
    world_open_server(w, nullptr);
    const int fd = connect_raw(w);
    SSL *const ssl = SSL_new(w->client_ctx);
    SSL_set_fd(ssl, fd);
    SSL_set_connect_state(ssl);
    BIO_set_nbio(SSL_get_rbio(ssl), 1);
    for (int i = 0; i < 50 && w->refused == 0; i++) {
        struct timeval wait = {.tv_usec = 5000};
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait));
        (void)SSL_do_handshake(ssl);
        world_run_for(w, 5);
    }
    assert_int_equal(w->refused, 1);
    assert_non_null(strstr(w->refused_reason, "HTTP/2"));
    SSL_free(ssl);
    close(fd);
}

static void a_silent_handshake_times_out_and_caps_hold(void **state)
{
    struct world *const w = *state;
    const struct rpc_server_options options = {.handshakes_max = 1, .handshake_timeout_ms = 100};
    world_open_server(w, &options);
    const int first = connect_raw(w);
    world_run_for(w, 20);
    assert_int_equal(rpc_server_get_stats(w->server).handshakes, 1);
    const int second = connect_raw(w);
    world_run_until(w, &w->refused, 1);
    assert_string_equal(w->refused_reason, "too many handshakes under way");
    world_run_until(w, &w->refused, 2);
    assert_string_equal(w->refused_reason, "the TLS handshake took too long");
    assert_int_equal(rpc_server_get_stats(w->server).handshakes, 0);
    close(first);
    close(second);
}

static void a_connection_over_the_cap_is_refused_and_the_others_live(void **state)
{
    struct world *const w = *state;
    const struct rpc_server_options options = {.connections_max = 1};
    world_open_server(w, &options);
    world_open_client(w);
    world_run_until(w, &w->ready, 1);
    struct rpc_client *const first = w->client;
    world_open_client(w);
    world_run_until(w, &w->client_closed, 1);
    assert_string_equal(w->refused_reason, "too many connections");
    world_close_client(w);
    w->client = first;
    struct rpc_call *const call = world_make_call(w, "/test/Echo", 5000);
    assert_int_equal(rpc_call_half_close(call), STATUS_OK);
    world_run_until(w, &w->calls_closed, 1);
    assert_int_equal(w->code, GRPC_STATUS_OK);
}

static void losing_the_connection_in_mid_stream_closes_calls_on_both_sides(void **state)
{
    struct world *const w = *state;
    world_open_server(w, nullptr);
    world_open_client(w);
    w->to_send_bytes = 64u * CHUNK_BYTES;
    struct rpc_call *const call = world_make_call(w, "/test/Download", 0);
    assert_int_equal(rpc_call_half_close(call), STATUS_OK);
    while (w->received_count < 3)
        uv_run(&w->loop, UV_RUN_ONCE);
    world_close_client(w);
    assert_int_equal(w->calls_closed, 1);
    assert_int_equal(w->code, GRPC_STATUS_UNAVAILABLE);
    assert_int_equal(w->client_closed, 1);
    assert_int_equal(w->client_status, STATUS_CANCELLED);
    world_run_until(w, &w->closed, 1);
    assert_int_equal(w->server_calls_closed, 1);
    assert_int_equal(w->server_code, GRPC_STATUS_UNAVAILABLE);
}

static void on_drained(void *context)
{
    ((struct world *)context)->drained++;
}

static void a_draining_server_finishes_open_calls_and_tells_the_client(void **state)
{
    struct world *const w = *state;
    world_open_server(w, nullptr);
    world_open_client(w);
    struct rpc_call *const call = world_make_call(w, "/test/Echo", 0);
    assert_int_equal(rpc_call_send(call, (struct slice){(const uint8_t *)"x", 1}), STATUS_OK);
    while (w->received_count < 1)
        uv_run(&w->loop, UV_RUN_ONCE);
    rpc_server_drain(w->server, 5000, on_drained);
    world_run_until(w, &w->draining, 1);
    struct rpc_call *another = nullptr;
    assert_int_equal(rpc_client_call(w->client, "/test/Echo", 0, &world_call_handlers, w, &another),
                     STATUS_UNREACHABLE);
    assert_int_equal(rpc_call_send(call, (struct slice){(const uint8_t *)"y", 1}), STATUS_OK);
    assert_int_equal(rpc_call_half_close(call), STATUS_OK);
    world_run_until(w, &w->calls_closed, 1);
    assert_int_equal(w->code, GRPC_STATUS_OK);
    assert_int_equal(w->received_count, 2);
    world_run_until(w, &w->drained, 1);
    world_run_until(w, &w->client_closed, 1);
    assert_int_equal(w->client_status, STATUS_OK);
}

static void a_drain_cuts_calls_that_do_not_end_in_time(void **state)
{
    struct world *const w = *state;
    world_open_server(w, nullptr);
    world_open_client(w);
    (void)world_make_call(w, "/test/Echo", 0);
    world_run_until(w, &w->ready, 1);
    world_run_for(w, 20);
    rpc_server_drain(w->server, 50, on_drained);
    world_run_until(w, &w->drained, 1);
    world_run_until(w, &w->calls_closed, 1);
    assert_int_equal(w->code, GRPC_STATUS_UNAVAILABLE);
    assert_int_equal(w->server_calls_closed, 1);
}

static void a_port_that_nobody_listens_at_is_unreachable(void **state)
{
    struct world *const w = *state;
    world_open_server(w, nullptr);
    world_close_server(w);
    world_open_client(w);
    (void)world_make_call(w, "/test/Echo", 0);
    world_run_until(w, &w->client_closed, 1);
    assert_int_equal(w->client_status, STATUS_UNREACHABLE);
    assert_int_equal(w->calls_closed, 1);
    assert_int_equal(w->code, GRPC_STATUS_UNAVAILABLE);
}

static void localhost_is_found_whatever_its_first_address(void **state)
{
    struct world *const w = *state;
    struct error err = {};
    world_open_server(w, nullptr);
    assert_int_equal(rpc_client_open(&w->loop, "localhost", w->port, w->client_ctx, nullptr,
                                     &world_client_handlers, w, &w->client, &err),
                     STATUS_OK);
    world_run_until(w, &w->ready, 1);
}

static void a_client_closed_while_it_looks_a_name_up_is_freed(void **state)
{
    struct world *const w = *state;
    struct error err = {};
    assert_int_equal(rpc_client_open(&w->loop, "localhost", 1, w->client_ctx, nullptr,
                                     &world_client_handlers, w, &w->client, &err),
                     STATUS_OK);
    world_close_client(w);
    assert_int_equal(w->client_closed, 1);
    assert_int_equal(rpc_client_open(&w->loop, "localhost", 1, nullptr, nullptr,
                                     &world_client_handlers, w, &w->client, &err),
                     STATUS_INVAL);
    w->client = nullptr;
}

/* The expected bytes are protobuf's for HealthCheckResponse{SERVING} and so on. */
static void health_is_checked_and_watched(void **state)
{
    struct world *const w = *state;
    struct health *health = nullptr;
    assert_int_equal(health_create(&health), STATUS_OK);
    world_open_server(w, nullptr);
    assert_int_equal(health_register(health, w->server), STATUS_OK);
    assert_int_equal(health_set(health, "fedra.v1.Federation", HEALTH_SERVING), STATUS_OK);
    world_open_client(w);
    const uint8_t request[] = "\x0a\x13"
                              "fedra.v1.Federation";
    struct rpc_call *call = world_make_call(w, "/grpc.health.v1.Health/Check", 5000);
    assert_int_equal(rpc_call_send(call, (struct slice){request, 21}), STATUS_OK);
    assert_int_equal(rpc_call_half_close(call), STATUS_OK);
    world_run_until(w, &w->calls_closed, 1);
    assert_int_equal(w->code, GRPC_STATUS_OK);
    assert_int_equal(w->last_size, 2);
    assert_memory_equal(w->last, "\x08\x01", 2);

    call = world_make_call(w, "/grpc.health.v1.Health/Check", 5000);
    assert_int_equal(rpc_call_send(call, (struct slice){(const uint8_t *)"\x0a\x01z", 3}),
                     STATUS_OK);
    assert_int_equal(rpc_call_half_close(call), STATUS_OK);
    world_run_until(w, &w->calls_closed, 2);
    assert_int_equal(w->code, GRPC_STATUS_NOT_FOUND);

    call = world_make_call(w, "/grpc.health.v1.Health/Check", 5000);
    assert_int_equal(rpc_call_send(call, (struct slice){(const uint8_t *)"\x0a\x7fz", 3}),
                     STATUS_OK);
    world_run_until(w, &w->calls_closed, 3);
    assert_int_equal(w->code, GRPC_STATUS_INVALID_ARGUMENT);

    w->received_count = 0;
    call = world_make_call(w, "/grpc.health.v1.Health/Watch", 0);
    assert_int_equal(rpc_call_send(call, (struct slice){(const uint8_t *)"\x0a\x01z", 3}),
                     STATUS_OK);
    while (w->received_count < 1)
        uv_run(&w->loop, UV_RUN_ONCE);
    assert_memory_equal(w->last, "\x08\x03", 2);
    assert_int_equal(health_set(health, "z", HEALTH_NOT_SERVING), STATUS_OK);
    while (w->received_count < 2)
        uv_run(&w->loop, UV_RUN_ONCE);
    assert_memory_equal(w->last, "\x08\x02", 2);
    world_close_client(w);
    world_close_server(w);
    health_destroy(health);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, world_set_up, world_tear_down)

int main(void)
{
    signal(SIGPIPE, SIG_IGN);
    const struct CMUnitTest tests[] = {
        CASE(a_unary_call_goes_over_post_quantum_mutual_tls),
        CASE(a_hundred_megabytes_stream_through_in_order_and_bounded),
        CASE(a_paused_reader_holds_the_sender_back),
        CASE(an_unknown_method_is_unimplemented),
        CASE(a_call_that_nobody_answers_ends_at_its_deadline_on_both_sides),
        CASE(an_expired_client_certificate_is_refused_by_name),
        CASE(a_client_without_a_certificate_is_refused),
        CASE(a_client_of_another_authority_is_refused),
        CASE(a_server_of_another_authority_is_refused_by_the_client),
        CASE(sides_without_a_shared_group_say_so),
        CASE(the_owner_refuses_a_connection_with_a_reason_that_reaches_the_client),
        CASE(the_client_refuses_a_server_that_verify_does_not_accept),
        CASE(tls_1_2_and_plain_http_are_refused),
        CASE(a_tls_1_3_client_without_alpn_is_refused),
        CASE(a_silent_handshake_times_out_and_caps_hold),
        CASE(a_connection_over_the_cap_is_refused_and_the_others_live),
        CASE(losing_the_connection_in_mid_stream_closes_calls_on_both_sides),
        CASE(a_draining_server_finishes_open_calls_and_tells_the_client),
        CASE(a_drain_cuts_calls_that_do_not_end_in_time),
        CASE(a_port_that_nobody_listens_at_is_unreachable),
        CASE(localhost_is_found_whatever_its_first_address),
        CASE(a_client_closed_while_it_looks_a_name_up_is_freed),
        CASE(health_is_checked_and_watched),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}

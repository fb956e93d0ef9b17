/*
 * rpc_loopback_test.c - the server and the client over real sockets with mutual TLS 1.3.
 *
 * Goal: what the sans-IO tests cannot show: handshakes that fail, connections that break,
 * back-pressure through the kernel's buffers. Each case opens a server on a free port.
 */
#include "testing.h"

#include "base/check.h"
#include "rpc/health.h"
#include "rpc/rpc_client.h"
#include "rpc/rpc_server.h"
#include "rpc_certs.h"

#include <openssl/ssl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define GROUPS "X25519MLKEM768"

/* What happened, on either side. */
struct world {
    uv_loop_t loop;
    struct test_ca ca;
    SSL_CTX *server_ctx;
    SSL_CTX *client_ctx;
    struct rpc_server *server;
    struct rpc_client *client;
    struct rpc_call *server_call;
    uv_timer_t guard;
    uint16_t port;
    enum status refuse_with;
    enum status verify_with;

    int opened, closed, refused, ready, draining, client_closed, client_freed, drained;
    int server_gone;
    enum status client_status;
    char refused_reason[256];
    char closed_reason[256];
    char client_reason[256];

    int calls_closed, server_calls_closed, writable;
    enum grpc_status code;
    enum grpc_status server_code;
    char message[256];
    size_t received_bytes, received_count, server_bytes;
    uint8_t last[64];
    size_t last_size;
    size_t to_send_bytes; /* what /test/Download still has to send */
    size_t queued_max;
};

static void on_guard(uv_timer_t *timer)
{
    fprintf(stderr, "the case hangs\n");
    abort();
}

/* Runs the loop until *count reaches want. Aborts after 20 s. */
static void run_until(struct world *w, const int *count, int want)
{
    uv_update_time(&w->loop);
    assert_int_equal(uv_timer_start(&w->guard, on_guard, 20000, 0), 0);
    while (*count < want)
        uv_run(&w->loop, UV_RUN_ONCE);
    uv_timer_stop(&w->guard);
}

static void on_rest(uv_timer_t *timer)
{
    (*(int *)timer->data)++;
}

static void run_for(struct world *w, unsigned time_ms)
{
    uv_timer_t timer;
    int done = 0;
    uv_timer_init(&w->loop, &timer);
    timer.data = &done;
    uv_update_time(&w->loop);
    uv_timer_start(&timer, on_rest, time_ms, 0);
    run_until(w, &done, 1);
    uv_close((uv_handle_t *)&timer, nullptr);
    uv_run(&w->loop, UV_RUN_NOWAIT);
}

static enum status server_on_open(void *context, struct rpc_connection *connection,
                                  struct error *err)
{
    struct world *const w = context;
    if (w->refuse_with != STATUS_OK)
        return error_set(err, w->refuse_with, "this identity may not come in");
    X509 *const cert = SSL_get0_peer_certificate(rpc_connection_ssl(connection));
    assert_non_null(cert);
    rpc_connection_set_user(connection, w);
    w->opened++;
    return STATUS_OK;
}

static void server_on_close(void *context, struct rpc_connection *connection, const char *reason)
{
    struct world *const w = context;
    w->closed++;
    snprintf(w->closed_reason, sizeof(w->closed_reason), "%s", reason);
}

static void server_on_refused(void *context, const char *address, const char *reason)
{
    struct world *const w = context;
    w->refused++;
    snprintf(w->refused_reason, sizeof(w->refused_reason), "%s", reason);
}

static const struct rpc_server_handlers server_handlers = {
    .on_open = server_on_open,
    .on_close = server_on_close,
    .on_refused = server_on_refused,
};

/* --- /test/Echo: every message comes back; half-close finishes with OK --- */

static void echo_on_message(struct rpc_call *call, struct slice message)
{
    struct world *const w = rpc_call_get_user(call);
    w->server_bytes += message.size;
    const enum status status = rpc_call_send(call, message);
    assert_true(status == STATUS_OK || status == STATUS_AGAIN);
}

static void echo_on_half_close(struct rpc_call *call)
{
    assert_int_equal(rpc_call_finish(call, GRPC_STATUS_OK, "done"), STATUS_OK);
}

static void server_call_closed(struct rpc_call *call, enum grpc_status code, const char *message)
{
    struct world *const w = rpc_call_get_user(call);
    w->server_calls_closed++;
    w->server_code = code;
    w->server_call = nullptr;
}

static void open_any(struct rpc_call *call, void *context)
{
    struct world *const w = context;
    assert_non_null(rpc_call_ssl(call));
    assert_ptr_equal(rpc_call_connection_user(call), w);
    assert_memory_equal(rpc_call_address(call), "127.0.0.1:", 10);
    rpc_call_set_user(call, w);
    w->server_call = call;
}

static const struct rpc_call_handlers echo_handlers = {
    .on_message = echo_on_message,
    .on_half_close = echo_on_half_close,
    .on_closed = server_call_closed,
};

/* --- /test/Download: sends to_send_bytes in owned chunks, as fast as it is read --- */

enum { CHUNK_BYTES = 1024 * 1024 };

static void download_more(struct rpc_call *call)
{
    struct world *const w = rpc_call_get_user(call);
    while (w->to_send_bytes > 0) {
        uint8_t *const chunk = malloc(CHUNK_BYTES);
        assert_non_null(chunk);
        memset(chunk, 0x5a, CHUNK_BYTES);
        const enum status status = rpc_call_send_owned(call, chunk, CHUNK_BYTES, nullptr, nullptr);
        if (rpc_call_queued_bytes(call) > w->queued_max)
            w->queued_max = rpc_call_queued_bytes(call);
        if (status != STATUS_OK) {
            free(chunk);
            assert_int_equal(status, STATUS_AGAIN);
            return;
        }
        w->to_send_bytes -= CHUNK_BYTES;
    }
    assert_int_equal(rpc_call_finish(call, GRPC_STATUS_OK, nullptr), STATUS_OK);
}

static const struct rpc_call_handlers download_handlers = {
    .on_half_close = download_more,
    .on_writable = download_more,
    .on_closed = server_call_closed,
};

/* --- the client side --- */

static enum status client_verify(void *context, SSL *ssl, struct error *err)
{
    struct world *const w = context;
    if (SSL_get_verify_mode(ssl) != SSL_VERIFY_NONE)
        assert_int_equal(SSL_get_verify_result(ssl), X509_V_OK);
    assert_string_equal(SSL_get0_group_name(ssl), GROUPS);
    if (w->verify_with != STATUS_OK)
        return error_set(err, w->verify_with, "another server was expected");
    return STATUS_OK;
}

static void client_on_ready(void *context, struct rpc_client *client)
{
    ((struct world *)context)->ready++;
}

static void client_on_draining(void *context, struct rpc_client *client, const char *reason)
{
    ((struct world *)context)->draining++;
}

static void client_on_closed(void *context, struct rpc_client *client, enum status status,
                             const char *reason)
{
    struct world *const w = context;
    w->client_closed++;
    w->client_status = status;
    snprintf(w->client_reason, sizeof(w->client_reason), "%s", reason);
}

static const struct rpc_client_handlers client_handlers = {
    .verify = client_verify,
    .on_ready = client_on_ready,
    .on_draining = client_on_draining,
    .on_closed = client_on_closed,
};

static void call_on_message(struct rpc_call *call, struct slice message)
{
    struct world *const w = rpc_call_get_user(call);
    w->received_bytes += message.size;
    w->received_count++;
    w->last_size = message.size < sizeof(w->last) ? message.size : sizeof(w->last);
    if (w->last_size > 0)
        memcpy(w->last, message.data, w->last_size);
}

static void call_on_writable(struct rpc_call *call)
{
    ((struct world *)rpc_call_get_user(call))->writable++;
}

static void call_on_closed(struct rpc_call *call, enum grpc_status code, const char *message)
{
    struct world *const w = rpc_call_get_user(call);
    w->calls_closed++;
    w->code = code;
    snprintf(w->message, sizeof(w->message), "%s", message);
}

static const struct rpc_call_handlers call_handlers = {
    .on_message = call_on_message,
    .on_writable = call_on_writable,
    .on_closed = call_on_closed,
};

/* --- the scene --- */

static void add_method(struct world *w, const char *path, const struct rpc_call_handlers *handlers)
{
    const struct rpc_method method = {handlers, open_any, w};
    assert_int_equal(rpc_server_add_method(w->server, path, &method), STATUS_OK);
}

static void open_server(struct world *w, const struct rpc_server_options *options)
{
    struct error err = {};
    assert_int_equal(
        rpc_server_create(&w->loop, w->server_ctx, options, &server_handlers, w, &w->server),
        STATUS_OK);
    add_method(w, "/test/Echo", &echo_handlers);
    add_method(w, "/test/Download", &download_handlers);
    assert_int_equal(rpc_server_listen(w->server, "127.0.0.1", 0, &w->port, &err), STATUS_OK);
}

static void open_client(struct world *w)
{
    struct error err = {};
    assert_int_equal(rpc_client_open(&w->loop, "127.0.0.1", w->port, w->client_ctx, nullptr,
                                     &client_handlers, w, &w->client, &err),
                     STATUS_OK);
}

static struct rpc_call *make_call(struct world *w, const char *path, uint32_t deadline_ms)
{
    struct rpc_call *call = nullptr;
    assert_int_equal(rpc_client_call(w->client, path, deadline_ms, &call_handlers, w, &call),
                     STATUS_OK);
    return call;
}

static int set_up(void **state)
{
    struct world *const w = calloc(1, sizeof(*w));
    CHECK(w != nullptr);
    CHECK(uv_loop_init(&w->loop) == 0);
    uv_timer_init(&w->loop, &w->guard);
    test_ca_init(&w->ca);
    w->server_ctx = test_context(&w->ca, TEST_LEAF_GOOD, GROUPS ":X25519");
    w->client_ctx = test_context(&w->ca, TEST_LEAF_GOOD, GROUPS);
    *state = w;
    return 0;
}

static void on_client_freed(void *context)
{
    ((struct world *)context)->client_freed++;
}

static void on_server_gone(void *context)
{
    ((struct world *)context)->server_gone++;
}

static void close_client(struct world *w)
{
    const int want = w->client_freed + 1;
    rpc_client_close(w->client, on_client_freed);
    w->client = nullptr;
    run_until(w, &w->client_freed, want);
}

static void close_server(struct world *w)
{
    rpc_server_close(w->server, on_server_gone);
    w->server = nullptr;
    run_until(w, &w->server_gone, 1);
}

static int tear_down(void **state)
{
    struct world *const w = *state;
    if (w->client != nullptr)
        close_client(w);
    if (w->server != nullptr)
        close_server(w);
    uv_close((uv_handle_t *)&w->guard, nullptr);
    uv_run(&w->loop, UV_RUN_DEFAULT);
    CHECK(uv_loop_close(&w->loop) == 0);
    SSL_CTX_free(w->server_ctx);
    SSL_CTX_free(w->client_ctx);
    test_ca_deinit(&w->ca);
    free(w);
    return 0;
}

/* --- cases --- */

static void a_unary_call_goes_over_post_quantum_mutual_tls(void **state)
{
    struct world *const w = *state;
    open_server(w, nullptr);
    open_client(w);
    struct rpc_call *const call = make_call(w, "/test/Echo", 5000);
    const struct slice message = {(const uint8_t *)"hello", 5};
    assert_int_equal(rpc_call_send(call, message), STATUS_OK);
    assert_int_equal(rpc_call_half_close(call), STATUS_OK);
    run_until(w, &w->calls_closed, 1);
    assert_int_equal(w->code, GRPC_STATUS_OK);
    assert_string_equal(w->message, "done");
    assert_int_equal(w->received_count, 1);
    assert_int_equal(w->last_size, 5);
    assert_memory_equal(w->last, "hello", 5);
    assert_int_equal(w->opened, 1);
    assert_int_equal(w->ready, 1);
    run_until(w, &w->server_calls_closed, 1);
    assert_int_equal(w->server_code, GRPC_STATUS_OK);
}

static void a_hundred_megabytes_stream_through_in_order_and_bounded(void **state)
{
    struct world *const w = *state;
    open_server(w, nullptr);
    open_client(w);
    w->to_send_bytes = 100u * CHUNK_BYTES;
    struct rpc_call *const call = make_call(w, "/test/Download", 0);
    assert_int_equal(rpc_call_half_close(call), STATUS_OK);
    run_until(w, &w->calls_closed, 1);
    assert_int_equal(w->code, GRPC_STATUS_OK);
    assert_int_equal(w->received_bytes, 100u * CHUNK_BYTES);
    assert_int_equal(w->received_count, 100);
    assert_true(w->queued_max <= 2u * CHUNK_BYTES);
}

static void a_paused_reader_holds_the_sender_back(void **state)
{
    struct world *const w = *state;
    open_server(w, nullptr);
    open_client(w);
    w->to_send_bytes = 64u * CHUNK_BYTES;
    struct rpc_call *const call = make_call(w, "/test/Download", 0);
    assert_int_equal(rpc_call_half_close(call), STATUS_OK);
    rpc_call_pause(call);
    run_for(w, 300);
    assert_int_equal(w->received_count, 0);
    /* Left the queue: at most one stream window; the rest waits at the sender. */
    assert_true(w->to_send_bytes >= (64u - 1 - 2 - 1) * CHUNK_BYTES);
    assert_true(w->queued_max <= 2u * CHUNK_BYTES);
    rpc_call_resume(call);
    run_until(w, &w->calls_closed, 1);
    assert_int_equal(w->received_bytes, 64u * CHUNK_BYTES);
    assert_int_equal(w->code, GRPC_STATUS_OK);
}

static void an_unknown_method_is_unimplemented(void **state)
{
    struct world *const w = *state;
    open_server(w, nullptr);
    open_client(w);
    (void)make_call(w, "/test/Nothing", 5000);
    run_until(w, &w->calls_closed, 1);
    assert_int_equal(w->code, GRPC_STATUS_UNIMPLEMENTED);
}

static void a_call_that_nobody_answers_ends_at_its_deadline_on_both_sides(void **state)
{
    struct world *const w = *state;
    open_server(w, nullptr);
    open_client(w);
    (void)make_call(w, "/test/Echo", 100);
    run_until(w, &w->calls_closed, 1);
    assert_int_equal(w->code, GRPC_STATUS_DEADLINE_EXCEEDED);
    run_until(w, &w->server_calls_closed, 1);
    assert_true(w->server_code == GRPC_STATUS_DEADLINE_EXCEEDED ||
                w->server_code == GRPC_STATUS_CANCELLED);
}

static void expect_refused(struct world *w, enum status status, const char *client_reason,
                           const char *server_reason)
{
    open_client(w);
    run_until(w, &w->client_closed, 1);
    assert_int_equal(w->client_status, status);
    if (strstr(w->client_reason, client_reason) == nullptr)
        fail_msg("the client says: %s", w->client_reason);
    run_until(w, &w->refused, 1);
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
    open_server(w, nullptr);
    expect_refused(w, STATUS_IDENTITY, "certificate expired", "certificate has expired");
}

static void a_client_without_a_certificate_is_refused(void **state)
{
    struct world *const w = *state;
    use_client(w, test_context(&w->ca, TEST_LEAF_NONE, GROUPS));
    open_server(w, nullptr);
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
    open_server(w, nullptr);
    open_client(w);
    run_until(w, &w->refused, 1);
    assert_non_null(strstr(w->refused_reason, "the peer's certificate"));
    assert_int_equal(w->opened, 0);
    run_until(w, &w->client_closed, 1);
    test_ca_deinit(&other);
}

static void a_server_of_another_authority_is_refused_by_the_client(void **state)
{
    struct world *const w = *state;
    struct test_ca other;
    test_ca_init(&other);
    SSL_CTX_free(w->server_ctx);
    w->server_ctx = test_context(&other, TEST_LEAF_GOOD, GROUPS);
    open_server(w, nullptr);
    expect_refused(w, STATUS_IDENTITY, "the peer's certificate", "unknown ca");
    test_ca_deinit(&other);
}

static void sides_without_a_shared_group_say_so(void **state)
{
    struct world *const w = *state;
    SSL_CTX_free(w->server_ctx);
    w->server_ctx = test_context(&w->ca, TEST_LEAF_GOOD, "X25519");
    open_server(w, nullptr);
    expect_refused(w, STATUS_PEER, "handshake failure", "no shared group");
}

static void the_owner_refuses_a_connection_with_a_reason_that_reaches_the_client(void **state)
{
    struct world *const w = *state;
    w->refuse_with = STATUS_IDENTITY;
    open_server(w, nullptr);
    open_client(w);
    (void)make_call(w, "/test/Echo", 0);
    run_until(w, &w->client_closed, 1);
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
    open_server(w, nullptr);
    open_client(w);
    (void)make_call(w, "/test/Echo", 0);
    run_until(w, &w->client_closed, 1);
    assert_int_equal(w->client_status, STATUS_IDENTITY);
    assert_string_equal(w->client_reason, "another server was expected");
    run_for(w, 50);
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
    open_server(w, nullptr);
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
    run_until(w, &w->refused, 1);
    assert_non_null(strstr(w->refused_reason, "unsupported protocol"));
    close(fd);
    const int plain = connect_raw(w);
    assert_int_equal(write(plain, "GET / HTTP/1.1\r\n\r\n", 18), 18);
    run_until(w, &w->refused, 2);
    assert_non_null(strstr(w->refused_reason, "unsupported protocol"));
    close(plain);
    SSL_free(ssl);
    SSL_CTX_free(old);
}

static void a_tls_1_3_client_without_alpn_is_refused(void **state)
{
    struct world *const w = *state;
    open_server(w, nullptr);
    const int fd = connect_raw(w);
    SSL *const ssl = SSL_new(w->client_ctx);
    SSL_set_fd(ssl, fd);
    SSL_set_connect_state(ssl);
    BIO_set_nbio(SSL_get_rbio(ssl), 1);
    for (int i = 0; i < 50 && w->refused == 0; i++) {
        struct timeval wait = {.tv_usec = 5000};
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait));
        (void)SSL_do_handshake(ssl);
        run_for(w, 5);
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
    open_server(w, &options);
    const int first = connect_raw(w);
    run_for(w, 20);
    assert_int_equal(rpc_server_get_stats(w->server).handshakes, 1);
    const int second = connect_raw(w);
    run_until(w, &w->refused, 1);
    assert_string_equal(w->refused_reason, "too many handshakes under way");
    run_until(w, &w->refused, 2);
    assert_string_equal(w->refused_reason, "the TLS handshake took too long");
    assert_int_equal(rpc_server_get_stats(w->server).handshakes, 0);
    close(first);
    close(second);
}

static void a_connection_over_the_cap_is_refused_and_the_others_live(void **state)
{
    struct world *const w = *state;
    const struct rpc_server_options options = {.connections_max = 1};
    open_server(w, &options);
    open_client(w);
    run_until(w, &w->ready, 1);
    struct rpc_client *const first = w->client;
    open_client(w);
    run_until(w, &w->client_closed, 1);
    assert_string_equal(w->refused_reason, "too many connections");
    close_client(w);
    w->client = first;
    struct rpc_call *const call = make_call(w, "/test/Echo", 5000);
    assert_int_equal(rpc_call_half_close(call), STATUS_OK);
    run_until(w, &w->calls_closed, 1);
    assert_int_equal(w->code, GRPC_STATUS_OK);
}

static void losing_the_connection_in_mid_stream_closes_calls_on_both_sides(void **state)
{
    struct world *const w = *state;
    open_server(w, nullptr);
    open_client(w);
    w->to_send_bytes = 64u * CHUNK_BYTES;
    struct rpc_call *const call = make_call(w, "/test/Download", 0);
    assert_int_equal(rpc_call_half_close(call), STATUS_OK);
    while (w->received_count < 3)
        uv_run(&w->loop, UV_RUN_ONCE);
    close_client(w);
    assert_int_equal(w->calls_closed, 1);
    assert_int_equal(w->code, GRPC_STATUS_UNAVAILABLE);
    assert_int_equal(w->client_closed, 1);
    assert_int_equal(w->client_status, STATUS_CANCELLED);
    run_until(w, &w->closed, 1);
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
    open_server(w, nullptr);
    open_client(w);
    struct rpc_call *const call = make_call(w, "/test/Echo", 0);
    assert_int_equal(rpc_call_send(call, (struct slice){(const uint8_t *)"x", 1}), STATUS_OK);
    while (w->received_count < 1)
        uv_run(&w->loop, UV_RUN_ONCE);
    rpc_server_drain(w->server, 5000, on_drained);
    run_until(w, &w->draining, 1);
    struct rpc_call *another = nullptr;
    assert_int_equal(rpc_client_call(w->client, "/test/Echo", 0, &call_handlers, w, &another),
                     STATUS_UNREACHABLE);
    assert_int_equal(rpc_call_send(call, (struct slice){(const uint8_t *)"y", 1}), STATUS_OK);
    assert_int_equal(rpc_call_half_close(call), STATUS_OK);
    run_until(w, &w->calls_closed, 1);
    assert_int_equal(w->code, GRPC_STATUS_OK);
    assert_int_equal(w->received_count, 2);
    run_until(w, &w->drained, 1);
    run_until(w, &w->client_closed, 1);
    assert_int_equal(w->client_status, STATUS_OK);
}

static void a_drain_cuts_calls_that_do_not_end_in_time(void **state)
{
    struct world *const w = *state;
    open_server(w, nullptr);
    open_client(w);
    (void)make_call(w, "/test/Echo", 0);
    run_until(w, &w->ready, 1);
    run_for(w, 20);
    rpc_server_drain(w->server, 50, on_drained);
    run_until(w, &w->drained, 1);
    run_until(w, &w->calls_closed, 1);
    assert_int_equal(w->code, GRPC_STATUS_UNAVAILABLE);
    assert_int_equal(w->server_calls_closed, 1);
}

static void a_port_that_nobody_listens_at_is_unreachable(void **state)
{
    struct world *const w = *state;
    open_server(w, nullptr);
    close_server(w);
    open_client(w);
    (void)make_call(w, "/test/Echo", 0);
    run_until(w, &w->client_closed, 1);
    assert_int_equal(w->client_status, STATUS_UNREACHABLE);
    assert_int_equal(w->calls_closed, 1);
    assert_int_equal(w->code, GRPC_STATUS_UNAVAILABLE);
}

static void localhost_is_found_whatever_its_first_address(void **state)
{
    struct world *const w = *state;
    struct error err = {};
    open_server(w, nullptr);
    assert_int_equal(rpc_client_open(&w->loop, "localhost", w->port, w->client_ctx, nullptr,
                                     &client_handlers, w, &w->client, &err),
                     STATUS_OK);
    run_until(w, &w->ready, 1);
}

static void a_client_closed_while_it_looks_a_name_up_is_freed(void **state)
{
    struct world *const w = *state;
    struct error err = {};
    assert_int_equal(rpc_client_open(&w->loop, "localhost", 1, w->client_ctx, nullptr,
                                     &client_handlers, w, &w->client, &err),
                     STATUS_OK);
    close_client(w);
    assert_int_equal(w->client_closed, 1);
    assert_int_equal(rpc_client_open(&w->loop, "localhost", 1, nullptr, nullptr, &client_handlers,
                                     w, &w->client, &err),
                     STATUS_INVAL);
    w->client = nullptr;
}

/* The expected bytes are protobuf's for HealthCheckResponse{SERVING} and so on. */
static void health_is_checked_and_watched(void **state)
{
    struct world *const w = *state;
    struct health *health = nullptr;
    assert_int_equal(health_create(&health), STATUS_OK);
    open_server(w, nullptr);
    assert_int_equal(health_register(health, w->server), STATUS_OK);
    assert_int_equal(health_set(health, "fedra.v1.Federation", HEALTH_SERVING), STATUS_OK);
    open_client(w);
    const uint8_t request[] = "\x0a\x13"
                              "fedra.v1.Federation";
    struct rpc_call *call = make_call(w, "/grpc.health.v1.Health/Check", 5000);
    assert_int_equal(rpc_call_send(call, (struct slice){request, 21}), STATUS_OK);
    assert_int_equal(rpc_call_half_close(call), STATUS_OK);
    run_until(w, &w->calls_closed, 1);
    assert_int_equal(w->code, GRPC_STATUS_OK);
    assert_int_equal(w->last_size, 2);
    assert_memory_equal(w->last, "\x08\x01", 2);

    call = make_call(w, "/grpc.health.v1.Health/Check", 5000);
    assert_int_equal(rpc_call_send(call, (struct slice){(const uint8_t *)"\x0a\x01z", 3}),
                     STATUS_OK);
    assert_int_equal(rpc_call_half_close(call), STATUS_OK);
    run_until(w, &w->calls_closed, 2);
    assert_int_equal(w->code, GRPC_STATUS_NOT_FOUND);

    call = make_call(w, "/grpc.health.v1.Health/Check", 5000);
    assert_int_equal(rpc_call_send(call, (struct slice){(const uint8_t *)"\x0a\x7fz", 3}),
                     STATUS_OK);
    run_until(w, &w->calls_closed, 3);
    assert_int_equal(w->code, GRPC_STATUS_INVALID_ARGUMENT);

    w->received_count = 0;
    call = make_call(w, "/grpc.health.v1.Health/Watch", 0);
    assert_int_equal(rpc_call_send(call, (struct slice){(const uint8_t *)"\x0a\x01z", 3}),
                     STATUS_OK);
    while (w->received_count < 1)
        uv_run(&w->loop, UV_RUN_ONCE);
    assert_memory_equal(w->last, "\x08\x03", 2);
    assert_int_equal(health_set(health, "z", HEALTH_NOT_SERVING), STATUS_OK);
    while (w->received_count < 2)
        uv_run(&w->loop, UV_RUN_ONCE);
    assert_memory_equal(w->last, "\x08\x02", 2);
    close_client(w);
    close_server(w);
    health_destroy(health);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

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

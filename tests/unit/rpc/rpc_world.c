/*
 * rpc_world.c - the scene of the loopback tests: methods, handlers, opening and closing.
 */
#include "rpc_world.h"

#include "base/check.h"

#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void on_guard(uv_timer_t *timer)
{
    fprintf(stderr, "the case hangs\n");
    abort();
}

void world_run_until(struct world *w, const int *count, int want)
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

void world_run_for(struct world *w, unsigned time_ms)
{
    uv_timer_t timer;
    int done = 0;
    uv_timer_init(&w->loop, &timer);
    timer.data = &done;
    uv_update_time(&w->loop);
    uv_timer_start(&timer, on_rest, time_ms, 0);
    world_run_until(w, &done, 1);
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

const struct rpc_client_handlers world_client_handlers = {
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

const struct rpc_call_handlers world_call_handlers = {
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

void world_open_server(struct world *w, const struct rpc_server_options *options)
{
    struct error err = {};
    assert_int_equal(
        rpc_server_create(&w->loop, w->server_ctx, options, &server_handlers, w, &w->server),
        STATUS_OK);
    add_method(w, "/test/Echo", &echo_handlers);
    add_method(w, "/test/Download", &download_handlers);
    assert_int_equal(rpc_server_listen(w->server, "127.0.0.1", 0, &w->port, &err), STATUS_OK);
}

void world_open_client(struct world *w)
{
    struct error err = {};
    assert_int_equal(rpc_client_open(&w->loop, "127.0.0.1", w->port, w->client_ctx, nullptr,
                                     &world_client_handlers, w, &w->client, &err),
                     STATUS_OK);
}

struct rpc_call *world_make_call(struct world *w, const char *path, uint32_t deadline_ms)
{
    struct rpc_call *call = nullptr;
    assert_int_equal(rpc_client_call(w->client, path, deadline_ms, &world_call_handlers, w, &call),
                     STATUS_OK);
    return call;
}

int world_set_up(void **state)
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

void world_close_client(struct world *w)
{
    const int want = w->client_freed + 1;
    rpc_client_close(w->client, on_client_freed);
    w->client = nullptr;
    world_run_until(w, &w->client_freed, want);
}

void world_close_server(struct world *w)
{
    rpc_server_close(w->server, on_server_gone);
    w->server = nullptr;
    world_run_until(w, &w->server_gone, 1);
}

int world_tear_down(void **state)
{
    struct world *const w = *state;
    if (w->client != nullptr)
        world_close_client(w);
    if (w->server != nullptr)
        world_close_server(w);
    uv_close((uv_handle_t *)&w->guard, nullptr);
    uv_run(&w->loop, UV_RUN_DEFAULT);
    CHECK(uv_loop_close(&w->loop) == 0);
    SSL_CTX_free(w->server_ctx);
    SSL_CTX_free(w->client_ctx);
    test_ca_deinit(&w->ca);
    free(w);
    return 0;
}

/*
 * rpc_unix_test.c - a client over a Unix socket without TLS, as the SPIFFE Workload API wants it.
 *
 * The other side is a session on a pipe of libuv, as small as can be.
 */
#include "testing.h"

#include "rpc/rpc_client.h"
#include "rpc/h2_session.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct agent {
    uv_loop_t loop;
    uv_pipe_t listener;
    uv_pipe_t pipe;
    struct h2_session *session;
    int verified, ready, calls_closed, client_closed, freed;
    enum grpc_status code;
    enum status status;
    char last[64];
    char reason[256];
    bool has_pipe;
};

static void send_all(struct agent *agent)
{
    struct bytes output;
    bytes_init(&output, 1 << 20);
    assert_int_equal(h2_session_pull(agent->session, &output, 1 << 20), STATUS_OK);
    uv_buf_t buf = uv_buf_init((char *)output.data, (unsigned)output.size);
    if (output.size > 0)
        assert_int_equal(uv_try_write((uv_stream_t *)&agent->pipe, &buf, 1), output.size);
    bytes_deinit(&output);
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    static char memory[65536];
    *buf = uv_buf_init(memory, sizeof(memory));
}

static void on_read(uv_stream_t *stream, ssize_t size, const uv_buf_t *buf)
{
    struct agent *const agent = stream->data;
    if (size <= 0)
        return;
    (void)h2_session_receive(agent->session,
                             (struct slice){(const uint8_t *)buf->base, (size_t)size}, uv_hrtime());
    send_all(agent);
}

static void on_message(struct rpc_call *call, struct slice message)
{
    assert_int_equal(rpc_call_send(call, message), STATUS_OK);
    assert_int_equal(rpc_call_finish(call, GRPC_STATUS_OK, nullptr), STATUS_OK);
}

static void agent_call(void *context, struct rpc_call *call)
{
    static const struct rpc_call_handlers handlers = {.on_message = on_message};
    h2_session_accept(call, &handlers);
}

static void nothing(void *context)
{
}

static void no_drain(void *context, const char *reason)
{
}

static void on_connection(uv_stream_t *stream, int error)
{
    static const struct h2_session_events events = {agent_call, nothing, nothing, no_drain};
    struct agent *const agent = stream->data;
    const struct h2_session_settings settings = {
        .is_server = true, .events = &events, .context = agent};
    uv_pipe_init(&agent->loop, &agent->pipe, 0);
    agent->pipe.data = agent;
    agent->has_pipe = true;
    assert_int_equal(uv_accept(stream, (uv_stream_t *)&agent->pipe), 0);
    assert_int_equal(h2_session_create(&settings, uv_hrtime(), &agent->session), STATUS_OK);
    assert_int_equal(uv_read_start((uv_stream_t *)&agent->pipe, on_alloc, on_read), 0);
    send_all(agent);
}

static enum status verify(void *context, SSL *ssl, struct error *err)
{
    ((struct agent *)context)->verified++;
    return STATUS_OK;
}

static void on_ready(void *context, struct rpc_client *client)
{
    ((struct agent *)context)->ready++;
    assert_null(rpc_client_ssl(client));
}

static void on_closed(void *context, struct rpc_client *client, enum status status,
                      const char *reason)
{
    struct agent *const agent = context;
    agent->client_closed++;
    agent->status = status;
    snprintf(agent->reason, sizeof(agent->reason), "%s", reason);
}

static void on_freed(void *context)
{
    ((struct agent *)context)->freed++;
}

static void call_message(struct rpc_call *call, struct slice message)
{
    struct agent *const agent = rpc_call_get_user(call);
    snprintf(agent->last, sizeof(agent->last), "%.*s", (int)message.size,
             (const char *)message.data);
}

static void call_closed(struct rpc_call *call, enum grpc_status code, const char *message)
{
    struct agent *const agent = rpc_call_get_user(call);
    agent->calls_closed++;
    agent->code = code;
}

static const struct rpc_client_handlers client_handlers = {
    .verify = verify, .on_ready = on_ready, .on_closed = on_closed};
static const struct rpc_call_handlers call_handlers = {.on_message = call_message,
                                                       .on_closed = call_closed};

static void a_call_over_a_unix_socket_needs_no_tls(void **state)
{
    struct agent agent = {};
    struct error err = {};
    struct rpc_client *client = nullptr;
    struct rpc_call *call = nullptr;
    char host[128];
    snprintf(host, sizeof(host), "unix:/tmp/fedra-rpc-test-%d", (int)getpid());
    const struct rpc_client_options options = {.headers = {{"workload.spiffe.io", "true"}}};
    uv_loop_init(&agent.loop);
    uv_pipe_init(&agent.loop, &agent.listener, 0);
    agent.listener.data = &agent;
    assert_int_equal(uv_pipe_bind(&agent.listener, host + 5), 0);
    assert_int_equal(uv_listen((uv_stream_t *)&agent.listener, 1, on_connection), 0);
    assert_int_equal(rpc_client_open(&agent.loop, host, 0, nullptr, &options, &client_handlers,
                                     &agent, &client, &err),
                     STATUS_OK);
    assert_int_equal(rpc_client_call(client, "/SpiffeWorkloadAPI/FetchX509SVID", 5000,
                                     &call_handlers, &agent, &call),
                     STATUS_OK);
    assert_int_equal(rpc_call_send(call, (struct slice){(const uint8_t *)"hi", 2}), STATUS_OK);
    assert_int_equal(rpc_call_half_close(call), STATUS_OK);
    while (agent.calls_closed < 1)
        uv_run(&agent.loop, UV_RUN_ONCE);
    assert_int_equal(agent.code, GRPC_STATUS_OK);
    assert_string_equal(agent.last, "hi");
    assert_int_equal(agent.ready, 1);
    assert_int_equal(agent.verified, 0);
    rpc_client_close(client, on_freed);
    uv_close((uv_handle_t *)&agent.listener, nullptr);
    uv_close((uv_handle_t *)&agent.pipe, nullptr);
    uv_run(&agent.loop, UV_RUN_DEFAULT);
    assert_int_equal(agent.freed, 1);
    h2_session_destroy(agent.session);
    assert_int_equal(uv_loop_close(&agent.loop), 0);
}

static void a_missing_unix_socket_is_unreachable(void **state)
{
    struct agent agent = {};
    struct rpc_client *client = nullptr;
    uv_loop_init(&agent.loop);
    assert_int_equal(rpc_client_open(&agent.loop, "unix:/nonexistent/socket", 0, nullptr, nullptr,
                                     &client_handlers, &agent, &client, nullptr),
                     STATUS_OK);
    while (agent.client_closed < 1)
        uv_run(&agent.loop, UV_RUN_ONCE);
    assert_int_equal(agent.status, STATUS_UNREACHABLE);
    assert_non_null(strstr(agent.reason, "no such file"));
    rpc_client_close(client, on_freed);
    uv_run(&agent.loop, UV_RUN_DEFAULT);
    assert_int_equal(agent.freed, 1);
    assert_int_equal(uv_loop_close(&agent.loop), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_call_over_a_unix_socket_needs_no_tls),
        cmocka_unit_test(a_missing_unix_socket_is_unreachable),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}

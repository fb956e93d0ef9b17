/*
 * rpc_bench.c - measures the rpc layer over loopback with mutual TLS 1.3, client and server on one
 * thread: MB/s of a stream, unary calls a second, handshakes a second, bytes an idle connection.
 *
 * Memory is what malloc has handed out (mallinfo2), so sockets in the kernel are not in it.
 */
#include "base/check.h"
#include "rpc/rpc_client.h"
#include "rpc/rpc_server.h"
#include "../tests/unit/rpc/rpc_certs.h"

#include <openssl/ssl.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { CHUNK_BYTES = 1024 * 1024, CHUNKS = 1000, UNARY_CALLS = 5000, CONNECTIONS = 400 };

struct bench {
    uv_loop_t loop;
    struct rpc_server *server;
    SSL_CTX *client_ctx;
    uint16_t port;
    int ready, closed_calls, freed, gone;
    int to_send;
    uint64_t received_bytes;
};

static double now_s(clockid_t clock)
{
    struct timespec time;
    clock_gettime(clock, &time);
    return (double)time.tv_sec + (double)time.tv_nsec * 1e-9;
}

static void run_until(struct bench *bench, const int *count, int want)
{
    while (*count < want)
        uv_run(&bench->loop, UV_RUN_ONCE);
}

static void download_more(struct rpc_call *call)
{
    struct bench *const bench = rpc_call_get_user(call);
    while (bench->to_send > 0) {
        uint8_t *const chunk = malloc(CHUNK_BYTES);
        CHECK(chunk != nullptr);
        memset(chunk, 7, CHUNK_BYTES);
        if (rpc_call_send_owned(call, chunk, CHUNK_BYTES, nullptr, nullptr) != STATUS_OK) {
            free(chunk);
            return;
        }
        bench->to_send--;
    }
    CHECK(rpc_call_finish(call, GRPC_STATUS_OK, nullptr) == STATUS_OK);
}

static void echo_message(struct rpc_call *call, struct slice message)
{
    CHECK(rpc_call_send(call, message) == STATUS_OK);
}

static void echo_end(struct rpc_call *call)
{
    CHECK(rpc_call_finish(call, GRPC_STATUS_OK, nullptr) == STATUS_OK);
}

static void open_call(struct rpc_call *call, void *context)
{
    rpc_call_set_user(call, context);
}

static const struct rpc_call_handlers download_handlers = {.on_half_close = download_more,
                                                           .on_writable = download_more};
static const struct rpc_call_handlers echo_handlers = {.on_message = echo_message,
                                                       .on_half_close = echo_end};
static const struct rpc_server_handlers server_handlers = {};

static void client_message(struct rpc_call *call, struct slice message)
{
    ((struct bench *)rpc_call_get_user(call))->received_bytes += message.size;
}

static void client_closed(struct rpc_call *call, enum grpc_status code, const char *message)
{
    CHECK(code == GRPC_STATUS_OK);
    ((struct bench *)rpc_call_get_user(call))->closed_calls++;
}

static const struct rpc_call_handlers call_handlers = {.on_message = client_message,
                                                       .on_closed = client_closed};

static void client_ready(void *context, struct rpc_client *client)
{
    ((struct bench *)context)->ready++;
}

static const struct rpc_client_handlers client_handlers = {.on_ready = client_ready};

static void on_freed(void *context)
{
    ((struct bench *)context)->freed++;
}

static void on_gone(void *context)
{
    ((struct bench *)context)->gone++;
}

static struct rpc_client *open_client(struct bench *bench)
{
    struct rpc_client *client = nullptr;
    CHECK(rpc_client_open(&bench->loop, "127.0.0.1", bench->port, bench->client_ctx, nullptr,
                          &client_handlers, bench, &client, nullptr) == STATUS_OK);
    return client;
}

static void call(struct bench *bench, struct rpc_client *client, const char *path)
{
    static const uint8_t message[100];
    struct rpc_call *made = nullptr;
    CHECK(rpc_client_call(client, path, 0, &call_handlers, bench, &made) == STATUS_OK);
    CHECK(rpc_call_send(made, (struct slice){message, sizeof(message)}) == STATUS_OK);
    CHECK(rpc_call_half_close(made) == STATUS_OK);
}

static void measure_stream(struct bench *bench, struct rpc_client *client)
{
    const double begin = now_s(CLOCK_MONOTONIC);
    const double cpu = now_s(CLOCK_PROCESS_CPUTIME_ID);
    bench->to_send = CHUNKS;
    bench->closed_calls = 0;
    call(bench, client, "/bench/Download");
    run_until(bench, &bench->closed_calls, 1);
    printf("stream: %.0f MB/s of 1 MiB messages (%.2f s of processor time a GB, both sides)\n",
           (double)bench->received_bytes * 1e-6 / (now_s(CLOCK_MONOTONIC) - begin),
           (now_s(CLOCK_PROCESS_CPUTIME_ID) - cpu) / ((double)bench->received_bytes * 1e-9));
}

static void measure_unary(struct bench *bench, struct rpc_client *client)
{
    double begin = now_s(CLOCK_MONOTONIC);
    bench->closed_calls = 0;
    for (int i = 0; i < UNARY_CALLS; i++) {
        call(bench, client, "/bench/Echo");
        run_until(bench, &bench->closed_calls, i + 1);
    }
    printf("unary: %.0f us a call, one at a time\n",
           (now_s(CLOCK_MONOTONIC) - begin) / UNARY_CALLS * 1e6);
    begin = now_s(CLOCK_MONOTONIC);
    bench->closed_calls = 0;
    for (int i = 0; i < UNARY_CALLS; i += 50) {
        for (int j = 0; j < 50; j++)
            call(bench, client, "/bench/Echo");
        run_until(bench, &bench->closed_calls, i + 50);
    }
    printf("unary: %.0f calls/s, 50 at once\n", UNARY_CALLS / (now_s(CLOCK_MONOTONIC) - begin));
}

static void measure_connections(struct bench *bench)
{
    static struct rpc_client *clients[CONNECTIONS];
    const int ready = bench->ready;
    const size_t before = mallinfo2().uordblks + mallinfo2().hblkhd;
    const double begin = now_s(CLOCK_PROCESS_CPUTIME_ID);
    for (int i = 0; i < CONNECTIONS; i++) {
        clients[i] = open_client(bench);
        run_until(bench, &bench->ready, ready + 1 + i);
    }
    printf("handshake: %.2f ms of processor time, both sides\n",
           (now_s(CLOCK_PROCESS_CPUTIME_ID) - begin) / CONNECTIONS * 1e3);
    for (int i = 0; i < 10; i++)
        uv_run(&bench->loop, UV_RUN_NOWAIT);
    const size_t idle = mallinfo2().uordblks + mallinfo2().hblkhd;
    printf("memory: %zu bytes an idle connection, both sides together\n",
           (idle - before) / CONNECTIONS);
    bench->closed_calls = 0;
    for (int i = 0; i < CONNECTIONS; i++)
        call(bench, clients[i], "/bench/Echo");
    run_until(bench, &bench->closed_calls, CONNECTIONS);
    for (int i = 0; i < 10; i++)
        uv_run(&bench->loop, UV_RUN_NOWAIT);
    const size_t used = mallinfo2().uordblks + mallinfo2().hblkhd;
    printf("memory: %zu bytes after one call each\n", (used - before) / CONNECTIONS);
    bench->freed = 0;
    for (int i = 0; i < CONNECTIONS; i++)
        rpc_client_close(clients[i], on_freed);
    run_until(bench, &bench->freed, CONNECTIONS);
}

int main(void)
{
    static struct bench bench;
    struct test_ca ca;
    signal(SIGPIPE, SIG_IGN);
    CHECK(uv_loop_init(&bench.loop) == 0);
    test_ca_init(&ca);
    SSL_CTX *const server_ctx = test_context(&ca, TEST_LEAF_GOOD, "X25519MLKEM768");
    bench.client_ctx = test_context(&ca, TEST_LEAF_GOOD, "X25519MLKEM768");
    const struct rpc_method download = {&download_handlers, open_call, &bench};
    const struct rpc_method echo = {&echo_handlers, open_call, &bench};
    CHECK(rpc_server_create(&bench.loop, server_ctx, nullptr, &server_handlers, &bench,
                            &bench.server) == STATUS_OK);
    CHECK(rpc_server_add_method(bench.server, "/bench/Download", &download) == STATUS_OK);
    CHECK(rpc_server_add_method(bench.server, "/bench/Echo", &echo) == STATUS_OK);
    CHECK(rpc_server_listen(bench.server, "127.0.0.1", 0, &bench.port, nullptr) == STATUS_OK);
    struct rpc_client *const client = open_client(&bench);
    run_until(&bench, &bench.ready, 1);
    measure_stream(&bench, client);
    measure_unary(&bench, client);
    measure_connections(&bench);
    bench.freed = 0;
    rpc_client_close(client, on_freed);
    run_until(&bench, &bench.freed, 1);
    rpc_server_close(bench.server, on_gone);
    run_until(&bench, &bench.gone, 1);
    uv_run(&bench.loop, UV_RUN_DEFAULT);
    CHECK(uv_loop_close(&bench.loop) == 0);
    SSL_CTX_free(server_ctx);
    SSL_CTX_free(bench.client_ctx);
    test_ca_deinit(&ca);
    return 0;
}

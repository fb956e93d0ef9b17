/*
 * h2_limits_test.c - what a session does with a peer that goes over a limit or breaks the protocol.
 *
 * Goal: each limit, once passed, ends what passed it with the right status and nothing else; and
 * no bytes whatever make a session misbehave (run it under ASan).
 */
#include "testing.h"

#include "base/random.h"
#include "h2_pair.h"

#include <stdlib.h>
#include <string.h>

static struct slice zeros(size_t size)
{
    static const uint8_t bytes[8 * 1024 * 1024];
    assert_true(size <= sizeof(bytes));
    return (struct slice){bytes, size};
}

static void a_message_over_the_limit_is_resource_exhausted(void **state)
{
    const struct rpc_limits small = {.message_bytes_max = 1000};
    struct pair pair;
    pair_init(&pair, nullptr, &small);
    struct rpc_call *const call = pair_call(&pair, "/t/Echo", 0);
    assert_int_equal(rpc_call_send(call, zeros(1000)), STATUS_OK);
    pair_pump(&pair);
    assert_int_equal(pair.server.messages, 1);
    assert_int_equal(rpc_call_send(call, zeros(1001)), STATUS_OK);
    pair_pump(&pair);
    assert_int_equal(pair.client.code, GRPC_STATUS_RESOURCE_EXHAUSTED);
    assert_int_equal(pair.server.messages, 1);
    pair_deinit(&pair);
    pair_init(&pair, &small, &small);
    assert_int_equal(rpc_call_send(pair_call(&pair, "/t/Echo", 0), zeros(1001)), STATUS_LIMIT);
    pair_deinit(&pair);
}

static void unfinished_messages_together_are_bounded(void **state)
{
    const struct rpc_limits limits = {.assembly_bytes_max = 300 * 1024};
    struct pair pair;
    pair_init(&pair, nullptr, &limits);
    pair.echo = false;
    /* Windows of 1 MiB stop messages of 2 MiB in the middle, were it not for the cap. */
    struct rpc_call *const call = pair_call(&pair, "/t/Echo", 0);
    assert_int_equal(rpc_call_send(call, zeros(2 * 1024 * 1024)), STATUS_OK);
    pair_pump(&pair);
    assert_int_equal(pair.client.closes, 1);
    assert_int_equal(pair.client.code, GRPC_STATUS_RESOURCE_EXHAUSTED);
    pair_deinit(&pair);
}

static void a_full_queue_says_again_and_then_writable(void **state)
{
    const struct rpc_limits limits = {.send_queue_bytes_max = 100000};
    struct pair pair;
    pair_init(&pair, &limits, nullptr);
    pair.echo = false;
    struct rpc_call *const call = pair_call(&pair, "/t/Echo", 0);
    assert_int_equal(rpc_call_send(call, zeros(60000)), STATUS_OK);
    assert_int_equal(rpc_call_send(call, zeros(60000)), STATUS_AGAIN);
    assert_int_equal(rpc_call_queued_bytes(call), 60000);
    assert_string_equal(pair.client.log, "");
    pair_pump(&pair);
    assert_string_equal(pair.client.log, "w");
    assert_int_equal(pair.server.messages, 1);
    assert_int_equal(rpc_call_send(call, zeros(400000)), STATUS_OK); /* alone, any size */
    pair_pump(&pair);
    assert_int_equal(pair.server.message_bytes, 460000);
    pair_deinit(&pair);
}

static void a_paused_call_takes_one_window_and_no_more(void **state)
{
    const struct rpc_limits limits = {.stream_window_bytes = 100000};
    struct pair pair;
    pair_init(&pair, nullptr, &limits);
    pair.pause_at_open = true;
    pair.echo = false;
    struct rpc_call *const call = pair_call(&pair, "/t/Echo", 0);
    for (int i = 0; i < 10; i++)
        assert_int_equal(rpc_call_send(call, zeros(50000)), STATUS_OK);
    assert_int_equal(rpc_call_half_close(call), STATUS_OK);
    pair_pump(&pair);
    assert_int_equal(pair.server.messages, 0);
    assert_int_equal(rpc_call_queued_bytes(call), 10 * 50000 - 50000); /* the second is half out */
    rpc_call_resume(pair.server.call);
    assert_int_equal(pair.server.messages, 0); /* no callback from within */
    pair_pump(&pair);
    assert_int_equal(pair.server.messages, 10);
    assert_int_equal(pair.server.half_closes, 1);
    assert_int_equal(pair.client.code, GRPC_STATUS_OK);
    pair_deinit(&pair);
}

static void paused_calls_that_end_give_the_connection_its_window_back(void **state)
{
    const struct rpc_limits limits = {.stream_window_bytes = 100000,
                                      .connection_window_bytes = 100000};
    struct pair pair;
    pair_init(&pair, nullptr, &limits);
    pair.echo = false;
    for (int i = 0; i < 5; i++) {
        pair.pause_at_open = true;
        struct rpc_call *const call = pair_call(&pair, "/t/Echo", 0);
        assert_int_equal(rpc_call_send(call, zeros(90000)), STATUS_OK);
        pair_pump(&pair);
        rpc_call_cancel(call, GRPC_STATUS_CANCELLED, nullptr);
        pair_pump(&pair);
    }
    pair.pause_at_open = false;
    struct rpc_call *const call = pair_call(&pair, "/t/Echo", 0);
    assert_int_equal(rpc_call_send(call, zeros(300000)), STATUS_OK);
    pair_pump(&pair);
    assert_int_equal(pair.server.messages, 1);
    pair_deinit(&pair);
}

static void messages_that_wait_in_a_paused_call_come_before_its_end(void **state)
{
    struct pair pair;
    pair_init(&pair, nullptr, nullptr);
    struct rpc_call *const call = pair_call(&pair, "/t/Echo", 0);
    rpc_call_pause(call);
    assert_int_equal(rpc_call_send(call, zeros(10)), STATUS_OK);
    assert_int_equal(rpc_call_half_close(call), STATUS_OK);
    pair_pump(&pair);
    assert_string_equal(pair.client.log, "");
    assert_int_equal(pair.server.closes, 1);
    rpc_call_resume(call);
    pair_pump(&pair);
    assert_string_equal(pair.client.log, "mc");
    assert_int_equal(pair.client.code, GRPC_STATUS_OK);
    pair_deinit(&pair);
}

static void streams_over_the_limit_wait_or_are_refused(void **state)
{
    const struct rpc_limits limits = {.streams_max = 2};
    struct pair pair;
    pair_init(&pair, nullptr, &limits);
    pair_pump(&pair); /* the client knows the limit: its third call waits for a place */
    struct rpc_call *const first = pair_call(&pair, "/t/Echo", 0);
    for (int i = 0; i < 2; i++)
        assert_int_equal(rpc_call_send(pair_call(&pair, "/t/Echo", 0), zeros(1)), STATUS_OK);
    pair_pump(&pair);
    assert_int_equal(h2_session_call_count(pair.server.session), 2);
    rpc_call_cancel(first, GRPC_STATUS_CANCELLED, nullptr);
    pair_pump(&pair);
    assert_int_equal(h2_session_call_count(pair.server.session), 2);
    assert_int_equal(pair.client.messages, 2);
    pair_deinit(&pair);
    pair_init(&pair, nullptr, &limits);
    for (int i = 0; i < 3; i++) /* the client does not know yet: the third is refused */
        (void)pair_call(&pair, "/t/Echo", 0);
    pair_pump(&pair);
    assert_int_equal(pair.client.closes, 1);
    assert_int_equal(pair.client.code, GRPC_STATUS_UNAVAILABLE);
    pair_deinit(&pair);
}

static void rapid_resets_end_the_connection(void **state)
{
    const struct rpc_limits limits = {.resets_max = 50, .resets_per_second = 1};
    struct pair pair;
    pair_init(&pair, nullptr, &limits);
    pair_pump(&pair);
    int made = 0;
    for (; made < 200; made++) {
        struct rpc_call *call = nullptr;
        if (h2_session_call(pair.client.session, "/t/Echo", 0, &pair_client_handlers, &pair,
                            pair.now_ns, &call) != STATUS_OK)
            break;
        h2_session_run(pair.client.session, pair.now_ns);
        (void)h2_session_pull(pair.client.session, &pair.client.wire, SIZE_MAX);
        rpc_call_cancel(call, GRPC_STATUS_CANCELLED, nullptr);
        pair_pump(&pair);
    }
    assert_in_range(made, 50, 52);
    assert_string_equal(h2_session_reason(pair.server.session), "too many stream resets");
    assert_int_equal(h2_session_status(pair.client.session), STATUS_PEER);
    pair_deinit(&pair);
}

static void resets_at_a_human_pace_are_no_attack(void **state)
{
    const struct rpc_limits limits = {.resets_max = 5, .resets_per_second = 2};
    struct pair pair;
    pair_init(&pair, nullptr, &limits);
    pair_pump(&pair);
    for (int i = 0; i < 100; i++) {
        struct rpc_call *const call = pair_call(&pair, "/t/Echo", 0);
        pair_pump(&pair);
        rpc_call_cancel(call, GRPC_STATUS_CANCELLED, nullptr);
        pair_wait(&pair, 500);
    }
    assert_string_equal(h2_session_reason(pair.server.session), "");
    pair_deinit(&pair);
}

static void an_answer_before_the_request_is_whole_stands(void **state)
{
    struct pair pair;
    pair_init(&pair, nullptr, nullptr);
    pair.echo = false;
    pair.refuse = true;
    struct rpc_call *const call = pair_call(&pair, "/t/Echo", 0);
    assert_int_equal(rpc_call_send(call, zeros(10)), STATUS_OK);
    assert_int_equal(rpc_call_send(call, zeros(1900 * 1024)), STATUS_OK);
    assert_int_equal(rpc_call_half_close(call), STATUS_OK);
    pair_pump(&pair);
    assert_string_equal(pair.server.log, "c");
    assert_int_equal(pair.server.code, GRPC_STATUS_PERMISSION_DENIED);
    assert_int_equal(pair.client.code, GRPC_STATUS_PERMISSION_DENIED);
    pair_deinit(&pair);
}

/* --- raw requests, made with nghttp2 alone --- */

struct raw {
    nghttp2_session *http2;
    int status;
    char grpc_status[8];
    uint32_t reset_with;
    bool stays_open; /* the request does not end after the body */
    struct slice body;
};

static int raw_on_header(nghttp2_session *http2, const nghttp2_frame *frame, const uint8_t *name,
                         size_t name_size, const uint8_t *value, size_t value_size, uint8_t flags,
                         void *user_data)
{
    struct raw *const raw = user_data;
    if (name_size == 7 && memcmp(name, ":status", 7) == 0)
        raw->status = (int)strtol((const char *)value, nullptr, 10);
    if (name_size == 11 && memcmp(name, "grpc-status", 11) == 0)
        memcpy(raw->grpc_status, value, value_size < 7 ? value_size : 7);
    return 0;
}

static int raw_on_close(nghttp2_session *http2, int32_t id, uint32_t error_code, void *user_data)
{
    ((struct raw *)user_data)->reset_with = error_code;
    return 0;
}

static nghttp2_ssize raw_read(nghttp2_session *http2, int32_t id, uint8_t *buffer, size_t length,
                              uint32_t *flags, nghttp2_data_source *source, void *user_data)
{
    struct slice *const body = source->ptr;
    const size_t size = body->size < length ? body->size : length;
    memcpy(buffer, body->data, size);
    body->data += size;
    body->size -= size;
    if (body->size == 0 && ((struct raw *)user_data)->stays_open)
        return size > 0 ? (nghttp2_ssize)size : NGHTTP2_ERR_DEFERRED;
    if (body->size == 0)
        *flags |= NGHTTP2_DATA_FLAG_EOF;
    return (nghttp2_ssize)size;
}

enum { RAW_FIELDS_MAX = 8 };

/* Sends one request of these "name", "value" pairs and this body to the pair's server. */
static void raw_request(struct pair *pair, struct raw *raw, const char *const *fields,
                        struct slice body)
{
    nghttp2_session_callbacks *callbacks = nullptr;
    nghttp2_nv list[RAW_FIELDS_MAX];
    size_t count = 0;
    *raw = (struct raw){.body = body, .reset_with = UINT32_MAX, .stays_open = raw->stays_open};
    for (; fields[2 * count] != nullptr; count++)
        list[count] = (nghttp2_nv){(uint8_t *)(uintptr_t)fields[2 * count],
                                   (uint8_t *)(uintptr_t)fields[2 * count + 1],
                                   strlen(fields[2 * count]), strlen(fields[2 * count + 1]), 0};
    assert_int_equal(nghttp2_session_callbacks_new(&callbacks), 0);
    nghttp2_session_callbacks_set_on_header_callback(callbacks, raw_on_header);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, raw_on_close);
    assert_int_equal(nghttp2_session_client_new(&raw->http2, callbacks, raw), 0);
    nghttp2_session_callbacks_del(callbacks);
    assert_int_equal(nghttp2_submit_settings(raw->http2, 0, nullptr, 0), 0);
    const nghttp2_data_provider2 provider = {.source = {.ptr = &raw->body},
                                             .read_callback = raw_read};
    assert_true(nghttp2_submit_request2(raw->http2, nullptr, list, count,
                                        body.size > 0 ? &provider : nullptr, nullptr) > 0);
    for (int i = 0; i < 10; i++) {
        const uint8_t *data = nullptr;
        nghttp2_ssize size = 0;
        while ((size = nghttp2_session_mem_send2(raw->http2, &data)) > 0)
            (void)h2_session_receive(pair->server.session, (struct slice){data, (size_t)size},
                                     pair->now_ns);
        h2_session_run(pair->server.session, pair->now_ns);
        (void)h2_session_pull(pair->server.session, &pair->server.wire, SIZE_MAX);
        (void)nghttp2_session_mem_recv2(raw->http2, pair->server.wire.data, pair->server.wire.size);
        bytes_consume(&pair->server.wire, pair->server.wire.size);
    }
    nghttp2_session_del(raw->http2);
}

#define REQUEST(method, type)                                                                      \
    ":method", method, ":scheme", "https", ":path", "/t/Echo", ":authority", "x", "content-type",  \
        type

static void requests_that_are_no_grpc_are_answered_as_the_specification_says(void **state)
{
    static const char *const html[] = {REQUEST("POST", "text/html"), nullptr};
    static const char *const get[] = {REQUEST("GET", "application/grpc"), nullptr};
    static const char *const almost[] = {REQUEST("POST", "application/grpcx"), nullptr};
    static const char *const proto[] = {REQUEST("POST", "application/grpc+proto"), nullptr};
    static const char *const timeout[] = {REQUEST("POST", "application/grpc"), "grpc-timeout",
                                          "5years", nullptr};
    struct pair pair;
    struct raw raw = {};
    pair_init(&pair, nullptr, nullptr);
    raw_request(&pair, &raw, html, (struct slice){});
    assert_int_equal(raw.status, 415);
    pair_deinit(&pair);
    pair_init(&pair, nullptr, nullptr);
    raw_request(&pair, &raw, get, (struct slice){});
    assert_int_equal(raw.status, 405);
    pair_deinit(&pair);
    pair_init(&pair, nullptr, nullptr);
    raw_request(&pair, &raw, almost, (struct slice){});
    assert_int_equal(raw.status, 415);
    pair_deinit(&pair);
    pair_init(&pair, nullptr, nullptr);
    raw_request(&pair, &raw, timeout, (struct slice){});
    assert_int_equal(raw.status, 200);
    assert_string_equal(raw.grpc_status, "13");
    assert_string_equal(pair.server.log, "");
    pair_deinit(&pair);
    pair_init(&pair, nullptr, nullptr);
    raw_request(&pair, &raw, proto, (struct slice){(const uint8_t *)"\0\0\0\0\2hi", 7});
    assert_int_equal(raw.status, 200);
    assert_string_equal(raw.grpc_status, "0");
    assert_string_equal(pair.server.log, "mhc");
    pair_deinit(&pair);
}

static void bad_framing_has_the_right_status(void **state)
{
    static const char *const good[] = {REQUEST("POST", "application/grpc"), nullptr};
    static const struct {
        const char *body;
        size_t size;
        const char *status;
    } cases[] = {
        {"\1\0\0\0\2hi", 7, "12"},        /* compressed: UNIMPLEMENTED */
        {"\7\0\0\0\2hi", 7, "13"},        /* no such flag: INTERNAL */
        {"\0\0\0\0\2h", 6, "13"},         /* truncated message */
        {"\0\0\0", 3, "13"},              /* truncated prefix */
        {"\0\xff\xff\xff\xffhi", 7, "8"}, /* too large: RESOURCE_EXHAUSTED */
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct pair pair;
        struct raw raw = {};
        pair_init(&pair, nullptr, nullptr);
        raw_request(&pair, &raw, good,
                    (struct slice){(const uint8_t *)cases[i].body, cases[i].size});
        assert_string_equal(raw.grpc_status, cases[i].status);
        assert_int_equal(pair.server.messages, 0);
        assert_int_equal(pair.server.closes, 1);
        pair_deinit(&pair);
    }
}

/* RFC 9113, 8.1: RST_STREAM with NO_ERROR after a complete answer to an incomplete request. */
static void a_request_that_does_not_end_is_reset_after_the_answer(void **state)
{
    static const char *const good[] = {REQUEST("POST", "application/grpc"), nullptr};
    struct pair pair;
    struct raw raw = {.stays_open = true};
    pair_init(&pair, nullptr, nullptr);
    pair.refuse = true;
    raw_request(&pair, &raw, good, (struct slice){(const uint8_t *)"\0\0\0\0\2hi", 7});
    assert_string_equal(raw.grpc_status, "7");
    assert_int_equal(raw.reset_with, NGHTTP2_NO_ERROR);
    assert_string_equal(pair.server.log, "c");
    assert_int_equal(h2_session_call_count(pair.server.session), 0);
    pair_deinit(&pair);
}

static void headers_over_the_limit_are_refused(void **state)
{
    static char large[3000];
    memset(large, 'x', sizeof(large) - 1);
    const char *const fields[] = {REQUEST("POST", "application/grpc"), "large", large, nullptr};
    const struct rpc_limits limits = {.header_list_bytes_max = 2000};
    struct pair pair;
    struct raw raw = {};
    pair_init(&pair, nullptr, &limits);
    raw_request(&pair, &raw, fields, (struct slice){});
    assert_int_equal(raw.status, 431);
    assert_string_equal(raw.grpc_status, "8");
    assert_string_equal(pair.server.log, "");
    pair_deinit(&pair);
}

/* --- damage --- */

/* The bytes that a client sends in a whole conversation. */
static void record(struct bytes *ret_wire)
{
    struct pair pair;
    pair_init(&pair, nullptr, nullptr);
    struct rpc_call *const call = pair_call(&pair, "/t/Echo", 1000);
    assert_int_equal(rpc_call_send(call, zeros(100)), STATUS_OK);
    assert_int_equal(rpc_call_half_close(call), STATUS_OK);
    rpc_call_cancel(pair_call(&pair, "/t/Echo", 0), GRPC_STATUS_CANCELLED, nullptr);
    bytes_init(ret_wire, 1 << 20);
    assert_int_equal(h2_session_pull(pair.client.session, ret_wire, SIZE_MAX), STATUS_OK);
    pair_deinit(&pair);
}

/* Feeds the bytes to a fresh server; every call it opened must be closed once. */
static void replay(struct slice wire)
{
    struct pair pair;
    pair_init(&pair, nullptr, nullptr);
    (void)h2_session_receive(pair.server.session, wire, pair.now_ns);
    (void)h2_session_pull(pair.server.session, &pair.server.wire, SIZE_MAX);
    h2_session_run(pair.server.session, pair.now_ns + 2000000000);
    (void)h2_session_pull(pair.server.session, &pair.server.wire, SIZE_MAX);
    h2_session_fail(pair.server.session, "end");
    h2_session_run(pair.server.session, pair.now_ns);
    assert_int_equal(h2_session_call_count(pair.server.session), 0);
    pair_deinit(&pair);
}

static void bytes_cut_anywhere_leave_no_call_behind(void **state)
{
    struct bytes wire;
    record(&wire);
    for (size_t size = 0; size <= wire.size; size++)
        replay((struct slice){wire.data, size});
    bytes_deinit(&wire);
}

static void flipped_bits_leave_no_call_behind(void **state)
{
    struct bytes wire;
    record(&wire);
    for (size_t bit = 0; bit < wire.size * 8; bit++) {
        wire.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
        replay(bytes_slice(&wire));
        wire.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    bytes_deinit(&wire);
}

static void random_damage_leaves_no_call_behind(void **state)
{
    struct random random;
    struct bytes wire;
    record(&wire);
    random_init(&random, 1, 2, 3);
    for (int i = 0; i < 2000; i++) {
        uint8_t copy[4096];
        assert_true(wire.size <= sizeof(copy));
        memcpy(copy, wire.data, wire.size);
        for (uint64_t n = 1 + random_below(&random, 8); n > 0; n--)
            copy[24 + random_below(&random, wire.size - 24)] = (uint8_t)random_u64(&random);
        replay((struct slice){copy, wire.size});
    }
    bytes_deinit(&wire);
}

/* --- memory that runs out --- */

struct failing {
    int countdown; /* fails at 0 */
};

static bool fails(void *context)
{
    return ((struct failing *)context)->countdown-- == 0;
}

static void *failing_malloc(size_t size, void *context)
{
    return fails(context) ? nullptr : malloc(size);
}

static void failing_free(void *memory, void *context)
{
    free(memory);
}

static void *failing_calloc(size_t count, size_t size, void *context)
{
    return fails(context) ? nullptr : calloc(count, size);
}

static void *failing_realloc(void *memory, size_t size, void *context)
{
    return fails(context) ? nullptr : realloc(memory, size);
}

/* One allocation of nghttp2's fails, each in turn: every call closes once, nothing leaks. */
static void any_allocation_of_nghttp2_may_fail(void **state)
{
    int completed = 0;
    for (int i = 0; completed == 0 && i < 2000; i++) {
        struct failing failing = {i};
        nghttp2_mem memory = {&failing, failing_malloc, failing_free, failing_calloc,
                              failing_realloc};
        struct pair pair;
        if (pair_init_with(&pair, nullptr, nullptr, &memory) == STATUS_OK) {
            struct rpc_call *call = nullptr;
            const bool called =
                h2_session_call(pair.client.session, "/t/Echo", 1000, &pair_client_handlers, &pair,
                                pair.now_ns, &call) == STATUS_OK;
            if (called) {
                (void)rpc_call_send(call, zeros(100));
                (void)rpc_call_half_close(call);
            }
            pair_pump(&pair);
            pair_wait(&pair, 1000);
            h2_session_fail(pair.client.session, "end");
            h2_session_fail(pair.server.session, "end");
            pair_pump(&pair);
            assert_int_equal(pair.client.closes, called ? 1 : 0);
            assert_int_equal(h2_session_call_count(pair.client.session), 0);
            assert_int_equal(h2_session_call_count(pair.server.session), 0);
            completed = failing.countdown >= 0;
        }
        pair_deinit(&pair);
    }
    assert_int_equal(completed, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_message_over_the_limit_is_resource_exhausted),
        cmocka_unit_test(unfinished_messages_together_are_bounded),
        cmocka_unit_test(a_full_queue_says_again_and_then_writable),
        cmocka_unit_test(a_paused_call_takes_one_window_and_no_more),
        cmocka_unit_test(paused_calls_that_end_give_the_connection_its_window_back),
        cmocka_unit_test(messages_that_wait_in_a_paused_call_come_before_its_end),
        cmocka_unit_test(streams_over_the_limit_wait_or_are_refused),
        cmocka_unit_test(rapid_resets_end_the_connection),
        cmocka_unit_test(resets_at_a_human_pace_are_no_attack),
        cmocka_unit_test(an_answer_before_the_request_is_whole_stands),
        cmocka_unit_test(requests_that_are_no_grpc_are_answered_as_the_specification_says),
        cmocka_unit_test(bad_framing_has_the_right_status),
        cmocka_unit_test(a_request_that_does_not_end_is_reset_after_the_answer),
        cmocka_unit_test(headers_over_the_limit_are_refused),
        cmocka_unit_test(bytes_cut_anywhere_leave_no_call_behind),
        cmocka_unit_test(flipped_bits_leave_no_call_behind),
        cmocka_unit_test(random_damage_leaves_no_call_behind),
        cmocka_unit_test(any_allocation_of_nghttp2_may_fail),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}

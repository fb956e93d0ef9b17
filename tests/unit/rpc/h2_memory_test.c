/*
 * h2_memory_test.c - what a session does when the i-th allocation of our own code fails.
 *
 * Method: the linker wraps malloc, calloc and realloc (not libc's or nghttp2's own uses of them);
 * a whole conversation is held with each allocation failing in turn. Every call closes once.
 */
#include "testing.h"

#include "h2_pair.h"

#include <stdlib.h>
#include <string.h>

static long countdown = -1; /* the allocation that fails, counted from 0; negative: none */

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *memory, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *memory, size_t size);

static bool fails(void)
{
    if (countdown < 0)
        return false;
    return countdown-- == 0;
}

void *__wrap_malloc(size_t size)
{
    return fails() ? nullptr : __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
    return fails() ? nullptr : __real_calloc(count, size);
}

void *__wrap_realloc(void *memory, size_t size)
{
    return fails() ? nullptr : __real_realloc(memory, size);
}

/* A call with a message in pieces, one paused, one cancelled. Whether a call was made. */
static int converse(struct pair *pair)
{
    static const uint8_t large[100000];
    static const struct rpc_call_handlers *const handlers = &pair_client_handlers;
    int made = 0;
    for (int i = 0; i < 3; i++) {
        struct rpc_call *call = nullptr;
        if (h2_session_call(pair->client.session, "/t/Echo", 1000, handlers, pair, pair->now_ns,
                            &call) != STATUS_OK)
            continue;
        made++;
        pair->pause_at_open = i == 1;
        (void)rpc_call_send(call, (struct slice){large, sizeof(large)});
        (void)rpc_call_half_close(call);
        if (i == 2)
            rpc_call_cancel(call, GRPC_STATUS_CANCELLED, "enough");
        pair_pump(pair);
        if (i == 1 && pair->server.call != nullptr)
            rpc_call_resume(pair->server.call);
        pair_pump(pair);
    }
    return made;
}

static void any_allocation_of_ours_may_fail(void **state)
{
    bool completed = false;
    for (long i = 0; !completed && i < 2000; i++) {
        struct pair pair;
        countdown = i;
        if (pair_init_with(&pair, nullptr, nullptr, nullptr) == STATUS_OK) {
            const int made = converse(&pair);
            completed = countdown >= 0;
            pair_wait(&pair, 1000);
            h2_session_fail(pair.client.session, "end");
            h2_session_fail(pair.server.session, "end");
            pair_pump(&pair);
            assert_int_equal(pair.client.closes, made);
            assert_int_equal(h2_session_call_count(pair.client.session), 0);
            assert_int_equal(h2_session_call_count(pair.server.session), 0);
        }
        countdown = -1;
        pair_deinit(&pair);
    }
    assert_true(completed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(any_allocation_of_ours_may_fail)};
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}

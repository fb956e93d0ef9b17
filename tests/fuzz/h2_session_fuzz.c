/*
 * h2_session_fuzz.c - feeds any bytes to an HTTP/2 session as if the peer had sent them.
 *
 * The first byte chooses: bit 0 the role (1: server), bit 1 paused calls, the rest how many bytes
 * come at a time. Whatever comes, every call closes exactly once and none is left. With clang's
 * -fsanitize=fuzzer it is a fuzzer; with FUZZ_MAIN it runs over the files named as arguments, each
 * whole, cut at every byte, and with every byte changed.
 */
#include "base/check.h"
#include "rpc/h2_session.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct scene {
    bool pauses;
    int opened;
    int closed;
};

static void on_message(struct rpc_call *call, struct slice message)
{
    static const uint8_t answer[] = "answer";
    if (message.size == 1)
        rpc_call_cancel(call, GRPC_STATUS_ABORTED, "one byte");
    else if (message.size == 2)
        rpc_call_pause(call);
    else
        (void)rpc_call_send(call, (struct slice){answer, sizeof(answer)});
}

static void on_half_close(struct rpc_call *call)
{
    (void)rpc_call_finish(call, GRPC_STATUS_OK, nullptr);
}

static void on_closed(struct rpc_call *call, enum grpc_status code, const char *message)
{
    CHECK((unsigned)code < GRPC_STATUS_COUNT && strlen(message) < GRPC_MESSAGE_MAX);
    ((struct scene *)rpc_call_get_user(call))->closed++;
}

static const struct rpc_call_handlers handlers = {
    .on_message = on_message,
    .on_half_close = on_half_close,
    .on_closed = on_closed,
};

static void on_call(void *context, struct rpc_call *call)
{
    struct scene *const scene = context;
    scene->opened++;
    rpc_call_set_user(call, scene);
    h2_session_accept(call, &handlers);
    if (scene->pauses)
        rpc_call_pause(call);
}

static void on_wake(void *context)
{
}

static void on_draining(void *context, const char *reason)
{
    CHECK(reason != nullptr);
}

static const struct h2_session_events events = {on_call, on_wake, on_wake, on_draining};

static void pull(struct h2_session *session)
{
    struct bytes output;
    bytes_init(&output, 1u << 24);
    (void)h2_session_pull(session, &output, 1u << 20);
    bytes_deinit(&output);
}

/* A client has two calls under way, one of them half-closed. */
static void make_calls(struct h2_session *session, struct scene *scene)
{
    static const uint8_t message[] = "question";
    for (int i = 0; i < 2; i++) {
        struct rpc_call *call = nullptr;
        if (h2_session_call(session, "/fuzz/Call", i == 0 ? 1 : 0, &handlers, scene, 1, &call) !=
            STATUS_OK)
            continue;
        scene->opened++;
        (void)rpc_call_send(call, (struct slice){message, sizeof(message)});
        if (i == 0)
            (void)rpc_call_half_close(call);
        else if (scene->pauses)
            rpc_call_pause(call);
    }
    pull(session);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    struct scene scene = {.pauses = (data[0] & 2) != 0};
    const struct h2_session_settings settings = {
        .is_server = (data[0] & 1) != 0,
        .events = &events,
        .context = &scene,
        .scheme = "https",
        .authority = "fuzz",
    };
    const size_t step = (data[0] >> 2) == 0 ? SIZE_MAX : data[0] >> 2;
    struct h2_session *session = nullptr;
    if (h2_session_create(&settings, 1, &session) != STATUS_OK)
        return 0;
    if (!settings.is_server)
        make_calls(session, &scene);
    for (size_t at = 1; at < size;) {
        const size_t count = step < size - at ? step : size - at;
        (void)h2_session_receive(session, (struct slice){data + at, count}, at * 1000);
        pull(session);
        at += count;
    }
    h2_session_run(session, 5000000);
    pull(session);
    h2_session_fail(session, "end of input");
    h2_session_run(session, 6000000);
    CHECK(scene.opened == scene.closed);
    CHECK(h2_session_call_count(session) == 0);
    h2_session_destroy(session);
    return 0;
}

#ifdef FUZZ_MAIN
int main(int argc, char **argv)
{
    static uint8_t input[1 << 16];
    for (int i = 1; i < argc; i++) {
        FILE *const file = fopen(argv[i], "rb");
        if (file == nullptr)
            return 1;
        const size_t size = fread(input, 1, sizeof(input), file);
        fclose(file);
        for (size_t cut = 0; cut <= size; cut++)
            LLVMFuzzerTestOneInput(input, cut);
        for (size_t at = 0; at < size; at++) {
            const uint8_t byte = input[at];
            input[at] = (uint8_t)(byte + 1 + at % 255);
            LLVMFuzzerTestOneInput(input, size);
            input[at] = byte;
        }
    }
    return argc > 1 ? 0 : 1;
}
#endif

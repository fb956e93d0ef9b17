/*
 * mesh_world.c - the scene of the mesh's tests: handlers that write down what happens.
 */
#include "mesh_world.h"

#include "base/check.h"
#include "keyed_signer.h"

#include <openssl/ssl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void on_guard(uv_timer_t *timer)
{
    const struct world *const w = timer->data;
    fprintf(stderr, "the case hangs after: %s\n", w->log);
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

static void note(struct world *w, const char *word)
{
    assert_int_equal(w->in_call, 0);
    const size_t used = strlen(w->log);
    CHECK(used + strlen(word) + 2 < sizeof(w->log));
    (void)snprintf(w->log + used, sizeof(w->log) - used, "%s%s", used > 0 ? " " : "", word);
}

/* --- the hub's owner --- */

static void on_join(void *context, uint64_t session, const char *peer,
                    const struct join_request *request)
{
    struct world *const w = context;
    note(w, "join");
    assert_string_equal(request->job, "fashion");
    assert_true(session > w->session);
    w->session = session;
    snprintf(w->peer, sizeof(w->peer), "%s", peer);
    w->joins++;
}

static void on_leave(void *context, uint64_t session)
{
    struct world *const w = context;
    note(w, "leave");
    w->leaves++;
}

static const struct receipt accepted = {.accepted = true};

static enum status on_offer(void *context, uint64_t ticket, const char *peer,
                            const struct envelope *envelope, uint8_t **ret_payload)
{
    struct world *const w = context;
    note(w, "offer");
    w->offers++;
    w->ticket = ticket;
    assert_string_equal(peer, NODE_NAME);
    assert_string_equal(envelope->header.job, "fashion");
    assert_true(envelope->header.payload_length <= BLOB_BYTES);
    if (w->answer_in_offer)
        hub_receipt(w->hub, ticket, &accepted);
    if (w->offer == STATUS_OK)
        *ret_payload = w->memory;
    return w->offer;
}

static void on_payload(void *context, uint64_t ticket, const struct digest *payload_digest)
{
    struct world *const w = context;
    note(w, "payload");
    assert_int_equal(ticket, w->ticket);
    w->payload_digest = *payload_digest;
    w->payloads++;
    if (w->answer_payload)
        hub_receipt(w->hub, ticket, &accepted);
}

static void on_gone(void *context, uint64_t ticket)
{
    struct world *const w = context;
    note(w, "gone");
    assert_int_equal(ticket, w->ticket);
    w->gones++;
}

static void on_refused(void *context, const char *peer, const struct refusal *refusal)
{
    struct world *const w = context;
    note(w, "refused");
    assert_string_equal(peer, NODE_NAME);
    assert_true(refusal->error.text[0] != '\0');
    w->refused_reason = refusal->reason;
    w->refusals++;
}

static void on_expired(void *context, const char *peer)
{
    struct world *const w = context;
    note(w, "expired");
    assert_string_equal(peer, NODE_NAME);
    w->expireds++;
}

static void on_connection_refused(void *context, const char *address, const char *reason)
{
    struct world *const w = context;
    note(w, "connection_refused");
    w->connections_refused++;
}

static enum status on_pull(void *context, const struct digest *digest, struct slice *ret_bytes)
{
    struct world *const w = context;
    note(w, "pull");
    if (w->pull != STATUS_OK)
        return w->pull;
    *ret_bytes = w->pull_bytes;
    w->pulls++;
    return STATUS_OK;
}

static void on_blob_done(void *context, const struct digest *digest)
{
    struct world *const w = context;
    note(w, "blob_done");
    w->blobs_done++;
}

static const struct hub_handlers hub_handlers = {
    .on_join = on_join,
    .on_leave = on_leave,
    .on_offer = on_offer,
    .on_payload = on_payload,
    .on_gone = on_gone,
    .on_refused = on_refused,
    .on_expired = on_expired,
    .on_connection_refused = on_connection_refused,
    .on_pull = on_pull,
    .on_blob_done = on_blob_done,
};

static enum status identify_peer(void *context, SSL *ssl, struct mesh_peer *ret_peer,
                                 struct error *err)
{
    struct world *const w = context;
    assert_non_null(SSL_get0_peer_certificate(ssl));
    if (w->identify_peer != STATUS_OK)
        return error_set(err, w->identify_peer, "this name may not come in");
    assert_int_equal(ret_peer->until_unix_s, INT64_MAX);
    strcpy(ret_peer->name, NODE_NAME);
    ret_peer->is_member = w->is_member;
    if (w->peer_until_unix_s != 0)
        ret_peer->until_unix_s = w->peer_until_unix_s;
    return STATUS_OK;
}

/* --- the leaf's owner --- */

static void on_directive(void *context, const char *peer, const struct directive *directive)
{
    static const char *const words[] = {"",        "welcome", "beacon",  "counted",
                                        "dropped", "drain",   "finished"};
    struct world *const w = context;
    note(w, words[directive->kind]);
    assert_string_equal(peer, HUB_NAME);
    w->directives++;
}

static void on_lost(void *context, enum status status, const char *reason)
{
    struct world *const w = context;
    note(w, "lost");
    w->lost_status = status;
    snprintf(w->reason, sizeof(w->reason), "%s", reason);
    w->losts++;
}

static void on_pulled(void *context, uint64_t id, enum status status, const char *reason)
{
    struct world *const w = context;
    note(w, "pulled");
    assert_int_equal(id, 5);
    w->pulled_status = status;
    snprintf(w->reason, sizeof(w->reason), "%s", reason);
    w->pulleds++;
}

static void on_receipt(void *context, uint64_t id, enum status status,
                       const struct receipt *receipt)
{
    struct world *const w = context;
    note(w, "receipt");
    assert_int_equal(id, 6);
    assert_int_equal(status == STATUS_OK, receipt != nullptr);
    w->receipt_status = status;
    if (receipt != nullptr)
        w->receipt = *receipt;
    w->receipts++;
}

static const struct leaf_handlers leaf_handlers = {
    .on_directive = on_directive,
    .on_lost = on_lost,
    .on_pulled = on_pulled,
    .on_receipt = on_receipt,
};

static enum status identify_hub(void *context, SSL *ssl, struct mesh_peer *ret_peer,
                                struct error *err)
{
    struct world *const w = context;
    assert_non_null(SSL_get0_peer_certificate(ssl));
    if (w->identify_hub != STATUS_OK)
        return error_set(err, w->identify_hub, "this is not the hub");
    strcpy(ret_peer->name, HUB_NAME);
    if (w->hub_until_unix_s != 0)
        ret_peer->until_unix_s = w->hub_until_unix_s;
    return STATUS_OK;
}

/* --- opening and closing --- */

void world_open(struct world *w)
{
    struct error err = {};
    assert_int_equal(
        hub_direct_open(&w->loop, &w->hub_options, &hub_handlers, w, &w->hub, &w->port, &err),
        STATUS_OK);
    w->leaf_options.port = w->port;
    assert_int_equal(
        leaf_direct_create(&w->loop, &w->leaf_options, &leaf_handlers, w, &w->leaf, &err),
        STATUS_OK);
}

struct join_request world_join_request(void)
{
    return (struct join_request){
        .spiffe_id = NODE_NAME,
        .job = "fashion",
        .chain = {1, {{(const uint8_t *)"leaf", 4}}},
    };
}

void world_join(struct world *w)
{
    const struct join_request request = world_join_request();
    struct error err = {};
    world_open(w);
    assert_int_equal(leaf_join(w->leaf, &request, &err), STATUS_OK);
    world_run_until(w, &w->joins, 1);
    assert_int_equal(world_send(w, DIRECTIVE_WELCOME), STATUS_OK);
    world_run_until(w, &w->directives, 1);
    assert_string_equal(w->log, "join welcome");
    w->log[0] = '\0';
}

static void on_hub_closed(void *context)
{
    struct world *const w = context;
    w->hub_closed++;
}

static void on_leaf_closed(void *context)
{
    struct world *const w = context;
    w->leaf_closed++;
}

void world_close(struct world *w)
{
    if (w->client != nullptr)
        world_close_client(w);
    w->in_call++;
    leaf_close(w->leaf, on_leaf_closed);
    w->in_call--;
    world_run_until(w, &w->leaf_closed, 1);
    if (w->hub != nullptr) {
        w->in_call++;
        hub_drain(w->hub, 0, on_hub_closed);
        w->in_call--;
    }
    world_run_until(w, &w->hub_closed, 1);
    assert_int_equal(w->leaves, w->joins);
    assert_int_equal(w->blobs_done, w->pulls);
    for (size_t i = 0; i < GUARD_BYTES; i++)
        assert_int_equal(w->memory[BLOB_BYTES + i], GUARD_FILL);
}

enum status world_send(struct world *w, enum directive_kind kind)
{
    static const uint8_t bytes[8000];
    const struct update_ref ref = {.epoch = 1, .payload_digest = {{1}}};
    struct directive directive = {.kind = kind};
    if (kind == DIRECTIVE_WELCOME)
        directive.welcome = (struct welcome){
            .chain = {1, {{(const uint8_t *)"hub", 3}}},
            .instance_id = {1},
            .epoch = 1,
            .message_bytes_max = 2 * MIB,
            .chunk_bytes = MIB,
            .job = "fashion",
        };
    else if (kind == DIRECTIVE_BEACON)
        directive.beacon = (struct slice){bytes, sizeof(bytes)};
    else if (kind == DIRECTIVE_COUNTED)
        directive.counted = (struct counted){ref, 1, {{2}}};
    else
        strcpy(directive.drain_text, "restart");
    w->in_call++;
    const enum status status = hub_send(w->hub, w->session, &directive);
    w->in_call--;
    return status;
}

struct bytes world_envelope(uint64_t payload_length, enum envelope_kind kind)
{
    struct keyed_ring ring = {.count = 1, .names = {NODE_NAME}};
    struct keyed_signer state = {&ring, keyed_id(NODE_NAME)};
    struct signer signer = keyed_signer_for(&state);
    strcpy(signer.spiffe_id, NODE_NAME);
    struct envelope_header header = {
        .kind = kind,
        .hash_id = DIGEST_SHA256,
        .job = "fashion",
        .epoch = 1,
        .round = 1,
        .base_id = {{1}},
        .base_digest = {{2}},
        .sequence = 1,
        .payload_digest = {{3}},
        .payload_length = payload_length,
        .layout_digest = {{4}},
        .samples = 10,
        .updates = 1,
        .version_id = {{5}},
        .model_digest = {{6}},
        .model_blob_digest = {{7}},
        .model_blob_length = 8,
        .instance_id = {9},
    };
    if (kind == ENVELOPE_BEACON) {
        header.payload_digest = (struct digest){};
        header.payload_length = 0;
    }
    struct bytes out;
    struct error err = {};
    bytes_init(&out, ENVELOPE_BYTES_MAX);
    if (envelope_seal(&header, &signer, &out, &err) != STATUS_OK)
        fail_msg("%s", err.text);
    return out;
}

/* --- the bare client --- */

static void call_on_message(struct rpc_call *call, struct slice message)
{
    struct world *const w = rpc_call_get_user(call);
    struct chunk chunk;
    w->messages++;
    if (w->takes_chunks) {
        assert_int_equal(chunk_decode(message, &chunk, nullptr), STATUS_OK);
        message = chunk.data;
    } else {
        w->received.size = 0;
    }
    assert_int_equal(bytes_append(&w->received, message.data, message.size), STATUS_OK);
}

static void call_on_writable(struct rpc_call *call)
{
    struct world *const w = rpc_call_get_user(call);
    w->writable++;
}

static void call_on_closed(struct rpc_call *call, enum grpc_status code, const char *message)
{
    struct world *const w = rpc_call_get_user(call);
    w->code = code;
    snprintf(w->message, sizeof(w->message), "%s", message);
    w->calls_closed++;
    w->call = nullptr;
}

static const struct rpc_call_handlers call_handlers = {
    .on_message = call_on_message,
    .on_writable = call_on_writable,
    .on_closed = call_on_closed,
};

static const struct rpc_client_handlers client_handlers = {};

void world_open_client(struct world *w)
{
    struct error err = {};
    assert_int_equal(rpc_client_open(&w->loop, "127.0.0.1", w->port, w->client_ctx, nullptr,
                                     &client_handlers, w, &w->client, &err),
                     STATUS_OK);
}

void world_call(struct world *w, const char *path)
{
    w->received.size = 0;
    w->calls_closed = 0;
    w->messages = 0;
    assert_int_equal(rpc_client_call(w->client, path, 0, &call_handlers, w, &w->call), STATUS_OK);
}

static void on_client_freed(void *context)
{
    struct world *const w = context;
    w->client_freed++;
}

void world_close_client(struct world *w)
{
    const int want = w->client_freed + 1;
    rpc_client_close(w->client, on_client_freed);
    w->client = nullptr;
    world_run_until(w, &w->client_freed, want);
}

void world_call_send(struct world *w, struct bytes *message)
{
    enum status status;
    while ((status = rpc_call_send(w->call, bytes_slice(message))) == STATUS_AGAIN)
        world_run_until(w, &w->writable, w->writable + 1);
    assert_int_equal(status, STATUS_OK);
    bytes_deinit(message);
}

void world_call_send_chunk(struct world *w, uint64_t offset, const uint8_t *data, size_t size)
{
    uint8_t prefix[CHUNK_PREFIX_BYTES_MAX];
    struct bytes message;
    bytes_init(&message, UPDATE_PART_BYTES_MAX);
    const size_t prefix_size = update_part_prefix_encode(offset, size, prefix);
    assert_int_equal(bytes_append(&message, prefix, prefix_size), STATUS_OK);
    assert_int_equal(bytes_append(&message, data, size), STATUS_OK);
    world_call_send(w, &message);
}

/* --- fixtures --- */

int world_set_up(void **state)
{
    struct world *const w = calloc(1, sizeof(*w));
    assert_non_null(w);
    *state = w;
    (void)signal(SIGPIPE, SIG_IGN); /* as rpc asks of its process */
    assert_int_equal(uv_loop_init(&w->loop), 0);
    uv_timer_init(&w->loop, &w->guard);
    w->guard.data = w;
    test_ca_init(&w->ca);
    w->server_ctx = test_context(&w->ca, TEST_LEAF_GOOD, "X25519MLKEM768");
    w->client_ctx = test_context(&w->ca, TEST_LEAF_GOOD, "X25519MLKEM768");
    w->blob = malloc(BLOB_BYTES);
    w->memory = malloc(BLOB_BYTES + GUARD_BYTES);
    assert_non_null(w->blob);
    assert_non_null(w->memory);
    uint32_t x = 1;
    for (size_t i = 0; i < BLOB_BYTES; i++) {
        x = x * 1664525 + 1013904223;
        w->blob[i] = (uint8_t)(x >> 24);
    }
    memset(w->memory, GUARD_FILL, BLOB_BYTES + GUARD_BYTES);
    bytes_init(&w->received, BLOB_BYTES);
    w->is_member = true;
    w->answer_payload = true;
    w->pull_bytes = (struct slice){w->blob, BLOB_BYTES};
    w->hub_options = (struct hub_direct_options){
        .address = "127.0.0.1",
        .tls = w->server_ctx,
        .identify = identify_peer,
        .limits = {.payload_bytes_max = BLOB_BYTES, .codecs = 1},
    };
    w->leaf_options = (struct leaf_direct_options){
        .host = "127.0.0.1",
        .tls = w->client_ctx,
        .identify = identify_hub,
    };
    return 0;
}

int world_tear_down(void **state)
{
    struct world *const w = *state;
    if (w->leaf != nullptr && w->leaf_closed == 0)
        return 0; /* the case failed in its middle */
    uv_close((uv_handle_t *)&w->guard, nullptr);
    uv_run(&w->loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&w->loop), 0);
    SSL_CTX_free(w->server_ctx);
    SSL_CTX_free(w->client_ctx);
    test_ca_deinit(&w->ca);
    bytes_deinit(&w->received);
    free(w->blob);
    free(w->memory);
    free(w);
    return 0;
}

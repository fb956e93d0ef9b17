/*
 * hostile.c - the peer of hostile.h: a leaf, a signer, and no scruples.
 */
#include "hostile.h"

#include "mesh/mesh_direct.h"
#include "tensor/layout.h"
#include "train/model_spec.h"

#include "testing.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { WAIT_MS = 8000 };

static void on_timer(uv_timer_t *timer)
{
    struct peer *const peer = timer->data;
    peer->timed_out = true;
}

/* Runs the loop until *done, or for WAIT_MS. */
static bool wait_for(struct peer *peer, const bool *done, const bool *other)
{
    peer->timed_out = false;
    uv_update_time(peer->loop);
    uv_timer_start(&peer->timer, on_timer, WAIT_MS, 0);
    while (!*done && !*other && !peer->timed_out)
        uv_run(peer->loop, UV_RUN_ONCE);
    uv_timer_stop(&peer->timer);
    return *done;
}

static enum status identify(void *context, SSL *ssl, struct mesh_peer *ret_peer, struct error *err)
{
    struct peer_identity peer;
    const enum status status = identity_peer(ssl, &peer, err);
    if (status == STATUS_OK)
        memcpy(ret_peer->name, peer.id.text, sizeof(peer.id.text));
    return status;
}

static void on_directive(void *context, const char *name, const struct directive *directive)
{
    static const struct envelope_limits limits = {.payload_bytes_max = 1 << 30, .codecs = 1};
    struct peer *const peer = context;
    struct envelope envelope;
    if (directive->kind == DIRECTIVE_WELCOME)
        peer->welcomed = true;
    if (directive->kind == DIRECTIVE_COUNTED)
        peer->counted++;
    if (directive->kind == DIRECTIVE_BEACON) {
        assert_int_equal(envelope_parse(directive->beacon, &limits, &envelope, nullptr), STATUS_OK);
        peer->beacon = envelope.header;
        peer->beacons++;
    }
}

static void on_lost(void *context, enum status status, const char *reason)
{
    struct peer *const peer = context;
    peer->lost = true;
    peer->lost_status = status;
    snprintf(peer->lost_reason, sizeof(peer->lost_reason), "%s", reason);
}

static void on_pulled(void *context, uint64_t id, enum status status, const char *reason)
{
}

static void on_receipt(void *context, uint64_t id, enum status status,
                       const struct receipt *receipt)
{
    struct peer *const peer = context;
    peer->answered = true;
    peer->receipt_status = status;
    if (status == STATUS_OK)
        peer->receipt = *receipt;
}

static const struct leaf_handlers handlers = {
    .on_directive = on_directive,
    .on_lost = on_lost,
    .on_pulled = on_pulled,
    .on_receipt = on_receipt,
};

void peer_open(struct peer *peer, uv_loop_t *loop, const char *identity, uint16_t port)
{
    struct error err = {0};
    const struct model_spec spec = {.kind = MODEL_FLAT, .parameters = HOSTILE_PARAMETERS};
    struct layout *layout = nullptr;
    *peer = (struct peer){.loop = loop, .port = port};
    bytes_init(&peer->last_envelope, ENVELOPE_BYTES_MAX);
    assert_int_equal(model_spec_layout(&spec, &layout, &err), STATUS_OK);
    peer->layout = layout->digest;
    layout_destroy(layout);
    if (identity_open(identity, (int64_t)time(nullptr), &peer->identity, &err) != STATUS_OK)
        fail_msg("%s", err.text);
    assert_int_equal(
        tls_context_create(peer->identity, false, SPIFFE_ROLE_COORDINATOR, &peer->tls, &err),
        STATUS_OK);
    assert_int_equal(envelope_signer_create(peer->identity->envelope_key,
                                            sk_X509_value(peer->identity->envelope_chain, 0), 0,
                                            &peer->signer, &err),
                     STATUS_OK);
    const struct leaf_direct_options options = {.host = "127.0.0.1",
                                                .port = port,
                                                .tls = peer->tls,
                                                .identify = identify,
                                                .keepalive_ms = 10000};
    assert_int_equal(leaf_direct_create(loop, &options, &handlers, peer, &peer->leaf, &err),
                     STATUS_OK);
    uv_timer_init(loop, &peer->timer);
    peer->timer.data = peer;
}

static void on_closed(void *context)
{
    struct peer *const peer = context;
    peer->closed = true;
}

void peer_close(struct peer *peer)
{
    const bool never = false;
    leaf_close(peer->leaf, on_closed);
    wait_for(peer, &peer->closed, &never);
    uv_close((uv_handle_t *)&peer->timer, nullptr);
    uv_run(peer->loop, UV_RUN_NOWAIT);
    envelope_signer_destroy(&peer->signer);
    SSL_CTX_free(peer->tls);
    identity_close(peer->identity);
    bytes_deinit(&peer->last_envelope);
}

bool peer_join(struct peer *peer, const char *name, const char *job)
{
    struct error err = {0};
    uint8_t *der = nullptr;
    const int size = i2d_X509(sk_X509_value(peer->identity->envelope_chain, 0), &der);
    struct join_request request = {.chain = {.count = 1, .certificates = {{der, (size_t)size}}}};
    snprintf(request.spiffe_id, sizeof(request.spiffe_id), "%s",
             name != nullptr ? name : peer->identity->svid.id.text);
    snprintf(request.job, sizeof(request.job), "%s", job);
    peer->lost = false;
    peer->welcomed = false;
    assert_int_equal(leaf_join(peer->leaf, &request, &err), STATUS_OK);
    OPENSSL_free(der);
    return wait_for(peer, &peer->welcomed, &peer->lost);
}

bool peer_wait_for_round(struct peer *peer, uint64_t round)
{
    peer->timed_out = false;
    uv_timer_start(&peer->timer, on_timer, WAIT_MS, 0);
    while ((peer->beacons == 0 || peer->beacon.round < round) && !peer->lost && !peer->timed_out)
        uv_run(peer->loop, UV_RUN_ONCE);
    uv_timer_stop(&peer->timer);
    return peer->beacons > 0 && peer->beacon.round >= round;
}

static enum reason send_last(struct peer *peer)
{
    const bool never = false;
    peer->answered = false;
    const struct slice payload = {(const uint8_t *)peer->last_payload, peer->last_size};
    assert_int_equal(
        leaf_push(peer->leaf, ++peer->pushes, bytes_slice(&peer->last_envelope), payload),
        STATUS_OK);
    assert_true(wait_for(peer, &peer->answered, &never));
    assert_int_equal(peer->receipt_status, STATUS_OK);
    return peer->receipt.accepted ? REASON_UNSPECIFIED : peer->receipt.reason;
}

enum reason peer_push_again(struct peer *peer)
{
    return send_last(peer);
}

static void fill_header(const struct peer *peer, const struct digest *payload,
                        struct envelope_header *header)
{
    *header = (struct envelope_header){.kind = ENVELOPE_UPDATE,
                                       .hash_id = DIGEST_SHA256,
                                       .updates = 1,
                                       .attempt = peer->beacon.attempt,
                                       .epoch = peer->beacon.epoch,
                                       .round = peer->beacon.round,
                                       .base_number = peer->beacon.version_number,
                                       .base_id = peer->beacon.version_id,
                                       .base_digest = peer->beacon.model_digest,
                                       .sequence = peer->pushes + 1,
                                       .payload_digest = *payload,
                                       .payload_length = peer->last_size,
                                       .layout_digest = peer->layout,
                                       .samples = 10,
                                       .loss = 0.5};
    memcpy(header->job, peer->beacon.job, sizeof(header->job));
}

/* Writes 0 where the header says how many samples, and signs it anew. */
static void sign_no_samples(struct bytes *envelope, const struct signer *signer)
{
    static const struct envelope_limits limits = {.payload_bytes_max = 1 << 20, .codecs = 1};
    static const uint8_t ten[] = {0x98, 0x01, 10}; /* field 19, a varint: fedra.v1.Header.samples */
    uint8_t signature[SIGNATURE_BYTES_MAX];
    size_t size = 0;
    struct envelope parsed;
    assert_int_equal(envelope_parse(bytes_slice(envelope), &limits, &parsed, nullptr), STATUS_OK);
    assert_int_equal(parsed.header.samples, ten[2]);
    const size_t header = (size_t)(parsed.header_bytes.data - envelope->data);
    uint8_t *const found =
        memmem(envelope->data + header, parsed.header_bytes.size, ten, sizeof(ten));
    assert_non_null(found);
    found[2] = 0;
    assert_int_equal(signer->ops->sign(signer->state, envelope_context(ENVELOPE_UPDATE),
                                       parsed.header_bytes, signature, &size),
                     STATUS_OK);
    assert_int_equal(size, parsed.signature.size);
    memcpy(envelope->data + (parsed.signature.data - envelope->data), signature, size);
}

enum reason peer_push(struct peer *peer, const struct twist *twist)
{
    static const struct twist none = {0};
    struct error err = {0};
    struct envelope_header header;
    struct digest digest;
    if (twist == nullptr)
        twist = &none;
    const size_t count = twist->parameters > 0 ? twist->parameters : HOSTILE_PARAMETERS;
    peer->last_size = count * sizeof(float);
    for (size_t i = 0; i < count; i++)
        peer->last_payload[i] = 0.001f * (float)(i % 7);
    if (twist->payload != nullptr)
        twist->payload(peer->last_payload);
    assert_int_equal(blob_digest(peer->last_payload, peer->last_size, 0, &digest), STATUS_OK);
    fill_header(peer, &digest, &header);
    if (twist->header != nullptr)
        twist->header(&header);
    struct signer signer = twist->signer != nullptr ? *twist->signer : peer->signer;
    if (twist->keeps_signer_name)
        memcpy(signer.spiffe_id, peer->signer.spiffe_id, sizeof(signer.spiffe_id));
    peer->last_envelope.size = 0;
    if (envelope_seal(&header, &signer, &peer->last_envelope, &err) != STATUS_OK)
        fail_msg("%s", err.text);
    if (twist->no_samples)
        sign_no_samples(&peer->last_envelope, &signer);
    if (twist->flip_payload_byte)
        ((uint8_t *)peer->last_payload)[17] ^= 1;
    if (twist->flip_header_byte) {
        /* In the digest of the payload, which lies in the header's bytes as it is. */
        uint8_t *const found = memmem(peer->last_envelope.data, peer->last_envelope.size,
                                      header.base_digest.bytes, DIGEST_BYTES);
        assert_non_null(found);
        found[3] ^= 1;
    }
    return send_last(peer);
}

/* --- any call --- */

struct any_call {
    bool is_over;
    bool is_freed;
    enum grpc_status code;
    char *text;
    struct bytes *answer;
};

static void any_on_message(struct rpc_call *call, struct slice message)
{
    const struct any_call *const any = rpc_call_get_user(call);
    if (any->answer != nullptr && any->answer->size == 0)
        assert_int_equal(bytes_append(any->answer, message.data, message.size), STATUS_OK);
}

static void any_on_closed(struct rpc_call *call, enum grpc_status code, const char *message)
{
    struct any_call *const any = rpc_call_get_user(call);
    any->is_over = true;
    any->code = code;
    snprintf(any->text, GRPC_MESSAGE_MAX, "%s", message);
}

static void any_on_freed(void *context)
{
    ((struct any_call *)context)->is_freed = true;
}

enum grpc_status call_as(uv_loop_t *loop, const char *identity, uint16_t port, const char *path,
                         struct slice message, char ret_text[static GRPC_MESSAGE_MAX],
                         struct bytes *ret_answer)
{
    static const struct rpc_client_handlers client_handlers = {};
    static const struct rpc_call_handlers call_handlers = {.on_message = any_on_message,
                                                           .on_closed = any_on_closed};
    struct error err = {0};
    struct identity *opened = nullptr;
    SSL_CTX *tls = nullptr;
    struct rpc_client *client = nullptr;
    struct rpc_call *call = nullptr;
    struct any_call any = {.text = ret_text, .answer = ret_answer};
    assert_int_equal(identity_open(identity, (int64_t)time(nullptr), &opened, &err), STATUS_OK);
    assert_int_equal(tls_context_create(opened, false, SPIFFE_ROLE_COORDINATOR, &tls, &err),
                     STATUS_OK);
    assert_int_equal(rpc_client_open(loop, "127.0.0.1", port, tls, nullptr, &client_handlers, &any,
                                     &client, &err),
                     STATUS_OK);
    assert_int_equal(rpc_client_call(client, path, WAIT_MS, &call_handlers, &any, &call),
                     STATUS_OK);
    assert_int_equal(rpc_call_send(call, message), STATUS_OK);
    assert_int_equal(rpc_call_half_close(call), STATUS_OK);
    while (!any.is_over)
        uv_run(loop, UV_RUN_ONCE);
    rpc_client_close(client, any_on_freed);
    while (!any.is_freed)
        uv_run(loop, UV_RUN_ONCE);
    SSL_CTX_free(tls);
    identity_close(opened);
    return any.code;
}

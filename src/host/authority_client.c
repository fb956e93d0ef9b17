/*
 * authority_client.c - fedra.v1.Authority/Issue, asked.
 */
#include "host/authority_client.h"

#include "base/check.h"
#include "base/text.h"
#include "identity/tls_context.h"
#include "rpc/rpc_client.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { HOST_MAX = 256, ANSWER_BYTES_MAX = 1 << 20 };

struct authority_client {
    struct rpc_client *rpc;
    authority_client_on_answer *on_answer; /* null: answered or closed */
    void *context;
    void (*on_closed)(void *context);
    char trust_domain[SPIFFE_ID_MAX];
    bool has_message;
    Fedra__V1__IssueResponse *response;
    enum status end_status; /* how the connection ended, where that is known */
    struct error end;
};

/* Tells the owner, once. */
static void answer(struct authority_client *client, enum status status, const char *reason)
{
    authority_client_on_answer *const on_answer = client->on_answer;
    Fedra__V1__IssueResponse *const response = status == STATUS_OK ? client->response : nullptr;
    client->on_answer = nullptr;
    if (on_answer == nullptr)
        return;
    if (response != nullptr)
        client->response = nullptr;
    on_answer(client->context, status, reason, response);
}

static void on_message(struct rpc_call *call, struct slice message)
{
    struct authority_client *const client = rpc_call_get_user(call);
    if (client == nullptr || client->has_message)
        return;
    client->has_message = true;
    client->response = fedra__v1__issue_response__unpack(nullptr, message.size, message.data);
}

static void on_call_closed(struct rpc_call *call, enum grpc_status code, const char *message)
{
    struct authority_client *const client = rpc_call_get_user(call);
    if (client == nullptr)
        return;
    char reason[ERROR_TEXT_MAX];
    text_escape(message, strlen(message), reason, sizeof(reason));
    if (code == GRPC_STATUS_UNAVAILABLE) {
        /* The connection knows better why: its end follows. */
        client->end_status = STATUS_UNREACHABLE;
        error_set(&client->end, STATUS_UNREACHABLE, "%s", reason);
        rpc_client_drain(client->rpc, 0);
    } else if (code != GRPC_STATUS_OK) {
        answer(client, grpc_status_to_local(code), reason);
    } else if (client->response == nullptr) {
        answer(client, STATUS_PEER,
               client->has_message ? "its answer is no IssueResponse" : "it gave no answer");
    } else {
        answer(client, STATUS_OK, "");
    }
}

static const struct rpc_call_handlers call_handlers = {
    .on_message = on_message,
    .on_closed = on_call_closed,
};

static enum status verify(void *context, SSL *ssl, struct error *err)
{
    const struct authority_client *const client = context;
    struct peer_identity peer;
    enum status status = identity_peer(ssl, &peer, err);
    if (status == STATUS_OK)
        status = spiffe_role_check(&peer.id, SPIFFE_ROLE_AUTHORITY, "Issue", err);
    if (status == STATUS_OK && strcmp(peer.id.trust_domain, client->trust_domain) != 0)
        status = error_set(err, STATUS_IDENTITY, "%s is not of trust domain %s", peer.id.text,
                           client->trust_domain);
    return status;
}

static void on_connection_closed(void *context, struct rpc_client *rpc, enum status status,
                                 const char *reason)
{
    struct authority_client *const client = context;
    char text[ERROR_TEXT_MAX];
    const bool says_why = status != STATUS_OK && status != STATUS_CANCELLED;
    const SSL *const ssl = rpc_client_ssl(rpc);
    const char *const refusal = ssl != nullptr ? identity_refusal(ssl) : "";
    if (refusal[0] != 0) /* TLS knows only that, not why */
        reason = refusal;
    text_escape(reason, strlen(reason), text, sizeof(text));
    if (says_why || client->end_status == STATUS_OK)
        answer(client, status != STATUS_OK ? status : STATUS_UNREACHABLE, text);
    else
        answer(client, client->end_status, client->end.text);
}

static const struct rpc_client_handlers client_handlers = {
    .verify = verify,
    .on_closed = on_connection_closed,
};

static ProtobufCBinaryData binary_of(struct slice slice)
{
    /* protobuf-c has no const fields; packing does not write to them. */
    union {
        const uint8_t *in;
        uint8_t *out;
    } data = {.in = slice.data};
    return (ProtobufCBinaryData){.len = slice.size, .data = data.out};
}

static enum status send_request(struct rpc_call *call, const struct identity *identity,
                                const struct identity_request *keys, uint32_t ttl_s)
{
    char id[SPIFFE_ID_MAX];
    Fedra__V1__IssueRequest request;
    fedra__v1__issue_request__init(&request);
    memcpy(id, identity->svid.id.text, sizeof(id));
    request.spiffe_id = id;
    request.tls_csr = binary_of(identity_request_tls_csr(keys));
    request.envelope_csr = binary_of(identity_request_envelope_csr(keys));
    request.ttl_s = ttl_s;
    const size_t size = protobuf_c_message_get_packed_size(&request.base);
    uint8_t *const bytes = malloc(size);
    if (bytes == nullptr)
        return STATUS_NO_MEMORY;
    protobuf_c_message_pack(&request.base, bytes);
    enum status status = rpc_call_send_owned(call, bytes, size, nullptr, nullptr);
    if (status != STATUS_OK)
        free(bytes);
    else
        status = rpc_call_half_close(call);
    return status;
}

static void on_freed(void *context)
{
    struct authority_client *const client = context;
    void (*const on_closed)(void *) = client->on_closed;
    void *const owner = client->context;
    if (client->response != nullptr)
        fedra__v1__issue_response__free_unpacked(client->response, nullptr);
    free(client);
    if (on_closed != nullptr)
        on_closed(owner);
}

static enum status open_connection(struct authority_client *client, uv_loop_t *loop,
                                   const char *address, const struct identity *identity,
                                   uint32_t timeout_ms, struct error *err)
{
    char host[HOST_MAX];
    SSL_CTX *tls = nullptr;
    const char *const colon = strrchr(address, ':');
    const unsigned long port = colon != nullptr ? strtoul(colon + 1, nullptr, 10) : 0;
    if (colon == nullptr || colon - address >= HOST_MAX || port == 0 || port > UINT16_MAX)
        return error_set(err, STATUS_INVAL, "%.64s is no host:port", address);
    snprintf(host, sizeof(host), "%.*s", (int)(colon - address), address);
    const struct rpc_client_options options = {
        .limits = {.message_bytes_max = ANSWER_BYTES_MAX},
        .connect_timeout_ms = timeout_ms,
    };
    enum status status = tls_context_create(identity, false, SPIFFE_ROLE_AUTHORITY, &tls, err);
    if (status == STATUS_OK)
        status = rpc_client_open(loop, host, (uint16_t)port, tls, &options, &client_handlers,
                                 client, &client->rpc, err);
    SSL_CTX_free(tls);
    return status;
}

enum status authority_client_ask(uv_loop_t *loop, const char *address,
                                 const struct identity *identity,
                                 const struct identity_request *request, uint32_t ttl_s,
                                 uint32_t timeout_ms, authority_client_on_answer *on_answer,
                                 void *context, struct authority_client **ret_client,
                                 struct error *err)
{
    struct rpc_call *call = nullptr;
    struct authority_client *const client = calloc(1, sizeof(*client));
    if (client == nullptr)
        return error_set(err, STATUS_NO_MEMORY, "%s", status_text(STATUS_NO_MEMORY));
    client->context = context;
    memcpy(client->trust_domain, identity->svid.id.trust_domain, sizeof(client->trust_domain));
    enum status status = open_connection(client, loop, address, identity, timeout_ms, err);
    if (status != STATUS_OK) {
        free(client);
        return status;
    }
    status = rpc_client_call(client->rpc, "/fedra.v1.Authority/Issue", timeout_ms, &call_handlers,
                             nullptr, &call);
    if (status == STATUS_OK)
        status = send_request(call, identity, request, ttl_s);
    if (status != STATUS_OK) {
        authority_client_close(client, nullptr);
        return error_set(err, status, "%s", status_text(status));
    }
    rpc_call_set_user(call, client);
    client->on_answer = on_answer;
    *ret_client = client;
    return STATUS_OK;
}

void authority_client_close(struct authority_client *client, void (*on_closed)(void *context))
{
    client->on_answer = nullptr;
    client->on_closed = on_closed;
    rpc_client_close(client->rpc, on_freed);
}

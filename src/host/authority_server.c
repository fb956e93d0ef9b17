/*
 * authority_server.c - gRPC around authority_service.h: one request, one answer.
 *
 * Not here: who may have what (identity/authority_service.c).
 */
#include "host/authority_server.h"

#include "base/check.h"
#include "host/authority_keeper.h"
#include "host/clock.h"
#include "identity/authority_identity.h"
#include "identity/authority_service.h"
#include "rpc/health.h"
#include "rpc/rpc_server.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

enum { REQUEST_BYTES_MAX = 65536, DRAIN_MS = 1000 };

struct authority_server {
    uv_loop_t loop;
    uv_signal_t signals[2];
    struct authority *authority;
    struct authority_keeper *keeper;
    const char *identity; /* its folder */
    SSL_CTX *tls;
    struct rpc_server *rpc;
    struct health *health;
};

/* Packs an answer, sends it and ends the call. */
static void answer(struct rpc_call *call, const ProtobufCMessage *message)
{
    const size_t size = protobuf_c_message_get_packed_size(message);
    uint8_t *const bytes = malloc(size > 0 ? size : 1);
    enum status status = STATUS_NO_MEMORY;
    if (bytes != nullptr) {
        protobuf_c_message_pack(message, bytes);
        status = rpc_call_send(call, (struct slice){bytes, size});
    }
    free(bytes);
    if (status == STATUS_OK)
        status = rpc_call_finish(call, GRPC_STATUS_OK, "");
    if (status != STATUS_OK)
        rpc_call_cancel(call, GRPC_STATUS_RESOURCE_EXHAUSTED, status_text(status));
}

static void on_issue(struct rpc_call *call, struct slice message)
{
    struct authority_server *const server = rpc_call_get_user(call);
    struct error err = {0};
    struct peer_identity peer;
    if (server == nullptr)
        return; /* answered already: one request a call */
    rpc_call_set_user(call, nullptr);
    Fedra__V1__IssueResponse *response = nullptr;
    enum status status = identity_peer(rpc_call_ssl(call), &peer, &err);
    Fedra__V1__IssueRequest *request = nullptr;
    if (status == STATUS_OK && message.size <= REQUEST_BYTES_MAX)
        request = fedra__v1__issue_request__unpack(nullptr, message.size, message.data);
    if (status == STATUS_OK && request == nullptr)
        status = error_set(&err, STATUS_PEER, "not an IssueRequest of at most %d bytes",
                           REQUEST_BYTES_MAX);
    if (status == STATUS_OK)
        status = authority_handle_issue(server->authority, &peer, request, clock_unix_s(),
                                        &response, &err);
    if (status == STATUS_OK) {
        printf("issued %s for %s\n", request->spiffe_id, peer.id.text);
        fflush(stdout);
        answer(call, &response->base);
        fedra__v1__issue_response__free_unpacked(response, nullptr);
    } else if (rpc_call_finish(call, grpc_status_of(status), err.text) != STATUS_OK) {
        rpc_call_cancel(call, GRPC_STATUS_INTERNAL, err.text);
    }
    if (request != nullptr)
        fedra__v1__issue_request__free_unpacked(request, nullptr);
}

static void on_bundle(struct rpc_call *call, struct slice message)
{
    struct authority_server *const server = rpc_call_get_user(call);
    Fedra__V1__GetBundleResponse *response = nullptr;
    if (server == nullptr)
        return;
    rpc_call_set_user(call, nullptr);
    if (authority_handle_get_bundle(server->authority, &response) != STATUS_OK) {
        rpc_call_cancel(call, GRPC_STATUS_RESOURCE_EXHAUSTED, "out of memory");
        return;
    }
    answer(call, &response->base);
    fedra__v1__get_bundle_response__free_unpacked(response, nullptr);
}

static void on_half_close(struct rpc_call *call)
{
    if (rpc_call_get_user(call) != nullptr &&
        rpc_call_finish(call, GRPC_STATUS_INVALID_ARGUMENT, "there is no request") != STATUS_OK)
        rpc_call_cancel(call, GRPC_STATUS_INTERNAL, "no answer");
}

static void on_open(struct rpc_call *call, void *context)
{
    rpc_call_set_user(call, context);
}

static enum status on_connection(void *context, struct rpc_connection *connection,
                                 struct error *err)
{
    struct peer_identity peer;
    return identity_peer(rpc_connection_ssl(connection), &peer, err);
}

static void on_refused(void *context, const char *address, const char *reason)
{
    fprintf(stderr, "refused %s: %s\n", address, reason);
}

static void on_closed(void *context)
{
    struct authority_server *const server = context;
    server->rpc = nullptr;
    uv_stop(&server->loop);
}

static void on_drained(void *context)
{
    struct authority_server *const server = context;
    rpc_server_close(server->rpc, on_closed);
}

static void on_signal(uv_signal_t *handle, int number)
{
    struct authority_server *const server = handle->data;
    for (size_t i = 0; i < 2; i++)
        uv_signal_stop(&server->signals[i]);
    rpc_server_drain(server->rpc, DRAIN_MS, on_drained);
}

static enum status read_identity(struct authority_server *server, SSL_CTX **ret_tls,
                                 struct error *err)
{
    struct identity *identity = nullptr;
    enum status status = identity_open(server->identity, clock_unix_s(), &identity, err);
    if (status == STATUS_OK)
        status =
            spiffe_role_check(&identity->svid.id, SPIFFE_ROLE_AUTHORITY, "fedra ca serve", err);
    if (status == STATUS_OK)
        status = tls_context_create(identity, true, SPIFFE_ROLES_FEDRA, ret_tls, err);
    identity_close(identity);
    return status;
}

/* Its own identity needs nobody else: it is made anew also where it ended while it was down. */
static enum status open_identity(struct authority_server *server, const char *dir,
                                 struct error *err)
{
    struct identity_age age;
    bool made = false;
    enum status status = authority_open(dir, &server->authority, err);
    if (status == STATUS_OK && identity_age_read(server->identity, &age, err) == STATUS_OK &&
        age.id.role == SPIFFE_ROLE_AUTHORITY)
        status = authority_remake_identity(server->authority, server->identity, 1.0, clock_unix_s(),
                                           &made, err);
    if (status == STATUS_OK)
        status = read_identity(server, &server->tls, err);
    return status;
}

static void on_own_identity(void *context)
{
    struct authority_server *const server = context;
    struct error err = {0};
    SSL_CTX *tls = nullptr;
    if (server->rpc == nullptr)
        return;
    if (read_identity(server, &tls, &err) != STATUS_OK) {
        fprintf(stderr, "fedra ca serve: the identity that it shows cannot be used: %s\n",
                err.text);
        return;
    }
    rpc_server_set_tls(server->rpc, tls);
    SSL_CTX_free(server->tls);
    server->tls = tls;
}

static enum status open_server(struct authority_server *server, const char *address, uint16_t port,
                               struct error *err)
{
    static const struct rpc_call_handlers issue_handlers = {.on_message = on_issue,
                                                            .on_half_close = on_half_close};
    static const struct rpc_call_handlers bundle_handlers = {.on_message = on_bundle,
                                                             .on_half_close = on_half_close};
    static const struct rpc_server_handlers handlers = {.on_open = on_connection,
                                                        .on_refused = on_refused};
    const struct rpc_method issue = {
        .handlers = &issue_handlers, .on_open = on_open, .context = server};
    const struct rpc_method bundle = {
        .handlers = &bundle_handlers, .on_open = on_open, .context = server};
    uint16_t bound = 0;
    enum status status =
        rpc_server_create(&server->loop, server->tls, nullptr, &handlers, server, &server->rpc);
    if (status == STATUS_OK)
        status = rpc_server_add_method(server->rpc, "/fedra.v1.Authority/Issue", &issue);
    if (status == STATUS_OK)
        status = rpc_server_add_method(server->rpc, "/fedra.v1.Authority/GetBundle", &bundle);
    if (status == STATUS_OK)
        status = health_create(&server->health);
    if (status == STATUS_OK)
        status = health_register(server->health, server->rpc);
    if (status == STATUS_OK)
        status = health_set(server->health, "fedra.v1.Authority", HEALTH_SERVING);
    if (status == STATUS_OK)
        status = rpc_server_listen(server->rpc, address, port, &bound, err);
    if (status != STATUS_OK)
        return status;
    printf("the authority of %s listens on %s:%u\n", authority_trust_domain(server->authority),
           address, bound);
    fflush(stdout);
    return STATUS_OK;
}

static void serve(struct authority_server *server)
{
    static const int numbers[] = {SIGINT, SIGTERM};
    for (size_t i = 0; i < 2; i++) {
        CHECK(uv_signal_init(&server->loop, &server->signals[i]) == 0);
        server->signals[i].data = server;
        CHECK(uv_signal_start(&server->signals[i], on_signal, numbers[i]) == 0);
    }
    uv_run(&server->loop, UV_RUN_DEFAULT);
    for (size_t i = 0; i < 2; i++)
        uv_close((uv_handle_t *)&server->signals[i], nullptr);
}

int authority_server_run(const char *dir, const char *identity, const char *keep,
                         const char *address, uint16_t port)
{
    struct authority_server *const server = calloc(1, sizeof(*server));
    struct error err = {0};
    CHECK(server != nullptr && uv_loop_init(&server->loop) == 0);
    signal(SIGPIPE, SIG_IGN);
    server->identity = identity;
    enum status status = open_identity(server, dir, &err);
    if (status == STATUS_OK)
        status = open_server(server, address, port, &err);
    if (status == STATUS_OK)
        status = authority_keeper_open(&server->loop, server->authority, identity, keep,
                                       on_own_identity, server, &server->keeper);
    if (status == STATUS_OK)
        serve(server);
    else
        fprintf(stderr, "fedra ca serve: %s\n", err.text[0] != 0 ? err.text : status_text(status));
    authority_keeper_close(server->keeper);
    if (server->rpc != nullptr)
        rpc_server_close(server->rpc, on_closed);
    uv_run(&server->loop, UV_RUN_DEFAULT);
    CHECK(uv_loop_close(&server->loop) == 0);
    health_destroy(server->health);
    SSL_CTX_free(server->tls);
    authority_close(server->authority);
    free(server);
    return status == STATUS_OK ? EXIT_SUCCESS : EXIT_FAILURE;
}

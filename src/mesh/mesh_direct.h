/*
 * mesh_direct.h - the mesh without servers of its own: direct gRPC connections (rpc/) that carry
 * fedra.v1.Federation, grpc.health.v1.Health and what the hub's owner adds.
 *
 * Only a member, one whose identity trains, may call Federation.
 */
#pragma once

#include "mesh/mesh.h"
#include "rpc/health.h"

#include <openssl/types.h>
#include <uv.h>

/* Who is at the other end of a connection, as the owner found. */
struct mesh_peer {
    char name[MESH_NAME_MAX]; /* SPIFFE id */
    bool is_member;           /* of a hub's peer: whether it may Join and push */
    /* When its certificate ends, and with it the connection. Wall time; INT64_MAX, as it is
       handed to the owner: never. */
    int64_t until_unix_s;
};

struct hub_direct_options {
    const char *address; /* numeric */
    uint16_t port;       /* 0: any free one */
    SSL_CTX *tls;        /* made for a server; a reference is taken */
    /* Who is it? OK lets it in; else it is refused with err. */
    enum status (*identify)(void *context, SSL *ssl, struct mesh_peer *ret_peer, struct error *err);
    /*
     * Adds other services to the same listener, and says that they are served, before it listens;
     * what is not OK ends hub_direct_open. May be null. Who may call them is theirs to check. The
     * hub's draining says that no service is served any more.
     */
    enum status (*add_services)(void *context, struct rpc_server *server, struct health *health,
                                struct error *err);
    struct envelope_limits limits;
    uint64_t message_bytes_max; /* at least UPDATE_PART_BYTES_MAX, 0: 4 MiB */
    uint32_t connections_max;
    uint32_t keepalive_ms;        /* a silent connection is asked, then cut after as long again */
    uint32_t directive_queue_max; /* bytes that wait for one slow member, 0: 4 MiB */
    /*
     * A call that waits for its peer is cut after this long without progress, 0: 60,000: parts of
     * an update that do not come, a blob or answer that is not read, a Join without a request.
     */
    uint32_t push_timeout_ms;
};

/*
 * Listens. handlers must live as long as the hub; context is handed to them. *ret_port is the port
 * that was bound. IO (address in use, with the address in err), INVAL, NO_MEMORY.
 */
[[nodiscard]] enum status hub_direct_open(uv_loop_t *loop, const struct hub_direct_options *options,
                                          const struct hub_handlers *handlers, void *context,
                                          struct hub **ret_hub, uint16_t *ret_port,
                                          struct error *err);

/* New connections use this context from now on (rotation). */
void hub_direct_set_tls(struct hub *hub, SSL_CTX *tls);

struct leaf_direct_options {
    const char *host;
    uint16_t port;
    SSL_CTX *tls; /* made for a client; a reference is taken */
    /* Is the server who it should be? Not OK ends the connection with err. */
    enum status (*identify)(void *context, SSL *ssl, struct mesh_peer *ret_peer, struct error *err);
    uint64_t message_bytes_max; /* at least UPDATE_PART_BYTES_MAX, 0: 4 MiB */
    uint32_t keepalive_ms;
    /* Of a pull or push without progress, and of a Join without a Welcome, 0: 60,000. */
    uint32_t call_timeout_ms;
};

/* A leaf that is not connected yet: leaf_join connects. INVAL, NO_MEMORY. */
[[nodiscard]] enum status leaf_direct_create(uv_loop_t *loop,
                                             const struct leaf_direct_options *options,
                                             const struct leaf_handlers *handlers, void *context,
                                             struct leaf **ret_leaf, struct error *err);

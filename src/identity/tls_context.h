/*
 * tls_context.h - mutual TLS 1.3 with post-quantum key exchange between SPIFFE identities.
 *
 * TLS 1.3 only, X25519MLKEM768 only, both sides show an SVID, ALPN h2, no resumption. There is no
 * host name check: the peer's SPIFFE ID is its name. Not here: sockets and HTTP/2 (rpc/).
 */
#pragma once

#include "identity/identity_files.h"

#include <openssl/ssl.h>

/* Who is at the other end, after the handshake. */
struct peer_identity {
    struct spiffe_id id; /* with role and name */
    int64_t not_before_unix_s;
    int64_t not_after_unix_s;
    struct digest fingerprint;
};

/*
 * Makes the context for one side.
 *
 * identity  whose SVID is shown and whose bundle is trusted; only borrowed for the call.
 * server    true: accepts connections; false: connects.
 * roles     set of enum spiffe_role bits that the peer must be among (SPIFFE_ROLES_ANY: no check).
 *
 * The caller frees *ret_context by SSL_CTX_free; connections keep it alive. INVAL, NO_MEMORY.
 */
[[nodiscard]] enum status tls_context_create(const struct identity *identity, bool server,
                                             uint32_t roles, SSL_CTX **ret_context,
                                             struct error *err);

/*
 * The verified identity of the peer. IDENTITY where the handshake is not finished, the peer was
 * refused or did not agree on h2; never succeeds for a peer that was not verified.
 */
[[nodiscard]] enum status identity_peer(const SSL *ssl, struct peer_identity *ret_peer,
                                        struct error *err);

/* Why the peer's certificate was refused; "" where it was not. Valid as long as ssl. */
const char *identity_refusal(const SSL *ssl);

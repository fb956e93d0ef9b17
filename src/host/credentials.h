/*
 * credentials.h - what a process shows and signs with: an identity, its TLS context, its signer.
 *
 * Made once, never changed; counted references, so that who signs or shakes hands with one goes on
 * while the process takes up the next (identity_renewer.h).
 */
#pragma once

#include "identity/envelope_key.h"
#include "identity/tls_context.h"
#include "wire/messages.h"

#include <stdatomic.h>

struct credentials {
    atomic_uint references;
    struct identity *identity;
    SSL_CTX *tls;
    struct signer signer;
    struct certificate_chain chain; /* of the signing key; belongs to the credentials */
};

/*
 * server, roles  as tls_context_create.
 * identity       gains a reference.
 *
 * INVAL, IDENTITY, LIMIT, NO_MEMORY.
 */
[[nodiscard]] enum status credentials_create(struct identity *identity, bool server, uint32_t roles,
                                             struct credentials **ret_credentials,
                                             struct error *err);

/* One more reference; gives credentials back. Thread-safe. */
struct credentials *credentials_ref(struct credentials *credentials);

/* Drops a reference. Null is allowed. Thread-safe. */
void credentials_unref(struct credentials *credentials);

/* Appends the chain of the signing key to out: its certificates in DER, one after the other, as
 * keyring_find_certificate does. LIMIT, NO_MEMORY. */
[[nodiscard]] enum status credentials_append_chain(const struct credentials *credentials,
                                                   struct bytes *out);

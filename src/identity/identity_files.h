/*
 * identity_files.h - the folder of one identity: keys made here, certificates asked for and
 * installed, everything checked when it is loaded.
 *
 * svid.pem, svid.key (TLS), envelope.pem, envelope.key (ML-DSA-65), bundle.pem (roots). The keys
 * are PKCS#8 in PEM, mode 0600. Not here: who signs the requests (authority.h).
 */
#pragma once

#include "identity/svid.h"

#include <openssl/evp.h>
#include <stdatomic.h>

enum identity_key_kind { IDENTITY_KEY_P256, IDENTITY_KEY_ML_DSA_65 };

/* New keys that wait for their certificates; they are in memory only. */
struct identity_request;
struct identity;

/* Makes the two keys. tls_kind is that of the TLS key. NO_MEMORY. */
[[nodiscard]] enum status identity_request_create(enum identity_key_kind tls_kind,
                                                  struct identity_request **ret_request,
                                                  struct error *err);

/* Wipes the keys. Null is allowed. */
void identity_request_destroy(struct identity_request *request);

/* The two certificate requests (PKCS#10, DER), signed with their keys; they belong to request. */
struct slice identity_request_tls_csr(const struct identity_request *request);
struct slice identity_request_envelope_csr(const struct identity_request *request);

/* Certificates in DER, leaf first, without the root. */
struct svid_chain {
    struct slice certificates[SVID_CHAIN_MAX];
    size_t count;
};

/*
 * Puts keys and certificates into the folder dir, all or nothing: a new folder beside it is filled,
 * made durable and put in its place by one rename (an exchange where dir exists). dir may hold
 * nothing but these five files and must not be a mount point itself. The result is checked as
 * identity_open does before it is put in place.
 *
 * IDENTITY where certificates and keys do not belong together, EXISTS where dir holds other files,
 * IO.
 */
[[nodiscard]] enum status identity_install(const struct identity_request *request, const char *dir,
                                           const struct svid_chain *tls_chain,
                                           const struct svid_chain *envelope_chain,
                                           struct slice bundle_pem, int64_t now_unix_s,
                                           struct error *err);

/*
 * As identity_install for the renewal of current, whose folder dir is: the certificates must be of
 * the same SPIFFE ID, and the roots stay those that are in the folder.
 *
 * IDENTITY also where the certificates are somebody else's.
 */
[[nodiscard]] enum status identity_install_renewed(const struct identity_request *request,
                                                   const char *dir, const struct identity *current,
                                                   const struct svid_chain *tls_chain,
                                                   const struct svid_chain *envelope_chain,
                                                   int64_t now_unix_s, struct error *err);

/* A loaded identity. Read-only after identity_open; everything belongs to it. */
struct identity {
    atomic_uint references;
    struct svid_info svid;           /* of the TLS certificate */
    struct svid_info envelope;       /* of the envelope certificate; the same SPIFFE ID */
    STACK_OF(X509) * svid_chain;     /* leaf first */
    STACK_OF(X509) * envelope_chain; /* leaf first */
    EVP_PKEY *svid_key;
    EVP_PKEY *envelope_key;
    struct trust *trust; /* bundle.pem, of this trust domain */
};

/*
 * Loads and checks the folder: keys belong to their certificates and nobody else can read them,
 * both certificates verify at now_unix_s against the bundle and name the same SPIFFE ID.
 * NOT_FOUND, PERMISSION (with the chmod that mends it), CORRUPT, IDENTITY, NO_MEMORY.
 */
[[nodiscard]] enum status identity_open(const char *dir, int64_t now_unix_s,
                                        struct identity **ret_identity, struct error *err);

/* One more reference; gives identity back. Thread-safe. */
struct identity *identity_ref(struct identity *identity);

/* The kind of its TLS key. */
enum identity_key_kind identity_tls_kind(const struct identity *identity);

/*
 * What tells one state of the folder's files from another, without reading them; changes when a
 * file is replaced, written to, or goes away. Cannot fail: no folder is a state too.
 */
uint64_t identity_folder_state(const char *dir);

/* Drops a reference; the last one frees it and wipes the keys. Null is allowed. Thread-safe. */
void identity_close(struct identity *identity);

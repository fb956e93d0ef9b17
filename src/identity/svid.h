/*
 * svid.h - X.509-SVIDs: which certificates are taken, by the SPIFFE X.509-SVID standard, and why
 * others are not.
 *
 * Each trust domain has its own roots: a chain is verified against those of the trust domain its
 * leaf names, never against a pool. Not here: revocation lists (SVIDs are short-lived instead).
 */
#pragma once

#include "base/bytes.h"
#include "base/digest.h"
#include "identity/spiffe_id.h"

#include <openssl/x509.h>
#include <stdint.h>

enum {
    SVID_CHAIN_MAX = 6,           /* certificates a peer may send */
    SVID_CERTIFICATE_MAX = 32768, /* bytes of one certificate in DER */
    TRUST_DOMAINS_MAX = 16,
    TRUST_ROOTS_MAX = 32,                /* roots of one trust domain */
    TRUST_BUNDLE_BYTES_MAX = 512 * 1024, /* of a bundle in PEM */
};

/* The trust domains known, each with its roots. Fill it, then share it: reading is thread-safe. */
struct trust;

/* NO_MEMORY, else an empty set with one reference, the caller's. */
[[nodiscard]] enum status trust_create(struct trust **ret_trust);

/* One more reference; gives trust back. Thread-safe. */
struct trust *trust_ref(struct trust *trust);

/* Drops a reference, frees at the last. Null is allowed. Thread-safe. */
void trust_unref(struct trust *trust);

/*
 * Adds the roots in PEM (anything between certificates is skipped) to those of trust_domain; each
 * must be a CA. INVAL, LIMIT, NO_MEMORY; trust may then hold some of them and must not be used.
 */
[[nodiscard]] enum status trust_add_pem(struct trust *trust, const char *trust_domain,
                                        struct slice pem, struct error *err);

/* What a verified certificate says. */
struct svid_info {
    struct spiffe_id id;
    int64_t not_before_unix_s;
    int64_t not_after_unix_s;
    struct digest key_id;      /* H(SubjectPublicKeyInfo in DER) */
    struct digest fingerprint; /* H(certificate in DER) */
};

enum svid_flags { SVID_ML_DSA_ONLY = 1 /* every key of the chain, root too, is ML-DSA-65 */ };

/*
 * Applies the rules for leaves to one certificate: one URI SAN that is a SPIFFE ID with a path, not
 * a CA, key usage. Neither dates nor signatures. IDENTITY with what was found and would be right.
 */
[[nodiscard]] enum status svid_check_leaf(X509 *leaf, struct svid_info *ret_info,
                                          struct error *err);

/*
 * svid_check_leaf, and dates (notBefore <= now_unix_s < notAfter), and the chain up to a root of
 * the leaf's own trust domain.
 *
 * untrusted  what the peer sent besides the leaf (the leaf may be among it), or null.
 * flags      of enum svid_flags.
 * x509_error where not null: an X509_V_ERR_ code for the TLS alert, X509_V_OK on success.
 *
 * IDENTITY with the reason, NO_MEMORY. Thread-safe.
 */
[[nodiscard]] enum status svid_verify(const struct trust *trust, X509 *leaf,
                                      const STACK_OF(X509) * untrusted, int64_t now_unix_s,
                                      uint32_t flags, int *x509_error, struct svid_info *ret_info,
                                      struct error *err);

/* H of the key's SubjectPublicKeyInfo. INVAL where the key has none. */
[[nodiscard]] enum status svid_key_id(const EVP_PKEY *key, struct digest *ret_key_id);

/*
 * Reads count certificates in DER, leaf first. PEER where one is no certificate or has bytes after
 * it, LIMIT, NO_MEMORY. The caller frees the stack with sk_X509_pop_free(.., X509_free).
 */
[[nodiscard]] enum status svid_chain_decode(const struct slice *certificates, size_t count,
                                            STACK_OF(X509) * *ret_chain, struct error *err);

/* Reads all certificates of a PEM text, at least one. INVAL, LIMIT, NO_MEMORY. As above. */
[[nodiscard]] enum status svid_chain_decode_pem(struct slice pem, STACK_OF(X509) * *ret_chain,
                                                struct error *err);

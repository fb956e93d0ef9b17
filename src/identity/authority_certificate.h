/*
 * authority_certificate.h - the inside of the authority: makes its certificates, reads requests.
 *
 * Callers use authority.h.
 */
#pragma once

#include "identity/identity_files.h"

/* What a certificate is to say. */
struct certificate_plan {
    const char *uri;         /* its one name */
    const char *common_name; /* of a root, at most 64 bytes; null for a leaf */
    EVP_PKEY *key;           /* that which is certified */
    X509 *issuer;            /* null: it is a root, signed by its own key */
    EVP_PKEY *issuer_key;
    int64_t not_before_unix_s;
    int64_t not_after_unix_s;
};

/*
 * Which of the two kinds is the key? UNSUPPORTED, naming it, where it is another one, or a P-256
 * key that spells its curve out instead of naming it.
 */
[[nodiscard]] enum status certificate_key_kind(const EVP_PKEY *key,
                                               enum identity_key_kind *ret_kind, struct error *err);

/*
 * Reads PKCS#10 in DER: nothing after it, its key of one of the two kinds, signed by that key.
 * PEER, LIMIT, NO_MEMORY. The caller frees *ret_key by EVP_PKEY_free.
 */
[[nodiscard]] enum status certificate_request_decode(struct slice csr, EVP_PKEY **ret_key,
                                                     enum identity_key_kind *ret_kind,
                                                     struct error *err);

/*
 * Makes and signs the certificate, by RFC 5280 and the SPIFFE X.509-SVID standard, with a random
 * serial number. NO_MEMORY; IO where OpenSSL fails. Thread-safe. Freed by X509_free.
 */
[[nodiscard]] enum status certificate_make(const struct certificate_plan *plan,
                                           X509 **ret_certificate, struct error *err);

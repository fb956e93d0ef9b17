/*
 * envelope_key.h - signs message headers with ML-DSA-65 (FIPS 204, pure, with a context string).
 *
 * The key's name is H of its SubjectPublicKeyInfo. Verifying is the keyring's (keyring.h).
 */
#pragma once

#include "identity/identity_files.h"
#include "wire/signer.h"

enum {
    ENVELOPE_CONTEXT_MAX = 255,      /* bytes of a context string, FIPS 204 section 5.2 */
    ENVELOPE_SIGNATURE_BYTES = 3309, /* FIPS 204 table 2 */
};

enum envelope_signer_flags {
    ENVELOPE_DETERMINISTIC = 1 /* for tests: no randomness is mixed in */
};

/*
 * Makes a signer of the key and its certificate; takes references of its own. Its sign gives INVAL
 * for a context that is empty or too long, IO where OpenSSL fails.
 * INVAL where the key is no ML-DSA-65 private key, IDENTITY where it is not the certificate's.
 */
[[nodiscard]] enum status envelope_signer_create(EVP_PKEY *key, X509 *certificate, uint32_t flags,
                                                 struct signer *ret_signer, struct error *err);

/* Frees what envelope_signer_create made. A zeroed signer is allowed. */
void envelope_signer_destroy(struct signer *signer);

/*
 * Is it the key's signature of message under context? SIGNATURE where not, INVAL for a bad context,
 * NO_MEMORY. Thread-safe.
 */
[[nodiscard]] enum status envelope_signature_verify(EVP_PKEY *key, const char *context,
                                                    struct slice message, struct slice signature,
                                                    struct error *err);

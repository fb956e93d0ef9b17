/*
 * signer.h - how headers are signed and verified: an ops table.
 *
 * Not here: ML-DSA keys, certificates and their validity (identity/).
 */
#pragma once

#include "base/bytes.h"
#include "base/digest.h"
#include "base/status.h"

#include <stddef.h>
#include <stdint.h>

enum {
    SIGNATURE_BYTES_MAX = 4096,
    SPIFFE_ID_MAX = 256, /* bytes with the zero; the standard allows 2,048, Fedra takes 255 so that
                            an id fits fixed records */
};

struct signer_ops {
    /*
     * Signs a message under a context string. Called from any thread; does not block on I/O.
     * message and context stay the caller's. ret_signature has SIGNATURE_BYTES_MAX room.
     */
    enum status (*sign)(void *state, const char *context, struct slice message,
                        uint8_t *ret_signature, size_t *ret_size);
};

/* Who signs. The state belongs to whoever made it and must outlive every use. */
struct signer {
    const struct signer_ops *ops;
    void *state;
    struct digest key_id;
    char spiffe_id[SPIFFE_ID_MAX];
};

struct verifier_ops {
    /*
     * Verifies with the key named key_id, which must be known and valid at now_unix_s (seconds).
     * Gives the key's SPIFFE id. IDENTITY for an unknown or expired key, SIGNATURE where it does
     * not match. Called from any thread; does not block on I/O.
     */
    enum status (*verify)(void *state, const struct digest *key_id, const char *context,
                          struct slice message, struct slice signature, int64_t now_unix_s,
                          char ret_spiffe_id[SPIFFE_ID_MAX], struct error *err);
};

struct verifier {
    const struct verifier_ops *ops;
    void *state;
};

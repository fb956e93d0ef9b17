/*
 * authority.h - the local authority: a folder with two roots that certifies identities.
 *
 * A P-256 root certifies P-256 TLS keys (any gRPC verifies those), an ML-DSA-65 root certifies
 * envelope keys and, by choice, ML-DSA-65 TLS keys. The requester makes its keys and proves that it
 * has them. Not here: who may ask for what (authority_service.h).
 */
#pragma once

#include "base/bytes.h"
#include "identity/spiffe_id.h"

#include <stdint.h>

enum {
    AUTHORITY_TTL_MIN_S = 1,
    AUTHORITY_TTL_MAX_S = 366 * 86400,
    AUTHORITY_ROOT_TTL_S = 3652 * 86400, /* ten years */
    AUTHORITY_BACKDATE_S = 60,           /* for clocks that are behind */
    AUTHORITY_CSR_BYTES_MAX = 16384,
};

struct authority;

/*
 * Makes the folder dir (0700, must not exist or be empty) with new roots: p256.key, ml-dsa-65.key
 * (0600), p256.pem, ml-dsa-65.pem, bundle.pem, FORMAT (version and trust domain). What was written
 * is removed again on failure. EXISTS where anything is there, INVAL, LIMIT, IO, NO_SPACE,
 * NO_MEMORY.
 */
[[nodiscard]] enum status authority_init(const char *dir, const char *trust_domain,
                                         int64_t now_unix_s, struct error *err);

/*
 * Opens it. NOT_FOUND, VERSION, CORRUPT, PERMISSION where others can read the keys (with the chmod
 * that mends it), IO, NO_MEMORY.
 */
[[nodiscard]] enum status authority_open(const char *dir, struct authority **ret_authority,
                                         struct error *err);

/* Wipes the keys. Null is allowed. */
void authority_close(struct authority *authority);

/* The name of its trust domain, and its roots in PEM; they belong to it. */
const char *authority_trust_domain(const struct authority *authority);
struct slice authority_bundle(const struct authority *authority);

/*
 * Certifies the key of a request for spiffe_id, from a minute before now_unix_s to ttl_s after it,
 * but never beyond the root. What the request says besides its key is not used. Thread-safe.
 *
 * csr         PKCS#10 in DER; P-256 or ML-DSA-65, which picks the root.
 * spiffe_id   of this trust domain, with a path.
 * ttl_s       in [AUTHORITY_TTL_MIN_S, AUTHORITY_TTL_MAX_S].
 * ret_der     the certificate is appended; it is issued by the root, so it is the whole chain.
 *
 * PEER for a request that is malformed, has another kind of key or is not signed by its key; INVAL
 * for spiffe_id and ttl_s; LIMIT for a request that is too large and where now is not within the
 * root's own dates; IO where OpenSSL fails, NO_MEMORY.
 */
[[nodiscard]] enum status authority_issue(const struct authority *authority, struct slice csr,
                                          const char *spiffe_id, uint32_t ttl_s, int64_t now_unix_s,
                                          struct bytes *ret_der, struct error *err);

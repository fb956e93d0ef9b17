/*
 * keyring.h - the envelope keys of everybody known: by key id, each with its certificate.
 *
 * Bounded: when it is full, keys that are expired make room, then new ones are refused. One SPIFFE
 * ID holds at most KEYRING_KEYS_OF_ONE_MAX keys; a further one makes all that are expired go but
 * the newest, then that which ends first.
 * Thread-safe throughout.
 */
#pragma once

#include "identity/svid.h"
#include "wire/signer.h"

enum { KEYRING_KEYS_MAX = 1 << 20, KEYRING_KEYS_OF_ONE_MAX = 8 };

struct keyring;

/*
 * trust     whose roots certify keys; a reference is taken.
 * keys_max  in [1, KEYRING_KEYS_MAX].
 */
[[nodiscard]] enum status keyring_create(struct trust *trust, size_t keys_max,
                                         struct keyring **ret_keyring, struct error *err);
void keyring_destroy(struct keyring *keyring);

/* Keys that are added from now on are certified by the roots of trust; a reference is taken. */
void keyring_set_trust(struct keyring *keyring, struct trust *trust);

/*
 * Adds the key of a chain (DER, leaf first, without the root) after validation at now_unix_s:
 * svid.h's rules, ML-DSA-65 from leaf to root. A known key gets the certificate that ends later.
 * PEER, IDENTITY, LIMIT, NO_MEMORY. ret_info may be null.
 */
[[nodiscard]] enum status keyring_add(struct keyring *keyring, const struct slice *certificates,
                                      size_t count, int64_t now_unix_s, struct svid_info *ret_info,
                                      struct error *err);

/* What the certificate of a key says. NOT_FOUND. */
[[nodiscard]] enum status keyring_find(struct keyring *keyring, const struct digest *key_id,
                                       struct svid_info *ret_info);

/* Appends the chain of a key to ret_der: its certificates in DER, one after the other. NOT_FOUND,
 * LIMIT, NO_MEMORY. */
[[nodiscard]] enum status keyring_find_certificate(struct keyring *keyring,
                                                   const struct digest *key_id,
                                                   struct bytes *ret_der);

/* How many keys it holds now. */
size_t keyring_count(struct keyring *keyring);

/*
 * The verifier over this keyring, which must outlive it. Its verify gives IDENTITY for a key that
 * is unknown or not valid at that time, SIGNATURE, INVAL for a bad context.
 */
struct verifier keyring_verifier(struct keyring *keyring);

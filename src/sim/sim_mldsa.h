/*
 * sim_mldsa.h - ML-DSA-65 in the place of the keyed hash, as the daemon signs, but with keys that
 * follow from the names and without randomness: a run is the same again.
 *
 * A signature costs a millisecond: for one run in a hundred (struct sim_plan, is_mldsa).
 */
#pragma once

#include "sim/keyed_signer.h"

struct mldsa_keys;

/* Keys of the ring's names, made when they are first asked for. Aborts where OpenSSL fails. */
struct mldsa_keys *mldsa_keys_create(const struct keyed_ring *ring);
void mldsa_keys_destroy(struct mldsa_keys *keys); /* null is allowed */

/* Signs as the name of that index; the keys must outlive it. */
void mldsa_signer_init(struct signer *signer, struct mldsa_keys *keys, uint32_t index,
                       uint32_t generation);

/* Verifies with the keys that were asked for; the ring's is_valid decides which of them count. */
struct mldsa_ring {
    struct mldsa_keys *keys;
    const struct keyed_ring *ring;
};

void mldsa_verifier_init(struct verifier *verifier, struct mldsa_ring *ring);

/* The generation of a key that was asked for. */
uint32_t mldsa_generation(const struct mldsa_keys *keys, const struct digest *key_id);

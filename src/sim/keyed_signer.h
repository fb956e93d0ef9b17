/*
 * keyed_signer.h - the simulator's stand-in for ML-DSA: SHA-256 over a key that follows from the
 * signer's name, the context and the message. Thousands of times as fast, the same on every run.
 *
 * It protects nothing: whoever knows the name can sign. Only build/fedra-sim links it; a test looks
 * for its symbols in build/fedra.
 */
#pragma once

#include "wire/signer.h"

/* Names that can be verified; the caller's, name i of index i. A name has a key a generation. */
struct keyed_ring {
    const char *const *names;
    uint32_t count;
    /* Null: all generations are known and valid at any time. */
    bool (*is_valid)(void *context, uint32_t index, uint32_t generation);
    void *context;
};

/* Signs as names[index]. Its key lies in the signer itself, which must stay where it is. */
void keyed_signer_init(struct signer *signer, const struct keyed_ring *ring, uint32_t index,
                       uint32_t generation);
/* The generation of a key. */
uint32_t keyed_generation(const struct digest *key_id);

/* Verifies what such a signer signed; IDENTITY for a key of no name or not valid, SIGNATURE. The
 * ring must outlive it. */
void keyed_verifier_init(struct verifier *verifier, struct keyed_ring *ring);

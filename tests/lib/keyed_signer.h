/*
 * keyed_signer.h - a signer and verifier for tests: SHA-256 over key, context and message.
 *
 * Not secure, on purpose fast and the same on every run. Never linked into the product.
 */
#pragma once

#include "base/bytes.h"
#include "wire/signer.h"

#include <stdlib.h>
#include <string.h>

enum { KEYED_COUNT_MAX = 4 };

/* Up to four keys: key i belongs to names[i] and is valid until valid_until_s[i]. */
struct keyed_ring {
    size_t count;
    const char *names[KEYED_COUNT_MAX];
    int64_t valid_until_s[KEYED_COUNT_MAX];
    enum status sign_fails; /* what sign answers; OK signs */
};

/* The key's id is the digest of its owner's name. */
static inline struct digest keyed_id(const char *name)
{
    struct digest id;
    digest_of(name, strlen(name), &id);
    return id;
}

static inline void keyed_tag(const struct digest *key, const char *context, struct slice message,
                             struct digest *ret_tag)
{
    struct digest parts[3] = {*key};
    digest_of(context, strlen(context), &parts[1]);
    digest_of(message.data, message.size, &parts[2]);
    digest_of(parts, sizeof(parts), ret_tag);
}

struct keyed_signer {
    struct keyed_ring *ring;
    struct digest key_id;
};

static inline enum status keyed_sign(void *state, const char *context, struct slice message,
                                     uint8_t *ret_signature, size_t *ret_size)
{
    const struct keyed_signer *const signer = (const struct keyed_signer *)state;
    if (signer->ring->sign_fails != STATUS_OK)
        return signer->ring->sign_fails;
    struct digest tag;
    keyed_tag(&signer->key_id, context, message, &tag);
    memcpy(ret_signature, tag.bytes, DIGEST_BYTES);
    *ret_size = DIGEST_BYTES;
    return STATUS_OK;
}

static inline enum status keyed_verify(void *state, const struct digest *key_id,
                                       const char *context, struct slice message,
                                       struct slice signature, int64_t now_unix_s,
                                       char ret_spiffe_id[256], struct error *err)
{
    const struct keyed_ring *const ring = (const struct keyed_ring *)state;
    for (size_t i = 0; i < ring->count; i++) {
        const struct digest id = keyed_id(ring->names[i]);
        if (!digest_equal(&id, key_id))
            continue;
        if (now_unix_s > ring->valid_until_s[i])
            return error_set(err, STATUS_IDENTITY, "the key of %s has expired", ring->names[i]);
        struct digest tag;
        keyed_tag(key_id, context, message, &tag);
        if (signature.size != DIGEST_BYTES || memcmp(signature.data, tag.bytes, DIGEST_BYTES) != 0)
            return STATUS_SIGNATURE;
        strcpy(ret_spiffe_id, ring->names[i]);
        return STATUS_OK;
    }
    return error_set(err, STATUS_IDENTITY, "no such key");
}

static inline struct signer keyed_signer_for(struct keyed_signer *state)
{
    static const struct signer_ops ops = {keyed_sign};
    struct signer signer = {.ops = &ops, .state = state, .key_id = state->key_id};
    return signer;
}

static inline struct verifier keyed_verifier_for(struct keyed_ring *ring)
{
    static const struct verifier_ops ops = {keyed_verify};
    return (struct verifier){&ops, ring};
}

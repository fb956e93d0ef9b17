/*
 * keyed_signer.c - signatures that prove nothing to anybody but a simulation.
 */
#include "sim/keyed_signer.h"

#include <stdio.h>
#include <string.h>

/* The digest of the name, with index and generation in front: found without a search. */
static struct digest key_of(const struct keyed_ring *ring, uint32_t index, uint32_t generation)
{
    struct digest key;
    digest_of(ring->names[index], strlen(ring->names[index]), &key);
    store_u32le(key.bytes, index);
    store_u32le(key.bytes + sizeof(index), generation);
    return key;
}

static void tag_of(const struct digest *key, const char *context, struct slice message,
                   struct digest *ret_tag)
{
    struct digest parts[3] = {*key};
    digest_of(context, strlen(context), &parts[1]);
    digest_of(message.data, message.size, &parts[2]);
    digest_of(parts, sizeof(parts), ret_tag);
}

/* The state is the key. */
static enum status keyed_sign(void *state, const char *context, struct slice message,
                              uint8_t *ret_signature, size_t *ret_size)
{
    struct digest tag;
    tag_of((const struct digest *)state, context, message, &tag);
    memcpy(ret_signature, tag.bytes, DIGEST_BYTES);
    *ret_size = DIGEST_BYTES;
    return STATUS_OK;
}

static enum status keyed_verify(void *state, const struct digest *key_id, const char *context,
                                struct slice message, struct slice signature, int64_t now_unix_s,
                                char ret_spiffe_id[SPIFFE_ID_MAX], struct error *err)
{
    const struct keyed_ring *const ring = (const struct keyed_ring *)state;
    const uint32_t index = load_u32le(key_id->bytes);
    if (index >= ring->count)
        return error_set(err, STATUS_IDENTITY, "no such key");
    const uint32_t generation = keyed_generation(key_id);
    const struct digest key = key_of(ring, index, generation);
    if (!digest_equal(&key, key_id))
        return error_set(err, STATUS_IDENTITY, "no such key");
    if (ring->is_valid != nullptr && !ring->is_valid(ring->context, index, generation))
        return error_set(err, STATUS_IDENTITY, "a key that is unknown, or not valid any more");
    struct digest tag;
    tag_of(&key, context, message, &tag);
    if (signature.size != DIGEST_BYTES || memcmp(signature.data, tag.bytes, DIGEST_BYTES) != 0)
        return error_set(err, STATUS_SIGNATURE, "the signature does not match");
    snprintf(ret_spiffe_id, SPIFFE_ID_MAX, "%s", ring->names[index]);
    return STATUS_OK;
}

uint32_t keyed_generation(const struct digest *key_id)
{
    return load_u32le(key_id->bytes + sizeof(uint32_t));
}

void keyed_signer_init(struct signer *signer, const struct keyed_ring *ring, uint32_t index,
                       uint32_t generation)
{
    static const struct signer_ops ops = {keyed_sign};
    *signer = (struct signer){.ops = &ops, .key_id = key_of(ring, index, generation)};
    signer->state = &signer->key_id;
    snprintf(signer->spiffe_id, sizeof(signer->spiffe_id), "%s", ring->names[index]);
}

void keyed_verifier_init(struct verifier *verifier, struct keyed_ring *ring)
{
    static const struct verifier_ops ops = {keyed_verify};
    *verifier = (struct verifier){.ops = &ops, .state = ring};
}

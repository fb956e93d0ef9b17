/*
 * sim_mldsa.c - see sim_mldsa.h. Certificates as the authority makes them, signers as the daemon
 * has them (identity/envelope_key.h).
 */
#include "sim/sim_mldsa.h"

#include "base/check.h"
#include "identity/authority_certificate.h"
#include "identity/envelope_key.h"

#include <openssl/core_names.h>
#include <stdlib.h>
#include <string.h>

enum { VALID_UNTIL_UNIX_S = 2000000000 };

struct mldsa_key {
    uint32_t index;
    uint32_t generation;
    EVP_PKEY *key;
    struct signer signer;
};

struct mldsa_keys {
    const struct keyed_ring *ring;
    EVP_PKEY *root_key;
    X509 *root;
    struct mldsa_key *items;
    uint32_t count;
    uint32_t capacity;
};

/* FIPS 204, algorithm 6, of a seed that is the digest of the text. */
static EVP_PKEY *derive(const char *text)
{
    struct digest seed;
    EVP_PKEY *key = nullptr;
    digest_of(text, strlen(text), &seed);
    EVP_PKEY_CTX *const context = EVP_PKEY_CTX_new_from_name(nullptr, "ML-DSA-65", nullptr);
    const OSSL_PARAM params[] = {
        OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_ML_DSA_SEED, seed.bytes, DIGEST_BYTES),
        OSSL_PARAM_construct_end()};
    CHECK(context != nullptr && EVP_PKEY_keygen_init(context) == 1 &&
          EVP_PKEY_CTX_set_params(context, params) == 1 && EVP_PKEY_generate(context, &key) == 1);
    EVP_PKEY_CTX_free(context);
    return key;
}

struct mldsa_keys *mldsa_keys_create(const struct keyed_ring *ring)
{
    struct mldsa_keys *const keys = calloc(1, sizeof(*keys));
    CHECK(keys != nullptr);
    keys->ring = ring;
    keys->root_key = derive("root");
    const struct certificate_plan plan = {.uri = "spiffe://sim",
                                          .common_name = "simulation",
                                          .key = keys->root_key,
                                          .issuer_key = keys->root_key,
                                          .not_after_unix_s = VALID_UNTIL_UNIX_S};
    CHECK(certificate_make(&plan, &keys->root, nullptr) == STATUS_OK);
    return keys;
}

void mldsa_keys_destroy(struct mldsa_keys *keys)
{
    if (keys == nullptr)
        return;
    for (uint32_t i = 0; i < keys->count; i++) {
        envelope_signer_destroy(&keys->items[i].signer);
        EVP_PKEY_free(keys->items[i].key);
    }
    X509_free(keys->root);
    EVP_PKEY_free(keys->root_key);
    free(keys->items);
    free(keys);
}

static const struct mldsa_key *add_key(struct mldsa_keys *keys, uint32_t index, uint32_t generation)
{
    char text[SPIFFE_ID_MAX + 16];
    X509 *certificate = nullptr;
    if (keys->count == keys->capacity) {
        keys->capacity = keys->capacity > 0 ? 2 * keys->capacity : 64;
        keys->items = reallocarray(keys->items, keys->capacity, sizeof(*keys->items));
        CHECK(keys->items != nullptr);
    }
    struct mldsa_key *const item = &keys->items[keys->count++];
    snprintf(text, sizeof(text), "%s#%u", keys->ring->names[index], generation);
    *item = (struct mldsa_key){.index = index, .generation = generation, .key = derive(text)};
    const struct certificate_plan plan = {.uri = keys->ring->names[index],
                                          .key = item->key,
                                          .issuer = keys->root,
                                          .issuer_key = keys->root_key,
                                          .not_after_unix_s = VALID_UNTIL_UNIX_S};
    CHECK(certificate_make(&plan, &certificate, nullptr) == STATUS_OK);
    CHECK(envelope_signer_create(item->key, certificate, ENVELOPE_DETERMINISTIC, &item->signer,
                                 nullptr) == STATUS_OK);
    X509_free(certificate);
    return item;
}

void mldsa_signer_init(struct signer *signer, struct mldsa_keys *keys, uint32_t index,
                       uint32_t generation)
{
    uint32_t i = 0;
    while (i < keys->count &&
           (keys->items[i].index != index || keys->items[i].generation != generation))
        i++;
    *signer = i < keys->count ? keys->items[i].signer : add_key(keys, index, generation)->signer;
}

static const struct mldsa_key *find_key(const struct mldsa_keys *keys, const struct digest *key_id)
{
    uint32_t i = 0;
    while (i < keys->count && !digest_equal(&keys->items[i].signer.key_id, key_id))
        i++;
    return i < keys->count ? &keys->items[i] : nullptr;
}

uint32_t mldsa_generation(const struct mldsa_keys *keys, const struct digest *key_id)
{
    const struct mldsa_key *const key = find_key(keys, key_id);
    CHECK(key != nullptr);
    return key->generation;
}

static enum status verify(void *state, const struct digest *key_id, const char *context,
                          struct slice message, struct slice signature, int64_t now_unix_s,
                          char ret_spiffe_id[SPIFFE_ID_MAX], struct error *err)
{
    const struct mldsa_ring *const of = (const struct mldsa_ring *)state;
    const struct mldsa_key *const key = find_key(of->keys, key_id);
    if (key == nullptr)
        return error_set(err, STATUS_IDENTITY, "no such key");
    if (of->ring->is_valid != nullptr &&
        !of->ring->is_valid(of->ring->context, key->index, key->generation))
        return error_set(err, STATUS_IDENTITY, "a key that is unknown, or not valid any more");
    const enum status status =
        envelope_signature_verify(key->key, context, message, signature, err);
    if (status == STATUS_OK)
        snprintf(ret_spiffe_id, SPIFFE_ID_MAX, "%s", of->ring->names[key->index]);
    return status;
}

void mldsa_verifier_init(struct verifier *verifier, struct mldsa_ring *ring)
{
    static const struct verifier_ops ops = {verify};
    *verifier = (struct verifier){.ops = &ops, .state = ring};
}

/*
 * keyring.c - keys sorted by key id under a reader-writer lock.
 *
 * An entry is never changed while somebody verifies with it: its key is referenced first.
 */
#include "identity/keyring.h"

#include "base/check.h"
#include "identity/envelope_key.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

struct entry {
    struct svid_info info;
    EVP_PKEY *key;
    STACK_OF(X509) * chain;
};

struct keyring {
    pthread_rwlock_t lock;
    struct trust *trust;
    size_t keys_max;
    size_t count;
    size_t capacity;
    struct entry *entries; /* ascending by key id */
};

enum status keyring_create(struct trust *trust, size_t keys_max, struct keyring **ret_keyring,
                           struct error *err)
{
    if (keys_max < 1 || keys_max > KEYRING_KEYS_MAX)
        return error_set(err, STATUS_INVAL, "a keyring has room for 1 to %d keys, not %zu",
                         KEYRING_KEYS_MAX, keys_max);
    struct keyring *const keyring = calloc(1, sizeof(*keyring));
    if (keyring == nullptr || pthread_rwlock_init(&keyring->lock, nullptr) != 0) {
        free(keyring);
        return error_set(err, STATUS_NO_MEMORY, "no memory for a keyring");
    }
    keyring->trust = trust_ref(trust);
    keyring->keys_max = keys_max;
    *ret_keyring = keyring;
    return STATUS_OK;
}

static void entry_deinit(struct entry *entry)
{
    EVP_PKEY_free(entry->key);
    sk_X509_pop_free(entry->chain, X509_free);
}

void keyring_destroy(struct keyring *keyring)
{
    if (keyring == nullptr)
        return;
    for (size_t i = 0; i < keyring->count; i++)
        entry_deinit(&keyring->entries[i]);
    free(keyring->entries);
    trust_unref(keyring->trust);
    pthread_rwlock_destroy(&keyring->lock);
    free(keyring);
}

void keyring_set_trust(struct keyring *keyring, struct trust *trust)
{
    pthread_rwlock_wrlock(&keyring->lock);
    struct trust *const before = keyring->trust;
    keyring->trust = trust_ref(trust);
    pthread_rwlock_unlock(&keyring->lock);
    trust_unref(before);
}

/* The first place whose key id is not below key_id. */
static size_t lower_bound(const struct keyring *keyring, const struct digest *key_id)
{
    size_t first = 0;
    size_t end = keyring->count;
    while (first < end) {
        const size_t middle = first + (end - first) / 2;
        if (memcmp(keyring->entries[middle].info.key_id.bytes, key_id->bytes, DIGEST_BYTES) < 0)
            first = middle + 1;
        else
            end = middle;
    }
    return first;
}

static struct entry *find(const struct keyring *keyring, const struct digest *key_id)
{
    const size_t at = lower_bound(keyring, key_id);
    if (at == keyring->count || !digest_equal(&keyring->entries[at].info.key_id, key_id))
        return nullptr;
    return &keyring->entries[at];
}

static void remove_at(struct keyring *keyring, size_t at)
{
    entry_deinit(&keyring->entries[at]);
    keyring->count--;
    memmove(keyring->entries + at, keyring->entries + at + 1,
            sizeof(*keyring->entries) * (keyring->count - at));
}

/*
 * Of an id's keys that are expired only the newest stays: a commit may still ask for the
 * certificate of what was signed with it.
 */
static void forget_expired_of_one(struct keyring *keyring, const char *spiffe_id,
                                  int64_t now_unix_s)
{
    int64_t newest = INT64_MIN;
    for (size_t i = keyring->count; i > 0; i--) {
        const struct svid_info *const info = &keyring->entries[i - 1].info;
        if (info->not_after_unix_s <= now_unix_s && info->not_after_unix_s > newest &&
            strcmp(info->id.text, spiffe_id) == 0)
            newest = info->not_after_unix_s;
    }
    for (size_t i = keyring->count; i > 0; i--) {
        const struct svid_info *const info = &keyring->entries[i - 1].info;
        if (info->not_after_unix_s < newest && strcmp(info->id.text, spiffe_id) == 0)
            remove_at(keyring, i - 1);
    }
}

/* One SPIFFE ID holds a few keys only: the one that ends first makes room. */
static void limit_keys_of_one(struct keyring *keyring, const char *spiffe_id, int64_t now_unix_s)
{
    size_t held = 0;
    size_t first_to_end = 0;
    forget_expired_of_one(keyring, spiffe_id, now_unix_s);
    for (size_t i = 0; i < keyring->count; i++) {
        if (strcmp(keyring->entries[i].info.id.text, spiffe_id) != 0)
            continue;
        if (held == 0 || keyring->entries[i].info.not_after_unix_s <
                             keyring->entries[first_to_end].info.not_after_unix_s)
            first_to_end = i;
        held++;
    }
    if (held >= KEYRING_KEYS_OF_ONE_MAX)
        remove_at(keyring, first_to_end);
}

static void forget_expired(struct keyring *keyring, int64_t now_unix_s)
{
    for (size_t i = keyring->count; i > 0; i--) {
        if (keyring->entries[i - 1].info.not_after_unix_s <= now_unix_s)
            remove_at(keyring, i - 1);
    }
}

static enum status make_room(struct keyring *keyring, int64_t now_unix_s, struct error *err)
{
    if (keyring->count == keyring->keys_max)
        forget_expired(keyring, now_unix_s);
    if (keyring->count == keyring->keys_max)
        return error_set(err, STATUS_LIMIT,
                         "%zu signing keys are known, which is all there is "
                         "room for",
                         keyring->count);
    if (keyring->count < keyring->capacity)
        return STATUS_OK;
    const size_t capacity = keyring->capacity > 0 ? 2 * keyring->capacity : 16;
    struct entry *const grown = realloc(keyring->entries, sizeof(*grown) * capacity);
    if (grown == nullptr)
        return error_set(err, STATUS_NO_MEMORY, "no memory for a signing key");
    keyring->entries = grown;
    keyring->capacity = capacity;
    return STATUS_OK;
}

/* Takes the entry where it gives OK. */
static enum status insert(struct keyring *keyring, const struct entry *entry, int64_t now_unix_s,
                          struct error *err)
{
    struct entry *const known = find(keyring, &entry->info.key_id);
    if (known != nullptr) {
        if (known->info.not_after_unix_s >= entry->info.not_after_unix_s)
            return STATUS_EXISTS; /* what is known ends later: it stays */
        entry_deinit(known);
        *known = *entry;
        return STATUS_OK;
    }
    limit_keys_of_one(keyring, entry->info.id.text, now_unix_s);
    const enum status status = make_room(keyring, now_unix_s, err);
    if (status != STATUS_OK)
        return status;
    const size_t at = lower_bound(keyring, &entry->info.key_id);
    memmove(keyring->entries + at + 1, keyring->entries + at,
            sizeof(*keyring->entries) * (keyring->count - at));
    keyring->entries[at] = *entry;
    keyring->count++;
    return STATUS_OK;
}

enum status keyring_add(struct keyring *keyring, const struct slice *certificates, size_t count,
                        int64_t now_unix_s, struct svid_info *ret_info, struct error *err)
{
    struct entry entry = {0};
    enum status status = svid_chain_decode(certificates, count, &entry.chain, err);
    if (status != STATUS_OK)
        return status;
    pthread_rwlock_rdlock(&keyring->lock);
    struct trust *const trust = trust_ref(keyring->trust);
    pthread_rwlock_unlock(&keyring->lock);
    X509 *const leaf = sk_X509_value(entry.chain, 0);
    status = svid_verify(trust, leaf, entry.chain, now_unix_s, SVID_ML_DSA_ONLY, nullptr,
                         &entry.info, err);
    trust_unref(trust);
    if (status == STATUS_OK) {
        entry.key = X509_get_pubkey(leaf);
        status = entry.key != nullptr ? STATUS_OK
                                      : error_set(err, STATUS_NO_MEMORY, "no memory for a key");
    }
    const struct svid_info info = entry.info;
    if (status == STATUS_OK) {
        pthread_rwlock_wrlock(&keyring->lock);
        status = insert(keyring, &entry, now_unix_s, err);
        pthread_rwlock_unlock(&keyring->lock);
    }
    if (status != STATUS_OK)
        entry_deinit(&entry);
    if (status == STATUS_EXISTS)
        status = STATUS_OK;
    if (status == STATUS_OK && ret_info != nullptr)
        *ret_info = info;
    return status;
}

enum status keyring_find(struct keyring *keyring, const struct digest *key_id,
                         struct svid_info *ret_info)
{
    pthread_rwlock_rdlock(&keyring->lock);
    const struct entry *const entry = find(keyring, key_id);
    if (entry != nullptr)
        *ret_info = entry->info;
    pthread_rwlock_unlock(&keyring->lock);
    return entry != nullptr ? STATUS_OK : STATUS_NOT_FOUND;
}

static enum status append_chain(const struct entry *entry, struct bytes *ret_der)
{
    const size_t before = ret_der->size;
    enum status status = STATUS_OK;
    for (int i = 0; i < sk_X509_num(entry->chain) && status == STATUS_OK; i++) {
        uint8_t *der = nullptr;
        const int size = i2d_X509(sk_X509_value(entry->chain, i), &der);
        status = size > 0 ? bytes_append(ret_der, der, (size_t)size) : STATUS_NO_MEMORY;
        OPENSSL_free(der);
    }
    if (status != STATUS_OK)
        ret_der->size = before;
    return status;
}

enum status keyring_find_certificate(struct keyring *keyring, const struct digest *key_id,
                                     struct bytes *ret_der)
{
    pthread_rwlock_rdlock(&keyring->lock);
    const struct entry *const entry = find(keyring, key_id);
    const enum status status = entry != nullptr ? append_chain(entry, ret_der) : STATUS_NOT_FOUND;
    pthread_rwlock_unlock(&keyring->lock);
    return status;
}

size_t keyring_count(struct keyring *keyring)
{
    pthread_rwlock_rdlock(&keyring->lock);
    const size_t count = keyring->count;
    pthread_rwlock_unlock(&keyring->lock);
    return count;
}

static enum status verify(void *state, const struct digest *key_id, const char *context,
                          struct slice message, struct slice signature, int64_t now_unix_s,
                          char ret_spiffe_id[SPIFFE_ID_MAX], struct error *err)
{
    struct keyring *const keyring = state;
    struct svid_info info;
    EVP_PKEY *key = nullptr;
    pthread_rwlock_rdlock(&keyring->lock);
    const struct entry *const entry = find(keyring, key_id);
    if (entry != nullptr) {
        info = entry->info;
        key = entry->key;
        CHECK(EVP_PKEY_up_ref(key) == 1);
    }
    pthread_rwlock_unlock(&keyring->lock);
    if (key == nullptr)
        return error_set(err, STATUS_IDENTITY,
                         "the signing key is not known; its certificate comes with the Join");
    enum status status = STATUS_OK;
    if (now_unix_s < info.not_before_unix_s || now_unix_s >= info.not_after_unix_s)
        status = error_set(err, STATUS_IDENTITY,
                           "the certificate of %s's signing key is not "
                           "valid at this time",
                           info.id.text);
    else
        status = envelope_signature_verify(key, context, message, signature, err);
    EVP_PKEY_free(key);
    if (status == STATUS_OK)
        memcpy(ret_spiffe_id, info.id.text, SPIFFE_ID_MAX);
    return status;
}

struct verifier keyring_verifier(struct keyring *keyring)
{
    static const struct verifier_ops ops = {.verify = verify};
    return (struct verifier){.ops = &ops, .state = keyring};
}

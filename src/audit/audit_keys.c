/*
 * audit_keys.c - the certificates beside the records, and the signatures that they are for.
 *
 * A certificate is judged within its own life, a signature by the time of its record: both hold
 * long after the certificates have ended.
 */
#include "audit/audit_internal.h"

#include "identity/envelope_key.h"
#include "identity/trust.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The certificates of a chain that lie one after another, each encoded as it is decoded. */
static bool decode_chain(struct slice der, STACK_OF(X509) * chain)
{
    const uint8_t *at = der.data;
    const uint8_t *const end = der.data + der.size;
    while (at < end) {
        const uint8_t *const begin = at;
        uint8_t *again = nullptr;
        X509 *const certificate = d2i_X509(nullptr, &at, end - at);
        if (certificate == nullptr || sk_X509_push(chain, certificate) <= 0) {
            X509_free(certificate);
            return false;
        }
        const int size = i2d_X509(certificate, &again);
        const bool same = size == at - begin && memcmp(again, begin, (size_t)size) == 0;
        OPENSSL_free(again);
        if (!same)
            return false;
    }
    return sk_X509_num(chain) > 0;
}

/* The roots are those of the trust domain that the first certificate names. */
static enum status load_roots(struct audit *audit, const char *trust_domain, struct error *err)
{
    char path[DURABLE_PATH_MAX];
    struct bytes pem;
    if (audit->options->bundle != nullptr)
        snprintf(path, sizeof(path), "%s", audit->options->bundle);
    else
        snprintf(path, sizeof(path), "%.900s/identity/coordinator/bundle.pem",
                 audit->options->folder);
    bytes_init(&pem, TRUST_BUNDLE_BYTES_MAX);
    enum status status = durable_file_read(path, &pem, err);
    if (status == STATUS_OK)
        status = trust_create(&audit->trust);
    if (status == STATUS_OK)
        status = trust_add_pem(audit->trust, trust_domain, bytes_slice(&pem), err);
    if (status != STATUS_OK)
        status = error_prefix(err, status, "no roots to verify with (--bundle FILE names others)");
    bytes_deinit(&pem);
    snprintf(audit->trust_domain, sizeof(audit->trust_domain), "%s", trust_domain);
    return status;
}

enum status audit_read_trust(struct audit *audit, struct error *err)
{
    sqlite3_stmt *const statement =
        audit_prepare(audit, "SELECT der FROM certificates ORDER BY key_id");
    char trust_domain[SPIFFE_ID_MAX] = "";
    while (trust_domain[0] == 0 && audit_step(audit, statement, "b") == AUDIT_ROW) {
        STACK_OF(X509) *const chain = sk_X509_new_null();
        struct svid_info info;
        if (chain != nullptr && decode_chain(audit_bytes(statement, 0), chain) &&
            svid_check_leaf(sk_X509_value(chain, 0), &info, nullptr) == STATUS_OK)
            memcpy(trust_domain, info.id.trust_domain, sizeof(trust_domain));
        sk_X509_pop_free(chain, X509_free);
    }
    sqlite3_finalize(statement);
    if (trust_domain[0] == 0)
        return STATUS_OK; /* nothing to verify, or every certificate is damaged and will be named */
    return load_roots(audit, trust_domain, err);
}

static enum status add_key(struct audit_keys *keys, const struct audit_key *key, struct error *err)
{
    if (keys->count == keys->capacity) {
        const size_t capacity = keys->capacity == 0 ? 64 : 2 * keys->capacity;
        struct audit_key *const grown = realloc(keys->items, capacity * sizeof(*grown));
        if (grown == nullptr)
            return error_set(err, STATUS_NO_MEMORY, "no memory for the signing keys");
        keys->items = grown;
        keys->capacity = capacity;
    }
    keys->items[keys->count++] = *key;
    return STATUS_OK;
}

/* Gives whether it vouches for a key; ret_key->key is the caller's then. */
static bool take_certificate(struct audit *audit, const struct digest *key_id, struct slice der,
                             struct audit_key *ret_key)
{
    struct error err = {0};
    struct svid_info info;
    bool is_good = false;
    STACK_OF(X509) *const chain = sk_X509_new_null();
    if (chain == nullptr || !decode_chain(der, chain)) {
        audit_find(audit, "a chain of X.509 certificates in DER", "the bytes are no such chain");
        goto out;
    }
    X509 *const leaf = sk_X509_value(chain, 0);
    enum status status = svid_check_leaf(leaf, &info, &err);
    if (status == STATUS_OK && audit->trust != nullptr)
        status = svid_verify(audit->trust, leaf, chain, info.not_before_unix_s, SVID_ML_DSA_ONLY,
                             nullptr, &info, &err);
    if (status != STATUS_OK) {
        audit_find(audit, "a chain to a root of the bundle", "%s", err.text);
        goto out;
    }
    audit_expect_digest(audit, "key_id", key_id, &info.key_id);
    *ret_key = (struct audit_key){info.key_id, info, X509_get_pubkey(leaf)};
    is_good = ret_key->key != nullptr;
out:
    sk_X509_pop_free(chain, X509_free);
    return is_good;
}

static int compare_keys(const void *a, const void *b)
{
    return memcmp(((const struct audit_key *)a)->key_id.bytes,
                  ((const struct audit_key *)b)->key_id.bytes, DIGEST_BYTES);
}

enum status audit_read_keys(struct audit *audit, struct error *err)
{
    audit_at(audit, "state.db, certificates");
    sqlite3_stmt *const statement =
        audit_prepare(audit, "SELECT key_id, der FROM certificates ORDER BY key_id");
    enum status status = STATUS_OK;
    char hex[DIGEST_HEX_MAX];
    struct digest key_id;
    while (status == STATUS_OK && audit_step(audit, statement, "bb") == AUDIT_ROW) {
        struct audit_key key;
        if (audit_digest(audit, statement, 0, &key_id)) {
            digest_to_hex(&key_id, hex);
            audit_at(audit, "state.db, certificates: key %.16s", hex);
        }
        if (take_certificate(audit, &key_id, audit_bytes(statement, 1), &key)) {
            status = add_key(&audit->keys, &key, err);
            audit->job->certificates++;
        }
        audit_at(audit, "state.db, certificates");
    }
    sqlite3_finalize(statement);
    if (audit->keys.count > 0)
        qsort(audit->keys.items, audit->keys.count, sizeof(*audit->keys.items), compare_keys);
    return status;
}

const struct audit_key *audit_find_key(const struct audit *audit, const struct digest *key_id)
{
    const struct audit_key wanted = {.key_id = *key_id};
    return audit->keys.count == 0 ? nullptr
                                  : bsearch(&wanted, audit->keys.items, audit->keys.count,
                                            sizeof(wanted), compare_keys);
}

static void check_validity(struct audit *audit, const char *who, const struct svid_info *info,
                           int64_t from_s, int64_t to_s)
{
    char text[128];
    if (info->not_before_unix_s <= to_s && info->not_after_unix_s > from_s)
        return;
    snprintf(text, sizeof(text), "one that was valid at %" PRId64 " (seconds since 1970)", to_s);
    audit_find(audit, text, "the certificate of %s's key was valid from %" PRId64 " to %" PRId64,
               who, info->not_before_unix_s, info->not_after_unix_s);
}

bool audit_signature(struct audit *audit, const char *who, const struct digest *key_id,
                     const char *context, struct slice message, struct slice signature,
                     int64_t valid_from_s, int64_t valid_to_s, const struct audit_key **ret_key)
{
    const struct audit_key *const key = audit_find_key(audit, key_id);
    struct error err = {0};
    char hex[DIGEST_HEX_MAX];
    if (key == nullptr) {
        digest_to_hex(key_id, hex);
        audit_find(audit, "its certificate in the table certificates",
                   "the signature of %s cannot be verified: its key %.16s is not kept", who, hex);
        return false;
    }
    audit->job->signatures++;
    if (envelope_signature_verify(key->key, context, message, signature, &err) != STATUS_OK) {
        audit_find(audit, "a signature by its key", "the signature of %s: %s", who, err.text);
        return false;
    }
    check_validity(audit, who, &key->info, valid_from_s, valid_to_s);
    *ret_key = key;
    return true;
}

void audit_keys_deinit(struct audit_keys *keys)
{
    for (size_t i = 0; i < keys->count; i++)
        EVP_PKEY_free(keys->items[i].key);
    free(keys->items);
}

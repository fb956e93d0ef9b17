/*
 * authority_identity.c - makes a whole identity with the authority at hand.
 */
#include "identity/authority_identity.h"

#include "identity/renewal.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { PATH_BYTES_MAX = 1100 };

enum status authority_make_identity(const struct authority *authority, const char *spiffe_id,
                                    enum identity_key_kind tls_kind, uint32_t ttl_s,
                                    const char *dir, int64_t now_unix_s, struct error *err)
{
    struct identity_request *request = nullptr;
    struct bytes tls;
    struct bytes envelope;
    bytes_init(&tls, SVID_CERTIFICATE_MAX);
    bytes_init(&envelope, SVID_CERTIFICATE_MAX);
    enum status status = identity_request_create(tls_kind, &request, err);
    if (status == STATUS_OK)
        status = authority_issue(authority, identity_request_tls_csr(request), spiffe_id, ttl_s,
                                 now_unix_s, &tls, err);
    if (status == STATUS_OK)
        status = authority_issue(authority, identity_request_envelope_csr(request), spiffe_id,
                                 ttl_s, now_unix_s, &envelope, err);
    if (status == STATUS_OK) {
        const struct svid_chain tls_chain = {.certificates = {bytes_slice(&tls)}, .count = 1};
        const struct svid_chain envelope_chain = {.certificates = {bytes_slice(&envelope)},
                                                  .count = 1};
        status = identity_install(request, dir, &tls_chain, &envelope_chain,
                                  authority_bundle(authority), now_unix_s, err);
    }
    identity_request_destroy(request);
    bytes_deinit(&tls);
    bytes_deinit(&envelope);
    return status;
}

static enum status read_leaf(const char *path, X509 **ret_leaf, struct error *err)
{
    FILE *const file = fopen(path, "re");
    if (file == nullptr)
        return error_set_errno(err, errno == ENOENT ? STATUS_NOT_FOUND : STATUS_IO, errno, "%s",
                               path);
    X509 *const leaf = PEM_read_X509(file, nullptr, nullptr, nullptr);
    fclose(file);
    if (leaf == nullptr)
        return error_set(err, STATUS_CORRUPT, "%s holds no certificate in PEM", path);
    *ret_leaf = leaf;
    return STATUS_OK;
}

enum status identity_age_read(const char *dir, struct identity_age *ret_age, struct error *err)
{
    char path[PATH_BYTES_MAX];
    struct svid_info info;
    X509 *leaf = nullptr;
    snprintf(path, sizeof(path), "%s/svid.pem", dir);
    enum status status = read_leaf(path, &leaf, err);
    if (status == STATUS_OK)
        status = svid_check_leaf(leaf, &info, err);
    if (status == STATUS_OK) {
        const EVP_PKEY *const key = X509_get0_pubkey(leaf);
        *ret_age = (struct identity_age){
            .id = info.id,
            .tls_kind =
                EVP_PKEY_is_a(key, "ML-DSA-65") ? IDENTITY_KEY_ML_DSA_65 : IDENTITY_KEY_P256,
            .begin_unix_s = renewal_life_begin_s(info.not_before_unix_s, info.not_after_unix_s),
            .end_unix_s = info.not_after_unix_s,
        };
    }
    X509_free(leaf);
    return status;
}

enum status authority_remake_identity(const struct authority *authority, const char *dir,
                                      double share, int64_t now_unix_s, bool *ret_made,
                                      struct error *err)
{
    struct identity_age age;
    const enum status status = identity_age_read(dir, &age, err);
    if (status != STATUS_OK)
        return status;
    const int64_t life_s = age.end_unix_s - age.begin_unix_s;
    *ret_made = (double)(now_unix_s - age.begin_unix_s) >= share * (double)life_s;
    if (!*ret_made)
        return STATUS_OK;
    return authority_make_identity(authority, age.id.text, age.tls_kind, (uint32_t)life_s, dir,
                                   now_unix_s, err);
}

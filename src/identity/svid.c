/*
 * svid.c - X.509-SVIDs: which certificates are taken, and why others are not.
 *
 * Source: X509-SVID.md, sections 2 to 5 (github.com/spiffe/spiffe, standards). Revocation is not
 * checked: SVIDs are short-lived instead.
 */
#include "identity/svid.h"

#include "identity/openssl_error.h"
#include "identity/trust.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <string.h>
#include <time.h>

/* The one URI SAN, or none. *ret_count is how many URI names there are in all. */
static enum status find_uri(X509 *certificate, int *ret_count, struct spiffe_id *ret_id,
                            struct error *err)
{
    enum status status = STATUS_OK;
    int critical = 0;
    int count = 0;
    GENERAL_NAMES *names = X509_get_ext_d2i(certificate, NID_subject_alt_name, &critical, nullptr);
    if (names == nullptr && critical != -1)
        return error_set_openssl(err, STATUS_IDENTITY,
                                 "the subject alternative names are malformed or there twice");
    for (int i = 0; i < sk_GENERAL_NAME_num(names); i++) {
        const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);
        if (name->type != GEN_URI)
            continue;
        if (++count > 1)
            continue;
        const ASN1_IA5STRING *uri = name->d.uniformResourceIdentifier;
        const char *text = (const char *)ASN1_STRING_get0_data(uri);
        const size_t size = (size_t)ASN1_STRING_length(uri);
        if (strnlen(text, size) != size) {
            status = error_set(err, STATUS_IDENTITY, "the URI name holds a zero byte");
            break;
        }
        status = spiffe_id_parse(text, size, ret_id, err);
        if (status != STATUS_OK) {
            status = STATUS_IDENTITY;
            break;
        }
    }
    GENERAL_NAMES_free(names);
    if (status == STATUS_OK)
        *ret_count = count;
    return status;
}

static enum status check_leaf_usage(X509 *leaf, struct error *err)
{
    const uint32_t flags = X509_get_extension_flags(leaf);
    if ((flags & EXFLAG_INVALID) != 0)
        return error_set(err, STATUS_IDENTITY, "an extension of the certificate is malformed");
    if ((flags & EXFLAG_CA) != 0)
        return error_set(err, STATUS_IDENTITY,
                         "the certificate is a CA; a leaf must not be (basicConstraints)");
    if ((flags & EXFLAG_KUSAGE) == 0)
        return error_set(err, STATUS_IDENTITY,
                         "the certificate has no keyUsage; right is digitalSignature");
    const uint32_t usage = X509_get_key_usage(leaf);
    if ((usage & KU_KEY_CERT_SIGN) != 0)
        return error_set(err, STATUS_IDENTITY,
                         "keyUsage has keyCertSign; a leaf must not sign certificates");
    if ((usage & KU_CRL_SIGN) != 0)
        return error_set(err, STATUS_IDENTITY, "keyUsage has cRLSign; a leaf must not have it");
    if ((usage & KU_DIGITAL_SIGNATURE) == 0)
        return error_set(err, STATUS_IDENTITY, "keyUsage lacks digitalSignature");
    const int index = X509_get_ext_by_NID(leaf, NID_key_usage, -1);
    if (index < 0 || !X509_EXTENSION_get_critical(X509_get_ext(leaf, index)))
        return error_set(err, STATUS_IDENTITY, "keyUsage is not marked critical; it must be");
    if ((flags & EXFLAG_XKUSAGE) != 0) {
        const uint32_t extended = X509_get_extended_key_usage(leaf);
        if ((extended & XKU_SSL_SERVER) == 0 || (extended & XKU_SSL_CLIENT) == 0)
            return error_set(err, STATUS_IDENTITY,
                             "extendedKeyUsage must have both serverAuth and clientAuth, or be "
                             "absent");
    }
    return STATUS_OK;
}

static enum status read_time(const ASN1_TIME *time, const char *which, int64_t *ret_unix_s,
                             struct error *err)
{
    struct tm parts = {0};
    if (ASN1_TIME_to_tm(time, &parts) != 1)
        return error_set(err, STATUS_IDENTITY, "the certificate's %s is no date", which);
    *ret_unix_s = (int64_t)timegm(&parts);
    return STATUS_OK;
}

static enum status fill_info(X509 *leaf, struct svid_info *info, struct error *err)
{
    enum status status =
        read_time(X509_get0_notBefore(leaf), "notBefore", &info->not_before_unix_s, err);
    if (status == STATUS_OK)
        status = read_time(X509_get0_notAfter(leaf), "notAfter", &info->not_after_unix_s, err);
    if (status != STATUS_OK)
        return status;
    const EVP_PKEY *key = X509_get0_pubkey(leaf);
    if (key == nullptr || svid_key_id(key, &info->key_id) != STATUS_OK)
        return error_set_openssl(err, STATUS_IDENTITY, "the certificate's key cannot be read");
    uint8_t *der = nullptr;
    const int size = i2d_X509(leaf, &der);
    if (size <= 0)
        return error_set_openssl(err, STATUS_IDENTITY, "the certificate cannot be encoded");
    digest_of(der, (size_t)size, &info->fingerprint);
    OPENSSL_free(der);
    return STATUS_OK;
}

enum status svid_check_leaf(X509 *leaf, struct svid_info *ret_info, struct error *err)
{
    struct svid_info info = {0};
    int count = 0;
    enum status status = find_uri(leaf, &count, &info.id, err);
    if (status != STATUS_OK)
        return status;
    if (count != 1)
        return error_set(err, STATUS_IDENTITY,
                         "the certificate has %d URI names; right is exactly one, its SPIFFE ID",
                         count);
    if (info.id.path[0] == 0)
        return error_set(err, STATUS_IDENTITY,
                         "%s names a whole trust domain; a leaf's SPIFFE ID has a path",
                         info.id.text);
    status = check_leaf_usage(leaf, err);
    if (status == STATUS_OK)
        status = fill_info(leaf, &info, err);
    if (status != STATUS_OK)
        return error_prefix(err, status, "%s", info.id.text);
    *ret_info = info;
    return STATUS_OK;
}

enum status svid_check_signing(X509 *certificate, const char *trust_domain, struct error *err)
{
    const uint32_t flags = X509_get_extension_flags(certificate);
    if ((flags & EXFLAG_INVALID) != 0)
        return error_set(err, STATUS_IDENTITY, "an extension of the CA is malformed");
    if ((flags & EXFLAG_CA) == 0)
        return error_set(err, STATUS_IDENTITY,
                         "the issuer is no CA; right is basicConstraints CA:TRUE");
    if ((flags & EXFLAG_KUSAGE) == 0 || (X509_get_key_usage(certificate) & KU_KEY_CERT_SIGN) == 0)
        return error_set(err, STATUS_IDENTITY, "the keyUsage of the CA lacks keyCertSign");
    struct spiffe_id id;
    int count = 0;
    const enum status status = find_uri(certificate, &count, &id, err);
    if (status != STATUS_OK)
        return status;
    if (count > 1)
        return error_set(err, STATUS_IDENTITY, "the CA has %d URI names; at most one is allowed",
                         count);
    if (count == 1 && id.path[0] != 0)
        return error_set(err, STATUS_IDENTITY, "the CA's SPIFFE ID %s has a path; it must not",
                         id.text);
    if (count == 1 && strcmp(id.trust_domain, trust_domain) != 0)
        return error_set(err, STATUS_IDENTITY, "the CA is of trust domain %s, the leaf of %s",
                         id.trust_domain, trust_domain);
    return STATUS_OK;
}

static void format_time(int64_t unix_s, char ret_text[static 32])
{
    const time_t seconds = (time_t)unix_s;
    struct tm parts;
    if (gmtime_r(&seconds, &parts) == nullptr ||
        strftime(ret_text, 32, "%Y-%m-%dT%H:%M:%SZ", &parts) == 0)
        memcpy(ret_text, "?", 2);
}

static enum status check_dates(const struct svid_info *info, int64_t now_unix_s, int *x509_error,
                               struct error *err)
{
    char now[32];
    char then[32];
    format_time(now_unix_s, now);
    if (now_unix_s < info->not_before_unix_s) {
        *x509_error = X509_V_ERR_CERT_NOT_YET_VALID;
        format_time(info->not_before_unix_s, then);
        return error_set(err, STATUS_IDENTITY, "%s: not valid before %s; it is %s (clock?)",
                         info->id.text, then, now);
    }
    /* RFC 5280 counts the last second as valid, OpenSSL does not; the stricter holds. */
    if (now_unix_s >= info->not_after_unix_s) {
        *x509_error = X509_V_ERR_CERT_HAS_EXPIRED;
        format_time(info->not_after_unix_s, then);
        return error_set(err, STATUS_IDENTITY, "%s: expired at %s; it is %s", info->id.text, then,
                         now);
    }
    return STATUS_OK;
}

/* The rules for what stands above the leaf in a chain that OpenSSL has verified. */
static enum status check_chain(STACK_OF(X509) * chain, const struct svid_info *info, uint32_t flags,
                               struct error *err)
{
    for (int i = 0; i < sk_X509_num(chain); i++) {
        X509 *certificate = sk_X509_value(chain, i);
        if (i > 0) {
            const enum status status = svid_check_signing(certificate, info->id.trust_domain, err);
            if (status != STATUS_OK)
                return error_prefix(err, status, "%s: certificate %d of its chain", info->id.text,
                                    i + 1);
        }
        const EVP_PKEY *key = X509_get0_pubkey(certificate);
        if ((flags & SVID_ML_DSA_ONLY) != 0 && (key == nullptr || !EVP_PKEY_is_a(key, "ML-DSA-65")))
            return error_set(err, STATUS_IDENTITY,
                             "%s: the key of certificate %d of its chain is not ML-DSA-65",
                             info->id.text, i + 1);
    }
    return STATUS_OK;
}

static enum status verify_chain(const struct trust_domain *domain, X509 *leaf,
                                const STACK_OF(X509) * untrusted, int64_t now_unix_s,
                                uint32_t flags, const struct svid_info *info, int *x509_error,
                                struct error *err)
{
    enum status status = STATUS_OK;
    /* OpenSSL takes no const stack and does not change it. */
    STACK_OF(X509) *sent = sk_X509_dup(untrusted);
    X509_STORE_CTX *context = X509_STORE_CTX_new();
    if (context == nullptr || (untrusted != nullptr && sent == nullptr) ||
        X509_STORE_CTX_init(context, domain->store, leaf, sent) != 1) {
        status = error_set(err, STATUS_NO_MEMORY, "no memory to verify a certificate");
        *x509_error = X509_V_ERR_OUT_OF_MEM;
        goto out;
    }
    X509_VERIFY_PARAM *param = X509_STORE_CTX_get0_param(context);
    X509_VERIFY_PARAM_set_time(param, (time_t)now_unix_s);
    X509_VERIFY_PARAM_set_depth(param, SVID_CHAIN_MAX);
    X509_VERIFY_PARAM_set_auth_level(param, 2); /* at least 112 bits of strength, no SHA-1 */
    /* A bundle may hold a CA that is not self-signed. */
    if (X509_VERIFY_PARAM_set_flags(param, X509_V_FLAG_PARTIAL_CHAIN) != 1 ||
        X509_verify_cert(context) != 1) {
        const int code = X509_STORE_CTX_get_error(context);
        *x509_error = code != X509_V_OK ? code : X509_V_ERR_UNSPECIFIED;
        ERR_clear_error();
        status = error_set(err, STATUS_IDENTITY,
                           "%s: its chain does not lead to a root of trust domain %s: %s",
                           info->id.text, domain->name, X509_verify_cert_error_string(*x509_error));
        goto out;
    }
    status = check_chain(X509_STORE_CTX_get0_chain(context), info, flags, err);
    if (status != STATUS_OK)
        *x509_error = X509_V_ERR_INVALID_CA;
out:
    X509_STORE_CTX_free(context);
    sk_X509_free(sent);
    return status;
}

enum status svid_verify(const struct trust *trust, X509 *leaf, const STACK_OF(X509) * untrusted,
                        int64_t now_unix_s, uint32_t flags, int *x509_error,
                        struct svid_info *ret_info, struct error *err)
{
    int ignored = 0;
    int *code = x509_error != nullptr ? x509_error : &ignored;
    struct svid_info info;
    *code = X509_V_ERR_INVALID_EXTENSION;
    if (sk_X509_num(untrusted) > SVID_CHAIN_MAX)
        return error_set(err, STATUS_IDENTITY, "the chain has more than %d certificates",
                         SVID_CHAIN_MAX);
    enum status status = svid_check_leaf(leaf, &info, err);
    if (status != STATUS_OK)
        return status;
    status = check_dates(&info, now_unix_s, code, err);
    if (status != STATUS_OK)
        return status;
    const struct trust_domain *domain = trust_find(trust, info.id.trust_domain);
    if (domain == nullptr) {
        *code = X509_V_ERR_CERT_UNTRUSTED;
        return error_set(err, STATUS_IDENTITY, "%s: trust domain %s is not known here",
                         info.id.text, info.id.trust_domain);
    }
    status = verify_chain(domain, leaf, untrusted, now_unix_s, flags, &info, code, err);
    if (status != STATUS_OK)
        return status;
    *code = X509_V_OK;
    *ret_info = info;
    return STATUS_OK;
}

enum status svid_key_id(const EVP_PKEY *key, struct digest *ret_key_id)
{
    uint8_t *der = nullptr;
    const int size = i2d_PUBKEY(key, &der);
    if (size <= 0) {
        ERR_clear_error();
        return STATUS_INVAL;
    }
    digest_of(der, (size_t)size, ret_key_id);
    OPENSSL_free(der);
    return STATUS_OK;
}

enum status svid_chain_decode(const struct slice *certificates, size_t count,
                              STACK_OF(X509) * *ret_chain, struct error *err)
{
    if (count == 0 || count > SVID_CHAIN_MAX)
        return error_set(err, STATUS_LIMIT, "a chain of %zu certificates; right are 1 to %d", count,
                         SVID_CHAIN_MAX);
    STACK_OF(X509) *chain = sk_X509_new_null();
    enum status status =
        chain != nullptr ? STATUS_OK : error_set(err, STATUS_NO_MEMORY, "no memory for a chain");
    for (size_t i = 0; status == STATUS_OK && i < count; i++) {
        const uint8_t *at = certificates[i].data;
        const size_t size = certificates[i].size;
        if (size == 0 || size > SVID_CERTIFICATE_MAX) {
            status = error_set(err, STATUS_LIMIT, "certificate %zu has %zu bytes; at most %d",
                               i + 1, size, SVID_CERTIFICATE_MAX);
            break;
        }
        X509 *certificate = d2i_X509(nullptr, &at, (long)size);
        if (certificate == nullptr || at != certificates[i].data + size) {
            X509_free(certificate);
            status =
                error_set_openssl(err, STATUS_PEER, "certificate %zu is no X.509 in DER", i + 1);
        } else if (sk_X509_push(chain, certificate) <= 0) {
            X509_free(certificate);
            status = error_set(err, STATUS_NO_MEMORY, "no memory for a chain");
        }
    }
    if (status == STATUS_OK)
        *ret_chain = chain;
    else
        sk_X509_pop_free(chain, X509_free);
    return status;
}

enum status svid_chain_decode_pem(struct slice pem, STACK_OF(X509) * *ret_chain, struct error *err)
{
    enum status status = STATUS_OK;
    if (pem.size == 0 || pem.size > TRUST_BUNDLE_BYTES_MAX)
        return error_set(err, STATUS_LIMIT, "%zu bytes of PEM; right are 1 to %d", pem.size,
                         TRUST_BUNDLE_BYTES_MAX);
    STACK_OF(X509) *chain = sk_X509_new_null();
    BIO *bio = BIO_new_mem_buf(pem.data, (int)pem.size);
    if (chain == nullptr || bio == nullptr)
        status = error_set(err, STATUS_NO_MEMORY, "no memory for certificates");
    ERR_clear_error();
    while (status == STATUS_OK) {
        X509 *certificate = PEM_read_bio_X509(bio, nullptr, nullptr, nullptr);
        if (certificate == nullptr)
            break;
        if (sk_X509_push(chain, certificate) <= 0) {
            X509_free(certificate);
            status = error_set(err, STATUS_NO_MEMORY, "no memory for certificates");
        }
    }
    const unsigned long code = ERR_peek_last_error();
    const bool at_end =
        ERR_GET_LIB(code) == ERR_LIB_PEM && ERR_GET_REASON(code) == PEM_R_NO_START_LINE;
    if (status == STATUS_OK && !at_end)
        status = error_set_openssl(err, STATUS_INVAL, "certificate %d is damaged",
                                   sk_X509_num(chain) + 1);
    else if (status == STATUS_OK && sk_X509_num(chain) == 0)
        status = error_set(err, STATUS_INVAL, "there is no certificate in PEM");
    ERR_clear_error();
    BIO_free(bio);
    if (status == STATUS_OK)
        *ret_chain = chain;
    else
        sk_X509_pop_free(chain, X509_free);
    return status;
}

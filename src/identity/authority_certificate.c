/*
 * authority_certificate.c - makes certificates of roots and leaves, reads certificate requests.
 *
 * Sources: RFC 5280 section 4 (certificates), RFC 2986 (requests), X509-SVID.md sections 2 to 4.
 * Not here: files, and for whom a certificate is made (authority.c).
 */
#include "identity/authority_certificate.h"

#include "identity/authority.h"
#include "identity/openssl_error.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/objects.h>
#include <openssl/x509v3.h>
#include <string.h>

enum { SERIAL_BITS = 127 /* positive and at most 20 bytes, RFC 5280 section 4.1.2.2 */ };

enum status certificate_key_kind(const EVP_PKEY *key, enum identity_key_kind *ret_kind,
                                 struct error *err)
{
    if (EVP_PKEY_is_a(key, "ML-DSA-65")) {
        *ret_kind = IDENTITY_KEY_ML_DSA_65;
        return STATUS_OK;
    }
    char group[64] = "";
    size_t size = 0;
    int spelt_out = 1;
    if (EVP_PKEY_is_a(key, "EC") && EVP_PKEY_get_group_name(key, group, sizeof group, &size) == 1 &&
        OBJ_txt2nid(group) == NID_X9_62_prime256v1 &&
        EVP_PKEY_get_int_param(key, OSSL_PKEY_PARAM_EC_DECODED_FROM_EXPLICIT_PARAMS, &spelt_out) ==
            1 &&
        spelt_out == 0) {
        *ret_kind = IDENTITY_KEY_P256;
        return STATUS_OK;
    }
    ERR_clear_error();
    const char *name = EVP_PKEY_get0_type_name(key);
    return error_set(err, STATUS_UNSUPPORTED,
                     "a key of the kind %s %s; right are P-256 (a named curve) and ML-DSA-65",
                     name != nullptr ? name : "unknown", group);
}

enum status certificate_request_decode(struct slice csr, EVP_PKEY **ret_key,
                                       enum identity_key_kind *ret_kind, struct error *err)
{
    enum identity_key_kind kind = IDENTITY_KEY_P256;
    enum status status = STATUS_OK;
    if (csr.size == 0 || csr.size > AUTHORITY_CSR_BYTES_MAX)
        return error_set(err, STATUS_LIMIT, "a certificate request of %zu bytes; right are 1 to %d",
                         csr.size, AUTHORITY_CSR_BYTES_MAX);
    ERR_clear_error();
    const uint8_t *at = csr.data;
    X509_REQ *request = d2i_X509_REQ(nullptr, &at, (long)csr.size);
    EVP_PKEY *key = nullptr;
    if (request == nullptr) {
        status =
            error_set_openssl(err, STATUS_PEER, "the certificate request is no PKCS#10 in DER");
        goto out;
    }
    if (at != csr.data + csr.size) {
        status = error_set(err, STATUS_PEER, "%zu bytes follow the certificate request",
                           (size_t)(csr.data + csr.size - at));
        goto out;
    }
    key = X509_REQ_get_pubkey(request);
    if (key == nullptr) {
        status = error_set_openssl(err, STATUS_PEER, "the key of the certificate request");
        goto out;
    }
    if (certificate_key_kind(key, &kind, err) != STATUS_OK) {
        status = error_prefix(err, STATUS_PEER, "the certificate request");
        goto out;
    }
    if (X509_REQ_verify(request, key) != 1) {
        status = error_set_openssl(err, STATUS_PEER,
                                   "the certificate request is not signed by its own key");
        goto out;
    }
    *ret_key = key;
    *ret_kind = kind;
    key = nullptr;
out:
    EVP_PKEY_free(key);
    X509_REQ_free(request);
    return status;
}

/* Each of these adds one thing; false where OpenSSL cannot. */

static bool add_extension(X509 *certificate, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX context;
    X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
    X509V3_set_ctx_nodb(&context);
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(nullptr, &context, nid, value);
    const bool ok = extension != nullptr && X509_add_ext(certificate, extension, -1) == 1;
    X509_EXTENSION_free(extension);
    return ok;
}

static bool add_uri(X509 *certificate, const char *uri)
{
    GENERAL_NAMES *names = GENERAL_NAMES_new();
    GENERAL_NAME *name = GENERAL_NAME_new();
    ASN1_IA5STRING *text = ASN1_IA5STRING_new();
    bool ok = names != nullptr && name != nullptr && text != nullptr &&
              ASN1_STRING_set(text, uri, (int)strlen(uri)) == 1;
    if (ok) {
        GENERAL_NAME_set0_value(name, GEN_URI, text);
        text = nullptr;
        ok = sk_GENERAL_NAME_push(names, name) > 0;
    }
    if (ok) {
        name = nullptr;
        ok = X509_add1_ext_i2d(certificate, NID_subject_alt_name, names, 0, 0) == 1;
    }
    ASN1_IA5STRING_free(text);
    GENERAL_NAME_free(name);
    GENERAL_NAMES_free(names);
    return ok;
}

/* A random serial number; ret_text is it in hexadecimal, to be freed by OPENSSL_free. */
static bool add_serial(X509 *certificate, char **ret_text)
{
    BIGNUM *number = BN_new();
    char *text = nullptr;
    if (number != nullptr &&
        BN_rand(number, SERIAL_BITS, BN_RAND_TOP_ONE, BN_RAND_BOTTOM_ANY) == 1 &&
        BN_to_ASN1_INTEGER(number, X509_get_serialNumber(certificate)) != nullptr)
        text = BN_bn2hex(number);
    BN_free(number);
    *ret_text = text;
    return text != nullptr;
}

static bool add_name(X509_NAME *name, const char *field, const char *value)
{
    return X509_NAME_add_entry_by_txt(name, field, MBSTRING_ASC, (const unsigned char *)value, -1,
                                      -1, 0) == 1;
}

/* The name is no empty one, so the URI need not be critical (RFC 5280 section 4.2.1.6). */
static bool add_subject(X509 *certificate, const char *common_name, const char *serial)
{
    X509_NAME *name = X509_get_subject_name(certificate);
    if (!add_name(name, "O", "Fedra"))
        return false;
    /* Two roots of the same name must differ, so that a chain is built with the right one. */
    return common_name == nullptr ||
           (add_name(name, "CN", common_name) && add_name(name, "serialNumber", serial));
}

static bool add_dates(X509 *certificate, int64_t not_before_unix_s, int64_t not_after_unix_s)
{
    return ASN1_TIME_set(X509_getm_notBefore(certificate), (time_t)not_before_unix_s) != nullptr &&
           ASN1_TIME_set(X509_getm_notAfter(certificate), (time_t)not_after_unix_s) != nullptr;
}

static bool add_extensions(X509 *certificate, const struct certificate_plan *plan)
{
    if (plan->issuer == nullptr)
        return add_extension(certificate, certificate, NID_basic_constraints,
                             "critical,CA:TRUE,pathlen:0") &&
               add_extension(certificate, certificate, NID_key_usage,
                             "critical,keyCertSign,cRLSign") &&
               add_extension(certificate, certificate, NID_subject_key_identifier, "hash") &&
               add_uri(certificate, plan->uri);
    return add_extension(certificate, plan->issuer, NID_basic_constraints, "critical,CA:FALSE") &&
           add_extension(certificate, plan->issuer, NID_key_usage, "critical,digitalSignature") &&
           add_extension(certificate, plan->issuer, NID_ext_key_usage, "serverAuth,clientAuth") &&
           add_extension(certificate, plan->issuer, NID_subject_key_identifier, "hash") &&
           add_extension(certificate, plan->issuer, NID_authority_key_identifier, "keyid:always") &&
           add_uri(certificate, plan->uri);
}

enum status certificate_make(const struct certificate_plan *plan, X509 **ret_certificate,
                             struct error *err)
{
    enum status status = STATUS_OK;
    char *serial = nullptr;
    ERR_clear_error();
    X509 *certificate = X509_new();
    if (certificate == nullptr) {
        status = error_set(err, STATUS_NO_MEMORY, "no memory for a certificate");
        goto out;
    }
    EVP_PKEY *signing = plan->issuer != nullptr ? plan->issuer_key : plan->key;
    /* ML-DSA hashes by itself. */
    const EVP_MD *digest = EVP_PKEY_is_a(signing, "EC") ? EVP_sha256() : nullptr;
    if (X509_set_version(certificate, X509_VERSION_3) != 1 || !add_serial(certificate, &serial) ||
        X509_set_pubkey(certificate, plan->key) != 1 ||
        !add_subject(certificate, plan->common_name, serial) ||
        X509_set_issuer_name(
            certificate,
            X509_get_subject_name(plan->issuer != nullptr ? plan->issuer : certificate)) != 1 ||
        !add_dates(certificate, plan->not_before_unix_s, plan->not_after_unix_s) ||
        !add_extensions(certificate, plan) || X509_sign(certificate, signing, digest) <= 0) {
        status =
            error_set_openssl(err, STATUS_IO, "the certificate of %s cannot be made", plan->uri);
        goto out;
    }
    /* Where memory runs out, OpenSSL 3.5 can give a wrong ML-DSA signature and call it success. */
    if (X509_verify(certificate, signing) != 1) {
        status = error_set_openssl(err, STATUS_IO, "the signature for %s went wrong", plan->uri);
        goto out;
    }
    *ret_certificate = certificate;
    certificate = nullptr;
out:
    OPENSSL_free(serial);
    X509_free(certificate);
    return status;
}

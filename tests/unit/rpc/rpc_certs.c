/*
 * rpc_certs.c - makes a P-256 authority and leaves with OpenSSL.
 */
#include "rpc_certs.h"

#include "base/check.h"

#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <stdint.h>
#include <stdio.h>

static void add_extension(X509 *cert, int nid, const char *value)
{
    X509_EXTENSION *const extension = X509V3_EXT_conf_nid(nullptr, nullptr, nid, value);
    CHECK(extension != nullptr);
    CHECK(X509_add_ext(cert, extension, -1) == 1);
    X509_EXTENSION_free(extension);
}

static X509 *make_cert(EVP_PKEY *key, const struct test_ca *issuer, long from_s, long to_s)
{
    static long serial = 1;
    X509 *const cert = X509_new();
    CHECK(cert != nullptr);
    CHECK(X509_set_version(cert, X509_VERSION_3) == 1);
    CHECK(ASN1_INTEGER_set(X509_get_serialNumber(cert), serial++) == 1);
    CHECK(X509_gmtime_adj(X509_getm_notBefore(cert), from_s) != nullptr);
    CHECK(X509_gmtime_adj(X509_getm_notAfter(cert), to_s) != nullptr);
    CHECK(X509_set_pubkey(cert, key) == 1);
    X509_NAME *const name = X509_get_subject_name(cert);
    char text[64];
    (void)snprintf(text, sizeof(text), "test %s %ld", issuer == nullptr ? "authority" : "leaf",
                   serial);
    CHECK(X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)text, -1, -1,
                                     0) == 1);
    CHECK(X509_set_issuer_name(cert, issuer == nullptr ? name
                                                       : X509_get_subject_name(issuer->cert)) == 1);
    add_extension(cert, NID_basic_constraints, issuer == nullptr ? "critical,CA:TRUE" : "CA:FALSE");
    if (issuer != nullptr)
        add_extension(cert, NID_subject_alt_name, "URI:spiffe://test/fedra/node/a");
    CHECK(X509_sign(cert, issuer == nullptr ? key : issuer->key, EVP_sha256()) > 0);
    return cert;
}

void test_ca_init(struct test_ca *ca)
{
    ca->key = EVP_EC_gen("P-256");
    CHECK(ca->key != nullptr);
    ca->cert = make_cert(ca->key, nullptr, -3600, 3600);
}

void test_ca_deinit(struct test_ca *ca)
{
    X509_free(ca->cert);
    EVP_PKEY_free(ca->key);
}

SSL_CTX *test_context(const struct test_ca *ca, enum test_leaf leaf, const char *groups)
{
    SSL_CTX *const ctx = SSL_CTX_new(TLS_method());
    CHECK(ctx != nullptr);
    CHECK(SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION) == 1);
    /* SSL_CTX_set1_groups_list would cast const away. */
    CHECK(SSL_CTX_ctrl(ctx, SSL_CTRL_SET_GROUPS_LIST, 0, (void *)(uintptr_t)groups) == 1);
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nullptr);
    CHECK(X509_STORE_add_cert(SSL_CTX_get_cert_store(ctx), ca->cert) == 1);
    if (leaf == TEST_LEAF_NONE)
        return ctx;
    EVP_PKEY *const key = EVP_EC_gen("P-256");
    CHECK(key != nullptr);
    X509 *const cert = leaf == TEST_LEAF_EXPIRED ? make_cert(key, ca, -3000, -60)
                                                 : make_cert(key, ca, -3000, 3000);
    CHECK(SSL_CTX_use_certificate(ctx, cert) == 1);
    CHECK(SSL_CTX_use_PrivateKey(ctx, key) == 1);
    X509_free(cert);
    EVP_PKEY_free(key);
    return ctx;
}

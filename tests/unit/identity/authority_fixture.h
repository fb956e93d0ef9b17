/*
 * authority_fixture.h - folders, keys and certificate requests for the tests of the authority.
 */
#pragma once

#include "base/check.h"
#include "identity/authority.h"
#include "identity/svid.h"

#include <fcntl.h>
#include <openssl/core_names.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const int64_t fixture_now = 1700000000; /* 2023-11-14T22:13:20Z */

#define FIXTURE_DOMAIN "one.test"

/* The path of a file in a folder; valid until the fourth call after it. */
static inline const char *fixture_path(const char *dir, const char *name)
{
    static char paths[4][512];
    static unsigned next;
    char *path = paths[next++ % 4];
    CHECK(snprintf(path, sizeof paths[0], "%s/%s", dir, name) < (int)sizeof paths[0]);
    return path;
}

/* Reads a whole small file; its size, or -1. */
static inline long fixture_read(const char *path, char *ret_text, size_t capacity)
{
    FILE *file = fopen(path, "r");
    if (file == nullptr)
        return -1;
    const size_t size = fread(ret_text, 1, capacity - 1, file);
    ret_text[size] = 0;
    fclose(file);
    return (long)size;
}

static inline void fixture_write(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");
    CHECK(file != nullptr && fputs(text, file) >= 0 && fclose(file) == 0);
}

static inline EVP_PKEY *fixture_key(const char *algorithm)
{
    EVP_PKEY *key = nullptr;
    if (strncmp(algorithm, "P-", 2) == 0)
        key = EVP_PKEY_Q_keygen(nullptr, nullptr, "EC", algorithm);
    else if (strcmp(algorithm, "RSA") == 0)
        key = EVP_PKEY_Q_keygen(nullptr, nullptr, "RSA", (size_t)2048);
    else
        key = EVP_PKEY_Q_keygen(nullptr, nullptr, algorithm);
    CHECK(key != nullptr);
    return key;
}

/* A request in DER of the key in it, signed by signing; wish: an extension that it asks for. */
static inline struct slice fixture_csr(EVP_PKEY *key, EVP_PKEY *signing, int wish_nid,
                                       const char *wish)
{
    X509_REQ *request = X509_REQ_new();
    uint8_t *der = nullptr;
    CHECK(request != nullptr && X509_REQ_set_pubkey(request, key) == 1);
    CHECK(X509_NAME_add_entry_by_txt(X509_REQ_get_subject_name(request), "CN", MBSTRING_ASC,
                                     (const unsigned char *)"wanted", -1, -1, 0) == 1);
    if (wish != nullptr) {
        STACK_OF(X509_EXTENSION) *wishes = sk_X509_EXTENSION_new_null();
        sk_X509_EXTENSION_push(wishes, X509V3_EXT_conf_nid(nullptr, nullptr, wish_nid, wish));
        CHECK(X509_REQ_add_extensions(request, wishes) == 1);
        sk_X509_EXTENSION_pop_free(wishes, X509_EXTENSION_free);
    }
    const bool hashes = EVP_PKEY_is_a(signing, "EC") || EVP_PKEY_is_a(signing, "RSA");
    CHECK(X509_REQ_sign(request, signing, hashes ? EVP_sha256() : nullptr) > 0);
    const int size = i2d_X509_REQ(request, &der);
    CHECK(size > 0);
    X509_REQ_free(request);
    return (struct slice){der, (size_t)size};
}

/* A request as it should be, of a new key. */
static inline struct slice fixture_csr_of(const char *algorithm)
{
    EVP_PKEY *key = fixture_key(algorithm);
    const struct slice csr = fixture_csr(key, key, 0, nullptr);
    EVP_PKEY_free(key);
    return csr;
}

static inline void fixture_free(struct slice slice)
{
    uint8_t *data = nullptr;
    memcpy(&data, &slice.data, sizeof data);
    OPENSSL_free(data);
}

static inline X509 *fixture_decode(struct slice der)
{
    const uint8_t *at = der.data;
    X509 *certificate = d2i_X509(nullptr, &at, (long)der.size);
    CHECK(certificate != nullptr && at == der.data + der.size);
    return certificate;
}

/* The roots of an authority, as somebody else would trust them. */
static inline struct trust *fixture_trust(const struct authority *authority)
{
    struct trust *trust = nullptr;
    CHECK(trust_create(&trust) == STATUS_OK);
    CHECK(trust_add_pem(trust, FIXTURE_DOMAIN, authority_bundle(authority), nullptr) == STATUS_OK);
    return trust;
}

/*
 * rpc_certs.h - certificates and TLS contexts for tests, made in memory.
 */
#pragma once

#include <openssl/types.h>

/* An authority that signs leaves. */
struct test_ca {
    EVP_PKEY *key;
    X509 *cert;
};

enum test_leaf {
    TEST_LEAF_GOOD,
    TEST_LEAF_EXPIRED,
    TEST_LEAF_NONE, /* no certificate at all */
};

/* Makes a P-256 authority. Aborts on failure, as everything here. */
void test_ca_init(struct test_ca *ca);
void test_ca_deinit(struct test_ca *ca);

/*
 * A context that asks the peer for a certificate of ca and offers TLS 1.2 and later with this group
 * list ("X25519MLKEM768"). The caller frees it.
 */
SSL_CTX *test_context(const struct test_ca *ca, enum test_leaf leaf, const char *groups);

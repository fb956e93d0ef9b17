/*
 * identity_fixture.h - authorities and installed identities for the tests of identity/.
 */
#pragma once

#include "authority_fixture.h"
#include "identity/identity_files.h"

#define FIXTURE_ID(path) "spiffe://" FIXTURE_DOMAIN "/fedra/" path

/* Two certificates as an authority gives them, each its own chain. */
struct fixture_issued {
    struct bytes tls_der;
    struct bytes envelope_der;
    struct svid_chain tls;
    struct svid_chain envelope;
};

/* A new authority in the folder dir, opened. */
static inline struct authority *fixture_authority(const char *dir, int64_t now_unix_s)
{
    struct authority *authority = nullptr;
    CHECK(authority_init(dir, FIXTURE_DOMAIN, now_unix_s, nullptr) == STATUS_OK);
    CHECK(authority_open(dir, &authority, nullptr) == STATUS_OK);
    return authority;
}

/* Appends the certificate of a request. */
static inline void fixture_certify(const struct authority *authority, struct slice csr,
                                   const char *spiffe_id, uint32_t ttl_s, int64_t now_unix_s,
                                   struct bytes *ret_der)
{
    struct error err = {0};
    if (authority_issue(authority, csr, spiffe_id, ttl_s, now_unix_s, ret_der, &err) != STATUS_OK) {
        fprintf(stderr, "%s\n", err.text);
        CHECK(!"a certificate was not issued");
    }
}

static inline struct svid_chain fixture_chain(const struct bytes *der)
{
    return (struct svid_chain){.certificates = {bytes_slice(der)}, .count = 1};
}

static inline void fixture_issue(const struct authority *authority,
                                 const struct identity_request *request, const char *spiffe_id,
                                 uint32_t ttl_s, int64_t now_unix_s, struct fixture_issued *issued)
{
    bytes_init(&issued->tls_der, SVID_CERTIFICATE_MAX);
    bytes_init(&issued->envelope_der, SVID_CERTIFICATE_MAX);
    fixture_certify(authority, identity_request_tls_csr(request), spiffe_id, ttl_s, now_unix_s,
                    &issued->tls_der);
    fixture_certify(authority, identity_request_envelope_csr(request), spiffe_id, ttl_s, now_unix_s,
                    &issued->envelope_der);
    issued->tls = fixture_chain(&issued->tls_der);
    issued->envelope = fixture_chain(&issued->envelope_der);
}

static inline void fixture_issued_deinit(struct fixture_issued *issued)
{
    bytes_deinit(&issued->tls_der);
    bytes_deinit(&issued->envelope_der);
}

static inline struct identity_request *fixture_request(enum identity_key_kind tls_kind)
{
    struct identity_request *request = nullptr;
    CHECK(identity_request_create(tls_kind, &request, nullptr) == STATUS_OK);
    return request;
}

/* An identity made, certified, installed into dir and loaded at now_unix_s. */
static inline struct identity *fixture_identity(const struct authority *authority, const char *dir,
                                                enum identity_key_kind tls_kind,
                                                const char *spiffe_id, uint32_t ttl_s,
                                                int64_t now_unix_s)
{
    struct identity_request *request = fixture_request(tls_kind);
    struct fixture_issued issued;
    struct identity *identity = nullptr;
    struct error err = {0};
    fixture_issue(authority, request, spiffe_id, ttl_s, now_unix_s, &issued);
    if (identity_install(request, dir, &issued.tls, &issued.envelope, authority_bundle(authority),
                         now_unix_s, &err) != STATUS_OK ||
        identity_open(dir, now_unix_s, &identity, &err) != STATUS_OK) {
        fprintf(stderr, "%s\n", err.text);
        CHECK(!"an identity was not installed");
    }
    fixture_issued_deinit(&issued);
    identity_request_destroy(request);
    return identity;
}

/* Removes a folder of the test's own under /tmp and all that is in it. */
static inline void fixture_remove(const char *dir)
{
    char command[600];
    CHECK(strncmp(dir, "/tmp/", 5) == 0);
    CHECK(snprintf(command, sizeof(command), "rm -rf '%s'", dir) < (int)sizeof(command));
    CHECK(system(command) == 0);
}

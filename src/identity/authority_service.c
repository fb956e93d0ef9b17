/*
 * authority_service.c - who may have what certified: the answer to fedra.v1.Authority/Issue.
 *
 * Permission is decided before the requests are read. Not here: the server around it, and how a
 * certificate is made (authority.c).
 */
#include "identity/authority_service.h"

#include "identity/authority_certificate.h"

#include <stdlib.h>
#include <string.h>

enum { CHAIN_BYTES_MAX = SVID_CHAIN_MAX * SVID_CERTIFICATE_MAX };

/* May peer ask for id? Both are checked: each is what it says to be. */
static enum status check_permission(const struct authority *authority,
                                    const struct peer_identity *peer, const struct spiffe_id *id,
                                    int64_t now_unix_s, struct error *err)
{
    const char *domain = authority_trust_domain(authority);
    if (strcmp(id->trust_domain, domain) != 0)
        return error_set(err, STATUS_INVAL, "%s is not of this authority's trust domain %s",
                         id->text, domain);
    /* A connection may outlive the certificate that opened it. */
    if (now_unix_s >= peer->not_after_unix_s)
        return error_set(err, STATUS_PERMISSION,
                         "the identity %s is expired; it can no more be renewed", peer->id.text);
    if (id->role == SPIFFE_ROLE_AUTHORITY)
        return error_set(err, STATUS_PERMISSION, "%s may not ask for the authority's own id",
                         peer->id.text);
    if (strcmp(peer->id.text, id->text) == 0)
        return STATUS_OK;
    if (peer->id.role == SPIFFE_ROLE_OPERATOR && strcmp(peer->id.trust_domain, domain) == 0)
        return STATUS_OK;
    return error_set(err, STATUS_PERMISSION,
                     "%s may not ask for %s; right is its own id, or an operator of trust domain "
                     "%s",
                     peer->id.text, id->text, domain);
}

/* The envelope's key must be an ML-DSA-65 one; authority_issue takes both kinds. */
static enum status check_envelope(struct slice csr, struct error *err)
{
    EVP_PKEY *key = nullptr;
    enum identity_key_kind kind = IDENTITY_KEY_P256;
    const enum status status = certificate_request_decode(csr, &key, &kind, err);
    if (status != STATUS_OK)
        return error_prefix(err, status, "envelope_csr");
    EVP_PKEY_free(key);
    if (kind != IDENTITY_KEY_ML_DSA_65)
        return error_set(err, STATUS_PEER, "envelope_csr: the key is not ML-DSA-65");
    return STATUS_OK;
}

/* Gives the content of bytes away to data. */
static void hand_over(struct bytes *bytes, ProtobufCBinaryData *data)
{
    *data = (ProtobufCBinaryData){.len = bytes->size, .data = bytes->data};
    bytes_init(bytes, bytes->size_max);
}

/* Makes the response of two certificates and the bundle; takes their content. NO_MEMORY. */
static enum status make_response(struct bytes *tls, struct bytes *envelope, struct bytes *bundle,
                                 Fedra__V1__IssueResponse **ret_response)
{
    Fedra__V1__IssueResponse *response = malloc(sizeof *response);
    ProtobufCBinaryData *tls_chain = malloc(sizeof *tls_chain);
    ProtobufCBinaryData *envelope_chain = malloc(sizeof *envelope_chain);
    if (response == nullptr || tls_chain == nullptr || envelope_chain == nullptr) {
        free(response);
        free(tls_chain);
        free(envelope_chain);
        return STATUS_NO_MEMORY;
    }
    fedra__v1__issue_response__init(response);
    hand_over(tls, tls_chain);
    hand_over(envelope, envelope_chain);
    hand_over(bundle, &response->bundle_pem);
    response->n_tls_chain = 1;
    response->tls_chain = tls_chain;
    response->n_envelope_chain = 1;
    response->envelope_chain = envelope_chain;
    *ret_response = response;
    return STATUS_OK;
}

enum status authority_handle_issue(const struct authority *authority,
                                   const struct peer_identity *peer,
                                   const Fedra__V1__IssueRequest *request, int64_t now_unix_s,
                                   Fedra__V1__IssueResponse **ret_response, struct error *err)
{
    const struct slice tls_csr = {request->tls_csr.data, request->tls_csr.len};
    const struct slice envelope_csr = {request->envelope_csr.data, request->envelope_csr.len};
    const struct slice roots = authority_bundle(authority);
    struct spiffe_id id;
    struct bytes tls, envelope, bundle;
    bytes_init(&tls, CHAIN_BYTES_MAX);
    bytes_init(&envelope, CHAIN_BYTES_MAX);
    bytes_init(&bundle, TRUST_BUNDLE_BYTES_MAX);
    enum status status = spiffe_id_parse(request->spiffe_id, strlen(request->spiffe_id), &id, err);
    if (status == STATUS_OK)
        status = check_permission(authority, peer, &id, now_unix_s, err);
    if (status == STATUS_OK)
        status = check_envelope(envelope_csr, err);
    if (status != STATUS_OK)
        goto out;
    status = authority_issue(authority, tls_csr, id.text, request->ttl_s, now_unix_s, &tls, err);
    if (status == STATUS_OK)
        status = authority_issue(authority, envelope_csr, id.text, request->ttl_s, now_unix_s,
                                 &envelope, err);
    if (status != STATUS_OK)
        goto out;
    status = bytes_append(&bundle, roots.data, roots.size);
    if (status == STATUS_OK)
        status = make_response(&tls, &envelope, &bundle, ret_response);
    if (status != STATUS_OK)
        error_set(err, status, "no memory for the certificates of %s", id.text);
out:
    bytes_deinit(&tls);
    bytes_deinit(&envelope);
    bytes_deinit(&bundle);
    return status;
}

enum status authority_handle_get_bundle(const struct authority *authority,
                                        Fedra__V1__GetBundleResponse **ret_response)
{
    const struct slice roots = authority_bundle(authority);
    struct bytes bundle;
    bytes_init(&bundle, TRUST_BUNDLE_BYTES_MAX);
    Fedra__V1__GetBundleResponse *response = malloc(sizeof *response);
    if (response == nullptr || bytes_append(&bundle, roots.data, roots.size) != STATUS_OK) {
        free(response);
        return STATUS_NO_MEMORY;
    }
    fedra__v1__get_bundle_response__init(response);
    hand_over(&bundle, &response->bundle_pem);
    *ret_response = response;
    return STATUS_OK;
}

/*
 * authority_identity.c - makes a whole identity with the authority at hand.
 */
#include "identity/authority_identity.h"

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

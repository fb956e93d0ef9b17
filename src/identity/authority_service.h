/*
 * authority_service.h - who may have what certified: the answer to fedra.v1.Authority/Issue.
 *
 * A function from peer and request to response. Not here: the server around it.
 */
#pragma once

#include "authority.pb-c.h" /* generated */
#include "identity/authority.h"
#include "identity/tls_context.h"

/*
 * An operator may ask for every id of its trust domain but the authority's; everybody may ask for
 * its own id (a renewal with new keys), while its own certificate is valid. PERMISSION otherwise;
 * INVAL, LIMIT, PEER, IO, NO_MEMORY as authority_issue; PEER where the envelope's key is not
 * ML-DSA-65.
 *
 * The caller frees *ret_response by fedra__v1__issue_response__free_unpacked(.., nullptr).
 */
[[nodiscard]] enum status
authority_handle_issue(const struct authority *authority, const struct peer_identity *peer,
                       const Fedra__V1__IssueRequest *request, int64_t now_unix_s,
                       Fedra__V1__IssueResponse **ret_response, struct error *err);

/* The roots, for everybody. NO_MEMORY. Freed by fedra__v1__get_bundle_response__free_unpacked. */
[[nodiscard]] enum status authority_handle_get_bundle(const struct authority *authority,
                                                      Fedra__V1__GetBundleResponse **ret_response);

/*
 * authority_identity.h - an identity made where the authority's folder is: keys, certificates and
 * the folder in one go.
 *
 * For commands and processes on the authority's own machine. Others ask by fedra.v1.Authority.
 */
#pragma once

#include "identity/authority.h"
#include "identity/identity_files.h"

/*
 * Makes new keys, certifies them for spiffe_id for ttl_s from now_unix_s on, and installs them with
 * the authority's roots into dir. Errors of identity_request_create, authority_issue and
 * identity_install.
 */
[[nodiscard]] enum status authority_make_identity(const struct authority *authority,
                                                  const char *spiffe_id,
                                                  enum identity_key_kind tls_kind, uint32_t ttl_s,
                                                  const char *dir, int64_t now_unix_s,
                                                  struct error *err);

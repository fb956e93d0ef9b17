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

/* How far an identity's life is gone, from the certificate in its folder. */
struct identity_age {
    struct spiffe_id id;
    enum identity_key_kind tls_kind;
    int64_t begin_unix_s;
    int64_t end_unix_s;
};

/*
 * Reads it from svid.pem in dir; neither keys nor chains are looked at, and it may be expired.
 * NOT_FOUND, CORRUPT, IDENTITY, IO, NO_MEMORY.
 */
[[nodiscard]] enum status identity_age_read(const char *dir, struct identity_age *ret_age,
                                            struct error *err);

/* Makes the identity anew, for as long as its life was, where share (0 to 1) of that is gone. */
[[nodiscard]] enum status authority_remake_identity(const struct authority *authority,
                                                    const char *dir, double share,
                                                    int64_t now_unix_s, bool *ret_made,
                                                    struct error *err);

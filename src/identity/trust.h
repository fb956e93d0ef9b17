/*
 * trust.h - the inside of a trust set, for the files that verify (svid.c, trust.c).
 *
 * Callers use svid.h.
 */
#pragma once

#include "identity/svid.h"

struct trust_domain {
    char name[SPIFFE_ID_MAX];
    X509_STORE *store; /* the roots of this domain and of no other */
    size_t count;
};

/* The domain of that name, or null. */
const struct trust_domain *trust_find(const struct trust *trust, const char *name);

/* Is the certificate a CA by the SPIFFE rules for signing certificates? IDENTITY with a reason. */
[[nodiscard]] enum status svid_check_signing(X509 *certificate, const char *trust_domain,
                                             struct error *err);

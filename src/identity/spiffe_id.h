/*
 * spiffe_id.h - SPIFFE IDs: parsed by the SPIFFE standard, and what Fedra's paths mean.
 *
 * Not here: certificates that carry them (svid.h).
 */
#pragma once

#include "base/status.h"
#include "wire/signer.h"

#include <stddef.h>
#include <stdint.h>

/* Who a process is, from its path. Values are bits for a set of roles. */
enum spiffe_role {
    SPIFFE_ROLE_OTHER = 1,       /* a valid SPIFFE ID that is none of Fedra's */
    SPIFFE_ROLE_COORDINATOR = 2, /* /fedra/coordinator */
    SPIFFE_ROLE_EDGE = 4,        /* /fedra/edge/<zone> */
    SPIFFE_ROLE_NODE = 8,        /* /fedra/node/<name> */
    SPIFFE_ROLE_OPERATOR = 16,   /* /fedra/operator/<name> */
    SPIFFE_ROLE_AUTHORITY = 32,  /* /fedra/authority */
};

enum { SPIFFE_ROLES_FEDRA = 2 | 4 | 8 | 16 | 32, SPIFFE_ROLES_ANY = 63 };

/* All strings end in a zero. path is empty for the id of the trust domain itself. */
struct spiffe_id {
    char text[SPIFFE_ID_MAX];         /* the whole id */
    char trust_domain[SPIFFE_ID_MAX]; /* example.org */
    char path[SPIFFE_ID_MAX];         /* /fedra/node/a */
    char name[SPIFFE_ID_MAX];         /* zone or name; empty where the role has none */
    enum spiffe_role role;
};

/*
 * Reads size bytes of text (no zero needed; a zero inside is refused). INVAL with the rule that is
 * broken. err may be null.
 */
[[nodiscard]] enum status spiffe_id_parse(const char *text, size_t size, struct spiffe_id *ret_id,
                                          struct error *err);

/* Checks the name of a trust domain ("fedra.local"): [a-z0-9._-], 1 to 255 bytes. INVAL. */
[[nodiscard]] enum status spiffe_trust_domain_check(const char *text, struct error *err);

/*
 * Makes the id of a Fedra role. name is the zone or name; null or "" for coordinator and authority,
 * which have none. INVAL, LIMIT.
 */
[[nodiscard]] enum status spiffe_id_make(const char *trust_domain, enum spiffe_role role,
                                         const char *name, struct spiffe_id *ret_id,
                                         struct error *err);

/* "coordinator", "edge", "node", "operator", "authority" or "other"; static. */
const char *spiffe_role_name(enum spiffe_role role);

/* The role of that name, not "other". INVAL naming the right ones. */
[[nodiscard]] enum status spiffe_role_find(const char *name, enum spiffe_role *ret_role,
                                           struct error *err);

/*
 * May this id make the call? roles is a set of enum spiffe_role bits; call names it in the text.
 * PERMISSION, saying which roles may.
 */
[[nodiscard]] enum status spiffe_role_check(const struct spiffe_id *id, uint32_t roles,
                                            const char *call, struct error *err);

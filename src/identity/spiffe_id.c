/*
 * spiffe_id.c - SPIFFE IDs: parsed by the SPIFFE standard, and what Fedra's paths mean.
 *
 * Source: SPIFFE-ID.md, section 2 (github.com/spiffe/spiffe, standards).
 */
#include "identity/spiffe_id.h"

#include "base/text.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

static const char scheme[] = "spiffe://";

static const struct {
    enum spiffe_role role;
    const char *name;
    bool named; /* a zone or a name follows in the path */
} roles_known[] = {
    {SPIFFE_ROLE_COORDINATOR, "coordinator", false},
    {SPIFFE_ROLE_EDGE, "edge", true},
    {SPIFFE_ROLE_NODE, "node", true},
    {SPIFFE_ROLE_OPERATOR, "operator", true},
    {SPIFFE_ROLE_AUTHORITY, "authority", false},
};

enum { ROLES_KNOWN = sizeof roles_known / sizeof roles_known[0] };

static bool is_domain_byte(unsigned char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' || c == '-' || c == '_';
}

static bool is_path_byte(unsigned char c)
{
    return is_domain_byte(c) || (c >= 'A' && c <= 'Z');
}

static enum status check_domain(const char *text, size_t size, struct error *err)
{
    if (size == 0)
        return error_set(err, STATUS_INVAL, "the trust domain is empty");
    if (size >= SPIFFE_ID_MAX)
        return error_set(err, STATUS_INVAL, "the trust domain has %zu bytes; at most 255", size);
    for (size_t i = 0; i < size; i++) {
        const unsigned char c = (unsigned char)text[i];
        if (is_domain_byte(c))
            continue;
        const char *hint = "";
        if (c == ':')
            hint = " (a port is not allowed)";
        else if (c == '@')
            hint = " (a user name is not allowed)";
        else if (c >= 'A' && c <= 'Z')
            hint = " (write it in lower case)";
        return error_set(err, STATUS_INVAL,
                         "the trust domain has the byte 0x%02x at %zu; allowed are a-z 0-9 . _ -%s",
                         c, i, hint);
    }
    return STATUS_OK;
}

static enum status check_segment(const char *text, size_t size, struct error *err)
{
    if (size == 0)
        return error_set(err, STATUS_INVAL,
                         "the path has an empty segment or ends in a slash; neither is allowed");
    if ((size == 1 && text[0] == '.') || (size == 2 && text[0] == '.' && text[1] == '.'))
        return error_set(err, STATUS_INVAL, "the path has a segment \".\" or \"..\"");
    for (size_t i = 0; i < size; i++) {
        const unsigned char c = (unsigned char)text[i];
        if (is_path_byte(c))
            continue;
        const char *hint = "";
        if (c == '?')
            hint = " (a query is not allowed)";
        else if (c == '#')
            hint = " (a fragment is not allowed)";
        else if (c == '%')
            hint = " (percent-encoding is not allowed)";
        return error_set(err, STATUS_INVAL,
                         "the path has the byte 0x%02x; allowed are a-z A-Z 0-9 . _ -%s", c, hint);
    }
    return STATUS_OK;
}

/* path begins with a slash and has size > 0 bytes. */
static enum status check_path(const char *path, size_t size, struct error *err)
{
    size_t first = 1;
    for (size_t i = 1; i <= size; i++) {
        if (i < size && path[i] != '/')
            continue;
        const enum status status = check_segment(path + first, i - first, err);
        if (status != STATUS_OK)
            return status;
        first = i + 1;
    }
    return STATUS_OK;
}

/* Sets role and name from the path; anything that is not exactly one of ours is OTHER. */
static void find_role(struct spiffe_id *id)
{
    static const char prefix[] = "/fedra/";
    id->role = SPIFFE_ROLE_OTHER;
    if (strncmp(id->path, prefix, sizeof prefix - 1) != 0)
        return;
    const char *rest = id->path + sizeof prefix - 1;
    for (size_t i = 0; i < ROLES_KNOWN; i++) {
        const size_t size = strlen(roles_known[i].name);
        if (strncmp(rest, roles_known[i].name, size) != 0)
            continue;
        const char *name = rest + size;
        if (!roles_known[i].named && *name == 0) {
            id->role = roles_known[i].role;
        } else if (roles_known[i].named && *name == '/' && strchr(name + 1, '/') == nullptr) {
            id->role = roles_known[i].role;
            memcpy(id->name, name + 1, strlen(name));
        }
        return;
    }
}

enum status spiffe_id_parse(const char *text, size_t size, struct spiffe_id *ret_id,
                            struct error *err)
{
    const size_t scheme_size = sizeof scheme - 1;
    char shown[128];
    text_escape(text, size, shown, sizeof shown);
    if (size >= SPIFFE_ID_MAX)
        return error_set(err, STATUS_INVAL, "SPIFFE ID \"%s\" has %zu bytes; Fedra takes 255",
                         shown, size);
    if (size < scheme_size || memcmp(text, scheme, scheme_size) != 0)
        return error_set(err, STATUS_INVAL, "\"%s\" is no SPIFFE ID: it must begin with spiffe://",
                         shown);

    const char *domain = text + scheme_size;
    const size_t rest = size - scheme_size;
    const char *slash = rest > 0 ? memchr(domain, '/', rest) : nullptr;
    const size_t domain_size = slash != nullptr ? (size_t)(slash - domain) : rest;
    enum status status = check_domain(domain, domain_size, err);
    if (status == STATUS_OK && slash != nullptr)
        status = check_path(slash, rest - domain_size, err);
    if (status != STATUS_OK)
        return error_prefix(err, status, "SPIFFE ID \"%s\"", shown);

    struct spiffe_id id = {0};
    memcpy(id.text, text, size);
    memcpy(id.trust_domain, domain, domain_size);
    if (slash != nullptr)
        memcpy(id.path, slash, rest - domain_size);
    find_role(&id);
    *ret_id = id;
    return STATUS_OK;
}

enum status spiffe_trust_domain_check(const char *text, struct error *err)
{
    return check_domain(text, strlen(text), err);
}

enum status spiffe_id_make(const char *trust_domain, enum spiffe_role role, const char *name,
                           struct spiffe_id *ret_id, struct error *err)
{
    const bool has_name = name != nullptr && name[0] != 0;
    for (size_t i = 0; i < ROLES_KNOWN; i++) {
        if (roles_known[i].role != role)
            continue;
        if (has_name != roles_known[i].named)
            return error_set(err, STATUS_INVAL,
                             roles_known[i].named ? "the role %s needs a name"
                                                  : "the role %s has no name",
                             roles_known[i].name);
        char text[SPIFFE_ID_MAX];
        const int size = snprintf(text, sizeof text, "%s%s/fedra/%s%s%s", scheme, trust_domain,
                                  roles_known[i].name, has_name ? "/" : "", has_name ? name : "");
        if (size < 0 || (size_t)size >= sizeof text)
            return error_set(err, STATUS_LIMIT,
                             "trust domain and name together are too long: the SPIFFE ID would "
                             "have %d bytes, at most 255",
                             size);
        struct spiffe_id id;
        const enum status status = spiffe_id_parse(text, (size_t)size, &id, err);
        if (status != STATUS_OK)
            return status;
        if (id.role != role)
            return error_set(err, STATUS_INVAL, "the name \"%s\" must be one path segment", name);
        *ret_id = id;
        return STATUS_OK;
    }
    return error_set(err, STATUS_INVAL, "that role has no SPIFFE ID of its own");
}

const char *spiffe_role_name(enum spiffe_role role)
{
    for (size_t i = 0; i < ROLES_KNOWN; i++)
        if (roles_known[i].role == role)
            return roles_known[i].name;
    return "other";
}

enum status spiffe_role_find(const char *name, enum spiffe_role *ret_role, struct error *err)
{
    for (size_t i = 0; i < ROLES_KNOWN; i++) {
        if (strcmp(roles_known[i].name, name) == 0) {
            *ret_role = roles_known[i].role;
            return STATUS_OK;
        }
    }
    char shown[64];
    text_escape(name, strlen(name), shown, sizeof shown);
    return error_set(err, STATUS_INVAL,
                     "there is no role \"%s\"; right are coordinator, edge, node, operator, "
                     "authority",
                     shown);
}

enum status spiffe_role_check(const struct spiffe_id *id, uint32_t roles, const char *call,
                              struct error *err)
{
    if ((roles & (uint32_t)id->role) != 0)
        return STATUS_OK;
    char allowed[96] = "";
    size_t used = 0;
    for (size_t i = 0; i < ROLES_KNOWN; i++) {
        if ((roles & (uint32_t)roles_known[i].role) == 0)
            continue;
        used += (size_t)snprintf(allowed + used, sizeof allowed - used, "%s%s",
                                 used > 0 ? ", " : "", roles_known[i].name);
    }
    return error_set(err, STATUS_PERMISSION, "%s (role %s) may not call %s; allowed: %s", id->text,
                     spiffe_role_name(id->role), call, used > 0 ? allowed : "nobody");
}

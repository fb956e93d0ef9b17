/*
 * trust.c - the roots of each trust domain, kept apart.
 *
 * Not here: what is verified against them (svid.c).
 */
#include "identity/trust.h"

#include "base/text.h"
#include "identity/openssl_error.h"

#include <openssl/pem.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

struct trust {
    atomic_uint references;
    size_t count;
    struct trust_domain domains[TRUST_DOMAINS_MAX];
};

enum status trust_create(struct trust **ret_trust)
{
    struct trust *trust = calloc(1, sizeof *trust);
    if (trust == nullptr)
        return STATUS_NO_MEMORY;
    atomic_init(&trust->references, 1);
    *ret_trust = trust;
    return STATUS_OK;
}

struct trust *trust_ref(struct trust *trust)
{
    atomic_fetch_add(&trust->references, 1);
    return trust;
}

void trust_unref(struct trust *trust)
{
    if (trust == nullptr || atomic_fetch_sub(&trust->references, 1) != 1)
        return;
    for (size_t i = 0; i < trust->count; i++)
        X509_STORE_free(trust->domains[i].store);
    free(trust);
}

const struct trust_domain *trust_find(const struct trust *trust, const char *name)
{
    for (size_t i = 0; i < trust->count; i++)
        if (strcmp(trust->domains[i].name, name) == 0)
            return &trust->domains[i];
    return nullptr;
}

static enum status find_or_add(struct trust *trust, const char *name,
                               struct trust_domain **ret_domain, struct error *err)
{
    for (size_t i = 0; i < trust->count; i++) {
        if (strcmp(trust->domains[i].name, name) == 0) {
            *ret_domain = &trust->domains[i];
            return STATUS_OK;
        }
    }
    enum status status = spiffe_trust_domain_check(name, err);
    if (status != STATUS_OK)
        return status;
    if (trust->count == TRUST_DOMAINS_MAX)
        return error_set(err, STATUS_LIMIT, "more than %d trust domains", TRUST_DOMAINS_MAX);
    struct trust_domain *domain = &trust->domains[trust->count];
    status = text_copy(name, domain->name, sizeof domain->name);
    if (status != STATUS_OK)
        return status;
    domain->store = X509_STORE_new();
    if (domain->store == nullptr)
        return error_set(err, STATUS_NO_MEMORY, "no memory for a trust domain");
    trust->count++;
    *ret_domain = domain;
    return STATUS_OK;
}

enum status trust_add_pem(struct trust *trust, const char *trust_domain, struct slice pem,
                          struct error *err)
{
    STACK_OF(X509) *roots = nullptr;
    struct trust_domain *domain = nullptr;
    enum status status = svid_chain_decode_pem(pem, &roots, err);
    if (status != STATUS_OK)
        goto out;
    status = find_or_add(trust, trust_domain, &domain, err);
    if (status != STATUS_OK)
        goto out;
    for (int i = 0; i < sk_X509_num(roots); i++) {
        X509 *root = sk_X509_value(roots, i);
        status = svid_check_signing(root, trust_domain, err);
        if (status != STATUS_OK) {
            status = error_prefix(err, STATUS_INVAL, "root %d of %s", i + 1, trust_domain);
            goto out;
        }
        if (domain->count == TRUST_ROOTS_MAX) {
            status = error_set(err, STATUS_LIMIT, "trust domain %s has more than %d roots",
                               trust_domain, TRUST_ROOTS_MAX);
            goto out;
        }
        if (X509_STORE_add_cert(domain->store, root) != 1) {
            status = error_set_openssl(err, STATUS_INVAL, "root %d of %s", i + 1, trust_domain);
            goto out;
        }
        domain->count++;
    }
out:
    sk_X509_pop_free(roots, X509_free);
    return status;
}

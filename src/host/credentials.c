/*
 * credentials.c - an identity made ready for use.
 */
#include "host/credentials.h"

#include "base/check.h"

#include <stdlib.h>

static void destroy(struct credentials *credentials)
{
    for (uint32_t i = 0; i < credentials->chain.count; i++) {
        union {
            const uint8_t *in;
            uint8_t *out;
        } der = {.in = credentials->chain.certificates[i].data};
        OPENSSL_free(der.out);
    }
    envelope_signer_destroy(&credentials->signer);
    SSL_CTX_free(credentials->tls);
    identity_close(credentials->identity);
    free(credentials);
}

static enum status encode_chain(struct credentials *credentials, struct error *err)
{
    STACK_OF(X509) *const chain = credentials->identity->envelope_chain;
    static_assert((int)CHAIN_COUNT_MAX >= (int)SVID_CHAIN_MAX);
    for (int i = 0; i < sk_X509_num(chain); i++) {
        uint8_t *der = nullptr;
        const int size = i < CHAIN_COUNT_MAX ? i2d_X509(sk_X509_value(chain, i), &der) : 0;
        if (size <= 0)
            return error_set(err, STATUS_LIMIT, "envelope.pem holds more than %d certificates",
                             CHAIN_COUNT_MAX);
        credentials->chain.certificates[credentials->chain.count++] =
            (struct slice){der, (size_t)size};
    }
    return STATUS_OK;
}

enum status credentials_create(struct identity *identity, bool server, uint32_t roles,
                               struct credentials **ret_credentials, struct error *err)
{
    struct credentials *const credentials = calloc(1, sizeof(*credentials));
    if (credentials == nullptr)
        return error_set(err, STATUS_NO_MEMORY, "%s", status_text(STATUS_NO_MEMORY));
    atomic_init(&credentials->references, 1);
    credentials->identity = identity_ref(identity);
    enum status status = tls_context_create(identity, server, roles, &credentials->tls, err);
    if (status == STATUS_OK)
        status = envelope_signer_create(identity->envelope_key,
                                        sk_X509_value(identity->envelope_chain, 0), 0,
                                        &credentials->signer, err);
    if (status == STATUS_OK)
        status = encode_chain(credentials, err);
    if (status == STATUS_OK)
        *ret_credentials = credentials;
    else
        destroy(credentials);
    return status;
}

struct credentials *credentials_ref(struct credentials *credentials)
{
    atomic_fetch_add(&credentials->references, 1);
    return credentials;
}

void credentials_unref(struct credentials *credentials)
{
    if (credentials != nullptr && atomic_fetch_sub(&credentials->references, 1) == 1)
        destroy(credentials);
}

enum status credentials_append_chain(const struct credentials *credentials, struct bytes *out)
{
    const size_t before = out->size;
    enum status status = STATUS_OK;
    for (uint32_t i = 0; i < credentials->chain.count && status == STATUS_OK; i++)
        status = bytes_append(out, credentials->chain.certificates[i].data,
                              credentials->chain.certificates[i].size);
    if (status != STATUS_OK)
        out->size = before;
    return status;
}

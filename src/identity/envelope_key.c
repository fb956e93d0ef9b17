/*
 * envelope_key.c - ML-DSA-65 through OpenSSL's one-shot calls, with a context string.
 *
 * Pure mode: there is no pre-hash, so what is signed is short (a header). Not here: whose key it is
 * (keyring.c).
 */
#include "identity/envelope_key.h"

#include "identity/openssl_error.h"

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/params.h>
#include <stdlib.h>
#include <string.h>

struct signing {
    EVP_PKEY *key;
    int deterministic;
};

/* Fills params for a context string; params has room for three. */
static enum status fill_params(const char *context, int *deterministic, OSSL_PARAM *params)
{
    const size_t size = strlen(context);
    if (size == 0 || size > ENVELOPE_CONTEXT_MAX)
        return STATUS_INVAL;
    /* OpenSSL reads the string only. */
    union {
        const char *in;
        void *out;
    } text = {.in = context};
    *params++ =
        OSSL_PARAM_construct_octet_string(OSSL_SIGNATURE_PARAM_CONTEXT_STRING, text.out, size);
    if (deterministic != nullptr)
        *params++ = OSSL_PARAM_construct_int(OSSL_SIGNATURE_PARAM_DETERMINISTIC, deterministic);
    *params = OSSL_PARAM_construct_end();
    return STATUS_OK;
}

static enum status sign(void *state, const char *context, struct slice message,
                        uint8_t *ret_signature, size_t *ret_size)
{
    const struct signing *const signing = state;
    int deterministic = signing->deterministic;
    OSSL_PARAM params[3];
    enum status status = fill_params(context, &deterministic, params);
    if (status != STATUS_OK)
        return status;
    EVP_MD_CTX *const digest = EVP_MD_CTX_new();
    uint8_t signature[SIGNATURE_BYTES_MAX];
    size_t size = sizeof(signature);
    if (digest == nullptr)
        return STATUS_NO_MEMORY;
    if (EVP_DigestSignInit_ex(digest, nullptr, nullptr, nullptr, nullptr, signing->key, params) !=
            1 ||
        EVP_DigestSign(digest, signature, &size, message.data, message.size) != 1)
        status = error_set_openssl(nullptr, STATUS_IO, "signing");
    EVP_MD_CTX_free(digest);
    /* OpenSSL 3.5.9 can give a wrong signature where an allocation fails inside it. */
    if (status == STATUS_OK)
        status = envelope_signature_verify(signing->key, context, message,
                                           (struct slice){signature, size}, nullptr);
    if (status != STATUS_OK && status != STATUS_NO_MEMORY)
        status = STATUS_IO;
    if (status == STATUS_OK) {
        memcpy(ret_signature, signature, size);
        *ret_size = size;
    }
    return status;
}

static const struct signer_ops signer_ops = {.sign = sign};

enum status envelope_signer_create(EVP_PKEY *key, X509 *certificate, uint32_t flags,
                                   struct signer *ret_signer, struct error *err)
{
    struct svid_info info;
    if (!EVP_PKEY_is_a(key, "ML-DSA-65"))
        return error_set(err, STATUS_INVAL, "the key that signs envelopes is %s, not ML-DSA-65",
                         EVP_PKEY_get0_type_name(key));
    size_t private_size = 0;
    if (EVP_PKEY_get_octet_string_param(key, OSSL_PKEY_PARAM_PRIV_KEY, nullptr, 0, &private_size) !=
        1)
        return error_set_openssl(err, STATUS_INVAL,
                                 "the key that signs envelopes has no private part");
    enum status status = svid_check_leaf(certificate, &info, err);
    if (status != STATUS_OK)
        return status;
    if (X509_check_private_key(certificate, key) != 1)
        return error_set_openssl(err, STATUS_IDENTITY,
                                 "the key that signs envelopes is not its certificate's");
    struct signing *const signing = calloc(1, sizeof(*signing));
    if (signing == nullptr || EVP_PKEY_up_ref(key) != 1) {
        free(signing);
        return error_set(err, STATUS_NO_MEMORY, "no memory for a signer");
    }
    signing->key = key;
    signing->deterministic = (flags & ENVELOPE_DETERMINISTIC) != 0;
    struct signer signer = {.ops = &signer_ops, .state = signing, .key_id = info.key_id};
    memcpy(signer.spiffe_id, info.id.text, sizeof(signer.spiffe_id));
    *ret_signer = signer;
    return STATUS_OK;
}

void envelope_signer_destroy(struct signer *signer)
{
    struct signing *const signing = signer->state;
    if (signing == nullptr)
        return;
    EVP_PKEY_free(signing->key);
    free(signing);
    *signer = (struct signer){0};
}

enum status envelope_signature_verify(EVP_PKEY *key, const char *context, struct slice message,
                                      struct slice signature, struct error *err)
{
    OSSL_PARAM params[3];
    if (fill_params(context, nullptr, params) != STATUS_OK)
        return error_set(err, STATUS_INVAL, "a context string has 1 to %d bytes",
                         ENVELOPE_CONTEXT_MAX);
    EVP_MD_CTX *const digest = EVP_MD_CTX_new();
    if (digest == nullptr)
        return error_set(err, STATUS_NO_MEMORY, "no memory to verify a signature");
    ERR_clear_error(); /* what is in it afterwards comes from here */
    enum status status = STATUS_OK;
    if (EVP_DigestVerifyInit_ex(digest, nullptr, nullptr, nullptr, nullptr, key, params) != 1)
        status = error_set_openssl(err, STATUS_INVAL, "the key cannot verify");
    else if (EVP_DigestVerify(digest, signature.data, signature.size, message.data, message.size) !=
             1)
        status = error_set_openssl(err, STATUS_SIGNATURE, "the signature does not match");
    EVP_MD_CTX_free(digest);
    return status;
}

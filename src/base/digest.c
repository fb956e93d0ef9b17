/*
 * digest.c - SHA-256 through OpenSSL's EVP interface, and the blob digest built on it.
 */
#include "base/digest.h"

#include "base/bytes.h"
#include "base/check.h"

#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

struct hasher {
    EVP_MD_CTX *context;
};

struct blob_hasher {
    struct hasher *outer;
    struct hasher *chunk;
    uint64_t length;
    uint64_t received;
    size_t chunk_filled; /* bytes in the open chunk, below BLOB_CHUNK_BYTES */
};

void digest_of(const void *data, size_t size, struct digest *ret_digest)
{
    unsigned int length = 0;
    CHECK(EVP_Digest(data, size, ret_digest->bytes, &length, EVP_sha256(), nullptr) == 1);
    CHECK(length == DIGEST_BYTES);
}

enum status hasher_create(struct hasher **ret_hasher)
{
    struct hasher *const hasher = calloc(1, sizeof(*hasher));
    if (hasher == nullptr)
        return STATUS_NO_MEMORY;
    hasher->context = EVP_MD_CTX_new();
    if (hasher->context == nullptr) {
        free(hasher);
        return STATUS_NO_MEMORY;
    }
    CHECK(EVP_DigestInit_ex(hasher->context, EVP_sha256(), nullptr) == 1);
    *ret_hasher = hasher;
    return STATUS_OK;
}

void hasher_update(struct hasher *hasher, const void *data, size_t size)
{
    CHECK(EVP_DigestUpdate(hasher->context, data, size) == 1);
}

void hasher_finish(struct hasher *hasher, struct digest *ret_digest)
{
    unsigned int length = 0;
    CHECK(EVP_DigestFinal_ex(hasher->context, ret_digest->bytes, &length) == 1);
    CHECK(length == DIGEST_BYTES);
    CHECK(EVP_DigestInit_ex(hasher->context, EVP_sha256(), nullptr) == 1);
}

void hasher_destroy(struct hasher *hasher)
{
    if (hasher == nullptr)
        return;
    EVP_MD_CTX_free(hasher->context);
    free(hasher);
}

enum status blob_hasher_create(uint64_t length, uint32_t codec, struct blob_hasher **ret_hasher)
{
    static const char domain[] = "fedra/v1/blob";
    struct blob_hasher *const hasher = calloc(1, sizeof(*hasher));
    if (hasher == nullptr)
        return STATUS_NO_MEMORY;
    hasher->length = length;
    if (hasher_create(&hasher->outer) != STATUS_OK || hasher_create(&hasher->chunk) != STATUS_OK) {
        blob_hasher_destroy(hasher);
        return STATUS_NO_MEMORY;
    }
    uint8_t head[12];
    store_u64le(head, length);
    store_u32le(head + 8, codec);
    hasher_update(hasher->outer, domain, sizeof(domain)); /* with its zero */
    hasher_update(hasher->outer, head, sizeof(head));
    *ret_hasher = hasher;
    return STATUS_OK;
}

static void close_chunk(struct blob_hasher *hasher)
{
    struct digest digest;
    hasher_finish(hasher->chunk, &digest);
    hasher_update(hasher->outer, digest.bytes, DIGEST_BYTES);
    hasher->chunk_filled = 0;
}

void blob_hasher_update(struct blob_hasher *hasher, const void *data, size_t size)
{
    CHECK(size <= hasher->length - hasher->received);
    const uint8_t *next = data;
    hasher->received += size;
    while (size > 0) {
        const size_t room = BLOB_CHUNK_BYTES - hasher->chunk_filled;
        const size_t take = size < room ? size : room;
        hasher_update(hasher->chunk, next, take);
        hasher->chunk_filled += take;
        if (hasher->chunk_filled == BLOB_CHUNK_BYTES)
            close_chunk(hasher);
        next += take;
        size -= take;
    }
}

enum status blob_hasher_finish(struct blob_hasher *hasher, struct digest *ret_digest)
{
    if (hasher->received != hasher->length)
        return STATUS_PEER;
    if (hasher->chunk_filled > 0)
        close_chunk(hasher);
    hasher_finish(hasher->outer, ret_digest);
    return STATUS_OK;
}

void blob_hasher_destroy(struct blob_hasher *hasher)
{
    if (hasher == nullptr)
        return;
    hasher_destroy(hasher->outer);
    hasher_destroy(hasher->chunk);
    free(hasher);
}

enum status blob_digest(const void *data, size_t size, uint32_t codec, struct digest *ret_digest)
{
    struct blob_hasher *hasher = nullptr;
    enum status status = blob_hasher_create(size, codec, &hasher);
    if (status != STATUS_OK)
        return status;
    blob_hasher_update(hasher, data, size);
    status = blob_hasher_finish(hasher, ret_digest);
    blob_hasher_destroy(hasher);
    return status;
}

void digest_to_hex(const struct digest *digest, char ret_text[static DIGEST_HEX_MAX])
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < DIGEST_BYTES; i++) {
        ret_text[2 * i] = digits[digest->bytes[i] >> 4];
        ret_text[2 * i + 1] = digits[digest->bytes[i] & 15];
    }
    ret_text[2 * DIGEST_BYTES] = 0;
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

enum status digest_from_hex(const char *text, struct digest *ret_digest)
{
    if (strlen(text) != 2 * DIGEST_BYTES)
        return STATUS_INVAL;
    struct digest digest;
    for (size_t i = 0; i < DIGEST_BYTES; i++) {
        const int high = hex_value(text[2 * i]);
        const int low = hex_value(text[2 * i + 1]);
        if (high < 0 || low < 0)
            return STATUS_INVAL;
        digest.bytes[i] = (uint8_t)(high << 4 | low);
    }
    *ret_digest = digest;
    return STATUS_OK;
}

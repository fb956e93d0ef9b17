/*
 * digest.h - SHA-256 digests: in one call, piece by piece, as text, and the digest of a blob.
 *
 * H in the documents is SHA-256, named DIGEST_SHA256 on the wire so that another can be asked for.
 */
#pragma once

#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    DIGEST_BYTES = 32,
    DIGEST_HEX_MAX = 65,            /* 64 hexadecimal digits and a zero */
    DIGEST_SHA256 = 1,              /* the hash id on the wire and in records */
    BLOB_CHUNK_BYTES = 1024 * 1024, /* pinned: a blob is hashed and sent in pieces of this size */
};

struct digest {
    uint8_t bytes[DIGEST_BYTES];
};

/* A running digest; create it, feed it, finish it, destroy it. One thread at a time. */
struct hasher;

static inline bool digest_equal(const struct digest *a, const struct digest *b)
{
    return __builtin_memcmp(a->bytes, b->bytes, DIGEST_BYTES) == 0;
}

static inline bool digest_is_zero(const struct digest *digest)
{
    const struct digest zero = {0};
    return digest_equal(digest, &zero);
}

/* SHA-256 of size bytes. Aborts if the library cannot (a broken installation, found at start). */
void digest_of(const void *data, size_t size, struct digest *ret_digest);

/* NO_MEMORY, else a new running digest that the caller destroys. */
[[nodiscard]] enum status hasher_create(struct hasher **ret_hasher);
void hasher_update(struct hasher *hasher, const void *data, size_t size);

/* Gives the digest and starts anew, ready for the next message. */
void hasher_finish(struct hasher *hasher, struct digest *ret_digest);
void hasher_destroy(struct hasher *hasher);

/*
 * The digest of a blob that arrives in pieces (pinned):
 * H("fedra/v1/blob\0" | u64le length | u32le codec | H(chunk 0) | H(chunk 1) | ...), chunks of
 * BLOB_CHUNK_BYTES, the last one shorter; an empty blob has no chunk.
 */
struct blob_hasher;

/* length is the whole blob's; codec names how its bytes are to be read (wire/codec ids; 0 raw). */
[[nodiscard]] enum status blob_hasher_create(uint64_t length, uint32_t codec,
                                             struct blob_hasher **ret_hasher);

/* Feeds the next bytes, in any pieces; together they must not pass length (aborts). */
void blob_hasher_update(struct blob_hasher *hasher, const void *data, size_t size);

/* PEER where fewer bytes came than length said. Does not destroy. */
[[nodiscard]] enum status blob_hasher_finish(struct blob_hasher *hasher, struct digest *ret_digest);
void blob_hasher_destroy(struct blob_hasher *hasher);

/* The digest of a blob that lies in memory. NO_MEMORY only. */
[[nodiscard]] enum status blob_digest(const void *data, size_t size, uint32_t codec,
                                      struct digest *ret_digest);

/* 64 lower-case hexadecimal digits and a zero. */
void digest_to_hex(const struct digest *digest, char ret_text[static DIGEST_HEX_MAX]);

/* Reads 64 hexadecimal digits, of either case. INVAL otherwise. */
[[nodiscard]] enum status digest_from_hex(const char *text, struct digest *ret_digest);

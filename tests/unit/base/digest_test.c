/*
 * digest_test.c - SHA-256 against FIPS 180-4's example, and the pinned blob digest against its
 * definition.
 */
#include "base/digest.h"

#include "alloc_fault.h"
#include "base/bytes.h"
#include "testing.h"

#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

EVP_MD_CTX *__real_EVP_MD_CTX_new(void);
EVP_MD_CTX *__wrap_EVP_MD_CTX_new(void);

EVP_MD_CTX *__wrap_EVP_MD_CTX_new(void)
{
    return alloc_fault_is_now() ? nullptr : __real_EVP_MD_CTX_new();
}

static void sha256_of_abc_is_the_published_one(void **state)
{
    struct digest digest;
    char hex[DIGEST_HEX_MAX];
    digest_of("abc", 3, &digest);
    digest_to_hex(&digest, hex);
    assert_string_equal(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    struct digest again;
    assert_int_equal(digest_from_hex(hex, &again), STATUS_OK);
    assert_true(digest_equal(&digest, &again));
}

static void malformed_hex_is_refused(void **state)
{
    struct digest digest;
    assert_int_equal(digest_from_hex("", &digest), STATUS_INVAL);
    assert_int_equal(digest_from_hex("ab", &digest), STATUS_INVAL);
    char text[DIGEST_HEX_MAX];
    memset(text, 'g', sizeof(text) - 1);
    text[sizeof(text) - 1] = 0;
    assert_int_equal(digest_from_hex(text, &digest), STATUS_INVAL);
}

static void blob_digest_is_its_definition(void **state)
{
    const size_t size = BLOB_CHUNK_BYTES + 3;
    uint8_t *const data = malloc(size);
    for (size_t i = 0; i < size; i++)
        data[i] = (uint8_t)(i * 7);
    uint8_t whole[14 + 12 + 64] = "fedra/v1/blob";
    store_u64le(whole + 14, size);
    store_u32le(whole + 22, 5);
    struct digest expected;
    digest_of(data, BLOB_CHUNK_BYTES, &expected);
    memcpy(whole + 26, expected.bytes, 32);
    digest_of(data + BLOB_CHUNK_BYTES, 3, &expected);
    memcpy(whole + 58, expected.bytes, 32);
    digest_of(whole, sizeof(whole), &expected);

    struct digest digest;
    assert_int_equal(blob_digest(data, size, 5, &digest), STATUS_OK);
    assert_true(digest_equal(&digest, &expected));

    struct blob_hasher *hasher = nullptr;
    assert_int_equal(blob_hasher_create(size, 5, &hasher), STATUS_OK);
    for (size_t at = 0; at < size;) {
        const size_t piece = size - at < 99991 ? size - at : 99991;
        blob_hasher_update(hasher, data + at, piece);
        at += piece;
    }
    assert_int_equal(blob_hasher_finish(hasher, &digest), STATUS_OK);
    assert_true(digest_equal(&digest, &expected));
    blob_hasher_destroy(hasher);
    free(data);
}

static void a_short_blob_has_no_digest(void **state)
{
    struct blob_hasher *hasher = nullptr;
    struct digest digest;
    assert_int_equal(blob_hasher_create(10, 0, &hasher), STATUS_OK);
    blob_hasher_update(hasher, "123456789", 9);
    assert_int_equal(blob_hasher_finish(hasher, &digest), STATUS_PEER);
    blob_hasher_destroy(hasher);
}

/* Values of `printf abc | sha256sum` and of FIPS 180-4's second example. */
static void a_hasher_starts_anew_after_each_digest(void **state)
{
    struct hasher *hasher = nullptr;
    assert_int_equal(hasher_create(&hasher), STATUS_OK);
    struct digest digest;
    char hex[DIGEST_HEX_MAX];
    hasher_update(hasher, "a", 1);
    hasher_update(hasher, "bc", 2);
    hasher_finish(hasher, &digest);
    digest_to_hex(&digest, hex);
    assert_string_equal(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    hasher_update(hasher, "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", 56);
    hasher_finish(hasher, &digest);
    digest_to_hex(&digest, hex);
    assert_string_equal(hex, "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
    hasher_destroy(hasher);
    hasher_destroy(nullptr);
    blob_hasher_destroy(nullptr);
}

static void an_empty_blob_has_no_chunk(void **state)
{
    const uint8_t head[26] = "fedra/v1/blob"; /* its zero, a length of 0, the codec 0 */
    struct digest expected;
    struct digest digest;
    digest_of(head, sizeof(head), &expected);
    assert_int_equal(blob_digest(nullptr, 0, 0, &digest), STATUS_OK);
    assert_true(digest_equal(&digest, &expected));
    assert_false(digest_is_zero(&digest));
    memset(&digest, 0, sizeof(digest));
    assert_true(digest_is_zero(&digest));
}

static void hex_of_either_case_is_read(void **state)
{
    char text[DIGEST_HEX_MAX];
    memset(text, 'F', sizeof(text) - 1);
    memcpy(text, "0aA9", 4);
    text[sizeof(text) - 1] = 0;
    struct digest digest;
    assert_int_equal(digest_from_hex(text, &digest), STATUS_OK);
    assert_int_equal(digest.bytes[0], 0x0a);
    assert_int_equal(digest.bytes[1], 0xa9);
    assert_int_equal(digest.bytes[31], 0xff);
    for (const char *wrong = "/:@G`g"; *wrong != 0; wrong++) { /* the neighbours of the digits */
        text[63] = *wrong;
        assert_int_equal(digest_from_hex(text, &digest), STATUS_INVAL);
    }
}

static void every_lost_allocation_is_reported(void **state)
{
    struct digest digest;
    uint64_t lost = 0;
    for (;; lost++) {
        alloc_fault_at(lost);
        const enum status status = blob_digest("x", 1, 0, &digest);
        if (!alloc_fault_off()) {
            assert_int_equal(status, STATUS_OK);
            break;
        }
        assert_int_equal(status, STATUS_NO_MEMORY);
    }
    assert_int_equal(lost, 5); /* the blob's hasher, and twice a hasher with its context */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sha256_of_abc_is_the_published_one),
        cmocka_unit_test(malformed_hex_is_refused),
        cmocka_unit_test(blob_digest_is_its_definition),
        cmocka_unit_test(a_short_blob_has_no_digest),
        cmocka_unit_test(a_hasher_starts_anew_after_each_digest),
        cmocka_unit_test(an_empty_blob_has_no_chunk),
        cmocka_unit_test(hex_of_either_case_is_read),
        cmocka_unit_test(every_lost_allocation_is_reported),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}

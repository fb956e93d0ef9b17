/*
 * digest_test.c - SHA-256 against FIPS 180-4's example, and the pinned blob digest against its
 * definition.
 */
#include "base/bytes.h"
#include "base/digest.h"

#include "testing.h"

#include <stdlib.h>
#include <string.h>

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sha256_of_abc_is_the_published_one),
        cmocka_unit_test(malformed_hex_is_refused),
        cmocka_unit_test(blob_digest_is_its_definition),
        cmocka_unit_test(a_short_blob_has_no_digest),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}

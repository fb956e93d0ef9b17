/*
 * envelope_key_test.c - ML-DSA-65 signatures with context strings.
 *
 * Goal: what is signed here is FIPS 204, and no other message, context or signature verifies.
 * Method: known answers of Project Wycheproof (mldsa_65_sign_seed_test.json, cases 3 and 4: key
 * from the seed 2a..2a, no randomness), as SHA-256 of the 3,309 bytes; then everything flipped.
 */
#include "testing.h"

#include "identity/envelope_key.h"
#include "identity_fixture.h"

#include <openssl/err.h>
#include <pthread.h>

static char base[] = "/tmp/fedra-envelope-XXXXXX";
static struct authority *authority;
static EVP_PKEY *known;         /* Wycheproof's */
static X509 *known_certificate; /* of node/a */
static struct signer signer;    /* of the known key, deterministic */

static const struct slice hello = {(const uint8_t *)"Hello world", 11};

static EVP_PKEY *wycheproof_key(void)
{
    /* PKCS#8, id-ml-dsa-65, and the seed by RFC 9881, section 6: [0] of 32 bytes. */
    uint8_t der[54] = {0x30, 0x34, 0x02, 0x01, 0x00, 0x30, 0x0b, 0x06, 0x09, 0x60, 0x86,
                       0x48, 0x01, 0x65, 0x03, 0x04, 0x03, 0x12, 0x04, 0x22, 0x80, 0x20};
    memset(der + 22, 0x2a, 32);
    const uint8_t *at = der;
    EVP_PKEY *key = d2i_AutoPrivateKey(nullptr, &at, sizeof(der));
    CHECK(key != nullptr);
    return key;
}

static X509 *certify(EVP_PKEY *key, const char *spiffe_id)
{
    const struct slice csr = fixture_csr(key, key, 0, nullptr);
    struct bytes der;
    bytes_init(&der, SVID_CERTIFICATE_MAX);
    fixture_certify(authority, csr, spiffe_id, 3600, fixture_now, &der);
    X509 *certificate = fixture_decode(bytes_slice(&der));
    bytes_deinit(&der);
    fixture_free(csr);
    return certificate;
}

static int set_up(void **state)
{
    authority = fixture_authority(fixture_path(base, "authority"), fixture_now);
    known = wycheproof_key();
    known_certificate = certify(known, FIXTURE_ID("node/a"));
    CHECK(envelope_signer_create(known, known_certificate, ENVELOPE_DETERMINISTIC, &signer,
                                 nullptr) == STATUS_OK);
    return 0;
}

static int tear_down(void **state)
{
    envelope_signer_destroy(&signer);
    X509_free(known_certificate);
    EVP_PKEY_free(known);
    authority_close(authority);
    fixture_remove(base);
    return 0;
}

static void sign(const struct signer *with, const char *context, struct slice message,
                 uint8_t signature[SIGNATURE_BYTES_MAX])
{
    size_t size = 0;
    assert_int_equal(with->ops->sign(with->state, context, message, signature, &size), STATUS_OK);
    assert_int_equal(size, 3309);
}

static enum status verify(const char *context, struct slice message, const uint8_t *signature,
                          size_t size)
{
    return envelope_signature_verify(known, context, message, (struct slice){signature, size},
                                     nullptr);
}

static const char *longest_context(size_t size)
{
    static char text[300];
    memset(text, 'A', size);
    text[size] = 0;
    return text;
}

static void signatures_are_those_of_wycheproof(void **state)
{
    static const char expected_key[] =
        "b7acce2ddb11f8cc1aa46e2bafac6eacfa2b732ef192bd636ad8d3a56d649c66";
    static const struct {
        size_t context_size; /* 0: "Context" */
        const char *expected;
    } cases[] = {
        {0, "c32dd9c1fdb53c049ebb75d98604d27593e32f5da2b1201c9289692de6ebea2e"},
        {255, "e016b21537310a1eddd2f5093c21dfe5626919c8103b6e520163d2072c9e7685"},
    };
    uint8_t signature[SIGNATURE_BYTES_MAX], public_key[2048];
    char hex[DIGEST_HEX_MAX];
    struct digest digest;
    size_t size = 0;
    assert_int_equal(EVP_PKEY_get_octet_string_param(known, OSSL_PKEY_PARAM_PUB_KEY, public_key,
                                                     sizeof(public_key), &size),
                     1);
    digest_of(public_key, size, &digest);
    digest_to_hex(&digest, hex);
    assert_string_equal(hex, expected_key);
    for (size_t i = 0; i < 2; i++) {
        const char *context =
            cases[i].context_size == 0 ? "Context" : longest_context(cases[i].context_size);
        sign(&signer, context, hello, signature);
        digest_of(signature, 3309, &digest);
        digest_to_hex(&digest, hex);
        assert_string_equal(hex, cases[i].expected);
        assert_int_equal(verify(context, hello, signature, 3309), STATUS_OK);
    }
}

static void a_signature_holds_under_its_own_context_only(void **state)
{
    static const char *const others[] = {"fedra/v1/beacon", "fedra/v1/updat", "fedra/v1/update ",
                                         "f"};
    uint8_t signature[SIGNATURE_BYTES_MAX];
    sign(&signer, "fedra/v1/update", hello, signature);
    assert_int_equal(verify("fedra/v1/update", hello, signature, 3309), STATUS_OK);
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
        assert_int_equal(verify(others[i], hello, signature, 3309), STATUS_SIGNATURE);
    /* The border between context and message is signed too. */
    sign(&signer, "ab", (struct slice){(const uint8_t *)"c", 1}, signature);
    assert_int_equal(verify("a", (struct slice){(const uint8_t *)"bc", 2}, signature, 3309),
                     STATUS_SIGNATURE);
}

static void contexts_have_1_to_255_bytes(void **state)
{
    uint8_t signature[SIGNATURE_BYTES_MAX] = {7};
    size_t size = 77;
    static const size_t wrong[] = {0, 256};
    for (size_t i = 0; i < 2; i++) {
        const char *context = longest_context(wrong[i]);
        assert_int_equal(signer.ops->sign(signer.state, context, hello, signature, &size),
                         STATUS_INVAL);
        assert_int_equal(size, 77);
        assert_int_equal(signature[0], 7);
        struct error err = {0};
        assert_int_equal(
            envelope_signature_verify(known, context, hello, (struct slice){signature, 3309}, &err),
            STATUS_INVAL);
        assert_non_null(strstr(err.text, "1 to 255"));
    }
}

static void no_flipped_bit_verifies(void **state)
{
    uint8_t signature[SIGNATURE_BYTES_MAX], message[64];
    memset(message, 'm', sizeof(message));
    const struct slice signed_message = {message, sizeof(message)};
    sign(&signer, "x", signed_message, signature);
    for (size_t i = 0; i < 3309; i += i < 3200 ? 13 : 1) {
        signature[i] ^= (uint8_t)(1 << i % 8);
        assert_int_equal(verify("x", signed_message, signature, 3309), STATUS_SIGNATURE);
        signature[i] ^= (uint8_t)(1 << i % 8);
    }
    for (size_t i = 0; i < 8 * sizeof(message); i += 5) {
        message[i / 8] ^= (uint8_t)(1 << i % 8);
        assert_int_equal(verify("x", signed_message, signature, 3309), STATUS_SIGNATURE);
        message[i / 8] ^= (uint8_t)(1 << i % 8);
    }
    assert_int_equal(verify("x", signed_message, signature, 3309), STATUS_OK);
}

static void a_signature_of_another_size_does_not_verify(void **state)
{
    static const size_t sizes[] = {0, 1, 32, 3308, 3310, SIGNATURE_BYTES_MAX};
    uint8_t signature[SIGNATURE_BYTES_MAX] = {0};
    sign(&signer, "x", hello, signature);
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
        assert_int_equal(verify("x", hello, signature, sizes[i]), STATUS_SIGNATURE);
    assert_int_equal(envelope_signature_verify(known, "x", hello, (struct slice){0}, nullptr),
                     STATUS_SIGNATURE);
}

static void another_key_does_not_verify(void **state)
{
    uint8_t signature[SIGNATURE_BYTES_MAX];
    EVP_PKEY *other = fixture_key("ML-DSA-65");
    sign(&signer, "x", hello, signature);
    assert_int_equal(
        envelope_signature_verify(other, "x", hello, (struct slice){signature, 3309}, nullptr),
        STATUS_SIGNATURE);
    EVP_PKEY_free(other);
}

static void an_older_fault_of_memory_is_not_taken_for_this_one(void **state)
{
    uint8_t signature[SIGNATURE_BYTES_MAX];
    sign(&signer, "x", hello, signature);
    signature[7] ^= 1;
    ERR_raise(ERR_LIB_CRYPTO, ERR_R_MALLOC_FAILURE);
    assert_int_equal(verify("x", hello, signature, 3309), STATUS_SIGNATURE);
    assert_int_equal(ERR_peek_error(), 0);
}

static void signatures_are_random_unless_asked_otherwise(void **state)
{
    struct signer random;
    uint8_t one[SIGNATURE_BYTES_MAX], two[SIGNATURE_BYTES_MAX];
    assert_int_equal(envelope_signer_create(known, known_certificate, 0, &random, nullptr),
                     STATUS_OK);
    sign(&random, "x", hello, one);
    sign(&random, "x", hello, two);
    assert_memory_not_equal(one, two, 3309);
    assert_int_equal(verify("x", hello, one, 3309), STATUS_OK);
    assert_int_equal(verify("x", hello, two, 3309), STATUS_OK);
    envelope_signer_destroy(&random);
}

static void a_signer_says_who_it_is(void **state)
{
    uint8_t *der = nullptr;
    struct digest digest;
    const int size = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(known_certificate), &der);
    digest_of(der, (size_t)size, &digest);
    OPENSSL_free(der);
    assert_true(digest_equal(&digest, &signer.key_id));
    assert_string_equal(signer.spiffe_id, FIXTURE_ID("node/a"));
}

static void expect_refused(EVP_PKEY *key, X509 *certificate, enum status wanted, const char *part)
{
    struct signer refused = {0};
    struct error err = {0};
    const enum status status = envelope_signer_create(key, certificate, 0, &refused, &err);
    if (status != wanted || strstr(err.text, part) == nullptr)
        fail_msg("%s: \"%s\", wanted \"%s\"", status_name(status), err.text, part);
    assert_null(refused.state);
}

static void keys_that_are_not_right_make_no_signer(void **state)
{
    static const char *const wrong[] = {"P-256", "ML-DSA-44", "ML-DSA-87", "ED25519"};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        EVP_PKEY *key = fixture_key(wrong[i]);
        expect_refused(key, known_certificate, STATUS_INVAL, "not ML-DSA-65");
        EVP_PKEY_free(key);
    }
    EVP_PKEY *other = fixture_key("ML-DSA-65");
    expect_refused(other, known_certificate, STATUS_IDENTITY, "not its certificate's");
    EVP_PKEY_free(other);
    /* The public half alone signs nothing. */
    expect_refused(X509_get0_pubkey(known_certificate), known_certificate, STATUS_INVAL, "private");
}

static void destroying_a_signer_twice_or_an_empty_one_is_allowed(void **state)
{
    struct signer empty = {0};
    envelope_signer_destroy(&empty);
    assert_int_equal(envelope_signer_create(known, known_certificate, 0, &empty, nullptr),
                     STATUS_OK);
    envelope_signer_destroy(&empty);
    assert_null(empty.state);
    envelope_signer_destroy(&empty);
}

enum { THREADS = 4, SIGNATURES = 8 };

static void *sign_some(void *context)
{
    for (int i = 0; i < SIGNATURES; i++) {
        uint8_t signature[SIGNATURE_BYTES_MAX];
        size_t size = 0;
        CHECK(signer.ops->sign(signer.state, "x", hello, signature, &size) == STATUS_OK);
        CHECK(verify("x", hello, signature, size) == STATUS_OK);
    }
    return context;
}

static void many_threads_may_sign_at_once(void **state)
{
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], nullptr, sign_some, &signer), 0);
    for (int i = 0; i < THREADS; i++) {
        void *done = nullptr;
        assert_int_equal(pthread_join(threads[i], &done), 0);
        assert_ptr_equal(done, &signer);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(signatures_are_those_of_wycheproof),
        cmocka_unit_test(a_signature_holds_under_its_own_context_only),
        cmocka_unit_test(contexts_have_1_to_255_bytes),
        cmocka_unit_test(no_flipped_bit_verifies),
        cmocka_unit_test(a_signature_of_another_size_does_not_verify),
        cmocka_unit_test(another_key_does_not_verify),
        cmocka_unit_test(an_older_fault_of_memory_is_not_taken_for_this_one),
        cmocka_unit_test(signatures_are_random_unless_asked_otherwise),
        cmocka_unit_test(a_signer_says_who_it_is),
        cmocka_unit_test(keys_that_are_not_right_make_no_signer),
        cmocka_unit_test(destroying_a_signer_twice_or_an_empty_one_is_allowed),
        cmocka_unit_test(many_threads_may_sign_at_once),
    };
    return mkdtemp(base) == nullptr ? 1 : cmocka_run_group_tests(tests, set_up, tear_down);
}

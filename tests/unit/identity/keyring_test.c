/*
 * keyring_test.c - the envelope keys of everybody known, found and verified by key id.
 *
 * Goal: a key verifies only while a certificate of a trusted ML-DSA root says whose it is, and
 * nobody can fill the ring. Method: an authority made here certifies keys; signatures are made by
 * OpenSSL's key of each.
 */
#include "testing.h"

#include "identity/envelope_key.h"
#include "identity/keyring.h"
#include "identity_fixture.h"

#include <pthread.h>
#include <stdatomic.h>

enum { TTL_S = 3600 };

static char base[] = "/tmp/fedra-keyring-XXXXXX";
static struct authority *authority;
static struct authority *stranger; /* another authority of the same trust domain's name */
static struct trust *trust;

static const struct slice hello = {(const uint8_t *)"Hello world", 11};

/* A key with its certificate. */
struct holder {
    EVP_PKEY *key;
    struct bytes der;
    struct digest key_id;
};

static int set_up(void **state)
{
    authority = fixture_authority(fixture_path(base, "one"), fixture_now);
    stranger = fixture_authority(fixture_path(base, "two"), fixture_now);
    trust = fixture_trust(authority);
    return 0;
}

static int tear_down(void **state)
{
    trust_unref(trust);
    authority_close(authority);
    authority_close(stranger);
    fixture_remove(base);
    return 0;
}

static void certify(const struct authority *by, struct holder *holder, const char *spiffe_id,
                    uint32_t ttl_s, int64_t now_unix_s)
{
    const struct slice csr = fixture_csr(holder->key, holder->key, 0, nullptr);
    bytes_init(&holder->der, SVID_CERTIFICATE_MAX);
    fixture_certify(by, csr, spiffe_id, ttl_s, now_unix_s, &holder->der);
    fixture_free(csr);
}

static struct holder holder_of(const struct authority *by, const char *algorithm,
                               const char *spiffe_id, uint32_t ttl_s, int64_t now_unix_s)
{
    struct holder holder = {.key = fixture_key(algorithm)};
    uint8_t *der = nullptr;
    const int size = i2d_PUBKEY(holder.key, &der);
    CHECK(size > 0);
    digest_of(der, (size_t)size, &holder.key_id);
    OPENSSL_free(der);
    certify(by, &holder, spiffe_id, ttl_s, now_unix_s);
    return holder;
}

static void holder_free(struct holder *holder)
{
    EVP_PKEY_free(holder->key);
    bytes_deinit(&holder->der);
}

static struct keyring *keyring_of(size_t keys_max)
{
    struct keyring *keyring = nullptr;
    CHECK(keyring_create(trust, keys_max, &keyring, nullptr) == STATUS_OK);
    return keyring;
}

static enum status add(struct keyring *keyring, const struct holder *holder, int64_t now_unix_s,
                       struct error *err)
{
    const struct slice der = bytes_slice(&holder->der);
    return keyring_add(keyring, &der, 1, now_unix_s, nullptr, err);
}

static void sign(const struct holder *holder, uint8_t signature[SIGNATURE_BYTES_MAX], size_t *size)
{
    X509 *certificate = fixture_decode(bytes_slice(&holder->der));
    struct signer signer;
    CHECK(envelope_signer_create(holder->key, certificate, 0, &signer, nullptr) == STATUS_OK);
    CHECK(signer.ops->sign(signer.state, "x", hello, signature, size) == STATUS_OK);
    envelope_signer_destroy(&signer);
    X509_free(certificate);
}

/* Verifies a new signature of holder; id must be what the ring says. */
static enum status verify(struct keyring *keyring, const struct holder *holder, int64_t now_unix_s,
                          const char *id)
{
    const struct verifier verifier = keyring_verifier(keyring);
    uint8_t signature[SIGNATURE_BYTES_MAX];
    size_t size = 0;
    char said[SPIFFE_ID_MAX] = "";
    sign(holder, signature, &size);
    const enum status status =
        verifier.ops->verify(verifier.state, &holder->key_id, "x", hello,
                             (struct slice){signature, size}, now_unix_s, said, nullptr);
    CHECK(strcmp(said, status == STATUS_OK ? id : "") == 0);
    return status;
}

static void a_known_key_verifies_and_says_whose_it_is(void **state)
{
    struct keyring *keyring = keyring_of(4);
    struct holder a = holder_of(authority, "ML-DSA-65", FIXTURE_ID("node/a"), TTL_S, fixture_now);
    struct holder b = holder_of(authority, "ML-DSA-65", FIXTURE_ID("node/b"), TTL_S, fixture_now);
    const struct slice der = bytes_slice(&a.der);
    struct svid_info info = {0};
    assert_int_equal(keyring_add(keyring, &der, 1, fixture_now, &info, nullptr), STATUS_OK);
    assert_string_equal(info.id.text, FIXTURE_ID("node/a"));
    assert_true(digest_equal(&info.key_id, &a.key_id));
    assert_int_equal(verify(keyring, &a, fixture_now, FIXTURE_ID("node/a")), STATUS_OK);
    assert_int_equal(verify(keyring, &b, fixture_now, ""), STATUS_IDENTITY);
    assert_int_equal(add(keyring, &b, fixture_now, nullptr), STATUS_OK);
    assert_int_equal(verify(keyring, &b, fixture_now, FIXTURE_ID("node/b")), STATUS_OK);
    assert_int_equal(keyring_count(keyring), 2);

    /* b's key id with a's signature, and a's with another context. */
    const struct verifier verifier = keyring_verifier(keyring);
    uint8_t signature[SIGNATURE_BYTES_MAX];
    size_t size = 0;
    char said[SPIFFE_ID_MAX] = "";
    struct error err = {0};
    sign(&a, signature, &size);
    const struct slice of_a = {signature, size};
    assert_int_equal(
        verifier.ops->verify(verifier.state, &b.key_id, "x", hello, of_a, fixture_now, said, &err),
        STATUS_SIGNATURE);
    assert_int_equal(
        verifier.ops->verify(verifier.state, &a.key_id, "y", hello, of_a, fixture_now, said, &err),
        STATUS_SIGNATURE);
    assert_int_equal(
        verifier.ops->verify(verifier.state, &a.key_id, "", hello, of_a, fixture_now, said, &err),
        STATUS_INVAL);
    assert_string_equal(said, "");
    holder_free(&a);
    holder_free(&b);
    keyring_destroy(keyring);
}

static void a_key_verifies_only_within_its_dates(void **state)
{
    struct keyring *keyring = keyring_of(4);
    struct holder a = holder_of(authority, "ML-DSA-65", FIXTURE_ID("node/a"), TTL_S, fixture_now);
    assert_int_equal(add(keyring, &a, fixture_now, nullptr), STATUS_OK);
    const int64_t first = fixture_now - AUTHORITY_BACKDATE_S;
    const int64_t end = fixture_now + TTL_S;
    assert_int_equal(verify(keyring, &a, end - 1, FIXTURE_ID("node/a")), STATUS_OK);
    assert_int_equal(verify(keyring, &a, end, ""), STATUS_IDENTITY);
    assert_int_equal(verify(keyring, &a, end + 86400, ""), STATUS_IDENTITY);
    assert_int_equal(verify(keyring, &a, first, FIXTURE_ID("node/a")), STATUS_OK);
    assert_int_equal(verify(keyring, &a, first - 1, ""), STATUS_IDENTITY);
    holder_free(&a);
    keyring_destroy(keyring);
}

static void chains_that_are_not_right_are_not_added(void **state)
{
    struct keyring *keyring = keyring_of(4);
    struct error err = {0};
    struct holder classical =
        holder_of(authority, "P-256", FIXTURE_ID("node/a"), TTL_S, fixture_now);
    struct holder foreign =
        holder_of(stranger, "ML-DSA-65", FIXTURE_ID("node/a"), TTL_S, fixture_now);
    struct holder good =
        holder_of(authority, "ML-DSA-65", FIXTURE_ID("node/a"), TTL_S, fixture_now);
    assert_int_equal(add(keyring, &classical, fixture_now, &err), STATUS_IDENTITY);
    assert_non_null(strstr(err.text, "not ML-DSA-65"));
    assert_int_equal(add(keyring, &foreign, fixture_now, &err), STATUS_IDENTITY);
    assert_non_null(strstr(err.text, "root of trust domain one.test"));
    assert_int_equal(add(keyring, &good, fixture_now + TTL_S, &err), STATUS_IDENTITY);
    assert_non_null(strstr(err.text, "expired"));
    good.der.data[good.der.size - 1] ^= 1; /* in the root's signature */
    assert_int_equal(add(keyring, &good, fixture_now, &err), STATUS_IDENTITY);
    good.der.size--;
    assert_int_equal(add(keyring, &good, fixture_now, &err), STATUS_PEER);
    assert_int_equal(keyring_add(keyring, nullptr, 0, fixture_now, nullptr, &err), STATUS_LIMIT);
    const struct slice many[SVID_CHAIN_MAX + 1] = {bytes_slice(&foreign.der)};
    assert_int_equal(keyring_add(keyring, many, SVID_CHAIN_MAX + 1, fixture_now, nullptr, &err),
                     STATUS_LIMIT);
    assert_int_equal(keyring_count(keyring), 0);
    holder_free(&classical);
    holder_free(&foreign);
    holder_free(&good);
    keyring_destroy(keyring);
}

static void the_certificate_is_given_back_as_it_came(void **state)
{
    struct keyring *keyring = keyring_of(4);
    struct holder a = holder_of(authority, "ML-DSA-65", FIXTURE_ID("node/a"), TTL_S, fixture_now);
    const struct digest nobody = {{1}};
    struct svid_info info;
    struct bytes der;
    assert_int_equal(add(keyring, &a, fixture_now, nullptr), STATUS_OK);
    assert_int_equal(keyring_find(keyring, &a.key_id, &info), STATUS_OK);
    assert_string_equal(info.id.text, FIXTURE_ID("node/a"));
    assert_int_equal(info.not_after_unix_s, fixture_now + TTL_S);
    assert_int_equal(keyring_find(keyring, &nobody, &info), STATUS_NOT_FOUND);
    bytes_init(&der, SVID_CERTIFICATE_MAX);
    assert_int_equal(bytes_append(&der, "before", 6), STATUS_OK);
    assert_int_equal(keyring_find_certificate(keyring, &nobody, &der), STATUS_NOT_FOUND);
    assert_int_equal(der.size, 6);
    assert_int_equal(keyring_find_certificate(keyring, &a.key_id, &der), STATUS_OK);
    assert_int_equal(der.size, 6 + a.der.size);
    assert_memory_equal(der.data + 6, a.der.data, a.der.size);
    bytes_deinit(&der);
    bytes_init(&der, a.der.size - 1);
    assert_int_equal(keyring_find_certificate(keyring, &a.key_id, &der), STATUS_LIMIT);
    assert_int_equal(der.size, 0);
    bytes_deinit(&der);
    holder_free(&a);
    keyring_destroy(keyring);
}

static void a_known_key_gets_the_certificate_that_ends_later(void **state)
{
    struct keyring *keyring = keyring_of(4);
    struct holder a = holder_of(authority, "ML-DSA-65", FIXTURE_ID("node/a"), 600, fixture_now);
    struct holder later = {.key = a.key, .key_id = a.key_id};
    struct svid_info info;
    certify(authority, &later, FIXTURE_ID("node/a"), 1200, fixture_now);
    assert_int_equal(add(keyring, &a, fixture_now, nullptr), STATUS_OK);
    assert_int_equal(add(keyring, &later, fixture_now, nullptr), STATUS_OK);
    assert_int_equal(keyring_find(keyring, &a.key_id, &info), STATUS_OK);
    assert_int_equal(info.not_after_unix_s, fixture_now + 1200);
    assert_int_equal(add(keyring, &a, fixture_now, nullptr), STATUS_OK);
    assert_int_equal(keyring_find(keyring, &a.key_id, &info), STATUS_OK);
    assert_int_equal(info.not_after_unix_s, fixture_now + 1200);
    assert_int_equal(keyring_count(keyring), 1);
    assert_int_equal(verify(keyring, &a, fixture_now + 1100, FIXTURE_ID("node/a")), STATUS_OK);
    bytes_deinit(&later.der);
    holder_free(&a);
    keyring_destroy(keyring);
}

static void one_id_holds_eight_keys_the_first_to_end_makes_room(void **state)
{
    struct keyring *keyring = keyring_of(20);
    struct holder other = holder_of(authority, "ML-DSA-65", FIXTURE_ID("node/b"), 60, fixture_now);
    struct holder keys[9];
    struct svid_info info;
    assert_int_equal(add(keyring, &other, fixture_now, nullptr), STATUS_OK);
    for (uint32_t i = 0; i < 9; i++) {
        /* The third one ends first. */
        keys[i] = holder_of(authority, "ML-DSA-65", FIXTURE_ID("node/a"),
                            i == 2 ? 500 : 1000 + 10 * i, fixture_now);
        assert_int_equal(add(keyring, &keys[i], fixture_now, nullptr), STATUS_OK);
    }
    assert_int_equal(keyring_count(keyring), 9);
    for (size_t i = 0; i < 9; i++)
        assert_int_equal(keyring_find(keyring, &keys[i].key_id, &info),
                         i == 2 ? STATUS_NOT_FOUND : STATUS_OK);
    assert_int_equal(keyring_find(keyring, &other.key_id, &info), STATUS_OK);
    for (size_t i = 0; i < 9; i++)
        holder_free(&keys[i]);
    holder_free(&other);
    keyring_destroy(keyring);
}

/* Goal: who renews its key again and again holds three of them, one of them expired; not eight. */
static void a_new_key_makes_the_expired_ones_of_its_id_go(void **state)
{
    struct keyring *const keyring = keyring_of(100);
    struct holder others = holder_of(authority, "ML-DSA-65", FIXTURE_ID("node/b"), 5, fixture_now);
    struct holder keys[5];
    struct svid_info info;
    assert_int_equal(add(keyring, &others, fixture_now, nullptr), STATUS_OK);
    for (int i = 0; i < 5; i++) { /* lives of 10 s, a new one every 6 s */
        keys[i] = holder_of(authority, "ML-DSA-65", FIXTURE_ID("node/a"), 10, fixture_now + 6 * i);
        assert_int_equal(add(keyring, &keys[i], fixture_now + 6 * i, nullptr), STATUS_OK);
        assert_int_equal(keyring_count(keyring), 1 + (i < 3 ? i + 1 : 3));
        for (int j = 0; j <= i; j++)
            assert_int_equal(keyring_find(keyring, &keys[j].key_id, &info),
                             j + 2 >= i ? STATUS_OK : STATUS_NOT_FOUND);
    }
    /* Others' are left to the full ring. */
    assert_int_equal(keyring_find(keyring, &others.key_id, &info), STATUS_OK);
    for (int i = 0; i < 5; i++)
        holder_free(&keys[i]);
    holder_free(&others);
    keyring_destroy(keyring);
}

static void new_roots_certify_from_then_on(void **state)
{
    struct keyring *const keyring = keyring_of(10);
    struct holder old = holder_of(authority, "ML-DSA-65", FIXTURE_ID("node/a"), 100, fixture_now);
    struct holder new = holder_of(stranger, "ML-DSA-65", FIXTURE_ID("node/b"), 100, fixture_now);
    struct trust *const roots = fixture_trust(stranger);
    assert_int_equal(add(keyring, &old, fixture_now, nullptr), STATUS_OK);
    assert_int_equal(add(keyring, &new, fixture_now, nullptr), STATUS_IDENTITY);
    keyring_set_trust(keyring, roots);
    trust_unref(roots);
    assert_int_equal(add(keyring, &new, fixture_now, nullptr), STATUS_OK);
    assert_int_equal(verify(keyring, &new, fixture_now, FIXTURE_ID("node/b")), STATUS_OK);
    assert_int_equal(verify(keyring, &old, fixture_now, FIXTURE_ID("node/a")), STATUS_OK);
    holder_free(&old);
    holder_free(&new);
    keyring_destroy(keyring);
}

static void a_full_ring_forgets_the_expired_and_then_refuses(void **state)
{
    struct keyring *keyring = keyring_of(3);
    static const char *const ids[5] = {FIXTURE_ID("node/a"), FIXTURE_ID("node/b"),
                                       FIXTURE_ID("node/c"), FIXTURE_ID("node/d"),
                                       FIXTURE_ID("node/e")};
    struct holder keys[5];
    struct svid_info info;
    struct error err = {0};
    for (size_t i = 0; i < 5; i++)
        keys[i] = holder_of(authority, "ML-DSA-65", ids[i], i == 1 ? 60 : TTL_S, fixture_now);
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(add(keyring, &keys[i], fixture_now, nullptr), STATUS_OK);
    assert_int_equal(add(keyring, &keys[3], fixture_now + 59, &err), STATUS_LIMIT);
    assert_non_null(strstr(err.text, "3 signing keys"));
    assert_int_equal(add(keyring, &keys[3], fixture_now + 60, &err), STATUS_OK);
    assert_int_equal(keyring_find(keyring, &keys[1].key_id, &info), STATUS_NOT_FOUND);
    assert_int_equal(add(keyring, &keys[4], fixture_now + 60, &err), STATUS_LIMIT);
    assert_int_equal(keyring_count(keyring), 3);
    static const size_t held[] = {0, 2, 3};
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(verify(keyring, &keys[held[i]], fixture_now + 60, ids[held[i]]),
                         STATUS_OK);
    for (size_t i = 0; i < 5; i++)
        holder_free(&keys[i]);
    keyring_destroy(keyring);
}

enum { MANY = 40 };

static void many_keys_are_all_found(void **state)
{
    struct keyring *keyring = keyring_of(MANY);
    struct holder keys[MANY];
    char id[64];
    for (int i = 0; i < MANY; i++) {
        snprintf(id, sizeof(id), FIXTURE_ID("node/n%d"), i);
        keys[i] = holder_of(authority, "ML-DSA-65", id, TTL_S, fixture_now);
        assert_int_equal(add(keyring, &keys[i], fixture_now, nullptr), STATUS_OK);
    }
    assert_int_equal(keyring_count(keyring), MANY);
    for (int i = 0; i < MANY; i++) {
        struct svid_info info = {0};
        snprintf(id, sizeof(id), FIXTURE_ID("node/n%d"), i);
        assert_int_equal(keyring_find(keyring, &keys[i].key_id, &info), STATUS_OK);
        assert_string_equal(info.id.text, id);
        holder_free(&keys[i]);
    }
    keyring_destroy(keyring);
}

static void sizes_that_are_not_right_make_no_ring(void **state)
{
    struct keyring *keyring = nullptr;
    struct error err = {0};
    assert_int_equal(keyring_create(trust, 0, &keyring, &err), STATUS_INVAL);
    assert_non_null(strstr(err.text, "1 to 1048576"));
    assert_int_equal(keyring_create(trust, (1 << 20) + 1, &keyring, &err), STATUS_INVAL);
    assert_null(keyring);
    assert_int_equal(keyring_create(trust, 1 << 20, &keyring, &err), STATUS_OK);
    keyring_destroy(keyring);
    keyring_destroy(nullptr);
}

/* While these verify with one key, the ring around it changes. */
enum { READERS = 3, CHANGES = 60 };

struct race {
    struct keyring *keyring;
    const struct holder *steady;
    atomic_bool end;
};

static void *read_on(void *context)
{
    struct race *race = context;
    uint8_t signature[SIGNATURE_BYTES_MAX];
    size_t size = 0;
    sign(race->steady, signature, &size);
    const struct verifier verifier = keyring_verifier(race->keyring);
    size_t verified = 0;
    while (!atomic_load(&race->end) || verified < 20) {
        char said[SPIFFE_ID_MAX];
        struct svid_info info;
        struct bytes der;
        CHECK(verifier.ops->verify(verifier.state, &race->steady->key_id, "x", hello,
                                   (struct slice){signature, size}, fixture_now, said,
                                   nullptr) == STATUS_OK);
        CHECK(keyring_find(race->keyring, &race->steady->key_id, &info) == STATUS_OK);
        bytes_init(&der, SVID_CERTIFICATE_MAX);
        CHECK(keyring_find_certificate(race->keyring, &race->steady->key_id, &der) == STATUS_OK);
        bytes_deinit(&der);
        verified++;
    }
    return context;
}

static void threads_verify_while_keys_come_and_go(void **state)
{
    struct keyring *keyring = keyring_of(100);
    /* The steady key ends last of its id's: it stays while the others push each other out; its own
     * certificate is renewed meanwhile. */
    struct holder steady =
        holder_of(authority, "ML-DSA-65", FIXTURE_ID("node/a"), 50000, fixture_now);
    struct holder keys[12];
    for (uint32_t i = 0; i < 12; i++)
        keys[i] = holder_of(authority, "ML-DSA-65", FIXTURE_ID("node/a"), 100 + i, fixture_now);
    assert_int_equal(add(keyring, &steady, fixture_now, nullptr), STATUS_OK);
    struct race race = {.keyring = keyring, .steady = &steady};
    pthread_t threads[READERS];
    for (int i = 0; i < READERS; i++)
        assert_int_equal(pthread_create(&threads[i], nullptr, read_on, &race), 0);
    for (uint32_t i = 0; i < CHANGES; i++) {
        struct holder renewed = {.key = steady.key, .key_id = steady.key_id};
        assert_int_equal(add(keyring, &keys[i % 12], fixture_now, nullptr), STATUS_OK);
        certify(authority, &renewed, FIXTURE_ID("node/a"), 50001 + i, fixture_now);
        assert_int_equal(add(keyring, &renewed, fixture_now, nullptr), STATUS_OK);
        bytes_deinit(&renewed.der);
    }
    atomic_store(&race.end, true);
    for (int i = 0; i < READERS; i++) {
        void *done = nullptr;
        assert_int_equal(pthread_join(threads[i], &done), 0);
        assert_ptr_equal(done, &race);
    }
    assert_int_equal(keyring_count(keyring), KEYRING_KEYS_OF_ONE_MAX);
    for (int i = 0; i < 12; i++)
        holder_free(&keys[i]);
    holder_free(&steady);
    keyring_destroy(keyring);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_known_key_verifies_and_says_whose_it_is),
        cmocka_unit_test(a_key_verifies_only_within_its_dates),
        cmocka_unit_test(chains_that_are_not_right_are_not_added),
        cmocka_unit_test(the_certificate_is_given_back_as_it_came),
        cmocka_unit_test(a_known_key_gets_the_certificate_that_ends_later),
        cmocka_unit_test(one_id_holds_eight_keys_the_first_to_end_makes_room),
        cmocka_unit_test(a_new_key_makes_the_expired_ones_of_its_id_go),
        cmocka_unit_test(new_roots_certify_from_then_on),
        cmocka_unit_test(a_full_ring_forgets_the_expired_and_then_refuses),
        cmocka_unit_test(many_keys_are_all_found),
        cmocka_unit_test(sizes_that_are_not_right_make_no_ring),
        cmocka_unit_test(threads_verify_while_keys_come_and_go),
    };
    return mkdtemp(base) == nullptr ? 1 : cmocka_run_group_tests(tests, set_up, tear_down);
}

/*
 * identity_memory_test.c - identities, the keyring, signatures and TLS where memory runs out, at
 * every place where it can.
 *
 * Goal: each call succeeds wholly or gives an error that says so: no half folder, no wrong
 * signature, no peer that was not verified, no leak (under AddressSanitizer). Method: OpenSSL and
 * our code allocate through functions of this file; each run lets the i-th allocation fail, for
 * every i, until a run succeeds.
 */
#define OPENSSL_SUPPRESS_DEPRECATED /* SHA256_Init allocates nothing; its successor does */
#include "testing.h"

#include "alloc_fault.h"
#include "identity/envelope_key.h"
#include "identity/keyring.h"
#include "identity/tls_context.h"
#include "identity_fixture.h"

#include <openssl/err.h>
#include <openssl/sha.h>
#include <time.h>

enum { RUNS_MAX = 20000, TTL_S = 3600 };

static const char node_a[] = FIXTURE_ID("node/a");
static char base[] = "/tmp/fedra-identity-XXXXXX";
static struct authority *authority;
static struct identity *identity;

/* Instead of digest_of, which ends the process where memory is missing (digest.h): allocates
 * nothing. */
void __wrap_digest_of(const void *data, size_t size, struct digest *ret_digest);
void __wrap_digest_of(const void *data, size_t size, struct digest *ret_digest)
{
    SHA256_CTX context;
    CHECK(SHA256_Init(&context) == 1 && SHA256_Update(&context, data, size) == 1 &&
          SHA256_Final(ret_digest->bytes, &context) == 1);
}

/* The linker lets these pass by alloc_fault.h. */
static void *counted_malloc(size_t size, const char *file, int line)
{
    return malloc(size);
}

static void *counted_realloc(void *data, size_t size, const char *file, int line)
{
    return realloc(data, size);
}

static void counted_free(void *data, const char *file, int line)
{
    free(data);
}

static int set_up(void **state)
{
    const int64_t now = (int64_t)time(nullptr);
    authority = fixture_authority(fixture_path(base, "authority"), now);
    identity = fixture_identity(authority, fixture_path(base, "identity"), IDENTITY_KEY_P256,
                                node_a, TTL_S, now);
    return 0;
}

static int tear_down(void **state)
{
    identity_close(identity);
    authority_close(authority);
    fixture_remove(base);
    return 0;
}

/* After a run: has it been the last one, in which nothing failed? */
static bool is_last(enum status status, const struct error *err, long *faults)
{
    const bool fired = alloc_fault_off();
    ERR_clear_error();
    if (!fired)
        assert_int_equal(status, STATUS_OK);
    if (status != STATUS_OK) {
        (*faults)++;
        if (err != nullptr && err->text[0] == 0)
            fail_msg("%s without a text", status_name(status));
    }
    return !fired;
}

static void keys_are_made_or_not(void **state)
{
    bool done = false;
    long faults = 0;
    for (uint64_t i = 0; !done && i < RUNS_MAX; i++) {
        struct identity_request *request = nullptr;
        struct error err = {0};
        alloc_fault_at(i);
        const enum status status = identity_request_create(IDENTITY_KEY_P256, &request, &err);
        done = is_last(status, &err, &faults);
        assert_true((request != nullptr) == (status == STATUS_OK));
        if (status != STATUS_OK)
            assert_int_equal(status, STATUS_NO_MEMORY);
        identity_request_destroy(request);
    }
    assert_true(done);
    assert_true(faults > 50);
}

static void a_folder_is_installed_whole_or_not_at_all(void **state)
{
    char dir[128];
    const int64_t now = (int64_t)time(nullptr);
    struct identity_request *request = fixture_request(IDENTITY_KEY_P256);
    struct fixture_issued issued;
    bool done = false;
    long faults = 0;
    fixture_issue(authority, request, node_a, TTL_S, now, &issued);
    snprintf(dir, sizeof(dir), "%s/parent/new", base);
    assert_int_equal(mkdir(fixture_path(base, "parent"), 0700), 0);
    /* Each makes files durable, which takes long: later ones by steps. */
    for (uint64_t i = 0; !done && i < RUNS_MAX; i += i < 100 ? 1 : 7) {
        struct error err = {0};
        alloc_fault_at(i);
        const enum status status = identity_install(request, dir, &issued.tls, &issued.envelope,
                                                    authority_bundle(authority), now, &err);
        done = is_last(status, &err, &faults);
        if (status == STATUS_OK) {
            struct identity *loaded = nullptr;
            assert_int_equal(identity_open(dir, now, &loaded, &err), STATUS_OK);
            identity_close(loaded);
            fixture_remove(dir);
        }
        /* Nothing beside it either: the parent can be removed. */
        assert_int_equal(rmdir(fixture_path(base, "parent")), 0);
        assert_int_equal(mkdir(fixture_path(base, "parent"), 0700), 0);
    }
    assert_true(done);
    assert_true(faults > 50);
    fixture_issued_deinit(&issued);
    identity_request_destroy(request);
}

static void a_signature_verifies_or_is_not_given(void **state)
{
    static const struct slice hello = {(const uint8_t *)"Hello world", 11};
    X509 *certificate = sk_X509_value(identity->envelope_chain, 0);
    bool done = false;
    long faults = 0;
    for (uint64_t i = 0; !done && i < RUNS_MAX; i++) {
        struct signer signer = {0};
        uint8_t signature[SIGNATURE_BYTES_MAX];
        size_t size = 0;
        alloc_fault_at(i);
        enum status status =
            envelope_signer_create(identity->envelope_key, certificate, 0, &signer, nullptr);
        if (status == STATUS_OK)
            status = signer.ops->sign(signer.state, "x", hello, signature, &size);
        done = is_last(status, nullptr, &faults);
        if (status == STATUS_OK)
            assert_int_equal(envelope_signature_verify(identity->envelope_key, "x", hello,
                                                       (struct slice){signature, size}, nullptr),
                             STATUS_OK);
        envelope_signer_destroy(&signer);
    }
    assert_true(done);
    assert_true(faults > 20);
}

/* The certificate of the envelope's key, as a peer sends it. */
static void envelope_der(struct bytes *der)
{
    uint8_t *data = nullptr;
    const int size = i2d_X509(sk_X509_value(identity->envelope_chain, 0), &data);
    CHECK(size > 0);
    bytes_init(der, SVID_CERTIFICATE_MAX);
    CHECK(bytes_append(der, data, (size_t)size) == STATUS_OK);
    OPENSSL_free(data);
}

static void a_wrong_signature_never_verifies_in_the_keyring(void **state)
{
    static const struct slice hello = {(const uint8_t *)"Hello world", 11};
    const int64_t now = (int64_t)time(nullptr);
    struct bytes der;
    struct signer signer;
    uint8_t signature[SIGNATURE_BYTES_MAX];
    size_t size = 0;
    envelope_der(&der);
    CHECK(envelope_signer_create(identity->envelope_key, sk_X509_value(identity->envelope_chain, 0),
                                 0, &signer, nullptr) == STATUS_OK);
    CHECK(signer.ops->sign(signer.state, "x", hello, signature, &size) == STATUS_OK);
    for (int flip = 0; flip < 2; flip++) {
        bool done = false;
        long faults = 0;
        signature[100] ^= (uint8_t)flip;
        for (uint64_t i = 0; !done && i < RUNS_MAX; i++) {
            struct keyring *keyring = nullptr;
            struct error err = {0};
            const struct slice chain = bytes_slice(&der);
            char said[SPIFFE_ID_MAX] = "";
            alloc_fault_at(i);
            enum status status = keyring_create(identity->trust, 4, &keyring, &err);
            if (status == STATUS_OK)
                status = keyring_add(keyring, &chain, 1, now, nullptr, &err);
            enum status verified = STATUS_NOT_FOUND;
            if (status == STATUS_OK) {
                const struct verifier verifier = keyring_verifier(keyring);
                verified = verifier.ops->verify(verifier.state, &signer.key_id, "x", hello,
                                                (struct slice){signature, size}, now, said, &err);
                if (flip == 0)
                    status = verified;
            }
            done = is_last(status, &err, &faults);
            if (flip == 1)
                assert_int_not_equal(verified, STATUS_OK);
            else
                assert_int_not_equal(verified, STATUS_SIGNATURE); /* which would be final */
            assert_string_equal(said, verified == STATUS_OK ? node_a : "");
            keyring_destroy(keyring);
        }
        assert_true(done);
        assert_true(faults > 50);
    }
    envelope_signer_destroy(&signer);
    bytes_deinit(&der);
}

static SSL *end_of(SSL_CTX *context, BIO *reading, BIO *writing)
{
    SSL *ssl = SSL_new(context);
    if (ssl == nullptr)
        return nullptr;
    if (reading == nullptr || writing == nullptr || BIO_up_ref(reading) != 1 ||
        BIO_up_ref(writing) != 1) {
        SSL_free(ssl);
        return nullptr;
    }
    SSL_set_bio(ssl, reading, writing);
    return ssl;
}

/* One handshake; does the server know its peer, and who is it? */
static enum status shake_hands(SSL_CTX *client_context, SSL_CTX *server_context,
                               struct peer_identity *peer, struct error *err)
{
    BIO *there = BIO_new(BIO_s_mem());
    BIO *back = BIO_new(BIO_s_mem());
    SSL *client = end_of(client_context, back, there);
    SSL *server = end_of(server_context, there, back);
    enum status status = error_set(err, STATUS_NO_MEMORY, "no connection");
    if (client != nullptr && server != nullptr) {
        BIO_set_mem_eof_return(there, -1);
        BIO_set_mem_eof_return(back, -1);
        for (int i = 0; i < 3; i++) {
            (void)SSL_connect(client);
            ERR_clear_error();
            (void)SSL_accept(server);
            ERR_clear_error();
        }
        status = identity_peer(server, peer, err);
    }
    SSL_free(client);
    SSL_free(server);
    BIO_free(there);
    BIO_free(back);
    return status;
}

static void a_peer_is_known_or_refused_never_mistaken(void **state)
{
    const int64_t now = (int64_t)time(nullptr);
    struct authority *stranger = fixture_authority(fixture_path(base, "stranger"), now);
    struct identity *foreign = fixture_identity(stranger, fixture_path(base, "foreign"),
                                                IDENTITY_KEY_P256, node_a, TTL_S, now);
    const struct identity *const clients[] = {identity, foreign};
    SSL_CTX_free(SSL_CTX_new(TLS_method())); /* OpenSSL's own beginnings are not repeated */
    for (int stranger_calls = 0; stranger_calls < 2; stranger_calls++) {
        bool done = false;
        long faults = 0;
        /* A handshake allocates thousands of times: every seventh, from another start each time. */
        for (uint64_t i = (uint64_t)stranger_calls; !done && i < RUNS_MAX; i += 7) {
            SSL_CTX *client = nullptr, *server = nullptr;
            struct peer_identity peer = {0};
            struct error err = {0};
            alloc_fault_at(i);
            enum status status =
                tls_context_create(clients[stranger_calls], false, SPIFFE_ROLES_ANY, &client, &err);
            if (status == STATUS_OK)
                status = tls_context_create(identity, true, SPIFFE_ROLES_ANY, &server, &err);
            if (status == STATUS_OK)
                status = shake_hands(client, server, &peer, &err);
            if (stranger_calls == 1) {
                assert_int_not_equal(status, STATUS_OK);
                done = !alloc_fault_off();
                faults++;
            } else {
                done = is_last(status, &err, &faults);
                assert_string_equal(peer.id.text, status == STATUS_OK ? node_a : "");
            }
            SSL_CTX_free(client);
            SSL_CTX_free(server);
        }
        assert_true(done);
        assert_true(faults > 50);
    }
    identity_close(foreign);
    authority_close(stranger);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys_are_made_or_not),
        cmocka_unit_test(a_folder_is_installed_whole_or_not_at_all),
        cmocka_unit_test(a_signature_verifies_or_is_not_given),
        cmocka_unit_test(a_wrong_signature_never_verifies_in_the_keyring),
        cmocka_unit_test(a_peer_is_known_or_refused_never_mistaken),
    };
    if (CRYPTO_set_mem_functions(counted_malloc, counted_realloc, counted_free) != 1 ||
        mkdtemp(base) == nullptr)
        return 1;
    return cmocka_run_group_tests(tests, set_up, tear_down);
}

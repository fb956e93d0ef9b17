/*
 * authority_service_test.c - who gets what certified.
 *
 * Goal: an operator gets every id of its own trust domain, a node only its own, nobody the
 * authority's. Method: a table of who asks for what, and the certificates of a granted request
 * verified by svid_verify.
 */
#include "testing.h"

#include "authority_fixture.h"
#include "identity/authority_service.h"

#define DOMAIN "spiffe://" FIXTURE_DOMAIN

enum { TTL_S = 900 };

static char base[] = "/tmp/fedra-authority-XXXXXX";
static struct authority *authority;
static struct trust *trust;
static struct slice p256, ml_dsa, ml_dsa_tls;

static int set_up(void **state)
{
    const char *dir = fixture_path(base, "ca");
    CHECK(authority_init(dir, FIXTURE_DOMAIN, fixture_now, nullptr) == STATUS_OK);
    CHECK(authority_open(dir, &authority, nullptr) == STATUS_OK);
    trust = fixture_trust(authority);
    p256 = fixture_csr_of("P-256");
    ml_dsa = fixture_csr_of("ML-DSA-65");
    ml_dsa_tls = fixture_csr_of("ML-DSA-65");
    return 0;
}

static int tear_down(void **state)
{
    authority_close(authority);
    trust_unref(trust);
    fixture_free(p256);
    fixture_free(ml_dsa);
    fixture_free(ml_dsa_tls);
    return 0;
}

static ProtobufCBinaryData binary_of(struct slice slice)
{
    ProtobufCBinaryData data = {.len = slice.size};
    memcpy(&data.data, &slice.data, sizeof data.data);
    return data;
}

static enum status ask(const char *peer_id, const char *id, struct slice tls, struct slice envelope,
                       uint32_t ttl_s, int64_t now_unix_s, Fedra__V1__IssueResponse **ret_response,
                       struct error *err)
{
    struct peer_identity peer = {.not_after_unix_s = fixture_now + 100};
    char text[300];
    assert_int_equal(spiffe_id_parse(peer_id, strlen(peer_id), &peer.id, nullptr), STATUS_OK);
    snprintf(text, sizeof text, "%s", id);
    Fedra__V1__IssueRequest request;
    fedra__v1__issue_request__init(&request);
    request.spiffe_id = text;
    request.tls_csr = binary_of(tls);
    request.envelope_csr = binary_of(envelope);
    request.ttl_s = ttl_s;
    return authority_handle_issue(authority, &peer, &request, now_unix_s, ret_response, err);
}

static void each_gets_what_is_its_own_and_an_operator_gets_all(void **state)
{
    static const struct {
        const char *peer;
        const char *id;
        enum status status;
    } cases[] = {
        {DOMAIN "/fedra/operator/o", DOMAIN "/fedra/node/a", STATUS_OK},
        {DOMAIN "/fedra/operator/o", DOMAIN "/fedra/edge/z", STATUS_OK},
        {DOMAIN "/fedra/operator/o", DOMAIN "/fedra/coordinator", STATUS_OK},
        {DOMAIN "/fedra/operator/o", DOMAIN "/fedra/operator/o", STATUS_OK},
        {DOMAIN "/fedra/operator/o", DOMAIN "/fedra/operator/p", STATUS_OK},
        {DOMAIN "/fedra/operator/o", DOMAIN "/elsewhere", STATUS_OK},
        {DOMAIN "/fedra/operator/o", DOMAIN "/fedra/authority", STATUS_PERMISSION},
        {DOMAIN "/fedra/authority", DOMAIN "/fedra/authority", STATUS_PERMISSION},
        {DOMAIN "/fedra/authority", DOMAIN "/fedra/node/a", STATUS_PERMISSION},
        {DOMAIN "/fedra/node/a", DOMAIN "/fedra/node/a", STATUS_OK},
        {DOMAIN "/fedra/node/a", DOMAIN "/fedra/node/b", STATUS_PERMISSION},
        {DOMAIN "/fedra/node/a", DOMAIN "/fedra/node/A", STATUS_PERMISSION},
        {DOMAIN "/fedra/node/a", DOMAIN "/fedra/node/aa", STATUS_PERMISSION},
        {DOMAIN "/fedra/node/a", DOMAIN "/fedra/operator/a", STATUS_PERMISSION},
        {DOMAIN "/fedra/coordinator", DOMAIN "/fedra/coordinator", STATUS_OK},
        {DOMAIN "/fedra/coordinator", DOMAIN "/fedra/node/a", STATUS_PERMISSION},
        {DOMAIN "/fedra/edge/z", DOMAIN "/fedra/node/a", STATUS_PERMISSION},
        {DOMAIN "/elsewhere", DOMAIN "/elsewhere", STATUS_OK},
        {DOMAIN "/fedra/operator/o/p", DOMAIN "/fedra/node/a", STATUS_PERMISSION},
        /* Another trust domain's operator is none here, and its ids are not made here. */
        {"spiffe://two.test/fedra/operator/o", DOMAIN "/fedra/node/a", STATUS_PERMISSION},
        {"spiffe://two.test/fedra/node/a", DOMAIN "/fedra/node/a", STATUS_PERMISSION},
        {"spiffe://two.test/fedra/node/a", "spiffe://two.test/fedra/node/a", STATUS_INVAL},
        {DOMAIN "/fedra/operator/o", "spiffe://two.test/fedra/node/a", STATUS_INVAL},
        {DOMAIN "/fedra/operator/o", DOMAIN, STATUS_INVAL},
        {DOMAIN "/fedra/operator/o", "", STATUS_INVAL},
        {DOMAIN "/fedra/operator/o", "node/a", STATUS_INVAL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        Fedra__V1__IssueResponse *response = nullptr;
        struct error err = {0};
        const enum status status =
            ask(cases[i].peer, cases[i].id, p256, ml_dsa, TTL_S, fixture_now, &response, &err);
        if (status != cases[i].status)
            fail_msg("%s asks for %s: %s, \"%s\"", cases[i].peer, cases[i].id, status_name(status),
                     err.text);
        assert_true((response != nullptr) == (status == STATUS_OK));
        if (status == STATUS_PERMISSION && strstr(err.text, cases[i].peer) == nullptr)
            fail_msg("%s is not named in \"%s\"", cases[i].peer, err.text);
        if (response != nullptr)
            fedra__v1__issue_response__free_unpacked(response, nullptr);
    }
}

static void expect_chain(const ProtobufCBinaryData *chain, size_t count, uint32_t flags)
{
    struct svid_info info;
    assert_int_equal(count, 1);
    X509 *leaf = fixture_decode((struct slice){chain[0].data, chain[0].len});
    assert_int_equal(svid_verify(trust, leaf, nullptr, fixture_now, flags, nullptr, &info, nullptr),
                     STATUS_OK);
    assert_string_equal(info.id.text, DOMAIN "/fedra/node/a");
    assert_int_equal(info.not_after_unix_s, fixture_now + TTL_S);
    X509_free(leaf);
}

static void both_chains_verify_against_the_bundle_that_comes_with_them(void **state)
{
    for (int i = 0; i < 2; i++) {
        Fedra__V1__IssueResponse *response = nullptr;
        assert_int_equal(ask(DOMAIN "/fedra/node/a", DOMAIN "/fedra/node/a",
                             i == 0 ? p256 : ml_dsa_tls, ml_dsa, TTL_S, fixture_now, &response,
                             nullptr),
                         STATUS_OK);
        expect_chain(response->tls_chain, response->n_tls_chain, i == 0 ? 0 : SVID_ML_DSA_ONLY);
        expect_chain(response->envelope_chain, response->n_envelope_chain, SVID_ML_DSA_ONLY);
        const struct slice roots = authority_bundle(authority);
        assert_int_equal(response->bundle_pem.len, roots.size);
        assert_memory_equal(response->bundle_pem.data, roots.data, roots.size);
        fedra__v1__issue_response__free_unpacked(response, nullptr);
    }
}

static void wrong_requests_are_refused_and_give_nothing(void **state)
{
    static const char node[] = DOMAIN "/fedra/node/a";
    static const uint8_t zeros[40];
    const struct slice junk = {zeros, sizeof zeros};
    const struct slice none = {0};
    const struct {
        struct slice tls;
        struct slice envelope;
        uint32_t ttl_s;
        enum status status;
        const char *part;
    } cases[] = {
        {p256, p256, TTL_S, STATUS_PEER, "envelope_csr: the key is not ML-DSA-65"},
        {p256, junk, TTL_S, STATUS_PEER, "envelope_csr"},
        {p256, none, TTL_S, STATUS_LIMIT, "envelope_csr"},
        {junk, ml_dsa, TTL_S, STATUS_PEER, "no PKCS#10"},
        {none, ml_dsa, TTL_S, STATUS_LIMIT, "0 bytes"},
        {p256, ml_dsa, 0, STATUS_INVAL, "0 s"},
        {p256, ml_dsa, UINT32_MAX, STATUS_INVAL, "4294967295 s"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        Fedra__V1__IssueResponse *response = nullptr;
        struct error err = {0};
        const enum status status = ask(node, node, cases[i].tls, cases[i].envelope, cases[i].ttl_s,
                                       fixture_now, &response, &err);
        if (status != cases[i].status || strstr(err.text, cases[i].part) == nullptr)
            fail_msg("case %zu: %s, \"%s\"", i, status_name(status), err.text);
        assert_null(response);
    }
}

static void an_expired_identity_gets_nothing_more(void **state)
{
    static const char operator_id[] = DOMAIN "/fedra/operator/o";
    Fedra__V1__IssueResponse *response = nullptr;
    struct error err = {0};
    assert_int_equal(
        ask(operator_id, operator_id, p256, ml_dsa, TTL_S, fixture_now + 100, &response, &err),
        STATUS_PERMISSION);
    assert_non_null(strstr(err.text, "expired"));
    assert_null(response);
    assert_int_equal(
        ask(operator_id, operator_id, p256, ml_dsa, TTL_S, fixture_now + 99, &response, &err),
        STATUS_OK);
    fedra__v1__issue_response__free_unpacked(response, nullptr);
}

static void everybody_gets_the_roots(void **state)
{
    Fedra__V1__GetBundleResponse *response = nullptr;
    assert_int_equal(authority_handle_get_bundle(authority, &response), STATUS_OK);
    const struct slice got = {response->bundle_pem.data, response->bundle_pem.len};
    struct trust *taken = nullptr;
    assert_int_equal(trust_create(&taken), STATUS_OK);
    assert_int_equal(trust_add_pem(taken, FIXTURE_DOMAIN, got, nullptr), STATUS_OK);
    assert_int_equal(got.size, authority_bundle(authority).size);
    trust_unref(taken);
    fedra__v1__get_bundle_response__free_unpacked(response, nullptr);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_gets_what_is_its_own_and_an_operator_gets_all),
        cmocka_unit_test(both_chains_verify_against_the_bundle_that_comes_with_them),
        cmocka_unit_test(wrong_requests_are_refused_and_give_nothing),
        cmocka_unit_test(an_expired_identity_gets_nothing_more),
        cmocka_unit_test(everybody_gets_the_roots),
    };
    char command[128];
    if (mkdtemp(base) == nullptr)
        return 1;
    const int failed = cmocka_run_group_tests(tests, set_up, tear_down);
    snprintf(command, sizeof command, "rm -rf %s", base);
    return system(command) != 0 ? 1 : failed;
}

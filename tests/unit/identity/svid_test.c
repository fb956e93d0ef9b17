/*
 * svid_test.c - every rule for SVIDs against certificates forged here with OpenSSL.
 *
 * Goal: nothing but a proper leaf of its own trust domain gets in. Method: a right certificate is
 * taken; then one property at a time is spoilt, and the refusal must name it.
 */
#include "testing.h"

#include "base/check.h"
#include "identity/svid.h"

#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <string.h>

static const int64_t now = 1700000000;

/* How a certificate is forged; zero or null leaves an extension out. */
struct recipe {
    const char *san; /* OpenSSL's configuration syntax */
    const char *usage;
    const char *basic;
    const char *extended;
    int64_t from;
    int64_t until;
    const char *raw_uri; /* raw_uri_size bytes as the one URI name, instead of san */
    size_t raw_uri_size;
};

struct pair {
    X509 *certificate;
    EVP_PKEY *key;
};

static const struct recipe good = {
    .san = "URI:spiffe://one.test/fedra/node/a",
    .usage = "critical,digitalSignature,keyEncipherment,keyAgreement",
    .basic = "critical,CA:FALSE",
    .extended = "serverAuth,clientAuth",
    .from = -60,
    .until = 3600,
};

static void add_extension(X509 *certificate, int nid, const char *value)
{
    if (value == nullptr)
        return;
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(nullptr, nullptr, nid, value);
    CHECK(extension != nullptr && X509_add_ext(certificate, extension, -1) == 1);
    X509_EXTENSION_free(extension);
}

static void add_raw_uri(X509 *certificate, const char *uri, size_t size)
{
    GENERAL_NAMES *names = GENERAL_NAMES_new();
    GENERAL_NAME *name = GENERAL_NAME_new();
    ASN1_IA5STRING *text = ASN1_IA5STRING_new();
    CHECK(ASN1_STRING_set(text, uri, (int)size) == 1);
    GENERAL_NAME_set0_value(name, GEN_URI, text);
    CHECK(sk_GENERAL_NAME_push(names, name) > 0);
    CHECK(X509_add1_ext_i2d(certificate, NID_subject_alt_name, names, 0, 0) == 1);
    GENERAL_NAMES_free(names);
}

/* A certificate by the recipe; issuer null: signed by itself. */
static struct pair forge(const char *algorithm, const char *common_name,
                         const struct recipe *recipe, const struct pair *issuer)
{
    static long serial = 1;
    struct pair pair = {X509_new(), strcmp(algorithm, "EC") == 0
                                        ? EVP_PKEY_Q_keygen(nullptr, nullptr, "EC", "P-256")
                                        : EVP_PKEY_Q_keygen(nullptr, nullptr, algorithm)};
    CHECK(pair.certificate != nullptr && pair.key != nullptr);
    X509 *certificate = pair.certificate;
    X509_set_version(certificate, X509_VERSION_3);
    ASN1_INTEGER_set(X509_get_serialNumber(certificate), serial++);
    ASN1_TIME_set(X509_getm_notBefore(certificate), (time_t)(now + recipe->from));
    ASN1_TIME_set(X509_getm_notAfter(certificate), (time_t)(now + recipe->until));
    X509_set_pubkey(certificate, pair.key);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(certificate), "CN", MBSTRING_ASC,
                               (const unsigned char *)common_name, -1, -1, 0);
    X509_set_issuer_name(
        certificate, X509_get_subject_name(issuer != nullptr ? issuer->certificate : certificate));
    if (recipe->raw_uri != nullptr)
        add_raw_uri(certificate, recipe->raw_uri, recipe->raw_uri_size);
    add_extension(certificate, NID_subject_alt_name, recipe->san);
    add_extension(certificate, NID_key_usage, recipe->usage);
    add_extension(certificate, NID_basic_constraints, recipe->basic);
    add_extension(certificate, NID_ext_key_usage, recipe->extended);
    EVP_PKEY *signing = issuer != nullptr ? issuer->key : pair.key;
    const EVP_MD *md = EVP_PKEY_is_a(signing, "EC") ? EVP_sha256() : nullptr;
    CHECK(X509_sign(certificate, signing, md) > 0);
    return pair;
}

static void pair_free(struct pair *pair)
{
    X509_free(pair->certificate);
    EVP_PKEY_free(pair->key);
}

static struct pair forge_root(const char *algorithm, const char *uri)
{
    const struct recipe recipe = {.san = uri,
                                  .usage = "critical,keyCertSign,cRLSign",
                                  .basic = "critical,CA:TRUE",
                                  .from = -86400,
                                  .until = 864000};
    return forge(algorithm, uri, &recipe, nullptr);
}

static enum status trust_pair(struct trust *trust, const char *domain, const struct pair *root)
{
    BIO *bio = BIO_new(BIO_s_mem());
    char *pem = nullptr;
    CHECK(PEM_write_bio_X509(bio, root->certificate) == 1);
    const long size = BIO_get_mem_data(bio, &pem);
    const enum status status =
        trust_add_pem(trust, domain, (struct slice){(const uint8_t *)pem, (size_t)size}, nullptr);
    BIO_free(bio);
    return status;
}

static struct trust *trust;
static struct pair one, two, post_quantum;

static int set_up(void **state)
{
    one = forge_root("EC", "URI:spiffe://one.test");
    two = forge_root("EC", "URI:spiffe://two.test");
    post_quantum = forge_root("ML-DSA-65", "URI:spiffe://one.test");
    CHECK(trust_create(&trust) == STATUS_OK);
    CHECK(trust_pair(trust, "one.test", &one) == STATUS_OK);
    CHECK(trust_pair(trust, "one.test", &post_quantum) == STATUS_OK);
    CHECK(trust_pair(trust, "two.test", &two) == STATUS_OK);
    return 0;
}

static int tear_down(void **state)
{
    trust_unref(trust);
    pair_free(&one);
    pair_free(&two);
    pair_free(&post_quantum);
    return 0;
}

/* Verifies a forged leaf; in the refusal's text, reason must be found. */
static void expect_refused(const struct recipe *recipe, const struct pair *issuer,
                           const char *reason)
{
    struct pair leaf = forge("EC", "leaf", recipe, issuer);
    struct svid_info info;
    struct error err = {0};
    int code = X509_V_OK;
    const enum status status =
        svid_verify(trust, leaf.certificate, nullptr, now, 0, &code, &info, &err);
    if (status != STATUS_IDENTITY || strstr(err.text, reason) == nullptr)
        fail_msg("%s: \"%s\", wanted \"%s\"", status_name(status), err.text, reason);
    assert_int_not_equal(code, X509_V_OK);
    pair_free(&leaf);
}

static void a_right_leaf_is_taken_and_read(void **state)
{
    struct pair leaf = forge("EC", "leaf", &good, &one);
    struct svid_info info;
    struct digest digest;
    uint8_t *der = nullptr;
    assert_int_equal(svid_verify(trust, leaf.certificate, nullptr, now, 0, nullptr, &info, nullptr),
                     STATUS_OK);
    assert_string_equal(info.id.text, "spiffe://one.test/fedra/node/a");
    assert_int_equal(info.not_before_unix_s, now - 60);
    assert_int_equal(info.not_after_unix_s, now + 3600);
    const int size = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(leaf.certificate), &der);
    digest_of(der, (size_t)size, &digest);
    assert_true(digest_equal(&digest, &info.key_id));
    OPENSSL_free(der);
    pair_free(&leaf);
}

static void each_broken_rule_of_a_leaf_is_named(void **state)
{
    struct recipe r = good;
    r.san = nullptr;
    expect_refused(&r, &one, "0 URI names");
    r.san = "DNS:one.test";
    expect_refused(&r, &one, "0 URI names");
    r.san = "URI:spiffe://one.test/a,URI:spiffe://one.test/b";
    expect_refused(&r, &one, "2 URI names");
    r.san = "URI:https://one.test/a";
    expect_refused(&r, &one, "spiffe://");
    r.san = "URI:spiffe://one.test";
    expect_refused(&r, &one, "has a path");
    r = good;
    r.basic = "critical,CA:TRUE";
    expect_refused(&r, &one, "is a CA");
    r = good;
    r.usage = nullptr;
    expect_refused(&r, &one, "no keyUsage");
    r.usage = "critical,keyAgreement";
    expect_refused(&r, &one, "lacks digitalSignature");
    r.usage = "digitalSignature";
    expect_refused(&r, &one, "critical");
    r.usage = "critical,digitalSignature,keyCertSign";
    expect_refused(&r, &one, "keyCertSign");
    r.usage = "critical,digitalSignature,cRLSign";
    expect_refused(&r, &one, "cRLSign");
    r = good;
    r.extended = "serverAuth";
    expect_refused(&r, &one, "clientAuth");
}

static void a_zero_byte_in_the_name_is_refused(void **state)
{
    static const char uri[] = "spiffe://one.test/fedra/node/a\0.evil";
    struct recipe r = good;
    r.san = nullptr;
    r.raw_uri = uri;
    r.raw_uri_size = sizeof uri - 1;
    expect_refused(&r, &one, "zero byte");
    r.raw_uri_size = strlen(uri) + 1;
    expect_refused(&r, &one, "zero byte");
}

static void dates_are_judged_at_the_given_time(void **state)
{
    struct recipe r = good;
    r.until = -1;
    expect_refused(&r, &one, "expired");
    r.until = 0;
    expect_refused(&r, &one, "expired");
    r = good;
    r.from = 1;
    expect_refused(&r, &one, "not valid before");
    r.from = 0;
    r.until = 1;
    struct pair leaf = forge("EC", "leaf", &r, &one);
    struct svid_info info;
    assert_int_equal(svid_verify(trust, leaf.certificate, nullptr, now, 0, nullptr, &info, nullptr),
                     STATUS_OK);
    pair_free(&leaf);
}

static void a_trust_domain_cannot_vouch_for_another(void **state)
{
    struct recipe r = good;
    expect_refused(&r, &two, "root of trust domain one.test");
    r.san = "URI:spiffe://two.test/fedra/coordinator";
    expect_refused(&r, &one, "root of trust domain two.test");
    r.san = "URI:spiffe://three.test/fedra/coordinator";
    expect_refused(&r, &one, "three.test is not known");
    struct pair impostor = forge_root("EC", "URI:spiffe://one.test");
    expect_refused(&good, &impostor, "root of trust domain one.test");
    pair_free(&impostor);
}

static void an_intermediate_must_be_a_ca_of_the_same_trust_domain(void **state)
{
    static const struct {
        const char *san;
        const char *usage;
        const char *basic;
        enum status status;
    } cases[] = {
        {"URI:spiffe://one.test", "critical,keyCertSign", "critical,CA:TRUE", STATUS_OK},
        {nullptr, "critical,keyCertSign", "critical,CA:TRUE", STATUS_OK},
        {"URI:spiffe://two.test", "critical,keyCertSign", "critical,CA:TRUE", STATUS_IDENTITY},
        {"URI:spiffe://one.test/x", "critical,keyCertSign", "critical,CA:TRUE", STATUS_IDENTITY},
        {nullptr, "critical,digitalSignature", "critical,CA:FALSE", STATUS_IDENTITY},
        {nullptr, nullptr, "critical,CA:TRUE", STATUS_IDENTITY},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const struct recipe r = {.san = cases[i].san,
                                 .usage = cases[i].usage,
                                 .basic = cases[i].basic,
                                 .from = -60,
                                 .until = 3600};
        struct pair middle = forge("EC", "middle", &r, &one);
        struct pair leaf = forge("EC", "leaf", &good, &middle);
        STACK_OF(X509) *sent = sk_X509_new_null();
        struct svid_info info;
        CHECK(sk_X509_push(sent, middle.certificate) > 0);
        if (svid_verify(trust, leaf.certificate, sent, now, 0, nullptr, &info, nullptr) !=
            cases[i].status)
            fail_msg("case %zu", i);
        sk_X509_free(sent);
        pair_free(&leaf);
        pair_free(&middle);
    }
}

static void ml_dsa_all_the_way_means_root_and_leaf(void **state)
{
    struct pair right = forge("ML-DSA-65", "leaf", &good, &post_quantum);
    struct pair classical_leaf = forge("EC", "leaf", &good, &post_quantum);
    struct pair classical_root = forge("ML-DSA-65", "leaf", &good, &one);
    struct svid_info info;
    const uint32_t flags = SVID_ML_DSA_ONLY;
    assert_int_equal(
        svid_verify(trust, right.certificate, nullptr, now, flags, nullptr, &info, nullptr),
        STATUS_OK);
    assert_int_equal(svid_verify(trust, classical_leaf.certificate, nullptr, now, flags, nullptr,
                                 &info, nullptr),
                     STATUS_IDENTITY);
    assert_int_equal(svid_verify(trust, classical_root.certificate, nullptr, now, flags, nullptr,
                                 &info, nullptr),
                     STATUS_IDENTITY);
    pair_free(&right);
    pair_free(&classical_leaf);
    pair_free(&classical_root);
}

static void a_leaf_is_no_root_and_damaged_text_is_refused(void **state)
{
    struct pair leaf = forge("EC", "leaf", &good, &one);
    struct trust *other = nullptr;
    STACK_OF(X509) *chain = nullptr;
    static const char damaged[] = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    CHECK(trust_create(&other) == STATUS_OK);
    assert_int_equal(trust_pair(other, "one.test", &leaf), STATUS_INVAL);
    assert_int_equal(trust_pair(other, "two.test", &one), STATUS_INVAL);
    trust_unref(other);
    const struct slice texts[] = {{(const uint8_t *)damaged, sizeof damaged - 1},
                                  {(const uint8_t *)"nothing", 7}};
    for (size_t i = 0; i < 2; i++)
        assert_int_equal(svid_chain_decode_pem(texts[i], &chain, nullptr), STATUS_INVAL);

    uint8_t *der = nullptr;
    const int size = i2d_X509(leaf.certificate, &der);
    uint8_t *longer = calloc(1, (size_t)size + 1);
    memcpy(longer, der, (size_t)size);
    const struct slice exact = {longer, (size_t)size};
    const struct slice trailing = {longer, (size_t)size + 1};
    const struct slice cut = {longer, (size_t)size - 1};
    assert_int_equal(svid_chain_decode(&exact, 1, &chain, nullptr), STATUS_OK);
    sk_X509_pop_free(chain, X509_free);
    assert_int_equal(svid_chain_decode(&trailing, 1, &chain, nullptr), STATUS_PEER);
    assert_int_equal(svid_chain_decode(&cut, 1, &chain, nullptr), STATUS_PEER);
    assert_int_equal(svid_chain_decode(&exact, 0, &chain, nullptr), STATUS_LIMIT);
    OPENSSL_free(der);
    free(longer);
    pair_free(&leaf);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_right_leaf_is_taken_and_read),
        cmocka_unit_test(each_broken_rule_of_a_leaf_is_named),
        cmocka_unit_test(a_zero_byte_in_the_name_is_refused),
        cmocka_unit_test(dates_are_judged_at_the_given_time),
        cmocka_unit_test(a_trust_domain_cannot_vouch_for_another),
        cmocka_unit_test(an_intermediate_must_be_a_ca_of_the_same_trust_domain),
        cmocka_unit_test(ml_dsa_all_the_way_means_root_and_leaf),
        cmocka_unit_test(a_leaf_is_no_root_and_damaged_text_is_refused),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}

/*
 * authority_test.c - the local authority: its folder, and the certificates that it issues.
 *
 * Goal: what it certifies is what svid.h takes and nothing else, and its keys are never lost,
 * overwritten or readable by others. Method: keys and requests are made here with OpenSSL;
 * certificates are verified by svid_verify, which knows only the bundle.
 */
#include "testing.h"

#include "authority_fixture.h"

#include <dirent.h>
#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>

enum { TTL_S = 3600, TEXT_MAX = 32768 };

static const char node_id[] = "spiffe://" FIXTURE_DOMAIN "/fedra/node/a";
static char base[] = "/tmp/fedra-authority-XXXXXX";
static char dir[64]; /* a new one for each test */
static struct authority *authority;
static struct trust *trust;

static int count_entries(const char *path)
{
    int count = 0;
    DIR *folder = opendir(path);
    if (folder == nullptr)
        return -1;
    while (readdir(folder) != nullptr)
        count++;
    closedir(folder);
    return count - 2;
}

static unsigned mode_of(const char *path)
{
    struct stat there;
    assert_int_equal(stat(path, &there), 0);
    return there.st_mode & 07777;
}

static int new_dir(void **state)
{
    static int number;
    snprintf(dir, sizeof dir, "%s/%d", base, number++);
    return 0;
}

static int new_authority(void **state)
{
    new_dir(state);
    CHECK(authority_init(dir, FIXTURE_DOMAIN, fixture_now, nullptr) == STATUS_OK);
    CHECK(authority_open(dir, &authority, nullptr) == STATUS_OK);
    trust = fixture_trust(authority);
    return 0;
}

static int end_authority(void **state)
{
    authority_close(authority);
    trust_unref(trust);
    authority = nullptr;
    trust = nullptr;
    return 0;
}

static void expect_open(enum status wanted, const char *part)
{
    struct authority *opened = nullptr;
    struct error err = {0};
    const enum status status = authority_open(dir, &opened, &err);
    if (status != wanted || strstr(err.text, part) == nullptr)
        fail_msg("%s: \"%s\", wanted \"%s\"", status_name(status), err.text, part);
    authority_close(opened);
}

static void expect_issue(struct slice csr, const char *id, uint32_t ttl_s, int64_t now_unix_s,
                         enum status wanted, const char *part)
{
    struct bytes der;
    struct error err = {0};
    bytes_init(&der, SVID_CERTIFICATE_MAX);
    const enum status status = authority_issue(authority, csr, id, ttl_s, now_unix_s, &der, &err);
    if (status != wanted || strstr(err.text, part) == nullptr)
        fail_msg("%s: \"%s\", wanted \"%s\"", status_name(status), err.text, part);
    if (wanted != STATUS_OK)
        assert_int_equal(der.size, 0);
    bytes_deinit(&der);
}

/* The certificate of a request that must be granted. */
static X509 *issue(struct slice csr, uint32_t ttl_s, int64_t now_unix_s)
{
    struct bytes der;
    struct error err = {0};
    bytes_init(&der, SVID_CERTIFICATE_MAX);
    if (authority_issue(authority, csr, node_id, ttl_s, now_unix_s, &der, &err) != STATUS_OK)
        fail_msg("%s", err.text);
    X509 *certificate = fixture_decode(bytes_slice(&der));
    bytes_deinit(&der);
    return certificate;
}

static void a_new_folder_has_private_keys_and_public_roots(void **state)
{
    static const char *const roots[] = {"p256.pem", "ml-dsa-65.pem"};
    char text[TEXT_MAX];
    assert_int_equal(count_entries(dir), 6);
    assert_int_equal(mode_of(dir), 0700);
    assert_int_equal(mode_of(fixture_path(dir, "p256.key")), 0600);
    assert_int_equal(mode_of(fixture_path(dir, "ml-dsa-65.key")), 0600);
    assert_true(fixture_read(fixture_path(dir, "FORMAT"), text, sizeof text) > 0);
    assert_string_equal(text, "fedra-authority 1\ntrust-domain " FIXTURE_DOMAIN "\n");
    assert_string_equal(authority_trust_domain(authority), FIXTURE_DOMAIN);
    for (size_t i = 0; i < 2; i++) {
        FILE *file = fopen(fixture_path(dir, roots[i]), "r");
        X509 *root = PEM_read_X509(file, nullptr, nullptr, nullptr);
        fclose(file);
        assert_non_null(root);
        assert_int_equal(X509_self_signed(root, 1), 1);
        assert_int_equal(X509_check_ca(root), 1);
        assert_int_equal(X509_get_pathlen(root), 0);
        assert_int_equal(X509_get_key_usage(root), KU_KEY_CERT_SIGN | KU_CRL_SIGN);
        /* 2023-11-14T22:13:20Z and 3,652 days, by the calendar 2033-11-13T22:13:20Z. */
        ASN1_TIME *end = ASN1_TIME_new();
        assert_int_equal(ASN1_TIME_set_string(end, "20331113221320Z"), 1);
        assert_int_equal(ASN1_TIME_compare(X509_get0_notAfter(root), end), 0);
        ASN1_TIME_free(end);
        X509_free(root);
    }
}

static void certificates_of_both_kinds_verify_and_say_what_was_asked(void **state)
{
    static const char *const kinds[] = {"P-256", "ML-DSA-65"};
    for (size_t i = 0; i < 2; i++) {
        EVP_PKEY *key = fixture_key(kinds[i]);
        const struct slice csr = fixture_csr(key, key, 0, nullptr);
        X509 *leaf = issue(csr, TTL_S, fixture_now + 1000);
        struct svid_info info;
        struct error err = {0};
        if (svid_verify(trust, leaf, nullptr, fixture_now + 1000, i == 1 ? SVID_ML_DSA_ONLY : 0,
                        nullptr, &info, &err) != STATUS_OK)
            fail_msg("%s", err.text);
        assert_string_equal(info.id.text, node_id);
        assert_int_equal(info.not_before_unix_s, fixture_now + 1000 - 60);
        assert_int_equal(info.not_after_unix_s, fixture_now + 1000 + TTL_S);
        assert_int_equal(EVP_PKEY_eq(X509_get0_pubkey(leaf), key), 1);
        assert_int_equal(X509_get_key_usage(leaf), KU_DIGITAL_SIGNATURE);
        assert_int_equal(X509_get_extended_key_usage(leaf), XKU_SSL_SERVER | XKU_SSL_CLIENT);
        /* The P-256 chain is no post-quantum one. */
        if (i == 0)
            assert_int_equal(svid_verify(trust, leaf, nullptr, fixture_now + 1000, SVID_ML_DSA_ONLY,
                                         nullptr, &info, nullptr),
                             STATUS_IDENTITY);
        X509_free(leaf);
        fixture_free(csr);
        EVP_PKEY_free(key);
    }
}

static void what_a_request_asks_for_besides_its_key_is_not_used(void **state)
{
    static const struct {
        int nid;
        const char *wish;
    } wishes[] = {
        {NID_basic_constraints, "critical,CA:TRUE"},
        {NID_key_usage, "critical,keyCertSign"},
        {NID_subject_alt_name, "URI:spiffe://" FIXTURE_DOMAIN "/fedra/coordinator"},
    };
    EVP_PKEY *key = fixture_key("P-256");
    for (size_t i = 0; i < sizeof wishes / sizeof wishes[0]; i++) {
        const struct slice csr = fixture_csr(key, key, wishes[i].nid, wishes[i].wish);
        X509 *leaf = issue(csr, TTL_S, fixture_now);
        struct svid_info info;
        char name[64] = "";
        assert_int_equal(svid_verify(trust, leaf, nullptr, fixture_now, 0, nullptr, &info, nullptr),
                         STATUS_OK);
        assert_string_equal(info.id.text, node_id);
        X509_NAME_get_text_by_NID(X509_get_subject_name(leaf), NID_commonName, name, sizeof name);
        assert_string_equal(name, "");
        X509_free(leaf);
        fixture_free(csr);
    }
    EVP_PKEY_free(key);
}

static void serial_numbers_are_positive_and_never_the_same(void **state)
{
    const struct slice csr = fixture_csr_of("P-256");
    X509 *one = issue(csr, TTL_S, fixture_now);
    X509 *two = issue(csr, TTL_S, fixture_now);
    const ASN1_INTEGER *serial = X509_get0_serialNumber(one);
    assert_int_not_equal(ASN1_INTEGER_cmp(serial, X509_get0_serialNumber(two)), 0);
    assert_int_equal(ASN1_STRING_type(serial), V_ASN1_INTEGER); /* not the negative type */
    assert_in_range(ASN1_STRING_length(serial), 8, 20);
    X509_free(one);
    X509_free(two);
    fixture_free(csr);
}

/* A P-256 key whose request spells the curve out. */
static EVP_PKEY *explicit_key(void)
{
    EVP_PKEY *key = fixture_key("P-256");
    CHECK(EVP_PKEY_set_utf8_string_param(key, OSSL_PKEY_PARAM_EC_ENCODING,
                                         OSSL_PKEY_EC_ENCODING_EXPLICIT) == 1);
    return key;
}

static void requests_that_are_not_right_are_refused(void **state)
{
    static const char *const others[] = {"P-384", "RSA", "ED25519", "ML-DSA-44", "ML-DSA-87"};
    EVP_PKEY *one = fixture_key("P-256");
    EVP_PKEY *two = fixture_key("P-256");
    EVP_PKEY *spelt_out = explicit_key();
    const struct slice good = fixture_csr(one, one, 0, nullptr);
    const struct slice foreign = fixture_csr(one, two, 0, nullptr);
    const struct slice spelt = fixture_csr(spelt_out, spelt_out, 0, nullptr);
    static uint8_t changed[AUTHORITY_CSR_BYTES_MAX + 1];

    expect_issue(good, node_id, TTL_S, fixture_now, STATUS_OK, "");
    expect_issue((struct slice){0}, node_id, TTL_S, fixture_now, STATUS_LIMIT, "0 bytes");
    expect_issue((struct slice){changed, sizeof changed}, node_id, TTL_S, fixture_now, STATUS_LIMIT,
                 "16385 bytes");
    expect_issue((struct slice){changed, 64}, node_id, TTL_S, fixture_now, STATUS_PEER,
                 "no PKCS#10");
    expect_issue((struct slice){good.data, good.size - 1}, node_id, TTL_S, fixture_now, STATUS_PEER,
                 "no PKCS#10");
    memcpy(changed, good.data, good.size);
    expect_issue((struct slice){changed, good.size + 3}, node_id, TTL_S, fixture_now, STATUS_PEER,
                 "3 bytes follow");
    changed[good.size - 1] ^= 1;
    expect_issue((struct slice){changed, good.size}, node_id, TTL_S, fixture_now, STATUS_PEER,
                 "not signed by its own key");
    expect_issue(foreign, node_id, TTL_S, fixture_now, STATUS_PEER, "not signed by its own key");
    expect_issue(spelt, node_id, TTL_S, fixture_now, STATUS_PEER, "named curve");
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        const struct slice csr = fixture_csr_of(others[i]);
        expect_issue(csr, node_id, TTL_S, fixture_now, STATUS_PEER, "right are P-256");
        fixture_free(csr);
    }
    fixture_free(good);
    fixture_free(foreign);
    fixture_free(spelt);
    EVP_PKEY_free(one);
    EVP_PKEY_free(two);
    EVP_PKEY_free(spelt_out);
}

static void ids_and_lives_that_are_not_right_are_refused(void **state)
{
    const struct slice csr = fixture_csr_of("P-256");
    expect_issue(csr, "spiffe://two.test/fedra/node/a", TTL_S, fixture_now, STATUS_INVAL,
                 "trust domain one.test");
    expect_issue(csr, "spiffe://one.test", TTL_S, fixture_now, STATUS_INVAL, "has a path");
    expect_issue(csr, "https://one.test/a", TTL_S, fixture_now, STATUS_INVAL, "spiffe://");
    expect_issue(csr, "", TTL_S, fixture_now, STATUS_INVAL, "");
    expect_issue(csr, node_id, 0, fixture_now, STATUS_INVAL, "0 s");
    expect_issue(csr, node_id, 366 * 86400 + 1, fixture_now, STATUS_INVAL, "31622401 s");
    expect_issue(csr, node_id, UINT32_MAX, fixture_now, STATUS_INVAL, "4294967295 s");
    expect_issue(csr, node_id, 366 * 86400, fixture_now, STATUS_OK, "");
    expect_issue(csr, node_id, 1, fixture_now, STATUS_OK, "");
    fixture_free(csr);
}

static void no_certificate_outlives_or_precedes_its_root(void **state)
{
    const struct slice csr = fixture_csr_of("P-256");
    const int64_t first = fixture_now - 60;
    const int64_t end = fixture_now + INT64_C(3652) * 86400;
    struct svid_info info;
    X509 *leaf = issue(csr, TTL_S, end - 100);
    assert_int_equal(svid_check_leaf(leaf, &info, nullptr), STATUS_OK);
    assert_int_equal(info.not_after_unix_s, end);
    assert_int_equal(svid_verify(trust, leaf, nullptr, end - 1, 0, nullptr, &info, nullptr),
                     STATUS_OK);
    X509_free(leaf);
    leaf = issue(csr, 101, end - 100);
    assert_int_equal(svid_check_leaf(leaf, &info, nullptr), STATUS_OK);
    assert_int_equal(info.not_after_unix_s, end);
    X509_free(leaf);
    leaf = issue(csr, TTL_S, first + 10);
    assert_int_equal(svid_check_leaf(leaf, &info, nullptr), STATUS_OK);
    assert_int_equal(info.not_before_unix_s, first);
    X509_free(leaf);
    expect_issue(csr, node_id, TTL_S, end, STATUS_LIMIT, "expired");
    expect_issue(csr, node_id, TTL_S, first - 1, STATUS_LIMIT, "not valid yet");
    expect_issue(csr, node_id, TTL_S, INT64_MAX, STATUS_LIMIT, "expired");
    fixture_free(csr);
}

static void a_certificate_that_does_not_fit_is_not_appended(void **state)
{
    const struct slice csr = fixture_csr_of("P-256");
    struct bytes der;
    bytes_init(&der, 100);
    assert_int_equal(bytes_append(&der, "before", 6), STATUS_OK);
    assert_int_equal(authority_issue(authority, csr, node_id, TTL_S, fixture_now, &der, nullptr),
                     STATUS_LIMIT);
    assert_int_equal(der.size, 6);
    bytes_deinit(&der);
    fixture_free(csr);
}

static void opened_again_it_certifies_for_the_same_roots(void **state)
{
    const struct slice csr = fixture_csr_of("ML-DSA-65");
    struct svid_info info;
    authority_close(authority);
    authority = nullptr;
    assert_int_equal(authority_open(dir, &authority, nullptr), STATUS_OK);
    X509 *leaf = issue(csr, TTL_S, fixture_now);
    assert_int_equal(
        svid_verify(trust, leaf, nullptr, fixture_now, SVID_ML_DSA_ONLY, nullptr, &info, nullptr),
        STATUS_OK);
    X509_free(leaf);
    fixture_free(csr);
}

static void a_certificate_of_another_authority_of_that_name_does_not_verify(void **state)
{
    const struct slice csr = fixture_csr_of("P-256");
    struct svid_info info;
    end_authority(state);
    new_authority(state);
    X509 *leaf = issue(csr, TTL_S, fixture_now);
    end_authority(state);
    new_authority(state);
    assert_int_equal(svid_verify(trust, leaf, nullptr, fixture_now, 0, nullptr, &info, nullptr),
                     STATUS_IDENTITY);
    X509_free(leaf);
    fixture_free(csr);
}

static void nothing_that_is_there_is_overwritten(void **state)
{
    char before[TEXT_MAX], after[TEXT_MAX];
    struct error err = {0};
    assert_true(fixture_read(fixture_path(dir, "p256.key"), before, sizeof before) > 0);
    assert_int_equal(authority_init(dir, FIXTURE_DOMAIN, fixture_now, &err), STATUS_EXISTS);
    assert_non_null(strstr(err.text, "not empty"));
    assert_true(fixture_read(fixture_path(dir, "p256.key"), after, sizeof after) > 0);
    assert_string_equal(before, after);
    assert_int_equal(count_entries(dir), 6);

    new_dir(state);
    assert_int_equal(mkdir(dir, 0755), 0);
    fixture_write(fixture_path(dir, ".mine"), "text");
    assert_int_equal(authority_init(dir, FIXTURE_DOMAIN, fixture_now, nullptr), STATUS_EXISTS);
    assert_int_equal(count_entries(dir), 1);
    assert_int_equal(mode_of(dir), 0755);

    new_dir(state);
    fixture_write(dir, "a file");
    assert_int_equal(authority_init(dir, FIXTURE_DOMAIN, fixture_now, nullptr), STATUS_EXISTS);
    assert_true(fixture_read(dir, after, sizeof after) == 6);
}

static void an_empty_folder_is_taken_and_closed_to_others(void **state)
{
    assert_int_equal(mkdir(dir, 0755), 0);
    assert_int_equal(authority_init(dir, FIXTURE_DOMAIN, fixture_now, nullptr), STATUS_OK);
    assert_int_equal(mode_of(dir), 0700);
    expect_open(STATUS_OK, "");
}

static void names_and_clocks_that_are_not_right_make_nothing(void **state)
{
    char long_name[256];
    memset(long_name, 'a', 255);
    long_name[255] = 0;
    assert_int_equal(authority_init(dir, "One.test", fixture_now, nullptr), STATUS_INVAL);
    assert_int_equal(authority_init(dir, "one.test/a", fixture_now, nullptr), STATUS_INVAL);
    assert_int_equal(authority_init(dir, "", fixture_now, nullptr), STATUS_INVAL);
    assert_int_equal(authority_init(dir, long_name, fixture_now, nullptr), STATUS_LIMIT);
    assert_int_equal(authority_init(dir, "one.test", 0, nullptr), STATUS_INVAL);
    assert_int_equal(authority_init(dir, "one.test", INT64_MAX, nullptr), STATUS_INVAL);
    assert_int_equal(authority_init("", "one.test", fixture_now, nullptr), STATUS_INVAL);
    assert_int_equal(count_entries(dir), -1);
}

static void what_cannot_be_written_whole_leaves_nothing(void **state)
{
    struct rlimit old, low = {0};
    struct error err = {0};
    assert_int_equal(authority_init(fixture_path(dir, "deep"), "one.test", fixture_now, nullptr),
                     STATUS_IO);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
    low = old;
    low.rlim_cur = 2000; /* the P-256 files fit, the ML-DSA-65 key does not */
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &low), 0);
    const enum status fresh = authority_init(dir, "one.test", fixture_now, &err);
    const int left = count_entries(dir);
    assert_int_equal(mkdir(dir, 0755), 0);
    const enum status there = authority_init(dir, "one.test", fixture_now, nullptr);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
    assert_int_equal(fresh, STATUS_NO_SPACE);
    assert_non_null(strstr(err.text, "ml-dsa-65"));
    assert_int_equal(left, -1);
    assert_int_equal(there, STATUS_NO_SPACE);
    assert_int_equal(count_entries(dir), 0);
    assert_int_equal(mode_of(dir), 0755);
    assert_int_equal(authority_init(dir, "one.test", fixture_now, nullptr), STATUS_OK);
}

static void keys_that_others_can_read_are_refused_with_the_cure(void **state)
{
    static const char *const keys[] = {"p256.key", "ml-dsa-65.key"};
    static const mode_t modes[] = {0640, 0604, 0620, 0601};
    for (size_t i = 0; i < 2; i++) {
        const char *path = fixture_path(dir, keys[i]);
        char cure[600];
        snprintf(cure, sizeof cure, "chmod 600 %s", path);
        for (size_t j = 0; j < sizeof modes / sizeof modes[0]; j++) {
            assert_int_equal(chmod(path, modes[j]), 0);
            expect_open(STATUS_PERMISSION, cure);
        }
        assert_int_equal(chmod(path, 0400), 0);
        expect_open(STATUS_OK, "");
    }
}

static void a_file_that_is_missing_is_named(void **state)
{
    static const char *const names[] = {"FORMAT",        "p256.key",      "p256.pem",
                                        "ml-dsa-65.key", "ml-dsa-65.pem", "bundle.pem"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        assert_int_equal(rename(fixture_path(dir, names[i]), fixture_path(base, "aside")), 0);
        expect_open(STATUS_NOT_FOUND, i == 0 ? "fedra ca init" : names[i]);
        assert_int_equal(rename(fixture_path(base, "aside"), fixture_path(dir, names[i])), 0);
    }
    expect_open(STATUS_OK, "");
    snprintf(dir, sizeof dir, "%s/nowhere", base);
    expect_open(STATUS_NOT_FOUND, "nowhere");
}

static void a_format_that_is_not_right_is_refused(void **state)
{
    static const struct {
        const char *text;
        enum status status;
        const char *part;
    } cases[] = {
        {"", STATUS_CORRUPT, "not that of an authority"},
        {"fedra-store 1\n", STATUS_CORRUPT, "not that of an authority"},
        {"fedra-authority 2\ntrust-domain one.test\n", STATUS_VERSION, "version 2;"},
        {"fedra-authority 11\ntrust-domain one.test\n", STATUS_VERSION, "version 11;"},
        {"fedra-authority 1\n", STATUS_CORRUPT, "trust-domain NAME"},
        {"fedra-authority 1\ntrust-domain one.test", STATUS_CORRUPT, "trust-domain NAME"},
        {"fedra-authority 1\ntrust-domain one.test\nmore\n", STATUS_CORRUPT, "trust-domain NAME"},
        {"fedra-authority 1\ntrust-domain \n", STATUS_CORRUPT, "trust domain is empty"},
        {"fedra-authority 1\ntrust-domain One.test\n", STATUS_CORRUPT, "lower case"},
        {"fedra-authority 1\ntrust-domain two.test\n", STATUS_CORRUPT, "p256.pem"},
        {"fedra-authority 1\ntrust-domain one.test\n", STATUS_OK, ""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        fixture_write(fixture_path(dir, "FORMAT"), cases[i].text);
        expect_open(cases[i].status, cases[i].part);
    }
}

/* Puts the content of from into the place of to, in this folder or another, opens, restores. */
static void expect_replaced(const char *from_dir, const char *from, const char *to,
                            const char *part)
{
    static char right[TEXT_MAX], wrong[TEXT_MAX];
    assert_true(fixture_read(fixture_path(dir, to), right, sizeof right) > 0);
    assert_true(fixture_read(fixture_path(from_dir, from), wrong, sizeof wrong) > 0);
    fixture_write(fixture_path(dir, to), wrong);
    expect_open(STATUS_CORRUPT, part);
    fixture_write(fixture_path(dir, to), right);
}

static void files_that_do_not_belong_together_are_refused(void **state)
{
    char other[sizeof dir];
    memcpy(other, dir, sizeof dir);
    new_dir(state);
    assert_int_equal(authority_init(dir, FIXTURE_DOMAIN, fixture_now, nullptr), STATUS_OK);
    expect_replaced(other, "p256.key", "p256.key", "not the certificate of p256.key");
    expect_replaced(other, "ml-dsa-65.pem", "ml-dsa-65.pem",
                    "not the certificate of ml-dsa-65.key");
    expect_replaced(other, "bundle.pem", "bundle.pem", "p256.pem is missing");
    expect_replaced(dir, "p256.pem", "bundle.pem", "ml-dsa-65.pem is missing");
    expect_replaced(dir, "bundle.pem", "p256.pem", "2 certificates");
    expect_replaced(dir, "ml-dsa-65.key", "p256.key", "another kind");
    expect_replaced(dir, "FORMAT", "p256.key", "no private key");
    expect_replaced(dir, "FORMAT", "p256.pem", "no certificate in PEM");
    expect_replaced(dir, "FORMAT", "bundle.pem", "no certificate in PEM");
    expect_open(STATUS_OK, "");
}

static void a_key_file_that_is_huge_or_no_file_is_refused(void **state)
{
    const char *path = fixture_path(dir, "p256.key");
    assert_int_equal(truncate(path, 1 << 30), 0);
    expect_open(STATUS_CORRUPT, "1073741824 bytes");
    unlink(path);
    assert_int_equal(mkfifo(path, 0600), 0);
    expect_open(STATUS_CORRUPT, "no regular file");
}

static void an_encrypted_key_is_refused_and_not_asked_about(void **state)
{
    EVP_PKEY *key = fixture_key("P-256");
    FILE *file = fopen(fixture_path(dir, "p256.key"), "w");
    assert_int_equal(
        PEM_write_PKCS8PrivateKey(file, key, EVP_aes_128_cbc(), "secret", 6, nullptr, nullptr), 1);
    fclose(file);
    EVP_PKEY_free(key);
    expect_open(STATUS_CORRUPT, "no private key");
}

static void an_older_root_may_stay_in_the_bundle(void **state)
{
    static char text[TEXT_MAX], old[TEXT_MAX / 2];
    char other[sizeof dir];
    memcpy(other, dir, sizeof dir);
    new_dir(state);
    assert_int_equal(authority_init(dir, FIXTURE_DOMAIN, fixture_now, nullptr), STATUS_OK);
    const long size = fixture_read(fixture_path(dir, "bundle.pem"), text, sizeof text);
    assert_true(fixture_read(fixture_path(other, "p256.pem"), old, sizeof old) > 0);
    snprintf(text + size, sizeof text - (size_t)size, "%s", old);
    fixture_write(fixture_path(dir, "bundle.pem"), text);
    expect_open(STATUS_OK, "");
}

enum { THREADS = 4, ISSUES = 6 };

static void *issue_some(void *context)
{
    const struct slice *csr = context;
    for (int i = 0; i < ISSUES; i++) {
        struct bytes der;
        bytes_init(&der, SVID_CERTIFICATE_MAX);
        CHECK(authority_issue(authority, csr[i % 2], node_id, TTL_S, fixture_now, &der, nullptr) ==
              STATUS_OK);
        X509 *leaf = fixture_decode(bytes_slice(&der));
        struct svid_info info;
        CHECK(svid_verify(trust, leaf, nullptr, fixture_now, 0, nullptr, &info, nullptr) ==
              STATUS_OK);
        X509_free(leaf);
        bytes_deinit(&der);
    }
    return context;
}

static void many_threads_may_issue_at_once(void **state)
{
    struct slice csr[2] = {fixture_csr_of("P-256"), fixture_csr_of("ML-DSA-65")};
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], nullptr, issue_some, csr), 0);
    for (int i = 0; i < THREADS; i++) {
        void *done = nullptr;
        assert_int_equal(pthread_join(threads[i], &done), 0);
        assert_ptr_equal(done, csr);
    }
    fixture_free(csr[0]);
    fixture_free(csr[1]);
}

static void remove_folders(void)
{
    char command[128];
    snprintf(command, sizeof command, "rm -rf %s", base);
    if (system(command) != 0)
        fprintf(stderr, "%s failed\n", command);
}

#define WITH(name)    cmocka_unit_test_setup_teardown(name, new_authority, end_authority)
#define WITHOUT(name) cmocka_unit_test_setup(name, new_dir)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH(a_new_folder_has_private_keys_and_public_roots),
        WITH(certificates_of_both_kinds_verify_and_say_what_was_asked),
        WITH(what_a_request_asks_for_besides_its_key_is_not_used),
        WITH(serial_numbers_are_positive_and_never_the_same),
        WITH(requests_that_are_not_right_are_refused),
        WITH(ids_and_lives_that_are_not_right_are_refused),
        WITH(no_certificate_outlives_or_precedes_its_root),
        WITH(a_certificate_that_does_not_fit_is_not_appended),
        WITH(opened_again_it_certifies_for_the_same_roots),
        WITH(a_certificate_of_another_authority_of_that_name_does_not_verify),
        WITH(nothing_that_is_there_is_overwritten),
        WITHOUT(an_empty_folder_is_taken_and_closed_to_others),
        WITHOUT(names_and_clocks_that_are_not_right_make_nothing),
        WITHOUT(what_cannot_be_written_whole_leaves_nothing),
        WITH(keys_that_others_can_read_are_refused_with_the_cure),
        WITH(a_file_that_is_missing_is_named),
        WITH(a_format_that_is_not_right_is_refused),
        WITH(files_that_do_not_belong_together_are_refused),
        WITH(a_key_file_that_is_huge_or_no_file_is_refused),
        WITH(an_encrypted_key_is_refused_and_not_asked_about),
        WITH(an_older_root_may_stay_in_the_bundle),
        WITH(many_threads_may_issue_at_once),
    };
    if (mkdtemp(base) == nullptr)
        return 1;
    const int failed = cmocka_run_group_tests(tests, nullptr, nullptr);
    remove_folders();
    return failed;
}

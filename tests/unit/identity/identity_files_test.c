/*
 * identity_files_test.c - the folder of an identity: made whole or not at all, checked when loaded.
 *
 * Goal: keys are never readable by others, never overwritten in part, and nothing that does not
 * belong together is taken. Method: an authority made here certifies; files are then spoilt one by
 * one. What a file holds is read by OpenSSL.
 */
#include "testing.h"

#include "identity_fixture.h"

#include <dirent.h>
#include <signal.h>
#include <sys/resource.h>

enum { TTL_S = 3600, TEXT_MAX = 65536, FILES = 5 };

static const char *const names[FILES] = {"svid.key", "svid.pem", "envelope.key", "envelope.pem",
                                         "bundle.pem"};
static const char node_a[] = FIXTURE_ID("node/a");
static char base[] = "/tmp/fedra-identity-XXXXXX";
static char parent[64]; /* a new one for each test */
static char dir[80];    /* in it; not there at first */
static struct authority *authority;

static int set_up(void **state)
{
    authority = fixture_authority(fixture_path(base, "authority"), fixture_now);
    return 0;
}

static int tear_down(void **state)
{
    authority_close(authority);
    fixture_remove(base);
    return 0;
}

static int new_dir(void **state)
{
    static int number;
    snprintf(parent, sizeof(parent), "%s/%d", base, number++);
    snprintf(dir, sizeof(dir), "%s/a", parent);
    return mkdir(parent, 0755);
}

static int installed(void **state)
{
    if (new_dir(state) != 0)
        return 1;
    identity_close(fixture_identity(authority, dir, IDENTITY_KEY_P256, node_a, TTL_S, fixture_now));
    return 0;
}

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

static EVP_PKEY *key_in(const char *name)
{
    FILE *file = fopen(fixture_path(dir, name), "r");
    EVP_PKEY *key = PEM_read_PrivateKey(file, nullptr, nullptr, nullptr);
    fclose(file);
    assert_non_null(key);
    return key;
}

static void expect_open_at(int64_t now_unix_s, enum status wanted, const char *part)
{
    struct identity *identity = nullptr;
    struct error err = {0};
    const enum status status = identity_open(dir, now_unix_s, &identity, &err);
    if (status != wanted || strstr(err.text, part) == nullptr)
        fail_msg("%s: \"%s\", wanted \"%s\"", status_name(status), err.text, part);
    assert_true((identity != nullptr) == (status == STATUS_OK));
    identity_close(identity);
}

static void expect_open(enum status wanted, const char *part)
{
    expect_open_at(fixture_now, wanted, part);
}

/* One attempt to install into `into`; nothing may stay beside it. */
static void expect_install(const struct identity_request *request, const char *into,
                           const struct svid_chain *tls, const struct svid_chain *envelope,
                           struct slice bundle, enum status wanted, const char *part)
{
    struct error err = {0};
    const int before = count_entries(parent);
    const enum status status =
        identity_install(request, into, tls, envelope, bundle, fixture_now, &err);
    if (status != wanted || strstr(err.text, part) == nullptr)
        fail_msg("%s: \"%s\", wanted \"%s\"", status_name(status), err.text, part);
    if (wanted != STATUS_OK)
        assert_int_equal(count_entries(parent), before);
}

static void requests_are_signed_by_their_keys(void **state)
{
    for (int kind = 0; kind < 2; kind++) {
        struct identity_request *request =
            fixture_request(kind == 0 ? IDENTITY_KEY_P256 : IDENTITY_KEY_ML_DSA_65);
        const struct slice csrs[2] = {identity_request_tls_csr(request),
                                      identity_request_envelope_csr(request)};
        EVP_PKEY *keys[2];
        for (int i = 0; i < 2; i++) {
            const uint8_t *at = csrs[i].data;
            X509_REQ *csr = d2i_X509_REQ(nullptr, &at, (long)csrs[i].size);
            assert_non_null(csr);
            assert_ptr_equal(at, csrs[i].data + csrs[i].size);
            keys[i] = X509_REQ_get_pubkey(csr);
            assert_int_equal(X509_REQ_verify(csr, keys[i]), 1);
            X509_REQ_free(csr);
        }
        assert_true(EVP_PKEY_is_a(keys[0], kind == 0 ? "EC" : "ML-DSA-65"));
        assert_true(EVP_PKEY_is_a(keys[1], "ML-DSA-65"));
        assert_int_not_equal(EVP_PKEY_eq(keys[0], keys[1]), 1);
        EVP_PKEY_free(keys[0]);
        EVP_PKEY_free(keys[1]);
        identity_request_destroy(request);
    }
    identity_request_destroy(nullptr);
}

static void an_installed_identity_is_private_and_says_who_it_is(void **state)
{
    char text[TEXT_MAX];
    const mode_t mask = umask(0);
    struct identity *identity =
        fixture_identity(authority, dir, IDENTITY_KEY_P256, node_a, TTL_S, fixture_now);
    umask(mask);
    assert_int_equal(count_entries(parent), 1);
    assert_int_equal(count_entries(dir), FILES);
    assert_int_equal(mode_of(dir), 0700);
    for (size_t i = 0; i < FILES; i++)
        assert_int_equal(mode_of(fixture_path(dir, names[i])), i % 2 == 0 && i < 4 ? 0600 : 0644);
    assert_true(fixture_read(fixture_path(dir, "svid.key"), text, sizeof(text)) > 0);
    assert_int_equal(strncmp(text, "-----BEGIN PRIVATE KEY-----\n", 28), 0); /* RFC 7468, PKCS#8 */
    assert_string_equal(identity->svid.id.text, node_a);
    assert_string_equal(identity->envelope.id.text, node_a);
    assert_int_equal(identity->svid.not_after_unix_s, fixture_now + TTL_S);
    assert_int_equal(sk_X509_num(identity->svid_chain), 1);
    EVP_PKEY *key = key_in("svid.key");
    EVP_PKEY *envelope_key = key_in("envelope.key");
    assert_int_equal(EVP_PKEY_eq(key, identity->svid_key), 1);
    assert_int_equal(EVP_PKEY_eq(envelope_key, identity->envelope_key), 1);
    assert_true(EVP_PKEY_is_a(key, "EC"));
    assert_true(EVP_PKEY_is_a(envelope_key, "ML-DSA-65"));
    EVP_PKEY_free(key);
    EVP_PKEY_free(envelope_key);
    identity_close(identity);
}

static void files_have_their_modes_whatever_the_umask(void **state)
{
    const mode_t mask = umask(0077);
    struct identity_request *request = fixture_request(IDENTITY_KEY_P256);
    struct fixture_issued issued;
    fixture_issue(authority, request, node_a, TTL_S, fixture_now, &issued);
    expect_install(request, dir, &issued.tls, &issued.envelope, authority_bundle(authority),
                   STATUS_OK, "");
    umask(mask);
    assert_int_equal(mode_of(fixture_path(dir, "svid.pem")), 0644);
    assert_int_equal(mode_of(fixture_path(dir, "svid.key")), 0600);
    fixture_issued_deinit(&issued);
    identity_request_destroy(request);
}

static void a_second_installation_replaces_all_of_the_first(void **state)
{
    static char before[FILES][TEXT_MAX], after[TEXT_MAX];
    for (size_t i = 0; i < FILES; i++)
        assert_true(fixture_read(fixture_path(dir, names[i]), before[i], TEXT_MAX) > 0);
    struct identity *identity =
        fixture_identity(authority, dir, IDENTITY_KEY_ML_DSA_65, node_a, TTL_S, fixture_now);
    assert_true(EVP_PKEY_is_a(identity->svid_key, "ML-DSA-65"));
    identity_close(identity);
    for (size_t i = 0; i < FILES; i++) {
        assert_true(fixture_read(fixture_path(dir, names[i]), after, TEXT_MAX) > 0);
        assert_true((strcmp(before[i], after) != 0) == (i < 4)); /* the roots are the same */
    }
    assert_int_equal(count_entries(parent), 1);
    assert_int_equal(count_entries(dir), FILES);
}

static void a_folder_named_by_a_link_or_with_a_slash_is_replaced(void **state)
{
    char link[80], slash[96];
    struct identity_request *request = fixture_request(IDENTITY_KEY_P256);
    struct fixture_issued issued;
    fixture_issue(authority, request, node_a, TTL_S, fixture_now, &issued);
    snprintf(link, sizeof(link), "%s/link", parent);
    snprintf(slash, sizeof(slash), "%s///", dir);
    assert_int_equal(symlink("a", link), 0);
    EVP_PKEY *first = key_in("svid.key");
    expect_install(request, link, &issued.tls, &issued.envelope, authority_bundle(authority),
                   STATUS_OK, "");
    EVP_PKEY *second = key_in("svid.key");
    assert_int_not_equal(EVP_PKEY_eq(first, second), 1);
    assert_int_equal(count_entries(parent), 2);
    struct stat there;
    assert_int_equal(lstat(link, &there), 0);
    assert_true(S_ISLNK(there.st_mode));
    expect_install(request, slash, &issued.tls, &issued.envelope, authority_bundle(authority),
                   STATUS_OK, "");
    assert_int_equal(count_entries(parent), 2);
    expect_open(STATUS_OK, "");
    EVP_PKEY_free(first);
    EVP_PKEY_free(second);
    fixture_issued_deinit(&issued);
    identity_request_destroy(request);
}

static void what_does_not_belong_together_is_not_installed(void **state)
{
    struct identity_request *request = fixture_request(IDENTITY_KEY_P256);
    struct identity_request *other = fixture_request(IDENTITY_KEY_P256);
    struct authority *stranger = fixture_authority(fixture_path(parent, "stranger"), fixture_now);
    struct fixture_issued good, others, strange, of_b, old;
    static uint8_t bytes[8] = {0x30, 0x06};
    const struct svid_chain none = {.count = 0};
    const struct svid_chain damaged = {.certificates = {{bytes, sizeof(bytes)}}, .count = 1};
    const struct slice bundle = authority_bundle(authority);
    fixture_issue(authority, request, node_a, TTL_S, fixture_now, &good);
    fixture_issue(authority, other, node_a, TTL_S, fixture_now, &others);
    fixture_issue(stranger, request, node_a, TTL_S, fixture_now, &strange);
    fixture_issue(authority, request, FIXTURE_ID("node/b"), TTL_S, fixture_now, &of_b);
    fixture_issue(authority, request, node_a, 60, fixture_now + 3600 - 60, &old);

    const struct {
        const struct svid_chain *tls;
        const struct svid_chain *envelope;
        struct slice bundle;
        enum status status;
        const char *part;
    } cases[] = {
        {&others.tls, &good.envelope, bundle, STATUS_IDENTITY, "svid.key is not the key of"},
        {&good.tls, &others.envelope, bundle, STATUS_IDENTITY, "envelope.key is not the key of"},
        {&good.envelope, &good.envelope, bundle, STATUS_IDENTITY, "svid.key is not the key of"},
        {&good.tls, &good.tls, bundle, STATUS_IDENTITY, "not ML-DSA-65"},
        {&strange.tls, &good.envelope, bundle, STATUS_IDENTITY, "root of trust domain"},
        {&good.tls, &strange.envelope, bundle, STATUS_IDENTITY, "root of trust domain"},
        {&good.tls, &good.envelope, authority_bundle(stranger), STATUS_IDENTITY, "root of trust"},
        {&good.tls, &of_b.envelope, bundle, STATUS_IDENTITY, "both must be of one"},
        {&old.tls, &good.envelope, bundle, STATUS_IDENTITY, "not valid before"},
        {&none, &good.envelope, bundle, STATUS_IDENTITY, "svid.pem"},
        {&good.tls, &damaged, bundle, STATUS_IDENTITY, "envelope.pem"},
        {&good.tls, &good.envelope, {bytes, 2}, STATUS_INVAL, "bundle.pem"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        expect_install(request, dir, cases[i].tls, cases[i].envelope, cases[i].bundle,
                       cases[i].status, cases[i].part);
        assert_int_equal(access(dir, F_OK), -1);
    }
    /* One that is there already stays as it is. */
    expect_install(request, dir, &good.tls, &good.envelope, bundle, STATUS_OK, "");
    expect_install(other, dir, &good.tls, &others.envelope, bundle, STATUS_IDENTITY, "svid.key");
    expect_open(STATUS_OK, "");
    struct fixture_issued *const all[] = {&good, &others, &strange, &of_b, &old};
    for (size_t i = 0; i < 5; i++)
        fixture_issued_deinit(all[i]);
    authority_close(stranger);
    identity_request_destroy(request);
    identity_request_destroy(other);
}

static void nothing_else_is_overwritten(void **state)
{
    char text[64];
    char missing[96];
    static char longest[1200];
    struct identity_request *request = fixture_request(IDENTITY_KEY_P256);
    struct fixture_issued issued;
    const struct slice bundle = authority_bundle(authority);
    fixture_issue(authority, request, node_a, TTL_S, fixture_now, &issued);
    const struct svid_chain *tls = &issued.tls, *envelope = &issued.envelope;

    assert_int_equal(mkdir(dir, 0755), 0);
    fixture_write(fixture_path(dir, ".mine"), "text");
    expect_install(request, dir, tls, envelope, bundle, STATUS_EXISTS, ".mine");
    assert_int_equal(fixture_read(fixture_path(dir, ".mine"), text, sizeof(text)), 4);
    assert_int_equal(count_entries(dir), 1);
    assert_int_equal(mode_of(dir), 0755);

    assert_int_equal(unlink(fixture_path(dir, ".mine")), 0);
    expect_install(request, dir, tls, envelope, bundle, STATUS_OK, ""); /* empty: taken */
    assert_int_equal(mode_of(dir), 0700);

    new_dir(state);
    fixture_write(dir, "a file");
    expect_install(request, dir, tls, envelope, bundle, STATUS_EXISTS, "Not a directory");
    assert_int_equal(fixture_read(dir, text, sizeof(text)), 6);

    snprintf(missing, sizeof(missing), "%s/no/where", parent);
    expect_install(request, missing, tls, envelope, bundle, STATUS_IO, "No such file");
    expect_install(request, "", tls, envelope, bundle, STATUS_INVAL, "1 to 1023 bytes");
    memset(longest, 'x', sizeof(longest) - 1);
    expect_install(request, longest, tls, envelope, bundle, STATUS_INVAL, "1 to 1023 bytes");
    fixture_issued_deinit(&issued);
    identity_request_destroy(request);
}

static void what_cannot_be_written_whole_leaves_nothing(void **state)
{
    struct identity_request *request = fixture_request(IDENTITY_KEY_P256);
    struct fixture_issued issued;
    struct rlimit limit, whole;
    fixture_issue(authority, request, node_a, TTL_S, fixture_now, &issued);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &whole), 0);
    signal(SIGXFSZ, SIG_IGN);
    for (rlim_t size = 100; size < 6000; size += 1400) {
        limit = (struct rlimit){size, whole.rlim_max};
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
        expect_install(request, dir, &issued.tls, &issued.envelope, authority_bundle(authority),
                       STATUS_NO_SPACE, "File too large");
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &whole), 0);
    }
    signal(SIGXFSZ, SIG_DFL);
    expect_install(request, dir, &issued.tls, &issued.envelope, authority_bundle(authority),
                   STATUS_OK, "");
    fixture_issued_deinit(&issued);
    identity_request_destroy(request);
}

static void keys_that_others_can_read_are_refused_with_the_cure(void **state)
{
    static const char *const keys[] = {"svid.key", "envelope.key"};
    static const mode_t modes[] = {0640, 0604, 0620, 0601, 0777};
    for (size_t i = 0; i < 2; i++) {
        const char *path = fixture_path(dir, keys[i]);
        for (size_t j = 0; j < sizeof(modes) / sizeof(modes[0]); j++) {
            assert_int_equal(chmod(path, modes[j]), 0);
            expect_open(STATUS_PERMISSION, "chmod 600 ");
            expect_open(STATUS_PERMISSION, keys[i]);
        }
        assert_int_equal(chmod(path, 0400), 0);
        expect_open(STATUS_OK, "");
    }
}

static void a_missing_file_is_named(void **state)
{
    for (size_t i = 0; i < FILES; i++) {
        char away[160];
        const char *path = fixture_path(dir, names[i]);
        snprintf(away, sizeof(away), "%s/away", parent);
        assert_int_equal(rename(path, away), 0);
        expect_open(STATUS_NOT_FOUND, names[i]);
        assert_int_equal(rename(away, path), 0);
    }
    expect_open(STATUS_OK, "");
    fixture_remove(dir);
    expect_open(STATUS_NOT_FOUND, dir);
    fixture_write(dir, "a file");
    expect_open(STATUS_IO, dir);
}

static void a_file_that_is_not_what_it_should_be_is_refused(void **state)
{
    static char whole[TEXT_MAX];
    for (size_t i = 0; i < FILES; i++) {
        const char *path = fixture_path(dir, names[i]);
        assert_true(fixture_read(path, whole, sizeof(whole)) > 0);
        fixture_write(path, "");
        expect_open(STATUS_CORRUPT, "0 bytes");
        assert_int_equal(truncate(path, 512 * 1024 + 1), 0);
        expect_open(STATUS_CORRUPT, "524289 bytes");
        fixture_write(path, "nothing\n");
        expect_open(i == 4 ? STATUS_INVAL : STATUS_CORRUPT, names[i]);
        assert_int_equal(unlink(path), 0);
        assert_int_equal(mkfifo(path, 0600), 0); /* must not wait for a writer */
        expect_open(STATUS_CORRUPT, "no regular file");
        assert_int_equal(unlink(path), 0);
        assert_int_equal(symlink("/dev/zero", path), 0);
        expect_open(STATUS_IO, names[i]);
        assert_int_equal(unlink(path), 0);
        const mode_t mask = umask(0077);
        fixture_write(path, whole);
        umask(mask);
        expect_open(STATUS_OK, "");
    }
}

static void an_encrypted_key_is_refused_and_not_asked_about(void **state)
{
    EVP_PKEY *key = key_in("svid.key");
    FILE *file = fopen(fixture_path(dir, "svid.key"), "w");
    assert_non_null(file);
    assert_int_equal(
        PEM_write_PKCS8PrivateKey(file, key, EVP_aes_256_cbc(), "secret", 6, nullptr, nullptr), 1);
    assert_int_equal(fclose(file), 0);
    expect_open(STATUS_CORRUPT, "svid.key");
    EVP_PKEY_free(key);
}

static void files_swapped_with_another_identity_are_refused(void **state)
{
    char first[80];
    memcpy(first, dir, sizeof(dir));
    installed(state); /* dir is another one now, with the same SPIFFE ID */
    static const struct {
        const char *name;
        const char *part;
    } cases[] = {
        {"svid.key", "svid.key is not the key of"},
        {"svid.pem", "svid.key is not the key of"},
        {"envelope.key", "envelope.key is not the key of"},
        {"envelope.pem", "envelope.key is not the key of"},
    };
    for (size_t i = 0; i < 4; i++) {
        char here[160], there[160];
        snprintf(here, sizeof(here), "%s/%s", dir, cases[i].name);
        snprintf(there, sizeof(there), "%s/%s", first, cases[i].name);
        assert_int_equal(renameat2(AT_FDCWD, here, AT_FDCWD, there, RENAME_EXCHANGE), 0);
        expect_open(STATUS_IDENTITY, cases[i].part);
        assert_int_equal(renameat2(AT_FDCWD, here, AT_FDCWD, there, RENAME_EXCHANGE), 0);
    }
    expect_open(STATUS_OK, "");
}

static void an_identity_opens_only_within_its_dates(void **state)
{
    expect_open_at(fixture_now + TTL_S - 1, STATUS_OK, "");
    expect_open_at(fixture_now + TTL_S, STATUS_IDENTITY, "expired");
    expect_open_at(fixture_now - AUTHORITY_BACKDATE_S, STATUS_OK, "");
    expect_open_at(fixture_now - AUTHORITY_BACKDATE_S - 1, STATUS_IDENTITY, "not valid before");
}

#define WITH(name)    cmocka_unit_test_setup(name, installed)
#define WITHOUT(name) cmocka_unit_test_setup(name, new_dir)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITHOUT(requests_are_signed_by_their_keys),
        WITHOUT(an_installed_identity_is_private_and_says_who_it_is),
        WITHOUT(files_have_their_modes_whatever_the_umask),
        WITH(a_second_installation_replaces_all_of_the_first),
        WITH(a_folder_named_by_a_link_or_with_a_slash_is_replaced),
        WITHOUT(what_does_not_belong_together_is_not_installed),
        WITHOUT(nothing_else_is_overwritten),
        WITHOUT(what_cannot_be_written_whole_leaves_nothing),
        WITH(keys_that_others_can_read_are_refused_with_the_cure),
        WITH(a_missing_file_is_named),
        WITH(a_file_that_is_not_what_it_should_be_is_refused),
        WITH(an_encrypted_key_is_refused_and_not_asked_about),
        WITH(files_swapped_with_another_identity_are_refused),
        WITH(an_identity_opens_only_within_its_dates),
    };
    return mkdtemp(base) == nullptr ? 1 : cmocka_run_group_tests(tests, set_up, tear_down);
}

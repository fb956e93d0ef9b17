/*
 * authority_memory_test.c - the authority where memory runs out, at every place where it can.
 *
 * Goal: no half certificate, no half folder, no crash, no leak (under AddressSanitizer). Method:
 * OpenSSL allocates through functions of this file; each run lets the i-th allocation fail, for
 * every i, until a run succeeds.
 */
#include "testing.h"

#include "authority_fixture.h"
#include "identity/authority_service.h"

#include <dirent.h>

enum { RUNS_MAX = 20000 };

static const char node_id[] = "spiffe://" FIXTURE_DOMAIN "/fedra/node/a";
static char base[] = "/tmp/fedra-authority-XXXXXX";
static long left = -1; /* allocations until one fails; negative: none fails */

static bool fails(void)
{
    if (left < 0)
        return false;
    return left-- == 0;
}

static void *counted_malloc(size_t size, const char *file, int line)
{
    return fails() ? nullptr : malloc(size);
}

static void *counted_realloc(void *data, size_t size, const char *file, int line)
{
    return fails() ? nullptr : realloc(data, size);
}

static void counted_free(void *data, const char *file, int line)
{
    free(data);
}

/* Has the i-th allocation not come up in the run that just ended? Then all have been tried. */
static bool is_last(void)
{
    const bool last = left >= 0;
    left = -1;
    return last;
}

static struct authority *make(const char *dir)
{
    struct authority *authority = nullptr;
    CHECK(authority_init(dir, FIXTURE_DOMAIN, fixture_now, nullptr) == STATUS_OK);
    CHECK(authority_open(dir, &authority, nullptr) == STATUS_OK);
    return authority;
}

/* A fault of memory may come back as what OpenSSL could not do for it, but as nothing else. */
static void expect_fault(enum status status, const struct error *err)
{
    if (status != STATUS_NO_MEMORY && status != STATUS_IO && status != STATUS_PEER)
        fail_msg("%s: \"%s\"", status_name(status), err->text);
    assert_int_not_equal(err->text[0], 0);
}

static void issuing_gives_a_whole_certificate_or_none(void **state)
{
    struct authority *authority = make(fixture_path(base, "issue"));
    struct trust *trust = fixture_trust(authority);
    const struct slice csr[2] = {fixture_csr_of("P-256"), fixture_csr_of("ML-DSA-65")};
    for (int kind = 0; kind < 2; kind++) {
        bool done = false;
        long faults = 0;
        for (long i = 0; !done && i < RUNS_MAX; i++) {
            struct bytes der;
            struct error err = {0};
            bytes_init(&der, SVID_CERTIFICATE_MAX);
            left = i;
            const enum status status =
                authority_issue(authority, csr[kind], node_id, 60, fixture_now, &der, &err);
            done = is_last();
            if (status == STATUS_OK) {
                X509 *leaf = fixture_decode(bytes_slice(&der));
                struct svid_info info;
                assert_int_equal(
                    svid_verify(trust, leaf, nullptr, fixture_now, 0, nullptr, &info, nullptr),
                    STATUS_OK);
                assert_string_equal(info.id.text, node_id);
                X509_free(leaf);
            } else {
                expect_fault(status, &err);
                assert_int_equal(der.size, 0);
                faults++;
            }
            bytes_deinit(&der);
        }
        assert_true(done);
        assert_true(faults > 50);
    }
    fixture_free(csr[0]);
    fixture_free(csr[1]);
    trust_unref(trust);
    authority_close(authority);
}

static void a_folder_is_made_whole_or_not_at_all(void **state)
{
    const char *dir = fixture_path(base, "init");
    bool done = false;
    long faults = 0;
    for (long i = 0; !done && i < RUNS_MAX; i++) {
        struct error err = {0};
        struct authority *authority = nullptr;
        left = i;
        const enum status status = authority_init(dir, FIXTURE_DOMAIN, fixture_now, &err);
        done = is_last();
        if (status == STATUS_OK) {
            char command[600];
            if (authority_open(dir, &authority, &err) != STATUS_OK)
                fail_msg("run %ld: %s", i, err.text);
            authority_close(authority);
            snprintf(command, sizeof command, "rm -r %s", dir);
            assert_int_equal(system(command), 0);
        } else {
            expect_fault(status, &err);
            assert_int_equal(access(dir, F_OK), -1);
            faults++;
        }
    }
    assert_true(done);
    assert_true(faults > 50);
}

static void opening_fails_as_a_whole(void **state)
{
    const char *dir = fixture_path(base, "open");
    authority_close(make(dir));
    bool done = false;
    long faults = 0;
    for (long i = 0; !done && i < RUNS_MAX; i++) {
        struct authority *authority = nullptr;
        struct error err = {0};
        left = i;
        const enum status status = authority_open(dir, &authority, &err);
        done = is_last();
        assert_true((authority != nullptr) == (status == STATUS_OK));
        if (status != STATUS_OK) {
            assert_true(status == STATUS_NO_MEMORY || status == STATUS_CORRUPT);
            faults++;
        }
        authority_close(authority);
    }
    assert_true(done);
    assert_true(faults > 50);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(issuing_gives_a_whole_certificate_or_none),
        cmocka_unit_test(a_folder_is_made_whole_or_not_at_all),
        cmocka_unit_test(opening_fails_as_a_whole),
    };
    char command[128];
    if (CRYPTO_set_mem_functions(counted_malloc, counted_realloc, counted_free) != 1 ||
        mkdtemp(base) == nullptr)
        return 1;
    const int failed = cmocka_run_group_tests(tests, nullptr, nullptr);
    snprintf(command, sizeof command, "rm -rf %s", base);
    return system(command) != 0 ? 1 : failed;
}

/*
 * kept_updates_test.c - which updates are kept after which commit, and after a start.
 */
#include "store_fixture.h"

#include "store/kept_updates.h"

#include <sys/stat.h>

static char folder[512];

static int setup(void **state)
{
    fixture_folder("kept", folder);
    return mkdir(folder, 0700);
}

static int teardown(void **state)
{
    fixture_remove(folder);
    return 0;
}

static struct kept_updates *open_kept(uint64_t versions, uint64_t next)
{
    struct kept_updates *kept = nullptr;
    struct error err = {0};
    if (kept_updates_open(folder, versions, next, &kept, &err) != STATUS_OK)
        fail_msg("%s", err.text);
    return kept;
}

static void path_of(uint64_t number, int node, const char *suffix, char ret_path[static 700])
{
    char hex[DIGEST_HEX_MAX];
    const struct digest digest = fixture_payload(number, node);
    digest_to_hex(&digest, hex);
    snprintf(ret_path, 700, "%s/updates/%06llu/%s%s", folder, (unsigned long long)number, hex,
             suffix);
}

static void put(struct kept_updates *kept, uint64_t number, int node)
{
    const struct digest digest = fixture_payload(number, node);
    const struct slice payload = {digest.bytes, sizeof(digest.bytes)};
    assert_int_equal(kept_updates_put(kept, number, &digest, payload, nullptr), STATUS_OK);
}

/* The content is the digest itself. */
static bool is_kept(uint64_t number, int node)
{
    char path[700];
    struct digest found = {0};
    const struct digest wanted = fixture_payload(number, node);
    path_of(number, node, "", path);
    FILE *const file = fopen(path, "re");
    if (file == nullptr)
        return false;
    assert_int_equal(fread(found.bytes, 1, sizeof(found.bytes), file), sizeof(found.bytes));
    assert_int_equal(fgetc(file), EOF);
    fclose(file);
    assert_true(digest_equal(&found, &wanted));
    return true;
}

static void make_versions(struct kept_updates *kept, uint64_t first, uint64_t end)
{
    for (uint64_t number = first; number < end; number++) {
        put(kept, number, 0);
        put(kept, number, 1);
        assert_int_equal(kept_updates_sync(kept, number, nullptr), STATUS_OK);
        kept_updates_committed(kept, number, true);
    }
}

static void the_last_versions_keep_theirs(void **state)
{
    struct kept_updates *const kept = open_kept(2, 1);
    make_versions(kept, 1, 6);
    for (uint64_t number = 1; number < 6; number++) {
        assert_int_equal(is_kept(number, 0), number >= 4);
        assert_int_equal(is_kept(number, 1), number >= 4);
    }
    kept_updates_close(kept);
}

static void all_keeps_all_and_none_keeps_nothing(void **state)
{
    struct kept_updates *kept = open_kept(UINT64_MAX, 1);
    make_versions(kept, 1, 6);
    for (uint64_t number = 1; number < 6; number++)
        assert_true(is_kept(number, 0));
    kept_updates_close(kept);
    kept = open_kept(0, 6);
    put(kept, 6, 0);
    for (uint64_t number = 1; number < 7; number++)
        assert_false(is_kept(number, 0));
    kept_updates_close(kept);
}

static void a_start_forgets_what_no_commit_counted(void **state)
{
    struct kept_updates *kept = open_kept(UINT64_MAX, 1);
    make_versions(kept, 1, 4);
    put(kept, 4, 0); /* its version was not committed */
    kept_updates_close(kept);
    kept = open_kept(2, 4);
    for (uint64_t number = 1; number < 5; number++)
        assert_int_equal(is_kept(number, 0), number == 2 || number == 3);
    kept_updates_close(kept);
}

static void a_version_that_counted_nothing_keeps_nothing(void **state)
{
    struct kept_updates *const kept = open_kept(UINT64_MAX, 1);
    make_versions(kept, 1, 2);
    put(kept, 2, 0);
    kept_updates_committed(kept, 2, false);
    assert_true(is_kept(1, 0));
    assert_false(is_kept(2, 0));
    kept_updates_close(kept);
}

static void the_state_stays_when_its_file_goes(void **state)
{
    char path[700], kept_path[700];
    struct kept_updates *const kept = open_kept(1, 1);
    const struct digest digest = fixture_payload(1, 7);
    snprintf(path, sizeof(path), "%s/state", folder);
    FILE *const file = fopen(path, "we");
    assert_int_equal(fputs("momentum", file) >= 0, 1);
    fclose(file);
    assert_int_equal(kept_updates_put_state(kept, 1, &digest, path, nullptr), STATUS_OK);
    assert_int_equal(kept_updates_put_state(kept, 1, &digest, path, nullptr), STATUS_OK);
    assert_int_equal(kept_updates_sync(kept, 1, nullptr), STATUS_OK);
    kept_updates_committed(kept, 1, true);
    assert_int_equal(unlink(path), 0);
    path_of(1, 7, KEPT_STATE_SUFFIX, kept_path);
    assert_int_equal(access(kept_path, R_OK), 0);
    make_versions(kept, 2, 3);
    assert_int_equal(access(kept_path, F_OK), -1);
    kept_updates_close(kept);
}

static void what_cannot_be_kept_is_said(void **state)
{
    char path[600];
    struct error err = {0};
    struct kept_updates *const kept = open_kept(1, 1);
    const struct digest digest = fixture_payload(1, 0);
    snprintf(path, sizeof(path), "%s/updates/000001", folder);
    FILE *const file = fopen(path, "we"); /* in the folder's place */
    fclose(file);
    assert_int_equal(kept_updates_put(kept, 1, &digest, (struct slice){digest.bytes, 1}, &err),
                     STATUS_IO);
    assert_non_null(strstr(err.text, "audit.keep_updates"));
    assert_non_null(strstr(err.text, path));
    kept_updates_close(kept);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_last_versions_keep_theirs, setup, teardown),
        cmocka_unit_test_setup_teardown(all_keeps_all_and_none_keeps_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(a_start_forgets_what_no_commit_counted, setup, teardown),
        cmocka_unit_test_setup_teardown(a_version_that_counted_nothing_keeps_nothing, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(the_state_stays_when_its_file_goes, setup, teardown),
        cmocka_unit_test_setup_teardown(what_cannot_be_kept_is_said, setup, teardown),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}

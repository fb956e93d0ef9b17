/*
 * stale_updates_test.c - updates that were kept for a version that never was are not found among
 * those of the one that took its number.
 *
 * The story: a commit failed, and at the next start the folder with its updates could not be moved
 * away. The start went on; the version of that number counted others, and an audit found a file
 * that no record names. Method: rename is ours (--wrap).
 */
#include "store/kept_updates.h"

#include "testing.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static bool is_broken;

int __real_rename(const char *from, const char *to);
int __wrap_rename(const char *from, const char *to);

int __wrap_rename(const char *from, const char *to)
{
    if (is_broken) {
        errno = EIO;
        return -1;
    }
    return __real_rename(from, to);
}

static void a_start_that_cannot_remove_them_fails(void **state)
{
    char folder[512];
    char path[700];
    struct error err = {0};
    struct kept_updates *kept = nullptr;
    const struct digest digest = {{7}};
    snprintf(folder, sizeof(folder), "%s/stale-XXXXXX", getenv("FEDRA_SCRATCH"));
    mkdir(getenv("FEDRA_SCRATCH"), 0700);
    assert_non_null(mkdtemp(folder));
    assert_int_equal(kept_updates_open(folder, UINT64_MAX, 3, &kept, &err), STATUS_OK);
    assert_int_equal(
        kept_updates_put(kept, 3, &digest, (struct slice){(const uint8_t *)"update", 6}, &err),
        STATUS_OK);
    kept_updates_close(kept);
    snprintf(path, sizeof(path), "%s/updates/000003", folder);
    is_broken = true;
    assert_int_equal(kept_updates_open(folder, UINT64_MAX, 3, &kept, &err), STATUS_IO);
    assert_non_null(strstr(err.text, path));
    is_broken = false;
    assert_int_equal(access(path, F_OK), 0);
    assert_int_equal(kept_updates_open(folder, UINT64_MAX, 3, &kept, &err), STATUS_OK);
    assert_int_not_equal(access(path, F_OK), 0);
    kept_updates_close(kept);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(a_start_that_cannot_remove_them_fails)};
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}

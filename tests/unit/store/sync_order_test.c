/*
 * sync_order_test.c - what must be on the disk before what.
 *
 * Goal: a kill does not lose what the kernel has, so no kill can show a missing sync; a power cut
 * would. Method: the linker puts recorders around the calls (--wrap); their order is compared.
 */
#include "store/durable_file.h"
#include "store/kept_updates.h"
#include "store/outbox.h"
#include "store/store_sqlite.h"

#include "testing.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

/* w write, s sync of a file, f sync of a folder, r rename. */
static char record[256];
static size_t record_size;
static bool folders_fail; /* to be synced */
static bool data_fails;   /* to be synced */

static void note(char what)
{
    if (record_size + 1 < sizeof(record))
        record[record_size++] = what;
    record[record_size] = 0;
}

static char kind_of(int fd)
{
    struct stat there;
    return fstat(fd, &there) == 0 && S_ISDIR(there.st_mode) ? 'f' : 's';
}

int __real_fsync(int fd);
int __wrap_fsync(int fd);
int __real_fdatasync(int fd);
int __wrap_fdatasync(int fd);
int __real_rename(const char *from, const char *to);
int __wrap_rename(const char *from, const char *to);
ssize_t __real_write(int fd, const void *data, size_t size);
ssize_t __wrap_write(int fd, const void *data, size_t size);
ssize_t __real_pwrite64(int fd, const void *data, size_t size, off_t at);
ssize_t __wrap_pwrite64(int fd, const void *data, size_t size, off_t at);

int __wrap_fsync(int fd)
{
    note(kind_of(fd));
    if (folders_fail && kind_of(fd) == 'f') {
        errno = EIO;
        return -1;
    }
    return __real_fsync(fd);
}

int __wrap_fdatasync(int fd)
{
    note(kind_of(fd));
    if (data_fails) {
        errno = EIO;
        return -1;
    }
    return __real_fdatasync(fd);
}

int __wrap_rename(const char *from, const char *to)
{
    note('r');
    return __real_rename(from, to);
}

ssize_t __wrap_write(int fd, const void *data, size_t size)
{
    note('w');
    return __real_write(fd, data, size);
}

ssize_t __wrap_pwrite64(int fd, const void *data, size_t size, off_t at)
{
    note('w');
    return __real_pwrite64(fd, data, size, at);
}

static char folder[512];

static int setup(void **state)
{
    snprintf(folder, sizeof(folder), "%s/sync-XXXXXX", getenv("FEDRA_SCRATCH"));
    mkdir(getenv("FEDRA_SCRATCH"), 0700);
    return mkdtemp(folder) != nullptr ? 0 : -1;
}

static void a_file_is_on_the_disk_before_it_takes_its_place_and_its_name_after(void **state)
{
    char path[600];
    struct error err = {0};
    const struct slice slice = {(const uint8_t *)"content", 7};
    snprintf(path, sizeof(path), "%s/file", folder);
    record_size = 0;
    assert_int_equal(durable_file_write(path, &slice, 1, &err), STATUS_OK);
    assert_string_equal(record, "wsrf");
}

/* Its content is in place, its name perhaps not for good. */
static void a_model_whose_name_is_not_on_the_disk_is_named_by_no_commit(void **state)
{
    struct error err = {0};
    struct store *store = nullptr;
    uint64_t epoch = 0;
    const uint8_t instance[STORE_INSTANCE_BYTES] = {1};
    const struct slice model = {(const uint8_t *)"model", 5};
    const struct store_sqlite_options options = {folder, "job", 0, nullptr};
    assert_int_equal(store_sqlite_open(&options, &store, &err), STATUS_OK);
    assert_int_equal(store_raise_epoch(store, 0, 0, instance, &epoch, &err), STATUS_OK);
    folders_fail = true;
    assert_int_equal(store_put_model(store, "model-0", &model, 1, &err), STATUS_IO);
    folders_fail = false;
    const struct store_commit commit = {
        .version = {.epoch = epoch, .id = {{1}}, .model_file = "model-0"}, .record = model};
    assert_int_equal(store_commit(store, &commit, &err), STATUS_INVAL);
    assert_non_null(strstr(err.text, "must be put before"));
    assert_int_equal(store_put_model(store, "model-0", &model, 1, &err), STATUS_OK);
    assert_int_equal(store_commit(store, &commit, &err), STATUS_OK);
    store_close(store);
}

static void an_update_is_on_the_disk_when_it_may_be_offered(void **state)
{
    struct error err = {0};
    struct outbox *outbox = nullptr;
    const struct outbox_key key = {.round = 1};
    const struct slice envelope = {(const uint8_t *)"envelope", 8};
    const struct slice payload = {(const uint8_t *)"payload", 7};
    uint64_t sequence = 0;
    assert_int_equal(outbox_file_open(folder, &outbox, &err), STATUS_OK);
    for (int i = 0; i < 3; i++) {
        record_size = 0;
        record[0] = 0;
        assert_int_equal(outbox_put(outbox, &key, envelope, &payload, 1, &sequence, &err),
                         STATUS_OK);
        const char *const write = strchr(record, 'w');
        assert_non_null(write);
        assert_non_null(strchr(write, 's'));
    }
    record_size = 0;
    record[0] = 0;
    assert_int_equal(outbox_raise_epoch(outbox, 9, &err), STATUS_OK);
    assert_non_null(strchr(record, 's'));
    outbox_close(outbox);
}

/* All of it may be on the disk: its owner was told that it is not kept. */
static void an_update_whose_sync_failed_does_not_come_back(void **state)
{
    struct error err = {0};
    struct outbox *outbox = nullptr;
    struct outbox_update update;
    const struct outbox_key first = {.round = 1};
    const struct outbox_key second = {.round = 2};
    const struct slice envelope = {(const uint8_t *)"envelope", 8};
    const struct slice payload = {(const uint8_t *)"payload", 7};
    uint64_t sequence = 0;
    assert_int_equal(outbox_file_open(folder, &outbox, &err), STATUS_OK);
    assert_int_equal(outbox_put(outbox, &first, envelope, &payload, 1, &sequence, &err), STATUS_OK);
    data_fails = true;
    assert_int_equal(outbox_put(outbox, &second, envelope, &payload, 1, &sequence, &err),
                     STATUS_IO);
    data_fails = false;
    for (int opened = 0; opened < 2; opened++) {
        assert_int_equal(outbox_get(outbox, &update, &err), STATUS_OK);
        assert_int_equal(update.key.round, 1);
        assert_int_equal(update.sequence, sequence);
        outbox_close(outbox);
        assert_int_equal(outbox_file_open(folder, &outbox, &err), STATUS_OK);
    }
    outbox_close(outbox);
}

static void kept_updates_are_on_the_disk_with_their_names_before_the_commit(void **state)
{
    struct error err = {0};
    struct kept_updates *kept = nullptr;
    const struct slice payload = {(const uint8_t *)"payload", 7};
    assert_int_equal(kept_updates_open(folder, 2, 1, &kept, &err), STATUS_OK);
    for (uint8_t i = 1; i <= 2; i++)
        assert_int_equal(kept_updates_put(kept, 1, &(struct digest){.bytes = {i}}, payload, &err),
                         STATUS_OK);
    record_size = 0;
    assert_int_equal(kept_updates_sync(kept, 1, &err), STATUS_OK);
    assert_string_equal(record, "ssff"); /* both files, their folder, the folder above */
    kept_updates_close(kept);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(a_file_is_on_the_disk_before_it_takes_its_place_and_its_name_after,
                               setup),
        cmocka_unit_test_setup(a_model_whose_name_is_not_on_the_disk_is_named_by_no_commit, setup),
        cmocka_unit_test_setup(an_update_is_on_the_disk_when_it_may_be_offered, setup),
        cmocka_unit_test_setup(an_update_whose_sync_failed_does_not_come_back, setup),
        cmocka_unit_test_setup(kept_updates_are_on_the_disk_with_their_names_before_the_commit,
                               setup),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}

/*
 * lost_receipt_test.c - what became of an update stands in the node's record, also where its disk
 * was full when it was told.
 *
 * The story: a node's disk was full for a second. COUNTED came, its line did not go into
 * receipts.log, and the next update, for which a slot had room, took the place of the one that was
 * counted: its record ended with ACCEPTED for ever. Method: write and ftruncate are ours (--wrap).
 */
#include "store/outbox.h"

#include "testing.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static bool is_full;    /* no byte is taken */
static bool tears;      /* half of each write is taken */
static bool cannot_cut; /* nothing can be truncated */
static char folder[512];

ssize_t __real_write(int fd, const void *data, size_t size);
ssize_t __wrap_write(int fd, const void *data, size_t size);
int __real_ftruncate64(int fd, off_t size);
int __wrap_ftruncate64(int fd, off_t size);

ssize_t __wrap_write(int fd, const void *data, size_t size)
{
    if (is_full && fd > STDERR_FILENO) {
        errno = ENOSPC;
        return -1;
    }
    return __real_write(fd, data, tears && fd > STDERR_FILENO ? size / 2 : size);
}

int __wrap_ftruncate64(int fd, off_t size)
{
    if (cannot_cut) {
        errno = EIO;
        return -1;
    }
    return __real_ftruncate64(fd, size);
}

static int setup(void **state)
{
    is_full = tears = cannot_cut = false;
    snprintf(folder, sizeof(folder), "%s/receipt-XXXXXX", getenv("FEDRA_SCRATCH"));
    mkdir(getenv("FEDRA_SCRATCH"), 0700);
    return mkdtemp(folder) != nullptr ? 0 : -1;
}

static struct outbox *open_outbox(void)
{
    struct outbox *outbox = nullptr;
    struct error err = {0};
    if (outbox_file_open(folder, &outbox, &err) != STATUS_OK)
        fail_msg("%s", err.text);
    return outbox;
}

static enum status put(struct outbox *outbox, uint64_t round, uint64_t *ret_sequence)
{
    const struct outbox_key key = {.round = round};
    const struct slice envelope = {(const uint8_t *)"envelope", 8};
    const struct slice payload = {(const uint8_t *)"payload", 7};
    return outbox_put(outbox, &key, envelope, &payload, 1, ret_sequence, nullptr);
}

/* "1 HELD,1 ACCEPTED,": round and state of each line of the record. */
static void read_record(char *ret_text, size_t capacity)
{
    char path[600];
    char line[300];
    size_t used = 0;
    snprintf(path, sizeof(path), "%s/receipts.log", folder);
    FILE *const file = fopen(path, "r");
    assert_non_null(file);
    ret_text[0] = 0;
    while (fgets(line, sizeof(line), file) != nullptr) {
        unsigned long long sequence = 0;
        unsigned long long round = 0;
        char state[16];
        assert_int_equal(sscanf(line, "%llu %llu %*u %*64s %15s", &sequence, &round, state), 3);
        used += (size_t)snprintf(ret_text + used, capacity - used, "%llu %s,", round, state);
        assert_true(used < capacity);
    }
    fclose(file);
}

static void an_update_is_not_replaced_before_its_end_is_noted(void **state)
{
    char record[512];
    struct outbox_update update;
    uint64_t first = 0;
    uint64_t second = 0;
    struct outbox *const outbox = open_outbox();
    assert_int_equal(put(outbox, 1, &first), STATUS_OK);
    assert_int_equal(outbox_set_state(outbox, first, OUTBOX_ACCEPTED, "", nullptr), STATUS_OK);
    is_full = true;
    assert_int_equal(outbox_set_state(outbox, first, OUTBOX_COUNTED, "version=1", nullptr),
                     STATUS_NO_SPACE);
    assert_int_equal(put(outbox, 2, &second), STATUS_NO_SPACE);
    assert_int_equal(outbox_get(outbox, &update, nullptr), STATUS_OK);
    assert_int_equal(update.sequence, first);
    read_record(record, sizeof(record));
    assert_string_equal(record, "1 HELD,1 ACCEPTED,");
    is_full = false;
    assert_int_equal(put(outbox, 2, &second), STATUS_OK);
    read_record(record, sizeof(record));
    assert_string_equal(record, "1 HELD,1 ACCEPTED,1 COUNTED,2 HELD,");
    outbox_close(outbox);
}

static void what_was_told_last_is_noted_at_the_close(void **state)
{
    char record[512];
    uint64_t sequence = 0;
    struct outbox *const outbox = open_outbox();
    assert_int_equal(put(outbox, 1, &sequence), STATUS_OK);
    is_full = true;
    assert_int_equal(outbox_set_state(outbox, sequence, OUTBOX_DROPPED, "job_ended", nullptr),
                     STATUS_NO_SPACE);
    is_full = false;
    outbox_close(outbox);
    read_record(record, sizeof(record));
    assert_string_equal(record, "1 HELD,1 DROPPED,");
}

static void a_line_does_not_go_behind_half_of_another(void **state)
{
    char record[512];
    uint64_t sequence = 0;
    struct outbox *const outbox = open_outbox();
    assert_int_equal(put(outbox, 1, &sequence), STATUS_OK);
    tears = cannot_cut = true;
    assert_int_equal(outbox_set_state(outbox, sequence, OUTBOX_ACCEPTED, "", nullptr),
                     STATUS_NO_SPACE);
    tears = false;
    assert_int_equal(outbox_set_state(outbox, sequence, OUTBOX_ACCEPTED, "", nullptr), STATUS_IO);
    cannot_cut = false;
    assert_int_equal(outbox_set_state(outbox, sequence, OUTBOX_COUNTED, "version=1", nullptr),
                     STATUS_OK);
    read_record(record, sizeof(record));
    assert_string_equal(record, "1 HELD,1 COUNTED,");
    outbox_close(outbox);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(an_update_is_not_replaced_before_its_end_is_noted, setup),
        cmocka_unit_test_setup(what_was_told_last_is_noted_at_the_close, setup),
        cmocka_unit_test_setup(a_line_does_not_go_behind_half_of_another, setup),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}

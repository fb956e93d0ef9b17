/*
 * store_memory_test.c - memory that runs out in any call of either store: the answer is NO_MEMORY,
 * the old state is there, and the same call succeeds afterwards.
 *
 * Method: the i-th allocation of our own code fails, for every i (SQLite's are its own; how it
 * fails is in store_fault_test.c).
 */
#include "store_fixture.h"

#include "alloc_fault.h"

enum { RECORD_BYTES = 3000, VERSIONS = 4 };

static struct store *open_store(bool memory, const char *folder)
{
    static const uint8_t instance[STORE_INSTANCE_BYTES] = {1};
    const struct store_sqlite_options options = {folder, "job-1", 2, nullptr};
    struct store *store = nullptr;
    uint64_t epoch = 0;
    assert_int_equal(memory ? store_memory_open(2, &store)
                            : store_sqlite_open(&options, &store, nullptr),
                     STATUS_OK);
    assert_int_equal(store_raise_epoch(store, 0, 0, instance, &epoch, nullptr), STATUS_OK);
    return store;
}

/* Whether a call got through; otherwise it said why. */
static bool got_through(enum status status)
{
    const bool failed = alloc_fault_off();
    if (failed)
        assert_int_equal(status, STATUS_NO_MEMORY);
    else
        assert_int_equal(status, STATUS_OK);
    return !failed;
}

/* Commits one version after the other, each with every allocation failing once. */
static uint64_t commit_under_faults(struct store *store)
{
    uint64_t faults = 0;
    for (uint64_t number = 1; number <= VERSIONS; number++) {
        struct fixture_commit f;
        struct error err = {0};
        fixture_make(&f, number, 1, RECORD_BYTES);
        f.commit.state_file = f.state_file;
        const struct slice model = {(const uint8_t *)f.model, strlen(f.model)};
        const struct digest key_id = {{(uint8_t)number}};
        enum status status;
        uint64_t at = 0;
        do {
            alloc_fault_at(at++);
            status = store_put_model(store, f.commit.version.model_file, &model, 1, &err);
        } while (!got_through(status));
        faults += at - 1;
        at = 0;
        do {
            alloc_fault_at(at++);
            status = store_put_model(store, f.state_file, &f.commit.learn_state, 1, &err);
        } while (!got_through(status));
        faults += at - 1;
        at = 0;
        do {
            alloc_fault_at(at++);
            status = store_put_certificate(store, &key_id, model, &err);
        } while (!got_through(status));
        faults += at - 1;
        at = 0;
        do {
            fixture_check_learnt(store, number - 1);
            alloc_fault_at(at++);
            status = store_commit(store, &f.commit, &err);
        } while (!got_through(status));
        faults += at - 1;
        fixture_check_learnt(store, number);
        free(f.record);
    }
    return faults;
}

static void read_under_faults(struct store *store)
{
    struct bytes learnt, record;
    struct store_version version;
    bytes_init(&learnt, STORE_LEARN_STATE_BYTES_MAX);
    bytes_init(&record, STORE_RECORD_BYTES_MAX);
    alloc_fault_at(0);
    assert_false(got_through(store_read_learn_state(store, &learnt, nullptr)));
    alloc_fault_at(0);
    assert_false(got_through(store_find_latest(store, &version, &record, nullptr)));
    assert_int_equal(learnt.size + record.size, 0);
    bytes_deinit(&learnt);
    bytes_deinit(&record);
}

static void run(bool memory)
{
    char folder[512];
    fixture_folder("memory", folder);
    struct store *store = open_store(memory, folder);
    const uint64_t faults = commit_under_faults(store);
    assert_true(faults >= 2 * VERSIONS); /* else this shows nothing */
    read_under_faults(store);
    struct store_summary summary;
    assert_int_equal(store_read_summary(store, &summary, nullptr), STATUS_OK);
    assert_int_equal(summary.commit_count, VERSIONS);
    store_close(store);
    if (!memory) {
        store = open_store(memory, folder);
        fixture_check_learnt(store, VERSIONS);
        store_close(store);
    }
    fixture_remove(folder);
}

static void memory_that_runs_out_leaves_the_store_in_memory_as_it_was(void **state)
{
    run(true);
}

static void memory_that_runs_out_leaves_the_store_in_sqlite_as_it_was(void **state)
{
    run(false);
}

static void a_store_that_cannot_be_opened_for_want_of_memory_says_so(void **state)
{
    char folder[512];
    struct store *store = nullptr;
    fixture_folder("open", folder);
    alloc_fault_at(0);
    assert_false(got_through(store_memory_open(0, &store)));
    const struct store_sqlite_options options = {folder, "job-1", 0, nullptr};
    struct error err = {0};
    uint64_t at = 0;
    enum status status;
    do {
        alloc_fault_at(at++);
        status = store_sqlite_open(&options, &store, &err);
    } while (!got_through(status));
    assert_true(at > 1);
    store_close(store);
    fixture_remove(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(memory_that_runs_out_leaves_the_store_in_memory_as_it_was),
        cmocka_unit_test(memory_that_runs_out_leaves_the_store_in_sqlite_as_it_was),
        cmocka_unit_test(a_store_that_cannot_be_opened_for_want_of_memory_says_so),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}

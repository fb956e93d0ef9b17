/*
 * store_fault_test.c - disks that are full or fail, damaged and older files, a second process.
 *
 * Method: a SQLite file layer passes all calls on to the system's but fails the i-th write or sync,
 * for every i; the old state must be there and the store usable, or say that it is not.
 */
#include "store_fixture.h"

#include "store/durable_file.h"
#include "store/store_database.h"

#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>

enum { RECORD_BYTES = 30000 };

static const uint8_t instance[STORE_INSTANCE_BYTES] = {5};

/* What the next calls of the failing layer do: the countdown-th of the kind gives code. */
static struct {
    bool sync;
    int countdown; /* 0: none */
    int code;
    bool fired;
} fault;

/* A file of the failing layer; the system's own file follows it in memory. */
struct fault_file {
    sqlite3_file base;
};

static sqlite3_file *real_file(sqlite3_file *file)
{
    return (sqlite3_file *)((struct fault_file *)file + 1);
}

static int next_code(bool sync)
{
    if (fault.countdown == 0 || sync != fault.sync || --fault.countdown > 0)
        return SQLITE_OK;
    fault.fired = true;
    return fault.code;
}

static int fault_close(sqlite3_file *f)
{
    return real_file(f)->pMethods->xClose(real_file(f));
}
static int fault_read(sqlite3_file *f, void *data, int size, sqlite3_int64 offset)
{
    return real_file(f)->pMethods->xRead(real_file(f), data, size, offset);
}
static int fault_write(sqlite3_file *f, const void *data, int size, sqlite3_int64 offset)
{
    const int code = next_code(false);
    return code != SQLITE_OK ? code
                             : real_file(f)->pMethods->xWrite(real_file(f), data, size, offset);
}
static int fault_truncate(sqlite3_file *f, sqlite3_int64 size)
{
    return real_file(f)->pMethods->xTruncate(real_file(f), size);
}
static int fault_sync(sqlite3_file *f, int flags)
{
    const int code = next_code(true);
    return code != SQLITE_OK ? code : real_file(f)->pMethods->xSync(real_file(f), flags);
}
static int fault_size(sqlite3_file *f, sqlite3_int64 *size)
{
    return real_file(f)->pMethods->xFileSize(real_file(f), size);
}
static int fault_lock(sqlite3_file *f, int level)
{
    return real_file(f)->pMethods->xLock(real_file(f), level);
}
static int fault_unlock(sqlite3_file *f, int level)
{
    return real_file(f)->pMethods->xUnlock(real_file(f), level);
}
static int fault_reserved(sqlite3_file *f, int *out)
{
    return real_file(f)->pMethods->xCheckReservedLock(real_file(f), out);
}
static int fault_control(sqlite3_file *f, int op, void *arg)
{
    return real_file(f)->pMethods->xFileControl(real_file(f), op, arg);
}
static int fault_sector(sqlite3_file *f)
{
    return real_file(f)->pMethods->xSectorSize(real_file(f));
}
static int fault_traits(sqlite3_file *f)
{
    return real_file(f)->pMethods->xDeviceCharacteristics(real_file(f));
}
static int fault_shm_map(sqlite3_file *f, int page, int size, int extend, void volatile **out)
{
    return real_file(f)->pMethods->xShmMap(real_file(f), page, size, extend, out);
}
static int fault_shm_lock(sqlite3_file *f, int offset, int count, int flags)
{
    return real_file(f)->pMethods->xShmLock(real_file(f), offset, count, flags);
}
static void fault_shm_barrier(sqlite3_file *f)
{
    real_file(f)->pMethods->xShmBarrier(real_file(f));
}
static int fault_shm_unmap(sqlite3_file *f, int remove)
{
    return real_file(f)->pMethods->xShmUnmap(real_file(f), remove);
}

static const sqlite3_io_methods fault_methods = {
    .iVersion = 2,
    .xClose = fault_close,
    .xRead = fault_read,
    .xWrite = fault_write,
    .xTruncate = fault_truncate,
    .xSync = fault_sync,
    .xFileSize = fault_size,
    .xLock = fault_lock,
    .xUnlock = fault_unlock,
    .xCheckReservedLock = fault_reserved,
    .xFileControl = fault_control,
    .xSectorSize = fault_sector,
    .xDeviceCharacteristics = fault_traits,
    .xShmMap = fault_shm_map,
    .xShmLock = fault_shm_lock,
    .xShmBarrier = fault_shm_barrier,
    .xShmUnmap = fault_shm_unmap,
};

static int fault_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *f, int flags, int *out)
{
    sqlite3_vfs *const system_vfs = vfs->pAppData;
    f->pMethods = nullptr;
    const int code = system_vfs->xOpen(system_vfs, name, real_file(f), flags, out);
    if (real_file(f)->pMethods != nullptr)
        f->pMethods = &fault_methods;
    return code;
}

static int register_layer(void **state)
{
    static sqlite3_vfs layer;
    sqlite3_vfs *const system_vfs = sqlite3_vfs_find(nullptr);
    layer = *system_vfs;
    layer.pNext = nullptr;
    layer.zName = "fedra-fault";
    layer.pAppData = system_vfs;
    layer.szOsFile = system_vfs->szOsFile + (int)sizeof(struct fault_file);
    layer.xOpen = fault_open;
    return sqlite3_vfs_register(&layer, 0);
}

static struct store *open_store(const char *folder, const char *vfs)
{
    struct store *store = nullptr;
    struct error err = {0};
    const struct store_sqlite_options options = {folder, "job", 0, vfs};
    if (store_sqlite_open(&options, &store, &err) != STATUS_OK)
        fail_msg("%s", err.text);
    return store;
}

static enum status open_fails(const char *folder, struct error *err)
{
    struct store *store = nullptr;
    const struct store_sqlite_options options = {folder, "job", 0, nullptr};
    const enum status status = store_sqlite_open(&options, &store, err);
    if (status == STATUS_OK)
        store_close(store);
    return status;
}

/* Commits version 2 with the i-th call failing; gives whether the fault was reached. */
static bool commit_with_fault(const char *folder, bool sync, int index, int code,
                              enum status expected)
{
    uint64_t epoch = 0;
    fixture_remove(folder);
    struct store *store = open_store(folder, "fedra-fault");
    assert_int_equal(store_raise_epoch(store, 0, 0, instance, &epoch, nullptr), STATUS_OK);
    assert_int_equal(fixture_commit(store, 1, 1, RECORD_BYTES, nullptr), STATUS_OK);
    fault = (typeof(fault)){.sync = sync, .countdown = index, .code = code};
    const enum status status = fixture_commit(store, 2, 1, RECORD_BYTES, nullptr);
    const bool fired = fault.fired;
    fault.countdown = 0;
    assert_int_equal(status, fired ? expected : STATUS_OK);
    if (fired) {
        fixture_check(store, 1, RECORD_BYTES);
        /* After a failed sync the store must say that it cannot go on, else go on. */
        const enum status again = fixture_commit(store, 2, 1, RECORD_BYTES, nullptr);
        assert_int_equal(again, sync ? STATUS_IO : STATUS_OK);
    }
    store_close(store);
    store = open_store(folder, nullptr);
    struct store_summary summary;
    assert_int_equal(store_read_summary(store, &summary, nullptr), STATUS_OK);
    assert_in_range(summary.commit_count, sync && fired ? 1 : 2, 2);
    if (summary.commit_count == 1)
        assert_int_equal(fixture_commit(store, 2, 1, RECORD_BYTES, nullptr), STATUS_OK);
    fixture_check(store, 2, RECORD_BYTES);
    store_close(store);
    return fired;
}

static void every_failing_write_or_sync_leaves_the_old_state(void **state)
{
    char folder[512];
    fixture_folder("fault", folder);
    int writes = 0, syncs = 0;
    while (commit_with_fault(folder, false, writes + 1, SQLITE_FULL, STATUS_NO_SPACE))
        writes++;
    for (int i = 1; i <= writes; i += 4)
        assert_true(commit_with_fault(folder, false, i, SQLITE_IOERR_WRITE, STATUS_IO));
    while (commit_with_fault(folder, true, syncs + 1, SQLITE_IOERR_FSYNC, STATUS_IO))
        syncs++;
    print_message("# %d writes, %d syncs in a commit\n", writes, syncs);
    assert_true(writes >= RECORD_BYTES / 4096); /* each page of the record is written */
    assert_true(syncs >= 1);
    fixture_remove(folder);
}

/* Pauses with the i-th write or sync failing; gives whether the fault was reached. */
static bool pause_with_fault(const char *folder, bool sync, int index)
{
    struct store_summary summary;
    fixture_remove(folder);
    struct store *store = open_store(folder, "fedra-fault");
    fault = (typeof(fault)){
        .sync = sync, .countdown = index, .code = sync ? SQLITE_IOERR_FSYNC : SQLITE_FULL};
    const enum status status = store_set_paused(store, true, nullptr);
    const bool fired = fault.fired;
    fault.countdown = 0;
    assert_int_equal(status, !fired ? STATUS_OK : sync ? STATUS_IO : STATUS_NO_SPACE);
    assert_int_equal(store_read_summary(store, &summary, nullptr), STATUS_OK);
    assert_int_equal(summary.paused, !fired);
    if (fired)
        assert_int_equal(store_set_paused(store, true, nullptr), sync ? STATUS_IO : STATUS_OK);
    store_close(store);
    store = open_store(folder, nullptr);
    assert_int_equal(store_read_summary(store, &summary, nullptr), STATUS_OK);
    if (!sync || !fired)
        assert_true(summary.paused);
    store_close(store);
    return fired;
}

static void a_pause_that_fails_is_not_there(void **state)
{
    char folder[512];
    fixture_folder("pause", folder);
    int writes = 0, syncs = 0;
    while (pause_with_fault(folder, false, writes + 1))
        writes++;
    while (pause_with_fault(folder, true, syncs + 1))
        syncs++;
    assert_true(writes >= 1);
    assert_true(syncs >= 1); /* it is durable when it returns */
    fixture_remove(folder);
}

static void a_file_limit_is_no_space_and_harms_nothing(void **state)
{
    char folder[512], path[600];
    struct rlimit old, limit;
    uint64_t epoch = 0;
    static uint8_t big[200000];
    const struct slice slice = {big, sizeof(big)}, old_slice = {(const uint8_t *)"old", 3};
    struct bytes content;
    fixture_folder("limit", folder);
    struct store *const store = open_store(folder, nullptr);
    assert_int_equal(store_raise_epoch(store, 0, 0, instance, &epoch, nullptr), STATUS_OK);
    assert_int_equal(fixture_commit(store, 1, 1, RECORD_BYTES, nullptr), STATUS_OK);
    snprintf(path, sizeof(path), "%s/summary.json", folder);
    assert_int_equal(durable_file_write(path, &old_slice, 1, nullptr), STATUS_OK);
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
    limit = old;
    limit.rlim_cur = 150000;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
    const enum status file_status = durable_file_write(path, &slice, 1, nullptr);
    const enum status model_status = store_put_model(store, "big", &slice, 1, nullptr);
    const enum status status = fixture_commit(store, 2, 1, 300000, nullptr);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
    assert_int_equal(file_status, STATUS_NO_SPACE);
    assert_int_equal(model_status, STATUS_NO_SPACE);
    assert_int_equal(status, STATUS_NO_SPACE);
    bytes_init(&content, 100);
    assert_int_equal(durable_file_read(path, &content, nullptr), STATUS_OK);
    assert_int_equal(content.size, 3);
    strcat(path, DURABLE_FILE_SUFFIX);
    assert_int_not_equal(access(path, F_OK), 0);
    fixture_check(store, 1, RECORD_BYTES);
    assert_int_equal(fixture_commit(store, 2, 1, RECORD_BYTES, nullptr), STATUS_OK);
    fixture_check(store, 2, RECORD_BYTES);
    bytes_deinit(&content);
    store_close(store);
    fixture_remove(folder);
}

/* The first released schema, written down here so that it cannot drift with the code. */
static const char first_schema[] =
    "CREATE TABLE state(one INTEGER PRIMARY KEY CHECK(one = 1), epoch INTEGER NOT NULL,"
    " instance BLOB NOT NULL, open_round INTEGER NOT NULL, outcome TEXT NOT NULL);"
    "INSERT INTO state VALUES(1, 4, zeroblob(16), 2, '');"
    "CREATE TABLE commits(sequence INTEGER PRIMARY KEY, fork INTEGER NOT NULL,"
    " epoch INTEGER NOT NULL, number INTEGER NOT NULL, round INTEGER NOT NULL,"
    " id BLOB NOT NULL UNIQUE, parent BLOB NOT NULL, model_digest BLOB NOT NULL,"
    " blob_digest BLOB NOT NULL, created_ms INTEGER NOT NULL, model_file TEXT NOT NULL,"
    " best INTEGER NOT NULL, record BLOB NOT NULL,"
    " UNIQUE(fork, number, epoch), UNIQUE(fork, number, parent));"
    "INSERT INTO commits VALUES(1, 0, 4, 1, 1, zeroblob(32), zeroblob(32), zeroblob(32),"
    " zeroblob(32), 77, 'm1', 1, x'abcd');"
    "CREATE TABLE metrics(sequence INTEGER PRIMARY KEY, line TEXT NOT NULL);"
    "CREATE TABLE counted(fork INTEGER NOT NULL, round INTEGER NOT NULL, node TEXT NOT NULL,"
    " payload BLOB NOT NULL, samples INTEGER NOT NULL, attempt INTEGER NOT NULL,"
    " sequence INTEGER NOT NULL, PRIMARY KEY(fork, round, node)) WITHOUT ROWID;"
    "CREATE TABLE dropped(fork INTEGER NOT NULL, round INTEGER NOT NULL, node TEXT NOT NULL,"
    " payload BLOB NOT NULL, reason TEXT NOT NULL, sequence INTEGER NOT NULL,"
    " PRIMARY KEY(fork, round, node, payload)) WITHOUT ROWID;"
    "CREATE TABLE members(name TEXT PRIMARY KEY, active INTEGER NOT NULL, key_id BLOB NOT NULL)"
    " WITHOUT ROWID;"
    "INSERT INTO members VALUES('z1', 1, zeroblob(32));"
    "CREATE TABLE certificates(key_id BLOB PRIMARY KEY, der BLOB NOT NULL) WITHOUT ROWID;"
    "PRAGMA application_id=1178944594; PRAGMA user_version=1;";

static void run_sql(const char *folder, const char *sql)
{
    char path[600];
    sqlite3 *db = nullptr;
    snprintf(path, sizeof(path), "%s/jobs/job/state.db", folder);
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, sql, nullptr, nullptr, nullptr), SQLITE_OK);
    sqlite3_close(db);
}

static int64_t read_sql(const char *folder, const char *sql)
{
    char path[600];
    sqlite3 *db = nullptr;
    sqlite3_stmt *statement = nullptr;
    snprintf(path, sizeof(path), "%s/jobs/job/state.db", folder);
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &statement, nullptr), SQLITE_OK);
    assert_int_equal(sqlite3_step(statement), SQLITE_ROW);
    const int64_t number = sqlite3_column_int64(statement, 0);
    sqlite3_finalize(statement);
    sqlite3_close(db);
    return number;
}

/* A state folder as the first version left it. */
static void make_first_version(const char *folder)
{
    char path[700], command[700];
    const struct slice text = {(const uint8_t *)"fedra-state 1\n", 14}, model = {text.data, 5};
    snprintf(command, sizeof(command), "mkdir -p '%s/jobs/job/models'", folder);
    assert_int_equal(system(command), 0);
    snprintf(path, sizeof(path), "%s/FORMAT", folder);
    assert_int_equal(durable_file_write(path, &text, 1, nullptr), STATUS_OK);
    snprintf(path, sizeof(path), "%s/jobs/job/models/m1", folder);
    assert_int_equal(durable_file_write(path, &model, 1, nullptr), STATUS_OK);
    run_sql(folder, first_schema);
}

/* What the first version did not know is empty, and can be used. */
static void check_migrated_state(struct store *store)
{
    struct store_summary summary;
    struct store_member member;
    struct store_version version;
    struct bytes learnt;
    bytes_init(&learnt, 100);
    assert_int_equal(store_read_summary(store, &summary, nullptr), STATUS_OK);
    assert_int_equal(summary.epoch, 4);
    assert_string_equal(summary.state_file, "");
    assert_false(summary.paused);
    assert_int_equal(store_read_learn_state(store, &learnt, nullptr), STATUS_OK);
    assert_int_equal(learnt.size, 0);
    assert_int_equal(store_find_member_after(store, "", &member, nullptr), STATUS_OK);
    assert_string_equal(member.name, "z1");
    assert_true(member.active);
    assert_int_equal(member.asked_round + member.samples, 0);
    assert_int_equal(member.reputation.rounds + member.reputation.until, 0);
    assert_true(member.reputation.distrust == 0);
    assert_int_equal(store_find_round(store, 0, 1, &version, nullptr), STATUS_OK);
    assert_int_equal(version.created_ms, 77);
    assert_int_equal(fixture_commit(store, 2, 4, RECORD_BYTES, nullptr), STATUS_OK);
    fixture_check_learnt(store, 2);
    bytes_deinit(&learnt);
}

static void the_first_version_is_migrated_and_a_kill_half_way_leaves_it(void **state)
{
    char folder[512];
    struct error err = {0};
    int status = 0;
    fixture_folder("migrate", folder);
    make_first_version(folder);
    fflush(stdout);
    const pid_t pid = fork();
    if (pid == 0) {
        setenv("FEDRA_CRASH_AT", "store.migrated:1", 1);
        _exit(open_fails(folder, &err) == STATUS_OK ? 0 : 1);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(read_sql(folder, "PRAGMA user_version"), 1);
    assert_int_equal(read_sql(folder, "SELECT COUNT(*) FROM sqlite_schema WHERE name IN "
                                      "('evidence', 'models')"),
                     0);
    struct store *const store = open_store(folder, nullptr);
    struct store_version version;
    struct bytes record;
    char byte;
    size_t size = 0;
    bytes_init(&record, 100);
    assert_int_equal(store_find_latest(store, &version, &record, nullptr), STATUS_OK);
    assert_int_equal(version.created_ms, 77);
    assert_true(version.best);
    assert_int_equal(record.size, 2);
    assert_int_equal(record.data[1], 0xcd);
    assert_int_equal(store_read_model(store, "m1", 0, &byte, 1, &size, nullptr), STATUS_OK);
    const struct slice message = {(const uint8_t *)"x", 1};
    assert_int_equal(store_put_evidence(store, "n", message, message, nullptr), STATUS_OK);
    check_migrated_state(store);
    bytes_deinit(&record);
    store_close(store);
    assert_int_equal(read_sql(folder, "PRAGMA user_version"), STORE_SCHEMA_VERSION);
    fixture_remove(folder);
}

static void newer_foreign_and_damaged_folders_are_refused(void **state)
{
    char folder[512], path[600];
    struct error err = {0};
    fixture_folder("refuse", folder);
    make_first_version(folder);
    run_sql(folder, "PRAGMA user_version=99");
    assert_int_equal(open_fails(folder, &err), STATUS_VERSION);
    assert_non_null(strstr(err.text, "99"));
    run_sql(folder, "PRAGMA user_version=1; PRAGMA application_id=7");
    assert_int_equal(open_fails(folder, &err), STATUS_CORRUPT);
    snprintf(path, sizeof(path), "%s/jobs/job/state.db", folder);
    FILE *file = fopen(path, "r+");
    for (int i = 0; i < 5000; i++)
        fputc(0x5a, file);
    fclose(file);
    assert_int_equal(open_fails(folder, &err), STATUS_CORRUPT);
    assert_non_null(strstr(err.text, path));
    snprintf(path, sizeof(path), "%s/FORMAT", folder);
    const char *const texts[] = {"fedra-state 2\n", "something\n", ""};
    for (int i = 0; i < 3; i++) {
        file = fopen(path, "w");
        fputs(texts[i], file);
        fclose(file);
        assert_int_equal(open_fails(folder, &err), i == 0 ? STATUS_VERSION : STATUS_CORRUPT);
    }
    unlink(path);
    assert_int_equal(open_fails(folder, &err), STATUS_CORRUPT);
    fixture_remove(folder);
}

static void a_damaged_page_is_found_at_the_next_start(void **state)
{
    char folder[512], path[600];
    struct error err = {0};
    uint64_t epoch = 0;
    fixture_folder("page", folder);
    struct store *const store = open_store(folder, nullptr);
    assert_int_equal(store_raise_epoch(store, 0, 0, instance, &epoch, nullptr), STATUS_OK);
    for (uint64_t number = 1; number <= 5; number++)
        assert_int_equal(fixture_commit(store, number, 1, RECORD_BYTES, nullptr), STATUS_OK);
    store_close(store);
    snprintf(path, sizeof(path), "%s/jobs/job/state.db", folder);
    const int64_t page =
        read_sql(folder, "SELECT rootpage FROM sqlite_schema WHERE name='counted'");
    FILE *const file = fopen(path, "r+");
    fseek(file, (long)(page - 1) * 4096, SEEK_SET);
    for (int i = 0; i < 4096; i++)
        fputc(0xff, file);
    fclose(file);
    assert_int_equal(open_fails(folder, &err), STATUS_CORRUPT);
    assert_non_null(strstr(err.text, path));
    fixture_remove(folder);
}

static void a_second_process_is_told_who_holds_the_store(void **state)
{
    char folder[512];
    int status = -1;
    fixture_folder("lock", folder);
    struct store *const store = open_store(folder, nullptr);
    fflush(stdout);
    const pid_t pid = fork();
    if (pid == 0) {
        struct error err = {0};
        char holder[32];
        snprintf(holder, sizeof(holder), "process %ld", (long)getppid());
        const bool right =
            open_fails(folder, &err) == STATUS_EXISTS && strstr(err.text, holder) != nullptr;
        _exit(right ? 0 : 1);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    store_close(store);
    assert_int_equal(open_fails(folder, nullptr), STATUS_OK);
    fixture_remove(folder);
}

/* The plan of the statement that finds a round names its index. */
static void a_round_is_found_by_its_index(void **state)
{
    char folder[512], path[600];
    sqlite3 *db = nullptr;
    sqlite3_stmt *statement = nullptr;
    fixture_folder("plan", folder);
    store_close(open_store(folder, nullptr));
    snprintf(path, sizeof(path), "%s/jobs/job/state.db", folder);
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(
        sqlite3_prepare_v2(db,
                           "EXPLAIN QUERY PLAN SELECT sequence FROM commits WHERE fork = 0 AND "
                           "round = 1 ORDER BY sequence DESC LIMIT 1",
                           -1, &statement, nullptr),
        SQLITE_OK);
    assert_int_equal(sqlite3_step(statement), SQLITE_ROW);
    assert_non_null(strstr((const char *)sqlite3_column_text(statement, 3), "commits_round"));
    assert_int_equal(sqlite3_step(statement), SQLITE_DONE); /* and nothing is sorted */
    sqlite3_finalize(statement);
    sqlite3_close(db);
    fixture_remove(folder);
}

static void a_thousand_rounds_stay_quick_to_search(void **state)
{
    char folder[512];
    uint64_t epoch = 0;
    struct timespec start, end;
    fixture_folder("long", folder);
    struct store *store = open_store(folder, nullptr);
    const struct slice model = {(const uint8_t *)"m", 1};
    assert_int_equal(store_raise_epoch(store, 0, 0, instance, &epoch, nullptr), STATUS_OK);
    assert_int_equal(store_put_model(store, "one", &model, 1, nullptr), STATUS_OK);
    for (uint64_t number = 1; number <= 1000; number++) {
        struct fixture_commit f;
        fixture_make(&f, number, 1, 2000);
        snprintf(f.commit.version.model_file, STORE_NAME_MAX, "one");
        assert_int_equal(store_commit(store, &f.commit, nullptr), STATUS_OK);
        free(f.record);
    }
    store_close(store);
    clock_gettime(CLOCK_MONOTONIC, &start);
    store = open_store(folder, nullptr);
    for (uint64_t number = 1; number <= 1000; number++) {
        struct store_version version;
        struct store_receipt receipt;
        const struct digest payload = fixture_payload(number, 1);
        assert_int_equal(store_find_number(store, 0, number, &version, nullptr, nullptr),
                         STATUS_OK);
        assert_int_equal(store_find_receipt(store, 0, number, "spiffe://t/fedra/node/b", &payload,
                                            &receipt, nullptr),
                         STATUS_OK);
        assert_int_equal(receipt.version.number, number);
    }
    clock_gettime(CLOCK_MONOTONIC, &end);
    store_close(store);
    const double took_s =
        (double)(end.tv_sec - start.tv_sec) + 1e-9 * (double)(end.tv_nsec - start.tv_nsec);
    print_message("# open and 2,000 look-ups took %.3f s\n", took_s);
    assert_true(took_s < 5);
    fixture_remove(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_failing_write_or_sync_leaves_the_old_state),
        cmocka_unit_test(a_pause_that_fails_is_not_there),
        cmocka_unit_test(a_file_limit_is_no_space_and_harms_nothing),
        cmocka_unit_test(the_first_version_is_migrated_and_a_kill_half_way_leaves_it),
        cmocka_unit_test(newer_foreign_and_damaged_folders_are_refused),
        cmocka_unit_test(a_damaged_page_is_found_at_the_next_start),
        cmocka_unit_test(a_second_process_is_told_who_holds_the_store),
        cmocka_unit_test(a_round_is_found_by_its_index),
        cmocka_unit_test(a_thousand_rounds_stay_quick_to_search),
    };
    return cmocka_run_group_tests(tests, register_layer, nullptr);
}

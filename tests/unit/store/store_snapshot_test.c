/*
 * store_snapshot_test.c - snapshots of databases that are written to, and of damaged ones.
 *
 * Goal: a snapshot is one moment of the database, whole, whoever writes meanwhile; damage to the
 * log is never taken for its end. Method: another process commits and checkpoints without a pause;
 * single bytes of the log's frames are changed.
 */
#include "store_fixture.h"

#include "store/store_snapshot.h"

#include <signal.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

enum { SNAPSHOTS = 60, LOG_HEADER_BYTES = 32, FRAME_BYTES = 24 + 4096 };

static char folder[512];
static char path[600];
static char log_path[640];

static int setup(void **state)
{
    fixture_folder("snapshot", folder);
    snprintf(path, sizeof(path), "%s/state.db", folder);
    snprintf(log_path, sizeof(log_path), "%s-wal", path);
    return mkdir(folder, 0700);
}

static int teardown(void **state)
{
    fixture_remove(folder);
    return 0;
}

static void run(sqlite3 *db, const char *sql)
{
    char *text = nullptr;
    if (sqlite3_exec(db, sql, nullptr, nullptr, &text) != SQLITE_OK)
        fail_msg("%s: %s", sql, text);
}

static sqlite3 *open_database(void)
{
    sqlite3 *db = nullptr;
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    run(db, "PRAGMA journal_mode=WAL; PRAGMA synchronous=OFF; PRAGMA wal_autocheckpoint=0;"
            "CREATE TABLE IF NOT EXISTS a(n INTEGER PRIMARY KEY, x BLOB);"
            "CREATE TABLE IF NOT EXISTS b(n INTEGER PRIMARY KEY, x BLOB);");
    return db;
}

/* Both tables get a row in one transaction, over several pages. */
static void insert(sqlite3 *db)
{
    run(db, "BEGIN; INSERT INTO a VALUES(NULL, randomblob(5000));"
            "INSERT INTO b VALUES(NULL, randomblob(9000)); COMMIT");
}

static int64_t number(sqlite3 *db, const char *sql)
{
    sqlite3_stmt *statement = nullptr;
    assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &statement, nullptr), SQLITE_OK);
    assert_int_equal(sqlite3_step(statement), SQLITE_ROW);
    const int64_t value = sqlite3_column_int64(statement, 0);
    sqlite3_finalize(statement);
    return value;
}

static bool is_sound(sqlite3 *db)
{
    sqlite3_stmt *statement = nullptr;
    assert_int_equal(sqlite3_prepare_v2(db, "PRAGMA integrity_check", -1, &statement, nullptr),
                     SQLITE_OK);
    assert_int_equal(sqlite3_step(statement), SQLITE_ROW);
    const bool sound = strcmp((const char *)sqlite3_column_text(statement, 0), "ok") == 0;
    sqlite3_finalize(statement);
    return sound;
}

/* Commits; every few commits the log goes into the database and is begun anew. */
static void write_for_ever(void)
{
    sqlite3 *const db = open_database();
    for (int i = 1;; i++) {
        insert(db);
        nanosleep(&(struct timespec){.tv_nsec = 200000}, nullptr);
        if (i % 15 == 0)
            run(db,
                i % 2 == 0 ? "PRAGMA wal_checkpoint(RESTART)" : "PRAGMA wal_checkpoint(PASSIVE)");
        if (i % 100 == 0)
            run(db, "BEGIN; DELETE FROM a; DELETE FROM b; COMMIT");
    }
}

static void a_snapshot_is_one_moment_whoever_writes(void **state)
{
    uint64_t from_log = 0;
    sqlite3_close(open_database());
    fflush(stdout);
    const pid_t pid = fork();
    if (pid == 0) {
        write_for_ever();
        _exit(1);
    }
    for (int i = 0; i < SNAPSHOTS; i++) {
        struct store_snapshot snapshot;
        struct error err = {0};
        const enum status status = store_snapshot_open(path, &snapshot, &err);
        if (status != STATUS_OK)
            fail_msg("%s", err.text);
        assert_string_equal(snapshot.damage, "");
        assert_string_equal(snapshot.log_damage, "");
        assert_true(is_sound(snapshot.db));
        assert_int_equal(number(snapshot.db, "SELECT COUNT(*) FROM a"),
                         number(snapshot.db, "SELECT COUNT(*) FROM b"));
        from_log += snapshot.frames > 0;
        store_snapshot_close(&snapshot);
    }
    assert_int_equal(kill(pid, SIGKILL), 0);
    assert_int_equal(waitpid(pid, nullptr, 0), pid);
    assert_true(from_log > SNAPSHOTS / 4); /* else this shows nothing */
}

/* A database with so many commits in its log, as a killed process leaves it. */
static void leave_log(int commits)
{
    fflush(stdout);
    const pid_t pid = fork();
    if (pid == 0) {
        sqlite3 *const db = open_database();
        for (int i = 0; i < commits; i++)
            insert(db);
        _exit(0);
    }
    assert_int_equal(waitpid(pid, nullptr, 0), pid);
}

static void flip(off_t offset)
{
    FILE *const file = fopen(log_path, "r+e");
    assert_non_null(file);
    assert_int_equal(fseek(file, offset, SEEK_SET), 0);
    const int byte = fgetc(file);
    assert_int_equal(fseek(file, offset, SEEK_SET), 0);
    assert_int_equal(fputc(byte ^ 0x10, file), byte ^ 0x10);
    fclose(file);
}

static void what_is_in_the_log_only_is_in_the_snapshot(void **state)
{
    struct store_snapshot snapshot;
    leave_log(3);
    assert_int_equal(store_snapshot_open(path, &snapshot, nullptr), STATUS_OK);
    assert_string_equal(snapshot.log_damage, "");
    assert_int_equal(number(snapshot.db, "SELECT COUNT(*) FROM a"), 3);
    assert_true(snapshot.frames > 3);
    store_snapshot_close(&snapshot);
    assert_int_equal(access(log_path, F_OK), 0); /* nothing was put into the database */
}

static void every_byte_of_a_frames_header_is_seen(void **state)
{
    struct stat info;
    leave_log(2);
    assert_int_equal(stat(log_path, &info), 0);
    const off_t frames = (info.st_size - LOG_HEADER_BYTES) / FRAME_BYTES;
    const off_t starts[] = {0, LOG_HEADER_BYTES, LOG_HEADER_BYTES + FRAME_BYTES * (frames - 1)};
    for (int i = 0; i < 3; i++) {
        for (off_t j = 0; j < (i == 0 ? LOG_HEADER_BYTES : 24 + 2); j++) {
            struct store_snapshot snapshot;
            flip(starts[i] + j);
            assert_int_equal(store_snapshot_open(path, &snapshot, nullptr), STATUS_OK);
            if (snapshot.log_damage[0] == 0)
                fail_msg("byte %lld of the log was changed unseen", (long long)(starts[i] + j));
            store_snapshot_close(&snapshot);
            flip(starts[i] + j);
        }
    }
}

static void what_is_no_database_is_said(void **state)
{
    struct store_snapshot snapshot;
    struct error err = {0};
    assert_int_equal(store_snapshot_open(path, &snapshot, &err), STATUS_NOT_FOUND);
    assert_non_null(strstr(err.text, path));
    FILE *const file = fopen(path, "we");
    for (int i = 0; i < 5000; i++)
        fputc('x', file);
    fclose(file);
    assert_int_equal(store_snapshot_open(path, &snapshot, &err), STATUS_OK);
    assert_string_not_equal(snapshot.damage, "");
    store_snapshot_close(&snapshot);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_snapshot_is_one_moment_whoever_writes, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_in_the_log_only_is_in_the_snapshot, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(every_byte_of_a_frames_header_is_seen, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_no_database_is_said, setup, teardown),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}

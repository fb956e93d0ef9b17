/*
 * store_database.c - schema, migrations, checks and errors of a job's SQLite file.
 */
#include "store/store_database.h"

#include "store/crash_point.h"
#include "store/durable_file.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

/* migrations[v] brings a file of version v to v + 1. What was released is never edited. */
static const char *const migrations[STORE_SCHEMA_VERSION] = {
    "CREATE TABLE state(one INTEGER PRIMARY KEY CHECK(one = 1), epoch INTEGER NOT NULL,"
    " instance BLOB NOT NULL, open_round INTEGER NOT NULL, outcome TEXT NOT NULL);"
    "INSERT INTO state VALUES(1, 0, zeroblob(16), 0, '');"
    "CREATE TABLE commits(sequence INTEGER PRIMARY KEY, fork INTEGER NOT NULL,"
    " epoch INTEGER NOT NULL, number INTEGER NOT NULL, round INTEGER NOT NULL,"
    " id BLOB NOT NULL UNIQUE, parent BLOB NOT NULL, model_digest BLOB NOT NULL,"
    " blob_digest BLOB NOT NULL, created_ms INTEGER NOT NULL, model_file TEXT NOT NULL,"
    " best INTEGER NOT NULL, record BLOB NOT NULL,"
    " UNIQUE(fork, number, epoch), UNIQUE(fork, number, parent));"
    "CREATE TABLE metrics(sequence INTEGER PRIMARY KEY, line TEXT NOT NULL);"
    "CREATE TABLE counted(fork INTEGER NOT NULL, round INTEGER NOT NULL, node TEXT NOT NULL,"
    " payload BLOB NOT NULL, samples INTEGER NOT NULL, attempt INTEGER NOT NULL,"
    " sequence INTEGER NOT NULL, PRIMARY KEY(fork, round, node)) WITHOUT ROWID;"
    "CREATE TABLE dropped(fork INTEGER NOT NULL, round INTEGER NOT NULL, node TEXT NOT NULL,"
    " payload BLOB NOT NULL, reason TEXT NOT NULL, sequence INTEGER NOT NULL,"
    " PRIMARY KEY(fork, round, node, payload)) WITHOUT ROWID;"
    "CREATE TABLE members(name TEXT PRIMARY KEY, active INTEGER NOT NULL, key_id BLOB NOT NULL)"
    " WITHOUT ROWID;"
    "CREATE TABLE certificates(key_id BLOB PRIMARY KEY, der BLOB NOT NULL) WITHOUT ROWID;",

    "CREATE TABLE evidence(sequence INTEGER PRIMARY KEY AUTOINCREMENT, node TEXT NOT NULL,"
    " first BLOB NOT NULL, second BLOB NOT NULL);"
    /* Models that retention keeps; a file without a row here goes at the next start. */
    "CREATE TABLE models(file TEXT PRIMARY KEY) WITHOUT ROWID;"
    "INSERT INTO models SELECT DISTINCT model_file FROM commits;",

    /* The learn state has its own table: the row of state is read often. is_state: no version names
     * the file, it was the state file of a commit. */
    "ALTER TABLE state ADD COLUMN state_file TEXT NOT NULL DEFAULT '';"
    "ALTER TABLE state ADD COLUMN paused INTEGER NOT NULL DEFAULT 0;"
    "CREATE TABLE learn(one INTEGER PRIMARY KEY CHECK(one = 1), state BLOB NOT NULL);"
    "INSERT INTO learn VALUES(1, x'');"
    "ALTER TABLE members ADD COLUMN asked_round INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE members ADD COLUMN samples INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE members ADD COLUMN counted_round INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE models ADD COLUMN is_state INTEGER NOT NULL DEFAULT 0;"
    "CREATE INDEX commits_round ON commits(fork, round);",

    /* seal: store_job_digest of the row, empty until it is written next. sequence: of the commit
     * that wrote the row; 0: one of before. */
    ("ALTER TABLE state ADD COLUMN seal BLOB NOT NULL DEFAULT x'';"
     "ALTER TABLE members ADD COLUMN sequence INTEGER NOT NULL DEFAULT 0;"),

    /* struct reputation: of nobody is anything known. */
    ("ALTER TABLE members ADD COLUMN rounds INTEGER NOT NULL DEFAULT 0;"
     "ALTER TABLE members ADD COLUMN flagged INTEGER NOT NULL DEFAULT 0;"
     "ALTER TABLE members ADD COLUMN flagged_round INTEGER NOT NULL DEFAULT 0;"
     "ALTER TABLE members ADD COLUMN flag_reason INTEGER NOT NULL DEFAULT 0;"
     "ALTER TABLE members ADD COLUMN flag_score REAL NOT NULL DEFAULT 0;"
     "ALTER TABLE members ADD COLUMN distrust REAL NOT NULL DEFAULT 0;"
     "ALTER TABLE members ADD COLUMN recent INTEGER NOT NULL DEFAULT 0;"
     "ALTER TABLE members ADD COLUMN quarantined_until INTEGER NOT NULL DEFAULT 0;"
     "ALTER TABLE members ADD COLUMN probation INTEGER NOT NULL DEFAULT 0;"),
};

const char *store_database_schema(uint32_t version)
{
    return migrations[version];
}

enum status store_database_error(struct store_database *database, struct error *err,
                                 const char *doing)
{
    const int code = sqlite3_extended_errcode(database->db);
    const int error_number = sqlite3_system_errno(database->db);
    enum status status = STATUS_IO;
    switch (code & 0xff) {
    case SQLITE_FULL:
        status = STATUS_NO_SPACE;
        break;
    case SQLITE_NOMEM:
        status = STATUS_NO_MEMORY;
        break;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
    case SQLITE_MISMATCH:
        status = STATUS_CORRUPT;
        break;
    case SQLITE_CONSTRAINT:
        status = STATUS_EXISTS;
        break;
    case SQLITE_BUSY:
        status = STATUS_AGAIN;
        break;
    case SQLITE_TOOBIG:
        status = STATUS_LIMIT;
        break;
    case SQLITE_IOERR:
        status = error_number == 0 ? STATUS_IO : durable_status_of(error_number);
        /* A failed write left no whole transaction behind; after a failed sync nobody knows. */
        if (code != SQLITE_IOERR_WRITE)
            database->failed = true;
        break;
    default:
        break;
    }
    /* "disk I/O error" may be a full disk. */
    if (status == STATUS_NO_SPACE && (code & 0xff) == SQLITE_IOERR)
        return error_set_errno(err, status, error_number, "%s: %s (%s)", doing,
                               sqlite3_errmsg(database->db), database->path);
    return error_set(err, status, "%s: %s (%s)", doing, sqlite3_errmsg(database->db),
                     database->path);
}

static int bind_one(sqlite3_stmt *statement, int index, char kind, va_list *args)
{
    if (kind == 'i')
        return sqlite3_bind_int64(statement, index, (sqlite3_int64)va_arg(*args, uint64_t));
    if (kind == 'f')
        return sqlite3_bind_double(statement, index, va_arg(*args, double));
    if (kind == 't')
        return sqlite3_bind_text(statement, index, va_arg(*args, const char *), -1, SQLITE_STATIC);
    if (kind == 'd')
        return sqlite3_bind_blob(statement, index, va_arg(*args, const struct digest *)->bytes,
                                 DIGEST_BYTES, SQLITE_STATIC);
    const struct slice slice = va_arg(*args, struct slice);
    return sqlite3_bind_blob64(statement, index, slice.size == 0 ? (const void *)"" : slice.data,
                               slice.size, SQLITE_STATIC);
}

static enum status bind_all(struct store_database *database, sqlite3_stmt *statement,
                            struct error *err, const char *format, va_list *args)
{
    for (int i = 0; format[i] != '\0'; i++)
        if (bind_one(statement, i + 1, format[i], args) != SQLITE_OK)
            return store_database_error(database, err, "cannot bind a value");
    return STATUS_OK;
}

enum status store_database_bind(struct store_database *database, sqlite3_stmt *statement,
                                struct error *err, const char *format, ...)
{
    va_list args;
    sqlite3_reset(statement);
    va_start(args, format);
    const enum status status = bind_all(database, statement, err, format, &args);
    va_end(args);
    return status;
}

enum status store_database_prepare(struct store_database *database, const char *sql,
                                   sqlite3_stmt **ret_statement, struct error *err,
                                   const char *format, ...)
{
    sqlite3_stmt *statement = nullptr;
    if (sqlite3_prepare_v2(database->db, sql, -1, &statement, nullptr) != SQLITE_OK)
        return store_database_error(database, err, "cannot prepare a statement");
    va_list args;
    va_start(args, format);
    const enum status status = bind_all(database, statement, err, format, &args);
    va_end(args);
    if (status == STATUS_OK)
        *ret_statement = statement;
    else
        sqlite3_finalize(statement);
    return status;
}

enum status store_database_run(struct store_database *database, const char *sql, struct error *err)
{
    if (sqlite3_exec(database->db, sql, nullptr, nullptr, nullptr) != SQLITE_OK)
        return store_database_error(database, err, "the database failed");
    return STATUS_OK;
}

enum status store_database_begin(struct store_database *database, struct error *err)
{
    if (database->failed)
        return error_set(err, STATUS_IO,
                         "%s: an earlier write failed half way; open the store anew",
                         database->path);
    return store_database_run(database, "BEGIN IMMEDIATE", err);
}

enum status store_database_end(struct store_database *database, enum status status,
                               struct error *err)
{
    if (status == STATUS_OK)
        status = store_database_run(database, "COMMIT", err);
    if (status != STATUS_OK && sqlite3_get_autocommit(database->db) == 0 &&
        sqlite3_exec(database->db, "ROLLBACK", nullptr, nullptr, nullptr) != SQLITE_OK)
        database->failed = true;
    return status;
}

/* The one number that a statement gives. */
static enum status read_number(struct store_database *database, const char *sql,
                               int64_t *ret_number, struct error *err)
{
    sqlite3_stmt *statement = nullptr;
    enum status status = store_database_prepare(database, sql, &statement, err, "");
    if (status != STATUS_OK)
        return status;
    if (sqlite3_step(statement) == SQLITE_ROW)
        *ret_number = sqlite3_column_int64(statement, 0);
    else
        status = store_database_error(database, err, "cannot read a number");
    sqlite3_finalize(statement);
    return status;
}

static enum status check_integrity(struct store_database *database, bool whole, struct error *err)
{
    sqlite3_stmt *statement = nullptr;
    const char *const sql = whole ? "PRAGMA integrity_check(1)" : "PRAGMA quick_check(1)";
    enum status status = store_database_prepare(database, sql, &statement, err, "");
    if (status != STATUS_OK)
        return status;
    if (sqlite3_step(statement) != SQLITE_ROW) {
        status = store_database_error(database, err, "cannot check the database");
    } else {
        const char *const text = (const char *)sqlite3_column_text(statement, 0);
        if (text == nullptr || strcmp(text, "ok") != 0)
            status = error_set(err, STATUS_CORRUPT, "%s is damaged: %s", database->path,
                               text == nullptr ? "?" : text);
    }
    sqlite3_finalize(statement);
    return status;
}

/* Only an empty file or one of ours, not newer than this program, is touched. */
static enum status check_owner(struct store_database *database, int64_t *ret_version,
                               struct error *err)
{
    int64_t application = 0, version = 0, tables = 0;
    enum status status = read_number(database, "PRAGMA application_id", &application, err);
    if (status == STATUS_OK)
        status = read_number(database, "PRAGMA user_version", &version, err);
    if (status == STATUS_OK)
        status = read_number(database, "SELECT COUNT(*) FROM sqlite_schema", &tables, err);
    if (status != STATUS_OK)
        return status;
    const bool empty = application == 0 && version == 0 && tables == 0;
    if (!empty && application != STORE_APPLICATION_ID)
        return error_set(err, STATUS_CORRUPT, "%s is not a state database of Fedra",
                         database->path);
    if (version > STORE_SCHEMA_VERSION)
        return error_set(err, STATUS_VERSION,
                         "%s has version %lld; this program knows versions up to %d: use the newer "
                         "Fedra that wrote it",
                         database->path, (long long)version, STORE_SCHEMA_VERSION);
    if (!empty && version < 1)
        return error_set(err, STATUS_CORRUPT, "%s has the impossible version %lld", database->path,
                         (long long)version);
    *ret_version = version;
    return STATUS_OK;
}

static enum status migrate(struct store_database *database, int64_t version, struct error *err)
{
    if (version == STORE_SCHEMA_VERSION)
        return STATUS_OK;
    enum status status = store_database_begin(database, err);
    if (status != STATUS_OK)
        return status;
    for (int64_t i = version; i < STORE_SCHEMA_VERSION && status == STATUS_OK; i++)
        status = store_database_run(database, migrations[i], err);
    if (status == STATUS_OK) {
        char sql[96];
        snprintf(sql, sizeof(sql), "PRAGMA application_id=%d;PRAGMA user_version=%d",
                 STORE_APPLICATION_ID, STORE_SCHEMA_VERSION);
        status = store_database_run(database, sql, err);
    }
    crash_point("store.migrated");
    return store_database_end(database, status, err);
}

enum status store_database_open(struct store_database *database, const char *path, const char *vfs,
                                struct error *err)
{
    *database = (struct store_database){0};
    char wal[sizeof(database->path) + 8];
    if ((size_t)snprintf(database->path, sizeof(database->path), "%s", path) >=
        sizeof(database->path))
        return error_set(err, STATUS_LIMIT, "the path %s is too long", path);
    snprintf(wal, sizeof(wal), "%s-wal", path);
    struct stat info;
    /* The last orderly close removes the log: one with content means that there was none. */
    const bool unclean = stat(wal, &info) == 0 && info.st_size > 0;
    enum status status = STATUS_OK;
    int64_t version = 0;
    const int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX;
    if (sqlite3_open_v2(path, &database->db, flags, vfs) != SQLITE_OK) {
        status = database->db == nullptr
                     ? error_set(err, STATUS_NO_MEMORY, "no memory for the database %s", path)
                     : store_database_error(database, err, "cannot open the database");
        goto out;
    }
    sqlite3_extended_result_codes(database->db, 1);
    status = check_owner(database, &version, err);
    if (status == STATUS_OK)
        status = store_database_run(
            database,
            "PRAGMA busy_timeout=2000;PRAGMA journal_mode=WAL;PRAGMA synchronous=FULL;"
            "PRAGMA trusted_schema=OFF;PRAGMA cell_size_check=ON;"
            "PRAGMA journal_size_limit=67108864",
            err);
    if (status == STATUS_OK)
        status = check_integrity(database, unclean, err);
    if (status == STATUS_OK)
        status = migrate(database, version, err);
out:
    if (status != STATUS_OK)
        store_database_close(database);
    return status;
}

void store_database_close(struct store_database *database)
{
    sqlite3_close(database->db);
    database->db = nullptr;
}

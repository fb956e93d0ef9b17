/*
 * store_database.h - the SQLite file of one job: opened, checked, migrated; statements made short.
 *
 * For store_sqlite.c and its tests. Not here: what the rows mean to a caller (store.h).
 */
#pragma once

#include "base/bytes.h"
#include "base/digest.h"
#include "base/status.h"
#include "core/reputation.h"

#include <stdbool.h>
#include <sqlite3.h>

enum {
    STORE_APPLICATION_ID = 0x46454452, /* "FEDR", in the file's header */
    STORE_SCHEMA_VERSION = 5,          /* user_version that this program writes */
};

/* Of a member's row, as store_sqlite_reputation reads them. */
#define STORE_REPUTATION_COLUMNS                                                                   \
    "rounds, flagged, flagged_round, flag_reason, flag_score, distrust, recent, "                  \
    "quarantined_until, probation"

struct store_database {
    sqlite3 *db;
    char path[1024];
    bool failed; /* what reached the disk is not known any more: writing is refused */
};

/*
 * Opens or makes the file with WAL and synchronous=FULL, checks it (all of it after an unclean end)
 * and brings its schema up to date in one transaction. vfs may be null. VERSION, CORRUPT, NO_SPACE,
 * IO, NO_MEMORY; nothing is left open then.
 */
[[nodiscard]] enum status store_database_open(struct store_database *database, const char *path,
                                              const char *vfs, struct error *err);
void store_database_close(struct store_database *database);

/* The columns from that one on are STORE_REPUTATION_COLUMNS; nothing is checked. */
struct reputation store_sqlite_reputation(sqlite3_stmt *row, int first);

/* The status of SQLite's last error, with text "doing: reason (path)". */
enum status store_database_error(struct store_database *database, struct error *err,
                                 const char *doing);

/*
 * Prepares one statement and binds its parameters in order by format: 'i' uint64_t (at most
 * 2^63 - 1), 't' const char * (null: NULL), 'd' const struct digest *, 'b' struct slice, 'f' double
 * (finite). Bound text and bytes are borrowed until the statement is finalized (by the caller).
 */
[[nodiscard]] enum status store_database_prepare(struct store_database *database, const char *sql,
                                                 sqlite3_stmt **ret_statement, struct error *err,
                                                 const char *format, ...);

/* Binds again, for the next row of a prepared statement, as store_database_prepare does. */
[[nodiscard]] enum status store_database_bind(struct store_database *database,
                                              sqlite3_stmt *statement, struct error *err,
                                              const char *format, ...);

/* Runs SQL without parameters or rows. */
[[nodiscard]] enum status store_database_run(struct store_database *database, const char *sql,
                                             struct error *err);

/*
 * The SQL that makes the tables of a new file, one statement after another: version is from 0 to
 * STORE_SCHEMA_VERSION - 1, all of them in that order. Static.
 */
const char *store_database_schema(uint32_t version);

/* Starts a writing transaction; IO where an earlier failure forbids writing. */
[[nodiscard]] enum status store_database_begin(struct store_database *database, struct error *err);

/* Commits where status is OK, else rolls back; gives the first status that was not OK. */
[[nodiscard]] enum status store_database_end(struct store_database *database, enum status status,
                                             struct error *err);

/*
 * store_snapshot.h - a store's database as it was at one moment, for reading: without a lock on it,
 * without writing to its folder, and with a check of the log that SQLite makes silently.
 *
 * SQLite reads a database in WAL mode through a shared-memory file that it must be able to write,
 * or make; and a damaged frame is to it the end of the log: commits behind it are gone without a
 * word. So the database and its log are copied to a private place, the log's frames are checked and
 * put into the copy here, and SQLite opens that. Not here: what the rows say (audit/).
 */
#pragma once

#include "base/status.h"

#include <sqlite3.h>
#include <stdint.h>

enum { SNAPSHOT_DAMAGE_MAX = 256 };

struct store_snapshot {
    sqlite3 *db;                          /* read-only; null where the copy is no database */
    uint64_t frames;                      /* of the log, that belong to the snapshot */
    uint64_t frame_count;                 /* that the log had room for, older ones too */
    char damage[SNAPSHOT_DAMAGE_MAX];     /* what is wrong with the database's header, or "" */
    char log_damage[SNAPSHOT_DAMAGE_MAX]; /* what is wrong with the log, or "" */
};

/*
 * Takes a snapshot of the database path and the log beside it. Whoever writes to them meanwhile
 * does not matter; damage is what is there a second time. The copy is in TMPDIR (/tmp) and gone
 * with the process.
 *
 * NOT_FOUND, IO (no right to read), AGAIN: it changes too fast, NO_SPACE, NO_MEMORY.
 */
[[nodiscard]] enum status store_snapshot_open(const char *path, struct store_snapshot *ret_snapshot,
                                              struct error *err);
void store_snapshot_close(struct store_snapshot *snapshot);

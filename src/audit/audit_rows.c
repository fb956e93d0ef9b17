/*
 * audit_rows.c - reads rows and holds every column to the type that it was written with.
 *
 * SQLite takes a value of any type in any column, and converts it when it is asked for: one changed
 * byte makes a text of bytes that nobody would see.
 */
#include "audit/audit_internal.h"

#include <string.h>

sqlite3_stmt *audit_prepare(struct audit *audit, const char *sql)
{
    sqlite3_stmt *statement = nullptr;
    if (sqlite3_prepare_v2(audit->snapshot.db, sql, -1, &statement, nullptr) != SQLITE_OK) {
        audit_find(audit, "a table of this version of the database", "cannot be read: %s",
                   sqlite3_errmsg(audit->snapshot.db));
        return nullptr;
    }
    return statement;
}

static bool has_type(sqlite3_stmt *statement, int column, char type)
{
    const int found = sqlite3_column_type(statement, column);
    if (type == 'i')
        return found == SQLITE_INTEGER && sqlite3_column_int64(statement, column) >= 0;
    if (type == 'f')
        return found == SQLITE_FLOAT;
    if (type == 'b')
        return found == SQLITE_BLOB;
    if (found != SQLITE_TEXT)
        return false;
    const void *const text = sqlite3_column_text(statement, column);
    return text != nullptr &&
           memchr(text, 0, (size_t)sqlite3_column_bytes(statement, column)) == nullptr;
}

static const char *wanted(char type)
{
    return type == 'i'   ? "a whole number, 0 or more"
           : type == 'f' ? "a number"
           : type == 'b' ? "bytes"
                         : "a text";
}

enum audit_row audit_step(struct audit *audit, sqlite3_stmt *statement, const char *types)
{
    if (statement == nullptr)
        return AUDIT_NO_ROW;
    const int code = sqlite3_step(statement);
    if (code == SQLITE_DONE)
        return AUDIT_NO_ROW;
    if (code != SQLITE_ROW) {
        audit_find(audit, "rows that can be read", "cannot be read: %s",
                   sqlite3_errmsg(audit->snapshot.db));
        return AUDIT_NO_ROW;
    }
    for (int i = 0; types[i] != 0; i++) {
        if (!has_type(statement, i, types[i]))
            audit_find(audit, wanted(types[i]), "the column %s has a value of another type",
                       sqlite3_column_name(statement, i));
    }
    return AUDIT_ROW;
}

const char *audit_text(sqlite3_stmt *statement, int column)
{
    const char *const text = (const char *)sqlite3_column_text(statement, column);
    return text != nullptr ? text : "";
}

struct slice audit_bytes(sqlite3_stmt *statement, int column)
{
    const uint8_t *const data = sqlite3_column_blob(statement, column);
    return (struct slice){data,
                          data != nullptr ? (size_t)sqlite3_column_bytes(statement, column) : 0};
}

bool audit_digest(struct audit *audit, sqlite3_stmt *statement, int column,
                  struct digest *ret_digest)
{
    const struct slice bytes = audit_bytes(statement, column);
    *ret_digest = (struct digest){0};
    if (bytes.size != DIGEST_BYTES) {
        audit_find(audit, "32 bytes", "the column %s has %zu bytes",
                   sqlite3_column_name(statement, column), bytes.size);
        return false;
    }
    memcpy(ret_digest->bytes, bytes.data, DIGEST_BYTES);
    return true;
}

void audit_bind_digest(sqlite3_stmt *statement, int index, const struct digest *digest)
{
    sqlite3_bind_blob(statement, index, digest->bytes, DIGEST_BYTES, SQLITE_STATIC);
}

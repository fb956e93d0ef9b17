/*
 * store_sqlite_find.c - reads back what store_sqlite.c wrote; damaged columns are CORRUPT.
 */
#include "store/store_sqlite_internal.h"

#include <stdio.h>
#include <string.h>

#define SQL_COLUMNS                                                                                \
    "SELECT sequence, fork, epoch, number, round, id, parent, model_digest, blob_digest, "         \
    "created_ms, model_file, best, record FROM commits "

static enum status damaged(struct store_sqlite *store, const char *what, struct error *err)
{
    return error_set(err, STATUS_CORRUPT, "%s: a %s is damaged", store->database.path, what);
}

static bool read_digest(sqlite3_stmt *statement, int column, struct digest *ret_digest)
{
    const void *const data = sqlite3_column_blob(statement, column);
    if (data == nullptr || sqlite3_column_bytes(statement, column) != DIGEST_BYTES)
        return false;
    memcpy(ret_digest->bytes, data, DIGEST_BYTES);
    return true;
}

static bool read_text(sqlite3_stmt *statement, int column, char *ret_text, size_t capacity)
{
    const char *const text = (const char *)sqlite3_column_text(statement, column);
    if (text == nullptr || strlen(text) >= capacity)
        return false;
    memcpy(ret_text, text, strlen(text) + 1);
    return true;
}

static enum status read_bytes(sqlite3_stmt *statement, int column, struct bytes *ret_bytes,
                              struct error *err)
{
    const void *const data = sqlite3_column_blob(statement, column);
    const size_t size = (size_t)sqlite3_column_bytes(statement, column);
    ret_bytes->size = 0;
    const enum status status = size == 0 ? STATUS_OK : bytes_append(ret_bytes, data, size);
    if (status != STATUS_OK)
        return error_set(err, status, "%zu stored bytes do not fit into a buffer of at most %zu",
                         size, ret_bytes->size_max);
    return STATUS_OK;
}

static bool read_version(sqlite3_stmt *s, struct store_version *ret)
{
    ret->sequence = (uint64_t)sqlite3_column_int64(s, 0);
    ret->fork = (uint32_t)sqlite3_column_int64(s, 1);
    ret->epoch = (uint64_t)sqlite3_column_int64(s, 2);
    ret->number = (uint64_t)sqlite3_column_int64(s, 3);
    ret->round = (uint64_t)sqlite3_column_int64(s, 4);
    ret->created_ms = sqlite3_column_int64(s, 9);
    ret->best = sqlite3_column_int(s, 11) != 0;
    return read_digest(s, 5, &ret->id) && read_digest(s, 6, &ret->parent) &&
           read_digest(s, 7, &ret->model_digest) && read_digest(s, 8, &ret->blob_digest) &&
           read_text(s, 10, ret->model_file, sizeof(ret->model_file));
}

/* Steps to the only row: OK, NOT_FOUND with the text, or the database's error. */
static enum status step_row(struct store_sqlite *store, sqlite3_stmt *statement, const char *what,
                            struct error *err)
{
    const int code = sqlite3_step(statement);
    if (code == SQLITE_ROW)
        return STATUS_OK;
    if (code == SQLITE_DONE)
        return error_set(err, STATUS_NOT_FOUND, "no such %s", what);
    return store_database_error(&store->database, err, "cannot read");
}

/* Takes the version out of a prepared statement and finalizes it. */
static enum status take_version(struct store_sqlite *store, sqlite3_stmt *statement,
                                struct store_version *ret_version, struct bytes *ret_record,
                                struct error *err)
{
    struct store_version version = {0};
    enum status status = step_row(store, statement, "version", err);
    if (status == STATUS_OK && !read_version(statement, &version))
        status = damaged(store, "commit", err);
    if (status == STATUS_OK && ret_record != nullptr)
        status = read_bytes(statement, 12, ret_record, err);
    sqlite3_finalize(statement);
    if (status == STATUS_OK)
        *ret_version = version;
    return status;
}

enum status store_sqlite_find_latest(struct store *base, struct store_version *ret_version,
                                     struct bytes *ret_record, struct error *err)
{
    struct store_sqlite *const store = (struct store_sqlite *)base;
    sqlite3_stmt *statement = nullptr;
    const enum status status = store_database_prepare(
        &store->database, SQL_COLUMNS "ORDER BY sequence DESC LIMIT 1", &statement, err, "");
    return status == STATUS_OK ? take_version(store, statement, ret_version, ret_record, err)
                               : status;
}

enum status store_sqlite_find_number(struct store *base, uint32_t fork, uint64_t number,
                                     struct store_version *ret_version, struct bytes *ret_record,
                                     struct error *err)
{
    struct store_sqlite *const store = (struct store_sqlite *)base;
    if (number > INT64_MAX)
        return error_set(err, STATUS_NOT_FOUND, "no such version");
    sqlite3_stmt *statement = nullptr;
    const enum status status = store_database_prepare(
        &store->database, SQL_COLUMNS "WHERE fork = ? AND number = ? ORDER BY epoch DESC LIMIT 1",
        &statement, err, "ii", (uint64_t)fork, number);
    return status == STATUS_OK ? take_version(store, statement, ret_version, ret_record, err)
                               : status;
}

enum status store_sqlite_find_after(struct store *base, uint64_t sequence,
                                    struct store_version *ret_version, struct bytes *ret_record,
                                    struct error *err)
{
    struct store_sqlite *const store = (struct store_sqlite *)base;
    if (sequence > INT64_MAX)
        return error_set(err, STATUS_NOT_FOUND, "no such version");
    sqlite3_stmt *statement = nullptr;
    const enum status status = store_database_prepare(
        &store->database, SQL_COLUMNS "WHERE sequence > ? ORDER BY sequence LIMIT 1", &statement,
        err, "i", sequence);
    return status == STATUS_OK ? take_version(store, statement, ret_version, ret_record, err)
                               : status;
}

enum status store_sqlite_find_round(struct store *base, uint32_t fork, uint64_t round,
                                    struct store_version *ret_version, struct error *err)
{
    struct store_sqlite *const store = (struct store_sqlite *)base;
    if (round > INT64_MAX)
        return error_set(err, STATUS_NOT_FOUND, "no such version");
    sqlite3_stmt *statement = nullptr;
    const enum status status = store_database_prepare(
        &store->database, SQL_COLUMNS "WHERE fork = ? AND round = ? ORDER BY sequence DESC LIMIT 1",
        &statement, err, "ii", (uint64_t)fork, round);
    return status == STATUS_OK ? take_version(store, statement, ret_version, nullptr, err) : status;
}

enum status store_sqlite_find_receipt(struct store *base, uint32_t fork, uint64_t round,
                                      const char *node, const struct digest *payload_digest,
                                      struct store_receipt *ret_receipt, struct error *err)
{
    struct store_sqlite *const store = (struct store_sqlite *)base;
    if (round > INT64_MAX)
        return error_set(err, STATUS_NOT_FOUND, "no such receipt");
    struct store_receipt receipt = {0};
    sqlite3_stmt *statement = nullptr;
    enum status status = store_database_prepare(
        &store->database,
        "SELECT 0, sequence, '' FROM counted WHERE fork = ?1 AND round = ?2 AND node = ?3 AND "
        "payload = ?4 UNION ALL SELECT 1, sequence, reason FROM dropped WHERE fork = ?1 AND round "
        "= ?2 AND node = ?3 AND payload = ?4 ORDER BY 1 LIMIT 1",
        &statement, err, "iitd", (uint64_t)fork, round, node, payload_digest);
    if (status != STATUS_OK)
        return status;
    status = step_row(store, statement, "receipt", err);
    uint64_t sequence = 0;
    if (status == STATUS_OK) {
        receipt.kind =
            sqlite3_column_int(statement, 0) == 0 ? STORE_RECEIPT_COUNTED : STORE_RECEIPT_DROPPED;
        sequence = (uint64_t)sqlite3_column_int64(statement, 1);
        if (sequence == 0 || !read_text(statement, 2, receipt.reason, sizeof(receipt.reason)))
            status = damaged(store, "receipt", err);
    }
    sqlite3_finalize(statement);
    if (status == STATUS_OK)
        status = store_sqlite_find_after(base, sequence - 1, &receipt.version, nullptr, err);
    if (status == STATUS_OK)
        *ret_receipt = receipt;
    return status;
}

struct reputation store_sqlite_reputation(sqlite3_stmt *row, int first)
{
    return (struct reputation){
        .rounds = (uint64_t)sqlite3_column_int64(row, first),
        .flagged = (uint64_t)sqlite3_column_int64(row, first + 1),
        .flagged_round = (uint64_t)sqlite3_column_int64(row, first + 2),
        .flag = {.reason = (enum reason_suspected)sqlite3_column_int(row, first + 3),
                 .score = sqlite3_column_double(row, first + 4)},
        .distrust = sqlite3_column_double(row, first + 5),
        .recent = (uint64_t)sqlite3_column_int64(row, first + 6),
        .until = (uint64_t)sqlite3_column_int64(row, first + 7),
        .probation = (uint64_t)sqlite3_column_int64(row, first + 8),
    };
}

enum status store_sqlite_find_member_after(struct store *base, const char *name,
                                           struct store_member *ret_member, struct error *err)
{
    struct store_sqlite *const store = (struct store_sqlite *)base;
    struct store_member member = {0};
    sqlite3_stmt *statement = nullptr;
    enum status status = store_database_prepare(&store->database,
                                                "SELECT name, active, key_id, asked_round, "
                                                "samples, counted_round, " STORE_REPUTATION_COLUMNS
                                                " FROM members WHERE name > ? ORDER BY "
                                                "name LIMIT 1",
                                                &statement, err, "t", name);
    if (status != STATUS_OK)
        return status;
    status = step_row(store, statement, "member", err);
    if (status == STATUS_OK) {
        member.active = sqlite3_column_int(statement, 1) != 0;
        member.asked_round = (uint64_t)sqlite3_column_int64(statement, 3);
        member.samples = (uint64_t)sqlite3_column_int64(statement, 4);
        member.counted_round = (uint64_t)sqlite3_column_int64(statement, 5);
        member.reputation = store_sqlite_reputation(statement, 6);
        if (!read_text(statement, 0, member.name, sizeof(member.name)) ||
            !read_digest(statement, 2, &member.key_id) ||
            store_check_reputation(&member.reputation, nullptr) != STATUS_OK)
            status = damaged(store, "member", err);
    }
    sqlite3_finalize(statement);
    if (status == STATUS_OK)
        *ret_member = member;
    return status;
}

enum status store_sqlite_find_metrics_after(struct store *base, uint64_t sequence,
                                            uint64_t *ret_sequence, struct bytes *ret_text,
                                            struct error *err)
{
    struct store_sqlite *const store = (struct store_sqlite *)base;
    if (sequence > INT64_MAX)
        return error_set(err, STATUS_NOT_FOUND, "no such metrics");
    sqlite3_stmt *statement = nullptr;
    enum status status = store_database_prepare(
        &store->database,
        "SELECT sequence, line FROM metrics WHERE sequence > ? ORDER BY sequence LIMIT 1",
        &statement, err, "i", sequence);
    if (status != STATUS_OK)
        return status;
    status = step_row(store, statement, "metrics", err);
    if (status == STATUS_OK)
        status = read_bytes(statement, 1, ret_text, err);
    if (status == STATUS_OK)
        *ret_sequence = (uint64_t)sqlite3_column_int64(statement, 0);
    sqlite3_finalize(statement);
    return status;
}

enum status store_sqlite_read_summary(struct store *base, struct store_summary *ret_summary,
                                      struct error *err)
{
    struct store_sqlite *const store = (struct store_sqlite *)base;
    struct store_summary summary = {0};
    sqlite3_stmt *statement = nullptr;
    enum status status =
        store_database_prepare(&store->database,
                               "SELECT epoch, instance, open_round, outcome, "
                               "(SELECT COALESCE(MAX(sequence), 0) FROM commits), state_file, "
                               "paused FROM state",
                               &statement, err, "");
    if (status != STATUS_OK)
        return status;
    status = step_row(store, statement, "state", err);
    if (status == STATUS_OK) {
        const void *const instance = sqlite3_column_blob(statement, 1);
        summary.epoch = (uint64_t)sqlite3_column_int64(statement, 0);
        summary.open_round = (uint64_t)sqlite3_column_int64(statement, 2);
        summary.commit_count = (uint64_t)sqlite3_column_int64(statement, 4);
        summary.paused = sqlite3_column_int(statement, 6) != 0;
        if (instance == nullptr || sqlite3_column_bytes(statement, 1) != STORE_INSTANCE_BYTES ||
            !read_text(statement, 3, summary.outcome, sizeof(summary.outcome)) ||
            !read_text(statement, 5, summary.state_file, sizeof(summary.state_file)))
            status = damaged(store, "state", err);
        else
            memcpy(summary.instance_id, instance, STORE_INSTANCE_BYTES);
    }
    sqlite3_finalize(statement);
    if (status == STATUS_NOT_FOUND)
        status = damaged(store, "state", err);
    if (status == STATUS_OK)
        *ret_summary = summary;
    return status;
}

enum status store_sqlite_read_learn_state(struct store *base, struct bytes *ret_state,
                                          struct error *err)
{
    struct store_sqlite *const store = (struct store_sqlite *)base;
    sqlite3_stmt *statement = nullptr;
    enum status status =
        store_database_prepare(&store->database, "SELECT state FROM learn", &statement, err, "");
    if (status != STATUS_OK)
        return status;
    status = step_row(store, statement, "learn state", err);
    if (status == STATUS_OK)
        status = read_bytes(statement, 0, ret_state, err);
    else if (status == STATUS_NOT_FOUND)
        status = damaged(store, "learn state", err);
    sqlite3_finalize(statement);
    return status;
}

enum status store_sqlite_find_certificate(struct store *base, const struct digest *key_id,
                                          struct bytes *ret_der, struct error *err)
{
    struct store_sqlite *const store = (struct store_sqlite *)base;
    for (size_t i = 0; i < store->pending_count; i++) {
        const struct store_pending_certificate *const row = &store->pending[i];
        if (!digest_equal(&row->key_id, key_id))
            continue;
        ret_der->size = 0;
        const enum status status = bytes_append(ret_der, row->der.data, row->der.size);
        return status == STATUS_OK ? status : error_set(err, status, "a certificate does not fit");
    }
    sqlite3_stmt *statement = nullptr;
    enum status status =
        store_database_prepare(&store->database, "SELECT der FROM certificates WHERE key_id = ?",
                               &statement, err, "d", key_id);
    if (status != STATUS_OK)
        return status;
    status = step_row(store, statement, "certificate", err);
    if (status == STATUS_OK)
        status = read_bytes(statement, 0, ret_der, err);
    sqlite3_finalize(statement);
    return status;
}

enum status store_sqlite_find_evidence_after(struct store *base, uint64_t sequence,
                                             uint64_t *ret_sequence,
                                             char ret_node[static STORE_NAME_MAX],
                                             struct bytes *ret_first, struct bytes *ret_second,
                                             struct error *err)
{
    struct store_sqlite *const store = (struct store_sqlite *)base;
    if (sequence > INT64_MAX)
        return error_set(err, STATUS_NOT_FOUND, "no such evidence");
    sqlite3_stmt *statement = nullptr;
    enum status status = store_database_prepare(
        &store->database,
        "SELECT sequence, node, first, second FROM evidence WHERE sequence > ? ORDER BY sequence "
        "LIMIT 1",
        &statement, err, "i", sequence);
    if (status != STATUS_OK)
        return status;
    status = step_row(store, statement, "evidence", err);
    if (status == STATUS_OK)
        status = read_bytes(statement, 2, ret_first, err);
    if (status == STATUS_OK)
        status = read_bytes(statement, 3, ret_second, err);
    if (status == STATUS_OK && !read_text(statement, 1, ret_node, STORE_NAME_MAX))
        status = damaged(store, "row of evidence", err);
    if (status == STATUS_OK)
        *ret_sequence = (uint64_t)sqlite3_column_int64(statement, 0);
    sqlite3_finalize(statement);
    return status;
}

/*
 * audit_tables.c - the database as such, and the tables that belong to no one commit: the job's
 * row, members, what they learn from, evidence, kept files.
 *
 * Not here: what came with each commit (audit_commits.c).
 */
#include "audit/audit_internal.h"

#include "identity/envelope_key.h"
#include "store/store_database.h"
#include "store/store_digest.h"
#include "wire/control.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int64_t pragma_number(struct audit *audit, const char *sql)
{
    int64_t number = -1;
    sqlite3_stmt *const statement = audit_prepare(audit, sql);
    if (statement != nullptr && sqlite3_step(statement) == SQLITE_ROW)
        number = sqlite3_column_int64(statement, 0);
    sqlite3_finalize(statement);
    return number;
}

static void check_integrity(struct audit *audit)
{
    sqlite3_stmt *const statement = audit_prepare(audit, "PRAGMA integrity_check(8)");
    while (audit_step(audit, statement, "t") == AUDIT_ROW) {
        const char *const text = audit_text(statement, 0);
        if (strcmp(text, "ok") != 0)
            audit_find(audit, "a database without damage", "integrity_check says: %s", text);
    }
    sqlite3_finalize(statement);
}

/* The tables of a database as text, one after another. */
static bool read_schema(sqlite3 *db, struct bytes *ret_text)
{
    sqlite3_stmt *statement = nullptr;
    int code = sqlite3_prepare_v2(db,
                                  "SELECT type, name, tbl_name, COALESCE(sql, '') FROM "
                                  "sqlite_schema ORDER BY type, name",
                                  -1, &statement, nullptr);
    bool good = code == SQLITE_OK;
    while (good && (code = sqlite3_step(statement)) == SQLITE_ROW) {
        for (int i = 0; i < 4 && good; i++) {
            const char *const text = audit_text(statement, i);
            good = bytes_append(ret_text, text, strlen(text) + 1) == STATUS_OK;
        }
    }
    sqlite3_finalize(statement);
    return good && code == SQLITE_DONE;
}

static void check_schema(struct audit *audit)
{
    enum { SCHEMA_BYTES_MAX = 1 << 20 };
    sqlite3 *db = nullptr;
    struct bytes found;
    struct bytes wanted;
    bytes_init(&found, SCHEMA_BYTES_MAX);
    bytes_init(&wanted, SCHEMA_BYTES_MAX);
    bool good = sqlite3_open(":memory:", &db) == SQLITE_OK;
    for (uint32_t i = 0; i < STORE_SCHEMA_VERSION && good; i++)
        good = sqlite3_exec(db, store_database_schema(i), nullptr, nullptr, nullptr) == SQLITE_OK;
    if (!good || !read_schema(db, &wanted) || !read_schema(audit->snapshot.db, &found) ||
        found.size != wanted.size || memcmp(found.data, wanted.data, found.size) != 0)
        audit_find(audit, "the tables that Fedra makes", "the tables' definitions are others");
    sqlite3_close(db);
    bytes_deinit(&found);
    bytes_deinit(&wanted);
}

enum status audit_database(struct audit *audit, struct error *err)
{
    audit_at(audit, "state.db");
    if (audit->snapshot.damage[0] != 0)
        audit_find(audit, "a database that Fedra made", "%s", audit->snapshot.damage);
    audit_at(audit, "state.db-wal");
    if (audit->snapshot.log_damage[0] != 0)
        audit_find(audit, "a log whose frames are whole; what is behind that one is lost", "%s",
                   audit->snapshot.log_damage);
    audit_at(audit, "state.db");
    const int64_t application = pragma_number(audit, "PRAGMA application_id");
    const int64_t version = pragma_number(audit, "PRAGMA user_version");
    if (application == STORE_APPLICATION_ID && version != STORE_SCHEMA_VERSION && version > 0)
        return error_set(err, STATUS_VERSION, "%s/state.db has version %lld, %d is wanted: %s",
                         audit->folder, (long long)version, STORE_SCHEMA_VERSION,
                         version > STORE_SCHEMA_VERSION
                             ? "use the newer Fedra that wrote it"
                             : "the coordinator's next start brings it up to date");
    if (application != STORE_APPLICATION_ID || version != STORE_SCHEMA_VERSION)
        audit_find(audit, "a database that Fedra made",
                   "its application_id is %lld and its user_version %lld", (long long)application,
                   (long long)version);
    check_integrity(audit);
    check_schema(audit);
    return STATUS_OK;
}

static enum status add_file(struct audit *audit, const struct audit_file *file, struct error *err)
{
    if (audit->file_count == audit->file_capacity) {
        const size_t capacity = audit->file_capacity == 0 ? 64 : 2 * audit->file_capacity;
        struct audit_file *const grown = realloc(audit->files, capacity * sizeof(*grown));
        if (grown == nullptr)
            return error_set(err, STATUS_NO_MEMORY, "no memory for the files' names");
        audit->files = grown;
        audit->file_capacity = capacity;
    }
    audit->files[audit->file_count++] = *file;
    return STATUS_OK;
}

static int compare_files(const void *a, const void *b)
{
    return strcmp(((const struct audit_file *)a)->name, ((const struct audit_file *)b)->name);
}

struct audit_file *audit_find_file(const struct audit *audit, const char *name)
{
    struct audit_file wanted = {0};
    snprintf(wanted.name, sizeof(wanted.name), "%s", name);
    return audit->file_count == 0
               ? nullptr
               : bsearch(&wanted, audit->files, audit->file_count, sizeof(wanted), compare_files);
}

enum status audit_read_files(struct audit *audit, struct error *err)
{
    enum status status = STATUS_OK;
    audit_at(audit, "state.db, models");
    sqlite3_stmt *const statement =
        audit_prepare(audit, "SELECT file, is_state FROM models ORDER BY file");
    while (status == STATUS_OK && audit_step(audit, statement, "ti") == AUDIT_ROW) {
        struct audit_file file = {.is_state = sqlite3_column_int64(statement, 1) == 1};
        snprintf(file.name, sizeof(file.name), "%s", audit_text(statement, 0));
        if (sqlite3_column_int64(statement, 1) > 1)
            audit_find(audit, "0 or 1", "is_state of %.128s is %lld", file.name,
                       (long long)sqlite3_column_int64(statement, 1));
        status = add_file(audit, &file, err);
    }
    sqlite3_finalize(statement);
    if (audit->file_count > 0)
        qsort(audit->files, audit->file_count, sizeof(*audit->files), compare_files);
    return status;
}

/* Models of the last versions, from one on, and that of the last one that was the best. */
void audit_files_table(struct audit *audit)
{
    char state_name[AUDIT_FILE_NAME_MAX] = "";
    char name[AUDIT_FILE_NAME_MAX];
    const size_t count = audit->version_count;
    size_t best = count;
    bool keeps = false;
    if (count > 0 && !digest_is_zero(&audit->versions[count - 1].rule_state_digest))
        audit_model_name(audit->versions[count - 1].number,
                         &audit->versions[count - 1].model_digest, true, state_name);
    for (size_t i = 0; i < count; i++)
        best = audit->versions[i].best_column ? i : best;
    for (size_t i = 0; i < count; i++) {
        const struct audit_version *const version = &audit->versions[i];
        const bool must = keeps || i == best || i + 1 == count;
        keeps |= version->is_kept && i != best;
        audit_model_name(version->number, &version->model_digest, false, name);
        audit_at(audit, "state.db, models: version %" PRIu64, version->number);
        if (must && !version->is_kept && !version->is_broken)
            audit_find(audit, name, "there is no row for its model");
    }
    audit_at(audit, "state.db, models");
    if (state_name[0] != 0 && audit_find_file(audit, state_name) == nullptr)
        audit_find(audit, state_name, "there is no row for the optimiser's state");
    for (size_t i = 0; i < audit->file_count; i++) {
        const struct audit_file *const file = &audit->files[i];
        const bool is_state = strcmp(file->name, state_name) == 0;
        audit_at(audit, "state.db, models: %.128s", file->name);
        if (!file->named)
            audit_find(audit, "files of versions only", "no version names the file");
        else if (file->is_state != is_state)
            audit_find(audit, is_state ? "1" : "0", "is_state is %d", file->is_state);
    }
}

/* The row of the job as it stands, and its seal. */
static bool read_job_row(struct audit *audit, struct digest *ret_seal, size_t *ret_seal_size)
{
    struct store_summary *const summary = &audit->summary;
    sqlite3_stmt *const row = audit_prepare(
        audit, "SELECT one, epoch, instance, open_round, outcome, state_file, paused, seal FROM "
               "state");
    const bool is_there = audit_step(audit, row, "iibittib") == AUDIT_ROW;
    if (is_there) {
        const struct slice instance = audit_bytes(row, 2);
        const struct slice seal = audit_bytes(row, 7);
        summary->epoch = (uint64_t)sqlite3_column_int64(row, 1);
        summary->open_round = (uint64_t)sqlite3_column_int64(row, 3);
        summary->paused = sqlite3_column_int64(row, 6) == 1;
        snprintf(summary->outcome, sizeof(summary->outcome), "%s", audit_text(row, 4));
        snprintf(summary->state_file, sizeof(summary->state_file), "%s", audit_text(row, 5));
        audit_expect_number(audit, "one", (uint64_t)sqlite3_column_int64(row, 0), 1);
        audit_expect_number(audit, "the length of instance", instance.size, INSTANCE_ID_BYTES);
        if (instance.size == INSTANCE_ID_BYTES)
            memcpy(summary->instance_id, instance.data, INSTANCE_ID_BYTES);
        if (sqlite3_column_int64(row, 6) > 1)
            audit_find(audit, "0 or 1", "paused is %lld", (long long)sqlite3_column_int64(row, 6));
        *ret_seal_size = seal.size;
        if (seal.size == DIGEST_BYTES)
            memcpy(ret_seal->bytes, seal.data, DIGEST_BYTES);
    } else {
        audit_find(audit, "one row", "there is none");
    }
    sqlite3_finalize(row);
    return is_there;
}

static void check_seal(struct audit *audit, const struct digest *seal, size_t size,
                       bool may_be_missing)
{
    struct digest wanted;
    if (size == 0 && may_be_missing)
        return;
    if (size != DIGEST_BYTES)
        audit_find(audit, "32 bytes", "its seal has %zu bytes", size);
    else if (store_job_digest(&audit->summary, &wanted) == STATUS_OK)
        audit_expect_digest(audit, "its seal", seal, &wanted);
}

void audit_state(struct audit *audit)
{
    const struct store_summary *const summary = &audit->summary;
    const size_t count = audit->version_count;
    const struct audit_version *const last = count > 0 ? &audit->versions[count - 1] : nullptr;
    char name[AUDIT_FILE_NAME_MAX] = "";
    struct digest seal = {0};
    size_t seal_size = 0;
    audit_at(audit, "state.db, state");
    if (!read_job_row(audit, &seal, &seal_size))
        return;
    const bool is_old = last == nullptr || digest_is_zero(&last->state_digest);
    check_seal(audit, &seal, seal_size, is_old && !(last == nullptr && summary->epoch > 0));
    if (last == nullptr || last->is_broken)
        return;
    if (summary->epoch < last->epoch)
        audit_find(audit, "an epoch not older than the last record's", "epoch is %" PRIu64,
                   summary->epoch);
    if (summary->epoch == last->epoch &&
        memcmp(summary->instance_id, last->instance_id, INSTANCE_ID_BYTES) != 0)
        audit_find(audit, "that of the last record", "instance is another one");
    audit_expect_number(audit, "open_round", summary->open_round, last->round + 1);
    /* A job that was resumed has no outcome any more. */
    if (summary->outcome[0] != 0 || last->outcome == WIRE_OUTCOME_NONE)
        audit_expect_text(audit, "outcome", summary->outcome, control_outcome_name(last->outcome));
    if (!digest_is_zero(&last->rule_state_digest))
        audit_model_name(last->number, &last->model_digest, true, name);
    audit_expect_text(audit, "state_file", summary->state_file, name);
}

/* The members that the last commit wrote. */
struct member_rows {
    struct store_member *items;
    size_t count;
    size_t capacity;
};

static bool add_member(struct member_rows *rows, const struct store_member *member)
{
    if (rows->count == rows->capacity) {
        const size_t capacity = rows->capacity == 0 ? 64 : 2 * rows->capacity;
        struct store_member *const grown = realloc(rows->items, capacity * sizeof(*grown));
        if (grown == nullptr)
            return false;
        rows->items = grown;
        rows->capacity = capacity;
    }
    rows->items[rows->count++] = *member;
    return true;
}

static bool read_members(struct audit *audit, uint64_t sequence, struct member_rows *rows,
                         uint64_t *ret_older)
{
    bool good = true;
    sqlite3_stmt *const row =
        audit_prepare(audit, "SELECT name, active, key_id, asked_round, samples, counted_round, "
                             "sequence, " STORE_REPUTATION_COLUMNS " FROM members ORDER BY name");
    while (good && audit_step(audit, row, "tibiiiiiiiiffiii") == AUDIT_ROW) {
        struct store_member member = {.active = sqlite3_column_int64(row, 1) == 1,
                                      .asked_round = (uint64_t)sqlite3_column_int64(row, 3),
                                      .samples = (uint64_t)sqlite3_column_int64(row, 4),
                                      .counted_round = (uint64_t)sqlite3_column_int64(row, 5),
                                      .reputation = store_sqlite_reputation(row, 7)};
        snprintf(member.name, sizeof(member.name), "%s", audit_text(row, 0));
        audit_at(audit, "state.db, members: %.128s", member.name);
        (void)!audit_digest(audit, row, 2, &member.key_id);
        if (sqlite3_column_int64(row, 1) > 1)
            audit_find(audit, "0 or 1", "active is %lld", (long long)sqlite3_column_int64(row, 1));
        if ((uint64_t)sqlite3_column_int64(row, 6) > sequence)
            audit_find(audit, "the sequence of a commit", "sequence is %lld",
                       (long long)sqlite3_column_int64(row, 6));
        else if ((uint64_t)sqlite3_column_int64(row, 6) < sequence)
            ++*ret_older;
        else
            good = add_member(rows, &member);
        audit_at(audit, "state.db, members");
    }
    sqlite3_finalize(row);
    return good;
}

void audit_members(struct audit *audit)
{
    const size_t count = audit->version_count;
    const struct audit_version *const last = count > 0 ? &audit->versions[count - 1] : nullptr;
    struct member_rows rows = {0};
    struct digest digest;
    char state_name[AUDIT_FILE_NAME_MAX] = "";
    uint64_t older = 0;
    audit_at(audit, "state.db, learn");
    sqlite3_stmt *const learn = audit_prepare(audit, "SELECT one, state FROM learn");
    const bool has_learn = audit_step(audit, learn, "ib") == AUDIT_ROW;
    if (!has_learn || sqlite3_column_int64(learn, 0) != 1)
        audit_find(audit, "one row", "there is none of the number 1");
    if (last == nullptr || last->is_broken)
        goto out;
    audit_at(audit, "state.db, members");
    const bool good = read_members(audit, last->sequence, &rows, &older);
    if (!digest_is_zero(&last->rule_state_digest))
        audit_model_name(last->number, &last->model_digest, true, state_name);
    const struct store_commit state = {.open_round = last->round + 1,
                                       .outcome = control_outcome_name(last->outcome),
                                       .state_file = state_name,
                                       .learn_state =
                                           has_learn ? audit_bytes(learn, 1) : (struct slice){0},
                                       .members = rows.items,
                                       .member_count = rows.count};
    audit_at(audit, "state.db, members and learn");
    if (digest_is_zero(&last->state_digest))
        audit_miss(audit, last->number,
                   "members and learn: the record of an earlier Fedra does not cover them");
    else if (good && store_state_digest(&state, &digest) == STATUS_OK)
        audit_expect_digest(audit, "the digest of these rows", &digest, &last->state_digest);
    for (uint64_t i = 0; i < older && !digest_is_zero(&last->state_digest); i++)
        audit_miss(audit, last->number,
                   "rows of members that the last commit did not know any more");
out:
    sqlite3_finalize(learn);
    free(rows.items);
}

/* Two messages of one node, each its header and then the signature. */
static void check_evidence(struct audit *audit, const char *node, struct slice message,
                           struct envelope_header *ret_header)
{
    static const struct envelope_limits all = {UINT64_MAX, UINT64_MAX};
    const struct audit_key *key = nullptr;
    struct refusal refusal = {0};
    *ret_header = (struct envelope_header){0};
    const size_t size =
        message.size > ENVELOPE_SIGNATURE_BYTES ? message.size - ENVELOPE_SIGNATURE_BYTES : 0;
    const struct slice header = {message.data, size};
    if (header_decode(header, &all, ret_header, &refusal) != STATUS_OK) {
        audit_find(audit, "a header and its signature", "%s", refusal.error.text);
        return;
    }
    audit_expect_text(audit, "node", node, ret_header->spiffe_id);
    if (audit_signature(audit, "the node", &ret_header->key_id, envelope_context(ENVELOPE_UPDATE),
                        header, (struct slice){message.data + size, ENVELOPE_SIGNATURE_BYTES},
                        INT64_MIN, INT64_MAX, &key))
        audit_expect_text(audit, "the name in its header", ret_header->spiffe_id,
                          key->info.id.text);
}

static void check_sequence(struct audit *audit, int64_t last)
{
    audit_at(audit, "state.db, sqlite_sequence");
    sqlite3_stmt *const row = audit_prepare(audit, "SELECT name, seq FROM sqlite_sequence");
    bool is_first = true;
    while (audit_step(audit, row, "ti") == AUDIT_ROW) {
        audit_expect_text(audit, "name", audit_text(row, 0), "evidence");
        audit_expect_number(audit, "seq", (uint64_t)sqlite3_column_int64(row, 1), (uint64_t)last);
        if (!is_first)
            audit_find(audit, "one row", "there are more");
        is_first = false;
    }
    if (is_first && last > 0)
        audit_find(audit, "a row for the table evidence", "there is none");
    sqlite3_finalize(row);
}

void audit_evidence(struct audit *audit)
{
    int64_t last = 0;
    audit_at(audit, "state.db, evidence");
    sqlite3_stmt *const row = audit_prepare(
        audit, "SELECT sequence, node, first, second FROM evidence ORDER BY sequence");
    while (audit_step(audit, row, "itbb") == AUDIT_ROW) {
        struct envelope_header first;
        struct envelope_header second;
        const int64_t sequence = sqlite3_column_int64(row, 0);
        audit_at(audit, "state.db, evidence: row %" PRId64, sequence);
        if (last > 0)
            audit_expect_number(audit, "sequence", (uint64_t)sequence, (uint64_t)last + 1);
        last = sequence;
        check_evidence(audit, audit_text(row, 1), audit_bytes(row, 2), &first);
        check_evidence(audit, audit_text(row, 1), audit_bytes(row, 3), &second);
        if (digest_equal(&first.payload_digest, &second.payload_digest) &&
            first.samples == second.samples && first.loss == second.loss &&
            digest_equal(&first.base_id, &second.base_id))
            audit_find(audit, "two messages that contradict each other", "they say the same");
        if (first.round != second.round || strcmp(first.job, second.job) != 0)
            audit_find(audit, "two messages of one round", "they are of two rounds or jobs");
        audit_at(audit, "state.db, evidence");
    }
    sqlite3_finalize(row);
    check_sequence(audit, last);
}

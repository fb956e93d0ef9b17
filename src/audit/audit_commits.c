/*
 * audit_commits.c - goes through the commits in their order: each record's signature and bytes, its
 * row, its place in the chain, the rows that came with it, the updates it counts.
 *
 * Not here: one update (audit_accepted.c), the model that comes of them (audit_recompute.c).
 */
#include "audit/audit_internal.h"

#include "store/store_digest.h"
#include "wire/control.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SQL_COMMITS                                                                                \
    "SELECT sequence, fork, epoch, number, round, id, parent, model_digest, blob_digest, "         \
    "created_ms, model_file, best, record FROM commits ORDER BY sequence"
#define TYPES_COMMITS "iiiiibbbbitib"

enum {
    COLUMN_ID = 5,
    COLUMN_PARENT,
    COLUMN_MODEL,
    COLUMN_BLOB,
    COLUMN_CREATED,
    COLUMN_FILE,
    COLUMN_BEST,
    COLUMN_RECORD
};

/* The tables that are read beside the commits. */
struct walk {
    sqlite3_stmt *commits;
    sqlite3_stmt *metrics; /* of one sequence */
    sqlite3_stmt *counted; /* of one (fork, round, node) */
    sqlite3_stmt *dropped; /* all, by sequence */
    bool has_dropped;      /* a row of it is there */
    uint64_t metrics_count;
    uint64_t updates; /* of all records */
};

const char *audit_parameter(const struct record_head *head, const char *name)
{
    for (uint32_t i = 0; i < head->parameter_count; i++) {
        if (strcmp(head->parameters[i].name, name) == 0)
            return head->parameters[i].value;
    }
    return nullptr;
}

void audit_model_name(uint64_t number, const struct digest *model_digest, bool is_state,
                      char ret_name[static AUDIT_FILE_NAME_MAX])
{
    char hex[DIGEST_HEX_MAX];
    digest_to_hex(model_digest, hex);
    snprintf(ret_name, AUDIT_FILE_NAME_MAX, "%06" PRIu64 "-%.16s%s.safetensors", number, hex,
             is_state ? ".state" : "");
}

/* The bytes must be what the encoder makes: nothing may hide beside what is signed. */
static bool is_canonical(struct slice found, const struct signed_record *record)
{
    const struct slice parts[] = {
        record->record, record->signature, {record->key_id.bytes, DIGEST_BYTES}};
    const uint8_t *at = found.data;
    size_t left = found.size;
    for (uint8_t i = 0; i < 3; i++) {
        uint8_t head[1 + 10] = {(uint8_t)((i + 1) << 3 | 2)};
        size_t head_size = 1;
        for (uint64_t size = parts[i].size;; size >>= 7) {
            head[head_size++] = (uint8_t)(size < 128 ? size : (size & 127) | 128);
            if (size < 128)
                break;
        }
        if (left < head_size + parts[i].size || memcmp(at, head, head_size) != 0 ||
            memcmp(at + head_size, parts[i].data, parts[i].size) != 0)
            return false;
        at += head_size + parts[i].size;
        left -= head_size + parts[i].size;
    }
    return left == 0;
}

static bool is_round(const struct record_head *head)
{
    return audit_parameter(head, "optimiser") != nullptr;
}

static void check_columns(struct audit *audit, sqlite3_stmt *row, const struct record_head *head,
                          const struct digest *id)
{
    struct digest digest;
    char name[AUDIT_FILE_NAME_MAX];
    audit_expect_number(audit, "fork", (uint64_t)sqlite3_column_int64(row, 1), head->fork);
    audit_expect_number(audit, "epoch", (uint64_t)sqlite3_column_int64(row, 2), head->epoch);
    audit_expect_number(audit, "number", (uint64_t)sqlite3_column_int64(row, 3), head->number);
    audit_expect_number(audit, "round", (uint64_t)sqlite3_column_int64(row, 4), head->round);
    if (audit_digest(audit, row, COLUMN_ID, &digest))
        audit_expect_digest(audit, "id", &digest, id);
    if (audit_digest(audit, row, COLUMN_PARENT, &digest))
        audit_expect_digest(audit, "parent", &digest, &head->parent_id);
    if (audit_digest(audit, row, COLUMN_MODEL, &digest))
        audit_expect_digest(audit, "model_digest", &digest, &head->model_digest);
    if (audit_digest(audit, row, COLUMN_BLOB, &digest))
        audit_expect_digest(audit, "blob_digest", &digest, &head->model_blob_digest);
    audit_expect_number(audit, "created_ms", (uint64_t)sqlite3_column_int64(row, COLUMN_CREATED),
                        head->committed_unix_ms);
    audit_model_name(head->number, &head->model_digest, false, name);
    audit_expect_text(audit, "model_file", audit_text(row, COLUMN_FILE), name);
    if (sqlite3_column_int64(row, COLUMN_BEST) > 1)
        audit_find(audit, "0 or 1", "best is %lld",
                   (long long)sqlite3_column_int64(row, COLUMN_BEST));
}

/* What must hold between a version and the one before it. */
static void check_link(struct audit *audit, const struct record_head *head,
                       const struct audit_version *before)
{
    audit_expect_text(audit, "the record's job", head->job, audit->job->name);
    audit_expect_number(audit, "the record's fork", head->fork, 0);
    if (before == nullptr) {
        audit_expect_number(audit, "the number of the first version", head->number, 0);
        audit_expect_digest(audit, "the first version's parent", &head->parent_id,
                            &(struct digest){0});
        return;
    }
    audit_expect_digest(audit, "the parent", &head->parent_id, &before->id);
    audit_expect_number(audit, "the record's number", head->number, before->number + 1);
    if (head->epoch < before->epoch)
        audit_find(audit, "an epoch that is not older than that of the version before",
                   "the epoch is %" PRIu64 ", that of the version before %" PRIu64, head->epoch,
                   before->epoch);
    if (head->epoch == before->epoch &&
        memcmp(head->instance_id, before->instance_id, INSTANCE_ID_BYTES) != 0)
        audit_find(audit, "one process an epoch", "another process committed in the epoch %" PRIu64,
                   head->epoch);
    if (is_round(head) || head->validation_choice[0] != 0)
        audit_expect_number(audit, "the round", head->round, before->round + 1);
    else
        audit_expect_number(audit, "the round", head->round, before->round);
    if (before->outcome != WIRE_OUTCOME_NONE && head->epoch == before->epoch)
        audit_find(audit, "no version after the job's end, unless it was resumed",
                   "the job had ended with the version before");
}

/* Whether the version turned out to be the best, said by its own record or by the next one. */
static void check_best(struct audit *audit, const struct audit_version *version,
                       const struct audit_version *next)
{
    const bool is_best =
        version->best == RECORD_BEST_THIS || (next != nullptr && next->best == RECORD_BEST_PARENT);
    if (digest_is_zero(&version->state_digest) || version->is_broken)
        return;
    audit_at(audit, "state.db, commits: version %" PRIu64, version->number);
    audit_expect_number(audit, "best", version->best_column, is_best);
}

static enum status push_version(struct audit *audit, const struct audit_version *version,
                                struct error *err)
{
    if (audit->version_count == audit->version_capacity) {
        const size_t capacity = audit->version_capacity == 0 ? 64 : 2 * audit->version_capacity;
        struct audit_version *const grown =
            realloc(audit->versions, capacity * sizeof(*audit->versions));
        if (grown == nullptr)
            return error_set(err, STATUS_NO_MEMORY, "no memory for the versions");
        audit->versions = grown;
        audit->version_capacity = capacity;
    }
    audit->versions[audit->version_count++] = *version;
    return STATUS_OK;
}

static struct audit_version version_of_record(const struct record_head *head,
                                              const struct digest *id)
{
    struct audit_version version = {.epoch = head->epoch,
                                    .number = head->number,
                                    .round = head->round,
                                    .blob_length = head->model_blob_length,
                                    .id = *id,
                                    .model_digest = head->model_digest,
                                    .blob_digest = head->model_blob_digest,
                                    .rule_state_digest = head->rule_state_digest,
                                    .state_digest = head->state_digest,
                                    .committed_ms = (int64_t)head->committed_unix_ms,
                                    .outcome = head->outcome,
                                    .best = head->best};
    memcpy(version.instance_id, head->instance_id, INSTANCE_ID_BYTES);
    return version;
}

/* The next row of dropped, as text that lives until the one after it. */
static void next_dropped(struct audit *audit, struct walk *walk)
{
    audit_at(audit, "state.db, dropped");
    walk->has_dropped = audit_step(audit, walk->dropped, "iiitbt") == AUDIT_ROW;
}

/* Copies of the rows of one commit, which are few: those of a round that was undone. */
struct dropped_rows {
    struct store_dropped *items;
    size_t count;
};

static void dropped_deinit(struct dropped_rows *rows)
{
    for (size_t i = 0; i < rows->count; i++) {
        union {
            const char *in;
            char *out;
        } node = {.in = rows->items[i].node}, reason = {.in = rows->items[i].reason};
        free(node.out);
        free(reason.out);
    }
    free(rows->items);
}

static enum status take_dropped(struct audit *audit, struct walk *walk, uint64_t sequence,
                                struct dropped_rows *rows)
{
    while (walk->has_dropped && (uint64_t)sqlite3_column_int64(walk->dropped, 0) <= sequence) {
        struct store_dropped *const grown =
            realloc(rows->items, (rows->count + 1) * sizeof(*rows->items));
        if (grown == nullptr)
            return STATUS_NO_MEMORY;
        rows->items = grown;
        struct store_dropped *const row = &rows->items[rows->count++];
        *row = (struct store_dropped){.node = strdup(audit_text(walk->dropped, 3)),
                                      .round = (uint64_t)sqlite3_column_int64(walk->dropped, 2),
                                      .reason = strdup(audit_text(walk->dropped, 5))};
        if (row->node == nullptr || row->reason == nullptr)
            return STATUS_NO_MEMORY;
        audit_at(audit, "state.db, dropped: round %" PRIu64 ", %.128s", row->round, row->node);
        audit_expect_number(audit, "sequence", (uint64_t)sqlite3_column_int64(walk->dropped, 0),
                            sequence);
        audit_expect_number(audit, "fork", (uint64_t)sqlite3_column_int64(walk->dropped, 1), 0);
        (void)!audit_digest(audit, walk->dropped, 4, &row->payload_digest);
        next_dropped(audit, walk);
    }
    return STATUS_OK;
}

/* The metrics line and the dropped updates that the record vouches for by a digest. */
static enum status check_history(struct audit *audit, struct walk *walk,
                                 const struct record_head *head, uint64_t sequence)
{
    struct dropped_rows dropped = {0};
    struct digest digest;
    enum status status = take_dropped(audit, walk, sequence, &dropped);
    audit_at(audit, "state.db, metrics and dropped: version %" PRIu64, head->number);
    sqlite3_reset(walk->metrics);
    sqlite3_bind_int64(walk->metrics, 1, (sqlite3_int64)sequence);
    const bool has_line =
        walk->metrics != nullptr && audit_step(audit, walk->metrics, "t") == AUDIT_ROW;
    const char *const line = has_line ? audit_text(walk->metrics, 0) : nullptr;
    const struct store_commit rows = {
        .metrics = line, .dropped = dropped.items, .dropped_count = dropped.count};
    walk->metrics_count += has_line;
    if (status == STATUS_OK)
        status = store_history_digest(&rows, &digest);
    if (status == STATUS_OK && !digest_is_zero(&head->history_digest))
        audit_expect_digest(audit, "the digest of these rows", &digest, &head->history_digest);
    else if (status == STATUS_OK)
        audit_miss(audit, head->number,
                   "metrics and dropped updates: the record of an earlier Fedra does not cover "
                   "them");
    if (status == STATUS_OK && has_line)
        audit_metrics_line(audit, (struct slice){(const uint8_t *)line, strlen(line)});
    dropped_deinit(&dropped);
    return status;
}

static void check_signer(struct audit *audit, const struct signed_record *signed_record,
                         int64_t committed_ms)
{
    const struct audit_key *key = nullptr;
    const int64_t at_s = committed_ms / 1000;
    struct error err = {0};
    if (audit_signature(audit, "the coordinator", &signed_record->key_id,
                        envelope_context(ENVELOPE_COMMIT),
                        (struct slice){signed_record->version_id.bytes, DIGEST_BYTES},
                        signed_record->signature, at_s, at_s, &key) &&
        spiffe_role_check(&key->info.id, SPIFFE_ROLE_COORDINATOR, "a record", &err) != STATUS_OK)
        audit_find(audit, "a coordinator's signature", "%s", err.text);
}

/* Of one record that can be read: its signature, its rows, its updates, its model. */
static enum status check_record(struct audit *audit, struct walk *walk,
                                const struct signed_record *signed_record,
                                const struct record *record, struct error *err)
{
    const struct record_head *const head = &record->head;
    const size_t index = audit->version_count;
    const uint64_t sequence = index + 1;
    struct audit_version version = version_of_record(head, &signed_record->version_id);
    struct record_iter iter;
    struct record_accepted accepted;
    check_columns(audit, walk->commits, head, &signed_record->version_id);
    check_signer(audit, signed_record, version.committed_ms);
    check_link(audit, head, index > 0 ? &audit->versions[index - 1] : nullptr);
    version.sequence = sequence;
    version.best_column = sqlite3_column_int64(walk->commits, COLUMN_BEST) != 0;
    enum status status = push_version(audit, &version, err);
    if (status == STATUS_OK && check_history(audit, walk, head, sequence) != STATUS_OK)
        status = error_set(err, STATUS_NO_MEMORY, "no memory for rows");
    if (status != STATUS_OK)
        return status;
    record_iter_init(&iter, record);
    while (record_iter_next(&iter, &accepted))
        audit_accepted(audit, head, &accepted, sequence, walk->counted);
    walk->updates += head->accepted_count;
    audit->job->updates += head->accepted_count;
    audit->job->rounds += head->accepted_count > 0;
    return audit_version_model(audit, record, err);
}

/* A record that cannot be read: the columns stand in for it, so that the chain goes on. */
static enum status push_broken(struct audit *audit, sqlite3_stmt *row, struct error *err)
{
    struct audit_version version = {.is_broken = true,
                                    .sequence = audit->version_count + 1,
                                    .epoch = (uint64_t)sqlite3_column_int64(row, 2),
                                    .number = (uint64_t)sqlite3_column_int64(row, 3),
                                    .round = (uint64_t)sqlite3_column_int64(row, 4),
                                    .committed_ms = sqlite3_column_int64(row, COLUMN_CREATED)};
    (void)!audit_digest(audit, row, COLUMN_ID, &version.id);
    (void)!audit_digest(audit, row, COLUMN_MODEL, &version.model_digest);
    (void)!audit_digest(audit, row, COLUMN_BLOB, &version.blob_digest);
    model_file_replace(&audit->recompute.model, nullptr);
    model_file_replace(&audit->recompute.state, nullptr);
    return push_version(audit, &version, err);
}

static enum status check_commit(struct audit *audit, struct walk *walk, struct error *err)
{
    struct signed_record signed_record;
    struct record *const record = calloc(1, sizeof(*record));
    struct error text = {0};
    const struct slice bytes = audit_bytes(walk->commits, COLUMN_RECORD);
    if (record == nullptr)
        return error_set(err, STATUS_NO_MEMORY, "no memory for a record");
    audit_expect_number(audit, "sequence", (uint64_t)sqlite3_column_int64(walk->commits, 0),
                        audit->version_count + 1);
    enum status status = signed_record_decode(bytes, &signed_record, &text);
    if (status == STATUS_OK && !is_canonical(bytes, &signed_record))
        status = error_set(&text, STATUS_CORRUPT, "signed record: its bytes are not canonical");
    if (status == STATUS_OK)
        status = record_decode(signed_record.record, record, &text);
    if (status == STATUS_OK) {
        status = check_record(audit, walk, &signed_record, record, err);
    } else if (status != STATUS_NO_MEMORY) {
        audit_find(audit, "a signed commit record", "%s", text.text);
        status = push_broken(audit, walk->commits, err);
    }
    free(record);
    return status;
}

static void check_counts(struct audit *audit, struct walk *walk)
{
    static const struct {
        const char *table;
        const char *sql;
    } tables[] = {{"counted", "SELECT COUNT(*) FROM counted"},
                  {"metrics", "SELECT COUNT(*) FROM metrics"}};
    const uint64_t wanted[] = {walk->updates, walk->metrics_count};
    for (size_t i = 0; i < sizeof(tables) / sizeof(*tables); i++) {
        audit_at(audit, "state.db, %s", tables[i].table);
        sqlite3_stmt *const statement = audit_prepare(audit, tables[i].sql);
        if (audit_step(audit, statement, "i") == AUDIT_ROW)
            audit_expect_number(audit, "the number of rows",
                                (uint64_t)sqlite3_column_int64(statement, 0), wanted[i]);
        sqlite3_finalize(statement);
    }
    while (walk->has_dropped) {
        audit_at(audit, "state.db, dropped: round %lld, %.128s",
                 (long long)sqlite3_column_int64(walk->dropped, 2), audit_text(walk->dropped, 3));
        audit_find(audit, "rows of commits only", "no commit has the sequence of the row");
        next_dropped(audit, walk);
    }
}

enum status audit_commits(struct audit *audit, struct error *err)
{
    struct walk walk = {0};
    enum status status = STATUS_OK;
    audit_at(audit, "state.db, commits");
    walk.commits = audit_prepare(audit, SQL_COMMITS);
    walk.metrics = audit_prepare(audit, "SELECT line FROM metrics WHERE sequence = ?");
    walk.counted = audit_prepare(audit, "SELECT payload, samples, attempt, sequence FROM counted "
                                        "WHERE fork = 0 AND round = ? AND node = ?");
    walk.dropped = audit_prepare(audit, "SELECT sequence, fork, round, node, payload, reason FROM "
                                        "dropped ORDER BY sequence, node, round, payload");
    next_dropped(audit, &walk);
    for (;;) {
        audit_at(audit, "state.db, commits: version %zu", audit->version_count);
        if (status != STATUS_OK || audit_step(audit, walk.commits, TYPES_COMMITS) != AUDIT_ROW)
            break;
        status = check_commit(audit, &walk, err);
    }
    for (size_t i = 0; i < audit->version_count && status == STATUS_OK; i++)
        check_best(audit, &audit->versions[i],
                   i + 1 < audit->version_count ? &audit->versions[i + 1] : nullptr);
    if (status == STATUS_OK)
        check_counts(audit, &walk);
    audit_metrics_end(audit);
    audit->job->versions = audit->version_count;
    sqlite3_finalize(walk.commits);
    sqlite3_finalize(walk.metrics);
    sqlite3_finalize(walk.counted);
    sqlite3_finalize(walk.dropped);
    return status;
}

/*
 * store_sqlite.c - a store in SQLite and model files: folders, epochs, commits, models.
 *
 * Not here: schema and errors (store_database.c), what is read back (store_sqlite_find.c).
 */
#include "store/store_sqlite.h"

#include "store/crash_point.h"
#include "store/durable_file.h"
#include "store/lock_file.h"
#include "store/store_digest.h"
#include "store/store_sqlite_internal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char format_text[] = "fedra-state 1\n";

/*
 * A model is kept while it is of the last ?1 versions (0: of any) or of the last one that was the
 * best; a state file while it is of the latest commit.
 */
#define SQL_PRUNE                                                                                  \
    "DELETE FROM models WHERE file <> (SELECT state_file FROM state) AND (is_state = 1 OR (?1 > "  \
    "0 AND file NOT IN (SELECT model_file FROM commits WHERE sequence > (SELECT "                  \
    "COALESCE(MAX(sequence), 0) FROM commits) - ?1 UNION ALL SELECT model_file FROM commits "      \
    "WHERE sequence = (SELECT MAX(sequence) FROM commits WHERE best = 1)))) RETURNING file"

static enum status step_done(struct store_database *database, sqlite3_stmt *statement,
                             struct error *err, const char *doing)
{
    return sqlite3_step(statement) == SQLITE_DONE ? STATUS_OK
                                                  : store_database_error(database, err, doing);
}

/* The job's row gets its digest: the last step of every transaction that changes it. */
static enum status seal(struct store_sqlite *store, struct error *err)
{
    struct store_summary summary;
    struct digest digest;
    sqlite3_stmt *statement = nullptr;
    enum status status = store_sqlite_read_summary(&store->base, &summary, err);
    if (status == STATUS_OK && (status = store_job_digest(&summary, &digest)) != STATUS_OK)
        return error_set(err, status, "no memory for a digest");
    if (status == STATUS_OK)
        status = store_database_prepare(&store->database, "UPDATE state SET seal = ?", &statement,
                                        err, "d", &digest);
    if (status == STATUS_OK)
        status = step_done(&store->database, statement, err, "cannot seal the state");
    sqlite3_finalize(statement);
    return status;
}

/* What must hold before the epoch is raised once more. */
static enum status check_epoch(const struct store_sqlite *store,
                               const struct store_summary *summary, uint64_t held,
                               struct error *err)
{
    const char *const path = store->database.path;
    if (held != 0 && held != summary->epoch)
        return error_set(err, STATUS_EXISTS, "%s: the epoch %llu is over: the store is at %llu",
                         path, (unsigned long long)held, (unsigned long long)summary->epoch);
    if (summary->epoch >= INT64_MAX)
        return error_set(err, STATUS_LIMIT, "%s: no epoch is left", path);
    return STATUS_OK;
}

static enum status raise_epoch(struct store *base, uint64_t held, uint64_t at_least,
                               const uint8_t instance_id[static STORE_INSTANCE_BYTES],
                               uint64_t *ret_epoch, struct error *err)
{
    struct store_sqlite *const store = (struct store_sqlite *)base;
    struct store_summary summary;
    sqlite3_stmt *statement = nullptr;
    enum status status = store_database_begin(&store->database, err);
    if (status != STATUS_OK)
        return status;
    status = store_sqlite_read_summary(base, &summary, err);
    if (status == STATUS_OK)
        status = check_epoch(store, &summary, held, err);
    const uint64_t next = status == STATUS_OK ? summary.epoch + 1 : 0;
    const uint64_t epoch = next > at_least ? next : at_least;
    if (status == STATUS_OK)
        status = store_database_prepare(
            &store->database, "UPDATE state SET epoch = ?, instance = ?", &statement, err, "ib",
            epoch, (struct slice){instance_id, STORE_INSTANCE_BYTES});
    if (status == STATUS_OK)
        status = step_done(&store->database, statement, err, "cannot raise the epoch");
    sqlite3_finalize(statement);
    if (status == STATUS_OK)
        status = seal(store, err);
    status = store_database_end(&store->database, status, err);
    if (status == STATUS_OK)
        *ret_epoch = epoch;
    return status;
}

enum status store_sqlite_model_path(const struct store *base, const char *name, char *ret_path,
                                    size_t capacity)
{
    const struct store_sqlite *const store = (const struct store_sqlite *)base;
    const int length = snprintf(ret_path, capacity, "%s/%s", store->models, name);
    return length >= 0 && (size_t)length < capacity ? STATUS_OK : STATUS_LIMIT;
}

/* OK where a commit keeps a model of this name, else NOT_FOUND without a text. */
static enum status find_kept_model(struct store_sqlite *store, const char *name, struct error *err)
{
    sqlite3_stmt *statement = nullptr;
    enum status status = store_database_prepare(
        &store->database, "SELECT 1 FROM models WHERE file = ?", &statement, err, "t", name);
    if (status != STATUS_OK)
        return status;
    const int code = sqlite3_step(statement);
    if (code == SQLITE_DONE)
        status = STATUS_NOT_FOUND;
    else if (code != SQLITE_ROW)
        status = store_database_error(&store->database, err, "cannot look for a model");
    sqlite3_finalize(statement);
    return status;
}

static enum status put_model(struct store *base, const char *name, const struct slice *slices,
                             size_t count, struct error *err)
{
    struct store_sqlite *const store = (struct store_sqlite *)base;
    char path[DURABLE_PATH_MAX];
    if (store_sqlite_model_path(base, name, path, sizeof(path)) != STATUS_OK)
        return error_set(err, STATUS_LIMIT, "the path of the model %s is too long", name);
    enum status status = find_kept_model(store, name, err);
    if (status == STATUS_OK)
        return error_set(err, STATUS_EXISTS, "the model %s is in use by a committed version", path);
    if (status != STATUS_NOT_FOUND)
        return status;
    crash_point("store.before_model");
    status = durable_file_write(path, slices, count, err);
    if (status != STATUS_OK)
        unlink(path); /* in place but perhaps not durable: no commit may name it */
    return status;
}

static enum status read_model(struct store *base, const char *name, uint64_t offset, void *out,
                              size_t size, size_t *ret_size, struct error *err)
{
    char path[DURABLE_PATH_MAX];
    if (store_sqlite_model_path(base, name, path, sizeof(path)) != STATUS_OK)
        return error_set(err, STATUS_LIMIT, "the path of the model %s is too long", name);
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return error_set_errno(err, errno == ENOENT ? STATUS_NOT_FOUND : STATUS_IO, errno,
                               "cannot open the model %s", path);
    enum status status = STATUS_OK;
    size_t done = 0;
    while (done < size) {
        const ssize_t got = pread(fd, (uint8_t *)out + done, size - done, (off_t)(offset + done));
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            status = error_set_errno(err, STATUS_IO, errno, "cannot read the model %s", path);
        if (got <= 0)
            break;
        done += (size_t)got;
    }
    close(fd);
    if (status == STATUS_OK)
        *ret_size = done;
    return status;
}

static enum status check_put(const struct store_sqlite *store, const char *name, struct error *err)
{
    char path[DURABLE_PATH_MAX];
    if (store_sqlite_model_path(&store->base, name, path, sizeof(path)) != STATUS_OK ||
        access(path, R_OK) != 0)
        return error_set(err, STATUS_INVAL, "the model %s must be put before it is committed",
                         name);
    return STATUS_OK;
}

/* What must hold before a commit, besides the constraints of the tables. */
static enum status check_commit(struct store_sqlite *store, const struct store_commit *commit,
                                struct error *err)
{
    const struct store_version *const version = &commit->version;
    struct store_summary summary;
    enum status status = store_sqlite_read_summary(&store->base, &summary, err);
    if (status != STATUS_OK)
        return status;
    if (summary.outcome[0] != '\0')
        return error_set(err, STATUS_INVAL, "the job has ended: %s", summary.outcome);
    if (version->epoch > summary.epoch)
        return error_set(err, STATUS_INVAL, "the epoch %llu was never raised; it is %llu",
                         (unsigned long long)version->epoch, (unsigned long long)summary.epoch);
    if (version->epoch < summary.epoch)
        return error_set(err, STATUS_INVAL, "the epoch %llu is over: the store is at %llu",
                         (unsigned long long)version->epoch, (unsigned long long)summary.epoch);
    status = check_put(store, version->model_file, err);
    if (status == STATUS_OK && commit->state_file != nullptr)
        status = check_put(store, commit->state_file, err);
    return status;
}

static enum status insert_version(struct store_sqlite *store, const struct store_commit *commit,
                                  uint64_t *ret_sequence, struct error *err)
{
    const struct store_version *const v = &commit->version;
    sqlite3_stmt *statement = nullptr;
    enum status status = store_database_prepare(
        &store->database, "INSERT INTO commits VALUES(NULL,?,?,?,?,?,?,?,?,?,?,?,?)", &statement,
        err, "iiiidddditib", (uint64_t)v->fork, v->epoch, v->number, v->round, &v->id, &v->parent,
        &v->model_digest, &v->blob_digest, (uint64_t)v->created_ms, v->model_file,
        (uint64_t)v->best, commit->record);
    if (status != STATUS_OK)
        return status;
    status = step_done(&store->database, statement, err, "cannot commit the version");
    sqlite3_finalize(statement);
    if (status == STATUS_EXISTS)
        error_prefix(err, status, "version %llu of fork %u, epoch %llu, contradicts one committed",
                     (unsigned long long)v->number, v->fork, (unsigned long long)v->epoch);
    if (status == STATUS_OK)
        *ret_sequence = (uint64_t)sqlite3_last_insert_rowid(store->database.db);
    return status;
}

/* Before old models go: the parent's is still there. */
static enum status mark_parent(struct store_sqlite *store, const struct store_commit *commit,
                               struct error *err)
{
    sqlite3_stmt *statement = nullptr;
    if (!commit->parent_is_best)
        return STATUS_OK;
    enum status status =
        store_database_prepare(&store->database, "UPDATE commits SET best = 1 WHERE id = ?",
                               &statement, err, "d", &commit->version.parent);
    if (status == STATUS_OK)
        status = step_done(&store->database, statement, err, "cannot mark the best version");
    sqlite3_finalize(statement);
    return status;
}

static enum status insert_counted(struct store_sqlite *store, const struct store_commit *commit,
                                  uint64_t sequence, struct error *err)
{
    sqlite3_stmt *statement = nullptr;
    enum status status = store_database_prepare(
        &store->database, "INSERT INTO counted VALUES(?,?,?,?,?,?,?)", &statement, err, "");
    for (size_t i = 0; i < commit->counted_count && status == STATUS_OK; i++) {
        const struct store_counted *const row = &commit->counted[i];
        status = store_database_bind(&store->database, statement, err, "iitdiii",
                                     (uint64_t)commit->version.fork, row->round, row->node,
                                     &row->payload_digest, row->samples, row->attempt, sequence);
        if (status == STATUS_OK)
            status = step_done(&store->database, statement, err, "cannot count an update");
        if (status == STATUS_EXISTS)
            error_prefix(err, status, "the update of %s in round %llu was counted before",
                         row->node, (unsigned long long)row->round);
    }
    sqlite3_finalize(statement);
    return status;
}

static enum status insert_dropped(struct store_sqlite *store, const struct store_commit *commit,
                                  uint64_t sequence, struct error *err)
{
    sqlite3_stmt *statement = nullptr;
    enum status status = store_database_prepare(
        &store->database, "INSERT INTO dropped VALUES(?,?,?,?,?,?)", &statement, err, "");
    for (size_t i = 0; i < commit->dropped_count && status == STATUS_OK; i++) {
        const struct store_dropped *const row = &commit->dropped[i];
        status = store_database_bind(&store->database, statement, err, "iitdti",
                                     (uint64_t)commit->version.fork, row->round, row->node,
                                     &row->payload_digest, row->reason, sequence);
        if (status == STATUS_OK)
            status = step_done(&store->database, statement, err, "cannot drop an update");
        if (status == STATUS_EXISTS)
            error_prefix(err, status, "the update of %s in round %llu was dropped before",
                         row->node, (unsigned long long)row->round);
    }
    sqlite3_finalize(statement);
    return status;
}

static enum status insert_members(struct store_sqlite *store, const struct store_commit *commit,
                                  uint64_t sequence, struct error *err)
{
    sqlite3_stmt *statement = nullptr;
    enum status status = store_database_prepare(
        &store->database, "INSERT OR REPLACE INTO members VALUES(?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
        &statement, err, "");
    for (size_t i = 0; i < commit->member_count && status == STATUS_OK; i++) {
        const struct store_member *const row = &commit->members[i];
        const struct reputation *const known = &row->reputation;
        status = store_database_bind(
            &store->database, statement, err, "tidiiiiiiiiffiii", row->name, (uint64_t)row->active,
            &row->key_id, row->asked_round, row->samples, row->counted_round, sequence,
            known->rounds, known->flagged, known->flagged_round, (uint64_t)known->flag.reason,
            known->flag.score, known->distrust, known->recent, known->until, known->probation);
        if (status == STATUS_OK)
            status = step_done(&store->database, statement, err, "cannot note a member");
    }
    sqlite3_finalize(statement);
    return status;
}

static enum status insert_certificates(struct store_sqlite *store, struct error *err)
{
    sqlite3_stmt *statement = nullptr;
    enum status status = store_database_prepare(
        &store->database, "INSERT INTO certificates VALUES(?,?)", &statement, err, "");
    for (size_t i = 0; i < store->pending_count && status == STATUS_OK; i++) {
        struct store_pending_certificate *const row = &store->pending[i];
        status = store_database_bind(&store->database, statement, err, "db", &row->key_id,
                                     bytes_slice(&row->der));
        if (status == STATUS_OK)
            status = step_done(&store->database, statement, err, "cannot keep a certificate");
    }
    sqlite3_finalize(statement);
    return status;
}

static enum status update_state(struct store_sqlite *store, const struct store_commit *commit,
                                uint64_t sequence, struct error *err)
{
    struct store_database *const database = &store->database;
    sqlite3_stmt *statement = nullptr;
    enum status status = store_database_prepare(
        database, "UPDATE state SET open_round = ?, outcome = ?, state_file = ?", &statement, err,
        "itt", commit->open_round, commit->outcome == nullptr ? "" : commit->outcome,
        commit->state_file == nullptr ? "" : commit->state_file);
    if (status == STATUS_OK)
        status = step_done(database, statement, err, "cannot note the state");
    sqlite3_finalize(statement);
    statement = nullptr;
    if (status == STATUS_OK && commit->metrics != nullptr) {
        status = store_database_prepare(database, "INSERT INTO metrics VALUES(?,?)", &statement,
                                        err, "it", sequence, commit->metrics);
        if (status == STATUS_OK)
            status = step_done(database, statement, err, "cannot note the metrics");
        sqlite3_finalize(statement);
        statement = nullptr;
    }
    if (status == STATUS_OK)
        status = store_database_prepare(database, "UPDATE learn SET state = ?", &statement, err,
                                        "b", commit->learn_state);
    if (status == STATUS_OK)
        status = step_done(database, statement, err, "cannot note the learn state");
    sqlite3_finalize(statement);
    return status;
}

/* The files that the commit names are kept; one that is a version's model is no mere state file. */
static enum status insert_files(struct store_sqlite *store, const struct store_commit *commit,
                                struct error *err)
{
    struct store_database *const database = &store->database;
    sqlite3_stmt *statement = nullptr;
    enum status status = store_database_prepare(
        database, "INSERT OR REPLACE INTO models(file, is_state) VALUES(?, 0)", &statement, err,
        "t", commit->version.model_file);
    if (status == STATUS_OK)
        status = step_done(database, statement, err, "cannot note the model");
    sqlite3_finalize(statement);
    if (status != STATUS_OK || commit->state_file == nullptr)
        return status;
    statement = nullptr;
    status = store_database_prepare(database,
                                    "INSERT OR IGNORE INTO models(file, is_state) VALUES(?, 1)",
                                    &statement, err, "t", commit->state_file);
    if (status == STATUS_OK)
        status = step_done(database, statement, err, "cannot note the state file");
    sqlite3_finalize(statement);
    return status;
}

/* Takes the rows of files that are no longer kept away; their names go to ret_names, each with a
 * zero. */
static enum status prune(struct store_sqlite *store, struct bytes *ret_names, struct error *err)
{
    sqlite3_stmt *statement = nullptr;
    enum status status = store_database_prepare(&store->database, SQL_PRUNE, &statement, err, "i",
                                                (uint64_t)store->models_keep);
    if (status != STATUS_OK)
        return status;
    int code = SQLITE_ROW;
    while (status == STATUS_OK && (code = sqlite3_step(statement)) == SQLITE_ROW)
        status = bytes_append(ret_names, sqlite3_column_text(statement, 0),
                              (size_t)sqlite3_column_bytes(statement, 0) + 1);
    if (status == STATUS_OK && code != SQLITE_DONE)
        status = store_database_error(&store->database, err, "cannot drop old models");
    sqlite3_finalize(statement);
    return status;
}

static void unlink_models(const struct store_sqlite *store, const struct bytes *names)
{
    for (size_t i = 0; i < names->size;) {
        const char *const name = (const char *)names->data + i;
        char path[DURABLE_PATH_MAX];
        if (store_sqlite_model_path(&store->base, name, path, sizeof(path)) == STATUS_OK)
            unlink(path); /* one that stays is removed at the next start */
        i += strlen(name) + 1;
    }
}

static void drop_pending(struct store_sqlite *store)
{
    for (size_t i = 0; i < store->pending_count; i++)
        bytes_deinit(&store->pending[i].der);
    free(store->pending);
    store->pending = nullptr;
    store->pending_count = 0;
}

static enum status commit(struct store *base, const struct store_commit *commit, struct error *err)
{
    struct store_sqlite *const store = (struct store_sqlite *)base;
    struct bytes gone;
    uint64_t sequence = 0;
    bytes_init(&gone, SIZE_MAX / 2);
    crash_point("store.before_begin");
    enum status status = store_database_begin(&store->database, err);
    if (status != STATUS_OK)
        return status;
    status = check_commit(store, commit, err);
    if (status == STATUS_OK)
        status = insert_version(store, commit, &sequence, err);
    if (status == STATUS_OK)
        status = mark_parent(store, commit, err);
    if (status == STATUS_OK)
        status = insert_counted(store, commit, sequence, err);
    if (status == STATUS_OK)
        status = insert_dropped(store, commit, sequence, err);
    if (status == STATUS_OK)
        status = insert_members(store, commit, sequence, err);
    if (status == STATUS_OK)
        status = insert_certificates(store, err);
    if (status == STATUS_OK)
        status = update_state(store, commit, sequence, err);
    if (status == STATUS_OK)
        status = insert_files(store, commit, err);
    if (status == STATUS_OK)
        status = seal(store, err);
    if (status == STATUS_OK)
        status = prune(store, &gone, err);
    crash_point("store.before_commit");
    status = store_database_end(&store->database, status, err);
    crash_point("store.after_commit");
    if (status == STATUS_OK) {
        unlink_models(store, &gone);
        drop_pending(store);
    }
    bytes_deinit(&gone);
    return status;
}

static enum status set_paused(struct store *base, bool paused, struct error *err)
{
    struct store_sqlite *const store = (struct store_sqlite *)base;
    struct store_database *const database = &store->database;
    enum status status = store_database_begin(database, err);
    if (status != STATUS_OK)
        return status;
    sqlite3_stmt *statement = nullptr;
    status = store_database_prepare(database, "UPDATE state SET paused = ?", &statement, err, "i",
                                    (uint64_t)paused);
    if (status == STATUS_OK)
        status = step_done(database, statement, err, "cannot note the pause");
    sqlite3_finalize(statement);
    if (status == STATUS_OK)
        status = seal(store, err);
    return store_database_end(database, status, err);
}

static enum status clear_outcome(struct store *base, struct error *err)
{
    struct store_sqlite *const store = (struct store_sqlite *)base;
    struct store_database *const database = &store->database;
    enum status status = store_database_begin(database, err);
    if (status != STATUS_OK)
        return status;
    sqlite3_stmt *statement = nullptr;
    status = store_database_prepare(database, "UPDATE state SET outcome = ''", &statement, err, "");
    if (status == STATUS_OK)
        status = step_done(database, statement, err, "cannot forget the outcome");
    sqlite3_finalize(statement);
    if (status == STATUS_OK)
        status = seal(store, err);
    return store_database_end(database, status, err);
}

static enum status put_certificate(struct store *base, const struct digest *key_id,
                                   struct slice der, struct error *err)
{
    struct store_sqlite *const store = (struct store_sqlite *)base;
    struct bytes old;
    bytes_init(&old, STORE_CERTIFICATE_BYTES_MAX);
    enum status status = store_sqlite_find_certificate(base, key_id, &old, err);
    if (status == STATUS_OK && (old.size != der.size || memcmp(old.data, der.data, der.size) != 0))
        status = error_set(err, STATUS_EXISTS, "another certificate has the same key id");
    bytes_deinit(&old);
    if (status != STATUS_NOT_FOUND)
        return status;
    struct store_pending_certificate *const grown =
        reallocarray(store->pending, store->pending_count + 1, sizeof(*grown));
    if (grown == nullptr)
        return error_set(err, STATUS_NO_MEMORY, "no memory for a certificate");
    store->pending = grown;
    struct store_pending_certificate *const row = &grown[store->pending_count];
    row->key_id = *key_id;
    bytes_init(&row->der, STORE_CERTIFICATE_BYTES_MAX);
    status = bytes_append(&row->der, der.data, der.size);
    if (status != STATUS_OK)
        return error_set(err, status, "no memory for a certificate");
    store->pending_count++;
    return STATUS_OK;
}

static enum status put_evidence(struct store *base, const char *node, struct slice first,
                                struct slice second, struct error *err)
{
    struct store_sqlite *const store = (struct store_sqlite *)base;
    enum status status = store_database_begin(&store->database, err);
    if (status != STATUS_OK)
        return status;
    sqlite3_stmt *statement = nullptr;
    status = store_database_prepare(&store->database, "INSERT INTO evidence VALUES(NULL,?,?,?)",
                                    &statement, err, "tbb", node, first, second);
    if (status == STATUS_OK)
        status = step_done(&store->database, statement, err, "cannot keep evidence");
    sqlite3_finalize(statement);
    statement = nullptr;
    if (status == STATUS_OK)
        status = store_database_prepare(
            &store->database,
            "DELETE FROM evidence WHERE sequence <= (SELECT MAX(sequence) FROM evidence) - ?",
            &statement, err, "i", (uint64_t)STORE_EVIDENCE_MAX);
    if (status == STATUS_OK)
        status = step_done(&store->database, statement, err, "cannot drop old evidence");
    sqlite3_finalize(statement);
    return store_database_end(&store->database, status, err);
}

static void close_store(struct store *base)
{
    struct store_sqlite *const store = (struct store_sqlite *)base;
    drop_pending(store);
    store_database_close(&store->database);
    lock_file_close(store->lock_fd);
    free(store);
}

static const struct store_ops sqlite_ops = {
    .name = "sqlite",
    .raise_epoch = raise_epoch,
    .put_model = put_model,
    .read_model = read_model,
    .commit = commit,
    .find_latest = store_sqlite_find_latest,
    .find_number = store_sqlite_find_number,
    .find_after = store_sqlite_find_after,
    .find_round = store_sqlite_find_round,
    .find_receipt = store_sqlite_find_receipt,
    .find_member_after = store_sqlite_find_member_after,
    .find_metrics_after = store_sqlite_find_metrics_after,
    .read_summary = store_sqlite_read_summary,
    .read_learn_state = store_sqlite_read_learn_state,
    .set_paused = set_paused,
    .clear_outcome = clear_outcome,
    .put_certificate = put_certificate,
    .find_certificate = store_sqlite_find_certificate,
    .put_evidence = put_evidence,
    .find_evidence_after = store_sqlite_find_evidence_after,
    .close = close_store,
};

/* The FORMAT file says whose folder it is; a folder that holds jobs without one is not touched. */
static enum status check_format(const char *folder, struct error *err)
{
    char path[DURABLE_PATH_MAX], jobs[DURABLE_PATH_MAX];
    if ((size_t)snprintf(path, sizeof(path), "%s/FORMAT", folder) >= sizeof(path) ||
        (size_t)snprintf(jobs, sizeof(jobs), "%s/jobs", folder) >= sizeof(jobs))
        return error_set(err, STATUS_LIMIT, "the path %s is too long", folder);
    struct bytes content;
    bytes_init(&content, 256);
    enum status status = durable_file_read(path, &content, err);
    if (status == STATUS_NOT_FOUND) {
        if (access(jobs, F_OK) == 0)
            status = error_set(err, STATUS_CORRUPT,
                               "%s is missing though %s is there; restore it with the content "
                               "\"fedra-state 1\"",
                               path, jobs);
        else
            status = durable_file_write(
                path, &(struct slice){(const uint8_t *)format_text, sizeof(format_text) - 1}, 1,
                err);
    } else if (status == STATUS_OK && (content.size != sizeof(format_text) - 1 ||
                                       memcmp(content.data, format_text, content.size) != 0)) {
        const bool ours = content.size > 12 && memcmp(content.data, "fedra-state ", 12) == 0;
        status =
            error_set(err, ours ? STATUS_VERSION : STATUS_CORRUPT,
                      "%s does not say \"fedra-state 1\", the one format this program knows", path);
    }
    bytes_deinit(&content);
    return status;
}

/* Removes model files that no kept version names: what a crash or retention left. */
static enum status sweep_models(struct store_sqlite *store, struct error *err)
{
    DIR *const dir = opendir(store->models);
    if (dir == nullptr)
        return error_set_errno(err, STATUS_IO, errno, "cannot list the folder %s", store->models);
    enum status status = STATUS_OK;
    for (const struct dirent *entry = readdir(dir); entry != nullptr && status == STATUS_OK;
         entry = readdir(dir)) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        status = find_kept_model(store, entry->d_name, err);
        if (status == STATUS_NOT_FOUND)
            status = unlinkat(dirfd(dir), entry->d_name, 0) == 0
                         ? STATUS_OK
                         : error_set_errno(err, STATUS_IO, errno, "cannot remove %s/%s",
                                           store->models, entry->d_name);
    }
    closedir(dir);
    return status;
}

static enum status make_folders(struct store_sqlite *store,
                                const struct store_sqlite_options *options, char *ret_job,
                                struct error *err)
{
    char jobs[DURABLE_PATH_MAX];
    if ((size_t)snprintf(ret_job, DURABLE_PATH_MAX, "%s/jobs/%s", options->folder,
                         options->job_id) >= DURABLE_PATH_MAX - STORE_NAME_MAX - 64)
        return error_set(err, STATUS_LIMIT, "the path %s is too long", options->folder);
    snprintf(jobs, sizeof(jobs), "%s/jobs", options->folder);
    snprintf(store->models, sizeof(store->models), "%.900s/models", ret_job);
    enum status status = durable_folder_make(options->folder, err);
    if (status == STATUS_OK)
        status = check_format(options->folder, err);
    if (status == STATUS_OK)
        status = durable_folder_make(jobs, err);
    if (status == STATUS_OK)
        status = durable_folder_make(ret_job, err);
    if (status == STATUS_OK)
        status = durable_folder_make(store->models, err);
    return status;
}

enum status store_sqlite_open(const struct store_sqlite_options *options, struct store **ret_store,
                              struct error *err)
{
    if (!store_name_is_valid(options->job_id))
        return error_set(err, STATUS_INVAL, "a job id must be letters, digits, '.', '_' or '-'");
    struct store_sqlite *const store = calloc(1, sizeof(*store));
    if (store == nullptr)
        return error_set(err, STATUS_NO_MEMORY, "no memory for a store");
    store->base.ops = &sqlite_ops;
    store->lock_fd = -1;
    store->models_keep = options->models_keep;
    char job[DURABLE_PATH_MAX], path[DURABLE_PATH_MAX];
    struct bytes gone;
    bytes_init(&gone, SIZE_MAX / 2);
    enum status status = make_folders(store, options, job, err);
    if (status != STATUS_OK)
        goto out;
    snprintf(path, sizeof(path), "%.900s/lock", job);
    status = lock_file_open(path, &store->lock_fd, err);
    if (status != STATUS_OK)
        goto out;
    snprintf(path, sizeof(path), "%.900s/state.db", job);
    status = store_database_open(&store->database, path, options->vfs, err);
    if (status == STATUS_OK)
        status = durable_folder_sync(job, err);
    if (status == STATUS_OK)
        status = prune(store, &gone, err);
    if (status == STATUS_OK)
        status = sweep_models(store, err);
out:
    bytes_deinit(&gone);
    if (status == STATUS_OK)
        *ret_store = &store->base;
    else
        close_store(&store->base);
    return status;
}

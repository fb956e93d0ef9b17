/*
 * audit_internal.h - what the files of an audit share; for no one else.
 */
#pragma once

#include "audit/audit.h"
#include "base/bytes.h"
#include "host/round_close.h"
#include "identity/svid.h"
#include "store/durable_file.h"
#include "store/store_snapshot.h"
#include "wire/record.h"

struct config;

enum { AUDIT_FILE_NAME_MAX = 96 }; /* of a model or state of a version */

/* A signing key and the certificate that vouches for it. */
struct audit_key {
    struct digest key_id;
    struct svid_info info;
    EVP_PKEY *key;
};

struct audit_keys {
    struct audit_key *items; /* rising by key id */
    size_t count;
    size_t capacity;
};

/* A row of the table of kept files. */
struct audit_file {
    char name[STORE_NAME_MAX];
    bool is_state;
    bool named; /* by a version */
};

struct audit_names {
    char (*items)[STORE_NAME_MAX];
    size_t count;
    size_t capacity;
};

/* What later versions and tables are compared with. */
struct audit_version {
    uint64_t sequence;
    uint64_t epoch;
    uint64_t number;
    uint64_t round;
    uint64_t blob_length;
    uint8_t instance_id[INSTANCE_ID_BYTES];
    struct digest id;
    struct digest model_digest;
    struct digest blob_digest;
    struct digest rule_state_digest;
    struct digest state_digest;
    int64_t committed_ms;
    enum wire_outcome outcome;
    enum record_best best;
    bool best_column;
    bool is_kept;   /* its model is listed */
    bool is_broken; /* its record could not be read: the figures are the columns' */
};

/* The arithmetic of rounds, carried from version to version. */
struct recompute {
    struct layout *layout; /* null until a model was read */
    struct layout *state_layout;
    struct server_optimiser optimiser;
    bool has_optimiser;
    struct model_file *model; /* of the version before; null: not known */
    struct model_file
        *state; /* of the optimiser, after the version before; null: none, or unknown */
    struct accumulator *accumulator;
    double norm_max; /* of the accumulator */
};

struct audit {
    const struct audit_options *options;
    struct audit_report *report;
    struct audit_job *job;
    char folder[DURABLE_PATH_MAX]; /* jobs/JOB */
    char place[AUDIT_PLACE_MAX];   /* what is looked at */
    struct trust *trust;
    char trust_domain[SPIFFE_ID_MAX];
    /* Read before the snapshot, so that it cannot be newer. */
    struct audit_names models;
    struct audit_names updates;
    struct bytes metrics; /* metrics.jsonl */
    bool has_metrics;
    size_t metrics_at; /* where the next line begins */
    struct store_snapshot snapshot;
    struct store_summary summary;
    struct audit_keys keys;
    struct audit_file *files; /* rising by name */
    size_t file_count;
    size_t file_capacity;
    struct audit_version *versions;
    size_t version_count;
    size_t version_capacity;
    struct recompute recompute;
    uint32_t snapshots_again; /* taken to see whether retention took a file */
};

/* audit_report.c */
/* Says what is looked at from now on, below the job's folder. */
void audit_at(struct audit *audit, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Adds a finding at the present place. */
void audit_find(struct audit *audit, const char *expected, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Adds what could not be checked of a version. */
void audit_miss(struct audit *audit, uint64_t version, const char *what);
void audit_expect_number(struct audit *audit, const char *what, uint64_t found, uint64_t expected);
void audit_expect_digest(struct audit *audit, const char *what, const struct digest *found,
                         const struct digest *expected);
void audit_expect_text(struct audit *audit, const char *what, const char *found,
                       const char *expected);

/* audit_rows.c: rows whose columns have the types that they were written with. */
/* types: a letter a column: i, f, t (no zero inside), b. */
enum audit_row { AUDIT_ROW, AUDIT_NO_ROW };
/* Null, and a finding, where the table cannot be read. */
sqlite3_stmt *audit_prepare(struct audit *audit, const char *sql);
/* Steps; a column of another type is a finding, and an error of the database ends the rows. */
enum audit_row audit_step(struct audit *audit, sqlite3_stmt *statement, const char *types);
const char *audit_text(sqlite3_stmt *statement, int column);
struct slice audit_bytes(sqlite3_stmt *statement, int column);
/* False, and a finding, where the column has another length. */
bool audit_digest(struct audit *audit, sqlite3_stmt *statement, int column,
                  struct digest *ret_digest);
void audit_bind_digest(sqlite3_stmt *statement, int index, const struct digest *digest);

/* audit_tables.c: the database as such, and the tables that belong to no one commit. */
/* VERSION, CORRUPT: nothing more can be read. */
[[nodiscard]] enum status audit_database(struct audit *audit, struct error *err);
[[nodiscard]] enum status audit_read_files(struct audit *audit, struct error *err);
void audit_state(struct audit *audit);
void audit_members(struct audit *audit);
void audit_evidence(struct audit *audit);
void audit_files_table(struct audit *audit);

/* audit_keys.c */
[[nodiscard]] enum status audit_read_trust(struct audit *audit, struct error *err);
[[nodiscard]] enum status audit_read_keys(struct audit *audit, struct error *err);
const struct audit_key *audit_find_key(const struct audit *audit, const struct digest *key_id);
/* Verifies, and counts; a finding where it does not hold. valid_from_s and valid_to_s: the key must
 * have been valid at a time from the one to the other. */
bool audit_signature(struct audit *audit, const char *who, const struct digest *key_id,
                     const char *context, struct slice message, struct slice signature,
                     int64_t valid_from_s, int64_t valid_to_s, const struct audit_key **ret_key);
void audit_keys_deinit(struct audit_keys *keys);

/* audit_commits.c: the chain of records, and the rows of each. */
[[nodiscard]] enum status audit_commits(struct audit *audit, struct error *err);
/* One update of a record: who signed it, what it is for, what it weighs, its row. */
void audit_accepted(struct audit *audit, const struct record_head *head,
                    const struct record_accepted *accepted, uint64_t sequence,
                    sqlite3_stmt *counted);
/* The value of a rule's parameter; null where the record has none of that name. */
const char *audit_parameter(const struct record_head *head, const char *name);
void audit_model_name(uint64_t number, const struct digest *model_digest, bool is_state,
                      char ret_name[static AUDIT_FILE_NAME_MAX]);
struct audit_file *audit_find_file(const struct audit *audit, const char *name);

/* audit_recompute.c */
/* The model of the last version in versions, its kept updates, and what they make of the model
 * before. */
[[nodiscard]] enum status audit_version_model(struct audit *audit, const struct record *record,
                                              struct error *err);
/* The optimiser's state beside the last model. */
[[nodiscard]] enum status audit_last_state(struct audit *audit, struct error *err);
void audit_recompute_deinit(struct recompute *recompute);

/* audit_files.c */
/* The names in a folder, sorted; none where it is not there. IO, NO_MEMORY. */
[[nodiscard]] enum status audit_list(const char *path, struct audit_names *ret_names,
                                     struct error *err);
bool audit_names_have(const struct audit_names *names, const char *name);
void audit_names_deinit(struct audit_names *names);
/* The whole of a file of at most size_max bytes, malloc's. NOT_FOUND, IO, LIMIT, NO_MEMORY. */
[[nodiscard]] enum status audit_read_file(const char *path, uint64_t size_max, uint8_t **ret_bytes,
                                          size_t *ret_size, struct error *err);
/* Whether the database still lists a file that was not found. */
bool audit_is_still_kept(struct audit *audit, const char *name);
/* Files beside those that versions name. */
[[nodiscard]] enum status audit_other_files(struct audit *audit, struct error *err);
/* Compares the next line of metrics.jsonl with that of a commit. */
void audit_metrics_line(struct audit *audit, struct slice line);
void audit_metrics_end(struct audit *audit);

/*
 * store.h - what a coordinator (or an island's edge) keeps of one job: epochs, commits, receipts,
 * roster, certificates, evidence, models.
 *
 * Two implementations behind one table: SQLite and model files (store_sqlite.h), and memory
 * (store_memory.h). Calls are synchronous, may block on the disk, and are not thread-safe. After
 * any failing call the old state is intact; after IO from a writing call the store refuses further
 * writing (IO, "reopen") because only a new start can tell what reached the disk.
 * Not here: the meaning of a record (wire/), a node's own update (outbox.h).
 */
#pragma once

#include "base/bytes.h"
#include "base/digest.h"
#include "base/status.h"
#include "core/reputation.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    STORE_INSTANCE_BYTES = 16,
    STORE_NAME_MAX = 256,               /* bytes of a SPIFFE id or a model's file name, with zero */
    STORE_REASON_MAX = 256,             /* bytes of a reason, with its zero */
    STORE_OUTCOME_MAX = 256,            /* bytes of a job's outcome, with its zero */
    STORE_METRICS_BYTES_MAX = 1 << 20,  /* bytes of one round's metrics line */
    STORE_RECORD_BYTES_MAX = 256 << 20, /* bytes of one commit record */
    STORE_LEARN_STATE_BYTES_MAX = 1 << 16, /* bytes of what a job remembers besides its model */
    STORE_CERTIFICATE_BYTES_MAX = 1 << 16, /* bytes of one certificate or statement */
    STORE_EVIDENCE_BYTES_MAX = 1 << 16,    /* bytes of each of the two messages */
    STORE_EVIDENCE_MAX = 1000,             /* rows kept; the oldest goes when one more comes */
    STORE_ITEMS_MAX = 1 << 20,             /* rows of one kind in one commit */
};

/* One committed version: the columns that are searched; the record itself is opaque bytes. */
struct store_version {
    uint64_t sequence; /* order of commits in this store, from 1; the store's, ignored on commit */
    uint32_t fork;
    uint64_t epoch;
    uint64_t number; /* label of the version within (job, fork, epoch) */
    uint64_t round;
    struct digest id;     /* digest of the record */
    struct digest parent; /* id of the version before; zero for the first */
    struct digest model_digest;
    struct digest blob_digest;
    int64_t created_ms;              /* wall time, ms since 1970 */
    char model_file[STORE_NAME_MAX]; /* name given to store_put_model */
    bool best; /* the best so far when it, or the one after it, was committed: its model is kept */
};

/* An update that a version counted; at most one a (fork, round, node). */
struct store_counted {
    const char *node; /* SPIFFE id */
    uint64_t round;   /* the round the update was made for */
    uint64_t attempt;
    uint64_t samples;
    struct digest payload_digest;
};

/* An update that was not counted, and why. */
struct store_dropped {
    const char *node;
    uint64_t round;
    struct digest payload_digest;
    const char *reason; /* non-empty */
};

/* What is known of one node; a commit's entry replaces the one of that name. */
struct store_member {
    char name[STORE_NAME_MAX];
    bool active;
    struct digest key_id;
    uint64_t asked_round; /* the round in which it was asked last; 0: never */
    uint64_t samples;     /* of its last accepted update */
    uint64_t
        counted_round; /* the last one that an update of it was made for and counted; 0: none */
    struct reputation reputation;
};

/* Everything that one commit makes durable together. Borrowed for the call only. */
struct store_commit {
    struct store_version version;
    bool parent_is_best; /* the version before it turned out to be the best so far */
    struct slice record;
    const struct store_counted *counted;
    size_t counted_count;
    const struct store_dropped *dropped;
    size_t dropped_count;
    const struct store_member *members;
    size_t member_count;
    uint64_t open_round;      /* the round that is open from now on */
    const char *outcome;      /* null while the job goes on */
    const char *metrics;      /* null, or one line of text for this round */
    struct slice learn_state; /* opaque; replaces the one before, as nothing where it is empty */
    const char *state_file;   /* null, or a name given to store_put_model: the large part of that */
};

/* Where the job stands. */
struct store_summary {
    uint64_t epoch; /* 0: never raised */
    uint8_t instance_id[STORE_INSTANCE_BYTES];
    uint64_t open_round; /* 0 before the first commit */
    uint64_t commit_count;
    char outcome[STORE_OUTCOME_MAX]; /* empty while the job goes on */
    char state_file[STORE_NAME_MAX]; /* of the latest commit; empty: it named none */
    bool paused;
};

enum store_receipt_kind {
    STORE_RECEIPT_COUNTED,
    STORE_RECEIPT_DROPPED,
};

struct store_receipt {
    enum store_receipt_kind kind;
    struct store_version version;  /* the version whose commit said so */
    char reason[STORE_REASON_MAX]; /* DROPPED only */
};

struct store;

/* The slots hold what the functions below say; arguments were checked before a slot is called. */
struct store_ops {
    const char *name;
    enum status (*raise_epoch)(struct store *store, uint64_t held, uint64_t at_least,
                               const uint8_t instance_id[static STORE_INSTANCE_BYTES],
                               uint64_t *ret_epoch, struct error *err);
    enum status (*put_model)(struct store *store, const char *name, const struct slice *slices,
                             size_t count, struct error *err);
    enum status (*read_model)(struct store *store, const char *name, uint64_t offset, void *out,
                              size_t size, size_t *ret_size, struct error *err);
    enum status (*commit)(struct store *store, const struct store_commit *commit,
                          struct error *err);
    enum status (*find_latest)(struct store *store, struct store_version *ret_version,
                               struct bytes *ret_record, struct error *err);
    enum status (*find_number)(struct store *store, uint32_t fork, uint64_t number,
                               struct store_version *ret_version, struct bytes *ret_record,
                               struct error *err);
    enum status (*find_after)(struct store *store, uint64_t sequence,
                              struct store_version *ret_version, struct bytes *ret_record,
                              struct error *err);
    enum status (*find_round)(struct store *store, uint32_t fork, uint64_t round,
                              struct store_version *ret_version, struct error *err);
    enum status (*find_receipt)(struct store *store, uint32_t fork, uint64_t round,
                                const char *node, const struct digest *payload_digest,
                                struct store_receipt *ret_receipt, struct error *err);
    enum status (*find_member_after)(struct store *store, const char *name,
                                     struct store_member *ret_member, struct error *err);
    enum status (*find_metrics_after)(struct store *store, uint64_t sequence,
                                      uint64_t *ret_sequence, struct bytes *ret_text,
                                      struct error *err);
    enum status (*read_summary)(struct store *store, struct store_summary *ret_summary,
                                struct error *err);
    enum status (*read_learn_state)(struct store *store, struct bytes *ret_state,
                                    struct error *err);
    enum status (*set_paused)(struct store *store, bool paused, struct error *err);
    enum status (*clear_outcome)(struct store *store, struct error *err);
    enum status (*put_certificate)(struct store *store, const struct digest *key_id,
                                   struct slice der, struct error *err);
    enum status (*find_certificate)(struct store *store, const struct digest *key_id,
                                    struct bytes *ret_der, struct error *err);
    enum status (*put_evidence)(struct store *store, const char *node, struct slice first,
                                struct slice second, struct error *err);
    enum status (*find_evidence_after)(struct store *store, uint64_t sequence,
                                       uint64_t *ret_sequence, char ret_node[static STORE_NAME_MAX],
                                       struct bytes *ret_first, struct bytes *ret_second,
                                       struct error *err);
    void (*close)(struct store *store);
};

/* The head of every implementation's own struct. */
struct store {
    const struct store_ops *ops;
};

/*
 * Raises the epoch to max(stored, at_least - 1) + 1 with the random id of this start; durable when
 * it returns. held: the epoch that this process raised last; 0: none yet. EXISTS where the store is
 * at another than that: a later process has it, and this one must end. LIMIT where no number is
 * left (the stored one is 2^63 - 1, the largest), INVAL where at_least is over 2^63 - 1.
 */
[[nodiscard]] enum status store_raise_epoch(struct store *store, uint64_t held, uint64_t at_least,
                                            const uint8_t instance_id[static STORE_INSTANCE_BYTES],
                                            uint64_t *ret_epoch, struct error *err);

/*
 * Makes a model durable under a name of letters, digits, '.', '_' and '-', not beginning with '.'.
 * Call it before the commit that names it; one that no commit names is gone after the next start.
 * EXISTS where a commit names it already (the file is left alone), INVAL, NO_SPACE, IO.
 */
[[nodiscard]] enum status store_put_model(struct store *store, const char *name,
                                          const struct slice *slices, size_t count,
                                          struct error *err);

/*
 * Reads up to size bytes of a model from offset; fewer at its end, 0 behind it.
 * NOT_FOUND where it never was or retention took it.
 */
[[nodiscard]] enum status store_read_model(struct store *store, const char *name, uint64_t offset,
                                           void *out, size_t size, size_t *ret_size,
                                           struct error *err);

/*
 * Commits a version with all that belongs to it, in one transaction: all or nothing, durable when
 * it returns OK. EXISTS: the version, its number in (fork, epoch), a sibling of the same number
 * and parent, or an update of it (fork, round, node) was committed before. INVAL: the model was
 * not put, the epoch is not the one that the store is at (a later process has raised it), the job
 * has ended, text too long or missing. LIMIT: too many bytes or rows. NO_SPACE, IO, NO_MEMORY.
 * Then models beyond retention are removed (those of the latest and the best version never), and
 * the state file of the commit before, unless this one names it again or it is a kept model.
 */
[[nodiscard]] enum status store_commit(struct store *store, const struct store_commit *commit,
                                       struct error *err);

/*
 * The version committed last; of a number in a fork (its newest epoch); the first after a sequence
 * (0: from the start), to go through all. ret_record may be null; it is emptied and filled with
 * the record (LIMIT where it does not fit). NOT_FOUND, IO, CORRUPT, NO_MEMORY.
 */
[[nodiscard]] enum status store_find_latest(struct store *store, struct store_version *ret_version,
                                            struct bytes *ret_record, struct error *err);
[[nodiscard]] enum status store_find_number(struct store *store, uint32_t fork, uint64_t number,
                                            struct store_version *ret_version,
                                            struct bytes *ret_record, struct error *err);
[[nodiscard]] enum status store_find_after(struct store *store, uint64_t sequence,
                                           struct store_version *ret_version,
                                           struct bytes *ret_record, struct error *err);

/* The version committed last among those of a round in a fork. NOT_FOUND, IO, CORRUPT. */
[[nodiscard]] enum status store_find_round(struct store *store, uint32_t fork, uint64_t round,
                                           struct store_version *ret_version, struct error *err);

/* What became of an update; NOT_FOUND: neither counted nor dropped by a commit. */
[[nodiscard]] enum status store_find_receipt(struct store *store, uint32_t fork, uint64_t round,
                                             const char *node, const struct digest *payload_digest,
                                             struct store_receipt *ret_receipt, struct error *err);

/* The member whose name follows name by bytes ("": the first). NOT_FOUND at the end. */
[[nodiscard]] enum status store_find_member_after(struct store *store, const char *name,
                                                  struct store_member *ret_member,
                                                  struct error *err);

/* The metrics line of the first commit after sequence that has one, without a zero at its end.
 * NOT_FOUND at the end. */
[[nodiscard]] enum status store_find_metrics_after(struct store *store, uint64_t sequence,
                                                   uint64_t *ret_sequence, struct bytes *ret_text,
                                                   struct error *err);

/* Epoch, open round, outcome, number of commits, state file, whether the job is paused. */
[[nodiscard]] enum status store_read_summary(struct store *store, struct store_summary *ret_summary,
                                             struct error *err);

/* The learn state of the latest commit; ret_state is emptied and filled, and stays empty where
 * there is none. LIMIT where it does not fit. */
[[nodiscard]] enum status store_read_learn_state(struct store *store, struct bytes *ret_state,
                                                 struct error *err);

/* Notes whether the job is paused; durable when it returns. A commit does not change it. */
[[nodiscard]] enum status store_set_paused(struct store *store, bool paused, struct error *err);

/* Forgets the outcome, so that the job goes on from its latest version; durable when it returns. */
[[nodiscard]] enum status store_clear_outcome(struct store *store, struct error *err);

/*
 * Keeps a certificate or statement under its key id; found at once, durable with the next commit.
 * The same again changes nothing; other bytes under the same id: EXISTS. LIMIT, NO_MEMORY.
 */
[[nodiscard]] enum status store_put_certificate(struct store *store, const struct digest *key_id,
                                                struct slice der, struct error *err);

/* ret_der is emptied and filled. NOT_FOUND. */
[[nodiscard]] enum status store_find_certificate(struct store *store, const struct digest *key_id,
                                                 struct bytes *ret_der, struct error *err);

/*
 * Keeps two messages of one node that contradict each other; durable when it returns. At most
 * STORE_EVIDENCE_MAX rows are kept; the oldest goes.
 */
[[nodiscard]] enum status store_put_evidence(struct store *store, const char *node,
                                             struct slice first, struct slice second,
                                             struct error *err);

/* The first row after sequence (0: the oldest kept); the buffers are emptied and filled. NOT_FOUND
 * at the end. */
[[nodiscard]] enum status store_find_evidence_after(struct store *store, uint64_t sequence,
                                                    uint64_t *ret_sequence,
                                                    char ret_node[static STORE_NAME_MAX],
                                                    struct bytes *ret_first,
                                                    struct bytes *ret_second, struct error *err);

/* Ends the use of the store; null is allowed. What no commit covered is lost. */
void store_close(struct store *store);

/* Whether a member can have such a reputation; INVAL. */
[[nodiscard]] enum status store_check_reputation(const struct reputation *reputation,
                                                 struct error *err);

/* Whether a name can be a model's file name (see store_put_model). */
bool store_name_is_valid(const char *name);

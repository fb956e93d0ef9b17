/*
 * record.h - commit records: encoded, signed, read without copying the accepted set.
 *
 * A version's id is the digest of its record's bytes. Not here: whether the record is true, which
 * is shown by computing the round again; where records are kept (store/).
 */
#pragma once

#include "wire/messages.h"

enum {
    RECORD_NAME_MAX = 65,   /* bytes with the zero */
    RECORD_VALUE_MAX = 256, /* bytes with the zero */
    RECORD_PARAMETER_COUNT_MAX = 64,
    RECORD_HEAD_BYTES_MAX = 32768,
    RECORD_ACCEPTED_COUNT_MAX = 1 << 20,
};

struct record_parameter {
    char name[RECORD_NAME_MAX];
    char value[RECORD_VALUE_MAX];
};

enum validation_source {
    VALIDATION_NONE = 0,
    VALIDATION_CENTRAL = 1,
    VALIDATION_NODES = 2,
    VALIDATION_BOTH = 3,
};

/* Which version turned out to be the best so far. */
enum record_best {
    RECORD_BEST_AS_BEFORE = 0,
    RECORD_BEST_THIS = 1,
    RECORD_BEST_PARENT = 2,
};

/* fedra.v1.RecordHead, where every field's unit and range is written. */
struct record_head {
    char job[JOB_NAME_MAX];
    uint32_t hash_id;
    uint32_t fork;
    uint32_t attempt;
    uint64_t epoch;
    uint64_t number;
    struct digest parent_id;
    uint64_t round;
    uint8_t instance_id[INSTANCE_ID_BYTES];
    char rule[RECORD_NAME_MAX];
    uint32_t parameter_count;
    struct record_parameter parameters[RECORD_PARAMETER_COUNT_MAX]; /* rising by name */
    struct digest rule_state_digest;
    double learning_rate;
    uint64_t round_seed;
    enum validation_source validation_source;
    double validation_loss;
    double validation_accuracy;
    uint64_t validation_samples;
    char validation_choice[RECORD_NAME_MAX];
    struct digest model_digest;
    struct digest model_blob_digest;
    uint64_t model_blob_length;
    struct digest layout_digest;
    double aggregate_norm;
    uint64_t committed_unix_ms;
    enum wire_outcome outcome;
    uint32_t accepted_count;
    struct digest history_digest; /* of rows of the store (store/store_digest.h); 0: not said */
    struct digest state_digest;   /* the same; 0: not said */
    enum record_best best;
};

/* One update of the accepted set. When encoding, the slices are the caller's. */
struct record_accepted {
    struct slice header_bytes;
    struct slice signature;
    uint32_t weight;
    uint32_t order; /* of arrival, from 1, where the rule depends on it; else 0 */
    struct digest key_id;
};

/* A record that was read: the head, and where the accepted set lies in the input. */
struct record {
    struct record_head head;
    struct slice accepted; /* for record_iter_init */
};

/* A signed record that was split; the slices lie in the input. */
struct signed_record {
    struct slice record;
    struct slice signature;
    struct digest key_id;
    struct digest version_id; /* digest of the record's bytes */
};

struct record_iter {
    struct slice rest;
};

/*
 * Appends the serialised record; equal arguments give equal bytes.
 *
 * head      accepted_count is the length of accepted.
 * accepted  updates of the record's job, rising by (bytes of the SPIFFE id, sequence) of their
 *           headers: aborts otherwise, as it does for parameters that are not sorted.
 *
 * INVAL for a head that record_decode would refuse, LIMIT and NO_MEMORY from out; nothing is
 * appended then.
 */
[[nodiscard]] enum status record_encode(const struct record_head *head,
                                        const struct record_accepted *accepted, struct bytes *out,
                                        struct error *err);

/*
 * Reads a record and walks its accepted set once: counted, sorted, updates of
 * the same job, key ids as in the headers.
 * Signatures of the accepted updates are for the caller to verify. input must outlive ret_record.
 * CORRUPT with what was wrong in err, VERSION, NO_MEMORY.
 */
[[nodiscard]] enum status record_decode(struct slice input, struct record *ret_record,
                                        struct error *err);

/* Starts at the first accepted update of a decoded record. */
void record_iter_init(struct record_iter *iter, const struct record *record);

/* Gives the next accepted update, slices in the record's bytes; false after the last. */
bool record_iter_next(struct record_iter *iter, struct record_accepted *ret_accepted);

/*
 * Signs the digest of a serialised record under "fedra/v1/commit" and appends the SignedRecord.
 * ret_version_id is the version's id. Errors of the signer and of out; nothing is appended then.
 */
[[nodiscard]] enum status record_sign(struct slice record, const struct signer *signer,
                                      struct bytes *out, struct digest *ret_version_id);

/* Splits a SignedRecord and computes its version id. CORRUPT with the reason in err. */
[[nodiscard]] enum status signed_record_decode(struct slice input, struct signed_record *ret_record,
                                               struct error *err);

/*
 * Verifies the coordinator's signature; gives the signer's SPIFFE id, whose role the caller checks.
 * now_unix_s is wall time in seconds: for an audit, the time of the commit. IDENTITY, SIGNATURE,
 * and what the verifier says.
 */
[[nodiscard]] enum status signed_record_verify(const struct signed_record *record,
                                               const struct verifier *verifier, int64_t now_unix_s,
                                               char ret_spiffe_id[static SPIFFE_ID_MAX],
                                               struct error *err);

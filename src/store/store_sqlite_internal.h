/*
 * store_sqlite_internal.h - what store_sqlite.c and store_sqlite_find.c share; for no one else.
 */
#pragma once

#include "store/durable_file.h"
#include "store/store.h"
#include "store/store_database.h"

/* A certificate that the next commit makes durable. */
struct store_pending_certificate {
    struct digest key_id;
    struct bytes der;
};

struct store_sqlite {
    struct store base;
    struct store_database database;
    int lock_fd;
    uint32_t models_keep;
    char models[DURABLE_PATH_MAX]; /* the folder of the model files */
    struct store_pending_certificate *pending;
    size_t pending_count;
};

/* Slots of struct store_ops. */
enum status store_sqlite_find_latest(struct store *base, struct store_version *ret_version,
                                     struct bytes *ret_record, struct error *err);
enum status store_sqlite_find_number(struct store *base, uint32_t fork, uint64_t number,
                                     struct store_version *ret_version, struct bytes *ret_record,
                                     struct error *err);
enum status store_sqlite_find_after(struct store *base, uint64_t sequence,
                                    struct store_version *ret_version, struct bytes *ret_record,
                                    struct error *err);
enum status store_sqlite_find_round(struct store *base, uint32_t fork, uint64_t round,
                                    struct store_version *ret_version, struct error *err);
enum status store_sqlite_find_receipt(struct store *base, uint32_t fork, uint64_t round,
                                      const char *node, const struct digest *payload_digest,
                                      struct store_receipt *ret_receipt, struct error *err);
enum status store_sqlite_find_member_after(struct store *base, const char *name,
                                           struct store_member *ret_member, struct error *err);
enum status store_sqlite_find_metrics_after(struct store *base, uint64_t sequence,
                                            uint64_t *ret_sequence, struct bytes *ret_text,
                                            struct error *err);
enum status store_sqlite_read_summary(struct store *base, struct store_summary *ret_summary,
                                      struct error *err);
enum status store_sqlite_read_learn_state(struct store *base, struct bytes *ret_state,
                                          struct error *err);
enum status store_sqlite_find_certificate(struct store *base, const struct digest *key_id,
                                          struct bytes *ret_der, struct error *err);
enum status store_sqlite_find_evidence_after(struct store *base, uint64_t sequence,
                                             uint64_t *ret_sequence,
                                             char ret_node[static STORE_NAME_MAX],
                                             struct bytes *ret_first, struct bytes *ret_second,
                                             struct error *err);

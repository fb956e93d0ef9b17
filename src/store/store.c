/*
 * store.c - checks arguments once for every store, then calls the implementation.
 *
 * Not here: anything that is kept (store_sqlite.c, store_memory.c).
 */
#include "store/store.h"

#include "base/check.h"

#include <math.h>
#include <string.h>

bool store_name_is_valid(const char *name)
{
    const size_t size = strnlen(name, STORE_NAME_MAX);
    if (size == 0 || size >= STORE_NAME_MAX || name[0] == '.')
        return false;
    for (size_t i = 0; i < size; i++) {
        const char c = name[i];
        const bool ok = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                        (c >= '0' && c <= '9') || c == '.' || c == '_' || c == '-';
        if (!ok)
            return false;
    }
    return true;
}

static enum status check_text(const char *what, const char *text, size_t capacity, bool required,
                              struct error *err)
{
    if (text == nullptr && !required)
        return STATUS_OK;
    if (text == nullptr || (required && *text == '\0'))
        return error_set(err, STATUS_INVAL, "the %s is missing", what);
    if (strnlen(text, capacity) >= capacity)
        return error_set(err, STATUS_INVAL, "the %s is longer than %zu bytes", what, capacity - 1);
    return STATUS_OK;
}

static enum status check_number(const char *what, uint64_t number, struct error *err)
{
    if (number > INT64_MAX)
        return error_set(err, STATUS_INVAL, "the %s is %llu, over the largest, 2^63 - 1", what,
                         (unsigned long long)number);
    return STATUS_OK;
}

static enum status check_bytes(const char *what, struct slice slice, size_t size_max,
                               struct error *err)
{
    if (slice.size == 0 || slice.size > size_max)
        return error_set(err, STATUS_LIMIT, "the %s has %zu bytes; 1 to %zu are allowed", what,
                         slice.size, size_max);
    return STATUS_OK;
}

enum status store_check_reputation(const struct reputation *reputation, struct error *err)
{
    const uint64_t most = INT64_MAX;
    const bool counts = reputation->rounds <= most && reputation->flagged <= reputation->rounds &&
                        reputation->flagged_round <= most && reputation->until <= most &&
                        reputation->probation <= REPUTATION_WINDOW &&
                        reputation->recent < 1U << (REPUTATION_FLAGS_SHIFT + REPUTATION_WINDOW);
    const bool figures = isfinite(reputation->flag.score) && reputation->flag.score >= 0 &&
                         reputation->distrust >= 0 && reputation->distrust <= 1;
    if (counts && figures && (unsigned)reputation->flag.reason <= SUSPECTED_NON_FINITE)
        return STATUS_OK;
    return error_set(err, STATUS_INVAL, "the reputation of a member is out of range");
}

static enum status check_member(const struct store_member *member, struct error *err)
{
    enum status status = check_text("name of a member", member->name, STORE_NAME_MAX, true, err);
    if (status == STATUS_OK)
        status = check_number("round in which a member was asked", member->asked_round, err);
    if (status == STATUS_OK)
        status = check_number("samples of a member", member->samples, err);
    if (status == STATUS_OK)
        status = check_number("counted round of a member", member->counted_round, err);
    if (status == STATUS_OK)
        status = store_check_reputation(&member->reputation, err);
    return status;
}

static enum status check_rows(const struct store_commit *commit, struct error *err)
{
    if (commit->counted_count > STORE_ITEMS_MAX || commit->dropped_count > STORE_ITEMS_MAX ||
        commit->member_count > STORE_ITEMS_MAX)
        return error_set(err, STATUS_LIMIT, "a commit has more than %d rows of a kind",
                         STORE_ITEMS_MAX);
    enum status status = STATUS_OK;
    for (size_t i = 0; i < commit->counted_count && status == STATUS_OK; i++) {
        const struct store_counted *const row = &commit->counted[i];
        status = check_text("node of a counted update", row->node, STORE_NAME_MAX, true, err);
        if (status == STATUS_OK)
            status = check_number("round of a counted update", row->round, err);
        if (status == STATUS_OK)
            status = check_number("attempt of a counted update", row->attempt, err);
        if (status == STATUS_OK)
            status = check_number("samples of a counted update", row->samples, err);
    }
    for (size_t i = 0; i < commit->dropped_count && status == STATUS_OK; i++) {
        const struct store_dropped *const row = &commit->dropped[i];
        status = check_text("node of a dropped update", row->node, STORE_NAME_MAX, true, err);
        if (status == STATUS_OK)
            status =
                check_text("reason of a dropped update", row->reason, STORE_REASON_MAX, true, err);
        if (status == STATUS_OK)
            status = check_number("round of a dropped update", row->round, err);
    }
    for (size_t i = 0; i < commit->member_count && status == STATUS_OK; i++)
        status = check_member(&commit->members[i], err);
    return status;
}

static enum status check_commit(const struct store_commit *commit, struct error *err)
{
    const struct store_version *const version = &commit->version;
    if (!store_name_is_valid(version->model_file))
        return error_set(err, STATUS_INVAL, "the model file of version %llu has no valid name",
                         (unsigned long long)version->number);
    if (commit->state_file != nullptr && !store_name_is_valid(commit->state_file))
        return error_set(err, STATUS_INVAL, "the state file of version %llu has no valid name",
                         (unsigned long long)version->number);
    enum status status = check_bytes("commit record", commit->record, STORE_RECORD_BYTES_MAX, err);
    if (status == STATUS_OK && commit->learn_state.size > 0)
        status = check_bytes("learn state", commit->learn_state, STORE_LEARN_STATE_BYTES_MAX, err);
    if (status == STATUS_OK)
        status = check_number("epoch", version->epoch, err);
    if (status == STATUS_OK)
        status = check_number("version number", version->number, err);
    if (status == STATUS_OK)
        status = check_number("round", version->round, err);
    if (status == STATUS_OK)
        status = check_number("open round", commit->open_round, err);
    if (status == STATUS_OK)
        status = check_text("outcome", commit->outcome, STORE_OUTCOME_MAX, false, err);
    if (status == STATUS_OK)
        status = check_text("metrics line", commit->metrics, STORE_METRICS_BYTES_MAX, false, err);
    if (status == STATUS_OK)
        status = check_rows(commit, err);
    return status;
}

enum status store_raise_epoch(struct store *store, uint64_t held, uint64_t at_least,
                              const uint8_t instance_id[static STORE_INSTANCE_BYTES],
                              uint64_t *ret_epoch, struct error *err)
{
    const enum status status = check_number("epoch asked for", at_least, err);
    if (status != STATUS_OK)
        return status;
    return store->ops->raise_epoch(store, held, at_least, instance_id, ret_epoch, err);
}

enum status store_put_model(struct store *store, const char *name, const struct slice *slices,
                            size_t count, struct error *err)
{
    if (!store_name_is_valid(name))
        return error_set(err, STATUS_INVAL,
                         "a model's file name must be letters, digits, '.', '_' or '-'");
    return store->ops->put_model(store, name, slices, count, err);
}

enum status store_read_model(struct store *store, const char *name, uint64_t offset, void *out,
                             size_t size, size_t *ret_size, struct error *err)
{
    if (!store_name_is_valid(name))
        return error_set(err, STATUS_INVAL,
                         "a model's file name must be letters, digits, '.', '_' or '-'");
    const enum status status = check_number("offset in a model", offset, err);
    if (status != STATUS_OK)
        return status;
    return store->ops->read_model(store, name, offset, out, size, ret_size, err);
}

enum status store_commit(struct store *store, const struct store_commit *commit, struct error *err)
{
    const enum status status = check_commit(commit, err);
    if (status != STATUS_OK)
        return status;
    return store->ops->commit(store, commit, err);
}

enum status store_find_latest(struct store *store, struct store_version *ret_version,
                              struct bytes *ret_record, struct error *err)
{
    return store->ops->find_latest(store, ret_version, ret_record, err);
}

enum status store_find_number(struct store *store, uint32_t fork, uint64_t number,
                              struct store_version *ret_version, struct bytes *ret_record,
                              struct error *err)
{
    return store->ops->find_number(store, fork, number, ret_version, ret_record, err);
}

enum status store_find_after(struct store *store, uint64_t sequence,
                             struct store_version *ret_version, struct bytes *ret_record,
                             struct error *err)
{
    return store->ops->find_after(store, sequence, ret_version, ret_record, err);
}

enum status store_find_round(struct store *store, uint32_t fork, uint64_t round,
                             struct store_version *ret_version, struct error *err)
{
    return store->ops->find_round(store, fork, round, ret_version, err);
}

enum status store_find_receipt(struct store *store, uint32_t fork, uint64_t round, const char *node,
                               const struct digest *payload_digest,
                               struct store_receipt *ret_receipt, struct error *err)
{
    return store->ops->find_receipt(store, fork, round, node, payload_digest, ret_receipt, err);
}

enum status store_find_member_after(struct store *store, const char *name,
                                    struct store_member *ret_member, struct error *err)
{
    return store->ops->find_member_after(store, name, ret_member, err);
}

enum status store_find_metrics_after(struct store *store, uint64_t sequence, uint64_t *ret_sequence,
                                     struct bytes *ret_text, struct error *err)
{
    return store->ops->find_metrics_after(store, sequence, ret_sequence, ret_text, err);
}

enum status store_read_summary(struct store *store, struct store_summary *ret_summary,
                               struct error *err)
{
    return store->ops->read_summary(store, ret_summary, err);
}

enum status store_read_learn_state(struct store *store, struct bytes *ret_state, struct error *err)
{
    return store->ops->read_learn_state(store, ret_state, err);
}

enum status store_set_paused(struct store *store, bool paused, struct error *err)
{
    return store->ops->set_paused(store, paused, err);
}

enum status store_clear_outcome(struct store *store, struct error *err)
{
    return store->ops->clear_outcome(store, err);
}

enum status store_put_certificate(struct store *store, const struct digest *key_id,
                                  struct slice der, struct error *err)
{
    const enum status status = check_bytes("certificate", der, STORE_CERTIFICATE_BYTES_MAX, err);
    if (status != STATUS_OK)
        return status;
    return store->ops->put_certificate(store, key_id, der, err);
}

enum status store_find_certificate(struct store *store, const struct digest *key_id,
                                   struct bytes *ret_der, struct error *err)
{
    return store->ops->find_certificate(store, key_id, ret_der, err);
}

enum status store_put_evidence(struct store *store, const char *node, struct slice first,
                               struct slice second, struct error *err)
{
    enum status status = check_text("node of the evidence", node, STORE_NAME_MAX, true, err);
    if (status == STATUS_OK)
        status = check_bytes("first message", first, STORE_EVIDENCE_BYTES_MAX, err);
    if (status == STATUS_OK)
        status = check_bytes("second message", second, STORE_EVIDENCE_BYTES_MAX, err);
    if (status != STATUS_OK)
        return status;
    return store->ops->put_evidence(store, node, first, second, err);
}

enum status store_find_evidence_after(struct store *store, uint64_t sequence,
                                      uint64_t *ret_sequence, char ret_node[static STORE_NAME_MAX],
                                      struct bytes *ret_first, struct bytes *ret_second,
                                      struct error *err)
{
    return store->ops->find_evidence_after(store, sequence, ret_sequence, ret_node, ret_first,
                                           ret_second, err);
}

void store_close(struct store *store)
{
    if (store == nullptr)
        return;
    CHECK(store->ops != nullptr);
    store->ops->close(store);
}

/*
 * store_memory.c - a store in memory whose crash loses exactly what no commit made durable.
 *
 * Every table is an array of rows in the order of their arrival, but members, which are in the
 * order of their names. Receipts are found by a hash; other searches are linear, in the number of
 * versions. Not here: the checks of arguments (store.c).
 */
#include "store/store_memory.h"

#include "store/row_index.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct version_row {
    struct store_version version;
    struct bytes record;
    struct bytes metrics;
    bool has_metrics;
};

/* COUNTED where reason is empty. */
struct receipt_row {
    uint32_t fork;
    uint64_t round;
    char node[STORE_NAME_MAX];
    struct digest payload_digest;
    char reason[STORE_REASON_MAX];
    uint64_t sequence;
};

struct model_row {
    char name[STORE_NAME_MAX];
    struct bytes content;
    bool kept;     /* named by a commit */
    bool is_state; /* only as its state file */
};

struct certificate_row {
    struct digest key_id;
    struct bytes der;
    bool durable;
};

struct evidence_row {
    uint64_t sequence;
    char node[STORE_NAME_MAX];
    struct bytes first;
    struct bytes second;
};

/* count rows of one kind, room for capacity. */
#define ROWS(type)                                                                                 \
    struct {                                                                                       \
        struct type *items;                                                                        \
        size_t count;                                                                              \
        size_t capacity;                                                                           \
    }

struct store_memory {
    struct store base;
    uint32_t models_keep;
    uint32_t fail_countdown;
    enum status fail_status;
    bool fails_late; /* the change that fails is made */
    struct store_summary summary;
    struct bytes learn_state;
    uint64_t evidence_sequence;
    ROWS(version_row) versions;
    ROWS(receipt_row) receipts;
    struct row_index receipt_index; /* by node, round and fork */
    ROWS(store_member) members;
    ROWS(model_row) models;
    ROWS(certificate_row) certificates;
    ROWS(evidence_row) evidence;
};

/* Room for more rows; the rows stay as they are. NO_MEMORY. */
static enum status grow(void *items_pointer, size_t count, size_t more, size_t *capacity,
                        size_t size, struct error *err)
{
    if (more <= *capacity - count)
        return STATUS_OK;
    const size_t wanted = 2 * (count + more);
    void *items = nullptr;
    memcpy(&items, items_pointer, sizeof(items));
    items = reallocarray(items, wanted, size);
    if (items == nullptr)
        return error_set(err, STATUS_NO_MEMORY, "no memory for %zu rows", wanted);
    memcpy(items_pointer, &items, sizeof(items));
    *capacity = wanted;
    return STATUS_OK;
}

#define GROW(rows, more, err)                                                                      \
    grow(&(rows).items, (rows).count, (more), &(rows).capacity, sizeof(*(rows).items), (err))

static enum status copy_bytes(struct slice from, struct bytes *to, struct error *err)
{
    to->size = 0;
    const enum status status = from.size == 0 ? STATUS_OK : bytes_append(to, from.data, from.size);
    if (status != STATUS_OK)
        return error_set(err, status, "%zu bytes do not fit into a buffer of at most %zu",
                         from.size, to->size_max);
    return STATUS_OK;
}

/* Counts down to the failure that a test asked for. *ret_late: what to give once the change is
 * made. */
static enum status fail_point(struct store_memory *store, enum status *ret_late, struct error *err)
{
    *ret_late = STATUS_OK;
    if (store->fail_countdown == 0 || --store->fail_countdown > 0)
        return STATUS_OK;
    error_set(err, store->fail_status, "the store was told to fail");
    if (!store->fails_late)
        return store->fail_status;
    *ret_late = store->fail_status;
    return STATUS_OK;
}

static enum status raise_epoch(struct store *base, uint64_t held, uint64_t at_least,
                               const uint8_t instance_id[static STORE_INSTANCE_BYTES],
                               uint64_t *ret_epoch, struct error *err)
{
    struct store_memory *const store = (struct store_memory *)base;
    if (held != 0 && held != store->summary.epoch)
        return error_set(err, STATUS_EXISTS, "the epoch %llu is over: the store is at %llu",
                         (unsigned long long)held, (unsigned long long)store->summary.epoch);
    if (store->summary.epoch >= INT64_MAX)
        return error_set(err, STATUS_LIMIT, "no epoch is left");
    enum status late = STATUS_OK;
    const enum status status = fail_point(store, &late, err);
    if (status != STATUS_OK)
        return status;
    const uint64_t next = store->summary.epoch + 1;
    store->summary.epoch = next > at_least ? next : at_least;
    memcpy(store->summary.instance_id, instance_id, STORE_INSTANCE_BYTES);
    if (late == STATUS_OK)
        *ret_epoch = store->summary.epoch;
    return late;
}

static struct model_row *find_model(struct store_memory *store, const char *name)
{
    for (size_t i = 0; i < store->models.count; i++)
        if (strcmp(store->models.items[i].name, name) == 0)
            return &store->models.items[i];
    return nullptr;
}

static enum status put_model(struct store *base, const char *name, const struct slice *slices,
                             size_t count, struct error *err)
{
    struct store_memory *const store = (struct store_memory *)base;
    struct model_row *row = find_model(store, name);
    if (row != nullptr && row->kept)
        return error_set(err, STATUS_EXISTS, "the model %s is in use by a committed version", name);
    enum status late = STATUS_OK;
    enum status status = fail_point(store, &late, err);
    struct bytes content;
    bytes_init(&content, SIZE_MAX / 2);
    for (size_t i = 0; i < count && status == STATUS_OK; i++)
        if (slices[i].size > 0)
            status = bytes_append(&content, slices[i].data, slices[i].size);
    if (status == STATUS_OK && row == nullptr)
        status = GROW(store->models, 1, err);
    if (status != STATUS_OK) {
        bytes_deinit(&content);
        return status;
    }
    if (row == nullptr) {
        row = &store->models.items[store->models.count++];
        snprintf(row->name, sizeof(row->name), "%s", name);
        row->kept = false;
        row->is_state = false;
    } else {
        bytes_deinit(&row->content);
    }
    row->content = content;
    return late;
}

static enum status read_model(struct store *base, const char *name, uint64_t offset, void *out,
                              size_t size, size_t *ret_size, struct error *err)
{
    const struct model_row *const row = find_model((struct store_memory *)base, name);
    if (row == nullptr)
        return error_set(err, STATUS_NOT_FOUND, "no such model: %s", name);
    const size_t left = offset < row->content.size ? row->content.size - (size_t)offset : 0;
    const size_t done = left < size ? left : size;
    if (done > 0)
        memcpy(out, row->content.data + offset, done);
    *ret_size = done;
    return STATUS_OK;
}

/* Removes the models whose row does not satisfy the predicate of retention or, at a crash, kept. */
static void sweep_models(struct store_memory *store, bool crashed)
{
    size_t left = 0;
    for (size_t i = 0; i < store->models.count; i++) {
        struct model_row *const row = &store->models.items[i];
        bool wanted = row->kept ? store->models_keep == 0 && !row->is_state : !crashed;
        wanted = wanted || strcmp(store->summary.state_file, row->name) == 0;
        uint64_t best = 0;
        for (size_t j = 0; j < store->versions.count; j++)
            if (store->versions.items[j].version.best)
                best = store->versions.items[j].version.sequence;
        for (size_t j = 0; j < store->versions.count && !wanted; j++) {
            const struct store_version *const version = &store->versions.items[j].version;
            wanted = row->kept && !row->is_state && strcmp(version->model_file, row->name) == 0 &&
                     (version->sequence + store->models_keep > store->versions.count ||
                      version->sequence == best);
        }
        if (wanted)
            store->models.items[left++] = *row;
        else
            bytes_deinit(&row->content);
    }
    store->models.count = left;
}

static enum status check_put(struct store_memory *store, const char *name, struct error *err)
{
    return find_model(store, name) != nullptr
               ? STATUS_OK
               : error_set(err, STATUS_INVAL, "the model %s must be put before it is committed",
                           name);
}

static enum status check_commit(struct store_memory *store, const struct store_commit *commit,
                                struct error *err)
{
    const struct store_version *const version = &commit->version;
    if (store->summary.outcome[0] != '\0')
        return error_set(err, STATUS_INVAL, "the job has ended: %s", store->summary.outcome);
    if (version->epoch > store->summary.epoch)
        return error_set(err, STATUS_INVAL, "the epoch %llu was never raised; it is %llu",
                         (unsigned long long)version->epoch,
                         (unsigned long long)store->summary.epoch);
    if (version->epoch < store->summary.epoch)
        return error_set(err, STATUS_INVAL, "the epoch %llu is over: the store is at %llu",
                         (unsigned long long)version->epoch,
                         (unsigned long long)store->summary.epoch);
    enum status status = check_put(store, version->model_file, err);
    if (status == STATUS_OK && commit->state_file != nullptr)
        status = check_put(store, commit->state_file, err);
    return status;
}

static enum status check_conflict(const struct store_memory *store,
                                  const struct store_version *version, struct error *err)
{
    for (size_t i = 0; i < store->versions.count; i++) {
        const struct store_version *const old = &store->versions.items[i].version;
        const bool label = old->fork == version->fork && old->number == version->number;
        if (digest_equal(&old->id, &version->id) || (label && old->epoch == version->epoch) ||
            (label && digest_equal(&old->parent, &version->parent)))
            return error_set(err, STATUS_EXISTS,
                             "version %llu of fork %u, epoch %llu, contradicts one committed",
                             (unsigned long long)version->number, version->fork,
                             (unsigned long long)version->epoch);
    }
    return STATUS_OK;
}

static uint64_t receipt_hash(uint32_t fork, uint64_t round, const char *node)
{
    return row_index_hash(node, round * 31 + fork);
}

static bool is_receipt_of(const struct receipt_row *row, uint32_t fork, uint64_t round,
                          const char *node)
{
    return row->fork == fork && row->round == round && strcmp(row->node, node) == 0;
}

/* Adds a receipt at the end; EXISTS where its update was counted or, if dropped, dropped before. */
static enum status add_receipt(struct store_memory *store, struct receipt_row row,
                               struct error *err)
{
    const uint64_t hash = receipt_hash(row.fork, row.round, row.node);
    const bool counted = row.reason[0] == '\0';
    uint64_t cursor = hash;
    for (;;) {
        const ptrdiff_t at = row_index_next(&store->receipt_index, hash, &cursor);
        if (at == ROW_INDEX_NONE)
            break;
        const struct receipt_row *const old = &store->receipts.items[at];
        if (!is_receipt_of(old, row.fork, row.round, row.node) ||
            (old->reason[0] == '\0') != counted)
            continue;
        if (counted || digest_equal(&old->payload_digest, &row.payload_digest))
            return error_set(err, STATUS_EXISTS, "the update of %s in round %llu was %s before",
                             row.node, (unsigned long long)row.round,
                             counted ? "counted" : "dropped");
    }
    row_index_add(&store->receipt_index, hash, store->receipts.count);
    store->receipts.items[store->receipts.count++] = row;
    return STATUS_OK;
}

/* The latest first, as row_index_drop wants it. */
static void cut_receipts(struct store_memory *store, size_t count)
{
    while (store->receipts.count > count) {
        const struct receipt_row *const row = &store->receipts.items[--store->receipts.count];
        row_index_drop(&store->receipt_index, receipt_hash(row->fork, row->round, row->node),
                       store->receipts.count);
    }
}

/* Room was made. On an error the caller cuts the rows off again. */
static enum status add_receipts(struct store_memory *store, const struct store_commit *commit,
                                struct error *err)
{
    enum status status = STATUS_OK;
    struct receipt_row row = {.fork = commit->version.fork, .sequence = store->versions.count + 1};
    for (size_t i = 0; i < commit->counted_count && status == STATUS_OK; i++) {
        const struct store_counted *const counted = &commit->counted[i];
        row.round = counted->round;
        row.payload_digest = counted->payload_digest;
        snprintf(row.node, sizeof(row.node), "%s", counted->node);
        status = add_receipt(store, row, err);
    }
    for (size_t i = 0; i < commit->dropped_count && status == STATUS_OK; i++) {
        const struct store_dropped *const dropped = &commit->dropped[i];
        row.round = dropped->round;
        row.payload_digest = dropped->payload_digest;
        snprintf(row.node, sizeof(row.node), "%s", dropped->node);
        snprintf(row.reason, sizeof(row.reason), "%s", dropped->reason);
        status = add_receipt(store, row, err);
    }
    return status;
}

/* Where the first member is whose name is not before name, or is after it. */
static size_t find_member(const struct store_memory *store, const char *name, bool is_after)
{
    size_t first = 0;
    size_t end = store->members.count;
    while (first < end) {
        const size_t middle = first + (end - first) / 2;
        const int order = strcmp(store->members.items[middle].name, name);
        if (order < 0 || (is_after && order == 0))
            first = middle + 1;
        else
            end = middle;
    }
    return first;
}

/* Room was made; cannot fail. */
static void add_member(struct store_memory *store, const struct store_member *member)
{
    struct store_member *const items = store->members.items;
    const size_t at = find_member(store, member->name, false);
    if (at == store->members.count || strcmp(items[at].name, member->name) != 0)
        memmove(items + at + 1, items + at, (store->members.count++ - at) * sizeof(*items));
    items[at] = *member;
}

static enum status make_room(struct store_memory *store, const struct store_commit *commit,
                             struct error *err)
{
    enum status status = GROW(store->versions, 1, err);
    if (status == STATUS_OK)
        status = GROW(store->receipts, commit->counted_count + commit->dropped_count, err);
    if (status == STATUS_OK)
        status =
            row_index_reserve(&store->receipt_index, commit->counted_count + commit->dropped_count);
    if (status == STATUS_OK)
        status = GROW(store->members, commit->member_count, err);
    return status;
}

static enum status copy_version(const struct store_commit *commit, struct version_row *row,
                                struct error *err)
{
    row->version = commit->version;
    row->has_metrics = commit->metrics != nullptr;
    bytes_init(&row->record, STORE_RECORD_BYTES_MAX);
    bytes_init(&row->metrics, STORE_METRICS_BYTES_MAX);
    enum status status = copy_bytes(commit->record, &row->record, err);
    if (status == STATUS_OK && commit->metrics != nullptr)
        status =
            copy_bytes((struct slice){(const uint8_t *)commit->metrics, strlen(commit->metrics)},
                       &row->metrics, err);
    return status;
}

static void mark_parent(struct store_memory *store, const struct store_commit *commit)
{
    for (size_t i = 0; i < store->versions.count && commit->parent_is_best; i++) {
        struct store_version *const version = &store->versions.items[i].version;
        version->best |= digest_equal(&version->id, &commit->version.parent);
    }
}

/* The commit was checked: both files are there. A version's model is no mere state file. */
static void keep_files(struct store_memory *store, const struct store_commit *commit)
{
    struct model_row *const model = find_model(store, commit->version.model_file);
    model->kept = true;
    model->is_state = false;
    store->summary.state_file[0] = '\0';
    if (commit->state_file == nullptr)
        return;
    snprintf(store->summary.state_file, sizeof(store->summary.state_file), "%s",
             commit->state_file);
    struct model_row *const state = find_model(store, commit->state_file);
    state->is_state = state->is_state || !state->kept;
    state->kept = true;
}

static enum status commit(struct store *base, const struct store_commit *commit, struct error *err)
{
    struct store_memory *const store = (struct store_memory *)base;
    const size_t receipts_before = store->receipts.count;
    struct version_row row = {0};
    enum status late = STATUS_OK;
    struct bytes learn_state;
    bytes_init(&learn_state, STORE_LEARN_STATE_BYTES_MAX);
    enum status status = check_commit(store, commit, err);
    if (status == STATUS_OK)
        status = check_conflict(store, &commit->version, err);
    if (status == STATUS_OK)
        status = make_room(store, commit, err);
    if (status == STATUS_OK)
        status = copy_version(commit, &row, err);
    if (status == STATUS_OK)
        status = copy_bytes(commit->learn_state, &learn_state, err);
    if (status == STATUS_OK)
        status = add_receipts(store, commit, err);
    if (status == STATUS_OK)
        status = fail_point(store, &late, err);
    if (status != STATUS_OK) {
        bytes_deinit(&row.record);
        bytes_deinit(&row.metrics);
        bytes_deinit(&learn_state);
        cut_receipts(store, receipts_before);
        return status;
    }
    row.version.sequence = store->versions.count + 1;
    store->versions.items[store->versions.count++] = row;
    mark_parent(store, commit);
    for (size_t i = 0; i < commit->member_count; i++)
        add_member(store, &commit->members[i]);
    for (size_t i = 0; i < store->certificates.count; i++)
        store->certificates.items[i].durable = true;
    store->summary.open_round = commit->open_round;
    store->summary.commit_count = store->versions.count;
    snprintf(store->summary.outcome, sizeof(store->summary.outcome), "%s",
             commit->outcome == nullptr ? "" : commit->outcome);
    bytes_deinit(&store->learn_state);
    store->learn_state = learn_state;
    keep_files(store, commit);
    sweep_models(store, false);
    return late;
}

static enum status take_version(const struct version_row *row, struct store_version *ret_version,
                                struct bytes *ret_record, struct error *err)
{
    if (row == nullptr)
        return error_set(err, STATUS_NOT_FOUND, "no such version");
    const enum status status =
        ret_record == nullptr ? STATUS_OK : copy_bytes(bytes_slice(&row->record), ret_record, err);
    if (status == STATUS_OK)
        *ret_version = row->version;
    return status;
}

static enum status find_latest(struct store *base, struct store_version *ret_version,
                               struct bytes *ret_record, struct error *err)
{
    const struct store_memory *const store = (const struct store_memory *)base;
    const size_t count = store->versions.count;
    return take_version(count == 0 ? nullptr : &store->versions.items[count - 1], ret_version,
                        ret_record, err);
}

static enum status find_number(struct store *base, uint32_t fork, uint64_t number,
                               struct store_version *ret_version, struct bytes *ret_record,
                               struct error *err)
{
    const struct store_memory *const store = (const struct store_memory *)base;
    const struct version_row *found = nullptr;
    for (size_t i = 0; i < store->versions.count; i++) {
        const struct version_row *const row = &store->versions.items[i];
        if (row->version.fork == fork && row->version.number == number &&
            (found == nullptr || row->version.epoch > found->version.epoch))
            found = row;
    }
    return take_version(found, ret_version, ret_record, err);
}

static enum status find_after(struct store *base, uint64_t sequence,
                              struct store_version *ret_version, struct bytes *ret_record,
                              struct error *err)
{
    const struct store_memory *const store = (const struct store_memory *)base;
    const bool found = sequence < store->versions.count;
    return take_version(found ? &store->versions.items[sequence] : nullptr, ret_version, ret_record,
                        err);
}

static enum status find_round(struct store *base, uint32_t fork, uint64_t round,
                              struct store_version *ret_version, struct error *err)
{
    const struct store_memory *const store = (const struct store_memory *)base;
    const struct version_row *found = nullptr;
    for (size_t i = 0; i < store->versions.count; i++)
        if (store->versions.items[i].version.fork == fork &&
            store->versions.items[i].version.round == round)
            found = &store->versions.items[i];
    return take_version(found, ret_version, nullptr, err);
}

static enum status find_receipt(struct store *base, uint32_t fork, uint64_t round, const char *node,
                                const struct digest *payload_digest,
                                struct store_receipt *ret_receipt, struct error *err)
{
    const struct store_memory *const store = (const struct store_memory *)base;
    const struct receipt_row *found = nullptr;
    const uint64_t hash = receipt_hash(fork, round, node);
    uint64_t cursor = hash;
    for (;;) {
        const ptrdiff_t at = row_index_next(&store->receipt_index, hash, &cursor);
        if (at == ROW_INDEX_NONE)
            break;
        const struct receipt_row *const row = &store->receipts.items[at];
        if (is_receipt_of(row, fork, round, node) &&
            digest_equal(&row->payload_digest, payload_digest) &&
            (found == nullptr || row->reason[0] == '\0'))
            found = row;
    }
    if (found == nullptr)
        return error_set(err, STATUS_NOT_FOUND, "no such receipt");
    ret_receipt->kind = found->reason[0] == '\0' ? STORE_RECEIPT_COUNTED : STORE_RECEIPT_DROPPED;
    ret_receipt->version = store->versions.items[found->sequence - 1].version;
    memcpy(ret_receipt->reason, found->reason, sizeof(found->reason));
    return STATUS_OK;
}

static enum status find_member_after(struct store *base, const char *name,
                                     struct store_member *ret_member, struct error *err)
{
    const struct store_memory *const store = (const struct store_memory *)base;
    const size_t at = find_member(store, name, true);
    if (at == store->members.count)
        return error_set(err, STATUS_NOT_FOUND, "no such member");
    *ret_member = store->members.items[at];
    return STATUS_OK;
}

static enum status find_metrics_after(struct store *base, uint64_t sequence, uint64_t *ret_sequence,
                                      struct bytes *ret_text, struct error *err)
{
    const struct store_memory *const store = (const struct store_memory *)base;
    size_t i = sequence < store->versions.count ? (size_t)sequence : store->versions.count;
    while (i < store->versions.count && !store->versions.items[i].has_metrics)
        i++;
    if (i == store->versions.count)
        return error_set(err, STATUS_NOT_FOUND, "no such metrics");
    const enum status status =
        copy_bytes(bytes_slice(&store->versions.items[i].metrics), ret_text, err);
    if (status == STATUS_OK)
        *ret_sequence = i + 1;
    return status;
}

static enum status read_summary(struct store *base, struct store_summary *ret_summary,
                                struct error *err)
{
    *ret_summary = ((const struct store_memory *)base)->summary;
    return STATUS_OK;
}

static enum status read_learn_state(struct store *base, struct bytes *ret_state, struct error *err)
{
    return copy_bytes(bytes_slice(&((const struct store_memory *)base)->learn_state), ret_state,
                      err);
}

static enum status set_paused(struct store *base, bool paused, struct error *err)
{
    struct store_memory *const store = (struct store_memory *)base;
    enum status late = STATUS_OK;
    const enum status status = fail_point(store, &late, err);
    if (status == STATUS_OK)
        store->summary.paused = paused;
    return status != STATUS_OK ? status : late;
}

static enum status clear_outcome(struct store *base, struct error *err)
{
    struct store_memory *const store = (struct store_memory *)base;
    enum status late = STATUS_OK;
    const enum status status = fail_point(store, &late, err);
    if (status == STATUS_OK)
        store->summary.outcome[0] = 0;
    return status != STATUS_OK ? status : late;
}

static struct certificate_row *find_certificate_row(struct store_memory *store,
                                                    const struct digest *key_id)
{
    for (size_t i = 0; i < store->certificates.count; i++)
        if (digest_equal(&store->certificates.items[i].key_id, key_id))
            return &store->certificates.items[i];
    return nullptr;
}

static enum status put_certificate(struct store *base, const struct digest *key_id,
                                   struct slice der, struct error *err)
{
    struct store_memory *const store = (struct store_memory *)base;
    const struct certificate_row *const old = find_certificate_row(store, key_id);
    if (old != nullptr)
        return old->der.size == der.size && memcmp(old->der.data, der.data, der.size) == 0
                   ? STATUS_OK
                   : error_set(err, STATUS_EXISTS, "another certificate has the same key id");
    struct certificate_row row = {.key_id = *key_id};
    bytes_init(&row.der, STORE_CERTIFICATE_BYTES_MAX);
    enum status status = GROW(store->certificates, 1, err);
    if (status == STATUS_OK)
        status = copy_bytes(der, &row.der, err);
    if (status == STATUS_OK)
        store->certificates.items[store->certificates.count++] = row;
    return status;
}

static enum status find_certificate(struct store *base, const struct digest *key_id,
                                    struct bytes *ret_der, struct error *err)
{
    const struct certificate_row *const row =
        find_certificate_row((struct store_memory *)base, key_id);
    if (row == nullptr)
        return error_set(err, STATUS_NOT_FOUND, "no such certificate");
    return copy_bytes(bytes_slice(&row->der), ret_der, err);
}

static enum status put_evidence(struct store *base, const char *node, struct slice first,
                                struct slice second, struct error *err)
{
    struct store_memory *const store = (struct store_memory *)base;
    struct evidence_row row = {0};
    snprintf(row.node, sizeof(row.node), "%s", node);
    bytes_init(&row.first, STORE_EVIDENCE_BYTES_MAX);
    bytes_init(&row.second, STORE_EVIDENCE_BYTES_MAX);
    enum status late = STATUS_OK;
    enum status status = fail_point(store, &late, err);
    if (status == STATUS_OK)
        status = GROW(store->evidence, 1, err);
    if (status == STATUS_OK)
        status = copy_bytes(first, &row.first, err);
    if (status == STATUS_OK)
        status = copy_bytes(second, &row.second, err);
    if (status != STATUS_OK) {
        bytes_deinit(&row.first);
        bytes_deinit(&row.second);
        return status;
    }
    row.sequence = ++store->evidence_sequence;
    struct evidence_row *const items = store->evidence.items;
    if (store->evidence.count == STORE_EVIDENCE_MAX) {
        bytes_deinit(&items[0].first);
        bytes_deinit(&items[0].second);
        memmove(items, items + 1, --store->evidence.count * sizeof(*items));
    }
    items[store->evidence.count++] = row;
    return late;
}

static enum status find_evidence_after(struct store *base, uint64_t sequence,
                                       uint64_t *ret_sequence, char ret_node[static STORE_NAME_MAX],
                                       struct bytes *ret_first, struct bytes *ret_second,
                                       struct error *err)
{
    const struct store_memory *const store = (const struct store_memory *)base;
    size_t i = 0;
    while (i < store->evidence.count && store->evidence.items[i].sequence <= sequence)
        i++;
    if (i == store->evidence.count)
        return error_set(err, STATUS_NOT_FOUND, "no such evidence");
    const struct evidence_row *const row = &store->evidence.items[i];
    enum status status = copy_bytes(bytes_slice(&row->first), ret_first, err);
    if (status == STATUS_OK)
        status = copy_bytes(bytes_slice(&row->second), ret_second, err);
    if (status != STATUS_OK)
        return status;
    memcpy(ret_node, row->node, sizeof(row->node));
    *ret_sequence = row->sequence;
    return STATUS_OK;
}

static void close_store(struct store *base)
{
    struct store_memory *const store = (struct store_memory *)base;
    for (size_t i = 0; i < store->versions.count; i++) {
        bytes_deinit(&store->versions.items[i].record);
        bytes_deinit(&store->versions.items[i].metrics);
    }
    for (size_t i = 0; i < store->models.count; i++)
        bytes_deinit(&store->models.items[i].content);
    for (size_t i = 0; i < store->certificates.count; i++)
        bytes_deinit(&store->certificates.items[i].der);
    for (size_t i = 0; i < store->evidence.count; i++) {
        bytes_deinit(&store->evidence.items[i].first);
        bytes_deinit(&store->evidence.items[i].second);
    }
    bytes_deinit(&store->learn_state);
    free(store->versions.items);
    free(store->receipts.items);
    row_index_deinit(&store->receipt_index);
    free(store->members.items);
    free(store->models.items);
    free(store->certificates.items);
    free(store->evidence.items);
    free(store);
}

static const struct store_ops memory_ops = {
    .name = "memory",
    .raise_epoch = raise_epoch,
    .put_model = put_model,
    .read_model = read_model,
    .commit = commit,
    .find_latest = find_latest,
    .find_number = find_number,
    .find_after = find_after,
    .find_round = find_round,
    .find_receipt = find_receipt,
    .find_member_after = find_member_after,
    .find_metrics_after = find_metrics_after,
    .read_summary = read_summary,
    .read_learn_state = read_learn_state,
    .set_paused = set_paused,
    .clear_outcome = clear_outcome,
    .put_certificate = put_certificate,
    .find_certificate = find_certificate,
    .put_evidence = put_evidence,
    .find_evidence_after = find_evidence_after,
    .close = close_store,
};

enum status store_memory_open(uint32_t models_keep, struct store **ret_store)
{
    struct store_memory *const store = calloc(1, sizeof(*store));
    if (store == nullptr)
        return STATUS_NO_MEMORY;
    store->base.ops = &memory_ops;
    bytes_init(&store->learn_state, STORE_LEARN_STATE_BYTES_MAX);
    store->models_keep = models_keep;
    *ret_store = &store->base;
    return STATUS_OK;
}

void store_memory_crash(struct store *base)
{
    struct store_memory *const store = (struct store_memory *)base;
    sweep_models(store, true);
    size_t left = 0;
    for (size_t i = 0; i < store->certificates.count; i++) {
        if (store->certificates.items[i].durable)
            store->certificates.items[left++] = store->certificates.items[i];
        else
            bytes_deinit(&store->certificates.items[i].der);
    }
    store->certificates.count = left;
}

void store_memory_fail(struct store *base, uint32_t countdown, enum status status)
{
    struct store_memory *const store = (struct store_memory *)base;
    store->fail_countdown = countdown;
    store->fail_status = status;
    store->fails_late = false;
}

void store_memory_fail_late(struct store *base, uint32_t countdown, enum status status)
{
    store_memory_fail(base, countdown, status);
    ((struct store_memory *)base)->fails_late = true;
}

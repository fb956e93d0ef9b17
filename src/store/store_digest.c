/*
 * store_digest.c - see store_digest.h.
 */
#include "store/store_digest.h"

#include <string.h>

static void put_number(struct hasher *hasher, uint64_t number)
{
    uint8_t bytes[8];
    store_u64le(bytes, number);
    hasher_update(hasher, bytes, sizeof(bytes));
}

static void put_bytes(struct hasher *hasher, struct slice bytes)
{
    put_number(hasher, bytes.size);
    if (bytes.size > 0)
        hasher_update(hasher, bytes.data, bytes.size);
}

/* Null is the empty text. */
static void put_text(struct hasher *hasher, const char *text)
{
    put_bytes(hasher, (struct slice){(const uint8_t *)text, text == nullptr ? 0 : strlen(text)});
}

static void put_digest(struct hasher *hasher, const struct digest *digest)
{
    hasher_update(hasher, digest->bytes, DIGEST_BYTES);
}

static void finish(struct hasher *hasher, struct digest *ret_digest)
{
    hasher_finish(hasher, ret_digest);
    hasher_destroy(hasher);
}

enum status store_history_digest(const struct store_commit *commit, struct digest *ret_digest)
{
    static const char domain[] = "fedra/v1/history";
    struct hasher *hasher = nullptr;
    const enum status status = hasher_create(&hasher);
    if (status != STATUS_OK)
        return status;
    hasher_update(hasher, domain, sizeof(domain));
    put_text(hasher, commit->metrics);
    put_number(hasher, commit->dropped_count);
    for (size_t i = 0; i < commit->dropped_count; i++) {
        const struct store_dropped *const row = &commit->dropped[i];
        put_text(hasher, row->node);
        put_number(hasher, row->round);
        put_digest(hasher, &row->payload_digest);
        put_text(hasher, row->reason);
    }
    finish(hasher, ret_digest);
    return STATUS_OK;
}

static void put_double(struct hasher *hasher, double value)
{
    uint64_t bits = 0;
    memcpy(&bits, &value, sizeof(bits));
    put_number(hasher, bits);
}

static bool is_known(const struct store_member *row)
{
    const struct reputation *const known = &row->reputation;
    return (known->rounds | known->flagged | known->flagged_round | known->recent | known->until |
            known->probation) != 0 ||
           known->flag.reason != 0 || known->flag.score > 0 || known->distrust > 0;
}

static void put_reputations(struct hasher *hasher, const struct store_commit *commit)
{
    uint64_t count = 0;
    for (size_t i = 0; i < commit->member_count; i++)
        count += is_known(&commit->members[i]);
    if (count == 0)
        return;
    put_number(hasher, count);
    for (size_t i = 0; i < commit->member_count; i++) {
        const struct reputation *const known = &commit->members[i].reputation;
        if (!is_known(&commit->members[i]))
            continue;
        put_number(hasher, i);
        put_number(hasher, known->rounds);
        put_number(hasher, known->flagged);
        put_number(hasher, known->flagged_round);
        put_number(hasher, known->flag.reason);
        put_double(hasher, known->flag.score);
        put_double(hasher, known->distrust);
        put_number(hasher, known->recent);
        put_number(hasher, known->until);
        put_number(hasher, known->probation);
    }
}

enum status store_state_digest(const struct store_commit *commit, struct digest *ret_digest)
{
    static const char domain[] = "fedra/v1/state";
    struct hasher *hasher = nullptr;
    const enum status status = hasher_create(&hasher);
    if (status != STATUS_OK)
        return status;
    hasher_update(hasher, domain, sizeof(domain));
    put_number(hasher, commit->open_round);
    put_text(hasher, commit->outcome);
    put_text(hasher, commit->state_file);
    put_bytes(hasher, commit->learn_state);
    put_number(hasher, commit->member_count);
    for (size_t i = 0; i < commit->member_count; i++) {
        const struct store_member *const row = &commit->members[i];
        put_text(hasher, row->name);
        put_number(hasher, row->active);
        put_digest(hasher, &row->key_id);
        put_number(hasher, row->asked_round);
        put_number(hasher, row->samples);
        put_number(hasher, row->counted_round);
    }
    put_reputations(hasher, commit);
    finish(hasher, ret_digest);
    return STATUS_OK;
}

enum status store_job_digest(const struct store_summary *summary, struct digest *ret_digest)
{
    static const char domain[] = "fedra/v1/job";
    struct hasher *hasher = nullptr;
    const enum status status = hasher_create(&hasher);
    if (status != STATUS_OK)
        return status;
    hasher_update(hasher, domain, sizeof(domain));
    put_number(hasher, summary->epoch);
    hasher_update(hasher, summary->instance_id, STORE_INSTANCE_BYTES);
    put_number(hasher, summary->open_round);
    put_text(hasher, summary->outcome);
    put_text(hasher, summary->state_file);
    put_number(hasher, summary->paused);
    finish(hasher, ret_digest);
    return STATUS_OK;
}

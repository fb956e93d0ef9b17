/*
 * audit_accepted.c - one update that a record counts: who signed it, what it was made from, what it
 * weighs, and its row.
 */
#include "audit/audit_internal.h"

#include "host/config.h"
#include "robust/weight.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool find_staleness(const char *name, enum staleness_kind *ret_kind)
{
    for (uint32_t kind = STALENESS_CONSTANT; name != nullptr && kind <= STALENESS_HINGE; kind++) {
        if (strcmp(config_staleness_name((enum staleness_kind)kind), name) == 0) {
            *ret_kind = (enum staleness_kind)kind;
            return true;
        }
    }
    return false;
}

/* min(samples, samples_max) times the staleness weight, by the record's parameters. */
static void check_weight(struct audit *audit, const struct record_head *head,
                         const struct envelope_header *header, uint32_t weight)
{
    const char *const samples_max = audit_parameter(head, "samples_max");
    const char *const exponent = audit_parameter(head, "staleness_exponent");
    const char *const hinge = audit_parameter(head, "staleness_hinge");
    const uint64_t most = samples_max != nullptr ? strtoull(samples_max, nullptr, 10) : 0;
    const uint64_t staleness = head->round - header->round;
    enum staleness_kind kind = STALENESS_CONSTANT;
    double share = 1;
    if (most < 1 || most > WEIGHT_SAMPLES_MAX) {
        audit_miss(audit, head->number, "weights: the record has no usable samples_max");
        return;
    }
    if (staleness > 0) {
        const double power = exponent != nullptr ? strtod(exponent, nullptr) : -1;
        if (!find_staleness(audit_parameter(head, "staleness"), &kind) || hinge == nullptr ||
            !isfinite(power) || power < 0) {
            audit_miss(audit, head->number,
                       "weights of late updates: the record of an earlier Fedra does not say how "
                       "they fall");
            return;
        }
        share = staleness_weight(kind, staleness, power, strtoull(hinge, nullptr, 10));
    }
    audit_expect_number(audit, "its weight", weight,
                        weight_from_samples(header->samples, (uint32_t)most, share));
}

/* The version that its round began with; of an outcome without a round there may be two. */
static void check_base(struct audit *audit, const struct envelope_header *header)
{
    bool is_known = header->round == 0;
    for (size_t i = audit->version_count - 1; i > 0 && !is_known; i--) {
        const struct audit_version *const base = &audit->versions[i - 1];
        if (base->round + 1 < header->round)
            break;
        is_known = base->round + 1 == header->round && digest_equal(&base->id, &header->base_id) &&
                   digest_equal(&base->model_digest, &header->base_digest);
    }
    if (!is_known)
        audit_find(audit, "the version that its round began with",
                   "it was made from a version that no record names");
}

static void check_row(struct audit *audit, const struct envelope_header *header, uint64_t sequence,
                      sqlite3_stmt *counted)
{
    struct digest payload;
    sqlite3_reset(counted);
    sqlite3_bind_int64(counted, 1, (sqlite3_int64)header->round);
    sqlite3_bind_text(counted, 2, header->spiffe_id, -1, SQLITE_STATIC);
    if (counted == nullptr)
        return;
    if (audit_step(audit, counted, "biii") != AUDIT_ROW) {
        audit_find(audit, "a row of the table counted", "there is none for it");
        return;
    }
    if (audit_digest(audit, counted, 0, &payload))
        audit_expect_digest(audit, "payload of its row in counted", &payload,
                            &header->payload_digest);
    audit_expect_number(audit, "samples of its row in counted",
                        (uint64_t)sqlite3_column_int64(counted, 1), header->samples);
    audit_expect_number(audit, "attempt of its row in counted",
                        (uint64_t)sqlite3_column_int64(counted, 2), header->attempt);
    audit_expect_number(audit, "sequence of its row in counted",
                        (uint64_t)sqlite3_column_int64(counted, 3), sequence);
    sqlite3_reset(counted);
}

/*
 * An update is verified when it comes: while its round is open, or the one before it closes. So its
 * key must have been valid at a time since the commit before its base.
 */
static void check_signer(struct audit *audit, const struct envelope_header *header,
                         const struct record_accepted *accepted)
{
    const size_t index = audit->version_count - 1;
    const struct audit_version *const version = &audit->versions[index];
    const struct audit_version *const early = &audit->versions[index > 1 ? index - 2 : 0];
    const struct audit_key *key = nullptr;
    struct error err = {0};
    if (!audit_signature(audit, "the node", &accepted->key_id, envelope_context(ENVELOPE_UPDATE),
                         accepted->header_bytes, accepted->signature, early->committed_ms / 1000,
                         version->committed_ms / 1000, &key))
        return;
    audit_expect_text(audit, "the name in its header", header->spiffe_id, key->info.id.text);
    if (spiffe_role_check(&key->info.id, SPIFFE_ROLE_NODE | SPIFFE_ROLE_EDGE, "an update", &err) !=
        STATUS_OK)
        audit_find(audit, "an update of a node", "%s", err.text);
}

void audit_accepted(struct audit *audit, const struct record_head *head,
                    const struct record_accepted *accepted, uint64_t sequence,
                    sqlite3_stmt *counted)
{
    static const struct envelope_limits all = {UINT64_MAX, UINT64_MAX};
    struct envelope_header header;
    if (header_decode(accepted->header_bytes, &all, &header, nullptr) != STATUS_OK)
        return; /* record_decode has seen that it is one */
    audit_at(audit, "state.db, commits: version %" PRIu64 ", update of %.128s", head->number,
             header.spiffe_id);
    check_signer(audit, &header, accepted);
    audit_expect_digest(audit, "its layout", &header.layout_digest, &head->layout_digest);
    audit_expect_number(audit, "its order", accepted->order, 0);
    if (header.round > head->round || header.epoch > head->epoch)
        audit_find(audit, "a round and an epoch that are not later than the record's",
                   "it was made for round %" PRIu64 " in epoch %" PRIu64, header.round,
                   header.epoch);
    else
        check_weight(audit, head, &header, accepted->weight);
    check_base(audit, &header);
    check_row(audit, &header, sequence, counted);
}

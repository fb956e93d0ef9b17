/*
 * core_terms.c - see core_terms.h.
 */
#include "host/core_terms.h"

#include "robust/weight.h"
#include "wire/control.h"

#include <string.h>

struct update_info core_update_info(const struct envelope_header *header, uint64_t blob_id)
{
    return (struct update_info){
        .name = header->spiffe_id,
        .key = {.epoch = header->epoch,
                .round = header->round,
                .attempt = header->attempt,
                .payload_digest = header->payload_digest},
        .base_id = header->base_id,
        .samples = header->samples,
        .loss = header->loss,
        .report = {.loss = header->holdout_loss,
                   .accuracy = header->holdout_accuracy,
                   .samples = header->has_holdout_loss ? header->holdout_samples : 0,
                   .has_accuracy = header->has_holdout_accuracy},
        .blob = {.id = blob_id, .bytes = header->payload_length, .digest = header->payload_digest},
    };
}

struct envelope_header core_update_header(const struct beacon *beacon)
{
    return (struct envelope_header){
        .kind = ENVELOPE_UPDATE,
        .hash_id = DIGEST_SHA256,
        .attempt = beacon->attempt,
        .updates = 1,
        .epoch = beacon->epoch,
        .round = beacon->round,
        .base_number = beacon->version.number,
        .base_id = beacon->version.id,
        .base_digest = beacon->version.model_digest,
        .sequence = beacon->round << 16 | (beacon->attempt & 0xffff),
    };
}

struct version_ref core_version(const struct model_file *file, uint64_t number)
{
    return (struct version_ref){.number = number,
                                .model_digest = file->model_digest,
                                .blob_digest = file->blob_digest,
                                .blob_bytes = file->size};
}

enum outcome core_outcome(const char *name)
{
    for (int i = OUTCOME_CONVERGED; i <= OUTCOME_CANCELLED; i++) {
        if (strcmp(name, control_outcome_name((enum wire_outcome)i)) == 0)
            return (enum outcome)i;
    }
    return OUTCOME_NONE;
}

struct member_history core_member_history(const struct store_member *row)
{
    return (struct member_history){.is_away = !row->active,
                                   .asked_round = row->asked_round,
                                   .counted_round = row->counted_round,
                                   .samples = row->samples,
                                   .reputation = row->reputation};
}

enum member_fate core_member_row(const struct member *member,
                                 const struct coordinator_effect *effect,
                                 const struct digest *key_id, struct store_member *ret_row)
{
    const bool is_round = effect->kind == FX_COMMIT && effect->round > 0;
    const bool is_counted = is_round && member->accepted && !effect->undone;
    *ret_row = (struct store_member){
        .active = member_stays(member, effect->round) || (!is_round && member->contributed),
        .key_id = *key_id,
        .asked_round = member->asked_round,
        .samples = member->samples,
        .counted_round = is_counted && member->key.round > member->counted_round
                             ? member->key.round
                             : member->counted_round,
        .reputation = is_round ? member->next_reputation : member->reputation,
    };
    memcpy(ret_row->name, member->name, sizeof(ret_row->name));
    if (is_counted)
        return FATE_COUNTED;
    return is_round && member->accepted ? FATE_DROPPED : FATE_NONE;
}

struct store_dropped core_dropped_row(const struct member *member, const struct store_member *row)
{
    return (struct store_dropped){.node = row->name,
                                  .round = member->key.round,
                                  .payload_digest = member->key.payload_digest,
                                  .reason = reason_name(REASON_SUPERSEDED)};
}

struct store_counted core_counted_row(const struct member *member, const struct store_member *row)
{
    return (struct store_counted){.node = row->name,
                                  .round = member->key.round,
                                  .attempt = member->key.attempt,
                                  .samples = member->samples,
                                  .payload_digest = member->key.payload_digest};
}

uint32_t core_evidence(const struct roster *roster, const struct robust_outcome *outcome,
                       struct evidence *ret_evidence)
{
    uint32_t count = 0;
    for (uint32_t i = 0; outcome != nullptr && i < outcome->count; i++) {
        const struct robust_suspect *const suspect = &outcome->suspects[i];
        const uint32_t index = roster_find(roster, suspect->node);
        if (index != NO_MEMBER)
            ret_evidence[count++] =
                (struct evidence){index, {.reason = suspect->reason, .score = suspect->score}};
    }
    return count;
}

uint64_t core_stand_in_weight(const struct roster *roster, uint32_t samples_max)
{
    uint64_t weight = 0;
    for (uint32_t i = 0; i < roster->count; i++) {
        const struct member *const member = &roster->members[roster->order[i]];
        if (member->stands_in)
            weight += weight_from_samples(member->samples, samples_max, 1.0);
    }
    return weight;
}

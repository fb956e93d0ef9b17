/*
 * control_json.c - statuses and members as JSON.
 */
#include "cli/control_text.h"

#include <math.h>
#include <stdlib.h>
#include <yyjson.h>

static void add_figure(yyjson_mut_doc *doc, yyjson_mut_val *to, const char *name, bool is_known,
                       double value)
{
    if (is_known && isfinite(value))
        yyjson_mut_obj_add_real(doc, to, name, value);
    else
        yyjson_mut_obj_add_null(doc, to, name);
}

static void add_counts(yyjson_mut_doc *doc, yyjson_mut_val *to, const char *name,
                       const struct control_counts *counts)
{
    yyjson_mut_val *const object = yyjson_mut_obj_add_obj(doc, to, name);
    for (unsigned number = 0; number < CONTROL_REASONS_MAX; number++) {
        if (counts->by_reason[number] > 0)
            yyjson_mut_obj_add_uint(doc, object, reason_name(reason_of_number(number)),
                                    counts->by_reason[number]);
    }
}

static void add_round(yyjson_mut_doc *doc, yyjson_mut_val *to, const char *name,
                      const struct control_round *round)
{
    if (round->round == 0) {
        yyjson_mut_obj_add_null(doc, to, name);
        return;
    }
    yyjson_mut_val *const object = yyjson_mut_obj_add_obj(doc, to, name);
    yyjson_mut_obj_add_uint(doc, object, "round", round->round);
    yyjson_mut_obj_add_uint(doc, object, "selected", round->selected);
    yyjson_mut_obj_add_uint(doc, object, "accepted", round->accepted);
    yyjson_mut_obj_add_uint(doc, object, "late", round->late);
    yyjson_mut_obj_add_uint(doc, object, "round_ms", round->round_ms);
    add_figure(doc, object, "loss", round->has_loss, round->loss);
    add_figure(doc, object, "accuracy", round->has_accuracy, round->accuracy);
}

static void add_digest(yyjson_mut_doc *doc, yyjson_mut_val *to, const char *name,
                       const struct digest *digest)
{
    char hex[DIGEST_HEX_MAX];
    if (digest_is_zero(digest)) {
        yyjson_mut_obj_add_null(doc, to, name);
        return;
    }
    digest_to_hex(digest, hex);
    yyjson_mut_obj_add_strcpy(doc, to, name, hex);
}

/* Writes the document and frees it; null: there was no memory for it. */
static enum status write_document(yyjson_mut_doc *doc, const char *end, FILE *file)
{
    size_t size = 0;
    char *const text = doc != nullptr ? yyjson_mut_write(doc, 0, &size) : nullptr;
    yyjson_mut_doc_free(doc);
    if (text == nullptr)
        return STATUS_NO_MEMORY;
    fprintf(file, "%s%s", text, end);
    free(text);
    return STATUS_OK;
}

enum status control_status_write_json(const struct control_status *s, FILE *file)
{
    yyjson_mut_doc *const doc = yyjson_mut_doc_new(nullptr);
    if (doc == nullptr)
        return STATUS_NO_MEMORY;
    yyjson_mut_val *const root = yyjson_mut_obj(doc);
    yyjson_mut_doc_set_root(doc, root);
    yyjson_mut_obj_add_str(doc, root, "job", s->job);
    yyjson_mut_obj_add_str(doc, root, "coordinator", s->coordinator);
    yyjson_mut_obj_add_str(doc, root, "phase", control_phase_name(s->phase));
    yyjson_mut_obj_add_bool(doc, root, "paused", s->paused);
    if (s->outcome != WIRE_OUTCOME_NONE)
        yyjson_mut_obj_add_str(doc, root, "outcome", control_outcome_name(s->outcome));
    else
        yyjson_mut_obj_add_null(doc, root, "outcome");
    yyjson_mut_obj_add_str(doc, root, "outcome_text", s->outcome_text);
    yyjson_mut_obj_add_uint(doc, root, "epoch", s->epoch);
    yyjson_mut_obj_add_uint(doc, root, "round", s->round);
    yyjson_mut_obj_add_uint(doc, root, "attempt", s->attempt);
    yyjson_mut_obj_add_uint(doc, root, "rounds_max", s->rounds_max);
    yyjson_mut_obj_add_uint(doc, root, "selected", s->selected);
    yyjson_mut_obj_add_uint(doc, root, "k", s->k);
    yyjson_mut_obj_add_uint(doc, root, "accepted", s->accepted);
    yyjson_mut_obj_add_uint(doc, root, "late", s->late);
    yyjson_mut_obj_add_uint(doc, root, "deadline_ms", s->deadline_ms);
    yyjson_mut_obj_add_uint(doc, root, "members", s->members);
    yyjson_mut_obj_add_uint(doc, root, "connected", s->connected);
    yyjson_mut_obj_add_uint(doc, root, "members_wanted", s->members_wanted);
    yyjson_mut_obj_add_uint(doc, root, "version_number", s->version_number);
    add_digest(doc, root, "version_id", &s->version_id);
    add_digest(doc, root, "model_digest", &s->model_digest);
    add_round(doc, root, "last", &s->last);
    add_round(doc, root, "best", &s->best);
    yyjson_mut_obj_add_uint(doc, root, "uptime_ms", s->uptime_ms);
    yyjson_mut_obj_add_uint(doc, root, "bytes_in", s->bytes_in);
    yyjson_mut_obj_add_uint(doc, root, "bytes_out", s->bytes_out);
    add_counts(doc, root, "refusals", &s->refusals);
    yyjson_mut_obj_add_uint(doc, root, "sequence", s->sequence);
    return write_document(doc, "\n", file);
}

enum status control_member_write_json(const struct control_member *member, FILE *file)
{
    yyjson_mut_doc *const doc = yyjson_mut_doc_new(nullptr);
    if (doc == nullptr)
        return STATUS_NO_MEMORY;
    yyjson_mut_val *const root = yyjson_mut_obj(doc);
    yyjson_mut_doc_set_root(doc, root);
    yyjson_mut_obj_add_str(doc, root, "spiffe_id", member->spiffe_id);
    yyjson_mut_obj_add_str(doc, root, "state", control_member_state_name(member->state));
    yyjson_mut_obj_add_bool(doc, root, "connected", member->connected);
    yyjson_mut_obj_add_uint(doc, root, "since_unix_ms", member->since_unix_ms);
    yyjson_mut_obj_add_uint(doc, root, "round_counted", member->round_counted);
    yyjson_mut_obj_add_uint(doc, root, "counted", member->counted);
    add_counts(doc, root, "dropped", &member->dropped);
    add_counts(doc, root, "refused", &member->refused);
    yyjson_mut_obj_add_uint(doc, root, "samples", member->samples);
    add_figure(doc, root, "loss", member->samples > 0, member->loss);
    yyjson_mut_obj_add_uint(doc, root, "certificate_ends_unix_s", member->certificate_ends_unix_s);
    yyjson_mut_obj_add_real(doc, root, "reputation", member->reputation);
    yyjson_mut_obj_add_uint(doc, root, "rounds", member->rounds);
    yyjson_mut_obj_add_uint(doc, root, "flagged", member->flagged);
    yyjson_mut_obj_add_uint(doc, root, "flagged_round", member->flagged_round);
    if (member->flagged_round > 0)
        yyjson_mut_obj_add_str(doc, root, "flag_reason",
                               reason_suspected_name(member->flag_reason));
    else
        yyjson_mut_obj_add_null(doc, root, "flag_reason");
    yyjson_mut_obj_add_real(doc, root, "flag_score", member->flag_score);
    yyjson_mut_obj_add_uint(doc, root, "quarantined_until", member->quarantined_until);
    return write_document(doc, "", file);
}

/*
 * audit_recompute.c - the model of each version: its file, and, where the updates that it counts
 * were kept, the same model made again from them and from the model before.
 *
 * With the coordinator's own arithmetic (host/round_close.c), which gives the same bits on every
 * machine. Not here: who signed the updates (audit_accepted.c).
 */
#include "audit/audit_internal.h"

#include "host/config.h"
#include "robust/weight.h"
#include "store/kept_updates.h"
#include "tensor/safetensors.h"

#include <float.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* One version on its way. */
struct again {
    const struct record *record;
    const struct audit_version *version;
    const struct audit_version *before; /* null: it is the first */
    char folder[32];                    /* of its kept updates */
    struct digest *kept;                /* payloads that were looked for */
    uint32_t kept_count;
    const char *why_not; /* it cannot be computed again; null: it can */
    uint64_t stand_in_weight;
    struct config *config; /* of the robust rule; null: the mean */
    struct robust_round *robust;
    struct round_choice choice; /* of the rule validated */
    uint64_t weight_sum;
};

static const char no_updates[] =
    "not computed again: their updates were not kept (audit.keep_updates)";
static const char no_model[] =
    "not computed again: the model before is not kept (limits.models_keep)";
static const char no_state[] = "not computed again: the optimiser's state before is not kept";
static const char no_settings[] =
    "not computed again: the record lacks a parameter of the rule or optimiser";
static const char damaged[] = "not computed again: what they need is damaged";

/* The layout of all models, from the first one that is of the record's. */
static enum status learn_layout(struct audit *audit, const uint8_t *bytes, size_t size,
                                const struct record_head *head, struct error *err)
{
    struct safetensors *file = nullptr;
    struct layout_builder *builder = nullptr;
    struct error text = {0};
    enum status status = safetensors_open((struct slice){bytes, size}, &file, &text);
    if (status != STATUS_OK || !digest_equal(&file->layout->digest, &head->layout_digest) ||
        !layout_is_f32(file->layout) || file->layout->parameter_count == 0) {
        safetensors_close(file);
        if (status == STATUS_NO_MEMORY)
            return error_set(err, status, "no memory for a layout");
        audit_find(audit, "a safetensors file of the layout in the record",
                   "its tensors are others%s%s", text.text[0] != 0 ? ": " : "", text.text);
        return STATUS_OK;
    }
    status = layout_builder_create(&builder);
    for (uint32_t i = 0; i < file->layout->tensor_count && status == STATUS_OK; i++) {
        const struct tensor *const tensor = &file->layout->tensors[i];
        status = layout_builder_add(builder, tensor->name, tensor->name_size, tensor->dtype,
                                    tensor->rank, tensor->shape, err);
    }
    if (status == STATUS_OK)
        status = layout_builder_finish(builder, &audit->recompute.layout, err);
    layout_builder_destroy(builder);
    safetensors_close(file);
    return status;
}

/*
 * Takes the bytes (malloc's) of a safetensors file of a layout and compares all of them; *ret_file
 * stays null, with a finding, where it is another one. NO_MEMORY only.
 */
static enum status take_tensors(struct audit *audit, uint8_t *bytes, size_t size,
                                const struct layout *layout, const struct digest *model_digest,
                                struct model_file **ret_file, struct error *err)
{
    struct model_file *file = nullptr;
    struct error text = {0};
    uint8_t *const copy = malloc(size + 1);
    if (copy == nullptr) {
        free(bytes);
        return error_set(err, STATUS_NO_MEMORY, "no memory for a model");
    }
    memcpy(copy, bytes, size);
    const enum status status = model_file_adopt(copy, size, layout, &file, &text);
    if (status != STATUS_OK && status != STATUS_NO_MEMORY)
        audit_find(audit, "a safetensors file of the job's layout", "%s", text.text);
    else if (status == STATUS_OK && (file->size != size || memcmp(file->bytes, bytes, size) != 0))
        audit_find(audit, "the bytes that were written", "its header is another one");
    else if (status == STATUS_OK && !digest_equal(&file->model_digest, model_digest))
        audit_expect_digest(audit, "its digest", &file->model_digest, model_digest);
    else if (status == STATUS_OK)
        *ret_file = model_file_ref(file);
    model_file_unref(file);
    free(bytes);
    return status == STATUS_NO_MEMORY ? error_set(err, status, "no memory for a model") : STATUS_OK;
}

/* The same for a file. NOT_FOUND, IO, NO_MEMORY. */
static enum status read_tensors(struct audit *audit, const char *path, const struct layout *layout,
                                const struct digest *model_digest, struct model_file **ret_file,
                                struct error *err)
{
    uint8_t *bytes = nullptr;
    size_t size = 0;
    const enum status status =
        audit_read_file(path, layout->bytes + SAFETENSORS_HEADER_MAX, &bytes, &size, err);
    if (status == STATUS_LIMIT) {
        audit_find(audit, "a file of the model's size", "%s", err->text);
        return STATUS_OK;
    }
    return status == STATUS_OK
               ? take_tensors(audit, bytes, size, layout, model_digest, ret_file, err)
               : status;
}

/* The file of a version's model, or null where it is not kept, or is damaged (a finding). */
static enum status read_model(struct audit *audit, const struct record_head *head,
                              struct model_file **ret_file, struct error *err)
{
    char name[AUDIT_FILE_NAME_MAX];
    char path[DURABLE_PATH_MAX];
    uint8_t *bytes = nullptr;
    size_t size = 0;
    struct digest digest;
    audit_model_name(head->number, &head->model_digest, false, name);
    struct audit_file *const listed = audit_find_file(audit, name);
    if (listed == nullptr)
        return STATUS_OK;
    listed->named = true;
    audit->versions[audit->version_count - 1].is_kept = true;
    audit_at(audit, "models/%s", name);
    snprintf(path, sizeof(path), "%.800s/models/%s", audit->folder, name);
    enum status status = audit_read_file(path, head->model_blob_length, &bytes, &size, err);
    if (status == STATUS_NOT_FOUND) {
        if (audit_is_still_kept(audit, name))
            audit_find(audit, "the model of a version", "the file is missing");
        return STATUS_OK;
    }
    if (status == STATUS_LIMIT) {
        audit_find(audit, "the length in the record", "%s", err->text);
        return STATUS_OK;
    }
    if (status == STATUS_OK)
        status = blob_digest(bytes, size, 0, &digest);
    if (status == STATUS_OK && !digest_equal(&digest, &head->model_blob_digest)) {
        audit_expect_digest(audit, "the digest of the file", &digest, &head->model_blob_digest);
        free(bytes);
        return STATUS_OK;
    }
    audit->job->models++;
    if (status == STATUS_OK && audit->recompute.layout == nullptr)
        status = learn_layout(audit, bytes, size, head, err);
    if (status == STATUS_OK && audit->recompute.layout != nullptr)
        return take_tensors(audit, bytes, size, audit->recompute.layout, &head->model_digest,
                            ret_file, err);
    free(bytes);
    return status;
}

static bool read_u64(const struct record_head *head, const char *name, uint64_t *ret_value)
{
    const char *const text = audit_parameter(head, name);
    char *end = nullptr;
    if (text == nullptr)
        return false;
    *ret_value = strtoull(text, &end, 10);
    return end != text && *end == 0;
}

/* From least to under most. */
static bool read_f64(const struct record_head *head, const char *name, double least, double most,
                     double *ret_value)
{
    const char *const text = audit_parameter(head, name);
    char *end = nullptr;
    if (text == nullptr)
        return false;
    *ret_value = strtod(text, &end);
    return end != text && *end == 0 && *ret_value >= least && *ret_value < most;
}

/* Settings that the arithmetic would refuse give false. */
static bool take_optimiser(const struct record_head *head, struct server_optimiser *ret)
{
    const char *const name = audit_parameter(head, "optimiser");
    *ret = (struct server_optimiser){.kind = OPTIMISER_SGD, .epsilon = 1};
    for (uint32_t kind = OPTIMISER_SGD; kind <= OPTIMISER_ADAGRAD; kind++) {
        if (name == nullptr ||
            strcmp(config_optimiser_name((enum server_optimiser_kind)kind), name) != 0)
            continue;
        ret->kind = (enum server_optimiser_kind)kind;
        const bool has_momentum = audit_parameter(head, "optimiser_momentum") != nullptr;
        ret->keeps_momentum = kind == OPTIMISER_SGD && has_momentum;
        return (!(kind != OPTIMISER_SGD || has_momentum) ||
                read_f64(head, "optimiser_momentum", 0, 1, &ret->momentum)) &&
               (kind == OPTIMISER_SGD || kind == OPTIMISER_MOMENTUM ||
                (read_f64(head, "optimiser_beta2", 0, 1, &ret->beta2) &&
                 read_f64(head, "optimiser_epsilon", DBL_MIN, 1e300, &ret->epsilon)));
    }
    return false;
}

/* The optimiser of a round's record, and the layout of its state: both until the next round. */
static enum status learn_optimiser(struct audit *audit, const struct record_head *head,
                                   struct error *err)
{
    struct recompute *const r = &audit->recompute;
    layout_destroy(r->state_layout);
    r->state_layout = nullptr;
    r->has_optimiser = r->layout != nullptr && take_optimiser(head, &r->optimiser);
    return r->has_optimiser ? round_state_layout(&r->optimiser, r->layout->parameter_count,
                                                 &r->state_layout, err)
                            : STATUS_OK;
}

static enum status open_rule(struct audit *audit, struct again *again, struct error *err)
{
    const struct record_head *const head = &again->record->head;
    struct recompute *const r = &audit->recompute;
    const char *const place = getenv("TMPDIR");
    const char *const pre = audit_parameter(head, "robust_pre");
    const char *const set = audit_parameter(head, "robust_set");
    double norm_max = 0;
    uint32_t rule = 0;
    while (rule < RULE_NNM && strcmp(rule_get((enum rule_id)rule)->name, head->rule) != 0)
        rule++;
    if (rule == RULE_NNM || !read_f64(head, "update_norm_max", 0, 1e300, &norm_max)) {
        again->why_not = no_settings;
        return STATUS_OK;
    }
    if (rule == RULE_MEAN && pre == nullptr) {
        if (r->accumulator != nullptr && r->norm_max == norm_max) {
            accumulator_reset(r->accumulator);
            return STATUS_OK;
        }
        accumulator_destroy(r->accumulator);
        r->accumulator = nullptr;
        r->norm_max = norm_max;
        return accumulator_create(r->layout->parameter_count, grid_from_norm_max(norm_max),
                                  &r->accumulator);
    }
    again->config = calloc(1, sizeof(*again->config));
    if (again->config == nullptr)
        return error_set(err, STATUS_NO_MEMORY, "no memory for a rule");
    again->config->robust.rule = (enum rule_id)rule;
    if (rule == RULE_VALIDATED &&
        !validated_candidate_find(head->validation_choice, &again->choice.chosen)) {
        again->why_not = no_settings;
        return STATUS_OK;
    }
    snprintf(again->config->robust.pre, CONFIG_RULES_MAX, "%s", pre != nullptr ? pre : "");
    snprintf(again->config->robust.set, CONFIG_RULES_MAX, "%s", set != nullptr ? set : "");
    /* What it reckoned with fits so many updates: it is what comes of it again. */
    if (!read_u64(head, "robust_f", &again->config->robust.f)) {
        again->why_not = no_settings;
        return STATUS_OK;
    }
    const enum status status =
        robust_round_create(again->config, place != nullptr && place[0] != 0 ? place : "/tmp",
                            r->layout->parameter_count, &again->robust, err);
    if (status != STATUS_INVAL)
        return status;
    again->why_not = no_settings;
    return STATUS_OK;
}

/* One payload: all its bytes are what its header says; then it is counted. */
static enum status count_update(struct audit *audit, struct again *again,
                                const struct record_accepted *accepted, struct error *err)
{
    static const struct envelope_limits all = {UINT64_MAX, UINT64_MAX};
    char path[DURABLE_PATH_MAX];
    char hex[DIGEST_HEX_MAX];
    uint8_t *bytes = nullptr;
    size_t size = 0;
    struct envelope_header header;
    struct digest digest = {0};
    struct error text = {0};
    if (header_decode(accepted->header_bytes, &all, &header, nullptr) != STATUS_OK)
        return STATUS_OK;
    again->kept[again->kept_count++] = header.payload_digest;
    again->weight_sum += accepted->weight;
    if (accepted->weight > WEIGHT_SAMPLES_MAX * (uint64_t)WEIGHT_UNITS_PER_SAMPLE)
        again->why_not = damaged; /* check_weight of audit_accepted.c has named it */
    digest_to_hex(&header.payload_digest, hex);
    audit_at(audit, "updates/%s/%s", again->folder, hex);
    snprintf(path, sizeof(path), "%.800s/updates/%s/%s", audit->folder, again->folder, hex);
    enum status status = audit_read_file(path, header.payload_length, &bytes, &size, &text);
    if (status == STATUS_IO || status == STATUS_NO_MEMORY)
        return error_set(err, status, "%s", text.text);
    if (status == STATUS_OK)
        status = blob_digest(bytes, size, header.codec_id, &digest);
    if (status == STATUS_OK && digest_equal(&digest, &header.payload_digest)) {
        audit->job->kept++;
        const float *const update = (const float *)(const void *)bytes;
        if (again->why_not == nullptr && size != audit->recompute.layout->bytes)
            status = error_set(&text, STATUS_LIMIT, "it is of another model");
        else if (again->why_not == nullptr && again->robust != nullptr)
            status =
                robust_round_keep(again->robust, header.spiffe_id, update, accepted->weight, &text);
        else if (again->why_not == nullptr)
            status =
                accumulator_fold(audit->recompute.accumulator, update, accepted->weight, &text);
        if (status != STATUS_OK)
            audit_find(audit, "an update that the rule can take", "%s", text.text);
    } else if (status == STATUS_OK) {
        audit_expect_digest(audit, "its digest", &digest, &header.payload_digest);
        status = STATUS_CORRUPT;
    } else {
        audit_find(audit, "the update that was counted", "%s",
                   status == STATUS_NOT_FOUND ? "the file is missing" : text.text);
    }
    free(bytes);
    if (status != STATUS_OK && again->why_not == nullptr)
        again->why_not = damaged;
    return status == STATUS_NO_MEMORY || status == STATUS_IO || status == STATUS_NO_SPACE
               ? error_set(err, status, "%s", text.text)
               : STATUS_OK;
}

/* The state that the round began with: computed before, or kept beside the updates. */
static enum status find_state(struct audit *audit, struct again *again, struct error *err)
{
    struct recompute *const r = &audit->recompute;
    const struct digest *const wanted = &again->before->rule_state_digest;
    struct model_file *file = nullptr;
    char path[DURABLE_PATH_MAX];
    char hex[DIGEST_HEX_MAX];
    if (digest_is_zero(wanted)) {
        model_file_replace(&r->state, nullptr);
        return STATUS_OK;
    }
    digest_to_hex(wanted, hex);
    audit_at(audit, "updates/%s/%s" KEPT_STATE_SUFFIX, again->folder, hex);
    snprintf(path, sizeof(path), "%.800s/updates/%s/%s" KEPT_STATE_SUFFIX, audit->folder,
             again->folder, hex);
    const enum status status = r->state_layout != nullptr
                                   ? read_tensors(audit, path, r->state_layout, wanted, &file, err)
                                   : STATUS_NOT_FOUND;
    if (status != STATUS_OK && status != STATUS_NOT_FOUND)
        return status;
    if (file != nullptr)
        model_file_replace(&r->state, file);
    else if (r->state != nullptr && !digest_equal(&r->state->model_digest, wanted))
        model_file_replace(&r->state, nullptr);
    if (r->state == nullptr && again->why_not == nullptr)
        again->why_not = no_state;
    return STATUS_OK;
}

/* Sees whether all that the arithmetic needs is there; else why_not is set. */
static enum status prepare(struct audit *audit, struct again *again, struct error *err)
{
    struct recompute *const r = &audit->recompute;
    const struct record_head *const head = &again->record->head;
    enum status status = STATUS_OK;
    again->stand_in_weight = 0;
    if (r->model == nullptr || r->layout == nullptr)
        again->why_not = no_model;
    else if (!r->has_optimiser || head->round == 0 ||
             (audit_parameter(head, "stand_in_weight") != nullptr &&
              !read_u64(head, "stand_in_weight", &again->stand_in_weight)))
        again->why_not = no_settings;
    else
        status = open_rule(audit, again, err);
    return status == STATUS_OK ? find_state(audit, again, err) : status;
}

static void compare(struct audit *audit, const struct again *again,
                    const struct closed_round *closed)
{
    const struct record_head *const head = &again->record->head;
    const struct digest none = {0};
    const uint64_t before = audit->report->finding_count;
    char text[32];
    audit_at(audit, "state.db, commits: version %" PRIu64 ", computed again", head->number);
    audit_expect_digest(audit, "the record's model", &head->model_digest,
                        &closed->model->model_digest);
    audit_expect_digest(audit, "the digest of the record's model file", &head->model_blob_digest,
                        &closed->model->blob_digest);
    audit_expect_digest(audit, "the digest of the optimiser's state", &head->rule_state_digest,
                        closed->state != nullptr ? &closed->state->model_digest : &none);
    snprintf(text, sizeof(text), "%a", closed->norm);
    if (memcmp(&closed->norm, &head->aggregate_norm, sizeof(closed->norm)) != 0)
        audit_find(audit, text, "the norm of the aggregate is %a", head->aggregate_norm);
    audit->job->recomputed += audit->report->finding_count == before;
}

/* What the record says of the suspects, unless it is one of before records did. */
static enum status compare_suspects(struct audit *audit, const struct again *again,
                                    const struct robust_outcome *outcome)
{
    const char *const said = audit_parameter(&again->record->head, "robust_suspects");
    char found[ROBUST_SUSPECTS_TEXT_MAX];
    if (said == nullptr || outcome == nullptr)
        return STATUS_OK;
    const enum status status = robust_outcome_text(outcome, found);
    if (status == STATUS_OK)
        audit_expect_text(audit, "the suspects of the rule", said, found);
    return status;
}

/* Makes the version again; takes its model and state where they are right. */
static enum status close_round(struct audit *audit, struct again *again,
                               struct model_file **ret_model, struct error *err)
{
    struct recompute *const r = &audit->recompute;
    const struct record_head *const head = &again->record->head;
    const bool chooses = again->robust != nullptr && again->config->robust.rule == RULE_VALIDATED;
    const struct round_inputs inputs = {.layout = r->layout,
                                        .state_layout = r->state_layout,
                                        .optimiser = &r->optimiser,
                                        .model = r->model,
                                        .state = r->state,
                                        .accumulator = r->accumulator,
                                        .robust = again->robust,
                                        .choice = chooses ? &again->choice : nullptr};
    const struct close_task task = {.rate = head->learning_rate,
                                    .steps = head->round - 1,
                                    .seed = head->round_seed,
                                    .stand_in_weight = again->stand_in_weight};
    struct closed_round closed = {0};
    struct error text = {0};
    enum status status = round_close(&inputs, &task, &closed, &text);
    if (status == STATUS_OK) {
        audit_at(audit, "state.db, commits: version %" PRIu64 ", computed again", head->number);
        status = compare_suspects(audit, again, closed.outcome);
    }
    free(closed.outcome);
    if (status == STATUS_NO_MEMORY || status == STATUS_IO || status == STATUS_NO_SPACE)
        return error_set(err, status, "%s", text.text);
    if (status != STATUS_OK) {
        audit_at(audit, "state.db, commits: version %" PRIu64 ", computed again", head->number);
        audit_find(audit, "updates that give a model", "they give none: %s", status_text(status));
        model_file_replace(&r->state, nullptr);
        return STATUS_OK;
    }
    compare(audit, again, &closed);
    if (digest_equal(&closed.model->model_digest, &head->model_digest) && *ret_model == nullptr)
        *ret_model = model_file_ref(closed.model);
    const bool is_right = closed.state != nullptr &&
                          digest_equal(&closed.state->model_digest, &head->rule_state_digest);
    model_file_replace(&r->state, is_right ? model_file_ref(closed.state) : nullptr);
    model_file_unref(closed.model);
    model_file_unref(closed.state);
    return STATUS_OK;
}

static int compare_digests(const void *a, const void *b)
{
    return memcmp(a, b, DIGEST_BYTES);
}

/* Every file of the folder is one that was looked for. */
static enum status check_names(struct audit *audit, struct again *again, struct error *err)
{
    char path[DURABLE_PATH_MAX];
    struct audit_names names = {0};
    snprintf(path, sizeof(path), "%.800s/updates/%s", audit->folder, again->folder);
    const enum status status = audit_list(path, &names, err);
    if (again->kept_count > 0)
        qsort(again->kept, again->kept_count, DIGEST_BYTES, compare_digests);
    for (size_t i = 0; i < names.count && status == STATUS_OK; i++) {
        char hex[DIGEST_HEX_MAX] = "";
        char again_hex[DIGEST_HEX_MAX];
        struct digest digest;
        snprintf(hex, sizeof(hex), "%.64s", names.items[i]);
        const bool is_digest = digest_from_hex(hex, &digest) == STATUS_OK;
        if (is_digest)
            digest_to_hex(&digest, again_hex);
        const bool is_update = is_digest && strcmp(names.items[i], again_hex) == 0 &&
                               bsearch(&digest, again->kept, again->kept_count, DIGEST_BYTES,
                                       compare_digests) != nullptr;
        const bool is_state = is_digest && strcmp(names.items[i] + 64, KEPT_STATE_SUFFIX) == 0 &&
                              digest_equal(&digest, &again->before->rule_state_digest);
        if (is_update || is_state)
            continue;
        audit_at(audit, "updates/%s/%.100s", again->folder, names.items[i]);
        audit_find(audit, "updates that the version counts", "the record names no such file");
    }
    audit_names_deinit(&names);
    return status;
}

/* Whether retention took the folder meanwhile: then what was missing in it was no finding. */
static bool is_gone(const struct audit *audit, const struct again *again)
{
    char path[DURABLE_PATH_MAX];
    struct audit_names names = {0};
    snprintf(path, sizeof(path), "%.800s/updates/%s", audit->folder, again->folder);
    const bool gone = audit_list(path, &names, nullptr) == STATUS_OK && names.count == 0;
    audit_names_deinit(&names);
    return gone;
}

static enum status make_again(struct audit *audit, struct again *again,
                              struct model_file **ret_model, struct error *err)
{
    struct record_iter iter;
    struct record_accepted accepted;
    const uint64_t findings = audit->report->finding_count;
    kept_updates_folder_name(again->version->number, again->folder, sizeof(again->folder));
    if (!audit_names_have(&audit->updates, again->folder)) {
        again->why_not = no_updates;
        return STATUS_OK;
    }
    again->kept = calloc((size_t)again->record->head.accepted_count + 1, sizeof(*again->kept));
    if (again->kept == nullptr)
        return error_set(err, STATUS_NO_MEMORY, "no memory for digests");
    enum status status = prepare(audit, again, err);
    record_iter_init(&iter, again->record);
    while (status == STATUS_OK && record_iter_next(&iter, &accepted))
        status = count_update(audit, again, &accepted, err);
    if (again->why_not == nullptr && again->weight_sum == 0)
        again->why_not = damaged;
    if (status == STATUS_OK)
        status = check_names(audit, again, err);
    if (status == STATUS_OK && audit->report->finding_count > findings && is_gone(audit, again)) {
        audit->report->finding_count = findings;
        again->why_not = no_updates;
    }
    if (status == STATUS_OK && again->why_not == nullptr)
        return close_round(audit, again, ret_model, err);
    return status;
}

/* A version that no round made has the model of another one. */
static void check_same(struct audit *audit, const struct record_head *head)
{
    const size_t index = audit->version_count - 1;
    audit_at(audit, "state.db, commits: version %" PRIu64, head->number);
    if (head->accepted_count > 0)
        audit_find(audit, "no updates in a version that no round made", "the record counts %u",
                   head->accepted_count);
    if (index == 0)
        return;
    const struct audit_version *const before = &audit->versions[index - 1];
    if (head->validation_choice[0] == 0) {
        audit_expect_digest(audit, "its model", &head->model_digest, &before->model_digest);
        audit_expect_digest(audit, "its optimiser's state", &head->rule_state_digest,
                            &before->rule_state_digest);
        return;
    }
    model_file_replace(&audit->recompute.state, nullptr);
    for (size_t i = 0; i < index; i++) {
        char name[64];
        snprintf(name, sizeof(name), "round %" PRIu64, audit->versions[i].round);
        if (strcmp(name, head->validation_choice) == 0 &&
            digest_equal(&audit->versions[i].model_digest, &head->model_digest))
            return;
    }
    audit_find(audit, "the model of the round that it names", "no version of \"%.64s\" has it",
               head->validation_choice);
}

enum status audit_version_model(struct audit *audit, const struct record *record, struct error *err)
{
    struct recompute *const r = &audit->recompute;
    const size_t index = audit->version_count - 1;
    struct again again = {.record = record,
                          .version = &audit->versions[index],
                          .before = index > 0 ? &audit->versions[index - 1] : nullptr};
    struct model_file *model = nullptr;
    const bool is_round = audit_parameter(&record->head, "optimiser") != nullptr;
    enum status status = read_model(audit, &record->head, &model, err);
    if (status == STATUS_OK && is_round)
        status = learn_optimiser(audit, &record->head, err);
    if (status == STATUS_OK && (!is_round || again.before == nullptr)) {
        check_same(audit, &record->head);
    } else if (status == STATUS_OK) {
        status = make_again(audit, &again, &model, err);
        if (again.why_not != nullptr) {
            audit_miss(audit, record->head.number, again.why_not);
            model_file_replace(&r->state, nullptr);
        }
    }
    model_file_replace(&r->model, model);
    robust_round_destroy(again.robust);
    free(again.config);
    free(again.kept);
    return status;
}

enum status audit_last_state(struct audit *audit, struct error *err)
{
    struct recompute *const r = &audit->recompute;
    const struct audit_version *const last =
        audit->version_count > 0 ? &audit->versions[audit->version_count - 1] : nullptr;
    char name[AUDIT_FILE_NAME_MAX];
    char path[DURABLE_PATH_MAX];
    struct model_file *file = nullptr;
    if (last == nullptr || digest_is_zero(&last->rule_state_digest))
        return STATUS_OK;
    audit_model_name(last->number, &last->model_digest, true, name);
    struct audit_file *const listed = audit_find_file(audit, name);
    audit_at(audit, "models/%s", name);
    if (listed == nullptr)
        return STATUS_OK; /* audit_files_table says so */
    listed->named = true;
    if (r->state_layout == nullptr) {
        audit_miss(audit, last->number, "the optimiser's state: its layout is not known");
        return STATUS_OK;
    }
    snprintf(path, sizeof(path), "%.800s/models/%s", audit->folder, name);
    const enum status status =
        read_tensors(audit, path, r->state_layout, &last->rule_state_digest, &file, err);
    model_file_unref(file);
    if (status == STATUS_NOT_FOUND && audit_is_still_kept(audit, name))
        audit_find(audit, "the optimiser's state of the last version", "the file is missing");
    return status == STATUS_NOT_FOUND ? STATUS_OK : status;
}

void audit_recompute_deinit(struct recompute *recompute)
{
    model_file_unref(recompute->model);
    model_file_unref(recompute->state);
    layout_destroy(recompute->layout);
    layout_destroy(recompute->state_layout);
    accumulator_destroy(recompute->accumulator);
}

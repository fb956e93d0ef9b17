/*
 * trainer_protocol.c - lines of JSON between a node and its trainer.
 */
#include "train/trainer_protocol.h"

#include "base/check.h"
#include "base/text.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yyjson.h>

enum { SHOWN_MAX = 80 }; /* of what a trainer said, in a message */

/* ---- what a node says ---- */

/* Appends the document and a newline, and frees it; null stands for no memory. */
static enum status append_line(yyjson_mut_doc *doc, struct bytes *ret_line, struct error *err)
{
    size_t size = 0;
    yyjson_write_err wrong = {0};
    char *const text = doc ? yyjson_mut_write_opts(doc, 0, nullptr, &size, &wrong) : nullptr;
    yyjson_mut_doc_free(doc);
    if (text == nullptr && wrong.code == YYJSON_WRITE_ERROR_INVALID_STRING)
        return error_set(err, STATUS_INVAL, "a path or name for the trainer is not UTF-8");
    if (text == nullptr)
        return error_set(err, STATUS_NO_MEMORY, "no memory for a line to the trainer");
    text[size] = '\n'; /* where its zero was */
    const enum status status = bytes_append(ret_line, text, size + 1);
    free(text);
    if (status != STATUS_OK)
        return error_set(err, status, "a line of %zu bytes to the trainer is too long", size + 1);
    return STATUS_OK;
}

static yyjson_mut_doc *new_line(const char *type, yyjson_mut_val **ret_root)
{
    yyjson_mut_doc *const doc = yyjson_mut_doc_new(nullptr);
    *ret_root = yyjson_mut_obj(doc);
    yyjson_mut_doc_set_root(doc, *ret_root);
    yyjson_mut_obj_add_str(doc, *ret_root, "type", type);
    return doc;
}

static bool add_tensor(yyjson_mut_doc *doc, yyjson_mut_val *list, const struct tensor *tensor)
{
    yyjson_mut_val *const item = yyjson_mut_arr_add_obj(doc, list);
    return yyjson_mut_obj_add_strn(doc, item, "name", tensor->name, tensor->name_size) &&
           yyjson_mut_obj_add_str(doc, item, "dtype", dtype_name(tensor->dtype)) &&
           yyjson_mut_obj_add_val(doc, item, "shape",
                                  yyjson_mut_arr_with_uint(doc, tensor->shape, tensor->rank));
}

enum status trainer_encode_hello(const struct trainer_hello *hello, struct bytes *ret_line,
                                 struct error *err)
{
    yyjson_mut_val *root = nullptr;
    yyjson_mut_doc *doc = new_line("hello", &root);
    yyjson_mut_obj_add_uint(doc, root, "protocol", TRAINER_PROTOCOL);
    yyjson_mut_obj_add_str(doc, root, "job", hello->job);
    yyjson_mut_obj_add_str(doc, root, "node", hello->node);
    yyjson_mut_obj_add_uint(doc, root, "part", hello->part);
    yyjson_mut_obj_add_uint(doc, root, "parts", hello->parts);
    yyjson_mut_obj_add_uint(doc, root, "seed", hello->seed);
    yyjson_mut_obj_add_real(doc, root, "holdout", hello->holdout);
    yyjson_mut_obj_add_real(doc, root, "heartbeat_s", hello->heartbeat_s);
    yyjson_mut_obj_add_str(doc, root, "scratch", hello->scratch);
    if (hello->data[0] != 0)
        yyjson_mut_obj_add_str(doc, root, "data", hello->data);
    if (hello->indices[0] != 0)
        yyjson_mut_obj_add_str(doc, root, "indices", hello->indices);
    yyjson_mut_val *const list = yyjson_mut_obj_add_arr(doc, root, "tensors");
    bool good = list != nullptr; /* whatever failed before, this failed too: the pool is empty */
    for (uint32_t i = 0; i < hello->layout->tensor_count && good; i++)
        good = add_tensor(doc, list, &hello->layout->tensors[i]);
    if (!good) {
        yyjson_mut_doc_free(doc);
        doc = nullptr;
    }
    return append_line(doc, ret_line, err);
}

/* As few digits as read back to the same float: 0.1, not 0.10000000149011612. */
static bool add_float(yyjson_mut_doc *doc, yyjson_mut_val *root, const char *key, float value)
{
    char text[32] = "";
    for (int digits = 1; digits <= 9; digits++) {
        snprintf(text, sizeof(text), "%.*g", digits, (double)value);
        if (strtof(text, nullptr) == value)
            break;
    }
    return yyjson_mut_obj_add_val(doc, root, key, yyjson_mut_rawcpy(doc, text));
}

enum status trainer_encode_work(const struct trainer_work *work, struct bytes *ret_line,
                                struct error *err)
{
    const struct sgd_settings *const sgd = work->sgd;
    yyjson_mut_val *root = nullptr;
    yyjson_mut_doc *doc = new_line("train", &root);
    yyjson_mut_obj_add_uint(doc, root, "id", work->id);
    yyjson_mut_obj_add_uint(doc, root, "round", work->round);
    yyjson_mut_obj_add_str(doc, root, "model", work->model);
    yyjson_mut_obj_add_str(doc, root, "output", work->output);
    yyjson_mut_obj_add_uint(doc, root, "seed", work->seed);
    yyjson_mut_obj_add_uint(doc, root, "local_epochs", sgd->local_epochs);
    yyjson_mut_obj_add_uint(doc, root, "batch_size", sgd->batch_size);
    if (!add_float(doc, root, "learning_rate", sgd->learning_rate) ||
        !add_float(doc, root, "momentum", sgd->momentum) ||
        !add_float(doc, root, "weight_decay", sgd->weight_decay) ||
        !add_float(doc, root, "proximal_mu", sgd->proximal_mu)) {
        yyjson_mut_doc_free(doc);
        doc = nullptr;
    }
    return append_line(doc, ret_line, err);
}

enum status trainer_encode_cancel(uint64_t id, struct bytes *ret_line, struct error *err)
{
    char text[64];
    const int size =
        snprintf(text, sizeof(text), "{\"type\":\"cancel\",\"id\":%llu}\n", (unsigned long long)id);
    const enum status status = bytes_append(ret_line, text, (size_t)size);
    return status == STATUS_OK ? status : error_set(err, status, "no memory for a line");
}

/* ---- what a trainer says ---- */

/* A value as it was written, cut; for messages. */
static void show(yyjson_val *value, char ret_text[static SHOWN_MAX])
{
    size_t size = 0;
    char *const text = yyjson_val_write(value, YYJSON_WRITE_ALLOW_INF_AND_NAN, &size);
    if (yyjson_is_str(value))
        text_escape(yyjson_get_str(value), yyjson_get_len(value), ret_text, SHOWN_MAX);
    else
        text_escape(text != nullptr ? text : "?", text != nullptr ? size : 1, ret_text, SHOWN_MAX);
    free(text);
}

static enum status wrong_figure(const char *key, yyjson_val *value, const char *wanted,
                                struct error *err)
{
    char shown[SHOWN_MAX];
    if (value == nullptr)
        return error_set(err, STATUS_INVAL, "the trainer's answer has no %s, %s is wanted", key,
                         wanted);
    show(value, shown);
    return error_set(err, STATUS_INVAL, "the trainer's %s is %s, %s is wanted", key, shown, wanted);
}

/* A text member, escaped; "" where it is not there or no text. */
static void read_text(yyjson_val *root, const char *key, char ret_text[static TRAINER_TEXT_MAX])
{
    yyjson_val *const value = yyjson_obj_get(root, key);
    ret_text[0] = 0;
    if (yyjson_is_str(value))
        text_escape(yyjson_get_str(value), yyjson_get_len(value), ret_text, TRAINER_TEXT_MAX);
}

static enum status read_samples(yyjson_val *root, const char *key, uint64_t *ret_samples,
                                struct error *err)
{
    yyjson_val *const value = yyjson_obj_get(root, key);
    if (!yyjson_is_uint(value) || yyjson_get_uint(value) < 1 ||
        yyjson_get_uint(value) > TRAINER_SAMPLES_MAX)
        return wrong_figure(key, value, "a whole number from 1 to 1000000000000", err);
    *ret_samples = yyjson_get_uint(value);
    return STATUS_OK;
}

static enum status read_loss(yyjson_val *root, const char *key, double *ret_loss, struct error *err)
{
    yyjson_val *const value = yyjson_obj_get(root, key);
    if (!yyjson_is_num(value) || !isfinite(yyjson_get_num(value)))
        return wrong_figure(key, value, "a finite number", err);
    *ret_loss = yyjson_get_num(value);
    return STATUS_OK;
}

static enum status read_share(yyjson_val *root, const char *key, double *ret_share,
                              struct error *err)
{
    yyjson_val *const value = yyjson_obj_get(root, key);
    if (!yyjson_is_num(value) || !(yyjson_get_num(value) >= 0 && yyjson_get_num(value) <= 1))
        return wrong_figure(key, value, "a number from 0 to 1", err);
    *ret_share = yyjson_get_num(value);
    return STATUS_OK;
}

static enum status read_trained(yyjson_val *root, struct trainer_message *message,
                                struct error *err)
{
    enum status status = read_samples(root, "samples", &message->samples, err);
    if (status == STATUS_OK)
        status = read_loss(root, "loss", &message->loss, err);
    message->has_accuracy = yyjson_obj_get(root, "accuracy") != nullptr;
    if (status == STATUS_OK && message->has_accuracy)
        status = read_share(root, "accuracy", &message->accuracy, err);
    message->has_holdout = yyjson_obj_get(root, "holdout_samples") != nullptr ||
                           yyjson_obj_get(root, "holdout_loss") != nullptr ||
                           yyjson_obj_get(root, "holdout_accuracy") != nullptr;
    if (status != STATUS_OK || !message->has_holdout)
        return status;
    status = read_samples(root, "holdout_samples", &message->holdout.samples, err);
    if (status == STATUS_OK)
        status = read_loss(root, "holdout_loss", &message->holdout.loss, err);
    if (status == STATUS_OK)
        status = read_share(root, "holdout_accuracy", &message->holdout.accuracy, err);
    return status;
}

static enum status read_ready(yyjson_val *root, struct trainer_message *message, struct error *err)
{
    char shown[SHOWN_MAX];
    yyjson_val *const protocol = yyjson_obj_get(root, "protocol");
    yyjson_val *const heartbeats = yyjson_obj_get(root, "heartbeats");
    if (protocol == nullptr)
        return error_set(err, STATUS_PEER, "the trainer's ready has no protocol, %d is wanted",
                         TRAINER_PROTOCOL);
    if (!yyjson_is_uint(protocol) || yyjson_get_uint(protocol) != TRAINER_PROTOCOL) {
        show(protocol, shown);
        return error_set(err, STATUS_PEER, "the trainer speaks protocol %s, %d is wanted", shown,
                         TRAINER_PROTOCOL);
    }
    if (heartbeats != nullptr && !yyjson_is_bool(heartbeats)) {
        show(heartbeats, shown);
        return error_set(err, STATUS_PEER,
                         "the trainer's heartbeats is %s, true or false is wanted", shown);
    }
    message->heartbeats = yyjson_get_bool(heartbeats);
    read_text(root, "name", message->text);
    return STATUS_OK;
}

/* type and id, which decide what the rest means. */
static enum status read_kind(yyjson_val *root, struct trainer_message *message, struct error *err)
{
    static const char *const types[] = {[TRAINER_READY] = "ready",
                                        [TRAINER_HEARTBEAT] = "heartbeat",
                                        [TRAINER_TRAINED] = "trained",
                                        [TRAINER_FAILED] = "failed"};
    char shown[SHOWN_MAX];
    yyjson_val *const type = yyjson_obj_get(root, "type");
    yyjson_val *const id = yyjson_obj_get(root, "id");
    uint32_t kind = 0;
    while (kind < sizeof(types) / sizeof(*types) && !yyjson_equals_str(type, types[kind]))
        kind++;
    if (type == nullptr || kind == sizeof(types) / sizeof(*types)) {
        show(type != nullptr ? type : root, shown);
        return error_set(
            err, STATUS_PEER,
            type == nullptr
                ? "the trainer's answer has no type: '%s'; ready, heartbeat, "
                  "trained or failed is wanted"
                : "the trainer's answer has the type %s; ready, heartbeat, trained or failed "
                  "is wanted",
            shown);
    }
    message->kind = (enum trainer_message_kind)kind;
    if (message->kind == TRAINER_READY)
        return STATUS_OK;
    if (!yyjson_is_uint(id)) {
        show(id != nullptr ? id : root, shown);
        return error_set(err, STATUS_PEER,
                         id == nullptr ? "the trainer's %s has no id, that of its task is wanted"
                                       : "the trainer's %s has the id %s, that of its task is "
                                         "wanted",
                         types[kind], shown);
    }
    message->id = yyjson_get_uint(id);
    return STATUS_OK;
}

static enum status read_message(yyjson_val *root, struct trainer_message *message,
                                struct error *err)
{
    const enum status status = read_kind(root, message, err);
    if (status != STATUS_OK)
        return status;
    switch (message->kind) {
    case TRAINER_READY:
        return read_ready(root, message, err);
    case TRAINER_HEARTBEAT:
        if (yyjson_obj_get(root, "progress") == nullptr)
            return STATUS_OK;
        return read_share(root, "progress", &message->progress, err);
    case TRAINER_TRAINED:
        return read_trained(root, message, err);
    case TRAINER_FAILED:
        read_text(root, "reason", message->text);
        return STATUS_OK;
    }
    return STATUS_PEER;
}

enum status trainer_parse(struct slice line, struct trainer_message *ret_message, struct error *err)
{
    char shown[SHOWN_MAX];
    yyjson_read_err wrong = {0};
    struct trainer_message message = {0};
    yyjson_doc *const doc = yyjson_read_opts((char *)(uintptr_t)line.data, line.size,
                                             YYJSON_READ_ALLOW_INF_AND_NAN, nullptr, &wrong);
    yyjson_val *const root = yyjson_doc_get_root(doc);
    text_escape(line.data, line.size, shown, sizeof(shown));
    if (doc == nullptr && wrong.code == YYJSON_READ_ERROR_MEMORY_ALLOCATION)
        return error_set(err, STATUS_NO_MEMORY, "no memory for an answer of the trainer");
    if (!yyjson_is_obj(root)) {
        const enum status status =
            error_set(err, STATUS_PEER,
                      "the trainer answered a line that is %s: '%s'; only answers belong on "
                      "its standard output",
                      doc == nullptr ? "not JSON" : "no JSON object", shown);
        yyjson_doc_free(doc);
        return status;
    }
    const enum status status = read_message(root, &message, err);
    yyjson_doc_free(doc);
    if (status == STATUS_OK || status == STATUS_INVAL)
        *ret_message = message;
    return status;
}

/* ---- lines ---- */

size_t trainer_lines_room(struct trainer_lines *lines, char **ret_room)
{
    if (lines->begin > 0) {
        memmove(lines->data, lines->data + lines->begin, lines->end - lines->begin);
        lines->end -= lines->begin;
        lines->begin = 0;
    }
    *ret_room = lines->data + lines->end;
    return lines->capacity - lines->end;
}

void trainer_lines_fed(struct trainer_lines *lines, size_t size)
{
    CHECK(size <= lines->capacity - lines->end);
    lines->end += size;
}

bool trainer_lines_next(struct trainer_lines *lines, struct slice *ret_line)
{
    for (;;) {
        char *const line = lines->data + lines->begin;
        const char *const newline = memchr(line, '\n', lines->end - lines->begin);
        if (newline == nullptr) {
            if (lines->skipping)
                lines->begin = lines->end;
            return false;
        }
        const size_t size = (size_t)(newline - line);
        const bool skipped = lines->skipping;
        lines->begin += size + 1;
        lines->skipping = false;
        if (!skipped) {
            *ret_line = (struct slice){(const uint8_t *)line, size};
            return true;
        }
    }
}

bool trainer_lines_cut(struct trainer_lines *lines, struct slice *ret_line)
{
    if (lines->end - lines->begin < lines->capacity)
        return false;
    *ret_line = (struct slice){(const uint8_t *)lines->data, lines->capacity};
    lines->begin = lines->end;
    lines->skipping = true;
    return true;
}

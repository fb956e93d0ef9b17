/*
 * run_folder.c - what a run leaves for people and scripts: metrics.jsonl, model.safetensors,
 * summary.json, and a line of progress a round.
 *
 * A round's line is stored with its commit; metrics.jsonl is made anew from the store at each
 * start, so that every committed round has one whole line.
 */
#include "host/coordinator_host_internal.h"

#include "base/check.h"
#include "host/job_data.h"
#include "store/durable_file.h"
#include "train/evaluate.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <yyjson.h>

static enum status path_in(const struct coordinator_host *host, const char *name, char *ret_path,
                           struct error *err)
{
    const int length =
        snprintf(ret_path, DURABLE_PATH_MAX, "%s/%s", host->config->server.state, name);
    if (length < 0 || length >= DURABLE_PATH_MAX)
        return error_set(err, STATUS_LIMIT, "server.state: the path is too long");
    return STATUS_OK;
}

static double ms_between(uint64_t from_ns, uint64_t to_ns)
{
    return to_ns > from_ns ? (double)(to_ns - from_ns) / 1e6 : 0;
}

enum status run_folder_metrics_begin(const struct coordinator_host *host, struct bytes *line)
{
    const struct run_round round = {
        .machine = &host->machine,
        .model_digest = &host->candidate->model_digest,
        .refused = host->refused,
        .late = host_refused_late(host),
        .nodes = config_validates_by_nodes(host->config) ? &host->node_figures : nullptr,
        .outcome = host->outcome,
        .aggregate_norm = host->aggregate_norm,
        .bytes_in = host->bytes_in,
        .bytes_out = host->bytes_out,
        .virtual_s = -1};
    return run_report_round(&round, line);
}

enum status run_folder_metrics_end(const struct coordinator_host *host, struct bytes *line)
{
    const struct round_marks *const marks = &host->marks;
    const uint64_t validate_ns = marks->validate_ns != 0 ? marks->validate_ns : marks->persist_ns;
    const uint64_t now = clock_boot_ns();
    char text[256];
    const int size = snprintf(
        text, sizeof(text),
        ",\"announce_ms\":%.3f,\"collect_ms\":%.3f,\"aggregate_ms\":%.3f,\"validate_ms\":%.3f,"
        "\"persist_ms\":%.3f,\"round_ms\":%.3f}",
        ms_between(marks->announce_ns, marks->collect_ns),
        ms_between(marks->collect_ns, marks->aggregate_ns),
        ms_between(marks->aggregate_ns, validate_ns), ms_between(validate_ns, marks->persist_ns),
        ms_between(marks->persist_ns, now), ms_between(marks->announce_ns, now));
    static const char end[] = "}"; /* what append_json left there, with its zero */
    CHECK(line->size > sizeof(end) &&
          memcmp(line->data + line->size - sizeof(end), end, sizeof(end)) == 0);
    line->size -= sizeof(end);
    return bytes_append(line, text, (size_t)size + 1);
}

/* Adds the figures that the summary needs of rounds before this start. */
static void take_totals(struct coordinator_host *host, const struct bytes *line)
{
    yyjson_doc *const doc = yyjson_read((const char *)line->data, line->size, 0);
    yyjson_val *const root = yyjson_doc_get_root(doc);
    host->bytes_in_all += yyjson_get_uint(yyjson_obj_get(root, "bytes_in"));
    host->bytes_out_all += yyjson_get_uint(yyjson_obj_get(root, "bytes_out"));
    yyjson_val *const loss = yyjson_obj_get(root, "loss");
    yyjson_val *const accuracy = yyjson_obj_get(root, "accuracy");
    const struct control_round round = {
        .round = yyjson_get_uint(yyjson_obj_get(root, "round")),
        .selected = (uint32_t)yyjson_get_uint(yyjson_obj_get(root, "selected")),
        .accepted = (uint32_t)yyjson_get_uint(yyjson_obj_get(root, "accepted")),
        .late = (uint32_t)yyjson_get_uint(yyjson_obj_get(root, "late")),
        .round_ms = (uint64_t)yyjson_get_num(yyjson_obj_get(root, "round_ms")),
        .has_loss = yyjson_is_num(loss),
        .has_accuracy = yyjson_is_num(accuracy),
        .loss = yyjson_get_num(loss),
        .accuracy = yyjson_get_num(accuracy),
    };
    job_figures_round(&host->figures, &round);
    yyjson_doc_free(doc);
}

/* RUN/models leads to where the store keeps them. */
static enum status link_models(const struct coordinator_host *host, struct error *err)
{
    char path[DURABLE_PATH_MAX];
    char target[DURABLE_PATH_MAX];
    const enum status status = path_in(host, "models", path, err);
    snprintf(target, sizeof(target), "jobs/%s/models", host->config->job.name);
    if (status == STATUS_OK && symlink(target, path) != 0 && errno != EEXIST)
        return error_set_errno(err, STATUS_IO, errno, "%s cannot be made", path);
    return status;
}

enum status run_folder_restore(struct coordinator_host *host, struct error *err)
{
    char path[DURABLE_PATH_MAX];
    struct bytes all;
    struct bytes line;
    uint64_t sequence = 0;
    bytes_init(&all, SIZE_MAX / 2);
    bytes_init(&line, STORE_METRICS_BYTES_MAX);
    enum status status = path_in(host, "metrics.jsonl", path, err);
    while (status == STATUS_OK) {
        status = store_find_metrics_after(host->store, sequence, &sequence, &line, err);
        if (status == STATUS_OK)
            take_totals(host, &line);
        if (status == STATUS_OK)
            status = bytes_append(&all, line.data, line.size);
        if (status == STATUS_OK)
            status = bytes_append(&all, "\n", 1);
    }
    if (status == STATUS_NOT_FOUND) {
        const struct slice slice = bytes_slice(&all);
        status = durable_file_write(path, &slice, 1, err);
    }
    if (status == STATUS_OK)
        status = link_models(host, err);
    bytes_deinit(&all);
    bytes_deinit(&line);
    return status;
}

enum status run_folder_append_metrics(const struct coordinator_host *host, struct slice line,
                                      struct error *err)
{
    char path[DURABLE_PATH_MAX];
    const enum status status = path_in(host, "metrics.jsonl", path, err);
    if (status != STATUS_OK)
        return status;
    /* One write a line, so that a reader sees whole lines; a lost one comes back at the start. */
    FILE *const file = fopen(path, "ae");
    if (file == nullptr)
        return error_set_errno(err, STATUS_IO, errno, "%s cannot be opened", path);
    const bool good = fwrite(line.data, 1, line.size, file) == line.size && fputc('\n', file) >= 0;
    if (fclose(file) != 0 || !good)
        return error_set_errno(err, STATUS_IO, errno, "%s cannot be written", path);
    return STATUS_OK;
}

void run_folder_progress(const struct coordinator_host *host)
{
    run_report_progress(&host->machine, ms_between(host->marks.announce_ns, clock_boot_ns()) / 1e3);
}

static enum status write_summary(const struct coordinator_host *host,
                                 const struct evaluation *evaluation, struct error *err)
{
    const struct store_version *const version = &host->final_first;
    char path[DURABLE_PATH_MAX];
    /* From the first commit on, over all starts of this coordinator. */
    const double seconds = version->created_ms > 0
                               ? (double)((int64_t)clock_unix_ms() - version->created_ms) / 1e3
                               : (double)(clock_boot_ns() - host->run_begun_ns) / 1e9;
    const struct run_summary summary = {.machine = &host->machine,
                                        .evaluation = evaluation,
                                        .rounds = host->final_rounds,
                                        .nodes = host->final_nodes,
                                        .bytes_in = host->final_bytes_in,
                                        .bytes_out = host->final_bytes_out,
                                        .seconds = seconds,
                                        .virtual_s = -1};
    const enum status status = path_in(host, "summary.json", path, err);
    return status == STATUS_OK ? run_report_summary(&summary, path, err) : status;
}

enum status run_folder_finish(const struct coordinator_host *host, struct error *err)
{
    char path[DURABLE_PATH_MAX];
    struct dataset test = {0};
    struct evaluation evaluation = {0};
    enum status status = path_in(host, "model.safetensors", path, err);
    if (status == STATUS_OK && host->model != nullptr) {
        const struct slice slice = {host->model->bytes, host->model->size};
        status = durable_file_write(path, &slice, 1, err);
    }
    if (status == STATUS_OK)
        status = job_load_test(host->config, &test, err);
    if (status == STATUS_OK && test.samples > 0 && host->model != nullptr)
        status = evaluate_model(&host->spec, model_file_parameters(host->model), &test, &evaluation,
                                err);
    if (status == STATUS_OK)
        status = write_summary(host, &evaluation, err);
    dataset_deinit(&test);
    return status;
}

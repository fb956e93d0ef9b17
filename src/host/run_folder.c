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
#include "host/progress.h"
#include "host/terminal.h"
#include "store/durable_file.h"
#include "train/evaluate.h"
#include "wire/control.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <yyjson.h>

enum {
    BAR_CELLS = 20,   /* of the progress bar */
    ROUND_CELLS = 13, /* that the round's number takes beside it */
};

static enum status path_in(const struct coordinator_host *host, const char *name, char *ret_path,
                           struct error *err)
{
    const int length =
        snprintf(ret_path, DURABLE_PATH_MAX, "%s/%s", host->config->server.state, name);
    if (length < 0 || length >= DURABLE_PATH_MAX)
        return error_set(err, STATUS_LIMIT, "server.state: the path is too long");
    return STATUS_OK;
}

static uint64_t rss_bytes(void)
{
    char text[128] = "";
    FILE *const file = fopen("/proc/self/statm", "re");
    if (file == nullptr)
        return 0;
    const bool read = fgets(text, sizeof(text), file) != nullptr;
    fclose(file);
    const char *const second = read ? strchr(text, ' ') : nullptr; /* pages: all, resident, ... */
    return second != nullptr ? strtoull(second, nullptr, 10) * (uint64_t)sysconf(_SC_PAGESIZE) : 0;
}

static double ms_between(uint64_t from_ns, uint64_t to_ns)
{
    return to_ns > from_ns ? (double)(to_ns - from_ns) / 1e6 : 0;
}

static void add_refused(const struct coordinator_host *host, yyjson_mut_doc *doc,
                        yyjson_mut_val *root)
{
    yyjson_mut_val *const refused = yyjson_mut_obj_add_obj(doc, root, "refused");
    for (unsigned number = 0; number < REASONS; number++) {
        if (host->refused[number] > 0)
            yyjson_mut_obj_add_uint(doc, refused, reason_name(reason_of_number(number)),
                                    host->refused[number]);
    }
}

/* "robust": {"f": ..., "suspects": [{"node": ..., "score": ..., "reason": ...}]}; none under the
 * mean. */
static void add_suspects(const struct coordinator_host *host, yyjson_mut_doc *doc,
                         yyjson_mut_val *root)
{
    const struct robust_outcome *const outcome = host->outcome;
    if (outcome == nullptr)
        return;
    yyjson_mut_val *const robust = yyjson_mut_obj_add_obj(doc, root, "robust");
    yyjson_mut_obj_add_uint(doc, robust, "f", outcome->f);
    yyjson_mut_val *const suspects = yyjson_mut_obj_add_arr(doc, robust, "suspects");
    for (uint32_t i = 0; i < outcome->count; i++) {
        const struct robust_suspect *const suspect = &outcome->suspects[i];
        yyjson_mut_val *const object = yyjson_mut_arr_add_obj(doc, suspects);
        yyjson_mut_obj_add_str(doc, object, "node", suspect->node);
        yyjson_mut_obj_add_real(doc, object, "score", suspect->score);
        yyjson_mut_obj_add_str(doc, object, "reason", reason_suspected_name(suspect->reason));
    }
}

static void add_figure(yyjson_mut_doc *doc, yyjson_mut_val *root, const char *name, bool known,
                       double value)
{
    if (known && isfinite(value))
        yyjson_mut_obj_add_real(doc, root, name, value);
    else
        yyjson_mut_obj_add_null(doc, root, name);
}

static enum status append_json(yyjson_mut_doc *doc, struct bytes *out)
{
    size_t size = 0;
    char *const text = yyjson_mut_write(doc, 0, &size);
    if (text == nullptr)
        return STATUS_NO_MEMORY;
    const enum status status = bytes_append(out, text, size + 1); /* with its zero */
    free(text);
    return status;
}

enum status run_folder_metrics_begin(const struct coordinator_host *host, struct bytes *line)
{
    const struct coordinator *const machine = &host->machine;
    char hex[DIGEST_HEX_MAX];
    digest_to_hex(&host->candidate->model_digest, hex);
    yyjson_mut_doc *const doc = yyjson_mut_doc_new(nullptr);
    if (doc == nullptr)
        return STATUS_NO_MEMORY;
    yyjson_mut_val *const root = yyjson_mut_obj(doc);
    yyjson_mut_doc_set_root(doc, root);
    yyjson_mut_obj_add_uint(doc, root, "round", machine->round);
    yyjson_mut_obj_add_uint(doc, root, "version", machine->version.number + 1);
    yyjson_mut_obj_add_uint(doc, root, "selected", machine->selected);
    yyjson_mut_obj_add_uint(doc, root, "accepted", machine->accepted);
    yyjson_mut_obj_add_uint(doc, root, "late", host_refused_late(host));
    yyjson_mut_obj_add_uint(doc, root, "accepted_late", machine->accepted_late);
    yyjson_mut_obj_add_uint(doc, root, "stand_ins", machine->stand_ins);
    add_refused(host, doc, root);
    add_figure(doc, root, "loss", machine->measured, machine->validation_loss);
    add_figure(doc, root, "accuracy", machine->measured_accuracy, machine->validation_accuracy);
    if (config_validates_by_nodes(host->config)) {
        const struct node_figures *const nodes = &host->node_figures;
        yyjson_mut_obj_add_uint(doc, root, "reports", nodes->nodes);
        add_figure(doc, root, "nodes_loss", nodes->nodes > 0, nodes->loss);
        add_figure(doc, root, "nodes_accuracy", nodes->has_accuracy, nodes->accuracy);
    }
    add_suspects(host, doc, root);
    yyjson_mut_obj_add_real(doc, root, "learning_rate", machine->rate);
    yyjson_mut_obj_add_real(doc, root, "aggregate_norm", host->aggregate_norm);
    yyjson_mut_obj_add_uint(doc, root, "bytes_in", host->bytes_in);
    yyjson_mut_obj_add_uint(doc, root, "bytes_out", host->bytes_out);
    yyjson_mut_obj_add_uint(doc, root, "rss_bytes", rss_bytes());
    yyjson_mut_obj_add_str(doc, root, "model_digest", hex);
    const enum status status = append_json(doc, line);
    yyjson_mut_doc_free(doc);
    return status;
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

/* On a terminal one line that is written over, else a line a round. */
static void show_round(const struct coordinator *machine, const char *quality, const char *updates)
{
    char bar[PROGRESS_TEXT_MAX];
    char text[256];
    if (!terminal_is_live(stdout)) {
        printf("round %3" PRIu64 "/%" PRIu64 "  %s\n", machine->round, machine->settings.rounds_max,
               updates);
        return;
    }
    progress_bar((double)machine->round / (double)machine->settings.rounds_max, BAR_CELLS,
                 terminal_is_utf8(), bar);
    const int room = (int)terminal_width(stdout) - BAR_CELLS - ROUND_CELLS;
    snprintf(text, sizeof(text), "%s%s%s", quality, quality[0] != 0 ? "  " : "", updates);
    printf("\r%s %3" PRIu64 "/%" PRIu64 "  %.*s\033[K%s", bar, machine->round,
           machine->settings.rounds_max, room > 0 ? room : 0, text,
           machine->outcome != OUTCOME_NONE ? "\n" : "");
}

void run_folder_progress(const struct coordinator_host *host)
{
    const struct coordinator *const machine = &host->machine;
    const double seconds = ms_between(host->marks.announce_ns, clock_boot_ns()) / 1e3;
    char updates[160];
    char late[32] = "";
    char quality[64] = "";
    char accuracy[32] = "";
    if (machine->measured && machine->measured_accuracy)
        snprintf(accuracy, sizeof(accuracy), "accuracy %.4f", machine->validation_accuracy);
    if (machine->measured)
        snprintf(quality, sizeof(quality), "  loss %.4f%s%s", machine->validation_loss,
                 accuracy[0] != 0 ? "  " : "", accuracy);
    if (machine->accepted_late > 0)
        snprintf(late, sizeof(late), " and %u late", machine->accepted_late);
    snprintf(updates, sizeof(updates), "%u of %u updates%s%s  %.2f s",
             machine->accepted - machine->accepted_late, machine->selected, late, quality, seconds);
    show_round(machine, accuracy, updates);
    fflush(stdout);
}

const char *run_folder_reason(const struct coordinator_host *host)
{
    const struct coordinator *const machine = &host->machine;
    if (machine->outcome == OUTCOME_EXHAUSTED)
        return "convergence.max_rounds was reached";
    if (machine->outcome == OUTCOME_CANCELLED)
        return coordinator_gave_up(machine) ? "too few updates came, round after round "
                                              "(aggregation.min_updates, limits.rounds_repeat_max)"
                                            : "the job was cancelled";
    return convergence_reason_text(machine->convergence.reason);
}

static enum status write_summary(const struct coordinator_host *host,
                                 const struct evaluation *evaluation, struct error *err)
{
    const struct coordinator *const machine = &host->machine;
    char path[DURABLE_PATH_MAX];
    struct bytes text;
    enum status status = path_in(host, "summary.json", path, err);
    yyjson_mut_doc *const doc = yyjson_mut_doc_new(nullptr);
    if (status != STATUS_OK || doc == nullptr)
        return status != STATUS_OK ? status : STATUS_NO_MEMORY;
    bytes_init(&text, STORE_METRICS_BYTES_MAX);
    yyjson_mut_val *const root = yyjson_mut_obj(doc);
    yyjson_mut_doc_set_root(doc, root);
    const struct store_version *const version = &host->final_first;
    yyjson_mut_obj_add_str(doc, root, "outcome",
                           machine->outcome != OUTCOME_NONE
                               ? control_outcome_name((enum wire_outcome)machine->outcome)
                               : "none");
    yyjson_mut_obj_add_str(doc, root, "reason", run_folder_reason(host));
    yyjson_mut_obj_add_uint(doc, root, "rounds", host->final_rounds);
    if (isfinite(machine->convergence.best_loss) || isfinite(machine->convergence.best_accuracy))
        yyjson_mut_obj_add_uint(doc, root, "best_round", machine->convergence.best_round);
    if (evaluation->samples > 0) {
        yyjson_mut_obj_add_real(doc, root, "accuracy", evaluation->accuracy);
        yyjson_mut_obj_add_real(doc, root, "loss", evaluation->loss);
    } else {
        yyjson_mut_obj_add_null(doc, root, "accuracy");
        yyjson_mut_obj_add_null(doc, root, "loss");
    }
    yyjson_mut_obj_add_null(doc, root, "central_accuracy"); /* `fedra up` measures it afterwards */
    yyjson_mut_obj_add_uint(doc, root, "nodes", host->final_nodes);
    yyjson_mut_obj_add_uint(doc, root, "bytes_in", host->final_bytes_in);
    yyjson_mut_obj_add_uint(doc, root, "bytes_out", host->final_bytes_out);
    /* From the first commit on, over all starts of this coordinator. */
    const double seconds = version->created_ms > 0
                               ? (double)((int64_t)clock_unix_ms() - version->created_ms) / 1e3
                               : (double)(clock_boot_ns() - host->run_begun_ns) / 1e9;
    yyjson_mut_obj_add_real(doc, root, "seconds", seconds);
    status = append_json(doc, &text);
    yyjson_mut_doc_free(doc);
    if (status == STATUS_OK) {
        text.data[text.size - 1] = '\n';
        const struct slice slice = bytes_slice(&text);
        status = durable_file_write(path, &slice, 1, err);
    }
    bytes_deinit(&text);
    return status;
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

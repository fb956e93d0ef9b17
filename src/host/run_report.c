/*
 * run_report.c - see run_report.h.
 */
#include "host/run_report.h"

#include "host/progress.h"
#include "host/quarantine_report.h"
#include "host/terminal.h"
#include "store/durable_file.h"
#include "store/store.h"
#include "wire/control.h"

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

static void add_refused(const uint64_t *by_reason, yyjson_mut_doc *doc, yyjson_mut_val *root)
{
    yyjson_mut_val *const refused = yyjson_mut_obj_add_obj(doc, root, "refused");
    for (unsigned number = 0; number < REASONS; number++) {
        if (by_reason[number] > 0)
            yyjson_mut_obj_add_uint(doc, refused, reason_name(reason_of_number(number)),
                                    by_reason[number]);
    }
}

/* Under `auto` who is not asked next, under `suggest` who should not be. */
static void add_quarantined(const struct coordinator *machine, yyjson_mut_doc *doc,
                            yyjson_mut_val *robust)
{
    const bool is_auto = machine->settings.quarantine == QUARANTINE_AUTO;
    yyjson_mut_val *const names =
        yyjson_mut_obj_add_arr(doc, robust, is_auto ? "quarantined" : "quarantine_suggested");
    for (uint32_t i = 0; i < machine->roster.count; i++) {
        const struct member *const member = &machine->roster.members[machine->roster.order[i]];
        if (quarantine_holds(machine, member))
            yyjson_mut_arr_add_str(doc, names, member->name);
    }
}

static bool is_any_quarantined(const struct coordinator *machine)
{
    for (uint32_t i = 0; i < machine->roster.count; i++) {
        if (quarantine_holds(machine, &machine->roster.members[machine->roster.order[i]]))
            return true;
    }
    return false;
}

/*
 * "robust": {"f": ..., "suspects": [{"node": ..., "score": ..., "reason": ...}], "quarantined":
 * [...]}; under the mean none, or, where anybody is quarantined, that alone.
 */
static void add_robust(const struct coordinator *machine, const struct robust_outcome *outcome,
                       yyjson_mut_doc *doc, yyjson_mut_val *root)
{
    if (outcome == nullptr && !is_any_quarantined(machine))
        return;
    yyjson_mut_val *const robust = yyjson_mut_obj_add_obj(doc, root, "robust");
    add_quarantined(machine, doc, robust);
    if (outcome == nullptr)
        return;
    yyjson_mut_obj_add_uint(doc, robust, "f", outcome->f);
    if (outcome->has_choice)
        yyjson_mut_obj_add_str(doc, robust, "choice", validated_candidate_name(outcome->choice));
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

enum status run_report_round(const struct run_round *round, struct bytes *line)
{
    const struct coordinator *const machine = round->machine;
    char hex[DIGEST_HEX_MAX];
    digest_to_hex(round->model_digest, hex);
    yyjson_mut_doc *const doc = yyjson_mut_doc_new(nullptr);
    if (doc == nullptr)
        return STATUS_NO_MEMORY;
    yyjson_mut_val *const root = yyjson_mut_obj(doc);
    yyjson_mut_doc_set_root(doc, root);
    yyjson_mut_obj_add_uint(doc, root, "round", machine->round);
    yyjson_mut_obj_add_uint(doc, root, "version", machine->version.number + 1);
    yyjson_mut_obj_add_uint(doc, root, "selected", machine->selected);
    yyjson_mut_obj_add_uint(doc, root, "accepted", machine->accepted);
    yyjson_mut_obj_add_uint(doc, root, "late", round->late);
    yyjson_mut_obj_add_uint(doc, root, "accepted_late", machine->accepted_late);
    yyjson_mut_obj_add_uint(doc, root, "stand_ins", machine->stand_ins);
    add_refused(round->refused, doc, root);
    add_figure(doc, root, "loss", machine->measured, machine->validation_loss);
    add_figure(doc, root, "accuracy", machine->measured_accuracy, machine->validation_accuracy);
    const struct node_figures *const nodes = round->nodes;
    if (nodes != nullptr) {
        yyjson_mut_obj_add_uint(doc, root, "reports", nodes->nodes);
        add_figure(doc, root, "nodes_loss", nodes->nodes > 0, nodes->loss);
        add_figure(doc, root, "nodes_accuracy", nodes->has_accuracy, nodes->accuracy);
    }
    add_robust(machine, round->outcome, doc, root);
    yyjson_mut_obj_add_real(doc, root, "learning_rate", machine->rate);
    yyjson_mut_obj_add_real(doc, root, "aggregate_norm", round->aggregate_norm);
    yyjson_mut_obj_add_uint(doc, root, "bytes_in", round->bytes_in);
    yyjson_mut_obj_add_uint(doc, root, "bytes_out", round->bytes_out);
    yyjson_mut_obj_add_uint(doc, root, "rss_bytes", rss_bytes());
    yyjson_mut_obj_add_str(doc, root, "model_digest", hex);
    if (round->virtual_s >= 0) {
        yyjson_mut_obj_add_real(doc, root, "round_ms", round->round_ms);
        yyjson_mut_obj_add_real(doc, root, "virtual_s", round->virtual_s);
    }
    const enum status status = append_json(doc, line);
    yyjson_mut_doc_free(doc);
    return status;
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

void run_report_progress(const struct coordinator *machine, double seconds)
{
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

const char *run_report_reason(const struct coordinator *machine)
{
    if (machine->outcome == OUTCOME_EXHAUSTED)
        return "convergence.max_rounds was reached";
    if (machine->outcome == OUTCOME_CANCELLED)
        return coordinator_gave_up(machine) ? "too few updates came, round after round "
                                              "(aggregation.min_updates, limits.rounds_repeat_max)"
                                            : "the job was cancelled";
    return convergence_reason_text(machine->convergence.reason);
}

enum status run_report_summary(const struct run_summary *summary, const char *path,
                               struct error *err)
{
    const struct coordinator *const machine = summary->machine;
    const struct evaluation *const evaluation = summary->evaluation;
    struct bytes text;
    yyjson_mut_doc *const doc = yyjson_mut_doc_new(nullptr);
    if (doc == nullptr)
        return STATUS_NO_MEMORY;
    bytes_init(&text, STORE_METRICS_BYTES_MAX);
    yyjson_mut_val *const root = yyjson_mut_obj(doc);
    yyjson_mut_doc_set_root(doc, root);
    yyjson_mut_obj_add_str(doc, root, "outcome",
                           machine->outcome != OUTCOME_NONE
                               ? control_outcome_name((enum wire_outcome)machine->outcome)
                               : "none");
    yyjson_mut_obj_add_str(doc, root, "reason", run_report_reason(machine));
    yyjson_mut_obj_add_uint(doc, root, "rounds", summary->rounds);
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
    yyjson_mut_obj_add_uint(doc, root, "nodes", summary->nodes);
    yyjson_mut_obj_add_uint(doc, root, "bytes_in", summary->bytes_in);
    yyjson_mut_obj_add_uint(doc, root, "bytes_out", summary->bytes_out);
    yyjson_mut_obj_add_real(doc, root, "seconds", summary->seconds);
    if (summary->virtual_s >= 0) {
        yyjson_mut_obj_add_real(doc, root, "virtual_seconds", summary->virtual_s);
        yyjson_mut_obj_add_real(doc, root, "wall_seconds", summary->seconds);
        yyjson_mut_obj_add_uint(doc, root, "peak_rss_bytes", summary->peak_rss_bytes);
    }
    enum status status = append_json(doc, &text);
    yyjson_mut_doc_free(doc);
    if (status == STATUS_OK) {
        text.data[text.size - 1] = '\n';
        const struct slice slice = bytes_slice(&text);
        status = durable_file_write(path, &slice, 1, err);
    }
    bytes_deinit(&text);
    return status;
}

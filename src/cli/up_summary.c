/*
 * up_summary.c - see up_summary.h.
 */
#include "cli/up_summary.h"

#include "host/progress.h"
#include "host/run_setup.h"
#include "host/terminal.h"
#include "store/durable_file.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <yyjson.h>

enum { FILE_BYTES_MAX = 65536, FIGURE_MAX = 32, CURVE_ROUNDS_MAX = 100000 };

/* Reads a JSON file of the run; the caller frees the document. */
static enum status read_json(const char *folder, const char *name, yyjson_doc **ret_doc,
                             struct error *err)
{
    char path[RUN_PATH_MAX + 32];
    struct bytes text;
    bytes_init(&text, FILE_BYTES_MAX);
    snprintf(path, sizeof(path), "%s/%s", folder, name);
    enum status status = durable_file_read(path, &text, err);
    if (status == STATUS_OK) {
        *ret_doc = yyjson_read((const char *)text.data, text.size, 0);
        if (!yyjson_is_obj(yyjson_doc_get_root(*ret_doc))) {
            yyjson_doc_free(*ret_doc);
            status = error_set(err, STATUS_CORRUPT, "%s is damaged", path);
        }
    }
    bytes_deinit(&text);
    return status;
}

static enum status write_json(const char *folder, const char *name, const yyjson_mut_doc *doc,
                              struct error *err)
{
    char path[RUN_PATH_MAX + 32];
    size_t size = 0;
    snprintf(path, sizeof(path), "%s/%s", folder, name);
    char *const text = yyjson_mut_write(doc, YYJSON_WRITE_NEWLINE_AT_END, &size);
    if (text == nullptr)
        return error_set(err, STATUS_NO_MEMORY, "no memory for %s", path);
    const struct slice slice = {(const uint8_t *)text, size};
    const enum status status = durable_file_write(path, &slice, 1, err);
    free(text);
    return status;
}

enum status up_summary_add_central(const char *folder, struct error *err)
{
    yyjson_doc *summary = nullptr;
    yyjson_doc *central = nullptr;
    yyjson_mut_doc *changed = nullptr;
    enum status status = read_json(folder, "central.json", &central, err);
    if (status == STATUS_OK)
        status = read_json(folder, "summary.json", &summary, err);
    if (status != STATUS_OK)
        goto out;
    yyjson_val *const accuracy = yyjson_obj_get(yyjson_doc_get_root(central), "accuracy");
    changed = yyjson_doc_mut_copy(summary, nullptr);
    if (changed == nullptr || !yyjson_is_num(accuracy)) {
        status = changed == nullptr
                     ? error_set(err, STATUS_NO_MEMORY, "no memory for the summary")
                     : error_set(err, STATUS_CORRUPT, "%s/central.json is damaged", folder);
        goto out;
    }
    if (yyjson_mut_obj_replace(yyjson_mut_doc_get_root(changed),
                               yyjson_mut_str(changed, "central_accuracy"),
                               yyjson_mut_real(changed, yyjson_get_num(accuracy))))
        status = write_json(folder, "summary.json", changed, err);
    else
        status = error_set(err, STATUS_CORRUPT, "%s/summary.json is damaged", folder);
out:
    yyjson_mut_doc_free(changed);
    yyjson_doc_free(summary);
    yyjson_doc_free(central);
    return status;
}

enum status up_summary_read_outcome(const char *folder, struct up_outcome *ret_outcome,
                                    struct error *err)
{
    yyjson_doc *doc = nullptr;
    *ret_outcome = (struct up_outcome){0};
    const enum status status = read_json(folder, "summary.json", &doc, err);
    if (status != STATUS_OK)
        return status;
    yyjson_val *const root = yyjson_doc_get_root(doc);
    const char *const outcome = yyjson_get_str(yyjson_obj_get(root, "outcome"));
    ret_outcome->known = outcome != nullptr;
    ret_outcome->cancelled = outcome != nullptr && strcmp(outcome, "cancelled") == 0;
    ret_outcome->compared = yyjson_is_num(yyjson_obj_get(root, "central_accuracy"));
    yyjson_doc_free(doc);
    return ret_outcome->known
               ? STATUS_OK
               : error_set(err, STATUS_CORRUPT, "%s/summary.json is damaged", folder);
}

static void write_accuracy(yyjson_val *root, const char *key, char ret_text[static FIGURE_MAX])
{
    yyjson_val *const value = yyjson_obj_get(root, key);
    if (yyjson_is_num(value))
        snprintf(ret_text, FIGURE_MAX, "%.4f", yyjson_get_num(value));
    else
        snprintf(ret_text, FIGURE_MAX, "none");
}

/* The accuracy of the rounds, where they have one; *ret_count of them, at most max. */
static void read_accuracies(const char *folder, double *ret_values, size_t max, size_t *ret_count)
{
    char path[RUN_PATH_MAX + 32];
    char *line = nullptr;
    size_t capacity = 0;
    snprintf(path, sizeof(path), "%s/metrics.jsonl", folder);
    FILE *const file = fopen(path, "re");
    *ret_count = 0;
    while (file != nullptr && *ret_count < max) {
        const ssize_t size = getline(&line, &capacity, file);
        if (size <= 0)
            break;
        yyjson_doc *const doc = yyjson_read(line, (size_t)size, 0);
        yyjson_val *const value = yyjson_obj_get(yyjson_doc_get_root(doc), "accuracy");
        ret_values[(*ret_count)++] = yyjson_is_num(value) ? yyjson_get_num(value) : (double)NAN;
        yyjson_doc_free(doc);
    }
    free(line);
    if (file != nullptr)
        fclose(file);
}

/* On a terminal: how the accuracy went, at a glance. */
static void print_curve(const char *folder)
{
    char text[PROGRESS_TEXT_MAX];
    size_t count = 0;
    double *const values = malloc(sizeof(*values) * CURVE_ROUNDS_MAX);
    if (values == nullptr || !terminal_is_live(stdout)) {
        free(values);
        return;
    }
    read_accuracies(folder, values, CURVE_ROUNDS_MAX, &count);
    if (count > 1 && isfinite(values[0]) && isfinite(values[count - 1])) {
        const uint32_t columns = terminal_width(stdout);
        const uint32_t width = columns - columns / 4;
        progress_sparkline(values, count, width < PROGRESS_WIDTH_MAX ? width : PROGRESS_WIDTH_MAX,
                           terminal_is_utf8(), text);
        printf("accuracy, round by round: %.4f to %.4f\n%s\n", values[0], values[count - 1], text);
    }
    free(values);
}

void up_summary_print(const char *folder, const char *label)
{
    struct error err = {0};
    yyjson_doc *doc = nullptr;
    char accuracy[FIGURE_MAX];
    char central[FIGURE_MAX];
    if (read_json(folder, "summary.json", &doc, &err) != STATUS_OK) {
        fprintf(stderr, "fedra up: there is no summary: %s\n", err.text);
        return;
    }
    yyjson_val *const root = yyjson_doc_get_root(doc);
    const char *const outcome = yyjson_get_str(yyjson_obj_get(root, "outcome"));
    const char *const reason = yyjson_get_str(yyjson_obj_get(root, "reason"));
    const unsigned long long rounds = yyjson_get_uint(yyjson_obj_get(root, "rounds"));
    write_accuracy(root, "accuracy", accuracy);
    write_accuracy(root, "central_accuracy", central);
    printf("\n%s after %llu rounds: %s\n", outcome, rounds, reason);
    print_curve(folder);
    printf("the run's folder: %s\n", folder);
    if (label != nullptr)
        printf("%s: outcome=%s accuracy=%s central=%s rounds=%llu nodes=%llu seconds=%.0f\n", label,
               outcome, accuracy, central, rounds,
               (unsigned long long)yyjson_get_uint(yyjson_obj_get(root, "nodes")),
               yyjson_get_num(yyjson_obj_get(root, "seconds")));
    else
        printf("test accuracy: %s%s%s\n", accuracy,
               strcmp(central, "none") != 0 ? "   trained centrally: " : "",
               strcmp(central, "none") != 0 ? central : "");
    yyjson_doc_free(doc);
    fflush(stdout);
}

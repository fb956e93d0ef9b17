/*
 * lab_results.c - one line of JSON a training, written when it ends, read when a laboratory goes
 * on.
 */
#include "lab/lab.h"

#include "store/durable_file.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <yyjson.h>

static void add_number(yyjson_mut_doc *doc, yyjson_mut_val *root, const char *name, double value)
{
    if (isfinite(value))
        yyjson_mut_obj_add_real(doc, root, name, value);
    else
        yyjson_mut_obj_add_null(doc, root, name);
}

static char *text_of(const struct lab_plan *plan, const struct lab_cell *cell,
                     const struct lab_result *result, size_t *ret_size)
{
    char settings[32];
    yyjson_mut_doc *const doc = yyjson_mut_doc_new(nullptr);
    if (doc == nullptr)
        return nullptr;
    yyjson_mut_val *const root = yyjson_mut_obj(doc);
    yyjson_mut_doc_set_root(doc, root);
    snprintf(settings, sizeof(settings), "%016" PRIx64, plan->settings);
    yyjson_mut_obj_add_str(doc, root, "settings", settings);
    yyjson_mut_obj_add_str(doc, root, "rule", plan->rules[cell->rule].name);
    yyjson_mut_obj_add_str(doc, root, "attack", attack_name(cell->attack));
    yyjson_mut_obj_add_real(doc, root, "alpha", cell->alpha);
    yyjson_mut_obj_add_real(doc, root, "share", cell->share);
    yyjson_mut_obj_add_real(doc, root, "jitter", cell->jitter);
    yyjson_mut_obj_add_uint(doc, root, "seed", cell->seed);
    add_number(doc, root, "accuracy", result->accuracy);
    add_number(doc, root, "loss", result->loss);
    add_number(doc, root, "detected", result->detected);
    add_number(doc, root, "false_alarms", result->false_alarms);
    add_number(doc, root, "seconds", result->seconds);
    yyjson_mut_val *const curve = yyjson_mut_obj_add_arr(doc, root, "curve");
    for (uint32_t i = 0; i < result->curve_count; i++)
        yyjson_mut_arr_add_real(doc, curve, result->curve[i]);
    char *const text = yyjson_mut_write(doc, YYJSON_WRITE_NEWLINE_AT_END, ret_size);
    yyjson_mut_doc_free(doc);
    return text;
}

enum status lab_result_write(int fd, const struct lab_plan *plan, const struct lab_cell *cell,
                             const struct lab_result *result, struct error *err)
{
    size_t size = 0;
    char *const text = text_of(plan, cell, result, &size);
    if (text == nullptr)
        return error_set(err, STATUS_NO_MEMORY, "no memory for a result");
    const ssize_t written = write(fd, text, size); /* one write, so that lines stay whole */
    const int number = errno;
    free(text);
    if (written == (ssize_t)size)
        return STATUS_OK;
    return written >= 0 ? error_set(err, STATUS_NO_SPACE, "a result is cut off: no space is left")
                        : error_set_errno(err, durable_status_of(number), number,
                                          "a result cannot be written");
}

static bool same_text(yyjson_val *root, const char *key, const char *text)
{
    const char *const value = yyjson_get_str(yyjson_obj_get(root, key));
    return value != nullptr && strcmp(value, text) == 0;
}

static bool same_number(yyjson_val *root, const char *key, double number)
{
    yyjson_val *const value = yyjson_obj_get(root, key);
    return yyjson_is_num(value) && yyjson_get_num(value) == number;
}

static bool is_of(const struct lab_plan *plan, const struct lab_cell *cell, yyjson_val *root)
{
    return same_number(root, "alpha", cell->alpha) && same_number(root, "seed", cell->seed) &&
           same_number(root, "share", cell->share) && same_number(root, "jitter", cell->jitter) &&
           same_text(root, "attack", attack_name(cell->attack)) &&
           same_text(root, "rule", plan->rules[cell->rule].name);
}

static double number_of(yyjson_val *root, const char *key)
{
    yyjson_val *const value = yyjson_obj_get(root, key);
    return yyjson_is_num(value) ? yyjson_get_num(value) : (double)NAN;
}

static void take(yyjson_val *root, struct lab_result *ret)
{
    yyjson_val *const curve = yyjson_obj_get(root, "curve");
    *ret = (struct lab_result){.accuracy = number_of(root, "accuracy"),
                               .loss = number_of(root, "loss"),
                               .detected = number_of(root, "detected"),
                               .false_alarms = number_of(root, "false_alarms"),
                               .seconds = number_of(root, "seconds")};
    for (size_t i = 0; i < yyjson_arr_size(curve) && ret->curve_count < LAB_CURVE_MAX; i++)
        ret->curve[ret->curve_count++] = yyjson_get_num(yyjson_arr_get(curve, i));
}

/* Results of cells that are not asked for this time are left alone. */
static enum status read_line(const char *path, uint32_t number, const char *line, size_t size,
                             const struct lab_plan *plan, bool *ret_done,
                             struct lab_result *ret_results, struct error *err)
{
    char settings[32];
    yyjson_doc *const doc = yyjson_read(line, size, 0);
    yyjson_val *const root = yyjson_doc_get_root(doc);
    snprintf(settings, sizeof(settings), "%016" PRIx64, plan->settings);
    if (root != nullptr && !same_text(root, "settings", settings)) {
        yyjson_doc_free(doc);
        return error_set(err, STATUS_INVAL,
                         "%s:%u: is of other settings (model, data, training, lab.nodes, "
                         "node_samples or rounds); give another folder with --run-dir",
                         path, number);
    }
    for (uint32_t i = 0; i < plan->cell_count && root != nullptr; i++) {
        if (!is_of(plan, &plan->cells[i], root))
            continue;
        ret_done[i] = true;
        take(root, &ret_results[i]);
        break;
    }
    yyjson_doc_free(doc);
    return STATUS_OK;
}

enum status lab_results_read(const char *path, const struct lab_plan *plan, bool *ret_done,
                             struct lab_result *ret_results, struct error *err)
{
    char *line = nullptr;
    size_t capacity = 0;
    enum status status = STATUS_OK;
    FILE *const file = fopen(path, "re");
    memset(ret_done, 0, sizeof(*ret_done) * plan->cell_count);
    if (file == nullptr)
        return error_set_errno(err, errno == ENOENT ? STATUS_NOT_FOUND : STATUS_IO, errno, "%s",
                               path);
    for (uint32_t number = 1; status == STATUS_OK; number++) {
        const ssize_t size = getline(&line, &capacity, file);
        if (size <= 0)
            break;
        status = read_line(path, number, line, (size_t)size, plan, ret_done, ret_results, err);
    }
    free(line);
    fclose(file);
    return status;
}

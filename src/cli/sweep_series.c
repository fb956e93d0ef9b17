/*
 * sweep_series.c - see sweep_series.h.
 */
#include "cli/sweep_series.h"

#include "base/bytes.h"
#include "base/text.h"
#include "store/durable_file.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <yyjson.h>

enum { SUMMARY_BYTES_MAX = 65536, POINTS_MAX = 1 << 20 };

static double number_or_nan(yyjson_val *root, const char *name)
{
    yyjson_val *const value = yyjson_obj_get(root, name);
    return yyjson_is_num(value) ? yyjson_get_num(value) : (double)NAN;
}

/* The summary into all members but the points. */
static enum status read_summary(const char *folder, struct sweep_series *series, struct error *err)
{
    char path[DURABLE_PATH_MAX];
    struct bytes text;
    yyjson_doc *doc = nullptr;
    bytes_init(&text, SUMMARY_BYTES_MAX);
    snprintf(path, sizeof(path), "%s/summary.json", folder);
    enum status status = durable_file_read(path, &text, err);
    if (status != STATUS_OK)
        goto out;
    doc = yyjson_read((const char *)text.data, text.size, 0);
    yyjson_val *const root = yyjson_doc_get_root(doc);
    const char *const outcome = yyjson_get_str(yyjson_obj_get(root, "outcome"));
    series->virtual_s = number_or_nan(root, "virtual_seconds");
    series->wall_s = number_or_nan(root, "wall_seconds");
    if (outcome == nullptr || !isfinite(series->virtual_s) || !isfinite(series->wall_s)) {
        status = error_set(err, STATUS_CORRUPT, "%s is not the summary of a simulated run", path);
        goto out;
    }
    text_escape(outcome, strlen(outcome), series->outcome, sizeof(series->outcome));
    series->rounds = yyjson_get_uint(yyjson_obj_get(root, "rounds"));
    series->accuracy = number_or_nan(root, "accuracy");
    series->peak_rss_bytes = yyjson_get_uint(yyjson_obj_get(root, "peak_rss_bytes"));
out:
    yyjson_doc_free(doc);
    bytes_deinit(&text);
    return status;
}

enum status sweep_series_find(const char *folder, struct error *err)
{
    struct sweep_series series = {0};
    return read_summary(folder, &series, err);
}

/* One line of metrics.jsonl: a round without an accuracy has no point. */
static enum status take_line(const char *line, size_t size, struct sweep_series *series)
{
    yyjson_doc *const doc = yyjson_read(line, size, 0);
    yyjson_val *const root = yyjson_doc_get_root(doc);
    const struct sweep_point point = {number_or_nan(root, "virtual_s"),
                                      number_or_nan(root, "accuracy")};
    const bool is_object = yyjson_is_obj(root);
    yyjson_doc_free(doc);
    const double before = series->count > 0 ? series->points[series->count - 1].virtual_s : 0;
    if (!is_object || !isfinite(point.virtual_s) || point.virtual_s < before)
        return STATUS_CORRUPT;
    if (!isfinite(point.accuracy))
        return STATUS_OK;
    if (series->count == POINTS_MAX)
        return STATUS_LIMIT;
    if ((series->count & (series->count - 1)) == 0) { /* full at each power of two */
        const size_t room = series->count > 0 ? 2 * (size_t)series->count : 1;
        struct sweep_point *const grown = realloc(series->points, room * sizeof(*grown));
        if (grown == nullptr)
            return STATUS_NO_MEMORY;
        series->points = grown;
    }
    series->points[series->count++] = point;
    return STATUS_OK;
}

static enum status read_points(const char *folder, struct sweep_series *series, struct error *err)
{
    char path[DURABLE_PATH_MAX];
    char *line = nullptr;
    size_t capacity = 0;
    uint32_t number = 0;
    enum status status = STATUS_OK;
    snprintf(path, sizeof(path), "%s/metrics.jsonl", folder);
    FILE *const file = fopen(path, "re");
    if (file == nullptr)
        return error_set_errno(err, STATUS_IO, errno, "%s cannot be read", path);
    for (;;) {
        const ssize_t size = getline(&line, &capacity, file);
        if (size < 0 || status != STATUS_OK)
            break;
        number++;
        status = take_line(line, (size_t)size, series);
    }
    if (status == STATUS_OK && ferror(file))
        status = error_set(err, STATUS_IO, "%s cannot be read", path);
    else if (status != STATUS_OK)
        error_set(err, status, "%s:%u: %s", path, number,
                  status == STATUS_CORRUPT
                      ? "no round of a simulated run, virtual_s that never falls is wanted"
                      : status_text(status));
    free(line);
    fclose(file);
    return status;
}

enum status sweep_series_read(const char *folder, struct sweep_series *ret_series,
                              struct error *err)
{
    struct sweep_series series = {0};
    enum status status = read_summary(folder, &series, err);
    if (status == STATUS_OK)
        status = read_points(folder, &series, err);
    if (status != STATUS_OK) {
        sweep_series_deinit(&series);
        return status;
    }
    if (!isfinite(series.accuracy) && series.count > 0)
        series.accuracy = series.points[series.count - 1].accuracy;
    *ret_series = series;
    return STATUS_OK;
}

void sweep_series_deinit(struct sweep_series *series)
{
    free(series->points);
    *series = (struct sweep_series){0};
}

double sweep_series_at(const struct sweep_series *series, double virtual_s)
{
    /* points[first, ...) come after virtual_s; those before low do not. */
    uint32_t low = 0;
    uint32_t first = series->count;
    while (low < first) {
        const uint32_t middle = low + (first - low) / 2;
        if (series->points[middle].virtual_s <= virtual_s)
            low = middle + 1;
        else
            first = middle;
    }
    return first > 0 ? series->points[first - 1].accuracy : (double)NAN;
}

double sweep_series_reaches(const struct sweep_series *series, double accuracy)
{
    for (uint32_t i = 0; i < series->count; i++) {
        if (series->points[i].accuracy >= accuracy)
            return series->points[i].virtual_s;
    }
    return (double)INFINITY;
}

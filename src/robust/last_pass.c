/*
 * last_pass.c - the last pass over the data: coordinate by coordinate for medians, trimmed
 * means and Bulyan, one weighted sum for all rules that gave weights.
 */
#include "kern/kern.h"
#include "robust/last_pass.h"

/* Rows of a panel: those of the points, as they are or made of the updates. */
static const float *const *make_points(const struct last_pass *pass, struct tile_lane *lane,
                                       size_t row_count, size_t width)
{
    const struct points *const points = pass->points;
    if (points == nullptr || points->coefficients == nullptr) {
        if (pass->chosen == nullptr)
            return lane->rows;
        for (size_t k = 0; k < pass->point_count; k++)
            lane->parts[k] = lane->rows[pass->chosen[k]];
        return lane->parts;
    }
    for (size_t k = 0; k < pass->point_count; k++) {
        const size_t point = pass->chosen == nullptr ? k : pass->chosen[k];
        float *const part = lane->panel + k * TILE_PANEL;
        kern_get()->weighted_sum(lane->rows,
                                 points->coefficients + point * (points->source_count + 1),
                                 row_count, width, part);
        lane->parts[k] = part;
    }
    return lane->parts;
}

static void combine(const struct last_pass *pass, const float *const *rows, size_t width,
                    struct tile_lane *lane, float *ret)
{
    const struct kern *const kern = kern_get();
    switch (pass->kind) {
    case LAST_MEDIAN:
        kern->median(rows, pass->point_count, width, ret, lane->scratch);
        return;
    case LAST_TRIMMED_MEAN:
        kern->trimmed_mean(rows, pass->point_count, width, pass->amount, ret, lane->scratch);
        return;
    case LAST_NEAREST_MEAN:
        kern->nearest_mean(rows, pass->point_count, width, pass->amount, ret, lane->scratch);
        return;
    case LAST_WEIGHTED_SUM:
        kern->weighted_sum(rows, pass->weights, pass->point_count, width, ret);
        return;
    }
}

static void work(const struct tiles *tiles, struct tile_lane *lane, uint64_t first, size_t count,
                 void *context)
{
    const struct last_pass *const pass = context;
    const bool is_whole = pass->points == nullptr || pass->points->coefficients == nullptr ||
                          pass->kind == LAST_WEIGHTED_SUM;
    const size_t panel = is_whole ? count : TILE_PANEL;
    tiles_read(tiles, lane, first, count);
    for (size_t done = 0; done < count; done += panel) {
        const size_t width = count - done < panel ? count - done : panel;
        combine(pass, make_points(pass, lane, tiles->row_count, width), width, lane,
                pass->ret_values + first + done);
        for (uint32_t i = 0; i < tiles->row_count && done + width < count; i++)
            lane->rows[i] += width;
    }
}

void last_pass_run(const struct last_pass *pass, const struct tiles *tiles)
{
    struct last_pass copy = *pass;
    tiles_run(tiles, work, &copy, 0, nullptr);
}

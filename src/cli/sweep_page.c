/*
 * sweep_page.c - see sweep_page.h. Colours are classes of one style sheet, which has them for light
 * and for dark; a band is from the least to the greatest of the seeds, the line their median.
 */
#include "cli/sweep_page.h"

#include "cli/sweep_axis.h"
#include "cli/sweep_table.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>

enum {
    WIDTH = 900,
    HEIGHT = 460,
    LEFT = 62,
    RIGHT = 20,
    TOP = 16,
    BOTTOM = 52,
    COLOURS = 8,   /* then they come again, with dashes */
    SAMPLES = 300, /* of a curve, over the whole width */
};

static const char style[] =
    ":root{color-scheme:light dark;--page:#fcfcfb;--ink:#0b0b0b;--soft:#52514e;--grid:#e1e0d9;"
    "--s0:#2a78d6;--s1:#e34948;--s2:#1baf7a;--s3:#4a3aa7;--s4:#eb6834;--s5:#008300;--s6:#e87ba4;"
    "--s7:#b07800}\n"
    "@media(prefers-color-scheme:dark){:root{--page:#1a1a19;--ink:#ffffff;--soft:#c3c2b7;"
    "--grid:#2c2c2a;--s0:#3987e5;--s1:#e66767;--s2:#199e70;--s3:#9085e9;--s4:#d95926;--s5:#35a835;"
    "--s6:#d55181;--s7:#c98500}}\n"
    "body{background:var(--page);color:var(--ink);font:15px/1.5 system-ui,sans-serif;"
    "max-width:1080px;margin:2em auto;padding:0 1em}\n"
    "h1{font-size:1.4em;margin:0}p{color:var(--soft);margin:.3em 0}code{overflow-wrap:anywhere}\n"
    "svg{width:100%;height:auto;display:block}svg text{fill:var(--soft);font-size:13px}\n"
    ".grid{stroke:var(--grid)}.target{stroke:var(--soft);stroke-dasharray:2 4}\n"
    ".line{fill:none;stroke-width:2;stroke-linejoin:round}.band{opacity:.18}\n"
    ".scroll{overflow-x:auto}table{border-collapse:collapse;font-variant-numeric:tabular-nums}\n"
    "th,td{text-align:left;padding:.35em .9em .35em 0;border-bottom:1px solid var(--grid);"
    "white-space:nowrap}th{color:var(--soft);font-weight:500}\n"
    ".key{display:inline-block;vertical-align:middle;margin-right:.6em;width:26px;height:10px}\n";

/* Text from outside, for an element or an attribute. */
static void write_escaped(const char *text, FILE *file)
{
    for (; *text != 0; text++) {
        switch (*text) {
        case '&':
            fputs("&amp;", file);
            break;
        case '<':
            fputs("&lt;", file);
            break;
        case '>':
            fputs("&gt;", file);
            break;
        case '"':
            fputs("&quot;", file);
            break;
        default:
            fputc(*text, file);
        }
    }
}

static void write_head(const struct sweep_page *page, FILE *file)
{
    fprintf(file, "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
                  "<meta name=\"viewport\" content=\"width=device-width\">\n<title>");
    write_escaped(page->title, file);
    fprintf(file, ": accuracy over virtual time</title>\n<style>\n%s", style);
    for (int i = 0; i < COLOURS; i++)
        fprintf(file, ".c%d{stroke:var(--s%d)}.band.c%d{fill:var(--s%d);stroke:none}\n", i, i, i,
                i);
    fputs("</style>\n</head>\n<body>\n<h1>", file);
    write_escaped(page->title, file);
    fprintf(file,
            ": accuracy over virtual time</h1>\n<p>%" PRIu64 " simulated nodes, %u seed%s a "
            "setting. Line: the median of the seeds; band: from the least to the greatest.",
            page->nodes, page->seeds, page->seeds == 1 ? "" : "s");
    if (isfinite(page->target))
        fprintf(file, " Dotted: the accuracy aimed for, %.4f.", page->target);
    fputs("</p>\n<p><code>", file);
    write_escaped(page->command, file);
    fputs("</code></p>\n", file);
}

/* The two axes of the chart. */
struct chart {
    struct sweep_axis time;
    struct sweep_axis accuracy;
};

static double x_of(const struct chart *chart, double virtual_s)
{
    return LEFT + sweep_axis_place(&chart->time, virtual_s) * (WIDTH - LEFT - RIGHT);
}

static double y_of(const struct chart *chart, double accuracy)
{
    return HEIGHT - BOTTOM - sweep_axis_place(&chart->accuracy, accuracy) * (HEIGHT - TOP - BOTTOM);
}

/* False where no setting has a curve. */
static bool find_chart(const struct sweep_result *results, uint32_t count, double target,
                       struct chart *ret_chart)
{
    double first = INFINITY;
    double end_min = INFINITY;
    double end_max = 0;
    double low = isfinite(target) ? target : INFINITY;
    double high = isfinite(target) ? target : -INFINITY;
    for (uint32_t i = 0; i < count; i++) {
        double begin_s = 0;
        double end_s = 0;
        if (!sweep_curve_span(&results[i], &begin_s, &end_s))
            continue;
        first = fmin(first, begin_s);
        end_min = fmin(end_min, end_s);
        end_max = fmax(end_max, end_s);
        for (uint32_t j = 0; j < results[i].count; j++) {
            const struct sweep_series *const series = &results[i].series[j];
            for (uint32_t k = 0; k < series->count; k++) {
                low = fmin(low, series->points[k].accuracy);
                high = fmax(high, series->points[k].accuracy);
            }
        }
    }
    if (!isfinite(first))
        return false;
    ret_chart->time = sweep_axis_time(first, end_min, end_max);
    ret_chart->accuracy = sweep_axis_linear(low, high);
    return true;
}

static void write_grid(const struct chart *chart, double target, FILE *file)
{
    double marks[SWEEP_MARKS_MAX];
    uint32_t count = sweep_axis_marks(&chart->accuracy, marks);
    for (uint32_t i = 0; i < count; i++) {
        const double y = y_of(chart, marks[i]);
        fprintf(file,
                "<line class=\"grid\" x1=\"%d\" x2=\"%d\" y1=\"%.1f\" y2=\"%.1f\"/>"
                "<text x=\"%d\" y=\"%.1f\" text-anchor=\"end\">%.10g</text>\n",
                LEFT, WIDTH - RIGHT, y, y, LEFT - 8, y + 4, marks[i]);
    }
    count = sweep_axis_marks(&chart->time, marks);
    for (uint32_t i = 0; i < count; i++) {
        const double x = x_of(chart, marks[i]);
        fprintf(file,
                "<line class=\"grid\" x1=\"%.1f\" x2=\"%.1f\" y1=\"%d\" y2=\"%d\"/>"
                "<text x=\"%.1f\" y=\"%d\" text-anchor=\"middle\">%.10g</text>\n",
                x, x, TOP, HEIGHT - BOTTOM, x, HEIGHT - BOTTOM + 20, marks[i]);
    }
    fprintf(
        file,
        "<text x=\"%d\" y=\"%d\" text-anchor=\"middle\">virtual seconds%s</text>\n"
        "<text transform=\"translate(14 %d) rotate(-90)\" text-anchor=\"middle\">accuracy</text>\n",
        (LEFT + WIDTH - RIGHT) / 2, HEIGHT - 8, chart->time.logarithmic ? ", logarithmic" : "",
        (TOP + HEIGHT - BOTTOM) / 2);
    if (isfinite(target))
        fprintf(file, "<line class=\"target\" x1=\"%d\" x2=\"%d\" y1=\"%.1f\" y2=\"%.1f\"/>\n",
                LEFT, WIDTH - RIGHT, y_of(chart, target), y_of(chart, target));
}

/* " stroke-dasharray=..." where colours come again; "" before. */
static const char *dashes_of(uint32_t setting)
{
    static const char *const dashes[] = {"", " stroke-dasharray=\"8 4\"",
                                         " stroke-dasharray=\"2 3\"",
                                         " stroke-dasharray=\"10 3 2 3\""};
    return dashes[setting / COLOURS % (sizeof(dashes) / sizeof(*dashes))];
}

/* Samples a curve from its begin to its end, evenly over the width. */
static enum status sample_curve(const struct chart *chart, const struct sweep_result *result,
                                double *ret_x, struct sweep_spread *ret_spreads,
                                uint32_t *ret_count)
{
    double begin_s = 0;
    double end_s = 0;
    *ret_count = 0;
    if (!sweep_curve_span(result, &begin_s, &end_s))
        return STATUS_OK;
    const double first = sweep_axis_place(&chart->time, begin_s);
    const double last = sweep_axis_place(&chart->time, end_s);
    const uint32_t steps = 1 + (uint32_t)((last - first) * SAMPLES);
    for (uint32_t i = 0; i <= steps; i++) {
        const double place = first + (last - first) * i / steps;
        /* Not by way of the place where that is known better: the last point must be in. */
        const double virtual_s = i == 0       ? begin_s
                                 : i == steps ? end_s
                                              : sweep_axis_value(&chart->time, place);
        ret_x[i] = x_of(chart, virtual_s);
        const enum status status = sweep_curve_at(result, virtual_s, &ret_spreads[i]);
        if (status != STATUS_OK)
            return status;
    }
    *ret_count = steps + 1;
    return STATUS_OK;
}

static enum status write_curve(const struct chart *chart, const struct sweep_result *result,
                               uint32_t setting, FILE *file)
{
    double x[SAMPLES + 2];
    struct sweep_spread spreads[SAMPLES + 2];
    uint32_t count = 0;
    const enum status status = sample_curve(chart, result, x, spreads, &count);
    if (status != STATUS_OK || count == 0)
        return status;
    fputs("<g><title>", file);
    write_escaped(result->name, file);
    fprintf(file, "</title>\n<path class=\"band c%u\" d=\"M", setting % COLOURS);
    for (uint32_t i = 0; i < count; i++)
        fprintf(file, "%.1f %.1f ", x[i], y_of(chart, spreads[i].high));
    for (uint32_t i = count; i-- > 0;)
        fprintf(file, "%.1f %.1f ", x[i], y_of(chart, spreads[i].low));
    fprintf(file, "Z\"/>\n<polyline class=\"line c%u\"%s points=\"", setting % COLOURS,
            dashes_of(setting));
    for (uint32_t i = 0; i < count; i++)
        fprintf(file, "%.1f,%.1f ", x[i], y_of(chart, spreads[i].middle));
    fputs("\"/></g>\n", file);
    return STATUS_OK;
}

static enum status write_chart(const struct sweep_page *page, const struct sweep_result *results,
                               uint32_t count, FILE *file)
{
    struct chart chart;
    enum status status = STATUS_OK;
    if (!find_chart(results, count, page->target, &chart)) {
        fputs("<p>No run has measured an accuracy: there is nothing to draw.</p>\n", file);
        return STATUS_OK;
    }
    fprintf(file,
            "<svg viewBox=\"0 0 %d %d\" role=\"img\" aria-label=\"accuracy over virtual time\">\n",
            WIDTH, HEIGHT);
    write_grid(&chart, page->target, file);
    for (uint32_t i = 0; i < count && status == STATUS_OK; i++)
        status = write_curve(&chart, &results[i], i, file);
    fputs("</svg>\n", file);
    return status;
}

static void write_table(const struct sweep_page *page, const struct sweep_result *results,
                        const struct sweep_figures *figures, uint32_t count, FILE *file)
{
    struct sweep_row row;
    sweep_table_heads(page->target, &row);
    fputs("<div class=\"scroll\">\n<table>\n<tr><th>setting</th>", file);
    for (int j = 0; j < SWEEP_COLUMNS; j++)
        fprintf(file, "<th>%s</th>", row.cells[j]);
    fputs("</tr>\n", file);
    for (uint32_t i = 0; i < count; i++) {
        sweep_table_row(&figures[i], results[i].count, &row);
        fprintf(
            file,
            "<tr><td><svg class=\"key\" viewBox=\"0 0 26 10\"><line class=\"line c%u\"%s x1=\"0\" "
            "x2=\"26\" y1=\"5\" y2=\"5\"/></svg>",
            i % COLOURS, dashes_of(i));
        write_escaped(results[i].name, file);
        fputs("</td>", file);
        for (int j = 0; j < SWEEP_COLUMNS; j++)
            fprintf(file, "<td>%s</td>", row.cells[j]);
        fputs("</tr>\n", file);
    }
    fputs("</table>\n</div>\n", file);
}

enum status sweep_page_write(const struct sweep_page *page, const struct sweep_result *results,
                             const struct sweep_figures *figures, uint32_t count, FILE *file)
{
    write_head(page, file);
    const enum status status = write_chart(page, results, count, file);
    write_table(page, results, figures, count, file);
    fputs("</body>\n</html>\n", file);
    return status;
}

/*
 * lab_page.c - the results as one page that needs nothing else: a heat map, curves, detection.
 */
#include "lab/lab.h"

#include <errno.h>
#include <math.h>
#include <string.h>

enum { CURVE_WIDTH = 160, CURVE_HEIGHT = 60 };

static const char head[] =
    "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n"
    "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
    "<title>Defences against liars</title>\n<style>\n"
    ":root { color-scheme: light dark; font: 14px/1.4 system-ui, sans-serif; }\n"
    "body { margin: 2rem auto; max-width: 100rem; padding: 0 1rem; }\n"
    "table { border-collapse: collapse; }\n"
    "th, td { padding: .25rem .5rem; text-align: right; font-variant-numeric: tabular-nums; }\n"
    "th:first-child { text-align: left; position: sticky; left: 0; background: Canvas; }\n"
    "th.a { writing-mode: vertical-rl; transform: rotate(180deg); text-align: left; }\n"
    "td.c { color: #000; }\n"
    ".w { overflow-x: auto; }\n"
    "svg polyline { fill: none; stroke: currentColor; stroke-width: 1.5; }\n"
    "</style>\n";

/* From red over yellow to green. */
static void write_cell(FILE *file, double accuracy, double error, double detected, double alarms)
{
    const double share = accuracy < 0 ? 0 : accuracy > 1 ? 1 : accuracy;
    fprintf(file,
            "<td class=\"c\" style=\"background:hsl(%.0f 70%% 65%%)\" title=\"+- %.1f, detected "
            "%.1f %%, false alarms %.1f %%\">%.1f</td>",
            120 * share * share, 100 * error, 100 * detected, 100 * alarms, 100 * accuracy);
}

static void write_curve(FILE *file, const struct lab_result *mean)
{
    fprintf(file, "<td><svg width=\"%d\" height=\"%d\" role=\"img\"><polyline points=\"",
            CURVE_WIDTH, CURVE_HEIGHT);
    for (uint32_t i = 0; i < mean->curve_count; i++)
        fprintf(file, "%.1f,%.1f ", (double)CURVE_WIDTH * (i + 1) / mean->curve_count,
                CURVE_HEIGHT * (1 - mean->curve[i]));
    fprintf(file, "\"/></svg></td>");
}

/* One column: an attack with its private noise. */
struct column {
    enum attack attack;
    double jitter;
};

static uint32_t find_columns(const struct lab_plan *plan, struct column *ret_columns)
{
    uint32_t count = 0;
    for (uint32_t a = 0; a < plan->attack_count; a++) {
        const uint32_t jitters = attack_is_shared(plan->attacks[a]) ? plan->jitter_count : 1;
        for (uint32_t j = 0; j < jitters; j++)
            ret_columns[count++] = (struct column){
                plan->attacks[a], attack_is_shared(plan->attacks[a]) ? plan->jitters[j] : 0};
    }
    return count;
}

static void write_head_row(FILE *file, const struct column *columns, uint32_t count)
{
    fprintf(file, "<tr><th>rule</th>");
    for (uint32_t c = 0; c < count; c++) {
        fprintf(file, "<th class=\"a\" title=\"%s\">%s", attack_text(columns[c].attack),
                attack_name(columns[c].attack));
        if (columns[c].jitter > 0)
            fprintf(file, " ~%g", columns[c].jitter);
        fprintf(file, "</th>");
    }
    fprintf(file, "</tr>\n");
}

static void write_table(const struct lab_plan *plan, const bool *done,
                        const struct lab_result *results, double alpha, double share, bool curves,
                        FILE *file)
{
    struct column columns[ATTACK_COUNT * LAB_LIST_MAX];
    const uint32_t count = find_columns(plan, columns);
    fprintf(file, "<div class=\"w\"><table>\n");
    write_head_row(file, columns, count);
    for (uint32_t r = 0; r < plan->rule_count; r++) {
        fprintf(file, "<tr><th>%s</th>", plan->rules[r].name);
        for (uint32_t c = 0; c < count; c++) {
            struct lab_result mean;
            double error = 0;
            const struct lab_cell like = {.alpha = alpha,
                                          .share = columns[c].attack == ATTACK_NONE ? 0 : share,
                                          .jitter = columns[c].jitter,
                                          .attack = columns[c].attack,
                                          .rule = r};
            if (!lab_mean_of(plan, done, results, &like, &mean, &error))
                fprintf(file, "<td></td>");
            else if (curves)
                write_curve(file, &mean);
            else
                write_cell(file, mean.accuracy, error, mean.detected, mean.false_alarms);
        }
        fprintf(file, "</tr>\n");
    }
    fprintf(file, "</table></div>\n");
}

static void write_body(const struct lab_plan *plan, const bool *done,
                       const struct lab_result *results, FILE *file)
{
    const struct config *const config = plan->config;
    fprintf(file,
            "<h1>Defences against liars</h1>\n<p>%llu nodes with at most %llu samples each, %llu "
            "rounds, %llu seeds. Accuracy on the test samples at the end, in %%; what a cell's "
            "title says: its standard error over seeds, how many of the liars' and of the honest "
            "updates were suspected or refused. ~: private noise of the colluders, in deviations "
            "of the honest updates.</p>\n",
            (unsigned long long)config->lab.nodes, (unsigned long long)config->lab.node_samples,
            (unsigned long long)config->lab.rounds, (unsigned long long)config->lab.seeds);
    for (uint32_t a = 0; a < plan->alpha_count; a++) {
        for (uint32_t s = 0; s < plan->share_count; s++) {
            fprintf(file, "<h2>Dirichlet %g, %g %% liars</h2>\n", plan->alphas[a],
                    100 * plan->shares[s]);
            write_table(plan, done, results, plan->alphas[a], plan->shares[s], false, file);
            fprintf(file, "<details><summary>Accuracy over the rounds</summary>\n");
            write_table(plan, done, results, plan->alphas[a], plan->shares[s], true, file);
            fprintf(file, "</details>\n");
        }
    }
}

enum status lab_page_write(const struct lab_plan *plan, const bool *done,
                           const struct lab_result *results, const char *path, struct error *err)
{
    FILE *const file = fopen(path, "we");
    if (file == nullptr)
        return error_set_errno(err, STATUS_IO, errno, "%s cannot be opened", path);
    fputs(head, file);
    write_body(plan, done, results, file);
    fputs("</html>\n", file);
    const bool bad = ferror(file) != 0;
    if (fclose(file) != 0 || bad)
        return error_set_errno(err, STATUS_IO, errno, "%s cannot be written", path);
    return STATUS_OK;
}

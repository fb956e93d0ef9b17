/*
 * lab_table.c - results summed up, and the table on the terminal.
 */
#include "lab/lab.h"

#include <math.h>

bool lab_mean_of(const struct lab_plan *plan, const bool *done, const struct lab_result *results,
                 const struct lab_cell *like, struct lab_result *ret_mean, double *ret_error)
{
    struct lab_result mean = {0};
    double squared = 0;
    uint32_t count = 0;
    for (uint32_t i = 0; i < plan->cell_count; i++) {
        const struct lab_cell *const cell = &plan->cells[i];
        if (!done[i] || cell->rule != like->rule || cell->attack != like->attack ||
            cell->alpha != like->alpha || cell->share != like->share ||
            cell->jitter != like->jitter)
            continue;
        mean.accuracy += results[i].accuracy;
        squared += results[i].accuracy * results[i].accuracy;
        mean.detected += results[i].detected;
        mean.false_alarms += results[i].false_alarms;
        mean.curve_count = results[i].curve_count;
        for (uint32_t p = 0; p < mean.curve_count; p++)
            mean.curve[p] += results[i].curve[p];
        count++;
    }
    if (count == 0)
        return false;
    mean.accuracy /= count;
    mean.detected /= count;
    mean.false_alarms /= count;
    for (uint32_t p = 0; p < mean.curve_count; p++)
        mean.curve[p] /= count;
    const double variance =
        count > 1 ? (squared - count * mean.accuracy * mean.accuracy) / (count - 1) : (double)NAN;
    *ret_error = variance > 0 ? sqrt(variance / count) : count > 1 ? 0 : (double)NAN;
    *ret_mean = mean;
    return true;
}

void lab_summarise(const struct lab_plan *plan, const bool *done, const struct lab_result *results,
                   double alpha, double share, uint32_t rule, struct lab_summary *ret_summary)
{
    struct lab_summary sum = {.worst = (double)INFINITY, .clean = (double)NAN};
    struct lab_result mean;
    double error = 0;
    struct lab_cell like = {.alpha = alpha, .rule = rule, .attack = ATTACK_NONE};
    if (lab_mean_of(plan, done, results, &like, &mean, &error))
        sum.clean = mean.accuracy;
    for (uint32_t a = 0; a < plan->attack_count; a++) {
        for (uint32_t j = 0; j < plan->jitter_count; j++) {
            like = (struct lab_cell){.alpha = alpha,
                                     .rule = rule,
                                     .share = share,
                                     .attack = plan->attacks[a],
                                     .jitter = plan->jitters[j]};
            if (like.attack == ATTACK_NONE || (j > 0 && !attack_is_shared(like.attack)) ||
                !lab_mean_of(plan, done, results, &like, &mean, &error))
                continue;
            sum.attacks++;
            sum.mean += mean.accuracy;
            sum.detected += mean.detected;
            sum.false_alarms += mean.false_alarms;
            if (mean.accuracy < sum.worst) {
                sum.worst = mean.accuracy;
                sum.worst_error = error;
                sum.worst_attack = attack_name(like.attack);
                sum.worst_jitter = like.jitter;
            }
        }
    }
    if (sum.attacks > 0) {
        sum.mean /= sum.attacks;
        sum.detected /= sum.attacks;
        sum.false_alarms /= sum.attacks;
    }
    *ret_summary = sum;
}

static void percent(double value, char ret_text[static 16])
{
    if (isfinite(value))
        snprintf(ret_text, 16, "%.1f", 100 * value);
    else
        snprintf(ret_text, 16, "-");
}

static void print_row(const struct lab_summary *sum, const char *rule, FILE *file)
{
    char worst[16];
    char error[16];
    char mean[16];
    char clean[16];
    char detected[16];
    char alarms[16];
    char under[64];
    percent(sum->worst, worst);
    percent(sum->worst_error, error);
    percent(sum->mean, mean);
    percent(sum->clean, clean);
    percent(sum->detected, detected);
    percent(sum->false_alarms, alarms);
    snprintf(under, sizeof(under), sum->worst_jitter > 0 ? "%s ~%g" : "%s", sum->worst_attack,
             sum->worst_jitter);
    fprintf(file, "%-24s %6s %5s  %-24s %6s %6s %9s %7s\n", rule, worst, error, under, mean, clean,
            detected, alarms);
}

void lab_table_print(const struct lab_plan *plan, const bool *done,
                     const struct lab_result *results, FILE *file)
{
    for (uint32_t a = 0; a < plan->alpha_count; a++) {
        for (uint32_t s = 0; s < plan->share_count; s++) {
            fprintf(file, "\nDirichlet %g, %g %% liars: accuracy in %%\n", plan->alphas[a],
                    100 * plan->shares[s]);
            fprintf(file, "%-24s %6s %5s  %-24s %6s %6s %9s %7s\n", "rule", "worst", "+-", "under",
                    "mean", "clean", "detected", "alarms");
            for (uint32_t r = 0; r < plan->rule_count; r++) {
                struct lab_summary sum;
                lab_summarise(plan, done, results, plan->alphas[a], plan->shares[s], r, &sum);
                if (sum.attacks > 0)
                    print_row(&sum, plan->rules[r].name, file);
            }
        }
    }
}

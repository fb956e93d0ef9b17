/*
 * convergence.c - records the figures of a round and judges the job by them.
 *
 * Not here: how the state is written and read (convergence_state.c).
 */
#include "learn/convergence.h"

#include "base/check.h"

#include <math.h>
#include <string.h>

void convergence_init(struct convergence *convergence, const struct convergence_settings *settings)
{
    CHECK(settings->window_size >= 1 && settings->window_size <= CONVERGENCE_WINDOW_MAX);
    CHECK(settings->patience >= 1 && settings->divergence_patience >= 1);
    CHECK(settings->max_rounds >= 1);
    CHECK(settings->threshold >= 0 && isfinite(settings->threshold));
    CHECK(settings->divergence_threshold > 0 && isfinite(settings->divergence_threshold));
    CHECK(settings->gradient_threshold >= 0 && isfinite(settings->gradient_threshold));
    CHECK(settings->criteria == CONVERGENCE_ALL || settings->criteria == CONVERGENCE_ANY);
    *convergence = (struct convergence){
        .settings = *settings,
        .best_loss = INFINITY,
        .best_accuracy = -INFINITY,
    };
}

/* Appends the best so far of one more round; the oldest goes where the window is full. */
static void push(double *history, uint32_t *count, uint32_t window_size, double best)
{
    if (*count > window_size) {
        memmove(history, history + 1, window_size * sizeof(*history));
        *count = window_size;
    }
    history[(*count)++] = best;
}

static void extend(uint32_t *in_a_row, bool holds)
{
    if (!holds)
        *in_a_row = 0;
    else if (*in_a_row < UINT32_MAX)
        (*in_a_row)++;
}

static bool is_risen(const struct convergence *convergence, double loss)
{
    const double best = convergence->best_loss;
    const double rise = convergence->settings.divergence_threshold * fabs(best);
    return !isfinite(loss) || (isfinite(best) && loss > best + rise);
}

/* Only finite losses enter the history. */
static bool record_loss(struct convergence *convergence, uint64_t round, double loss)
{
    if (!isfinite(loss))
        return false;
    if (loss < convergence->best_loss) {
        convergence->best_loss = loss;
        convergence->best_round = round;
        convergence->best_is_last = true;
    }
    const uint32_t window_size = convergence->settings.window_size;
    push(convergence->best_losses, &convergence->loss_count, window_size, convergence->best_loss);
    const double then = convergence->best_losses[0];
    return convergence->loss_count > window_size &&
           then - convergence->best_loss <= convergence->settings.threshold * fabs(then);
}

static bool record_accuracy(struct convergence *convergence, uint64_t round, double accuracy)
{
    if (accuracy > convergence->best_accuracy) {
        convergence->best_accuracy = accuracy;
        if (convergence->loss_count == 0) {
            convergence->best_round = round;
            convergence->best_is_last = true;
        }
    }
    const uint32_t window_size = convergence->settings.window_size;
    push(convergence->best_accuracies, &convergence->accuracy_count, window_size,
         convergence->best_accuracy);
    return convergence->accuracy_count > window_size &&
           convergence->best_accuracy - convergence->best_accuracies[0] <=
               convergence->settings.threshold;
}

static void record(struct convergence *convergence, const struct convergence_figures *figures)
{
    convergence->recorded++;
    convergence->best_is_last = false;
    const bool has_loss = figures->has_loss;
    const bool has_accuracy = figures->has_accuracy && isfinite(figures->accuracy);
    const bool has_risen = has_loss && is_risen(convergence, figures->loss);
    bool loss_holds = false;
    bool accuracy_holds = false;
    if (has_loss)
        loss_holds = record_loss(convergence, figures->round, figures->loss) && !has_risen;
    if (has_accuracy)
        accuracy_holds =
            record_accuracy(convergence, figures->round, figures->accuracy) && !has_risen;

    if (has_loss)
        extend(&convergence->risen, has_risen);
    if (has_loss)
        extend(&convergence->loss_plateau, loss_holds);
    if (has_accuracy || has_risen)
        extend(&convergence->accuracy_plateau, accuracy_holds);
    const bool one_fails = (has_loss && !loss_holds) || (has_accuracy && !accuracy_holds);
    if (one_fails || (has_loss && has_accuracy))
        extend(&convergence->both_plateau, !one_fails);
}

static enum convergence_reason plateau_reason(const struct convergence *convergence)
{
    const uint32_t patience = convergence->settings.patience;
    const bool knows_both = convergence->loss_count > 0 && convergence->accuracy_count > 0;
    if (knows_both && convergence->settings.criteria == CONVERGENCE_ALL)
        return convergence->both_plateau >= patience ? CONVERGENCE_REASON_PLATEAU
                                                     : CONVERGENCE_REASON_NONE;
    if (convergence->loss_plateau >= patience)
        return CONVERGENCE_REASON_LOSS;
    if (convergence->accuracy_plateau >= patience)
        return CONVERGENCE_REASON_ACCURACY;
    return CONVERGENCE_REASON_NONE;
}

static enum convergence_reason judge(const struct convergence *convergence,
                                     const struct convergence_figures *figures)
{
    const struct convergence_settings *const settings = &convergence->settings;
    if (figures->has_loss && !isfinite(figures->loss))
        return CONVERGENCE_REASON_NON_FINITE;
    if (convergence->recorded >= settings->min_rounds) {
        if (figures->has_norm && figures->aggregate_norm < settings->gradient_threshold)
            return CONVERGENCE_REASON_GRADIENT;
        const enum convergence_reason reason = plateau_reason(convergence);
        if (reason != CONVERGENCE_REASON_NONE)
            return reason;
    }
    if (convergence->risen >= settings->divergence_patience)
        return CONVERGENCE_REASON_LOSS_ROSE;
    if (convergence->recorded >= settings->max_rounds)
        return CONVERGENCE_REASON_MAX_ROUNDS;
    return CONVERGENCE_REASON_NONE;
}

enum convergence_verdict convergence_record(struct convergence *convergence,
                                            const struct convergence_figures *figures)
{
    record(convergence, figures);
    convergence->reason = judge(convergence, figures);
    convergence->verdict = convergence_verdict_of(convergence->reason);
    return convergence->verdict;
}

enum convergence_verdict convergence_verdict_of(enum convergence_reason reason)
{
    switch (reason) {
    case CONVERGENCE_REASON_GRADIENT:
    case CONVERGENCE_REASON_LOSS:
    case CONVERGENCE_REASON_ACCURACY:
    case CONVERGENCE_REASON_PLATEAU:
        return CONVERGENCE_CONVERGED;
    case CONVERGENCE_REASON_LOSS_ROSE:
    case CONVERGENCE_REASON_NON_FINITE:
        return CONVERGENCE_DIVERGED;
    case CONVERGENCE_REASON_MAX_ROUNDS:
        return CONVERGENCE_EXHAUSTED;
    case CONVERGENCE_REASON_NONE:
    default:
        return CONVERGENCE_GOES_ON;
    }
}

const char *convergence_reason_text(enum convergence_reason reason)
{
    switch (reason) {
    case CONVERGENCE_REASON_NONE:
        return "nothing ends it yet";
    case CONVERGENCE_REASON_GRADIENT:
        return "the aggregated update is smaller than the gradient threshold";
    case CONVERGENCE_REASON_LOSS:
        return "the loss stopped falling";
    case CONVERGENCE_REASON_ACCURACY:
        return "the accuracy stopped rising";
    case CONVERGENCE_REASON_PLATEAU:
        return "the loss and the accuracy stopped improving";
    case CONVERGENCE_REASON_LOSS_ROSE:
        return "the loss rose";
    case CONVERGENCE_REASON_NON_FINITE:
        return "the loss is not a finite number";
    case CONVERGENCE_REASON_MAX_ROUNDS:
        return "all rounds are done";
    default:
        return "unknown";
    }
}

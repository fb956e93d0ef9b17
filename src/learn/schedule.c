/*
 * schedule.c - learning rates in closed form, so that any round's can be computed at any time.
 */
#include "learn/schedule.h"

#include "base/check.h"

#include <math.h>

static double share_of_rate(const struct schedule *schedule, uint64_t t)
{
    switch (schedule->kind) {
    case SCHEDULE_CONSTANT:
        return 1;
    case SCHEDULE_STEP: {
        CHECK(schedule->factor > 0 && schedule->factor <= 1 && schedule->every > 0);
        const uint64_t steps = t / schedule->every;
        return pow(schedule->factor, (double)steps);
    }
    case SCHEDULE_EXPONENTIAL:
        CHECK(schedule->tau > 0);
        return exp(-(double)t / schedule->tau);
    case SCHEDULE_ADAPTIVE:
        return 1 / (1 + (double)t);
    case SCHEDULE_COSINE: {
        CHECK(schedule->rounds > 0 && schedule->floor >= 0 && schedule->floor <= 1);
        const uint64_t done = t < schedule->rounds ? t : schedule->rounds;
        const double angle = M_PI * (double)done / (double)schedule->rounds;
        return schedule->floor + (1 - schedule->floor) * (1 + cos(angle)) / 2;
    }
    default:
        break;
    }
    check_failed("a schedule's kind", __FILE__, __LINE__);
}

double schedule_rate(const struct schedule *schedule, uint64_t t, double stale)
{
    CHECK(schedule->rate > 0 && isfinite(schedule->rate));
    CHECK(stale >= 0 && stale <= 1);
    return schedule->rate * share_of_rate(schedule, t) * (1 - 0.5 * stale);
}

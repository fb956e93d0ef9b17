/*
 * reputation.c - see reputation.h.
 */
#include "core/reputation.h"

#include <float.h>

/* The share of a round in the average: after 22 rounds without a flag a tenth of the distrust is
 * left. */
static const double round_share = 0.1;

enum { WINDOW_BITS = (1 << REPUTATION_WINDOW) - 1 };

static bool is_gross(const struct flag *flag)
{
    return flag->is_refused || flag->reason == SUSPECTED_COLLUSION ||
           flag->score >= REPUTATION_GROSS_SCORE;
}

void reputation_record(struct reputation *reputation, uint64_t round, const struct flag *flag,
                       uint32_t updates)
{
    const bool is_flagged = flag != nullptr;
    const bool is_off = is_flagged && is_gross(flag);
    const bool is_counted = is_off || (is_flagged && updates >= REPUTATION_MANY);
    const uint64_t kept = WINDOW_BITS | WINDOW_BITS << REPUTATION_FLAGS_SHIFT;
    reputation->rounds++;
    reputation->distrust += round_share * ((is_flagged ? 1 : 0) - reputation->distrust);
    reputation->recent = (reputation->recent << 1 & kept) | (is_off ? 1 : 0) |
                         (is_counted ? 1 << REPUTATION_FLAGS_SHIFT : 0);
    if (!is_counted && reputation->probation > 0)
        reputation->probation--;
    if (!is_flagged)
        return;
    reputation->flagged++;
    reputation->flagged_round = round;
    reputation->flag.reason = flag->reason;
    reputation->flag.score = !(flag->score > 0) ? 0 : flag->score < DBL_MAX ? flag->score : DBL_MAX;
}

bool reputation_is_bad(const struct reputation *reputation)
{
    const uint64_t counted = reputation->recent >> REPUTATION_FLAGS_SHIFT;
    uint32_t gross = 0;
    uint32_t flags = 0;
    for (uint32_t i = 0; i < REPUTATION_WINDOW; i++) {
        gross += reputation->recent >> i & 1;
        flags += counted >> i & 1;
    }
    return gross >= REPUTATION_GROSS || flags >= REPUTATION_FLAGS ||
           (reputation->probation > 0 && (counted & 1) != 0);
}

void reputation_shut_out(struct reputation *reputation, uint64_t until)
{
    reputation->until = until;
    reputation->probation = REPUTATION_WINDOW;
    reputation->recent = 0;
}

/*
 * reputation.h - what the rounds that a member took part in say of it.
 *
 * Pure. Not here: what makes an update suspect (robust/, host/coordinator_updates.c), what follows
 * for the member (coordinator_quarantine.c).
 */
#pragma once

#include "robust/robust.h"

#include <stdbool.h>
#include <stdint.h>

/*
 * A member has lied whose update was grossly off in GROSS of the last WINDOW rounds it took part
 * in, or flagged in FLAGS of them in rounds of MANY updates: the scales of fewer are uncertain, and
 * small flags of honest ones too many. Of an honest one for which that is so with probability p, or
 * q, a round, by chance alone, it is said with at most 6 p^3 + q^5 a round: once more now, and
 * two, or three, of the four before.
 */
enum { REPUTATION_WINDOW = 5, REPUTATION_GROSS = 3, REPUTATION_FLAGS = 5, REPUTATION_MANY = 50 };

/* Where in `recent` the second kind has its bits. */
enum { REPUTATION_FLAGS_SHIFT = 8 };

/* The score from which an update is grossly off: 7 scales, where the filter flags at 4. Collusion,
 * and what is refused, is gross whatever its score. */
#define REPUTATION_GROSS_SCORE 1.75

/* Why an update was flagged in a round. */
struct flag {
    enum reason_suspected reason;
    double score;    /* as struct suspect; of a refused norm: how many times the bound it is */
    bool is_refused; /* for what is in it; no rule has seen it */
};

/* All zero: of nobody is anything known. */
struct reputation {
    uint64_t rounds;        /* it took part in: an update of it was counted, or refused as a flag */
    uint64_t flagged;       /* of these, how many it was flagged in */
    uint64_t flagged_round; /* the last; 0: none */
    struct flag flag;       /* in that round */
    double
        distrust; /* [0, 1]: exponential average over these rounds, 1 in each it was flagged in */
    /* Bit i: grossly off in the last but i of these rounds, i < REPUTATION_WINDOW; bit i +
     * REPUTATION_FLAGS_SHIFT: that, or flagged among many. */
    uint64_t recent;
    uint64_t until;     /* shut out of rounds before this one; 0: never */
    uint64_t probation; /* rounds not grossly off after which one that is is not enough any more */
};

/* flag: null where there was none in that round; updates: it had. */
void reputation_record(struct reputation *reputation, uint64_t round, const struct flag *flag,
                       uint32_t updates);

/* Whether it is to be shut out: by the window, or by one that is gross on probation. */
bool reputation_is_bad(const struct reputation *reputation);

/* Shuts it out of all rounds before until; what comes after is probation. */
void reputation_shut_out(struct reputation *reputation, uint64_t until);

/* In [0, 1]; 1: nothing is known against it. */
static inline double reputation_value(const struct reputation *reputation)
{
    return 1 - reputation->distrust;
}

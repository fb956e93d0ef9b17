/*
 * schedule.h - the learning rate of a round. Pure: reading a rate never advances it.
 */
#pragma once

#include <stdint.h>

enum schedule_kind : uint32_t {
    SCHEDULE_CONSTANT,
    SCHEDULE_STEP,        /* factor^floor(t / every) */
    SCHEDULE_EXPONENTIAL, /* exp(-t / tau) */
    SCHEDULE_ADAPTIVE,    /* 1 / (1 + t) */
    SCHEDULE_COSINE,      /* floor + (1 - floor) (1 + cos(pi min(t, rounds) / rounds)) / 2 */
};

struct schedule {
    enum schedule_kind kind;
    double rate;     /* at t = 0, over 0 */
    double factor;   /* STEP, over 0, at most 1 */
    uint64_t every;  /* STEP, rounds, 1 or more */
    double tau;      /* EXPONENTIAL, rounds, over 0 */
    uint64_t rounds; /* COSINE, 1 or more */
    double floor;    /* COSINE, share of the rate that is left at the end, [0, 1] */
};

/*
 * The rate of the round before which t rounds were counted (t = 0: the first), times
 * 1 - 0.5 * stale.
 *
 * stale  share of stale updates in the round, [0, 1].
 *
 * The same bits on every machine of one libm; a record names the rate that was used. Values out of
 * range abort.
 */
double schedule_rate(const struct schedule *schedule, uint64_t t, double stale);

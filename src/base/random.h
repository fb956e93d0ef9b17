/*
 * random.h - seeded random numbers: the same seed and stream give the same numbers on every
 * machine.
 *
 * For decisions, data order and tests. Not for secrets: those come from OpenSSL (identity/).
 * xoshiro256** by Blackman and Vigna (2018), seeded by SplitMix64.
 */
#pragma once

#include <stdint.h>

struct random {
    uint64_t state[4];
};

/* Starts the generator of (seed, stream, substream); different triples are independent in practice.
 */
void random_init(struct random *random, uint64_t seed, uint64_t stream, uint64_t substream);

/* The next 64 bits, uniform. */
uint64_t random_u64(struct random *random);

/* Uniform in [0, bound), without bias; bound > 0. */
uint64_t random_below(struct random *random, uint64_t bound);

/* Uniform in [0, 1), with 53 bits. */
double random_unit(struct random *random);

/* Standard normal, by the polar method. Uses libm's log and sqrt. */
double random_normal(struct random *random);

/* Fisher-Yates over count indices. */
void random_shuffle_u32(struct random *random, uint32_t *items, uint32_t count);

/*
 * weight.h - how much an update counts, as the pinned u32 fixed point.
 *
 * One unit is 2^-8 sample: any sample count up to samples_max is exact, and staleness has 8 bits
 * more. Weights are relative, so the unit cancels in every mean.
 */
#pragma once

#include <stdint.h>

enum {
    WEIGHT_FRACTION_BITS = 8,
    WEIGHT_UNITS_PER_SAMPLE = 1 << WEIGHT_FRACTION_BITS,
    /* Keeps weights below 2^31, which the kernels fold in one pass. */
    WEIGHT_SAMPLES_MAX = (1 << 23) - 1,
    WEIGHT_SAMPLES_MAX_DEFAULT = 1000000,
};

/*
 * min(samples, samples_max) * staleness * 2^8, rounded to nearest (halves to even).
 *
 * samples      0 gives 0; otherwise the weight is at least 1, so that no accepted update vanishes.
 * samples_max  1 to WEIGHT_SAMPLES_MAX.
 * staleness    in (0, 1]; 1 is fresh. Other values, NaN too, are a bug of the caller and abort.
 */
uint32_t weight_from_samples(uint64_t samples, uint32_t samples_max, double staleness);

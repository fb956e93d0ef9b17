/*
 * weight.c - sample counts and staleness as fixed-point weights.
 */
#include "robust/weight.h"

#include "base/check.h"

#include <math.h>

uint32_t weight_from_samples(uint64_t samples, uint32_t samples_max, double staleness)
{
    CHECK(samples_max >= 1 && samples_max <= WEIGHT_SAMPLES_MAX);
    CHECK(staleness > 0 && staleness <= 1);
    if (samples == 0)
        return 0;
    const double counted = (double)(samples < samples_max ? samples : samples_max);
    const double units = rint(counted * WEIGHT_UNITS_PER_SAMPLE * staleness);
    return units < 1 ? 1 : (uint32_t)units;
}

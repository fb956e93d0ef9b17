/*
 * staleness.c - the weights of late updates.
 */
#include "learn/staleness.h"

#include "base/check.h"

#include <float.h>
#include <math.h>

double staleness_weight(enum staleness_kind kind, uint64_t staleness, double exponent,
                        uint64_t hinge)
{
    CHECK(exponent >= 0 && isfinite(exponent));
    double weight = 1;
    switch (kind) {
    case STALENESS_CONSTANT:
        break;
    case STALENESS_POLYNOMIAL:
        weight = pow(1 + (double)staleness, -exponent);
        break;
    case STALENESS_HINGE:
        if (staleness > hinge)
            weight = 1 / (1 + exponent * (double)(staleness - hinge));
        break;
    default:
        check_failed("a kind of staleness", __FILE__, __LINE__);
    }
    return weight < DBL_MIN ? DBL_MIN : weight;
}

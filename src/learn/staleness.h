/*
 * staleness.h - how much a late update counts. Xie et al. 2019, Asynchronous Federated
 * Optimization, section 5.2, names these functions.
 */
#pragma once

#include <stdint.h>

enum staleness_kind : uint32_t {
    STALENESS_CONSTANT,   /* 1 */
    STALENESS_POLYNOMIAL, /* (1 + staleness)^-exponent */
    STALENESS_HINGE,      /* 1 up to hinge, then 1 / (1 + exponent (staleness - hinge)) */
};

/*
 * The weight in (0, 1] of an update that is staleness versions behind (0: fresh, always 1).
 *
 * exponent  0 or more, finite.    hinge  versions.
 *
 * What would be less than DBL_MIN is DBL_MIN: no accepted update counts nothing. Values out of
 * range abort.
 */
double staleness_weight(enum staleness_kind kind, uint64_t staleness, double exponent,
                        uint64_t hinge);

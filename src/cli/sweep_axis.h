/*
 * sweep_axis.h - an axis of a chart: which span it shows, where a value lies on it, its marks.
 * Pure.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum { SWEEP_MARKS_MAX = 40 };

struct sweep_axis {
    bool logarithmic;
    double low; /* high > low; where it is logarithmic, low > 0 */
    double high;
    double step; /* between the marks of a linear one: 1, 2 or 5 times a power of ten */
};

/* A linear axis from low to high (finite, low <= high), both moved outwards to marks; about six. */
struct sweep_axis sweep_axis_linear(double low, double high);

/*
 * An axis for times of several curves: from 0, linear; logarithmic, from begin on, where the curve
 * that ends last (end_max) ends so much later than the one that ends first that the latter could
 * not be read.
 *
 * begin  the first time of all curves. 0 <= begin <= end_min <= end_max, all finite.
 */
struct sweep_axis sweep_axis_time(double begin, double end_min, double end_max);

/* Where a value of the span lies: 0 at low, 1 at high. */
double sweep_axis_place(const struct sweep_axis *axis, double value);

/* The value at a place in [0, 1]: the inverse. */
double sweep_axis_value(const struct sweep_axis *axis, double place);

/* The marks, ascending; how many. */
uint32_t sweep_axis_marks(const struct sweep_axis *axis, double ret_marks[static SWEEP_MARKS_MAX]);

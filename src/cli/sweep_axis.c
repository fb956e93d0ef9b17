/*
 * sweep_axis.c - see sweep_axis.h.
 */
#include "cli/sweep_axis.h"

#include <math.h>

enum { STEPS_WANTED = 6 };

static const double LOGARITHMIC_FROM = 8; /* the shorter curve would have an eighth of the width */
static const double ROUNDING = 1e-9;      /* of a step: 0.1 * 3 is not 0.3 */

struct sweep_axis sweep_axis_linear(double low, double high)
{
    const double span = high > low ? high - low : fmax(fabs(high), 1) * 0.1;
    const double power = pow(10, floor(log10(span / STEPS_WANTED)));
    const double part = span / STEPS_WANTED / power; /* in [1, 10) */
    const double step = power * (part <= 1 ? 1 : part <= 2 ? 2 : part <= 5 ? 5 : 10);
    struct sweep_axis axis = {.step = step};
    axis.low = floor(low / step + ROUNDING) * step;
    axis.high = ceil(high / step - ROUNDING) * step;
    if (axis.high <= axis.low)
        axis.high = axis.low + step;
    return axis;
}

struct sweep_axis sweep_axis_time(double begin, double end_min, double end_max)
{
    if (begin <= 0 || end_max < LOGARITHMIC_FROM * end_min)
        return sweep_axis_linear(0, end_max);
    return (struct sweep_axis){.logarithmic = true, .low = begin, .high = end_max};
}

double sweep_axis_place(const struct sweep_axis *axis, double value)
{
    if (axis->logarithmic)
        return log(value / axis->low) / log(axis->high / axis->low);
    return (value - axis->low) / (axis->high - axis->low);
}

double sweep_axis_value(const struct sweep_axis *axis, double place)
{
    if (axis->logarithmic)
        return axis->low * pow(axis->high / axis->low, place);
    return axis->low + place * (axis->high - axis->low);
}

uint32_t sweep_axis_marks(const struct sweep_axis *axis, double ret_marks[static SWEEP_MARKS_MAX])
{
    static const double parts[] = {1, 2, 5};
    uint32_t count = 0;
    if (!axis->logarithmic) {
        const double first = ceil(axis->low / axis->step - ROUNDING);
        const double last = floor(axis->high / axis->step + ROUNDING);
        const int steps = (int)fmin(last - first, SWEEP_MARKS_MAX - 1);
        for (int i = 0; i <= steps; i++)
            ret_marks[count++] = (first + i) * axis->step;
        return count;
    }
    const int last = (int)floor(log10(axis->high));
    for (int i = (int)floor(log10(axis->low)); i <= last; i++) {
        for (uint32_t j = 0; j < 3 && count < SWEEP_MARKS_MAX; j++) {
            const double mark = pow(10, i) * parts[j];
            if (mark >= axis->low && mark <= axis->high)
                ret_marks[count++] = mark;
        }
    }
    return count;
}

/*
 * trimmed_mean.h - the mean of some reports without the least and the greatest of them: a minority
 * of liars moves it only within what honest ones report (Yin et al. 2018).
 */
#pragma once

#include <stddef.h>

/*
 * Sorts values and gives the mean of what is left after floor(trim * count) at each end.
 *
 * values  f64[count], all finite; count 1 or more.
 * trim    share in [0, 0.5).
 */
double trimmed_mean(double *values, size_t count, double trim);

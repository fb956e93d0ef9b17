/*
 * server_optimiser.c - one pass over the model and its state for each kind of optimiser.
 */
#include "learn/server_optimiser.h"

#include "base/check.h"

#include <math.h>

static void check_settings(const struct server_optimiser *optimiser)
{
    CHECK(optimiser->momentum >= 0 && optimiser->momentum < 1);
    CHECK(optimiser->beta2 >= 0 && optimiser->beta2 < 1);
    CHECK(optimiser->epsilon > 0 && isfinite(optimiser->epsilon));
}

static bool is_adaptive(const struct server_optimiser *optimiser)
{
    return optimiser->kind == OPTIMISER_ADAM || optimiser->kind == OPTIMISER_YOGI ||
           optimiser->kind == OPTIMISER_ADAGRAD;
}

uint32_t server_optimiser_vectors(const struct server_optimiser *optimiser)
{
    if (is_adaptive(optimiser))
        return 2;
    return optimiser->kind == OPTIMISER_MOMENTUM || optimiser->keeps_momentum ? 1 : 0;
}

static bool step_without_state(double rate, const double *delta, const float *x, float *ret_x,
                               uint64_t n)
{
    bool is_finite = true;
    for (uint64_t i = 0; i < n; i++) {
        ret_x[i] = (float)((double)x[i] - rate * delta[i]);
        is_finite &= isfinite(ret_x[i]) != 0;
    }
    return is_finite;
}

/* MOMENTUM moves the model by m, SGD by delta while it keeps m for who reads it. */
static bool step_with_momentum(const struct server_optimiser *optimiser, double rate,
                               const double *delta, const float *x, float *ret_x, float *m,
                               uint64_t n)
{
    const bool by_delta = optimiser->kind == OPTIMISER_SGD;
    bool is_finite = true;
    for (uint64_t i = 0; i < n; i++) {
        const double moved = optimiser->momentum * (double)m[i] + delta[i];
        ret_x[i] = (float)((double)x[i] - rate * (by_delta ? delta[i] : moved));
        m[i] = (float)moved;
        is_finite &= isfinite(ret_x[i]) != 0 && isfinite(m[i]) != 0;
    }
    return is_finite;
}

static double next_square(const struct server_optimiser *optimiser, double v, double square)
{
    const double share = 1 - optimiser->beta2;
    if (optimiser->kind == OPTIMISER_ADAGRAD)
        return v + square;
    if (optimiser->kind == OPTIMISER_ADAM)
        return optimiser->beta2 * v + share * square;
    const double sign = v > square ? 1.0 : v < square ? -1.0 : 0.0;
    return v - share * square * sign;
}

static bool step_adaptive(const struct server_optimiser *optimiser, double rate,
                          const double *delta, const float *x, float *ret_x, float *m, float *v,
                          uint64_t n)
{
    bool is_finite = true;
    for (uint64_t i = 0; i < n; i++) {
        const double mean =
            optimiser->momentum * (double)m[i] + (1 - optimiser->momentum) * delta[i];
        const double square = next_square(optimiser, (double)v[i], delta[i] * delta[i]);
        ret_x[i] = (float)((double)x[i] - rate * mean / (sqrt(square) + optimiser->epsilon));
        m[i] = (float)mean;
        v[i] = (float)square;
        is_finite &= isfinite(ret_x[i]) != 0 && isfinite(m[i]) != 0 && isfinite(v[i]) != 0;
    }
    return is_finite;
}

bool server_optimiser_step(const struct server_optimiser *optimiser, double rate,
                           const double *delta, const float *x, float *ret_x, float *state,
                           uint64_t n)
{
    check_settings(optimiser);
    CHECK(rate >= 0 && isfinite(rate));
    CHECK(state != nullptr || server_optimiser_vectors(optimiser) == 0 || n == 0);
    if (is_adaptive(optimiser))
        return step_adaptive(optimiser, rate, delta, x, ret_x, state, state + n, n);
    if (server_optimiser_vectors(optimiser) != 0)
        return step_with_momentum(optimiser, rate, delta, x, ret_x, state, n);
    CHECK(optimiser->kind == OPTIMISER_SGD);
    return step_without_state(rate, delta, x, ret_x, n);
}

void server_optimiser_direction(const struct server_optimiser *optimiser, const float *state,
                                double *ret, uint64_t n)
{
    check_settings(optimiser);
    CHECK(server_optimiser_vectors(optimiser) != 0);
    const double scale = is_adaptive(optimiser) ? 1 : 1 - optimiser->momentum;
    for (uint64_t i = 0; i < n; i++)
        ret[i] = scale * (double)state[i];
}

void server_optimiser_stand_in(const struct server_optimiser *optimiser, uint64_t steps,
                               double weight, double late, const double *direction, double *mean,
                               uint64_t n)
{
    double power = 1;
    for (uint64_t i = 0; i < steps && power > 1e-20; i++)
        power *= optimiser->momentum;
    const double share = late / (weight + late);
    const double scale = share / (1 - power);
    for (uint64_t i = 0; i < n; i++)
        mean[i] = (1 - share) * mean[i] + scale * direction[i];
}

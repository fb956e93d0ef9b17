/*
 * server_optimiser.h - how the aggregate of a round moves the model. Reddi et al. 2021, Adaptive
 * Federated Optimization, algorithm 2; momentum as in PyTorch's SGD (Hsu et al. 2019, FedAvgM).
 *
 * Pure arithmetic in f64 over f32 state, element by element, nothing fused, no libm but sqrt: the
 * same bits everywhere. The model moves by the new m and v before they are rounded to f32. Not
 * here: where the state is kept (host/, store/), the rate (schedule.h).
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum server_optimiser_kind : uint32_t {
    OPTIMISER_SGD,      /* x - rate d */
    OPTIMISER_MOMENTUM, /* m <- momentum m + d;  x - rate m */
    OPTIMISER_ADAM,    /* m <- b1 m + (1 - b1) d;  v <- b2 v + (1 - b2) d^2;  x - rate m / (sqrt v +
                          eps) */
    OPTIMISER_YOGI,    /* v <- v - (1 - b2) d^2 sign(v - d^2), m and x as adam */
    OPTIMISER_ADAGRAD, /* v <- v + d^2, m and x as adam */
};

struct server_optimiser {
    enum server_optimiser_kind kind;
    double momentum;     /* also b1; [0, 1) */
    double beta2;        /* [0, 1) */
    double epsilon;      /* over 0 */
    bool keeps_momentum; /* m is kept also for OPTIMISER_SGD (as for MOMENTUM, without moving x):
                            somebody reads it */
};

/* How many f32 vectors of the model's size the state is: 0 to 2, m first, then v. v starts at 0. */
uint32_t server_optimiser_vectors(const struct server_optimiser *optimiser);

/*
 * Moves the model by one aggregate.
 *
 * delta        f64[n], the aggregate: old model - wished model.
 * x            f32[n], the model.     ret_x  f32[n], the moved one; may be x.
 * state        f32[vectors][n], in and out; null where vectors is 0.
 *
 * rate         finite, 0 or more.
 *
 * Gives whether every element of ret_x and of the state is finite; a model that is not is to be
 * dropped, and the state with it. Settings out of range abort.
 */
bool server_optimiser_step(const struct server_optimiser *optimiser, double rate,
                           const double *delta, const float *x, float *ret_x, float *state,
                           uint64_t n);

/*
 * The server's momentum as a late node contributes it, on the scale of one aggregate: (1 -
 * momentum) m for SGD and MOMENTUM, m for the others. state f32[vectors][n], vectors 1 or more;
 * ret f64[n].
 */
void server_optimiser_direction(const struct server_optimiser *optimiser, const float *state,
                                double *ret, uint64_t n);

/*
 * mean <- (weight * mean + late * direction) / (weight + late): that direction, f64[n], in the
 * place of who is late. After so many steps, 1 or more: the momentum began at 0 and is short by 1 -
 * momentum^steps, which is made up for. weight and late over 0; mean f64[n], in and out.
 */
void server_optimiser_stand_in(const struct server_optimiser *optimiser, uint64_t steps,
                               double weight, double late, const double *direction, double *mean,
                               uint64_t n);

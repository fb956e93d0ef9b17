/*
 * server_optimiser_test.c - three steps of each optimiser against python's, and what must hold of
 * any: in place as elsewhere, infinities told, m kept for who reads it.
 */
#include "learn/server_optimiser.h"

#include "testing.h"

#include <float.h>
#include <math.h>
#include <string.h>

enum { N = 4, STEPS = 3 };

static const float start[N] = {1.0f, -0.5f, 0.25f, 0.0f};
static const double deltas[STEPS][N] = {
    {0.5, -0.25, 1e-3, 0.0}, {-0.125, -0.5, 2e-3, 0.0}, {0.3, 0.7, -5e-3, 1e-9}};

/*
 * x, m, v after the three steps with rate 0.1, momentum 0.9, beta2 0.99, epsilon 1e-3. Momentum is
 * torch.optim.SGD(lr=0.1, momentum=0.9), Adam torch.optim.Adam without its bias correction; all in
 * python's floats, x, m and v rounded to f32 after each step by struct.pack('<f', ...):
 *
 * if kind == 'sgd': x -= 0.1 * d; m = 0.9 * m + d
 * if kind == 'momentum': m = 0.9 * m + d; x -= 0.1 * m
 * if kind == 'adam': v = 0.99 * v + (1 - 0.99) * d * d
 * if kind == 'yogi': v = v - (1 - 0.99) * d * d * ((v > d * d) - (v < d * d))
 * if kind == 'adagrad': v = v + d * d
 * of those three: m = 0.9 * m + (1 - 0.9) * d; x -= 0.1 * m / (sqrt(v) + 1e-3)
 */
static const struct {
    enum server_optimiser_kind kind;
    bool keeps_momentum;
    uint32_t vectors;
    float x[N];
    float m[N];
    float v[N];
} expected[] = {
    {OPTIMISER_SGD,
     false,
     0,
     {0x1.dd70a4p-1f, -0x1.fae146p-2f, 0x1.00346ep-2f, -0x1.b7cdfep-34f},
     {0},
     {0}},
    {OPTIMISER_SGD,
     true,
     1,
     {0x1.dd70a4p-1f, -0x1.fae146p-2f, 0x1.00346ep-2f, -0x1.b7cdfep-34f},
     {0x1.2f5c28p-1f, 0x1.851eacp-5f, -0x1.394318p-9f, 0x1.12e0bep-30f},
     {0}},
    {OPTIMISER_MOMENTUM,
     false,
     1,
     {0x1.b76c8ap-1f, -0x1.a10624p-2f, 0x1.ffb0d4p-3f, -0x1.b7cdfep-34f},
     {0x1.2f5c28p-1f, 0x1.851eacp-5f, -0x1.394318p-9f, 0x1.12e0bep-30f},
     {0}},
    {OPTIMISER_ADAM,
     false,
     2,
     {0x1.7b984ep-1f, -0x1.205254p-2f, 0x1.dc7890p-3f, -0x1.5798ecp-27f},
     {0x1.e56042p-5f, 0x1.374bcep-8f, -0x1.f53826p-13f, 0x1.b7cdfep-34f},
     {0x1.cb662ep-9f, 0x1.05bc88p-7f, 0x1.417ab8p-22f, 0x1.79ca10p-67f}},
    {OPTIMISER_YOGI,
     true,
     2,
     {0x1.7c19dcp-1f, -0x1.207002p-2f, 0x1.dc77f8p-3f, -0x1.5798ecp-27f},
     {0x1.e56042p-5f, 0x1.374bcep-8f, -0x1.f53826p-13f, 0x1.b7cdfep-34f},
     {0x1.d21ff4p-9f, 0x1.06f694p-7f, 0x1.421f60p-22f, 0x1.79ca10p-67f}},
    {OPTIMISER_ADAGRAD,
     false,
     2,
     {0x1.f296e0p-1f, -0x1.e91620p-2f, 0x1.eaf6b4p-3f, -0x1.5798d8p-27f},
     {0x1.e56042p-5f, 0x1.374bcep-8f, -0x1.f53826p-13f, 0x1.b7cdfep-34f},
     {0x1.6c28f6p-2f, 0x1.9ae148p-1f, 0x1.f75104p-16f, 0x1.2725dep-60f}},
};

static struct server_optimiser optimiser_of(enum server_optimiser_kind kind, bool keeps_momentum)
{
    return (struct server_optimiser){.kind = kind,
                                     .momentum = 0.9,
                                     .beta2 = 0.99,
                                     .epsilon = 1e-3,
                                     .keeps_momentum = keeps_momentum};
}

static void three_steps_are_those_of_the_formulas(void **state)
{
    for (size_t i = 0; i < sizeof(expected) / sizeof(expected[0]); i++) {
        const struct server_optimiser optimiser =
            optimiser_of(expected[i].kind, expected[i].keeps_momentum);
        assert_int_equal(server_optimiser_vectors(&optimiser), expected[i].vectors);
        float x[N];
        float vectors[2 * N] = {0};
        memcpy(x, start, sizeof(x));
        for (int step = 0; step < STEPS; step++)
            assert_true(server_optimiser_step(&optimiser, 0.1, deltas[step], x, x,
                                              expected[i].vectors > 0 ? vectors : nullptr, N));
        assert_memory_equal(x, expected[i].x, sizeof(x));
        if (expected[i].vectors > 0)
            assert_memory_equal(vectors, expected[i].m, sizeof(x));
        if (expected[i].vectors > 1)
            assert_memory_equal(vectors + N, expected[i].v, sizeof(x));
    }
}

static void every_kind_of_many_elements_moves_in_place_as_elsewhere(void **state)
{
    enum { MANY = 1003 };
    static double delta[MANY];
    static float x[MANY], moved[MANY], one[2 * MANY], other[2 * MANY];
    for (uint32_t kind = OPTIMISER_SGD; kind <= OPTIMISER_ADAGRAD; kind++) {
        const struct server_optimiser optimiser =
            optimiser_of((enum server_optimiser_kind)kind, true);
        for (uint32_t i = 0; i < MANY; i++) {
            delta[i] = sin(i);
            x[i] = (float)cos(i);
            one[i] = other[i] = (float)sin(2 * i);
            one[MANY + i] = other[MANY + i] = (float)fabs(sin(3 * i));
        }
        assert_true(server_optimiser_step(&optimiser, 0.3, delta, x, moved, one, MANY));
        assert_memory_not_equal(x, moved, sizeof(x));
        assert_true(server_optimiser_step(&optimiser, 0.3, delta, x, x, other, MANY));
        assert_memory_equal(x, moved, sizeof(x));
        assert_memory_equal(one, other, sizeof(one));
    }
}

static void a_rate_of_one_without_state_is_the_wished_model(void **state)
{
    const struct server_optimiser optimiser = optimiser_of(OPTIMISER_SGD, false);
    const float wished[N] = {0.5f, -0.25f, 0.125f, 3};
    double delta[N];
    float x[N];
    for (int i = 0; i < N; i++)
        delta[i] = (double)start[i] - (double)wished[i];
    assert_true(server_optimiser_step(&optimiser, 1, delta, start, x, nullptr, N));
    assert_memory_equal(x, wished, sizeof(x));
}

static void what_is_not_finite_is_told_wherever_it_is(void **state)
{
    const double wrong[] = {NAN, INFINITY, -INFINITY, 1e300};
    for (uint32_t kind = OPTIMISER_SGD; kind <= OPTIMISER_ADAGRAD; kind++)
        for (int keeps = 0; keeps < 2; keeps++)
            for (int at = 0; at < N; at++)
                for (size_t which = 0; which < sizeof(wrong) / sizeof(wrong[0]); which++) {
                    const struct server_optimiser optimiser =
                        optimiser_of((enum server_optimiser_kind)kind, keeps != 0);
                    double delta[N] = {0.1, 0.1, 0.1, 0.1};
                    float x[N];
                    float vectors[2 * N] = {0};
                    delta[at] = wrong[which];
                    assert_false(
                        server_optimiser_step(&optimiser, 0.1, delta, start, x, vectors, N));
                }
}

/* The state overflows before the model does. */
static void a_state_that_overflows_is_told(void **state)
{
    const double delta[1] = {3e38};
    const float x[1] = {0};
    float moved[1];
    float m[1] = {FLT_MAX};
    const struct server_optimiser optimiser = optimiser_of(OPTIMISER_MOMENTUM, false);
    assert_false(server_optimiser_step(&optimiser, 0.1, delta, x, moved, m, 1));
    assert_true(isfinite(moved[0]));
    const double large[1] = {1e21}; /* its square is over FLT_MAX */
    float vectors[2] = {0};
    const struct server_optimiser adam = optimiser_of(OPTIMISER_ADAM, false);
    assert_false(server_optimiser_step(&adam, 0.1, large, x, moved, vectors, 1));
    assert_true(isfinite(moved[0]));
}

/* sign(0) is 0: where v is the square already, yogi leaves it. */
static void yogi_leaves_a_v_that_is_right(void **state)
{
    struct server_optimiser yogi = optimiser_of(OPTIMISER_YOGI, false);
    yogi.beta2 = 0.75;
    const double delta[3] = {0.5, 0.5, 0.5};
    const float x[3] = {0};
    float moved[3];
    float vectors[6] = {0, 0, 0, 0.25f, 0.5f, 0.125f};
    assert_true(server_optimiser_step(&yogi, 0.1, delta, x, moved, vectors, 3));
    assert_true(vectors[3] == 0.25f);
    assert_true(vectors[4] == 0.5f - 0.0625f); /* down and up by (1 - beta2) d^2 */
    assert_true(vectors[5] == 0.125f + 0.0625f);
}

/* With the same aggregate each round, m of SGD's scale tends to delta / (1 - momentum). */
static void the_direction_is_on_the_scale_of_one_aggregate(void **state)
{
    const double delta[N] = {0.5, -0.25, 1e-3, 0};
    for (uint32_t kind = OPTIMISER_SGD; kind <= OPTIMISER_ADAGRAD; kind++) {
        const struct server_optimiser optimiser =
            optimiser_of((enum server_optimiser_kind)kind, true);
        float x[N] = {0};
        float vectors[2 * N] = {0};
        for (int step = 0; step < 400; step++)
            assert_true(server_optimiser_step(&optimiser, 1e-3, delta, x, x, vectors, N));
        double direction[N];
        server_optimiser_direction(&optimiser, vectors, direction, N);
        for (int i = 0; i < N; i++)
            assert_true(fabs(direction[i] - delta[i]) <= 1e-6 * fabs(delta[i]));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(three_steps_are_those_of_the_formulas),
        cmocka_unit_test(every_kind_of_many_elements_moves_in_place_as_elsewhere),
        cmocka_unit_test(a_rate_of_one_without_state_is_the_wished_model),
        cmocka_unit_test(what_is_not_finite_is_told_wherever_it_is),
        cmocka_unit_test(a_state_that_overflows_is_told),
        cmocka_unit_test(yogi_leaves_a_v_that_is_right),
        cmocka_unit_test(the_direction_is_on_the_scale_of_one_aggregate),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}

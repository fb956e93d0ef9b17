/*
 * round_close_test.c - how the rule validated closes a round.
 *
 * Goal: without memory it takes the candidate whose model, moved by the server's optimiser at the
 * round's rate with the momentum in the place of who is late, has the least loss on the samples;
 * closed again with that candidate and no samples, the round gives the same bits.
 * Method: each candidate's round is closed by itself and its model measured; the least of these
 * losses, found here, must be the one that is taken. Random updates and samples, from seeds.
 */
#include "host/round_close.h"

#include "base/random.h"
#include "host/config.h"
#include "train/evaluate.h"

#include "testing.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { INPUTS = 4, CLASSES = 3, SAMPLES = 20, NODES = 16, TRIES = 25 };

static const struct model_spec spec = {.kind = MODEL_SOFTMAX, .inputs = INPUTS, .classes = CLASSES};
static const struct server_optimiser optimisers[] = {
    {.kind = OPTIMISER_SGD, .epsilon = 1},
    {.kind = OPTIMISER_MOMENTUM, .momentum = 0.9, .epsilon = 1},
    {.kind = OPTIMISER_ADAM, .momentum = 0.5, .beta2 = 0.9, .epsilon = 0.01},
};

static struct config config;

struct round {
    struct round_inputs inputs;
    struct layout *layout;
    struct layout *state_layout;
    struct model_file *model;
    struct model_file *state;
    struct robust_round *robust;
    struct dataset samples;
    struct random random;
};

/* Uniform values around the middle, all made anew; of a state none is under 0. */
static struct model_file *random_file(struct round *round, const struct layout *layout, bool state)
{
    struct model_file *file = nullptr;
    assert_int_equal(model_file_create(layout, &file), STATUS_OK);
    for (uint64_t i = 0; i < layout->parameter_count; i++)
        model_file_parameters(file)[i] = (float)(random_unit(&round->random) - (state ? 0 : 0.5));
    assert_int_equal(model_file_seal(file, layout), STATUS_OK);
    return file;
}

static void open_round(struct round *round, const struct server_optimiser *optimiser, uint64_t seed)
{
    *round = (struct round){0};
    random_init(&round->random, seed, 0, 0);
    config_defaults(&config);
    config.robust.rule = RULE_VALIDATED;
    assert_int_equal(model_spec_layout(&spec, &round->layout, nullptr), STATUS_OK);
    const uint64_t count = round->layout->parameter_count;
    assert_int_equal(round_state_layout(optimiser, count, &round->state_layout, nullptr),
                     STATUS_OK);
    assert_int_equal(robust_round_create(&config, "/tmp", count, &round->robust, nullptr),
                     STATUS_OK);
    round->model = random_file(round, round->layout, false);
    if (round->state_layout != nullptr)
        round->state = random_file(round, round->state_layout, true);
    round->samples = (struct dataset){.samples = SAMPLES, .features = INPUTS};
    round->samples.values = malloc(sizeof(float) * SAMPLES * INPUTS);
    round->samples.labels = malloc(SAMPLES);
    assert_true(round->samples.values && round->samples.labels);
    for (uint32_t i = 0; i < SAMPLES * INPUTS; i++)
        round->samples.values[i] = (float)random_normal(&round->random);
    for (uint32_t i = 0; i < SAMPLES; i++)
        round->samples.labels[i] = (uint8_t)random_below(&round->random, CLASSES);
    round->inputs = (struct round_inputs){.layout = round->layout,
                                          .state_layout = round->state_layout,
                                          .optimiser = optimiser,
                                          .model = round->model,
                                          .state = round->state,
                                          .robust = round->robust};
}

static void close_all(struct round *round)
{
    robust_round_destroy(round->robust);
    model_file_unref(round->model);
    model_file_unref(round->state);
    layout_destroy(round->layout);
    layout_destroy(round->state_layout);
    free(round->samples.values);
    free(round->samples.labels);
}

/* Heavy tails, so that the candidates differ; the same updates for one seed. */
static void keep_updates(struct round *round, uint64_t seed)
{
    const uint64_t count = round->layout->parameter_count;
    struct random random;
    random_init(&random, seed, 1, 0);
    for (uint32_t node = 0; node < NODES; node++) {
        char name[32];
        float update[(INPUTS + 1) * CLASSES];
        assert_true(count == sizeof(update) / sizeof(update[0]));
        for (uint64_t i = 0; i < count; i++) {
            const double x = random_normal(&random);
            update[i] = (float)(x * x * x);
        }
        snprintf(name, sizeof(name), "spiffe://a/node-%02u", node);
        assert_int_equal(robust_round_keep(round->robust, name, update, 256, nullptr), STATUS_OK);
    }
}

static struct closed_round closed_by(struct round *round, uint64_t seed,
                                     const struct round_choice *choice)
{
    const struct close_task task = {
        .rate = 0.3, .selected = NODES, .seed = 5, .steps = 3, .stand_in_weight = 256 * NODES / 2};
    struct closed_round closed = {0};
    keep_updates(round, seed);
    round->inputs.choice = choice;
    assert_int_equal(round_close(&round->inputs, &task, &closed, nullptr), STATUS_OK);
    return closed;
}

static void drop(struct closed_round *closed)
{
    model_file_unref(closed->model);
    model_file_unref(closed->state);
    free(closed->outcome);
}

static enum validated_candidate least_of(struct round *round, uint64_t seed)
{
    double least = 0;
    enum validated_candidate best = VALIDATED_MEAN;
    for (int i = 0; i < VALIDATED_COUNT; i++) {
        const struct round_choice choice = {.chosen = (enum validated_candidate)i};
        struct evaluation evaluation;
        struct closed_round closed = closed_by(round, seed, &choice);
        assert_int_equal(evaluate_model(&spec, model_file_parameters(closed.model), &round->samples,
                                        &evaluation, nullptr),
                         STATUS_OK);
        if (i == 0 || evaluation.loss < least) {
            least = evaluation.loss;
            best = (enum validated_candidate)i;
        }
        drop(&closed);
    }
    return best;
}

static void the_model_with_the_least_loss_is_made(void **state)
{
    bool is_seen[VALIDATED_COUNT] = {0};
    for (uint64_t seed = 0; seed < TRIES * sizeof(optimisers) / sizeof(optimisers[0]); seed++) {
        struct round round;
        open_round(&round, &optimisers[seed / TRIES], seed);
        const struct round_choice choice = {.samples = &round.samples, .spec = &spec};
        struct closed_round closed = closed_by(&round, seed, &choice);
        assert_true(closed.outcome->has_choice);
        assert_int_equal(closed.outcome->choice, least_of(&round, seed));
        is_seen[closed.outcome->choice] = true;
        const struct round_choice repeated = {.chosen = closed.outcome->choice};
        struct closed_round again = closed_by(&round, seed, &repeated);
        assert_true(digest_equal(&again.model->model_digest, &closed.model->model_digest));
        assert_true(again.norm == closed.norm);
        assert_int_equal(again.state == nullptr, closed.state == nullptr);
        if (closed.state != nullptr)
            assert_true(digest_equal(&again.state->model_digest, &closed.state->model_digest));
        drop(&again);
        drop(&closed);
        close_all(&round);
    }
    for (int i = 0; i < VALIDATED_COUNT; i++)
        assert_true(is_seen[i]);
}

static void what_was_known_before_decides_too(void **state)
{
    struct round round;
    open_round(&round, &optimisers[0], 1);
    const enum validated_candidate best = least_of(&round, 1);
    struct round_choice choice = {.samples = &round.samples, .spec = &spec};
    for (int i = 0; i < VALIDATED_COUNT; i++)
        choice.before.excess[i] = i == (int)best ? 1 : 0;
    struct closed_round closed = closed_by(&round, 1, &choice);
    assert_int_not_equal(closed.outcome->choice, best);
    assert_double_equal(closed.outcome->validated.excess[best], 0.8, 1e-12);
    drop(&closed);
    close_all(&round);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_model_with_the_least_loss_is_made),
        cmocka_unit_test(what_was_known_before_decides_too),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}

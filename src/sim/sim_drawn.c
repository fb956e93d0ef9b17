/*
 * sim_drawn.c - what is learnt where only the machines are looked at: updates of eight numbers that
 * follow from the seed and the model trained from; a loss that falls.
 */
#include "sim/sim_work.h"

#include "base/check.h"
#include "base/random.h"

#include <stdlib.h>
#include <string.h>

enum { PARAMETERS = 8, NORM_MAX = 10, STREAM_FIRST = 40 };

struct drawn_work {
    struct sim_work work;
    uint64_t seed;
    struct sim_trained *trained; /* by node: of what was begun */
    uint32_t capacity;
};

static void first(struct sim_work *work, float *ret_parameters)
{
    const struct drawn_work *const drawn = (const struct drawn_work *)work;
    struct random random;
    random_init(&random, drawn->seed, STREAM_FIRST, 0);
    for (int i = 0; i < PARAMETERS; i++)
        ret_parameters[i] = (float)(random_unit(&random) - 0.5);
}

static struct sim_trained *of_node(struct drawn_work *drawn, uint32_t node)
{
    if (node >= drawn->capacity) {
        const uint32_t capacity = 2 * (node + 16);
        struct sim_trained *const grown =
            realloc(drawn->trained, capacity * sizeof(*drawn->trained));
        CHECK(grown != nullptr);
        drawn->trained = grown;
        memset(drawn->trained + drawn->capacity, 0,
               (capacity - drawn->capacity) * sizeof(*drawn->trained));
        drawn->capacity = capacity;
    }
    return &drawn->trained[node];
}

static uint64_t begin(struct sim_work *work, const struct sim_task *task)
{
    struct drawn_work *const drawn = (struct drawn_work *)work;
    struct sim_trained *const trained = of_node(drawn, task->node);
    const float *const base = model_file_parameters(task->base);
    float *const delta = malloc(sizeof(*delta) * PARAMETERS);
    struct random random;
    uint64_t seed = 0;
    CHECK(delta != nullptr);
    memcpy(&seed, task->base->model_digest.bytes, sizeof(seed));
    random_init(&random, drawn->seed ^ seed, task->node, task->serial);
    for (int i = 0; i < PARAMETERS; i++)
        delta[i] = (float)(random_unit(&random) - 0.5 + 0.1 * (double)base[i]);
    payload_unref(trained->payload);
    *trained = (struct sim_trained){.payload = payload_create(delta, work->layout),
                                    .samples = 50 + 37 * (task->node % 11),
                                    .loss = 1.0 / (double)(1 + task->round)};
    return 0;
}

static enum status end(struct sim_work *work, uint32_t node, struct sim_trained *ret_trained)
{
    struct sim_trained *const trained = of_node((struct drawn_work *)work, node);
    *ret_trained = *trained;
    *trained = (struct sim_trained){0};
    return STATUS_OK;
}

static void stop(struct sim_work *work, uint32_t node)
{
    (void)work;
    (void)node;
}

/* Falls, round after round. */
static void validate(struct sim_work *work, const struct coordinator *machine,
                     const struct model_file *candidate, struct coordinator_event *event)
{
    const uint64_t round = machine->round - (machine->settings.validates_received ? 1 : 0);
    (void)work;
    (void)candidate;
    event->validated.has_loss = true;
    event->validated.loss = 1.0 / (1 + (double)round);
}

static const struct sim_work_ops ops = {
    .first = first, .begin = begin, .end = end, .stop = stop, .validate = validate};

static struct layout *make_layout(void)
{
    const uint64_t shape = PARAMETERS;
    struct layout_builder *builder = nullptr;
    struct layout *layout = nullptr;
    CHECK(layout_builder_create(&builder) == STATUS_OK);
    CHECK(layout_builder_add(builder, "m", 1, DTYPE_F32, 1, &shape, nullptr) == STATUS_OK);
    CHECK(layout_builder_finish(builder, &layout, nullptr) == STATUS_OK);
    layout_builder_destroy(builder);
    return layout;
}

struct sim_work *drawn_work_create(uint64_t seed)
{
    struct drawn_work *const drawn = calloc(1, sizeof(*drawn));
    CHECK(drawn != nullptr);
    drawn->work = (struct sim_work){
        .ops = &ops, .layout = make_layout(), .norm_max = NORM_MAX, .is_checked = true};
    drawn->seed = seed;
    return &drawn->work;
}

void drawn_work_destroy(struct sim_work *work)
{
    struct drawn_work *const drawn = (struct drawn_work *)work;
    for (uint32_t i = 0; i < drawn->capacity; i++)
        payload_unref(drawn->trained[i].payload);
    free(drawn->trained);
    layout_destroy(work->layout);
    free(drawn);
}

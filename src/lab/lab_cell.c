/*
 * lab_cell.c - one training under one attack with one rule: every round all nodes train, the liars
 * send what the attack makes of it, the rule aggregates, the model moves.
 */
#include "lab/lab_task.h"

#include "base/check.h"
#include "host/clock.h"
#include "host/job_settings.h"
#include "host/run_setup.h"
#include "robust/robust.h"
#include "robust/validated.h"
#include "train/evaluate.h"
#include "train/sgd.h"
#include "train/trainer.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    STREAM_ATTACK = 0x61747461, /* "atta": a stream of random numbers of its own */
    CURVE_EVERY = 5,            /* rounds */
    MARK_PIXELS = 3,            /* of a backdoor: the side of a white square */
};

/* One cell under way. */
struct bench {
    const struct lab_plan *plan;
    const struct lab_task *task;
    const struct lab_cell *cell;
    const struct lab_rule *rule;
    uint64_t n;
    uint64_t liars;
    uint64_t f; /* that the rule reckons with */
    uint64_t d;
    float *model;
    float *state; /* of the optimiser; null where it has none */
    struct server_optimiser optimiser;
    struct sgd *sgd;
    struct dataset *changed; /* [liars]: what they train on, where the attack is in the data */
    float *updates;          /* f32[n][d]: the honest first, then the liars' */
    uint64_t *kept;          /* u64[n]: rows that are not refused */
    bool *is_bad;            /* [n]: suspected or refused in this round */
    float *values;           /* f32[d] */
    double *aggregate;       /* f64[d] */
    struct robust_report report;
    void *workspace;
    size_t workspace_size;
    struct validated validated;
    struct random random;
    uint64_t round;
    uint64_t detected;
    uint64_t false_alarms;
};

/* Node of a row: those at the head of the order lie. */
static uint32_t node_of(const struct bench *b, uint64_t row)
{
    const uint64_t honest = b->n - b->liars;
    return b->task->order[row < honest ? b->liars + row : row - honest];
}

/* ---- data that was changed ---- */

static void flip_labels(struct dataset *data, uint64_t classes)
{
    for (uint32_t i = 0; i < data->samples; i++)
        data->labels[i] = (uint8_t)(classes - 1 - data->labels[i]);
}

/* A white square in the corner of every second image, which is then of class 0. */
static void add_mark(struct dataset *data)
{
    const uint32_t side = data->columns > 0 ? data->columns : data->features;
    for (uint32_t i = 0; i < data->samples; i += 2) {
        data->labels[i] = 0;
        for (uint32_t at = 0; at < MARK_PIXELS * MARK_PIXELS; at++) {
            const uint64_t pixel = (uint64_t)(at / MARK_PIXELS) * side + at % MARK_PIXELS;
            if (pixel >= data->features)
                continue;
            if (data->pixels != nullptr)
                data->pixels[(uint64_t)i * data->features + pixel] = 255;
            else
                data->values[(uint64_t)i * data->features + pixel] = 1;
        }
    }
}

static enum status change_data(struct bench *b, struct error *err)
{
    if (!attack_is_in_data(b->cell->attack) || b->liars == 0)
        return STATUS_OK;
    b->changed = calloc(b->liars, sizeof(*b->changed));
    CHECK(b->changed != nullptr);
    for (uint64_t i = 0; i < b->liars; i++) {
        const struct dataset *const own = &b->task->parts[node_of(b, b->n - b->liars + i)].data;
        uint32_t *const all = malloc(sizeof(*all) * own->samples);
        CHECK(all != nullptr);
        for (uint32_t s = 0; s < own->samples; s++)
            all[s] = s;
        const enum status status = dataset_take(own, all, own->samples, &b->changed[i], err);
        free(all);
        if (status != STATUS_OK)
            return status;
        if (b->cell->attack == ATTACK_LABEL_FLIP)
            flip_labels(&b->changed[i], b->task->config->model.classes);
        else
            add_mark(&b->changed[i]);
    }
    return STATUS_OK;
}

/* ---- a round ---- */

/* What cannot train any more sends nothing that is finite. */
static void train(struct bench *b, uint64_t row)
{
    const uint64_t honest = b->n - b->liars;
    const uint32_t node = node_of(b, row);
    const struct dataset *const data = row >= honest && b->changed != nullptr
                                           ? &b->changed[row - honest]
                                           : &b->task->parts[node].data;
    char name[CONFIG_NAME_MAX];
    struct sgd_result result;
    float *const to = b->updates + row * b->d;
    run_node_name(node, name);
    const struct sgd_key key = {
        .seed = b->task->config->job.seed, .node = trainer_node_key(name), .round = b->round};
    if (sgd_train(b->sgd, &key, data, b->model, nullptr, to, &result, nullptr) != STATUS_OK)
        to[0] = NAN;
}

static bool is_fit(const struct bench *b, const float *row)
{
    double squared = 0;
    for (uint64_t i = 0; i < b->d; i++)
        squared += (double)row[i] * (double)row[i];
    return sqrt(squared) <= b->task->config->limits.update_norm_max; /* false for NaN */
}

/* Refused before any rule sees them: not finite, or over the bound. */
static uint64_t screen(struct bench *b)
{
    uint64_t kept = 0;
    for (uint64_t row = 0; row < b->n; row++) {
        b->is_bad[row] = !is_fit(b, b->updates + row * b->d);
        if (!b->is_bad[row])
            b->kept[kept++] = row;
    }
    return kept;
}

struct loss_context {
    const struct bench *bench;
    struct dataset samples; /* borrows */
    float *model;           /* f32[d] */
};

static double loss_on_trusted(void *context, const float *aggregate)
{
    struct loss_context *const c = context;
    const struct bench *const b = c->bench;
    struct evaluation evaluation;
    for (uint64_t i = 0; i < b->d; i++)
        c->model[i] = b->model[i] - (float)b->task->config->optimiser.learning_rate * aggregate[i];
    if (evaluate_model(&b->task->spec, c->model, &c->samples, &evaluation, nullptr) != STATUS_OK ||
        !isfinite(evaluation.loss))
        return (double)INFINITY;
    return evaluation.loss;
}

static enum status choose(struct bench *b, const struct update_matrix *matrix, struct error *err)
{
    struct loss_context context = {.bench = b, .samples = b->task->trusted};
    context.samples.samples =
        b->rule->trusted < context.samples.samples ? b->rule->trusted : context.samples.samples;
    context.model = malloc(sizeof(float) * b->d);
    CHECK(context.model != nullptr);
    const struct validated_call call = {
        .matrix = matrix, .f = b->f, .threads = 1, .loss = loss_on_trusted, .context = &context};
    const enum status status =
        validated_aggregate(&b->validated, &call, b->values, &b->report, nullptr, err);
    free(context.model);
    return status;
}

/* Of kept rows, into values. As many liars are reckoned with as the rule can for so few. */
static enum status aggregate(struct bench *b, uint64_t rows, struct error *err)
{
    const struct strided_rows strided = {b->updates, (ptrdiff_t)b->d, 1};
    const struct update_matrix all = update_matrix_strided(&strided, b->n, b->d);
    const struct picked_rows picked = {&all, b->kept};
    const struct update_matrix matrix = update_matrix_picked(&picked, rows);
    struct recipe recipe = b->rule->recipe;
    uint64_t possible = 0;
    if (b->rule->is_validated)
        return choose(b, &matrix, err);
    recipe.has_f = rule_get(recipe.rule)->uses_f || recipe.pre_count > 0;
    recipe.f = b->f;
    while (recipe.has_f && recipe.f > 0 &&
           recipe_find_f(&recipe, rows, &possible, nullptr) != STATUS_OK)
        recipe.f--;
    return robust_aggregate(&recipe, &matrix, 1, b->workspace, b->workspace_size, b->values,
                            &b->report, err);
}

/* Squared distance of the aggregate from the honest mean, were this the colluders' vector. */
static double judge(void *context, const float *vector, const double *mean)
{
    struct bench *const b = context;
    const uint64_t honest = b->n - b->liars;
    double squared = 0;
    for (uint64_t row = honest; row < b->n; row++)
        memcpy(b->updates + row * b->d, vector, sizeof(*vector) * b->d);
    const struct validated kept = b->validated;
    const uint64_t rows = screen(b);
    if (rows == 0 || aggregate(b, rows, nullptr) != STATUS_OK)
        return 0;
    b->validated = kept;
    for (uint64_t i = 0; i < b->d; i++) {
        const double off = (double)b->values[i] - mean[i];
        squared += off * off;
    }
    return squared;
}

static void lie(struct bench *b)
{
    const uint64_t honest = b->n - b->liars;
    const struct attack_view view = {.n = b->n,
                                     .f = b->liars,
                                     .d = b->d,
                                     .honest = b->updates,
                                     .jitter = b->cell->jitter,
                                     .random = &b->random,
                                     .judge = judge,
                                     .judge_context = b};
    attack_make(b->cell->attack, &view, b->updates + honest * b->d);
}

static void count_suspects(struct bench *b)
{
    for (size_t i = 0; i < b->report.suspect_count; i++)
        b->is_bad[b->kept[b->report.suspects[i].index]] = true;
    for (uint64_t row = 0; row < b->n; row++) {
        if (b->is_bad[row])
            (*(row < b->n - b->liars ? &b->false_alarms : &b->detected))++;
    }
}

/* A model that is no longer finite stays as it is: what follows is lost. */
static enum status run_round(struct bench *b, struct error *err)
{
    for (uint64_t row = 0; row < b->n; row++)
        train(b, row);
    if (b->liars > 0)
        lie(b);
    const uint64_t rows = screen(b);
    b->report.suspect_count = 0;
    if (rows > 0) {
        const enum status status = aggregate(b, rows, err);
        if (status != STATUS_OK)
            return status;
        for (uint64_t i = 0; i < b->d; i++)
            b->aggregate[i] = (double)b->values[i];
        (void)!server_optimiser_step(&b->optimiser, b->task->config->optimiser.learning_rate,
                                     b->aggregate, b->model, b->model, b->state, b->d);
    }
    count_suspects(b);
    return STATUS_OK;
}

/* ---- a cell ---- */

static double accuracy_of(const struct bench *b, const struct dataset *data, double *ret_loss)
{
    struct evaluation evaluation;
    if (evaluate_model(&b->task->spec, b->model, data, &evaluation, nullptr) != STATUS_OK)
        return 0;
    if (ret_loss != nullptr)
        *ret_loss = evaluation.loss;
    return evaluation.accuracy;
}

static enum status open_bench(struct bench *b, struct error *err)
{
    const struct config *const config = b->task->config;
    const uint32_t vectors = server_optimiser_vectors(&b->optimiser);
    const struct sgd_settings settings = {.local_epochs = (uint32_t)config->train.local_epochs,
                                          .batch_size = (uint32_t)config->train.batch_size,
                                          .learning_rate = (float)config->train.learning_rate,
                                          .momentum = (float)config->train.momentum,
                                          .weight_decay = (float)config->train.weight_decay,
                                          .proximal_mu = (float)config->train.proximal_mu};
    b->model = malloc(sizeof(*b->model) * b->d);
    b->state = vectors > 0 ? calloc(b->d * vectors, sizeof(*b->state)) : nullptr;
    b->updates = malloc(sizeof(*b->updates) * b->n * b->d);
    b->kept = malloc(sizeof(*b->kept) * b->n);
    b->is_bad = malloc(sizeof(*b->is_bad) * b->n);
    b->values = malloc(sizeof(*b->values) * b->d);
    b->aggregate = malloc(sizeof(*b->aggregate) * b->d);
    b->report = (struct robust_report){.weights = malloc(sizeof(double) * b->n),
                                       .is_selected = malloc(sizeof(bool) * b->n),
                                       .suspects = malloc(sizeof(struct suspect) * b->n)};
    CHECK(b->model && b->updates && b->kept && b->is_bad && b->values && b->aggregate &&
          b->report.weights && b->report.is_selected && b->report.suspects &&
          (vectors == 0 || b->state));
    memcpy(b->model, b->task->initial, sizeof(*b->model) * b->d);
    enum status status = sgd_create(&b->task->spec, &settings, &b->sgd, err);
    if (status == STATUS_OK && !b->rule->is_validated) {
        struct recipe recipe = b->rule->recipe;
        status = robust_workspace_size(&recipe, b->n, b->d, 1, &b->workspace_size, err);
        b->workspace = malloc(b->workspace_size > 0 ? b->workspace_size : 1);
        CHECK(b->workspace != nullptr);
    }
    return status == STATUS_OK ? change_data(b, err) : status;
}

static void close_bench(struct bench *b)
{
    for (uint64_t i = 0; b->changed != nullptr && i < b->liars; i++)
        dataset_deinit(&b->changed[i]);
    sgd_destroy(b->sgd);
    free(b->changed);
    free(b->model);
    free(b->state);
    free(b->updates);
    free(b->kept);
    free(b->is_bad);
    free(b->values);
    free(b->aggregate);
    free(b->report.weights);
    free(b->report.is_selected);
    free(b->report.suspects);
    free(b->workspace);
}

static enum status run_rounds(struct bench *b, struct lab_result *result, struct error *err)
{
    const uint64_t rounds = b->plan->config->lab.rounds;
    for (b->round = 1; b->round <= rounds; b->round++) {
        const enum status status = run_round(b, err);
        if (status != STATUS_OK)
            return status;
        if (b->round % CURVE_EVERY == 0 && result->curve_count < LAB_CURVE_MAX)
            result->curve[result->curve_count++] = accuracy_of(b, &b->task->test_first, nullptr);
    }
    return STATUS_OK;
}

enum status lab_cell_run(const struct lab_plan *plan, const struct lab_task *task,
                         const struct lab_cell *cell, struct lab_result *ret_result,
                         struct error *err)
{
    const uint64_t begun_ns = clock_boot_ns();
    struct lab_result result = {0};
    struct bench b = {.plan = plan,
                      .task = task,
                      .cell = cell,
                      .rule = &plan->rules[cell->rule],
                      .n = task->nodes,
                      .liars = cell->attack == ATTACK_NONE
                                   ? 0
                                   : (uint64_t)(cell->share * (double)task->nodes + 1e-9),
                      .d = model_spec_parameters(&task->spec),
                      .optimiser = job_optimiser(task->config)};
    b.f = (uint64_t)ceil(task->config->robust.tolerance * (double)b.n - 1e-9);
    random_init(&b.random, task->config->job.seed, STREAM_ATTACK, cell->attack);
    enum status status = open_bench(&b, err);
    if (status == STATUS_OK)
        status = run_rounds(&b, &result, err);
    if (status == STATUS_OK) {
        const double rounds = (double)plan->config->lab.rounds;
        result.accuracy = accuracy_of(&b, &task->test, &result.loss);
        result.detected = b.liars > 0 ? (double)b.detected / rounds / (double)b.liars : (double)NAN;
        result.false_alarms = (double)b.false_alarms / rounds / (double)(b.n - b.liars);
        result.seconds = (double)(clock_boot_ns() - begun_ns) / 1e9;
        *ret_result = result;
    }
    close_bench(&b);
    return status;
}

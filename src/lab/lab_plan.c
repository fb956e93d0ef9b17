/*
 * lab_plan.c - the cells of a laboratory, from lab.*.
 */
#include "lab/lab.h"

#include "host/job_data.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static enum status too_many(const char *key, struct error *err)
{
    return error_set(err, STATUS_INVAL, "%s: at most %d are wanted", key, LAB_LIST_MAX);
}

/* Calls take for each word of a list. */
static enum status each_word(const char *key, const char *list, struct lab_plan *plan,
                             enum status (*take)(struct lab_plan *, const char *, size_t,
                                                 struct error *),
                             struct error *err)
{
    for (const char *p = list + strspn(list, ", "); *p != 0;) {
        const size_t size = strcspn(p, ", ");
        struct error why = {0};
        const enum status status = take(plan, p, size, &why);
        if (status != STATUS_OK)
            return error_set(err, status, "%s: %.*s: %s", key, (int)size, p, why.text);
        p += size;
        p += strspn(p, ", ");
    }
    return STATUS_OK;
}

/* ---- rules ---- */

static enum status set_validated(struct lab_rule *rule, const char *number, struct error *err)
{
    char *end = nullptr;
    const unsigned long trusted = strtoul(number, &end, 10);
    rule->is_validated = true;
    rule->trusted = (uint32_t)trusted;
    if (number[0] < '0' || number[0] > '9' || *end != 0 || trusted == 0 || trusted > 100000)
        return error_set(err, STATUS_INVAL,
                         "validated=N wants a whole number of trusted samples from 1 to 100000");
    return STATUS_OK;
}

/* "nnm+trimmed_mean": all but the last go before. */
static enum status set_recipe(struct lab_rule *rule, struct error *err)
{
    char copy[LAB_NAME_MAX];
    memcpy(copy, rule->name, sizeof(copy));
    char *word = copy;
    for (char *plus = strchr(word, '+'); plus != nullptr; plus = strchr(word, '+')) {
        *plus = 0;
        const enum status status = recipe_add_pre(&rule->recipe, word, err);
        if (status != STATUS_OK)
            return status;
        word = plus + 1;
    }
    return recipe_set_rule(&rule->recipe, word, err);
}

static enum status take_rule(struct lab_plan *plan, const char *word, size_t size,
                             struct error *err)
{
    static const char validated[] = "validated=";
    if (plan->rule_count == LAB_LIST_MAX)
        return too_many("lab.rules", err);
    struct lab_rule *const rule = &plan->rules[plan->rule_count];
    *rule = (struct lab_rule){0};
    if (size >= sizeof(rule->name))
        return error_set(err, STATUS_INVAL, "is too long for a rule");
    memcpy(rule->name, word, size);
    plan->rule_count++;
    if (strcmp(rule->name, rule_get(RULE_VALIDATED)->name) == 0)
        return set_validated(rule, "", err);
    if (strncmp(rule->name, validated, sizeof(validated) - 1) == 0)
        return set_validated(rule, rule->name + sizeof(validated) - 1, err);
    return set_recipe(rule, err);
}

/* ---- attacks and numbers ---- */

static enum status take_attack(struct lab_plan *plan, const char *word, size_t size,
                               struct error *err)
{
    if (size == 3 && memcmp(word, "all", 3) == 0) {
        plan->attack_count = 0;
        for (int i = 0; i < ATTACK_COUNT; i++)
            plan->attacks[plan->attack_count++] = (enum attack)i;
        return STATUS_OK;
    }
    const enum attack attack = attack_find(word, size);
    if (attack == ATTACK_COUNT)
        return error_set(err, STATUS_INVAL,
                         "there is no such attack; `fedra lab --attacks` lists them");
    for (uint32_t i = 0; i < plan->attack_count; i++) {
        if (plan->attacks[i] == attack)
            return STATUS_OK;
    }
    plan->attacks[plan->attack_count++] = attack;
    return STATUS_OK;
}

static enum status take_number(const char *word, size_t size, double low, double high,
                               double *values, uint32_t *count, struct error *err)
{
    char copy[32] = "";
    char *end = nullptr;
    if (*count == LAB_LIST_MAX)
        return error_set(err, STATUS_INVAL, "is one too many");
    if (size < sizeof(copy))
        memcpy(copy, word, size);
    const double value = strtod(copy, &end);
    if (end == copy || *end != 0 || !(value >= low && value <= high))
        return error_set(err, STATUS_INVAL, "a number from %g to %g is wanted", low, high);
    values[(*count)++] = value;
    return STATUS_OK;
}

static enum status take_share(struct lab_plan *plan, const char *word, size_t size,
                              struct error *err)
{
    return take_number(word, size, 0, 0.5, plan->shares, &plan->share_count, err);
}

static enum status take_alpha(struct lab_plan *plan, const char *word, size_t size,
                              struct error *err)
{
    return take_number(word, size, 0.001, 1e6, plan->alphas, &plan->alpha_count, err);
}

static enum status take_jitter(struct lab_plan *plan, const char *word, size_t size,
                               struct error *err)
{
    return take_number(word, size, 0, 10, plan->jitters, &plan->jitter_count, err);
}

/* ---- cells ---- */

static bool is_wanted(const struct lab_plan *plan, const struct lab_cell *cell)
{
    const bool first_share = cell->share == plan->shares[0];
    const bool first_jitter = cell->jitter == plan->jitters[0];
    if (cell->attack == ATTACK_NONE)
        return first_share && first_jitter;
    const double liars = cell->share * (double)plan->config->lab.nodes;
    return liars + 1e-9 >= 1 && (attack_is_shared(cell->attack) || first_jitter);
}

static void add_cell(struct lab_plan *plan, struct lab_cell cell)
{
    if (!is_wanted(plan, &cell))
        return;
    if (cell.attack == ATTACK_NONE)
        cell.share = 0;
    if (!attack_is_shared(cell.attack))
        cell.jitter = 0;
    plan->cells[plan->cell_count++] = cell;
}

static void add_cells(struct lab_plan *plan, double alpha, uint32_t seed)
{
    for (uint32_t share = 0; share < plan->share_count; share++) {
        for (uint32_t attack = 0; attack < plan->attack_count; attack++) {
            for (uint32_t jitter = 0; jitter < plan->jitter_count; jitter++) {
                for (uint32_t rule = 0; rule < plan->rule_count; rule++)
                    add_cell(plan, (struct lab_cell){.alpha = alpha,
                                                     .seed = seed,
                                                     .share = plan->shares[share],
                                                     .jitter = plan->jitters[jitter],
                                                     .attack = plan->attacks[attack],
                                                     .rule = rule});
            }
        }
    }
}

static void mix(uint64_t *digest, const void *data, size_t size)
{
    for (size_t i = 0; i < size; i++)
        /* Words and texts, all set:
         * NOLINTNEXTLINE(clang-analyzer-core.UndefinedBinaryOperatorResult) */
        *digest = (*digest ^ ((const uint8_t *)data)[i]) * 0x100000001b3u;
}

/* FNV-1a over the values; sections hold no padding that is not zero: they are parsed into zeros. */
static uint64_t settings_of(const struct config *config)
{
    uint64_t digest = 0xcbf29ce484222325u;
    const uint64_t lab[] = {config->lab.nodes, config->lab.node_samples, config->lab.rounds,
                            config->job.seed};
    const double numbers[] = {config->train.learning_rate,
                              config->train.momentum,
                              config->train.weight_decay,
                              config->train.proximal_mu,
                              (double)config->train.local_epochs,
                              (double)config->train.batch_size,
                              config->optimiser.learning_rate,
                              config->optimiser.momentum,
                              config->optimiser.beta2,
                              config->optimiser.epsilon,
                              (double)config->optimiser.kind,
                              config->robust.tolerance,
                              config->limits.update_norm_max,
                              (double)config->model.kind,
                              (double)config->data.partition,
                              (double)config->data.shards_per_node};
    mix(&digest, lab, sizeof(lab));
    mix(&digest, numbers, sizeof(numbers));
    mix(&digest, config->data.path, strlen(config->data.path));
    mix(&digest, config->model.hidden.items,
        config->model.hidden.count * sizeof(config->model.hidden.items[0]));
    return digest;
}

static enum status check(const struct lab_plan *plan, struct error *err)
{
    const struct config *const config = plan->config;
    if (plan->rule_count == 0 || plan->attack_count == 0 || plan->alpha_count == 0 ||
        plan->share_count == 0 || plan->jitter_count == 0)
        return error_set(err, STATUS_INVAL,
                         "lab.rules, attacks, alphas, shares and jitters each want at least one");
    if (config->train.trainer != CONFIG_TRAINER_BUILTIN ||
        (config->model.kind != CONFIG_MODEL_SOFTMAX && config->model.kind != CONFIG_MODEL_MLP) ||
        config->data.format == CONFIG_DATA_NONE || !config->data.evaluate_test_at_end)
        return error_set(err, STATUS_INVAL,
                         "a laboratory wants train.trainer builtin, a softmax or mlp model, data "
                         "and test samples (data.evaluate_test_at_end)");
    return STATUS_OK;
}

enum status lab_plan_make(const struct config *config, struct lab_plan *ret_plan, struct error *err)
{
    struct lab_plan plan = {.config = config, .settings = settings_of(config)};
    enum status status = each_word("lab.rules", config->lab.rules, &plan, take_rule, err);
    if (status == STATUS_OK)
        status = each_word("lab.attacks", config->lab.attacks, &plan, take_attack, err);
    if (status == STATUS_OK)
        status = each_word("lab.alphas", config->lab.alphas, &plan, take_alpha, err);
    if (status == STATUS_OK)
        status = each_word("lab.shares", config->lab.shares, &plan, take_share, err);
    if (status == STATUS_OK)
        status = each_word("lab.jitters", config->lab.jitters, &plan, take_jitter, err);
    if (status == STATUS_OK)
        status = check(&plan, err);
    if (status != STATUS_OK)
        return status;
    const uint64_t most = (uint64_t)plan.rule_count * plan.attack_count * plan.alpha_count *
                          plan.share_count * plan.jitter_count * config->lab.seeds;
    if (most > LAB_CELLS_MAX)
        return error_set(err, STATUS_LIMIT, "lab: %llu trainings, at most %d are wanted",
                         (unsigned long long)most, LAB_CELLS_MAX);
    plan.cells = calloc(most, sizeof(*plan.cells));
    if (plan.cells == nullptr)
        return error_set(err, STATUS_NO_MEMORY, "no memory for the cells");
    for (uint32_t alpha = 0; alpha < plan.alpha_count; alpha++) {
        for (uint32_t seed = 1; seed <= config->lab.seeds; seed++)
            add_cells(&plan, plan.alphas[alpha], seed);
    }
    *ret_plan = plan;
    return STATUS_OK;
}

void lab_plan_deinit(struct lab_plan *plan)
{
    free(plan->cells);
    *plan = (struct lab_plan){0};
}

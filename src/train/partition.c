/*
 * partition.c - deals samples out to validation and nodes.
 */
#include "train/partition.h"

#include "base/check.h"

#include <math.h>
#include <stdlib.h>

/* One stream of random numbers a purpose, so that changing the split leaves the validation set. */
enum {
    STREAM_VALIDATION = 0x76616c69,
    STREAM_IID = 0x69696400,
    STREAM_SHARES = 0x73686172,
    STREAM_CLASS_ORDER = 0x6f726465,
    STREAM_SHARDS = 0x73686472,
};

enum { CLASSES_MAX = 256 };

static const double ALPHA_MIN = 0.001;
static const double ALPHA_MAX = 1e6;

/* Shards are never refilled from others, so their sizes must do. */
static enum status shards_check(const struct partition_plan *plan, uint32_t rest, struct error *err)
{
    if (plan->shards < 1 || plan->shards > PARTITION_SHARDS_MAX)
        return error_set(err, STATUS_INVAL, "%u shards a node; 1 to %d are right", plan->shards,
                         (int)PARTITION_SHARDS_MAX);
    const uint64_t runs = (uint64_t)plan->parts * plan->shards;
    const uint64_t smallest = rest / runs;
    if (smallest < 1 || smallest * plan->shards < plan->samples_min)
        return error_set(err, STATUS_INVAL,
                         "%u parts of %u shards are %llu shards of %llu samples; at least %u "
                         "samples a part are right, there are %u after validation",
                         plan->parts, plan->shards, (unsigned long long)runs,
                         (unsigned long long)smallest, plan->samples_min, rest);
    return STATUS_OK;
}

static enum status plan_check(const struct partition_plan *plan, uint32_t samples,
                              struct error *err)
{
    if (samples < 1 || samples > PARTITION_SAMPLES_MAX)
        return error_set(err, STATUS_INVAL, "%u samples to deal out; 1 to %u are right", samples,
                         (unsigned)PARTITION_SAMPLES_MAX);
    if (plan->parts < 1 || plan->parts > PARTITION_PARTS_MAX)
        return error_set(err, STATUS_INVAL, "%u parts; 1 to %u are right", plan->parts,
                         (unsigned)PARTITION_PARTS_MAX);
    if (plan->validation_samples > samples)
        return error_set(err, STATUS_INVAL,
                         "%u validation samples are kept back; the training set has only %u",
                         plan->validation_samples, samples);
    const uint32_t rest = samples - plan->validation_samples;
    if ((uint64_t)plan->parts * plan->samples_min > rest)
        return error_set(err, STATUS_INVAL,
                         "%u parts of at least %u samples need %llu; there are %u after validation",
                         plan->parts, plan->samples_min,
                         (unsigned long long)plan->parts * plan->samples_min, rest);
    if (plan->kind == PARTITION_DIRICHLET &&
        !(plan->alpha >= ALPHA_MIN && plan->alpha <= ALPHA_MAX))
        return error_set(err, STATUS_INVAL, "a Dirichlet alpha of %g; %g to %g is right",
                         plan->alpha, ALPHA_MIN, ALPHA_MAX);
    return plan->kind == PARTITION_SHARDS ? shards_check(plan, rest, err) : STATUS_OK;
}

/* The logarithm of a Gamma(alpha, 1) draw: Marsaglia and Tsang, figure 1 and section 6. */
static double log_gamma_draw(struct random *random, double alpha)
{
    /* For alpha < 1: Gamma(alpha) = Gamma(alpha + 1) * U^(1 / alpha), U uniform in (0, 1]. */
    const double boost = alpha < 1 ? log(1 - random_unit(random)) / alpha : 0;
    const double d = (alpha < 1 ? alpha + 1 : alpha) - 1.0 / 3;
    const double c = 1 / sqrt(9 * d);
    for (;;) {
        const double x = random_normal(random);
        const double root = 1 + c * x;
        if (root <= 0)
            continue;
        const double v = root * root * root;
        const double u = 1 - random_unit(random);
        if (log(u) < 0.5 * x * x + d - d * v + d * log(v))
            return log(d) + log(v) + boost;
    }
}

void partition_dirichlet(struct random *random, double alpha, uint32_t count, double *ret_shares)
{
    CHECK(alpha > 0 && count > 0);
    double largest = -INFINITY;
    for (uint32_t i = 0; i < count; i++) {
        ret_shares[i] = log_gamma_draw(random, alpha);
        largest = fmax(largest, ret_shares[i]);
    }
    double sum = 0;
    for (uint32_t i = 0; i < count; i++) {
        ret_shares[i] = exp(ret_shares[i] - largest);
        sum += ret_shares[i];
    }
    for (uint32_t i = 0; i < count; i++)
        ret_shares[i] /= sum;
}

/* Marks the validation samples; leaves in order[0, return) the others, ascending. */
static uint32_t keep_back(const struct partition_plan *plan, uint32_t samples, uint32_t *order,
                          uint32_t *owner)
{
    struct random random;
    random_init(&random, plan->seed, STREAM_VALIDATION, 0);
    for (uint32_t i = 0; i < samples; i++) {
        order[i] = i;
        owner[i] = 0;
    }
    random_shuffle_u32(&random, order, samples);
    for (uint32_t i = 0; i < plan->validation_samples; i++)
        owner[order[i]] = PARTITION_VALIDATION;
    uint32_t rest = 0;
    for (uint32_t i = 0; i < samples; i++) {
        if (owner[i] != PARTITION_VALIDATION)
            order[rest++] = i;
    }
    return rest;
}

static void assign_iid(const struct partition_plan *plan, uint32_t *order, uint32_t rest,
                       uint32_t *owner)
{
    struct random random;
    random_init(&random, plan->seed, STREAM_IID, 0);
    random_shuffle_u32(&random, order, rest);
    for (uint32_t i = 0; i < rest; i++)
        owner[order[i]] = i % plan->parts;
}

/* Deals one class's samples, items[0, count), out in shares of its own. */
static void assign_class(const struct partition_plan *plan, uint32_t class, uint32_t *items,
                         uint32_t count, double *shares, uint32_t *owner)
{
    struct random random;
    random_init(&random, plan->seed, STREAM_CLASS_ORDER, class);
    random_shuffle_u32(&random, items, count);
    random_init(&random, plan->seed, STREAM_SHARES, class);
    partition_dirichlet(&random, plan->alpha, plan->parts, shares);
    double cumulated = 0;
    uint32_t next = 0;
    for (uint32_t part = 0; part < plan->parts; part++) {
        cumulated += shares[part];
        const double cut = floor(cumulated * count);
        const bool last = part + 1 == plan->parts;
        const uint32_t end = last || cut >= count ? count : (uint32_t)cut;
        for (; next < end; next++)
            owner[items[next]] = part;
    }
}

/* Sorts the samples by class, stable, by counting; starts[c] is where class c begins in items. */
static void sort_by_class(const uint8_t *labels, const uint32_t *order, uint32_t rest,
                          uint32_t starts[static CLASSES_MAX + 1], uint32_t *items)
{
    for (uint32_t class = 0; class <= CLASSES_MAX; class ++)
        starts[class] = 0;
    for (uint32_t i = 0; i < rest; i++)
        starts[labels[order[i]] + 1]++;
    for (uint32_t class = 0; class < CLASSES_MAX; class ++)
        starts[class + 1] += starts[class];
    uint32_t next[CLASSES_MAX];
    for (uint32_t class = 0; class < CLASSES_MAX; class ++)
        next[class] = starts[class];
    for (uint32_t i = 0; i < rest; i++)
        items[next[labels[order[i]]]++] = order[i];
}

static void assign_dirichlet(const struct partition_plan *plan, const uint8_t *labels,
                             const uint32_t *order, uint32_t rest, uint32_t *items, double *shares,
                             uint32_t *owner)
{
    uint32_t starts[CLASSES_MAX + 1];
    sort_by_class(labels, order, rest, starts, items);
    for (uint32_t class = 0; class < CLASSES_MAX; class ++) {
        const uint32_t count = starts[class + 1] - starts[class];
        if (count > 0)
            assign_class(plan, class, items + starts[class], count, shares, owner);
    }
}

/* runs: u32[parts * shards], working memory. */
static void assign_shards(const struct partition_plan *plan, const uint8_t *labels,
                          const uint32_t *order, uint32_t rest, uint32_t *items, uint32_t *runs,
                          uint32_t *owner)
{
    uint32_t starts[CLASSES_MAX + 1];
    struct random random;
    const uint32_t count = plan->parts * plan->shards;
    sort_by_class(labels, order, rest, starts, items);
    for (uint32_t i = 0; i < count; i++)
        runs[i] = i;
    random_init(&random, plan->seed, STREAM_SHARDS, 0);
    random_shuffle_u32(&random, runs, count);
    for (uint32_t i = 0; i < count; i++) {
        const uint64_t run = runs[i];
        for (uint64_t k = run * rest / count; k < (run + 1) * rest / count; k++)
            owner[items[k]] = i / plan->shards;
    }
}

static uint32_t largest_part(const uint32_t *counts, uint32_t parts)
{
    uint32_t largest = 0;
    for (uint32_t part = 1; part < parts; part++) {
        if (counts[part] > counts[largest])
            largest = part;
    }
    return largest;
}

/*
 * Moves samples, one at a time, from the largest part to the parts under samples_min, in order.
 * next and head are the parts' stacks of samples, the latest in the file on top.
 */
static void fill_up(const struct partition_plan *plan, uint32_t samples, uint32_t *next,
                    uint32_t *head, uint32_t *counts, uint32_t *owner)
{
    for (uint32_t part = 0; part < plan->parts; part++) {
        head[part] = UINT32_MAX;
        counts[part] = 0;
    }
    for (uint32_t i = 0; i < samples; i++) {
        if (owner[i] == PARTITION_VALIDATION)
            continue;
        next[i] = head[owner[i]];
        head[owner[i]] = i;
        counts[owner[i]]++;
    }
    for (uint32_t part = 0; part < plan->parts; part++) {
        while (counts[part] < plan->samples_min) {
            /* There is enough for all (plan_check), so the largest part is over samples_min. */
            const uint32_t giver = largest_part(counts, plan->parts);
            const uint32_t sample = head[giver];
            head[giver] = next[sample];
            counts[giver]--;
            owner[sample] = part; /* not pushed: a part that was short never gives */
            counts[part]++;
        }
    }
}

enum status partition_assign(const struct partition_plan *plan, const uint8_t *labels,
                             uint32_t samples, uint32_t *ret_owner, struct error *err)
{
    uint32_t *order = nullptr;
    uint32_t *items = nullptr;
    uint32_t *head = nullptr;
    double *shares = nullptr;
    enum status status = plan_check(plan, samples, err);
    if (status != STATUS_OK)
        return status;
    order = malloc(samples * sizeof(*order));
    items = malloc(samples * sizeof(*items));
    /* For fill_up two a part, for shards one a run. */
    const size_t runs = plan->kind == PARTITION_SHARDS && plan->shards > 2 ? plan->shards : 2;
    head = malloc(plan->parts * runs * sizeof(*head));
    shares = malloc(plan->parts * sizeof(*shares));
    if (order == nullptr || items == nullptr || head == nullptr || shares == nullptr) {
        status = error_set(err, STATUS_NO_MEMORY, "no memory to deal %u samples out", samples);
        goto out;
    }
    const uint32_t rest = keep_back(plan, samples, order, ret_owner);
    switch (plan->kind) {
    case PARTITION_IID:
        assign_iid(plan, order, rest, ret_owner);
        break;
    case PARTITION_DIRICHLET:
        assign_dirichlet(plan, labels, order, rest, items, shares, ret_owner);
        fill_up(plan, samples, items, head, head + plan->parts, ret_owner);
        break;
    case PARTITION_SHARDS:
        assign_shards(plan, labels, order, rest, items, head, ret_owner);
        break;
    }
out:
    free(order);
    free(items);
    free(head);
    free(shares);
    return status;
}

enum status partition_indices(const uint32_t *owner, uint32_t samples, uint32_t part,
                              uint32_t **ret_indices, uint32_t *ret_count)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < samples; i++)
        count += owner[i] == part;
    uint32_t *indices = nullptr;
    if (count > 0) {
        indices = malloc(count * sizeof(*indices));
        if (indices == nullptr)
            return STATUS_NO_MEMORY;
    }
    uint32_t next = 0;
    for (uint32_t i = 0; i < samples; i++) {
        if (owner[i] == part)
            indices[next++] = i;
    }
    *ret_indices = indices;
    *ret_count = count;
    return STATUS_OK;
}

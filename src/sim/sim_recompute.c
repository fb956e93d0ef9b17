/*
 * sim_recompute.c - a version made again from its record, plainly: integers, long division, one
 * loop a formula. Shares nothing with robust/accumulator.c and learn/server_optimiser.c.
 */
#include "sim/sim_internal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    GRID = 58,         /* the finest on which 2 * |x| < 2^63 for |x| <= norm_max < 2^4 */
    UNITS = 256,       /* of weight, a sample */
    QUOTIENT_BITS = 60 /* more than the 53 of a double */
};

/* sum / (weight * 2^GRID), rounded once to nearest, halves to even. weight under 2^60. */
static double divide(__int128 sum, uint64_t weight)
{
    const bool is_negative = sum < 0;
    const unsigned __int128 magnitude = (unsigned __int128)(is_negative ? -sum : sum);
    if (magnitude == 0)
        return 0;
    unsigned __int128 quotient = magnitude / weight;
    unsigned __int128 rest = magnitude % weight;
    int exponent = -GRID;
    while (quotient >> QUOTIENT_BITS == 0) { /* one binary digit more */
        rest *= 2;
        quotient = quotient * 2 + (rest >= weight);
        rest = rest >= weight ? rest - weight : rest;
        exponent--;
    }
    int drop = 0; /* digits beyond 53 */
    while (quotient >> drop >> 53 != 0)
        drop++;
    CHECK(drop > 0); /* it has QUOTIENT_BITS */
    const unsigned __int128 half = (unsigned __int128)1 << (drop - 1);
    const unsigned __int128 low = quotient & (2 * half - 1);
    uint64_t digits = (uint64_t)(quotient >> drop);
    if (low > half || (low == half && (rest != 0 || digits % 2 == 1)))
        digits++;
    const double value = ldexp((double)digits, exponent + drop);
    return is_negative ? -value : value;
}

static uint64_t weight_of(const struct world *w, const struct record_head *head,
                          const struct envelope_header *header)
{
    const struct coordinator_settings *const settings = &w->plan->machine;
    const uint64_t samples =
        header->samples < settings->samples_max ? header->samples : settings->samples_max;
    const double staleness = (double)(head->round - header->round);
    const double units =
        (double)(samples * UNITS) * pow(1 + staleness, -settings->staleness_exponent);
    const double whole = rint(units);
    return whole < 1 ? 1 : (uint64_t)whole;
}

/* The mean of the record's updates; false where one is not known, or weighs otherwise. */
static bool mean_of(struct world *w, const struct record *record, double *ret_mean,
                    uint64_t *ret_weight)
{
    const struct envelope_limits limits = sim_limits(w);
    __int128 *const sums = calloc(w->parameter_count, sizeof(*sums));
    uint64_t total = 0;
    CHECK(sums != nullptr);
    struct record_iter iter;
    struct record_accepted accepted;
    record_iter_init(&iter, record);
    while (record_iter_next(&iter, &accepted)) {
        struct envelope_header header;
        CHECK(header_decode(accepted.header_bytes, &limits, &header, nullptr) == STATUS_OK);
        const struct payload *const payload = archive_find(w, &header.payload_digest);
        const uint64_t weight = weight_of(w, &record->head, &header);
        if (payload == nullptr || weight != accepted.weight) {
            sim_fail(w, "an update of version %llu weighs %u, not %llu, or is unknown",
                     (unsigned long long)record->head.number, accepted.weight,
                     (unsigned long long)weight);
            free(sums);
            return false;
        }
        for (uint64_t i = 0; i < w->parameter_count; i++)
            sums[i] +=
                (__int128)(int64_t)rint(ldexp((double)payload->values[i], GRID)) * (int64_t)weight;
        total += weight;
    }
    for (uint64_t i = 0; i < w->parameter_count; i++)
        ret_mean[i] = divide(sums[i], total);
    free(sums);
    *ret_weight = total;
    return true;
}

static uint64_t stand_in_weight(const struct record_head *head)
{
    return strtoull(head->parameters[0].value, nullptr, 10);
}

static void add_momentum(const struct world *w, const struct record_head *head, uint64_t weight,
                         double *mean)
{
    const struct server_optimiser *const optimiser = &w->plan->optimiser;
    const double late = (double)stand_in_weight(head);
    const double share = late / ((double)weight + late);
    if (late == 0 || !w->has_expected_state || head->round <= 1)
        return;
    double power = 1;
    for (uint64_t i = 1; i < head->round && power > 1e-20; i++)
        power *= optimiser->momentum;
    const double scale = share / (1 - power);
    for (uint64_t i = 0; i < w->parameter_count; i++) {
        const double m = (double)w->expected_momentum[i];
        const double direction =
            optimiser->kind == OPTIMISER_ADAM ? m : (1 - optimiser->momentum) * m;
        mean[i] = (1 - share) * mean[i] + scale * direction;
    }
}

/* As the formulas in learn/server_optimiser.h. */
static void move_model(struct world *w, double rate, const double *mean)
{
    const struct server_optimiser *const optimiser = &w->plan->optimiser;
    const double b1 = optimiser->momentum;
    for (uint64_t i = 0; i < w->parameter_count; i++) {
        const double d = mean[i];
        const double x = (double)w->expected[i];
        const double m = b1 * (double)w->expected_momentum[i];
        if (optimiser->kind == OPTIMISER_ADAM) {
            const double m1 = m + (1 - b1) * d;
            const double v1 =
                optimiser->beta2 * (double)w->expected_second[i] + (1 - optimiser->beta2) * (d * d);
            w->expected[i] = (float)(x - rate * m1 / (sqrt(v1) + optimiser->epsilon));
            w->expected_momentum[i] = (float)m1;
            w->expected_second[i] = (float)v1;
        } else {
            const double m1 = m + d;
            w->expected[i] = (float)(x - rate * (optimiser->kind == OPTIMISER_SGD ? d : m1));
            w->expected_momentum[i] = (float)m1;
        }
    }
    w->has_expected_state = true;
}

void recompute(struct world *w, const struct record *record, const struct model_file *model)
{
    const struct record_head *const head = &record->head;
    const size_t size = sizeof(float) * w->parameter_count;
    uint64_t weight = 0;
    if (!w->work->is_checked)
        return;
    if (head->number == 0 || head->validation_choice[0] != 0) {
        /* The first model is no sum of updates; one that is restored was compared before. */
        memcpy(w->expected, model_file_parameters(model), size);
        return;
    }
    if (head->accepted_count > 0) {
        double *const mean = malloc(sizeof(*mean) * w->parameter_count);
        CHECK(mean != nullptr);
        const bool is_known = mean_of(w, record, mean, &weight);
        if (is_known) {
            add_momentum(w, head, weight, mean);
            move_model(w, head->learning_rate, mean);
            w->result->recomputed++;
        }
        free(mean);
        if (!is_known)
            return;
    }
    if (memcmp(w->expected, model_file_parameters(model), size) != 0 ||
        !digest_equal(&model->model_digest, &head->model_digest))
        sim_fail(w, "the model of version %llu is not the one that its updates make",
                 (unsigned long long)head->number);
}

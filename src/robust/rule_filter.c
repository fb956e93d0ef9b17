/*
 * rule_filter.c - the filter of several tests: flags copies, gross outliers, crowds, and outliers
 * by four features; then the mean of the rest. docs/robustness.md says what each constant was
 * measured to give.
 */
#include "robust/rules.h"

#include <math.h>

enum {
    FILTER_UPDATES_MIN = 10,     /* fewer say nothing about what is usual */
    FILTER_FLAGGED_PERCENT = 45, /* at most, of all updates */
    COPIES_MIN = 2,              /* others that equal an update */
    GROSS_STEPS = 4,             /* rounds of the test for gross outliers */
    FEATURE_STEPS = 10,          /* rounds of the test of all features */
    RELATIVES = 5,               /* largest cosines to others that are averaged */
};
static const double copy_distance = 1e-3; /* of the larger norm */
static const double gross_scales = 6;
static const double feature_scales = 4;
static const double small_cosine = 0.25;      /* of the median cosine */
static const double normal_quartile = 0.6745; /* half the interquartile range of a normal */
static const double least_scale = 1e-6;       /* where half of the values are equal */
static const double largest_cosine = 1 - 1e-12;

/* At least share of n others within radius times the median distance. */
struct crowd {
    double share;
    double radius;
};
static const struct crowd crowds[] = {{0.09, 0.4}, {0.18, 0.5}, {0.26, 0.6}};

enum feature { FEATURE_DISTANCE, FEATURE_NORM, FEATURE_DIRECTION, FEATURE_RELATIVES, FEATURES };

struct filter {
    const struct points *points;
    struct arena *arena;
    size_t count;
    size_t flagged_max;
    bool *is_active;
    double *severities;    /* f64[count]: order of the tests, then score; 0 where not flagged */
    struct suspect *flags; /* suspect[count], by update */
    bool *is_new;          /* flagged by the test that is running */
    double *values[FEATURES];
    double *cosines;   /* to the geometric median */
    double *relatives; /* mean cosine to the nearest relatives */
    double *weights;   /* f64[side] */
    double *distances; /* f64[side] */
    uint32_t *order;
    double *keys; /* of a sort of distances: f64[count * count] */
};

static void mark(struct filter *filter, size_t i, enum reason_suspected reason, double score)
{
    if (!filter->is_active[i] || (filter->is_new[i] && filter->flags[i].score >= score))
        return;
    filter->is_new[i] = true;
    filter->flags[i] = (struct suspect){.index = (uint32_t)i, .reason = reason, .score = score};
}

/* Flags what was marked, unless that would be too many in all; how many are flagged by it. */
static size_t settle(struct filter *filter, double stage)
{
    size_t flagged = 0;
    size_t marked = 0;
    for (size_t i = 0; i < filter->count; i++) {
        flagged += filter->is_active[i] ? 0 : 1;
        marked += filter->is_new[i] ? 1 : 0;
    }
    const bool is_allowed = flagged + marked <= filter->flagged_max;
    for (size_t i = 0; i < filter->count; i++) {
        if (filter->is_new[i] && is_allowed) {
            filter->is_active[i] = false;
            filter->severities[i] = stage;
        }
        filter->is_new[i] = false;
    }
    return is_allowed ? marked : 0;
}

static double norm_of(const struct filter *filter, size_t i)
{
    return sqrt(filter->points->distances[i * filter->points->side + filter->count]);
}

static double distance_of(const struct filter *filter, size_t i, size_t j)
{
    return sqrt(filter->points->distances[i * filter->points->side + j]);
}

/* A group of copies that is larger than what may be flagged is no sign of lying. */
static void mark_copies(struct filter *filter)
{
    for (size_t i = 0; i < filter->count; i++) {
        size_t copies = 0;
        for (size_t j = 0; j < filter->count; j++) {
            const double size = fmax(norm_of(filter, i), norm_of(filter, j));
            copies += j != i && distance_of(filter, i, j) <= copy_distance * size ? 1 : 0;
        }
        if (copies >= COPIES_MIN && copies + 1 <= filter->flagged_max)
            mark(filter, i, SUSPECTED_COLLUSION, (double)copies / COPIES_MIN);
    }
}

/* The upper median of the distances between active updates. */
static double median_of_distances(const struct filter *filter)
{
    size_t used = 0;
    for (size_t i = 0; i < filter->count; i++) {
        for (size_t j = 0; j < i; j++) {
            if (filter->is_active[i] && filter->is_active[j])
                filter->keys[used++] = distance_of(filter, i, j);
        }
    }
    if (used == 0)
        return 0;
    /* Quickselect with the middle as pivot; equal keys do not matter. */
    size_t first = 0;
    size_t last = used - 1;
    const size_t wanted = used / 2;
    while (first < last) {
        const double pivot = filter->keys[first + (last - first) / 2];
        size_t i = first;
        size_t j = last;
        for (;;) {
            while (filter->keys[i] < pivot)
                i++;
            while (filter->keys[j] > pivot)
                j--;
            if (i >= j)
                break;
            const double kept = filter->keys[i];
            filter->keys[i++] = filter->keys[j];
            filter->keys[j--] = kept;
        }
        if (wanted <= j)
            last = j;
        else
            first = j + 1;
    }
    return filter->keys[wanted];
}

static void mark_crowds(struct filter *filter, const struct crowd *crowd)
{
    const double radius = crowd->radius * median_of_distances(filter);
    const double wanted = fmax(1, ceil(crowd->share * (double)filter->count - 1e-9));
    if (!(radius > 0))
        return; /* most updates are equal */
    for (size_t i = 0; i < filter->count; i++) {
        size_t near = 0;
        for (size_t j = 0; j < filter->count; j++)
            near += j != i && filter->is_active[j] && distance_of(filter, i, j) <= radius ? 1 : 0;
        if ((double)near >= wanted)
            mark(filter, i, SUSPECTED_COLLUSION, (double)near / wanted);
    }
}

/* Indices of the active updates in ascending order of values; how many. */
static size_t sort_active(const struct filter *filter, const double *values)
{
    size_t used = 0;
    for (uint32_t i = 0; i < filter->count; i++) {
        if (filter->is_active[i])
            filter->order[used++] = i;
    }
    sort_by_key(filter->order, used, values);
    return used;
}

static double median_of_sorted(const double *values, const uint32_t *order, size_t count)
{
    return (values[order[(count - 1) / 2]] + values[order[count / 2]]) / 2;
}

/* Location and scale of the active values from their shorth: the median of the shortest half, and
 * half its width over the quartile of a normal. */
static void find_shorth(const struct filter *filter, const double *values, double *ret_location,
                        double *ret_scale)
{
    const size_t count = sort_active(filter, values);
    const uint32_t *const order = filter->order;
    const size_t half = count / 2 + 1 < count ? count / 2 + 1 : count;
    size_t best = 0;
    for (size_t i = 1; i + half <= count; i++) {
        if (values[order[i + half - 1]] - values[order[i]] <
            values[order[best + half - 1]] - values[order[best]])
            best = i;
    }
    const double width = values[order[best + half - 1]] - values[order[best]];
    *ret_location = median_of_sorted(values, order + best, half);
    *ret_scale = fmax(width / 2 / normal_quartile, least_scale);
}

static double artanh_cosine(double cosine)
{
    return atanh(fmax(-largest_cosine, fmin(largest_cosine, cosine)));
}

static double log_of(double value)
{
    return log(fmax(value, 0x1p-200));
}

/* Mean of the largest cosines of update i to other active ones. */
static double relatives_of(const struct filter *filter, size_t i)
{
    const struct points *const points = filter->points;
    const size_t side = points->side;
    double largest[RELATIVES];
    size_t used = 0;
    const double *const to_origin = points->distances + filter->count * side;
    for (size_t j = 0; j < filter->count; j++) {
        if (j == i || !filter->is_active[j])
            continue;
        const double size = sqrt(to_origin[i]) * sqrt(to_origin[j]);
        const double product = points->gram[i * side + j] - points->gram[i * side + side - 1] -
                               points->gram[j * side + side - 1] + points->gram[side * side - 1];
        double cosine = size > 0 ? product / size : 0;
        for (size_t k = 0; k < used; k++) {
            if (cosine > largest[k]) {
                const double kept = largest[k];
                largest[k] = cosine;
                cosine = kept;
            }
        }
        if (used < RELATIVES)
            largest[used++] = cosine;
    }
    double sum = 0;
    for (size_t k = 0; k < used; k++)
        sum += largest[k];
    return used > 0 ? sum / (double)used : 0;
}

/* Distance to the geometric median of the active updates, norm, and cosine to it. */
static void measure_features(struct filter *filter)
{
    const struct points *const points = filter->points;
    const size_t side = points->side;
    find_geometric_median(points, filter->is_active, filter->arena, filter->weights);
    points_distances_from(points, filter->weights, filter->distances);
    const double center_squared = filter->distances[side - 1];
    for (size_t i = 0; i < filter->count; i++) {
        const double norm = norm_of(filter, i);
        const double size = norm * sqrt(center_squared);
        const double product = (norm * norm + center_squared - filter->distances[i]) / 2;
        filter->values[FEATURE_DISTANCE][i] = log_of(sqrt(filter->distances[i]));
        filter->values[FEATURE_NORM][i] = log_of(norm);
        filter->cosines[i] = size > 0 ? product / size : 0;
        filter->values[FEATURE_DIRECTION][i] = artanh_cosine(filter->cosines[i]);
    }
}

static void mark_large(struct filter *filter, enum feature feature, double scales)
{
    const double *const values = filter->values[feature];
    double location = 0;
    double scale = 0;
    find_shorth(filter, values, &location, &scale);
    for (size_t i = 0; i < filter->count; i++) {
        const double score = (values[i] - location) / (scales * scale);
        if (score > 1)
            mark(filter, i, feature == FEATURE_NORM ? SUSPECTED_NORM : SUSPECTED_DISTANCE, score);
    }
}

/* Far below the others, and small beside their median. */
static void mark_small(struct filter *filter, enum feature feature, const double *cosines)
{
    const double *const values = filter->values[feature];
    double location = 0;
    double scale = 0;
    const size_t count = sort_active(filter, cosines);
    const double bound = small_cosine * median_of_sorted(cosines, filter->order, count);
    find_shorth(filter, values, &location, &scale);
    for (size_t i = 0; i < filter->count; i++) {
        const double score = (location - values[i]) / (feature_scales * scale);
        if (score > 1 && cosines[i] < bound)
            mark(filter, i, SUSPECTED_DIRECTION, score);
    }
}

static size_t test_gross(struct filter *filter, double stage)
{
    measure_features(filter);
    mark_large(filter, FEATURE_NORM, gross_scales);
    mark_large(filter, FEATURE_DISTANCE, gross_scales);
    return settle(filter, stage);
}

static size_t test_features(struct filter *filter, double stage)
{
    measure_features(filter);
    for (size_t i = 0; i < filter->count; i++) {
        filter->relatives[i] = relatives_of(filter, i);
        filter->values[FEATURE_RELATIVES][i] = artanh_cosine(filter->relatives[i]);
    }
    mark_large(filter, FEATURE_NORM, feature_scales);
    mark_large(filter, FEATURE_DISTANCE, feature_scales);
    mark_small(filter, FEATURE_DIRECTION, filter->cosines);
    mark_small(filter, FEATURE_RELATIVES, filter->relatives);
    return settle(filter, stage);
}

static void flag_all(struct filter *filter)
{
    double stage = 100; /* falls from test to test: the surest come first */
    mark_copies(filter);
    settle(filter, stage--);
    for (int i = 0; i < GROSS_STEPS; i++) {
        if (test_gross(filter, stage--) == 0)
            break;
    }
    for (size_t i = 0; i < sizeof(crowds) / sizeof(crowds[0]); i++) {
        mark_crowds(filter, &crowds[i]);
        settle(filter, stage--);
    }
    for (int i = 0; i < FEATURE_STEPS; i++) {
        if (test_features(filter, stage--) == 0)
            break;
    }
}

static void init_filter(struct filter *filter, struct rule_call *call)
{
    const size_t count = call->points->count;
    struct arena *const arena = call->arena;
    *filter = (struct filter){.points = call->points,
                              .arena = arena,
                              .count = count,
                              .flagged_max = count * FILTER_FLAGGED_PERCENT / 100};
    filter->is_active = arena_take(arena, count, sizeof(bool));
    filter->is_new = arena_take_zeroed(arena, count, sizeof(bool));
    filter->severities = arena_take_zeroed(arena, count, sizeof(double));
    filter->flags = arena_take_zeroed(arena, count, sizeof(struct suspect));
    for (int i = 0; i < FEATURES; i++)
        filter->values[i] = arena_take_zeroed(arena, count, sizeof(double));
    filter->cosines = arena_take_zeroed(arena, count, sizeof(double));
    filter->relatives = arena_take_zeroed(arena, count, sizeof(double));
    filter->weights = arena_take_zeroed(arena, count + 1, sizeof(double));
    filter->distances = arena_take_zeroed(arena, count + 1, sizeof(double));
    filter->order = arena_take_zeroed(arena, count + 1, sizeof(uint32_t));
    filter->keys = arena_take(arena, count * count, sizeof(double));
    for (size_t i = 0; i < count; i++)
        filter->is_active[i] = true;
}

/* The flagged, worst first: by test, then by score, then by index. */
static void list_suspects(struct rule_call *call, const struct filter *filter)
{
    call->suspect_count = 0;
    for (size_t i = 0; i < filter->count; i++) {
        if (filter->is_active[i])
            continue;
        size_t place = call->suspect_count++;
        for (; place > 0; place--) {
            const struct suspect *const before = &call->suspects[place - 1];
            const double more = filter->severities[before->index] - filter->severities[i];
            if (more > 0 || (more == 0 && before->score >= filter->flags[i].score))
                break;
            call->suspects[place] = *before;
        }
        call->suspects[place] = filter->flags[i];
    }
}

void rule_filter(struct rule_call *call, double *ret_weights)
{
    const size_t count = call->points->count;
    const size_t used = call->arena->used;
    struct filter filter;
    rule_mean(call, ret_weights);
    call->suspect_count = 0;
    if (count < FILTER_UPDATES_MIN)
        return;
    init_filter(&filter, call);
    flag_all(&filter);
    list_suspects(call, &filter);
    const size_t dropped = call->suspect_count < call->f ? call->suspect_count : (size_t)call->f;
    for (size_t i = 0; i < count; i++)
        ret_weights[i] = 1.0 / (double)(count - dropped);
    for (size_t k = 0; k < dropped; k++)
        ret_weights[call->suspects[k].index] = 0;
    call->arena->used = used;
}

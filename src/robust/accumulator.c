/*
 * accumulator.c - the exact sum on a grid, and the one rounding at its end, in integers only.
 */
#include "robust/accumulator.h"

#include "base/check.h"
#include "kern/kern.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    BLOCK = 4096, /* elements that are checked, and folded while they are in the cache */
    F32_INFINITY_BITS = 0x7f800000,
};

struct accumulator {
    uint64_t parameter_count;
    uint64_t weight_sum;
    uint32_t count;
    int grid;
    double scale;        /* 2^grid */
    uint32_t bound_bits; /* of the least |x| that does not fit */
    uint64_t *lo;
    int64_t *hi;
};

int grid_from_norm_max(double norm_max)
{
    CHECK(norm_max >= 0);
    int exponent = 0;
    if (norm_max > 0 && norm_max <= 0x1.fffffep127)
        frexp(norm_max, &exponent); /* norm_max < 2^exponent */
    else if (norm_max > 0)
        exponent = 128;
    else
        exponent = KERN_GRID_BITS - GRID_MAX;
    const int grid = KERN_GRID_BITS - exponent;
    return grid > GRID_MAX ? GRID_MAX : grid;
}

enum status accumulator_create(uint64_t parameter_count, int grid,
                               struct accumulator **ret_accumulator)
{
    if (grid < GRID_MIN || grid > GRID_MAX)
        return STATUS_INVAL;
    if (parameter_count > ACCUMULATOR_PARAMETERS_MAX)
        return STATUS_LIMIT;
    struct accumulator *const accumulator = calloc(1, sizeof(*accumulator));
    if (accumulator == nullptr)
        return STATUS_NO_MEMORY;
    accumulator->parameter_count = parameter_count;
    accumulator->grid = grid;
    accumulator->scale = ldexp(1, grid);
    /* The bits of the f32 2^(62 - grid); with the least grid that is infinity's. */
    accumulator->bound_bits = (uint32_t)(KERN_GRID_BITS - grid + 127) << 23;
    accumulator->lo = calloc(parameter_count + 1, sizeof(*accumulator->lo));
    accumulator->hi = calloc(parameter_count + 1, sizeof(*accumulator->hi));
    if (accumulator->lo == nullptr || accumulator->hi == nullptr) {
        accumulator_destroy(accumulator);
        return STATUS_NO_MEMORY;
    }
    *ret_accumulator = accumulator;
    return STATUS_OK;
}

void accumulator_destroy(struct accumulator *accumulator)
{
    if (accumulator == nullptr)
        return;
    free(accumulator->lo);
    free(accumulator->hi);
    free(accumulator);
}

void accumulator_reset(struct accumulator *accumulator)
{
    memset(accumulator->lo, 0, accumulator->parameter_count * sizeof(*accumulator->lo));
    memset(accumulator->hi, 0, accumulator->parameter_count * sizeof(*accumulator->hi));
    accumulator->count = 0;
    accumulator->weight_sum = 0;
}

static uint32_t bits_without_sign(float value)
{
    uint32_t bits = 0;
    memcpy(&bits, &value, sizeof(bits));
    return bits & 0x7fffffff;
}

/* Says what is wrong with the first element at or after first that does not fit. */
static enum status explain(const struct accumulator *accumulator, const float *update,
                           uint64_t first, struct error *err)
{
    uint64_t at = first;
    while (bits_without_sign(update[at]) < accumulator->bound_bits)
        at++;
    if (bits_without_sign(update[at]) >= F32_INFINITY_BITS)
        return error_set(err, STATUS_PEER, "element %llu is %s", (unsigned long long)at,
                         bits_without_sign(update[at]) > F32_INFINITY_BITS ? "not a number"
                                                                           : "infinite");
    return error_set(err, STATUS_LIMIT, "element %llu is %g; its magnitude must be below %g",
                     (unsigned long long)at, (double)update[at],
                     ldexp(1, KERN_GRID_BITS - accumulator->grid));
}

/* Checks and adds block by block; what was added before a wrong block is taken out again. */
static enum status add(struct accumulator *accumulator, const float *update, int64_t weight,
                       struct error *err)
{
    const struct kern *const kern = kern_get();
    const uint64_t count = accumulator->parameter_count;
    for (uint64_t at = 0; at < count; at += BLOCK) {
        const uint64_t n = count - at < BLOCK ? count - at : BLOCK;
        if (kern->abs_max_bits(update + at, n) >= accumulator->bound_bits) {
            kern->fold(accumulator->lo, accumulator->hi, update, at, accumulator->scale, -weight);
            return explain(accumulator, update, at, err);
        }
        kern->fold(accumulator->lo + at, accumulator->hi + at, update + at, n, accumulator->scale,
                   weight);
    }
    return STATUS_OK;
}

enum status accumulator_fold(struct accumulator *accumulator, const float *update, uint32_t weight,
                             struct error *err)
{
    if (accumulator->count == ACCUMULATOR_UPDATES_MAX)
        return error_set(err, STATUS_LIMIT, "an accumulator holds at most %d updates",
                         ACCUMULATOR_UPDATES_MAX);
    const enum status status = add(accumulator, update, weight, err);
    if (status == STATUS_OK) {
        accumulator->count++;
        accumulator->weight_sum += weight;
    }
    return status;
}

enum status accumulator_unfold(struct accumulator *accumulator, const float *update,
                               uint32_t weight, struct error *err)
{
    if (accumulator->count == 0 || weight > accumulator->weight_sum)
        return error_set(err, STATUS_INVAL, "an update of weight %u was never added", weight);
    const enum status status = add(accumulator, update, -(int64_t)weight, err);
    if (status == STATUS_OK) {
        accumulator->count--;
        accumulator->weight_sum -= weight;
    }
    return status;
}

enum status accumulator_merge(struct accumulator *accumulator, const struct accumulator *other)
{
    if (accumulator->parameter_count != other->parameter_count || accumulator->grid != other->grid)
        return STATUS_INVAL;
    if (other->count > ACCUMULATOR_UPDATES_MAX - accumulator->count)
        return STATUS_LIMIT;
    for (uint64_t i = 0; i < accumulator->parameter_count; i++) {
        const uint64_t carry =
            __builtin_add_overflow(accumulator->lo[i], other->lo[i], &accumulator->lo[i]);
        accumulator->hi[i] +=
            other->hi[i] + (int64_t)carry; /* far below 2^63: the header of kern */
    }
    accumulator->count += other->count;
    accumulator->weight_sum += other->weight_sum;
    return STATUS_OK;
}

uint64_t accumulator_parameter_count(const struct accumulator *accumulator)
{
    return accumulator->parameter_count;
}

uint32_t accumulator_count(const struct accumulator *accumulator)
{
    return accumulator->count;
}

uint64_t accumulator_weight_sum(const struct accumulator *accumulator)
{
    return accumulator->weight_sum;
}

/* A magnitude quotient * 2^exponent, a little more where inexact. */
struct quotient {
    uint64_t value; /* 2^61 to 2^63, or 0 */
    int exponent;
    bool is_inexact;
};

static int bit_length(unsigned __int128 value)
{
    const uint64_t high = (uint64_t)(value >> 64);
    if (high != 0)
        return 128 - __builtin_clzll(high);
    return value == 0 ? 0 : 64 - __builtin_clzll((uint64_t)value);
}

/* sum / weights, with 62 or 63 bits; sum below 2^115, weights from 1 to 2^52. */
static struct quotient divide(unsigned __int128 sum, uint64_t weights)
{
    if (sum == 0)
        return (struct quotient){0};
    const int shift = 62 + bit_length(weights) - bit_length(sum);
    unsigned __int128 dividend = sum;
    bool is_inexact = false;
    if (shift >= 0) {
        dividend <<= shift;
    } else {
        dividend >>= -shift;
        is_inexact = dividend << -shift != sum;
    }
    const uint64_t value = (uint64_t)(dividend / weights);
    is_inexact = is_inexact || dividend - (unsigned __int128)value * weights != 0;
    return (struct quotient){value, -shift, is_inexact};
}

/*
 * The f64 that holds quotient * 2^(exponent) rounded once to precision bits (24 or 53), its last
 * bit not below 2^last_min, halves to even.
 */
static double round_once(struct quotient quotient, int precision, int last_min)
{
    const int length = bit_length(quotient.value);
    int drop = length - precision;
    if (quotient.exponent + drop < last_min)
        drop = last_min - quotient.exponent;
    if (quotient.value == 0 || drop > length)
        return 0; /* below half of the least number */
    /* drop is from 9 to 63 here, so the shifts are defined. */
    const uint64_t half = UINT64_C(1) << (drop - 1);
    const uint64_t rest = quotient.value & (half - 1 + half);
    uint64_t kept = quotient.value >> drop;
    const bool is_over = rest > half || (rest == half && quotient.is_inexact);
    if (is_over || (rest == half && (kept & 1) != 0))
        kept++;
    return ldexp((double)kept, quotient.exponent + drop);
}

static double mean_at(const struct accumulator *accumulator, uint64_t i, int precision,
                      int last_min)
{
    const unsigned __int128 sum =
        (unsigned __int128)(uint64_t)accumulator->hi[i] << 64 | accumulator->lo[i];
    const bool is_negative = accumulator->hi[i] < 0;
    struct quotient quotient = divide(is_negative ? -sum : sum, accumulator->weight_sum);
    quotient.exponent -= accumulator->grid;
    const double magnitude = round_once(quotient, precision, last_min);
    return is_negative ? -magnitude : magnitude;
}

enum status accumulator_finish_f32(const struct accumulator *accumulator, float *ret_mean)
{
    if (accumulator->weight_sum == 0)
        return STATUS_INVAL;
    for (uint64_t i = 0; i < accumulator->parameter_count; i++)
        ret_mean[i] = (float)mean_at(accumulator, i, 24, -149);
    return STATUS_OK;
}

enum status accumulator_finish_f64(const struct accumulator *accumulator, double *ret_mean)
{
    if (accumulator->weight_sum == 0)
        return STATUS_INVAL;
    for (uint64_t i = 0; i < accumulator->parameter_count; i++)
        ret_mean[i] = mean_at(accumulator, i, 53, -1074);
    return STATUS_OK;
}

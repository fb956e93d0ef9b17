/*
 * number_text.c - a short way for the numbers that data sets are made of, strtof for the others.
 */
#include "train/number_text.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    EXACT_POWER_MAX = 22,        /* 10^22 = 2^22 * 5^22, and 5^22 < 2^53 */
    EXPONENT_SHOWN_MAX = 100000, /* larger ones are all the same: 0 or too big */
};

/* Every whole number up to it is an f64. */
static const uint64_t EXACT_MANTISSA_MAX = UINT64_C(1) << 53;

static const double powers[EXACT_POWER_MAX + 1] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                                                   1e8,  1e9,  1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
                                                   1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};

static bool is_space(char c)
{
    return c == ' ' || c == '\t';
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static void trim(const char **text, size_t *size)
{
    while (*size > 0 && is_space((*text)[0])) {
        (*text)++;
        (*size)--;
    }
    while (*size > 0 && is_space((*text)[*size - 1]))
        (*size)--;
}

/* What a decimal number says: mantissa * 10^exponent; exact where no digit was left out. */
struct decimal {
    bool negative;
    bool exact;
    uint64_t mantissa;
    int32_t exponent;
};

/* Takes the digits at *at; gives how many there were. */
static size_t take_digits(const char *text, size_t size, size_t *at, struct decimal *decimal)
{
    const size_t start = *at;
    for (; *at < size && is_digit(text[*at]); (*at)++) {
        const uint64_t digit = (uint64_t)(text[*at] - '0');
        if (decimal->mantissa > (EXACT_MANTISSA_MAX - digit) / 10)
            decimal->exact = false;
        else
            decimal->mantissa = decimal->mantissa * 10 + digit;
    }
    return *at - start;
}

static bool take_exponent(const char *text, size_t size, size_t *at, int32_t *ret_exponent)
{
    (*at)++;
    const bool negative = *at < size && text[*at] == '-';
    *at += *at < size && (text[*at] == '-' || text[*at] == '+');
    const size_t start = *at;
    int32_t exponent = 0;
    for (; *at < size && is_digit(text[*at]); (*at)++) {
        if (exponent < EXPONENT_SHOWN_MAX)
            exponent = exponent * 10 + (text[*at] - '0');
    }
    *ret_exponent = negative ? -exponent : exponent;
    return *at > start;
}

static bool split(const char *text, size_t size, struct decimal *ret_decimal)
{
    struct decimal decimal = {.exact = true};
    size_t at = 0;
    decimal.negative = text[0] == '-';
    at += text[0] == '-' || text[0] == '+';
    size_t count = take_digits(text, size, &at, &decimal);
    if (at < size && text[at] == '.') {
        at++;
        const size_t fraction = take_digits(text, size, &at, &decimal);
        count += fraction;
        decimal.exponent = -(int32_t)fraction;
    }
    if (count == 0)
        return false;
    int32_t exponent = 0;
    if (at < size && (text[at] == 'e' || text[at] == 'E') &&
        !take_exponent(text, size, &at, &exponent))
        return false;
    decimal.exponent += exponent;
    *ret_decimal = decimal;
    return at == size;
}

/*
 * The nearest f32 of a number, by way of the nearest f64: both operands are exact, so the one
 * operation rounds once and rightly (Clinger 1990). False where rounding once more, to f32, could
 * differ from rounding the number itself: an f64 within one unit of the middle between two f32, or
 * where an f32 has fewer bits or no end.
 */
static bool round_fast(const struct decimal *decimal, float *ret_value)
{
    enum { DROPPED_BITS = DBL_MANT_DIG - FLT_MANT_DIG };
    const uint64_t middle = UINT64_C(1) << (DROPPED_BITS - 1);
    if (!decimal->exact || decimal->exponent < -EXACT_POWER_MAX ||
        decimal->exponent > EXACT_POWER_MAX)
        return false;
    const double mantissa = (double)decimal->mantissa;
    const double value = decimal->exponent < 0 ? mantissa / powers[-decimal->exponent]
                                               : mantissa * powers[decimal->exponent];
    uint64_t bits = 0;
    memcpy(&bits, &value, sizeof(bits));
    const uint64_t dropped = bits & (2 * middle - 1);
    if (value != 0 && (value < (double)FLT_MIN || value > (double)FLT_MAX ||
                       (dropped >= middle - 1 && dropped <= middle + 1)))
        return false;
    *ret_value = decimal->negative ? -(float)value : (float)value;
    return true;
}

enum number_problem number_read_f32(const char *text, size_t size, float *ret_value)
{
    struct decimal decimal;
    trim(&text, &size);
    if (size == 0)
        return NUMBER_EMPTY;
    if (!split(text, size, &decimal))
        return NUMBER_UNREAD;
    if (round_fast(&decimal, ret_value))
        return NUMBER_GOOD;
    /* Stops at the space after the number, or at the zero. */
    const float value = strtof(text, nullptr);
    if (!isfinite(value))
        return NUMBER_TOO_BIG;
    *ret_value = value;
    return NUMBER_GOOD;
}

enum number_problem number_read_u32(const char *text, size_t size, uint32_t *ret_value)
{
    uint64_t value = 0;
    trim(&text, &size);
    if (size == 0)
        return NUMBER_EMPTY;
    for (size_t i = 0; i < size; i++) {
        if (!is_digit(text[i]))
            return NUMBER_UNREAD;
        value = value > UINT32_MAX ? value : value * 10 + (uint64_t)(text[i] - '0');
    }
    if (value > UINT32_MAX)
        return NUMBER_TOO_BIG;
    *ret_value = (uint32_t)value;
    return NUMBER_GOOD;
}

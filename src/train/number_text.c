/*
 * number_text.c - a short way for the numbers that data sets are made of, strtof for the others.
 */
#include "train/number_text.h"

#include <math.h>
#include <stdlib.h>

enum {
    EXACT_MANTISSA_MAX = 1 << 24, /* every whole number up to it is an f32 */
    EXACT_POWER_MAX = 10,         /* 10^10 = 2^10 * 5^10, and 5^10 < 2^24 */
    EXPONENT_SHOWN_MAX = 100000,  /* larger ones are all the same: 0 or too big */
};

static const float powers[EXACT_POWER_MAX + 1] = {1e0f, 1e1f, 1e2f, 1e3f, 1e4f, 1e5f,
                                                  1e6f, 1e7f, 1e8f, 1e9f, 1e10f};

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
    uint32_t mantissa;
    int32_t exponent;
};

/* Takes the digits at *at; gives how many there were. */
static size_t take_digits(const char *text, size_t size, size_t *at, struct decimal *decimal)
{
    const size_t start = *at;
    for (; *at < size && is_digit(text[*at]); (*at)++) {
        const uint32_t digit = (uint32_t)(text[*at] - '0');
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

enum number_problem number_read_f32(const char *text, size_t size, float *ret_value)
{
    struct decimal decimal;
    trim(&text, &size);
    if (size == 0)
        return NUMBER_EMPTY;
    if (!split(text, size, &decimal))
        return NUMBER_UNREAD;
    /* Both operands are exact, so the one operation rounds once and rightly (Clinger 1990). */
    if (decimal.exact && decimal.exponent >= -EXACT_POWER_MAX &&
        decimal.exponent <= EXACT_POWER_MAX) {
        const float mantissa = (float)decimal.mantissa;
        const float value = decimal.exponent < 0 ? mantissa / powers[-decimal.exponent]
                                                 : mantissa * powers[decimal.exponent];
        *ret_value = decimal.negative ? -value : value;
        return NUMBER_GOOD;
    }
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

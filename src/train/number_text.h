/*
 * number_text.h - decimal numbers in text to f32 and to labels.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

enum number_problem {
    NUMBER_GOOD,
    NUMBER_EMPTY,   /* nothing but spaces */
    NUMBER_UNREAD,  /* not a decimal number; "nan" and "inf" are none */
    NUMBER_TOO_BIG, /* farther from 0 than the type reaches */
};

/*
 * [-+] digits [. digits] [e [-+] digits] with spaces and tabs around, a digit before or after the
 * point; to the nearest f32, ties to even. text has size bytes and a zero. For the locale C, which
 * this program never leaves.
 */
enum number_problem number_read_f32(const char *text, size_t size, float *ret_value);

/* Digits only, with spaces and tabs around. */
enum number_problem number_read_u32(const char *text, size_t size, uint32_t *ret_value);

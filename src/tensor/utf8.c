/*
 * utf8.c - well-formed byte sequences of UTF-8 (Unicode 15, table 3-7).
 */
#include "tensor/utf8.h"

#include <stdint.h>

/* Bytes of the sequence that lead begins, and the range of its second byte; 0 for no lead byte. */
static size_t sequence_of(uint8_t lead, uint8_t *ret_low, uint8_t *ret_high)
{
    *ret_low = 0x80;
    *ret_high = 0xbf;
    if (lead < 0x80)
        return 1;
    if (lead >= 0xc2 && lead <= 0xdf)
        return 2;
    if (lead >= 0xe0 && lead <= 0xef) {
        if (lead == 0xe0)
            *ret_low = 0xa0;
        if (lead == 0xed)
            *ret_high = 0x9f;
        return 3;
    }
    if (lead >= 0xf0 && lead <= 0xf4) {
        if (lead == 0xf0)
            *ret_low = 0x90;
        if (lead == 0xf4)
            *ret_high = 0x8f;
        return 4;
    }
    return 0;
}

bool utf8_is_valid(const char *text, size_t size)
{
    size_t at = 0;
    while (at < size) {
        uint8_t low = 0;
        uint8_t high = 0;
        const size_t length = sequence_of((uint8_t)text[at], &low, &high);
        if (length == 0 || length > size - at)
            return false;
        for (size_t i = 1; i < length; i++) {
            const uint8_t byte = (uint8_t)text[at + i];
            if (byte < (i == 1 ? low : 0x80) || byte > (i == 1 ? high : 0xbf))
                return false;
        }
        at += length;
    }
    return true;
}

/*
 * utf8.h - whether bytes are well-formed UTF-8.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/*
 * Whether size bytes are UTF-8 as the Unicode standard's table 3-7 has it: no overlong forms, no
 * surrogates, nothing over U+10FFFF. A zero byte is well-formed; no bytes are too.
 */
bool utf8_is_valid(const char *text, size_t size);

/*
 * fuzz_driver.h - what a fuzz target without a fuzzer (FUZZ_MAIN) does with its seeds.
 */
#pragma once

#include "base/check.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* On a copy of its exact size, so that a sanitizer sees every read past the end. */
static inline void fuzz_exactly(const uint8_t *data, size_t size)
{
    uint8_t *const copy = malloc(size);
    CHECK(copy != nullptr || size == 0);
    if (size > 0)
        memcpy(copy, data, size);
    LLVMFuzzerTestOneInput(copy, size);
    free(copy);
}

/* The input itself, every shorter one, and every one with a byte changed in four ways. */
static inline void fuzz_damaged(uint8_t *data, size_t size)
{
    static const uint8_t changes[] = {0x01, 0x20, 0x80, 0xff};
    for (size_t cut = 0; cut <= size; cut++)
        fuzz_exactly(data, cut);
    for (size_t at = 0; at < size; at++) {
        for (size_t i = 0; i < sizeof(changes); i++) {
            data[at] ^= changes[i];
            fuzz_exactly(data, size);
            data[at] ^= changes[i];
        }
    }
}

/* A file named as an argument. */
static inline void fuzz_file(const char *path)
{
    static uint8_t input[1024 * 1024];
    FILE *const file = fopen(path, "rb");
    CHECK(file != nullptr);
    const size_t size = fread(input, 1, sizeof(input), file);
    fclose(file);
    fuzz_exactly(input, size);
}

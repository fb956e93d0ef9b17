/*
 * kern.h - the arithmetic that runs over every parameter, in one table of pointers chosen at start.
 *
 * Every implementation gives the same bits as the plain reference: no multiply-add is fused, and
 * sums run in a fixed order. Not here: what the sums mean (robust/accumulator.h).
 */
#pragma once

#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum kern_isa {
    KERN_REF,
    KERN_AVX2,
    KERN_AVX512, /* a place only: there is no implementation yet, AVX2 is used */
    KERN_ISA_COUNT,
};

enum {
    KERN_LANES = 16, /* virtual lanes of sums, on every instruction set */
    /* fold: |x * scale| stays below 2^KERN_GRID_BITS. */
    KERN_GRID_BITS = 62,
};

struct kern {
    const char *name; /* as FEDRA_CPU names it */

    /*
     * (hi, lo)[i] += weight * rint(x[i] * scale) for i in [0, n), exactly.
     *
     * lo, hi  u64[n] and i64[n], in/out: the low and the high half of 128-bit two's complement
     *         numbers; they wrap at 2^128, which 2^20 calls cannot reach (2^20 * 2^32 * 2^62).
     * x       f32[n], finite, |x[i] * scale| < 2^62; may not overlap lo or hi.
     * scale   a power of two, 2^-66 to 2^188, so that the product is exact in f64.
     * weight  -(2^32 - 1) to 2^32 - 1; negative takes out what a positive one put in.
     *
     * rint rounds halves to even. Arrays need only the alignment of their elements. Exact, hence
     * free of order. Cannot fail; x out of its range gives numbers without meaning, nothing worse.
     */
    void (*fold)(uint64_t *lo, int64_t *hi, const float *x, size_t n, double scale, int64_t weight);

    /*
     * The largest |x[i]| as its IEEE 754 bits without the sign; 0 where n is 0. Over 0x7f800000
     * where there is a NaN, 0x7f800000 where there is an infinity and no NaN.
     */
    uint32_t (*abs_max_bits)(const float *x, size_t n);

    /*
     * One pass: whether all x[i] are finite, and the sum of their squares as f64.
     *
     * x  f32[n].
     *
     * Lane l of 16 adds the squares of elements l, l + 16, ... in that order (each square is exact
     * in f64); then lanes l and l + 8 are added, then l and l + 4, l + 2, l + 1. The sum is written
     * only where all are finite (it cannot overflow: each square is below 2^256).
     */
    bool (*check_finite_and_norm)(const float *x, size_t n, double *ret_norm_squared);
};

/*
 * Chooses the best table that the processor has, capped by the environment variable FEDRA_CPU
 * (ref, avx2 or avx512). Call it at the start of a program, before threads. INVAL: FEDRA_CPU is
 * something else; the text says so, and the reference is chosen. err may be null.
 */
[[nodiscard]] enum status kern_init(struct error *err);

/* The chosen table, static. Chooses as kern_init does where that was not called. Any thread. */
const struct kern *kern_get(void);

/* The table of one instruction set, static; null where it is not built in or not in the processor.
 */
const struct kern *kern_find(enum kern_isa isa);

/*
 * kern.c - chooses the kernels once, by what the processor has and FEDRA_CPU allows.
 */
#include "kern/kern.h"

#include "base/text.h"
#include "kern/kern_tables.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

static _Atomic(const struct kern *) chosen;

const struct kern *kern_find(enum kern_isa isa)
{
    switch (isa) {
    case KERN_REF:
        return &kern_ref;
    case KERN_AVX2:
#if FEDRA_KERN_X86
        if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
            return &kern_avx2;
#endif
        return nullptr;
    case KERN_AVX512:
    case KERN_ISA_COUNT:
        return nullptr;
    }
    return nullptr;
}

static const struct kern *best_up_to(int isa)
{
    const struct kern *found = nullptr;
    for (; found == nullptr && isa >= 0; isa--)
        found = kern_find((enum kern_isa)isa);
    return found;
}

enum status kern_init(struct error *err)
{
    static const char *const names[KERN_ISA_COUNT] = {"ref", "avx2", "avx512"};
    const char *const cap = getenv("FEDRA_CPU");
    int isa = cap == nullptr ? KERN_ISA_COUNT - 1 : -1;
    for (int i = 0; cap != nullptr && i < KERN_ISA_COUNT; i++) {
        if (strcmp(cap, names[i]) == 0)
            isa = i;
    }
    if (isa < 0) {
        char shown[64];
        text_escape(cap, strlen(cap), shown, sizeof(shown));
        atomic_store(&chosen, &kern_ref);
        return error_set(err, STATUS_INVAL, "FEDRA_CPU is %s; it may be ref, avx2 or avx512",
                         shown);
    }
    atomic_store(&chosen, best_up_to(isa));
    return STATUS_OK;
}

const struct kern *kern_get(void)
{
    const struct kern *kern = atomic_load(&chosen);
    if (kern == nullptr) {
        (void)!kern_init(nullptr); /* a wrong FEDRA_CPU leaves the reference */
        kern = atomic_load(&chosen);
    }
    return kern;
}

static size_t round_up(size_t value, size_t multiple)
{
    return (value + multiple - 1) / multiple * multiple;
}

/*
 * What kern_select_avx2.c lays out: groups of eight columns, their distances, and rows in which
 * runs are merged. The reference needs one column.
 */
size_t kern_select_scratch(size_t n)
{
    const size_t rows = (SELECT_GROUPS + 1) * n + SELECT_WORK_ROWS;
    return round_up(rows * 8 * sizeof(float), KERN_SCRATCH_ALIGNMENT);
}

/* What kern_sums_avx2.c lays out: a panel as f32, and a scale a row; the reference needs no more.
 */
size_t kern_gram_scratch(size_t n)
{
    const size_t rows = n + GRAM_PAD_ROWS;
    return round_up(rows * (KERN_PANEL_COLUMNS * sizeof(float) + sizeof(double)),
                    KERN_SCRATCH_ALIGNMENT);
}

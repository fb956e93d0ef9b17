/*
 * partition.h - deals the samples of a training set out: some for central validation, the rest to
 * the nodes, the same way in every process that has the same labels and plan.
 *
 * The Dirichlet split uses libm's log, exp and sqrt; a sample at the very edge between two parts
 * could fall to the other one under another C library. Not here: reading files (dataset.h).
 */
#pragma once

#include "base/random.h"
#include "base/status.h"

#include <stdint.h>

enum partition_kind {
    PARTITION_IID,       /* equal parts of a shuffled set; sizes differ by one at most */
    PARTITION_DIRICHLET, /* each class is dealt out in shares drawn from Dirichlet(alpha) */
    PARTITION_SHARDS,    /* each part gets a few runs of the samples sorted by class */
};

enum {
    PARTITION_PARTS_MAX = 100000,
    PARTITION_SAMPLES_MAX = 1 << 24,
    PARTITION_SHARDS_MAX = 1000, /* a part */
};

/* The owner of samples kept back for central validation. */
#define PARTITION_VALIDATION UINT32_MAX

struct partition_plan {
    uint64_t seed;
    uint32_t validation_samples; /* kept back, chosen uniformly; the choice depends on seed only */
    uint32_t parts;              /* in [1, PARTITION_PARTS_MAX] */
    enum partition_kind kind;
    double alpha;         /* Dirichlet only; in [0.001, 1e6]: small is uneven, large is even */
    uint32_t samples_min; /* each part gets at least this many */
    uint32_t shards;      /* Shards only: a part; in [1, PARTITION_SHARDS_MAX] */
};

/*
 * Gives every sample its owner: a part, or PARTITION_VALIDATION.
 *
 * labels     u8[samples].
 * ret_owner  u32[samples].
 *
 * Dirichlet is per class over the parts (Hsu, Qi and Brown 2019, arXiv:1909.06335, in the form most
 * used since): a class's samples, shuffled, are cut at floor(n * cumulated share). Then, as long as
 * the part with the lowest number that is under samples_min exists, the largest part (the lowest
 * number among equals) gives it one sample, the one latest in the file. IID needs no such step.
 *
 * Shards are McMahan et al.'s (2017, arXiv:1602.05629, section 3, "pathological non-IID"): the
 * samples sorted by class, and within a class as in the file, are cut into parts * shards runs
 * whose sizes differ by one at most (run k is [k * n / runs, (k + 1) * n / runs)); the runs are
 * shuffled by the seed, and each part gets the next `shards` of them. So a part holds few classes.
 * INVAL where the plan cannot be met (the text says which figure, and its bound); NO_MEMORY.
 */
[[nodiscard]] enum status partition_assign(const struct partition_plan *plan, const uint8_t *labels,
                                           uint32_t samples, uint32_t *ret_owner,
                                           struct error *err);

/*
 * The ascending list of the samples that one owner has, as dataset_load wants it.
 *
 * ret_indices  u32[*ret_count], the caller frees it; null where the owner has none.
 */
[[nodiscard]] enum status partition_indices(const uint32_t *owner, uint32_t samples, uint32_t part,
                                            uint32_t **ret_indices, uint32_t *ret_count);

/*
 * shares drawn from a symmetric Dirichlet distribution: f64[count], not negative, sum 1 (rounded).
 *
 * alpha > 0. Gamma draws by Marsaglia and Tsang (2000), doi:10.1145/358407.358414, kept as
 * logarithms so that a small alpha cannot make all of them zero.
 */
void partition_dirichlet(struct random *random, double alpha, uint32_t count, double *ret_shares);

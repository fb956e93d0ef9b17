/*
 * partition_test.c - every sample goes to exactly one part, the same one everywhere, in shares that
 * have the Dirichlet distribution's moments.
 *
 * Digests in partition_reference.h are made by partition_reference.py, which states the rules anew.
 */
#include "testing.h"

#include "base/digest.h"
#include "partition_reference.h"
#include "train/partition.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { SAMPLES = 2000 };

static uint8_t labels[SAMPLES];
static uint32_t owner[SAMPLES];

static int make_labels(void **state)
{
    for (uint32_t i = 0; i < SAMPLES; i++)
        labels[i] = (uint8_t)((i * i + i / 7) % 10);
    return 0;
}

static const struct {
    struct partition_plan plan;
    const char *digest;
} plans[] = {
    {{1, 100, 7, PARTITION_IID, 0, 10, 0}, reference_iid},
    {{2, 0, 5, PARTITION_DIRICHLET, 100, 10, 0}, reference_even},
    {{3, 200, 20, PARTITION_DIRICHLET, 0.5, 10, 0}, reference_half},
    {{4, 50, 40, PARTITION_DIRICHLET, 0.01, 12, 0}, reference_tiny},
    {{5, 70, 30, PARTITION_SHARDS, 0, 10, 3}, reference_shards},
};

static void owners_have_the_digest_of_another_implementation(void **state)
{
    for (size_t i = 0; i < sizeof(plans) / sizeof(*plans); i++) {
        char text[DIGEST_HEX_MAX];
        struct digest digest;
        assert_int_equal(partition_assign(&plans[i].plan, labels, SAMPLES, owner, nullptr),
                         STATUS_OK);
        digest_of(owner, sizeof(owner), &digest); /* little-endian machines */
        digest_to_hex(&digest, text);
        assert_string_equal(text, plans[i].digest);
    }
}

static void parts_and_validation_are_disjoint_and_complete(void **state)
{
    for (size_t i = 0; i < sizeof(plans) / sizeof(*plans); i++) {
        const struct partition_plan plan = plans[i].plan;
        uint8_t seen[SAMPLES] = {0};
        uint32_t total = 0;
        assert_int_equal(partition_assign(&plan, labels, SAMPLES, owner, nullptr), STATUS_OK);
        for (uint32_t part = 0; part <= plan.parts; part++) {
            const bool validation = part == plan.parts;
            uint32_t *indices = nullptr;
            uint32_t count = 0;
            assert_int_equal(partition_indices(owner, SAMPLES,
                                               validation ? PARTITION_VALIDATION : part, &indices,
                                               &count),
                             STATUS_OK);
            if (validation)
                assert_int_equal(count, plan.validation_samples);
            else
                assert_true(count >= plan.samples_min);
            for (uint32_t k = 0; k < count; k++) {
                assert_int_equal(seen[indices[k]]++, 0);
                assert_true(k == 0 || indices[k] > indices[k - 1]);
            }
            total += count;
            free(indices);
        }
        assert_int_equal(total, SAMPLES);
    }
}

static void iid_parts_differ_by_one_at_most(void **state)
{
    uint32_t counts[7] = {0};
    assert_int_equal(partition_assign(&plans[0].plan, labels, SAMPLES, owner, nullptr), STATUS_OK);
    for (uint32_t i = 0; i < SAMPLES; i++) {
        if (owner[i] != PARTITION_VALIDATION)
            counts[owner[i]]++;
    }
    for (uint32_t part = 0; part < 7; part++)
        assert_true(counts[part] == 1900 / 7 || counts[part] == 1900 / 7 + 1);
}

/* The classes' shares in one IID part against a fair deal: chi-square with 9 degrees of freedom. */
static void iid_parts_have_the_class_mix_of_the_whole(void **state)
{
    const struct partition_plan plan = {9, 0, 2, PARTITION_IID, 0, 1, 0};
    uint32_t mine[10] = {0};
    uint32_t all[10] = {0};
    assert_int_equal(partition_assign(&plan, labels, SAMPLES, owner, nullptr), STATUS_OK);
    for (uint32_t i = 0; i < SAMPLES; i++) {
        all[labels[i]]++;
        mine[labels[i]] += owner[i] == 0;
    }
    double chi_square = 0;
    for (uint32_t class = 0; class < 10; class ++) {
        if (all[class] > 0)
            chi_square += pow(mine[class] - all[class] / 2.0, 2) / (all[class] / 2.0);
    }
    assert_true(chi_square < 27.9); /* the 0.1 % point */
    assert_true(chi_square > 0);
}

static void validation_is_the_same_whatever_the_split(void **state)
{
    struct partition_plan plan = {5, 300, 3, PARTITION_IID, 0, 1, 0};
    uint32_t first[SAMPLES];
    assert_int_equal(partition_assign(&plan, labels, SAMPLES, first, nullptr), STATUS_OK);
    plan = (struct partition_plan){5, 300, 11, PARTITION_DIRICHLET, 0.3, 2, 0};
    assert_int_equal(partition_assign(&plan, labels, SAMPLES, owner, nullptr), STATUS_OK);
    for (uint32_t i = 0; i < SAMPLES; i++)
        assert_int_equal(first[i] == PARTITION_VALIDATION, owner[i] == PARTITION_VALIDATION);
}

/*
 * Each share of a symmetric Dirichlet over k has mean 1/k and variance (k-1) / (k^2 (k alpha + 1)).
 * 20,000 draws; the bounds are 5 standard errors (of the variance, from the fourth moment <= var).
 */
static void dirichlet_shares_have_the_mean_and_variance_of_the_formula(void **state)
{
    const double alphas[] = {0.05, 0.5, 1, 3, 50};
    enum { K = 5, DRAWS = 20000 };
    for (size_t a = 0; a < sizeof(alphas) / sizeof(*alphas); a++) {
        struct random random;
        random_init(&random, 42, a, 0);
        double sum = 0;
        double squares = 0;
        double fourth = 0;
        for (uint32_t i = 0; i < DRAWS; i++) {
            double shares[K];
            double total = 0;
            partition_dirichlet(&random, alphas[a], K, shares);
            for (uint32_t k = 0; k < K; k++) {
                assert_true(shares[k] >= 0);
                total += shares[k];
            }
            assert_double_equal(total, 1, 1e-12);
            const double off = shares[1] - 1.0 / K;
            sum += shares[1];
            squares += off * off;
            fourth += off * off * off * off;
        }
        const double variance = (K - 1) / (K * K * (K * alphas[a] + 1));
        const double measured = squares / DRAWS;
        assert_double_equal(sum / DRAWS, 1.0 / K, 5 * sqrt(variance / DRAWS));
        assert_double_equal(measured, variance,
                            5 * sqrt((fourth / DRAWS - measured * measured) / DRAWS));
    }
}

static void a_tiny_alpha_does_not_underflow(void **state)
{
    struct random random;
    random_init(&random, 1, 2, 3);
    for (uint32_t i = 0; i < 1000; i++) {
        double shares[4];
        partition_dirichlet(&random, 0.001, 4, shares);
        assert_double_equal(shares[0] + shares[1] + shares[2] + shares[3], 1, 1e-12);
    }
}

/*
 * What makes the split McMahan's: with 10 equal classes and 2 shards a part, cut so that no shard
 * crosses a class, a part has at most two classes, and parts are equally large.
 */
static void shards_give_a_part_few_classes(void **state)
{
    const struct partition_plan plan = {7, 0, 50, PARTITION_SHARDS, 0, 10, 2};
    uint8_t even[SAMPLES];
    uint32_t first[SAMPLES];
    for (uint32_t i = 0; i < SAMPLES; i++)
        even[i] = (uint8_t)(i % 10);
    assert_int_equal(partition_assign(&plan, even, SAMPLES, owner, nullptr), STATUS_OK);
    uint32_t counts[50] = {0};
    uint32_t classes[50] = {0};
    uint32_t of_two = 0;
    for (uint32_t i = 0; i < SAMPLES; i++) {
        counts[owner[i]]++;
        classes[owner[i]] |= 1U << even[i];
    }
    for (uint32_t part = 0; part < 50; part++) {
        assert_int_equal(counts[part], SAMPLES / 50);
        assert_true((uint32_t)__builtin_popcount(classes[part]) <= 2);
        of_two += (uint32_t)__builtin_popcount(classes[part]) == 2;
    }
    assert_true(of_two > 25); /* dealt by the seed, not in order */
    memcpy(first, owner, sizeof(first));
    const struct partition_plan other = {8, 0, 50, PARTITION_SHARDS, 0, 10, 2};
    assert_int_equal(partition_assign(&other, even, SAMPLES, owner, nullptr), STATUS_OK);
    assert_memory_not_equal(first, owner, sizeof(first));
}

static void plans_that_cannot_be_met_are_refused_with_the_figure(void **state)
{
    const struct {
        struct partition_plan plan;
        uint32_t samples;
        const char *text;
    } cases[] = {
        {{1, 0, 0, PARTITION_IID, 0, 1, 0}, SAMPLES, "0 parts; 1 to 100000"},
        {{1, 0, 100001, PARTITION_IID, 0, 0, 0}, SAMPLES, "100001 parts"},
        {{1, 2001, 1, PARTITION_IID, 0, 0, 0}, SAMPLES, "2001 validation samples"},
        {{1, 1000, 101, PARTITION_IID, 0, 10, 0}, SAMPLES, "need 1010; there are 1000"},
        {{1, 0, 100000, PARTITION_DIRICHLET, 1, UINT32_MAX, 0}, SAMPLES, "need 429496729500000"},
        {{1, 0, 2, PARTITION_DIRICHLET, 0, 1, 0}, SAMPLES, "alpha of 0; 0.001 to 1e+06"},
        {{1, 0, 2, PARTITION_DIRICHLET, NAN, 1, 0}, SAMPLES, "alpha of nan"},
        {{1, 0, 2, PARTITION_DIRICHLET, 2e6, 1, 0}, SAMPLES, "alpha of 2e+06"},
        {{1, 0, 1, PARTITION_IID, 0, 0, 0}, 0, "0 samples to deal out"},
        {{1, 0, 2, PARTITION_SHARDS, 0, 1, 0}, SAMPLES, "0 shards a node; 1 to 1000"},
        {{1, 0, 2, PARTITION_SHARDS, 0, 1, 1001}, SAMPLES, "1001 shards a node"},
        {{1, 0, 150, PARTITION_SHARDS, 0, 11, 10},
         SAMPLES,
         "1500 shards of 1 samples; at least 11"},
        {{1, 0, 190, PARTITION_SHARDS, 0, 10, 3}, SAMPLES, "570 shards of 3 samples; at least 10"},
        {{1, 0, 100, PARTITION_SHARDS, 0, 0, 21}, SAMPLES, "2100 shards of 0 samples"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct error err = {0};
        assert_int_equal(partition_assign(&cases[i].plan, labels, cases[i].samples, owner, &err),
                         STATUS_INVAL);
        assert_non_null(strstr(err.text, cases[i].text));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(owners_have_the_digest_of_another_implementation),
        cmocka_unit_test(parts_and_validation_are_disjoint_and_complete),
        cmocka_unit_test(iid_parts_differ_by_one_at_most),
        cmocka_unit_test(iid_parts_have_the_class_mix_of_the_whole),
        cmocka_unit_test(validation_is_the_same_whatever_the_split),
        cmocka_unit_test(dirichlet_shares_have_the_mean_and_variance_of_the_formula),
        cmocka_unit_test(a_tiny_alpha_does_not_underflow),
        cmocka_unit_test(shards_give_a_part_few_classes),
        cmocka_unit_test(plans_that_cannot_be_met_are_refused_with_the_figure),
    };
    return cmocka_run_group_tests_name("partition", tests, make_labels, nullptr);
}

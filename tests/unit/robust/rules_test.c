/*
 * rules_test.c - what must hold of every rule: equivariances, liars far away, boundaries of n and
 * f, equal and tiny updates, the same bits however it is computed.
 *
 * Data come from a seeded generator. Expected values come from identities or from the plain
 * definitions in f64 at the end of the file's helpers.
 */
#include "base/random.h"
#include "kern/kern.h"
#include "robust_testing.h"

#include <float.h>
#include <math.h>

enum { N = 15, D = 11, F = 3 };

/* Each with f=3 allowed at n=15. */
static const char *const all_rules[] = {
    "mean nnm",
    "median",
    "trimmed_mean f=3",
    "trimmed_mean beta=0.2",
    "geometric_median",
    "krum f=3",
    "krum f=3 neighbours=byzfl",
    "multi_krum f=3",
    "multi_krum f=3 m=4",
    "bulyan f=3",
    "bulyan f=3 selection=once",
    "centered_clipping tau=3 iterations=4",
    "caf f=3",
    "dnc f=3",
    "filter f=3",
    "nnm trimmed_mean f=3",
    "arc nnm median f=3",
    "nnm arc krum f=3",
    "bucketing median f=1",
    "bucketing nnm geometric_median f=2 s=3",
    "nnm bulyan f=3",
    "nnm filter f=3",
    "arc dnc f=3",
};
enum { RULES = sizeof(all_rules) / sizeof(all_rules[0]) };

/* Rows around (1, ..., 1) of deviation 1. */
static void fill(float *data, size_t count, uint64_t seed)
{
    struct random random;
    random_init(&random, seed, 0, 0);
    for (size_t i = 0; i < count; i++)
        data[i] = (float)(1 + random_normal(&random));
}

static void assert_near(const char *words, const float *found, const float *expected, size_t d,
                        double tolerance)
{
    double size = 0;
    for (size_t k = 0; k < d; k++)
        size = fmax(size, fabs((double)expected[k]));
    for (size_t k = 0; k < d; k++) {
        if (!(fabs((double)found[k] - (double)expected[k]) <= tolerance * size))
            fail_msg("%s: [%zu] is %.9g, not %.9g", words, k, (double)found[k],
                     (double)expected[k]);
    }
}

static struct outcome run_ok(const char *words, const float *data, uint64_t n, uint64_t d)
{
    struct outcome outcome = run_recipe(words, data, n, d, 1);
    if (outcome.status != STATUS_OK)
        fail_msg("%s: %s", words, outcome.err.text);
    return outcome;
}

static void the_order_of_updates_does_not_matter(void **state)
{
    float data[N * D];
    float turned[N * D];
    fill(data, N * D, 1);
    for (size_t i = 0; i < N; i++)
        memcpy(turned + (i * 7 + 3) % N * D, data + i * D, D * sizeof(float));
    for (size_t r = 0; r < RULES; r++) {
        if (strstr(all_rules[r], "bucketing") != nullptr)
            continue; /* draws by place */
        struct outcome a = run_ok(all_rules[r], data, N, D);
        struct outcome b = run_ok(all_rules[r], turned, N, D);
        assert_near(all_rules[r], b.values, a.values, D, 1e-6);
        for (size_t i = 0; i < N && a.report.has_weights; i++)
            assert_true(fabs(a.report.weights[i] - b.report.weights[(i * 7 + 3) % N]) < 1e-6);
        outcome_deinit(&a);
        outcome_deinit(&b);
    }
}

static bool depends_on_origin(const char *words)
{
    return strstr(words, "arc") != nullptr || strstr(words, "clipping") != nullptr ||
           strstr(words, "filter") != nullptr;
}

static void a_translation_and_a_scale_go_through(void **state)
{
    float data[N * D];
    float moved[N * D];
    float scaled[N * D];
    fill(data, N * D, 2);
    for (size_t i = 0; i < N * D; i++) {
        moved[i] = data[i] + (float)(i % D) * 8;
        scaled[i] = data[i] * 0x1p-20f;
    }
    for (size_t r = 0; r < RULES; r++) {
        struct outcome a = run_ok(all_rules[r], data, N, D);
        struct outcome b = run_ok(all_rules[r], moved, N, D);
        struct outcome c = run_ok(all_rules[r], scaled, N, D);
        for (size_t k = 0; k < D; k++) {
            b.values[k] -= (float)k * 8;
            c.values[k] *= 0x1p20f;
        }
        if (!depends_on_origin(all_rules[r]))
            assert_near(all_rules[r], b.values, a.values, D, 1e-5);
        if (strstr(all_rules[r], "clipping") == nullptr)
            assert_near(all_rules[r], c.values, a.values, D, 1e-6);
        outcome_deinit(&a);
        outcome_deinit(&b);
        outcome_deinit(&c);
    }
}

/* f rows of size, of alternating sign or all alike: the result stays where the honest values are.
 */
static void liars_far_away_move_nothing(void **state)
{
    static const char *const rules[] = {
        "median",
        "trimmed_mean f=3",
        "krum f=3",
        "multi_krum f=3",
        "bulyan f=3",
        "caf f=3",
        "dnc f=3",
        "filter f=3",
        "nnm trimmed_mean f=3",
        "nnm krum f=3",
        "arc nnm median f=3",
        "geometric_median",
        "centered_clipping tau=3 iterations=3",
    };
    static const float sizes[] = {1e6f, 1e19f, 1e30f, FLT_MAX, INFINITY, NAN};
    float data[N * D];
    for (size_t v = 0; v < 2 * sizeof(sizes) / sizeof(sizes[0]); v++) {
        fill(data, N * D, 3);
        for (size_t i = 0; i < F * D; i++)
            data[i + (N - F) * D] = sizes[v / 2] * (v % 2 == 0 && i % 2 == 0 ? -1.0f : 1.0f);
        for (size_t r = 0; r < sizeof(rules) / sizeof(rules[0]); r++) {
            struct outcome outcome = run_ok(rules[r], data, N, D);
            /* The last three are bounded, by the hull and its width. */
            const bool is_in_hull = r < 10;
            for (size_t k = 0; k < D; k++) {
                float low = INFINITY;
                float high = -INFINITY;
                for (size_t i = 0; i < N - F; i++) {
                    low = fminf(low, data[i * D + k]);
                    high = fmaxf(high, data[i * D + k]);
                }
                const float slack = is_in_hull ? 1e-6f : high - low;
                if (!(outcome.values[k] >= low - slack && outcome.values[k] <= high + slack))
                    fail_msg("%s: %g liars: [%zu] is %g, honest %g to %g", rules[r],
                             (double)sizes[v / 2], k, (double)outcome.values[k], (double)low,
                             (double)high);
            }
            outcome_deinit(&outcome);
        }
    }
}

static void updates_that_are_not_finite_are_named_and_count_against_f(void **state)
{
    float data[N * D];
    fill(data, N * D, 4);
    data[2 * D + 1] = NAN;
    data[9 * D] = -INFINITY;
    struct outcome outcome = run_ok("trimmed_mean f=3", data, N, D);
    assert_int_equal(outcome.report.f, 3);
    assert_int_equal(outcome.report.suspect_count, 2);
    assert_int_equal(outcome.report.suspects[0].index, 2);
    assert_int_equal(outcome.report.suspects[1].index, 9);
    assert_int_equal(outcome.report.suspects[1].reason, SUSPECTED_NON_FINITE);
    assert_false(outcome.report.is_selected[2]);
    assert_true(outcome.report.is_selected[3]);
    float left[(N - 2) * D];
    memcpy(left, data, 2 * D * sizeof(float));
    memcpy(left + 2 * D, data + 3 * D, 6 * D * sizeof(float));
    memcpy(left + 8 * D, data + 10 * D, 5 * D * sizeof(float));
    struct outcome expected = run_ok("trimmed_mean f=1", left, N - 2, D);
    assert_memory_equal(outcome.values, expected.values, D * sizeof(float));
    outcome_deinit(&outcome);
    outcome_deinit(&expected);
    for (size_t i = 0; i < N; i++)
        data[i * D] = NAN;
    outcome = run_recipe("median", data, N, D, 1);
    assert_int_equal(outcome.status, STATUS_PEER);
    outcome_deinit(&outcome);
}

/* The least n for some f: allowed, and one less refused with that n in the text. */
static void boundaries_are_those_of_the_definitions(void **state)
{
    static const struct {
        const char *words;
        unsigned n;
    } least[] = {
        {"median f=0", 1},
        {"geometric_median f=0", 1},
        {"centered_clipping f=0", 1},
        {"trimmed_mean f=0", 1},
        {"trimmed_mean f=1", 3},
        {"trimmed_mean f=4", 9},
        {"krum f=0", 3},
        {"krum f=1", 5},
        {"krum f=4", 11},
        {"multi_krum f=2", 7},
        {"bulyan f=0", 3},
        {"bulyan f=1", 7},
        {"bulyan f=3", 15},
        {"caf f=0", 1},
        {"caf f=3", 7},
        {"dnc f=0", 1},
        {"dnc f=2", 5},
        {"filter f=0", 1},
        {"filter f=2", 5},
        {"nnm median f=0", 1},
        {"nnm median f=4", 5},
        {"arc median f=2", 3},
        {"bucketing median f=0", 1},
        {"bucketing krum f=1", 9},
        {"krum neighbours=byzfl f=0", 1},
        {"krum neighbours=byzfl f=3", 7},
    };
    float data[N * D];
    fill(data, N * D, 5);
    for (size_t r = 0; r < sizeof(least) / sizeof(least[0]); r++) {
        struct outcome outcome = run_ok(least[r].words, data, least[r].n, D);
        for (size_t k = 0; k < D; k++)
            assert_true(isfinite(outcome.values[k]));
        outcome_deinit(&outcome);
        outcome = run_recipe(least[r].words, data, least[r].n - 1, D, 1);
        assert_int_equal(outcome.status, STATUS_INVAL);
        outcome_deinit(&outcome);
    }
}

static void one_update_and_two_updates_give_themselves_and_their_middle(void **state)
{
    static const char *const rules[] = {"median",      "trimmed_mean f=0", "geometric_median",
                                        "caf f=0",     "dnc f=0",          "filter",
                                        "mean nnm f=0"};
    static const float data[] = {1, -2, 3, 5, 4, -1};
    static const float middle[] = {3, 1, 1};
    for (size_t r = 0; r < sizeof(rules) / sizeof(rules[0]); r++) {
        struct outcome outcome = run_ok(rules[r], data, 1, 3);
        assert_near(rules[r], outcome.values, data, 3, 1e-7);
        outcome_deinit(&outcome);
        outcome = run_ok(rules[r], data, 2, 3);
        assert_near(rules[r], outcome.values, middle, 3, 1e-7);
        outcome_deinit(&outcome);
    }
}

/* Also with denormals, whose squares vanish in f32 and in products of f32. */
static void equal_updates_give_that_update(void **state)
{
    static const float sizes[] = {1, 1e30f, 1e-30f, 1e-42f, 0};
    float data[N * D];
    for (size_t v = 0; v < sizeof(sizes) / sizeof(sizes[0]); v++) {
        for (size_t i = 0; i < N * D; i++)
            data[i] = sizes[v] * (1 + (float)(i % D));
        for (size_t r = 0; r < RULES; r++) {
            if (strstr(all_rules[r], "clipping") != nullptr)
                continue; /* clips to tau */
            struct outcome outcome = run_ok(all_rules[r], data, N, D);
            assert_near(all_rules[r], outcome.values, data, D, sizes[v] == 1e-42f ? 2e-3 : 1e-6);
            outcome_deinit(&outcome);
        }
    }
}

static void distances_of_denormals_are_told_apart(void **state)
{
    float data[5];
    static const float values[5] = {1, 2, 4, 8, 90};
    for (size_t i = 0; i < 5; i++)
        data[i] = values[i] * 1e-44f;
    struct outcome outcome = run_ok("krum f=1", data, 5, 1);
    /* Scores with 2 neighbours: 1 + 9, 1 + 4, 4 + 9, ...: the second. */
    assert_true(outcome.report.is_selected[1]);
    outcome_deinit(&outcome);
}

static void ties_go_to_the_lowest_index(void **state)
{
    static const float line[] = {-1, 0, 1, 2, 3, -1};
    struct outcome outcome = run_ok("krum f=0", line, 3, 1); /* each has a neighbour at 1 */
    assert_true(outcome.report.is_selected[0]);
    outcome_deinit(&outcome);
    outcome = run_ok("multi_krum f=0 m=2 neighbours=byzfl", (const float[]){0, 5, 0, 5}, 4, 1);
    assert_true(outcome.report.is_selected[0] && outcome.report.is_selected[1]);
    outcome_deinit(&outcome);
    outcome = run_ok("krum f=1", (const float[]){9, 4, 4, 4, 4}, 5, 1);
    assert_true(outcome.report.is_selected[1]);
    outcome_deinit(&outcome);
}

/* x_i of a large matrix: three groups of one centre each, the last f elsewhere. */
static float *make_large(size_t n, size_t d)
{
    struct random random;
    random_init(&random, 6, 0, 0);
    float *const data = malloc(n * d * sizeof(*data));
    for (size_t i = 0; i < n; i++) {
        for (size_t k = 0; k < d; k++)
            data[i * d + k] = (float)(0.01 * random_normal(&random) +
                                      0.002 * (double)((i * k) % 3) + (i > n - 5 ? 0.05 : 0));
    }
    return data;
}

/*
 * Over SMALL_PRODUCTS (geometry.c), where the fast kernels measure: any number of threads, any
 * instruction set, rows apart or column by column.
 */
static void the_bits_are_the_same_however_they_are_computed(void **state)
{
    enum { n = 40, d = 1501 };
    float *const data = make_large(n, d);
    float *const turned = malloc(n * d * sizeof(*turned));
    for (size_t i = 0; i < n * d; i++)
        turned[i % d * n + i / d] = data[i];
    const struct strided_rows by_column = {turned, 1, n};
    for (size_t r = 0; r < RULES; r++) {
        struct outcome first = run_ok(all_rules[r], data, n, d);
        for (int v = 0; v < 3; v++) {
            setenv("FEDRA_CPU", v == 1 ? "ref" : "avx2", 1);
            assert_int_equal(kern_init(nullptr), STATUS_OK);
            struct outcome other = run_recipe(all_rules[r], data, n, d, v == 0 ? 2 : 3);
            assert_int_equal(other.status, STATUS_OK);
            if (memcmp(first.values, other.values, d * sizeof(float)) != 0 ||
                memcmp(first.report.weights, other.report.weights, n * sizeof(double)) != 0)
                fail_msg("%s: other bits (%d)", all_rules[r], v);
            outcome_deinit(&other);
        }
        unsetenv("FEDRA_CPU");
        assert_int_equal(kern_init(nullptr), STATUS_OK);
        const struct recipe recipe = recipe_of(all_rules[r]);
        const struct update_matrix matrix = update_matrix_strided(&by_column, n, d);
        size_t size = 0;
        assert_int_equal(robust_workspace_size(&recipe, n, d, 2, &size, nullptr), STATUS_OK);
        uint8_t *const workspace = malloc(size + 1); /* any alignment will do */
        float *const values = malloc(d * sizeof(*values));
        assert_int_equal(robust_aggregate(&recipe, &matrix, 2, workspace + 1, size, values,
                                          &first.report, nullptr),
                         STATUS_OK);
        assert_memory_equal(values, first.values, d * sizeof(float));
        free(values);
        free(workspace);
        outcome_deinit(&first);
    }
    free(turned);
    free(data);
}

static double plain_distance(const float *x, const float *y, size_t d)
{
    double sum = 0;
    for (size_t k = 0; k < d; k++)
        sum += ((double)x[k] - (double)y[k]) * ((double)x[k] - (double)y[k]);
    return sum;
}

/*
 * The geometric median is where unit vectors to the updates cancel. Parameters far from the origin
 * and close together, where products of raw values would lose everything, as a fast path's test.
 */
static void the_geometric_median_balances_unit_vectors(void **state)
{
    enum { n = 40, d = 1501 };
    float *const data = make_large(n, d);
    for (size_t i = 0; i < n * d; i++)
        data[i] += 10;
    struct outcome outcome = run_ok("geometric_median", data, n, d);
    double *const sum = calloc(d, sizeof(*sum));
    for (size_t i = 0; i < n; i++) {
        const double distance = sqrt(plain_distance(data + i * d, outcome.values, d));
        for (size_t k = 0; k < d; k++)
            sum[k] += ((double)data[i * d + k] - (double)outcome.values[k]) / distance;
    }
    double norm = 0;
    for (size_t k = 0; k < d; k++)
        norm += sum[k] * sum[k];
    assert_true(sqrt(norm) < 1e-3 * n);
    free(sum);
    outcome_deinit(&outcome);
    free(data);
}

/* Krum from its definition, in f64, by insertion. */
static size_t plain_krum(const float *data, size_t n, size_t d, size_t f)
{
    size_t best = 0;
    double least = INFINITY;
    for (size_t i = 0; i < n; i++) {
        double sorted[64];
        size_t used = 0;
        for (size_t j = 0; j < n; j++) {
            if (j == i)
                continue;
            const double distance = plain_distance(data + i * d, data + j * d, d);
            size_t place = used++;
            for (; place > 0 && sorted[place - 1] > distance; place--)
                sorted[place] = sorted[place - 1];
            sorted[place] = distance;
        }
        double score = 0;
        for (size_t k = 0; k < n - f - 2; k++)
            score += sorted[k];
        if (score < least) {
            least = score;
            best = i;
        }
    }
    return best;
}

static void krum_on_close_updates_chooses_as_its_definition_does(void **state)
{
    enum { n = 40, d = 1501 };
    float *const data = make_large(n, d);
    /* Rows 3, 4 and 5 nearly coincide: only distances taken from the data tell them apart. */
    for (size_t k = 0; k < d; k++) {
        data[4 * d + k] = data[3 * d + k] + (k % 7 == 0 ? 1e-5f : 0);
        data[5 * d + k] = data[3 * d + k] - (k % 11 == 0 ? 2e-5f : 0);
    }
    for (size_t f = 1; f < 19; f += 8) {
        char words[32];
        snprintf(words, sizeof(words), "krum f=%zu", f);
        struct outcome outcome = run_ok(words, data, n, d);
        assert_true(outcome.report.is_selected[plain_krum(data, n, d, f)]);
        outcome_deinit(&outcome);
    }
    free(data);
}

/* Bulyan on whole numbers, by hand: n = 7, f = 1 chooses 5, keeps 3 nearest their median. */
static void bulyan_keeps_what_is_near_the_median_of_the_chosen(void **state)
{
    static const float line[] = {0, 1, 3, 4, 6, 7, 1000};
    struct outcome outcome = run_ok("bulyan f=1 selection=once", line, 7, 1);
    /* Scores with 4 neighbours: 62, 39, 23, 23, 39, 62, far: chosen 0, 1, 3, 4, 6; nearest to 3:
     * 3, 4, 1. */
    assert_true(fabsf(outcome.values[0] - 8.0f / 3) < 1e-6f);
    assert_true(outcome.report.is_selected[0] && !outcome.report.is_selected[5]);
    outcome_deinit(&outcome);
    outcome = run_ok("bulyan f=1", line, 7, 1);
    assert_false(outcome.report.is_selected[6]);
    size_t chosen = 0;
    for (size_t i = 0; i < 7; i++)
        chosen += outcome.report.is_selected[i] ? 1 : 0;
    assert_int_equal(chosen, 5);
    outcome_deinit(&outcome);
}

static void a_small_workspace_and_wrong_settings_are_refused(void **state)
{
    float data[N * D];
    float values[D];
    fill(data, N * D, 7);
    const struct recipe recipe = recipe_of("krum f=3");
    const struct strided_rows rows = {data, D, 1};
    const struct update_matrix matrix = update_matrix_strided(&rows, N, D);
    struct robust_report report = {0};
    struct error err = {0};
    assert_int_equal(robust_aggregate(&recipe, &matrix, 1, data, 64, values, &report, &err),
                     STATUS_INVAL);
    assert_non_null(strstr(err.text, "workspace"));
    struct recipe wrong = {0};
    static const char *const settings[] = {
        "tau",     "tau=",      "tau=x",        "tau=-1",    "m=1.5",   "m=0",
        "beta=.5", "s=0",       "neighbours=3", "seed=1e99", "nix=1",   "=1",
        "tau=1e",  "tau=1.2.3", "tau=0x1",      "tau=1 ",    "tau=inf", "tau=nan"};
    for (size_t i = 0; i < sizeof(settings) / sizeof(settings[0]); i++) {
        if (recipe_set_param(&wrong, settings[i], &err) != STATUS_INVAL)
            fail_msg("%s was taken", settings[i]);
    }
    assert_int_equal(recipe_set_param(&wrong, "tau=2.5e-1", &err), STATUS_OK);
    assert_true(wrong.values[PARAM_TAU] == 0.25);
    assert_int_equal(recipe_check(&wrong, &err), STATUS_INVAL); /* the mean has no tau */
    assert_int_equal(recipe_set_rule(&wrong, "nnm", &err), STATUS_INVAL);
    assert_int_equal(recipe_add_pre(&wrong, "krum", &err), STATUS_INVAL);
    assert_int_equal(recipe_set_rule(&wrong, "validated", &err), STATUS_INVAL);
    assert_non_null(strstr(err.text, "validated needs trusted samples"));
    assert_null(strstr(err.text, "filter, validated"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_order_of_updates_does_not_matter),
        cmocka_unit_test(a_translation_and_a_scale_go_through),
        cmocka_unit_test(liars_far_away_move_nothing),
        cmocka_unit_test(updates_that_are_not_finite_are_named_and_count_against_f),
        cmocka_unit_test(boundaries_are_those_of_the_definitions),
        cmocka_unit_test(one_update_and_two_updates_give_themselves_and_their_middle),
        cmocka_unit_test(equal_updates_give_that_update),
        cmocka_unit_test(distances_of_denormals_are_told_apart),
        cmocka_unit_test(ties_go_to_the_lowest_index),
        cmocka_unit_test(the_bits_are_the_same_however_they_are_computed),
        cmocka_unit_test(the_geometric_median_balances_unit_vectors),
        cmocka_unit_test(krum_on_close_updates_chooses_as_its_definition_does),
        cmocka_unit_test(bulyan_keeps_what_is_near_the_median_of_the_chosen),
        cmocka_unit_test(a_small_workspace_and_wrong_settings_are_refused),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}

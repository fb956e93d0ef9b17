/*
 * convergence_state_test.c - a state that was encoded goes on as if it never had been; what is
 * damaged is refused and changes nothing.
 */
#include "learn/convergence.h"

#include "base/random.h"

#include "alloc_fault.h"
#include "testing.h"

#include <math.h>
#include <string.h>

static const struct convergence_settings settings = {.window_size = 5,
                                                     .patience = 4,
                                                     .divergence_patience = 3,
                                                     .max_rounds = 1000,
                                                     .threshold = 0.01,
                                                     .divergence_threshold = 1};

static struct random random_from(uint64_t seed)
{
    struct random random;
    random_init(&random, seed, 0, 0);
    return random;
}

static void record_some(struct convergence *convergence, struct random *random, int rounds)
{
    for (int i = 0; i < rounds; i++) {
        const struct convergence_figures figures = {
            .round = convergence->recorded + 1,
            .loss = 1 + random_unit(random),
            .accuracy = (double)random_below(random, 100) / 100,
            .has_loss = random_below(random, 5) > 0,
            .has_accuracy = random_below(random, 5) > 0,
        };
        convergence_record(convergence, &figures);
    }
}

static void encode(const struct convergence *convergence, struct bytes *ret_state)
{
    bytes_init(ret_state, CONVERGENCE_STATE_BYTES_MAX);
    assert_int_equal(convergence_encode(convergence, ret_state), STATUS_OK);
}

static void an_encoded_state_goes_on_as_it_would_have(void **state)
{
    for (int rounds = 0; rounds < 30; rounds++) {
        struct random random = random_from(100 + (uint64_t)rounds);
        struct convergence kept;
        convergence_init(&kept, &settings);
        record_some(&kept, &random, rounds);
        struct bytes bytes;
        encode(&kept, &bytes);
        struct convergence read;
        convergence_init(&read, &settings);
        struct error err;
        assert_int_equal(convergence_decode(&read, bytes_slice(&bytes), &err), STATUS_OK);
        assert_memory_equal(&read, &kept, sizeof(read));
        for (int more = 0; more < 20; more++) {
            struct random same = random;
            record_some(&kept, &random, 1);
            record_some(&read, &same, 1);
            assert_int_equal(read.verdict, kept.verdict);
        }
        bytes_deinit(&bytes);
    }
}

static void the_largest_state_fits(void **state)
{
    struct convergence_settings widest = settings;
    widest.window_size = CONVERGENCE_WINDOW_MAX;
    struct convergence kept;
    convergence_init(&kept, &widest);
    for (uint64_t round = 1; round <= 250; round++) {
        const struct convergence_figures figures = {.round = round,
                                                    .loss = 1000 - (double)round,
                                                    .accuracy = (double)round / 1000,
                                                    .has_loss = true,
                                                    .has_accuracy = true};
        convergence_record(&kept, &figures);
    }
    assert_true(kept.best_losses[0] == 1000 - 150);
    struct bytes bytes;
    encode(&kept, &bytes);
    struct convergence read;
    convergence_init(&read, &widest);
    assert_int_equal(convergence_decode(&read, bytes_slice(&bytes), nullptr), STATUS_OK);
    assert_memory_equal(&read, &kept, sizeof(read));
    bytes_deinit(&bytes);
}

/* Every prefix, and one byte too many. */
static void what_is_cut_is_refused_and_changes_nothing(void **state)
{
    struct random random = random_from(7);
    struct convergence kept;
    convergence_init(&kept, &settings);
    record_some(&kept, &random, 12);
    struct bytes bytes;
    encode(&kept, &bytes);
    const struct convergence before = kept;
    for (size_t size = 0; size < bytes.size; size++) {
        struct error err = {0};
        const struct slice cut = {bytes.data, size};
        assert_int_equal(convergence_decode(&kept, cut, &err), STATUS_CORRUPT);
        assert_non_null(strstr(err.text, "convergence state"));
        assert_memory_equal(&kept, &before, sizeof(before));
    }
    assert_int_equal(bytes_append(&bytes, "", 1), STATUS_OK);
    assert_int_equal(convergence_decode(&kept, bytes_slice(&bytes), nullptr), STATUS_CORRUPT);
    bytes_deinit(&bytes);
}

static void another_version_is_named(void **state)
{
    struct convergence kept;
    convergence_init(&kept, &settings);
    struct bytes bytes;
    encode(&kept, &bytes);
    bytes.data[0]++;
    struct error err = {0};
    assert_int_equal(convergence_decode(&kept, bytes_slice(&bytes), &err), STATUS_VERSION);
    assert_non_null(strstr(err.text, "version 2"));
    bytes_deinit(&bytes);
}

/* Whatever is flipped is refused, or gives a state that can be gone on with and encoded again. */
static void flipped_bits_never_give_an_impossible_state(void **state)
{
    struct random random = random_from(9);
    struct convergence kept;
    convergence_init(&kept, &settings);
    record_some(&kept, &random, 12);
    struct bytes bytes;
    encode(&kept, &bytes);
    size_t refused = 0;
    for (size_t bit = 0; bit < 8 * bytes.size; bit++) {
        bytes.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
        struct convergence read;
        convergence_init(&read, &settings);
        const enum status status = convergence_decode(&read, bytes_slice(&bytes), nullptr);
        if (status == STATUS_OK) {
            struct bytes again;
            encode(&read, &again);
            assert_int_equal(again.size, bytes.size);
            assert_memory_equal(again.data, bytes.data, bytes.size);
            bytes_deinit(&again);
            struct random more = random_from(11);
            record_some(&read, &more, 20);
        }
        refused += status != STATUS_OK;
        bytes.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    assert_true(refused > bytes.size);
    bytes_deinit(&bytes);
}

/* A state whose histories were set to count values, as bytes. */
static enum status decode_histories(uint32_t losses, uint32_t accuracies, const double *values)
{
    struct bytes bytes;
    struct convergence read;
    uint8_t number[8];
    bytes_init(&bytes, 1 << 20);
    convergence_init(&read, &settings);
    read.recorded = 1000;
    read.best_round = 1;
    read.best_loss = losses > 0 ? values[losses - 1] : INFINITY;
    read.best_accuracy = accuracies > 0 ? -values[accuracies - 1] : -INFINITY;
    assert_int_equal(convergence_encode(&read, &bytes), STATUS_OK);
    store_u32le(bytes.data + bytes.size - 8, losses); /* the two counts end an empty state */
    store_u32le(bytes.data + bytes.size - 4, accuracies);
    for (uint32_t i = 0; i < losses + accuracies; i++) {
        const double value = i < losses ? values[i] : -values[i - losses];
        uint64_t bits;
        memcpy(&bits, &value, sizeof(bits));
        store_u64le(number, bits);
        assert_int_equal(bytes_append(&bytes, number, sizeof(number)), STATUS_OK);
    }
    const enum status status = convergence_decode(&read, bytes_slice(&bytes), nullptr);
    bytes_deinit(&bytes);
    return status;
}

static void a_best_so_far_that_worsens_is_impossible(void **state)
{
    const double right[] = {4, 3, 3, 1};
    const double worse[] = {4, 3, 3.5, 1};
    const double infinite[] = {INFINITY, 3, 2, 1};
    const double no_number[] = {4, NAN, 2, 1};
    assert_int_equal(decode_histories(4, 4, right), STATUS_OK);
    assert_int_equal(decode_histories(4, 0, right), STATUS_OK);
    assert_int_equal(decode_histories(0, 4, right), STATUS_OK);
    const double *const wrong[] = {worse, infinite, no_number};
    for (int i = 0; i < 3; i++) {
        assert_int_equal(decode_histories(4, 0, wrong[i]), STATUS_CORRUPT);
        assert_int_equal(decode_histories(0, 4, wrong[i]), STATUS_CORRUPT);
    }
}

static void histories_over_the_largest_window_are_refused(void **state)
{
    static double values[3 * CONVERGENCE_WINDOW_MAX];
    const uint32_t most = CONVERGENCE_WINDOW_MAX + 1;
    assert_int_equal(decode_histories(most, most, values), STATUS_OK);
    assert_int_equal(decode_histories(most + 1, 0, values), STATUS_CORRUPT);
    assert_int_equal(decode_histories(0, most + 1, values), STATUS_CORRUPT);
    assert_int_equal(decode_histories(2 * most, 3, values), STATUS_CORRUPT);
}

static struct convergence falling(uint32_t window_size, int rounds)
{
    struct convergence_settings falls = settings;
    falls.window_size = window_size;
    struct convergence convergence;
    convergence_init(&convergence, &falls);
    for (int round = 1; round <= rounds; round++) {
        const struct convergence_figures figures = {.round = (uint64_t)round,
                                                    .loss = 100 - round,
                                                    .accuracy = round / 128.0,
                                                    .has_loss = true,
                                                    .has_accuracy = true};
        convergence_record(&convergence, &figures);
    }
    return convergence;
}

/* From any window to any other: as if it always had been that one, as far as the rounds reach. */
static void a_window_that_changed_keeps_the_last_rounds(void **state)
{
    for (uint32_t before = 1; before < 12; before++)
        for (uint32_t after = 1; after < 12; after++) {
            const struct convergence kept = falling(before, 20);
            struct bytes bytes;
            encode(&kept, &bytes);
            struct convergence read = falling(after, 0);
            assert_int_equal(convergence_decode(&read, bytes_slice(&bytes), nullptr), STATUS_OK);
            const uint32_t count = (before < after ? before : after) + 1;
            assert_int_equal(read.settings.window_size, after);
            assert_int_equal(read.loss_count, count);
            assert_int_equal(read.accuracy_count, count);
            for (uint32_t i = 0; i < count; i++) {
                assert_true(read.best_losses[i] == 100.0 - (20 - (count - 1) + i));
                assert_true(read.best_accuracies[i] == (20 - (count - 1) + i) / 128.0);
            }
            bytes_deinit(&bytes);
        }
}

static void a_buffer_that_cannot_grow_is_left_as_it_was(void **state)
{
    const struct convergence kept = falling(5, 20);
    struct bytes bytes;
    bytes_init(&bytes, 100);
    assert_int_equal(convergence_encode(&kept, &bytes), STATUS_LIMIT);
    assert_int_equal(bytes.size, 0);
    bytes_deinit(&bytes);
    bytes_init(&bytes, CONVERGENCE_STATE_BYTES_MAX);
    alloc_fault_at(0);
    assert_int_equal(convergence_encode(&kept, &bytes), STATUS_NO_MEMORY);
    assert_true(alloc_fault_off());
    assert_int_equal(bytes.size, 0);
    assert_int_equal(convergence_encode(&kept, &bytes), STATUS_OK);
    bytes_deinit(&bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_encoded_state_goes_on_as_it_would_have),
        cmocka_unit_test(the_largest_state_fits),
        cmocka_unit_test(what_is_cut_is_refused_and_changes_nothing),
        cmocka_unit_test(another_version_is_named),
        cmocka_unit_test(flipped_bits_never_give_an_impossible_state),
        cmocka_unit_test(a_best_so_far_that_worsens_is_impossible),
        cmocka_unit_test(histories_over_the_largest_window_are_refused),
        cmocka_unit_test(a_window_that_changed_keeps_the_last_rounds),
        cmocka_unit_test(a_buffer_that_cannot_grow_is_left_as_it_was),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}

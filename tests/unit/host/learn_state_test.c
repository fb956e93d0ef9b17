/*
 * learn_state_test.c - what a job carries from round to round, as bytes: they are read as they were
 * written, those of a Fedra that knew convergence only too; what is damaged is refused.
 */
#include "host/learn_state.h"

#include "testing.h"

#include <string.h>

static const struct convergence_settings settings = {.window_size = 3,
                                                     .patience = 2,
                                                     .divergence_patience = 3,
                                                     .max_rounds = 1000,
                                                     .threshold = 0.01,
                                                     .divergence_threshold = 1};
static const struct validated seen = {.excess = {0, 0.25, 1, 1e-300}};

static struct convergence two_rounds(void)
{
    struct convergence convergence;
    convergence_init(&convergence, &settings);
    for (uint64_t round = 1; round <= 2; round++)
        convergence_record(&convergence, &(struct convergence_figures){.round = round,
                                                                       .loss = 3.0 / (double)round,
                                                                       .has_loss = true});
    return convergence;
}

static void encode(const struct validated *validated, struct bytes *ret_bytes)
{
    const struct convergence convergence = two_rounds();
    bytes_init(ret_bytes, 1 << 16);
    assert_int_equal(learn_state_encode(&convergence, validated, ret_bytes), STATUS_OK);
}

static enum status decode(struct slice bytes, struct convergence *ret_read,
                          struct validated *ret_validated)
{
    convergence_init(ret_read, &settings);
    memset(ret_validated, 0xff, sizeof(*ret_validated));
    return learn_state_decode(bytes, ret_read, ret_validated, nullptr);
}

static void both_are_read_as_they_were_written(void **state)
{
    struct bytes bytes;
    struct convergence read;
    struct validated validated;
    encode(&seen, &bytes);
    assert_int_equal(decode(bytes_slice(&bytes), &read, &validated), STATUS_OK);
    assert_memory_equal(&validated, &seen, sizeof(seen));
    assert_int_equal(read.recorded, 2);
    assert_true(read.best_loss == 1.5);
    bytes_deinit(&bytes);
}

static void convergence_alone_is_read_and_written_as_ever(void **state)
{
    static const struct validated none = {0};
    const struct convergence convergence = two_rounds();
    struct bytes bytes;
    struct bytes old;
    struct convergence read;
    struct validated validated;
    encode(nullptr, &bytes);
    bytes_init(&old, 1 << 16);
    assert_int_equal(convergence_encode(&convergence, &old), STATUS_OK);
    assert_int_equal(bytes.size, old.size);
    assert_memory_equal(bytes.data, old.data, old.size);
    assert_int_equal(decode(bytes_slice(&old), &read, &validated), STATUS_OK);
    assert_int_equal(read.recorded, 2);
    assert_memory_equal(&validated, &none, sizeof(none));
    bytes_deinit(&bytes);
    bytes_deinit(&old);
}

static void damage_is_refused_and_changes_nothing(void **state)
{
    struct bytes bytes;
    struct convergence read;
    struct validated validated;
    struct validated untouched;
    memset(&untouched, 0xff, sizeof(untouched));
    encode(&seen, &bytes);
    for (size_t size = 0; size < bytes.size; size++) {
        assert_int_equal(decode((struct slice){bytes.data, size}, &read, &validated),
                         STATUS_CORRUPT);
        assert_memory_equal(&validated, &untouched, sizeof(untouched));
        assert_int_equal(read.recorded, 0);
    }
    assert_int_equal(bytes_append(&bytes, "", 1), STATUS_OK);
    assert_int_equal(decode(bytes_slice(&bytes), &read, &validated), STATUS_CORRUPT);
    bytes.size--;
    const size_t last = bytes.size - 8; /* the last excess: 1e-300, then 2 and -1 */
    store_u64le(bytes.data + last, UINT64_C(0x4000000000000000));
    assert_int_equal(decode(bytes_slice(&bytes), &read, &validated), STATUS_CORRUPT);
    store_u64le(bytes.data + last, UINT64_C(0xbff0000000000000));
    assert_int_equal(decode(bytes_slice(&bytes), &read, &validated), STATUS_CORRUPT);
    store_u64le(bytes.data + last, UINT64_C(0x7ff8000000000000)); /* not a number */
    assert_int_equal(decode(bytes_slice(&bytes), &read, &validated), STATUS_CORRUPT);
    assert_memory_equal(&validated, &untouched, sizeof(untouched));
    store_u64le(bytes.data + last, 0);
    assert_int_equal(decode(bytes_slice(&bytes), &read, &validated), STATUS_OK);
    bytes.data[0] = 3; /* of a later Fedra */
    assert_int_equal(decode(bytes_slice(&bytes), &read, &validated), STATUS_VERSION);
    bytes_deinit(&bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_are_read_as_they_were_written),
        cmocka_unit_test(convergence_alone_is_read_and_written_as_ever),
        cmocka_unit_test(damage_is_refused_and_changes_nothing),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}

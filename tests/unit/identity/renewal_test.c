/*
 * renewal_test.c - the instants of a renewal, on a clock of the test's own.
 *
 * Goal: whatever the life and the seed, the first attempt lies between a half and two thirds of the
 * life, those after it are many before the end and few after it, and an operator hears of it in
 * time and once. Method: the machine is stepped through whole lives.
 */
#include "testing.h"

#include "identity/authority.h"
#include "identity/renewal.h"

static const int64_t epoch_ms = 1700000000000;
static const int64_t lives_ms[] = {10000, 12000, 30000, 60000, 3600000, 86400000, 31536000000};

enum { LIVES = sizeof(lives_ms) / sizeof(*lives_ms) };

static struct renewal of(uint64_t seed, int64_t life_ms)
{
    struct renewal renewal;
    renewal_init(&renewal, seed, true);
    renewal_begin(&renewal, epoch_ms, epoch_ms + life_ms, epoch_ms);
    return renewal;
}

/* The first instant at or after from, looked at tick by tick, at which an attempt is due. */
static int64_t next_due(struct renewal *renewal, int64_t from)
{
    while (!renewal_is_due(renewal, from))
        from += renewal_tick_ms(renewal);
    return from;
}

static void the_first_attempt_is_between_a_half_and_two_thirds_of_the_life(void **state)
{
    for (size_t i = 0; i < LIVES; i++) {
        int64_t first = INT64_MAX;
        int64_t last = 0;
        for (uint64_t seed = 0; seed < 200; seed++) {
            struct renewal renewal = of(seed, lives_ms[i]);
            assert_false(renewal_is_due(&renewal, epoch_ms + lives_ms[i] / 2 - 1));
            const int64_t due = next_due(&renewal, epoch_ms + lives_ms[i] / 2) - epoch_ms;
            assert_true(due * 3 < lives_ms[i] * 2);
            first = due < first ? due : first;
            last = due > last ? due : last;
        }
        /* Two hundred that began together do not ask together. */
        assert_true(last - first >= lives_ms[i] / 10);
    }
}

static void only_one_attempt_is_under_way(void **state)
{
    struct renewal renewal = of(1, 30000);
    const int64_t due = next_due(&renewal, epoch_ms);
    assert_false(renewal_is_due(&renewal, due));
    assert_false(renewal_is_due(&renewal, due + 30000));
    renewal_begin(&renewal, due, due + 30000, due);
    assert_false(renewal_is_due(&renewal, due + 14999));
    assert_true(next_due(&renewal, due) <= due + 20000);
}

static void failed_attempts_are_made_again_in_time_and_without_haste(void **state)
{
    for (size_t i = 0; i < LIVES; i++) {
        for (uint64_t seed = 0; seed < 20; seed++) {
            struct renewal renewal = of(seed, lives_ms[i]);
            const int64_t end = epoch_ms + lives_ms[i];
            int attempts = 0;
            int64_t before = 0;
            for (int64_t at = next_due(&renewal, epoch_ms); at < end; at = next_due(&renewal, at)) {
                assert_true(before == 0 || at - before >= RENEWAL_WAIT_MIN_MS / 2);
                assert_true(before == 0 ||
                            at - before <= RENEWAL_WAIT_MAX_MS + RENEWAL_TICK_MAX_MS);
                before = at;
                attempts++;
                renewal_failed(&renewal, at);
            }
            /* The last attempt before the end comes late enough to profit from a late recovery. */
            assert_true(end - before < lives_ms[i] / 10 || end - before < 2 * RENEWAL_WAIT_MAX_MS);
            assert_true(attempts >= 4);
        }
    }
}

static void after_the_end_it_is_tried_on_and_on(void **state)
{
    struct renewal renewal = of(3, 10000);
    int64_t at = next_due(&renewal, epoch_ms + 20000);
    for (int i = 0; i < 50; i++) {
        renewal_failed(&renewal, at);
        const int64_t next = next_due(&renewal, at);
        assert_true(next - at <= RENEWAL_WAIT_MAX_MS + RENEWAL_TICK_MAX_MS);
        at = next;
    }
}

static void what_is_overdue_when_it_is_read_is_asked_for_soon(void **state)
{
    for (uint64_t seed = 0; seed < 50; seed++) {
        struct renewal renewal;
        renewal_init(&renewal, seed, true);
        renewal_begin(&renewal, epoch_ms, epoch_ms + 3600000, epoch_ms + 3000000);
        const int64_t due = next_due(&renewal, epoch_ms + 3000000);
        assert_true(due <= epoch_ms + 3000000 + 30000 + RENEWAL_TICK_MAX_MS);
        renewal_begin(&renewal, epoch_ms, epoch_ms + 3600000, epoch_ms + 3600001); /* ended */
        assert_true(renewal_is_due(&renewal, epoch_ms + 3600001));
    }
}

static void who_does_not_ask_is_never_due_and_tells_all_the_same(void **state)
{
    struct renewal renewal;
    int told = 0;
    renewal_init(&renewal, 1, false);
    renewal_begin(&renewal, epoch_ms, epoch_ms + 60000, epoch_ms);
    for (int64_t at = epoch_ms; at < epoch_ms + 120000; at += 100) {
        assert_false(renewal_is_due(&renewal, at));
        told += renewal_take_notice(&renewal, at) != RENEWAL_NOTHING;
    }
    assert_int_equal(told, 2);
}

static void an_operator_hears_of_it_in_time_and_once(void **state)
{
    struct renewal renewal = of(1, 3600000);
    int64_t soon = 0;
    int64_t ended = 0;
    for (int64_t at = epoch_ms; at < epoch_ms + 2 * 3600000; at += 1000) {
        const enum renewal_notice notice = renewal_take_notice(&renewal, at);
        assert_false(notice == RENEWAL_ENDS_SOON && soon != 0);
        assert_false(notice == RENEWAL_ENDED && ended != 0);
        if (notice == RENEWAL_ENDS_SOON)
            soon = at;
        if (notice == RENEWAL_ENDED)
            ended = at;
    }
    assert_true(soon > epoch_ms + 2400000 && soon <= epoch_ms + 3600000 - 590000);
    assert_int_equal(ended, epoch_ms + 3600000);
    /* The next life has its own. */
    renewal_begin(&renewal, ended, ended + 10000, ended);
    assert_int_equal(renewal_take_notice(&renewal, ended + 1), RENEWAL_NOTHING);
    assert_int_equal(renewal_take_notice(&renewal, ended + 10000), RENEWAL_ENDED);
    assert_int_equal(renewal_take_notice(&renewal, ended + 10001), RENEWAL_NOTHING);
}

static void a_renewed_identity_gives_no_notice(void **state)
{
    struct renewal renewal = of(5, 30000);
    int64_t at = epoch_ms;
    for (int i = 0; i < 20; i++) {
        const int64_t due = next_due(&renewal, at);
        for (; at < due; at += 100)
            assert_int_equal(renewal_take_notice(&renewal, at), RENEWAL_NOTHING);
        renewal_begin(&renewal, due, due + 30000, due);
    }
}

static void the_life_is_counted_without_the_backdated_minute(void **state)
{
    assert_int_equal(renewal_life_begin_s(1000 - AUTHORITY_BACKDATE_S, 1030), 1000);
    assert_int_equal(renewal_life_begin_s(1000 - AUTHORITY_BACKDATE_S, 4600), 1000);
    /* Another issuer's, not dated back: then the whole of it counts. */
    assert_int_equal(renewal_life_begin_s(1000, 1030), 1000);
}

static void an_attempt_leaves_time_for_others(void **state)
{
    const struct renewal renewal = of(1, 12000);
    assert_int_equal(renewal_attempt_ms(&renewal, epoch_ms + 6000), 1500);
    assert_int_equal(renewal_attempt_ms(&renewal, epoch_ms + 11900), RENEWAL_ATTEMPT_MIN_MS);
    assert_int_equal(renewal_attempt_ms(&renewal, epoch_ms + 13000), RENEWAL_ATTEMPT_MAX_MS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_attempt_is_between_a_half_and_two_thirds_of_the_life),
        cmocka_unit_test(only_one_attempt_is_under_way),
        cmocka_unit_test(failed_attempts_are_made_again_in_time_and_without_haste),
        cmocka_unit_test(after_the_end_it_is_tried_on_and_on),
        cmocka_unit_test(what_is_overdue_when_it_is_read_is_asked_for_soon),
        cmocka_unit_test(who_does_not_ask_is_never_due_and_tells_all_the_same),
        cmocka_unit_test(an_operator_hears_of_it_in_time_and_once),
        cmocka_unit_test(a_renewed_identity_gives_no_notice),
        cmocka_unit_test(the_life_is_counted_without_the_backdated_minute),
        cmocka_unit_test(an_attempt_leaves_time_for_others),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}

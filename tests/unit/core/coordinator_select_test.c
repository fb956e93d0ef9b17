/*
 * coordinator_select_test.c - whom a round asks, drawn round after round by the machine itself.
 *
 * Goal: exact counts, a draw that favours nobody, rest where others are there, the same draw from
 * the same seed. Method: many rounds of many nodes; expected values from combinatorics.
 */
#include "coordinator_driver.h"

#include "testing.h"

#include <string.h>

static struct coordinator_settings settings_of(double share, double over_selection, uint32_t nodes)
{
    struct coordinator_settings settings = defaults();
    settings.share = share;
    settings.over_selection = over_selection;
    settings.start_nodes = nodes;
    settings.rounds_max = 1000000;
    settings.convergence.patience = 1000000;
    settings.seed = 11;
    return settings;
}

static void boot_many(struct coordinator_settings settings, uint32_t nodes)
{
    boot_with(settings);
    join_many(nodes);
    assert_int_equal(c.phase, COORDINATOR_COLLECTING);
}

static void a_share_is_asked_and_k_is_the_share_of_the_needed(void **state)
{
    static const struct {
        double share;
        double over_selection;
        double k;
        uint32_t nodes;
        uint32_t min_updates;
        uint32_t needed;
        uint32_t selected;
        uint32_t expected_k;
    } table[] = {
        {1, 0, 1, 7, 1, 7, 7, 7},
        {0.5, 0, 1, 10, 1, 5, 5, 5},
        {0.5, 0, 1, 11, 1, 6, 6, 6}, /* 5.5 */
        {0.3, 0, 1, 10, 1, 3, 3, 3}, /* a product that floating point makes a little more */
        {0.1, 0, 1, 7, 1, 1, 1, 1},
        {0.01, 0, 1, 7, 1, 1, 1, 1},
        {0.5, 0.3, 1, 20, 1, 10, 13, 10},
        {0.5, 0.3, 0.8, 20, 1, 10, 13, 8}, /* of the 10 needed, not of the 13 asked */
        {0.2, 0.1, 1, 20, 1, 4, 5, 4},     /* 4.4 are asked */
        {0.5, 1, 1, 10, 1, 5, 10, 5},
        {0.5, 2, 1, 10, 1, 5, 10, 5}, /* no more than there are */
        {1, 0.5, 0.5, 10, 1, 10, 10, 5},
        {0.1, 0, 1, 20, 3, 3, 3, 3}, /* fewer could not close the round */
        {0.1, 1, 0.5, 20, 3, 3, 6, 3},
        {0.5, 0, 1, 4, 4, 4, 4, 4},
    };
    for (size_t i = 0; i < sizeof(table) / sizeof(*table); i++) {
        struct coordinator_settings settings =
            settings_of(table[i].share, table[i].over_selection, table[i].nodes);
        settings.k_threshold = table[i].k;
        settings.min_updates = table[i].min_updates;
        boot_many(settings, table[i].nodes);
        assert_int_equal(c.needed, table[i].needed);
        assert_int_equal(c.selected, table[i].selected);
        assert_int_equal(count_selected(), table[i].selected);
        assert_int_equal(c.k, table[i].expected_k);
    }
}

static void who_is_not_drawn_hears_no_beacon_and_is_not_counted(void **state)
{
    boot_many(settings_of(0.5, 0, 10), 10);
    uint32_t asked = 0;
    for (uint32_t i = 0; i < 10; i++) {
        struct member *const member = member_of(name_of(i));
        const bool selected = member->selected;
        asked += selected;
        assert_int_equal(member_hears_beacon(member), selected);
        assert_int_equal(member->told, selected);
        assert_int_equal(member->asked_round, selected ? 1 : 0);
        const struct update_info info = update(name_of(i), 1);
        assert_int_equal(coordinator_screen(&c, &info),
                         selected ? REASON_UNSPECIFIED : REASON_NOT_SELECTED);
        join(name_of(i), 100 + i); /* again */
        assert_int_equal(effect(FX_SEND_BEACON) != nullptr, selected);
    }
    assert_int_equal(asked, 5);
}

/*
 * The number of times that each of n nodes is drawn in r rounds of m: the sum over nodes of
 * (count - r m/n)^2 / (r m/n (1 - m/n)) (n - 1) / n is distributed as chi-square of n - 1 degrees
 * of freedom. For 39, [18, 72] holds 99.7 %; the seed is fixed.
 */
static void everybody_is_as_likely_as_anybody(void **state)
{
    enum { NODES = 40, ROUNDS = 2000 };
    uint32_t drawn[NODES] = {0};
    uint32_t together = 0; /* the first two, in one round */
    boot_many(settings_of(0.25, 0, NODES), NODES);
    for (uint32_t round = 0; round < ROUNDS; round++) {
        assert_int_equal(c.selected, 10);
        for (uint32_t i = 0; i < NODES; i++)
            drawn[i] += member_of(name_of(i))->selected;
        together += member_of(name_of(0))->selected && member_of(name_of(1))->selected;
        run_round();
    }
    const double expected = ROUNDS * 0.25;
    double statistic = 0;
    for (uint32_t i = 0; i < NODES; i++) {
        assert_true(drawn[i] > 0); /* nobody starves */
        statistic += (drawn[i] - expected) * (drawn[i] - expected) / (expected * 0.75);
    }
    statistic *= (NODES - 1.0) / NODES;
    assert_true(statistic > 18 && statistic < 72);
    /* Pairs are independent but for the fixed size: 2000 * 10/40 * 9/39 = 115, sigma 10.4. */
    assert_true(together > 75 && together < 155);
}

static void a_cool_down_that_fits_makes_everybodys_turn_come_in_order(void **state)
{
    enum { NODES = 20 };
    struct coordinator_settings settings = settings_of(0.2, 0, NODES);
    settings.cooldown_rounds = 4;
    boot_many(settings, NODES);
    uint64_t last[NODES] = {0};
    for (uint64_t round = 1; round <= 200; round++) {
        assert_int_equal(count_selected(), 4);
        for (uint32_t i = 0; i < NODES; i++) {
            if (!member_of(name_of(i))->selected)
                continue;
            assert_true(last[i] == 0 || round - last[i] == 5);
            last[i] = round;
        }
        run_round();
    }
}

static void who_rests_is_asked_only_for_what_is_needed(void **state)
{
    struct coordinator_settings settings = settings_of(0.5, 0.5, 6);
    settings.cooldown_rounds = 10;
    boot_many(settings, 6);
    assert_int_equal(count_selected(), 5); /* 3 needed, 4.5 asked */
    uint32_t rested = 0;
    for (uint32_t i = 0; i < 6; i++) {
        if (!member_of(name_of(i))->selected)
            rested = i;
    }
    run_round();
    /* One is rested; two of those that rest make up for what is needed, none for the rest. */
    assert_true(member_of(name_of(rested))->selected);
    assert_int_equal(count_selected(), 3);
    assert_int_equal(c.selected, 3);
    assert_int_equal(c.needed, 3);
    run_round();
    assert_int_equal(count_selected(), 3); /* all rest */
}

static void a_cool_down_ends_after_its_rounds(void **state)
{
    struct coordinator_settings settings = settings_of(0.5, 0, 2);
    settings.cooldown_rounds = 1;
    boot_many(settings, 2);
    for (int round = 0; round < 20; round++) {
        const bool first = member_of(name_of(0))->selected;
        assert_true(first != member_of(name_of(1))->selected);
        run_round();
        assert_true(member_of(name_of(0))->selected != first); /* in turn */
    }
    /* Two of three rest for one round each: the third is always the rested one. */
    settings = settings_of(0.3, 0, 3);
    settings.cooldown_rounds = 2;
    boot_many(settings, 3);
    for (uint64_t round = 1; round <= 30; round++) {
        assert_int_equal(count_selected(), 1);
        for (uint32_t i = 0; i < 3; i++) {
            if (member_of(name_of(i))->selected && round > 3)
                assert_int_equal(member_of(name_of(i))->asked_round, round);
        }
        run_round();
    }
}

/* A bit for each node that is asked. */
static uint64_t drawn_now(void)
{
    uint64_t drawn = 0;
    for (uint32_t i = 0; i < c.roster.count; i++) {
        if (member_of(name_of(i))->selected)
            drawn |= UINT64_C(1) << i;
    }
    return drawn;
}

static void one_seed_gives_one_draw_and_another_another(void **state)
{
    uint64_t draws[3][10];
    for (int run = 0; run < 3; run++) {
        struct coordinator_settings settings = settings_of(0.5, 0, 40);
        settings.seed = run == 2 ? 12 : 11;
        boot_many(settings, 40);
        for (int round = 0; round < 10; round++) {
            draws[run][round] = drawn_now();
            run_round();
        }
    }
    assert_memory_equal(draws[0], draws[1], sizeof(draws[0]));
    for (int round = 0; round < 10; round++) {
        assert_true(draws[0][round] != draws[2][round]);
        for (int other = 0; other < round; other++)
            assert_true(draws[0][round] != draws[0][other]);
    }
}

static void a_restart_asks_the_same_nodes_again(void **state)
{
    struct coordinator_settings settings = settings_of(0.25, 0.2, 40);
    settings.cooldown_rounds = 2;
    boot_many(settings, 40);
    bool history_mattered = false;
    for (int round = 0; round < 12; round++) {
        run_round();
        const uint64_t drawn = drawn_now();
        struct coordinator_event start = stored();
        restart(settings, start);
        assert_int_equal(c.phase, COORDINATOR_COLLECTING);
        assert_true(drawn_now() == drawn);
        start.start.histories = nullptr;
        restart(settings, start);
        history_mattered |= drawn_now() != drawn;
        restart(settings, stored());
        join_many(40);
    }
    assert_true(history_mattered);
}

/* Only who is asked comes back at once; the others are drawn all the same, as if nothing was. */
static void who_was_there_before_a_restart_is_drawn_before_it_is_back(void **state)
{
    enum { NODES = 12, ROUNDS = 8 };
    struct coordinator_settings settings = settings_of(0.25, 0, NODES);
    uint64_t undisturbed[ROUNDS];
    settings.cooldown_rounds = 1;
    boot_many(settings, NODES);
    for (uint32_t round = 0; round < ROUNDS; round++) {
        undisturbed[round] = drawn_now();
        run_round();
    }
    boot_many(settings, NODES);
    for (uint32_t round = 0; round < ROUNDS; round++) {
        assert_true(drawn_now() == undisturbed[round]);
        for (uint32_t i = 0; i < NODES; i++) {
            const struct member *const member = member_of(name_of(i));
            if (member->selected && member->session == 0)
                join(name_of(i), 1000 * (round + 1) + i);
        }
        run_round();
        if (round < 3)
            restart(settings, stored());
    }
}

static void who_is_asked_in_vain_after_a_restart_is_reckoned_with_no_more(void **state)
{
    boot_many(settings_of(0.5, 0, 4), 4);
    run_round();
    struct coordinator_settings settings = settings_of(0.5, 0, 4);
    settings.k_threshold = 0.5;
    restart(settings, stored());
    assert_int_equal(c.selected, 2);
    uint32_t asked[4];
    uint32_t count = 0;
    for (uint32_t i = 0; i < 4; i++) {
        if (member_of(name_of(i))->selected)
            asked[count++] = i;
    }
    join(name_of(asked[0]), 50);
    run_round();
    for (uint32_t i = 0; i < 4; i++) {
        const struct member *const member = member_of(name_of(i));
        assert_int_equal(member_stays(member, c.round - 1), i != asked[1]);
    }
    assert_false(member_of(name_of(asked[1]))->selected);
    leave(50); /* who came back and went again is away, as anybody */
    run_round();
    assert_false(member_stays(member_of(name_of(asked[0])), c.round - 1));
}

static void a_repeat_keeps_what_came_and_draws_the_rest_anew(void **state)
{
    struct coordinator_settings settings = settings_of(0.5, 0, 20);
    settings.min_updates = 5;
    boot_many(settings, 20);
    const uint64_t first = drawn_now();
    uint32_t reported[2];
    uint32_t count = 0;
    for (uint32_t i = 0; i < 20 && count < 2; i++) {
        if (!member_of(name_of(i))->selected)
            continue;
        offer_and_fold(name_of(i), 1);
        reported[count++] = i;
    }
    tick(11 * SECOND);
    assert_int_equal(c.attempt, 1);
    assert_int_equal(c.selected, 10);
    assert_int_equal(count_selected(), 10);
    assert_int_equal(c.accepted, 2);
    assert_true(member_of(name_of(reported[0]))->selected);
    assert_true(member_of(name_of(reported[1]))->selected);
    const uint64_t second = drawn_now();
    assert_true(first != second);
    /* Who was asked first, and is not again, has done the work: it is taken. */
    for (uint32_t i = 0; i < 20; i++) {
        if ((first & ~second) >> i & 1) {
            struct update_info info = update(name_of(i), 1);
            info.key.attempt = 0;
            offer(&info);
            assert_non_null(effect(FX_RECEIPT_ACCEPTED));
            assert_int_equal(c.accepted, 3);
            assert_int_equal(c.selected, 11);
            assert_int_equal(count_selected(), 11);
            break;
        }
    }
    for (uint32_t i = 0; i < 20; i++) {
        const struct update_info info = update(name_of(i), 9);
        if (((first | second) >> i & 1) == 0)
            assert_int_equal(coordinator_screen(&c, &info), REASON_NOT_SELECTED);
    }
}

/* They may be hung, or have been refused for good: others are asked first, though they rest. */
static void a_repeat_asks_first_who_was_not_asked_yet(void **state)
{
    struct coordinator_settings settings = settings_of(0.5, 0, 4);
    settings.min_updates = 2;
    for (uint32_t cooldown = 0; cooldown < 3; cooldown++) {
        settings.cooldown_rounds = cooldown;
        boot_many(settings, 4);
        for (int round = 0; round < 10; round++) {
            uint64_t asked = drawn_now();
            uint32_t repeats = 0;
            /* Until everybody was asked: at once, but where the others rest as well. */
            for (; asked != 15; repeats++) {
                tick(11 * SECOND);
                assert_int_equal(count_selected(), 2);
                asked |= drawn_now();
            }
            assert_true(repeats == 1 || (cooldown > 0 && round > 0 && repeats < 40));
            run_round();
        }
    }
}

static void more_reports_than_are_asked_again_all_stay(void **state)
{
    struct coordinator_settings settings = settings_of(1, 0, 6);
    settings.min_updates = 5;
    boot_many(settings, 6);
    for (uint32_t i = 0; i < 4; i++)
        offer_and_fold(name_of(i), 1);
    for (uint32_t i = 0; i < 6; i++)
        leave(i + 1);
    tick(11 * SECOND);
    /* Nobody is left to be asked: the four that reported are the round's. */
    assert_int_equal(c.selected, 4);
    assert_int_equal(c.needed, 4);
    assert_int_equal(c.k, 5);
    assert_null(effect(FX_CLOSE));
    join(name_of(5), 20);
    assert_null(effect(FX_SEND_BEACON));
    tick(10 * SECOND);
    assert_int_equal(c.selected, 5);
    assert_true(member_of(name_of(5))->selected);
    offer_and_fold(name_of(5), 1);
    assert_non_null(effect(FX_CLOSE));
}

static void who_contributed_and_is_away_is_asked_once_more_but_not_in_a_repeat(void **state)
{
    struct coordinator_settings settings = settings_of(1, 0, 3);
    settings.min_updates = 2;
    boot_many(settings, 3);
    offer_and_fold(name_of(2), 1);
    leave(3);
    offer_and_fold(name_of(0), 1);
    offer_and_fold(name_of(1), 1);
    close_and_commit(1);
    assert_true(member_of(name_of(2))->selected);
    assert_int_equal(c.selected, 3);
    assert_false(member_of(name_of(2))->told);
    tick(11 * SECOND);
    assert_int_equal(c.attempt, 1);
    assert_false(member_of(name_of(2))->selected);
    assert_int_equal(c.selected, 2);
    /* It reported in no round since: away, it is asked no more. */
    offer_and_fold(name_of(0), 1);
    offer_and_fold(name_of(1), 1);
    close_and_commit(2);
    assert_int_equal(c.selected, 2);
    assert_false(member_of(name_of(2))->selected);
}

static void a_round_that_nobody_can_answer_asks_for_one(void **state)
{
    boot_many(settings_of(1, 0, 2), 2);
    leave(1);
    leave(2);
    tick(11 * SECOND);
    assert_int_equal(c.selected, 0);
    assert_int_equal(count_selected(), 0);
    assert_int_equal(c.k, 1);
    join(name_of(0), 5);
    tick(11 * SECOND);
    assert_int_equal(c.attempt, 2);
    assert_int_equal(c.selected, 1);
    assert_int_equal(must(FX_ANNOUNCE)->attempt, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_share_is_asked_and_k_is_the_share_of_the_needed),
        cmocka_unit_test(who_is_not_drawn_hears_no_beacon_and_is_not_counted),
        cmocka_unit_test(everybody_is_as_likely_as_anybody),
        cmocka_unit_test(a_cool_down_that_fits_makes_everybodys_turn_come_in_order),
        cmocka_unit_test(who_rests_is_asked_only_for_what_is_needed),
        cmocka_unit_test(a_cool_down_ends_after_its_rounds),
        cmocka_unit_test(one_seed_gives_one_draw_and_another_another),
        cmocka_unit_test(a_restart_asks_the_same_nodes_again),
        cmocka_unit_test(who_was_there_before_a_restart_is_drawn_before_it_is_back),
        cmocka_unit_test(who_is_asked_in_vain_after_a_restart_is_reckoned_with_no_more),
        cmocka_unit_test(a_repeat_keeps_what_came_and_draws_the_rest_anew),
        cmocka_unit_test(a_repeat_asks_first_who_was_not_asked_yet),
        cmocka_unit_test(more_reports_than_are_asked_again_all_stay),
        cmocka_unit_test(who_contributed_and_is_away_is_asked_once_more_but_not_in_a_repeat),
        cmocka_unit_test(a_round_that_nobody_can_answer_asks_for_one),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}

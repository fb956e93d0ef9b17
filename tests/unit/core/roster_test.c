/*
 * roster_test.c - members are found by name, in order, and a full roster forgets who may be
 * forgotten.
 */
#include "core/roster.h"

#include "testing.h"

#include <string.h>

enum { CAPACITY = 3 };

static struct member members[CAPACITY];
static uint32_t order[CAPACITY];
static struct roster roster;

static int setup(void **state)
{
    roster_init(&roster, members, order, CAPACITY);
    return 0;
}

static void members_are_listed_by_the_bytes_of_their_names(void **state)
{
    const uint32_t c = roster_add(&roster, "c");
    const uint32_t a = roster_add(&roster, "a");
    const uint32_t b = roster_add(&roster, "b");
    assert_int_equal(roster.count, 3);
    assert_int_equal(roster.order[0], a);
    assert_int_equal(roster.order[1], b);
    assert_int_equal(roster.order[2], c);
    assert_int_equal(roster_find(&roster, "b"), b);
    assert_int_equal(roster_find(&roster, "bb"), NO_MEMBER);
    assert_int_equal(roster_find(&roster, "z"), NO_MEMBER);
    assert_int_equal(roster_add(&roster, "a"), a);
    assert_int_equal(roster.count, 3);
}

static void a_full_roster_forgets_who_was_flagged_after_all_others(void **state)
{
    members[roster_add(&roster, "a")].reputation.flagged = 1;
    members[roster_add(&roster, "b")].reputation.rounds = 9;
    members[roster_add(&roster, "c")].reputation.flagged = 2;
    assert_int_not_equal(roster_add(&roster, "d"), NO_MEMBER);
    assert_int_equal(roster_find(&roster, "b"), NO_MEMBER);
    members[roster_find(&roster, "d")].session = 1;
    assert_int_not_equal(roster_add(&roster, "e"), NO_MEMBER); /* none else is left to forget */
    assert_int_equal(roster_find(&roster, "a"), NO_MEMBER);
    assert_int_not_equal(roster_find(&roster, "c"), NO_MEMBER);
}

static void a_full_roster_forgets_the_first_that_is_away_and_not_asked(void **state)
{
    members[roster_add(&roster, "a")].session = 1;
    members[roster_add(&roster, "b")].selected = true;
    const uint32_t c = roster_add(&roster, "c");
    assert_int_equal(roster_add(&roster, "d"), c);
    assert_int_equal(roster_find(&roster, "c"), NO_MEMBER);
    members[c].session = 2;
    assert_int_equal(roster_add(&roster, "e"), NO_MEMBER);
    assert_int_equal(roster.count, 3);
}

static void a_forgotten_place_is_used_again_as_new(void **state)
{
    const uint32_t b = roster_add(&roster, "b");
    members[b].contributed = true;
    members[b].settlement = SETTLE_COUNTED;
    members[roster_add(&roster, "d")].session = 1;
    members[roster_add(&roster, "c")].session = 2;
    assert_int_equal(roster_add(&roster, "a"), b);
    assert_false(members[b].contributed);
    assert_int_equal(members[b].settlement, SETTLE_NOTHING);
    assert_string_equal(members[b].name, "a");
    assert_string_equal(members[roster.order[0]].name, "a");
    assert_string_equal(members[roster.order[1]].name, "c");
    assert_string_equal(members[roster.order[2]].name, "d");
}

static void a_name_is_found_as_a_whole_up_to_its_longest(void **state)
{
    char longest[MEMBER_NAME_MAX];
    memset(longest, 'n', sizeof(longest) - 1);
    longest[sizeof(longest) - 1] = 0;
    const uint32_t index = roster_add(&roster, longest);
    assert_string_equal(members[index].name, longest);
    longest[sizeof(longest) - 2] = 0;
    assert_int_equal(roster_find(&roster, longest), NO_MEMBER);
    /* Bytes above 127 come last, as those of UTF-8 do. */
    const uint32_t high = roster_add(&roster, "\xc3\xa9");
    assert_int_equal(roster.order[1], high);
}

static void sessions_are_found_and_counted(void **state)
{
    const uint32_t a = roster_add(&roster, "a");
    members[a].session = 7;
    roster_add(&roster, "b");
    assert_int_equal(roster_find_session(&roster, 7), a);
    assert_int_equal(roster_find_session(&roster, 8), NO_MEMBER);
    assert_int_equal(roster_connected(&roster), 1);
}

static void who_hears_what_follows_from_its_state(void **state)
{
    struct member member = {.used = true, .session = 1, .selected = true};
    assert_true(member_hears_beacon(&member) && member_hears_finish(&member));
    member.recalling = true;
    assert_false(member_hears_beacon(&member) || member_hears_finish(&member));
    member.recalling = false;
    member.selected = false;
    assert_true(!member_hears_beacon(&member) && member_hears_finish(&member));
    member.session = 0;
    assert_false(member_hears_beacon(&member) || member_hears_finish(&member));
    member.used = false;
    assert_false(member_hears_beacon(&member) || member_hears_finish(&member));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(members_are_listed_by_the_bytes_of_their_names, setup),
        cmocka_unit_test_setup(a_full_roster_forgets_the_first_that_is_away_and_not_asked, setup),
        cmocka_unit_test_setup(a_full_roster_forgets_who_was_flagged_after_all_others, setup),
        cmocka_unit_test_setup(a_forgotten_place_is_used_again_as_new, setup),
        cmocka_unit_test_setup(a_name_is_found_as_a_whole_up_to_its_longest, setup),
        cmocka_unit_test_setup(sessions_are_found_and_counted, setup),
        cmocka_unit_test(who_hears_what_follows_from_its_state),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}

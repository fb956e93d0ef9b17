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
        cmocka_unit_test_setup(sessions_are_found_and_counted, setup),
        cmocka_unit_test(who_hears_what_follows_from_its_state),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}

/*
 * reason_test.c - the reasons of refusals: names, numbers and texts of the one list.
 */
#include "base/reason.h"

#include "testing.h"

#include <string.h>

static void a_reason_is_found_by_its_name_and_its_number(void **state)
{
#define X(name, lower, number, class, text)                                                        \
    assert_int_equal(reason_of_name(#lower), REASON_##name);                                       \
    assert_int_equal(reason_of_number(number), REASON_##name);                                     \
    assert_string_equal(reason_name(REASON_##name), #lower);                                       \
    assert_string_equal(reason_text(REASON_##name), text);                                         \
    assert_int_equal(reason_class_of(REASON_##name), REASON_CLASS_##class);
    REASON_LIST(X)
#undef X
}

static void what_is_no_reason_is_unspecified(void **state)
{
    assert_int_equal(reason_of_name(""), REASON_UNSPECIFIED);
    assert_int_equal(reason_of_name("ROUND_CLOSED"), REASON_UNSPECIFIED);
    assert_int_equal(reason_of_name("round_close"), REASON_UNSPECIFIED);
    assert_int_equal(reason_of_name("round_closed "), REASON_UNSPECIFIED);
    assert_int_equal(reason_of_number(1000000), REASON_UNSPECIFIED);
    assert_int_equal(reason_of_number(UINT32_MAX), REASON_UNSPECIFIED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_reason_is_found_by_its_name_and_its_number),
        cmocka_unit_test(what_is_no_reason_is_unspecified),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}

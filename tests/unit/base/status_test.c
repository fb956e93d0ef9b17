/*
 * status_test.c - each status has a name, a text and a class; error texts are built, prefixed and
 * cut.
 */
#include "base/status.h"

#include "testing.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

static void every_status_has_its_name_in_lower_case(void **state)
{
#define X(name, class, text)                                                                       \
    {                                                                                              \
        const char *upper = #name;                                                                 \
        const char *lower = status_name(STATUS_##name);                                            \
        assert_int_equal(strlen(lower), strlen(upper));                                            \
        for (size_t i = 0; upper[i] != 0; i++)                                                     \
            assert_int_equal(lower[i], tolower((unsigned char)upper[i]));                          \
    }
    STATUS_LIST(X)
#undef X
}

/* The classes that callers rely on for their reaction, by the rules of the design. */
static void classes_say_how_to_react(void **state)
{
    assert_int_equal(status_class_of(STATUS_OK), STATUS_CLASS_OK);
    assert_int_equal(status_class_of(STATUS_TIMEOUT), STATUS_CLASS_AGAIN);
    assert_int_equal(status_class_of(STATUS_SIGNATURE), STATUS_CLASS_PEER);
    assert_int_equal(status_class_of(STATUS_NO_MEMORY), STATUS_CLASS_LIMIT);
    assert_int_equal(status_class_of(STATUS_NO_SPACE), STATUS_CLASS_IO);
    assert_int_equal(status_class_of(STATUS_VERSION), STATUS_CLASS_CORRUPT);
    assert_int_equal(status_class_of(STATUS_NOT_FOUND), STATUS_CLASS_INVAL);
    assert_int_equal(status_class_of(STATUS_CANCELLED), STATUS_CLASS_CANCEL);
    assert_string_equal(status_text(STATUS_NO_SPACE), "no space left");
    assert_string_equal(status_text(STATUS_CANCELLED), "cancelled");
}

static void an_error_is_formatted_and_its_status_given_back(void **state)
{
    struct error err;
    assert_int_equal(error_set(&err, STATUS_INVAL, "line %d: %s", 7, "no such key"), STATUS_INVAL);
    assert_string_equal(err.text, "line 7: no such key");
    assert_int_equal(error_prefix(&err, STATUS_IO, "%s", "a.yaml"), STATUS_IO);
    assert_string_equal(err.text, "a.yaml: line 7: no such key");
}

static void an_error_number_is_explained(void **state)
{
    struct error err;
    char expected[ERROR_TEXT_MAX];
    (void)snprintf(expected, sizeof(expected), "key.pem: %s", strerror(EACCES));
    assert_int_equal(error_set_errno(&err, STATUS_IO, EACCES, "%s.pem", "key"), STATUS_IO);
    assert_string_equal(err.text, expected);
}

static void without_an_error_only_the_status_passes(void **state)
{
    assert_int_equal(error_set(nullptr, STATUS_LIMIT, "%s", "x"), STATUS_LIMIT);
    assert_int_equal(error_prefix(nullptr, STATUS_PEER, "%s", "x"), STATUS_PEER);
    assert_int_equal(error_set_errno(nullptr, STATUS_IO, EIO, "%s", "x"), STATUS_IO);
}

static void texts_too_long_are_cut_at_their_end(void **state)
{
    struct {
        struct error err;
        char guard[16];
    } box;
    char longer[2 * ERROR_TEXT_MAX];
    memset(longer, 'x', sizeof(longer));
    longer[sizeof(longer) - 1] = 0;
    memset(box.guard, 'g', sizeof(box.guard));

    (void)error_set(&box.err, STATUS_INVAL, "%s", longer);
    assert_int_equal(strlen(box.err.text), ERROR_TEXT_MAX - 1);
    (void)error_prefix(&box.err, STATUS_INVAL, "here");
    assert_int_equal(strlen(box.err.text), ERROR_TEXT_MAX - 1);
    assert_memory_equal(box.err.text, "here: xxx", 9);
    (void)error_prefix(&box.err, STATUS_INVAL, "%s", longer);
    assert_int_equal(strlen(box.err.text), ERROR_TEXT_MAX - 1);
    assert_memory_equal(box.err.text, "xxxx", 4);
    (void)error_set_errno(&box.err, STATUS_IO, EIO, "%s", longer);
    assert_int_equal(strlen(box.err.text), ERROR_TEXT_MAX - 1);
    for (size_t i = 0; i < sizeof(box.guard); i++)
        assert_int_equal(box.guard[i], 'g');
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_status_has_its_name_in_lower_case),
        cmocka_unit_test(classes_say_how_to_react),
        cmocka_unit_test(an_error_is_formatted_and_its_status_given_back),
        cmocka_unit_test(an_error_number_is_explained),
        cmocka_unit_test(without_an_error_only_the_status_passes),
        cmocka_unit_test(texts_too_long_are_cut_at_their_end),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}

/*
 * spiffe_id_test.c - the rules of SPIFFE-ID.md section 2, one by one, and Fedra's roles.
 */
#include "testing.h"

#include "identity/spiffe_id.h"

#include <string.h>

static enum status parse(const char *text, struct spiffe_id *id)
{
    return spiffe_id_parse(text, strlen(text), id, nullptr);
}

static void valid_ids_are_taken_apart(void **state)
{
    struct spiffe_id id;
    assert_int_equal(parse("spiffe://a.b-c_9", &id), STATUS_OK);
    assert_string_equal(id.path, "");
    assert_int_equal(parse("spiffe://example.org/Ns/._-Z9/...", &id), STATUS_OK);
    assert_string_equal(id.trust_domain, "example.org");
    assert_string_equal(id.path, "/Ns/._-Z9/...");
    assert_int_equal(id.role, SPIFFE_ROLE_OTHER);
}

static void every_broken_rule_is_refused(void **state)
{
    static const char *const bad[] = {
        "",
        "spiffe:",
        "spiffe://",
        "spiffe:///a",
        "SPIFFE://a/b",
        "https://a/b",
        "spiffe:/a/b",
        "spiffe://A/b",
        "spiffe://a:80/b",
        "spiffe://u@a/b",
        "spiffe://a/",
        "spiffe://a/b/",
        "spiffe://a//b",
        "spiffe://a/./b",
        "spiffe://a/../b",
        "spiffe://a/b/..",
        "spiffe://a/b?q",
        "spiffe://a/b#f",
        "spiffe://a/%41",
        "spiffe://a/b c",
        "spiffe://a?q",
        "spiffe://\xc3\xa9/b",
        "spiffe://a/\xc3\xa9",
        "spiffe://[::1]/b",
        " spiffe://a/b",
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct spiffe_id id = {.role = SPIFFE_ROLE_NODE};
        struct error err = {0};
        if (spiffe_id_parse(bad[i], strlen(bad[i]), &id, &err) != STATUS_INVAL)
            fail_msg("taken: %s", bad[i]);
        assert_true(err.text[0] != 0);
        assert_int_equal(id.role, SPIFFE_ROLE_NODE);
    }
}

static void a_zero_byte_inside_is_refused(void **state)
{
    struct spiffe_id id;
    assert_int_equal(spiffe_id_parse("spiffe://a/b\0c", 14, &id, nullptr), STATUS_INVAL);
    assert_int_equal(spiffe_id_parse("spiffe://a\0/b", 13, &id, nullptr), STATUS_INVAL);
}

static void two_hundred_and_fifty_five_bytes_fit_and_one_more_does_not(void **state)
{
    struct spiffe_id id;
    char text[256];
    memset(text, 'x', sizeof text);
    memcpy(text, "spiffe://a/", 11);
    assert_int_equal(spiffe_id_parse(text, 255, &id, nullptr), STATUS_OK);
    assert_int_equal(strlen(id.text), 255);
    assert_int_equal(spiffe_id_parse(text, 256, &id, nullptr), STATUS_INVAL);
}

static void roles_come_from_exact_paths_only(void **state)
{
    static const struct {
        const char *text;
        enum spiffe_role role;
        const char *name;
    } cases[] = {
        {"spiffe://d/fedra/coordinator", SPIFFE_ROLE_COORDINATOR, ""},
        {"spiffe://d/fedra/edge/z1", SPIFFE_ROLE_EDGE, "z1"},
        {"spiffe://d/fedra/node/n-1", SPIFFE_ROLE_NODE, "n-1"},
        {"spiffe://d/fedra/operator/o", SPIFFE_ROLE_OPERATOR, "o"},
        {"spiffe://d/fedra/authority", SPIFFE_ROLE_AUTHORITY, ""},
        {"spiffe://d/fedra/coordinator/x", SPIFFE_ROLE_OTHER, ""},
        {"spiffe://d/fedra/coordinators", SPIFFE_ROLE_OTHER, ""},
        {"spiffe://d/fedra/node", SPIFFE_ROLE_OTHER, ""},
        {"spiffe://d/fedra/node/a/b", SPIFFE_ROLE_OTHER, ""},
        {"spiffe://d/x/fedra/node/a", SPIFFE_ROLE_OTHER, ""},
        {"spiffe://d/Fedra/node/a", SPIFFE_ROLE_OTHER, ""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct spiffe_id id;
        assert_int_equal(parse(cases[i].text, &id), STATUS_OK);
        assert_int_equal(id.role, cases[i].role);
        assert_string_equal(id.name, cases[i].name);
    }
}

static void a_made_id_cannot_smuggle_another_role_or_path(void **state)
{
    struct spiffe_id id;
    assert_int_equal(spiffe_id_make("d.e", SPIFFE_ROLE_NODE, "a", &id, nullptr), STATUS_OK);
    assert_string_equal(id.text, "spiffe://d.e/fedra/node/a");
    assert_int_equal(spiffe_id_make("d", SPIFFE_ROLE_NODE, "a/b", &id, nullptr), STATUS_INVAL);
    assert_int_equal(spiffe_id_make("d", SPIFFE_ROLE_NODE, "", &id, nullptr), STATUS_INVAL);
    assert_int_equal(spiffe_id_make("d", SPIFFE_ROLE_COORDINATOR, "a", &id, nullptr), STATUS_INVAL);
    assert_int_equal(spiffe_id_make("d/x", SPIFFE_ROLE_COORDINATOR, "", &id, nullptr),
                     STATUS_INVAL);
    assert_int_equal(spiffe_id_make("d", SPIFFE_ROLE_OTHER, "a", &id, nullptr), STATUS_INVAL);
}

static void only_listed_roles_may_call(void **state)
{
    struct spiffe_id id;
    struct error err = {0};
    assert_int_equal(parse("spiffe://d/fedra/node/a", &id), STATUS_OK);
    assert_int_equal(spiffe_role_check(&id, SPIFFE_ROLE_NODE | SPIFFE_ROLE_EDGE, "Join", &err),
                     STATUS_OK);
    assert_int_equal(spiffe_role_check(&id, SPIFFE_ROLE_OPERATOR, "Submit", &err),
                     STATUS_PERMISSION);
    assert_non_null(strstr(err.text, "operator"));
    assert_int_equal(spiffe_role_check(&id, 0, "Submit", &err), STATUS_PERMISSION);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(valid_ids_are_taken_apart),
        cmocka_unit_test(every_broken_rule_is_refused),
        cmocka_unit_test(a_zero_byte_inside_is_refused),
        cmocka_unit_test(two_hundred_and_fifty_five_bytes_fit_and_one_more_does_not),
        cmocka_unit_test(roles_come_from_exact_paths_only),
        cmocka_unit_test(a_made_id_cannot_smuggle_another_role_or_path),
        cmocka_unit_test(only_listed_roles_may_call),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}

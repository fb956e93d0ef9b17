/*
 * ca_command_test.c - `fedra ca` as a user sees it: exit codes, what is printed, what is made.
 *
 * Identities are checked by identity_open, and by openssl's own `verify` where it is installed.
 */
#include "cli/ca_command.h"
#include "cli/options.h"
#include "identity/authority.h"
#include "identity/identity_files.h"

#include "testing.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { TEXT_MAX = 16384, ARGUMENTS_MAX = 20 };

static char folder[] = "/tmp/fedra-ca-XXXXXX";
static char out_text[TEXT_MAX];
static char err_text[TEXT_MAX];

static void read_text(const char *path, char ret_text[static TEXT_MAX])
{
    FILE *const file = fopen(path, "r");
    assert_non_null(file);
    ret_text[fread(ret_text, 1, TEXT_MAX - 1, file)] = 0;
    fclose(file);
}

/* Runs the subcommand in the test's folder; its standard output goes to where. */
static int run_to(const char *where, const char *const *arguments)
{
    int state = 0;
    fflush(nullptr);
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        char *argv[ARGUMENTS_MAX] = {strdup("ca")};
        int argc = 1;
        for (; arguments[argc - 1] != nullptr && argc < ARGUMENTS_MAX - 1; argc++)
            argv[argc] = strdup(arguments[argc - 1]);
        if (freopen(where, "w", stdout) == nullptr || freopen("stderr", "w", stderr) == nullptr)
            _exit(99);
        const int code = ca_command(argc, argv);
        fflush(nullptr);
        _exit(code);
    }
    assert_int_equal(waitpid(child, &state, 0), child);
    read_text("stderr", err_text);
    out_text[0] = 0;
    if (strcmp(where, "stdout") == 0)
        read_text(where, out_text);
    return WIFEXITED(state) ? WEXITSTATUS(state) : 255;
}

#define RUN(...) run_to("stdout", (const char *const[]){__VA_ARGS__, nullptr})

static void expect_ok(int code)
{
    if (code != 0 || err_text[0] != 0)
        fail_msg("exit code %d: %s", code, err_text);
}

static void expect_text(const char *text, const char *part)
{
    if (strstr(text, part) == nullptr)
        fail_msg("\"%s\" is not in \"%s\"", part, text);
}

static int make_authority(void **state)
{
    return system("rm -rf ca id other && mkdir other") != 0 ||
           authority_init("ca", "fedra.local", (int64_t)time(nullptr), nullptr) != STATUS_OK;
}

static struct identity *open_identity(const char *dir)
{
    struct identity *identity = nullptr;
    struct error err = {0};
    if (identity_open(dir, (int64_t)time(nullptr), &identity, &err) != STATUS_OK)
        fail_msg("%s", err.text);
    return identity;
}

static void init_makes_an_authority_and_says_so(void **state)
{
    struct authority *authority = nullptr;
    expect_ok(RUN("init", "--dir", "other/new", "--trust-domain", "site.example"));
    expect_text(out_text, "other/new");
    expect_text(out_text, "site.example");
    assert_int_equal(authority_open("other/new", &authority, nullptr), STATUS_OK);
    assert_string_equal(authority_trust_domain(authority), "site.example");
    authority_close(authority);
    expect_ok(RUN("init", "--dir=other/plain"));
    assert_int_equal(authority_open("other/plain", &authority, nullptr), STATUS_OK);
    assert_string_equal(authority_trust_domain(authority), "fedra.local");
    authority_close(authority);
}

static void init_does_not_touch_what_is_there(void **state)
{
    char before[TEXT_MAX], after[TEXT_MAX];
    read_text("ca/p256.key", before);
    assert_int_equal(RUN("init", "--dir", "ca"), 1);
    expect_text(err_text, "fedra ca init: ca is not empty");
    read_text("ca/p256.key", after);
    assert_string_equal(before, after);
}

static void issue_makes_an_identity_of_a_role(void **state)
{
    const int64_t start = (int64_t)time(nullptr);
    expect_ok(RUN("issue", "--dir", "ca", "--role", "node", "--name", "a", "--out", "id"));
    expect_text(out_text, "spiffe://fedra.local/fedra/node/a");
    struct identity *identity = open_identity("id");
    assert_string_equal(identity->svid.id.text, "spiffe://fedra.local/fedra/node/a");
    assert_string_equal(identity->envelope.id.text, "spiffe://fedra.local/fedra/node/a");
    assert_true(EVP_PKEY_is_a(identity->svid_key, "EC"));
    assert_true(EVP_PKEY_is_a(identity->envelope_key, "ML-DSA-65"));
    /* A day, but for the seconds that the test takes. */
    assert_in_range(identity->svid.not_after_unix_s, start + 3600, start + 3600 + 60);
    identity_close(identity);
}

static void issue_takes_an_id_a_life_and_a_kind_of_key(void **state)
{
    const int64_t start = (int64_t)time(nullptr);
    expect_ok(RUN("issue", "--dir=ca", "--id=spiffe://fedra.local/elsewhere/x", "--out=id",
                  "--ttl=15m", "--tls-key=ml-dsa-65"));
    struct identity *identity = open_identity("id");
    assert_string_equal(identity->svid.id.text, "spiffe://fedra.local/elsewhere/x");
    assert_true(EVP_PKEY_is_a(identity->svid_key, "ML-DSA-65"));
    assert_in_range(identity->svid.not_after_unix_s, start + 900, start + 960);
    identity_close(identity);
}

static void issue_again_gives_new_keys(void **state)
{
    expect_ok(RUN("issue", "--dir", "ca", "--role", "coordinator", "--out", "id"));
    struct identity *one = open_identity("id");
    expect_ok(RUN("issue", "--dir", "ca", "--role", "coordinator", "--out", "id"));
    struct identity *two = open_identity("id");
    assert_int_equal(EVP_PKEY_eq(one->svid_key, two->svid_key), 0);
    assert_int_equal(EVP_PKEY_eq(one->envelope_key, two->envelope_key), 0);
    identity_close(one);
    identity_close(two);
}

static void openssl_verifies_what_was_issued(void **state)
{
    if (system("openssl version >/dev/null 2>&1") != 0) {
        fprintf(stderr, "skipped: there is no openssl here\n");
        skip();
    }
    expect_ok(RUN("issue", "--dir", "ca", "--role", "edge", "--name", "z", "--out", "id"));
    static const char verify[] = "openssl verify -x509_strict -purpose sslclient -CAfile "
                                 "id/bundle.pem id/%s.pem >/dev/null 2>stderr";
    static const char *const files[] = {"svid", "envelope"};
    for (size_t i = 0; i < 2; i++) {
        char command[256];
        snprintf(command, sizeof command, verify, files[i]);
        const int code = system(command);
        read_text("stderr", err_text);
        if (code != 0)
            fail_msg("%s: %s", files[i], err_text);
    }
}

static void issue_says_what_failed(void **state)
{
    assert_int_equal(RUN("issue", "--dir", "nowhere", "--role", "coordinator", "--out", "id"), 1);
    expect_text(err_text, "fedra ca issue: nowhere: ");
    assert_int_equal(RUN("issue", "--dir", "other", "--role", "coordinator", "--out", "id"), 1);
    expect_text(err_text, "`fedra ca init` makes one");
    assert_int_equal(RUN("issue", "--dir", "ca", "--id", "spiffe://two.test/a", "--out", "id"), 1);
    expect_text(err_text, "trust domain fedra.local");
    assert_int_equal(RUN("issue", "--dir", "ca", "--role", "node", "--out", "id"), 1);
    expect_text(err_text, "needs a name");
    assert_int_equal(RUN("issue", "--dir", "ca", "--role", "node", "--name", "a/b", "--out", "id"),
                     1);
    expect_text(err_text, "one path segment");
    /* The authority's own folder holds other files than an identity's. */
    assert_int_equal(RUN("issue", "--dir", "ca", "--role", "coordinator", "--out", "ca"), 1);
    assert_int_equal(access("ca/p256.key", F_OK), 0);
    assert_int_equal(chmod("ca/p256.key", 0644), 0);
    assert_int_equal(RUN("issue", "--dir", "ca", "--role", "coordinator", "--out", "id"), 1);
    expect_text(err_text, "chmod 600 ca/p256.key");
    assert_int_equal(access("id", F_OK), -1);
}

static void wrong_usage_is_2_and_says_what_would_be_right(void **state)
{
    static const struct {
        const char *arguments[12];
        const char *part;
    } cases[] = {
        {{nullptr}, "Usage: fedra ca ACTION"},
        {{"inti"}, "unknown action inti"},
        {{"init"}, "--dir DIR is missing"},
        {{"init", "--dir", "other/x", "--trust-domain", "Fedra"}, "lower case"},
        {{"init", "--dir", "other/x", "more"}, "too many"},
        {{"init", "--dri", "x"}, "did you mean --dir?"},
        {{"issue", "--out", "id", "--role", "coordinator"}, "--dir DIR is missing"},
        {{"issue", "--dir", "ca", "--role", "coordinator"}, "--out DIR is missing"},
        {{"issue", "--dir", "ca", "--out", "id"}, "either --id or --role"},
        {{"issue", "--dir", "ca", "--out", "id", "--role", "node", "--id", "spiffe://a/b"},
         "either --id or --role"},
        {{"issue", "--dir", "ca", "--out", "id", "--name", "x", "--id", "spiffe://a/b"},
         "--name goes with --role"},
        {{"issue", "--dir", "ca", "--out", "id", "--role", "nod"}, "right are coordinator, edge"},
        {{"issue", "--dir", "ca", "--out", "id", "--id", "node/a"}, "--id: "},
        {{"issue", "--dir", "ca", "--out", "id", "--role", "coordinator", "--ttl", "1w"},
         "--ttl: \"1w\" is no duration"},
        {{"issue", "--dir", "ca", "--out", "id", "--role", "coordinator", "--ttl", "0"},
         "--ttl: 0 s"},
        {{"issue", "--dir", "ca", "--out", "id", "--role", "coordinator", "--ttl", "367d"},
         "1s to 366d"},
        {{"issue", "--dir", "ca", "--out", "id", "--role", "coordinator", "--tls-key", "rsa"},
         "p256 and ml-dsa-65"},
        {{"show"}, "missing"},
        {{"show", "a", "b"}, "too many"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const int code = run_to("stdout", cases[i].arguments);
        if (code != EXIT_USAGE || strstr(err_text, cases[i].part) == nullptr || out_text[0] != 0)
            fail_msg("case %zu: exit code %d, \"%s\"", i, code, err_text);
    }
    assert_int_equal(access("id", F_OK), -1);
    assert_int_equal(access("other/x", F_OK), -1);
}

static void help_is_0_and_names_the_options(void **state)
{
    expect_ok(RUN("--help"));
    expect_text(out_text, "init");
    expect_ok(RUN("issue", "--help"));
    expect_text(out_text, "--tls-key");
    expect_ok(RUN("init", "--help"));
    expect_text(out_text, "--trust-domain");
    expect_ok(RUN("show", "--help"));
}

static void show_says_what_a_folder_and_a_file_hold(void **state)
{
    expect_ok(RUN("issue", "--dir", "ca", "--role", "operator", "--name", "o", "--out", "id"));
    struct identity *identity = open_identity("id");
    char key_id[DIGEST_HEX_MAX], fingerprint[DIGEST_HEX_MAX];
    digest_to_hex(&identity->envelope.key_id, key_id);
    digest_to_hex(&identity->svid.fingerprint, fingerprint);
    identity_close(identity);
    expect_ok(RUN("show", "id"));
    expect_text(out_text, "id/svid.pem:\nspiffe://fedra.local/fedra/operator/o\n");
    expect_text(out_text, "id/envelope.pem:\nspiffe://fedra.local/fedra/operator/o\n");
    expect_text(out_text, "id/bundle.pem:\nspiffe://fedra.local\n");
    expect_text(out_text, "  key          P-256\n");
    expect_text(out_text, "  key          ML-DSA-65\n");
    expect_text(out_text, key_id);
    expect_text(out_text, fingerprint);
    expect_ok(RUN("show", "id/svid.pem"));
    expect_text(out_text, fingerprint);
    assert_null(strstr(out_text, key_id));
    expect_ok(RUN("show", "ca"));
    expect_text(out_text, "ca/bundle.pem:\nspiffe://fedra.local\n");
    expect_text(out_text, "a root or CA");
}

static void show_tells_the_expired_and_the_not_yet_valid(void **state)
{
    const int64_t now = (int64_t)time(nullptr);
    assert_int_equal(authority_init("other/old", "a.test", now - INT64_C(3653) * 86400, nullptr),
                     STATUS_OK);
    assert_int_equal(authority_init("other/new", "a.test", now + 86400, nullptr), STATUS_OK);
    assert_int_equal(authority_init("other/one", "a.test", 1700000000, nullptr), STATUS_OK);
    expect_ok(RUN("show", "other/old"));
    expect_text(out_text, "(expired)");
    expect_ok(RUN("show", "other/new"));
    expect_text(out_text, "(not yet)");
    expect_ok(RUN("show", "other/one"));
    expect_text(out_text, "2023-11-14T22:12:20Z to 2033-11-13T22:13:20Z");
}

static void show_refuses_what_holds_no_certificate(void **state)
{
    assert_int_equal(RUN("show", "nowhere"), 1);
    expect_text(err_text, "fedra ca show: nowhere");
    assert_int_equal(RUN("show", "other"), 1);
    expect_text(err_text, "neither an identity nor an authority");
    assert_int_equal(RUN("show", "ca/p256.key"), 1);
    expect_text(err_text, "ca/p256.key: ");
    assert_int_equal(RUN("show", "/dev/zero"), 1);
    expect_text(err_text, "more than");
}

static void output_that_cannot_be_printed_is_a_failure(void **state)
{
    assert_int_equal(run_to("/dev/full", (const char *const[]){"show", "ca", nullptr}), 1);
    expect_text(err_text, "standard output");
}

static void durations_are_read_to_the_second(void **state)
{
    static const struct {
        const char *text;
        enum status status;
        uint32_t seconds;
    } cases[] = {
        {"30s", STATUS_OK, 30},
        {"15m", STATUS_OK, 900},
        {"24h", STATUS_OK, 86400},
        {"7d", STATUS_OK, 604800},
        {"0", STATUS_OK, 0},
        {"4294967295", STATUS_OK, UINT32_MAX},
        {"49710d", STATUS_OK, 4294944000},
        {"4294967296", STATUS_INVAL, 0},
        {"49711d", STATUS_INVAL, 0},
        {"99999999999999999999999s", STATUS_INVAL, 0},
        {"", STATUS_INVAL, 0},
        {"s", STATUS_INVAL, 0},
        {"-1", STATUS_INVAL, 0},
        {" 1", STATUS_INVAL, 0},
        {"1 h", STATUS_INVAL, 0},
        {"1.5h", STATUS_INVAL, 0},
        {"1hh", STATUS_INVAL, 0},
        {"1h30m", STATUS_INVAL, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        uint32_t seconds = 12345;
        struct error err = {0};
        const enum status status = ca_duration_parse(cases[i].text, &seconds, &err);
        if (status != cases[i].status || (status == STATUS_OK && seconds != cases[i].seconds) ||
            (status != STATUS_OK && (seconds != 12345 || err.text[0] == 0)))
            fail_msg("\"%s\": %s, %u", cases[i].text, status_name(status), seconds);
    }
}

#define WITH(name) cmocka_unit_test_setup(name, make_authority)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH(init_makes_an_authority_and_says_so),
        WITH(init_does_not_touch_what_is_there),
        WITH(issue_makes_an_identity_of_a_role),
        WITH(issue_takes_an_id_a_life_and_a_kind_of_key),
        WITH(issue_again_gives_new_keys),
        WITH(openssl_verifies_what_was_issued),
        WITH(issue_says_what_failed),
        WITH(wrong_usage_is_2_and_says_what_would_be_right),
        cmocka_unit_test(help_is_0_and_names_the_options),
        WITH(show_says_what_a_folder_and_a_file_hold),
        WITH(show_tells_the_expired_and_the_not_yet_valid),
        WITH(show_refuses_what_holds_no_certificate),
        WITH(output_that_cannot_be_printed_is_a_failure),
        cmocka_unit_test(durations_are_read_to_the_second),
    };
    char command[128];
    if (mkdtemp(folder) == nullptr || chdir(folder) != 0)
        return 1;
    const int failed = cmocka_run_group_tests(tests, nullptr, nullptr);
    snprintf(command, sizeof command, "rm -rf %s", folder);
    return system(command) != 0 ? 1 : failed;
}

/*
 * options_test.c - option parsing, and the choice of subcommands with their exit codes.
 */
#include "testing.h"

#include "cli/commands.h"
#include "cli/options.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static bool quiet;
static const char *file;
static uint64_t nodes;
static struct option_list sets;

static const struct option_spec specs[] = {
    {.name = "config", .letter = 'c', .value = "FILE", .help = "the configuration", .text = &file},
    {.name = "set", .value = "KEY=VALUE", .help = "override a key", .list = &sets},
    {.name = "quiet", .letter = 'q', .help = "say less", .flag = &quiet},
    {.name = "nodes", .value = "N", .help = "how many", .number = &nodes, .min = 1, .max = 100},
};

static const struct option_table table = {
    .usage = "try [OPTIONS] [WHAT]",
    .help = "Tries.",
    .specs = specs,
    .spec_count = 4,
    .operands_max = 1,
};

/* Parses up to seven arguments after the name "try". */
static enum status parse(const char *const *arguments, struct error *err, uint32_t *ret_operands,
                         char **ret_argv)
{
    static char copies[8][80];
    int argc = 1;
    quiet = false;
    file = nullptr;
    nodes = 0;
    sets.count = 0;
    strcpy(copies[0], "try");
    ret_argv[0] = copies[0];
    for (; arguments[argc - 1]; argc++) {
        snprintf(copies[argc], sizeof copies[0], "%s", arguments[argc - 1]);
        ret_argv[argc] = copies[argc];
    }
    ret_argv[argc] = nullptr;
    return options_parse(&table, argc, ret_argv, err, ret_operands);
}

static void options_of_each_form_are_taken(void **state)
{
    const char *const arguments[] = {"-c",    "a.yaml",     "--set",      "x=1",
                                     "there", "--set=y=2=", "--nodes=10", nullptr};
    char *argv[9];
    uint32_t operands = 0;
    assert_int_equal(parse(arguments, nullptr, &operands, argv), STATUS_OK);
    assert_string_equal(file, "a.yaml");
    assert_int_equal(sets.count, 2);
    assert_string_equal(sets.items[0], "x=1");
    assert_string_equal(sets.items[1], "y=2=");
    assert_int_equal(nodes, 10);
    assert_int_equal(operands, 1);
    assert_string_equal(argv[1], "there");
    assert_false(quiet);
}

static void two_dashes_end_the_options(void **state)
{
    const char *const arguments[] = {"-q", "--", "--nodes", nullptr};
    char *argv[9];
    uint32_t operands = 0;
    assert_int_equal(parse(arguments, nullptr, &operands, argv), STATUS_OK);
    assert_true(quiet);
    assert_string_equal(argv[1], "--nodes");
    assert_int_equal(operands, 1);
}

static void wrong_options_say_what_would_be_right(void **state)
{
    static const struct {
        const char *arguments[4];
        const char *text;
    } cases[] = {
        {{"--confg=x"}, "unknown option --confg, did you mean --config?"},
        {{"--zzzzzzzzz"}, "unknown option --zzzzzzzzz, --help lists those there are"},
        {{"-nodes", "3"}, "unknown option -nodes, did you mean --nodes?"},
        {{"--hlep"}, "unknown option --hlep, did you mean --help?"},
        {{"--nodse=3"}, "unknown option --nodse, did you mean --nodes?"},
        {{"-x"}, "unknown option -x, --help lists those there are"},
        {{"-cx"}, "unknown option -cx, --help lists those there are"},
        {{"--config"}, "--config needs a value, --config FILE is wanted"},
        {{"--quiet=1"}, "--quiet takes no value"},
        {{"--nodes", "0"}, "--nodes: \"0\" is not usable, a whole number from 1 to 100 is wanted"},
        {{"--nodes", "1x"},
         "--nodes: \"1x\" is not usable, a whole number from 1 to 100 is wanted"},
        {{"--nodes", "-1"},
         "--nodes: \"-1\" is not usable, a whole number from 1 to 100 is wanted"},
        {{"--nodes=99999999999999999999"},
         "--nodes: \"99999999999999999999\" is not usable, a whole number from 1 to 100 is wanted"},
        {{"a", "b"}, "an argument too many, fedra try [OPTIONS] [WHAT] is wanted"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct error err = {0};
        char *argv[9];
        uint32_t operands = 7;
        assert_int_equal(parse(cases[i].arguments, &err, &operands, argv), STATUS_INVAL);
        assert_string_equal(err.text, cases[i].text);
        assert_int_equal(operands, 7);
    }
}

static void help_is_made_of_the_table(void **state)
{
    char *text = nullptr;
    size_t size = 0;
    FILE *const out = open_memstream(&text, &size);
    options_write_help(&table, out);
    fclose(out);
    assert_string_equal(text, "Usage: fedra try [OPTIONS] [WHAT]\n\nTries.\n\nOptions:\n"
                              "  -c, --config FILE          the configuration\n"
                              "      --set KEY=VALUE        override a key\n"
                              "  -q, --quiet                say less\n"
                              "      --nodes N              how many\n"
                              "  -h, --help                 show this\n");
    free(text);
}

static void a_long_help_is_broken_at_spaces(void **state)
{
    struct option_table shape = {.usage = "try", .help = nullptr};
    char words[512] = "";
    char *text = nullptr;
    size_t size = 0;
    for (int i = 0; i < 40; i++)
        strcat(words, i == 20 ? "word\n\n" : "word ");
    shape.help = words;
    FILE *const out = open_memstream(&text, &size);
    options_write_help(&shape, out);
    fclose(out);
    size_t longest = 0;
    for (char *at = text; *at != 0; at += strcspn(at, "\n") + (at[strcspn(at, "\n")] != 0)) {
        const size_t length = strcspn(at, "\n");
        longest = length > longest ? length : longest;
    }
    assert_int_equal(longest, 89); /* 18 words of 4 letters and the 17 spaces between them */
    assert_non_null(strstr(text, "word\n\nword"));
    free(text);
}

/* Runs fedra with the words of line; its exit code, and its standard error in ret_text. */
static int run(const char *line, char *ret_text, size_t capacity)
{
    char copy[256];
    char program[] = "fedra";
    char *argv[16] = {program};
    int argc = 1;
    snprintf(copy, sizeof copy, "%s", line);
    for (char *word = strtok(copy, " "); word && argc < 15; word = strtok(nullptr, " "))
        argv[argc++] = word;
    FILE *const caught = tmpfile();
    assert_non_null(caught);
    fflush(nullptr);
    const int saved_out = dup(STDOUT_FILENO);
    const int saved_err = dup(STDERR_FILENO);
    const int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
    dup2(null, STDOUT_FILENO);
    dup2(fileno(caught), STDERR_FILENO);
    const int code = commands_run(argc, argv);
    fflush(nullptr);
    dup2(saved_out, STDOUT_FILENO);
    dup2(saved_err, STDERR_FILENO);
    close(saved_out);
    close(saved_err);
    close(null);
    rewind(caught);
    ret_text[fread(ret_text, 1, capacity - 1, caught)] = 0;
    fclose(caught);
    return code;
}

static void commands_answer_with_their_exit_codes(void **state)
{
    static const struct {
        const char *line;
        int code;
        const char *text; /* what standard error begins with */
    } cases[] = {
        {"", 2, "Usage: fedra COMMAND"},
        {"--help", 0, ""},
        {"help", 0, ""},
        {"help version", 0, ""},
        {"help config", 0, ""},
        {"version", 0, ""},
        {"--version", 0, ""},
        {"version x", 2, "fedra: an argument too many, fedra version is wanted\n"},
        {"verzion", 2, "fedra: unknown command verzion, did you mean version?\n"},
        {"help confg", 2, "fedra: unknown command confg, did you mean config?\n"},
        {"qqqqqqqqqq", 2,
         "fedra: unknown command qqqqqqqqqq, `fedra --help` lists those there are\n"},
        {"config", 2, "Usage: fedra config ACTION"},
        {"help config shwo", 2, "fedra config: unknown action shwo, did you mean show?\n"},
        {"help config show", 0, ""},
        {"help --markdown", 0, ""},
        {"config chek", 2, "fedra config: unknown action chek, did you mean check?\n"},
        {"config qqqqqqqq", 2,
         "fedra config: unknown action qqqqqqqq, `fedra config --help` lists those there are\n"},
        {"config --help", 0, ""},
        {"ca isue", 2, "fedra ca: unknown action isue, did you mean issue?\n"},
        {"config check", 2, "fedra: an argument is missing, fedra config check FILE"},
        {"config check /nonexistent", 1,
         "/nonexistent: cannot be opened: No such file or directory\n"},
        {"config docs", 0, ""},
        {"config keys train.", 0, ""},
        {"config keys zzz", 1, "fedra config keys: no key begins with that\n"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char text[4096];
        const int code = run(cases[i].line, text, sizeof text);
        if (code != cases[i].code || strncmp(text, cases[i].text, strlen(cases[i].text)) != 0 ||
            (!cases[i].text[0] && text[0]))
            fail_msg("fedra %s: exit code %d and \"%s\"", cases[i].line, code, text);
    }
}

static void config_check_and_show_read_a_file(void **state)
{
    char path[] = "/tmp/fedra-config-XXXXXX";
    char line[128];
    char text[1024];
    const int fd = mkstemp(path);
    assert_int_equal(write(fd, "schema: 1\n", 10), 10);
    close(fd);
    snprintf(line, sizeof line, "config check %s", path);
    assert_int_equal(run(line, text, sizeof text), 0);
    snprintf(line, sizeof line, "config show %s --set train.momentum=0.5", path);
    assert_int_equal(run(line, text, sizeof text), 0);
    snprintf(line, sizeof line, "config check %s --set train.momentum=5", path);
    assert_int_equal(run(line, text, sizeof text), 1);
    assert_string_equal(text, "--set 1: train.momentum: 5 is out of range, a number from 0 to "
                              "0.9999 is wanted\n");
    unlink(path);
}

/* docs/commands.md is what `fedra help --markdown` prints. */
static void the_reference_of_commands_is_what_the_program_says(void **state)
{
    static char stored[1 << 18];
    static char now[1 << 18];
    char path[512];
    char words[][12] = {"fedra", "help", "--markdown"};
    char *argv[] = {words[0], words[1], words[2], nullptr};
    snprintf(path, sizeof path, "%s/docs/commands.md", getenv("FEDRA_SOURCE"));
    FILE *const reference = fopen(path, "r");
    if (reference == nullptr)
        fail_msg("%s is missing: build/fedra help --markdown > docs/commands.md", path);
    stored[fread(stored, 1, sizeof stored - 1, reference)] = 0;
    fclose(reference);
    FILE *const caught = tmpfile();
    assert_non_null(caught);
    fflush(nullptr);
    const int saved = dup(STDOUT_FILENO);
    dup2(fileno(caught), STDOUT_FILENO);
    const int code = commands_run(3, argv);
    fflush(nullptr);
    dup2(saved, STDOUT_FILENO);
    close(saved);
    rewind(caught);
    now[fread(now, 1, sizeof now - 1, caught)] = 0;
    fclose(caught);
    assert_int_equal(code, 0);
    if (strcmp(stored, now) != 0)
        fail_msg("docs/commands.md is stale: build/fedra help --markdown > docs/commands.md");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(options_of_each_form_are_taken),
        cmocka_unit_test(two_dashes_end_the_options),
        cmocka_unit_test(wrong_options_say_what_would_be_right),
        cmocka_unit_test(help_is_made_of_the_table),
        cmocka_unit_test(a_long_help_is_broken_at_spaces),
        cmocka_unit_test(commands_answer_with_their_exit_codes),
        cmocka_unit_test(config_check_and_show_read_a_file),
        cmocka_unit_test(the_reference_of_commands_is_what_the_program_says),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}

/*
 * aggregate_command_test.c - the subcommand `fedra aggregate` as a user sees it: exit codes, the
 * report, the file, and that a failure leaves nothing. argv[1] is the python script that checks the
 * numbers.
 */
#include "cli/aggregate_command.h"
#include "tensor/safetensors.h"

#include "testing.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { TEXT_MAX = 16384, ARGUMENTS_MAX = 16 };

static const char *script;
static char folder[] = "/tmp/fedra-aggregate-XXXXXX";
static char out_text[TEXT_MAX];
static char err_text[TEXT_MAX];

static int exit_code_of(pid_t child)
{
    int state = 0;
    assert_int_equal(waitpid(child, &state, 0), child);
    return WIFEXITED(state) ? WEXITSTATUS(state) : 255;
}

static void read_text(const char *path, char ret_text[static TEXT_MAX])
{
    FILE *const file = fopen(path, "r");
    assert_non_null(file);
    const size_t size = fread(ret_text, 1, TEXT_MAX - 1, file);
    ret_text[size] = 0;
    fclose(file);
}

/* Runs the subcommand in the test's folder; standard output goes to where. */
static int run_to(const char *where, const char *const *arguments)
{
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        char *argv[ARGUMENTS_MAX] = {strdup("aggregate")};
        int argc = 1;
        for (; arguments[argc - 1] != nullptr; argc++)
            argv[argc] = strdup(arguments[argc - 1]);
        if (freopen(where, "w", stdout) == nullptr || freopen("stderr", "w", stderr) == nullptr)
            _exit(99);
        const int code = aggregate_command(argc, argv);
        fflush(nullptr);
        _exit(code);
    }
    const int code = exit_code_of(child);
    read_text("stderr", err_text);
    return code;
}

#define RUN(...) run_to("stdout", (const char *const[]){__VA_ARGS__, nullptr})

/* Two updates, (1, 2) and (3, 6). */
static void write_updates(void)
{
    static const float rows[] = {1, 2, 3, 6};
    struct layout_builder *builder = nullptr;
    struct layout *layout = nullptr;
    assert_int_equal(layout_builder_create(&builder), STATUS_OK);
    assert_int_equal(layout_builder_add(builder, "w", 1, DTYPE_F32, 2, (uint64_t[]){2, 2}, nullptr),
                     STATUS_OK);
    assert_int_equal(layout_builder_finish(builder, &layout, nullptr), STATUS_OK);
    layout_builder_destroy(builder);
    assert_int_equal(safetensors_write_file("in", layout, nullptr, 0, rows, nullptr), STATUS_OK);
    layout_destroy(layout);
}

/* How many files beside in, stdout and stderr there are. */
static int other_files(void)
{
    int count = 0;
    DIR *const directory = opendir(".");
    assert_non_null(directory);
    for (const struct dirent *entry; (entry = readdir(directory)) != nullptr;) {
        static const char *const known[] = {".", "..", "in", "stdout", "stderr"};
        bool is_known = false;
        for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
            is_known = is_known || strcmp(entry->d_name, known[i]) == 0;
        count += is_known ? 0 : 1;
    }
    closedir(directory);
    return count;
}

static void assert_one_line(const char *text, const char *part)
{
    const char *const end = strchr(text, '\n');
    assert_non_null(end);
    assert_int_equal(end[1], 0);
    if (strstr(text, part) == nullptr)
        fail_msg("%s", text);
}

static void the_mean_is_written_and_reported(void **state)
{
    write_updates();
    umask(022);
    assert_int_equal(RUN("--rule", "mean", "--in", "in", "--out", "out", "--threads=2"), 0);
    assert_string_equal(err_text, "");
    read_text("stdout", out_text);
    static const char expected[] = "{\"rule\":\"mean\",\"n\":2,\"d\":2,\"f\":0,\"selected\":[0,1],"
                                   "\"weights\":[0.5,0.5],\"suspects\":[],\"seconds\":";
    assert_memory_equal(out_text, expected, sizeof(expected) - 1);
    struct safetensors *file = nullptr;
    assert_int_equal(safetensors_open_file("out", &file, nullptr), STATUS_OK);
    assert_int_equal(file->layout->tensor_count, 1);
    const float mean[] = {2, 4};
    assert_memory_equal(file->data[0], mean, sizeof(mean));
    safetensors_close(file);
    struct stat stat_out = {0};
    assert_int_equal(stat("out", &stat_out), 0);
    assert_int_equal(stat_out.st_mode & 0777, 0644);
    unlink("out");
    assert_int_equal(other_files(), 0);
}

static void wrong_usage_is_2_and_one_line(void **state)
{
    write_updates();
    assert_int_equal(RUN("--in", "in"), 2);
    assert_one_line(err_text, "--out FILE is missing");
    assert_int_equal(RUN("--out", "out"), 2);
    assert_one_line(err_text, "--in FILE is missing");
    assert_int_equal(RUN("--rule", "maen", "--in", "in", "--out", "out"), 2);
    assert_one_line(err_text, "no rule maen; there is: mean");
    assert_int_equal(RUN("--in", "in", "--out", "out", "--threads", "0"), 2);
    assert_one_line(err_text, "threads");
    assert_int_equal(RUN("--in", "in", "--out", "out", "--frobnicate"), 2);
    assert_int_equal(RUN("--in", "in", "--out", "out", "more"), 2);
    assert_int_equal(other_files(), 0);
}

/* Five updates of one parameter: 1, 2, 4, 7 and 1000. */
static void write_line(void)
{
    static const float rows[] = {1, 2, 4, 7, 1000};
    struct layout_builder *builder = nullptr;
    struct layout *layout = nullptr;
    assert_int_equal(layout_builder_create(&builder), STATUS_OK);
    assert_int_equal(layout_builder_add(builder, "w", 1, DTYPE_F32, 2, (uint64_t[]){5, 1}, nullptr),
                     STATUS_OK);
    assert_int_equal(layout_builder_finish(builder, &layout, nullptr), STATUS_OK);
    layout_builder_destroy(builder);
    assert_int_equal(safetensors_write_file("in", layout, nullptr, 0, rows, nullptr), STATUS_OK);
    layout_destroy(layout);
}

static void assert_result(float expected, const char *part)
{
    assert_string_equal(err_text, "");
    read_text("stdout", out_text);
    if (strstr(out_text, part) == nullptr)
        fail_msg("%s", out_text);
    struct safetensors *file = nullptr;
    assert_int_equal(safetensors_open_file("out", &file, nullptr), STATUS_OK);
    float found = 0;
    memcpy(&found, file->data[0], sizeof(found));
    assert_true(found > expected - 1e-5f && found < expected + 1e-5f);
    safetensors_close(file);
    unlink("out");
}

static void rules_and_their_parameters_are_taken_by_name(void **state)
{
    write_line();
    assert_int_equal(RUN("--rule", "median", "--in", "in", "--out", "out"), 0);
    assert_result(4, "\"f\":0,\"selected\":[0,1,2,3,4],\"weights\":[],\"suspects\":[]");
    assert_int_equal(RUN("--rule=trimmed_mean", "--set", "beta=0.2", "--in=in", "--out=out"), 0);
    assert_result(13.0f / 3, "\"rule\":\"trimmed_mean\",\"n\":5,\"d\":1,\"f\":1,");
    /* Scores with the 2 nearest: 10, 5, 13, 34, ...; with the 3 nearest: 46, 30, 22, 70, ... */
    assert_int_equal(RUN("--rule=krum", "--f=1", "--in=in", "--out=out"), 0);
    assert_result(2, "\"selected\":[1],\"weights\":[0.0,1.0,0.0,0.0,0.0]");
    assert_int_equal(RUN("--rule=krum", "--f=1", "--set=neighbours=byzfl", "--in=in", "--out=out"),
                     0);
    assert_result(4, "\"selected\":[2]");
    assert_int_equal(RUN("--rule=multi_krum", "--f=1", "--set=m=2", "--in=in", "--out=out"), 0);
    assert_result(1.5f, "\"selected\":[0,1]");
    /* From 0: clipped to 2, then by 2 more where they are further: 1 + 2 + 2 + 2 + 2 = 9 / 5. */
    assert_int_equal(RUN("--rule=centered_clipping", "--set=tau=2", "--in=in", "--out=out"), 0);
    assert_result(1.8f, "centered_clipping");
    assert_int_equal(RUN("--pre=nnm", "--rule=mean", "--f=2", "--in=in", "--out=out"), 0);
    /* Means of the 3 nearest: 7/3, 7/3, 7/3, 13/3, 1011/3. */
    assert_result(1045.0f / 15, "\"f\":2");
    assert_int_equal(other_files(), 0);
}

static void wrong_rules_and_parameters_are_refused_in_one_line(void **state)
{
    static const struct {
        const char *arguments[3];
        const char *text;
        int code;
    } wrong[] = {
        {{"--rule=krum", "--f=2", "--threads=1"}, "f may be at most 1", 1},
        {{"--rule=krum", "--f=9", "--threads=1"}, "less than the 5 updates", 1},
        {{"--rule=bulyan", "--f=1", "--pre=bucketing"}, "gets 3", 1},
        {{"--rule=median", "--f=-1", "--threads=1"}, "--f is -1", 2},
        {{"--rule=median", "--f=1x", "--threads=1"}, "--f is 1x", 2},
        {{"--rule=median", "--set=tau=1", "--threads=1"}, "has no parameter tau; it has: none", 2},
        {{"--rule=krum", "--set=neighbours=all", "--threads=1"}, "paper or byzfl", 2},
        {{"--rule=multi_krum", "--set=m=0", "--threads=1"}, "from 1 to", 2},
        {{"--rule=median", "--set=tau", "--threads=1"}, "NAME=VALUE", 2},
        {{"--rule=median", "--pre=krum", "--threads=1"}, "nnm, bucketing, arc", 2},
        {{"--rule=trimmed_mean", "--set=beta=0.1", "--f=1"}, "in place of f", 2},
        {{"--rule=nnm", "--f=1", "--threads=1"}, "goes before one", 2},
    };
    write_line();
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        const int code = RUN(wrong[i].arguments[0], wrong[i].arguments[1], wrong[i].arguments[2],
                             "--in=in", "--out=out");
        assert_int_equal(code, wrong[i].code);
        assert_one_line(err_text, wrong[i].text);
        assert_int_equal(other_files(), 0);
    }
}

static void the_list_has_every_rule_with_its_paper(void **state)
{
    assert_int_equal(RUN("--list"), 0);
    read_text("stdout", out_text);
    static const char *const named[] = {"median\n",
                                        "trimmed_mean\n",
                                        "geometric_median\n",
                                        "krum\n",
                                        "multi_krum\n",
                                        "bulyan\n",
                                        "caf\n",
                                        "centered_clipping\n",
                                        "dnc\n",
                                        "filter\n",
                                        "nnm\n",
                                        "bucketing\n",
                                        "arc\n",
                                        "arXiv:1703.02757",
                                        "n >= 4 f + 3",
                                        "--set tau=VALUE"};
    for (size_t i = 0; i < sizeof(named) / sizeof(named[0]); i++) {
        if (strstr(out_text, named[i]) == nullptr)
            fail_msg("%s is missing", named[i]);
    }
}

static void help_is_0_and_names_the_options(void **state)
{
    assert_int_equal(RUN("--help"), 0);
    read_text("stdout", out_text);
    assert_non_null(strstr(out_text, "--rule"));
    assert_non_null(strstr(out_text, "--out"));
    assert_non_null(strstr(out_text, "samples"));
}

static void a_failure_is_1_and_leaves_what_was_there(void **state)
{
    assert_int_equal(RUN("--in", "absent", "--out", "out"), 1);
    assert_one_line(err_text, "absent");
    write_updates();
    assert_int_equal(truncate("in", 30), 0);
    assert_int_equal(RUN("--in", "in", "--out", "out"), 1);
    assert_one_line(err_text, "in: ");
    write_updates();
    assert_int_equal(RUN("--in", "in", "--out", "nowhere/out"), 1);
    assert_one_line(err_text, "nowhere/out");
    assert_int_equal(RUN("--in", "in", "--out", "."), 1);
    assert_one_line(err_text, "not a regular file");
    assert_int_equal(other_files(), 0);
}

static void a_report_that_cannot_be_printed_leaves_the_old_file(void **state)
{
    write_updates();
    assert_int_equal(rename("in", "out"), 0);
    write_updates();
    assert_int_equal(
        run_to("/dev/full", (const char *const[]){"--in", "in", "--out", "out", nullptr}), 1);
    assert_one_line(err_text, "report");
    struct safetensors *file = nullptr;
    assert_int_equal(safetensors_open_file("out", &file, nullptr), STATUS_OK);
    assert_int_equal(file->layout->tensors[0].rank, 2);
    safetensors_close(file);
    unlink("out");
    assert_int_equal(other_files(), 0);
}

static void an_unknown_processor_cap_is_refused(void **state)
{
    write_updates();
    setenv("FEDRA_CPU", "z80", 1);
    assert_int_equal(RUN("--in", "in", "--out", "out"), 1);
    assert_one_line(err_text, "FEDRA_CPU is z80");
    unsetenv("FEDRA_CPU");
    assert_int_equal(other_files(), 0);
}

static int python(const char *verb)
{
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        execlp("python3", "python3", script, verb, ".", (char *)nullptr);
        _exit(77);
    }
    return exit_code_of(child);
}

/* Skipped, aloud, where python3 has no safetensors or numpy. */
static void python_finds_the_mean_exact(void **state)
{
    const int code = python("write");
    if (code == 77) {
        fprintf(stderr, "skipped: python3 has no safetensors or no numpy here\n");
        skip();
    }
    assert_int_equal(code, 0);
    assert_int_equal(RUN("--in", "in", "--out", "out"), 0);
    assert_int_equal(python("check"), 0);
    unlink("out");
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_mean_is_written_and_reported),
        cmocka_unit_test(wrong_usage_is_2_and_one_line),
        cmocka_unit_test(rules_and_their_parameters_are_taken_by_name),
        cmocka_unit_test(wrong_rules_and_parameters_are_refused_in_one_line),
        cmocka_unit_test(the_list_has_every_rule_with_its_paper),
        cmocka_unit_test(help_is_0_and_names_the_options),
        cmocka_unit_test(a_failure_is_1_and_leaves_what_was_there),
        cmocka_unit_test(a_report_that_cannot_be_printed_leaves_the_old_file),
        cmocka_unit_test(an_unknown_processor_cap_is_refused),
        cmocka_unit_test(python_finds_the_mean_exact),
    };
    static char absolute[4096];
    if (argc < 2 || realpath(argv[1], absolute) == nullptr || mkdtemp(folder) == nullptr ||
        chdir(folder) != 0)
        return 1;
    script = absolute;
    const int failed = cmocka_run_group_tests(tests, nullptr, nullptr);
    static const char *const left[] = {"in", "out", "stdout", "stderr"};
    for (size_t i = 0; i < sizeof(left) / sizeof(left[0]); i++)
        unlink(left[i]);
    rmdir(folder);
    return failed;
}

/*
 * aggregate_command.c - the subcommand `fedra aggregate`: arguments, the output file, the report.
 * The arithmetic is in robust/aggregate.c.
 */
#include "cli/aggregate_command.h"

#include "base/text.h"
#include "cli/options.h"
#include "kern/kern.h"
#include "robust/aggregate.h"
#include "tensor/safetensors.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <yyjson.h>

struct arguments {
    const char *rule;
    const char *f;
    const char *in;
    const char *out;
    uint64_t threads;
    struct option_list pres;
    struct option_list settings;
    bool is_list;
    bool is_markdown;
};

static const char help[] =
    "Combines many updates into one. In --in, the first axis of every tensor is the updates; the "
    "I64 tensor `samples`, where it is there, has one number an update and weighs them under the "
    "rule mean; all other rules weigh every update alike. --out gets the same tensors without that "
    "axis, as F32.\n\n"
    "A report is printed as JSON: rule, n (updates), d (parameters), f (malicious updates that are "
    "reckoned with), selected (the indices of the updates that count), weights (the share of each "
    "update; empty where a rule takes each coordinate from other updates), suspects (index, score: "
    "1 is at the threshold, reason), seconds.\n\n"
    "--list describes the rules, what can go before them, and their parameters.";

static int complain(const char *text)
{
    fprintf(stderr, "fedra aggregate: %s\n", text);
    return EXIT_USAGE;
}

/* -1 to go on, else the exit code. */
static int parse(int argc, char **argv, struct arguments *arguments)
{
    const struct option_spec specs[] = {
        {"rule", 'r', "RULE",
         "how to combine: mean, weighted by samples (default), or one of --list",
         .text = &arguments->rule},
        {"pre", 'p', "NAME", "what goes before the rule: nnm, bucketing or arc; may be repeated",
         .list = &arguments->pres},
        {"f", 'f', "F",
         "malicious updates to reckon with (default: 30 % of n, or what the rule allows)",
         .text = &arguments->f},
        {"set", 's', "NAME=VALUE", "a parameter of the rule; may be repeated",
         .list = &arguments->settings},
        {"in", 'i', "FILE", "the updates, safetensors: F32, F16 or BF16", .text = &arguments->in},
        {"out", 'o', "FILE", "the result, safetensors; replaced as a whole",
         .text = &arguments->out},
        {"threads", 't', "COUNT", "threads (default 1); the result is the same to the bit",
         .number = &arguments->threads, .min = 1, .max = AGGREGATE_THREADS_MAX},
        {"list", 'l', nullptr, "describe all rules and their parameters",
         .flag = &arguments->is_list},
        {"markdown", 'm', nullptr, "with --list: as the documentation has it",
         .flag = &arguments->is_markdown},
    };
    const struct option_table table = {
        .usage = "aggregate [--rule RULE] [--pre NAME]... [--f F] [--set NAME=VALUE]... --in FILE "
                 "--out FILE",
        .help = help,
        .specs = specs,
        .spec_count = sizeof(specs) / sizeof(specs[0])};
    uint32_t operands = 0;
    const int parsed = options_parse_or_exit_code(&table, argc, argv, &operands);
    if (parsed >= 0)
        return parsed;
    if (arguments->is_list) {
        if (arguments->is_markdown)
            rule_table_print_markdown(stdout);
        else
            rule_table_print(stdout);
        return fflush(stdout) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
    }
    if (arguments->is_markdown)
        return complain("--markdown goes with --list");
    const char *const missing = arguments->in == nullptr    ? "--in"
                                : arguments->out == nullptr ? "--out"
                                                            : nullptr;
    if (missing == nullptr)
        return -1;
    fprintf(stderr, "fedra aggregate: %s FILE is missing; `fedra aggregate --help` tells more\n",
            missing);
    return EXIT_USAGE;
}

/* Digits only; less than 2^32. */
static enum status parse_f(const char *text, struct recipe *recipe, struct error *err)
{
    enum { DIGITS_MAX = 9 };
    char shown[64];
    const size_t size = strlen(text);
    uint64_t f = 0;
    for (size_t i = 0; i < size && text[i] >= '0' && text[i] <= '9' && i < DIGITS_MAX; i++)
        f = f * 10 + (uint64_t)(text[i] - '0');
    if (size == 0 || size > DIGITS_MAX || strspn(text, "0123456789") != size) {
        text_escape(text, size, shown, sizeof(shown));
        return error_set(err, STATUS_INVAL,
                         "--f is %s; it must be a whole number from 0, less than the updates",
                         shown);
    }
    recipe->has_f = true;
    recipe->f = f;
    return STATUS_OK;
}

static enum status make_recipe(const struct arguments *arguments, struct recipe *recipe,
                               struct error *err)
{
    enum status status = recipe_set_rule(recipe, arguments->rule, err);
    for (uint32_t i = 0; i < arguments->pres.count && status == STATUS_OK; i++)
        status = recipe_add_pre(recipe, arguments->pres.items[i], err);
    for (uint32_t i = 0; i < arguments->settings.count && status == STATUS_OK; i++)
        status = recipe_set_param(recipe, arguments->settings.items[i], err);
    if (status == STATUS_OK && arguments->f != nullptr)
        status = parse_f(arguments->f, recipe, err);
    return status == STATUS_OK ? recipe_check(recipe, err) : status;
}

static enum status sync_path(const char *path, int flags, struct error *err)
{
    const int fd = open(path, O_RDONLY | O_CLOEXEC | flags);
    if (fd < 0)
        return error_set_errno(err, STATUS_IO, errno, "%s", path);
    const int failed = fsync(fd) != 0 ? errno : 0;
    close(fd);
    return failed != 0 ? error_set_errno(err, STATUS_IO, failed, "%s", path) : STATUS_OK;
}

/* A new, empty file beside path, with the mode that the user's umask gives. */
static enum status make_beside(const char *path, char ret_name[static PATH_MAX], struct error *err)
{
    struct stat there = {0};
    if (stat(path, &there) == 0 && !S_ISREG(there.st_mode))
        return error_set(err, STATUS_INVAL, "%s is there and is not a regular file", path);
    if (snprintf(ret_name, PATH_MAX, "%s.XXXXXX", path) >= PATH_MAX)
        return error_set(err, STATUS_LIMIT, "the path of the output is too long");
    const int fd = mkstemp(ret_name);
    if (fd < 0)
        return error_set_errno(err, STATUS_IO, errno, "cannot write beside %s", path);
    const mode_t mask = umask(0);
    umask(mask);
    const int failed = fchmod(fd, 0666 & ~mask) != 0 ? errno : 0;
    close(fd);
    if (failed == 0)
        return STATUS_OK;
    unlink(ret_name);
    return error_set_errno(err, STATUS_IO, failed, "%s", ret_name);
}

/*
 * Puts the whole result in place of what is at path, or leaves that as it is. The report is printed
 * when the result is on the disk but not yet in its place, so that a report that cannot be printed
 * leaves nothing.
 */
static enum status write_result(const char *path, const struct aggregate_result *result,
                                const char *report, struct error *err)
{
    char name[PATH_MAX];
    char folder[PATH_MAX];
    enum status status = make_beside(path, name, err);
    if (status != STATUS_OK)
        return status;
    status = safetensors_write_file(name, result->layout, nullptr, 0, result->data, err);
    if (status == STATUS_OK)
        status = sync_path(name, 0, err);
    if (status == STATUS_OK && (puts(report) < 0 || fflush(stdout) != 0))
        status = error_set_errno(err, STATUS_IO, errno, "the report could not be printed");
    if (status == STATUS_OK && rename(name, path) != 0)
        status = error_set_errno(err, STATUS_IO, errno, "%s", path);
    if (status != STATUS_OK) {
        unlink(name);
        return status;
    }
    snprintf(folder, sizeof(folder), "%s", path);
    /* The file is in place, whole; a folder that cannot be synced makes it no less so. */
    (void)!sync_path(dirname(folder), O_DIRECTORY, nullptr);
    return STATUS_OK;
}

/* {"index":..., "score":..., "reason":"..."} */
static bool add_suspect(yyjson_mut_doc *doc, yyjson_mut_val *suspects,
                        const struct suspect *suspect)
{
    yyjson_mut_val *const object = yyjson_mut_arr_add_obj(doc, suspects);
    return object != nullptr && yyjson_mut_obj_add_uint(doc, object, "index", suspect->index) &&
           yyjson_mut_obj_add_real(doc, object, "score", suspect->score) &&
           yyjson_mut_obj_add_str(doc, object, "reason", reason_suspected_name(suspect->reason));
}

/* Fills in the report; false where there is no memory. */
static bool fill_report(yyjson_mut_doc *doc, const struct aggregate_result *result)
{
    yyjson_mut_val *const root = yyjson_mut_obj(doc);
    yyjson_mut_val *const selected = yyjson_mut_arr(doc);
    yyjson_mut_val *const weights = yyjson_mut_arr(doc);
    yyjson_mut_val *const suspects = yyjson_mut_arr(doc);
    yyjson_mut_doc_set_root(doc, root);
    bool ok = yyjson_mut_obj_add_str(doc, root, "rule", result->rule) &&
              yyjson_mut_obj_add_uint(doc, root, "n", result->n) &&
              yyjson_mut_obj_add_uint(doc, root, "d", result->d) &&
              yyjson_mut_obj_add_uint(doc, root, "f", result->f);
    for (uint64_t i = 0; i < result->n && ok; i++) {
        ok = !result->has_shares || yyjson_mut_arr_add_real(doc, weights, result->shares[i]);
        if (ok && result->is_selected[i])
            ok = yyjson_mut_arr_add_uint(doc, selected, i);
    }
    for (size_t i = 0; i < result->suspect_count && ok; i++)
        ok = add_suspect(doc, suspects, &result->suspects[i]);
    return ok && yyjson_mut_obj_add_val(doc, root, "selected", selected) &&
           yyjson_mut_obj_add_val(doc, root, "weights", weights) &&
           yyjson_mut_obj_add_val(doc, root, "suspects", suspects) &&
           yyjson_mut_obj_add_real(doc, root, "seconds", result->seconds);
}

static char *make_report(const struct aggregate_result *result)
{
    yyjson_mut_doc *const doc = yyjson_mut_doc_new(nullptr);
    char *text = nullptr;
    if (doc != nullptr && fill_report(doc, result))
        text = yyjson_mut_write(doc, YYJSON_WRITE_NOFLAG, nullptr);
    yyjson_mut_doc_free(doc);
    return text;
}

static enum status run(const struct arguments *arguments, const struct recipe *recipe,
                       struct error *err)
{
    struct safetensors *file = nullptr;
    struct aggregate_result result = {0};
    char *report = nullptr;
    const struct aggregate_options options = {recipe, (uint32_t)arguments->threads};
    enum status status = safetensors_open_file(arguments->in, &file, err);
    if (status != STATUS_OK)
        goto out;
    status = aggregate_file(file, &options, &result, err);
    if (status != STATUS_OK) {
        error_prefix(err, status, "%s", arguments->in);
        goto out;
    }
    report = make_report(&result);
    status = report != nullptr ? write_result(arguments->out, &result, report, err)
                               : error_set(err, STATUS_NO_MEMORY, "no memory for the report");
out:
    free(report);
    aggregate_result_deinit(&result);
    safetensors_close(file);
    return status;
}

int aggregate_command(int argc, char **argv)
{
    struct arguments arguments = {.rule = "mean", .threads = 1};
    struct recipe recipe = {0};
    struct error err = {0};
    const int parsed = parse(argc, argv, &arguments);
    if (parsed >= 0)
        return parsed;
    if (make_recipe(&arguments, &recipe, &err) != STATUS_OK)
        return complain(err.text);
    signal(SIGPIPE, SIG_IGN); /* a reader that goes away is an error, not the end */
    enum status status = kern_init(&err);
    if (status == STATUS_OK)
        status = run(&arguments, &recipe, &err);
    if (status == STATUS_OK)
        return EXIT_SUCCESS;
    fprintf(stderr, "fedra aggregate: %s\n", err.text);
    return EXIT_FAILURE;
}

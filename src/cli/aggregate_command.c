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
    const char *in;
    const char *out;
    uint64_t threads;
};

static const char help[] =
    "Combines many updates into one. In --in, the first axis of every tensor is the updates; the "
    "I64 tensor `samples`, where it is there, has one number an update and weighs them. --out gets "
    "the same tensors without that axis, as F32.\n\n"
    "A report is printed as JSON: rule, n (updates), d (parameters), f (malicious updates that the "
    "rule tolerates), selected (the indices of the updates that count), weights (the share of each "
    "update; together 1), suspects, seconds.";

/* -1 to go on, else the exit code. */
static int parse(int argc, char **argv, struct arguments *arguments)
{
    const struct option_spec specs[] = {
        {"rule", 'r', "RULE", "how to combine: mean, weighted by samples (default)",
         .text = &arguments->rule},
        {"in", 'i', "FILE", "the updates, safetensors: F32, F16 or BF16", .text = &arguments->in},
        {"out", 'o', "FILE", "the result, safetensors; replaced as a whole",
         .text = &arguments->out},
        {"threads", 't', "COUNT", "threads (default 1); the result is the same to the bit",
         .number = &arguments->threads, .min = 1, .max = AGGREGATE_THREADS_MAX},
    };
    const struct option_table table = {.usage = "aggregate [--rule RULE] --in FILE --out FILE",
                                       .help = help,
                                       .specs = specs,
                                       .spec_count = sizeof(specs) / sizeof(specs[0])};
    uint32_t operands = 0;
    const int parsed = options_parse_or_exit_code(&table, argc, argv, &operands);
    if (parsed >= 0)
        return parsed;
    const char *const missing = arguments->in == nullptr    ? "--in"
                                : arguments->out == nullptr ? "--out"
                                                            : nullptr;
    if (missing == nullptr)
        return -1;
    fprintf(stderr, "fedra aggregate: %s FILE is missing; `fedra aggregate --help` tells more\n",
            missing);
    return EXIT_USAGE;
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
        ok = yyjson_mut_arr_add_real(doc, weights,
                                     (double)result->weights[i] / (double)result->weight_sum);
        if (ok && result->weights[i] > 0)
            ok = yyjson_mut_arr_add_uint(doc, selected, i);
    }
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

static enum status run(const struct arguments *arguments, struct error *err)
{
    struct safetensors *file = nullptr;
    struct aggregate_result result = {0};
    char *report = nullptr;
    const struct aggregate_options options = {arguments->rule, (uint32_t)arguments->threads};
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
    struct error err = {0};
    const int parsed = parse(argc, argv, &arguments);
    if (parsed >= 0)
        return parsed;
    if (!aggregate_has_rule(arguments.rule)) {
        char shown[64];
        text_escape(arguments.rule, strlen(arguments.rule), shown, sizeof(shown));
        fprintf(stderr, "fedra aggregate: there is no rule %s; there is: %s\n", shown,
                aggregate_rules());
        return EXIT_USAGE;
    }
    signal(SIGPIPE, SIG_IGN); /* a reader that goes away is an error, not the end */
    enum status status = kern_init(&err);
    if (status == STATUS_OK)
        status = run(&arguments, &err);
    if (status == STATUS_OK)
        return EXIT_SUCCESS;
    fprintf(stderr, "fedra aggregate: %s\n", err.text);
    return EXIT_FAILURE;
}

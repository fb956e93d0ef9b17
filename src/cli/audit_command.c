/*
 * audit_command.c - `fedra audit`: whether a run's folder still says what was signed.
 */
#include "cli/audit_command.h"

#include "audit/audit.h"
#include "base/text.h"
#include "cli/options.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yyjson.h>

enum {
    EXIT_FINDINGS = 1,
    EXIT_UNREADABLE = 2,
    FINDINGS_SHOWN = 12,             /* with the figures: a screen */
    SHOWN_TEXT_MAX = AUDIT_TEXT_MAX, /* of a text that is escaped */
};

/* Names and values may come from a damaged database: nothing but plain text goes to a terminal. */
static const char *shown(const char *text, char ret[static SHOWN_TEXT_MAX])
{
    text_escape(text, strlen(text), ret, SHOWN_TEXT_MAX);
    return ret;
}

static void write_job(const struct audit_job *job)
{
    char name[SHOWN_TEXT_MAX];
    printf("job %s: %" PRIu64 " versions, %" PRIu64 " of rounds, %" PRIu64 " updates counted\n",
           shown(job->name, name), job->versions, job->rounds, job->updates);
    printf("  %" PRIu64 " signatures verified with %" PRIu64 " certificates\n", job->signatures,
           job->certificates);
    printf("  %" PRIu64 " files of models and %" PRIu64 " of updates read\n", job->models,
           job->kept);
    printf("  %" PRIu64 " of %" PRIu64 " rounds computed again, bit for bit\n", job->recomputed,
           job->rounds);
    for (uint32_t i = 0; i < job->gap_count; i++) {
        const struct audit_gap *const gap = &job->gaps[i];
        printf("  not checked (%" PRIu64 ", version %" PRIu64 " to %" PRIu64 "): %s\n", gap->count,
               gap->first, gap->last, gap->what);
    }
}

static void write_text(const struct audit_report *report)
{
    char where[SHOWN_TEXT_MAX];
    char what[SHOWN_TEXT_MAX];
    char expected[SHOWN_TEXT_MAX];
    const uint64_t kept =
        report->finding_count < AUDIT_FINDINGS_MAX ? report->finding_count : AUDIT_FINDINGS_MAX;
    for (uint32_t i = 0; i < report->job_count; i++)
        write_job(&report->jobs[i]);
    for (uint64_t i = 0; i < kept && i < FINDINGS_SHOWN; i++) {
        const struct audit_finding *const finding = &report->findings[i];
        printf("%s: %s; expected: %s\n", shown(finding->where, where), shown(finding->what, what),
               shown(finding->expected, expected));
    }
    if (report->finding_count > FINDINGS_SHOWN)
        printf("and %" PRIu64 " more (--json has all)\n", report->finding_count - FINDINGS_SHOWN);
    if (report->finding_count == 0)
        printf("audit: nothing was changed\n");
    else
        printf("audit: %" PRIu64 " finding%s\n", report->finding_count,
               report->finding_count == 1 ? "" : "s");
}

static bool add_gap(yyjson_mut_doc *doc, yyjson_mut_val *array, const struct audit_gap *gap)
{
    yyjson_mut_val *const object = yyjson_mut_arr_add_obj(doc, array);
    return object != nullptr && yyjson_mut_obj_add_str(doc, object, "what", gap->what) &&
           yyjson_mut_obj_add_uint(doc, object, "count", gap->count) &&
           yyjson_mut_obj_add_uint(doc, object, "first_version", gap->first) &&
           yyjson_mut_obj_add_uint(doc, object, "last_version", gap->last);
}

/* JSON is UTF-8, which a damaged text need not be. */
static bool add_text(yyjson_mut_doc *doc, yyjson_mut_val *object, const char *key, const char *text)
{
    char plain[SHOWN_TEXT_MAX];
    return yyjson_mut_obj_add_strcpy(doc, object, key, shown(text, plain));
}

static bool add_job(yyjson_mut_doc *doc, yyjson_mut_val *jobs, const struct audit_job *job)
{
    const struct {
        const char *name;
        uint64_t value;
    } figures[] = {
        {"versions", job->versions},     {"rounds", job->rounds},
        {"updates", job->updates},       {"signatures", job->signatures},
        {"models", job->models},         {"certificates", job->certificates},
        {"kept_updates", job->kept},     {"recomputed", job->recomputed},
        {"log_frames", job->log_frames},
    };
    yyjson_mut_val *const object = yyjson_mut_arr_add_obj(doc, jobs);
    bool good = object != nullptr && add_text(doc, object, "job", job->name);
    for (size_t i = 0; i < sizeof(figures) / sizeof(*figures) && good; i++)
        good = yyjson_mut_obj_add_uint(doc, object, figures[i].name, figures[i].value);
    yyjson_mut_val *const gaps =
        good ? yyjson_mut_obj_add_arr(doc, object, "not_checked") : nullptr;
    good = gaps != nullptr;
    for (uint32_t i = 0; i < job->gap_count && good; i++)
        good = add_gap(doc, gaps, &job->gaps[i]);
    return good;
}

static bool add_finding(yyjson_mut_doc *doc, yyjson_mut_val *array,
                        const struct audit_finding *finding)
{
    yyjson_mut_val *const object = yyjson_mut_arr_add_obj(doc, array);
    return object != nullptr && add_text(doc, object, "where", finding->where) &&
           add_text(doc, object, "what", finding->what) &&
           add_text(doc, object, "expected", finding->expected);
}

static bool write_json(const struct audit_report *report)
{
    yyjson_mut_doc *const doc = yyjson_mut_doc_new(nullptr);
    const uint64_t kept = report->finding_count < report->finding_capacity
                              ? report->finding_count
                              : report->finding_capacity;
    char *text = nullptr;
    if (doc == nullptr)
        return false;
    yyjson_mut_val *const root = yyjson_mut_obj(doc);
    yyjson_mut_doc_set_root(doc, root);
    yyjson_mut_val *const jobs = yyjson_mut_obj_add_arr(doc, root, "jobs");
    bool good = jobs != nullptr;
    for (uint32_t i = 0; i < report->job_count && good; i++)
        good = add_job(doc, jobs, &report->jobs[i]);
    good = good && yyjson_mut_obj_add_uint(doc, root, "finding_count", report->finding_count);
    yyjson_mut_val *const findings = good ? yyjson_mut_obj_add_arr(doc, root, "findings") : nullptr;
    good = findings != nullptr;
    for (uint64_t i = 0; i < kept && i < AUDIT_FINDINGS_MAX && good; i++)
        good = add_finding(doc, findings, &report->findings[i]);
    if (good)
        text = yyjson_mut_write(doc, YYJSON_WRITE_NOFLAG, nullptr);
    yyjson_mut_doc_free(doc);
    if (text != nullptr)
        puts(text);
    free(text);
    return text != nullptr;
}

int audit_command(int argc, char **argv)
{
    struct audit_options options = {0};
    struct audit_report report = {0};
    struct error err = {0};
    bool json = false;
    uint32_t operands = 0;
    const struct option_spec specs[] = {
        {"bundle", 'b', "FILE",
         "roots in PEM to verify with; else those in the folder, which is "
         "no proof against who can write to it",
         .text = &options.bundle},
        {"json", 'j', nullptr, "write one JSON object, with all findings", .flag = &json},
    };
    const struct option_table table = {
        .usage = "audit RUN_DIR [--bundle FILE] [--json]",
        .help = "Checks a run's folder, or a coordinator's server.state: every record and its "
                "signatures, every row and file that a record vouches for; computes versions "
                "again whose updates were kept (audit.keep_updates). Needs no key and no right to "
                "write, and may be used while the job runs. What it proves: docs/audit.md.\n\n"
                "Exit code: 0 nothing was changed, 1 findings (a line each: where, what, what was "
                "expected), 2 the folder cannot be read, or wrong usage.",
        .specs = specs,
        .spec_count = sizeof(specs) / sizeof(*specs),
        .operands_min = 1,
        .operands_max = 1,
    };
    const int parsed = options_parse_or_exit_code(&table, argc, argv, &operands);
    if (parsed >= 0)
        return parsed;
    options.folder = argv[1];
    const enum status status = audit_run(&options, &report, &err);
    int code = report.finding_count > 0 ? EXIT_FINDINGS : EXIT_SUCCESS;
    if (status == STATUS_OK && !json)
        write_text(&report);
    else if (status == STATUS_OK && !write_json(&report))
        code = EXIT_UNREADABLE;
    if (status != STATUS_OK) {
        fprintf(stderr, "fedra audit: %s\n", err.text[0] != 0 ? err.text : status_text(status));
        code = EXIT_UNREADABLE;
    }
    if (fflush(stdout) != 0 || ferror(stdout))
        code = EXIT_UNREADABLE;
    audit_report_deinit(&report);
    return code;
}

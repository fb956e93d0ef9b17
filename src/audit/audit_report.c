/*
 * audit_report.c - findings and gaps are gathered.
 */
#include "audit/audit_internal.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void audit_at(struct audit *audit, const char *format, ...)
{
    va_list arguments;
    const int used = snprintf(audit->place, sizeof(audit->place), "jobs/%.64s/", audit->job->name);
    va_start(arguments, format);
    vsnprintf(audit->place + used, sizeof(audit->place) - (size_t)used, format, arguments);
    va_end(arguments);
}

static struct audit_finding *next_finding(struct audit_report *report)
{
    const uint64_t index = report->finding_count++;
    if (index >= AUDIT_FINDINGS_MAX)
        return nullptr;
    if (index == report->finding_capacity) {
        const uint64_t capacity = index == 0 ? 16 : 2 * index;
        struct audit_finding *const grown =
            realloc(report->findings, capacity * sizeof(*report->findings));
        if (grown == nullptr)
            return nullptr;
        report->findings = grown;
        report->finding_capacity = capacity;
    }
    return &report->findings[index];
}

void audit_find(struct audit *audit, const char *expected, const char *format, ...)
{
    struct audit_finding *const finding = next_finding(audit->report);
    va_list arguments;
    if (finding == nullptr)
        return;
    memcpy(finding->where, audit->place, sizeof(finding->where));
    snprintf(finding->expected, sizeof(finding->expected), "%s", expected);
    va_start(arguments, format);
    vsnprintf(finding->what, sizeof(finding->what), format, arguments);
    va_end(arguments);
}

void audit_miss(struct audit *audit, uint64_t version, const char *what)
{
    struct audit_job *const job = audit->job;
    for (uint32_t i = 0; i < job->gap_count; i++) {
        struct audit_gap *const gap = &job->gaps[i];
        if (strcmp(gap->what, what) != 0)
            continue;
        gap->count++;
        gap->last = version;
        return;
    }
    if (job->gap_count == AUDIT_GAPS_MAX)
        return;
    struct audit_gap *const gap = &job->gaps[job->gap_count++];
    *gap = (struct audit_gap){.count = 1, .first = version, .last = version};
    snprintf(gap->what, sizeof(gap->what), "%s", what);
}

void audit_expect_number(struct audit *audit, const char *what, uint64_t found, uint64_t expected)
{
    char text[32];
    snprintf(text, sizeof(text), "%" PRIu64, expected);
    if (found != expected)
        audit_find(audit, text, "%s is %" PRIu64, what, found);
}

void audit_expect_digest(struct audit *audit, const char *what, const struct digest *found,
                         const struct digest *expected)
{
    char found_hex[DIGEST_HEX_MAX];
    char expected_hex[DIGEST_HEX_MAX];
    if (digest_equal(found, expected))
        return;
    digest_to_hex(found, found_hex);
    digest_to_hex(expected, expected_hex);
    audit_find(audit, expected_hex, "%s is %s", what, found_hex);
}

void audit_expect_text(struct audit *audit, const char *what, const char *found,
                       const char *expected)
{
    if (strcmp(found, expected) != 0)
        audit_find(audit, expected[0] != 0 ? expected : "nothing", "%s is \"%.200s\"", what, found);
}

void audit_report_deinit(struct audit_report *report)
{
    free(report->findings);
    free(report->jobs);
    *report = (struct audit_report){0};
}

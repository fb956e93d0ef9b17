/*
 * audit.h - whether the folder of a run still says what its coordinator signed: records, rows,
 * certificates, files; and versions computed again from the updates that were kept.
 *
 * Reads only, needs no key, works on a folder that is written to. What it proves, and against whom:
 * docs/audit.md. Not here: how findings are shown (cli/).
 */
#pragma once

#include "base/status.h"
#include "store/store.h"

#include <stdint.h>

enum {
    AUDIT_TEXT_MAX = 320,
    AUDIT_PLACE_MAX = 256,
    AUDIT_FINDINGS_MAX = 10000, /* further ones are counted only */
    AUDIT_GAPS_MAX = 16,
};

struct audit_options {
    const char *folder; /* of a run, or a coordinator's server.state */
    const char *bundle; /* PEM file of the roots; null: the one in the folder */
};

/* Something is not as it was signed. */
struct audit_finding {
    char where[AUDIT_PLACE_MAX];
    char what[AUDIT_TEXT_MAX];
    char expected[AUDIT_TEXT_MAX];
};

/* Something could not be checked, for some versions or rows. */
struct audit_gap {
    char what[AUDIT_TEXT_MAX];
    uint64_t count;
    uint64_t first; /* versions; equal where it is one, or none in particular */
    uint64_t last;
};

/* What was checked of one job. */
struct audit_job {
    char name[STORE_NAME_MAX];
    uint64_t versions;
    uint64_t rounds; /* versions that were made of updates */
    uint64_t updates;
    uint64_t signatures;
    uint64_t certificates;
    uint64_t models;     /* files */
    uint64_t kept;       /* files of updates */
    uint64_t recomputed; /* versions, bit for bit */
    uint64_t log_frames; /* of the database that were not in its file yet */
    uint32_t gap_count;
    struct audit_gap gaps[AUDIT_GAPS_MAX];
};

struct audit_report {
    uint64_t finding_count; /* also of those that did not fit */
    struct audit_finding *findings;
    uint64_t finding_capacity;
    uint32_t job_count;
    struct audit_job *jobs;
};

/*
 * Audits every job of a folder. OK whatever was found: see the report, which the caller gives to
 * audit_report_deinit in any case.
 *
 * NOT_FOUND: no such folder, or no job in it. IO: no right to read. VERSION: made by another Fedra.
 * IDENTITY, CORRUPT: no roots to verify with. NO_SPACE: for the copy of the database. NO_MEMORY.
 */
[[nodiscard]] enum status audit_run(const struct audit_options *options,
                                    struct audit_report *ret_report, struct error *err);
void audit_report_deinit(struct audit_report *report);

/*
 * audit.c - goes through the jobs of a folder; see audit.h.
 */
#include "audit/audit_internal.h"

#include "kern/kern.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char format_text[] = "fedra-state 1\n";

/* All that must not be newer than the database's copy. */
static enum status read_names(struct audit *audit, struct error *err)
{
    char path[DURABLE_PATH_MAX];
    snprintf(path, sizeof(path), "%.900s/models", audit->folder);
    enum status status = audit_list(path, &audit->models, err);
    snprintf(path, sizeof(path), "%.900s/updates", audit->folder);
    if (status == STATUS_OK)
        status = audit_list(path, &audit->updates, err);
    if (status != STATUS_OK || audit->report->job_count != 1)
        return status;
    snprintf(path, sizeof(path), "%.900s/metrics.jsonl", audit->options->folder);
    status = durable_file_read(path, &audit->metrics, err);
    audit->has_metrics = status == STATUS_OK;
    return status == STATUS_NOT_FOUND ? STATUS_OK : status;
}

static enum status check_job(struct audit *audit, struct error *err)
{
    char path[DURABLE_PATH_MAX];
    snprintf(path, sizeof(path), "%.900s/state.db", audit->folder);
    enum status status = read_names(audit, err);
    if (status == STATUS_OK)
        status = store_snapshot_open(path, &audit->snapshot, err);
    if (status != STATUS_OK)
        return status;
    audit->job->log_frames = audit->snapshot.frames;
    status = audit_database(audit, err);
    if (status == STATUS_OK)
        status = audit_read_trust(audit, err);
    if (status == STATUS_OK)
        status = audit_read_keys(audit, err);
    if (status == STATUS_OK)
        status = audit_read_files(audit, err);
    if (status == STATUS_OK)
        status = audit_commits(audit, err);
    if (status == STATUS_OK)
        status = audit_last_state(audit, err);
    if (status != STATUS_OK)
        return status;
    audit_state(audit);
    audit_members(audit);
    audit_evidence(audit);
    audit_files_table(audit);
    return audit_other_files(audit, err);
}

static enum status audit_job_run(const struct audit_options *options, struct audit_report *report,
                                 struct audit_job *job, struct error *err)
{
    struct audit *const audit = calloc(1, sizeof(*audit));
    if (audit == nullptr)
        return error_set(err, STATUS_NO_MEMORY, "no memory for an audit");
    audit->options = options;
    audit->report = report;
    audit->job = job;
    bytes_init(&audit->metrics, SIZE_MAX / 2);
    snprintf(audit->folder, sizeof(audit->folder), "%.700s/jobs/%.255s", options->folder,
             job->name);
    const enum status status = check_job(audit, err);
    store_snapshot_close(&audit->snapshot);
    audit_recompute_deinit(&audit->recompute);
    audit_keys_deinit(&audit->keys);
    trust_unref(audit->trust);
    audit_names_deinit(&audit->models);
    audit_names_deinit(&audit->updates);
    bytes_deinit(&audit->metrics);
    free(audit->files);
    free(audit->versions);
    free(audit);
    return status;
}

static void check_format(const struct audit_options *options, struct audit_report *report)
{
    struct audit_job none = {0};
    struct audit audit = {.options = options, .report = report, .job = &none};
    char path[DURABLE_PATH_MAX];
    struct bytes content;
    bytes_init(&content, 256);
    snprintf(path, sizeof(path), "%.900s/FORMAT", options->folder);
    snprintf(audit.place, sizeof(audit.place), "FORMAT");
    if (durable_file_read(path, &content, nullptr) != STATUS_OK ||
        content.size != sizeof(format_text) - 1 ||
        memcmp(content.data, format_text, content.size) != 0)
        audit_find(&audit, "the line \"fedra-state 1\"", "it says something else, or is missing");
    bytes_deinit(&content);
}

/* The jobs that have a database. */
static enum status find_jobs(const struct audit_options *options, struct audit_report *report,
                             struct error *err)
{
    char path[2 * DURABLE_PATH_MAX];
    struct audit_names names = {0};
    struct stat info;
    if (strlen(options->folder) > 600)
        return error_set(err, STATUS_LIMIT, "the path of the folder is too long");
    if (stat(options->folder, &info) != 0)
        return error_set(err, STATUS_NOT_FOUND, "%s: there is no such folder", options->folder);
    snprintf(path, sizeof(path), "%s/jobs", options->folder);
    enum status status = audit_list(path, &names, err);
    if (status == STATUS_OK && names.count > 0)
        report->jobs = calloc(names.count, sizeof(*report->jobs));
    if (status == STATUS_OK && names.count > 0 && report->jobs == nullptr)
        status = error_set(err, STATUS_NO_MEMORY, "no memory for the jobs");
    for (size_t i = 0; i < names.count && status == STATUS_OK; i++) {
        snprintf(path, sizeof(path), "%s/jobs/%s/state.db", options->folder, names.items[i]);
        if (access(path, F_OK) != 0)
            continue;
        snprintf(report->jobs[report->job_count++].name, STORE_NAME_MAX, "%s", names.items[i]);
    }
    audit_names_deinit(&names);
    if (status == STATUS_OK && report->job_count == 0)
        status = error_set(err, STATUS_NOT_FOUND,
                           "%s holds no job: the folder of a run is wanted, or a coordinator's "
                           "server.state, with jobs/JOB/state.db in it",
                           options->folder);
    return status;
}

enum status audit_run(const struct audit_options *options, struct audit_report *ret_report,
                      struct error *err)
{
    *ret_report = (struct audit_report){0};
    enum status status = kern_init(err);
    if (status == STATUS_OK)
        status = find_jobs(options, ret_report, err);
    if (status == STATUS_OK)
        check_format(options, ret_report);
    for (uint32_t i = 0; i < ret_report->job_count && status == STATUS_OK; i++)
        status = audit_job_run(options, ret_report, &ret_report->jobs[i], err);
    return status;
}

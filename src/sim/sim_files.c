/*
 * sim_files.c - see sim_files.h.
 */
#include "sim/sim_files.h"

#include "host/clock.h"
#include "host/job_data.h"
#include "host/run_setup.h"
#include "store/durable_file.h"
#include "store/store.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

enum { TABLE_LINES_MAX = 100000, TABLE_MS_MAX = 1000000 };

struct kept_model {
    char path[RUN_PATH_MAX + STORE_NAME_MAX];
};

struct sim_files {
    const struct config *config;
    const char *folder;
    bool quiet;
    bool ended;
    struct node_figures figures;
    uint64_t begun_ns;       /* of the clock on the wall */
    uint64_t round_ns;       /* virtual: when the round before was committed */
    struct kept_model *kept; /* a ring of limits.models_keep; null: all are */
    uint64_t rounds;
    uint64_t bytes_in;
    uint64_t bytes_out;
};

enum status sim_files_open(const struct config *config, const char *folder, bool quiet,
                           struct sim_files **ret_files, struct error *err)
{
    const uint64_t keep = config->limits.models_keep;
    struct sim_files *const files = calloc(1, sizeof(*files));
    if (files != nullptr && keep > 0)
        files->kept = calloc(keep, sizeof(*files->kept));
    if (files == nullptr || (keep > 0 && files->kept == nullptr)) {
        free(files);
        return error_set(err, STATUS_NO_MEMORY, "no memory for %" PRIu64 " models", keep);
    }
    files->config = config;
    files->folder = folder;
    files->quiet = quiet;
    files->begun_ns = clock_boot_ns();
    *ret_files = files;
    return STATUS_OK;
}

void sim_files_close(struct sim_files *files)
{
    if (files != nullptr)
        free(files->kept);
    free(files);
}

void sim_files_measured(struct sim_files *files, const struct node_figures *figures)
{
    files->figures = *figures;
}

/* Not durable: a simulation is made again. */
static enum status write_file(const char *path, const char *mode, const void *data, size_t size,
                              struct error *err)
{
    FILE *const file = fopen(path, mode);
    if (file == nullptr)
        return error_set_errno(err, STATUS_IO, errno, "%s cannot be opened", path);
    const bool good = fwrite(data, 1, size, file) == size;
    const int number = errno;
    if (fclose(file) != 0 || !good)
        return error_set_errno(err, durable_status_of(good ? errno : number), good ? errno : number,
                               "%s cannot be written", path);
    return STATUS_OK;
}

static enum status write_model(struct sim_files *files, const struct sim_round *round,
                               struct error *err)
{
    const uint64_t keep = files->config->limits.models_keep;
    const struct model_file *const model = round->model;
    char hex[DIGEST_HEX_MAX];
    struct kept_model made;
    digest_to_hex(&model->model_digest, hex);
    snprintf(made.path, sizeof(made.path), "%s/models/%06" PRIu64 "-%.16s.safetensors",
             files->folder, round->machine->version.number + 1, hex);
    const enum status status = write_file(made.path, "we", model->bytes, model->size, err);
    if (status != STATUS_OK || keep == 0)
        return status;
    struct kept_model *const place = &files->kept[files->rounds % keep];
    if (place->path[0] != 0)
        unlink(place->path);
    *place = made;
    return STATUS_OK;
}

static enum status write_line(struct sim_files *files, const struct sim_round *round,
                              struct error *err)
{
    char path[RUN_PATH_MAX + 32];
    struct bytes line;
    const struct run_round figures = {
        .machine = round->machine,
        .model_digest = &round->model->model_digest,
        .refused = round->refused,
        .late = round->refused[REASON_ROUND_CLOSED] + round->refused[REASON_TOO_STALE],
        .nodes = config_validates_by_nodes(files->config) ? &files->figures : nullptr,
        .outcome = round->outcome,
        .aggregate_norm = round->machine->aggregate_norm,
        .bytes_in = round->bytes_in,
        .bytes_out = round->bytes_out,
        .virtual_s = (double)round->now_ns / 1e9,
        .round_ms = (double)(round->now_ns - files->round_ns) / 1e6};
    bytes_init(&line, STORE_METRICS_BYTES_MAX);
    snprintf(path, sizeof(path), "%s/metrics.jsonl", files->folder);
    enum status status = run_report_round(&figures, &line);
    if (status == STATUS_OK) {
        line.data[line.size - 1] = '\n'; /* its zero */
        status = write_file(path, "ae", line.data, line.size, err);
    }
    bytes_deinit(&line);
    return status;
}

enum status sim_files_round(struct sim_files *files, const struct sim_round *round,
                            struct error *err)
{
    enum status status = write_line(files, round, err);
    if (status == STATUS_OK)
        status = write_model(files, round, err);
    if (status != STATUS_OK)
        return status;
    if (!files->quiet)
        run_report_progress(round->machine, (double)(round->now_ns - files->round_ns) / 1e9);
    files->rounds++;
    files->round_ns = round->now_ns;
    files->bytes_in += round->bytes_in;
    files->bytes_out += round->bytes_out;
    return STATUS_OK;
}

static enum status write_summary(const struct sim_files *files, const struct coordinator *machine,
                                 const struct evaluation *evaluation, uint64_t now_ns,
                                 struct error *err)
{
    char path[RUN_PATH_MAX + 32];
    struct rusage usage = {0};
    getrusage(RUSAGE_SELF, &usage);
    const struct run_summary summary = {.machine = machine,
                                        .evaluation = evaluation,
                                        .rounds = files->rounds,
                                        .nodes = machine->roster.count,
                                        .bytes_in = files->bytes_in,
                                        .bytes_out = files->bytes_out,
                                        .seconds =
                                            (double)(clock_boot_ns() - files->begun_ns) / 1e9,
                                        .virtual_s = (double)now_ns / 1e9,
                                        .peak_rss_bytes = (uint64_t)usage.ru_maxrss * 1024};
    snprintf(path, sizeof(path), "%s/summary.json", files->folder);
    return run_report_summary(&summary, path, err);
}

enum status sim_files_end(struct sim_files *files, const struct coordinator *machine,
                          const struct model_file *model, const struct model_spec *spec,
                          uint64_t now_ns, struct error *err)
{
    char path[RUN_PATH_MAX + 32];
    struct dataset test = {0};
    struct evaluation evaluation = {0};
    if (files->ended || model == nullptr)
        return STATUS_OK;
    files->ended = true;
    snprintf(path, sizeof(path), "%s/model.safetensors", files->folder);
    enum status status = write_file(path, "we", model->bytes, model->size, err);
    if (status == STATUS_OK)
        status = job_load_test(files->config, &test, err);
    if (status == STATUS_OK && test.samples > 0)
        status = evaluate_model(spec, model_file_parameters(model), &test, &evaluation, err);
    if (status == STATUS_OK)
        status = write_summary(files, machine, &evaluation, now_ns, err);
    dataset_deinit(&test);
    return status;
}

/* ---- latencies ---- */

/* A number and nothing else, or nothing at all. */
static bool parse_line(char *line, double *ret_ms, bool *ret_empty)
{
    char *end = nullptr;
    line[strcspn(line, "#\n")] = 0;
    *ret_empty = line[strspn(line, " \t\r")] == 0;
    if (*ret_empty)
        return true;
    *ret_ms = strtod(line, &end);
    return end != line && end[strspn(end, " \t\r")] == 0 && *ret_ms >= 0 && *ret_ms <= TABLE_MS_MAX;
}

static enum status read_lines(FILE *file, const char *path, double *ret_ms, uint32_t *ret_count,
                              struct error *err)
{
    char line[256];
    for (uint32_t number = 1; fgets(line, sizeof(line), file) != nullptr; number++) {
        bool is_empty = false;
        double ms = 0;
        if (!parse_line(line, &ms, &is_empty))
            return error_set(err, STATUS_INVAL,
                             "%s:%u: a latency in ms is wanted, a number from 0 to %d", path,
                             number, TABLE_MS_MAX);
        if (is_empty)
            continue;
        if (*ret_count == TABLE_LINES_MAX)
            return error_set(err, STATUS_INVAL, "%s:%u: more than %d latencies", path, number,
                             TABLE_LINES_MAX);
        ret_ms[(*ret_count)++] = ms;
    }
    if (*ret_count == 0)
        return error_set(err, STATUS_INVAL, "%s: there is no latency in it, one a line is wanted",
                         path);
    return STATUS_OK;
}

enum status sim_files_read_table(const char *path, double **ret_ms, uint32_t *ret_count,
                                 struct error *err)
{
    FILE *const file = fopen(path, "re");
    if (file == nullptr)
        return error_set_errno(err, errno == ENOENT ? STATUS_NOT_FOUND : STATUS_IO, errno,
                               "simulation.latency_file: %s", path);
    double *const ms = malloc(sizeof(*ms) * TABLE_LINES_MAX);
    *ret_count = 0;
    const enum status status = ms != nullptr
                                   ? read_lines(file, path, ms, ret_count, err)
                                   : error_set(err, STATUS_NO_MEMORY, "no memory for %s", path);
    fclose(file);
    if (status != STATUS_OK) {
        free(ms);
        return status;
    }
    *ret_ms = ms;
    return STATUS_OK;
}

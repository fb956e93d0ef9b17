/*
 * sweep_run.c - see sweep_run.h.
 */
#include "cli/sweep_run.h"

#include "base/check.h"
#include "cli/config_command.h"
#include "cli/sweep_folder.h"
#include "cli/sweep_jobs.h"
#include "cli/sweep_page.h"
#include "cli/sweep_plan.h"
#include "cli/sweep_table.h"
#include "host/clock.h"
#include "store/lock_file.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { EXIT_INTERRUPTED = 130, AT_ONCE_MAX = 256 };

/* Runs are numbered through: those of the first setting, one a seed, then of the second. */
struct sweep {
    const struct sweep_options *options;
    const struct sweep_base *base;
    struct sweep_plan plan;
    struct config config; /* that of the first setting */
    uint32_t repeat;
    uint32_t runs;
    double target;               /* NaN: from the results */
    struct sweep_series *series; /* [runs] */
    struct sweep_paths *paths;   /* [runs] */
    uint32_t *waiting;           /* [runs]: the runs of jobs */
    struct sweep_job *jobs;      /* [runs], those that are to be run */
    uint32_t job_count;
    uint32_t ended;
    uint64_t begun_ns;
    int lock;
    char folder[RUN_PATH_MAX];
};

void sweep_options_specs(struct sweep_options *options,
                         struct option_spec ret_specs[static SWEEP_OPTIONS])
{
    const struct option_spec specs[SWEEP_OPTIONS] = {
        {"sweep", 0, "KEY=VALUE,...",
         "run with each of these values; may be repeated: all combinations",
         .list = &options->sweeps},
        {"repeat", 0, "R", "run each with R seeds, from --seed on [1]", .number = &options->repeat,
         .min = 1, .max = SWEEP_REPEAT_MAX},
        {"jobs", 0, "J", "of a sweep: how many at a time [one a core]", .number = &options->jobs,
         .min = 1, .max = AT_ONCE_MAX},
        {"target", 0, "ACCURACY",
         "of a sweep: measure the time to that [0.95 times the best median at the end]",
         .text = &options->target},
        {"html", 0, "FILE", "of a sweep: draw the curves on a page", .text = &options->html},
    };
    memcpy(ret_specs, specs, sizeof(specs));
}

bool sweep_is_wanted(const struct sweep_options *options)
{
    return options->sweeps.count > 0 || options->repeat > 0 || options->jobs > 0 ||
           options->target != nullptr || options->html != nullptr;
}

static uint64_t seed_of(const struct sweep *sweep, uint32_t run)
{
    return sweep->config.job.seed + run % sweep->repeat;
}

static const struct sweep_setting *setting_of(const struct sweep *sweep, uint32_t run)
{
    return &sweep->plan.settings[run / sweep->repeat];
}

static enum status read_target(struct sweep *sweep, struct error *err)
{
    const char *const text = sweep->options->target;
    char *end = nullptr;
    sweep->target = (double)NAN;
    if (text == nullptr)
        return STATUS_OK;
    const double target = strtod(text, &end);
    if (end == text || *end != 0 || !(target > 0 && target <= 1))
        return error_set(err, STATUS_INVAL, "--target %s: an accuracy over 0, at most 1, is wanted",
                         text);
    sweep->target = target;
    return STATUS_OK;
}

/* Finds out before the runs, which take their time, whether there is a place for the page. */
static enum status check_page(const struct sweep *sweep, struct error *err)
{
    const char *const path = sweep->options->html;
    if (path == nullptr)
        return STATUS_OK;
    const bool is_there = access(path, F_OK) == 0;
    FILE *const file = fopen(path, "ae");
    if (file == nullptr)
        return error_set_errno(err, STATUS_IO, errno, "--html %s cannot be written", path);
    fclose(file);
    if (!is_there)
        (void)unlink(path);
    return STATUS_OK;
}

/* The configuration of one setting; the mistakes in it go to standard error. */
static enum status load_setting(const struct sweep *sweep, const struct sweep_setting *setting,
                                struct config *config)
{
    struct option_list sets = *sweep->base->sets;
    for (uint32_t i = 0; i < setting->count; i++) {
        if (sets.count == OPTION_LIST_MAX) {
            fprintf(stderr, "fedra sim: --set and --sweep are more than %d\n", OPTION_LIST_MAX);
            return STATUS_LIMIT;
        }
        sets.items[sets.count++] = setting->sets[i];
    }
    enum status status = command_load_config(sweep->base->file, &sets, config);
    if (status == STATUS_OK)
        status = command_adapt_config(config, sweep->base->nodes, sweep->base->seed);
    if (status != STATUS_OK) {
        if (setting->count > 0)
            fprintf(stderr, "fedra sim: that is with --sweep %s\n", setting->name);
        return status;
    }
    if (config->validation.source != CONFIG_VALIDATION_NONE)
        return STATUS_OK;
    fprintf(stderr, "fedra sim: a sweep compares accuracies: validation.source none measures none, "
                    "central is wanted\n");
    return STATUS_INVAL;
}

/* Reads and checks all configurations before the first run. EXIT_SUCCESS or EXIT_USAGE. */
static int check_settings(struct sweep *sweep)
{
    enum status status = load_setting(sweep, &sweep->plan.settings[0], &sweep->config);
    struct config *const config = malloc(sizeof(*config));
    CHECK(config != nullptr);
    for (uint32_t i = 1; i < sweep->plan.count && status == STATUS_OK; i++)
        status = load_setting(sweep, &sweep->plan.settings[i], config);
    free(config);
    if (status == STATUS_OK && sweep->config.job.seed > UINT64_MAX - 1 - SWEEP_REPEAT_MAX) {
        fprintf(stderr, "fedra sim: there are no %u seeds from %" PRIu64 " on\n", sweep->repeat,
                sweep->config.job.seed);
        status = STATUS_INVAL;
    }
    return status == STATUS_OK ? EXIT_SUCCESS : EXIT_USAGE;
}

/* Makes the folders of all settings; those that are there must be of the same configuration. */
static enum status make_folders(struct sweep *sweep, struct error *err)
{
    struct config *const config = malloc(sizeof(*config));
    enum status status = sweep_folder_make(sweep->folder, &sweep->lock, err);
    CHECK(config != nullptr);
    for (uint32_t i = 0; i < sweep->plan.count && status == STATUS_OK; i++) {
        status = load_setting(sweep, &sweep->plan.settings[i], config);
        config->job.seed = 0; /* each run's own */
        if (status == STATUS_OK)
            status = sweep_folder_add(sweep->folder, sweep->plan.settings[i].folder, config, err);
    }
    free(config);
    return status;
}

static const char *quality(const struct sweep_series *series, char ret_text[static 64])
{
    if (isfinite(series->accuracy))
        snprintf(ret_text, 64, "accuracy %.4f", series->accuracy);
    else
        snprintf(ret_text, 64, "no accuracy");
    return ret_text;
}

static void say_ended(struct sweep *sweep, uint32_t run, const char *how)
{
    const struct sweep_series *const series = &sweep->series[run];
    char text[64];
    sweep->ended++;
    fprintf(stderr,
            "%*u/%u  %s  seed %" PRIu64 "  %s after %" PRIu64 " rounds, %.1f virtual s, %.1f s%s\n",
            sweep->runs > 99 ? 3 : 2, sweep->ended, sweep->runs, setting_of(sweep, run)->name,
            series->seed, quality(series, text), series->rounds, series->virtual_s, series->wall_s,
            how);
}

static enum status read_run(struct sweep *sweep, uint32_t run, const char *how, struct error *err)
{
    const enum status status =
        sweep_series_read(sweep->paths[run].folder, &sweep->series[run], err);
    if (status != STATUS_OK)
        return status;
    sweep->series[run].seed = seed_of(sweep, run);
    say_ended(sweep, run, how);
    return STATUS_OK;
}

static enum status on_ended(void *context, uint32_t index, struct error *err)
{
    struct sweep *const sweep = context;
    return read_run(sweep, sweep->waiting[index], "", err);
}

static enum status describe_run(struct sweep *sweep, uint32_t run, struct error *err)
{
    const struct sweep_setting *const setting = setting_of(sweep, run);
    struct sweep_paths *const paths = &sweep->paths[run];
    enum status status =
        sweep_paths_init(paths, sweep->folder, setting, seed_of(sweep, run), sweep->base, err);
    if (status == STATUS_OK)
        status = sweep_series_find(paths->folder, err);
    if (status == STATUS_OK)
        return read_run(sweep, run, ", before", err);
    if (status != STATUS_NOT_FOUND)
        return status;
    sweep->waiting[sweep->job_count] = run;
    sweep->jobs[sweep->job_count++] = (struct sweep_job){
        .arguments = paths->arguments,
        .name = paths->name,
        .folder = paths->folder,
        .output = paths->output,
    };
    return STATUS_OK;
}

static uint32_t at_once(const struct sweep *sweep)
{
    const long cores = sysconf(_SC_NPROCESSORS_ONLN);
    if (sweep->options->jobs > 0)
        return (uint32_t)sweep->options->jobs;
    return cores < 1 ? 1 : cores > AT_ONCE_MAX ? AT_ONCE_MAX : (uint32_t)cores;
}

static enum status run_all(struct sweep *sweep, struct error *err)
{
    enum status status = make_folders(sweep, err);
    if (status == STATUS_OK)
        fprintf(stderr, "%u settings, %u seeds each, %u runs at a time; the sweep's folder is %s\n",
                sweep->plan.count, sweep->repeat, at_once(sweep), sweep->folder);
    for (uint32_t run = 0; run < sweep->runs && status == STATUS_OK; run++)
        status = describe_run(sweep, run, err);
    if (status == STATUS_OK)
        status =
            sweep_jobs_run(sweep->jobs, sweep->job_count, at_once(sweep), on_ended, sweep, err);
    return status;
}

/* What makes the same page again, as far as the eye needs it. */
static void write_command(const struct sweep *sweep, FILE *file)
{
    const struct sweep_options *const options = sweep->options;
    fprintf(file, "fedra sim %s", sweep->base->file);
    fprintf(file, " --nodes %" PRIu64, sweep->base->nodes);
    if (sweep->base->seed != UINT64_MAX)
        fprintf(file, " --seed %" PRIu64, sweep->base->seed);
    for (uint32_t i = 0; i < sweep->base->sets->count; i++)
        fprintf(file, " --set '%s'", sweep->base->sets->items[i]);
    for (uint32_t i = 0; i < options->sweeps.count; i++)
        fprintf(file, " --sweep '%s'", options->sweeps.items[i]);
    fprintf(file, " --repeat %u", sweep->repeat);
    if (options->target != nullptr)
        fprintf(file, " --target %s", options->target);
}

static enum status write_page(const struct sweep *sweep, const struct sweep_result *results,
                              const struct sweep_figures *figures, double target, struct error *err)
{
    char *command = nullptr;
    char *text = nullptr;
    size_t size = 0;
    enum status status = STATUS_NO_MEMORY;
    FILE *file = open_memstream(&command, &size);
    if (file != nullptr) {
        write_command(sweep, file);
        fclose(file);
    }
    file = command != nullptr ? open_memstream(&text, &size) : nullptr;
    if (file != nullptr) {
        const struct sweep_page page = {.title = sweep->config.job.name,
                                        .command = command,
                                        .nodes = sweep->base->nodes,
                                        .seeds = sweep->repeat,
                                        .target = target};
        status = sweep_page_write(&page, results, figures, sweep->plan.count, file);
        if (fclose(file) != 0)
            status = STATUS_NO_MEMORY;
    }
    if (status == STATUS_OK)
        status = sweep_page_save(sweep->options->html, text, size, err);
    free(command);
    free(text);
    return status;
}

static enum status report(const struct sweep *sweep, struct error *err)
{
    struct sweep_result results[SWEEP_SETTINGS_MAX];
    struct sweep_figures figures[SWEEP_SETTINGS_MAX];
    enum status status = STATUS_OK;
    for (uint32_t i = 0; i < sweep->plan.count; i++)
        results[i] = (struct sweep_result){.name = sweep->plan.settings[i].name,
                                           .count = sweep->repeat,
                                           .series = &sweep->series[i * sweep->repeat]};
    const double target =
        isfinite(sweep->target) ? sweep->target : sweep_target(results, sweep->plan.count);
    for (uint32_t i = 0; i < sweep->plan.count && status == STATUS_OK; i++)
        status = sweep_figures_of(&results[i], target, &figures[i]);
    if (status != STATUS_OK)
        return status;
    sweep_table_write(results, figures, sweep->plan.count, target, stdout);
    printf("\nOver %u seeds: the median of rounds and times (least to greatest), the mean of "
           "accuracies "
           "and wall times. %.1f s of wall time in all.\n",
           sweep->repeat, (double)(clock_boot_ns() - sweep->begun_ns) / 1e9);
    if (sweep->options->html != nullptr)
        status = write_page(sweep, results, figures, target, err);
    if (status == STATUS_OK && sweep->options->html != nullptr)
        printf("the page: %s\n", sweep->options->html);
    printf("the sweep's folder: %s\n", sweep->folder);
    fflush(stdout);
    return status;
}

static enum status allocate(struct sweep *sweep)
{
    const size_t runs = sweep->runs;
    sweep->series = calloc(runs, sizeof(*sweep->series));
    sweep->paths = calloc(runs, sizeof(*sweep->paths));
    sweep->waiting = calloc(runs, sizeof(*sweep->waiting));
    sweep->jobs = calloc(runs, sizeof(*sweep->jobs));
    return sweep->series != nullptr && sweep->paths != nullptr && sweep->waiting != nullptr &&
                   sweep->jobs != nullptr
               ? STATUS_OK
               : STATUS_NO_MEMORY;
}

static void forget(struct sweep *sweep)
{
    for (uint32_t i = 0; i < sweep->runs && sweep->series != nullptr; i++)
        sweep_series_deinit(&sweep->series[i]);
    for (uint32_t i = 0; i < sweep->runs && sweep->paths != nullptr; i++)
        sweep_paths_deinit(&sweep->paths[i]);
    free(sweep->series);
    free(sweep->paths);
    free(sweep->waiting);
    free(sweep->jobs);
    lock_file_close(sweep->lock);
    free(sweep);
}

/* What is wrong with the options. EXIT_SUCCESS or EXIT_USAGE. */
static int check_options(struct sweep *sweep)
{
    struct error err = {0};
    enum status status =
        sweep_plan_parse(&sweep->options->sweeps, sweep->base->sets, &sweep->plan, &err);
    if (status == STATUS_OK)
        status = read_target(sweep, &err);
    if (status == STATUS_OK)
        return check_settings(sweep);
    fprintf(stderr, "fedra sim: %s\n", err.text);
    return EXIT_USAGE;
}

/* Says why the sweep did not come to its end. The exit code. */
static int give_up(const struct sweep *sweep, enum status status, const struct error *err)
{
    fprintf(stderr, "fedra sim: %s\n", err->text[0] != 0 ? err->text : status_text(status));
    if (sweep->folder[0] != 0 && sweep->ended > 0 && sweep->base->folder == nullptr)
        fprintf(stderr, "fedra sim: to go on: the same again with --run-dir %s\n", sweep->folder);
    return status == STATUS_CANCELLED ? EXIT_INTERRUPTED
           : status == STATUS_INVAL   ? EXIT_USAGE
                                      : EXIT_FAILURE;
}

int sweep_run(const struct sweep_options *options, const struct sweep_base *base)
{
    struct sweep *const sweep = calloc(1, sizeof(*sweep));
    struct error err = {0};
    CHECK(sweep != nullptr);
    signal(SIGPIPE, SIG_IGN);
    sweep->options = options;
    sweep->base = base;
    sweep->lock = -1;
    sweep->begun_ns = clock_boot_ns();
    sweep->repeat = options->repeat > 0 ? (uint32_t)options->repeat : 1;
    int code = check_options(sweep);
    if (code == EXIT_SUCCESS) {
        run_name_folder(sweep->base->folder, sweep->config.job.name, "sweep", sweep->folder);
        sweep->runs = sweep->plan.count * sweep->repeat;
        enum status status = allocate(sweep);
        if (status == STATUS_OK)
            status = check_page(sweep, &err);
        if (status == STATUS_OK)
            status = run_all(sweep, &err);
        if (status == STATUS_OK)
            status = report(sweep, &err);
        if (status != STATUS_OK)
            code = give_up(sweep, status, &err);
    }
    forget(sweep);
    return code;
}

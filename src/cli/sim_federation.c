/*
 * sim_federation.c - see sim_federation.h.
 */
#include "cli/sim_federation.h"

#include "base/check.h"
#include "cli/config_command.h"
#include "cli/options.h"
#include "cli/sweep_run.h"
#include "cli/up_summary.h"
#include "host/clock.h"
#include "host/run_setup.h"
#include "kern/kern.h"
#include "sim/sim_job.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

enum {
    NODES_DEFAULT = 100,
    EXIT_DIVERGED = 3,
    EXIT_INTERRUPTED = 130,
    THREADS_OPTION_MAX = 64,
};

struct federation_options {
    const char *file;
    uint64_t nodes;
    uint64_t seed;
    uint64_t threads; /* 0: as many as there are cores */
    const char *folder;
    const char *label;
    bool quiet;
    bool trace;
    struct option_list sets;
    struct sweep_options sweep;
};

static volatile sig_atomic_t interrupted;

static void on_signal(int number)
{
    interrupted = number;
}

static int parse(int argc, char **argv, struct federation_options *options)
{
    enum { OWN = 8 };
    struct option_spec specs[OWN + SWEEP_OPTIONS] = {
        {"nodes", 'n', "N", "how many nodes [100]", .number = &options->nodes, .min = 1,
         .max = SIM_NODES_MAX},
        {"seed", 0, "S", "instead of job.seed", .number = &options->seed, .min = 0,
         .max = UINT64_MAX - 1},
        {"run-dir", 0, "DIR", "a new folder for the run [runs/JOB-sim-TIME]",
         .text = &options->folder},
        {"set", 0, "KEY=VALUE", "override a key; may be repeated", .list = &options->sets},
        {"threads", 0, "T", "threads that train [one a core]", .number = &options->threads,
         .min = 1, .max = THREADS_OPTION_MAX},
        {"quiet", 'q', nullptr, "no line a round", .flag = &options->quiet},
        {"trace", 0, nullptr, "tell who did what when, in the run's trace.txt",
         .flag = &options->trace},
        {"label", 0, "WORD", "end with one line \"WORD: outcome=...\"", .text = &options->label},
    };
    sweep_options_specs(&options->sweep, specs + OWN);
    const struct option_table table = {
        .usage = "sim FILE [--nodes N] [--seed S] [--run-dir DIR] [--set KEY=VALUE]... "
                 "[--sweep KEY=VALUE,VALUE,...]... [--repeat R] [--html FILE]",
        .help = "Runs the job of a configuration in this one process, on virtual time: its nodes "
                "train for real, their speeds, links and absences are those of simulation.* "
                "(docs/simulation.md). One seed gives one result. With --sweep "
                "or --repeat: runs the job with each of the values and several seeds, each in a "
                "process and a folder of its own, and compares them; the same again goes on with "
                "a sweep that was interrupted. Exit code: 0 converged or "
                "exhausted, 3 diverged, 130 Ctrl-C, 1 a fault, 2 wrong usage or configuration.",
        .specs = specs,
        .spec_count = sizeof(specs) / sizeof(*specs),
        .operands_min = 1,
        .operands_max = 1,
    };
    uint32_t operands = 0;
    const int early = options_parse_or_exit_code(&table, argc, argv, &operands);
    if (early < 0)
        options->file = argv[1];
    return early;
}

static uint32_t thread_count(const struct federation_options *options)
{
    const long cores = sysconf(_SC_NPROCESSORS_ONLN);
    if (options->threads > 0)
        return (uint32_t)options->threads;
    /* The simulation's own thread trains too while it waits. */
    return cores > 2 && cores <= THREADS_OPTION_MAX ? (uint32_t)cores - 1 : 1;
}

static FILE *open_trace(const char *folder, struct error *err)
{
    char path[RUN_PATH_MAX + 32];
    snprintf(path, sizeof(path), "%s/trace.txt", folder);
    FILE *const file = fopen(path, "we");
    if (file == nullptr)
        (void)!error_set_errno(err, STATUS_IO, errno, "%s cannot be opened", path);
    return file;
}

static void say_virtual(const struct sim_result *result, double seconds)
{
    struct rusage usage = {0};
    getrusage(RUSAGE_SELF, &usage);
    printf("%.1f s of virtual time in %.1f s, with %ld MB at most\n",
           (double)result->virtual_ns / 1e9, seconds, usage.ru_maxrss / 1024);
}

static int exit_code_of(const struct sim_result *result)
{
    if (result->failed) {
        fprintf(stderr, "fedra sim: an oracle was not satisfied: %s\n", result->failure);
        return EXIT_FAILURE;
    }
    return result->outcome == OUTCOME_DIVERGED    ? EXIT_DIVERGED
           : result->outcome == OUTCOME_CANCELLED ? EXIT_FAILURE
                                                  : EXIT_SUCCESS;
}

static int run(const struct federation_options *options, const struct config *config)
{
    char folder[RUN_PATH_MAX];
    struct error err = {0};
    struct sim_job *job = nullptr;
    struct sim_result result = {0};
    FILE *story = nullptr;
    const uint64_t begun_ns = clock_boot_ns();
    run_name_folder(options->folder, config->job.name, "sim", folder);
    const struct sim_job_options wanted = {.config = config,
                                           .nodes = (uint32_t)options->nodes,
                                           .threads = thread_count(options),
                                           .folder = folder,
                                           .interrupted = &interrupted,
                                           .quiet = options->quiet};
    enum status status = kern_init(&err);
    if (status == STATUS_OK)
        status = sim_job_open(&wanted, &job, &err);
    if (status == STATUS_OK && options->trace && (story = open_trace(folder, &err)) == nullptr)
        status = STATUS_IO;
    if (status == STATUS_OK) {
        printf("%llu nodes simulated, up to %llu rounds, times are virtual; the run's folder is "
               "%s\n",
               (unsigned long long)options->nodes,
               (unsigned long long)config->convergence.max_rounds, folder);
        fflush(stdout);
        sim_run(sim_job_plan(job), story, &result);
        status = sim_job_status(job, &err);
    }
    if (story != nullptr)
        fclose(story);
    sim_job_close(job);
    if (interrupted) {
        fprintf(stderr, "fedra sim: interrupted\n");
        return EXIT_INTERRUPTED;
    }
    if (status != STATUS_OK) {
        fprintf(stderr, "fedra sim: %s\n", err.text[0] != 0 ? err.text : status_text(status));
        return EXIT_FAILURE;
    }
    const int code = exit_code_of(&result);
    if (result.outcome != OUTCOME_NONE) {
        printf("\n");
        say_virtual(&result, (double)(clock_boot_ns() - begun_ns) / 1e9);
        up_summary_print(folder, options->label);
    }
    return code;
}

bool sim_federation_is_wanted(int argc, char **argv)
{
    return argc > 1 && argv[1][0] != '-';
}

/* Several runs in the place of one. */
static int sweep(const struct federation_options *options)
{
    const struct sweep_base base = {.file = options->file,
                                    .nodes = options->nodes,
                                    .seed = options->seed,
                                    .folder = options->folder,
                                    .sets = &options->sets};
    if (options->trace || options->label != nullptr || options->threads > 0) {
        fprintf(stderr, "fedra sim: --trace, --label and --threads are for one run, not for the "
                        "many of a sweep\n");
        return EXIT_USAGE;
    }
    return sweep_run(&options->sweep, &base);
}

int sim_federation(int argc, char **argv)
{
    struct federation_options options = {.nodes = NODES_DEFAULT, .seed = UINT64_MAX};
    const int early = parse(argc, argv, &options);
    if (early >= 0)
        return early;
    if (sweep_is_wanted(&options.sweep))
        return sweep(&options);
    struct config *const config = malloc(sizeof(*config));
    CHECK(config != nullptr);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGINT, on_signal);
    signal(SIGTERM, on_signal);
    int code = EXIT_USAGE;
    if (command_load_config(options.file, &options.sets, config) == STATUS_OK &&
        command_adapt_config(config, options.nodes, options.seed) == STATUS_OK)
        code = run(&options, config);
    free(config);
    return code;
}

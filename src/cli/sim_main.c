/*
 * sim_main.c - build/fedra-sim: simulates the job of a configuration (sim_federation.c), or runs
 * seeds, on all cores, and says which one fails.
 *
 * A program of its own, because its signer proves nothing (sim/keyed_signer.h); `fedra sim`
 * executes it. One process a core; each runs the seeds of its own in turn and stops at its first
 * failure.
 */
#include "cli/lab_program.h"
#include "cli/options.h"
#include "cli/sim_federation.h"
#include "cli/sim_options.h"
#include "cli/trainer_command.h"
#include "sim/sim.h"
#include "sim/sim_set.h"

#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
    SHRINK_RUNS_MAX = 2000,
    SHRINK_SECONDS_MAX = 60, /* of one run: who hangs has failed */
    SET_BYTES_MAX = 1024,
};

struct run {
    struct sim_request request;
    uint32_t faults; /* bits */
};

/* What one process comes to; written to its pipe when it ends. */
struct tally {
    uint64_t runs;
    uint64_t versions;
    uint64_t counted;
    uint64_t counted_late;
    uint64_t recomputed;
    uint64_t refused;
    uint64_t evidence;
    uint64_t virtual_s;
    uint64_t happened[SIM_FAULT_COUNT];
    uint64_t outcomes[OUTCOME_CANCELLED + 1];
    uint64_t digest; /* of the traces, in no order */
    bool failed;
    uint64_t seed;
    char failure[SIM_FAILURE_MAX];
    uint32_t shrunk_runs; /* that --shrink took */
    char shrunk[SET_BYTES_MAX];
};

/* The last words of a process whose assertion fails, written before each run: a signal handler may
 * not. */
static char last_words[160];
static size_t last_words_size;

static void on_abort(int number)
{
    (void)!write(STDOUT_FILENO, last_words, last_words_size);
}

static void prepare_last_words(uint64_t seed)
{
    const int size = snprintf(last_words, sizeof(last_words),
                              "seed %" PRIu64 " fails by an assertion\n  fedra sim --seeds %" PRIu64
                              " --trace (with the same --nodes, --only and --set)\n",
                              seed, seed);
    last_words_size = (size_t)size;
}

static double now_s(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void write_list(void)
{
    for (int i = 0; i < SIM_FAULT_COUNT; i++)
        printf("  %-11s %s\n", sim_fault_name((enum sim_fault)i),
               sim_fault_text((enum sim_fault)i));
}

/* "crash,liar"; "none". */
static bool parse_only(const char *text, uint32_t *ret_faults)
{
    *ret_faults = 0;
    if (strcmp(text, "none") == 0)
        return true;
    for (;;) {
        const size_t size = strcspn(text, ",");
        const enum sim_fault fault = sim_fault_find(text, size);
        if (fault == SIM_FAULT_COUNT) {
            fprintf(stderr, "fedra sim: --only: there is no fault %.*s; there are:\n", (int)size,
                    text);
            for (int i = 0; i < SIM_FAULT_COUNT; i++)
                fprintf(stderr, "  %s\n", sim_fault_name((enum sim_fault)i));
            return false;
        }
        *ret_faults |= 1u << fault;
        if (text[size] == 0)
            return true;
        text += size + 1;
    }
}

static void add_run(struct tally *tally, const struct sim_result *result)
{
    tally->runs++;
    tally->versions += result->versions;
    tally->counted += result->counted;
    tally->counted_late += result->counted_late;
    tally->recomputed += result->recomputed;
    tally->refused += result->refused;
    tally->evidence += result->evidence;
    tally->virtual_s += result->virtual_ns / 1000000000;
    tally->outcomes[result->outcome]++;
    tally->digest += result->trace_digest;
    for (int i = 0; i < SIM_FAULT_COUNT; i++)
        tally->happened[i] += result->happened[i];
}

/* The plan of a seed as it was asked for; the text was checked. */
static void make_plan(const struct run *run, uint64_t seed, struct sim_plan *ret_plan)
{
    char error[128];
    sim_plan_draw(seed, (uint32_t)run->request.nodes, run->faults, ret_plan);
    if (run->request.set != nullptr)
        (void)!sim_set_parse(ret_plan, run->request.set, error);
}

/* In a process of its own: an assertion may fail. context: SIM_FAILURE_MAX bytes that both see. */
static bool fails(void *context, const struct sim_plan *plan)
{
    static const char aborted[] = "by an assertion";
    memcpy(context, aborted, sizeof(aborted));
    const pid_t pid = fork();
    if (pid == 0) {
        struct sim_result result;
        signal(SIGABRT, SIG_DFL);
        alarm(SHRINK_SECONDS_MAX);
        if (freopen("/dev/null", "w", stderr) == nullptr)
            _exit(EXIT_SUCCESS);
        sim_run(plan, nullptr, &result);
        memcpy(context, result.failure, sizeof(result.failure));
        _exit(result.failed ? EXIT_FAILURE : EXIT_SUCCESS);
    }
    int status = 0;
    return pid > 0 && waitpid(pid, &status, 0) == pid && status != 0;
}

/* Whether it fails; then the tally says so, with the smallest plan that does. */
static bool shrink(const struct run *run, uint64_t seed, struct tally *tally)
{
    struct sim_plan drawn;
    struct sim_plan plan;
    void *const failure =
        mmap(nullptr, SIM_FAILURE_MAX, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    sim_plan_draw(seed, (uint32_t)run->request.nodes, run->faults, &drawn);
    make_plan(run, seed, &plan);
    if (failure == MAP_FAILED || !fails(failure, &plan))
        return false;
    tally->failed = true;
    tally->seed = seed;
    tally->shrunk_runs = sim_shrink(&plan, fails, failure, SHRINK_RUNS_MAX);
    if (fails(failure, &plan)) /* once more, for its text */
        memcpy(tally->failure, failure, sizeof(tally->failure));
    sim_set_write(&drawn, &plan, tally->shrunk, sizeof(tally->shrunk));
    munmap(failure, SIM_FAILURE_MAX);
    return true;
}

/* Seeds first + job, first + job + jobs ... until one fails or the time is over. */
static void run_seeds(const struct run *run, uint64_t job, double end_s, struct tally *ret_tally)
{
    *ret_tally = (struct tally){0};
    for (uint64_t seed = run->request.first + job; seed <= run->request.last && now_s() < end_s;
         seed += run->request.jobs) {
        struct sim_plan plan;
        struct sim_result result;
        prepare_last_words(seed);
        make_plan(run, seed, &plan);
        /* A failed assertion ends its process: it is looked for in another one first. */
        if (run->request.shrink && shrink(run, seed, ret_tally))
            return;
        sim_run(&plan, run->request.trace ? stdout : nullptr, &result);
        add_run(ret_tally, &result);
        if (!result.failed)
            continue;
        ret_tally->failed = true;
        ret_tally->seed = seed;
        memcpy(ret_tally->failure, result.failure, sizeof(result.failure));
        return;
    }
}

static void add_tally(struct tally *sum, const struct tally *tally)
{
    sum->runs += tally->runs;
    sum->versions += tally->versions;
    sum->counted += tally->counted;
    sum->counted_late += tally->counted_late;
    sum->recomputed += tally->recomputed;
    sum->refused += tally->refused;
    sum->evidence += tally->evidence;
    sum->virtual_s += tally->virtual_s;
    sum->digest += tally->digest;
    for (int i = 0; i < SIM_FAULT_COUNT; i++)
        sum->happened[i] += tally->happened[i];
    for (int i = 0; i <= OUTCOME_CANCELLED; i++)
        sum->outcomes[i] += tally->outcomes[i];
}

/* The line that replays it. */
static void write_failure(const struct run *run, const struct tally *tally)
{
    printf("seed %" PRIu64 " fails: %s\n  fedra sim --seeds %" PRIu64, tally->seed, tally->failure,
           tally->seed);
    if (run->request.nodes > 0)
        printf(" --nodes %" PRIu64, run->request.nodes);
    if (run->request.only != nullptr)
        printf(" --only %s", run->request.only);
    if (run->request.shrink && tally->shrunk[0] != 0)
        printf(" --set %s", tally->shrunk);
    else if (run->request.set != nullptr)
        printf(" --set %s", run->request.set);
    puts(" --trace");
    if (run->request.shrink)
        printf("  made smaller by %" PRIu32 " runs\n", tally->shrunk_runs);
}

static void write_summary(const struct tally *sum, double seconds)
{
    printf("%" PRIu64 " runs in %.1f s (%.0f a minute), %" PRIu64 " hours of virtual time: %" PRIu64
           " versions, %" PRIu64 " of them made again, %" PRIu64 " updates counted, %" PRIu64
           " late, %" PRIu64 " refused, %" PRIu64 " contradictions kept\n",
           sum->runs, seconds, (double)sum->runs * 60 / seconds, sum->virtual_s / 3600,
           sum->versions, sum->recomputed, sum->counted, sum->counted_late, sum->refused,
           sum->evidence);
    printf("ended: exhausted %" PRIu64 ", diverged %" PRIu64 ", cancelled %" PRIu64 "; struck:",
           sum->outcomes[OUTCOME_EXHAUSTED], sum->outcomes[OUTCOME_DIVERGED],
           sum->outcomes[OUTCOME_CANCELLED]);
    for (int i = 0; i < SIM_FAULT_COUNT; i++)
        printf(" %s %" PRIu64, sim_fault_name((enum sim_fault)i), sum->happened[i]);
    printf("\ntraces: %016" PRIx64 "\n", sum->digest);
}

/* The process's own, or a pipe's other end. */
static int start_job(const struct run *run, uint64_t job, double end_s)
{
    int ends[2];
    fflush(stdout);
    if (pipe(ends) != 0)
        return -1;
    const pid_t pid = fork();
    if (pid != 0) {
        close(ends[1]);
        return pid > 0 ? ends[0] : -1;
    }
    struct tally tally;
    close(ends[0]);
    signal(SIGABRT, on_abort);
    run_seeds(run, job, end_s, &tally);
    const bool good = write(ends[1], &tally, sizeof(tally)) == (ssize_t)sizeof(tally);
    fflush(stdout);
    _exit(good ? EXIT_SUCCESS : EXIT_FAILURE);
}

static int run_jobs(const struct run *run)
{
    int pipes[SIM_JOBS_MAX];
    struct tally sum = {0};
    const double begun_s = now_s();
    const double end_s =
        run->request.minutes > 0 ? begun_s + 60.0 * (double)run->request.minutes : 1e18;
    bool failed = false;
    for (uint64_t job = 0; job < run->request.jobs; job++)
        pipes[job] = start_job(run, job, end_s);
    for (uint64_t job = 0; job < run->request.jobs; job++) {
        struct tally tally;
        if (pipes[job] < 0 || read(pipes[job], &tally, sizeof(tally)) != (ssize_t)sizeof(tally)) {
            printf("a process of the simulation died: an assertion failed, see above\n");
            failed = true;
            continue;
        }
        add_tally(&sum, &tally);
        failed |= tally.failed;
        if (tally.failed)
            write_failure(run, &tally);
    }
    while (wait(nullptr) > 0) {
    }
    write_summary(&sum, now_s() - begun_s);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

/* One a core, and none without a seed. */
static uint64_t count_jobs(const struct sim_request *request)
{
    const long cores = sysconf(_SC_NPROCESSORS_ONLN);
    const uint64_t jobs = request->jobs > 0                   ? request->jobs
                          : cores > 0 && cores < SIM_JOBS_MAX ? (uint64_t)cores
                                                              : 1;
    const uint64_t seeds = request->last - request->first + 1;
    return jobs < seeds ? jobs : seeds;
}

static bool check_set(const struct run *run)
{
    struct sim_plan plan;
    char error[128];
    sim_plan_draw(run->request.first, (uint32_t)run->request.nodes, run->faults, &plan);
    if (sim_set_parse(&plan, run->request.set, error))
        return true;
    fprintf(stderr, "fedra sim: --set: %s; the names are:\n", error);
    for (uint32_t i = 0; i < sim_set_count(); i++)
        fprintf(stderr, "  %s\n", sim_set_name(i));
    return false;
}

int main(int argc, char **argv)
{
    struct run run = {.faults = SIM_ALL_FAULTS};
    if (argc > 1 && strcmp(argv[1], "trainer") == 0) /* the keeper of a program that trains */
        return trainer_command(argc - 1, argv + 1);
    if (strcmp(argv[0], "lab") == 0)
        return lab_program(argc, argv);
    if (sim_federation_is_wanted(argc, argv))
        return sim_federation(argc, argv);
    const int code = sim_options_parse(argc, argv, &run.request);
    if (code >= 0)
        return code;
    if (run.request.list) {
        write_list();
        return EXIT_SUCCESS;
    }
    if (run.request.only != nullptr && !parse_only(run.request.only, &run.faults))
        return EXIT_USAGE;
    if (run.request.set != nullptr && !check_set(&run))
        return EXIT_USAGE;
    if (run.request.trace)
        setvbuf(stdout, nullptr, _IOLBF, 0);
    run.request.jobs = count_jobs(&run.request);
    return run_jobs(&run);
}

/*
 * lab_program.c - see lab_program.h.
 *
 * One process a core; each takes the next training that is not done and appends its result. Killed,
 * it goes on where it was.
 */
#include "cli/lab_program.h"

#include "base/check.h"
#include "cli/config_command.h"
#include "cli/lab_options.h"
#include "host/clock.h"
#include "host/progress.h"
#include "host/run_setup.h"
#include "host/terminal.h"
#include "kern/kern.h"
#include "lab/lab.h"
#include "store/lock_file.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { BAR_CELLS = 24, WATCH_MS = 200, EXIT_INTERRUPTED = 130, ERROR_ROOM = 1024 };

/* What the processes share. */
struct shared {
    atomic_uint next; /* cell that nobody has taken */
    atomic_uint done;
    atomic_bool failed;
    char failure[ERROR_ROOM];
};

struct lab {
    struct lab_plan plan;
    struct shared *shared;
    bool *done;
    struct lab_result *results;
    char folder[RUN_PATH_MAX];
    char path[RUN_PATH_MAX + 32]; /* of the results */
    int lock;
    pid_t pids[LAB_JOBS_MAX];
    uint32_t jobs;
};

static volatile sig_atomic_t interrupted;

static void on_signal(int number)
{
    interrupted = number;
}

static void list_attacks(void)
{
    for (int i = 0; i < ATTACK_COUNT; i++)
        printf("  %-20s %s\n", attack_name((enum attack)i), attack_text((enum attack)i));
}

/* ---- a process ---- */

static void report(struct lab *lab, const struct error *err, enum status status)
{
    bool expected = false;
    if (atomic_compare_exchange_strong(&lab->shared->failed, &expected, true))
        snprintf(lab->shared->failure, sizeof(lab->shared->failure), "%s",
                 err->text[0] != 0 ? err->text : status_text(status));
}

static enum status run_cells(struct lab *lab, int fd, struct lab_task **task, struct error *err)
{
    const struct lab_plan *const plan = &lab->plan;
    const struct lab_cell *last = nullptr; /* of the task that is open */
    for (;;) {
        const uint32_t index = atomic_fetch_add(&lab->shared->next, 1);
        if (index >= plan->cell_count || interrupted || atomic_load(&lab->shared->failed))
            return STATUS_OK;
        if (lab->done[index])
            continue;
        const struct lab_cell *const cell = &plan->cells[index];
        struct lab_result result;
        enum status status = STATUS_OK;
        if (last == nullptr || last->alpha != cell->alpha || last->seed != cell->seed) {
            lab_task_close(*task);
            *task = nullptr;
            status = lab_task_open(plan, cell->alpha, cell->seed, task, err);
            last = cell;
        }
        if (status == STATUS_OK)
            status = lab_cell_run(plan, *task, cell, &result, err);
        if (status == STATUS_OK)
            status = lab_result_write(fd, plan, cell, &result, err);
        if (status != STATUS_OK)
            return status;
        atomic_fetch_add(&lab->shared->done, 1);
    }
}

static int run_process(struct lab *lab)
{
    struct error err = {0};
    struct lab_task *task = nullptr;
    enum status status = STATUS_OK;
    const int fd = open(lab->path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644);
    if (fd < 0)
        status = error_set_errno(&err, STATUS_IO, errno, "%s cannot be opened", lab->path);
    if (status == STATUS_OK)
        status = run_cells(lab, fd, &task, &err);
    if (status != STATUS_OK)
        report(lab, &err, status);
    lab_task_close(task);
    if (fd >= 0)
        close(fd);
    return status == STATUS_OK ? EXIT_SUCCESS : EXIT_FAILURE;
}

/* ---- all ---- */

static uint32_t count_done(const struct lab *lab)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < lab->plan.cell_count; i++)
        count += lab->done[i];
    return count;
}

static void show(const struct lab *lab, uint32_t before, double seconds)
{
    char bar[PROGRESS_TEXT_MAX];
    const uint32_t done = atomic_load(&lab->shared->done);
    const uint32_t all = lab->plan.cell_count;
    const double left_s = done > 0 ? seconds / done * (all - before - done) : 0;
    if (!terminal_is_live(stdout))
        return;
    progress_bar((double)(before + done) / all, BAR_CELLS, terminal_is_utf8(), bar);
    printf("\r%s %u of %u trainings", bar, before + done, all);
    if (done > 0)
        printf(", %.0f min left", ceil(left_s / 60));
    printf("\033[K");
    fflush(stdout);
}

/* Until all processes have ended. */
static void watch(struct lab *lab, uint32_t before)
{
    const uint64_t begun_ns = clock_boot_ns();
    uint32_t running = lab->jobs;
    bool told = false;
    while (running > 0) {
        int code = 0;
        for (uint32_t i = 0; i < lab->jobs && interrupted && !told; i++)
            kill(lab->pids[i], SIGTERM); /* each ends after the training it is at */
        told = interrupted;
        const pid_t pid = waitpid(-1, &code, WNOHANG);
        if (pid > 0) {
            running--;
            if (WIFSIGNALED(code) && !interrupted)
                report(lab, &(struct error){.text = "a process was killed"}, STATUS_IO);
            continue;
        }
        show(lab, before, (double)(clock_boot_ns() - begun_ns) / 1e9);
        nanosleep(&(struct timespec){.tv_nsec = WATCH_MS * 1000000L}, nullptr);
    }
    show(lab, before, (double)(clock_boot_ns() - begun_ns) / 1e9);
    if (terminal_is_live(stdout))
        printf("\n");
}

static void start(struct lab *lab)
{
    fflush(stdout);
    for (uint32_t i = 0; i < lab->jobs; i++) {
        lab->pids[i] = fork();
        if (lab->pids[i] == 0) {
            prctl(PR_SET_PDEATHSIG, SIGTERM); /* nobody is left who would wait for it */
            _exit(run_process(lab));
        }
        CHECK(lab->pids[i] > 0);
    }
}

/* A line that was cut off is ended, so that the next one is whole. */
static enum status mend(const char *path, struct error *err)
{
    char last = '\n';
    const int fd = open(path, O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC, 0644);
    if (fd < 0)
        return error_set_errno(err, STATUS_IO, errno, "%s cannot be opened", path);
    const off_t end = lseek(fd, 0, SEEK_END);
    bool good = end >= 0 && (end == 0 || pread(fd, &last, 1, end - 1) == 1);
    if (good && last != '\n')
        good = write(fd, "\n", 1) == 1;
    const int number = errno;
    close(fd);
    return good ? STATUS_OK : error_set_errno(err, STATUS_IO, number, "%s cannot be ended", path);
}

static enum status prepare(struct lab *lab, const struct lab_options *options,
                           const struct config *config, struct error *err)
{
    char lock[RUN_PATH_MAX + 32];
    const long cores = sysconf(_SC_NPROCESSORS_ONLN);
    enum status status = lab_plan_make(config, &lab->plan, err);
    if (status != STATUS_OK)
        return status;
    lab->jobs = options->jobs > 0                    ? (uint32_t)options->jobs
                : cores > 0 && cores <= LAB_JOBS_MAX ? (uint32_t)cores
                                                     : 1;
    if (options->folder != nullptr)
        snprintf(lab->folder, sizeof(lab->folder), "%s", options->folder);
    else
        snprintf(lab->folder, sizeof(lab->folder), "runs/%s-lab", config->job.name);
    snprintf(lab->path, sizeof(lab->path), "%s/results.jsonl", lab->folder);
    snprintf(lock, sizeof(lock), "%s/lab.lock", lab->folder);
    if (access(lab->path, F_OK) != 0)
        status = run_make_folders(lab->folder, nullptr, 0, err);
    if (status == STATUS_OK)
        status = lock_file_open(lock, &lab->lock, err);
    lab->done = calloc(lab->plan.cell_count, sizeof(*lab->done));
    lab->results = calloc(lab->plan.cell_count, sizeof(*lab->results));
    lab->shared = mmap(nullptr, sizeof(*lab->shared), PROT_READ | PROT_WRITE,
                       MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(lab->done && lab->results && lab->shared != MAP_FAILED);
    if (status != STATUS_OK)
        return status;
    status = mend(lab->path, err);
    return status == STATUS_OK
               ? lab_results_read(lab->path, &lab->plan, lab->done, lab->results, err)
               : status;
}

static enum status finish(struct lab *lab, struct error *err)
{
    char page[RUN_PATH_MAX + 32];
    snprintf(page, sizeof(page), "%s/results.html", lab->folder);
    enum status status = lab_results_read(lab->path, &lab->plan, lab->done, lab->results, err);
    if (status == STATUS_OK)
        status = lab_page_write(&lab->plan, lab->done, lab->results, page, err);
    if (status != STATUS_OK)
        return status;
    lab_table_print(&lab->plan, lab->done, lab->results, stdout);
    printf("\n%u of %u trainings; %s, %s\n", count_done(lab), lab->plan.cell_count, lab->path,
           page);
    return STATUS_OK;
}

static int run(const struct lab_options *options, const struct config *config)
{
    struct lab *const lab = calloc(1, sizeof(*lab));
    struct error err = {0};
    CHECK(lab != nullptr);
    lab->lock = -1;
    enum status status = kern_init(&err);
    if (status == STATUS_OK)
        status = prepare(lab, options, config, &err);
    if (status == STATUS_OK) {
        const uint32_t before = count_done(lab);
        printf("%u trainings, %u of them done; the results are in %s\n", lab->plan.cell_count,
               before, lab->folder);
        start(lab);
        watch(lab, before);
        if (atomic_load(&lab->shared->failed))
            status = error_set(&err, STATUS_IO, "%s", lab->shared->failure);
    }
    if (status == STATUS_OK)
        status = finish(lab, &err);
    if (status != STATUS_OK && !interrupted)
        fprintf(stderr, "fedra lab: %s\n", err.text[0] != 0 ? err.text : status_text(status));
    if (interrupted)
        fprintf(stderr, "fedra lab: interrupted; the same command goes on\n");
    lab_plan_deinit(&lab->plan);
    lock_file_close(lab->lock);
    if (lab->shared != nullptr && lab->shared != MAP_FAILED)
        munmap(lab->shared, sizeof(*lab->shared));
    free(lab->done);
    free(lab->results);
    free(lab);
    return interrupted ? EXIT_INTERRUPTED : status == STATUS_OK ? EXIT_SUCCESS : EXIT_FAILURE;
}

int lab_program(int argc, char **argv)
{
    struct lab_options options = {0};
    const int early = lab_options_parse(argc, argv, &options);
    if (early >= 0)
        return early;
    if (options.list) {
        list_attacks();
        return EXIT_SUCCESS;
    }
    struct config *const config = malloc(sizeof(*config));
    CHECK(config != nullptr);
    struct sigaction action = {.sa_handler = on_signal};
    sigaction(SIGINT, &action, nullptr);
    sigaction(SIGTERM, &action, nullptr);
    int code = EXIT_USAGE;
    if (command_load_config(options.file, &options.sets, config) == STATUS_OK)
        code = run(&options, config);
    free(config);
    return code;
}

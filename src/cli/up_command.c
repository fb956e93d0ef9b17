/*
 * up_command.c - `fedra up`: a whole federation on this machine, as separate processes, until the
 * job ends.
 *
 * Not here: keeping processes running (host/supervisor.c), the folder they share
 * (host/run_setup.c).
 */
#include "cli/up_command.h"

#include "base/check.h"
#include "cli/config_command.h"
#include "cli/last_line.h"
#include "cli/node_command.h"
#include "cli/up_children.h"
#include "cli/up_resume.h"
#include "cli/up_summary.h"
#include "host/clock.h"
#include "host/fault_plan.h"
#include "host/job_data.h"
#include "host/run_data.h"
#include "host/run_record.h"
#include "host/run_setup.h"
#include "host/supervisor.h"
#include "store/lock_file.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

enum {
    NODES_DEFAULT = 10,
    EXIT_DIVERGED = 3,
    EXIT_INTERRUPTED = 130,
    END_BY_THEMSELVES_MS = 5000, /* what nodes get after the job's end */
    END_TERM_MS = 2000,          /* then after SIGTERM */
    END_COORDINATOR_MS = 10000,  /* what the coordinator gets to cancel the job */
    SECOND_SIGNAL_MS = 100, /* sooner it is the same one, sent to us and to our process group */
    WATCH_MS = 50,
    DISK_BYTES_MIN = 1 << 20, /* with less in the run's folder its processes die of it */
};

enum phase { RUNNING, CANCELLING, LEAVING, KILLING, COMPARING };

struct up {
    uv_loop_t loop;
    uv_signal_t signals[2];
    uv_timer_t timer;
    uv_timer_t watch; /* for the rounds after which nodes are killed */
    struct log *log;
    struct supervisor *supervisor;
    struct up_children children;
    struct run_shape shape;
    enum phase phase;
    int exit_code;
    int lock;                  /* of the folder */
    enum up_standing standing; /* what a run that goes on was found to be */
    bool ended;                /* the job has, and there is a summary */
    bool compares;             /* the model is trained centrally too, after the job */
    uint64_t signalled_ns;     /* when the first signal to end came */
    struct fault_plan *faults; /* [shape.nodes] */
    uint64_t kill_after;
    uint32_t kill_down_ms;
    uint64_t rounds; /* committed when metrics.jsonl had metrics_size bytes */
    off_t metrics_size;
    char folder[RUN_PATH_MAX];
};

struct up_options {
    const char *file;
    uint64_t nodes; /* 0: not given */
    uint64_t per_process;
    uint64_t seed;
    bool resume;
    struct run_record record;
    const char *folder;
    const char *label;
    struct option_list sets;
};

static bool came_to_its_own_end(const struct up *up)
{
    struct up_outcome outcome;
    return up_summary_read_outcome(up->folder, &outcome, nullptr) == STATUS_OK &&
           !outcome.cancelled;
}

/* After a job that came to its own end, when nothing else runs any more. */
static bool begin_comparing(struct up *up)
{
    struct error err = {0};
    if (!up->compares || (up->exit_code != EXIT_SUCCESS && up->exit_code != EXIT_DIVERGED) ||
        !came_to_its_own_end(up))
        return false;
    up->compares = false;
    up->phase = COMPARING;
    uv_timer_stop(&up->timer);
    if (supervisor_start(up->supervisor, up_central(&up->children), &err) == STATUS_OK)
        return true;
    fprintf(stderr, "fedra up: %s\n", err.text);
    up->exit_code = EXIT_FAILURE;
    return false;
}

static void stop_if_all_ended(struct up *up)
{
    if (up->phase >= LEAVING && supervisor_running(up->supervisor) == 0 && !begin_comparing(up))
        uv_stop(&up->loop);
}

static void on_time(uv_timer_t *timer);

static void enter(struct up *up, enum phase phase, uint32_t timeout_ms)
{
    up->phase = phase;
    uv_update_time(&up->loop);
    uv_timer_start(&up->timer, on_time, timeout_ms, 0);
}

static void stop_all(struct up *up, int number)
{
    for (uint32_t i = 0; i < up->children.count; i++)
        supervisor_stop(up->supervisor, &up->children.children[i], number);
    stop_if_all_ended(up);
}

/* The job has ended: nodes end by themselves, the authority is told. */
static void leave(struct up *up)
{
    if (up->phase >= LEAVING)
        return;
    enter(up, LEAVING, END_BY_THEMSELVES_MS);
    for (uint32_t i = 0; i < up->children.count; i++)
        up->children.children[i].wanted = false;
    supervisor_stop(up->supervisor, up_authority(&up->children), SIGTERM);
    stop_if_all_ended(up);
}

/* The job cannot go on, and nobody has told the nodes. */
static void leave_at_once(struct up *up)
{
    leave(up);
    stop_all(up, SIGTERM);
}

static void on_time(uv_timer_t *timer)
{
    struct up *const up = timer->data;
    if (up->phase == CANCELLING)
        leave_at_once(up);
    else if (up->phase == LEAVING) {
        enter(up, KILLING, END_TERM_MS);
        stop_all(up, SIGTERM);
    } else {
        enter(up, KILLING, END_TERM_MS);
        stop_all(up, SIGKILL);
    }
}

static void on_signal(uv_signal_t *handle, int number)
{
    struct up *const up = handle->data;
    up->exit_code = EXIT_INTERRUPTED;
    const uint64_t now = clock_boot_ns();
    if (up->signalled_ns != 0 && now - up->signalled_ns < SECOND_SIGNAL_MS * UINT64_C(1000000))
        return;
    if (up->phase != RUNNING) {
        enter(up, KILLING, END_TERM_MS);
        stop_all(up, SIGKILL);
        return;
    }
    up->signalled_ns = now;
    up_note_interruption(up->folder);
    fprintf(stderr,
            "fedra up: ending the job; once more ends it at once; to go on later: fedra up "
            "--resume --run-dir %s\n",
            up->folder);
    enter(up, CANCELLING, END_COORDINATOR_MS);
    supervisor_stop(up->supervisor, up_coordinator(&up->children), SIGTERM);
    if (up_coordinator(&up->children)->pid == 0)
        leave_at_once(up);
}

static void say_last_line(const struct child *child)
{
    char last[LAST_LINE_MAX];
    last_line_read(child->output, last);
    if (last[0] != 0)
        fprintf(stderr, "fedra up: the last it said: %s\n", last);
}

/* On a full disk whoever died could not write down why. */
static void say_if_full(const struct up *up)
{
    struct statvfs disk;
    if (statvfs(up->folder, &disk) != 0)
        return;
    const uint64_t left = (uint64_t)disk.f_bavail * disk.f_frsize;
    if (left < DISK_BYTES_MIN)
        fprintf(
            stderr,
            "fedra up: no space left: %llu bytes are free in %s; make room, then go on: fedra up "
            "--resume --run-dir %s\n",
            (unsigned long long)left, up->folder, up->folder);
}

static bool give_up(struct up *up, struct child *child, int code)
{
    if (up->phase != RUNNING)
        return false;
    fprintf(stderr, "fedra up: %s %s; its log is %s/logs/%s.log\n", child->name,
            code == CHILD_EXIT_USAGE ? "does not take its configuration" : "dies again and again",
            up->folder, child->name);
    say_last_line(child);
    say_if_full(up);
    up->exit_code = EXIT_FAILURE;
    leave_at_once(up);
    return false;
}

/* Whether the coordinator ended because the job did, whose last act is the summary. */
static bool job_ended(const struct up *up, int code)
{
    char path[RUN_PATH_MAX + 32];
    snprintf(path, sizeof(path), "%s/summary.json", up->folder);
    return (code == EXIT_SUCCESS || code == EXIT_DIVERGED) && access(path, F_OK) == 0;
}

static void compared(struct up *up, const struct child *child, int code)
{
    struct error err = {0};
    if (code == EXIT_SUCCESS && up_summary_add_central(up->folder, &err) == STATUS_OK)
        return;
    up->exit_code = EXIT_FAILURE;
    if (code == EXIT_SUCCESS) {
        fprintf(stderr, "fedra up: %s\n", err.text);
        return;
    }
    fprintf(stderr, "fedra up: the model could not be trained centrally\n");
    say_last_line(child);
}

static bool on_exit_of_child(void *context, struct child *child, int code, int number)
{
    struct up *const up = context;
    const bool is_coordinator = child == up_coordinator(&up->children);
    const bool is_node = !is_coordinator && child != up_authority(&up->children);
    const bool ended = is_coordinator && job_ended(up, code);
    up->ended = up->ended || ended;
    if (up->phase == COMPARING)
        compared(up, child, code);
    if (up->phase == RUNNING && ended) {
        up->exit_code = code;
        leave(up);
    } else if (up->phase == CANCELLING && is_coordinator) {
        if (ended)
            leave(up);
        else
            leave_at_once(up);
    }
    if (up->phase != RUNNING) {
        stop_if_all_ended(up);
        return false;
    }
    if (code == CHILD_EXIT_USAGE || child->deaths_in_vain >= RESTARTS_IN_VAIN_MAX)
        return give_up(up, child, code);
    return !is_node || code != EXIT_SUCCESS; /* 0: it was told that the job has ended */
}

static void forget(struct up *up)
{
    if (up->ended)
        run_data_remove(up->folder);
    up_children_deinit(&up->children);
    free(up->faults);
    log_close(up->log);
    lock_file_close(up->lock);
    free(up);
}

static enum status start_children(struct up *up, struct error *err)
{
    char pid[32];
    enum status status = STATUS_OK;
    snprintf(pid, sizeof(pid), "%ld", (long)getpid());
    CHECK(setenv(NODE_STARTED_BY, pid, 1) == 0);
    if (up->standing == UP_COMPARES) {
        up->phase = LEAVING; /* the job has ended, nobody runs */
        stop_if_all_ended(up);
        return STATUS_OK;
    }
    for (uint32_t i = 0; i + 1 < up->children.count && status == STATUS_OK; i++)
        status = supervisor_start(up->supervisor, &up->children.children[i], err);
    return status;
}

/* How many rounds are committed: lines of metrics.jsonl, which is made anew at some starts. */
static uint64_t count_rounds(struct up *up)
{
    char path[RUN_PATH_MAX + 32];
    char buffer[4096];
    struct stat info;
    snprintf(path, sizeof(path), "%s/metrics.jsonl", up->folder);
    if (stat(path, &info) != 0 || info.st_size == up->metrics_size)
        return up->rounds;
    up->metrics_size = info.st_size;
    FILE *const file = fopen(path, "re");
    if (file == nullptr)
        return up->rounds;
    up->rounds = 0;
    while (!feof(file) && !ferror(file)) {
        const size_t size = fread(buffer, 1, sizeof(buffer), file);
        for (size_t i = 0; i < size; i++)
            up->rounds += buffer[i] == '\n';
    }
    fclose(file);
    return up->rounds;
}

/* Kills who is to be killed once the rounds before are committed. */
static void on_watch(uv_timer_t *timer)
{
    struct up *const up = timer->data;
    if (count_rounds(up) < up->kill_after)
        return;
    uv_timer_stop(timer);
    for (uint32_t i = 0; i < up->shape.nodes && up->phase == RUNNING; i++) {
        if (up->faults[i].killed)
            supervisor_kill(up->supervisor, &up->children.children[1 + i], up->kill_down_ms);
    }
}

/* Several nodes in a process kill themselves (host/node_faults.c). */
static enum status plan_kills(struct up *up, const struct config *config, struct error *err)
{
    up->kill_after = config->faults.kill.after_rounds;
    up->kill_down_ms = (uint32_t)(config->faults.kill.down_s * 1000);
    up->faults = calloc(up->shape.nodes + 1, sizeof(*up->faults));
    if (up->faults == nullptr)
        return error_set(err, STATUS_NO_MEMORY, "no memory for %u nodes", up->shape.nodes);
    const enum status status = fault_plan_draw(config, up->shape.nodes, up->faults, err);
    bool any = false;
    for (uint32_t i = 0; i < up->shape.nodes && status == STATUS_OK; i++)
        any = any || up->faults[i].killed;
    if (any && up->shape.per_process == 1 && count_rounds(up) < up->kill_after)
        uv_timer_start(&up->watch, on_watch, WATCH_MS, WATCH_MS);
    return status;
}

static enum status run_children(struct up *up, const struct config *config, struct error *err)
{
    static const int numbers[] = {SIGINT, SIGTERM};
    CHECK(uv_loop_init(&up->loop) == 0);
    CHECK(uv_timer_init(&up->loop, &up->timer) == 0);
    CHECK(uv_timer_init(&up->loop, &up->watch) == 0);
    up->timer.data = up;
    up->watch.data = up;
    for (size_t i = 0; i < 2; i++) {
        CHECK(uv_signal_init(&up->loop, &up->signals[i]) == 0);
        up->signals[i].data = up;
        CHECK(uv_signal_start(&up->signals[i], on_signal, numbers[i]) == 0);
    }
    enum status status = supervisor_open(&up->loop, up->log, up->children.children,
                                         up->children.count, on_exit_of_child, up, &up->supervisor);
    if (status == STATUS_OK)
        status = plan_kills(up, config, err);
    if (status == STATUS_OK)
        status = start_children(up, err);
    if (status == STATUS_OK)
        uv_run(&up->loop, UV_RUN_DEFAULT);
    supervisor_close(up->supervisor);
    uv_close((uv_handle_t *)&up->timer, nullptr);
    uv_close((uv_handle_t *)&up->watch, nullptr);
    for (size_t i = 0; i < 2; i++)
        uv_close((uv_handle_t *)&up->signals[i], nullptr);
    uv_run(&up->loop, UV_RUN_DEFAULT);
    CHECK(uv_loop_close(&up->loop) == 0);
    return status;
}

/* One `fedra up` at a time in a folder. */
static enum status lock_folder(struct up *up, struct error *err)
{
    char path[RUN_PATH_MAX + 32];
    snprintf(path, sizeof(path), "%s/up.lock", up->folder);
    return lock_file_open(path, &up->lock, err);
}

static enum status prepare_new(struct up *up, struct config *config, struct error *err)
{
    enum status status = job_check_data(config, err);
    if (status == STATUS_OK)
        status = run_setup(up->folder, config, &up->shape, err);
    if (status == STATUS_OK)
        status = lock_folder(up, err);
    return status;
}

/* The folder was found to be that of a run before config was read from it. */
static enum status prepare_again(struct up *up, struct config *config,
                                 const struct run_record *record, struct error *err)
{
    enum status status = lock_folder(up, err);
    if (status == STATUS_OK)
        status = up_find_standing(up->folder, config, &up->standing, err);
    if (status == STATUS_OK && up->standing == UP_GOES_ON)
        status = run_setup_again(up->folder, config, record, err);
    return status;
}

static enum status prepare(struct up *up, const struct up_options *options, struct config *config,
                           struct error *err)
{
    char path[RUN_PATH_MAX + 32];
    run_name_folder(options->folder, config->job.name, "", up->folder);
    up->shape = options->record.shape;
    up->compares = up_wants_comparison(config);
    enum status status = options->resume ? prepare_again(up, config, &options->record, err)
                                         : prepare_new(up, config, err);
    if (status == STATUS_OK)
        status = up_children_init(&up->children, up->folder, &up->shape, config->identity.authority,
                                  err);
    if (status != STATUS_OK)
        return status;
    snprintf(path, sizeof(path), "%s/logs/up.log", up->folder);
    return log_open(path, LOG_INFO, LOG_FORMAT_TEXT, err, &up->log);
}

static void say_begin(struct up *up, const struct config *config)
{
    const unsigned long long rounds_max = config->convergence.max_rounds;
    const unsigned long long rounds = count_rounds(up);
    if (up->standing == UP_ENDED)
        printf("the job has ended already; the run's folder is %s\n", up->folder);
    else if (rounds > 0 || up->standing == UP_COMPARES)
        printf("%u nodes, after %llu of up to %llu rounds; the run's folder is %s\n",
               up->shape.nodes, rounds, rounds_max, up->folder);
    else
        printf("%u nodes, up to %llu rounds; the run's folder is %s\n", up->shape.nodes, rounds_max,
               up->folder);
    fflush(stdout);
}

static int run(const struct up_options *options, struct config *config)
{
    struct up *const up = calloc(1, sizeof(*up));
    struct error err = {0};
    CHECK(up != nullptr);
    signal(SIGPIPE, SIG_IGN);
    up->lock = -1;
    up->exit_code = EXIT_FAILURE;
    enum status status = prepare(up, options, config, &err);
    if (status == STATUS_OK) {
        say_begin(up, config);
        if (up->standing != UP_GOES_ON)
            up->exit_code = EXIT_SUCCESS;
        if (up->standing != UP_ENDED)
            status = run_children(up, config, &err);
    }
    if (status != STATUS_OK) {
        fprintf(stderr, "fedra up: %s\n", err.text[0] != 0 ? err.text : status_text(status));
        up->exit_code = EXIT_FAILURE;
    } else if (up->exit_code != EXIT_FAILURE || up->ended) {
        up_summary_print(up->folder, options->label);
        if (up->exit_code == EXIT_SUCCESS && up->standing != UP_ENDED && !came_to_its_own_end(up))
            up->exit_code = EXIT_FAILURE; /* somebody else cancelled it */
    }
    const int code = up->exit_code;
    forget(up);
    return code;
}

/* A new run: the job's configuration, made one for this many nodes. EXIT_SUCCESS, EXIT_USAGE. */
static int read_new(struct up_options *options, struct config *config)
{
    options->nodes = options->nodes > 0 ? options->nodes : NODES_DEFAULT;
    options->per_process = options->per_process > 0 ? options->per_process : 1;
    options->record.shape = (struct run_shape){.nodes = (uint32_t)options->nodes,
                                               .per_process = (uint32_t)options->per_process};
    if (command_load_config(options->file, &options->sets, config) != STATUS_OK ||
        command_adapt_config(config, options->nodes, options->seed) != STATUS_OK)
        return EXIT_USAGE;
    return EXIT_SUCCESS;
}

/* A run that goes on: what it is stands in its folder. */
static int read_again(struct up_options *options, struct config *config)
{
    char path[RUN_PATH_MAX + 64];
    const struct option_list no_sets = {0};
    struct error err = {0};
    if (options->folder == nullptr) {
        fprintf(stderr, "fedra up: --resume needs the run's folder, --run-dir DIR\n");
        return EXIT_USAGE;
    }
    if (options->file != nullptr || options->nodes > 0 || options->per_process > 0 ||
        options->seed != UINT64_MAX || options->sets.count > 0) {
        fprintf(stderr, "fedra up: --resume goes on as the run began: it takes no FILE, --nodes, "
                        "--per-process, --seed and --set\n");
        return EXIT_USAGE;
    }
    if (run_record_read(options->folder, &options->record, &err) != STATUS_OK) {
        fprintf(stderr, "fedra up: --resume: %s\n", err.text);
        return EXIT_FAILURE;
    }
    snprintf(path, sizeof(path), "%s/config/coordinator.yaml", options->folder);
    return command_load_config(path, &no_sets, config) == STATUS_OK ? EXIT_SUCCESS : EXIT_FAILURE;
}

static int parse(int argc, char **argv, struct up_options *options)
{
    const struct option_spec specs[] = {
        {"nodes", 'n', "N", "how many nodes [10]", .number = &options->nodes, .min = 1,
         .max = RUN_NODES_MAX},
        {"per-process", 0, "P", "how many of them in each process [1]",
         .number = &options->per_process, .min = 1, .max = RUN_PER_PROCESS_MAX},
        {"seed", 0, "S", "instead of job.seed", .number = &options->seed, .min = 0,
         .max = UINT64_MAX - 1},
        {"run-dir", 0, "DIR", "a new folder for the run [runs/JOB-TIME]", .text = &options->folder},
        {"resume", 0, nullptr, "go on with the run in --run-dir", .flag = &options->resume},
        {"set", 0, "KEY=VALUE", "override a key; may be repeated", .list = &options->sets},
        {"label", 0, "WORD", "end with one line \"WORD: outcome=...\"", .text = &options->label},
    };
    const struct option_table table = {
        .usage = "up FILE [--nodes N] [--per-process P] [--seed S] [--run-dir DIR] "
                 "[--set KEY=VALUE]... [--label WORD] | up --resume --run-dir DIR [--label WORD]",
        .help = "Runs an authority, a coordinator and N nodes on this machine as separate "
                "processes until the job ends. With --resume it goes on with a run that was killed "
                "or interrupted, as it began; where the job has ended it says so. Exit code: 0 "
                "converged or exhausted, 3 diverged, 130 Ctrl-C, 1 a fault, 2 wrong usage or "
                "configuration.",
        .specs = specs,
        .spec_count = sizeof(specs) / sizeof(*specs),
        .operands_max = 1,
    };
    uint32_t operands = 0;
    const int early = options_parse_or_exit_code(&table, argc, argv, &operands);
    if (early >= 0)
        return early;
    options->file = operands > 0 ? argv[1] : nullptr;
    if (options->file == nullptr && !options->resume) {
        fprintf(stderr, "fedra up: needs the job's configuration, up FILE\n");
        return EXIT_USAGE;
    }
    return -1;
}

int up_command(int argc, char **argv)
{
    struct up_options options = {.seed = UINT64_MAX};
    const int early = parse(argc, argv, &options);
    if (early >= 0)
        return early;
    struct config *const config = malloc(sizeof(*config));
    CHECK(config != nullptr);
    int code = options.resume ? read_again(&options, config) : read_new(&options, config);
    if (code == EXIT_SUCCESS)
        code = run(&options, config);
    free(config);
    return code;
}

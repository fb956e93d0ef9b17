/*
 * trainer_external.c - the trainer that is a program of the user's, told by lines what to do.
 *
 * A task ends in an answer, or in a sentence that says what the program did instead. A program that
 * broke the protocol, ended or hung is killed, and another one is started for the next task, with a
 * growing wait between starts in vain. What the lines are: trainer_protocol.h; how a process is
 * started and ended: trainer_process.h.
 */
#include "base/check.h"
#include "base/random.h"
#include "base/text.h"
#include "tensor/safetensors.h"
#include "train/trainer.h"
#include "train/trainer_files.h"
#include "train/trainer_protocol.h"
#include "train/trainer_session.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum {
    STREAM_TASK = 0x7461736b, /* of random numbers: the seeds of tasks */
    PATH_ROOM = TRAINER_PATH_MAX + 32,
    TERM_GRACE_MS = 1000,   /* from SIGTERM to SIGKILL */
    RESTART_WAIT_MS = 1000, /* after the second start in vain; doubled with each one more */
    RESTART_WAIT_MAX_MS = 10000,
    LATE_LOOK_MS = 500, /* given to a process whose time to get ready has passed unwatched */
    IDLE_LOOK_MS = 1,   /* spent looking at what came between two tasks */
    PROGRESS_STEPS = 1000,
    VARIABLES = 12,
};

static const uint64_t ms_ns = 1000000;
static const double s_ns = 1e9;

struct external {
    struct trainer_options options;
    uint32_t parameters;
    char folder[TRAINER_PATH_MAX];
    char scratch[PATH_ROOM];           /* emptied after each task */
    char indices[PATH_ROOM];           /* "" where they are not known */
    int wake;                          /* eventfd: cancel was called */
    _Atomic uint64_t cancelled_serial; /* the highest that cancel was called with */
    struct trainer_session *session;   /* null while there is none */
    uint64_t started_ns;               /* when the session's process was */
    bool ready;
    bool heartbeats;
    bool answered;     /* it has answered a task since it was started */
    uint32_t failures; /* of processes, one after another */
    uint64_t failed_ns;
};

static bool is_cancelled(const struct external *external, uint64_t serial)
{
    return atomic_load(&external->cancelled_serial) >= serial;
}

/* Whether cancel was called for this serial; what woke us is taken back before that is looked at.
 */
static bool was_cancelled(const struct external *external, uint64_t serial)
{
    uint64_t times = 0;
    (void)!read(external->wake, &times, sizeof(times));
    return is_cancelled(external, serial);
}

static enum status say_cancelled(struct error *err)
{
    return error_set(err, STATUS_CANCELLED, "training was cancelled");
}

static void note(const struct external *external, enum trainer_note kind, const char *text)
{
    const struct trainer_external_options *const options = &external->options.external;
    const struct slice slice = {(const uint8_t *)text, strlen(text)};
    if (options->note != nullptr)
        options->note(options->note_context, kind, slice);
}

static uint64_t after(uint64_t ns, double seconds)
{
    return ns + (uint64_t)(seconds * s_ns);
}

/* ---- the process: its start and its end ---- */

/* Ends the process, by SIGTERM where it lives; what it says meanwhile is still told. */
static void stop_process(struct external *external)
{
    struct slice unused;
    enum trainer_session_event event = SESSION_LINE;
    if (external->session == nullptr)
        return;
    trainer_process_terminate(trainer_session_process(external->session));
    const uint64_t deadline = trainer_now_ns() + TERM_GRACE_MS * ms_ns;
    while (event != SESSION_ENDED && event != SESSION_DEADLINE)
        event = trainer_session_wait(external->session, deadline, -1, &unused);
    trainer_session_close(external->session);
    external->session = nullptr;
}

/* The process is of no use any more. Gives status back. */
static enum status give_up(struct external *external, enum status status)
{
    stop_process(external);
    external->failures++;
    external->failed_ns = trainer_now_ns();
    return status;
}

static enum status send_hello(struct external *external, struct error *err)
{
    const struct trainer_external_options *const options = &external->options.external;
    const struct trainer_hello hello = {.job = options->job,
                                        .node = options->node,
                                        .part = options->part,
                                        .parts = options->parts,
                                        .seed = options->seed,
                                        .holdout = options->holdout,
                                        .heartbeat_s = options->heartbeat_s,
                                        .scratch = external->scratch,
                                        .data = options->data,
                                        .indices = external->indices,
                                        .layout = options->layout};
    return trainer_encode_hello(&hello, trainer_session_outgoing(external->session), err);
}

static enum status start_process(struct external *external, struct error *err)
{
    const struct trainer_external_options *const options = &external->options.external;
    char numbers[5][24];
    const unsigned long long values[] = {TRAINER_PROTOCOL, options->part, options->parts,
                                         options->seed, options->limits.cpus};
    for (size_t i = 0; i < sizeof(values) / sizeof(*values); i++)
        snprintf(numbers[i], sizeof(numbers[i]), "%llu", values[i]);
    const struct trainer_variable variables[VARIABLES] = {
        {"FEDRA_PROTOCOL", numbers[0], false},
        {"FEDRA_JOB", options->job, false},
        {"FEDRA_NODE", options->node, false},
        {"FEDRA_PART", numbers[1], false},
        {"FEDRA_PARTS", numbers[2], false},
        {"FEDRA_SEED", numbers[3], false},
        {"FEDRA_DATA", options->data, false},
        {"FEDRA_INDICES", external->indices, false},
        {"FEDRA_SCRATCH", external->scratch, false},
        /* Else Python keeps its answers back when they go into a pipe. */
        {"PYTHONUNBUFFERED", "1", true},
        /* Else OpenMP and BLAS start a thread for each processor there is. */
        {"OMP_NUM_THREADS", numbers[4], true},
    };
    const struct trainer_process_options process = {
        .keeper = options->keeper,
        .command = options->command,
        .limits = options->limits,
        .variables = variables,
        .variable_count = options->limits.cpus > 0 ? 11 : 10,
    };
    enum status status = trainer_session_open(&process, options->note, options->note_context,
                                              &external->session, err);
    external->started_ns = trainer_now_ns();
    external->ready = false;
    external->answered = false;
    if (status == STATUS_OK)
        status = send_hello(external, err);
    return status == STATUS_OK ? status : give_up(external, status);
}

/* ---- what a process does wrong, in words ---- */

/* The process has ended, or closed its output: what was it at? */
static enum status say_gone(struct external *external, const char *at, struct error *err)
{
    char how[TRAINER_END_TEXT_MAX] = "closed its standard output";
    const struct trainer_process *const process = trainer_session_process(external->session);
    if (process->ended)
        trainer_process_describe_end(process, how);
    const char *const words = trainer_session_last_words(external->session);
    return error_set(err, STATUS_PEER, "the trainer %s %s%s%s%s", how, at,
                     words[0] != 0 ? "; the last it said: '" : "", words, words[0] != 0 ? "'" : "");
}

static enum status say_overlong(struct slice line, struct error *err)
{
    char shown[40];
    text_escape(line.data, line.size, shown, sizeof(shown));
    return error_set(err, STATUS_PEER,
                     "the trainer answered a line of more than %d bytes, which begins with '%s'",
                     TRAINER_LINE_MAX, shown);
}

/* A process is lost without a task: that is told, but is no failure. */
static void say_restarted(const struct external *external, const struct error *why)
{
    char text[ERROR_TEXT_MAX + 32];
    snprintf(text, sizeof(text), "%s; it is started again", why->text);
    note(external, TRAINER_NOTE_TROUBLE, text);
}

/* ---- from a start to ready ---- */

static enum status on_first_line(struct external *external, struct slice line, struct error *err)
{
    char text[TRAINER_TEXT_MAX + 32];
    struct trainer_message message;
    const enum status status = trainer_parse(line, &message, err);
    if (status != STATUS_OK)
        return status;
    if (message.kind != TRAINER_READY)
        return error_set(err, STATUS_PEER,
                         "the trainer answered before it was ready, ready is wanted as its first "
                         "line");
    external->ready = true;
    external->heartbeats = message.heartbeats;
    snprintf(text, sizeof(text), "%s%s", message.text[0] != 0 ? message.text : "it has no name",
             message.heartbeats ? ", sends heartbeats" : "");
    note(external, TRAINER_NOTE_READY, text);
    return STATUS_OK;
}

static enum status wait_until_ready(struct external *external, uint64_t serial, struct error *err)
{
    const double patience_s = external->options.external.start_timeout_s;
    /* It was started before the first task was there: what it said since is heard in any case. */
    const uint64_t started = after(external->started_ns, patience_s);
    const uint64_t soon = trainer_now_ns() + LATE_LOOK_MS * ms_ns;
    const uint64_t deadline = started > soon ? started : soon;
    struct slice line;
    while (!external->ready) {
        enum status status = STATUS_OK;
        switch (trainer_session_wait(external->session, deadline, external->wake, &line)) {
        case SESSION_LINE:
            status = on_first_line(external, line, err);
            break;
        case SESSION_OVERLONG:
            status = say_overlong(line, err);
            break;
        case SESSION_ENDED:
        case SESSION_CLOSED:
            status = say_gone(external, "before it was ready", err);
            break;
        case SESSION_DEADLINE:
            status = error_set(err, STATUS_TIMEOUT,
                               "the trainer was not ready after %g s (train.start_timeout_s)",
                               patience_s);
            break;
        case SESSION_WOKEN:
            if (was_cancelled(external, serial)) /* it may go on getting ready */
                return say_cancelled(err);
            break;
        }
        if (status != STATUS_OK)
            return give_up(external, status);
    }
    return STATUS_OK;
}

/* Waits before another start where some were in vain. CANCELLED. */
static enum status wait_for_restart(struct external *external, uint64_t serial, struct error *err)
{
    uint64_t wait_ms = external->failures < 2 ? 0 : RESTART_WAIT_MS;
    for (uint32_t i = 2; i < external->failures && wait_ms < RESTART_WAIT_MAX_MS; i++)
        wait_ms *= 2;
    wait_ms = wait_ms < RESTART_WAIT_MAX_MS ? wait_ms : RESTART_WAIT_MAX_MS;
    const uint64_t until = external->failed_ns + wait_ms * ms_ns;
    for (uint64_t now = trainer_now_ns(); now < until; now = trainer_now_ns()) {
        struct pollfd fd = {.fd = external->wake, .events = POLLIN};
        if (poll(&fd, 1, (int)((until - now) / ms_ns) + 1) > 0 && was_cancelled(external, serial))
            return say_cancelled(err);
    }
    return STATUS_OK;
}

/* What came between two tasks: late answers are dropped; a process that has ended is replaced. */
static void look_at_idle(struct external *external)
{
    struct slice line;
    struct trainer_message message;
    struct error wrong = {0};
    const uint64_t deadline = trainer_now_ns() + IDLE_LOOK_MS * ms_ns;
    enum trainer_session_event event = SESSION_LINE;
    enum status status = STATUS_OK;
    while (event == SESSION_LINE && (status == STATUS_OK || status == STATUS_INVAL)) {
        event = trainer_session_wait(external->session, deadline, -1, &line);
        if (event == SESSION_LINE)
            status = trainer_parse(line, &message, &wrong);
        else if (event == SESSION_OVERLONG)
            status = say_overlong(line, &wrong);
        else if (event == SESSION_ENDED || event == SESSION_CLOSED)
            status = say_gone(external, "between two tasks", &wrong);
    }
    if (status == STATUS_OK || status == STATUS_INVAL)
        return;
    say_restarted(external, &wrong);
    stop_process(external);
}

/* Makes that there is a process and that it is ready. */
static enum status get_ready(struct external *external, uint64_t serial, struct error *err)
{
    enum status status = STATUS_OK;
    if (external->session != nullptr && external->ready)
        look_at_idle(external);
    if (external->session == nullptr) {
        status = wait_for_restart(external, serial, err);
        if (status == STATUS_OK)
            status = start_process(external, err);
    }
    return status == STATUS_OK ? wait_until_ready(external, serial, err) : status;
}

/* ---- a task ---- */

/* Tells it to stop, and waits until it has answered or has ended. Gives CANCELLED. */
static enum status cancel_task(struct external *external, uint64_t serial, struct error *err)
{
    char text[TRAINER_TEXT_MAX];
    struct slice line;
    struct trainer_message message;
    const double grace_s = external->options.external.cancel_grace_s;
    const uint64_t deadline = after(trainer_now_ns(), grace_s);
    enum trainer_session_event event = SESSION_LINE;
    bool obeyed = trainer_encode_cancel(serial, trainer_session_outgoing(external->session),
                                        nullptr) != STATUS_OK; /* then it is not told, but ended */
    while (!is_cancelled(external, UINT64_MAX) && !obeyed &&
           (event == SESSION_LINE || event == SESSION_WOKEN)) {
        event = trainer_session_wait(external->session, deadline, external->wake, &line);
        if (event == SESSION_WOKEN)
            (void)was_cancelled(external, serial);
        if (event != SESSION_LINE)
            continue;
        const enum status status = trainer_parse(line, &message, nullptr);
        if (status != STATUS_OK && status != STATUS_INVAL)
            event = SESSION_OVERLONG; /* it is no use any more */
        obeyed = event == SESSION_LINE && message.id == serial &&
                 (message.kind == TRAINER_TRAINED || message.kind == TRAINER_FAILED);
    }
    if (event == SESSION_DEADLINE) {
        snprintf(text, sizeof(text),
                 "the trainer went on for %g s after it was told to cancel (train.cancel_grace_s); "
                 "it is ended",
                 grace_s);
        note(external, TRAINER_NOTE_TROUBLE, text);
    }
    if (!obeyed)
        stop_process(external);
    return say_cancelled(err);
}

/* An answer while a task is under way. AGAIN: it is not the last one to this task. */
static enum status on_answer(struct external *external, const struct trainer_task *task,
                             struct slice line, struct trainer_message *message, struct error *err)
{
    char text[TRAINER_TEXT_MAX];
    const enum status status = trainer_parse(line, message, err);
    if (status != STATUS_OK && status != STATUS_INVAL)
        return status;
    if (message->kind == TRAINER_READY)
        return error_set(err, STATUS_PEER, "the trainer said ready twice");
    if (message->id > task->serial)
        return error_set(err, STATUS_PEER,
                         "the trainer answered the task %" PRIu64 ", but was given %" PRIu64,
                         message->id, task->serial);
    if (message->id < task->serial) {
        if (message->kind != TRAINER_HEARTBEAT) {
            snprintf(text, sizeof(text),
                     "the trainer answered the task %" PRIu64 " twice or too late; that is ignored",
                     message->id);
            note(external, TRAINER_NOTE_TROUBLE, text);
        }
        return STATUS_AGAIN;
    }
    if (message->kind != TRAINER_HEARTBEAT)
        return status;
    if (status != STATUS_OK)
        return STATUS_PEER;
    if (task->progress != nullptr)
        task->progress(task->progress_context, (uint64_t)(message->progress * PROGRESS_STEPS),
                       PROGRESS_STEPS);
    return STATUS_AGAIN;
}

/* It is gone. AGAIN where it was so before it took the task, after others that went well. */
static enum status on_gone(struct external *external, const char *at, struct error *err)
{
    struct error between = {0};
    if (!external->answered || !trainer_session_unread(external->session))
        return give_up(external, say_gone(external, at, err));
    (void)say_gone(external, "between two tasks", &between);
    say_restarted(external, &between);
    stop_process(external);
    return STATUS_AGAIN;
}

/* No answer came in time. */
static enum status on_silence(struct external *external, bool is_hung, uint64_t round,
                              struct error *err)
{
    const struct trainer_external_options *const options = &external->options.external;
    const enum status status =
        is_hung ? error_set(err, STATUS_TIMEOUT,
                            "the trainer said nothing for %g s (train.heartbeat_s) while it "
                            "trained round %" PRIu64,
                            options->heartbeat_s, round)
                : error_set(err, STATUS_TIMEOUT,
                            "the trainer took more than %g s (train.task_timeout_s) to train "
                            "round %" PRIu64,
                            options->task_timeout_s, round);
    return give_up(external, status);
}

/*
 * Waits for the answer to the task that was sent. OK and INVAL: message is TRAINED or FAILED, its
 * figures are right or not. AGAIN: the task is to be given to another process. Else the process is
 * gone, but with CANCELLED perhaps.
 */
static enum status await_answer(struct external *external, const struct trainer_task *task,
                                struct trainer_message *message, struct error *err)
{
    const struct trainer_external_options *const options = &external->options.external;
    char at[64];
    struct slice line;
    uint64_t heard_ns = trainer_now_ns();
    const uint64_t end =
        options->task_timeout_s > 0 ? after(heard_ns, options->task_timeout_s) : UINT64_MAX;
    snprintf(at, sizeof(at), "while it trained round %" PRIu64, task->round);
    for (;;) {
        const uint64_t hung =
            external->heartbeats ? after(heard_ns, options->heartbeat_s) : UINT64_MAX;
        enum status status = STATUS_AGAIN;
        switch (trainer_session_wait(external->session, hung < end ? hung : end, external->wake,
                                     &line)) {
        case SESSION_LINE:
            status = on_answer(external, task, line, message, err);
            heard_ns = trainer_now_ns(); /* after what the task's progress may have waited for */
            break;
        case SESSION_OVERLONG:
            status = say_overlong(line, err);
            break;
        case SESSION_ENDED:
        case SESSION_CLOSED:
            return on_gone(external, at, err);
        case SESSION_DEADLINE:
            return on_silence(external, hung < end, task->round, err);
        case SESSION_WOKEN:
            if (was_cancelled(external, task->serial))
                return cancel_task(external, task->serial, err);
            break;
        }
        if (status == STATUS_OK || status == STATUS_INVAL) {
            external->answered = true; /* it keeps to the protocol, whatever it answers */
            external->failures = 0;
            return status;
        }
        if (status != STATUS_AGAIN)
            return give_up(external, status);
    }
}

/* The paths of a task's files. */
struct task_files {
    char model[PATH_ROOM + 48];
    char output[PATH_ROOM + 48];
};

static enum status send_task(struct external *external, const struct trainer_task *task,
                             struct task_files *ret_files, struct error *err)
{
    const struct trainer_external_options *const options = &external->options.external;
    struct random random;
    snprintf(ret_files->model, sizeof(ret_files->model), "%s/model-%" PRIu64 ".safetensors",
             external->scratch, task->serial);
    snprintf(ret_files->output, sizeof(ret_files->output), "%s/trained-%" PRIu64 ".safetensors",
             external->scratch, task->serial);
    random_init(&random, task->seed ^ external->options.node, STREAM_TASK, task->round);
    const struct trainer_work work = {.id = task->serial,
                                      .round = task->round,
                                      .seed = (uint32_t)(random_u64(&random) >> 32),
                                      .model = ret_files->model,
                                      .output = ret_files->output,
                                      .sgd = &external->options.sgd};
    const enum status status =
        safetensors_write_file(ret_files->model, options->layout, nullptr, 0, task->base, err);
    if (status != STATUS_OK)
        return error_prefix(err, status, "the model for the trainer cannot be written");
    return trainer_encode_work(&work, trainer_session_outgoing(external->session), err);
}

static enum status run_task(struct external *external, const struct trainer_task *task,
                            float *ret_delta, struct trainer_result *ret_result, struct error *err)
{
    struct task_files files;
    struct trainer_message message = {0};
    enum status status = get_ready(external, task->serial, err);
    if (status == STATUS_OK)
        status = send_task(external, task, &files, err);
    if (status == STATUS_OK)
        status = await_answer(external, task, &message, err);
    if (status != STATUS_OK)
        return status;
    if (message.kind == TRAINER_FAILED)
        return error_set(err, STATUS_INVAL, "the trainer failed: %s",
                         message.text[0] != 0 ? message.text : "it gave no reason");
    status = trainer_output_read(files.output, external->options.external.layout, task->base,
                                 ret_delta, err);
    if (status == STATUS_OK)
        *ret_result = (struct trainer_result){.samples = message.samples,
                                              .steps = 1,
                                              .loss = message.loss,
                                              .received_evaluated = message.has_holdout,
                                              .received = message.holdout,
                                              .has_accuracy = message.has_accuracy,
                                              .accuracy = message.accuracy};
    return status;
}

/* ---- the table ---- */

static enum status external_train(void *trainer, const struct trainer_task *task, float *ret_delta,
                                  struct trainer_result *ret_result, struct error *err)
{
    struct external *const external = trainer;
    struct error emptying = {0};
    enum status status = STATUS_AGAIN;
    if (task->parameters != external->parameters)
        return error_set(err, STATUS_INVAL,
                         "the model received has %u parameters, but the trainer's has %u",
                         task->parameters, external->parameters);
    if (was_cancelled(external, task->serial))
        return say_cancelled(err);
    while (status == STATUS_AGAIN) /* at most twice: a new process has answered nothing yet */
        status = run_task(external, task, ret_delta, ret_result, err);
    if (trainer_folder_empty(external->scratch, &emptying) != STATUS_OK)
        note(external, TRAINER_NOTE_TROUBLE, emptying.text);
    return status;
}

static enum status external_evaluate(void *trainer, const float *parameters,
                                     const struct dataset *data, struct evaluation *ret_evaluation,
                                     struct error *err)
{
    return error_set(err, STATUS_UNSUPPORTED, "a trainer of one's own cannot evaluate a model");
}

static void external_cancel(void *trainer, uint64_t serial)
{
    struct external *const external = trainer;
    const uint64_t one = 1;
    uint64_t highest = atomic_load(&external->cancelled_serial);
    while (highest < serial &&
           !atomic_compare_exchange_weak(&external->cancelled_serial, &highest, serial)) {
        /* highest was read anew */
    }
    (void)!write(external->wake, &one, sizeof(one)); /* full only where it is readable anyway */
}

/* Ends an idle process by the close of its standard input, which is how it knows. */
static void end_politely(struct external *external)
{
    struct slice unused;
    enum trainer_session_event event = SESSION_LINE;
    if (external->session == nullptr)
        return;
    trainer_process_close_input(trainer_session_process(external->session));
    const uint64_t deadline = after(trainer_now_ns(), external->options.external.end_grace_s);
    while (event != SESSION_ENDED && event != SESSION_DEADLINE)
        event = trainer_session_wait(external->session, deadline, -1, &unused);
    if (event != SESSION_ENDED)
        note(external, TRAINER_NOTE_TROUBLE,
             "the trainer did not end when its standard input was closed; it is ended");
    stop_process(external);
}

static void external_close(void *trainer)
{
    struct external *const external = trainer;
    end_politely(external);
    if (external->folder[0] != 0)
        (void)trainer_folder_empty(external->folder, nullptr);
    if (external->wake >= 0)
        close(external->wake);
    free(external);
}

/* The folder, what lies in it for the whole time, and the descriptor of cancel. */
static enum status prepare(struct external *external, struct error *err)
{
    const struct trainer_external_options *const options = &external->options.external;
    char path[PATH_ROOM];
    external->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (external->wake < 0)
        return error_set_errno(err, STATUS_IO, errno, "the trainer's eventfd cannot be made");
    enum status status = trainer_folder_make(options->folder, external->folder, err);
    if (status == STATUS_OK)
        status = trainer_folder_empty(external->folder, err);
    if (status != STATUS_OK)
        return status;
    snprintf(path, sizeof(path), "%s/scratch", external->folder);
    status = trainer_folder_make(path, external->scratch, err);
    if (status != STATUS_OK || options->indices == nullptr)
        return status;
    snprintf(external->indices, sizeof(external->indices), "%s/indices.txt", external->folder);
    return trainer_indices_write(external->indices, options->indices, options->index_count, err);
}

static enum status external_open(const struct trainer_options *options, void **ret_trainer,
                                 struct error *err)
{
    struct error start = {0};
    enum status status = model_spec_check(&options->spec, err);
    if (status != STATUS_OK)
        return status;
    CHECK(layout_is_f32(options->external.layout) &&
          options->external.layout->parameter_count == model_spec_parameters(&options->spec));
    struct external *const external = calloc(1, sizeof(*external));
    if (external == nullptr)
        return error_set(err, STATUS_NO_MEMORY, "no memory for a trainer");
    external->options = *options;
    external->parameters = model_spec_parameters(&options->spec);
    status = prepare(external, err);
    if (status == STATUS_OK) {
        /* Where processes are short now, they may not be so at the first task. */
        status = start_process(external, &start);
        if (status != STATUS_OK && status != STATUS_INVAL)
            note(external, TRAINER_NOTE_TROUBLE, start.text);
        status = status != STATUS_INVAL ? STATUS_OK : error_set(err, status, "%s", start.text);
    }
    if (status != STATUS_OK) {
        external_close(external);
        return status;
    }
    *ret_trainer = external;
    return STATUS_OK;
}

const struct trainer_ops trainer_external = {
    .name = "command",
    .open = external_open,
    .train = external_train,
    .evaluate = external_evaluate,
    .cancel = external_cancel,
    .close = external_close,
};

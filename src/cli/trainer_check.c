/*
 * trainer_check.c - `fedra trainer check`: starts a trainer as a node would, gives it two tasks and
 * one that is cancelled, and says for each step whether it went as it should.
 *
 * The first step that goes wrong is the last one: what follows would follow from it.
 */
#include "cli/trainer_command.h"

#include "base/check.h"
#include "cli/config_command.h"
#include "cli/options.h"
#include "host/job_model.h"
#include "host/job_trainer.h"
#include "tensor/layout.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
    TASKS = 2,             /* that are finished; a second one finds what the first left behind */
    CANCEL_AFTER_MS = 200, /* what a task gets before it is cancelled */
    END_S = 30,            /* to end by itself; a node gives less, but nothing is lost by that */
    TASK_S = 60,           /* for one task, where no configuration says */
    STEP_NAME_MAX = 16,
    NOTE_MAX = 300,
};

struct check {
    const struct config *config;
    struct model_spec spec;
    struct layout *layout;
    struct dataset none;
    const struct trainer_ops *ops;
    void *trainer;
    float *base;
    float *delta;
    char folder[32];
    struct timespec begun; /* of the step under way */
    bool ready;
    bool is_wrong;
    char trouble[NOTE_MAX]; /* what the trainer's table noted in this step; "" nothing */
};

static double seconds_since(const struct timespec *begun)
{
    struct timespec now = {0};
    clock_gettime(CLOCK_BOOTTIME, &now);
    return (double)(now.tv_sec - begun->tv_sec) + (double)(now.tv_nsec - begun->tv_nsec) * 1e-9;
}

static void begin_step(struct check *check)
{
    clock_gettime(CLOCK_BOOTTIME, &check->begun);
    check->trouble[0] = 0;
}

/* One line a step: "ok     task 1   7 samples ...". */
static void say(const char *verdict, const char *step, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static void say(const char *verdict, const char *step, const char *format, ...)
{
    va_list arguments;
    printf("%-6s %-8s ", verdict, step);
    va_start(arguments, format);
    vprintf(format, arguments);
    va_end(arguments);
    printf("\n");
    fflush(stdout);
}

static void say_wrong(struct check *check, const char *step, const char *text)
{
    say("WRONG", step, "%s", text);
    check->is_wrong = true;
}

static void on_note(void *context, enum trainer_note kind, struct slice text)
{
    struct check *const check = context;
    switch (kind) {
    case TRAINER_NOTE_READY:
        if (!check->ready)
            say("ok", "start", "ready after %.2f s: %.*s", seconds_since(&check->begun),
                (int)text.size, (const char *)text.data);
        check->ready = true;
        clock_gettime(CLOCK_BOOTTIME, &check->begun); /* the first task is timed from here */
        break;
    case TRAINER_NOTE_SAID:
        printf("       | %.*s\n", (int)text.size, (const char *)text.data);
        break;
    case TRAINER_NOTE_TROUBLE:
        if (check->trouble[0] == 0)
            snprintf(check->trouble, sizeof(check->trouble), "%.*s", (int)text.size,
                     (const char *)text.data);
        break;
    }
}

static struct trainer_task task_of(const struct check *check, uint64_t number)
{
    return (struct trainer_task){.serial = number,
                                 .seed = check->config->job.seed,
                                 .round = number,
                                 .base = check->base,
                                 .parameters = (uint32_t)check->layout->parameter_count};
}

static double norm_of(const float *delta, uint64_t count)
{
    double squared = 0;
    for (uint64_t i = 0; i < count; i++)
        squared += (double)delta[i] * (double)delta[i];
    return sqrt(squared);
}

static void judge_task(struct check *check, const char *step, const struct trainer_result *result)
{
    char accuracy[32] = "";
    char text[NOTE_MAX];
    const double norm = norm_of(check->delta, check->layout->parameter_count);
    if (result->has_accuracy)
        snprintf(accuracy, sizeof(accuracy), ", accuracy %.4f", result->accuracy);
    say("ok", step, "%" PRIu64 " samples, loss %.4f%s, moved the model by %.4g (L2 norm), %.2f s",
        result->samples, result->loss, accuracy, norm, seconds_since(&check->begun));
    if (norm == 0)
        say("note", step, "the model came back as it was");
    if (norm > check->config->limits.update_norm_max) {
        snprintf(text, sizeof(text),
                 "that is too far, at most %g (limits.update_norm_max) is accepted; a smaller "
                 "learning rate or fewer epochs move it less",
                 check->config->limits.update_norm_max);
        say_wrong(check, step, text);
    }
    if (result->received_evaluated)
        say("ok", step,
            "the model received, on %" PRIu64 " held-out samples: loss %.4f, accuracy %.4f",
            result->received.samples, result->received.loss, result->received.accuracy);
    else if (config_validates_by_nodes(check->config))
        say_wrong(check, step,
                  "validation.source asks nodes to measure the model received: holdout_samples, "
                  "holdout_loss and holdout_accuracy are wanted in trained");
}

static void check_task(struct check *check, uint64_t number)
{
    char step[STEP_NAME_MAX];
    struct trainer_result result = {0};
    struct error err = {0};
    const struct trainer_task task = task_of(check, number);
    snprintf(step, sizeof(step), "task %" PRIu64, number);
    if (check->ready)
        begin_step(check);
    const enum status status =
        check->ops->train(check->trainer, &task, check->delta, &result, &err);
    if (status != STATUS_OK)
        say_wrong(check, check->ready ? step : "start", err.text);
    else if (check->trouble[0] != 0)
        say_wrong(check, step, check->trouble);
    else
        judge_task(check, step, &result);
}

static void *cancel_later(void *context)
{
    const struct check *const check = context;
    const struct timespec wait = {.tv_nsec = CANCEL_AFTER_MS * 1000000L};
    nanosleep(&wait, nullptr);
    check->ops->cancel(check->trainer, TASKS + 1);
    return nullptr;
}

static void check_cancel(struct check *check)
{
    pthread_t thread;
    struct trainer_result result = {0};
    struct error err = {0};
    const struct trainer_task task = task_of(check, TASKS + 1);
    begin_step(check);
    if (pthread_create(&thread, nullptr, cancel_later, check) != 0) {
        say_wrong(check, "cancel", "no thread could be started");
        return;
    }
    const enum status status =
        check->ops->train(check->trainer, &task, check->delta, &result, &err);
    const double seconds = seconds_since(&check->begun);
    pthread_join(thread, nullptr);
    if (status == STATUS_OK)
        say("ok", "cancel", "it had finished before it was told to stop, after %.2f s", seconds);
    else if (status != STATUS_CANCELLED)
        say_wrong(check, "cancel", err.text);
    else if (check->trouble[0] != 0)
        say("note", "cancel",
            "%s: it will be started again each time a round closes without it; looking at "
            "standard input now and then while it trains is right",
            check->trouble);
    else
        say("ok", "cancel", "it stopped %.2f s after it was told to",
            seconds - CANCEL_AFTER_MS * 1e-3);
}

static void check_end(struct check *check)
{
    begin_step(check);
    check->ops->close(check->trainer);
    check->trainer = nullptr;
    if (check->trouble[0] != 0)
        say_wrong(check, "end", check->trouble);
    else
        say("ok", "end", "it ended %.2f s after its standard input was closed",
            seconds_since(&check->begun));
}

static enum status prepare(struct check *check, struct error *err)
{
    enum status status = job_model(check->config, &check->spec, &check->layout, err);
    if (status != STATUS_OK)
        return status;
    check->base = calloc(check->layout->parameter_count, sizeof(float));
    check->delta = calloc(check->layout->parameter_count, sizeof(float));
    if (check->base == nullptr || check->delta == nullptr)
        return error_set(err, STATUS_NO_MEMORY, "no memory for the model");
    status = job_model_initial(check->config, &check->spec, check->layout, check->base, err);
    if (status != STATUS_OK)
        return status;
    snprintf(check->folder, sizeof(check->folder), "/tmp/fedra-trainer-XXXXXX");
    if (mkdtemp(check->folder) == nullptr) {
        check->folder[0] = 0;
        return error_set_errno(err, STATUS_IO, errno, "no folder in /tmp can be made");
    }
    begin_step(check);
    const struct job_trainer job = {.config = check->config,
                                    .spec = &check->spec,
                                    .layout = check->layout,
                                    .data = &check->none,
                                    .holdout = &check->none,
                                    .folder = check->folder,
                                    .end_grace_s = END_S,
                                    .note = on_note,
                                    .note_context = check};
    return job_trainer_open(&job, &check->ops, &check->trainer, err);
}

/* Exit code. */
static int run(const struct config *config)
{
    struct check check = {.config = config};
    struct error err = {0};
    signal(SIGPIPE, SIG_IGN);
    const enum status status = prepare(&check, &err);
    if (status != STATUS_OK) {
        fprintf(stderr, "fedra trainer check: %s\n",
                err.text[0] != 0 ? err.text : status_text(status));
        check.is_wrong = true;
    }
    for (uint64_t number = 1; number <= TASKS && !check.is_wrong; number++)
        check_task(&check, number);
    if (!check.is_wrong)
        check_cancel(&check);
    if (!check.is_wrong)
        check_end(&check);
    else if (check.trainer != nullptr)
        check.ops->close(check.trainer);
    if (check.folder[0] != 0)
        (void)rmdir(check.folder);
    layout_destroy(check.layout);
    free(check.base);
    free(check.delta);
    if (!check.is_wrong)
        printf("the trainer is good\n");
    return check.is_wrong ? EXIT_FAILURE : EXIT_SUCCESS;
}

/* What the arguments say over what the configuration does. */
static enum status adapt(struct config *config, const char *command, const char *model)
{
    struct config_report report;
    config_report_init(&report);
    config->train.trainer = CONFIG_TRAINER_COMMAND;
    if (config->node.name[0] == 0)
        snprintf(config->node.name, sizeof(config->node.name), "check");
    if (command != nullptr)
        snprintf(config->train.command, sizeof(config->train.command), "%s", command);
    if (model != nullptr) {
        config->model.kind = CONFIG_MODEL_FILE;
        config->model.hidden.count = 0;
        snprintf(config->model.path, sizeof(config->model.path), "%s", model);
    }
    const enum status status = config_check(config, 0, &report);
    command_write_report(&report, stderr);
    config_report_deinit(&report);
    return status;
}

int trainer_check(int argc, char **argv)
{
    const char *file = nullptr;
    const char *model = nullptr;
    uint64_t timeout_s = 0;
    struct option_list sets = {0};
    const struct option_spec specs[] = {
        {"config", 'c', "FILE", "a node's configuration: model, data, train.*", .text = &file},
        {"model", 'm', "FILE", "a safetensors file of the model instead", .text = &model},
        {"timeout", 't', "S", "seconds for one task; without -c: 60", .number = &timeout_s,
         .min = 1, .max = 604800},
        {"set", 0, "KEY=VALUE", "override a key; may be repeated", .list = &sets},
    };
    const struct option_table table = {
        .usage = "trainer check [COMMAND] [-c FILE] [--model FILE] [--timeout S] "
                 "[--set KEY=VALUE]...",
        .help = "Starts a trainer as a node would (docs/trainer.md), with train.command of the "
                "configuration or COMMAND, which is one argument. Gives it two tasks and one that "
                "is cancelled, and says for each step whether it went well, or what was wrong and "
                "what would be right. Lines after | are its standard error. Without a model: a "
                "small one of 784 inputs and 10 classes. Exit code: 0 good, 1 not, 2 wrong usage "
                "or configuration.",
        .specs = specs,
        .spec_count = sizeof(specs) / sizeof(*specs),
        .operands_max = 1,
    };
    uint32_t operands = 0;
    const int early = options_parse_or_exit_code(&table, argc, argv, &operands);
    if (early >= 0)
        return early;
    const char *const command = operands > 0 ? argv[1] : nullptr;
    if ((command != nullptr && strlen(command) >= CONFIG_PATH_MAX) ||
        (model != nullptr && strlen(model) >= CONFIG_PATH_MAX)) {
        fprintf(stderr,
                "fedra trainer check: at most %d bytes are wanted for COMMAND and --model\n",
                CONFIG_PATH_MAX - 1);
        return EXIT_USAGE;
    }
    struct config *const config = malloc(sizeof(*config));
    CHECK(config != nullptr);
    int code = EXIT_USAGE;
    if (command_load_config(file, &sets, config) == STATUS_OK &&
        adapt(config, command, model) == STATUS_OK) {
        if (timeout_s > 0 || file == nullptr)
            config->train.task_timeout_s = timeout_s > 0 ? (double)timeout_s : TASK_S;
        code = run(config);
    }
    free(config);
    return code;
}

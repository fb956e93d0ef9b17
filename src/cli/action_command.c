/*
 * action_command.c - pause, resume and cancel: asked for, and said when they are durable.
 */
#include "cli/action_command.h"

#include "cli/control_target.h"
#include "cli/control_text.h"

#include <inttypes.h>
#include <stdlib.h>

static void say_paused(const struct control_status *status)
{
    if (status->phase == CONTROL_PHASE_PAUSED)
        printf("%s is paused before round %" PRIu64 "\n", status->job, status->round);
    else
        printf("%s is paused: round %" PRIu64 " still ends, no other one opens\n", status->job,
               status->round);
}

static void say_resumed(const struct control_status *status)
{
    printf("%s goes on with round %" PRIu64 "\n", status->job, status->round);
}

static void say_cancelled(const struct control_status *status)
{
    printf("%s is cancelled after %" PRIu64 " rounds\n", status->job, status->last.round);
}

/* One of the three. */
struct action {
    const char *who;
    const char *method;
    const char *usage;
    const char *help;
    void (*say)(const struct control_status *status);
};

static int run(const struct action *action, int argc, char **argv)
{
    struct control_target target;
    struct control_status status;
    struct option_spec specs[CONTROL_TARGET_OPTIONS];
    control_target_options(&target, specs);
    const struct option_table table = {.usage = action->usage,
                                       .help = action->help,
                                       .specs = specs,
                                       .spec_count = CONTROL_TARGET_OPTIONS};
    uint32_t operands = 0;
    int code = options_parse_or_exit_code(&table, argc, argv, &operands);
    if (code < 0)
        code = control_target_resolve(&target, action->who);
    if (code < 0)
        code = control_target_ask_status(&target, action->who, action->method, &status);
    if (code >= 0)
        return code;
    if (!target.json)
        action->say(&status);
    else if (control_status_write_json(&status, stdout) != STATUS_OK)
        return EXIT_FAILURE;
    return fflush(stdout) == 0 && !ferror(stdout) ? EXIT_SUCCESS : EXIT_FAILURE;
}

#define ACTION_HELP CONTROL_TARGET_HELP ", 7 the job has ended or another one runs there."

int pause_command(int argc, char **argv)
{
    static const struct action action = {
        "fedra pause", "Pause", "pause " CONTROL_TARGET_USAGE " [--json]",
        "Pauses a running job: the open round ends as it would, no new one opens until `fedra "
        "resume`, also after restarts of the coordinator. Returns when that is durable.\n"
        "\n" ACTION_HELP,
        say_paused};
    return run(&action, argc, argv);
}

int resume_command(int argc, char **argv)
{
    static const struct action action = {
        "fedra resume", "Resume", "resume " CONTROL_TARGET_USAGE " [--json]",
        "Lets a paused job go on. Returns when that is durable; a job that is not paused stays as "
        "it is.\n\n" ACTION_HELP,
        say_resumed};
    return run(&action, argc, argv);
}

int cancel_command(int argc, char **argv)
{
    static const struct action action = {
        "fedra cancel", "Cancel", "cancel " CONTROL_TARGET_USAGE " [--json]",
        "Ends a running job for good, with the outcome cancelled; a version that is being made is "
        "committed first. Returns when the outcome is durable.\n\n" ACTION_HELP,
        say_cancelled};
    return run(&action, argc, argv);
}

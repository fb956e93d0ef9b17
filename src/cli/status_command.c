/*
 * status_command.c - `fedra status`: how a running job stands.
 *
 * A watch redraws on a terminal and writes a line a change otherwise. It outlives restarts of the
 * coordinator: it connects again until --timeout has passed without an answer.
 */
#include "cli/status_command.h"

#include "cli/control_target.h"
#include "cli/control_text.h"
#include "host/clock.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { RETRY_MS = 300 };

static const char who[] = "fedra status";

struct view {
    const struct control_target *target;
    bool redraws;
    bool is_broken;               /* standard output cannot be written */
    struct control_status status; /* shown last */
    uint64_t shown_ns;            /* when it came; 0: nothing came yet */
};

static void address_text(const struct control_target *target, char *text, size_t size)
{
    snprintf(text, size, strchr(target->host, ':') != nullptr ? "[%s]:%u" : "%s:%u", target->host,
             target->port);
}

/* Over what stood there: each line to its end, then the rest of the screen is cleared. */
static void redraw(const struct control_status *status, const char *address)
{
    char *text = nullptr;
    size_t size = 0;
    FILE *const memory = open_memstream(&text, &size);
    if (memory == nullptr)
        return;
    control_status_write(status, address, memory);
    if (fclose(memory) == 0) {
        fputs("\x1b[H", stdout);
        for (const char *at = text; *at != 0; at++) {
            if (*at == '\n')
                fputs("\x1b[K", stdout);
            fputc(*at, stdout);
        }
        fputs("\x1b[J", stdout);
    }
    free(text);
}

static bool show(struct view *view, const struct control_status *status)
{
    char address[CONFIG_ADDRESS_MAX + 16];
    address_text(view->target, address, sizeof(address));
    if (view->target->json)
        view->is_broken = control_status_write_json(status, stdout) != STATUS_OK;
    else if (view->redraws)
        redraw(status, address);
    else
        control_status_write_line(status, stdout);
    view->is_broken = fflush(stdout) != 0 || ferror(stdout) || view->is_broken;
    return !view->is_broken;
}

static bool on_status(void *context, const struct control_status *status)
{
    struct view *const view = context;
    view->status = *status;
    view->shown_ns = clock_boot_ns();
    return show(view, status);
}

/* Times go on between two changes. */
static bool on_second(void *context)
{
    struct view *const view = context;
    if (!view->redraws || view->shown_ns == 0)
        return true;
    struct control_status now = view->status;
    const uint64_t passed_ms = (clock_boot_ns() - view->shown_ns) / 1000000;
    now.uptime_ms += passed_ms;
    now.deadline_ms = now.deadline_ms > passed_ms ? now.deadline_ms - passed_ms : 0;
    return show(view, &now);
}

static int watch_end(const struct view *view)
{
    return view->status.outcome == WIRE_OUTCOME_DIVERGED ? EXIT_DIVERGED_JOB : EXIT_SUCCESS;
}

static bool is_worth_a_retry(enum status status)
{
    return status == STATUS_UNREACHABLE || status == STATUS_TIMEOUT || status == STATUS_OK;
}

/* The end of the job was told; then the end of the watch may get lost with the process. */
static bool has_ended(const struct view *view, enum status status)
{
    return view->status.phase == CONTROL_PHASE_ENDED && is_worth_a_retry(status);
}

static int watch(const struct control_target *target)
{
    static const struct control_watcher watcher = {on_status, on_second};
    const struct control_client_options options = control_target_client(target);
    struct view view = {.target = target, .redraws = !target->json && isatty(STDOUT_FILENO)};
    struct control_request request = {.job = ""};
    struct control_client *client = nullptr;
    struct error err = {0};
    memcpy(request.job, target->job, sizeof(target->job));
    enum status status = control_client_create(&options, &client);
    if (status != STATUS_OK)
        return control_target_fail(target, who, status, &err);
    if (view.redraws)
        fputs("\x1b[2J", stdout);
    uint64_t heard_ns = clock_boot_ns();
    for (;;) {
        err.text[0] = 0;
        const uint64_t before_ns = view.shown_ns;
        status = control_client_watch(client, &request, &watcher, &view, &err);
        if (view.shown_ns != before_ns)
            heard_ns = clock_boot_ns();
        const bool too_long = clock_boot_ns() - heard_ns > target->timeout_s * 1000000000;
        if (has_ended(&view, status) || view.is_broken || view.shown_ns == 0 || too_long ||
            !is_worth_a_retry(status))
            break;
        control_client_rest(client, RETRY_MS);
    }
    control_client_destroy(client);
    if (view.is_broken)
        return EXIT_FAILURE;
    if (has_ended(&view, status))
        return watch_end(&view);
    if (status == STATUS_OK)
        status = error_set(&err, STATUS_UNREACHABLE, "the coordinator ended before its job did");
    return control_target_fail(target, who, status, &err);
}

static int show_once(struct control_target *target)
{
    struct control_status status;
    char address[CONFIG_ADDRESS_MAX + 16];
    const int code = control_target_ask_status(target, who, "GetStatus", &status);
    if (code >= 0)
        return code;
    address_text(target, address, sizeof(address));
    if (!target->json)
        control_status_write(&status, address, stdout);
    else if (control_status_write_json(&status, stdout) != STATUS_OK)
        return EXIT_FAILURE;
    return fflush(stdout) == 0 && !ferror(stdout) ? EXIT_SUCCESS : EXIT_FAILURE;
}

int status_command(int argc, char **argv)
{
    struct control_target target;
    bool watches = false;
    struct option_spec specs[CONTROL_TARGET_OPTIONS + 1];
    control_target_options(&target, specs);
    specs[CONTROL_TARGET_OPTIONS] = (struct option_spec){
        .name = "watch",
        .letter = 'w',
        .help = "go on until the job ends: redraw, or a line a change where this is no terminal",
        .flag = &watches};
    const struct option_table table = {
        .usage = "status " CONTROL_TARGET_USAGE " [--watch] [--json]",
        .help = "Says how a running job stands: its round, members, version, figures. A watch gets "
                "each change, at most ten a second, and goes on over restarts of the coordinator "
                "as long as it is back within --timeout.\n\n" CONTROL_TARGET_HELP
                ", 7 another job runs there; with --watch 3 where the job diverged.",
        .specs = specs,
        .spec_count = CONTROL_TARGET_OPTIONS + 1,
    };
    uint32_t operands = 0;
    int code = options_parse_or_exit_code(&table, argc, argv, &operands);
    if (code < 0)
        code = control_target_resolve(&target, who);
    if (code >= 0)
        return code;
    return watches ? watch(&target) : show_once(&target);
}

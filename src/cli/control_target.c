/*
 * control_target.c - from options to a coordinator's address, an operator's identity and a job.
 */
#include "cli/control_target.h"

#include "base/text.h"
#include "cli/config_command.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { TIMEOUT_S = 10, TIMEOUT_MAX_S = 3600 };

void control_target_options(struct control_target *target,
                            struct option_spec ret_specs[static CONTROL_TARGET_OPTIONS])
{
    *target = (struct control_target){.timeout_s = TIMEOUT_S};
    const struct option_spec specs[CONTROL_TARGET_OPTIONS] = {
        {"run-dir", 0, "DIR", "the folder of a `fedra up` on this machine",
         .text = &target->run_dir},
        {"config", 'c', "FILE", "a configuration that says where and who", .text = &target->config},
        {"connect", 0, "HOST:PORT", "where the coordinator listens", .text = &target->connect},
        {"identity", 0, "DIR", "the operator's identity", .text = &target->identity},
        {"job", 0, "NAME", "refuse where another job runs there", .text = &target->job_wanted},
        {"timeout", 0, "SECONDS", "for connecting, and for the answer [10]",
         .number = &target->timeout_s, .min = 1, .max = TIMEOUT_MAX_S},
        {"json", 0, nullptr, "print JSON, one object a line", .flag = &target->json},
    };
    memcpy(ret_specs, specs, sizeof(specs));
}

/* "host:port" or "[::1]:port". */
static enum status split_address(const char *text, struct control_target *target, struct error *err)
{
    const char *const colon = strrchr(text, ':');
    char *end = nullptr;
    const unsigned long port = colon != nullptr ? strtoul(colon + 1, &end, 10) : 0;
    const bool is_number = colon != nullptr && colon[1] >= '0' && colon[1] <= '9' && *end == 0;
    const char *first = text;
    size_t size = colon != nullptr ? (size_t)(colon - text) : 0;
    if (size >= 2 && text[0] == '[' && text[size - 1] == ']') {
        first++;
        size -= 2;
    }
    if (!is_number || port < 1 || port > UINT16_MAX || size == 0 || size >= sizeof(target->host)) {
        char shown[CONFIG_ADDRESS_MAX];
        text_escape(text, strlen(text), shown, sizeof(shown));
        return error_set(err, STATUS_INVAL,
                         "\"%s\" is no address, HOST:PORT is wanted, the port from 1 to 65535",
                         shown);
    }
    memcpy(target->host, first, size);
    target->host[size] = 0;
    target->port = (uint16_t)port;
    return STATUS_OK;
}

/* From a configuration, that of a run's coordinator or one that the user names. */
static enum status use_config(struct control_target *target, const struct config *config,
                              struct error *err)
{
    char address[CONFIG_ADDRESS_MAX];
    memcpy(target->job, config->job.name, sizeof(target->job));
    if (config->node.connect[0] != 0)
        memcpy(address, config->node.connect, sizeof(address));
    else
        run_connect_address(config->server.listen, address);
    if (address[0] == 0)
        return error_set(err, STATUS_INVAL,
                         "%s says neither node.connect nor server.listen; give --connect HOST:PORT",
                         config->file);
    if (target->identity == nullptr && target->run_dir == nullptr &&
        text_copy(config->identity.directory, target->folder, sizeof(target->folder)) != STATUS_OK)
        return error_set(err, STATUS_LIMIT, "identity.directory: the path is too long");
    const enum status status = split_address(address, target, err);
    return status == STATUS_OK ? status : error_prefix(err, status, "%s", config->file);
}

/* Fills in what the configuration says. -1 to go on, else the exit code after the mistakes. */
static int read_config(struct control_target *target, const char *who)
{
    static const struct option_list no_sets = {0};
    char path[RUN_PATH_MAX + 32];
    struct error err = {0};
    const char *file = target->config;
    if (target->run_dir != nullptr) {
        snprintf(path, sizeof(path), "%.*s/config/coordinator.yaml", RUN_PATH_MAX, target->run_dir);
        snprintf(target->folder, sizeof(target->folder), "%.*s/identity/operator", RUN_PATH_MAX,
                 target->run_dir);
        file = path;
    }
    struct config *const config = malloc(sizeof(*config));
    if (config == nullptr) {
        fprintf(stderr, "%s: out of memory\n", who);
        return EXIT_FAILURE;
    }
    int code = -1;
    if (command_load_config(file, &no_sets, config) != STATUS_OK) {
        if (target->run_dir != nullptr)
            fprintf(stderr, "%s: %s is no folder of a `fedra up`\n", who, target->run_dir);
        code = EXIT_USAGE;
    } else if (use_config(target, config, &err) != STATUS_OK) {
        fprintf(stderr, "%s: %s\n", who, err.text);
        code = EXIT_USAGE;
    }
    free(config);
    return code;
}

static int wrong_usage(const char *who, const char *text)
{
    fprintf(stderr, "%s: %s; `%s --help` tells more\n", who, text, who);
    return EXIT_USAGE;
}

int control_target_resolve(struct control_target *target, const char *who)
{
    struct error err = {0};
    const int given =
        (target->config != nullptr) + (target->run_dir != nullptr) + (target->connect != nullptr);
    if (given != 1)
        return wrong_usage(who, given == 0 ? "which coordinator? " CONTROL_TARGET_USAGE " is wanted"
                                           : "one of --run-dir, --config and --connect is wanted");
    if (target->connect != nullptr) {
        if (split_address(target->connect, target, &err) != STATUS_OK) {
            (void)error_prefix(&err, STATUS_INVAL, "--connect");
            return wrong_usage(who, err.text);
        }
    } else {
        const int code = read_config(target, who);
        if (code >= 0)
            return code;
    }
    if (target->identity != nullptr &&
        text_copy(target->identity, target->folder, sizeof(target->folder)) != STATUS_OK)
        return wrong_usage(who, "--identity: the path is too long");
    if (target->folder[0] == 0)
        return wrong_usage(who, "whose identity? --identity DIR of an operator is wanted");
    if (target->job_wanted != nullptr &&
        (target->job_wanted[0] == 0 ||
         text_copy(target->job_wanted, target->job, sizeof(target->job)) != STATUS_OK))
        return wrong_usage(who, "--job: a job's name has 1 to 64 characters");
    signal(SIGPIPE, SIG_IGN);
    return -1;
}

struct control_client_options control_target_client(const struct control_target *target)
{
    return (struct control_client_options){.host = target->host,
                                           .port = target->port,
                                           .identity = target->folder,
                                           .timeout_ms = (uint32_t)target->timeout_s * 1000};
}

/* The coordinator's last act, in the folder of a run. */
static bool has_ended(const struct control_target *target, char *path, size_t size)
{
    if (target->run_dir == nullptr)
        return false;
    snprintf(path, size, "%.*s/summary.json", RUN_PATH_MAX, target->run_dir);
    return access(path, F_OK) == 0;
}

int control_target_fail(const struct control_target *target, const char *who, enum status status,
                        const struct error *err)
{
    char path[RUN_PATH_MAX + 32];
    fprintf(stderr, "%s: %s\n", who, err->text[0] != 0 ? err->text : status_text(status));
    if (status == STATUS_UNREACHABLE && has_ended(target, path, sizeof(path)))
        fprintf(stderr, "%s: the job has ended, %s says how\n", who, path);
    if (status == STATUS_UNREACHABLE || status == STATUS_TIMEOUT)
        return EXIT_UNREACHABLE;
    if (status == STATUS_IDENTITY || status == STATUS_PERMISSION)
        return EXIT_DENIED;
    if (status == STATUS_NOT_FOUND)
        return EXIT_NOT_FOUND;
    return status == STATUS_INVAL ? EXIT_NOT_POSSIBLE : EXIT_FAILURE;
}

int control_target_ask_status(struct control_target *target, const char *who, const char *method,
                              struct control_status *ret_status)
{
    const struct control_client_options options = control_target_client(target);
    struct control_client *client = nullptr;
    struct control_request request = {.job = ""};
    struct error err = {0};
    struct bytes answer;
    static_assert(sizeof(request.job) >= sizeof(target->job));
    memcpy(request.job, target->job, sizeof(target->job));
    bytes_init(&answer, CONTROL_STATUS_BYTES_MAX);
    enum status status = control_client_create(&options, &client);
    if (status == STATUS_OK)
        status = control_client_ask(client, method, CONTROL_JOB_ONLY, &request, &answer, &err);
    if (status == STATUS_OK)
        status = control_status_decode(bytes_slice(&answer), ret_status, &err);
    control_client_destroy(client);
    bytes_deinit(&answer);
    return status == STATUS_OK ? -1 : control_target_fail(target, who, status, &err);
}

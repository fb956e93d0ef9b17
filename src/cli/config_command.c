/*
 * config_command.c - `fedra config`: checks, shows and documents the configuration.
 */
#include "cli/config_command.h"

#include "base/text.h"

#include <stdlib.h>
#include <string.h>

void command_write_report(const struct config_report *report, FILE *file)
{
    if (report->text.size > 0)
        fwrite(report->text.data, 1, report->text.size, file);
}

enum status command_adapt_config(struct config *config, uint64_t nodes, uint64_t seed)
{
    struct config_report report;
    config_report_init(&report);
    config->data.parts = nodes;
    config->data.part = 0;
    config->aggregation.start_nodes = nodes;
    if (config->aggregation.min_updates > nodes)
        config->aggregation.min_updates = nodes;
    if (config->convergence.min_rounds > config->convergence.max_rounds)
        config->convergence.min_rounds = config->convergence.max_rounds;
    if (seed != UINT64_MAX)
        config->job.seed = seed;
    const enum status status = config_check(config, nodes, &report);
    if (status != STATUS_OK)
        command_write_report(&report, stderr);
    config_report_deinit(&report);
    return status;
}

enum status command_load_config(const char *file, const struct option_list *sets,
                                struct config *ret_config)
{
    struct config_report report;
    config_report_init(&report);
    const enum status status = config_load(file, sets->items, sets->count, &report, ret_config);
    command_write_report(&report, stderr);
    if (status == STATUS_NO_MEMORY)
        fprintf(stderr, "fedra: %s\n", status_text(status));
    config_report_deinit(&report);
    return status;
}

/* What `check` and `show` share: argv[1] is the file, --set may follow. Exit code. */
static int load_and(const struct option_table *shape, int argc, char **argv,
                    int (*then)(const struct config *config))
{
    struct option_list sets = {0};
    uint32_t operands = 0;
    const struct option_spec specs[] = {
        {.name = "set",
         .value = "KEY=VALUE",
         .help = "override a key, as aggregation.timeout_s=5; may be repeated",
         .list = &sets},
    };
    struct option_table table = *shape;
    table.specs = specs;
    table.spec_count = 1;
    const int code = options_parse_or_exit_code(&table, argc, argv, &operands);
    if (code >= 0)
        return code;
    struct config *const config = malloc(sizeof *config);
    int result = EXIT_FAILURE;
    if (config && command_load_config(argv[1], &sets, config) == STATUS_OK)
        result = then(config);
    free(config);
    return result;
}

static int say_ok(const struct config *config)
{
    printf("%s: ok\n", config->file);
    return EXIT_SUCCESS;
}

static int show(const struct config *config)
{
    return config_show(config, stdout) == STATUS_OK ? EXIT_SUCCESS : EXIT_FAILURE;
}

static int run_check(int argc, char **argv)
{
    const struct option_table table = {
        .usage = "config check FILE [--set KEY=VALUE]...",
        .help = "Checks a configuration: prints \"FILE: ok\", or all its mistakes (exit code 1).",
        .operands_min = 1,
        .operands_max = 1,
    };
    return load_and(&table, argc, argv, say_ok);
}

static int run_show(int argc, char **argv)
{
    const struct option_table table = {
        .usage = "config show FILE [--set KEY=VALUE]...",
        .help = "Prints every key with its value and where that came from, as YAML.",
        .operands_min = 1,
        .operands_max = 1,
    };
    return load_and(&table, argc, argv, show);
}

static int run_docs(int argc, char **argv)
{
    const struct option_table table = {
        .usage = "config docs",
        .help = "Prints the reference of all keys as Markdown (docs/configuration.md).",
    };
    uint32_t operands = 0;
    const int code = options_parse_or_exit_code(&table, argc, argv, &operands);
    if (code >= 0)
        return code;
    return config_write_docs(stdout) == STATUS_OK ? EXIT_SUCCESS : EXIT_FAILURE;
}

static int run_keys(int argc, char **argv)
{
    const struct option_table table = {
        .usage = "config keys [PREFIX]",
        .help = "Prints the keys that begin with PREFIX: default, meaning, what is accepted.",
        .operands_max = 1,
    };
    uint32_t operands = 0;
    const int code = options_parse_or_exit_code(&table, argc, argv, &operands);
    if (code >= 0)
        return code;
    const enum status status = config_write_help(operands ? argv[1] : "", stdout);
    if (status == STATUS_NOT_FOUND)
        fprintf(stderr, "fedra config keys: no key begins with that\n");
    return status == STATUS_OK ? EXIT_SUCCESS : EXIT_FAILURE;
}

static const struct command actions[] = {
    {"check", "FILE: name all mistakes", run_check, nullptr},
    {"show", "FILE: print every value and where it came from", run_show, nullptr},
    {"keys", "[PREFIX]: explain the keys", run_keys, nullptr},
    {"docs", "print the reference of all keys as Markdown", run_docs, nullptr},
};

const struct command_table config_actions = {"fedra config", "action", actions,
                                             sizeof actions / sizeof actions[0]};

int config_command(int argc, char **argv)
{
    return command_run(&config_actions, argc, argv);
}

int command_run_role(const struct option_table *table, int argc, char **argv,
                     const struct option_list *files, const struct option_list *sets,
                     const char *who, const char *const *needed, uint32_t needed_count,
                     int (*run)(const struct config *configs, uint32_t count))
{
    uint32_t operands = 0;
    const int early = options_parse_or_exit_code(table, argc, argv, &operands);
    if (early >= 0)
        return early;
    if (files->count == 0) {
        fprintf(stderr, "%s: needs its configuration, -c FILE\n", who);
        return EXIT_USAGE;
    }
    struct config *const configs = calloc(files->count, sizeof(*configs));
    struct config_report report;
    config_report_init(&report);
    enum status status = configs != nullptr ? STATUS_OK : STATUS_NO_MEMORY;
    if (status != STATUS_OK)
        fprintf(stderr, "%s: out of memory\n", who);
    for (uint32_t i = 0; i < files->count && configs != nullptr; i++) {
        enum status own = command_load_config(files->items[i], sets, &configs[i]);
        if (own == STATUS_OK)
            own = config_require(&configs[i], who, needed, needed_count, &report);
        status = status == STATUS_OK ? own : status;
    }
    command_write_report(&report, stderr);
    const int code = status == STATUS_OK ? run(configs, files->count) : EXIT_USAGE;
    config_report_deinit(&report);
    free(configs);
    return code;
}

/*
 * config_check.c - the report of mistakes, and the checks that look at several keys at once.
 */
#include "host/config_schema.h"

#include "base/check.h"
#include "host/robust_round.h"

#include <math.h>
#include <stdarg.h>
#include <string.h>

enum { REPORT_BYTES_MAX = 256 * 1024, MISTAKE_BYTES_MAX = 1024 + CONFIG_PATH_MAX };

void config_report_init(struct config_report *report)
{
    *report = (struct config_report){0};
    bytes_init(&report->text, REPORT_BYTES_MAX);
}

void config_report_deinit(struct config_report *report)
{
    bytes_deinit(&report->text);
}

/* Appends a line, whole or (where memory or room is short) not at all: the count still rises. */
static void append_line(struct config_report *report, const char *line)
{
    const size_t size = strlen(line);
    if (bytes_reserve(&report->text, size) != STATUS_OK ||
        bytes_append(&report->text, line, size) != STATUS_OK)
        report->full = true;
}

void config_mistake(struct config_report *report, const char *name, int32_t line, const char *path,
                    const char *format, ...)
{
    char text[MISTAKE_BYTES_MAX];
    char where[16] = "";
    int used;
    if (report->full)
        return;
    if (line > 0)
        snprintf(where, sizeof where, "%d", line);
    if (line < 0)
        used = snprintf(text, sizeof text, "--set %d: ", -line);
    else
        used = snprintf(text, sizeof text, "%.1023s:%s%s ", name, where, line ? ":" : "");
    used += snprintf(text + used, sizeof text - (size_t)used, "%s%s", path, path[0] ? ": " : "");
    va_list arguments;
    va_start(arguments, format);
    used += vsnprintf(text + used, sizeof text - (size_t)used - 1, format, arguments);
    va_end(arguments);
    if (used > MISTAKE_BYTES_MAX - 2)
        used = MISTAKE_BYTES_MAX - 2;
    text[used] = '\n';
    text[used + 1] = 0;
    append_line(report, text);
    if (++report->count == CONFIG_MISTAKES_MAX) {
        append_line(report, "that is enough for now: the rest was not looked at\n");
        report->full = true;
    }
}

/* The name before the line in messages about a key. */
static const char *file_of(const struct config *config)
{
    return config->file[0] ? config->file : "configuration";
}

/* Adds a mistake about the key of this path, at the line it came from. */
#define MISTAKE(config, report, path, ...)                                                         \
    config_mistake((report), file_of(config), (config)->origin[config_path_find(path)], (path),    \
                   __VA_ARGS__)

/* Whether only who trains the model knows what it computes. */
static bool has_own_meaning(const struct config *config)
{
    return config->model.kind == CONFIG_MODEL_FLAT || config->model.kind == CONFIG_MODEL_FILE;
}

static void check_model(const struct config *config, struct config_report *report)
{
    const bool mlp = config->model.kind == CONFIG_MODEL_MLP;
    if (!mlp && config->model.hidden.count > 0)
        MISTAKE(config, report, "model.hidden", "is only for model.kind mlp, [] is wanted");
    if (mlp && config->model.hidden.count == 0)
        MISTAKE(config, report, "model.hidden",
                "is empty, an mlp wants at least one width, as [128]");
    const bool file = config->model.kind == CONFIG_MODEL_FILE;
    if (file && !config->model.path[0])
        MISTAKE(config, report, "model.path",
                "is empty, the file of the initial model is wanted for model.kind file");
    if (!file && config->model.path[0])
        MISTAKE(config, report, "model.path", "is only for model.kind file, \"\" is wanted");
    if (has_own_meaning(config) && config->train.trainer == CONFIG_TRAINER_BUILTIN)
        MISTAKE(config, report, "train.trainer",
                "builtin cannot train model.kind %s, command or fixed is wanted",
                file ? "file" : "flat");
}

static void check_trainer(const struct config *config, struct config_report *report)
{
    const bool command = config->train.trainer == CONFIG_TRAINER_COMMAND;
    if (command && !config->train.command[0])
        MISTAKE(config, report, "train.command",
                "is empty, the program is wanted for train.trainer command");
    if (!command && config->train.command[0])
        MISTAKE(config, report, "train.command",
                "is only for train.trainer command, \"\" is wanted");
}

static void check_data_files(const struct config *config, struct config_report *report)
{
    static const char *const wanted[] = {
        [CONFIG_DATA_IDX] = "the folder of the data is wanted for data.format idx",
        [CONFIG_DATA_CSV] = "the file of the samples is wanted for data.format csv",
        [CONFIG_DATA_SAFETENSORS] = "the file of the samples is wanted for data.format safetensors",
    };
    const enum config_data_format format = config->data.format;
    const bool of_files = format == CONFIG_DATA_CSV || format == CONFIG_DATA_SAFETENSORS;
    if (format != CONFIG_DATA_NONE && !config->data.path[0])
        MISTAKE(config, report, "data.path", "is empty, %s", wanted[format]);
    if (of_files && config->data.evaluate_test_at_end && !config->data.test_path[0])
        MISTAKE(config, report, "data.test_path",
                "is empty, the file of the test samples is wanted for data.evaluate_test_at_end");
    if (!of_files && config->data.test_path[0])
        MISTAKE(config, report, "data.test_path",
                "is only for data.format csv and safetensors, \"\" is wanted");
}

static void check_data(const struct config *config, struct config_report *report)
{
    const bool none = config->data.format == CONFIG_DATA_NONE;
    if (config->data.part >= config->data.parts)
        MISTAKE(config, report, "data.part",
                "%llu is not under data.parts, a whole number from 0 to %llu is wanted",
                (unsigned long long)config->data.part, (unsigned long long)config->data.parts - 1);
    check_data_files(config, report);
    if (none && config->data.evaluate_test_at_end)
        MISTAKE(config, report, "data.evaluate_test_at_end",
                "has no test samples to look at, data.format idx, csv or safetensors is wanted "
                "with it");
    const bool central = config_validates_centrally(config);
    const char *const source = config_validation_source_name(config->validation.source);
    if (none && central)
        MISTAKE(config, report, "validation.source",
                "%s has no samples to use, data.format idx, csv or safetensors is wanted with it",
                source);
    const char *const kind = config->model.kind == CONFIG_MODEL_FILE ? "file" : "flat";
    if (has_own_meaning(config) && central)
        MISTAKE(config, report, "validation.source",
                "%s cannot measure model.kind %s, %s is wanted", source, kind,
                config->train.trainer == CONFIG_TRAINER_COMMAND ? "nodes or none" : "none");
    if (has_own_meaning(config) && config->data.evaluate_test_at_end)
        MISTAKE(config, report, "data.evaluate_test_at_end",
                "cannot measure model.kind %s, false is wanted", kind);
}

static void check_selection(const struct config *config, struct config_report *report)
{
    const bool momentum = config->aggregation.late_updates == CONFIG_LATE_MOMENTUM;
    if (momentum && config->optimiser.momentum == 0)
        MISTAKE(config, report, "optimiser.momentum",
                "is 0, and aggregation.late_updates momentum contributes it; a number over 0 and "
                "at most 0.9999 is wanted");
    /* Who shortens a job on the command line, or has not spoken of min_rounds, need not do so. */
    if (config->convergence.min_rounds > config->convergence.max_rounds &&
        config->origin[config_path_find("convergence.min_rounds")] != 0 &&
        config->origin[config_path_find("convergence.max_rounds")] >= 0)
        MISTAKE(config, report, "convergence.min_rounds",
                "%llu is over convergence.max_rounds, at most %llu is wanted",
                (unsigned long long)config->convergence.min_rounds,
                (unsigned long long)config->convergence.max_rounds);
}

/*
 * Whether as many updates as close a round are enough for the rule, at the share of liars it is to
 * bear; of so many nodes, or of many where that is not known.
 */
static void check_robust(const struct config *config, uint64_t nodes, struct config_report *report)
{
    enum { MANY_NODES = 1000 };
    struct recipe recipe = {0};
    struct error err = {0};
    uint64_t found = 0;
    if (robust_round_recipe(config, &recipe, &err) != STATUS_OK) {
        MISTAKE(config, report, config->robust.set[0] != 0 ? "robust.set" : "robust.pre", "%s",
                err.text);
        return;
    }
    if (!robust_round_is_needed(config))
        return;
    if (rule_get(config->robust.rule)->needs_samples && !config_validates_centrally(config))
        MISTAKE(config, report, "robust.rule",
                "%s chooses by samples that the coordinator trusts, and validation.source %s gives "
                "it none, central or both is wanted there",
                rule_get(config->robust.rule)->name,
                config_validation_source_name(config->validation.source));
    if (config->limits.nodes_max > ROBUST_ROWS_MAX)
        MISTAKE(config, report, "limits.nodes_max",
                "%llu is more than a robust.rule takes, at most %d is wanted",
                (unsigned long long)config->limits.nodes_max, ROBUST_ROWS_MAX);
    const double all = (double)(nodes > 0 ? nodes : MANY_NODES);
    const double needed = ceil(config->aggregation.share * all - 1e-9);
    const double asked = ceil(needed * (1 + config->aggregation.over_selection) - 1e-9);
    const double k = ceil(config->aggregation.k_threshold * needed - 1e-9);
    recipe.has_f = !recipe.is_set[PARAM_BETA];
    recipe.f = robust_round_f(config, (uint64_t)(asked < all ? asked : all));
    if (nodes == 0 && config->robust.f > 0)
        return; /* a number, and it is not known of how many */
    if (recipe_find_f(&recipe, (uint64_t)k, &found, &err) != STATUS_OK)
        MISTAKE(config, report, "aggregation.k_threshold",
                "%g closes a round of %g nodes with %g updates, too few for robust.rule: %s",
                config->aggregation.k_threshold, needed, k, err.text);
}

static void check_simulation(const struct config *config, struct config_report *report)
{
    const bool is_table = config->simulation.latency == CONFIG_LATENCY_TABLE;
    if (is_table && config->simulation.latency_file[0] == 0)
        MISTAKE(config, report, "simulation.latency_file",
                "is empty, the file of latencies is wanted for table");
    if (!is_table && config->simulation.latency_file[0] != 0)
        MISTAKE(config, report, "simulation.latency_file",
                "is only for simulation.latency table, \"\" is wanted");
}

static void check_counts(const struct config *config, uint64_t nodes, struct config_report *report)
{
    const bool known = nodes > 0;
    const uint64_t most = known ? nodes : config->limits.nodes_max;
    const char *const what = known ? "the number of nodes" : "limits.nodes_max";
    if (config->aggregation.min_updates > most)
        MISTAKE(
            config, report, "aggregation.min_updates", "%llu is over %s, at most %llu is wanted",
            (unsigned long long)config->aggregation.min_updates, what, (unsigned long long)most);
    if (config->aggregation.start_nodes > most)
        MISTAKE(
            config, report, "aggregation.start_nodes", "%llu is over %s, at most %llu is wanted",
            (unsigned long long)config->aggregation.start_nodes, what, (unsigned long long)most);
    if (known && nodes > config->limits.nodes_max)
        MISTAKE(config, report, "limits.nodes_max",
                "%llu is under the number of nodes, at least %llu is wanted",
                (unsigned long long)config->limits.nodes_max, (unsigned long long)nodes);
    if (config->limits.update_bytes_max > config->limits.blob_pool_bytes)
        MISTAKE(config, report, "limits.update_bytes_max",
                "%llu is over limits.blob_pool_bytes, at most %llu is wanted",
                (unsigned long long)config->limits.update_bytes_max,
                (unsigned long long)config->limits.blob_pool_bytes);
}

enum status config_check(const struct config *config, uint64_t nodes, struct config_report *report)
{
    const uint32_t before = report->count;
    check_model(config, report);
    check_trainer(config, report);
    check_data(config, report);
    check_selection(config, report);
    check_robust(config, nodes, report);
    check_counts(config, nodes, report);
    check_simulation(config, report);
    return report->count == before ? STATUS_OK : STATUS_INVAL;
}

enum status config_require(const struct config *config, const char *who, const char *const *paths,
                           uint32_t count, struct config_report *report)
{
    const uint32_t before = report->count;
    char wanted[CONFIG_WRONG_MAX];
    for (uint32_t i = 0; i < count; i++) {
        const uint32_t index = config_path_find(paths[i]);
        CHECK(index != UINT32_MAX && config_keys[index].type == CONFIG_TYPE_TEXT);
        const char *const value = config_member_const(&config_keys[index], config);
        if (value[0])
            continue;
        config_value_wanted(&config_keys[index], wanted);
        config_mistake(report, file_of(config), config->origin[index], paths[i],
                       "is not given and %s needs it, %s is wanted", who, wanted);
    }
    return report->count == before ? STATUS_OK : STATUS_INVAL;
}

enum status config_refuse_faults(const struct config *config, const char *who,
                                 struct config_report *report)
{
    const uint32_t before = report->count;
    if (config->faults.slow.share > 0)
        MISTAKE(config, report, "faults.slow.share",
                "is %g, and faults are for `fedra up` only: %s wants 0", config->faults.slow.share,
                who);
    if (config->faults.kill.share > 0)
        MISTAKE(config, report, "faults.kill.share",
                "is %g, and faults are for `fedra up` only: %s wants 0", config->faults.kill.share,
                who);
    return report->count == before ? STATUS_OK : STATUS_INVAL;
}

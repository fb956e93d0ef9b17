/*
 * config_schema.c - the table of all configuration keys: type, default, range, meaning.
 *
 * To add a key: a member in struct config (config.h) and a row here, in its tree's block. Reading,
 * --set, help, `config show` and docs/configuration.md follow from the row.
 */
#include "host/config_schema.h"

#include "base/text.h"
#include "robust/weight.h"

#include <string.h>

#define MEMBER(t, n)                                                                               \
    .tree = #t, .name = #n, .path = #t "." #n, .offset = offsetof(struct config, t.n),             \
    .size = sizeof(((struct config *)nullptr)->t.n)
/* A whole number from low to high. */
#define U64(t, n, value, low, high, text)                                                          \
    {                                                                                              \
        MEMBER(t, n),                                                                              \
        .type = CONFIG_TYPE_U64,                                                                   \
        .default_value = (value),                                                                  \
        .help = (text),                                                                            \
        .min = (low),                                                                              \
        .max = (high)}
/* A whole number from low to high, none (0) or all (UINT64_MAX). */
#define COUNT(t, n, value, low, high, text)                                                        \
    {MEMBER(t, n),                                                                                 \
     .type = CONFIG_TYPE_COUNT,                                                                    \
     .default_value = (value),                                                                     \
     .help = (text),                                                                               \
     .min = (low),                                                                                 \
     .max = (high)}
/* A number from low to high; F64_OVER: over low. */
#define F64(t, n, value, low, high, text)                                                          \
    {MEMBER(t, n),   .type = CONFIG_TYPE_F64, .default_value = (value),                            \
     .help = (text), .f64_min = (low),        .f64_max = (high)}
#define F64_OVER(t, n, value, low, high, text)                                                     \
    {MEMBER(t, n),     .type = CONFIG_TYPE_F64, .default_value = (value), .help = (text),          \
     .f64_min = (low), .f64_max = (high),       .min_open = true}
#define BOOL(t, n, value, text)                                                                    \
    {MEMBER(t, n), .type = CONFIG_TYPE_BOOL, .default_value = (value), .help = (text)}
#define ENUM(t, n, value, list, text)                                                              \
    {MEMBER(t, n), .type = CONFIG_TYPE_ENUM, .default_value = (value), .help = (text),             \
     .names = (list)}
/* A text; optional where its default is "". */
#define TEXT(t, n, value, kind, text)                                                              \
    {MEMBER(t, n),   .type = CONFIG_TYPE_TEXT,        .default_value = (value),                    \
     .help = (text), .text_kind = CONFIG_TEXT_##kind, .optional = sizeof(value) == 1}
#define LIST(t, n, value, low, high, text)                                                         \
    {                                                                                              \
        MEMBER(t, n),                                                                              \
        .type = CONFIG_TYPE_LIST,                                                                  \
        .default_value = (value),                                                                  \
        .help = (text),                                                                            \
        .min = (low),                                                                              \
        .max = (high)}

#define MIB (1024ULL * 1024)
#define TIB (1024ULL * 1024 * MIB)

static const char *const log_levels[] = {"error", "warn", "info", "debug", nullptr};
static const char *const log_formats[] = {"text", "json", nullptr};
static const char *const model_kinds[] = {"softmax", "mlp", "flat", "file", nullptr};
static const char *const data_formats[] = {"none", "idx", "csv", "safetensors", nullptr};
static const char *const csv_headers[] = {"auto", "yes", "no", nullptr};
static const char *const csv_separators[] = {"comma", "semicolon", "tab", "pipe", "space", nullptr};
static const char *const partitions[] = {"iid", "dirichlet", "shards", nullptr};
static const char *const trainers[] = {"builtin", "fixed", "command", nullptr};
static const char *const late_updates[] = {"discard", "next_round", "momentum", nullptr};
static const char *const quarantines[] = {"off", "suggest", "auto", nullptr};
/* As the table of robust/rule_table.c names them, in its order. */
static const char *const rules[] = {"mean", "median",     "trimmed_mean", "geometric_median",
                                    "krum", "multi_krum", "bulyan",       "centered_clipping",
                                    "caf",  "dnc",        "filter",       "validated",
                                    nullptr};
static const char *const optimisers[] = {"sgd", "momentum", "adam", "yogi", "adagrad", nullptr};
static const char *const staleness_kinds[] = {"constant", "polynomial", "hinge", nullptr};
static const char *const convergence_criteria[] = {"all", "any", nullptr};
static const char *const schedules[] = {"constant", "step",   "exponential",
                                        "adaptive", "cosine", nullptr};
static const char *const validation_sources[] = {"none", "central", "nodes", "both", nullptr};
static const char *const latencies[] = {"constant", "lognormal", "table", nullptr};
static const char *const tls_keys[] = {"p256", "ml-dsa-65", nullptr};

const struct config_tree config_trees[] = {
    {"job", "what is trained, and the seed of all that is drawn"},
    {"server", "the coordinator's own address and folder"},
    {"node", "a node's name, its coordinator, its folder"},
    {"log", "what is logged, how, and where to"},
    {"model", "the model that is trained"},
    {"data", "the samples, and which of them a node holds"},
    {"train", "how a node trains between two models"},
    {"aggregation", "when a round has enough updates"},
    {"robust", "how the updates of a round become one"},
    {"convergence", "when the job is finished"},
    {"schedule", "how the server's learning rate changes over the rounds"},
    {"optimiser", "how the aggregate moves the model"},
    {"validation", "how the coordinator measures each new version"},
    {"central", "the same model trained in one place after `fedra up`'s job, to compare with"},
    {"identity", "certificates and keys"},
    {"limits", "bounds on what is taken from outside"},
    {"audit", "what is kept for `fedra audit` (docs/audit.md)"},
    {"faults", "what `fedra up` breaks on purpose, for tests and demonstrations"},
    {"faults.slow", "nodes that train slowly; which ones is drawn from job.seed"},
    {"faults.kill", "nodes that are killed in the middle of the job, and come back"},
    {"lab", "what `fedra lab` measures: every combination of these lists is a training"},
    {"simulation", "the machines and the network that `fedra sim FILE` imagines"},
};
const uint32_t config_tree_count = sizeof config_trees / sizeof config_trees[0];

const struct config_key config_keys[] = {
    TEXT(job, name, "job", NAME, "name of the job; part of its folder and of every message"),
    U64(job, seed, "1", 0, UINT64_MAX,
        "seed of the initial model, the data split and the order of samples"),

    TEXT(server, listen, "127.0.0.1:7433", LISTEN,
         "address the coordinator listens on; port 0 takes any free one"),
    TEXT(server, state, "", PATH, "folder where the coordinator keeps its database and models"),

    TEXT(node, name, "", NAME, "name of the node, the last part of its SPIFFE ID"),
    TEXT(node, connect, "", CONNECT, "address of the coordinator"),
    TEXT(node, state, "", PATH, "folder where the node keeps an update until it is counted"),

    ENUM(log, level, "info", log_levels, "the least urgent events that are written"),
    ENUM(log, format, "text", log_formats, "key=value lines or one JSON object a line"),
    TEXT(log, file, "", PATH, "file that is appended to; empty is standard error"),

    ENUM(model, kind, "softmax", model_kinds,
         "softmax regression, multi-layer perceptron, a flat vector without a meaning (tests), or "
         "the tensors of model.path, for train.trainer command"),
    TEXT(model, path, "", PATH,
         "safetensors file of the initial model for kind file, all its tensors F32; the same "
         "tensors for coordinator and nodes"),
    U64(model, inputs, "0", 0, 1048576, "inputs of a sample; 0 takes them from the data"),
    LIST(model, hidden, "[]", 1, 65536, "widths of the hidden layers of an mlp, first to last"),
    U64(model, classes, "10", 2, 65536, "classes that are told apart"),
    U64(model, parameters, "1000", 1, 1000000000, "parameters of a flat model"),

    ENUM(
        data, format, "none", data_formats,
        "IDX files (as MNIST's), a CSV file (a sample a line), a safetensors file (tensor x F32 or "
        "U8 [n, ...], y whole numbers [n]), or no data"),
    TEXT(data, path, "", PATH,
         "folder of the IDX files (train-images-idx3-ubyte and so on); else the file of the "
         "training samples"),
    TEXT(data, test_path, "", PATH,
         "file of the test samples, as data.path; IDX has them in its folder (t10k-...)"),
    TEXT(data, csv_label, "label", COLUMN,
         "the column of the labels: its name in the header, or its index from 0; -1 is the last"),
    ENUM(data, csv_header, "auto", csv_headers,
         "whether the first line holds names; auto: where any of its fields is no number"),
    ENUM(data, csv_separator, "comma", csv_separators, "what stands between the fields of a line"),
    ENUM(data, partition, "iid", partitions,
         "how samples are split between the nodes: evenly, by class with a Dirichlet draw, or in "
         "shards of the samples sorted by class"),
    F64(data, alpha, "0.5", 0.001, 1000000,
        "concentration of the Dirichlet split; smaller gives more unequal nodes"),
    U64(data, shards_per_node, "2", 1, 1000, "shards a node gets: about as many classes, at most"),
    U64(data, parts, "1", 1, 1000000, "into how many parts the samples are split"),
    U64(data, part, "0", 0, 999999, "which part this node holds, from 0"),
    BOOL(data, evaluate_test_at_end, "false",
         "whether the final model is measured on the test samples, which nothing else looks at"),

    ENUM(train, trainer, "builtin", trainers,
         "what a node learns with: built-in SGD, a fixed answer (tests), or the program of "
         "train.command (docs/trainer.md)"),
    U64(train, local_epochs, "1", 1, 1000, "passes over the node's samples a round"),
    U64(train, batch_size, "32", 1, 1000000, "samples a step"),
    F64_OVER(train, learning_rate, "0.1", 0, 1000, "step size of local training"),
    F64(train, momentum, "0", 0, 0.9999, "share of the last step that is taken again"),
    F64(train, weight_decay, "0", 0, 1, "share of each weight taken off, times the rate, a step"),
    F64(train, proximal_mu, "0", 0, 1000,
        "pull towards the round's starting model (FedProx); 0 is none"),
    F64(train, fixed_wait_s, "0", 0, 3600,
        "seconds that the trainer fixed waits before it answers"),
    TEXT(train, command, "", COMMAND,
         "the program of train.trainer command, run by /bin/sh -c in the folder in which the node "
         "was started"),
    F64(train, start_timeout_s, "120", 0.1, 86400, "seconds the program has to be ready"),
    F64(train, task_timeout_s, "3600", 0, 604800,
        "seconds the program has for one task; 0 is no limit"),
    F64(train, heartbeat_s, "60", 0.1, 86400,
        "seconds of silence in a task after which a program that sends heartbeats has hung"),
    F64(train, cancel_grace_s, "10", 0, 86400,
        "seconds the program has to stop a task that is not wanted any more; then it is ended and "
        "started again"),
    U64(train, memory_max_bytes, "0", 0, UINT64_MAX,
        "bytes of data each process of the program may have (RLIMIT_DATA); 0 is no limit"),
    U64(train, cpus_max, "0", 0, 1024, "processors the program may run on; 0 is all"),
    U64(train, nice, "0", 0, 19, "how much the program gives way to others on its machine"),

    F64_OVER(aggregation, k_threshold, "0.85", 0, 1,
             "share of the selected nodes whose updates close a round"),
    F64(aggregation, timeout_s, "60", 0.1, 86400, "seconds after which a round closes anyway"),
    U64(aggregation, min_updates, "1", 1, 1000000,
        "fewer updates than this at the timeout: the round is repeated"),
    U64(aggregation, start_nodes, "1", 1, 1000000,
        "nodes that must have joined before the first round"),
    F64(aggregation, start_timeout_s, "60", 0.1, 86400,
        "seconds to wait for start_nodes; then min_updates are enough"),
    F64_OVER(aggregation, share, "1", 0, 1,
             "share of the nodes that a round needs asked, drawn anew each round"),
    F64(aggregation, over_selection, "0", 0, 10,
        "share of the needed nodes that is asked beyond them, against those that will not answer"),
    U64(aggregation, cooldown_rounds, "0", 0, 1000000,
        "rounds for which a node that was asked is not asked again, where others are to be had"),
    ENUM(aggregation, late_updates, "discard", late_updates,
         "what becomes of who is late: its update is dropped; is counted in the next round, "
         "weighted by its staleness; or the server's momentum is counted in its place"),
    U64(aggregation, max_staleness, "5", 1, 64,
        "rounds that an update may be late under next_round; older ones are dropped"),
    ENUM(aggregation, staleness, "polynomial", staleness_kinds,
         "how the weight of a late update falls: not at all, (1 + s)^-exponent, or 1 up to the "
         "hinge and then 1 / (1 + exponent (s - hinge))"),
    F64(aggregation, staleness_exponent, "0.5", 0, 100, "exponent of that weight"),
    U64(aggregation, staleness_hinge, "2", 0, 64, "rounds of staleness that cost nothing (hinge)"),

    ENUM(robust, rule, "mean", rules,
         "how updates are combined; mean is weighted by samples, the others weigh all alike; "
         "validated needs validation.source central or both (docs/robustness.md)"),
    TEXT(robust, pre, "", WORDS,
         "what goes before the rule, in that order: nnm, bucketing, arc, separated by commas"),
    TEXT(robust, set, "", WORDS,
         "parameters of the rule and of what goes before it, as tau=5, iterations=3"),
    F64(robust, tolerance, "0.3", 0, 0.49,
        "share of the nodes asked that may lie, rounded up to nodes"),
    U64(robust, f, "0", 0, 10000, "how many may lie, in place of the tolerance; 0 is by that"),
    ENUM(
        robust, quarantine, "suggest", quarantines,
        "what becomes of a node whose updates were grossly off in 3 of its last 5 rounds: nothing; "
        "it is only said; or it is not asked for some rounds"),
    U64(robust, quarantine_rounds, "20", 1, 1000000,
        "rounds for which it is not asked; then one such update in 5 rounds is enough"),

    U64(convergence, max_rounds, "100", 1, 1000000000, "rounds after which the job ends"),
    U64(convergence, min_rounds, "10", 0, 1000000000, "rounds before which it cannot converge"),
    U64(convergence, window_size, "5", 1, CONVERGENCE_WINDOW_MAX,
        "rounds over which improvement of the best so far is measured"),
    F64(convergence, threshold, "0.001", 0, 1,
        "improvement over the window at or under which a figure has stopped improving: share of "
        "the loss, or accuracy"),
    ENUM(convergence, criteria, "all", convergence_criteria,
         "whether loss and accuracy must both have stopped improving, or any of them"),
    U64(convergence, patience, "10", 1, 1000000, "rounds in a row in which that must hold"),
    F64(convergence, gradient_threshold, "1e-5", 0, 1000000,
        "L2 norm of the aggregated update under which the job has converged at once"),
    F64_OVER(convergence, divergence_threshold, "0.5", 0, 1000000,
             "share over the best loss that counts as risen"),
    U64(convergence, divergence_patience, "10", 1, 1000000,
        "rounds in a row with a risen loss after which the job has diverged and the best version "
        "is restored"),

    ENUM(schedule, kind, "constant", schedules, "the rule by which optimiser.learning_rate falls"),
    F64_OVER(schedule, step_factor, "0.1", 0, 1, "what the rate is multiplied with at each step"),
    U64(schedule, step_rounds, "10", 1, 1000000000, "rounds from step to step"),
    F64_OVER(schedule, tau, "100", 0, 1000000000,
             "rounds in which exp(-t/tau) falls by a factor e"),
    U64(schedule, cosine_rounds, "0", 0, 1000000000,
        "rounds in which the cosine comes down; 0 is convergence.max_rounds"),
    F64(schedule, cosine_floor, "0", 0, 1, "share of the rate that is left then"),

    ENUM(optimiser, kind, "sgd", optimisers, "how the aggregate is applied to the model"),
    F64_OVER(optimiser, learning_rate, "1.0", 0, 1000,
             "share of the aggregate that is applied; 1 is FedAvg with sgd"),
    F64(optimiser, momentum, "0.9", 0, 0.9999,
        "share of the momentum that is kept a round (beta 1 of adam, yogi, adagrad)"),
    F64(optimiser, beta2, "0.99", 0, 0.9999, "the same for the second moment (adam, yogi)"),
    F64_OVER(optimiser, epsilon, "0.001", 0, 1, "added to the root of the second moment"),

    ENUM(validation, source, "none", validation_sources,
         "what a version's loss and accuracy come from: nothing, samples of the coordinator's own, "
         "what the nodes report on shares they hold out, or both (the coordinator's decide)"),
    U64(validation, samples, "5000", 1, 1000000000,
        "samples taken off the training data for validation, at most"),
    F64(validation, holdout, "0.1", 0.001, 0.9,
        "share of its samples on which a node measures the models it receives"),
    F64(validation, trim, "0.3", 0, 0.49,
        "share of the nodes' reports that is left out at each end: liars lie there"),

    U64(central, epochs, "0", 0, 10000,
        "passes over the samples; 0, or without test samples to measure on: nothing is trained"),
    U64(central, batch_size, "32", 1, 65536, "samples a step"),
    F64_OVER(central, learning_rate, "0.1", 0, 1000, "step size"),

    TEXT(identity, trust_domain, "fedra.local", DOMAIN, "SPIFFE trust domain all peers must be of"),
    TEXT(identity, directory, "", PATH, "folder with svid.pem, its key and the trust bundle"),
    TEXT(identity, authority, "", CONNECT,
         "address of `fedra ca serve`, which renews the identity; empty: somebody else renews the "
         "files; `fedra up` sets its own"),
    ENUM(identity, tls_key, "p256", tls_keys,
         "kind of the TLS key; envelopes are always ML-DSA-65"),
    U64(identity, ttl_s, "3600", 10, 31536000,
        "seconds a certificate is valid that `fedra up` issues or a process asks for"),

    F64_OVER(limits, update_norm_max, "100.0", 0, 1000000, "largest L2 norm of an update"),
    U64(limits, samples_max, "1000000", 1, WEIGHT_SAMPLES_MAX,
        "samples one update counts for at most, whatever it claims"),
    U64(limits, nodes_max, "10000", 1, 1000000, "nodes that may be joined at once"),
    U64(limits, blob_pool_bytes, "268435456", 4 * MIB, TIB,
        "bytes of memory for models and updates in flight"),
    U64(limits, message_bytes_max, "2097152", 2 * MIB, 64 * MIB, "bytes of one message"),
    U64(limits, update_bytes_max, "134217728", 1024, TIB, "bytes of one update's payload"),
    U64(limits, connections_max, "10240", 1, 1000000, "connections that may be open at once"),
    U64(limits, rounds_repeat_max, "10", 0, 1000000,
        "times one round may be repeated before the job is given up"),
    F64(limits, heartbeat_s, "10", 0.1, 3600, "seconds between two heartbeats of a connection"),
    U64(limits, models_keep, "0", 0, 1000000000, "versions of the model that are kept; 0 is all"),

    COUNT(audit, keep_updates, "none", 1, 1000000000,
          "rounds whose counted updates stay in the state folder, so that an audit can compute "
          "their versions again; each takes the model's size"),

    F64(faults.slow, share, "0", 0, 1, "share of the nodes that are slow, rounded down to nodes"),
    F64(faults.slow, factor, "10", 1, 1000, "times as long as the others that a slow node trains"),
    F64(faults.kill, share, "0", 0, 1, "share of the nodes that are killed, rounded down to nodes"),
    U64(faults.kill, after_rounds, "5", 1, 1000000000, "rounds after which they are killed, once"),
    F64(faults.kill, down_s, "5", 0, 86400, "seconds until a killed node is started again"),

    F64_OVER(simulation, sample_us, "100", 0, 1e9,
             "microseconds that a node of speed 1 trains on a sample, an epoch"),
    F64(simulation, speed_spread, "0", 0, 3,
        "how much nodes differ: sigma of the logarithm of their speeds; 0: all have speed 1"),
    ENUM(simulation, latency, "constant", latencies,
         "of the nodes' links: the same for all, log-normal, or drawn from latency_file"),
    F64(simulation, latency_ms, "20", 0, 1e6, "milliseconds one way; of lognormal the median"),
    F64(simulation, latency_spread, "0.5", 0, 3, "of lognormal: sigma of its logarithm"),
    TEXT(simulation, latency_file, "", PATH, "of table: one latency in milliseconds a line"),
    F64(simulation, node_mbit, "100", 0, 1e6,
        "megabits a second of each node's link, each way; 0: no limit"),
    F64(simulation, coordinator_mbit, "10000", 0, 1e6,
        "of the coordinator's link, which all share; 0: no limit"),
    F64(simulation, loss, "0", 0, 0.5,
        "share of the messages that are lost, and their connections with them"),
    F64(simulation, up_s, "0", 0, 1e9,
        "mean seconds until a node is switched off, exponentially distributed; 0: never"),
    F64(simulation, down_s, "60", 0, 1e9, "mean seconds until it is back, likewise"),
    TEXT(
        simulation, faults, "", WORDS,
        "faults that strike as often and as hard as job.seed draws, names of `fedra sim --faults`"),
    F64_OVER(simulation, faults_s, "600", 0, 1e9, "seconds after which they strike no more"),

    TEXT(lab, rules, "mean,filter", WORDS,
         "rules, with what goes before them (nnm+trimmed_mean); validated=N: the choice by N "
         "trusted "
         "samples"),
    TEXT(lab, attacks, "all", WORDS, "attacks; all: those that `fedra lab --attacks` lists"),
    TEXT(lab, alphas, "0.5", WORDS, "degrees of heterogeneity, in the place of data.alpha"),
    TEXT(lab, shares, "0.3", WORDS, "shares of the nodes that lie, rounded down"),
    TEXT(lab, jitters, "0", WORDS,
         "private noise of colluders who share a vector, in deviations of the honest updates"),
    U64(lab, seeds, "3", 1, 1000, "trainings that differ in samples, liars and first model"),
    U64(lab, nodes, "50", 2, 1000, "nodes"),
    U64(lab, node_samples, "100", 1, 1000000, "samples of each, at most"),
    U64(lab, rounds, "30", 1, 300, "rounds"),
};
const uint32_t config_key_count = sizeof config_keys / sizeof config_keys[0];

static_assert(sizeof config_keys / sizeof config_keys[0] <= CONFIG_KEYS_MAX);
static_assert(sizeof config_trees / sizeof config_trees[0] <= CONFIG_TREES_MAX);

const char *config_optimiser_name(enum server_optimiser_kind kind)
{
    return optimisers[kind];
}

const char *config_staleness_name(enum staleness_kind kind)
{
    return staleness_kinds[kind];
}

const char *config_validation_source_name(enum config_validation_source source)
{
    return validation_sources[source];
}

uint32_t config_key_find(const char *tree, const char *name)
{
    for (uint32_t i = 0; i < config_key_count; i++) {
        if (!strcmp(config_keys[i].tree, tree) && !strcmp(config_keys[i].name, name))
            return i;
    }
    return UINT32_MAX;
}

uint32_t config_path_find(const char *path)
{
    for (uint32_t i = 0; i < config_key_count; i++) {
        if (!strcmp(config_keys[i].path, path))
            return i;
    }
    return UINT32_MAX;
}

uint32_t config_tree_find(const char *path)
{
    for (uint32_t i = 0; i < config_tree_count; i++) {
        if (!strcmp(config_trees[i].name, path))
            return i;
    }
    return UINT32_MAX;
}

/* The last part of a tree's path, where the tree lies in parent (null: at the first level). */
static const char *name_in(const char *parent, const char *path)
{
    const char *const dot = strrchr(path, '.');
    if (!parent)
        return dot ? nullptr : path;
    const bool within =
        dot && (size_t)(dot - path) == strlen(parent) && !strncmp(path, parent, strlen(parent));
    return within ? dot + 1 : nullptr;
}

uint32_t config_tree_find_in(const char *parent, const char *name)
{
    for (uint32_t i = 0; i < config_tree_count; i++) {
        const char *const own = name_in(parent, config_trees[i].name);
        if (own && !strcmp(own, name))
            return i;
    }
    return UINT32_MAX;
}

uint32_t config_tree_depth(uint32_t tree)
{
    uint32_t depth = 0;
    for (const char *c = config_trees[tree].name; *c; c++)
        depth += *c == '.';
    return depth;
}

const char *config_key_path(uint32_t index)
{
    return index < config_key_count ? config_keys[index].path : nullptr;
}

/* How far name may be from what was meant, in edits: a third of its length, at least one. */
static size_t distance_max(const char *name)
{
    const size_t length = strlen(name);
    return length < 6 ? 1 + (length > 3) : length / 3;
}

static const char *nearest_tree(const char *parent, const char *name)
{
    const char *best = nullptr;
    size_t best_distance = distance_max(name) + 1;
    for (uint32_t i = 0; i < config_tree_count; i++) {
        const char *const own = name_in(parent, config_trees[i].name);
        const size_t distance = own ? text_distance(name, own) : SIZE_MAX;
        if (distance < best_distance) {
            best_distance = distance;
            best = config_trees[i].name;
        }
    }
    return best;
}

const char *config_suggest(const char *tree, const char *name)
{
    const char *best = nullptr;
    size_t best_distance = distance_max(name) + 1;
    for (uint32_t i = 0; tree && i < config_key_count; i++) {
        if (strcmp(config_keys[i].tree, tree) != 0)
            continue;
        const size_t distance = text_distance(name, config_keys[i].name);
        if (distance < best_distance) {
            best_distance = distance;
            best = config_keys[i].path;
        }
    }
    if (!best)
        best = nearest_tree(tree, name);
    for (uint32_t i = 0; !best && tree && strlen(name) >= 4 && i < config_key_count; i++) {
        if (!strcmp(config_keys[i].tree, tree) && strstr(config_keys[i].name, name))
            best = config_keys[i].path;
    }
    for (uint32_t i = 0; !best && i < config_key_count; i++) { /* the right key, elsewhere */
        if (!strcmp(name, config_keys[i].name))
            best = config_keys[i].path;
    }
    return best;
}
